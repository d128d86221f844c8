"""Second process of the two-process checks; removes the scratch folder if the first one dies.

It reads requests from standard input, one JSON object per line, and writes one line of JSON as the
answer to each. Before the answer it writes a line ``{}`` if the first process waits for it to be
ready.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from poolrl.doctor.scratch import clear
from poolrl.storage.claims import Claims
from poolrl.storage.store import Store

TIMEOUT_SECONDS = 20.0
"""Seconds after which the wait for a file ends."""

_PARENT = os.getppid()


def race(folder: Path, *, side: str, how: str, count: int) -> list[int]:
    """Create names that another process creates at the same time.

    Args:
        folder: scratch folder.
        side: name of this process.
        how: ``create`` (exclusive creation) or ``link`` (hard link).
        count: number of names.

    Returns:
        Indices of the names that this process created.
    """
    own = folder / f"racer-{how}-{side}"
    own.write_text(side)
    created = []
    for index in range(count):
        name = folder / f"race-{how}-{index}"
        try:
            if how == "link":
                os.link(own, name)
            else:
                os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            continue
        created.append(index)
    return created


def _watch(folder: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Return when a file was first listed or opened (Unix time), and if it was complete then."""
    path = folder / request["name"]
    for _ in _until_timeout():
        if request["how"] == "open" or path.name in os.listdir(folder):
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                pass
            else:
                whole = hashlib.sha256(data).hexdigest() == request["sha256"]
                return {"seen": time.time(), "whole": whole}
        time.sleep(0.001)
    return {"seen": None, "whole": False}


def _reread(folder: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Read a file that is being replaced, until it has its last content; count the failures."""
    path = folder / request["name"]
    size, reads, missing, torn = request["size"], 0, 0, 0
    for _ in _until_timeout():
        reads += 1
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            missing += 1
            continue
        torn += len(data) != size or len(set(data)) != 1
        if data[:1] == b"z":
            return {"reads": reads, "missing": missing, "torn": torn}
    return {"reads": 0, "missing": missing, "torn": torn}


def _until_timeout() -> Iterator[None]:
    """Yield until the timeout, or until the first process ends."""
    until = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < until and os.getppid() == _PARENT:
        yield


def main(folder: Path) -> None:
    """Answer requests until standard input is closed."""
    claims: dict[float, Claims] = {}

    def claim(request: dict[str, Any]) -> bool:
        duration = request["duration"]
        claims.setdefault(duration, Claims(Store(folder), duration))
        return claims[duration].claim(folder / request["name"])

    commands: dict[str, Callable[[dict[str, Any]], object]] = {
        "watch": lambda request: _watch(folder, request),
        "reread": lambda request: _reread(folder, request),
        "race": lambda request: race(
            folder, side="second", how=request["how"], count=request["count"]
        ),
        "claim": claim,
    }
    # Sent, with a SIGCONT, when the first process dies while this one is stopped.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] != "claim":
            print("{}", flush=True)
        print(json.dumps({"answer": commands[request["do"]](request)}), flush=True)


if __name__ == "__main__":
    scratch_folder = Path(sys.argv[1])
    try:
        main(scratch_folder)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        clear(scratch_folder)
