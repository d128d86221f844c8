"""Hyper-parameters that evolve with the line of champions."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import pytest

from poolrl.config.loading import load
from poolrl.config.run_options import RunOptions
from poolrl.errors import UsageError
from poolrl.monitoring.verify import verify_files
from poolrl.pool.directory import Pool, make_pool
from poolrl.pool.evolution import branch_values
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.records.records import MergeRecord, UnitRecord
from poolrl.records.work_units import Unit
from poolrl.worker.loop import Worker
from tests.conftest import TINY, as_options, tiny_spec
from tests.faults.checker import check, same_history
from tests.helpers.command_line import in_process, poolrl
from tests.helpers.memory_pool import Scene

EVOLVING = {"selection__keep_parent": False, "branches__learning_rate": {"evolve": 1.0}}
START = 0.1
"""The learner's own rate."""


def work(root: Path, iterations: int = 4, **keys: object) -> Pool:
    pool = make_pool(root, tiny_spec(**EVOLVING | keys), RunOptions(iterations))
    Worker(pool, StopCriteria(iterations)).run()
    return pool


def line(pool: Pool) -> list[MergeRecord]:
    deposits = pool.deposit_store()
    return [deposits.merge(number) for number in deposits.iterations()]


def rates(pool: Pool, iteration: int) -> list[float]:
    found = []
    for index in range(pool.spec.pool.count):
        record = pool.deposit_store().record(Unit(iteration, "branch", index))
        assert isinstance(record, UnitRecord)
        found.append(float(record.hyperparameters["learning_rate"]))
    return found


def sound(pool: Pool, tmp_path: Path) -> None:
    """The pool follows its rules, by the checker, the files and by computing all again."""
    assert check(pool.layout.root) == []
    assert verify_files(pool).discrepancies == []
    done = in_process("verify", pool.layout.root, "--all", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_branches_draw_around_the_line_within_bounds() -> None:
    spec = tiny_spec(**EVOLVING, pool__count=400)
    values = [
        branch_values(spec, Unit(1, "branch", index), {"learning_rate": 0.2})["learning_rate"]
        for index in range(400)
    ]
    assert values[0] == 0.2
    assert START / 10 <= min(values) <= max(values) == START * 10
    logs = sorted(math.log(value / 0.2) for value in values)
    assert abs(logs[200]) < 0.2
    assert abs(logs[336] - 1.0) < 0.25
    again = branch_values(spec, Unit(1, "branch", 7), {"learning_rate": 0.2})
    assert again == {"learning_rate": values[7]}
    other = branch_values(spec, Unit(2, "branch", 7), {"learning_rate": 0.2})
    assert again != other


def test_several_have_streams_of_their_own() -> None:
    spec = tiny_spec(
        learner__name="ppo",
        branches__learning_rate={"evolve": 0.5},
        branches__entropy_coefficient={"evolve": 0.5},
        learner__entropy_coefficient=3e-4,
        learner__learning_rate=3e-4,
    )
    values = branch_values(spec, Unit(1, "branch", 1), {})
    assert list(values) == ["entropy_coefficient", "learning_rate"]
    assert values["entropy_coefficient"] != values["learning_rate"]


def test_the_line_goes_on_with_the_winners_value(tmp_path: Path) -> None:
    pool = work(tmp_path / "pool")
    merges = line(pool)
    assert merges[0].hyperparameters == {"learning_rate": START}
    for before, merged in pairwise(merges):
        own = rates(pool, merged.iteration)
        assert own[0] == before.line_values["learning_rate"]
        assert len(set(own)) > 1
        assert merged.champion.kind == "branch"
        assert merged.line_values["learning_rate"] == own[merged.champion.index]
    sound(pool, tmp_path)
    assert "schema = 2" in pool.layout.spec.read_text()


@pytest.mark.parametrize("rule", ["mean", "rank", "candidate"])
def test_a_mean_has_the_geometric_mean(tmp_path: Path, rule: str) -> None:
    keys: dict[str, object] = {"merge__rule": "mean", "pool__count": 5}
    if rule == "rank":
        keys["merge__weights"] = "rank"
    if rule == "candidate":
        keys = {"merge__candidates": [1, 2, 4], "pool__count": 2}
    pool = work(tmp_path / "pool", 6, **keys)
    kind = "candidate" if rule == "candidate" else "mean"
    merged = next(m for m in line(pool) if m.champion.kind == kind)
    own = rates(pool, merged.iteration)
    value = merged.line_values["learning_rate"]
    if rule == "rank":
        scores = [d.score or 0.0 for d in merged.deposits if d.kind == "branch"]
        best, second = sorted(range(5), key=lambda i: (-scores[i], i))[:2]
        weights = math.log(3), math.log(1.5)
        logs = weights[0] * math.log(own[best]) + weights[1] * math.log(own[second])
        assert value == pytest.approx(math.exp(logs / sum(weights)))
        assert verify_files(pool).discrepancies == []
        return
    assert value == pytest.approx(math.exp(sum(map(math.log, own)) / len(own)))
    sound(pool, tmp_path)


@pytest.mark.parametrize("rule", ["best", "mean"])
def test_a_fallback_goes_back_to_its_values(tmp_path: Path, rule: str) -> None:
    pool = work(tmp_path / "pool", 12, merge__rule=rule, merge__fallback=0)
    merges = line(pool)
    fallen = [m for m in merges if m.rule == "best-ever fallback"]
    assert fallen
    for merged in fallen:
        assert merged.hyperparameters == merges[merged.champion.iteration].hyperparameters
    sound(pool, tmp_path)


def test_a_kept_parent_keeps_its_values(tmp_path: Path) -> None:
    pool = work(tmp_path / "pool", 8, selection__keep_parent=True, selection__patience=99)
    merges = line(pool)
    kept = [m for m in merges if m.rule == "parent kept"]
    assert kept
    for merged in kept:
        assert merged.hyperparameters == merges[merged.iteration - 1].hyperparameters
    sound(pool, tmp_path)


def test_any_number_of_workers_gives_the_same_line(tmp_path: Path) -> None:
    work(tmp_path / "one")
    keys = {key.replace("__", "."): value for key, value in EVOLVING.items()} | {
        "branches.learning_rate": "{evolve = 1.0}"
    }
    done = poolrl(
        *("run", "--pool-directory", "two", "--workers", "2", "--iterations", "4"),
        *as_options(TINY | keys),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert same_history(tmp_path / "one", tmp_path / "two") == []


def test_verify_notices_another_value(tmp_path: Path) -> None:
    pool = work(tmp_path / "pool", 2)
    path = pool.layout.iteration(2).record(Unit(2, "branch", 1))
    table = json.loads(path.read_text())
    table["hyperparameters"]["learning_rate"] *= 1.01
    path.write_text(json.dumps(table))
    merge = pool.layout.iteration(1).merge
    table = json.loads(merge.read_text())
    table["hyperparameters"]["learning_rate"] *= 1.01
    merge.write_text(json.dumps(table))
    found = {(each.path[-14:], each.key) for each in verify_files(pool).discrepancies}
    assert ("ranch-001.json", "hyperparameters.learning_rate") in found
    assert ("001/merge.json", "hyperparameters.learning_rate") in found


@pytest.mark.parametrize("value", [None, 0.0, -1.0, "1", True])
def test_a_branch_without_a_value_is_damaged(tmp_path: Path, value: object) -> None:
    """A worker does it again; `verify` says so, and does not fail."""
    scene, undisturbed = (Scene(tmp_path / name, **EVOLVING) for name in ("one", "two"))
    undisturbed.work(1)
    unit = undisturbed.deposits.merge(1).champion
    path = undisturbed.pool.layout.iteration(1).record(Unit(1, unit.kind, unit.index))
    table = json.loads(undisturbed.store.read(path))
    table["hyperparameters"] |= {"learning_rate": value}
    if value is None:
        del table["hyperparameters"]["learning_rate"]
    damaged = json.dumps(table).encode()
    scene.work(0)
    scene.store.make_folder(scene.pool.layout.iteration(1).folder)
    own = scene.pool.layout.iteration(1).record(Unit(1, unit.kind, unit.index))
    scene.store.publish(own, damaged)
    assert scene.work(1).champion == undisturbed.deposits.merge(1).champion
    undisturbed.store.replace(path, damaged)
    found = [str(each) for each in verify_files(undisturbed.pool).discrepancies]
    assert any("merge.json: cannot follow from its deposits: branch-" in each for each in found)


def test_the_history_has_the_values(tmp_path: Path) -> None:
    work(tmp_path / "pool", 2)
    done = in_process("history", "pool", "--format", "csv", cwd=tmp_path)
    assert "learning_rate" in done.stdout.splitlines()[0]


@pytest.mark.parametrize("rule", ["best", "mean"])
def test_where_it_ended_is_a_configuration(tmp_path: Path, rule: str) -> None:
    pool = work(tmp_path / "pool", 9, merge__rule=rule)
    line_of = [merged.line_values["learning_rate"] for merged in line(pool)]
    done = in_process("history", "pool", "--evolved", cwd=tmp_path)
    assert done.returncode == 0
    (tmp_path / "evolved.toml").write_text(done.stdout)
    spec, _ = load(tmp_path / "evolved.toml", {"learner.name": "climb"})
    mean = math.exp(sum(map(math.log, line_of[-3:])) / 3)
    assert spec.learner.learning_rate == float(f"{mean:.3g}")
    assert "over iterations 7 to 9." in done.stdout
    shown = " → ".join(f"{value:.3g}" for value in line_of[::3])
    assert f"# {shown} at the start and after iteration 3, 6, 9\n" in done.stdout
    done = in_process("history", "pool", "--format", "csv", cwd=tmp_path)
    rows = [row.split(",") for row in done.stdout.splitlines()]
    assert rows[0][-1] == "line_learning_rate"
    assert {(int(row[0]), float(row[-1])) for row in rows[1:]} == set(enumerate(line_of))


def test_a_pool_in_which_nothing_evolves_has_no_such_configuration(tmp_path: Path) -> None:
    make_pool(tmp_path / "plain", tiny_spec(), RunOptions())
    make_pool(tmp_path / "new", tiny_spec(**EVOLVING), RunOptions())
    for name, message in (("plain", "of this pool evolves"), ("new", "no iteration is merged")):
        done = in_process("history", name, "--evolved", cwd=tmp_path)
        assert done.returncode == 2
        assert message in done.stderr


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"branches.epochs": {"evolve": 0.5}}, "branches.epochs: evolve is for fractional"),
        (
            {"branches.adaptive_kl": {"evolve": 1}},
            "branches.adaptive_kl: evolve starts at learner.adaptive_kl, which must be above 0",
        ),
        (
            {
                "learner.name": "mpo",
                "learner.energy_threshold": -5,
                "branches.energy_threshold": {"evolve": 1},
            },
            "which must be above 0, not -5",
        ),
        ({"branches.discount": {"evolve": 0.5}}, "branches.discount: evolve may take it to 9.9"),
        ({"branches.learning_rat": {"evolve": 0.5}}, "did you mean learning_rate?"),
        ({"branches.learning_rate": {"evolve": 0}}, "branches.learning_rate.evolve: expected"),
        ({"branches.learning_rate": {"evolv": 1}}, "branches.learning_rate.evolv: unknown key"),
        ({"branches.learning_rate": {}}, "branches.learning_rate: "),
        ({"branches.learning_rate": 0.1}, "branches.learning_rate: expected object | array, got"),
        (
            {"branches.learning_rate": {"evolve": 0.5}, "learner.adaptive_kl": 0.01},
            "branches.learning_rate: evolve: learner.adaptive_kl adapts it already",
        ),
        (
            {"branches.learning_rate": {"evolve": 0.5}, "branches.adaptive_kl": [0.0, 0.01]},
            "branches.learning_rate: evolve: learner.adaptive_kl adapts it already",
        ),
    ],
)
def test_what_cannot_evolve_is_refused_by_name(keys: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as error:
        load(None, {"learner.name": "ppo"} | keys)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_pool_with_values_in_turn_is_as_it_was(tmp_path: Path) -> None:
    pool = make_pool(tmp_path / "pool", tiny_spec(branches__learning_rate=[0.1, 0.2]), RunOptions())
    text = pool.layout.spec.read_text()
    assert "schema = 1" in text
    Worker(pool, StopCriteria(1)).run()
    assert "hyperparameters" not in json.loads(pool.layout.iteration(1).merge.read_text())
