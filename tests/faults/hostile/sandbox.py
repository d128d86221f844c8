"""Run a command in this process and record what it prints, opens, imports and starts."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import logging
import os
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

from poolrl.launch.local import LocalWorkers
from poolrl.tasks.registry import REGISTRY, task_class
from tests.faults.hostile.values import CANARIES

ALLOWED_CODES = (0, 1, 2, 3, 4)
"""No file can cause a preemption or an interruption; a timeout can cause a stall."""

LATE = signal.SIGRTMIN + 7
"""The signal of the time limit; no command handles it."""

_LOGGED = re.compile(r"\d{4}-\d\d-\d\d [\d:,]+ (INFO|WARNING) ")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_FIRST_PATH = ("os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod", "os.utime")
_BOTH_PATHS = ("os.rename", "os.link", "os.symlink")
_PROCESSES = ("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn")
_CODE = ("pickle.find_class", "marshal.loads")


class Started(BaseException):
    """`poolrl run` has accepted the input and would start its workers."""


class TooLong(BaseException):
    """The time limit is over."""


@dataclass
class Outcome:
    """The outcome of a command.

    Attributes:
        code: its exit code; ``"started"`` if a run would start workers, ``"at work"`` if it was
            training or evaluating at the time limit.
        seconds: its duration.
        said: its output on stderr.
        wrong: what it did and must not do.
    """

    code: int | str
    seconds: float
    said: str
    wrong: list[str] = field(default_factory=list)


class Watch:
    """Records what the process does while a command runs. An audit hook cannot be removed, so there
    is one instance per process."""

    def __init__(self) -> None:
        self._allowed: tuple[str, ...] | None = None
        self._noted: list[str] = []
        known = {name.partition(".")[0] for name in sys.modules} | set(sys.stdlib_module_names)
        # Gymnasium's own tasks import these.
        known |= {"jax", "mujoco_py", "pygame", "Box2D"}
        self._known = known - {"this", "antigravity", "canary", *CANARIES}
        sys.addaudithook(self._hook)

    @contextlib.contextmanager
    def watching(self, allowed: tuple[Path, ...]) -> Iterator[list[str]]:
        """Record what happens outside the allowed directories and files."""
        self._noted = []
        self._allowed = tuple(os.path.realpath(path) for path in allowed)
        try:
            yield self._noted
        finally:
            self._allowed = None

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        allowed = self._allowed
        if allowed is None:
            return
        self._allowed = None  # ignore the events of this function
        try:
            self._note(event, arguments, allowed)
        finally:
            self._allowed = allowed

    def _note(self, event: str, arguments: tuple[Any, ...], allowed: tuple[str, ...]) -> None:
        paths: tuple[Any, ...] = ()
        folders: tuple[Any, ...] = (-1, -1)
        if event == "open":
            path, mode, flags = arguments
            writing = (isinstance(mode, str) and set(mode) & set("wax+")) or flags & _WRITING
            paths = (path,) if writing else ()
        elif event in _FIRST_PATH:
            paths = arguments[:1]
            if event in ("os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.utime"):
                folders = arguments[-1:]
        elif event in _BOTH_PATHS:
            paths, folders = arguments[:2], arguments[2:]
            if event != "os.rename":  # it does not change the first one
                paths, folders = paths[1:], folders[-1:]
        elif event == "import":
            if arguments[0].partition(".")[0] not in self._known:
                self._noted.append(f"import of {arguments[0]!r}")
        elif event == "ctypes.dlopen" and arguments[0] is not None:  # filelock's own is of libc
            self._noted.append(f"{event} {arguments[0]!r}")
        elif event in _PROCESSES or (event in _CODE and not _importing()):
            self._noted.append(f"{event} {repr(arguments)[:200]}")
        for path, folder in zip(paths, folders, strict=False):
            if isinstance(path, (str, bytes, os.PathLike)):
                base = os.readlink(f"/proc/self/fd/{folder}") if folder > 0 else ""
                self._check_path(event, os.path.join(base, os.fsdecode(path)), allowed)

    def _check_path(self, event: str, path: str, allowed: tuple[str, ...]) -> None:
        folder, name = os.path.split(path)
        whole = event == "open" and not os.path.islink(path)
        real = os.path.realpath(path) if whole else os.path.join(os.path.realpath(folder), name)
        if event == "open" and os.path.islink(path):
            return  # not followed; otherwise the snapshot shows it
        inside = any(real == each or real.startswith(each + os.sep) for each in allowed)
        if not inside and real != os.devnull and not (event == "os.mkdir" and os.path.isdir(real)):
            self._noted.append(f"{event} {path}")


def _importing() -> bool:
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def command(watch: Watch, arguments: list[str], allowed: tuple[Path, ...], limit: float) -> Outcome:
    """Run ``poolrl`` with arguments.

    Args:
        watch: the instance of this process.
        arguments: the command line.
        allowed: where it may write.
        limit: the time limit in seconds.
    """
    from poolrl.cli.main import main

    out, err = io.StringIO(), io.StringIO()
    logging.root.handlers.clear()
    code: int | str = 0
    failure = ""
    start = time.monotonic()
    faulthandler.dump_traceback_later(6 * limit, exit=True)
    signal.signal(LATE, _too_long)
    alarm = threading.Timer(limit, signal.pthread_kill, (threading.get_ident(), LATE))
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        watch.watching(allowed) as noted,
    ):
        alarm.start()
        try:
            code = main(arguments)
        except Started:
            code = "started"
        except TooLong as late:
            code, failure = _judge(late, limit)
        except BaseException:
            code, failure = "raised", traceback.format_exc()
        finally:
            alarm.cancel()
    faulthandler.cancel_dump_traceback_later()
    outcome = Outcome(code, time.monotonic() - start, err.getvalue(), [*noted])
    if failure:
        outcome.wrong.append(failure)
    elif isinstance(code, int):
        outcome.wrong += _badly_said(code, err.getvalue())
    return outcome


def _judge(late: TooLong, limit: float) -> tuple[str, str]:
    """Whether a command at its time limit hangs, or trains or evaluates."""
    names = {frame.name for frame in traceback.extract_tb(late.__traceback__)}
    if names & {"compute", "evaluate_agent"}:
        return "at work", ""
    return "hang", f"no end after {limit} s\n" + "".join(traceback.format_exception(late))


def _badly_said(code: int, said: str) -> list[str]:
    lines = [line for line in said.splitlines() if line and not _LOGGED.match(line)]
    lines = [line for line in lines if not line.startswith(("Usage:", "Try "))]
    wrong = [] if code in ALLOWED_CODES else [f"exit code {code}"]
    if "Traceback" in said or len(lines) != bool(code):
        wrong.append(f"exit code {code}, and {len(lines)} lines of explanation:\n{said[:3000]}")
    return wrong


def _too_long(signum: int, frame: FrameType | None) -> None:
    raise TooLong


def refuse_to_start(*_: Any) -> None:
    raise Started


USED = ("gymnasium.envs.classic_control", "gymnasium.envs.mujoco", "gymnasium.envs.toy_text")
USED += ("pandas", "matplotlib.figure", "poolrl.launch.run")
USED += ("matplotlib.backends.backend_agg", "poolrl.cli.main")
"""Modules that commands import for any input."""


def prepare() -> Watch:
    """Import what commands need, so that an input has caused every later import; and prevent that
    runs start workers."""
    for name in USED:
        import_module(name)
    for task_id in REGISTRY:
        task_class(task_id)
    if find_spec("myo_sim") is not None:
        import_module("myo_sim.build.compose")
    LocalWorkers.start = refuse_to_start  # type: ignore[method-assign]
    os.environ["PATH"] = os.devnull  # so that no cluster's commands are found
    return Watch()
