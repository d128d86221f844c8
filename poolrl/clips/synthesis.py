"""Synthetic clips: the movement of a simulated rat under smooth control, recorded.

Recorded clips of animals are private; these have their layout, and are no animal's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import mujoco
import numpy as np

from poolrl.clips.clip import Clip, frame_count
from poolrl.clips.clip_file import DEFAULT_FPS
from poolrl.clips.preprocess import Body, make_clip
from poolrl.clips.recordings import Recording
from poolrl.clips.styles import STYLES, Control, Style, draw_control
from poolrl.errors import UsageError

SETTLING_SECONDS = 1.5
"""Time before the first frame, in which the movement reaches its size."""

LOWEST_CENTER = 0.04
"""Height in m below which a centre of mass is that of a rat that has fallen."""

MAX_ATTEMPTS = 50
"""Draws of a clip, of which the first that stays on its feet counts."""


def synthesize(
    body: Body,
    *,
    clips: int,
    seconds: float,
    seed: int,
    styles: Mapping[str, Style] = STYLES,
) -> Iterator[Clip]:
    """Yield clips of the styles in turn, with the styles' names as labels.

    A clip depends on the seed and its own number alone. A draw that falls, or turns over, is
    replaced by another one.

    Args:
        body: position-controlled, with the actuators that the styles name.
        clips: number of clips.
        seconds: length of each.
        seed: of the draws.
        styles: behaviours.

    Raises:
        UsageError: the clips would have no frames or too many, or every draw of a clip falls.
    """
    frames = frame_count(seconds, DEFAULT_FPS)
    model = body.model
    actuators = [model.actuator(number).name for number in range(model.nu)]
    labels = list(styles)
    for number in range(clips):
        label = labels[number % len(labels)]
        for attempt in range(MAX_ATTEMPTS):
            sequence = np.random.SeedSequence(seed, spawn_key=(number, attempt))
            generator = np.random.Generator(np.random.PCG64(sequence))
            control = draw_control(styles[label], actuators, generator)
            qpos = _record(model, control, frames, generator)
            clip = make_clip(Recording(f"clip_{number}", label, DEFAULT_FPS, qpos), body)
            if _stands(clip):
                yield clip
                break
        else:
            raise UsageError(f"{label}: the body falls in each of {MAX_ATTEMPTS} draws")


def _record(
    model: mujoco.MjModel, control: Control, frames: int, generator: np.random.Generator
) -> np.ndarray:
    """Positions (frames, nq) of a body that starts upright, in a random direction."""
    data = mujoco.MjData(model)
    direction = generator.uniform(-np.pi, np.pi)
    data.qpos[3:7] = np.cos(direction / 2), 0.0, 0.0, np.sin(direction / 2)
    substeps = round(1.0 / (DEFAULT_FPS * model.opt.timestep))
    settling = round(SETTLING_SECONDS * DEFAULT_FPS)
    qpos = np.empty((frames, model.nq))
    for frame in range(-settling, frames):
        if frame >= 0:
            qpos[frame] = data.qpos
        data.ctrl[:] = control.at((frame + settling) / DEFAULT_FPS)
        for _ in range(substeps):
            mujoco.mj_step(model, data)
    return qpos


def _stands(clip: Clip) -> bool:
    """Whether the centre of mass stays up, and the root's z axis does not point down."""
    _, x, y, _ = clip.quaternion.T
    upright = 1.0 - 2.0 * (x * x + y * y)
    return bool((clip.center_of_mass[:, 2] >= LOWEST_CENTER).all() and (upright > 0.0).all())
