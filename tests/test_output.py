"""Output that cannot be written or encoded: training goes on, other commands say so in one line."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from poolrl.config.run_options import RunOptions
from poolrl.pool.directory import make_pool, open_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.worker.loop import Worker
from tests.conftest import tiny_spec
from tests.helpers.command_line import settings
from tests.helpers.waiting import TIMEOUT_SECONDS

POOLRL = f"'{sys.executable}' -m poolrl"
FULL = "poolrl: standard output: No space left on device"
CLOSED = "poolrl: standard output: it is closed"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a finished pool, whose name is ASCII, and one whose name is not."""
    place = tmp_path_factory.mktemp("place")
    for name in ("pool", "größe"):
        pool = make_pool(place / name, tiny_spec(), RunOptions(iterations=1))
        Worker(pool, StopCriteria(1)).run()
    return place


def shell(
    line: str, folder: Path, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a line of bash; ``$@`` are the arguments."""
    return subprocess.run(
        ["bash", "-c", line, "bash", *arguments],
        cwd=folder,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=False,
        timeout=TIMEOUT_SECONDS,
    )


TRAIN = {
    "run": "run --iterations 3 --workers 2 --pool-directory new",
    "one worker": "run --one-worker --iterations 3 --pool-directory new",
}


def is_trained(pool: Path, iterations: int = 3) -> bool:
    last = open_pool(pool).deposit_store().newest_merge()
    assert (pool / "history.csv").exists()
    return last is not None and last.iteration == iterations


@pytest.mark.parametrize("command", TRAIN)
@pytest.mark.parametrize(
    ("where", "notice"),
    [
        (">/dev/full", [f"{FULL}; training goes on"]),
        (">/dev/full 2>&1", []),
        (">&-", []),
        (">&- 2>&-", []),
        ("<&- >&- 2>&-", []),
        ("2>/dev/full", []),
    ],
)
def test_training_goes_on(tmp_path: Path, command: str, where: str, notice: list[str]) -> None:
    line = f'{POOLRL} {TRAIN[command]} "$@" {where}'
    done = shell(line, tmp_path, *settings())
    assert (done.returncode, done.stderr.splitlines()) == (0, notice)
    assert is_trained(tmp_path / "new")


@pytest.mark.parametrize("command", TRAIN)
def test_training_goes_on_after_the_end_of_a_pipe(tmp_path: Path, command: str) -> None:
    line = f'{{ {POOLRL} {TRAIN[command]} "$@"; echo $? >code; }} | head -1'
    done = shell(line, tmp_path, *settings())
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    assert (tmp_path / "code").read_text() == "0\n"
    assert is_trained(tmp_path / "new")


def test_training_goes_on_after_the_end_of_a_terminal(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "poolrl", *TRAIN["run"].split(), *settings()]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=theirs, stderr=subprocess.PIPE, start_new_session=True
    ) as run:
        os.close(theirs)
        os.read(ours, 100)
        os.close(ours)
        _, said = run.communicate(timeout=TIMEOUT_SECONDS)
    assert run.returncode == 0, said.decode()
    assert b"Traceback" not in said
    assert is_trained(tmp_path / "new")


def test_a_worker_by_hand_goes_on(tmp_path: Path) -> None:
    make_pool(tmp_path / "new", tiny_spec(), RunOptions(iterations=3))
    done = shell(f"{POOLRL} worker --pool-directory new >/dev/full 2>/dev/full", tmp_path)
    assert done.returncode == 0
    assert open_pool(tmp_path / "new").layout.iteration(3).merge.exists()


def test_the_exit_code_of_a_failure_is_its_own(tmp_path: Path) -> None:
    for where in (">/dev/full", ">&- 2>&-", "2>/dev/full"):
        done = shell(f'{POOLRL} run --set task.id=Nowhere-v0 "$@" {where}', tmp_path)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr


PRINTING = [
    "history pool",
    "history pool --format csv",
    "status pool",
    "status pool --watch",
    "status pool --json",
    "status pool --json --watch",
    "tasks",
    "tasks --all --json",
    "tasks Plateau-v0",
    "evaluate pool",
    "verify pool",
    "doctor pool",
    "plot pool -o x.png",
    "prune pool --dry-run",
    "--help",
    "run --help",
    "--version",
]


@pytest.mark.parametrize("command", PRINTING)
def test_a_command_that_prints_says_so(place: Path, command: str) -> None:
    for where, line in ((">/dev/full", FULL), (">&-", CLOSED)):
        done = shell(f"{POOLRL} {command} {where}", place)
        assert (done.returncode, done.stderr) == (1, f"{line}\n")
    done = shell(f"{POOLRL} {command} >/dev/full 2>&1", place)
    assert done.returncode == 1


@pytest.mark.parametrize("command", PRINTING)
def test_the_end_of_a_pipe_is_no_failure(place: Path, command: str) -> None:
    done = shell(f"{POOLRL} {command} | true; exit ${{PIPESTATUS[0]}}", place)
    assert (done.returncode, done.stderr) == (0, "")


ENCODINGS = [
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "latin-1:strict"},
    {"PYTHONIOENCODING": "koi8-r"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"LC_ALL": "POSIX"},
]


@pytest.mark.parametrize("variables", ENCODINGS, ids=str)
def test_what_an_encoding_lacks_is_substituted(tmp_path: Path, variables: dict[str, str]) -> None:
    for name, command in TRAIN.items():
        folder = tmp_path / name
        folder.mkdir()
        done = shell(f'{POOLRL} {command} "$@"', folder, *settings(), **variables)
        assert (done.returncode, done.stderr) == (0, "")
        assert "result: mean return" in done.stdout


@pytest.mark.parametrize("variables", ENCODINGS[2:4], ids=str)
@pytest.mark.parametrize(
    "command", ["history", "status", "evaluate", "verify", "doctor", "doctor --json"]
)
def test_a_name_that_an_encoding_lacks(
    place: Path, command: str, variables: dict[str, str]
) -> None:
    name, *options = command.split()
    done = shell(f'{POOLRL} {name} größe "$@"', place, *options, **variables)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr


def test_json_stays_json(place: Path) -> None:
    for command in ("status größe --json", "doctor größe --json"):
        done = shell(f"{POOLRL} {command}", place, PYTHONIOENCODING="ascii")
        assert json.loads(done.stdout)["directory"] == "größe"


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    name = os.fsdecode(b"p\xffq")
    run = f'{POOLRL} run --iterations 1 --pool-directory "$@"'
    done = shell(run, tmp_path, name, *settings())
    assert (done.returncode, done.stderr) == (0, "")
    assert f"plot:    {name}/history.png" in done.stdout  # as bytes, so that it can be used
    for command in ("history", "status", "status --json", "doctor --json", "verify", "evaluate"):
        done = shell(f'{POOLRL} {command} "$@"', tmp_path, name)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
        if "--json" in command:
            assert json.loads(done.stdout)["directory"] == "p\\xffq"


def test_a_pipe_that_does_not_block_is_waited_for() -> None:
    # As another process on the same terminal or pipe may have set it.
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    code = "from poolrl import output; output.protect(); print('x' * 300_000)"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=theirs, stderr=subprocess.PIPE
    ) as process:
        os.close(theirs)
        with open(ours, "rb") as pipe:
            assert pipe.read() == b"x" * 300_000 + b"\n"
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 0
