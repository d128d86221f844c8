"""What a unit of work computes: a function of the specification and the champion alone."""

from __future__ import annotations

import math
import statistics
from functools import cached_property
from typing import Any, NamedTuple

import msgspec

from poolrl import tasks
from poolrl.agent import Agent, AgentMetadata
from poolrl.algorithms.training import initial_agent, train
from poolrl.algorithms.types import Budget
from poolrl.config.schema import Spec
from poolrl.errors import Divergence, IncompatiblePool, UsageError
from poolrl.records.records import Evaluation, TrainingRecord
from poolrl.records.work_units import KINDS, Unit
from poolrl.rollouts.evaluation import evaluate
from poolrl.seeding import Purpose, Streams
from poolrl.tasks import Task
from poolrl.tasks.check import try_task
from poolrl.worker.phase_timer import Clock


class Result(NamedTuple):
    """What a unit gave; where it failed, the reason, and what came before it.

    Attributes:
        agent: of a branch that was trained, or a new one; ``None`` where there is no new agent.
        hyperparameters: the learner's values on a branch.
        training: of a branch.
        evaluation: of every unit that did not fail.
        failure: why it diverged; empty where it did not.
    """

    agent: Agent | None
    hyperparameters: dict[str, Any]
    training: TrainingRecord | None
    evaluation: Evaluation | None
    failure: str


class Computer:
    """Does units of a specification, keeping the tasks that it has made."""

    def __init__(self, spec: Spec, clock: Clock) -> None:
        """Raises ``UsageError`` where the task cannot be made, or cannot make a step."""
        self._spec = spec
        self._clock = clock
        self._tasks: dict[int, Task] = {}
        self._task = self.make_task(1)
        self.model_sha256 = tasks.fingerprint(self._task)
        try_task(self._task, spec.task)

    def make_task(self, episodes: int) -> Task:
        """A task for a number of episodes; how many simulations it has follows from the
        specification, since batch shapes affect the last bits of matrix products."""
        simulations = min(episodes, self._spec.task.max_simulations)
        if simulations not in self._tasks:
            self._tasks[simulations] = tasks.make(self._spec.task, simulations)
        return self._tasks[simulations]

    def initial_agent(self) -> Agent:
        """The agent that a pool without another one starts from."""
        streams = Streams(self._spec.pool.seed, Unit(0, "initial", 0).training_key)
        return initial_agent(self._spec, self._task, streams)

    @cached_property
    def _own(self) -> AgentMetadata:
        return self.initial_agent().metadata

    def check(self, agent: Agent) -> None:
        """Refuse an agent that this specification cannot go on training.

        Raises:
            UsageError: names what does not fit.
        """
        own = self._own
        for name in ("observation_space", "action_space", "network"):
            theirs, ours = getattr(agent.metadata, name), getattr(own, name)
            if theirs != ours:
                raise UsageError(
                    f"the agent's {name} is {_short(theirs)}, the pool's {_short(ours)}"
                )
        agent.check()

    def read(self, data: bytes, source: str) -> Agent:
        """An agent of this pool's.

        Raises:
            IncompatiblePool: it is none that this specification can go on training.
        """
        try:
            agent = Agent.from_bytes(data, source)
            self.check(agent)
        except UsageError as error:
            text = str(error).removeprefix(f"{source}: ")
            raise IncompatiblePool(f"{source}: {text}") from error
        return agent

    def compute(self, unit: Unit, champion: Agent | None) -> Result:
        """Do a unit.

        Args:
            unit: what to do.
            champion: the agent to start from; ``None`` for a new one.
        """
        spec, kind = self._spec, KINDS[unit.kind]
        agent = champion if champion is not None else self.initial_agent()
        if unit.kind == "initial":
            agent = self._adopted(agent)
        hyperparameters: dict[str, Any] = {}
        training = None
        try:
            if kind.trains:
                values = spec.hyperparameters(unit.index)
                hyperparameters = msgspec.to_builtins(values)
                with self._clock.phase("training"), tasks.blamed(spec.task):
                    trained = train(
                        agent,
                        self.make_task,
                        budget(spec),
                        values,
                        Streams(spec.pool.seed, unit.training_key),
                    )
                # Before it is recorded: JSON has neither NaN nor infinity.
                for name, value in trained.metrics.items():
                    if not math.isfinite(value):
                        raise Divergence(f"{name} is not finite")
                agent = trained.agent
                training = TrainingRecord(
                    episodes=len(trained.returns),
                    environment_steps=trained.environment_steps,
                    updates=trained.updates,
                    mean_return=statistics.fmean(trained.returns) if trained.returns else None,
                    metrics=trained.metrics,
                )
            with self._clock.phase("evaluation"), tasks.blamed(spec.task):
                evaluation = self._evaluate(unit, agent)
        except Divergence as error:
            return Result(None, hyperparameters, training, None, str(error))
        new = agent if kind.trains or unit.kind == "initial" else None
        return Result(new, hyperparameters, training, evaluation, "")

    def _adopted(self, agent: Agent) -> Agent:
        """An agent, maybe of another pool, that says of its task what this pool's is."""
        return Agent(agent.arrays, agent.metadata.in_world(self._own.world))

    def _evaluate(self, unit: Unit, agent: Agent) -> Evaluation:
        spec = self._spec
        reserved = KINDS[unit.kind].reserved_seeds
        episodes = spec.pool.closing_episodes if reserved else spec.pool.evaluate_episodes
        streams = Streams(spec.pool.seed, unit.evaluation_key)
        deterministic = spec.evaluation.deterministic
        played = evaluate(
            agent.policy,
            self.make_task(episodes),
            streams.generators(Purpose.EVALUATE_RESET, 0, episodes),
            None if deterministic else streams.generator(Purpose.EVALUATE_ACTION),
        )
        return Evaluation.of(
            played.returns.tolist(), played.lengths.tolist(), deterministic=deterministic
        )


def budget(spec: Spec) -> Budget:
    """How long a branch trains."""
    pool = spec.pool
    if pool.iterate_steps:
        return Budget(steps=pool.iterate_steps)
    return Budget(episodes=pool.iterate_episodes)


def _short(value: Any) -> str:
    text = str(msgspec.to_builtins(value))
    return text if len(text) <= 80 else text[:77] + "..."
