"""Load and compile models, from a path or the name of an asset of poolrl or Gymnasium."""

from __future__ import annotations

import copy
import hashlib
import os
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from poolrl.errors import UsageError
from poolrl.tasks.mujoco.asset_paths import serialized

ASSETS = Path(__file__).parent / "assets"
"""Folder of poolrl's models."""


def is_path(xml_file: str) -> bool:
    """Whether a model's file is a path, by Gymnasium's rule, and not the name of an asset."""
    return xml_file.startswith(("/", ".", "~"))


@lru_cache(maxsize=16)
def load_model(xml_file: str) -> mujoco.MjModel:
    """Load and compile a model; it is cached and must not be modified.

    Args:
        xml_file: a path (from ``/``, ``.`` or ``~``), the name of an asset of poolrl's or of
            Gymnasium's, or the XML itself.

    Raises:
        UsageError: there is no such file, or MuJoCo cannot compile it.
    """
    if xml_file.lstrip().startswith("<"):
        try:
            return mujoco.MjModel.from_xml_string(xml_file)
        except ValueError as error:
            reason = " ".join(str(error).split())
            raise UsageError(f"task: the model's XML: {reason}") from error
    path = Path(os.path.expanduser(xml_file)) if is_path(xml_file) else ASSETS / xml_file
    if not is_path(xml_file) and not os.path.isfile(path):
        # find_spec, since importing Gymnasium's package of MuJoCo tasks imports its renderer.
        spec = find_spec("gymnasium")
        assert spec is not None
        path = Path(str(spec.origin)).parent / "envs" / "mujoco" / "assets" / xml_file
    if not os.path.isfile(path):
        raise UsageError(f"task.kwargs.xml_file: no such file: {path}")
    try:
        return _compiled(path)
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"task.kwargs.xml_file: {path}: {reason}") from error


def _compiled(path: Path) -> mujoco.MjModel:
    """Compile a file with its neighbours; those of a link are before those of its target."""
    try:
        return mujoco.MjModel.from_xml_path(str(path))
    except ValueError:
        if not path.is_symlink():
            raise
        try:
            return mujoco.MjModel.from_xml_path(str(path.resolve()))
        except ValueError:
            pass
        raise


def without_idle_stages(model: mujoco.MjModel) -> mujoco.MjModel:
    """Return a copy with the stages disabled that have no effect; results are equal bit for bit.

    Collision detection takes a fifth of a pendulum's time, although none of its geoms can collide.
    The constraints of a single kinematic tree are always one island, so that island discovery is
    not needed: that saves a fourteenth of a cheetah's time. Sleeping needs islands.
    """
    reduced = copy.copy(model)
    disable, sleep = mujoco.mjtDisableBit, mujoco.mjtEnableBit.mjENBL_SLEEP
    if not _can_collide(model):
        reduced.opt.disableflags |= int(disable.mjDSBL_CONTACT)
    if model.ntree == 1 and not model.opt.enableflags & int(sleep):
        reduced.opt.disableflags |= int(disable.mjDSBL_ISLAND)
    return reduced


def _can_collide(model: mujoco.MjModel) -> bool:
    """Whether any two geoms can be in contact."""
    if model.npair or model.nflex:
        return True
    compatible = model.geom_contype[:, None] & model.geom_conaffinity
    np.fill_diagonal(compatible, 0)
    return bool(compatible.any())


def without_control_range(model: mujoco.MjModel) -> NDArray[np.bool_]:
    """Return which actuators have no control range, (nu,): MuJoCo compiles one of 0 to 0."""
    low, high = model.actuator_ctrlrange.T
    free: NDArray[np.bool_] = (model.actuator_ctrllimited == 0) & (low >= high)
    return free


def body_id(model: mujoco.MjModel, body: int | str, key: str = "xml_file") -> int:
    """Return the index of a body.

    Args:
        model: with the body.
        body: its index or name.
        key: the task's argument that holds ``body``, for errors.

    Raises:
        UsageError: the model has no such body.
    """
    number = body
    if isinstance(number, str):
        number = int(mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, number))
    if not 0 <= number < model.nbody:
        names = ", ".join(model.body(i).name for i in range(model.nbody))
        raise UsageError(f"task.kwargs.{key}: no body {body!r}; bodies of the model: {names}")
    return number


def require_argument(expected: str, key: str, holds: Any) -> None:
    """Check an argument of a task.

    Args:
        expected: what it must be.
        key: its name.
        holds: whether it is so.

    Raises:
        UsageError: it is not; names both.
    """
    if not holds:
        raise UsageError(f"task.kwargs.{key}: expected {expected}")


def model_sha256(model: mujoco.MjModel) -> str:
    """Compute the SHA-256 of a compiled model in MuJoCo's binary format, which differs between
    versions of MuJoCo."""
    return hashlib.sha256(serialized(model)).hexdigest()
