"""A real worker that behaves oddly at a given point, for the tests.

python odd_worker.py BEHAVIOUR POINT COUNT ROOT [options of `poolrl worker`]
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time

from poolrl.cli.main import main as command_line
from poolrl.errors import Divergence
from poolrl.records.work_units import Unit
from poolrl.storage.deposits import DepositStore
from poolrl.worker.unit_computation import UnitComputation

POINTS = {
    "in a unit": (UnitComputation, "_evaluate"),
    "in branch 1": (UnitComputation, "_evaluate"),
    "in every branch": (UnitComputation, "_evaluate"),
    "between agent and record": (DepositStore, "publish_record"),
    "before the merge": (DepositStore, "publish_merge"),
    "while removing losers": (DepositStore, "remove_losers"),
}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hang() -> None:
    while True:  # an endless loop of a task, in which the lease's heartbeat goes on
        time.sleep(0.01)


def hang_natively() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    ctypes.CDLL(None).sleep(1_000_000)  # no instruction of Python's is reached


def stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def diverge() -> None:
    raise Divergence("a return is not finite")


BEHAVIOURS = {
    "die": die,
    "hang": hang,
    "hang natively": hang_natively,
    "stop": stop,
    "diverge": diverge,
}


def main(behaviour: str, point: str, count: int, arguments: list[str]) -> None:
    """Behave oddly from the ``count``-th time on that the point is reached."""
    owner, name = POINTS[point]
    real = getattr(owner, name)
    calls = 0

    def odd(*args: object, **kwargs: object) -> object:
        nonlocal calls
        unit = args[1] if len(args) > 1 else None
        if point == "in branch 1" and unit != Unit(1, "branch", 1):
            return real(*args, **kwargs)
        if point == "in every branch" and isinstance(unit, Unit) and unit.kind != "branch":
            return real(*args, **kwargs)
        calls += 1
        if calls >= count and (behaviour != "stop" or calls == count):
            BEHAVIOURS[behaviour]()
        return real(*args, **kwargs)

    setattr(owner, name, odd)
    sys.exit(command_line(["worker", "--pool-directory", *arguments]))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:])
