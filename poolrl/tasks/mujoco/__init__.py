"""Tasks on ``mujoco.batch``, most of them Gymnasium's."""

from poolrl.tasks.mujoco.base import MujocoTask
from poolrl.tasks.mujoco.callbacks import silence_warnings, stop_clock

__all__ = ["MujocoTask"]

silence_warnings()
stop_clock()
