"""Columns and rows of a history's table that are chosen."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolrl.config.run_options import RunOptions
from poolrl.monitoring.history import COLUMNS, History
from poolrl.monitoring.history_columns import DESCRIPTIONS, RowFilter, described, quantiles
from poolrl.pool.directory import Pool, make_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.records.evaluation import InfoRecord, standard_error
from poolrl.worker.loop import Worker
from tests.conftest import tiny_spec
from tests.helpers.command_line import Result, in_process
from tests.helpers.damage import edit

ITERATIONS = 3
PPO = {
    "task__id": "Hopper-v5",
    "task__max_episode_steps": 6,
    "learner__name": "ppo",
    "learner__minibatch_size": 8,
    "selection__keep_parent": False,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    pool = make_pool(folder / "pool", tiny_spec(**PPO), RunOptions())
    Worker(pool, StopCriteria(ITERATIONS)).run()
    path = pool.layout.iteration(1).folder / "branch-001.json"
    values = [0.5, None, 1.5]
    edit(path, lambda r: r["evaluation"]["info"]["x_position"].update(values=values))
    return folder


def history_of(place: Path) -> History:
    from poolrl.pool.directory import open_pool

    history = History(open_pool(place / "pool"))
    history.refresh()
    return history


def command(place: Path, *options: str) -> Result:
    return in_process("history", "pool", *options, cwd=place)


def rows_of(place: Path, *options: str) -> list[dict[str, str]]:
    done = command(place, "--format", "csv", *options)
    assert (done.returncode, done.stderr) == (0, "")
    return list(csv.DictReader(io.StringIO(done.stdout)))


def test_default_columns_stay(place: Path) -> None:
    (first, *_) = rows_of(place)
    assert list(first) == [*COLUMNS, "worker", "host"]


def test_columns_come_in_the_order_of_the_globs(place: Path) -> None:
    rows = rows_of(place, "--columns", "score,kind,info.x_*,train/ent*,score")
    assert list(rows[0]) == [
        *("score", "kind", "info.x_position", "info.x_position.se"),
        *("info.x_velocity", "info.x_velocity.se", "train/entropy_loss"),
    ]
    units = history_of(place).units
    for row, unit in zip(rows, units, strict=True):
        assert row["kind"] == unit.kind
        assert unit.evaluation is not None
        info: InfoRecord = unit.evaluation.infos["x_position"]
        values = [value for value in info.values if value is not None]
        assert float(row["info.x_position"]) == pytest.approx(sum(values) / len(values))
        assert float(row["info.x_position.se"]) == pytest.approx(standard_error(values))
        assert (row["train/entropy_loss"] != "") == (unit.kind == "branch")
    (edited,) = rows_of(place, "--columns", "info.x_position*", "--iterations", "1")[1:2]
    assert float(edited["info.x_position"]) == 1.0
    assert float(edited["info.x_position.se"]) == pytest.approx(0.5)


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=30))
def test_quantiles_are_numpys(values: list[float]) -> None:
    expected = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
    assert list(quantiles(values).values()) == pytest.approx(expected.tolist(), abs=1e-6)
    assert set(quantiles([]).values()) == {None}


def test_times_in_the_table_are_to_the_second(place: Path) -> None:
    rows = rows_of(place, "--columns", "finished")
    done = command(place, "--columns", "finished,score")
    heading, *lines = done.stdout.splitlines()
    assert heading.split() == ["finished", "score"]
    times = [float(row["finished"]) for row in rows]
    assert [float(line.split()[0]) for line in lines] == pytest.approx(times, rel=0, abs=0.5)


def test_quantiles_of_infos_are_columns(place: Path) -> None:
    (edited,) = rows_of(place, "--columns", "quantiles.x_position.*", "--iterations", "1")[1:2]
    expected = {"max": 1.5, "median": 1.0, "min": 0.5, "q25": 0.75, "q75": 1.25}
    assert list(edited) == [f"quantiles.x_position.{end}" for end in expected]
    assert list(map(float, edited.values())) == list(expected.values())


def test_all_columns_are_described(place: Path) -> None:
    history = history_of(place)
    table = history.table(["*"])
    assert list(table.columns) == history.all_columns()
    assert list(table.columns)[: len(COLUMNS)] == list(COLUMNS)
    assert set(DESCRIPTIONS) <= set(table.columns)
    for name in ("info.reward_forward.se", "rollout/action_q25", "learning_rate", "publish_wall"):
        assert name in table.columns
    # What is there by default is the same in both.
    default = history.table()
    assert table[list(default.columns)].to_csv() == default.to_csv()
    listed = command(place, "--columns", "list").stdout.splitlines()
    assert [line.split()[0] for line in listed] == list(table.columns)
    said = {line.split()[0]: line.split(maxsplit=1)[1] for line in listed}
    assert "the sum over steps" in said["info.reward_forward"]
    assert said["info.reward_forward.se"] == "standard error of info.reward_forward"
    assert said["quantiles.reward_forward.q25"].startswith("lower quartile over the evaluation's")
    assert "the sum over steps" in said["quantiles.reward_forward.q25"]
    assert "phase `publish`" in said["publish_wall"]
    assert said["learning_rate"].startswith("hyper-parameter")
    assert said["rollout/ep_len_median"].startswith("of the branch's training episodes")


def test_a_value_that_is_named_like_a_standard_error_is_a_value() -> None:
    aggregates = {"x": "last", "x.se": "sum", "y.se": "max"}
    assert described("info.x", aggregates).endswith("the last step's value in the task's info")
    assert described("info.x.se", aggregates).endswith("the sum over steps in the task's info")
    assert described("info.x.se.se", aggregates) == "standard error of info.x.se"
    assert described("info.y.se", aggregates).endswith("the largest value in the task's info")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--kind", "parent"], [(1, "parent"), (2, "parent"), (3, "parent")]),
        (["--iterations", "0"], [(0, "initial")]),
        (["--iterations", ":1", "--kind", "initial,parent"], [(0, "initial"), (1, "parent")]),
        (["--iterations", "2:3", "--kind", "parent"], [(2, "parent"), (3, "parent")]),
        (["--iterations", "3:", "--kind", "closing"], [(3, "closing")]),
        (["--iterations", "last:2", "--kind", "parent"], [(2, "parent"), (3, "parent")]),
        (["--iterations", "last", "--kind", "parent"], [(3, "parent")]),
        (["--status", "failed,abandoned"], []),
        (["--status", "done", "--kind", "closing"], [(3, "closing")]),
        (
            ["--champions", "--kind", "initial,branch"],
            [(0, "initial"), (1, "branch"), (2, "branch"), (3, "branch")],
        ),
    ],
)
def test_rows_are_filtered(
    place: Path, options: list[str], expected: list[tuple[int, str]]
) -> None:
    rows = rows_of(place, "--columns", "iteration,kind", *options)
    assert [(int(row["iteration"]), row["kind"]) for row in rows] == expected


def test_a_table_without_rows(place: Path) -> None:
    assert command(place, "--status", "failed").stdout == "pool: no such record\n"
    assert json.loads(command(place, "--status", "failed", "--format", "json").stdout) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--columns", "info.x_positoin"],
            "--columns: no column 'info.x_positoin' in this pool; did you mean info.x_position?",
        ),
        (["--columns", "score,zzz*"], "--columns: no column 'zzz*' in this pool; --columns list"),
        (["--columns", ""], "--columns: no column ''"),
        (["--kind", "brunch"], "--kind: unknown 'brunch'; known: branch, parent, closing"),
        (["--status", "dead"], "--status: unknown 'dead'; known: done, failed, abandoned"),
        (["--iterations", "5:2"], "--iterations: 5:2 ends before it begins"),
        *(
            (
                ["--iterations", text],
                f"--iterations: expected 10, 10:20, 10:, :20, last or last:5, got '{text}'",
            )
            for text in (":", "x", "-1", "last:0", "1:2:3", "last:", "1.5")
        ),
    ],
)
def test_what_matches_nothing_is_refused(place: Path, options: list[str], message: str) -> None:
    done = command(place, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"poolrl: {message}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--evolved", "--format", "json"], "--evolved prints a configuration"),
        (["--evolved", "--iterations", "1:2"], "--evolved prints a configuration"),
        (["--evolved", "--columns", "score"], "--evolved prints a configuration"),
        (["--columns", "list", "--format", "csv"], "--columns list prints names"),
    ],
)
def test_options_that_have_no_effect_are_refused(
    place: Path, options: list[str], message: str
) -> None:
    done = command(place, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr.splitlines()[-1]


def test_a_pool_without_records_has_default_columns(tiny_pool: Pool, tmp_path: Path) -> None:
    history = History(tiny_pool)
    assert list(history.table(["score", "kind"]).columns) == ["score", "kind"]
    assert history.table(rows=RowFilter(champions=True)).empty


def test_records_of_earlier_versions_have_what_they_have(tmp_path: Path) -> None:
    pool = make_pool(tmp_path / "pool", tiny_spec(**PPO), RunOptions())
    Worker(pool, StopCriteria(1)).run()

    def strip(record: dict[str, object]) -> None:
        record["evaluation"].pop("info")  # type: ignore[attr-defined]
        record["schema"] = 1

    edit(pool.layout.iteration(1).folder / "branch-000.json", strip)
    rows = rows_of(tmp_path, "--columns", "info.x_position", "--kind", "branch")
    assert [row["info.x_position"] != "" for row in rows] == [False, True, True]
