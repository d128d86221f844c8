"""Worlds: batches of simulations, made by id."""

from poolrl.tasks.base import StepResult, Task
from poolrl.tasks.registry import fingerprint, make, task_class, with_absolute_paths
from poolrl.tasks.vector import TaskVectorEnv, make_vec

__all__ = [
    "StepResult",
    "Task",
    "TaskVectorEnv",
    "fingerprint",
    "make",
    "make_vec",
    "task_class",
    "with_absolute_paths",
]
