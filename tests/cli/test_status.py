"""`poolrl status` as people and machines see it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from poolrl.config.run_options import RunOptions
from poolrl.pool.directory import Pool, make_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.records.work_units import Unit
from poolrl.worker.loop import Worker
from tests.conftest import tiny_spec
from tests.helpers.command_line import in_process
from tests.helpers.processes import ended, start
from tests.helpers.waiting import TIMEOUT_SECONDS
from tests.helpers.worker_files import beat, claim
from tests.launch.fakes import Fakes

KEYS = {
    *("schema", "directory", "task", "seed", "branches", "state", "merged", "iteration"),
    *(
        "iterations",
        "champion",
        "best_ever",
        "score_name",
        "score_direction",
        "environment_steps",
        "speed",
        "seconds_left",
        "counts",
        "units",
    ),
    *("workers", "forgotten_workers", "waiting", "attempts", "set_aside", "result", "clock"),
    "slurm",
}


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    made = make_pool(tmp_path / "pool", tiny_spec(), RunOptions(iterations=3))
    Worker(made, StopCriteria(1)).run()
    made.layout.iteration(1).record(Unit(1, "closing", 0)).unlink()
    return made


def test_one_branch_and_no_worker(tmp_path: Path) -> None:
    make_pool(tmp_path / "pool", tiny_spec(pool__count=1), RunOptions())
    line = in_process("status", "pool", cwd=tmp_path).stdout.splitlines()[0]
    assert line.startswith("pool pool: Plateau-v0, 1 branch, seed 0: ")


def test_a_small_pool_is_shown_unit_by_unit(pool: Pool, tmp_path: Path) -> None:
    claim(pool, Unit(2, "branch", 1), "n2", 12, 0)
    beat(pool, "n2", 12, 1, since=30, iteration=2, doing="branch-001", job="12_1")
    done = in_process("status", pool.layout.root, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"pool {pool.layout.root}: Plateau-v0, 3 branches, seed 0: running"
    assert lines[1].startswith("iteration 2 of 3; champion of iteration 1: score ")
    assert "iterations/h" in lines[2]
    assert lines[3] == "units: 3 free, 1 working; workers: 1 working"
    (row,) = [line.split() for line in lines if line.startswith("branch-001")]
    assert row[:4] == ["branch-001", "working", "n2", "12_1"]
    assert any(line.startswith("waits: branch-001: worker on n2 (job 12_1)") for line in lines)


def test_a_large_pool_is_shown_by_what_is_unusual(tmp_path: Path) -> None:
    pool = make_pool(tmp_path / "pool", tiny_spec(pool__count=1000), RunOptions(iterations=3))
    Worker(pool, StopCriteria(0)).run()
    for index in range(100):
        claim(pool, Unit(1, "branch", index), f"n{index}", 9, 3600 if index % 50 == 7 else 0)
    done = in_process("status", pool.layout.root, cwd=tmp_path)
    assert "901 free, 2 silent, 98 working" in done.stdout
    silent = [line for line in done.stdout.splitlines() if line.startswith("branch-")]
    assert [line.split()[0] for line in silent if "silent" in line] == ["branch-007", "branch-057"]
    assert len(done.stdout.splitlines()) < 30
    complete = in_process("status", pool.layout.root, "--all", cwd=tmp_path)
    assert len(complete.stdout.splitlines()) > 1000


def test_json_has_the_documented_keys(pool: Pool, tmp_path: Path) -> None:
    done = in_process("status", pool.layout.root, "--json", cwd=tmp_path)
    table = json.loads(done.stdout)
    assert set(table) == KEYS
    documented = (Path(__file__).parent.parent.parent / "docs" / "status.md").read_text()
    for each in (table, table["units"][0], table["champion"], table["speed"], table["clock"]):
        assert [key for key in each if f"`{key}`" not in documented] == []


def test_a_watch_ends_with_its_pool(pool: Pool, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "poolrl", "status", str(pool.layout.root), "--watch"]
    with subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, text=True) as watch:
        assert watch.stdout is not None
        first = json.loads(watch.stdout.readline())
        assert first["state"] == "stopped"
        worker = start(pool, 3)
        with ended(worker):
            states = [json.loads(line)["state"] for line in watch.stdout]
    assert watch.returncode == 0
    assert states[-1] == "finished"
    assert states.count("finished") == 1
    shown = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=TIMEOUT_SECONDS
    )
    assert "result: mean return" in shown.stdout


def test_an_interrupted_watch_is_no_traceback(pool: Pool) -> None:
    command = [sys.executable, "-m", "poolrl", "status", str(pool.layout.root), "--watch", "--json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as watch:  # type: ignore[call-overload]
        watch.stdout.readline()
        watch.send_signal(signal.SIGINT)
        _, said = watch.communicate(timeout=TIMEOUT_SECONDS)
    assert (watch.returncode, said.strip()) == (130, "")


def test_slurms_view_is_shown_where_there_is_one(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes = Fakes(tmp_path / "commands")
    rows = "12_1|RUNNING|n2|None|59:00|2026-01-01T00:00:00\n"
    rows += "12_[2-9]|PENDING||Resources|1:00:00|2026-01-02T00:00:00\n"
    fakes.answer("squeue", {"out": rows})
    beat(pool, "n2", 12, 1, iteration=2, doing="branch-001", job="12_1")
    monkeypatch.setenv("PATH", fakes.path)
    done = in_process("status", pool.layout.root, cwd=tmp_path)
    assert "SLURM: 1 PENDING, 1 RUNNING" in done.stdout
    waiting = "SLURM: 12_[2-9] PENDING, Resources, should start at 2026-01-02T00:00:00"
    assert waiting in done.stdout
    table = json.loads(in_process("status", pool.layout.root, "--json", cwd=tmp_path).stdout)
    assert [job["state"] for job in table["slurm"]] == ["RUNNING", "PENDING"]


def test_markup_and_control_characters_stay_text(pool: Pool, tmp_path: Path) -> None:
    claim(pool, Unit(2, "branch", 0), "[red]x[/red]\x1b[2J", 12, 0)
    done = in_process("status", pool.layout.root, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "[red]x[/red]\\x1b[2J" in done.stdout


def test_neither_torch_nor_mujoco_is_imported(pool: Pool) -> None:
    code = (
        "import sys; from poolrl.cli.main import cli; "
        f"cli.main(['status', {str(pool.layout.root)!r}], standalone_mode=False); "
        "sys.exit(bool({'torch', 'mujoco', 'pandas', 'threadpoolctl'} & sys.modules.keys()))"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=TIMEOUT_SECONDS, env=os.environ
    )


def test_what_is_no_pool_is_refused(tmp_path: Path) -> None:
    done = in_process("status", tmp_path, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"poolrl: {tmp_path}: not a pool (it has no pool.toml)\n"
