"""Gymnasium's InvertedPendulum-v5 and InvertedDoublePendulum-v5: poles on a cart."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolrl.config.types import Aggregate
from poolrl.tasks.base import Info
from poolrl.tasks.mujoco.base import MujocoTask, Part


class InvertedPendulum(MujocoTask):
    """The task of Barto, Sutton and Anderson (1983) as Gymnasium defines it in
    ``InvertedPendulum-v5``.

    The observation is (qpos, qvel), the reward 1 while the pole is upright; the episode
    terminates when it leans by more than 0.2 rad. The keyword arguments are Gymnasium's.
    """

    def __init__(
        self,
        num_simulations: int,
        *,
        max_episode_steps: int = 1000,
        xml_file: str = "inverted_pendulum.xml",
        frame_skip: int = 2,
        reset_noise_scale: float = 0.01,
    ) -> None:
        self._upright = np.ones(num_simulations, np.bool_)
        super().__init__(
            num_simulations,
            max_episode_steps=max_episode_steps,
            xml_file=xml_file,
            frame_skip=frame_skip,
            reset_noise_scale=reset_noise_scale,
        )

    def reward(self, action: NDArray[Any]) -> NDArray[np.float64]:
        finite = np.logical_and.reduce(np.isfinite(self.state), axis=1)
        self._upright = finite & (np.abs(self.qpos[:, 1]) <= 0.2)
        return self._upright.astype(np.float64)

    def terminated(self) -> NDArray[np.bool_]:
        return ~self._upright

    def info(self) -> Info:
        return self.reward_terms()

    def reward_terms(self) -> Info:
        return {"reward_survive": self._upright.astype(np.int64)}


class InvertedDoublePendulum(MujocoTask):
    """Two poles, one on the other, as Gymnasium defines them in ``InvertedDoublePendulum-v5``.

    The observation is (position of the cart, sines and cosines of the angles, qvel and the
    constraint force on the cart, both clipped to ±10), the reward a bonus while upright less
    penalties for the tip's distance from its target and for the angular velocities; the episode
    terminates when the tip is no higher than 1 m. The keyword arguments are Gymnasium's.
    """

    normal_velocities = True
    info_aggregates: Mapping[str, Aggregate] = MappingProxyType(
        {"distance_penalty": "sum", "velocity_penalty": "sum"}
    )

    def __init__(
        self,
        num_simulations: int,
        *,
        max_episode_steps: int = 1000,
        xml_file: str = "inverted_double_pendulum.xml",
        frame_skip: int = 5,
        healthy_reward: float = 10.0,
        reset_noise_scale: float = 0.1,
    ) -> None:
        self._healthy_reward = healthy_reward
        self._fallen = np.zeros(num_simulations, np.bool_)
        self._bonus: NDArray[np.float64] = np.zeros(num_simulations)
        self._distance_penalty = self._velocity_penalty = np.zeros(num_simulations)
        super().__init__(
            num_simulations,
            max_episode_steps=max_episode_steps,
            xml_file=xml_file,
            frame_skip=frame_skip,
            reset_noise_scale=reset_noise_scale,
        )
        self._tip = self.batch.bind("site_xpos")[:, 0]

    def observed(self) -> list[Part]:
        rows, angles = self.num_simulations, self.model.nq - 1
        self._sines, self._cosines = np.zeros((2, rows, angles))
        self._clipped = np.zeros((rows, self.model.nv + 1))
        self._constraint_force = self.batch.bind("qfrc_constraint")[:, :1]
        return [
            (self.qpos[:, :1], False),
            (self._sines, False),
            (self._cosines, False),
            (self._clipped[:, :-1], True),
            (self._clipped[:, -1:], False),
        ]

    def refresh(self) -> None:
        angles = np.ascontiguousarray(self.qpos[:, 1:])
        np.sin(angles, out=self._sines)
        np.cos(angles, out=self._cosines)
        np.copyto(self._clipped[:, :-1], self.qvel)
        np.copyto(self._clipped[:, -1:], self._constraint_force)
        np.minimum(self._clipped, 10.0, out=self._clipped)
        np.maximum(self._clipped, -10.0, out=self._clipped)

    def reward(self, action: NDArray[Any]) -> NDArray[np.float64]:
        tip = self._tip
        height = tip[:, 2]
        self._fallen = height <= 1
        self._bonus = np.multiply(self._healthy_reward, ~self._fallen)
        self._distance_penalty = 0.01 * square(tip[:, 0]) + square(height - 2)
        velocity = square(self.qvel[:, 1:])
        self._velocity_penalty = 1e-3 * velocity[:, 0] + 5e-3 * velocity[:, 1]
        return self._bonus - self._distance_penalty - self._velocity_penalty

    def terminated(self) -> NDArray[np.bool_]:
        return self._fallen

    def info(self) -> Info:
        return self.reward_terms()

    def reward_terms(self) -> Info:
        return {
            "reward_survive": self._bonus,
            "distance_penalty": -self._distance_penalty,
            "velocity_penalty": -self._velocity_penalty,
        }


def square(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Square each value with the C library's ``pow``, as Gymnasium does.

    Gymnasium squares NumPy's scalars, which calls ``pow``; so does ``float_power``. NumPy's
    ``square`` multiplies, and differs in the last bit in one of a thousand cases.
    """
    return np.float_power(values, 2)
