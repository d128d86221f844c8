"""Branches that end with NaN, or with a policy that has collapsed: what each merge rule does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poolrl.agent import Agent
from poolrl.algorithms.averaging import mean_agent
from poolrl.algorithms.types import Training
from poolrl.config.merging import MergeSpec
from poolrl.config.run_options import RunOptions
from poolrl.config.schema import SelectionSpec
from poolrl.pool.directory import Pool, make_pool
from poolrl.pool.merge_rules import mean_weights, merge, sources_of, succeeded
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.records.records import MergeRecord, UnitRecord
from poolrl.records.work_units import Unit
from poolrl.worker import unit_computation
from poolrl.worker.loop import Worker
from tests.faults.checker import check
from tests.helpers.deposits import deposit, first, sha256
from tests.helpers.rules import RULES, merges, spec_of

BRANCHES = range(4)
ONE, HALF, ALL = {1}, {0, 3}, set(BRANCHES)

# By the rule update branches have no agents: tests/worker/test_shared_experience_failures.py.
every_rule = pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "update"])

Change = Callable[[dict[str, Any]], dict[str, Any]]
"""From the arrays of an agent to others."""


def turn_nan(arrays: dict[str, Any]) -> dict[str, Any]:
    return {name: np.full_like(array, np.nan) for name, array in arrays.items()}


def pool_with(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    rule: str,
    planted: set[int],
    change: Change,
    **keys: object,
) -> Pool:
    """A pool of a rule and further keys, in whose second iteration some branches end with changed
    agents."""
    real = unit_computation.train

    def train(agent: Agent, *given: Any, **others: Any) -> Training:
        training = real(agent, *given, **others)
        iteration, _, index = given[3].key
        if iteration == 2 and index in planted:
            arrays = change(dict(training.agent.arrays))
            training = training._replace(agent=Agent(arrays, training.agent.metadata))
        return training

    monkeypatch.setattr(unit_computation, "train", train)
    pool = make_pool(root, spec_of(rule, **keys), RunOptions(3, keep="all"))
    Worker(pool, StopCriteria(3)).run()
    return pool


def record(pool: Pool, kind: str, index: int, iteration: int = 2) -> UnitRecord | None:
    return pool.deposit_store().record(Unit(iteration, kind, index))  # type: ignore[arg-type]


def is_finite(pool: Pool, merged: MergeRecord) -> bool:
    champion = Agent.load(pool.layout.resolve(merged.champion.path))
    return all(np.isfinite(array).all() for array in champion.arrays.values())


@every_rule
@pytest.mark.parametrize("planted", [ONE, HALF, ALL], ids=["one", "half", "all"])
def test_branches_that_turn_nan_have_failed(
    memory_folder: Path, monkeypatch: pytest.MonkeyPatch, rule: str, planted: set[int]
) -> None:
    root = memory_folder / f"{rule} {len(planted)}"
    pool = pool_with(root, monkeypatch, rule, planted, turn_nan)
    branches = set(range(pool.spec.pool.branches(2)))
    for index in branches:
        branch = record(pool, "branch", index)
        assert branch is not None
        assert branch.status == ("failed" if index in planted else "done")
        assert ("finite" in branch.reason) == (index in planted)
    first, second, third = merges(pool)[1:]
    if planted == ALL and second.best_ever:
        # With fallback = 0, an iteration without a better champion goes back at once.
        assert second.rule == "best-ever fallback"
        assert second.champion.sha256 == first.result.sha256
    elif planted == ALL:
        assert second.rule == "no branch succeeded"
        assert second.champion.sha256 == first.champion.sha256
        assert second.line_values == first.line_values
        assert record(pool, "candidate", 0) is None
    if planted == ALL:
        assert second.failed_iterations == 1
    else:
        assert second.rule in RULES[rule].merges
        assert second.failed_iterations == 0
        listed = {d.index for d in second.deposits if d.kind == "branch" and d.status == "done"}
        assert listed == branches - planted
    assert third.rule in RULES[rule].merges
    assert third.failed_iterations == 0
    assert all(is_finite(pool, merged) for merged in merges(pool))
    assert check(pool.layout.root, keep="all", iterations=3) == []


def test_a_uniform_mean_without_fallback_stays_and_loses_its_momentum(
    memory_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = memory_folder / "stays"
    pool = pool_with(root, monkeypatch, "mean", ALL, turn_nan, merge__fallback=None)
    first, second, third = merges(pool)[1:]
    assert (second.rule, second.failed_iterations) == ("no branch succeeded", 1)
    assert second.champion.sha256 == first.champion.sha256
    agents = []
    for index in BRANCHES:
        branch = record(pool, "branch", index, 3)
        assert branch is not None
        assert branch.agent is not None
        agents.append(Agent.load(pool.layout.resolve(branch.agent.path)))
    start = Agent.load(pool.layout.resolve(second.champion.path))
    expected = mean_agent(start, agents, [1 / 4] * 4, step=1.5)
    assert pool.layout.resolve(third.champion.path).read_bytes() == expected.to_bytes()


PARTS: dict[str, Callable[[str], bool]] = {
    "actor": lambda name: name.startswith("actor"),
    "critic": lambda name: name.startswith("critic"),
    "moments": lambda name: name.startswith("optimizer"),
    "statistics": lambda name: "normalizer" in name,
}


@pytest.mark.parametrize("rule", ["best", "rank"])
@pytest.mark.parametrize("part", PARTS)
def test_nan_in_a_part_of_an_agent_is_enough(
    memory_folder: Path, monkeypatch: pytest.MonkeyPatch, rule: str, part: str
) -> None:
    def change(arrays: dict[str, Any]) -> dict[str, Any]:
        names = [name for name in arrays if PARTS[part](name)]
        assert names, list(arrays)
        return arrays | turn_nan({name: arrays[name] for name in names})

    pool = pool_with(memory_folder / f"{rule} {part}", monkeypatch, rule, ALL, change)
    assert all(is_finite(pool, merged) for merged in merges(pool))
    assert merges(pool)[2].rule == "no branch succeeded"


def test_a_collapsed_policy_is_not_chosen_and_has_no_weight_by_rank() -> None:
    """It is finite and scores little: only uniform means, of the rule or of candidates, have it."""
    scores = [2.0, -1000.0, 3.0, 1.0]
    branches = [deposit("branch", index, [score]) for index, score in enumerate(scores)]
    given = {"iteration": 1, "spec_sha256": sha256("spec")}
    merged = merge(first(), branches, branches=4, selection=SelectionSpec(), **given)
    assert (merged.rule, merged.champion.index) == ("best branch", 2)
    rank, uniform = (MergeSpec(rule="mean", weights=name) for name in ("rank", "uniform"))
    assert mean_weights(succeeded(branches, rank, SelectionSpec()), rank).keys() == {0, 2}
    assert mean_weights(succeeded(branches, uniform, SelectionSpec()), uniform)[1] == 0.25
    assert sources_of(branches, parent_sha256=sha256("parent"), **given).done == [0, 1, 2, 3]
