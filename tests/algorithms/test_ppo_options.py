"""Options of PPO and REINFORCE: schedules, adaptive rates, losses of the value, scaled rewards."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from poolrl import tasks
from poolrl.agent import Agent
from poolrl.algorithms import ppo, reinforce
from poolrl.algorithms.reward_scaler import RewardScaler
from poolrl.algorithms.schedules import LARGEST_RATE, SMALLEST_RATE, adapted, scheduled
from poolrl.algorithms.train_state import TrainState
from poolrl.algorithms.training import initial_agent, train
from poolrl.algorithms.value_loss import value_loss
from poolrl.config.learners import PPO, Reinforce
from poolrl.config.loading import load
from poolrl.errors import UsageError
from poolrl.rollouts.rollout import Rollout
from poolrl.rollouts.sampler import Budget
from poolrl.seeding import Streams
from tests.helpers.small_updates import agent, rollout

NORMALISED: dict[str, Any] = {"normalize_values": True, "gradient_clipping": "separate"}


def update(hp: PPO, state: TrainState | None = None) -> tuple[TrainState, dict[str, float]]:
    state = state or TrainState(agent("gaussian"), normalize_values=hp.normalize_values)
    data = rollout(TrainState(agent("gaussian")))
    return state, ppo.update(state, data, hp, np.random.default_rng(0))


def saved(state: TrainState) -> Agent:
    made = state.to_agent(learner="ppo", environment_steps=0, episodes=0, updates=1)
    return Agent.from_bytes(made.to_bytes())


def test_schedules_go_from_start_to_end_and_stay() -> None:
    assert [scheduled(2.0, "linear", s, 100, 0.5) for s in (0, 50, 100, 900)] == [2, 1.5, 1, 1]
    values = [scheduled(2.0, "exponential", s, 100, 0.25) for s in (0, 50, 100, 900)]
    assert values == pytest.approx([2, 1, 0.5, 0.5])
    assert scheduled(2.0, "constant", 50, 0, 0.0) == 2


def test_schedules_follow_the_agents_own_line() -> None:
    """The clock is the agent's count of steps, which a merge hands on."""
    hp = PPO(
        epochs=1,
        learning_rate=1e-3,
        learning_rate_schedule="linear",
        clip_range_schedule="linear",
        schedule_steps=1000,
    )
    state = TrainState(agent("gaussian"))
    state.environment_steps = 250
    metrics = update(hp, state)[1]
    assert metrics["train/learning_rate"] == pytest.approx(7.5e-4)
    assert metrics["train/clip_range"] == pytest.approx(0.15)
    state.environment_steps = 1000
    before = state.vector.copy()
    update(hp, state)
    assert np.array_equal(state.vector, before)  # a rate of 0


@given(st.floats(1e-6, 1e-2), st.floats(0, 1), st.floats(1e-3, 0.1))
def test_the_adaptive_rate_stays_within_its_bounds(rate: float, kl: float, target: float) -> None:
    new = adapted(rate, kl, target)
    assert SMALLEST_RATE <= new <= LARGEST_RATE
    assert (new < rate) == (kl > 2 * target and rate > SMALLEST_RATE)
    assert (new > rate) == (kl < target / 2 and rate < LARGEST_RATE)


def test_the_adaptive_rate_is_part_of_the_agent() -> None:
    hp = PPO(epochs=4, learning_rate=1e-3, adaptive_kl=10.0)  # every epoch may go further
    state, metrics = update(hp)
    expected = 1e-3 * 1.5**4
    assert metrics["train/learning_rate"] == pytest.approx(expected)
    again = TrainState(saved(state))
    # A branch's own rate says where it starts; a timid agent goes on from where it was.
    _, metrics = update(replace(hp, learning_rate=1e-5, epochs=1), again)
    assert metrics["train/learning_rate"] == pytest.approx(expected * 1.5)
    # Without the option the rate is the learner's again, and the agent's file has none.
    _, metrics = update(PPO(epochs=1, learning_rate=1e-5), again)
    assert metrics["train/learning_rate"] == 1e-5
    assert not saved(again).learner_state


def test_a_large_divergence_lowers_the_rate() -> None:
    _, metrics = update(PPO(epochs=3, learning_rate=3e-2, adaptive_kl=0.01, minibatch_size=8))
    assert metrics["train/learning_rate"] < 2e-2


def test_an_update_ends_at_its_target_kl() -> None:
    hp = PPO(epochs=20, learning_rate=1e-2, minibatch_size=16)
    free, stopped = update(hp)[1], update(replace(hp, target_kl=0.02))[1]
    assert free["train/approx_kl"] > 0.1
    assert stopped["train/approx_kl"] < 0.06
    # The rollout's log-probabilities are off, so that not even the first minibatch is stepped with.
    state = TrainState(agent("gaussian"))
    before = state.vector.copy()
    update(replace(hp, target_kl=1e-4), state)
    assert np.array_equal(state.vector, before)


@pytest.mark.parametrize("kind", ["squared", "smooth_l1"])
@pytest.mark.parametrize("clip_range", [0.0, 0.3])
def test_the_value_losss_derivative(kind: Any, clip_range: float) -> None:
    hp = PPO(value_loss=kind, value_clip_range=clip_range, **NORMALISED)
    rng = np.random.default_rng(0)
    values, targets, old = (rng.normal(size=200).astype(np.float32) for _ in range(3))
    given_old = old if clip_range else None
    loss, derivative = value_loss(values, targets, given_old, hp)
    width = np.float32(1e-3)
    above = value_loss(values + width, targets, given_old, hp).loss
    below = value_loss(values - width, targets, given_old, hp).loss
    slope = (above - below) / (2 * width)
    # Two or three of these lie at a corner, where one side or the other is the derivative.
    assert np.mean(np.abs(slope - derivative) < 5e-3) > 0.97
    square = (values - targets) ** 2
    if clip_range:
        bound = old + np.clip(values - old, -clip_range, clip_range)
        assert (loss >= value_loss(values, targets, None, hp).loss).all()
        assert (loss >= value_loss(bound, targets, None, hp).loss - 1e-6).all()
        assert (derivative == 0).any()
    elif kind == "smooth_l1":
        size = np.sqrt(square)
        assert loss == pytest.approx(np.where(size < 1, square / 2, size - 0.5), abs=1e-5)


def test_advantages_may_be_scaled_by_minibatch() -> None:
    hp = PPO(epochs=1, minibatch_size=16)
    by_update, by_minibatch = update(hp)[0], update(replace(hp, advantage_batch="minibatch"))[0]
    assert not np.allclose(by_update.vector, by_minibatch.vector)
    whole = replace(hp, minibatch_size=1000)
    by_update, by_minibatch = (
        update(whole)[0],
        update(replace(whole, advantage_batch="minibatch"))[0],
    )
    assert by_update.vector == pytest.approx(by_minibatch.vector, abs=1e-6)


def test_rewards_are_scaled_by_the_deviation_of_the_running_return() -> None:
    data = rollout(TrainState(agent("gaussian")))
    running: dict[str, Any] = {}
    scaler = RewardScaler(running)
    scaled = scaler(data, 0.9)
    returns = []
    for i in range(data.reward.shape[1]):
        total = 0.0
        for t in range(len(data.reward)):
            total = 0.9 * total + float(data.reward[t, i])
            if data.valid[t, i]:
                returns.append(total)
            total *= not data.ended[t, i]
    assert scaled == pytest.approx(data.reward / np.std(returns), rel=1e-5)
    assert float(running["learner/return_count"]) == len(returns)


def test_a_return_goes_on_over_segments() -> None:
    """Two halves of a rollout give the statistics of the whole."""
    data = rollout(TrainState(agent("gaussian")))
    half = len(data.reward) // 2
    parts = [
        data._replace(
            **{name: getattr(data, name)[part] for name in ("reward", "ended", "valid")},
        )
        for part in (slice(None, half), slice(half, None))
    ]
    open_episodes = ~parts[0].ended[-1]
    parts[0].ended[-1] = True  # as at the end of every rollout
    parts[0] = parts[0]._replace(goes_on=open_episodes)
    whole: dict[str, Any] = {}
    halves: dict[str, Any] = {}
    data = rollout(TrainState(agent("gaussian")))
    RewardScaler(whole)(data, 0.9)
    scaler = RewardScaler(halves)
    for part in parts:
        scaler(part, 0.9)
    for name, value in whole.items():
        assert float(halves[name]) == pytest.approx(float(value), rel=1e-9), name


def test_the_scale_of_rewards_is_part_of_the_agent() -> None:
    hp = PPO(epochs=1, scale_rewards=True)
    state, _ = update(hp)
    again = saved(state)
    assert set(again.learner_state) == {f"learner/return_{n}" for n in ("mean", "var", "count")}
    ends = [update(hp, TrainState(again))[0].vector for _ in range(2)]
    assert np.array_equal(*ends)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"learning_rate_schedule": "linear"}, ["no end", "schedule_steps"]),
        (
            {"entropy_schedule": "exponential", "schedule_steps": 10},
            ["entropy_schedule", "schedule_end"],
        ),
        (
            {"learning_rate_schedule": "linear", "schedule_steps": 9, "adaptive_kl": 0.01},
            ["adaptive_kl and learning_rate_schedule"],
        ),
        (
            {"value_loss": "smooth_l1", "normalize_values": False},
            ["value_loss", "normalize_values"],
        ),
        (
            {"value_clip_range": 0.2, "normalize_values": False},
            ["value_clip_range", "normalize_values"],
        ),
    ],
)
def test_what_does_not_go_together_is_refused(keys: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        load(None, {"learner.name": "ppo", **{f"learner.{k}": v for k, v in keys.items()}})
    for word in ["learner", *words]:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (
            {"learner.minibatch_size": 10, "network.name": "recurrent"},
            ["learner.sequence_steps", "minibatch_size = 10"],
        ),
        (
            {"learner.segment_steps": 40, "network.name": "recurrent"},
            ["learner.sequence_steps", "segment_steps = 40", "no multiple of 16"],
        ),
        (
            {"learner.name": "reinforce", "learner.policy_step": "unit"},
            ["learner.policy_step", "network.actor = []"],
        ),
    ],
)
def test_networks_that_a_learner_cannot_train(keys: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        load(None, {"learner.name": "ppo", **keys})
    for word in words:
        assert word in str(error.value)


def reinforced(hp: Reinforce, data: Rollout, *, episodes: int = 0) -> TrainState:
    state = TrainState(agent("beta", actor=()))
    state.episodes = episodes
    reinforce.update(state, data, hp, np.random.default_rng(0))
    return state


def test_a_warm_up_leaves_the_policy_alone() -> None:
    start = TrainState(agent("beta", actor=()))
    data = rollout(start)
    hp = Reinforce(warmup_episodes=5)
    warming, learning = reinforced(hp, data, episodes=4), reinforced(hp, data, episodes=5)
    for state, changes in ((warming, False), (learning, True)):
        policy = state.parts["policy"]
        assert np.array_equal(state.vector[policy], start.vector[policy]) != changes
        value = state.parts["value"]
        assert not np.array_equal(state.vector[value], start.vector[value])


def test_a_warm_up_leaves_a_shared_trunk_alone() -> None:
    start = TrainState(agent("beta", shared=True))
    state = TrainState(agent("beta", shared=True))
    reinforce.update(state, rollout(start), Reinforce(warmup_episodes=5), np.random.default_rng(0))
    for part in ("policy", "shared", "value"):
        own = state.parts[part]
        same = np.array_equal(state.vector[own], start.vector[own])
        assert same == (part != "value")


def test_without_a_baseline_advantages_are_returns() -> None:
    start = TrainState(agent("beta", actor=()))
    data = rollout(start)
    hp = Reinforce(baseline="none")
    state = reinforced(hp, data)
    value = state.parts["value"]
    assert np.array_equal(state.vector[value], start.vector[value])
    zero = data._replace(value=np.zeros_like(data.value))
    same = reinforced(Reinforce(), zero)
    policy = state.parts["policy"]
    assert np.array_equal(state.vector[policy], same.vector[policy])


def test_unit_steps_are_of_what_the_actor_sees() -> None:
    keys: dict[str, Any] = {
        "task.id": "Plateau-v0",
        "network.actor": [],
        "network.critic_senses": ["first"],
        "learner.name": "reinforce",
        "learner.policy_step": "unit",
    }
    spec, _ = load(None, keys)
    with closing(tasks.make(spec.task, 1)) as task:
        first = initial_agent(spec, task, Streams(0))
    trained = train(
        first,
        lambda episodes: tasks.make(spec.task, episodes),
        Budget(episodes=4),
        spec.learner,
        Streams(1),
    ).agent
    changed = trained.arrays["actor.0.weight"] != first.arrays["actor.0.weight"]
    assert changed.any()
    assert changed.shape[1] == 1


def test_unit_steps_move_each_output_by_its_rate() -> None:
    """One sample: every output's weights move by α |δ| along ±(x, 1)."""
    start = TrainState(agent("beta", actor=()))
    data = rollout(start)
    first = np.zeros_like(data.valid)
    first[0, 0] = True
    data = data._replace(valid=first, ended=np.ones_like(data.ended))
    hp = Reinforce(policy_step="unit", learning_rate=0.1, normalize_advantage=False)
    state = reinforced(hp, data)
    delta = float(data.reward[0, 0] - data.value[0, 0])
    x = np.append(data.normalized[0, 0], 1)
    x /= np.linalg.norm(x)
    moved = np.column_stack(
        [
            state.arrays[f"actor.0.{name}"] - start.arrays[f"actor.0.{name}"]
            for name in ("weight", "bias")
        ]
    )
    _, by_parameters = start.policy.distribution.log_prob_gradient(
        start.policy.network.act(data.normalized[0, :1], ())[0], data.sample[0, :1]
    )
    expected = 0.1 * delta * np.sign(by_parameters[0])[:, None] * x
    assert moved == pytest.approx(expected, abs=1e-6)
