"""Play an agent's episodes as an evaluation does, and keep what is needed to draw them.

The rewards are those of ``poolrl evaluate`` to the last bit, which depend on how many simulations
are stepped together. So the episodes are played in that batch, and drawn afterwards.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poolrl.agent import Agent
from poolrl.config.exploration import Exploration
from poolrl.config.schema import World
from poolrl.errors import UsageError
from poolrl.render.job import Array, Episode, ReplayedEpisode, SimulatedEpisode
from poolrl.rollouts.evaluation import NO_EXPLORATION, run_episodes
from poolrl.tasks.base import Ids, StepResult, Task
from poolrl.tasks.gymnasium_ids import arguments
from poolrl.tasks.gymnasium_task import GymnasiumTask
from poolrl.tasks.variants import TaskWrapper

DEFAULT_FPS = 30.0
"""Control steps a second of an environment that does not say how long one lasts."""


class Recording(NamedTuple):
    """Episodes of one agent.

    Attributes:
        episodes: in order of their number; indices of models begin at 0.
        models: compiled models, in MuJoCo's binary format.
        returns: (episodes,), undiscounted, of the episodes.
        control_seconds: duration of a control step without action repeat, in seconds.
        cameras: names of the model's cameras; ``None`` for an environment that draws itself and
            may have some, empty for one that has none.
    """

    episodes: list[Episode]
    models: list[bytes]
    returns: NDArray[np.float64]
    control_seconds: float
    cameras: list[str] | None


def record(
    agent: Agent,
    world: World,
    episodes: int,
    seed: int,
    *,
    deterministic: bool,
    exploration: Exploration = NO_EXPLORATION,
    ghost: bool = False,
) -> Recording:
    """Play episodes.

    Args:
        agent: chooses the actions.
        world: the agent's own, or a similar one.
        episodes: number of episodes.
        seed: of initial states and action noise, as for ``evaluate_agent``.
        deterministic: use deterministic actions, or samples.
        exploration: acts as in training.
        ghost: keep the movement that is to be imitated too.

    Raises:
        UsageError: the task cannot be drawn or explored, has no such movement, is unknown, or its
            spaces are not the agent's.
        Divergence: a return is not finite, or a simulation became unstable.
    """
    recorders: list[_Recorder] = []

    def wrap(task: Task) -> Task:
        recorders.append(_recorder(task, world, seed, ghost=ghost))
        return recorders[0]

    results = run_episodes(
        *(agent, world, episodes, seed),
        deterministic=deterministic,
        wrap=wrap,
        exploration=exploration,
    )
    (recorder,) = recorders
    return Recording(
        [recorder.episode(number) for number in range(episodes)],
        recorder.models,
        results.returns,
        recorder.control_seconds,
        recorder.cameras,
    )


def _recorder(task: Task, world: World, seed: int, *, ghost: bool) -> _Recorder:
    from poolrl.tasks.mujoco import MujocoTask

    native = task if isinstance(task, MujocoTask) else None
    if ghost and (native is None or native.reference_qpos() is None):
        raise UsageError(f"--ghost: {world.id} has no movement that is to be imitated")
    if isinstance(task, GymnasiumTask):
        return _ActionRecorder(task, world, seed)
    if native is not None:
        return _StateRecorder(task, world, ghost=ghost)
    raise UsageError(
        f"task.id: {world.id} cannot be drawn: it is neither a task on mujoco.batch nor an "
        "environment with pictures of its own"
    )


class _Recorder(TaskWrapper):
    """Observes the episodes of a task, which start in order of their number.

    Attributes:
        models: compiled models of the episodes.
        control_seconds: duration of a control step in seconds.
        cameras: as of ``Recording``.
    """

    control_seconds: float
    cameras: list[str] | None

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.models: list[bytes] = []
        self._episode = np.full(task.num_simulations, -1, np.intp)
        self._started = 0

    def reset(self, ids: Ids, generators: Sequence[np.random.Generator]) -> None:
        super().reset(ids, generators)
        self._episode[ids] = range(self._started, self._started + len(ids))
        self._started += len(ids)
        for i in ids.tolist():
            self._start(i)

    def step(self, action: NDArray[Any], ids: Ids | None = None) -> StepResult:
        result = super().step(action, ids)
        for i in range(self.num_simulations) if ids is None else ids.tolist():
            self._add(i, int(self._episode[i]), action, result)
        return result

    @abstractmethod
    def episode(self, number: int) -> Episode:
        """Return an episode that has ended."""

    @abstractmethod
    def _start(self, simulation: int) -> None:
        """Note the initial state of the episode that a simulation starts."""

    @abstractmethod
    def _add(self, simulation: int, episode: int, action: NDArray[Any], result: StepResult) -> None:
        """Note a step of a simulation."""


class _StateRecorder(_Recorder):
    """Keeps the states of simulations on ``mujoco.batch``."""

    def __init__(self, task: Any, world: World, *, ghost: bool) -> None:
        import mujoco

        from poolrl.tasks.mujoco.asset_paths import serialized

        super().__init__(task)
        self._serialized = serialized
        self._batch, self._reference_qpos = task.batch, task.reference_qpos
        self._randomized = bool(world.randomize)
        if not self._randomized:
            self.models.append(serialized(task.model))
        self.control_seconds = task.dt
        cameras = range(task.model.ncam)
        names = [mujoco.mj_id2name(task.model, mujoco.mjtObj.mjOBJ_CAMERA, i) for i in cameras]
        self.cameras = [name for name in names if name]
        self._states: list[list[NDArray[np.float64]]] = []
        self._ghosts: list[list[NDArray[np.float64]]] | None = [] if ghost else None

    def episode(self, number: int) -> Episode:
        model = number if self._randomized else 0
        states = Array.of(np.array(self._states[number]))
        if self._ghosts is None:
            return SimulatedEpisode(model, states)
        return SimulatedEpisode(model, states, Array.of(np.array(self._ghosts[number])))

    def _start(self, simulation: int) -> None:
        if self._randomized:  # its geoms may have other sizes
            self.models.append(self._serialized(self._batch.get_model(simulation)))
        self._states.append([])
        if self._ghosts is not None:
            self._ghosts.append([])
        self._keep(simulation, len(self._states) - 1)

    def _add(self, simulation: int, episode: int, action: NDArray[Any], result: StepResult) -> None:
        self._keep(simulation, episode)

    def _keep(self, simulation: int, episode: int) -> None:
        """Keep the present state of a simulation."""
        self._states[episode].append(self._batch.state[simulation].copy())
        if self._ghosts is not None:
            self._ghosts[episode].append(self._reference_qpos()[simulation])


class _ActionRecorder(_Recorder):
    """Keeps the actions that adapted environments were given."""

    def __init__(self, task: GymnasiumTask, world: World, seed: int) -> None:
        super().__init__(task)
        environment = task.environment
        modes = (getattr(environment, "metadata", None) or {}).get("render_modes", ())
        if "rgb_array" not in modes:
            raise UsageError(
                f"task.id: {world.id} cannot be drawn: its environment has no render mode rgb_array"
            )
        self.control_seconds = _control_seconds(environment)
        named, others = arguments(environment.spec) if environment.spec is not None else ({}, True)
        self.cameras = None if others or "camera_name" in named else []
        self._world, self._seed = world, seed
        self._actions: list[list[NDArray[Any]]] = []
        self._rewards: list[list[float]] = []

    def episode(self, number: int) -> Episode:
        return ReplayedEpisode(
            self._world,
            self._seed,
            number,
            Array.of(np.array(self._actions[number])),
            Array.of(np.array(self._rewards[number])),
        )

    def _start(self, simulation: int) -> None:
        self._actions.append([])
        self._rewards.append([])

    def _add(self, simulation: int, episode: int, action: NDArray[Any], result: StepResult) -> None:
        self._actions[episode].append(np.array(action[simulation]))
        self._rewards[episode].append(float(result.reward[simulation]))


def _control_seconds(environment: Any) -> float:
    """Duration of a control step in seconds: MuJoCo's, dm_control's, or that of the frames."""
    # A user's environment, or a wrapper's __getattr__, may raise anything.
    with suppress(Exception):
        if (seconds := float(environment.dt)) > 0:
            return seconds
    with suppress(Exception):
        if (seconds := float(environment._env.control_timestep())) > 0:
            return seconds
    with suppress(Exception):
        if (fps := float(environment.metadata["render_fps"])) > 0:
            return 1 / fps
    return 1 / DEFAULT_FPS
