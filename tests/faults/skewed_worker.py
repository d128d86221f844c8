"""A worker with a wrong clock: python -m tests.faults.skewed_worker SECONDS ROOT"""

from __future__ import annotations

import sys
import time

from poolrl.cli.main import main


def skew(seconds: float) -> None:
    """Shift the time of day in this process, but not the monotonic clock."""
    real = time.time
    time.time = lambda: real() + seconds


if __name__ == "__main__":
    skew(float(sys.argv[1]))
    sys.exit(main(["worker", "--pool-directory", sys.argv[2]]))
