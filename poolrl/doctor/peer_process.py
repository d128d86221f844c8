"""The doctor's second process: sees what the first one does, and cleans up when that is gone.

It reads one request a line from standard input, in JSON, and answers each with a line, after a
line ``{}`` where the first process waits for it to be ready.
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

PATIENCE = 20.0
"""Seconds after which a file that does not appear is given up."""

_PARENT = os.getppid()


def race(folder: Path, *, side: str, how: str, count: int) -> list[int]:
    """Make the same names as another process does at the same time; which ones this one made."""
    own = folder / f"racer-{how}-{side}"
    own.write_text(side)
    won = []
    for index in range(count):
        name = folder / f"race-{how}-{index}"
        try:
            if how == "link":
                os.link(own, name)
            else:
                os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            continue
        won.append(index)
    return won


def _watch(folder: Path, request: dict[str, Any]) -> dict[str, Any]:
    """When a file was first listed, or could first be opened, and whether it was whole then."""
    path = folder / request["name"]
    for _ in _patiently():
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
    """Read a file that is being replaced, until it has its last content."""
    path = folder / request["name"]
    size, reads, missing, torn = request["size"], 0, 0, 0
    for _ in _patiently():
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


def _patiently() -> Iterator[None]:
    """Go on until patience is at its end, or the first process is."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and os.getppid() == _PARENT:
        yield


def main(folder: Path) -> None:
    claims: dict[float, Claims] = {}

    def claim(request: dict[str, Any]) -> bool:
        duration = request["duration"]
        claims.setdefault(duration, Claims(duration))
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
    place = Path(sys.argv[1])
    try:
        main(place)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        clear(place)
