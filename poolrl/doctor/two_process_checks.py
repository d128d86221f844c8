"""What two processes see of each other's files."""

from __future__ import annotations

import hashlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from poolrl.doctor.check_result import Finding, tried
from poolrl.doctor.peer_process import PATIENCE, race
from poolrl.errors import PoolrlError
from poolrl.storage import store
from poolrl.storage.claims import Claims

ROUNDS = 200
"""Names that two processes race for."""

LEASE_SECONDS = 0.6
LATE_SECONDS = 1.0
"""A delay between two processes of one machine that is worth a word."""


class _Silent(OSError):
    """The second process did not answer."""


class _Second:
    """The second process."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._buffer = b""

    def ask(self, do: str, **request: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **request}).encode() + b"\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        """The next line's answer; ``None`` of one that only says that it is ready.

        Raises:
            OSError: it says nothing.
        """
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        until = time.monotonic() + PATIENCE + 10
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, until - time.monotonic()))
            data = os.read(descriptor, 1 << 16) if ready else b""
            if not data:
                raise _Silent("the second process did not answer")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line).get("answer")


@contextmanager
def _second(folder: Path) -> Iterator[_Second]:
    process = subprocess.Popen(
        [sys.executable, "-m", f"{__package__}.peer_process", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        # A terminal's Ctrl-C is not for it; and if this process dies while it is stopped, the
        # kernel wakes a group that is left alone in its session.
        process_group=0,
    )
    try:
        yield _Second(process)
    except BaseException:
        process.kill()
        raise
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def pair_findings(folder: Path) -> list[Finding]:
    """Do every check that takes two processes."""
    with _second(folder) as second:
        findings = [
            tried("race", lambda f: _race(f, second), folder),
            tried("listing", lambda f: _visible(f, second, "list"), folder),
            tried("opening", lambda f: _visible(f, second, "open"), folder),
            tried("replacing", lambda f: _replacing(f, second), folder),
        ]
        try:
            findings.append(tried("lease", lambda f: _lease(f, second), folder))
        except PoolrlError as error:  # how the pool's own calls report theirs
            findings.append(Finding("lease", "refused", str(error), "take another file system"))
        return findings


def _race(folder: Path, second: _Second) -> Finding:
    for how in ("create", "link"):
        second.ask("race", how=how, count=ROUNDS)
        second.answer()
        ours = race(folder, side="first", how=how, count=ROUNDS)
        theirs = second.answer()
        if sorted([*ours, *theirs]) != list(range(ROUNDS)):
            what = "exclusive create" if how == "create" else "hard link"
            twice, none = len(set(ours) & set(theirs)), ROUNDS - len({*ours, *theirs})
            return Finding(
                "race",
                "refused",
                f"of {ROUNDS} races for a name by {what} {twice} had two winners, {none} had none",
                "take another file system",
            )
    return Finding("race", "ok", f"one winner of two processes in {2 * ROUNDS} of {2 * ROUNDS}")


def _visible(folder: Path, second: _Second, how: str) -> Finding:
    name = "listing" if how == "list" else "opening"
    delays = []
    for index in range(5):
        data = os.urandom(100_000)
        path = folder / f"{how}-seen-{index}"
        second.ask("watch", name=path.name, how=how, sha256=hashlib.sha256(data).hexdigest())
        second.answer()
        time.sleep(0.02)  # an absent file may be remembered as absent
        store.publish(path, data)
        done = time.time()
        answer = second.answer()
        if answer["seen"] is None:
            return Finding(
                name, "refused", f"a file is not seen within {PATIENCE:.0f} s", "see its caches"
            )
        if not answer["whole"]:
            return Finding(
                name, "refused", "a published file was seen in part", "take another file system"
            )
        delays.append(max(0.0, answer["seen"] - done))
    found = f"a second process sees a file, whole, after {max(delays) * 1e3:.0f} ms at most"
    if max(delays) > LATE_SECONDS:
        return Finding(name, "note", found, "workers notice each other as late as that")
    return Finding(name, "ok", found)


def _replacing(folder: Path, second: _Second) -> Finding:
    path, size = folder / "replaced", 10_000
    path.write_bytes(b"a" * size)
    second.ask("reread", name=path.name, size=size)
    second.answer()
    for index in range(100):
        store.replace(path, bytes([ord("a") + index % 25]) * size)
    store.replace(path, b"z" * size)
    answer = second.answer()
    if answer["torn"]:
        return Finding(
            "replacing", "refused", "a replaced file was read in part", "take another file system"
        )
    if answer["missing"] or not answer["reads"]:
        return Finding(
            "replacing",
            "warning",
            "a file that was being replaced was missing, or old, for a while",
            "status files may flicker; no decision hangs on them",
        )
    return Finding("replacing", "ok", f"old or new, never between, in {answer['reads']} readings")


def _lease(folder: Path, second: _Second) -> Finding:
    path, request = folder / "lease", {"name": "lease", "duration": LEASE_SECONDS}
    ours = Claims(LEASE_SECONDS)
    if not ours.claim(path):
        return Finding("lease", "refused", "a free unit cannot be claimed", "take another")
    second.ask("claim", **request)
    if second.answer():
        return _lease_is_weak("two processes hold one lease")
    ours.release(path)
    second.ask("claim", **request)
    if not second.answer():
        return _lease_is_weak("a lease that was given back is still held")
    before = path.read_bytes()
    second.process.send_signal(signal.SIGSTOP)
    try:
        start = time.monotonic()
        while not ours.claim(path):
            if time.monotonic() - start > PATIENCE:
                return Finding("lease", "refused", "a silent holder is never displaced")
            time.sleep(LEASE_SECONDS / 30)
        waited = time.monotonic() - start
        taken_over = path.read_bytes() != before
    finally:
        second.process.send_signal(signal.SIGCONT)
        ours.release(path)
    found = f"a second process is refused; one of {LEASE_SECONDS} s, silent, is "
    if taken_over:
        return Finding("lease", "ok", f"{found}taken over after {waited:.1f} s")
    return Finding(
        "lease",
        "note",
        f"{found}gone round after {waited:.1f} s",
        "nothing to do: a dead worker's unit is begun half a lease later",
    )


def _lease_is_weak(found: str) -> Finding:
    return Finding("lease", "warning", found, "no harm, but units will be done twice")
