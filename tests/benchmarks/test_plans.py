from __future__ import annotations

from pathlib import Path

import click
import pytest
from plans import arms_of, chosen, command, config_of, keys_of, read_plan, runs

PLAN = """
seeds = [3, 4]
[common]
"pool.count" = 10
"learner.epochs" = 1
[tasks.a]
config = "configs/a.toml"
set = {"learner.epochs" = 2}
iterations = 7
[tasks.b]
[arms.one]
"pool.count" = 1
"branches" = {}
[arms.one.b]
config = "configs/own.toml"
"learner.epochs" = 4
[arms."x, y"]
tasks = ["a"]
"branches.learning_rate" = {evolve = 0.5}
"""


@pytest.fixture
def plan_file(tmp_path: Path) -> Path:
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    return path


def test_later_tables_overrule_earlier_ones(plan_file: Path) -> None:
    plan = read_plan(plan_file)
    assert keys_of(plan, "a", "one") == {"pool.count": 1, "learner.epochs": 2, "branches": {}}
    assert keys_of(plan, "b", "one") == {"pool.count": 1, "learner.epochs": 4, "branches": {}}
    assert keys_of(plan, "a", "x, y") == {
        "pool.count": 10,
        "learner.epochs": 2,
        "branches.learning_rate": {"evolve": 0.5},
    }


def test_an_arm_may_have_a_configuration_of_its_own(plan_file: Path) -> None:
    plan = read_plan(plan_file)
    found = [config_of(plan, "a", "one"), config_of(plan, "b", "one")]
    assert [path.name for path in found if path] == ["a.toml", "own.toml"]
    plan["arms"]["one"].pop("b")
    assert config_of(plan, "b", "one") is None


def test_runs_have_seeds_outermost_and_leave_out_what_an_arm_is_not_for(plan_file: Path) -> None:
    plan = read_plan(plan_file)
    assert arms_of(plan, "b") == ["one"]
    names = [(run.seed, run.task, run.arm) for run in runs(plan, Path("f"))]
    each = [("a", "one"), ("a", "x, y"), ("b", "one")]
    assert names == [(3, *pair) for pair in each] + [(4, *pair) for pair in each]
    assert runs(plan, Path("f"))[1].folder == Path("f/a/x, y/3")


def test_a_command_names_what_the_plan_does(plan_file: Path) -> None:
    plan = read_plan(plan_file)
    (run,) = chosen(plan, Path("f"), ["a"], ["x, y"], "9")
    words = command(plan, run, options=["--one-worker"])
    assert words[words.index("--iterations") + 1] == "7"
    assert words[words.index("--seed") + 1] == "9"
    assert 'branches.learning_rate={"evolve": 0.5}' in words
    assert words[-1] == "--one-worker"
    assert command(plan, run, 12)[words.index("--iterations") + 1] == "12"


@pytest.mark.parametrize(
    ("tasks", "arms", "seeds", "message"),
    [(["c"], [], None, "'c'"), ([], ["two"], None, "'two'"), ([], [], "1;2", "--seeds 1;2")],
)
def test_what_is_not_in_the_plan_is_refused(
    plan_file: Path, tasks: list[str], arms: list[str], seeds: str | None, message: str
) -> None:
    with pytest.raises(click.UsageError, match=message):
        chosen(read_plan(plan_file), Path("f"), tasks, arms, seeds)


def test_an_arm_for_a_task_that_there_is_not_is_refused(plan_file: Path) -> None:
    plan_file.write_text(PLAN.replace('tasks = ["a"]', 'tasks = ["c"]'))
    with pytest.raises(click.UsageError, match="there is no task c"):
        read_plan(plan_file)


def test_the_plans_that_are_here_can_be_read() -> None:
    benchmarks = Path(__file__).parents[2] / "benchmarks"
    found = [*benchmarks.glob("curves/*.toml"), *benchmarks.glob("*.toml")]
    assert found
    for path in found:
        plan = read_plan(path)
        for run in runs(plan, Path("f")):
            config = config_of(plan, run.task, run.arm)
            assert config is None or config.exists()
            assert all("." in key or key == "branches" for key in keys_of(plan, *run[:2]))
