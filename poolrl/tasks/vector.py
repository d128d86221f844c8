"""Any task as a vector environment of Gymnasium's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.utils.seeding import np_random
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from poolrl.tasks.base import Info, Task
from poolrl.tasks.registry import make

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
    """Make a vector environment of a task.

    Args:
        task_id: an id of the registry.
        num_envs: how many environments step together.
        max_episode_steps: the time limit in control steps; ``None`` for the task's own.
        autoreset_mode: when an environment whose episode has ended begins the next one.
        kwargs: the task's own arguments.

    Raises:
        UsageError: the id, a keyword, or the type of a value is wrong.
    """
    task = make(task_id, num_envs, max_episode_steps=max_episode_steps or 0, kwargs=kwargs)
    return TaskVectorEnv(task, autoreset_mode)


class TaskVectorEnv(VectorEnv[Array, Array, Array]):
    """A task's simulations as environments that are seeded, reset and told of as Gymnasium's
    ``SyncVectorEnv`` does with its own.

    Attributes:
        task: the simulations.
        num_envs: how many there are.
        metadata: ``autoreset_mode``.
        single_observation_space: of one environment.
        single_action_space: of one environment.
        observation_space: of all of them.
        action_space: of all of them.

    Args:
        task: the simulations, which nobody else must step.
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
        self._begun = np.zeros(self.num_envs, np.bool_)
        self._ended = np.zeros(self.num_envs, np.bool_)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Array, dict[str, Any]]:
        """Begin new episodes.

        Args:
            seed: of the environments' random numbers: ``seed + i`` for the i-th, or one for each;
                where there is none, they go on.
            options: ``reset_mask``, (num_envs,) of bool, says which environments are reset; all of
                them where it is missing.

        Returns:
            The observations of all environments, and what those that were reset tell.
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
        return self.task.observe(), joined((info, mask))

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """Advance all environments by one control step, or reset them.

        Args:
            actions: (num_envs, action size); for a ``Discrete`` space (num_envs,).

        Returns:
            Observations, rewards, terminations, truncations and infos, new arrays all.

        Raises:
            ResetNeeded: an environment has no episode to go on with.
        """
        actions = np.asarray(actions)
        if actions.shape != self.action_space.shape:
            raise ValueError(
                f"expected actions of shape {self.action_space.shape}, got {actions.shape}"
            )
        if not self._begun.all():
            raise ResetNeeded("an environment is stepped before its first reset")
        waiting = self._ended
        if self._mode is AutoresetMode.DISABLED and waiting.any():
            raise ResetNeeded(f"environments {np.flatnonzero(waiting)} have ended: reset them")
        if self._mode is not AutoresetMode.NEXT_STEP:
            waiting = np.zeros_like(waiting)

        ids = np.flatnonzero(~waiting) if waiting.any() else None
        observation, reward, terminated, truncated = self.task.step(actions, ids)
        info = self.task.info()
        final: dict[str, Any] = {}
        self._ended = terminated | truncated
        begins = waiting
        if self._mode is AutoresetMode.SAME_STEP:
            begins = self._ended
            final = self._final(observation, info) if begins.any() else {}
        infos: dict[str, Any]
        if begins.any():
            reset_info = self._reset(begins)
            observation[begins] = self.task.observe()[begins]
            infos = final | joined((info, ~begins), (reset_info, begins))
        else:
            infos = joined((info, ~begins))
        if self._mode is AutoresetMode.NEXT_STEP:
            for array in (reward, terminated, truncated):
                array[waiting] = 0
        return observation, reward, terminated, truncated, infos

    def set_state(self, qpos: NDArray[np.float64], qvel: NDArray[np.float64]) -> None:
        """Put all simulations into given states, (num_envs, nq) and (num_envs, nv), amid their
        episodes, as Gymnasium's ``MujocoEnv.set_state`` does with one.

        Raises:
            TypeError: the task is none of MuJoCo.
        """
        from poolrl.tasks.mujoco import MujocoTask

        if not isinstance(self.task, MujocoTask):
            raise TypeError(f"{type(self.task).__name__} has no state of MuJoCo's")
        for name, given, own in (("qpos", qpos, self.task.qpos), ("qvel", qvel, self.task.qvel)):
            if np.shape(given) != own.shape:
                raise ValueError(f"{name}: expected the shape {own.shape}, got {np.shape(given)}")
        self.task.move(qpos, qvel)

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
        self._begun |= mask
        self._ended = self._ended & ~mask
        return self.task.reset_info()

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
            "final_info": joined((info, self._ended)),
            "_final_info": self._ended.copy(),
        }


def joined(*parts: tuple[Info, Mask]) -> dict[str, Any]:
    """Infos of some environments each as Gymnasium tells them: the values by name, zero where an
    environment tells none, and under ``_name`` which ones do."""
    infos: dict[str, Any] = {}
    for info, mask in parts:
        for name, values in info.items() if mask.any() else ():
            told = infos.setdefault(name, np.zeros_like(values))
            told[mask] = values[mask]
            infos[f"_{name}"] = infos.get(f"_{name}", False) | mask
    return infos
