"""Tasks: batches of simulations, created by id."""

from poolrl.tasks.base import ActuatorState, StepResult, Task
from poolrl.tasks.closing import close, closing
from poolrl.tasks.factory import fingerprint, make
from poolrl.tasks.model_paths import (
    move_model,
    names_hashed_file,
    names_other_file,
    new_place,
    new_places,
    with_absolute_paths,
)
from poolrl.tasks.permissions import blamed, needs_permission, permit, same
from poolrl.tasks.registry import task_class
from poolrl.tasks.vector import TaskVectorEnv, make_vec
from poolrl.trusted_code import absolute

__all__ = [
    "ActuatorState",
    "StepResult",
    "Task",
    "TaskVectorEnv",
    "absolute",
    "blamed",
    "close",
    "closing",
    "fingerprint",
    "make",
    "make_vec",
    "move_model",
    "names_hashed_file",
    "names_other_file",
    "needs_permission",
    "new_place",
    "new_places",
    "permit",
    "same",
    "task_class",
    "with_absolute_paths",
]
