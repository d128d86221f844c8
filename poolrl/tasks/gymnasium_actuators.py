"""Actuators of environments of other packages that simulate with MuJoCo."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np

from poolrl.tasks.base import ActuatorState

_PLACES = ("", "sim", "physics", "_env.physics")
"""Attributes of an environment whose ``model`` and ``data`` are MuJoCo's: of Gymnasium's and
MyoSuite's, of older versions of MyoSuite, of dm_control's, and of those by way of shimmy."""


class EnvironmentActuators:
    """The state of the actuators of several environments, if they have models of MuJoCo's."""

    def __init__(self) -> None:
        self._probes: dict[int, Any] = {}

    def state(self, environments: Sequence[gymnasium.Env[Any, Any]]) -> ActuatorState | None:
        """Return the state of the actuators of all environments, (environments, actuators) each;
        ``None`` if one of them has no model of MuJoCo's or other actuators than the first."""
        rows = []
        for i, environment in enumerate(environments):
            found = simulation(environment.unwrapped)
            if found is None:
                return None
            model, data = found
            probe = self._probes.get(i)
            if probe is None or probe.model is not model:  # dm_control may compile one an episode
                from poolrl.tasks.mujoco.actuator_probe import DataProbe

                probe = self._probes[i] = DataProbe(model)
            rows.append(probe.state(data))
        if len({len(row.length) for row in rows}) != 1:
            return None
        return ActuatorState(*(np.array(values) for values in zip(*rows, strict=True)))


def simulation(environment: Any) -> tuple[Any, Any] | None:
    """Return the ``MjModel`` and ``MjData`` of an environment without wrappers; ``None`` if it has
    none."""
    mujoco = sys.modules.get("mujoco")
    if mujoco is None:
        return None
    for place in _PLACES:
        holder = environment
        for name in filter(None, place.split(".")):
            holder = getattr(holder, name, None)
        model, data = getattr(holder, "model", None), getattr(holder, "data", None)
        # dm_control wraps them, and so did MyoSuite.
        model, data = getattr(model, "ptr", model), getattr(data, "ptr", data)
        if isinstance(model, mujoco.MjModel) and isinstance(data, mujoco.MjData):
            return model, data
    return None
