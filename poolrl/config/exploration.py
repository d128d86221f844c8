"""Parameters of exploration that the configuration and the library have in common."""

from __future__ import annotations

from types import MappingProxyType
from typing import Literal

Normalization = Literal["independent", "global", "none"]
QNorm = Literal["l2", "max", "none"]

SMALLEST_TAU = 3
"""The window of DEP leaves out its newest and its oldest step: a shorter one is empty."""

PRESETS: MappingProxyType[str, MappingProxyType[str, float]] = MappingProxyType(
    {
        name: MappingProxyType(values)
        for name, values in {
            "default": {},
            "ostrich": {
                "kappa": 20.0,
                "tau": 8,
                "buffer_size": 90,
                "bias_rate": 0.03,
                "s4avg": 1.0,
                "force_scale": 3e-4,
            },
            "humanreacher": {
                "kappa": 1000.0,
                "tau": 80,
                "buffer_size": 600,
                "s4avg": 6.0,
                "time_dist": 60,
                "force_scale": 0.04,
            },
            "myosuite": {"kappa": 1169.7, "tau": 40, "bias_rate": 0.002},
            "scone": {"kappa": 1000.0, "tau": 40, "bias_rate": 0.002},
        }.items()
    }
)
"""Parameters of the published experiments (Schumacher et al. 2023, DEP-RL, ICLR), by the body that
they were used for; what is not named is as in ``default``."""


def check_window(tau: int, time_dist: int, buffer_size: int) -> None:
    """Check that DEP's window and its delay fit into its buffer.

    Raises:
        ValueError: names the parameter.
    """
    if tau < SMALLEST_TAU:
        raise ValueError(f"tau = {tau}: the smallest window is {SMALLEST_TAU}")
    if time_dist < 0:
        raise ValueError(f"time_dist = {time_dist} is negative")
    if tau + time_dist > buffer_size:
        raise ValueError(
            f"tau + time_dist = {tau + time_dist} steps do not fit into buffer_size = {buffer_size}"
        )
