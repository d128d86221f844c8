"""What the code of others may change in this process."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from poolrl.process_state import ProcessState


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a folder ``theirs``."""
    (tmp_path / "theirs").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_their_directory_is_theirs_alone(folder: Path) -> None:
    state = ProcessState()
    with state.lent():
        os.chdir("theirs")
        with state.lent():  # within another section, such as a constructor in an evaluation
            assert Path.cwd() == folder / "theirs"
    assert Path.cwd() == folder
    with pytest.raises(FileNotFoundError), state.lent():
        (Path.cwd().parent / "theirs" / "nothing").read_text()
    assert Path.cwd() == folder
    with state.lent():
        assert Path.cwd() == folder / "theirs"
    with state.lent():
        os.chdir("..")
    with state.lent():
        assert Path.cwd() == folder


def test_a_directory_that_is_gone_is_no_failure(folder: Path) -> None:
    state = ProcessState()
    with state.lent():
        os.chdir("theirs")
        (folder / "theirs").rmdir()
    assert Path.cwd() == folder
    with state.lent():
        os.chdir(folder)


def test_a_caller_that_changes_the_directory_is_followed(folder: Path) -> None:
    state = ProcessState()
    with state.lent():
        os.chdir("theirs")
    (folder / "another").mkdir()
    os.chdir("another")
    with state.lent():
        assert Path.cwd() == folder / "another"
    assert Path.cwd() == folder / "another"


def test_no_directory_stays_open(folder: Path) -> None:
    state = ProcessState()
    with state.lent():
        os.chdir("theirs")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with state.lent():
            pass
    assert len(os.listdir("/proc/self/fd")) == before


def test_streams_and_signals_are_restored(folder: Path) -> None:
    state = ProcessState()
    streams = sys.stdout, sys.stderr
    numbers = (signal.SIGCHLD, signal.SIGPIPE)
    before = [signal.getsignal(number) for number in numbers]
    with state.lent():
        sys.stdout = sys.stderr = io.StringIO()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    assert (sys.stdout, sys.stderr) == streams
    assert [signal.getsignal(number) for number in numbers] == before
    assert subprocess.run([sys.executable, "-c", "exit(3)"], check=False).returncode == 3


def test_a_thread_changes_nothing(folder: Path) -> None:
    state, seen = ProcessState(), []

    def other() -> None:
        with state.lent():
            seen.append(Path.cwd())

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert seen == [folder]


def test_constructors_start_where_the_import_ended(folder: Path) -> None:
    state = ProcessState()
    (folder / "theirs" / "deep").mkdir()
    with state.lent():
        os.chdir("theirs")
        state.imported()
    for _ in range(2):
        with state.lent():
            state.before_constructor()
            os.chdir("deep")
            state.before_constructor()
            os.chdir("deep")
    with state.lent():
        assert Path.cwd() == folder / "theirs" / "deep"
    assert Path.cwd() == folder
    state.before_constructor()  # outside of a section
    assert Path.cwd() == folder
    other = ProcessState()
    with other.lent():
        os.chdir("theirs")
        other.before_constructor()
        assert Path.cwd() == folder
