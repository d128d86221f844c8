"""Worlds: batches of simulations, made by id."""

from poolrl.tasks.base import StepResult, Task
from poolrl.tasks.registry import fingerprint, make, with_absolute_paths
from poolrl.tasks.user import blamed, permit

__all__ = [
    "StepResult",
    "Task",
    "blamed",
    "fingerprint",
    "make",
    "permit",
    "with_absolute_paths",
]
