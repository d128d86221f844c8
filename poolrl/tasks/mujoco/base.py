"""Base class of tasks on ``mujoco.batch``: native physics, rewards and observations in NumPy."""

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
from poolrl.parallel import thread_count
from poolrl.spaces import without_vast
from poolrl.tasks.base import ActuatorState, Ids, StepResult, Task
from poolrl.tasks.mujoco.actuator_probe import ActuatorProbe
from poolrl.tasks.mujoco.callbacks import silence_warnings, stop_clock
from poolrl.tasks.mujoco.model import load_model, without_control_range, without_idle_stages
from poolrl.tasks.mujoco.randomize import Randomizer

# Once per process, before any model is stepped.
silence_warnings()
stop_clock()

# MuJoCo resets an unstable simulation silently. Only the counters of bad positions, velocities and
# accelerations show it; their numbers are consecutive.
_UNSTABLE = slice(int(mujoco.mjtWarning.mjWARN_BADQPOS), int(mujoco.mjtWarning.mjWARN_BADQACC) + 1)


Part = tuple[NDArray[Any], bool]
"""Columns of the observation, a live (num_simulations, size) array; and whether they are
velocities."""

MAX_SUBSTEPS = 10_000
"""Largest ``frame_skip``; signals are not handled within a control step."""


class MujocoTask(Task):
    """A task on ``mujoco.batch``; a subclass defines initial states, observations and rewards.

    A subclass sets its own constants and then calls this constructor. The live state of all
    simulations is in ``qpos`` (num_simulations, nq), ``qvel`` (num_simulations, nv), ``state``
    (both side by side) and ``ctrl`` (num_simulations, nu); other fields are bound by
    ``batch.bind``. As with ``mj_step``, derived fields are one substep behind the state after a
    step, unless ``current`` is set. The batch's own model disables stages that have no effect: a
    subclass that changes contact types of its geoms by ``batch.expand`` must clear
    ``opt.disableflags`` there too.

    A step computes the observation, the reward and the terminations in this order, so that each
    may use intermediate results of the ones before it.

    Args:
        num_simulations: number of episodes that are simulated side by side.
        xml_file: the model, as for ``load_model``.
        frame_skip: substeps per control step.
        max_episode_steps: time limit in control steps.
        reset_noise_scale: of the initial state, as ``draw_state`` draws it.
        external_forces: compute ``cfrc_ext`` (num_simulations, nbody, 6), torques in N m and forces
            in N of contacts and other external causes on each body; zero without it.

    Raises:
        UsageError: ``frame_skip`` is out of range, or the model cannot be loaded.
    """

    normal_velocities: ClassVar[bool] = False
    """Draw initial velocities from a normal, instead of a uniform, distribution."""

    def __init__(
        self,
        num_simulations: int,
        *,
        xml_file: str = "",
        frame_skip: int,
        max_episode_steps: int,
        reset_noise_scale: float = 0.0,
        external_forces: bool = False,
        current: bool = False,
        model: mujoco.MjModel | None = None,
    ) -> None:
        if not 1 <= frame_skip <= MAX_SUBSTEPS:
            raise UsageError(
                f"task.kwargs.frame_skip: expected 1 to {MAX_SUBSTEPS}, got {frame_skip}"
            )
        self.num_simulations = num_simulations
        self.max_episode_steps = max_episode_steps
        self.frame_skip = frame_skip
        self.model = load_model(xml_file) if model is None else model
        # get_data returns derived fields only from a persistent batch, which also continues from
        # the stages that were computed after a step.
        persistent = external_forces or current
        reduced = without_idle_stages(self.model)
        if not persistent:
            _refuse_sleep(reduced)
        self.batch = Batch(
            reduced, num_simulations, thread_count(num_simulations), persistent=persistent
        )
        stages = mujoco.mjtStage
        self.__stage_after = int(stages.mjSTAGE_ACC if current else stages.mjSTAGE_NONE)
        self.qpos: NDArray[np.float64] = self.batch.bind("qpos")
        self.qvel: NDArray[np.float64] = self.batch.bind("qvel")
        self.ctrl: NDArray[np.float64] = self.batch.bind("ctrl")
        self._default_state = self.batch.state[0].copy()
        self._default_qpos = self.model.qpos0.copy()
        self.__sizes: tuple[int, int] = self.model.nq, self.model.nv
        # In the order of mjtState: time, qpos, qvel.
        self.state: NDArray[np.float64] = self.batch.state[:, 1 : 1 + self.model.nq + self.model.nv]
        self.cfrc_ext = np.zeros((num_simulations, self.model.nbody, 6))
        self.dt: float = self.model.opt.timestep * frame_skip
        self.__has_hidden_state = has_hidden_state(self.model)
        self.__unstable: NDArray[np.int32] = self.batch.warning[:, _UNSTABLE, 1]
        self.__external_forces = external_forces
        # Zero unless the model has sensors that need them.
        self.__sensed_forces = self.batch.bind("cfrc_ext") if external_forces else self.cfrc_ext
        self._reset_noise_scale = reset_noise_scale
        self.__randomizer: Randomizer | None = None
        self.__probe: ActuatorProbe | None = None
        self.__probe_is_old = False
        self.__elapsed = np.zeros(num_simulations, np.int64)
        self.action_space = control_space(self.model)
        self.__parts = self.observed()
        self.__columns = [columns for columns, _ in self.__parts]
        size = self.observe().shape[1]
        self.observation_space = Box(-np.inf, np.inf, (size,), np.float64)

    @abstractmethod
    def reward(self, action: NDArray[Any]) -> NDArray[np.float64]:
        """Return the rewards of the last step, (num_simulations,).

        Args:
            action: (num_simulations, action size), of that step.
        """

    def draw_state(
        self, generator: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Draw the initial (qpos, qvel) of an episode, of shapes (nq,) and (nv,)."""
        scale, (nq, nv) = self._reset_noise_scale, self.__sizes
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
        """Return the parts that ``observe`` concatenates; called once, by the constructor.
        ``refresh`` must fill those that are not bound to the batch."""
        return [(self.qpos, False), (self.qvel, True)]

    def refresh(self) -> None:
        """Update the observed arrays that are not bound to the batch."""

    def observe(self) -> NDArray[np.float64]:
        self.refresh()
        return np.concatenate(self.__columns, axis=1)

    def velocities(self) -> NDArray[np.bool_] | None:
        """As for ``Task``: generalised and body velocities, but not positions, inertias and
        forces; ``None`` if a subclass overrides ``observe``."""
        if type(self).observe is not MujocoTask.observe:
            return None
        return np.concatenate(
            [np.full(part.shape[1], is_velocity) for part, is_velocity in self.__parts]
        )

    def part_of_observation(self, columns: NDArray[Any]) -> NDArray[np.bool_] | None:
        """Return which observed values are one of the arrays of ``observed``, (observation size,);
        ``None`` if a subclass overrides ``observe``."""
        if type(self).observe is not MujocoTask.observe:
            return None
        return np.concatenate([np.full(part.shape[1], part is columns) for part in self.__columns])

    def apply(self, action: NDArray[Any]) -> None:
        """Write the controls of an action, of shape (num_simulations, action size)."""
        self.ctrl[...] = action

    def advance(self, ids: Ids | None) -> None:
        """Simulate one control step of the simulations ``ids`` (``None``: all)."""
        self.batch.step(ids, self.frame_skip, self.__stage_after)

    def before_step(self) -> None:
        """Store the parts of the state before a step that the reward needs."""

    def terminated(self) -> NDArray[np.bool_]:
        """Return which states are terminal, (num_simulations,); none, unless overridden."""
        return np.zeros(self.num_simulations, np.bool_)

    def reference_qpos(self) -> NDArray[np.float64] | None:
        """Return the positions that the body is to have at the current state, for videos, a new
        array (num_simulations, nq); ``None`` if the task has no such reference."""
        return None

    def randomize(self, fields: Mapping[str, Randomization]) -> None:
        """Draw values of the model at every later reset; see ``Randomizer``.

        Raises:
            UsageError: names the field, or the object, that the model does not have.
        """
        self.__randomizer = Randomizer(self.model, self.batch, fields)

    def reset(self, ids: Ids, generators: Sequence[np.random.Generator]) -> None:
        states = [self.draw_state(generator) for generator in generators]
        if self.__randomizer is not None:  # last, so that initial states are those without it
            self.__randomizer.draw(ids, generators)
            self.__probe_is_old = True
        self.set_state(ids, np.array([q for q, _ in states]), np.array([v for _, v in states]))

    def set_state(self, ids: Ids, qpos: NDArray[np.float64], qvel: NDArray[np.float64]) -> None:
        """Start episodes from given states.

        Args:
            ids: (n,): which simulations.
            qpos: (n, nq).
            qvel: (n, nv).
        """
        if self.__randomizer is not None or self.__has_hidden_state:
            self.batch.reset(ids, stage=int(mujoco.mjtStage.mjSTAGE_NONE))
        else:  # equivalent without hidden state, in a sixth of the time
            self.batch.state[ids] = self._default_state
            self.batch.warning[ids] = 0
        self.qpos[ids] = qpos
        self.qvel[ids] = qvel
        self.batch.forward(ids)
        self.__elapsed[ids] = 0
        if self.__external_forces:
            self.cfrc_ext[ids] = self.__sensed_forces[ids]

    def move(self, qpos: NDArray[np.float64], qvel: NDArray[np.float64]) -> None:
        """Set the states of all simulations within their episodes; as with Gymnasium's
        ``set_state``, nothing else changes.

        Args:
            qpos: (num_simulations, nq).
            qvel: (num_simulations, nv).
        """
        self.qpos[...] = qpos
        self.qvel[...] = qvel
        self.batch.forward()

    def step(self, action: NDArray[Any], ids: Ids | None = None) -> StepResult:
        self.apply(action)
        self.before_step()
        self.advance(ids)
        if self.__external_forces:
            self.update_external_forces(ids)
        if ids is None:
            self.__elapsed += 1
        else:
            self.__elapsed[ids] += 1
        return StepResult(
            self.observe(),
            self.reward(action),
            self.terminated(),
            self.__elapsed >= self.max_episode_steps,
        )

    def update_external_forces(self, ids: Ids | None) -> None:
        """Compute ``cfrc_ext`` of the simulations ``ids`` (``None``: all), as Gymnasium does after
        every step. MuJoCo itself computes it only for sensors that need it."""
        data, model = self.__scratch, self.model
        get_data, compute, forces = self.batch.get_data, mujoco.mj_rnePostConstraint, data.cfrc_ext
        for i in range(self.num_simulations) if ids is None else ids.tolist():
            get_data(i, data)
            if self.__randomizer is not None:
                model = self.batch.get_model(i, None if model is self.model else model)
            compute(model, data)
            self.cfrc_ext[i] = forces

    @cached_property
    def __scratch(self) -> Any:
        return mujoco.MjData(self.model)

    def actuator_state(self) -> ActuatorState | None:
        """As for ``Task``; takes about as long as a substep. A subclass that itself expands
        fields of the batch's model that have an effect on actuators overrides it."""
        if self.__probe is None:  # most tasks never need one
            self.__probe = ActuatorProbe(self.batch, self.batch.nthread)
            self.__probe_is_old = self.__randomizer is not None
        if self.__probe_is_old and self.__randomizer is not None:
            self.__probe.copy_values(self.__randomizer)
            self.__probe_is_old = False
        return self.__probe.state()

    def diverged(self) -> NDArray[np.bool_]:
        unstable: NDArray[np.bool_] = np.logical_or.reduce(self.__unstable, axis=1)
        return unstable


def control_space(model: mujoco.MjModel) -> Box:
    """Return the space of a model's controls, float32; unbounded where an actuator has no range.

    A range is used although ``ctrllimited`` is false, as in Gymnasium.
    """
    low, high = model.actuator_ctrlrange.T
    free = without_control_range(model)
    low, high = without_vast(np.where(free, -np.inf, low), np.where(free, np.inf, high))
    return Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32)


def _refuse_sleep(model: mujoco.MjModel) -> None:
    """Refuse options of a model whose bookkeeping only a persistent batch has.

    Raises:
        UsageError: names the option.
    """
    flags = {"sleep": mujoco.mjtEnableBit.mjENBL_SLEEP, "ipc": mujoco.mjtEnableBit.mjENBL_IPC}
    for name, flag in flags.items():
        if model.opt.enableflags & int(flag):
            raise UsageError(
                f'task.kwargs.xml_file: the model enables {name} (<flag {name}="enable"/> in its '
                "<option>), whose state a batch of simulations does not keep: remove the flag, or, "
                "in a class of your own, pass external_forces=True to MujocoTask, which is slower"
            )


def has_hidden_state(model: mujoco.MjModel) -> bool:
    """Whether a simulation has state besides MuJoCo's physics state."""
    beyond = mujoco.mjtEnableBit.mjENBL_SLEEP | mujoco.mjtEnableBit.mjENBL_IPC
    return bool(model.nplugin or model.opt.enableflags & int(beyond))


# Gymnasium computes sums and norms for single simulations. These give the same bits: NumPy sums
# each row pairwise as it sums a single array, and vecdot calls the same BLAS routine per row.


def sum_of_squares(rows: NDArray[Any]) -> NDArray[Any]:
    """Return the sum of squares of each row of (n, size), (n,), in the type of the rows."""
    total: NDArray[Any] = np.add.reduce(np.square(rows, order="C"), axis=1)
    return total


def norm(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Euclidean norm of each row of (n, size), (n,)."""
    length: NDArray[np.float64] = np.sqrt(np.vecdot(rows, rows))
    return length
