"""Worlds: batches of simulations, made by id."""

from poolrl.tasks.base import StepResult, Task
from poolrl.tasks.moved import move_model, new_place
from poolrl.tasks.registry import fingerprint, make, task_class, with_absolute_paths
from poolrl.tasks.user import absolute, blamed, needs_permission, permit, same
from poolrl.tasks.vector import TaskVectorEnv, make_vec

__all__ = [
    "StepResult",
    "Task",
    "TaskVectorEnv",
    "absolute",
    "blamed",
    "fingerprint",
    "make",
    "make_vec",
    "move_model",
    "needs_permission",
    "new_place",
    "permit",
    "same",
    "task_class",
    "with_absolute_paths",
]
