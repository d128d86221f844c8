"""Styles of movement of dm_control's position-controlled rat, with parameters drawn at random.

A style says where the actuators' targets are and how they oscillate. Its ranges were found by
trying: the rat stays on its feet in most draws, and one can tell the styles from a video.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from poolrl.clips.clip import Array
from poolrl.errors import UsageError

ONSET_SECONDS = 0.7
"""Time in which a movement reaches its size, from the rat's default posture."""

_DRIFT_WAVES = 3
_DRIFT_FREQUENCIES = (0.1, 0.8)
_DRIFT_DEVIATION = 0.04
"""Of a slow random movement of all actuators, which is in every style."""

Range = tuple[float, float]


@dataclass(frozen=True)
class Wave:
    """How some actuators move: offset + amplitude sin(2π · frequency · t + phase), in units of
    control, of which [-1, 1] is the range of an actuator's target.

    Attributes:
        offset: range of the offset.
        amplitude: range of the amplitude.
        phase: in rad, on the left side.
        antiphase: whether the right side is half a period behind.
        one_sided: whether one side alone moves, drawn at random.
    """

    offset: Range = (0.0, 0.0)
    amplitude: Range = (0.0, 0.0)
    phase: float = 0.0
    antiphase: bool = False
    one_sided: bool = False


@dataclass(frozen=True)
class Style:
    """A style of movement.

    Attributes:
        waves: of actuators by name, in which ``*`` is the side, L and R.
        frequency: range in Hz.
        bouts: range of the periods in s with which the movement comes and goes; ``None`` where it
            goes on.
    """

    waves: Mapping[str, Wave]
    frequency: Range = (0.2, 0.6)
    bouts: Range | None = None


def _gait(turn: Range, size: float) -> dict[str, Wave]:
    """Steps of diagonal pairs of legs, of a size; the trunk bends to a side by ``turn``."""

    def around(amplitude: float) -> Range:
        return 0.85 * size * amplitude, 1.1 * size * amplitude

    return {
        "hip_*_extend": Wave((-0.2, -0.1), around(0.21), antiphase=True),
        "knee_*": Wave((0.0, 0.0), around(0.80), 5.61, antiphase=True),
        "ankle_*": Wave((0.0, 0.0), around(0.89), 5.18, antiphase=True),
        "shoulder_*": Wave((0.1, 0.2), around(0.87), 2.99, antiphase=True),
        "elbow_*": Wave((0.0, 0.0), around(0.30), 6.01, antiphase=True),
        "lumbar_bend": Wave(turn, around(0.34)),
    }


STYLES: Mapping[str, Style] = {
    "Still": Style({}),
    "Sway": Style(
        {
            "lumbar_bend": Wave((-0.1, 0.1), (0.4, 0.8)),
            "lumbar_twist": Wave((-0.1, 0.1), (0.2, 0.5), 1.0),
            "hip_*_abduct": Wave((-0.1, 0.1), (0.1, 0.4), 0.5, antiphase=True),
            "caudal_bend": Wave((-0.3, 0.3), (0.3, 0.8), 2.0),
        },
        frequency=(0.3, 0.8),
    ),
    "HeadScan": Style(
        {
            "cervical_bend": Wave((-0.2, 0.2), (0.5, 0.9)),
            "cervical_extend": Wave((-0.6, -0.1), (0.1, 0.3), 1.5),
            "cervical_twist": Wave((-0.2, 0.2), (0.2, 0.5), 0.8),
            "atlas": Wave((-0.3, 0.3), (0.2, 0.5), 2.0),
        },
        frequency=(0.5, 1.5),
    ),
    "Walk": Style(_gait((-0.1, 0.1), 0.8), frequency=(3.2, 4.2)),
    "Turn": Style(_gait((0.7, 0.95), 0.8), frequency=(2.8, 3.8)),
    "Rear": Style(
        {
            "lumbar_extend": Wave((0.9, 1.0)),
            "cervical_extend": Wave((0.4, 0.8), (0.0, 0.2)),
            "hip_*_extend": Wave((-0.8, -0.65)),
            "knee_*": Wave((0.3, 0.5)),
            "ankle_*": Wave((0.55, 0.75)),
            "shoulder_*": Wave((0.7, 1.0), (0.0, 0.2)),
            "elbow_*": Wave((0.5, 0.8), (0.0, 0.2)),
            "caudal_extend": Wave((-0.3, 0.0)),
        },
        bouts=(2.0, 4.0),
    ),
    "Groom": Style(
        {
            "lumbar_extend": Wave((-0.6, -0.3)),
            "cervical_extend": Wave((0.3, 0.6), (0.05, 0.15)),
            "cervical_bend": Wave((-0.3, 0.3)),
            "shoulder_*": Wave((-0.7, -0.4), (0.3, 0.5), one_sided=True),
            "elbow_*": Wave((-0.4, 0.0), (0.4, 0.7), 0.7, one_sided=True),
            "wrist_*": Wave((0.0, 0.0), (0.5, 0.9), 1.4, one_sided=True),
        },
        frequency=(3.0, 6.0),
    ),
}
"""Behaviour, as labels have it -> its style."""


@dataclass(frozen=True, eq=False)
class Control:
    """Targets of actuators as a function of time.

    Attributes:
        offset, amplitude, phase: (actuators,) each.
        frequency: in Hz.
        period: of bouts in s; 0 for none.
        drift: amplitudes, frequencies in Hz and phases of the slow random movement,
            (3, waves, actuators).
    """

    offset: Array
    amplitude: Array
    phase: Array
    frequency: float
    period: float
    drift: Array

    def at(self, time: float) -> Array:
        """Return the controls (actuators,) in [-1, 1] at a time in s."""
        onset = min(1.0, time / ONSET_SECONDS)
        bout = 0.5 - 0.5 * np.cos(2 * np.pi * time / self.period) if self.period else 1.0
        wave = self.amplitude * np.sin(2 * np.pi * self.frequency * time + self.phase)
        amplitude, frequency, phase = self.drift
        drift = (amplitude * np.sin(2 * np.pi * frequency * time + phase)).sum(axis=0)
        controls: Array = onset * (bout * (self.offset + wave) + drift)
        return np.clip(controls, -1.0, 1.0)


def draw_control(style: Style, actuators: Sequence[str], generator: np.random.Generator) -> Control:
    """Draw the parameters of a style.

    Args:
        style: one of ``STYLES``.
        actuators: names of the model's, in its order.
        generator: of the draws.

    Raises:
        UsageError: the model has no actuator of a name.
    """
    size = len(actuators)
    offset, amplitude, phase = np.zeros(size), np.zeros(size), np.zeros(size)
    frequency = generator.uniform(*style.frequency)
    period = generator.uniform(*style.bouts) if style.bouts else 0.0
    start = generator.uniform(0.0, 2 * np.pi)
    mirror, side = generator.choice((-1.0, 1.0)), generator.choice(("L", "R"))
    for name, wave in style.waves.items():
        middle, swing = generator.uniform(*wave.offset), generator.uniform(*wave.amplitude)
        if name.endswith(("_bend", "_twist")):  # the rat is symmetric
            middle *= mirror
        sides = ("L", "R") if "*" in name else ("",)
        for each in sides:
            number = _number(name.replace("*", each), actuators)
            if wave.one_sided and each != side:
                continue
            offset[number], amplitude[number] = middle, swing
            phase[number] = start + wave.phase + (np.pi if wave.antiphase and each == "R" else 0)
    shape = _DRIFT_WAVES, size
    drift = np.stack(
        (
            generator.normal(0.0, _DRIFT_DEVIATION, shape),
            generator.uniform(*_DRIFT_FREQUENCIES, shape),
            generator.uniform(0.0, 2 * np.pi, shape),
        )
    )
    return Control(offset, amplitude, phase, frequency, period, drift)


def _number(name: str, actuators: Sequence[str]) -> int:
    if name not in actuators:
        raise UsageError(f"model: no actuator {name!r}")
    return actuators.index(name)
