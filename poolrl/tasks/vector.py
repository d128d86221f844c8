"""Adapter from tasks to Gymnasium's vector environments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.utils.seeding import np_random
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from poolrl.tasks.base import Info, Task, call_optional
from poolrl.tasks.factory import make

Array = NDArray[Any]
Mask = NDArray[np.bool_]


def make_vec(
    task_id: str,
    num_envs: int,
    *,
    max_episode_steps: int | None = None,
    autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
    **kwargs: Any,
) -> TaskVectorEnv:
    """Create a vector environment of a task.

    Args:
        task_id: any id that ``poolrl.tasks.make`` accepts.
        num_envs: number of environments.
        max_episode_steps: time limit in control steps; ``None`` for the task's own.
        autoreset_mode: when an environment is reset after its episode has ended.
        kwargs: the task's own arguments.

    Raises:
        UsageError: the id, a keyword, or the type of a value is wrong.
    """
    task = make(task_id, num_envs, max_episode_steps=max_episode_steps or 0, kwargs=kwargs)
    return TaskVectorEnv(task, autoreset_mode)


class TaskVectorEnv(VectorEnv[Array, Array, Array]):
    """A task's simulations as environments with the seeding, resets and infos of Gymnasium's
    ``SyncVectorEnv``.

    Attributes:
        task: the simulations.
        num_envs: number of environments.
        metadata: ``autoreset_mode``.
        single_observation_space: of one environment.
        single_action_space: of one environment.
        observation_space: of all of them.
        action_space: of all of them.

    Args:
        task: the simulations, which must not be stepped elsewhere.
        autoreset_mode: as for ``make_vec``.
    """

    def __init__(
        self, task: Task, autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP
    ) -> None:
        self.task = task
        self.num_envs = task.num_simulations
        self._mode = AutoresetMode(autoreset_mode)
        self.metadata = {"autoreset_mode": self._mode}
        self.single_observation_space = task.observation_space
        self.single_action_space = task.action_space
        self.observation_space = batch_space(task.observation_space, self.num_envs)
        self.action_space = batch_space(task.action_space, self.num_envs)
        self._generators: list[np.random.Generator | None] = [None] * self.num_envs
        self._started = np.zeros(self.num_envs, np.bool_)
        self._ended = np.zeros(self.num_envs, np.bool_)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Array, dict[str, Any]]:
        """Start new episodes.

        Args:
            seed: ``seed + i`` seeds the i-th environment; or a sequence with a seed for each.
                Without a seed, an environment's generator continues.
            options: ``reset_mask``, (num_envs,) of bool, selects the environments to reset; all of
                them without it.

        Returns:
            The observations of all environments, and the infos of those that were reset.

        Raises:
            ValueError: the number of seeds, or the mask, does not fit ``num_envs``.
            TypeError: the mask is no array of bool.
        """
        if seed is None or isinstance(seed, (int, np.integer)):
            seeds = [None if seed is None else int(seed) + i for i in range(self.num_envs)]
        else:
            seeds = list(seed)
        if len(seeds) != self.num_envs:
            raise ValueError(f"expected {self.num_envs} seeds, got {len(seeds)}")
        mask = self._reset_mask(options or {})
        for i in np.flatnonzero(mask):
            if seeds[i] is not None:
                self._generators[i] = np_random(seeds[i])[0]
        info = self._reset(mask)
        return self.task.observe(), merge_infos((info, mask))

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """Advance all environments by one control step, or reset them.

        Args:
            actions: (num_envs, action size); for a ``Discrete`` space (num_envs,).

        Returns:
            Observations, rewards, terminations, truncations and infos; all are new arrays.

        Raises:
            ResetNeeded: an environment has no running episode.
            ValueError: the actions have another shape.
        """
        actions = np.asarray(actions)
        if actions.shape != self.action_space.shape:
            raise ValueError(
                f"expected actions of shape {self.action_space.shape}, got {actions.shape}"
            )
        if not self._started.all():
            raise ResetNeeded("an environment is stepped before its first reset")
        waiting = self._ended
        if self._mode is AutoresetMode.DISABLED and waiting.any():
            raise ResetNeeded(f"environments {np.flatnonzero(waiting)} have ended: reset them")
        if self._mode is not AutoresetMode.NEXT_STEP:
            waiting = np.zeros_like(waiting)

        ids = np.flatnonzero(~waiting) if waiting.any() else None
        observation, reward, terminated, truncated = self.task.step(actions, ids)
        info = call_optional(self.task, "info")
        final: dict[str, Any] = {}
        self._ended = terminated | truncated
        resetting = waiting
        if self._mode is AutoresetMode.SAME_STEP:
            resetting = self._ended
            final = self._final(observation, info) if resetting.any() else {}
        infos: dict[str, Any]
        if resetting.any():
            reset_info = self._reset(resetting)
            observation[resetting] = self.task.observe()[resetting]
            infos = final | merge_infos((info, ~resetting), (reset_info, resetting))
        else:
            infos = merge_infos((info, ~resetting))
        if self._mode is AutoresetMode.NEXT_STEP:
            for array in (reward, terminated, truncated):
                array[waiting] = 0
        return observation, reward, terminated, truncated, infos

    def set_state(self, qpos: NDArray[np.float64], qvel: NDArray[np.float64]) -> None:
        """Set the states of all simulations within their episodes, as Gymnasium's
        ``MujocoEnv.set_state`` does.

        Args:
            qpos: (num_envs, nq).
            qvel: (num_envs, nv).

        Raises:
            TypeError: the task is no ``MujocoTask``.
            ValueError: an array has another shape.
        """
        from poolrl.tasks.mujoco import MujocoTask

        if not isinstance(self.task, MujocoTask):
            raise TypeError(f"{type(self.task).__name__} has no state of MuJoCo's")
        for name, given, own in (("qpos", qpos, self.task.qpos), ("qvel", qvel, self.task.qvel)):
            if np.shape(given) != own.shape:
                raise ValueError(f"{name}: expected the shape {own.shape}, got {np.shape(given)}")
        self.task.move(qpos, qvel)

    def close_extras(self, **kwargs: Any) -> None:
        """Close the task; called once, by ``close``."""
        call_optional(self.task, "close")

    def _reset_mask(self, options: dict[str, Any]) -> Mask:
        mask = options.get("reset_mask")
        if mask is None:
            return np.ones(self.num_envs, np.bool_)
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
            raise TypeError(f"options['reset_mask']: expected an array of bool, got {mask!r}")
        if mask.shape != (self.num_envs,) or not mask.any():
            raise ValueError(
                f"options['reset_mask']: expected {self.num_envs} values, not all false, "
                f"got {mask!r}"
            )
        return mask

    def _reset(self, mask: Mask) -> Info:
        ids = np.flatnonzero(mask)
        self.task.reset(ids, [self._generator(i) for i in ids.tolist()])
        self._started |= mask
        self._ended = self._ended & ~mask
        info: Info = call_optional(self.task, "reset_info")
        return info

    def _generator(self, i: int) -> np.random.Generator:
        generator = self._generators[i]
        if generator is None:
            generator = self._generators[i] = np_random()[0]
        return generator

    def _final(self, observation: Array, info: Info) -> dict[str, Any]:
        final = np.full(self.num_envs, None, dtype=object)
        for i in np.flatnonzero(self._ended):
            final[i] = observation[i].copy()
        return {
            "final_obs": final,
            "_final_obs": self._ended.copy(),
            "final_info": merge_infos((info, self._ended)),
            "_final_info": self._ended.copy(),
        }


def merge_infos(*parts: tuple[Info, Mask]) -> dict[str, Any]:
    """Merge infos, each valid for the environments of its mask, into one of Gymnasium's format.

    It has the values by name, zero where an environment has none, and under ``_name`` the mask of
    the environments that have one.
    """
    infos: dict[str, Any] = {}
    for info, mask in parts:
        for name, values in info.items() if mask.any() else ():
            merged = infos.setdefault(name, np.zeros_like(values))
            merged[mask] = values[mask]
            infos[f"_{name}"] = infos.get(f"_{name}", False) | mask
    return infos
