"""Tasks on ``mujoco.batch``, most of them Gymnasium's."""

from poolrl.tasks.mujoco.base import MujocoTask

__all__ = ["MujocoTask"]
