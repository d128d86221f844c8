"""DEP as a library: ``poolrl.dep.DEP(16, 80, **poolrl.dep.PRESETS["myosuite"]).step(sensors)``."""

from __future__ import annotations

from inspect import signature
from typing import Any

from poolrl.config import exploration
from poolrl.exploration.dep import DEP
from poolrl.exploration.sensors import SensorScaling

__all__ = ["DEP", "PRESETS", "SensorScaling"]

PRESETS: dict[str, dict[str, Any]] = {
    name: {key: value for key, value in values.items() if key in signature(DEP).parameters}
    for name, values in exploration.PRESETS.items()
}
"""Keyword arguments of ``DEP`` in the published experiments, by body."""
