"""Selection by another score than the return."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from poolrl.config.merging import MergeSpec
from poolrl.config.run_options import RunOptions
from poolrl.config.scoring import SelectionSpec
from poolrl.errors import UsageError
from poolrl.launch.pool_setup import make_or_open_pool
from poolrl.monitoring.history import History
from poolrl.monitoring.pool_status import StatusReader
from poolrl.monitoring.verify import verify_files
from poolrl.pool.directory import Pool, make_pool, open_pool
from poolrl.pool.merge_rules import merge, succeeded
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.records.codec import Unreadable, decode, encode
from poolrl.records.evaluation import Evaluation, InfoRecord
from poolrl.records.records import MergeRecord, UnitRecord
from poolrl.records.work_units import Unit
from poolrl.report.plot import plot_bytes
from poolrl.worker.loop import Worker
from poolrl.worker.recomputation import Recomputer
from tests.conftest import tiny_spec
from tests.faults.checker import check
from tests.helpers.command_line import in_process
from tests.helpers.damage import edit
from tests.helpers.deposits import deposit, first, sha256
from tests.helpers.misleading import TASK_ID

WORLD: dict[str, object] = {
    "task__id": TASK_ID,
    "task__max_episode_steps": 5,
    "learner__learning_rate": 1.5,
    "pool__count": 6,
    "pool__iterate_episodes": 1,
    "pool__evaluate_episodes": 20,
    "pool__closing_episodes": 50,
    "selection__keep_parent": False,
}
BY_SUCCESS = {"selection__score": "info.success"}
BY_MISS = {"selection__score": "info.miss", "selection__direction": "min"}


def trained(root: Path, iterations: int = 12, **spec: object) -> Pool:
    pool = make_pool(root, tiny_spec(**(WORLD | spec)), RunOptions(iterations, keep="all"))
    Worker(pool, StopCriteria(iterations)).run()
    return pool


def merges_of(pool: Pool) -> list[MergeRecord]:
    store = pool.deposit_store()
    return [store.merge(number) for number in store.iterations()]


def closing_of(pool: Pool, name: str) -> float:
    record = pool.deposit_store().record(Unit(merges_of(pool)[-1].iteration, "closing", 0))
    assert record is not None
    assert record.evaluation is not None
    values = record.evaluation.infos[name].values
    return sum(value for value in values if value is not None) / len(values)


@pytest.mark.parametrize("seed", range(5))
def test_selection_by_success_wins_where_the_return_misleads(tmp_path: Path, seed: int) -> None:
    by_success = trained(tmp_path / "success", pool__seed=seed, **BY_SUCCESS)
    by_return = trained(tmp_path / "return", pool__seed=seed)
    assert closing_of(by_success, "success") >= 0.8
    assert closing_of(by_return, "success") <= 0.2


def test_the_lowest_score_may_be_the_best(tmp_path: Path) -> None:
    pool = trained(tmp_path / "pool", **BY_MISS)
    assert closing_of(pool, "miss") < 0.05
    for merged in merges_of(pool)[1:]:
        scores = [d.score for d in merged.deposits if d.kind == "branch" and d.score is not None]
        assert merged.champion.score == min(scores)


def test_the_files_of_such_a_pool_are_sound(tmp_path: Path) -> None:
    pool = trained(tmp_path / "pool", 3, **BY_SUCCESS)
    verified = verify_files(pool)
    assert verified.discrepancies == []
    assert check(pool.layout.root, keep="all", iterations=3) == []
    recomputer = Recomputer(pool)
    for record in verified.recomputable_records():
        assert recomputer.differences(record, verified.starting_merge(record.unit)) == []
    text = pool.layout.spec.read_text()
    assert "schema = 2" in text
    assert 'score = "info.success"' in text
    assert open_pool(pool.layout.root).spec == pool.spec
    last = merges_of(pool)[-1]
    parent = pool.deposit_store().record(Unit(3, "parent", 0))
    assert parent is not None
    assert parent.evaluation is not None
    assert last.parent_return == parent.evaluation.score
    assert last.parent_score == parent.score == parent.evaluation.selection_score


def test_a_pool_without_it_is_as_it_was(tmp_path: Path) -> None:
    plain = make_pool(tmp_path / "pool", tiny_spec(), RunOptions())
    text = plain.layout.spec.read_text()
    assert "schema = 1" in text
    assert "direction" not in text
    assert "score" not in text
    given = {"selection__score": "return", "selection__direction": "max"}
    assert make_pool(tmp_path / "pool", tiny_spec(**given), RunOptions()) == plain
    Worker(plain, StopCriteria(1)).run()
    for path in plain.layout.iteration(1).folder.glob("*.json"):
        assert b"selection" not in path.read_bytes()
        assert b"parent_return" not in path.read_bytes()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            ["selection.score=info.nothing"],
            "selection.score: no value 'nothing' in the info of "
            "Misleading-v0 after a step, which has miss, right, success",
        ),
        (["selection.score=success"], "selection.score: expected return, or info.<name> as in"),
        (["selection.score=info."], "selection.score: expected return, or info.<name> as in"),
        (["selection.direction=up"], "selection.direction: unknown value 'up'; known: max, min"),
        (
            ["task.id=Plateau-v0", "selection.score=info.x"],
            "selection.score: no value 'x' in the info of Plateau-v0 after a step, which has none",
        ),
        (
            ["evaluation.info.sucess=max"],
            "evaluation.info: no value 'sucess' in the info of Misleading-v0 after a step; did you "
            "mean success?",
        ),
    ],
)
def test_what_the_task_does_not_have_is_refused(
    tmp_path: Path, keys: list[str], message: str
) -> None:
    given = [word for key in (f"task.id={TASK_ID}", *keys) for word in ("--set", key)]
    done = in_process("run", *given, "--pool-directory", "pool", "--one-worker", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"poolrl: {message}")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_native_task_with_repeated_actions_may_be_selected_by_distance(tmp_path: Path) -> None:
    overrides = {
        "task.id": "Swimmer-v5",
        "task.action_repeat": 2,
        "selection.score": "info.distance_from_origin",
    }
    pool, *_ = make_or_open_pool(None, tmp_path / "pool", overrides, None)
    assert pool.spec.selection.info_name == "distance_from_origin"


def test_a_branch_without_a_value_has_failed(tmp_path: Path) -> None:
    """Of actions to the left the value is NaN; the initial agent stays in the middle."""
    pool = trained(tmp_path / "pool", 1, selection__score="info.right")
    store = pool.deposit_store()
    records = [store.record(Unit(1, "branch", index)) for index in range(6)]
    failed = [r for r in records if r is not None and r.status == "failed"]
    done = [r for r in records if r is not None and r.status == "done"]
    assert len(failed) + len(done) == 6
    assert failed
    assert done
    reason = "info.right has no finite value in 20 of 20 episodes"
    assert {r.reason for r in failed} == {reason}
    assert all(r.evaluation is None and r.agent is None for r in failed)
    assert merges_of(pool)[1].champion.score == max(r.score for r in done if r.score is not None)
    assert verify_files(pool).discrepancies == []


def info_deposit(
    index: int, values: list[float | None], mean_return: float, kind: Any = "branch"
) -> UnitRecord:
    record = deposit(kind, index, [mean_return] * len(values))
    info = {"x": InfoRecord("max", tuple(values))}
    evaluation = Evaluation.of(
        [mean_return] * len(values), [5] * len(values), deterministic=True, info=info, by="info.x"
    )
    return replace(record, evaluation=evaluation)


def choose(deposits: list[UnitRecord], rule: MergeSpec | None = None, **given: Any) -> MergeRecord:
    selection = SelectionSpec(score="info.x", **given)
    return merge(
        first(),
        deposits,
        iteration=1,
        branches=2,
        selection=selection,
        spec_sha256=sha256("spec"),
        rule=rule,
    )


def test_of_equal_scores_the_return_decides_and_then_the_index() -> None:
    parent = info_deposit(0, [0.0, 0.0], 9.0, "parent")
    one, two, three = (info_deposit(i, [1.0, 0.0], r) for i, r in ((0, 1.0), (1, 3.0), (2, 3.0)))
    merged = choose([three, two, one, parent])
    assert (merged.champion.index, merged.champion.score) == (1, 0.5)
    assert (merged.parent_score, merged.parent_return) == (0.0, 9.0)
    assert merged.to_parent is not None
    assert (merged.to_parent.mean, merged.to_parent.standard_error) == (0.5, 0.5)
    # Of values, not of returns, where the lowest is the best too.
    low = info_deposit(3, [0.0, 0.5], -9.0)
    merged = choose([one, two, low, parent], direction="min")
    assert merged.champion.index == 3
    assert merged.to_runner_up is not None
    assert merged.to_runner_up.mean == -0.25


def test_a_parent_is_kept_by_that_score_too() -> None:
    parent = info_deposit(0, [1.0, 0.0], 2.0, "parent")
    better, equal = info_deposit(0, [1.0, 0.0], 3.0), info_deposit(1, [1.0, 0.0], 2.0)
    keep = {"keep_parent": True}
    assert choose([parent, equal], **keep).rule == "parent kept"
    assert choose([parent, better], **keep).rule == "best branch"
    assert choose([parent, info_deposit(0, [0.5, 0.5], 1.0)], **keep).rule == "parent kept"
    low = info_deposit(0, [0.0, 0.5], 1.0)
    assert choose([parent, low], **keep).rule == "parent kept"
    assert choose([parent, low], direction="min", **keep).rule == "best branch"
    # A parent without the score beats nothing, and its return stays known.
    unscored = info_deposit(0, [None, 1.0], 2.0, "parent")
    merged = choose([unscored, low], **keep)
    assert (merged.rule, merged.parent_score, merged.parent_return) == ("best branch", None, 2.0)
    assert merged.to_parent is None


def test_the_best_ever_champion_has_the_best_score() -> None:
    rule = MergeSpec(fallback=3)
    for direction, values, better in (("max", 0.5, True), ("min", 0.5, False), ("min", -0.5, True)):
        selection = SelectionSpec(score="info.x", direction=direction)
        initial = replace(info_deposit(0, [0.0, 0.0], 0.0, "initial"), iteration=0)
        agent = replace(initial.agent, path=Unit(0, "initial", 0).agent_path(initial.agent.sha256))
        given = {"branches": 2, "selection": selection, "spec_sha256": sha256("s"), "rule": rule}
        start = merge(None, [replace(initial, agent=agent)], iteration=0, **given)
        merged = merge(start, [info_deposit(1, [values] * 2, -1.0)], iteration=1, **given)
        assert merged.best_ever.champion.iteration == int(better)
        assert merged.best_ever.iterations_since == int(not better)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=6))
def test_ranks_by_score_return_and_index(pairs: list[tuple[int, int]]) -> None:
    deposits = [info_deposit(i, [float(s)] * 2, float(r)) for i, (s, r) in enumerate(pairs)]
    for direction, sign in (("max", 1), ("min", -1)):
        selection = SelectionSpec(score="info.x", direction=direction)
        ranked = succeeded(deposits[::-1], MergeSpec(), selection)
        order = [(-sign * pairs[r.index][0], -pairs[r.index][1], r.index) for r in ranked]
        assert order == sorted(order)


def test_another_score_than_that_of_the_values_is_a_damaged_record() -> None:
    record = info_deposit(0, [1.0, 0.0], 2.0)
    assert decode(encode(record), UnitRecord) == record
    for old, new in ((b'"score":0.5', b'"score":0.75'), (b'"by":"info.x"', b'"by":"info.y"')):
        data = encode(record)
        assert old in data
        with pytest.raises(Unreadable, match="its selection's score is"):
            decode(data.replace(old, new), UnitRecord)


PPO = {
    "learner__name": "ppo",
    "learner__minibatch_size": 4,
    "learner__learning_rate": 0.05,
    "network__actor": [4],
    "network__critic": [4],
    "pool__count": 3,
    "pool__iterate_episodes": 4,
    "pool__evaluate_episodes": 5,
    "pool__closing_episodes": 5,
}


@pytest.mark.parametrize("score", [BY_SUCCESS, BY_MISS], ids=["max", "min"])
@pytest.mark.parametrize(
    "rule",
    [
        {"merge__rule": "mean", "merge__weights": "rank"},
        {"merge__rule": "mean", "merge__fallback": 1},
        {"merge__candidates": [1, 2]},
        {"merge__fallback": 0},
        {"merge__rule": "update"},
    ],
    ids=["rank", "mean-fallback", "candidates", "fallback", "update"],
)
def test_every_rule_goes_by_it(
    tmp_path: Path, rule: dict[str, object], score: dict[str, object]
) -> None:
    pool = trained(tmp_path / "pool", 3, **(PPO | rule | score))
    verified = verify_files(pool)
    assert verified.discrepancies == []
    assert check(pool.layout.root, keep="all", iterations=3) == []
    recomputer = Recomputer(pool)
    for merged in verified.recomputable_means():
        previous = verified.merges[merged.iteration - 1]
        assert recomputer.mean_differences(merged, previous, verified.units) == []


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("spec", [BY_SUCCESS, BY_MISS], ids=["max", "min"])
def test_the_checker_of_faults_decides_alike(
    tmp_path: Path, spec: dict[str, object], keep: bool
) -> None:
    pool = trained(tmp_path / "pool", 6, selection__keep_parent=keep, **spec)
    assert check(pool.layout.root, keep="all", iterations=6) == []
    path = pool.layout.iteration(6).folder / "branch-000.json"
    edit(path, lambda record: record["evaluation"]["selection"].update(score=0.123))
    assert any("selected by 0.123" in each for each in check(pool.layout.root))


@pytest.mark.parametrize(
    ("run", "selection", "score", "mean_return", "ends"),
    [
        ({"target_score": 0.8}, {}, 0.8, -5.0, True),
        ({"target_score": 0.8}, {}, 0.7, 99.0, False),
        ({"target_score": 0.1}, {"direction": "min"}, 0.1, 0.0, True),
        ({"target_score": 0.1}, {"direction": "min"}, 0.2, 0.0, False),
        ({"target_return": 5.0}, {}, 0.0, 5.0, True),
        ({"target_return": 5.0}, {}, 9.0, 4.0, False),
        ({"target_score": 0.8}, {}, None, 5.0, False),
    ],
)
def test_targets(
    run: Any, selection: Any, score: float | None, mean_return: float, ends: bool
) -> None:
    merged = replace(first(), parent_score=score, parent_return=mean_return)
    options = RunOptions(iterations=9, **run)
    criteria = StopCriteria.of(options, SelectionSpec(score="info.x", **selection))
    assert (criteria.reason(merged) is not None) == ends
    # Where units are selected by the return, both are about the same number.
    plain = replace(first(), parent_score=5.0)
    options = RunOptions(iterations=9, target_score=4.0)
    assert StopCriteria.of(options, SelectionSpec()).reason(plain) is not None


def test_reports_show_that_score(tmp_path: Path) -> None:
    words = [
        *("--set", f"task.id={TASK_ID}", "--set", "pool.count=3", "--set", "learner.name=climb"),
        *("--set", "pool.closing_episodes=5", "--set", "selection.score=info.success"),
        *("--set", "network.actor=[]", "--set", "network.critic=[]"),
    ]
    pool, *_ = make_or_open_pool(None, tmp_path / "pool", dict(parse(words)), None)
    run = RunOptions(iterations=30, target_score=0.0)
    Worker(pool, StopCriteria.of(run, pool.spec.selection)).run()
    assert merges_of(pool)[-1].iteration == 1  # the first re-evaluation reached it
    status = in_process("status", "pool", cwd=tmp_path)
    assert "; scores are info.success" in status.stdout
    assert "info.success " in status.stdout.split("result: ")[-1] or "result" not in status.stdout
    assert StatusReader(pool).read().score_name == "info.success"
    history = History(pool)
    history.refresh()
    assert plot_bytes(history).startswith(b"\x89PNG")
    options = ["--columns", "kind,score,selection_score,info.success", "--format", "csv"]
    table = in_process("history", "pool", *options, cwd=tmp_path).stdout
    for row in csv.DictReader(io.StringIO(table)):
        assert row["selection_score"] == row["info.success"] != row["score"]


def parse(words: list[str]) -> list[tuple[str, Any]]:
    from poolrl.config.tables import parse_override

    return [parse_override(word) for word in words if word != "--set"]


def test_wrong_scores_are_usage_errors() -> None:
    with pytest.raises(UsageError, match=r"selection\.score: expected return, or info\.<name>"):
        SelectionSpec(score="steps")


def test_evaluate_says_how_often_a_champion_succeeds(tmp_path: Path) -> None:
    named = {"evaluation__info": {"success": "max"}}
    trained(tmp_path / "pool", 6, **BY_SUCCESS, **named)
    shown = in_process(
        *("evaluate", tmp_path / "pool", "--trust", "--episodes", "40", "--json"), cwd=tmp_path
    )
    info = json.loads(shown.stdout)["info"]
    assert info["success"]["aggregate"] == "max"
    assert info["success"]["episodes"] == 40
    assert info["success"]["mean"] > 0.5
    words = in_process(
        "evaluate", tmp_path / "pool", "--trust", "--episodes", "40", cwd=tmp_path
    ).stdout
    assert f"success {info['success']['mean']:.4g}" in words
