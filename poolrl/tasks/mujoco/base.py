"""Tasks on ``mujoco.batch``: physics on native threads, all else in NumPy over the batch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import mujoco
import numpy as np
from gymnasium.spaces import Box
from mujoco.batch import Batch
from numpy.typing import NDArray

from poolrl.config import Randomization
from poolrl.errors import UsageError
from poolrl.tasks.base import Ids, StepResult, Task
from poolrl.tasks.mujoco.model import load_model
from poolrl.tasks.mujoco.randomize import Randomizer

# A bad state makes MuJoCo reset that simulation silently; only these counters tell.
_UNSTABLE = [
    int(mujoco.mjtWarning.mjWARN_BADQPOS),
    int(mujoco.mjtWarning.mjWARN_BADQVEL),
    int(mujoco.mjtWarning.mjWARN_BADQACC),
]


class MujocoTask(Task):
    """A world on ``mujoco.batch``: a subclass says what is drawn, observed and rewarded.

    A subclass sets up its own constants and then calls this constructor. It sees the live state of
    all simulations as ``qpos`` (num_simulations, nq), ``qvel`` (num_simulations, nv) and ``ctrl``
    (num_simulations, nu), and binds what else it needs from ``batch``. As with ``mj_step``, derived
    fields are one substep behind the state after a step.
    """

    def __init__(
        self,
        num_simulations: int,
        *,
        xml_file: str,
        frame_skip: int,
        max_episode_steps: int,
    ) -> None:
        if frame_skip < 1:
            raise UsageError(f"task.kwargs.frame_skip: must be at least 1, got {frame_skip}")
        self.num_simulations = num_simulations
        self.max_episode_steps = max_episode_steps
        self.frame_skip = frame_skip
        self.model = load_model(xml_file)
        self.batch = Batch(self.model, num_simulations, 1)
        self.qpos: NDArray[np.float64] = self.batch.bind("qpos")
        self.qvel: NDArray[np.float64] = self.batch.bind("qvel")
        self.ctrl: NDArray[np.float64] = self.batch.bind("ctrl")
        self.dt: float = self.model.opt.timestep * frame_skip
        self._randomizer: Randomizer | None = None
        self._elapsed = np.zeros(num_simulations, np.int64)
        self._never = np.zeros(num_simulations, np.bool_)
        low, high = self.model.actuator_ctrlrange.astype(np.float32).T
        self.action_space = Box(low, high, dtype=np.float32)
        size = self.observe().shape[1]
        self.observation_space = Box(-np.inf, np.inf, (size,), np.float64)

    @abstractmethod
    def draw_state(
        self, generator: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The (qpos, qvel), of shapes (nq,) and (nv,), in which an episode begins."""

    @abstractmethod
    def reward(self, action: NDArray[Any]) -> NDArray[np.float64]:
        """(num_simulations,): the reward of the step that ``action`` has just made."""

    def apply(self, action: NDArray[Any]) -> None:
        """Write the controls that ``action``, of shape (num_simulations, action size), asks for."""
        self.ctrl[...] = action

    def advance(self, ids: Ids | None) -> None:
        """Make the substeps of one control step in the simulations ``ids`` (``None``: all)."""
        self.batch.step(ids, self.frame_skip)

    def before_step(self) -> None:
        """Keep what the reward needs of the state before the step."""

    def terminated(self) -> NDArray[np.bool_]:
        """(num_simulations,): whether the world ended the episode; never, unless overridden."""
        return self._never

    def randomize(self, fields: Mapping[str, Randomization]) -> None:
        """Draw values of the model anew at every reset from now on; see ``Randomizer``.

        Raises:
            UsageError: names the field, or the name, that the model does not have.
        """
        self._randomizer = Randomizer(self.model, self.batch, fields)

    def reset(self, ids: Ids, generators: Sequence[np.random.Generator]) -> None:
        states = [self.draw_state(generator) for generator in generators]
        if self._randomizer is not None:  # last, so that initial states are those without it
            self._randomizer.draw(ids, generators)
        self.set_state(ids, np.array([q for q, _ in states]), np.array([v for _, v in states]))

    def set_state(self, ids: Ids, qpos: NDArray[np.float64], qvel: NDArray[np.float64]) -> None:
        """Begin episodes in the simulations ``ids`` from given states, (n, nq) and (n, nv)."""
        self.batch.reset(ids, stage=int(mujoco.mjtStage.mjSTAGE_NONE))
        self.qpos[ids] = qpos
        self.qvel[ids] = qvel
        self.batch.forward(ids)
        self._elapsed[ids] = 0

    def step(self, action: NDArray[Any], ids: Ids | None = None) -> StepResult:
        self.apply(action)
        self.before_step()
        self.advance(ids)
        self._elapsed += 1
        return StepResult(
            self.observe(),
            self.reward(action),
            self.terminated(),
            self._elapsed >= self.max_episode_steps,
        )

    def diverged(self) -> NDArray[np.bool_]:
        unstable: NDArray[np.bool_] = self.batch.warning[:, _UNSTABLE, 1].any(axis=1)
        return unstable
