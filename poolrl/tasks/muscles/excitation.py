"""How an action becomes the excitation of muscles: the map, actuator noise, and fatigue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolrl.errors import UsageError

MAPS = ("direct", "clip", "sigmoid")
"""direct: the action, in [0, 1], is the excitation. clip: so it is, of actions in [-1, 1], where
negative ones mean 0. sigmoid: MyoSuite's 1 / (1 + exp(-5 (a - 0.5))) of actions in [-1, 1]."""

REST = 0.01
"""Largest excitation of a resting muscle, from which fatigue recovers faster. MyoSuite's, since a
sigmoid is never 0."""


FATIGUE_RATES = (0.0097, 0.00091, 15.0)
"""F and R of a general joint in 1/s (Frey-Law, Looft and Heitsman 2012), and the factor of the
recovery at rest (Looft et al. 2018)."""


def lowest_action(excitation: str) -> float:
    """Return the lower bound of actions of a map; the upper one is 1.

    Raises:
        UsageError: there is no such map.
    """
    if excitation not in MAPS:
        known = ", ".join(MAPS)
        raise UsageError(f"task.kwargs.excitation: unknown map {excitation!r}; known: {known}")
    return 0.0 if excitation == "direct" else -1.0


def excitations(action: NDArray[Any], excitation: str) -> NDArray[np.float64]:
    """Return the excitations of actions, a new array in [0, 1] of the same shape.

    Args:
        action: any shape.
        excitation: one of ``MAPS``.
    """
    action = np.asarray(action, np.float64)
    if excitation == "sigmoid":
        result: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-5.0 * (action - 0.5)))
        return result
    clipped: NDArray[np.float64] = np.minimum(np.maximum(action, 0.0), 1.0)
    return clipped


def add_noise(
    excitation: NDArray[np.float64],
    noise: tuple[float, float],
    generators: Sequence[np.random.Generator],
) -> NDArray[np.float64]:
    """Return excitations u with noise: clip(u + s·u·ξ₁ + c·ξ₂, 0, 1), ξ standard normal.

    The first part grows with the signal, as that of human motor commands does (Harris and Wolpert,
    *Signal-dependent noise determines motor planning*, Nature 394, 1998).

    Args:
        excitation: (n, muscles).
        noise: standard deviations (s, c).
        generators: n of them; row i is drawn from the i-th.
    """
    size = excitation.shape[1]
    drawn = np.array([generator.standard_normal((2, size)) for generator in generators])
    signal, constant = noise
    noisy = excitation + signal * excitation * drawn[:, 0] + constant * drawn[:, 1]
    return np.asarray(np.clip(noisy, 0.0, 1.0))


class Fatigue:
    """The three-compartment controller with rest recovery (3CC-r) of the muscles of a batch.

    Motor units of a muscle are active (M_A), resting (M_R) or fatigued (M_F): shares with a sum of
    1. With the excitation as target load TL,

        dM_A/dt = C - F·M_A,  dM_R/dt = -C + r·R·M_F,  dM_F/dt = F·M_A - r·R·M_F,

    where C moves M_A towards TL as fast as the muscle activates and deactivates, as long as units
    rest, and r is 1 except at rest (Looft, Herkert and Frey-Law, *Modification of a
    three-compartment muscle fatigue model to predict peak torque decline during intermittent
    tasks*, J. Biomech. 77, 2018). The muscle's excitation is M_A. The approach to TL has the time
    constants of MuJoCo's muscles and is integrated exactly over a control step; the rest is a step
    of Euler's, as in MyoSuite 3.

    Args:
        num_simulations: number of simulations.
        time_constants: (muscles, 2): of activation and deactivation, in s.
        dt: control step in s.
        rates: F and R in 1/s, and the factor r of the recovery at rest.

    Attributes:
        active, resting, fatigued: the shares, (num_simulations, muscles) each.
    """

    def __init__(
        self,
        num_simulations: int,
        time_constants: NDArray[np.float64],
        dt: float,
        rates: tuple[float, float, float],
    ) -> None:
        self._activation, self._deactivation = time_constants.T
        self._dt = dt
        self._fatigue, self._recovery, self._rest_factor = rates
        shape = (num_simulations, len(time_constants))
        self.active, self.fatigued = np.zeros(shape), np.zeros(shape)
        self.resting = np.ones(shape)

    def reset(self, ids: NDArray[np.intp], fatigued: float) -> None:
        """Let muscles rest, a share of which is fatigued.

        Args:
            ids: (n,): the simulations.
            fatigued: share of all their muscles.
        """
        self.active[ids], self.fatigued[ids], self.resting[ids] = 0.0, fatigued, 1.0 - fatigued

    def step(self, target: NDArray[np.float64], ids: NDArray[np.intp]) -> NDArray[np.float64]:
        """Advance one control step and return the excitations that result, (n, muscles), new.

        Args:
            target: (n, muscles): the excitations that are asked for.
            ids: (n,): the simulations.
        """
        active, resting, fatigued = self.active[ids], self.resting[ids], self.fatigued[ids]
        dt, tired = self._dt, self._fatigue * active
        recovered = np.where(target <= REST, self._rest_factor, 1.0) * self._recovery * fatigued
        speed = 0.5 + 1.5 * active
        rise = -np.expm1(-dt / (self._activation * speed)) / dt
        fall = -np.expm1(-dt * speed / self._deactivation) / dt
        missing = target - active
        change = np.where(missing > 0, rise * np.minimum(missing, resting), fall * missing)
        # Every share stays within 0 and 1.
        lowest = np.maximum(-active / dt + tired, (resting - 1.0) / dt + recovered)
        highest = np.minimum((1.0 - active) / dt + tired, resting / dt + recovered)
        change = np.clip(change, lowest, highest)
        result: NDArray[np.float64] = active + (change - tired) * dt
        self.active[ids] = result
        self.resting[ids] = resting + (recovered - change) * dt
        self.fatigued[ids] = fatigued + (tired - recovered) * dt
        return result
