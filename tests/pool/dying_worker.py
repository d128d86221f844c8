"""A real worker that kills itself with SIGKILL at a given point, for the tests."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from poolrl.pool.archive import Archive
from poolrl.pool.ending import Ending
from poolrl.pool.spec import open_pool
from poolrl.pool.worker import Worker
from poolrl.pool.worker.compute import Computer


def main(root: str, point: str, count: int, iterations: int) -> None:
    owner, name = {
        "in a branch": (Computer, "_evaluate"),
        "between agent and record": (Archive, "publish_record"),
        "before the merge": (Archive, "publish_merge"),
        "while removing losers": (Archive, "remove_losers"),
    }[point]
    real = getattr(owner, name)
    calls = 0

    def deadly(*args: object, **kwargs: object) -> object:
        nonlocal calls
        calls += 1
        if calls == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)

    setattr(owner, name, deadly)
    Worker(open_pool(Path(root)), Ending(iterations)).run()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
