"""Computation of a unit of work: a function of the specification and of the merge before alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from poolrl import tasks
from poolrl.agent import Agent, AgentMetadata
from poolrl.algorithms.averaging import check_averages, check_finite, check_no_nan, mean_agent
from poolrl.algorithms.rollout_metrics import episode_metrics
from poolrl.algorithms.shared_experience import play, update
from poolrl.algorithms.training import check_learner, initial_agent, train
from poolrl.algorithms.types import Training
from poolrl.config.learners import PPO, Learner, Reinforce
from poolrl.config.schema import Spec
from poolrl.config.tables import flatten
from poolrl.errors import Divergence, IncompatiblePool, UsageError
from poolrl.networks import permissions
from poolrl.parallel import use_threads
from poolrl.pool.directory import Pool
from poolrl.pool.evolution import branch_values
from poolrl.records.evaluation import Evaluation
from poolrl.records.records import MergeRecord, TrainingRecord
from poolrl.records.work_units import KINDS, Unit
from poolrl.rollouts.episode_infos import EpisodeInfos, declared_aggregates
from poolrl.rollouts.exploring import check_explorable
from poolrl.rollouts.replay_chunk import Chunk
from poolrl.rollouts.rollout import Rollout
from poolrl.rollouts.rollout_file import check_finite as check_rollout
from poolrl.rollouts.room import use_folder
from poolrl.rollouts.sampler import Budget
from poolrl.seeding import Streams
from poolrl.tasks import Task
from poolrl.tasks.check import try_task
from poolrl.worker.action_space import agents_action_space
from poolrl.worker.phase_timer import PhaseTimer
from poolrl.worker.unit_results import evaluation_of, training_record


class Result(NamedTuple):
    """Result of a unit; of one that diverged, the reason and what was computed before.

    Attributes:
        agent: trained by a branch or an update, a candidate, or the initial one; ``None`` if the
            unit makes no new agent.
        hyperparameters: of a branch or an update.
        training: of a branch or an update.
        evaluation: of a unit that did not diverge, if the merge rule needs it.
        failure: reason of the divergence; empty if there was none.
        rollout: of a branch that only samples experience.
        transitions: that a branch of a learner with a shared replay has sampled.
    """

    agent: Agent | None
    hyperparameters: dict[str, Any]
    training: TrainingRecord | None
    evaluation: Evaluation | None
    failure: str
    rollout: Rollout | None = None
    transitions: Chunk | None = None


class Sources(NamedTuple):
    """What a unit is made of beside the champion, in the order of the branches' indices.

    Attributes:
        agents: of branches, for a candidate.
        rollouts: of branches, for an update.
        window: of the shared replay, for a branch; the oldest chunk first.
    """

    agents: Sequence[Agent] = ()
    rollouts: Sequence[Rollout] = ()
    window: Sequence[Chunk] = ()


NO_SOURCES = Sources()


class UnitComputation:
    """Computes the units of a specification, and keeps the tasks that it has made.

    Attributes:
        model_sha256: of the task's compiled model; empty if it has none.
    """

    def __init__(
        self,
        spec: Spec,
        timer: PhaseTimer | None = None,
        *,
        pool: Pool | None = None,
        threads: int = 1,
        replay_folder: str | None = None,
    ) -> None:
        """
        Args:
            spec: of the pool.
            timer: of training and evaluation.
            pool: that exists already, and goes on in the action space that its agents have.
            threads: of ``poolrl.parallel.use_threads``; results do not depend on them.
            replay_folder: of ``poolrl.rollouts.room.use_folder``; likewise.

        Raises:
            UsageError: the task cannot be made, or cannot make a step.
        """
        self._spec = spec
        self._timer = timer or PhaseTimer()
        self._threads = threads
        self._replay_folder = Path(replay_folder) if replay_folder is not None else None
        self._tasks: dict[int, Task] = {}
        self._notes: set[str] = set()  # that were said
        self._task = self.make_task(1)
        try:
            self._action_space = agents_action_space(self._task, pool)
            self.model_sha256 = tasks.fingerprint(self._task, spec.task)
            try_task(self._task, spec.task)
            check_explorable(spec.exploration, self._task, spec.task.id)
            declared_aggregates(self._task)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the tasks that were made; another unit makes new ones."""
        with ExitStack() as stack:
            while self._tasks:
                stack.callback(tasks.close, self._tasks.popitem()[1], self._spec.task)

    def change_threads(self, threads: int) -> None:
        """Let units use another number of threads, with tasks that are made for it.

        Args:
            threads: as for the constructor.
        """
        if threads != self._threads:
            self.close()
            self._threads = threads

    def make_task(self, episodes: int) -> Task:
        """A task for a number of episodes.

        Its number of simulations follows from the specification alone, since batch shapes affect
        the last bits of matrix products.
        """
        simulations = min(episodes, self._spec.task.max_simulations)
        if simulations not in self._tasks:
            with use_threads(self._threads):
                self._tasks[simulations] = tasks.make(self._spec.task, simulations)
        return self._tasks[simulations]

    def initial_agent(self) -> Agent:
        """The agent that the seed of the pool draws."""
        return self._initial_agent

    @cached_property
    def _initial_agent(self) -> Agent:  # once, since a user's own network is tried each time
        streams = Streams(self._spec.pool.seed, Unit(0, "initial", 0).training_key)
        return initial_agent(self._spec, self._task, streams, self._action_space)

    def check_learner(self, learner: Learner) -> None:
        """Check that the learner suits network and task with the hyper-parameters of a branch.

        Raises:
            UsageError: it does not; names the key.
        """
        agent = self.initial_agent()
        check_learner(learner, agent.metadata.network, agent.arrays, self._task)

    def check_infos(self) -> None:
        """Check the names of the task's info that the specification gives.

        Raises:
            UsageError: as ``EpisodeInfos.check_names``.
        """
        score, aggregates = self._spec.selection.info_name, self._spec.evaluation.info
        if score is None and not aggregates:
            return
        infos = EpisodeInfos(self._task, aggregates)
        with tasks.blamed(self._spec.task):
            known = infos.names_after_a_step()
        infos.check_names(known, score, self._spec.task.id)

    def check_merge(self) -> None:
        """Check that the agents of this pool can be merged by its rule.

        Raises:
            UsageError: they cannot; names the key.
        """
        merge = self._spec.merge
        if merge.averages:
            key = "merge.candidates" if merge.candidates else "merge.rule = mean"
            normalized = bool(getattr(self._spec.learner, "normalize_values", False))
            try:
                check_averages(self.initial_agent(), normalized_values=normalized)
            except UsageError as error:
                raise UsageError(f"{key}: {error}") from None

    @property
    def _own(self) -> AgentMetadata:
        return self._initial_agent.metadata

    def check(self, agent: Agent) -> None:
        """Check that this specification can continue to train an agent.

        Raises:
            UsageError: it cannot; names what does not fit.
        """
        own = self._own
        for name in ("observation_space", "action_space", "own_actions", "network"):
            theirs, ours = getattr(agent.metadata, name), getattr(own, name)
            if theirs != ours:
                raise UsageError(
                    f"the agent's {name} is {_short(theirs)}, the pool's {_short(ours)}"
                )
        agent.check()

    def check_first(self, agent: Agent) -> None:
        """Check that a pool of this specification can start from an agent.

        Raises:
            UsageError: as ``check``; the precision of its normaliser may be another one.
        """
        self.check(self._adopted(agent))

    def read(self, data: bytes, source: str, *, first: bool = False) -> Agent:
        """Decode an agent of this pool.

        Args:
            data: content of the agent file.
            source: name of the file, for errors.
            first: it is the agent that the pool starts from; see ``check_first``.

        Raises:
            IncompatiblePool: it is damaged, or this specification cannot continue to train it.
        """
        try:
            agent = Agent.from_bytes(data, source)
            self.check_first(agent) if first else self.check(agent)
        except UsageError as error:
            text = str(error).removeprefix(f"{source}: ")
            raise IncompatiblePool(f"{source}: {text}") from error
        return agent

    def compute(
        self,
        unit: Unit,
        champion: Agent | None,
        sources: Sources = NO_SOURCES,
        start: MergeRecord | None = None,
    ) -> Result:
        """Compute a unit.

        Args:
            unit: the unit.
            champion: the agent to start from; ``None`` for the one that the seed draws.
            sources: what the unit is made of beside the champion.
            start: the merge that it starts from, with the values of evolving hyper-parameters and
                the control steps of the pool's training; ``None`` for none.
        """
        spec, kind = self._spec, KINDS[unit.kind]
        agent = champion if champion is not None else self._initial_agent
        if unit.kind == "initial":
            agent = self._adopted(agent)
        hyperparameters: dict[str, Any] = {}
        training = rollout = transitions = None
        try:
            if kind.trains:
                line = start.line_values if start is not None else {}
                evolved = branch_values(spec, unit, line)
                values = spec.hyperparameters(unit.index, evolved)
                hyperparameters = flatten(msgspec.to_builtins(values))
                with self._timer.phase("training"), self._blamed():
                    steps = start.training_steps if start is not None else 0
                    trained, rollout = self._train(unit, agent, values, sources, steps)
                agent, training = trained.agent, training_record(trained)
                transitions = trained.transitions
            if unit.kind == "candidate":
                step = spec.merge.candidates[unit.index]
                weights = [1 / len(sources.agents)] * len(sources.agents)
                with self._timer.phase("merge"):
                    agent = mean_agent(agent, sources.agents, weights, step=step)
            if spec.merge.averages:
                # Nothing else would notice it where branches are not evaluated.
                check_finite(agent)
            elif kind.trains:
                # An evaluation does not see critic and optimiser.
                check_no_nan(agent)
            evaluation = None
            if not kind.trains or spec.merge.evaluates_branches:
                with self._timer.phase("evaluation"), self._blamed():
                    evaluation = self._evaluate(unit, agent)
        except Divergence as error:
            return Result(None, hyperparameters, training, None, str(error))
        makes_agent = kind.trains or unit.kind in ("initial", "candidate")
        new = agent if makes_agent and rollout is None else None
        return Result(new, hyperparameters, training, evaluation, "", rollout, transitions)

    def _train(
        self, unit: Unit, agent: Agent, values: Learner, sources: Sources, training_steps: int
    ) -> tuple[Training, Rollout | None]:
        """Train a branch, or do its part of a training that branches share.

        Args:
            unit: a branch or an update.
            agent: the champion.
            values: hyper-parameters.
            sources: of an update, or the window of a branch.
            training_steps: control steps of the pool's training before.

        Returns:
            The training, and the rollout of a branch that only samples experience.

        Raises:
            Divergence: training met NaN or infinity.
        """
        spec = self._spec
        streams = Streams(spec.pool.seed, unit.training_key)
        if not spec.merge.shares_experience:
            trained = train(
                *(agent, self.make_task, budget(spec), values, streams),
                exploration=spec.exploration,
                window=sources.window,
                training_steps=training_steps,
            )
            return trained, None
        assert isinstance(values, PPO | Reinforce)
        if unit.kind == "update":
            minibatches = spec.merge.minibatches
            return update(agent, sources.rollouts, values, streams, minibatches=minibatches), None
        rollout = play(agent, self.make_task, budget(spec), values, streams)
        check_rollout(rollout)
        returns, steps = rollout.episodes.returns.tolist(), int(rollout.valid.sum())
        return Training(agent, returns, steps, 0, episode_metrics(rollout.episodes)), rollout

    @contextmanager
    def _blamed(self) -> Iterator[None]:
        """Compute in the worker's threads, and name the file and line of what a user's task or
        network raises."""
        with (
            use_threads(self._threads),
            use_folder(self._replay_folder),
            tasks.blamed(self._spec.task),
            permissions.blamed(self._spec.network),
        ):
            yield

    def _adopted(self, agent: Agent) -> Agent:
        """A copy of an agent, maybe of another pool, with the metadata of this pool's task, and
        with its arithmetic: the statistics of the normaliser mean the same in both precisions, and
        only the actions' outer form may be another one."""
        metadata = agent.metadata.in_world(self._own.world)
        precision = self._own.network.normalizer_precision
        network = replace(metadata.network, normalizer_precision=precision)
        metadata = replace(metadata, network=network, own_actions=self._own.own_actions)
        return Agent(agent.arrays, metadata)

    def _evaluate(self, unit: Unit, agent: Agent) -> Evaluation:
        reserved = KINDS[unit.kind].reserved_seeds
        pool = self._spec.pool
        task = self.make_task(pool.closing_episodes if reserved else pool.evaluate_episodes)
        return evaluation_of(self._spec, unit, agent, task, self._notes)


def budget(spec: Spec) -> Budget:
    """The training budget of a branch."""
    pool = spec.pool
    if pool.iterate_steps:
        return Budget(steps=pool.iterate_steps)
    return Budget(episodes=pool.iterate_episodes)


def _short(value: Any) -> str:
    text = str(msgspec.to_builtins(value))
    return text if len(text) <= 80 else text[:77] + "..."
