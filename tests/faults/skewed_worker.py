"""A real worker whose clock is wrong: python -m tests.faults.skewed_worker SECONDS ROOT"""

from __future__ import annotations

import sys
import time

from poolrl.cli.main import main


def skew(seconds: float) -> None:
    """Let the time of day be wrong in this process; the monotonic clock goes on as it does."""
    real = time.time
    time.time = lambda: real() + seconds


if __name__ == "__main__":
    skew(float(sys.argv[1]))
    sys.argv = ["poolrl", "worker", "--pool-directory", sys.argv[2]]
    main()
