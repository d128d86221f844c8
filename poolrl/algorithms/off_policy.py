"""Training loop of off-policy learners: sample steps into a replay, update on what it has.

The replay is a branch's own, and ends with its training; or it goes on from what other branches
have sampled, and what this one samples is passed on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poolrl.agent import Agent
from poolrl.algorithms.actor_critic import ActorCritic
from poolrl.algorithms.energy_cost import EnergyState, activity_columns, adapted
from poolrl.algorithms.rollout_metrics import episode_metrics, length_metrics
from poolrl.algorithms.train_state import trained_agent
from poolrl.algorithms.types import MakeTask, Training, mean_metrics
from poolrl.config.exploration import Exploration, NoExploration
from poolrl.config.mpo import MPO
from poolrl.config.networks import QMLPSpec
from poolrl.config.schema import TaskSpec
from poolrl.distributions.base import Distribution
from poolrl.distributions.tanh_mean_gaussian import TanhMeanGaussian
from poolrl.errors import Divergence, UsageError
from poolrl.networks.base import State
from poolrl.networks.normalizer import update_normalizer
from poolrl.networks.parameters import (
    EXPLORATION_PREFIX,
    LEARNER_PREFIX,
    extrema_of,
    is_statistic,
)
from poolrl.networks.policy import Policy, PolicyOutput
from poolrl.rollouts.exploring import ExploringActor
from poolrl.rollouts.replay import Replay, check_replay_room
from poolrl.rollouts.replay_chunk import Chunk
from poolrl.rollouts.room import chosen_folder
from poolrl.rollouts.sampler import Actor, Budget, Sampler
from poolrl.seeding import Purpose, Streams
from poolrl.tasks.base import call_optional

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

Update = Callable[["OffPolicyState", Replay, MPO, np.random.Generator], dict[str, float]]
"""Update a training state on a replay; returns metrics."""


class OffPolicyState:
    """State that updates change in place, initialised with copies of an agent's arrays.

    Args:
        agent: to train.
        activities: (muscles,), which of the observed values the energy cost is of.

    Attributes:
        networks: actor, critic, targets and dual variables.
        policy: acts with the actor.
        distribution: of its actions.
        reward_range: smallest and largest reward so far, at most −1 and at least 1.
        energy: state of the weight of the energy cost.

    Raises:
        UsageError: its network is another one's.
    """

    def __init__(self, agent: Agent, activities: NDArray[np.intp]) -> None:
        self.activities = activities
        metadata = agent.metadata
        if not isinstance(metadata.network, QMLPSpec):
            raise UsageError("network.name: the agent has no critic of actions")
        self._agent, self._network = agent, metadata.network
        self.networks = ActorCritic(agent.arrays, metadata.network)
        own = {n: a.copy() for n, a in agent.policy_arrays.items() if is_statistic(n)}
        self._arrays = self.networks.arrays | own
        self.policy = Policy(
            self._arrays,
            metadata.network,
            metadata.observation_space.shape[0],
            metadata.action_space.space(),
        )
        assert isinstance(self.policy.distribution, TanhMeanGaussian)
        self.distribution = self.policy.distribution
        running = {n.removeprefix(LEARNER_PREFIX): float(a) for n, a in agent.learner_state.items()}
        self.reward_range = running.get("reward_min", -1.0), running.get("reward_max", 1.0)
        known = {n.removeprefix("energy_"): v for n, v in running.items() if "energy_" in n}
        self.energy = EnergyState(**known)

    def see(self, observation: F64, reward: F64, returns: F64, hp: MPO) -> None:
        """Update the statistics from what was sampled.

        Args:
            observation: (n, observation size), one at least.
            reward: (n,).
            returns: (episodes,), of those that ended.
            hp: of the learner.
        """
        update_normalizer(self._arrays, self._network, observation)
        self.policy.read_statistics()
        low, high = self.reward_range
        self.reward_range = min(low, float(reward.min())), max(high, float(reward.max()))
        for each in returns.tolist() if hp.muscles else ():
            self.energy = adapted(self.energy, each, hp.energy_threshold)

    def to_agent(
        self,
        hp: MPO,
        extrema: Mapping[str, F64],
        *,
        learner: str,
        environment_steps: int,
        episodes: int,
        updates: int,
    ) -> Agent:
        """Return the trained agent, with copies of all arrays and with the extrema that exploration
        has seen, (actuators,) by name; other arguments and errors as for
        ``poolrl.algorithms.train_state.trained_agent``."""
        arrays = {name: array.copy() for name, array in self._arrays.items()}
        for group in self.networks.groups.values():
            arrays |= group.optimizer_arrays()
        running: dict[str, float] = {}
        if hp.normalize_returns:
            running |= zip(("reward_min", "reward_max"), self.reward_range, strict=True)
        if hp.muscles:
            running |= {f"energy_{name}": v for name, v in self.energy._asdict().items()}
        arrays |= {f"{LEARNER_PREFIX}{name}": np.array(value) for name, value in running.items()}
        arrays |= {f"{EXPLORATION_PREFIX}{name}": array for name, array in extrema.items()}
        return trained_agent(
            self._agent,
            arrays,
            learner=learner,
            environment_steps=environment_steps,
            episodes=episodes,
            updates=updates,
        )


class UniformActor:
    """Acts at random, uniformly within the bounds of the actions, whatever it observes.

    Args:
        distribution: whose samples are in units of half the range of an action.
        size: number of values of an action.
    """

    def __init__(self, distribution: Distribution, size: int) -> None:
        self._distribution, self._size = distribution, size

    def act(
        self,
        observation: NDArray[np.floating],
        state: State = (),
        episode_start: NDArray[np.bool_] | None = None,
        generator: np.random.Generator | None = None,
    ) -> PolicyOutput:
        assert generator is not None
        sample = generator.uniform(-1, 1, (len(observation), self._size)).astype(np.float32)
        return PolicyOutput(self._distribution.action(sample), sample, None, ())


def train_off_policy(
    agent: Agent,
    make_task: MakeTask,
    budget: Budget,
    hp: MPO,
    streams: Streams,
    exploration: Exploration,
    training_steps: int,
    window: Sequence[Chunk] = (),
    *,
    learner: str,
    update: Update,
) -> Training:
    """Train for a budget of whole episodes, and update after every ``hp.update_interval`` steps.

    Args:
        agent, make_task, budget, hp, streams, exploration, training_steps, window: see
            ``poolrl.algorithms.training.train``.
        learner: its name, for the agent's metadata.
        update: the learner's update on the replay.

    Raises:
        Divergence: training met NaN or infinity.
        UsageError: the replay does not fit into the memory or onto the disk.
    """
    task = make_task(min(hp.simulations, budget.episodes or hp.simulations))
    simulations = task.num_simulations
    sampler = Sampler(task, streams.generators_from(Purpose.RESET), budget)
    size, actions = (
        space.shape[0] for space in (agent.metadata.observation_space, agent.metadata.action_space)
    )
    state = OffPolicyState(agent, activity_columns(hp.muscles, call_optional(task, "senses"), size))
    capacity = _capacity(budget, hp, simulations, agent)
    replay = Replay(
        capacity, simulations, size, actions, chosen_folder(), window, _capacity_key(hp)
    )
    uniform = UniformActor(state.distribution, actions)
    explorer = None
    if not isinstance(exploration, NoExploration):
        explorer = ExploringActor(
            *(state.policy, exploration, task, sampler, streams),
            extrema=extrema_of(agent.arrays),
            training_steps=training_steps,
        )
    interval = math.ceil(hp.update_interval / simulations)
    returns: list[float] = []
    lengths: list[NDArray[np.int64]] = []
    metrics: list[dict[str, float]] = []
    updates = number = 0
    # An overflow ends as a divergence, which is raised as an error of its own.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        while not sampler.done:
            before = agent.metadata.environment_steps + sampler.steps_taken
            actor: Actor = uniform if before < hp.warmup_steps else state.policy
            if explorer is not None:
                explorer.policy, actor = actor, explorer
            generator = streams.generator(Purpose.ACTION, number)
            observation, reward = _sample(sampler, actor, generator, interval, replay)
            episodes = sampler.pop_episodes()
            state.see(observation, reward, episodes.returns, hp)
            returns += episodes.returns.tolist()
            lengths.append(episodes.lengths)
            metrics.append(episode_metrics(episodes))
            after = agent.metadata.environment_steps + sampler.steps_taken
            if after >= hp.warmup_steps and replay.size >= hp.replay_start:
                shuffle = streams.generator(Purpose.SHUFFLE, number)
                metrics[-1] |= update(state, replay, hp, shuffle)
                updates += 1
            number += 1
    trained = state.to_agent(
        hp,
        {} if explorer is None else explorer.extrema(),
        learner=learner,
        environment_steps=sampler.steps_taken,
        episodes=len(returns),
        updates=updates,
    )
    means = mean_metrics(metrics) | length_metrics(np.concatenate(lengths))
    sampled = replay.chunk() if hp.replay_window else None
    return Training(trained, returns, sampler.steps_taken, updates, means, sampled)


def check_replay(
    agent: Agent, budget: Budget, hp: MPO, task: TaskSpec, folder: Path | None
) -> None:
    """Check that this machine has room for the replay of a branch.

    Args:
        agent: any one of the pool.
        budget: of a branch.
        hp: of the learner.
        task: with the maximum number of simulations.
        folder: of the files of replays; ``None`` for memory.

    Raises:
        UsageError: it has not; says how much the replay takes and how much is free.
    """
    simulations = min(hp.simulations, task.max_simulations, budget.episodes or hp.simulations)
    (size,), (actions,) = (
        space.shape for space in (agent.metadata.observation_space, agent.metadata.action_space)
    )
    capacity = _capacity(budget, hp, simulations, agent)
    check_replay_room(capacity, simulations, size, actions, folder, _capacity_key(hp))


def check_replay_keys(hp: MPO, budget: Budget, max_episode_steps: int) -> None:
    """Check that the keys of a replay go together.

    Args:
        hp: of the learner.
        budget: of a branch.
        max_episode_steps: time limit of the task.

    Raises:
        UsageError: a branch's own replay cannot have the transitions that updates begin with, so
            that nothing would ever be learned; or a size is given where the replay is shared, which
            has a window in its place.
    """
    if hp.replay_window:
        if hp.replay_size != MPO().replay_size:
            raise UsageError(
                f"learner.replay_size: {hp.replay_size:,} transitions of a replay that ends with "
                f"its branch, but by learner.replay_window = {hp.replay_window:,} branches share "
                "theirs: set learner.replay_window = 0, or the window alone"
            )
    elif hp.replay_start > hp.replay_size:
        raise UsageError(
            f"learner.replay_start: {hp.replay_start:,} transitions, which a replay of "
            f"learner.replay_size = {hp.replay_size:,} never has"
        )
    most = budget.steps or budget.episodes * max_episode_steps
    if not hp.replay_window and hp.replay_start > most:
        raise UsageError(
            f"learner.replay_start: {hp.replay_start:,} transitions, which a branch of at most "
            f"{most:,} steps never has, since its replay ends with it: set learner.replay_window"
        )


def _sample(
    sampler: Sampler,
    actor: Actor,
    generator: np.random.Generator,
    limit: int,
    replay: Replay,
) -> tuple[F64, F64]:
    """Add steps of all simulations to the replay; returns their observations and rewards.

    Raises:
        Divergence: a reward or an observation is not finite, or a simulation became unstable.
    """
    steps = list(sampler.steps(actor, generator, limit))
    observation = np.array([step.observation for step in steps])
    reward = np.array([step.reward for step in steps])
    terminated = np.array([step.terminated for step in steps])
    ended = terminated | np.array([step.truncated for step in steps])
    after = np.array([step.final_observation for step in steps])
    valid = np.array([step.valid for step in steps])
    for name, values in (
        ("observation", observation),
        ("reward", reward),
        ("final_observation", after),
    ):
        if not np.isfinite(values[valid]).all():
            raise Divergence(f"{name} is not finite in training")
    sample = np.array([step.output.sample for step in steps])
    replay.add(observation, sample, reward, terminated, ended, after, valid)
    return observation[valid], reward[valid]


def _capacity(budget: Budget, hp: MPO, simulations: int, agent: Agent) -> int:
    """Transitions that the replay needs room for: no more than the budget can fill, and where they
    are shared, all of them."""
    episode = agent.metadata.max_episode_steps
    # Simulations are stepped together, and all of them while an episode is left that has not
    # started: one has at most its part of the budget, and its last episode. An episode takes the
    # room of one transition more, for its last observation.
    if budget.episodes:
        before = (budget.episodes - 1) * episode // simulations
        most = before + episode + budget.episodes - simulations + 1
    else:
        most = 2 * math.ceil(budget.steps / simulations) + episode + 1
    whole = simulations * most
    return whole if hp.replay_window else min(hp.replay_size, whole)


def _capacity_key(hp: MPO) -> str:
    """The key of the specification that the replay's size follows from."""
    return "learner.replay_window" if hp.replay_window else "learner.replay_size"
