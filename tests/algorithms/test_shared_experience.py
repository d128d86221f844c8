"""One update on rollouts of several branches, with equal bits wherever they can be expected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from numpy.typing import NDArray

from poolrl.agent import Agent
from poolrl.algorithms.shared_experience import play, update
from poolrl.algorithms.training import initial_agent, train
from poolrl.config.learners import PPO, Reinforce
from poolrl.config.loading import load
from poolrl.rollouts.rollout import Rollout
from poolrl.rollouts.rollout_file import from_bytes, to_bytes
from poolrl.rollouts.sampler import Budget, Episodes
from poolrl.seeding import Streams
from poolrl.tasks import Task
from tests.helpers.counting_task import Counting

BRANCH = Streams(0, (1, 0, 0))
LEARNERS: dict[str, dict[str, Any]] = {
    "ppo": {"learner.scale_rewards": True},
    "ppo, plain values": {"learner.normalize_values": False},
    "ppo, centred": {"learner.center_rewards": True, "learner.adaptive_kl": 0.01},
    "ppo, memory": {
        "network.name": "recurrent",
        "network.memory": 3,
        "learner.sequence_steps": 2,
    },
    "reinforce": {"learner.name": "reinforce"},
    "reinforce, unit steps": {
        "learner.name": "reinforce",
        "learner.policy_step": "unit",
        "network.actor": [],
    },
}


def make(episodes: int) -> Task:
    """Episodes of one to six steps, on at most three simulations."""
    return Counting(min(episodes, 3))


def setting(name: str, **learner: Any) -> tuple[PPO | Reinforce, Agent]:
    keys = {"network.actor": [4], "network.critic": [4], "learner.minibatch_size": 5}
    own = {f"learner.{key}": value for key, value in learner.items()}
    spec, _ = load(None, {"task.id": "Plateau-v0"} | keys | LEARNERS[name] | own)
    assert isinstance(spec.learner, PPO | Reinforce)
    first = initial_agent(spec, make(1), Streams(0))
    # So that it has statistics, moments and counts.
    return spec.learner, train(first, make, Budget(4), spec.learner, Streams(0, (0, 9, 9))).agent


def parts(rollout: Rollout, widths: Sequence[int]) -> list[Rollout]:
    """A rollout divided by its simulations, in files of their own; all episodes in the first."""
    borders = np.cumsum(widths)[:-1]

    def divided(array: NDArray[Any]) -> list[NDArray[Any]]:
        return np.split(array, borders, axis=1)

    names = [n for n in Rollout._fields if n not in ("goes_on", "episodes", "states", "noise")]
    columns = {name: divided(getattr(rollout, name)) for name in names}
    states = [divided(each) for each in rollout.states]
    nothing = Episodes(np.zeros(0), np.zeros(0, np.int64))
    return [
        Rollout(
            **{name: each[number] for name, each in columns.items()},
            goes_on=np.zeros(width, np.bool_),
            episodes=rollout.episodes if number == 0 else nothing,
            states=tuple(each[number] for each in states),
        )
        for number, width in enumerate(widths)
    ]


@pytest.mark.parametrize("name", LEARNERS)
def test_one_branch_trains_as_alone(name: str) -> None:
    """A branch that samples, and an update on it, are an update of one process, bit for bit; also
    if the rollout was written to a file."""
    hp, agent = setting(name, episodes_per_update=7)
    alone = train(agent, make, Budget(episodes=7), hp, BRANCH)
    assert alone.updates == 1
    # Whatever the episodes of an update of its own would be.
    rollout = play(agent, make, Budget(episodes=7), replace(hp, episodes_per_update=2), BRANCH)
    read = from_bytes(to_bytes(rollout), agent)
    assert to_bytes(read) == to_bytes(rollout)
    for each in (rollout, read):
        shared = update(agent, [each], hp, BRANCH)
        assert shared.agent.to_bytes() == alone.agent.to_bytes()
        assert shared == alone._replace(agent=shared.agent)


def test_episodes_in_progress_run_to_their_end_after_a_budget_of_steps() -> None:
    hp, agent = setting("ppo", episodes_per_update=2)
    rollout = play(agent, make, Budget(steps=20), hp, BRANCH)
    assert rollout.valid.shape[1] == 2
    assert 20 <= int(rollout.valid.sum()) < 20 + 2 * 6
    assert int(rollout.valid.sum()) == sum(rollout.episodes.lengths)


@pytest.mark.parametrize(("steps", "segment"), [(12, 4), (13, 4), (24, 12)])
def test_segments_of_a_branch_are_one(steps: int, segment: int) -> None:
    hp, agent = setting("ppo", segment_steps=segment)
    rollout = play(agent, make, Budget(steps=steps), hp, BRANCH)
    segments = train(agent, make, Budget(steps=steps), hp, BRANCH)
    assert int(rollout.valid.sum()) == segments.environment_steps
    assert len(rollout.valid) % segment == 0
    if segments.updates == 1:
        shared = update(agent, [rollout], hp, BRANCH)
        assert shared.agent.to_bytes() == segments.agent.to_bytes()


@pytest.mark.parametrize("name", LEARNERS)
@given(
    episodes=st.integers(3, 12),
    cut=st.sampled_from([(1, 2), (2, 1), (1, 1, 1)]),
    seed=st.integers(0, 99),
)
@settings(max_examples=8, deadline=None)
def test_it_does_not_matter_how_simulations_are_divided(
    name: str, episodes: int, cut: tuple[int, ...], seed: int
) -> None:
    """Parts without each other's padding, written and read, make the update of the whole."""
    hp, agent = setting(name)
    streams = Streams(seed, (1, 0, 0))
    rollout = play(agent, make, Budget(episodes), hp, streams)
    whole = update(agent, [rollout], hp, streams)
    divided = [trimmed(each) for each in parts(rollout, cut)]
    read = [from_bytes(to_bytes(each), agent) for each in divided]
    assert update(agent, read, hp, streams).agent.to_bytes() == whole.agent.to_bytes()


def trimmed(rollout: Rollout) -> Rollout:
    """A rollout without the last steps in which no simulation is valid."""
    length = int(np.flatnonzero(rollout.valid.any(axis=1))[-1]) + 1
    names = [n for n in Rollout._fields if n not in ("goes_on", "episodes", "states", "noise")]
    return rollout._replace(
        **{name: getattr(rollout, name)[:length] for name in names},
        states=tuple(each[:length] for each in rollout.states),
    )


@given(rows=st.integers(1, 5), garbage=st.sampled_from([0.0, 7.0, -1e30]))
@settings(max_examples=10, deadline=None)
def test_padding_changes_nothing(rows: int, garbage: float) -> None:
    hp, agent = setting("ppo")
    rollout = play(agent, make, Budget(7), hp, BRANCH)
    expected = update(agent, [rollout], hp, BRANCH).agent.to_bytes()

    def padded(array: NDArray[Any], value: float) -> NDArray[Any]:
        more = np.full((rows, *array.shape[1:]), value).astype(array.dtype)
        return np.concatenate([array, more])

    names = ("observation", "normalized", "sample", "log_prob", "value")
    longer = rollout._replace(
        **{name: padded(getattr(rollout, name), garbage) for name in names},
        **{n: padded(getattr(rollout, n), 0) for n in ("reward", "ended", "bootstrap", "valid")},
    )
    assert update(agent, [longer], hp, BRANCH).agent.to_bytes() == expected
    assert to_bytes(longer._replace(valid=rollout.valid, **_cut(longer, rollout))) == to_bytes(
        rollout
    )


def _cut(longer: Rollout, like: Rollout) -> dict[str, Any]:
    names = [n for n in Rollout._fields if n not in ("goes_on", "episodes", "states", "noise")]
    return {n: getattr(longer, n)[: len(like.valid)] for n in names if n != "valid"}


def test_counts_and_statistics_are_those_of_all_parts() -> None:
    hp, agent = setting("ppo")
    rollouts = [
        play(agent, make, Budget(episodes), hp, Streams(0, (1, 0, index)))
        for index, episodes in enumerate((2, 5, 9))
    ]
    trained = update(agent, rollouts, hp, Streams(0, (1, 6, 0)))
    steps = sum(int(each.valid.sum()) for each in rollouts)
    assert (trained.environment_steps, len(trained.returns), trained.updates) == (steps, 16, 1)
    assert trained.returns == [r for each in rollouts for r in each.episodes.returns.tolist()]
    before, after = agent.metadata, trained.agent.metadata
    assert after.environment_steps == before.environment_steps + steps
    assert after.episodes == before.episodes + 16
    count = float(trained.agent.arrays["normalizer.count"])
    assert count == float(agent.arrays["normalizer.count"]) + steps
    mean = float(np.mean(trained.returns))
    assert trained.metrics["rollout/ep_rew_mean"] == pytest.approx(mean)
    assert {"train/value_loss", "train/approx_kl", "rollout/ep_len_mean"} <= trained.metrics.keys()


def test_minibatches_grow_in_number_or_in_size(monkeypatch: pytest.MonkeyPatch) -> None:
    hp, agent = setting("ppo", epochs=1)
    rollouts = [play(agent, make, Budget(9), hp, Streams(0, (1, 0, i))) for i in range(3)]
    sizes: list[int] = []
    real = type(agent.policy.network).forward

    def forward(self: Any, inputs: Any) -> Any:
        sizes.append(len(inputs.observation))
        return real(self, inputs)

    monkeypatch.setattr(type(agent.policy.network), "forward", forward)
    total = update(agent, rollouts, hp, BRANCH).environment_steps
    assert set(sizes[:-1]) == {5}
    assert len(sizes) == -(-total // 5)
    sizes.clear()
    update(agent, rollouts, hp, BRANCH, minibatches=4)
    assert len(sizes) == 4
    assert sum(sizes) == total


def test_play_is_a_function_of_agent_and_streams() -> None:
    hp, agent = setting("ppo")
    before = agent.to_bytes()
    one, again, other = (
        to_bytes(play(agent, make, Budget(6), hp, Streams(0, (1, 0, index)))) for index in (0, 0, 1)
    )
    assert one == again != other
    assert agent.to_bytes() == before
