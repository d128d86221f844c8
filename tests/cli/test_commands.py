"""The commands, as a user runs them."""

from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from poolrl.monitoring.history import History
from poolrl.pool.directory import open_pool
from tests.helpers.command_line import in_process, poolrl, settings
from tests.helpers.processes import workers_of
from tests.helpers.waiting import TIMEOUT_SECONDS, until


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which a pool has run."""
    directory = tmp_path_factory.mktemp("place")
    arguments = ["--iterations", "3", "--pool-directory", "pool", "--workers", "2"]
    said = poolrl("run", *arguments, "--learning-rate", "0.01,0.3", *settings(), cwd=directory)
    assert said.returncode == 0, said.stderr
    (directory / "said.txt").write_text(said.stdout)
    return directory


def history(place: Path) -> History:
    read = History(open_pool(place / "pool"))
    read.refresh()
    return read


def test_help_is_fast_and_without_torch(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom poolrl.cli.main import cli\n"
        "try: cli(['run', '--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(bool({'torch', 'numpy', 'mujoco', 'pandas', 'threadpoolctl'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0
    listing = in_process("--help", cwd=tmp_path).stdout
    for command in ("run", "worker", "evaluate", "history", "plot"):
        assert command in listing


def test_a_run_says_what_happens_and_where_things_are(place: Path) -> None:
    said = (place / "said.txt").read_text()
    for iteration in range(4):
        assert f"iteration {iteration}/3: champion's score" in said
    assert "ended after iteration 3: 3 iterations are done" in said
    assert "over 5 episodes on reserved seeds" in said
    named = dict(line.split(":", 1) for line in said.strip().splitlines()[-3:])
    for name in ("agent", "history", "plot"):
        assert (place / named[name].strip()).is_file()


def test_history_in_every_format(place: Path) -> None:
    rows = 1 + 3 * 4 + 1
    csv = pd.read_csv(
        io.StringIO(in_process("history", "pool", "--format", "csv", cwd=place).stdout)
    )
    assert len(csv) == rows
    lines = in_process("history", "pool", "--format", "jsonl", cwd=place).stdout.splitlines()
    assert [json.loads(line)["kind"] for line in lines] == csv["kind"].tolist()
    array = json.loads(in_process("history", "pool", "--format", "json", cwd=place).stdout)
    assert array == [json.loads(line) for line in lines]
    assert [row["finished"] for row in array] == csv["finished"].tolist()
    assert list(array[0]) == list(csv.columns)
    assert len(in_process("history", "pool", cwd=place).stdout.splitlines()) == rows + 1
    branches = csv[csv["kind"] == "branch"]
    assert branches["learning_rate"].tolist() == [0.01, 0.3, 0.01] * 3
    units = csv[csv["kind"] != "closing"]
    assert units.groupby("iteration")["champion"].sum().tolist() == [1, 1, 1, 1]
    assert units.groupby("iteration")["elapsed"].max().is_monotonic_increasing
    assert csv["elapsed"].min() > 0
    for column in ("score", "standard_error", "training_wall", "pool_cpu", "worker", "host"):
        assert column in csv


def test_a_reader_that_has_seen_enough_is_no_error(place: Path) -> None:
    command = f"{sys.executable} -m poolrl history pool --format csv | head -1"
    done = subprocess.run(command, shell=True, cwd=place, capture_output=True, check=False)
    assert done.stderr == b""


def test_plot_writes_a_picture(place: Path) -> None:
    said = in_process("plot", "pool", "-o", "mine.png", cwd=place)
    assert said.returncode == 0, said.stderr
    assert (place / "mine.png").read_bytes().startswith(b"\x89PNG")


def test_evaluate_a_pool_and_its_agent(place: Path) -> None:
    keys = ["mean", "std", "ci95_low", "ci95_high", "min", "max", "episodes", "mean_length"]
    whole = in_process("evaluate", "pool", "--episodes", "50", "--json", cwd=place)
    summary = json.loads(whole.stdout)
    assert list(summary) == [*keys, "deterministic", "info"]
    assert summary["episodes"] == 50
    assert summary["deterministic"] is True
    assert summary["ci95_low"] < summary["mean"] < summary["ci95_high"]
    last = history(place).merges[-1]
    path = Path("pool") / last.champion.path
    one = in_process("evaluate", path, "--episodes", "50", "--json", cwd=place)
    assert json.loads(one.stdout) == summary
    other = in_process("evaluate", path, "--episodes", "50", "--json", "--stochastic", cwd=place)
    assert json.loads(other.stdout)["deterministic"] is False
    assert json.loads(other.stdout)["mean"] != summary["mean"]
    assert "mean return" in in_process("evaluate", path, cwd=place).stdout


def test_the_same_command_again_does_nothing_and_more_iterations_extend(place: Path) -> None:
    before = [merge.champion.sha256 for merge in history(place).merges]
    again = poolrl("run", "--pool-directory", "pool", "--iterations", "3", cwd=place)
    assert again.returncode == 0
    assert [merge.champion.sha256 for merge in history(place).merges] == before
    more = poolrl("run", "--pool-directory", "pool", "--iterations", "4", cwd=place)
    assert more.returncode == 0
    assert "going on at iteration 4" in more.stdout
    assert len(history(place).merges) == len(before) + 1


def test_a_pool_starts_from_an_agent(place: Path) -> None:
    last = history(place).merges[-1]
    arguments = ["--from-agent", f"pool/{last.champion.path}", "--iterations", "1"]
    said = poolrl("run", "--pool-directory", "second", *arguments, *settings(), cwd=place)
    assert said.returncode == 0, said.stderr
    second = History(open_pool(place / "second"))
    second.refresh()
    assert second.merges[0].champion.sha256 == last.champion.sha256
    again = poolrl("run", "--pool-directory", "second", *arguments, *settings(), cwd=place)
    assert again.returncode == 0, again.stderr


def test_an_agent_that_is_taken_over_learns_its_new_task(place: Path) -> None:
    last = history(place).merges[-1]
    arguments = ["--from-agent", f"pool/{last.champion.path}", "--iterations", "0"]
    longer = settings(task__max_episode_steps=7)
    said = poolrl("run", "--pool-directory", "longer", *arguments, *longer, cwd=place)
    assert said.returncode == 0, said.stderr
    summary = json.loads(in_process("evaluate", "longer", "--json", cwd=place).stdout)
    assert summary["mean_length"] == 7


def test_a_worker_joins_with_the_last_runs_options(place: Path) -> None:
    before = len(history(place).merges)
    more = str(before + 1)
    poolrl("run", "--pool-directory", "pool", "--iterations", more, cwd=place)
    worker = in_process("worker", "--pool-directory", "pool", cwd=place)
    assert worker.returncode == 0
    assert f"the pool ended: {more} iterations are done" in worker.stderr


def test_a_pool_without_its_folder_of_logs_goes_on(place: Path) -> None:
    shutil.rmtree(place / "pool" / "logs")
    said = poolrl("run", "--pool-directory", "pool", cwd=place)
    assert said.returncode == 0, said.stderr


def test_a_run_in_which_every_branch_failed_says_so(tmp_path: Path) -> None:
    arguments = ["--iterations", "1", "--pool-directory", "pool"]
    said = poolrl("run", *arguments, *settings(learner__learning_rate=1e9), cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    failed = "warning: no branch of the last iteration succeeded" in said.stdout
    read = History(open_pool(tmp_path / "pool"))
    read.refresh()
    assert failed == all(unit.status == "failed" for unit in read.units if unit.kind == "branch")


def test_budgets_and_targets_end_a_run(tmp_path: Path) -> None:
    arguments = ["--iterations", "100000", "--pool-directory", "pool", *settings()]
    timed = poolrl("run", "--time-budget", "3s", *arguments, cwd=tmp_path)
    assert timed.returncode == 0, timed.stderr
    assert "the time budget is spent" in timed.stdout
    reached = poolrl("run", "--target-return", "-100", *arguments, cwd=tmp_path)
    assert reached.returncode == 0, reached.stderr
    assert "re-evaluation reached" in reached.stdout


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_a_stopped_run_resumes(tmp_path: Path, sent: signal.Signals, code: int) -> None:
    root = tmp_path / "pool"
    arguments = ["--pool-directory", str(root), *settings(task__max_episode_steps=3000)]
    command = [sys.executable, "-m", "poolrl", "run", "--iterations", "100000", *arguments]
    run = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    until((root / "iterations" / "000002").exists)
    run.send_signal(sent)
    said, _ = run.communicate(timeout=TIMEOUT_SECONDS)
    assert run.returncode == code, said.decode()
    assert b"the same command goes on from here" in said
    assert b"Traceback" not in said
    assert workers_of(root) == []
    assert list(root.rglob("*.lease")) == []
    merged = len(list(root.rglob("merge.json")))
    done = poolrl("run", "--iterations", str(merged + 1), *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"going on at iteration {merged}" in done.stdout


def test_a_worker_alone_serves_a_pool(tmp_path: Path) -> None:
    poolrl("run", "--iterations", "1", "--pool-directory", "pool", *settings(), cwd=tmp_path)
    worker = poolrl("worker", "--pool-directory", "pool", "--iterations", "2", cwd=tmp_path)
    assert worker.returncode == 0, worker.stderr
    read = History(open_pool(tmp_path / "pool"))
    read.refresh()
    assert len(read.merges) == 3
