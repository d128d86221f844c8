"""Differential extrinsic plasticity (DEP): a controller that learns to amplify a body's own motion.

The rule is that of Der & Martius (2015, "Novel plasticity rule can explain the development of
sensorimotor intelligence", PNAS 112), in the form of DEP-RL (Schumacher et al. 2023,
"DEP-RL: Embodied exploration for reinforcement learning in overactuated and musculoskeletal
systems", ICLR). It draws no random numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poolrl.config.exploration import Normalization, QNorm, check_window

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Ids = NDArray[np.intp]

BIAS_STEP, BIAS_DECAY = 0.05, 0.001

_LARGEST_FACTOR = 1e30
"""Of the normalisation: products with it stay within float32."""


class DEP:
    """One controller for each of ``num_envs`` simulations, with one sensor an actuator.

    Each step, for each simulation, with sensors x (lengths of muscles, scaled to about ±1):

    1. x̄ ← x̄ + (x − x̄)/s4avg.
    2. C = −Σ Δx̄(t′)·Δx̄(t′ − d)ᵀ over the τ − 2 steps t′ before the present one, where Δx̄ is the
       change in one step: how motion follows from the motion d steps before.
    3. C̃_jk = C_jk·κ/(‖C_k‖ + ε): "independent" scales column k by the norm of row k, "global" by
       the norm of the simulation's matrix, "none" does not.
    4. h ← h − clip(bias_rate·y, ±0.05) − 0.001·h, with the last actions y.
    5. q = C̃·x̄, divided by its norm; y = tanh(κ·q + h).

    The sum of 2 is computed again each step, as one batched product over the window, so that C is
    exactly 0 after rest of τ + d steps; "independent" would blow up rounding errors of a running
    sum to full actions. A row of C that is exactly 0 has the factor 0 in 3, where κ/ε would let an
    actuator at rest outweigh all others. Rows do not depend on one another, nor on their number.

    Args:
        num_envs: number of simulations.
        num_actuators: number of actuators, and of sensors.
        kappa: κ, gain.
        tau: τ, steps of the window.
        time_dist: d, delay in steps of the motion that another follows from.
        bias_rate: of h; negative for no bias.
        s4avg: steps of smoothing; at most 1 for none.
        normalization: of the matrix: ``independent``, ``global`` (by simulation) or ``none``.
        q_norm_selector: of q: ``l2``, ``max`` (largest absolute value) or ``none``.
        regularization: −log₁₀ ε.
        buffer_size: steps that the published controller keeps; τ + d must fit.
        with_learning: whether the matrix is learned; see the attribute.

    Attributes:
        with_learning: may be changed at any time; while it is false, matrix and bias stay.

    Raises:
        ValueError: a parameter is out of range, or τ + d is more than ``buffer_size``.
    """

    def __init__(
        self,
        num_envs: int,
        num_actuators: int,
        *,
        kappa: float = 100.0,
        tau: int = 20,
        time_dist: int = 5,
        bias_rate: float = 2e-5,
        s4avg: float = 2.0,
        normalization: Normalization = "independent",
        q_norm_selector: QNorm = "l2",
        regularization: float = 32.0,
        buffer_size: int = 200,
        with_learning: bool = True,
    ) -> None:
        if num_envs < 1 or num_actuators < 1:
            raise ValueError(f"{num_envs} simulations of {num_actuators} actuators: at least 1")
        check_window(tau, time_dist, buffer_size)
        if normalization not in ("independent", "global", "none"):
            raise ValueError(f"normalization = {normalization!r}: independent, global or none")
        if q_norm_selector not in ("l2", "max", "none"):
            raise ValueError(f"q_norm_selector = {q_norm_selector!r}: l2, max or none")
        self.num_envs, self.num_actuators = num_envs, num_actuators
        self.with_learning = with_learning
        self._kappa, self._bias_rate, self._s4avg = kappa, bias_rate, s4avg
        self._terms, self._time_dist = tau - 2, time_dist
        self._normalization, self._q_norm = normalization, q_norm_selector
        self._epsilon = 10.0**-regularization
        # Changes of x̄, the newest at _newest and those before it behind it, so that a window is a
        # slice; at the beginning of the array they move to its end. The published sum begins with
        # the newest too, and its rounding errors, times κ, reach the actions.
        self._kept = self._terms + time_dist + 1
        self._changes = np.zeros((num_envs, 2 * self._kept, num_actuators), np.float32)
        self._newest = self._kept
        self._smoothed = np.zeros((num_envs, num_actuators), np.float32)
        self._matrix = np.zeros((num_envs, num_actuators, num_actuators), np.float32)
        self._factor = np.zeros((num_envs, num_actuators), np.float32)
        self._bias = np.zeros((num_envs, num_actuators), np.float32)
        self._action = np.zeros((num_envs, num_actuators), np.float32)
        self._age = np.zeros(num_envs, np.int8)  # steps since the last reset, up to 2

    def reset(self, ids: Ids | None = None) -> None:
        """Forget matrix, window and bias.

        Args:
            ids: simulations; ``None`` for all.
        """
        rows = slice(None) if ids is None else ids
        for array in (
            self._changes,
            self._smoothed,
            self._matrix,
            self._factor,
            self._bias,
            self._action,
            self._age,
        ):
            array[rows] = 0

    def step(self, sensors: NDArray[np.floating], ids: Ids | None = None) -> F32:
        """Learn from the present sensors, and choose actions.

        Args:
            sensors: (num_envs, num_actuators), scaled to about ±1.
            ids: simulations to step; ``None`` for all. The others wait, and see no sensors.

        Returns:
            y, (num_envs, num_actuators), in [−1, 1]; 0 in simulations that wait.

        Raises:
            ValueError: the sensors are of another shape.
        """
        shape = (self.num_envs, self.num_actuators)
        if sensors.shape != shape:
            raise ValueError(f"expected sensors of shape {shape}, got {sensors.shape}")
        rows = slice(None) if ids is None else ids
        self._observe(sensors[rows].astype(np.float32), rows)
        if ids is not None:
            self._hold(np.delete(np.arange(self.num_envs), ids))
        if self.with_learning:
            self._learn(rows)
        actions = np.zeros(shape, np.float32)
        actions[rows] = self._action[rows] = self._respond(rows)
        return actions

    @property
    def matrix(self) -> F32:
        """C, before its normalisation, a copy: (num_envs, num_actuators, num_actuators)."""
        return self._matrix.copy()

    def _observe(self, x: F32, rows: Ids | slice) -> None:
        """Smooth the sensors, and store their change."""
        before = self._smoothed[rows]
        smoothed = x
        if self._s4avg > 1:
            smoothed = before + (x - before) / np.float32(self._s4avg)
            smoothed[self._age[rows] == 0] = x[self._age[rows] == 0]
        change = smoothed - before
        change[self._age[rows] < 2] = 0  # the published sum never reaches the first change either
        if self._newest == 0:
            self._changes[:, -self._kept :] = self._changes[:, : self._kept]
            self._newest = self._kept
        self._newest -= 1
        self._changes[rows, self._newest] = change
        self._smoothed[rows] = smoothed
        self._age[rows] = np.minimum(self._age[rows] + 1, 2)

    def _hold(self, waiting: Ids) -> None:
        """Move the changes of simulations that wait to where those of the others are now."""
        now = self._newest
        held = self._changes[waiting, now + 1 : now + 1 + self._kept]
        self._changes[waiting, now : now + self._kept] = held

    def _learn(self, rows: Ids | slice) -> None:
        """Steps 2 to 4."""
        start, end = self._newest + 1, self._newest + 1 + self._terms
        later = self._changes[rows, start:end]
        earlier = self._changes[rows, start + self._time_dist : end + self._time_dist]
        matrix = -(later.transpose(0, 2, 1) @ earlier)
        self._matrix[rows] = matrix
        if self._normalization == "none":
            self._factor[rows] = 1
        else:
            square = _square_sum(matrix)
            if self._normalization == "global":
                square = np.broadcast_to(square.sum(axis=1, keepdims=True), square.shape)
            factor = self._kappa / (np.sqrt(square) + self._epsilon)
            self._factor[rows] = np.where(square > 0, np.minimum(factor, _LARGEST_FACTOR), 0)
        if self._bias_rate < 0:
            self._bias[rows] = 0
            return
        step = np.clip(self._action[rows] * np.float32(self._bias_rate), -BIAS_STEP, BIAS_STEP)
        self._bias[rows] -= step + self._bias[rows] * np.float32(BIAS_DECAY)

    def _respond(self, rows: Ids | slice) -> F32:
        """Step 5."""
        scaled = self._factor[rows] * self._smoothed[rows]
        q = (self._matrix[rows] @ scaled[:, :, None])[:, :, 0].astype(np.float64)
        if self._q_norm == "l2":
            q /= np.sqrt(_square_sum(q))[:, None] + self._epsilon
        elif self._q_norm == "max":
            q /= np.abs(q).max(axis=1, keepdims=True) + self._epsilon
        response: F32 = np.tanh(self._kappa * q + self._bias[rows]).astype(np.float32)
        return response


def _square_sum(values: NDArray[np.floating]) -> F64:
    """Sum of squares over the last axis, in float64, where those of small numbers are not 0."""
    wide = values.astype(np.float64, copy=False)
    result: F64 = np.einsum("...k,...k->...", wide, wide)
    return result
