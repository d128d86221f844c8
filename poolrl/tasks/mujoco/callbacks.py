"""Process-wide callbacks of MuJoCo: disable its clock and its log of warnings."""

from __future__ import annotations

import ctypes

import mujoco
from mujoco import _functions


def silence_warnings() -> None:
    """Disable MuJoCo's warnings, which it prints repeatedly and appends to MUJOCO_LOG.TXT in the
    working directory. Tasks read the counters of warnings instead."""
    mujoco.set_mju_user_warning(lambda _message: None)


def stop_clock() -> None:
    """Remove the clock of ``MjData.timer``; the durations there are then zero.

    MuJoCo's Python package installs a clock that is read 32 times per substep of HalfCheetah and
    114 times per substep of Hopper: a sixth of the physics' time. MuJoCo's C library has none by
    default (``mjcb_time``, https://mujoco.readthedocs.io/en/stable/APIreference/APIglobals.html).
    That variable is written here, since ``mujoco.set_mjcb_time(None)`` restores the package's
    clock. It has no effect if the user has set a clock, or if the variable is not found.
    """
    if mujoco.get_mjcb_time() is not None:
        return
    try:
        clock = ctypes.c_void_p.in_dll(ctypes.CDLL(_functions.__file__), "mjcb_time")
    except (OSError, ValueError):
        return
    clock.value = None
