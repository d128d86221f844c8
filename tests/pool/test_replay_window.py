"""Which chunks of a shared replay a merge lists."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from poolrl.pool.replay_window import next_window
from poolrl.records.records import Champion, MergeRecord, TrainingRecord, UnitRecord, WorkerInfo

SHA256 = "ab" * 32
CHAMPION = Champion(
    path=f"iterations/000000/initial-000-{SHA256[:16]}.safetensors",
    sha256=SHA256,
    score=0.0,
    iteration=0,
    kind="initial",
    index=0,
)


def record(iteration: int, index: int, steps: int, status: str = "done") -> UnitRecord:
    return UnitRecord(
        spec_sha256=SHA256,
        iteration=iteration,
        kind="branch",
        index=index,
        status=status,  # type: ignore[arg-type]
        parent_sha256=SHA256,
        replay_sha256=f"{iteration:032x}{index:032x}",
        training=TrainingRecord(1, steps, 0, 0.0, {}),
        worker=WorkerInfo("w", "h", 1, {}),
    )


def merged(iteration: int) -> MergeRecord:
    return MergeRecord(
        spec_sha256=SHA256, iteration=iteration, champion=CHAMPION, rule="initial", deposits=()
    )


@given(
    iterations=st.lists(st.lists(st.integers(1, 50), max_size=4), min_size=1, max_size=6),
    size=st.integers(1, 150),
)
def test_the_newest_chunks_that_fill_the_window(iterations: list[list[int]], size: int) -> None:
    previous: MergeRecord | None = None
    everything: list[tuple[int, int, int]] = []
    for number, steps in enumerate(iterations):
        deposits = [record(number, index, each) for index, each in enumerate(steps)]
        window = next_window(previous, deposits[::-1], size)
        previous = replace(merged(number), replay=window)
        everything += [(number, index, each) for index, each in enumerate(steps)]
        listed = [(chunk.iteration, chunk.index, chunk.transitions) for chunk in window]
        assert listed == everything[len(everything) - len(listed) :]
        total = sum(transitions for *_, transitions in listed)
        if len(listed) < len(everything):
            assert total >= size
        if len(listed) > 1:
            assert total - listed[0][2] < size


def test_branches_that_failed_and_other_units_have_no_part() -> None:
    failed = replace(record(1, 0, 5, status="failed"))
    update = replace(record(1, 2, 5), kind="update")
    done = record(1, 1, 5)
    assert [chunk.index for chunk in next_window(None, [failed, done, update], 100)] == [1]
    (chunk,) = next_window(merged(0), [done], 1)
    assert chunk.path == f"iterations/000001/rollout-001-{chunk.sha256[:16]}.safetensors"
