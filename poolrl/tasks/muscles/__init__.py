"""Bodies that are driven by muscles, on ``mujoco.batch``."""

from poolrl.tasks.muscles.base import MuscleTask

__all__ = ["MuscleTask"]
