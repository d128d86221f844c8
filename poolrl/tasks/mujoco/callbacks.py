"""MuJoCo's callbacks, which are those of the whole process: no clock, no file of warnings."""

from __future__ import annotations

import ctypes

import mujoco
from mujoco import _functions


def silence_warnings() -> None:
    """Keep MuJoCo from printing the same warnings over and over and appending them to
    MUJOCO_LOG.TXT in whatever directory the process stands in; tasks read the counters instead."""
    mujoco.set_mju_user_warning(lambda _message: None)


def stop_clock() -> None:
    """Have MuJoCo read no clock for ``MjData.timer``, whose durations are then zero.

    Its Python package installs one, which is read 32 times a substep of HalfCheetah and 114 times
    one of Hopper: a sixth of the physics' time. MuJoCo's C library has none unless it is asked for
    (``mjcb_time``, https://mujoco.readthedocs.io/en/stable/APIreference/APIglobals.html). That
    variable is written here, since ``mujoco.set_mjcb_time(None)`` brings back the package's clock.
    A clock of the user's own is left alone, and so is all where the variable cannot be found.
    """
    if mujoco.get_mjcb_time() is not None:
        return
    try:
        clock = ctypes.c_void_p.in_dll(ctypes.CDLL(_functions.__file__), "mjcb_time")
    except (OSError, ValueError):
        return
    clock.value = None
