"""Worlds: batches of simulations, made by id."""

from poolrl.tasks.base import StepResult, Task
from poolrl.tasks.model_paths import move_model, new_place
from poolrl.tasks.registry import fingerprint, make, task_class, with_absolute_paths
from poolrl.tasks.vector import TaskVectorEnv, make_vec
from poolrl.trusted_code import absolute, blamed, needs_permission, permit, same

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
