"""Workers in forks of this process, which save the start of an interpreter and its imports."""

from __future__ import annotations

import logging
import os
import random
import signal
import time
import traceback
from pathlib import Path

from poolrl.config.run_options import RunOptions
from poolrl.pool.directory import open_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.worker.loop import Worker
from tests.helpers.waiting import TIMEOUT_SECONDS


class ForkedWorker:
    """A worker of a pool, in a process of its own."""

    def __init__(self, root: Path, iterations: int, threads: int = 1) -> None:
        """
        Args:
            root: the pool's directory.
            iterations: after which it ends.
            threads: of the worker.
        """
        self._error = root.with_name(f"{root.name}-worker.txt")
        self.pid = os.fork()
        if self.pid == 0:
            self._run(root, RunOptions(iterations, threads=threads))

    def _run(self, root: Path, run: RunOptions) -> None:
        signal.alarm(int(TIMEOUT_SECONDS))  # its default action ends a process that hangs
        logging.root.handlers = []
        logging.raiseExceptions = False
        code = 1
        try:
            Worker(open_pool(root), StopCriteria(run.iterations), run=run).run()
            code = 0
        except BaseException:
            self._error.write_text(traceback.format_exc())
        finally:
            os._exit(code)

    def kill(self) -> None:
        """Kill it, unless it has ended."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def wait(self) -> None:
        """Wait for its end without an error."""
        _, status = os.waitpid(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        assert code == 0, self._error.read_text() if code == 1 else f"ended with {code}"


def serve(root: Path, iterations: int, workers: int) -> None:
    """Let workers finish a pool."""
    for worker in [ForkedWorker(root, iterations) for _ in range(workers)]:
        worker.wait()


def serve_with_kills(root: Path, iterations: int, workers: int, kills: int, seed: int) -> int:
    """Let workers finish a pool, and kill one after the other at random instants.

    Args:
        root: the pool's directory.
        iterations: after which workers end.
        workers: that run at any time; another one takes the place of each that is killed.
        kills: the most.
        seed: of the instants.

    Returns:
        The number of workers that were killed before the pool had ended.
    """
    generator = random.Random(seed)
    running = [ForkedWorker(root, iterations) for _ in range(workers)]
    end = root / f"iterations/{iterations:06d}/closing-000.json"
    killed = 0
    while killed < kills:
        time.sleep(generator.uniform(0.0, 0.03))
        if end.exists():
            break
        place = generator.randrange(workers)
        running[place].kill()
        killed += 1
        running[place] = ForkedWorker(root, iterations)
    for worker in running:
        worker.wait()
    return killed
