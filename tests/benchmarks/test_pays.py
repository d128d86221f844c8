from __future__ import annotations

import math
from pathlib import Path

import click
import pays
import pytest
from arms import comparisons
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from plans import read_plan
from run_data import data_path, read_run
from timing import read_timings

from tests.helpers.benchmark_runs import run_of, units

PLAN = """
seeds = [3]
cap = 0.00001
score_every = 0.0
[pilot]
arm = "one"
seeds = [5]
minutes = 0.0003
[timing]
iterations = 2
repeats = 1
[common]
"pool.count" = 2
"pool.closing_episodes" = 1
"pool.iterate_episodes" = 2
"pool.evaluate_episodes" = 2
"learner.episodes_per_update" = 2
"network.actor" = [4]
"network.critic" = [4]
[tasks.cart]
set = {"task.id" = "CartPole-v1", "task.max_episode_steps" = 20}
target = 0.0
[arms.one]
"pool.count" = 1
"branches" = {}
[arms."mean, two"]
"merge.candidates" = [1, 2]
"""


def invoke(*words: str | Path) -> str:
    result = CliRunner().invoke(pays.main, list(map(str, words)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.full
def test_a_tiny_plan_runs_to_its_tables(tmp_path: Path) -> None:
    plan, folder, data = tmp_path / "plan.toml", tmp_path / "runs", tmp_path / "data"
    plan.write_text(PLAN)
    said = invoke("run", plan, folder)
    assert "cart, one, seed 3: 2 iterations" in said
    assert "exit code" not in said
    mixed = folder / "cart" / "mean, two" / "3"
    assert len(list(mixed.glob("iterations/*/merge.json"))) == 3
    assert invoke("run", plan, folder) == said  # there is nothing left to do

    invoke("score", plan, folder, "--data", data)
    one = read_run(data_path(data, "cart", "one", 3))
    assert (one.branches, one.single, one.target) == (1, True, 0.0)
    two = read_run(data_path(data, "cart", "mean, two", 3))
    assert [each.number for each in two.iterations] == [0, 1, 2]
    assert list(two.iterations[1].units) == ["branch", "candidate", "parent"]
    assert [each.score is None for each in two.iterations] == [True, False, False]
    assert all(1 <= each.score <= 20 for each in two.iterations if each.score is not None)
    cached = (folder / "cart" / "scores.jsonl").read_text()
    invoke("score", plan, folder, "--data", data)
    assert (folder / "cart" / "scores.jsonl").read_text() == cached

    only = ("--data", data, "--arm", "mean, two")  # the costs of the other are those of its run
    invoke("time", plan, folder, *only)
    timings = read_timings(data / pays.TIMINGS)
    assert [(t.workers, t.threads) for t in timings] == [(1, 1), (1, 2), (2, 1)]
    assert all(t.agent and t.wall > 0 for t in timings)
    assert {kind: units.count for kind, units in timings[-1].units.items()} == {
        **{"branch": 4, "candidate": 4, "parent": 2},
    }
    assert invoke("time", plan, folder, *only) == ""  # all are there

    output = tmp_path / "out" / "pays.md"
    table = invoke("show", plan, "--data", data, "--output", output)
    assert "| cart | mean, two | 1 | 0 |" in table
    assert "≥" not in table.split("## Times")[0]  # all runs are above a target of 0
    assert {path.name for path in output.parent.iterdir()} == {
        *("pays.md", "pays-1-core.png", "pays-10-cores.png"),
    }

    assert "[tasks.cart]\ntarget = " in invoke("target", plan, folder)
    assert (folder / "cart" / "one" / "5").exists()


def test_a_run_that_fails_is_said_and_left(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN + '"merge.step" = 3.0\n')  # an option of another rule
    said = invoke("run", plan, tmp_path / "runs", "--arm", "mean, two")
    assert "0 iterations, 0.00 core-minutes, exit code 2: see" in said
    assert invoke("score", plan, tmp_path / "runs", "--data", tmp_path) == ""


@given(st.integers(0, 1000), st.floats(0, 1e4), st.floats(1, 1e4))
def test_chunks_end_at_the_cap(done: int, spent: float, cap: float) -> None:
    following = pays.next_iteration(done, min(spent, cap), cap)
    assert done < following <= max(4 * done, done + pays.FIRST)
    if done and spent and following > done + 1:
        assert spent / done * (following - 1) <= cap * (1 + 1e-9) or following == 4 * done
    assert math.isfinite(following)


def test_runs_that_were_scored_for_another_target_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    plan = read_plan(path)
    run = run_of([{"branch": units(1, 1, training=1)}], [1.0], task="cart", arm="one", seed=3)
    with pytest.raises(click.UsageError, match="cart, one, seed 3: scored for target 10"):
        comparisons(plan, [run], [])
    (found,) = comparisons(plan, [replace(run, target=0.0)], [])
    assert found.one is found.arms[0]
    assert comparisons(plan, [replace(run, seed=4)], []) == []
