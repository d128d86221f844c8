"""A command in this process, watched: what it says, opens, imports and starts."""

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
from pathlib import Path
from types import FrameType
from typing import Any

from poolrl.launch.local import LocalWorkers
from poolrl.tasks.registry import REGISTRY, task_class
from tests.faults.hostile.values import CANARIES

ALLOWED_CODES = (0, 1, 2, 3, 4)
"""A preemption or an interruption is nothing that a file can cause; a stall is, by its timeout."""

LATE = signal.SIGRTMIN + 7
"""The signal of the time limit, which no command listens to."""

_LOGGED = re.compile(r"\d{4}-\d\d-\d\d [\d:,]+ (INFO|WARNING) ")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_FIRST_PATH = ("os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod", "os.utime")
_BOTH_PATHS = ("os.rename", "os.link", "os.symlink")
_PROCESSES = ("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn")
_CODE = ("pickle.find_class", "marshal.loads")


class Started(BaseException):
    """``run`` accepted everything and would start its workers now."""


class TooLong(BaseException):
    """The time limit passed."""


@dataclass
class Outcome:
    """What a command did.

    Attributes:
        code: its exit code; ``"started"`` where a run would start workers, ``"at work"`` where the
            time limit came while it was computing what the input asks for.
        seconds: that it took.
        said: on standard error.
        wrong: what it must not do and did.
    """

    code: int | str
    seconds: float
    said: str
    wrong: list[str] = field(default_factory=list)


class Watch:
    """Notes what the process does while a command runs. An audit hook stays for ever, so there is
    one of these a process."""

    def __init__(self) -> None:
        self._allowed: tuple[str, ...] | None = None
        self._noted: list[str] = []
        known = {name.partition(".")[0] for name in sys.modules} | set(sys.stdlib_module_names)
        # What Gymnasium's own tasks want, whatever their arguments.
        known |= {"jax", "mujoco_py", "pygame", "Box2D"}
        self._known = known - {"this", "antigravity", "canary", *CANARIES}
        sys.addaudithook(self._hook)

    @contextlib.contextmanager
    def watching(self, allowed: tuple[Path, ...]) -> Iterator[list[str]]:
        """Note what happens outside of the allowed directories and files."""
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
        self._allowed = None  # what is done here is not noted
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
            if event != "os.rename":  # the first one stays as it is
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
                self._look(event, os.path.join(base, os.fsdecode(path)), allowed)

    def _look(self, event: str, path: str, allowed: tuple[str, ...]) -> None:
        folder, name = os.path.split(path)
        whole = event == "open" and not os.path.islink(path)
        real = os.path.realpath(path) if whole else os.path.join(os.path.realpath(folder), name)
        if event == "open" and os.path.islink(path):
            return  # opened without following it, or else the snapshot shows it
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
        watch: of this process.
        arguments: the command line.
        allowed: where it may write.
        limit: seconds that it may take.
    """
    from poolrl.cli import main as cli

    out, err = io.StringIO(), io.StringIO()
    logging.root.handlers.clear()
    before, sys.argv = sys.argv, ["poolrl", *arguments]
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
            cli.main()
        except SystemExit as end:
            code = 0 if end.code is None else end.code
        except Started:
            code = "started"
        except TooLong as late:
            code, failure = _judge(late, limit)
        except BaseException:
            code, failure = "raised", traceback.format_exc()
        finally:
            alarm.cancel()
    faulthandler.cancel_dump_traceback_later()
    sys.argv = before
    outcome = Outcome(code, time.monotonic() - start, err.getvalue(), [*noted])
    if failure:
        outcome.wrong.append(failure)
    elif isinstance(code, int):
        outcome.wrong += _badly_said(code, err.getvalue())
    return outcome


def _judge(late: TooLong, limit: float) -> tuple[str, str]:
    """Whether a command that is not done yet hangs, or does the work that it was asked for."""
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
"""What commands import for any input."""


def prepare() -> Watch:
    """Import what commands may need, so that imports that follow are an input's doing; and let no
    run start its workers."""
    for name in USED:
        import_module(name)
    for task_id in REGISTRY:
        task_class(task_id)
    LocalWorkers.start = refuse_to_start  # type: ignore[method-assign]
    os.environ["PATH"] = os.devnull  # where no cluster's commands are, which may be asked of jobs
    return Watch()
