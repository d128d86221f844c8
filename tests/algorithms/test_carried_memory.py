"""PPO on short segments, with a network that has noise, a penalty and a memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box
from msgspec.structs import replace
from numpy.typing import NDArray

from poolrl.agent import Agent
from poolrl.algorithms import ppo
from poolrl.algorithms.train_state import TrainState
from poolrl.algorithms.training import initial_agent
from poolrl.config.learners import PPO
from poolrl.config.networks import EncoderDecoderSpec
from poolrl.config.schema import Spec, TaskSpec
from poolrl.networks.encoder_decoder import EncoderDecoderNetwork
from poolrl.rollouts.minibatches import Minibatches
from poolrl.rollouts.rollout import Rollout, collect
from poolrl.rollouts.sampler import Budget, Sampler
from poolrl.seeding import Streams
from poolrl.tasks.base import Ids, StepResult, Task

STEPS, SIMULATIONS, LIMIT = 8, 5, 16

HP = PPO(
    segment_steps=STEPS,
    sequence_steps=STEPS,
    minibatch_size=STEPS * SIMULATIONS,
    epochs=1,
    normalize_advantage=False,
    max_grad_norm=0.0,
    discount=0.95,
    entropy_coefficient=0.1,
    penalties={"kl": 0.16},
    learning_rate=1e-2,
)
"""As of the virtual rodent: the whole segment in one gradient step."""


class Walks(Task):
    """Random walks that terminate far from where they start, and are truncated at a limit that
    falls together with the last step of a segment."""

    observation_space = Box(-np.inf, np.inf, (4,), np.float64)
    action_space = Box(-1.0, 1.0, (2,), np.float32)
    max_episode_steps = LIMIT

    def __init__(self, num_simulations: int) -> None:
        self.num_simulations = num_simulations
        self._position = np.zeros((num_simulations, 4))
        self._elapsed = np.zeros(num_simulations, np.int64)
        self._generators: dict[int, np.random.Generator] = {}

    def senses(self) -> dict[str, NDArray[np.bool_]]:
        return {"target": np.arange(4) < 2, "body": np.arange(4) >= 2}

    def reset(self, ids: Ids, generators: Sequence[np.random.Generator]) -> None:
        self._generators |= dict(zip(ids.tolist(), generators, strict=True))
        self._position[ids] = [generator.normal(size=4) for generator in generators]
        self._elapsed[ids] = 0

    def observe(self) -> NDArray[np.float64]:
        return self._position.copy()

    def step(self, action: NDArray[Any], ids: Ids | None = None) -> StepResult:
        for i in range(self.num_simulations) if ids is None else ids.tolist():
            self._position[i] += self._generators[i].normal(0, 0.3, 4)
            self._elapsed[i] += 1
        # Some simulations never terminate, so that they reach the limit.
        far = (np.abs(self._position) > 2.5).any(axis=1) & (np.arange(self.num_simulations) > 1)
        reward = -np.square(action - self._position[:, :2]).sum(axis=1)
        return StepResult(self.observe(), reward, far, self._elapsed >= LIMIT)


def new_agent(**options: Any) -> Agent:
    network = EncoderDecoderSpec(
        encoder_senses=("target",),
        encoder=(12,),
        latent_size=3,
        decoder=(10, 8),
        critic=(12,),
        decoder_output="lstm",
        **options,
    )
    return initial_agent(
        Spec(task=TaskSpec(id="Plateau-v0"), network=network, learner=HP), Walks(1), Streams(0)
    )


def segments(state: TrainState, episodes: int = 200) -> Iterator[tuple[Rollout, Sampler]]:
    """Rollouts of one sampler, as training makes them."""
    resets = (np.random.default_rng(seed) for seed in range(10_000))
    sampler = Sampler(Walks(SIMULATIONS), resets, Budget(episodes=episodes))
    generator = np.random.default_rng(7)
    while not sampler.done:
        yield collect(sampler, state.policy, generator, STEPS), sampler


def first_ratios(state: TrainState, data: Rollout, hp: PPO = HP) -> NDArray[np.float64]:
    """The probability ratios of the samples, sorted, as an update sees them before its first
    gradient step."""
    seen: list[NDArray[np.float32]] = []
    own = state.log_prob_gradient

    def recorded(parameters: Any, sample: Any) -> Any:
        result = own(parameters, sample)
        seen.append(result.value.copy())
        return result

    state.log_prob_gradient = recorded  # type: ignore[method-assign]
    ppo.update(state, data, hp, np.random.default_rng(0))
    del state.log_prob_gradient  # type: ignore[method-assign]
    rows = next(Minibatches(data, STEPS).epoch(10**6, np.random.default_rng(0))).rows
    difference: NDArray[np.float64] = seen[0].astype(np.float64) - data.log_prob[data.valid][rows]
    return np.exp(difference)


def test_the_update_sees_the_noise_and_the_memory_of_the_rollout() -> None:
    """Over ends of episodes, of which some fall together with the end of a segment; in later
    updates too, whose memory comes from earlier parameters, and whose σ are smaller."""
    state = TrainState(new_agent())
    ends = last = 0
    for number, (data, _) in enumerate(segments(state)):
        # float32 rounds each logarithm of a density, of up to 8, by up to 2.4e-7.
        assert first_ratios(state, data) == pytest.approx(1, abs=1e-6 if number == 0 else 3e-6)
        ends += int(data.ended[:-1].sum())
        last += int((~data.goes_on).sum())
        if number == 9:
            break
    assert ends > 10
    assert last > 5


def test_another_noise_or_memory_is_seen() -> None:
    """What the test above would find, if a reset or the noise were lost."""
    state = TrainState(new_agent())
    rollouts = segments(state)
    data, _ = next(rollouts)
    ppo.update(state, data, HP, np.random.default_rng(0))
    data, _ = next(rollouts)
    assert data.noise is not None
    other = data._replace(noise=-data.noise)
    assert np.abs(first_ratios(state, other) - 1).max() > 1e-3
    forgotten = data._replace(states=tuple(np.zeros_like(part) for part in data.states))
    assert np.abs(first_ratios(state, forgotten) - 1).max() > 1e-3


def test_the_memory_goes_on_and_is_reset_where_an_episode_starts() -> None:
    """A truncation on the last step of a segment resets the memory of the next one's first step,
    and gives its target the value of the state after it."""
    state = TrainState(new_agent())
    followed = reset = 0
    rollouts = []
    for data, sampler in segments(state):
        rollouts.append((data, sampler._state))
        ppo.update(state, data, HP, np.random.default_rng(0))
        if len(rollouts) == 6:
            break
    for (before, memory), (after, _) in pairwise(rollouts):
        for kept, part in zip(memory, after.states, strict=True):
            for i in range(SIMULATIONS):
                expected = kept[i] if before.goes_on[i] else np.zeros_like(kept[i])
                assert np.array_equal(part[0, i], expected)
                followed += bool(before.goes_on[i])
                reset += not before.goes_on[i]
    assert followed > 20
    assert reset > 20
    truncated = [data for data, _ in rollouts if not data.goes_on[:2].any()]
    assert len(truncated) == 3  # at steps 16, 32 and 48
    assert all((data.bootstrap[-1, :2] != 0).all() for data in truncated)


def test_rollout_and_update_leave_the_same_memory() -> None:
    """Step by step from the memory at the start of the segment, with the recorded noise."""
    state = TrainState(new_agent())
    data, sampler = next(segments(state))
    network = state.policy.network
    assert data.noise is not None
    memory = tuple(part[0] for part in data.states)
    for t in range(STEPS):
        _, memory = network.act(data.normalized[t], memory, data.noise[t])
        memory = tuple(
            np.where(data.ended[t][:, None] & ~(t == STEPS - 1), 0, part) for part in memory
        )
    for own, kept in zip(memory, sampler._state, strict=True):
        assert own == pytest.approx(kept, abs=1e-6)


def test_the_entropy_is_that_of_the_pass_that_learns() -> None:
    """Before the gradient step, since a pass after it would be a third of the time."""
    state = TrainState(new_agent())
    data, _ = next(segments(state))
    parameters = state.policy_parameters(Minibatches(data, STEPS).whole().inputs)
    entropy = float(state.policy.distribution.entropy(parameters).mean())
    metrics = ppo.update(state, data, HP, np.random.default_rng(0))
    assert metrics["train/entropy_loss"] == pytest.approx(-entropy, rel=1e-5)
    after = state.policy_parameters(Minibatches(data, STEPS).whole().inputs)
    assert abs(float(state.policy.distribution.entropy(after).mean()) - entropy) > 1e-3


def padded() -> tuple[TrainState, Rollout]:
    """A segment in which some simulations have no episode left."""
    state = TrainState(new_agent())
    for data, _ in segments(state, episodes=9):
        if not data.valid.all() and data.valid.any(axis=0).sum() > 1:
            return state, data
    raise AssertionError("no segment is padded")


def test_no_penalty_comes_from_padding() -> None:
    state, data = padded()
    network = state.policy.network
    assert isinstance(network, EncoderDecoderNetwork)
    assert data.noise is not None
    observation, noise = data.normalized[data.valid], data.noise[data.valid]
    # New agents have a divergence of 0.
    rng = np.random.default_rng(0)
    bottleneck = state.arrays["actor.bottleneck.weight"]
    bottleneck[...] = rng.normal(0, 0.3, bottleneck.shape)
    memory = tuple(np.repeat(part, len(observation), 0) for part in network.initial_state(1))
    found = network.activations(observation, memory, noise)
    mean, std = (found[f"encoder/bottleneck/{name}"] for name in ("mu", "sigma"))
    expected = ((mean**2 + std**2 - 1) / 2 - np.log(std)).mean()
    metrics = ppo.update(state, data, HP, np.random.default_rng(0))
    assert metrics["train/penalty_kl"] == pytest.approx(expected, rel=1e-5)
    assert expected > 0.01


def test_what_stands_in_padding_changes_nothing() -> None:
    ends = []
    for number in range(2):
        state, data = padded()
        assert data.noise is not None
        rng = np.random.default_rng(number)
        for array in (data.normalized, data.noise, data.sample, *data.states):
            array[~data.valid] = rng.normal(size=array[~data.valid].shape)
        ppo.update(state, data, HP, np.random.default_rng(0))
        ends.append(state.vector.copy())
    assert np.array_equal(*ends)


def test_each_weight_acts() -> None:
    """A larger weight of the divergence makes it smaller, one of the entropy makes σ larger."""
    found: dict[str, dict[str, float]] = {}
    for name, change in {
        "neither": {"penalties": {"kl": 0.0}, "entropy_coefficient": 0.0},
        "divergence": {"penalties": {"kl": 10.0}, "entropy_coefficient": 0.0},
        "entropy": {"penalties": {"kl": 0.0}, "entropy_coefficient": 10.0},
    }.items():
        state = TrainState(new_agent())
        for number, (data, _) in enumerate(segments(state)):
            found[name] = ppo.update(state, data, replace(HP, **change), np.random.default_rng(0))
            if number == 15:
                break
    neither, divergence, entropy = found.values()
    assert divergence["train/penalty_kl"] < 0.5 * neither["train/penalty_kl"]
    assert entropy["train/std"] > neither["train/std"] + 0.02
    assert entropy["train/entropy_loss"] < neither["train/entropy_loss"]
