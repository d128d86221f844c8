"""What SLURM's commands are called with, and what is made of their answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolrl.errors import PoolrlError, Stopped, UsageError
from poolrl.launch import slurm
from poolrl.launch.requeue import AT_LIMIT, SlurmRequeue
from poolrl.launch.submit import Request, script
from poolrl.pool.directory import Pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.records.worker_records import Submission
from poolrl.storage.submissions import job_name, save_submission, submissions
from poolrl.worker.loop import Worker
from tests.launch.fakes import Fakes


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fakes:
    made = Fakes(tmp_path / "commands")
    monkeypatch.setenv("PATH", made.path)
    return made


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is task 3 of array 101, and of `poolrl submit`."""
    monkeypatch.setenv("SLURM_JOB_ID", "104")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "101")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    monkeypatch.setenv(AT_LIMIT, "requeue")


def test_the_queue_is_asked_for_jobs_and_nothing_else(fakes: Fakes) -> None:
    fakes.answer("squeue", {"out": "12_3|RUNNING|n1|None|1:00|N/A\n12_[4-9]|PENDING||Resources\n"})
    (job,) = slurm.queue(["12_3", "12_4", "12", "--all", "1;2", "", "0"]) or []
    assert (job.job, job.state, job.nodes) == ("12_3", "RUNNING", "n1")
    (call,) = fakes.calls("squeue")
    assert call[:2] == ["--noheader", "--jobs=12"]
    assert slurm.queue(["nothing"]) is None
    assert len(fakes.calls("squeue")) == 1


def test_a_queue_that_does_not_answer_is_no_error(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fakes.answer("squeue", {"err": "slurm_load_jobs error: Unable to contact", "code": 1})
    assert slurm.queue(["12"]) is None
    fakes.answer("squeue", {"err": "slurm_load_jobs error: Invalid job id specified", "code": 1})
    assert slurm.queue(["12"]) == []
    (fakes.folder / "squeue").write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    monkeypatch.setattr(slurm, "QUEUE_TIMEOUT_SECONDS", 0.3)
    assert slurm.queue(["12"]) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert slurm.queue(["12"]) is None


def test_what_sbatch_says_is_one_line(fakes: Fakes) -> None:
    fakes.answer(
        "sbatch",
        {"err": "sbatch: error: Invalid account\nsbatch: error: Batch job refused\n", "code": 1},
    )
    with pytest.raises(PoolrlError, match=r"^sbatch: Invalid account; Batch job refused$"):
        slurm.submit([], "#!/bin/sh\n")
    fakes.answer("sbatch", {"out": "Submitted\n"})
    with pytest.raises(PoolrlError, match="no job id in what it said"):
        slurm.submit([], "#!/bin/sh\n")


def test_the_script_outdoes_variables_of_the_same_options(
    fakes: Fakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fakes.folder / "sbatch").write_text(f"#!/bin/sh\n/usr/bin/env >{tmp_path}/seen\necho 101\n")
    outdone = ("JOB_NAME", "ARRAY_INX", "NO_REQUEUE", "SIGNAL", "OUTPUT", "ACCOUNT", "QOS")
    kept = ("PARTITION", "TIMELIMIT", "CONSTRAINT")  # which the script does not say
    for name in (*outdone, *kept):
        monkeypatch.setenv(f"SBATCH_{name}", "a user's own")
    request = Request(account="my lab", sbatch_arguments=("--qos=long",))
    assert slurm.submit([], script(tmp_path / "pool", request, 3)) == "101"
    lines = (tmp_path / "seen").read_text().splitlines()
    seen = {line.partition("=")[0] for line in lines if line.startswith("SBATCH_")}
    assert seen == {f"SBATCH_{name}" for name in kept}


def test_a_script_has_what_was_asked_for(tmp_path: Path) -> None:
    request = Request(
        time="1-02:00:00",
        partition="cpu",
        account="lab",
        array_limit=4,
        sbatch_arguments=("--mem=2G", "-N1", "--exclude 'n[1-3]'"),
        before=("module load python/3.11", "source '/venvs/my env/bin/activate'"),
    )
    lines = script(tmp_path / "a pool%A", request, 10).splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    options = [line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH")]
    assert "--array=0-9%4" in options
    assert "--time=1-02:00:00" in options
    assert "--partition=cpu" in options
    assert "--account=lab" in options
    assert "--requeue" in options
    assert f"'--output={tmp_path}/a pool%%A/logs/slurm-%A_%a.out'" in options
    assert options[-3:] == ["--mem=2G", "-N1", "--exclude 'n[1-3]'"]
    assert lines[-4:-1] == [f"export {AT_LIMIT}=requeue", *request.before]
    assert lines[-1].startswith("exec ")
    assert lines[-1].endswith(f" run --one-worker --pool-directory '{tmp_path}/a pool%A'")
    assert f"export {AT_LIMIT}=end" in script(tmp_path, Request(chain=2), 10)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"time": "two hours"}, "--time two hours: write 02:00:00"),
        ({"partition": "cpu\n#SBATCH --wrap=rm"}, "--partition .*: not one line of text"),
        ({"account": ""}, "--account '': not one line"),
        ({"sbatch_arguments": ("mem=2G",)}, "--sbatch-arg mem=2G: write it as sbatch would"),
        ({"sbatch_arguments": ("--array=0-3",)}, "give --tasks and --array-limit instead"),
        ({"sbatch_arguments": ("-d afterok:1",)}, "give --chain instead"),
        ({"sbatch_arguments": ("-Jmine",)}, "-Jmine: give nothing, since jobs are cancelled by"),
        ({"before": ("module load a", "echo \udcff")}, "--before 'echo .*': not text in UTF-8"),
    ],
)
def test_a_request_that_sbatch_could_not_take(changed: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Request(**changed)  # type: ignore[arg-type]


def test_a_directory_whose_name_takes_two_lines(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not one line of text"):
        script(tmp_path / "a\n#SBATCH --uid=root", Request(), 1)


def test_submissions_are_read_back_and_hostile_ones_passed_over(tiny_pool: Pool) -> None:
    layout = tiny_pool.layout
    made = [
        Submission(jobs=("7", "8"), tasks=3, submitted=2.0, host="login"),
        Submission(jobs=("5",), tasks=3, submitted=1.0, host="login"),
    ]
    for each in made:
        save_submission(tiny_pool.store, each)
    (layout.jobs / "9.json").write_text(
        '{"jobs": ["--me"], "tasks": 1, "submitted": 1, "host": ""}'
    )
    (layout.jobs / "10.json").symlink_to("7.json")
    (layout.jobs / "11.json").mkdir()
    (layout.jobs / "notes.txt").write_text("")
    assert submissions(tiny_pool.store) == made[::-1]


def test_at_the_time_limit_a_worker_goes_back_into_the_queue(
    tiny_pool: Pool, fakes: Fakes, task: None
) -> None:
    requeue = SlurmRequeue(tiny_pool.store)
    Worker(tiny_pool, StopCriteria(1)).run()
    requeue.on_stopped(Stopped(75, "SIGTERM"))  # cancelled, or preempted
    assert fakes.calls("scontrol") == []
    requeue.on_stopped(Stopped(75, "SIGUSR1"))
    assert fakes.calls("scontrol") == [["requeue", "101_3", ""]]


def test_a_pool_that_does_not_move_is_not_requeued_for_ever(
    tiny_pool: Pool, fakes: Fakes, task: None, caplog: pytest.LogCaptureFixture
) -> None:
    SlurmRequeue(tiny_pool.store).on_stopped(Stopped(75, "SIGUSR1"))
    assert fakes.calls("scontrol") == []
    assert "not requeued: the pool has not moved" in caplog.text


def test_a_site_that_forbids_requeueing_is_told_of(
    tiny_pool: Pool, fakes: Fakes, task: None, caplog: pytest.LogCaptureFixture
) -> None:
    fakes.answer("scontrol", {"err": "Requested operation not permitted\n", "code": 1})
    requeue = SlurmRequeue(tiny_pool.store)
    Worker(tiny_pool, StopCriteria(1)).run()
    requeue.on_stopped(Stopped(75, "SIGUSR1"))
    assert "not requeued: scontrol: Requested operation not permitted; submit" in caplog.text


def test_the_end_of_a_pool_cancels_what_waits(tiny_pool: Pool, fakes: Fakes, task: None) -> None:
    layout = tiny_pool.layout
    save_submission(
        tiny_pool.store, Submission(jobs=("101", "102"), tasks=3, submitted=1.0, host="login")
    )
    save_submission(tiny_pool.store, Submission(jobs=("50",), tasks=3, submitted=0.0, host="login"))
    requeue = SlurmRequeue(tiny_pool.store)
    Worker(tiny_pool, StopCriteria(1)).run()
    requeue.on_pool_end(closed_here=False)  # the one who closed the pool does it
    assert fakes.calls("scancel") == []
    requeue.on_pool_end(closed_here=True)
    expected = ["--quiet", f"--name={job_name(layout)}", "--state=PENDING", "101", "102", ""]
    assert fakes.calls("scancel") == [expected]
    SlurmRequeue(tiny_pool.store).on_pool_end(
        closed_here=False
    )  # who comes late: that one may have been killed
    assert fakes.calls("scancel") == [expected, expected]


def test_other_workers_leave_the_queue_alone(
    tiny_pool: Pool, fakes: Fakes, task: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(AT_LIMIT)
    requeue = SlurmRequeue(tiny_pool.store)
    Worker(tiny_pool, StopCriteria(1)).run()
    requeue.on_stopped(Stopped(75, "SIGUSR1"))
    requeue.on_pool_end(closed_here=True)
    assert not (fakes.folder / "calls").exists()
