"""Soak test: a pool whose workers are killed, stopped and terminated, and whose clocks differ.

    python -m tests.faults.soak --minutes 30 --seed 0 --directory D

Four worker processes train Swimmer-v5 by PPO in D/disturbed. Meanwhile workers that a seeded
generator chooses are killed with SIGKILL, stopped with SIGSTOP and later continued, or terminated
with SIGTERM; sometimes all are killed at once. A worker that has ended is replaced by a new one
with a clock that is up to an hour wrong. At the end an undisturbed worker finishes the current
iteration, and the pool is compared with an undisturbed pool of the same iterations in D/calm.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from poolrl.config.loading import load
from poolrl.config.run_options import RunOptions
from poolrl.config.schema import Spec
from poolrl.pool.directory import Pool, make_pool
from tests.faults.checker import examine, same_history

WORKERS = 4
LEASE_SECONDS = 2.0
SKEW_SECONDS = 3600.0
CHANCES = {"killed": 0.62, "stopped": 0.25, "asked to end": 0.1, "all killed": 0.03}
PAUSE_SECONDS = (0.5, 5.0)
"""After how many seconds a stopped worker is continued: before or after its lease expires."""


def real_spec() -> Spec:
    """PPO on Swimmer-v5, with iterations of a few seconds."""
    return load(
        None,
        {
            "task.max_episode_steps": 500,
            "pool.count": 4,
            "pool.iterate_episodes": 6,
            "pool.evaluate_episodes": 4,
            "pool.closing_episodes": 20,
            "pool.lease_duration": LEASE_SECONDS,
            "pool.seed": 7,
        },
    )[0]


@dataclass
class Soak:
    """Disturbs the workers of one pool.

    Attributes:
        pool: the pool.
        seed: of the disturbances; the pool has its own.
        every: mean seconds between two disturbances.
        counts: the number of disturbances by kind.
        lost: records and merges that existed once and are missing or different.
    """

    pool: Pool
    seed: int
    every: float
    counts: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._workers: list[subprocess.Popen[bytes]] = []
        self._asleep: dict[subprocess.Popen[bytes], float] = {}
        self._seen: dict[Path, str] = {}
        self._log = open(self.pool.layout.root.with_suffix(".log"), "ab")  # noqa: SIM115

    def run(self, seconds: float) -> None:
        """Disturb the pool, then kill all workers.

        Args:
            seconds: for how long at least; it continues until an iteration is merged.
        """
        end = time.monotonic() + seconds
        following = time.monotonic()
        try:
            while time.monotonic() < end or not self._merged():
                self._restart()
                if time.monotonic() >= following:
                    self._disturb()
                    following = time.monotonic() + self._random.expovariate(1 / self.every)
                time.sleep(0.05)
            self._check_files()
        finally:
            for worker in self._workers:
                worker.kill()
                worker.wait()
            self._log.close()

    def _merged(self) -> bool:
        return self.pool.layout.iteration(1).merge.exists()

    def _restart(self) -> None:
        """Continue the stopped workers whose time is over, and replace those that have ended."""
        for worker, until in list(self._asleep.items()):
            if time.monotonic() >= until:
                worker.send_signal(signal.SIGCONT)  # no effect if it has just ended
                del self._asleep[worker]
        running = [worker for worker in self._workers if worker.poll() is None]
        for worker in self._workers:
            if worker.returncode not in (None, -signal.SIGKILL, -signal.SIGTERM, 75):
                raise AssertionError(f"a worker ended with {worker.returncode}; see the log")
        self._workers = running
        while len(self._workers) < WORKERS:
            self._workers.append(self._start())
            self.counts["started"] += 1

    def _start(self) -> subprocess.Popen[bytes]:
        skew = self._random.uniform(-SKEW_SECONDS, SKEW_SECONDS)
        root = str(self.pool.layout.root)
        return subprocess.Popen(
            [sys.executable, "-m", "tests.faults.skewed_worker", str(skew), root],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )

    def _disturb(self) -> None:
        self._check_files()
        (what,) = self._random.choices(list(CHANCES), list(CHANCES.values()))
        victim = self._random.choice(self._workers)
        if what == "stopped":
            if victim in self._asleep:
                return
            victim.send_signal(signal.SIGSTOP)
            self._asleep[victim] = time.monotonic() + self._random.uniform(*PAUSE_SECONDS)
            self.counts["stopped and woken"] += 1
        elif what == "asked to end":
            victim.terminate()
            self.counts["asked to end"] += 1
        else:
            for each in self._workers if what == "all killed" else [victim]:
                self._asleep.pop(each, None)
                each.kill()
                each.wait()
                self.counts["killed"] += 1

    def _check_files(self) -> None:
        """Compare the records and merges with those of the last check."""
        for path in self.pool.layout.iterations.glob("*/*.json"):
            if ".attempt-" in path.name:
                self.counts["attempts"] += path not in self._seen
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            if self._seen.setdefault(path, sha256) != sha256:
                self.lost.append(f"{path}: changed")
        self.lost += [f"{path}: gone" for path in self._seen if not path.exists()]


def finish(pool: Pool, iterations: int) -> None:
    """Finish a pool with one undisturbed worker."""
    command = [sys.executable, "-m", "poolrl", "worker", "--pool-directory", str(pool.layout.root)]
    command += ["--iterations", str(iterations)]
    done = subprocess.run(command, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0, done.stderr.decode()


def soak(
    directory: Path, spec: Spec, minutes: float, seed: int, every: float
) -> tuple[list[str], list[str]]:
    """Disturb a pool, and compare it with an undisturbed one.

    Args:
        directory: for both pools.
        spec: of both pools.
        minutes: how long the pool is disturbed.
        seed: of the disturbances.
        every: mean seconds between two disturbances.

    Returns:
        The violations, and the lines of the report.
    """
    run = RunOptions(iterations=10**6)
    pool = make_pool(directory / "disturbed", spec, run)
    disturbed = Soak(pool, seed, every)
    began = time.monotonic()
    disturbed.run(60 * minutes)
    seconds = time.monotonic() - began
    iterations = max(pool.deposit_store().iterations())  # with the current one
    finish(pool, iterations)
    calm = make_pool(directory / "calm", spec, run)
    began = time.monotonic()
    finish(calm, iterations)
    calm_seconds = time.monotonic() - began
    report = examine(pool.layout.root, iterations=iterations)
    broken = disturbed.lost + report.violations
    broken += same_history(pool.layout.root, calm.layout.root)
    broken += [f"iteration {number}: timing-dependent" for number in report.timing_dependent]
    champions = {examine(each.layout.root).champions[-1] for each in (pool, calm)}
    lines = [
        f"{seconds / 60:.1f} minutes, {WORKERS} workers, lease {spec.pool.lease_duration:g} s, "
        f"seed {seed}",
        f"{iterations} iterations of {seconds / max(1, iterations):.1f} s; undisturbed, by one "
        f"worker, {calm_seconds / max(1, iterations):.1f} s",
        ", ".join(f"{what}: {count}" for what, count in sorted(disturbed.counts.items())),
        f"left behind by killed workers: {len(report.strays)} files",
        f"champions: {' and '.join(sorted(champions))}",
        f"broken: {len(broken)}",
    ]
    return broken, lines


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--every", type=float, default=1.2, help="mean seconds between disturbances"
    )
    parser.add_argument("--directory", type=Path, required=True)
    given = parser.parse_args()
    given.directory.mkdir(parents=True, exist_ok=True)
    broken, lines = soak(
        given.directory.resolve(), real_spec(), given.minutes, given.seed, given.every
    )
    print(*lines, *broken, sep="\n")
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
