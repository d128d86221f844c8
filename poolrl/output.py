"""Standard output and standard error that a terminal, a pipe or a full disk cannot break.

What an encoding lacks is substituted. What cannot be written ends a command that only prints, and
no training.
"""

from __future__ import annotations

import codecs
import errno
import io
import json
import os
import sys
from typing import TextIO

from poolrl.errors import Stopped

SUBSTITUTES = {"±": "+/-", "–": "-", "…": "...", "→": "->", "×": "x", "━": "-"}
"""What is printed for a character that the encoding lacks; for others it is ``?``."""

_ERRORS = "poolrl.output"

_results: TextIO | None = None
"""Standard output of this process, once it is reserved."""


class _Descriptor(io.FileIO):
    """A file descriptor whose failures do not pass as those of a file.

    Attributes:
        may_fail: whether what cannot be written is dropped.
    """

    def __init__(self, descriptor: int, name: str, *, may_fail: bool) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.name = name
        self.may_fail = may_fail
        self._reported = False

    def write(self, data: object) -> int:
        """Write some of the data.

        Raises:
            Stopped: nothing can be written, and ``may_fail`` is not set.
        """
        try:
            # None: another process has made the terminal or pipe non-blocking, and it is full.
            while (written := super().write(data)) is None:  # type: ignore[arg-type]
                _wait_until_writable(self.fileno())
            return written
        except OSError as error:
            self._report(error)
            return memoryview(data).nbytes  # type: ignore[arg-type]

    def move(self) -> None:
        """Write to a copy of the descriptor from now on, and make the descriptor itself another one
        of standard error."""
        name, number = self.name, self.fileno()
        copy = os.dup(number)
        os.dup2(2, number)
        super().__init__(copy, "w", closefd=False)
        self.name = name

    def _report(self, error: OSError) -> None:
        if self._reported or self.name == "<stderr>":
            return
        self._reported = True  # once: buffers are flushed again at the end of the process
        reason = "it is closed" if error.errno == errno.EBADF else error.strerror
        if not self.may_fail:
            raise Stopped(0 if error.errno == errno.EPIPE else 1, f"standard output: {reason}")
        if error.errno not in (errno.EPIPE, errno.EBADF):  # both are a user's choice
            print(f"poolrl: standard output: {reason}; training goes on", file=sys.stderr)


def protect() -> None:
    """Replace this process's standard output and error, unless they are no longer those that it was
    started with.

    From now on writing to standard output raises ``Stopped`` when it cannot be written to: with
    exit code 0 where the reader of a pipe has gone, else 1. Standard error drops it.
    """
    codecs.register_error(_ERRORS, _substitute)
    for descriptor in range(3):
        _occupy(descriptor)  # or a pool's file would get the number, and what a library prints
    for name in ("stdout", "stderr"):
        old = getattr(sys, name)
        if old is None:
            # Its descriptor was closed, and may by now be that of another file.
            raw = _Descriptor(
                os.open(os.devnull, os.O_RDONLY), f"<{name}>", may_fail=name != "stdout"
            )
            new = io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", _ERRORS)
        elif type(old) is io.TextIOWrapper and old is getattr(sys, f"__{name}__"):
            raw = _Descriptor(old.fileno(), f"<{name}>", may_fail=name != "stdout")
            new = io.TextIOWrapper(
                io.BufferedWriter(raw),
                old.encoding,
                _ERRORS if name == "stdout" else "backslashreplace",
                line_buffering=old.line_buffering or old.write_through,
            )
        else:
            continue
        setattr(sys, name, new)


def may_fail() -> None:
    """Drop from now on what standard output does not take: what this process does matters more."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(raw, _Descriptor):
        raw.may_fail = True


def reserve() -> None:
    """Reserve standard output for the results of this command, before the code of others runs.

    What that prints goes to standard error from now on: from Python, C code and child processes,
    also when it is written late, from buffers or by objects that are deleted. It has no effect
    where standard output was not replaced by ``protect``, or ``may_fail`` was called: a worker
    prints no results.
    """
    global _results
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if _results is not None or not isinstance(raw, _Descriptor):
        return
    if raw.may_fail or sys.stderr is None:
        return
    sys.stdout.flush()
    if raw.fileno() == 1:
        raw.move()
    _results, sys.stdout = sys.stdout, sys.stderr


def results() -> TextIO:
    """Return the stream for the results of this command."""
    return sys.stdout if _results is None else _results


def flush() -> None:
    """Write what standard output still holds.

    Raises:
        Stopped: as ``protect`` says.
    """
    stream = results()
    if stream is not None and not stream.closed:
        stream.flush()


def json_text(encoded: bytes) -> str:
    """Return JSON as text that standard output can encode, with escapes where it must have them.

    Args:
        encoded: JSON in UTF-8.
    """
    text = encoded.decode()
    try:
        text.encode(getattr(results(), "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        # What is not ASCII can only be within strings.
        return "".join(c if c.isascii() else json.dumps(c)[1:-1] for c in text)
    return text


def _substitute(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if "\udc80" <= character <= "\udcff":  # a byte of a file's name that no text has
        return bytes([ord(character) - 0xDC00]), error.start + 1
    return SUBSTITUTES.get(character, "?"), error.start + 1


def _occupy(descriptor: int) -> None:
    """Open a closed descriptor such that reading finds nothing and writing fails."""
    try:
        os.fstat(descriptor)
    except OSError:
        opened = os.open(os.devnull, os.O_RDONLY)
        if opened != descriptor:
            os.dup2(opened, descriptor)
            os.close(opened)
        os.set_inheritable(descriptor, True)


def _wait_until_writable(descriptor: int) -> None:
    import select

    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    poll.poll()
