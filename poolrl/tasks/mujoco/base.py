"""Tasks on ``mujoco.batch``: physics on native threads, all else in NumPy over the batch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import mujoco
import numpy as np
from gymnasium.spaces import Box
from mujoco.batch import Batch
from numpy.typing import NDArray

from poolrl.config.schema import Randomization
from poolrl.errors import UsageError
from poolrl.tasks.base import Ids, StepResult, Task
from poolrl.tasks.mujoco.model import load_model, without_idle_stages
from poolrl.tasks.mujoco.randomize import Randomizer

# A bad state makes MuJoCo reset that simulation silently; only three counters tell: those of bad
# positions, velocities and accelerations, which follow each other.
_UNSTABLE = slice(int(mujoco.mjtWarning.mjWARN_BADQPOS), int(mujoco.mjtWarning.mjWARN_BADQACC) + 1)


Part = tuple[NDArray[Any], bool]
"""Columns of the observation, a live (num_simulations, size) array; and whether they are
velocities."""

MOST_SUBSTEPS = 10_000
"""A control step of so many cannot be interrupted."""


class MujocoTask(Task):
    """A world on ``mujoco.batch``: a subclass says what is drawn, observed and rewarded.

    A subclass sets up its own constants and then calls this constructor. It sees the live state of
    all simulations as ``qpos`` (num_simulations, nq), ``qvel`` (num_simulations, nv), ``state``
    (both side by side) and ``ctrl`` (num_simulations, nu), and binds what else it needs from
    ``batch``. As with ``mj_step``, derived fields are one substep behind the state after a step.
    The batch's own model leaves out what can have no effect: who gives its geoms other contact
    types by ``batch.expand`` must clear ``opt.disableflags`` the same way.

    A step asks for the observation, the reward and the terminations in this order, so that each
    may use what the ones before it have computed.

    Args:
        num_simulations: how many episodes run side by side.
        xml_file: the model, as ``load_model`` takes it.
        frame_skip: substeps a control step.
        max_episode_steps: the time limit in control steps.
        reset_noise_scale: of the initial state, as ``draw_state`` draws it.
        external_forces: keep ``cfrc_ext`` (num_simulations, nbody, 6), in N m and N, the forces of
            contacts and of other external causes on each body; zero where this is not asked for.
    """

    normal_velocities: ClassVar[bool] = False
    """Whether initial velocities are drawn from a normal, instead of a uniform, distribution."""

    def __init__(
        self,
        num_simulations: int,
        *,
        xml_file: str,
        frame_skip: int,
        max_episode_steps: int,
        reset_noise_scale: float = 0.0,
        external_forces: bool = False,
    ) -> None:
        if not 1 <= frame_skip <= MOST_SUBSTEPS:
            raise UsageError(
                f"task.kwargs.frame_skip: expected 1 to {MOST_SUBSTEPS}, got {frame_skip}"
            )
        self.num_simulations = num_simulations
        self.max_episode_steps = max_episode_steps
        self.frame_skip = frame_skip
        self.model = load_model(xml_file)
        # get_data has derived fields in a persistent batch alone.
        quick = without_idle_stages(self.model)
        self.batch = Batch(quick, num_simulations, 1, persistent=external_forces)
        self.qpos: NDArray[np.float64] = self.batch.bind("qpos")
        self.qvel: NDArray[np.float64] = self.batch.bind("qvel")
        self.ctrl: NDArray[np.float64] = self.batch.bind("ctrl")
        self._default_state = self.batch.state[0].copy()
        self._default_qpos = self.model.qpos0.copy()
        self._sizes: tuple[int, int] = self.model.nq, self.model.nv
        # The order of mjtState: the time comes first, then these two.
        self.state: NDArray[np.float64] = self.batch.state[:, 1 : 1 + self.model.nq + self.model.nv]
        self.cfrc_ext = np.zeros((num_simulations, self.model.nbody, 6))
        self.dt: float = self.model.opt.timestep * frame_skip
        self._more_than_state = more_than_state(self.model)
        self._unstable: NDArray[np.int32] = self.batch.warning[:, _UNSTABLE, 1]
        self._external_forces = external_forces
        # Zero, but for a model with sensors that need them.
        self._sensed_forces = self.batch.bind("cfrc_ext") if external_forces else self.cfrc_ext
        self._reset_noise_scale = reset_noise_scale
        self._randomizer: Randomizer | None = None
        self._elapsed = np.zeros(num_simulations, np.int64)
        low, high = self.model.actuator_ctrlrange.astype(np.float32).T
        self.action_space = Box(low, high, dtype=np.float32)
        self._parts = self.observed()
        self._columns = [columns for columns, _ in self._parts]
        size = self.observe().shape[1]
        self.observation_space = Box(-np.inf, np.inf, (size,), np.float64)

    @abstractmethod
    def reward(self, action: NDArray[Any]) -> NDArray[np.float64]:
        """(num_simulations,): the reward of the step that ``action`` has just made."""

    def draw_state(
        self, generator: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The (qpos, qvel), of shapes (nq,) and (nv,), in which an episode begins."""
        scale, (nq, nv) = self._reset_noise_scale, self._sizes
        qpos: NDArray[np.float64]
        qvel: NDArray[np.float64]
        if self.normal_velocities:
            qpos = generator.uniform(-scale, scale, nq)
            qvel = scale * generator.standard_normal(nv)
        else:
            state = generator.uniform(-scale, scale, nq + nv)
            qpos, qvel = state[:nq], state[nq:]
        qpos += self._default_qpos
        return qpos, qvel

    def observed(self) -> list[Part]:
        """What ``observe`` puts side by side, asked for once. ``refresh`` must fill what is not
        itself bound to the batch."""
        return [(self.qpos, False), (self.qvel, True)]

    def refresh(self) -> None:
        """Bring those of the observed arrays up to date that are computed."""

    def observe(self) -> NDArray[np.float64]:
        self.refresh()
        return np.concatenate(self._columns, axis=1)

    def velocities(self) -> NDArray[np.bool_] | None:
        """Generalised and body velocities are; positions, inertias and forces are not."""
        if type(self).observe is not MujocoTask.observe:
            return None
        return np.concatenate([np.full(part.shape[1], moves) for part, moves in self._parts])

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
        return np.zeros(self.num_simulations, np.bool_)

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
        if self._randomizer is not None or self._more_than_state:
            self.batch.reset(ids, stage=int(mujoco.mjtStage.mjSTAGE_NONE))
        else:  # the same, for a sixth of the time: a simulation is its row of the state
            self.batch.state[ids] = self._default_state
            self.batch.warning[ids] = 0
        self.qpos[ids] = qpos
        self.qvel[ids] = qvel
        self.batch.forward(ids)
        self._elapsed[ids] = 0
        if self._external_forces:
            self.cfrc_ext[ids] = self._sensed_forces[ids]

    def move(self, qpos: NDArray[np.float64], qvel: NDArray[np.float64]) -> None:
        """Put all simulations into given states, (num_simulations, nq) and (num_simulations, nv),
        amid their episodes: as Gymnasium's ``set_state``, this leaves all else as it is."""
        self.qpos[...] = qpos
        self.qvel[...] = qvel
        self.batch.forward()

    def step(self, action: NDArray[Any], ids: Ids | None = None) -> StepResult:
        self.apply(action)
        self.before_step()
        self.advance(ids)
        if self._external_forces:
            self.update_external_forces(ids)
        self._elapsed += 1
        return StepResult(
            self.observe(),
            self.reward(action),
            self.terminated(),
            self._elapsed >= self.max_episode_steps,
        )

    def update_external_forces(self, ids: Ids | None) -> None:
        """Fill ``cfrc_ext`` of the simulations ``ids`` (``None``: all), as Gymnasium does after
        every step: a batch itself computes it only for sensors that need it."""
        data, model = self._scratch, self.model
        get_data, compute, forces = self.batch.get_data, mujoco.mj_rnePostConstraint, data.cfrc_ext
        for i in range(self.num_simulations) if ids is None else ids.tolist():
            get_data(i, data)
            if self._randomizer is not None:
                model = self.batch.get_model(i, None if model is self.model else model)
            compute(model, data)
            self.cfrc_ext[i] = forces

    @cached_property
    def _scratch(self) -> Any:
        return mujoco.MjData(self.model)

    def diverged(self) -> NDArray[np.bool_]:
        unstable: NDArray[np.bool_] = np.logical_or.reduce(self._unstable, axis=1)
        return unstable


def more_than_state(model: mujoco.MjModel) -> bool:
    """Whether a simulation carries more from step to step than the state that MuJoCo names."""
    beyond = mujoco.mjtEnableBit.mjENBL_SLEEP | mujoco.mjtEnableBit.mjENBL_IPC
    return bool(model.nplugin or model.opt.enableflags & int(beyond))


# Gymnasium sums and takes norms simulation by simulation. These give the same bits: each row is
# summed pairwise as if it stood alone, and vecdot calls the same BLAS routine for every row.


def sum_of_squares(rows: NDArray[Any]) -> NDArray[Any]:
    """(n,): of each row of (n, size), in the type of the rows."""
    total: NDArray[Any] = np.add.reduce(np.square(rows, order="C"), axis=1)
    return total


def norm(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,): the Euclidean length of each row of (n, size)."""
    length: NDArray[np.float64] = np.sqrt(np.vecdot(rows, rows))
    return length
