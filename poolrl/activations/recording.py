"""Play every clip of an imitation task, and write down what the network computes meanwhile.

The file has the names of the recordings of the virtual rodent (Aldarondo et al., Nature 632, 2024;
``src/analysis/rollout_and_log_activations.jl`` of https://github.com/emiwar/julia-virtual-rodent).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from poolrl import tasks
from poolrl.agent import Agent
from poolrl.clips import ClipFile
from poolrl.config.schema import World
from poolrl.errors import Divergence, UsageError
from poolrl.hdf5 import NewFile, mark, new_file, require_other
from poolrl.networks.base import State
from poolrl.networks.encoder_decoder import EncoderDecoderNetwork
from poolrl.rollouts.evaluation import refuse_other_spaces
from poolrl.tasks import Task

if TYPE_CHECKING:
    from poolrl.activations.writer import StepWriter
    from poolrl.tasks.imitation.imitation import Imitation

RUNNING, TRUNCATED, TERMINATED = 0, 1, 2
"""Status of a clip after a step."""

SIMULATIONS = 64
"""Clips that are played side by side, unless it is said."""

NO_LIMIT = 10**9
"""Time limit in control steps: clips are played to their end."""

Progress = Callable[[int, int], None]
"""Called with how many control steps are played, and of how many; of each batch those of its
longest clip."""


class Played(NamedTuple):
    """What was played.

    Attributes:
        clips: their number.
        steps: control steps of all clips.
        completed: clips that were imitated to their end.
    """

    clips: int
    steps: int
    completed: int


def record_activations(
    agent: Agent,
    world: World,
    output: str | Path,
    *,
    simulations: int = SIMULATIONS,
    progress: Progress = lambda _done, _total: None,
) -> Played:
    """Play every clip once, from its first frame to its last, with deterministic actions.

    A clip goes on after the body has fallen or is too far away, and so does the memory of the
    network.

    Args:
        agent: with an ``encoder_decoder`` network.
        world: of an imitation task, the agent's own or a similar one.
        output: the HDF5 file, written whole or not at all.
        simulations: clips that are played side by side; the last bits of a long clip depend on it.
        progress: is called now and then.

    Raises:
        UsageError: task or network are others, the spaces are not the agent's, or the file cannot
            be written, or has the clips.
        Divergence: a simulation became unstable.
    """
    network = agent.policy.network
    if not isinstance(network, EncoderDecoderNetwork):
        raise UsageError(
            "the agent's network has no activations to record; that of network.name = "
            "encoder_decoder has"
        )
    for variant in ("action_repeat", "mask_velocities"):
        if getattr(world, variant) != getattr(World(id=world.id), variant):
            raise UsageError(f"task.{variant}: clips are recorded without it")
    world = replace(world, max_episode_steps=NO_LIMIT)
    with tasks.closing(tasks.make(world, 1), world) as task:
        refuse_other_spaces(agent, task)
        references = _imitation(task, world).references
    require_other(output, references.path)
    clips = len(references.lengths)
    simulations = min(simulations, clips)
    with tasks.closing(tasks.make(world, simulations), world) as task, new_file(output) as new:
        player = _Player(agent, network, _imitation(task, world), new)
        return player.play(simulations, progress)


def _imitation(task: Task, world: World) -> Imitation:
    from poolrl.tasks.imitation.imitation import Imitation

    if not isinstance(task, Imitation):
        raise UsageError(f"task.id: {world.id} has no clips to play; RodentImitation-v0 has")
    return task


class _Player:
    """Plays the clips of a task into a new file."""

    def __init__(
        self, agent: Agent, network: EncoderDecoderNetwork, task: Imitation, new: NewFile
    ) -> None:
        self._policy, self._network, self._task, self._new = agent.policy, network, task, new
        self._steps = task.steps_to_end()
        self._parts = task.observation_parts()
        self._describe(agent)

    def play(self, simulations: int, progress: Progress) -> Played:
        """Play all clips, so many at a time."""
        from poolrl.activations.writer import StepWriter

        steps = self._steps
        writer = StepWriter(self._new.file, int(steps.max()), len(steps), simulations)
        batches = [
            np.arange(first, min(first + simulations, len(steps)))
            for first in range(0, len(steps), simulations)
        ]
        longest = [int(steps[clips].max()) for clips in batches]
        done, completed = 0, 0
        for clips, length in zip(batches, longest, strict=True):
            for step in self._batch(clips, writer):
                progress(done + step, sum(longest))
            completed += int(np.count_nonzero(self._status[: len(clips)] == TRUNCATED))
            done += length
        self._new.check()
        return Played(len(steps), int(steps.sum()), completed)

    def _describe(self, agent: Agent) -> None:
        """Write what is not of a step."""
        import h5py

        file, task, references = self._new.file, self._task, self._task.references
        with ClipFile(references.path) as source:
            mark(file, synthetic=source.is_synthetic)
        file.attrs["task"] = agent.metadata.task
        file.attrs["control_timestep"] = task.dt
        file.attrs["agent_sha256"] = hashlib.sha256(agent.to_bytes()).hexdigest()
        file.attrs["clips_sha256"] = references.sha256
        file.attrs["tracked_bodies"] = list(task.tracked_names)
        text = h5py.string_dtype()
        file.create_dataset("clip_labels", data=list(references.labels), dtype=text)
        file.create_dataset("clip_names", data=list(references.names), dtype=text)
        file.create_dataset("clip_steps", data=self._steps)

    def _batch(self, clips: NDArray[np.intp], writer: StepWriter) -> Iterator[int]:
        """Play clips side by side; yields the number of steps after each block of them."""
        task, n = self._task, self._task.num_simulations
        ids = np.arange(len(clips))
        task.begin(ids, clips, np.zeros_like(clips))
        steps = np.full(n, -1)
        steps[ids] = self._steps[clips]
        self._status = np.zeros(n, np.int8)
        state = self._network.initial_state(n)
        observation = task.observe()
        writer.start(int(clips[0]))
        length = int(steps.max())
        for step in range(length + 1):
            writer.add(step, np.flatnonzero(step <= steps), self._states(observation))
            (rows,) = np.nonzero(step < steps)
            if len(rows):
                activations = self._activations(observation, state)
                output = self._policy.act(observation, state)
                state = output.state
                result = task.step(output.action, None if len(rows) == n else rows)
                self._check(rows, clips)
                new = np.where(result.truncated, TRUNCATED, RUNNING)
                new = np.where(result.terminated, TERMINATED, new)
                self._status = np.where(self._status == RUNNING, new, self._status).astype(np.int8)
                writer.add(step, rows, {"status": self._status, "rewards": result.reward})
                writer.add(step, rows, activations)
                writer.add(step, rows, self._infos())
                observation = result.observation
            if writer.is_full(step):
                writer.flush()
                self._new.check()
                yield step
        writer.flush()
        yield length

    def _check(self, rows: NDArray[np.intp], clips: NDArray[np.intp]) -> None:
        unstable = rows[self._task.unstable()[rows]]
        if len(unstable):
            name = self._task.references.names[clips[unstable[0]]]
            raise Divergence(f"{name}: the simulation became unstable")

    def _states(self, observation: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """The physics' state and the parts of the observation."""
        task = self._task
        own = {"qpos": task.qpos, "qvel": task.qvel, "act": task.act}
        parts = {name: observation[:, columns] for name, columns in self._parts.items()}
        return {f"states/{name}": array for name, array in (own | parts).items()}

    def _activations(
        self, observation: NDArray[np.float64], state: State
    ) -> dict[str, NDArray[np.float32]]:
        """What the network computes in this step, values in the unit of the rewards."""
        x = self._policy.normalized(observation)
        found = self._network.activations(x, state)
        value = self._policy.denormalized(found["critic/value"])
        found["critic/value"] = value.astype(np.float32)
        return {f"activations/{name}": array for name, array in found.items()}

    def _infos(self) -> dict[str, NDArray[np.float64]]:
        """Values of ``info``, and the distance of each tracked body from where the clip has it."""
        errors = self._task.body_errors()
        bodies = {
            f"global_error_{name}": errors[:, i] for i, name in enumerate(self._task.tracked_names)
        }
        return {f"infos/{name}": array for name, array in {**self._task.info(), **bodies}.items()}
