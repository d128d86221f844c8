"""Replay against a list of transitions, and against the published buffer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from poolrl.errors import UsageError
from poolrl.rollouts.replay import Replay, row_bytes
from poolrl.rollouts.replay_chunk import Chunk, from_buffer, to_bytes

PUBLISHED = Path(__file__).parents[1] / "algorithms" / "published_mpo" / "mpo.npz"


class Step(NamedTuple):
    observation: float
    reward: float
    terminated: bool
    ended: bool
    after: float


def fill(replay: Replay, n: int, steps: int, seed: int) -> list[list[Step]]:
    """Add steps of invented episodes, some at a time; returns those of each simulation, of which
    some pause."""
    rng = np.random.default_rng(seed)
    made: list[list[Step]] = [[] for _ in range(n)]
    now = rng.random(n)
    added: list[tuple[NDArray[Any], ...]] = []
    for number in range(steps):
        valid = rng.random(n) < 0.9
        after, reward = rng.random(n), rng.random(n)
        terminated = rng.random(n) < 0.1
        ended = terminated | (rng.random(n) < 0.1)
        sample = now[:, None] + 10
        added.append((now[:, None], sample, reward, terminated, ended, after[:, None], valid))
        if rng.random() < 0.3 or number == steps - 1:
            replay.add(*map(np.array, zip(*added, strict=True)))
            added.clear()
        for i in np.flatnonzero(valid):
            made[i].append(Step(now[i], reward[i], terminated[i], ended[i], after[i]))
        now = np.where(valid, np.where(ended, rng.random(n), after), now)
    return made


def several_steps(steps: list[Step], n: int, discount: float) -> tuple[float, float, float]:
    """Reward, discount and last observation from the first of these steps, one after another."""
    total, factor = 0.0, 1.0
    for step in steps[:n]:
        total += factor * step.reward
        factor *= discount * (not step.terminated)
        if step.ended:
            break
    return total, factor, step.after


@settings(max_examples=50)
@given(
    capacity=st.integers(3, 60),
    n=st.integers(1, 3),
    steps=st.integers(1, 50),
    return_steps=st.integers(1, 6),
    seed=st.integers(0, 1000),
)
def test_transitions_are_those_that_were_added(
    capacity: int, n: int, steps: int, return_steps: int, seed: int
) -> None:
    replay = Replay(capacity, n, 1, 1)
    made = fill(replay, n, steps, seed)
    assert replay.size <= capacity
    if not replay.size:
        return
    rows = np.unique(replay.draw(3000, np.random.default_rng(seed)))
    batch = replay.transitions(rows, return_steps, 0.9)
    by_observation = {
        np.float32(step.observation): several_steps(each[i:], return_steps, 0.9)
        for each in made
        for i, step in enumerate(each)
    }
    assert_allclose(batch.sample[:, 0], batch.observation[:, 0] + 10, rtol=1e-6)
    for i, observation in enumerate(batch.observation[:, 0]):
        expected = by_observation[observation]
        found = batch.reward[i], batch.discount[i], batch.next_observation[i, 0]
        assert_allclose(found, expected, rtol=1e-6)
    # The newest of each simulation, as many as its rows have room for beside the episodes' ends.
    newest = set()
    for each in made:
        used = 0
        for step in reversed(each):
            used += 1 + (step.ended or not used)
            if used > capacity // n + 1:
                break
            newest.add(np.float32(step.observation))
    assert set(batch.observation[:, 0]) == newest
    assert len(newest) == replay.size


def test_every_transition_is_drawn_alike() -> None:
    replay = Replay(40, 2, 1, 1)
    fill(replay, 2, 60, 4)
    rows = replay.draw(40_000, np.random.default_rng(0))
    numbers, counts = np.unique(rows, return_counts=True)
    assert len(numbers) == replay.size
    expected = len(rows) / replay.size
    assert abs(counts - expected).max() < 5 * np.sqrt(expected)


@pytest.mark.parametrize("return_steps", [3, 5])
@pytest.mark.parametrize("mapped", [False, True])
def test_returns_are_those_of_the_published_buffer(
    return_steps: int, mapped: bool, tmp_path: Path
) -> None:
    """After 500 steps of three environments, with resets; by ``published_mpo/make.py``."""
    published = np.load(PUBLISHED)
    given = {
        key: published[f"replay/{key}"]
        for key in (
            *("observations", "actions", "rewards", "terminations", "resets"),
            "next_observations",
        )
    }
    steps, n = given["rewards"].shape
    replay = Replay(2 * steps * n, n, 1, 1, tmp_path if mapped else None)
    replay.add(*given.values(), np.ones((steps, n), np.bool_))
    assert replay.size == steps * n
    rows = np.unique(replay.draw(40_000, np.random.default_rng(1)))
    assert len(rows) == steps * n
    batch = replay.transitions(rows, return_steps, 0.99)
    # Rows are in the order of simulations, and theirs in the order of time.
    for name, ours in (
        ("rewards", batch.reward),
        ("discounts", batch.discount),
        ("next_observations", batch.next_observation),
    ):
        theirs = published[f"replay/{return_steps}/{name}"]
        assert_allclose(ours, np.swapaxes(theirs, 0, 1).reshape(ours.shape), rtol=2e-6, atol=1e-6)


@given(
    capacity=st.integers(6, 40),
    steps=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    return_steps=st.integers(1, 4),
    seed=st.integers(0, 100),
)
@settings(max_examples=30)
def test_transitions_of_chunks_are_those_of_the_replays_that_they_come_from(
    capacity: int, steps: list[int], return_steps: int, seed: int
) -> None:
    def held(replay: Replay) -> dict[float, tuple[float, ...]]:
        rows = np.unique(replay.draw(2000, np.random.default_rng(seed)))
        assert len(rows) == replay.size
        batch = replay.transitions(rows, return_steps, 0.9)
        columns = batch.sample[:, 0], batch.reward, batch.discount, batch.next_observation[:, 0]
        return dict(zip(batch.observation[:, 0], zip(*columns, strict=True), strict=True))

    chunks: list[Chunk] = []
    expected: dict[float, tuple[float, ...]] = {}
    for number, count in enumerate(steps):
        replay = Replay(capacity, 2, 1, 1)
        fill(replay, 2, count, seed + number)
        if replay.size:
            expected |= held(replay)
            data = to_bytes(replay.chunk())
            chunks.append(from_buffer(data, 1, 1, "chunk"))
            assert to_bytes(chunks[-1]) == data
    joined = Replay(capacity, 2, 1, 1, chunks=chunks)
    if chunks:
        assert held(joined) == expected
    # and with rows of its own beside them
    fill(joined, 2, 20, seed + 100)
    alone = Replay(capacity, 2, 1, 1)
    fill(alone, 2, 20, seed + 100)
    assert held(joined) == expected | held(alone)


def test_a_file_that_is_no_chunk_is_one_line() -> None:
    replay = Replay(9, 1, 2, 1)
    step = np.ones((1, 1, 2)), np.ones((1, 1, 1)), np.ones((1, 1))
    never = np.zeros((1, 1), np.bool_)
    replay.add(*step, never, never, np.ones((1, 1, 2)), ~never)
    data = to_bytes(replay.chunk())
    assert len(from_buffer(data, 2, 1, "c").reward) == 2
    for damaged, sizes in (
        (data[:40], (2, 1)),
        (b"", (2, 1)),
        (data.replace(b"replay", b"player"), (2, 1)),
        (data.replace(b"F32", b"I32"), (2, 1)),
        (data.replace(b'"reward"', b'"rewind"'), (2, 1)),
        (data[:-3], (2, 1)),
        (data, (3, 1)),
        (data, (2, 2)),
    ):
        with pytest.raises(UsageError, match=r"\Ac: .*transitions.*\Z"):
            from_buffer(damaged, *sizes, "c")


def test_draws_follow_from_the_generator() -> None:
    replay = Replay(50, 3, 1, 1)
    fill(replay, 3, 40, 2)
    first, again, other = (replay.draw(20, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_one_larger_than_memory_is_refused_with_the_number() -> None:
    with pytest.raises(
        UsageError,
        match=r"replay of 100,000,000,000 transitions takes 3800.0 GB, but .* GB of memory",
    ):
        Replay(100_000_000_000, 1, 4, 4)


def test_one_larger_than_the_disk_is_refused_with_the_number(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"takes 3800000.0 GB, but .* on the disk of .* are free"):
        Replay(100_000_000_000_000, 1, 4, 4, tmp_path)
    with pytest.raises(UsageError, match=r"run\.replay_folder: .*No such file"):
        Replay(10, 1, 4, 4, tmp_path / "none")


def test_one_without_room_for_every_simulation_is_refused() -> None:
    with pytest.raises(UsageError, match="replay_size: 3 transitions are not one for each of 4"):
        Replay(3, 4, 1, 1)


def test_memory_is_bounded_by_the_control_group(monkeypatch: pytest.MonkeyPatch) -> None:
    from poolrl.rollouts import room

    texts = {
        "/proc/meminfo": "MemTotal: 9 kB\nMemAvailable: 1000 kB\n",
        "/sys/fs/cgroup/memory.max": "5000\n",
        "/sys/fs/cgroup/memory.current": "1000\n",
    }
    read: Callable[[Path], str] = lambda path: texts[str(path)]  # noqa: E731
    monkeypatch.setattr(room.Path, "read_text", read)
    assert room.available_memory() == 4000
    texts["/sys/fs/cgroup/memory.max"] = "max\n"
    assert room.available_memory() == 1_024_000


def test_the_bytes_of_a_transition_are_those_of_its_arrays() -> None:
    replay = Replay(9, 1, 5, 3)
    assert sum(array.nbytes for array in replay._own) == 10 * row_bytes(5, 3)
