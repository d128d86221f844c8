"""Base class of tasks whose body senses itself as the virtual rodent does."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from functools import reduce
from types import MappingProxyType
from typing import Any, ClassVar

import mujoco
import numpy as np
from numpy.typing import NDArray

from poolrl.clips.clip import ROOT_POSITIONS
from poolrl.clips.preprocess import has_free_root
from poolrl.config.types import Aggregate
from poolrl.errors import UsageError
from poolrl.tasks.base import Ids, Info, StepResult
from poolrl.tasks.imitation.rodent import load_rodent
from poolrl.tasks.mujoco.base import MujocoTask, Part, sum_of_squares
from poolrl.tasks.mujoco.model import body_id, is_path, load_model, without_control_range

SENSORS = "velocimeter,accelerometer,gyro,torso"
"""The rat's: those of the head, and the velocity of its centre of mass."""

TOUCH_SENSORS = "palm_L,palm_R,sole_L,sole_R"

BODY_AGGREGATES: Mapping[str, Aggregate] = MappingProxyType(
    {
        "ctrl_penalty": "sum",
        "energy_penalty": "sum",
        "alive_bonus": "sum",
        "cumulative_reward": "last",
    }
)
"""How records aggregate the values of ``info`` that these tasks share."""

_SENSOR_PARTS = {
    "velocimeter": "head/velocity",
    "accelerometer": "head/accel",
    "gyro": "head/gyro",
    "torso": "torso/velocity",
}
"""Name of a sensor of the rat's -> its part of the observation."""

_VELOCITIES = frozenset(
    int(getattr(mujoco.mjtSensor, f"mjSENS_{name}"))
    for name in ("VELOCIMETER", "GYRO", "SUBTREELINVEL", "FRAMELINVEL", "FRAMEANGVEL")
)


def load_body(xml_file: str, **options: Any) -> mujoco.MjModel:
    """Compile a user's body, or the rat; it is cached and must not be modified.

    Args:
        xml_file: a path, from ``/``, ``.`` or ``~``; empty for the rat.
        options: of ``load_rodent``, for the rat alone.

    Raises:
        UsageError: there is no such model, it has no free root joint or no actuators, or it is not
            the rat and has options.
    """
    if not xml_file:
        return load_rodent(**options)
    for name, parameter in inspect.signature(load_rodent).parameters.items():
        if options.get(name, parameter.default) != parameter.default:
            raise UsageError(f"task.kwargs.{name}: of the rat alone, not of the model of xml_file")
    path = os.path.expanduser(xml_file)
    if not is_path(xml_file) or not os.path.isfile(path):
        raise UsageError(
            f"task.kwargs.xml_file: no such file: {xml_file}; give the path of a model, beginning "
            "with /, ./ or ~/"
        )
    model = load_model(xml_file)
    if not has_free_root(model):
        raise UsageError(
            f"task.kwargs.xml_file: {path}: expected a free joint, and then hinges and slides"
        )
    if not model.nu:
        raise UsageError(f"task.kwargs.xml_file: {path}: the model has no actuators")
    return model


def names_of(text: str) -> tuple[str, ...]:
    """Split names at commas."""
    return tuple(name for part in text.split(",") if (name := part.strip()))


class BodyTask(MujocoTask):
    """A body with a free root joint that senses itself; a subclass adds what it is to do.

    The proprioception of the virtual rodent (Aldarondo et al., *A virtual rodent predicts the
    structure of neural activity across behaviours*, Nature 632, 2024), of the rat 200 numbers:
    positions and velocities of the joints, activations of the actuators, sensors, the rotation
    matrix of the root body (9, row by row), the centre of mass of its subtree (3, in m) and touch.
    As with ``mj_step``, all but the first three are one substep behind after a step.

    Actions are in the control ranges of the actuators, and clipped to them. An episode terminates
    where the centre of mass is below ``min_torso_z``, and where the simulation becomes unstable: a
    body that tumbles with the full force of its actuators now and then does. MuJoCo resets it then,
    so the step has no reward.

    Args:
        num_simulations: number of episodes that are simulated side by side.
        model: of the body, as of ``load_body``; it is not modified.
        frame_skip: substeps per control step.
        max_episode_steps: time limit in control steps.
        min_torso_z: in m.
        root_body: name of the body whose orientation is the whole body's.
        sensors: names of sensors, separated by commas.
        touch_sensors: the same, of those that come last.

    Raises:
        UsageError: an argument is out of range, or the model has no such body or sensor.

    Attributes:
        steps: (num_simulations,): control steps of the episodes.
        rotation: (num_simulations, 3, 3): of the root body; R of a vector in its frame is that in
            the frame of the world; live.
        quaternion: (num_simulations, 4): the same, live.
        position: (num_simulations, 3): of the root body, in m; live.
        center_of_mass: (num_simulations, 3): of the root body's subtree, in m; live.
        act: (num_simulations, activations): of the actuators; live.
    """

    goal_sense: ClassVar[str] = "goal"
    """Name of the part of the observation that says what the body is to do."""

    def __init__(
        self,
        num_simulations: int,
        *,
        model: mujoco.MjModel,
        frame_skip: int,
        max_episode_steps: int,
        min_torso_z: float,
        root_body: str,
        sensors: str,
        touch_sensors: str,
    ) -> None:
        self._min_z = min_torso_z
        self._root = body_id(model, root_body, "root_body")
        self._sensors = [
            _sensor(model, name, key)
            for key, names in (("sensors", sensors), ("touch_sensors", touch_sensors))
            for name in names_of(names)
        ]
        self._sensor_names = names_of(sensors), names_of(touch_sensors)
        self.steps: NDArray[np.int64] = np.zeros(num_simulations, np.int64)
        self._cumulative_reward = np.zeros(num_simulations)
        self._terms: Info = {}
        super().__init__(
            num_simulations,
            model=model,
            frame_skip=frame_skip,
            max_episode_steps=max_episode_steps,
        )
        free = without_control_range(model)
        low, high = model.actuator_ctrlrange.T
        self._range = np.where(free, -np.inf, low), np.where(free, np.inf, high)

    def observed(self) -> list[Part]:
        n, bind = self.num_simulations, self.batch.bind
        rotations: NDArray[np.float64] = bind("xmat")
        matrix = rotations[:, self._root]
        self.rotation = matrix.reshape(n, 3, 3)
        self.quaternion: NDArray[np.float64] = bind("xquat")[:, self._root]
        self._positions: NDArray[np.float64] = bind("xpos")
        self.position = self._positions[:, self._root]
        self.center_of_mass: NDArray[np.float64] = bind("subtree_com")[:, self._root]
        self._actuator_force: NDArray[np.float64] = bind("actuator_force")
        self._joint_force: NDArray[np.float64] = bind("qfrc_actuator")[:, ROOT_POSITIONS - 1 :]
        self._joint_velocity = self.qvel[:, ROOT_POSITIONS - 1 :]
        self.act: NDArray[np.float64] = bind("act").reshape(n, -1)
        data = bind("sensordata")
        sensed = [(data[:, columns], is_velocity) for columns, is_velocity in self._sensors]
        touch = len(self._sensor_names[0])
        parts: list[Part] = [
            (self.qpos[:, ROOT_POSITIONS:], False),
            (self._joint_velocity, True),
            (self.act, False),
            *sensed[:touch],
            (matrix, False),
            (self.center_of_mass, False),
            *sensed[touch:],
        ]
        own = parts + self.further_proprioception()
        self._own_columns = [columns for columns, _ in own]
        own += self.goal()
        self._part_sizes = [columns.shape[1] for columns, _ in own]
        return own

    def further_proprioception(self) -> list[Part]:
        """Return what the body senses besides; nothing, unless overridden."""
        return []

    def goal(self) -> list[Part]:
        """Return the parts of the observation that say what the body is to do."""
        return []

    def proprioception(self) -> NDArray[np.float64]:
        """Return what the body senses of itself at the current state, (num_simulations, size)."""
        return np.concatenate(self._own_columns, axis=1)

    def senses(self) -> dict[str, NDArray[np.bool_]]:
        size = self.observation_space.shape[0]
        own: NDArray[np.bool_] = np.arange(size) < sum(c.shape[1] for c in self._own_columns)
        return {"proprioception": own, self.goal_sense: ~own}

    def proprioception_names(self) -> list[str]:
        """Return names of the parts that the body senses, without ``further_proprioception``: those
        of the virtual rodent's recordings; of sensors that the rat has not, ``sensors/`` and their
        name."""
        sensors, touch = self._sensor_names
        return [
            *("joints", "joint_vel", "actuations"),
            *(_SENSOR_PARTS.get(name, f"sensors/{name}") for name in sensors),
            *("torso/xmat", "torso/com"),
            *(f"paw_contacts/{name}" for name in touch),
        ]

    def apply(self, action: NDArray[Any]) -> None:
        np.clip(action, *self._range, out=self.ctrl)

    def advance(self, ids: Ids | None) -> None:
        super().advance(ids)
        self.steps[slice(None) if ids is None else ids] += 1

    def step(self, action: NDArray[Any], ids: Ids | None = None) -> StepResult:
        result = super().step(action, ids)
        rows = slice(None) if ids is None else ids
        self._cumulative_reward[rows] += result.reward[rows]
        return result

    def set_state(self, ids: Ids, qpos: NDArray[np.float64], qvel: NDArray[np.float64]) -> None:
        self.steps[ids], self._cumulative_reward[ids] = 0, 0.0
        super().set_state(ids, qpos, qvel)

    def terminated(self) -> NDArray[np.bool_]:
        return (self.center_of_mass[:, 2] < self._min_z) | self.unstable()

    def unstable(self) -> NDArray[np.bool_]:
        """Return which simulations became unstable since their last reset, (num_simulations,)."""
        return super().diverged()

    def diverged(self) -> NDArray[np.bool_]:
        """None: where a simulation becomes unstable its episode terminates."""
        return np.zeros(self.num_simulations, np.bool_)

    def control_cost(self) -> NDArray[np.float64]:
        """Return the sums of the squared controls, (num_simulations,)."""
        return sum_of_squares(self.ctrl)

    def energy_use(self) -> NDArray[np.float64]:
        """Return Σ|velocity|·|actuators' force| over the joints, (num_simulations,), in W."""
        power = np.abs(self._joint_velocity) * np.abs(self._joint_force)
        use: NDArray[np.float64] = np.add.reduce(power, axis=1)
        return use

    def total(self, terms: Info) -> NDArray[np.float64]:
        """Keep the terms of a reward for ``info``, and return their sum, (num_simulations,)."""
        unstable = self.unstable()
        if unstable.any():
            terms = {name: np.where(unstable, 0.0, term) for name, term in terms.items()}
        self._terms = terms
        # One after another, since a sum over an axis has other bits for a single simulation.
        return reduce(np.add, terms.values())

    def reward_terms(self) -> Info:
        return dict(self._terms)

    def body_info(self) -> Info:
        """Return the values of ``info`` that are about the body, and the terms of the reward."""
        return {
            "qpos_root": self.qpos[:, :ROOT_POSITIONS].copy(),
            **{f"torso_{axis}": self.center_of_mass[:, i].copy() for i, axis in enumerate("xyz")},
            "actuator_force_sum_sqr": sum_of_squares(self._actuator_force),
            "energy_use": self.energy_use(),
            "lifetime": self.steps.astype(np.float64),
            "cumulative_reward": self._cumulative_reward.copy(),
            **self._terms,
        }


def _sensor(model: mujoco.MjModel, name: str, key: str) -> tuple[slice, bool]:
    """Return the columns of a sensor in ``sensordata``, and whether it is of a velocity."""
    index = int(mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SENSOR, name))
    if index < 0:
        known = ", ".join(filter(None, (model.sensor(i).name for i in range(model.nsensor))))
        raise UsageError(f"task.kwargs.{key}: no sensor {name!r}; known: {known or 'none'}")
    start = int(model.sensor_adr[index])
    columns = slice(start, start + int(model.sensor_dim[index]))
    return columns, int(model.sensor_type[index]) in _VELOCITIES
