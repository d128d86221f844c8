"""Checks of how two processes see each other's files: races, visibility, leases."""

from __future__ import annotations

import hashlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from poolrl.doctor.checks import CheckResult, run_check
from poolrl.doctor.peer_process import TIMEOUT_SECONDS, race
from poolrl.errors import PoolrlError
from poolrl.import_path import python_command
from poolrl.storage.claims import Claims
from poolrl.storage.store import Store

ROUNDS = 200
"""Number of names that two processes race for."""

LEASE_SECONDS = 0.6
LATE_SECONDS = 1.0
"""Delay between two processes of one machine that is reported, in seconds."""


class _NoAnswer(OSError):
    """The peer process did not answer."""


class _Peer:
    """The peer process, which answers requests."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._buffer = b""

    def ask(self, do: str, **request: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **request}).encode() + b"\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        """Read the next answer; ``None`` if the line only reports that the process is ready.

        Raises:
            OSError: the process does not answer.
        """
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        until = time.monotonic() + TIMEOUT_SECONDS + 10
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, until - time.monotonic()))
            data = os.read(descriptor, 1 << 16) if ready else b""
            if not data:
                raise _NoAnswer("the second process did not answer")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line).get("answer")


@contextmanager
def _peer_process(folder: Path) -> Iterator[_Peer]:
    process = subprocess.Popen(
        [*python_command(f"{__package__}.peer_process"), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        # Ctrl-C of a terminal must not reach the peer. If this process dies while the peer is
        # stopped, the kernel continues the orphaned process group.
        process_group=0,
    )
    try:
        yield _Peer(process)
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


def run_two_process_checks(folder: Path) -> list[CheckResult]:
    """Run all checks that need two processes."""
    with _peer_process(folder) as peer:
        results = [
            run_check("race", lambda f: _race(f, peer), folder),
            run_check("listing", lambda f: _visible(f, peer, "list"), folder),
            run_check("opening", lambda f: _visible(f, peer, "open"), folder),
            run_check("replacing", lambda f: _replacing(f, peer), folder),
        ]
        try:
            results.append(run_check("lease", lambda f: _lease(f, peer), folder))
        except PoolrlError as error:  # the claims report file system errors so
            results.append(CheckResult("lease", "refused", str(error), "take another file system"))
        return results


def _race(folder: Path, peer: _Peer) -> CheckResult:
    for how in ("create", "link"):
        peer.ask("race", how=how, count=ROUNDS)
        peer.answer()
        ours = race(folder, side="first", how=how, count=ROUNDS)
        theirs = peer.answer()
        if sorted([*ours, *theirs]) != list(range(ROUNDS)):
            what = "exclusive create" if how == "create" else "hard link"
            twice, none = len(set(ours) & set(theirs)), ROUNDS - len({*ours, *theirs})
            return CheckResult(
                "race",
                "refused",
                f"of {ROUNDS} races for a name by {what} {twice} had two winners, {none} had none",
                "take another file system",
            )
    return CheckResult("race", "ok", f"one winner of two processes in {2 * ROUNDS} of {2 * ROUNDS}")


def _visible(folder: Path, peer: _Peer, how: str) -> CheckResult:
    name = "listing" if how == "list" else "opening"
    delays = []
    for index in range(5):
        data = os.urandom(100_000)
        path = folder / f"{how}-seen-{index}"
        peer.ask("watch", name=path.name, how=how, sha256=hashlib.sha256(data).hexdigest())
        peer.answer()
        time.sleep(0.02)  # a cache may hold the absence of the file
        Store(folder).publish(path, data)
        published = time.time()
        answer = peer.answer()
        if answer["seen"] is None:
            return CheckResult(
                name,
                "refused",
                f"a file is not seen within {TIMEOUT_SECONDS:.0f} s",
                "see its caches",
            )
        if not answer["whole"]:
            return CheckResult(
                name, "refused", "a published file was seen in part", "take another file system"
            )
        delays.append(max(0.0, answer["seen"] - published))
    found = f"a second process sees a file, whole, after {max(delays) * 1e3:.0f} ms at most"
    if max(delays) > LATE_SECONDS:
        return CheckResult(name, "note", found, "workers notice each other as late as that")
    return CheckResult(name, "ok", found)


def _replacing(folder: Path, peer: _Peer) -> CheckResult:
    path, size = folder / "replaced", 10_000
    path.write_bytes(b"a" * size)
    peer.ask("reread", name=path.name, size=size)
    peer.answer()
    store = Store(folder)
    for index in range(100):
        store.replace(path, bytes([ord("a") + index % 25]) * size)
    store.replace(path, b"z" * size)
    answer = peer.answer()
    if answer["torn"]:
        return CheckResult(
            "replacing", "refused", "a replaced file was read in part", "take another file system"
        )
    if answer["missing"] or not answer["reads"]:
        return CheckResult(
            "replacing",
            "warning",
            "a file that was being replaced was missing, or old, for a while",
            "status files may flicker; no decision hangs on them",
        )
    return CheckResult(
        "replacing", "ok", f"old or new, never between, in {answer['reads']} readings"
    )


def _lease(folder: Path, peer: _Peer) -> CheckResult:
    path, request = folder / "lease", {"name": "lease", "duration": LEASE_SECONDS}
    ours = Claims(Store(folder), LEASE_SECONDS)
    if not ours.claim(path):
        return CheckResult("lease", "refused", "a free unit cannot be claimed", "take another")
    peer.ask("claim", **request)
    if peer.answer():
        return _lease_is_weak("two processes hold one lease")
    ours.release(path)
    peer.ask("claim", **request)
    if not peer.answer():
        return _lease_is_weak("a lease that was given back is still held")
    before = path.read_bytes()
    peer.process.send_signal(signal.SIGSTOP)
    try:
        start = time.monotonic()
        while not ours.claim(path):
            if time.monotonic() - start > TIMEOUT_SECONDS:
                return CheckResult("lease", "refused", "a silent holder is never displaced")
            time.sleep(LEASE_SECONDS / 30)
        waited = time.monotonic() - start
        taken_over = path.read_bytes() != before
    finally:
        peer.process.send_signal(signal.SIGCONT)
        ours.release(path)
    found = f"a second process is refused; one of {LEASE_SECONDS} s, silent, is "
    if taken_over:
        return CheckResult("lease", "ok", f"{found}taken over after {waited:.1f} s")
    return CheckResult(
        "lease",
        "note",
        f"{found}gone round after {waited:.1f} s",
        "nothing to do: a dead worker's unit is begun half a lease later",
    )


def _lease_is_weak(found: str) -> CheckResult:
    return CheckResult("lease", "warning", found, "no harm, but units will be done twice")
