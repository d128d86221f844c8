"""Compiled models: read by path or by the name of an asset, poolrl's or Gymnasium's."""

from __future__ import annotations

import copy
import hashlib
import os
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import mujoco
import numpy as np

from poolrl.errors import UsageError

ASSETS = Path(__file__).parent / "assets"
"""The models that come with poolrl."""


def is_path(xml_file: str) -> bool:
    """Whether a model's file is a path, as for Gymnasium, and not the name of an asset."""
    return xml_file.startswith(("/", ".", "~"))


@lru_cache(maxsize=16)
def load_model(xml_file: str) -> mujoco.MjModel:
    """Compile a model.

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
        # Found by name, since importing Gymnasium's package of tasks also imports its renderer.
        spec = find_spec("gymnasium")
        assert spec is not None
        path = Path(str(spec.origin)).parent / "envs" / "mujoco" / "assets" / xml_file
    if not os.path.isfile(path):
        raise UsageError(f"task.kwargs.xml_file: no such file: {path}")
    try:
        return mujoco.MjModel.from_xml_path(str(path))
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"task.kwargs.xml_file: {path}: {reason}") from error


def without_idle_stages(model: mujoco.MjModel) -> mujoco.MjModel:
    """A copy that simulates the same, bit for bit, with the stages disabled that can do nothing.

    The search for contacts takes a fifth of a pendulum's time, even though none of its geoms may
    touch another. What a single tree of bodies is held by always is one island, so that there is
    nothing to take apart: that saves a fourteenth of a cheetah's. Sleep works by islands.
    """
    quick = copy.copy(model)
    disable, sleep = mujoco.mjtDisableBit, mujoco.mjtEnableBit.mjENBL_SLEEP
    if not _may_touch(model):
        quick.opt.disableflags |= int(disable.mjDSBL_CONTACT)
    if model.ntree == 1 and not model.opt.enableflags & int(sleep):
        quick.opt.disableflags |= int(disable.mjDSBL_ISLAND)
    return quick


def _may_touch(model: mujoco.MjModel) -> bool:
    """Whether anything could ever be in contact with anything."""
    if model.npair or model.nflex:
        return True
    wanted = model.geom_contype[:, None] & model.geom_conaffinity
    np.fill_diagonal(wanted, 0)
    return bool(wanted.any())


def body_id(model: mujoco.MjModel, body: int | str, key: str = "xml_file") -> int:
    """The number of a body, given by it or by its name.

    Raises:
        UsageError: the model has no such body; names the argument ``key``.
    """
    number = body
    if isinstance(number, str):
        number = int(mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, number))
    if not 0 <= number < model.nbody:
        names = ", ".join(model.body(i).name for i in range(model.nbody))
        raise UsageError(f"task.kwargs.{key}: no body {body!r}; bodies of the model: {names}")
    return number


def model_sha256(model: mujoco.MjModel) -> str:
    """SHA-256 of a compiled model in MuJoCo's binary format, which differs between its versions."""
    buffer = np.empty(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, buffer)
    return hashlib.sha256(buffer.tobytes()).hexdigest()
