"""One thread per process."""

from __future__ import annotations

import os
import subprocess
import sys

from poolrl import threads


def test_numpy_has_one_thread() -> None:
    code = (
        "from poolrl import threads; import sys\n"
        "assert 'numpy' not in sys.modules\n"
        "threads.use_single_thread()\n"
        "import numpy, threadpoolctl\n"
        "print({library['num_threads'] for library in threadpoolctl.threadpool_info()} - {1})"
    )
    unlimited = {name: value for name, value in os.environ.items() if name not in threads.VARIABLES}
    done = subprocess.run(
        [sys.executable, "-c", code], env=unlimited, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("set()\n", "")
