"""Worlds: batches of simulations, made by id."""

from poolrl.tasks.base import StepResult, Task
from poolrl.tasks.registry import fingerprint, make, task_class, with_absolute_paths

__all__ = ["StepResult", "Task", "fingerprint", "make", "task_class", "with_absolute_paths"]
