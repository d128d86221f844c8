"""`poolrl submit` and `poolrl cancel`: arguments; what SLURM makes of them is in tests/slurm."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from poolrl.config.run_options import RunOptions
from poolrl.pool.directory import make_pool, open_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.storage.layout import Layout
from poolrl.storage.store import Store
from poolrl.storage.submissions import job_name, submissions
from poolrl.worker.loop import Worker
from tests.conftest import tiny_spec
from tests.faults.checker import check
from tests.helpers.command_line import in_process, settings
from tests.launch.fakes import Fakes


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fakes:
    made = Fakes(tmp_path / "commands")
    monkeypatch.setenv("PATH", made.path)
    return made


def test_a_dry_run_prints_what_is_then_submitted(fakes: Fakes, tmp_path: Path) -> None:
    arguments = ["submit", "--pool-directory", "pool", *settings(), "--time", "02:00:00"]
    arguments += ["--cpus-per-task", "3", "--array-limit", "2", "--before", "module load python"]
    dry = in_process(*arguments, "--dry-run", cwd=tmp_path)
    assert (dry.returncode, dry.stderr) == (0, "")
    assert "#SBATCH --array=0-2%2\n" in dry.stdout
    assert "#SBATCH --cpus-per-task=3\n" in dry.stdout
    assert not (tmp_path / "pool").exists()
    assert fakes.calls("sbatch") == []
    done = in_process(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert fakes.calls("sbatch") == [["--parsable", dry.stdout]]
    root = tmp_path / "pool"
    assert (root / "submit.sh").read_text() == dry.stdout
    lines = done.stdout.splitlines()
    assert lines[0] == f"submitted job 101: 3 workers for {root}"
    assert lines[1:3] == [f"watch:  poolrl status {root} --watch", f"cancel: poolrl cancel {root}"]
    assert open_pool(root).spec == tiny_spec()
    assert check(root) == []


def test_a_chain_is_known_and_cancelled_as_a_whole(fakes: Fakes, tmp_path: Path) -> None:
    arguments = ["submit", "--pool-directory", "pool", *settings(), "--tasks", "7", "--chain", "3"]
    done = in_process(*arguments, cwd=tmp_path)
    assert done.stdout.startswith("submitted jobs 101, 102, 103, one after another: 7 workers")
    options = [call[:-1] for call in fakes.calls("sbatch")]
    assert options == [
        ["--parsable"],
        ["--parsable", "--dependency=afterany:101"],
        ["--parsable", "--dependency=afterany:102"],
    ]
    layout = Layout(tmp_path / "pool")
    (submission,) = submissions(Store(layout.root))
    assert (submission.jobs, submission.tasks) == (("101", "102", "103"), 7)
    cancelled = in_process("cancel", "pool", cwd=tmp_path)
    assert cancelled.stdout == "cancelled 3 jobs: 101 102 103\n"
    name = f"--name={job_name(layout)}"
    assert fakes.calls("scancel") == [["--quiet", name, "101", "102", "103", ""]]


def test_a_chain_that_breaks_is_known_as_far_as_it_goes(fakes: Fakes, tmp_path: Path) -> None:
    refusal = {"err": "sbatch: error: Job violates accounting policy\n", "code": 1}
    fakes.answer("sbatch", {"out": "101\n"}, refusal)
    arguments = ["submit", "--pool-directory", "pool", *settings(), "--chain", "3"]
    done = in_process(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    said = "poolrl: sbatch: Job violates accounting policy; submitted before that: 101\n"
    assert done.stderr.endswith(said)
    assert [each.jobs for each in submissions(Store(tmp_path / "pool"))] == [("101",)]


def test_an_array_that_is_too_large(fakes: Fakes, tmp_path: Path) -> None:
    said = "sbatch: error: Batch job submission failed: Invalid job array specification\n"
    fakes.answer("sbatch", {"err": said, "code": 1})
    done = in_process(
        "submit", "--pool-directory", "pool", *settings(), "--tasks", "5000", cwd=tmp_path
    )
    assert done.returncode == 2
    assert "5000 tasks may be more than this site allows in an array; fewer --tasks" in done.stderr


def test_without_sbatch_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))
    done = in_process("submit", "--pool-directory", "pool", *settings(), cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "poolrl: sbatch: not found on the PATH; is this a login node of a SLURM?\n"
    )
    assert sorted(os.listdir(tmp_path)) == ["empty"]
    dry = in_process("submit", "--pool-directory", "pool", *settings(), "--dry-run", cwd=tmp_path)
    assert dry.returncode == 0, dry.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--time", "soon"], "--time soon: write 02:00:00, or 1-12:00:00 for 36 hours"),
        (["--sbatch-arg", "--array=1-9"], "give --tasks and --array-limit instead"),
        (["--sbatch-arg", "-c 4"], "give --cpus-per-task instead"),
        (["--set", "pool.cuont=3"], "pool.cuont"),
        (["--tasks", "0"], "--tasks"),
    ],
)
def test_wrong_input_is_one_line_and_changes_nothing(
    fakes: Fakes, tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = in_process("submit", "--pool-directory", "pool", *settings(), *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "pool").exists()
    assert fakes.calls("sbatch") == []


def test_another_specification_is_refused_in_a_dry_run_too(fakes: Fakes, tmp_path: Path) -> None:
    make_pool(tmp_path / "pool", tiny_spec(), RunOptions())
    arguments = ["--pool-directory", "pool", "--seed", "5"]
    for more in ([], ["--dry-run"]):
        done = in_process("submit", *arguments, *more, cwd=tmp_path)
        assert done.returncode == 4
        assert "pool.seed (0 in the pool, 5 now)" in done.stderr
    assert fakes.calls("sbatch") == []


def test_a_finished_pool_needs_no_job(fakes: Fakes, tmp_path: Path) -> None:
    pool = make_pool(tmp_path / "pool", tiny_spec(), RunOptions(iterations=1))
    Worker(pool, StopCriteria(1)).run()
    done = in_process("submit", "--pool-directory", "pool", cwd=tmp_path)
    assert done.stdout == (f"{tmp_path / 'pool'}: finished; --iterations extends it beyond 1\n")
    assert fakes.calls("sbatch") == []
    done = in_process("submit", "--pool-directory", "pool", "--iterations", "2", cwd=tmp_path)
    assert done.stdout.startswith("submitted job 101")


def test_nothing_to_cancel(fakes: Fakes, tmp_path: Path) -> None:
    make_pool(tmp_path / "pool", tiny_spec(), RunOptions())
    done = in_process("cancel", "pool", cwd=tmp_path)
    assert done.stdout == "pool: no job was submitted for this pool\n"
    assert fakes.calls("scancel") == []


def test_jobs_of_another_name_are_not_said_to_be_cancelled(fakes: Fakes, tmp_path: Path) -> None:
    assert in_process("submit", "--pool-directory", "pool", *settings(), cwd=tmp_path)[0] == 0
    (tmp_path / "pool").rename(tmp_path / "moved")
    name = job_name(Layout(tmp_path / "moved"))
    task = "|RUNNING|n1|None|59:00|2026-01-01T00:00:00\n"
    fakes.answer("squeue", {}, {"out": f"101_0{task}"})
    done = in_process("cancel", "moved", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    refusal = (
        f"moved: not cancelled, since the name is not {name}: 101; if the pool was moved, scancel "
        "them by these ids\n"
    )
    assert done.stderr == f"poolrl: {refusal}"
    assert [call[3:-1] for call in fakes.calls("squeue")] == [[f"--name={name}"], []]
    # Submitted again, it has jobs of both names.
    assert in_process("submit", "--pool-directory", "moved", cwd=tmp_path)[0] == 0
    fakes.answer("squeue", {"out": f"102_0{task}"}, {"out": f"101_0{task}102_0{task}"})
    done = in_process("cancel", "moved", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, f"warning: {refusal}")
    assert done.stdout == "cancelled 1 job, of which 1 task was waiting or at work: 102\n"
