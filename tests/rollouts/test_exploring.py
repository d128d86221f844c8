"""Sampling with exploration: who acts, on what scale, and what an episode depends on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box
from numpy.typing import NDArray

from poolrl import tasks
from poolrl.config.exploration import DEPSpec, Exploration, PinkSpec, UniformSpec, WhiteSpec
from poolrl.errors import UsageError
from poolrl.exploration.dep import DEP
from poolrl.exploration.sensors import SensorScaling
from poolrl.networks.policy import PolicyOutput
from poolrl.rollouts.exploring import ExploringActor, check_explorable
from poolrl.rollouts.sampler import Budget, Sampler
from poolrl.seeding import Purpose, Streams
from poolrl.tasks.base import ActuatorState, Ids, StepResult, Task

PURE = DEPSpec(mode="pure", tau=5, time_dist=2)


class Arms(Task):
    """Arms that follow their actions with a delay; each episode ends after a time of its own."""

    def __init__(self, num_simulations: int, *, max_episode_steps: int = 40) -> None:
        self.num_simulations, self.max_episode_steps = num_simulations, max_episode_steps
        self.observation_space = Box(-np.inf, np.inf, (3,), np.float64)
        self.action_space = Box(np.float32([0, -2, 1]), np.float32([1, 2, 5]))
        self._angle = np.zeros((num_simulations, 3))
        self._left = np.zeros(num_simulations, np.int64)
        self.actions: list[NDArray[Any]] = []

    def reset(self, ids: Ids, generators: Sequence[np.random.Generator]) -> None:
        for i, generator in zip(ids, generators, strict=True):
            self._angle[i] = generator.normal(size=3)
            self._left[i] = generator.integers(20, self.max_episode_steps + 1)

    def observe(self) -> NDArray[np.float64]:
        return self._angle.copy()

    def step(self, action: NDArray[Any], ids: Ids | None = None) -> StepResult:
        self.actions.append(np.array(action))
        rows = np.arange(self.num_simulations) if ids is None else ids
        self._angle[rows] += 0.2 * (action[rows] - self._angle[rows])
        self._left[rows] -= 1
        ended = self._left <= 0
        return StepResult(self.observe(), np.ones(len(ended)), ended, np.zeros_like(ended))

    def actuator_state(self) -> ActuatorState:
        zero = np.zeros_like(self._angle)
        return ActuatorState(self._angle.copy(), zero, zero + 3, zero)


class Constant:
    """A policy of one action, which counts how often it is asked."""

    def __init__(self, action: list[float]) -> None:
        self.action, self.asked = np.array(action, np.float32), 0

    def act(
        self,
        observation: NDArray[np.floating],
        state: Any = (),
        episode_start: Any = None,
        generator: Any = None,
    ) -> PolicyOutput:
        self.asked += 1
        return PolicyOutput(np.tile(self.action, (len(observation), 1)), None, None, ())


def sampled(
    exploration: Exploration,
    simulations: int,
    episodes: int,
    policy: Constant | None = None,
    **options: Any,
) -> tuple[list[NDArray[Any]], ExploringActor]:
    """The actions of each episode, (steps, 3), and what chose them."""
    task, streams = Arms(simulations), Streams(2)
    sampler = Sampler(task, streams.generators_from(Purpose.RESET), Budget(episodes))
    given = policy or Constant([0.5, 0.0, 3.0])
    actor = ExploringActor(given, exploration, task, sampler, streams, **options)
    found: list[list[NDArray[Any]]] = [[] for _ in range(episodes)]
    numbers = sampler.episodes
    for step in sampler.steps(actor):
        for i in np.flatnonzero(step.valid):
            found[numbers[i]].append(step.output.action[i])
        numbers = sampler.episodes
    assert task.action_space.dtype == step.output.action.dtype
    return [np.array(each) for each in found], actor


def test_pure_dep_is_the_library_over_the_whole_range() -> None:
    policy = Constant([0.5, 0.0, 3.0])
    (found, *_), actor = sampled(PURE, 3, 3, policy, alone=True)
    task = Arms(1)
    task.reset(np.array([0]), Streams(2).generators(Purpose.RESET, 0, 1))
    scaling, controller = SensorScaling(1, 3), DEP(1, 3, tau=5, time_dist=2)
    for action in found:
        state = task.actuator_state()
        y = controller.step(scaling(state.length, state.force))[0]
        np.testing.assert_array_equal(action, np.float32([0.5, 0, 3]) + y * np.float32([0.5, 2, 2]))
        task.step(action[None])
    assert np.ptp(found, axis=0).min() > 0.5
    assert policy.asked == 0
    np.testing.assert_array_equal(actor.extrema()["force_max"], 3)


@pytest.mark.parametrize("exploration", [PinkSpec(1.0), WhiteSpec(1.0)])
def test_noise_of_an_episode_is_its_own(exploration: Exploration) -> None:
    one, _ = sampled(exploration, 1, 7)
    three, _ = sampled(exploration, 3, 7)
    for alone, beside in zip(one, three, strict=True):
        np.testing.assert_array_equal(alone, beside)


def test_noise_is_added_to_the_policy_and_clipped() -> None:
    policy = Constant([1.0, 0.5, 2.0])
    found, actor = sampled(UniformSpec(0.25), 2, 40, policy)
    actions = np.concatenate(found)
    assert policy.asked > 0
    np.testing.assert_allclose(actions.max(axis=0), [1.0, 1.0, 2.5], atol=0.02)
    np.testing.assert_allclose(actions.min(axis=0), [0.875, 0.0, 1.5], atol=0.02)
    assert actor.extrema() == {}


def test_noise_alone_is_about_the_middle() -> None:
    policy = Constant([1.0, 2.0, 5.0])
    found, _ = sampled(UniformSpec(1.0), 2, 40, policy, alone=True)
    actions = np.concatenate(found)
    assert policy.asked == 0
    np.testing.assert_allclose(actions.max(axis=0), [1, 2, 5], atol=0.05)
    np.testing.assert_allclose(actions.min(axis=0), [0, -2, 1], atol=0.05)


def test_dep_goes_on_learning_while_the_policy_acts() -> None:
    """Its actions are those of a controller that saw every sensor, where they count."""
    policy = Constant([0.1, 0.2, 1.5])
    mixed = DEPSpec(mode="alternating", policy_length=3, intervention_length=2, tau=5, time_dist=2)
    (found, *_), _ = sampled(mixed, 1, 1, policy)
    task = Arms(1)
    task.reset(np.array([0]), Streams(2).generators(Purpose.RESET, 0, 1))
    scaling, controller = SensorScaling(1, 3), DEP(1, 3, tau=5, time_dist=2)
    for step, action in enumerate(found):
        state = task.actuator_state()
        y = controller.step(scaling(state.length, state.force))[0]
        own = np.float32([0.5, 0, 3]) + y * np.float32([0.5, 2, 2])
        np.testing.assert_array_equal(action, own if step % 5 >= 3 else policy.action)
        task.step(action[None])
    assert np.abs(y).max() > 0.5


def test_dep_sees_nothing_in_episodes_without_it() -> None:
    """The episode after such a one goes on from the one before it."""
    policy = Constant([0.5, 0.0, 3.0])
    spec = DEPSpec(
        mode="stochastic", greedy_every=2, intervention_probability=1.0, tau=5, time_dist=2
    )
    found, _ = sampled(spec, 1, 3, policy)
    task = Arms(1)
    generators = Streams(2).generators(Purpose.RESET, 0, 3)
    scaling, controller = SensorScaling(1, 3), DEP(1, 3, tau=5, time_dist=2)
    turn = 0  # the policy's, then five of DEP's, without the episode between
    for number in (0, 2):
        task.reset(np.array([0]), [generators[number]])
        for action in found[number]:
            state = task.actuator_state()
            y = controller.step(scaling(state.length, state.force))[0]
            own = np.float32([0.5, 0, 3]) + y * np.float32([0.5, 2, 2])
            np.testing.assert_array_equal(action, own if turn % 6 else policy.action)
            task.step(action[None])
            turn += 1
    np.testing.assert_array_equal(found[1], np.tile(policy.action, (len(found[1]), 1)))


def test_prefill_counts_the_steps_before() -> None:
    exploration = DEPSpec(mode="prefill", prefill_steps=20, tau=5, time_dist=2)
    policy = Constant([0.5, 0.0, 3.0])
    sampled(exploration, 1, 5, policy, training_steps=15)
    steps = sum(len(each) for each in sampled(exploration, 1, 5, training_steps=15)[0])
    assert policy.asked == steps - 5
    late = Constant([0.5, 0.0, 3.0])
    sampled(exploration, 1, 5, late, training_steps=20)
    assert late.asked == steps


def test_extrema_go_on() -> None:
    known = {"length_min": np.full(3, -9.0), "length_max": np.full(3, 9.0)}
    _, actor = sampled(PURE, 2, 4, extrema=known, alone=True)
    np.testing.assert_array_equal(actor.extrema()["length_min"], -9)
    np.testing.assert_array_equal(actor.extrema()["length_max"], 9)


class Silent(Arms):
    def actuator_state(self) -> Any:
        return None


class Coupled(Arms):
    def actuator_state(self) -> ActuatorState:
        return ActuatorState(*(np.zeros((self.num_simulations, 5)) for _ in range(4)))


class Unbounded(Arms):
    def __init__(self, num_simulations: int) -> None:
        super().__init__(num_simulations)
        self.action_space = Box(-np.inf, np.inf, (3,), np.float32)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Silent, "exploration.name = dep: Here-v0 does not tell the state of its actuators"),
        (Coupled, "exploration.name = dep: .* Here-v0 has 5 actuators and actions of 3 numbers"),
        (Unbounded, "exploration.name = dep: .* actions of Here-v0 are real numbers without bound"),
        (
            lambda n: tasks.make("CartPole-v1", n),
            "exploration.name = dep: needs real numbers between bounds; .* Here-v0 are choices",
        ),
    ],
)
def test_tasks_that_cannot_be_explored(make: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_explorable(DEPSpec(), make(2), "Here-v0")
