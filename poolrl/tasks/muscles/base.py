"""Base class of tasks with muscles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from poolrl.tasks.base import ACTIVITY, ActuatorState, Ids, Info
from poolrl.tasks.mujoco.actuator_probe import activities, last_activations
from poolrl.tasks.mujoco.base import MujocoTask, Part, sum_of_squares
from poolrl.tasks.mujoco.model import require_argument
from poolrl.tasks.muscles.excitation import (
    FATIGUE_RATES,
    Fatigue,
    add_noise,
    excitations,
    lowest_action,
)
from poolrl.tasks.muscles.models import require_muscles, with_scaled_forces
from poolrl.tasks.muscles.postures import Postures


class MuscleTask(MujocoTask):
    """A body all of whose actuators are muscles; a subclass defines states, rewards and ends.

    The observation is (qpos, qvel, the muscles' lengths in m, velocities in m/s, forces in kN and
    activities, and, with ``fatigue``, their fatigued shares). All of it is that of the state after
    the step, and not one substep behind. Of its parts, the activities have a name (``activity``).
    ``effort``, the mean of the squared activities, is in ``info``.

    Args:
        num_simulations: number of episodes that are simulated side by side.
        model: all of whose actuators are muscles; it is not modified.
        frame_skip: substeps per control step.
        max_episode_steps: time limit in control steps.
        excitation: how an action becomes an excitation, one of ``MAPS`` in
            ``poolrl.tasks.muscles.excitation``; the action space is [0, 1] for "direct", else
            [-1, 1].
        force_scale: factor of the muscles' peak active forces, as in sarcopenia (MyoSuite: 0.5).
        noise: standard deviations of actuator noise, in proportion to the excitation and constant.
        fatigue: whether muscles tire, as ``Fatigue`` describes it.
        fatigue_rates: F and R in 1/s, and the factor r of the recovery at rest.
        initial_fatigue: fatigued share of all muscles at the start of an episode.
        reset_noise_scale: largest deviation of the initial joint positions, in rad or m.

    Raises:
        UsageError: an argument is out of range, or an actuator is no muscle.
    """

    def __init__(
        self,
        num_simulations: int,
        *,
        model: mujoco.MjModel,
        frame_skip: int,
        max_episode_steps: int,
        excitation: str = "direct",
        force_scale: float = 1.0,
        noise: tuple[float, float] = (0.0, 0.0),
        fatigue: bool = False,
        fatigue_rates: tuple[float, float, float] = FATIGUE_RATES,
        initial_fatigue: float = 0.0,
        reset_noise_scale: float = 0.0,
    ) -> None:
        require_muscles(model)
        require_argument("excitation noise", "noise", min(noise) >= 0 and np.isfinite(noise).all())
        require_argument("a factor of at least 0", "force_scale", force_scale >= 0)
        require_argument("a share from 0 to 1", "initial_fatigue", 0 <= initial_fatigue <= 1)
        rates = np.array(fatigue_rates)
        require_argument(
            "rates of at least 0", "fatigue_rates", (rates >= 0).all() and rates.max() < np.inf
        )
        require_argument("at least 0", "reset_noise_scale", reset_noise_scale >= 0)
        lowest = lowest_action(excitation)
        self._map = excitation
        self._noise = noise
        self._initial_fatigue = initial_fatigue
        self._has_noise = max(noise) > 0
        self._generators: list[np.random.Generator | None] = [None] * num_simulations
        self._excitation = np.zeros((num_simulations, model.nu))
        self._all = np.arange(num_simulations)
        self.fatigue: Fatigue | None = None
        if fatigue:
            constants = model.actuator_dynprm[:, :2].copy()
            dt = model.opt.timestep * frame_skip
            self.fatigue = Fatigue(num_simulations, constants, dt, fatigue_rates)
        self.postures = Postures(model)
        super().__init__(
            num_simulations,
            model=model if force_scale == 1 else with_scaled_forces(model, force_scale),
            frame_skip=frame_skip,
            max_episode_steps=max_episode_steps,
            reset_noise_scale=reset_noise_scale,
            current=True,
        )
        self.action_space = Box(lowest, 1.0, (model.nu,), np.float32)

    def observed(self) -> list[Part]:
        self._length, self._velocity, self._force = (
            self.batch.bind(f"actuator_{name}") for name in ("length", "velocity", "force")
        )
        self._act, self._of_act = self.batch.bind("act"), last_activations(self.model)
        self._kilonewtons = np.zeros(self._force.shape)
        parts: list[Part] = [
            *super().observed(),
            (self._length, False),
            (self._velocity, True),
            (self._kilonewtons, False),
            (self._act, False),
        ]
        return parts if self.fatigue is None else [*parts, (self.fatigue.fatigued, False)]

    def refresh(self) -> None:
        np.divide(self._force, 1000.0, out=self._kilonewtons)

    def senses(self) -> dict[str, NDArray[np.bool_]]:
        activity = self.part_of_observation(self._act)
        return {} if activity is None else {ACTIVITY: activity}

    def actuator_state(self) -> ActuatorState:
        return ActuatorState(
            self._length.copy(),
            self._velocity.copy(),
            self._force.copy(),
            activities(self._act, self._of_act),
        )

    def effort(self) -> NDArray[np.float64]:
        """Return the mean of the squared activities, (num_simulations,)."""
        effort: NDArray[np.float64] = sum_of_squares(self._act) / self._act.shape[1]
        return effort

    def less_effort(self, reward: NDArray[np.float64], weight: float) -> NDArray[np.float64]:
        """Return rewards less ``weight`` times the effort, (num_simulations,)."""
        return reward - weight * self.effort() if weight else reward

    def apply(self, action: NDArray[Any]) -> None:
        self._excitation = excitations(action, self._map)

    def advance(self, ids: Ids | None) -> None:
        rows = self._all if ids is None else ids
        if self._has_noise:
            generators = [self._generators[i] for i in rows.tolist()]
            drawn = [each for each in generators if each is not None]
            self._excitation[rows] = add_noise(self._excitation[rows], self._noise, drawn)
        if self.fatigue is not None:
            self._excitation[rows] = self.fatigue.step(self._excitation[rows], rows)
        self.ctrl[...] = self._excitation
        super().advance(ids)

    def reset(self, ids: Ids, generators: Sequence[np.random.Generator]) -> None:
        for i, generator in zip(ids.tolist(), generators, strict=True):
            self._generators[i] = generator
        if self.fatigue is not None:
            self.fatigue.reset(ids, self._initial_fatigue)
        super().reset(ids, generators)

    def info(self) -> Info:
        return self.reward_terms()

    def reward_terms(self) -> Info:
        terms = {"effort": self.effort()}
        if self.fatigue is not None:
            terms["fatigue"] = np.add.reduce(self.fatigue.fatigued, axis=1) / self.model.nu
        return terms
