"""Faults by file-system call: a sample of all cases, and planted defects."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.faults import calls, shim
from tests.faults.calls import Harness, cases_of, sample, title
from tests.faults.server import Case, Outcome
from tests.faults.shim import Call, Mode

SAMPLE = 132
SEED = 4


@contextmanager
def started(plant: str = "", processes: int = 1) -> Iterator[Harness]:
    with ExitStack() as stack:
        try:
            running = stack.enter_context(calls.harness(processes, plant))
        except shim.Unavailable as reason:
            pytest.skip(str(reason))
        yield running


def broken(cases: list[Case], outcomes: list[Outcome]) -> list[str]:
    """The cases in which a guarantee does not hold, with the problems of each."""
    return [
        f"{case} ({title(case)}): {outcome.problems}"
        for case, outcome in zip(cases, outcomes, strict=True)
        if outcome.problems
    ]


def test_promises_hold_at_a_sample_of_calls() -> None:
    with started() as harness:
        recorded = harness.record()
        everything = [case for name, seen in recorded.items() for case in cases_of(name, seen)]
        assert len(everything) > 8_000
        cases = sample(everything, SAMPLE, SEED)
        outcomes = harness.run(cases)
    assert broken(cases, outcomes) == []
    assert sum(bool(outcome.hit) for outcome in outcomes) > 0.9 * len(cases)
    assert {"killed", "done", "refused"} == {outcome.ended for outcome in outcomes}


@pytest.mark.full
def test_promises_hold_at_every_call() -> None:
    with started(processes=2) as harness:
        recorded = harness.record()
        cases = [case for name, seen in recorded.items() for case in cases_of(name, seen)]
        outcomes = harness.run(cases)
    assert broken(cases, outcomes) == []


Pick = Callable[[Case, Call], bool]


@pytest.mark.parametrize(
    ("plant", "pick", "found"),
    [
        (
            "write_in_place",
            lambda case, call: case.mode == Mode.KILL_AFTER and call.name == "create",
            "torn: ",
        ),
        (
            "record_first",
            lambda case, call: case.mode == Mode.KILL_AFTER and call.name == "link",
            "set aside although it was right: ",
        ),
        (
            "take_errors_for_absence",
            lambda case, call: case.error == errno.EIO and call.path.endswith(".safetensors"),
            "set aside although it was right: ",
        ),
        (
            "try_once",
            lambda case, call: case.error == errno.ESTALE and call.name == "fsync",
            "one passing error ended it: ",
        ),
    ],
)
def test_planted_defects_are_found(plant: str, pick: Pick, found: str) -> None:
    with started(plant) as harness:
        recorded = harness.record(["making"])["making"]
        cases = [
            case for case in cases_of("making", recorded) if pick(case, recorded[case.number - 1])
        ]
        outcomes = harness.run(cases[:12])
    assert any(problem.startswith(found) for outcome in outcomes for problem in outcome.problems)
