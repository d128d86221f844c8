"""Sensors of DEP: lengths and forces of actuators, scaled by the extrema seen so far."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Ids = NDArray[np.intp]

EXTREMA = {
    "length_min": np.fmin,
    "length_max": np.fmax,
    "force_min": np.fmin,
    "force_max": np.fmax,
}
"""Name of an extremum -> what two of it become."""

_MARGIN = 0.1
"""Added to a range, so that what hardly moves is not scaled up to full range."""


class SensorScaling:
    """Scale the state of actuators by its running extrema, each simulation by its own:

        x = 2·(s(l) − 1/2) + force_scale·s(f),   s(z) = (z − z_min)/(z_max − z_min + 0.1)

    with lengths l in the model's unit (m for tendons and muscles, rad for joints) and forces f in
    N or N m (Schumacher et al. 2023, DEP-RL). What is not finite is no extremum.

    Args:
        num_envs: number of simulations.
        num_actuators: of each.
        force_scale: weight of the forces.
        extrema: name -> (num_actuators,), of what was seen before; empty for nothing. Where nothing
            was seen, the first values are both extrema.
    """

    def __init__(
        self,
        num_envs: int,
        num_actuators: int,
        *,
        force_scale: float = 0.0,
        extrema: Mapping[str, F64] | None = None,
    ) -> None:
        self._force_scale = force_scale
        self._extrema: dict[str, F64] = {}
        for name in EXTREMA:
            known = (extrema or {}).get(name)
            start = np.full(num_actuators, np.nan) if known is None else known
            self._extrema[name] = np.tile(np.asarray(start, np.float64), (num_envs, 1))

    def __call__(self, length: F64, force: F64, ids: Ids | None = None) -> F64:
        """Update the extrema, and return the sensors.

        Args:
            length, force: (num_envs, num_actuators).
            ids: simulations whose values count; ``None`` for all.

        Returns:
            (num_envs, num_actuators); rows that are not in ``ids`` have no meaning.
        """
        rows = slice(None) if ids is None else ids
        for name, reduce in EXTREMA.items():
            values = (length if name.startswith("length") else force)[rows]
            finite = np.where(np.isfinite(values), values, np.nan)
            self._extrema[name][rows] = reduce(self._extrema[name][rows], finite)
        sensors = 2 * (self._scaled("length", length) - 0.5)
        if self._force_scale:
            sensors += self._force_scale * self._scaled("force", force)
        return sensors

    def extrema(self) -> dict[str, F64]:
        """The extrema over all simulations, (num_actuators,) by name; without those of actuators
        that had no finite value."""
        merged = {name: EXTREMA[name].reduce(array) for name, array in self._extrema.items()}
        return {name: array for name, array in merged.items() if np.isfinite(array).all()}

    def _scaled(self, name: str, values: F64) -> F64:
        low, high = self._extrema[f"{name}_min"], self._extrema[f"{name}_max"]
        return (values - low) / (high - low + _MARGIN)
