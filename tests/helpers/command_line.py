"""Run the command line, as a process or in this one."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import pytest

from poolrl.cli.main import main
from poolrl.interrupts import SIGNALS, WAKE_UP
from poolrl.tasks.model_paths import MODEL_PATHS
from tests.conftest import TINY, as_options
from tests.helpers.waiting import TIMEOUT_SECONDS


class Result(NamedTuple):
    """What a command has done; the names are those of ``subprocess.CompletedProcess``."""

    returncode: int
    stdout: str
    stderr: str


def poolrl(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `poolrl` with arguments in a directory, as a process."""
    return _run([sys.executable, "-m", "poolrl", *map(str, arguments)], cwd)


def without_privileges(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """As ``poolrl``, without root's privilege to read and write what permissions forbid."""
    prefix = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("needs setpriv, or another user than root")
        prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    return _run([*prefix, sys.executable, "-m", "poolrl", *map(str, arguments)], cwd)


def in_process(*arguments: object, cwd: Path) -> Result:
    """Run `poolrl` with arguments in a directory, in this process.

    It saves the imports, which take a second. Not for the code of a user's own task: what one call
    permits, or loads, is permitted and loaded in the next.
    """
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(cwd),
        _restored(),
        _warnings_printed(),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = main([str(argument) for argument in arguments])
    return Result(code, out.getvalue(), err.getvalue())


def settings(**overrides: object) -> list[str]:
    """Options of a tiny pool; keywords have ``__`` for the dots of keys."""
    return as_options(TINY | {key.replace("__", "."): value for key, value in overrides.items()})


def assert_refused(folder: Path, keys: Sequence[str], message: str) -> None:
    """Check that `poolrl run` with keys says one line that contains a message, and makes no pool.

    Args:
        folder: working directory.
        keys: as `--set` takes them.
        message: part of the line.
    """
    options = [word for key in keys for word in ("--set", key)]
    done = in_process("run", "--pool-directory", "pool", *options, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (folder / "pool").exists()


def _run(command: Sequence[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
    )


@contextlib.contextmanager
def _restored() -> Iterator[None]:
    """Start without handlers of logging, as a process does; then restore them, the handlers of
    signals, and the models that have moved."""
    numbers = (*SIGNALS, WAKE_UP)
    of_signals = [signal.getsignal(number) for number in numbers]
    root = logging.root
    of_logging, level = root.handlers, root.level
    root.handlers = []
    try:
        with (
            mock.patch.dict(MODEL_PATHS._moved),
            mock.patch.object(signal, "signal", signal.signal),
        ):
            yield
    finally:
        root.handlers, root.level = of_logging, level
        for number, handler in zip(numbers, of_signals, strict=True):
            signal.signal(number, handler)


@contextlib.contextmanager
def _warnings_printed() -> Iterator[None]:
    """Print warnings to stderr, as a process does, where pytest would collect them."""

    def show(message: object, category: type[Warning], file: str, line: int, *_: object) -> None:
        print(f"{file}:{line}: {category.__name__}: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning):
            warnings.simplefilter("ignore", category)
        warnings.simplefilter("ignore", ResourceWarning)
        warnings.showwarning = show  # type: ignore[assignment]
        yield
