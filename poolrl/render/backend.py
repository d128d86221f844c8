"""Which of MuJoCo's OpenGL backends works on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache

from poolrl.errors import UsageError

PROBE_SECONDS = 60.0
"""Timeout of one probe; a driver that hangs counts as one that does not work."""

_PROBE = """
import mujoco
model = mujoco.MjModel.from_xml_string("<mujoco><worldbody><geom size='1'/></worldbody></mujoco>")
renderer = mujoco.Renderer(model, 16, 16)
renderer.update_scene(mujoco.MjData(model))
renderer.render()
"""


def drawing_environment(backend: str | None) -> dict[str, str]:
    """Environment variables of a process that draws.

    Args:
        backend: value of MUJOCO_GL; ``None`` to leave the choice to MuJoCo.
    """
    environment = dict(os.environ)
    if backend is not None:
        environment["MUJOCO_GL"] = backend
        # Where this process has imported a backend, that has left its own choice here.
        environment.pop("PYOPENGL_PLATFORM", None)
    # pygame, which draws Gymnasium's classic tasks, needs neither a window nor a sound card.
    environment.setdefault("SDL_VIDEODRIVER", "dummy")
    environment.setdefault("SDL_AUDIODRIVER", "dummy")
    return environment


def working_backend() -> str | None:
    """Find a backend that draws: the user's MUJOCO_GL, else EGL, then OSMesa; on macOS the default.

    Each is tried in a process of its own, since a failed one may end it; the answer is kept.

    Returns:
        The value of MUJOCO_GL; ``None`` to leave it unset.

    Raises:
        UsageError: none works; says what to install.
    """
    return _working_backend(os.environ.get("MUJOCO_GL", "").strip())


@cache
def _working_backend(own: str) -> str | None:
    if own:
        reason = _failure(own)
        if reason is None:
            return own
        raise UsageError(f"MUJOCO_GL={own} cannot draw here ({reason}); unset it, or name another")
    candidates: tuple[str | None, ...] = ("egl", "osmesa") if sys.platform == "linux" else (None,)
    reasons = []
    for candidate in candidates:
        reason = _failure(candidate)
        if reason is None:
            return candidate
        reasons.append(f"{candidate or 'OpenGL'}: {reason}")
    raise UsageError(
        f"no OpenGL to draw with ({'; '.join(reasons)}): install EGL or OSMesa, as by "
        "`apt-get install libegl1 libgl1-mesa-dri` or `apt-get install libosmesa6`"
    )


def _failure(backend: str | None) -> str | None:
    """Why a backend does not work; ``None`` if it does."""
    command = [sys.executable, "-P", "-c", _PROBE]
    try:
        done = subprocess.run(
            command,
            env=drawing_environment(backend),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {PROBE_SECONDS:g} s"
    if done.returncode == 0:
        return None
    if done.returncode < 0:
        return f"signal {-done.returncode}"
    lines = [line for line in done.stderr.decode(errors="replace").splitlines() if line[:1].strip()]
    return lines[-1] if lines else f"exit code {done.returncode}"
