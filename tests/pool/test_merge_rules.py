"""Selection is a pure function."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from poolrl.config.schema import SelectionSpec
from poolrl.pool.merge_rules import NothingToSelect, merge
from tests.helpers.deposits import RULE, choose, deposit, first, sha256


def test_the_first_merge_names_the_initial_agent() -> None:
    record = first()
    assert (record.rule, record.champion.kind, record.champion.score) == ("initial", "initial", 0)


def test_without_an_initial_agent_there_is_nothing_to_select() -> None:
    failed = replace(deposit("initial", 0, None), iteration=0)
    with pytest.raises(NothingToSelect):
        merge(None, [failed], iteration=0, branches=2, selection=RULE, spec_sha256=sha256("spec"))


scores = st.one_of(
    st.none(), st.floats(-100, 100), st.sampled_from([math.nan, math.inf, -math.inf])
)


@given(st.lists(scores, min_size=1, max_size=8), scores, st.randoms(), st.booleans())
def test_the_highest_finite_score_wins_whatever_the_order(
    branches: list[float | None], parent: float | None, random: object, keep: bool
) -> None:
    deposits = [deposit("branch", i, None if s is None else [s]) for i, s in enumerate(branches)]
    deposits.append(deposit("parent", 0, None if parent is None else [parent]))
    rule = SelectionSpec(keep_parent=keep, patience=3)
    record = choose(deposits, rule)
    random.shuffle(deposits)  # type: ignore[attr-defined]
    assert choose(deposits, rule) == record or any(
        s is not None and math.isnan(s) for s in (*branches, parent)
    )
    assert choose(deposits, rule).champion == record.champion

    finite = {i: s for i, s in enumerate(branches) if s is not None and math.isfinite(s)}
    sane_parent = parent if parent is not None and math.isfinite(parent) else None
    if not finite:
        assert record.rule == "no branch succeeded"
        assert record.champion.kind == "initial"
        assert record.champion.score == sane_parent
        return
    best = max(finite.values())
    if keep and sane_parent is not None and best <= sane_parent:
        assert record.rule == "parent kept"
        assert record.champion.kind == "initial"
        assert record.champion.score == parent
    else:
        assert record.rule == "best branch"
        assert record.champion.kind == "branch"
        assert record.champion.index == min(i for i, s in finite.items() if s == best)


def test_patience_ends() -> None:
    deposits = [deposit("branch", 0, [1.0]), deposit("parent", 0, [2.0])]
    assert [choose(deposits, kept=kept).rule for kept in range(5)] == [
        *["parent kept"] * 3,
        *["patience"] * 2,
    ]
    assert [choose(deposits, kept=kept).parent_kept for kept in range(4)] == [1, 2, 3, 0]
    assert choose(deposits, SelectionSpec(keep_parent=True, patience=0)).rule == "patience"


def test_a_tie_keeps_the_parent_and_among_branches_the_lowest_index() -> None:
    tied = [deposit("branch", 1, [2.0]), deposit("branch", 0, [2.0]), deposit("parent", 0, [2.0])]
    assert choose(tied).rule == "parent kept"
    assert choose(tied[:2]).champion.index == 0


def test_differences_are_paired() -> None:
    record = choose(
        [
            deposit("branch", 0, [10.0, 20.0, 33.0]),
            deposit("branch", 1, [9.0, 18.0, 30.0]),
            deposit("parent", 0, [8.0, 18.0, 31.0]),
        ]
    )
    assert record.to_parent is not None
    assert record.to_runner_up is not None
    assert record.to_parent.mean == pytest.approx(2.0)
    assert record.to_parent.standard_error == 0.0  # the same difference on each seed
    assert record.to_runner_up.mean == pytest.approx(2.0)
    assert record.to_runner_up.standard_error == pytest.approx(1 / math.sqrt(3))
    assert record.parent_score == pytest.approx(19.0)


def test_a_kept_parent_is_compared_with_the_best_branch() -> None:
    record = choose([deposit("branch", 0, [1.0, 2.0]), deposit("parent", 0, [2.0, 4.0])])
    assert record.to_runner_up is not None
    assert record.to_runner_up.mean == pytest.approx(1.5)


def test_what_depends_on_timing_says_so() -> None:
    deposits = [deposit("branch", 0, [1.0]), deposit("parent", 0, [0.0])]
    assert not choose(deposits).timing_dependent
    abandoned = replace(deposit("branch", 1, None), status="abandoned")
    assert choose([*deposits, abandoned]).timing_dependent
    assert not choose([*deposits, deposit("branch", 1, None)]).timing_dependent
    missing = merge(
        first(), deposits, iteration=1, branches=5, selection=RULE, spec_sha256=sha256("spec")
    )
    assert missing.timing_dependent


def test_steps_add_up() -> None:
    record = choose([deposit("branch", 0, [1.0, 1.0]), deposit("parent", 0, [0.0, 0.0])])
    assert record.environment_steps == first().environment_steps + 20
