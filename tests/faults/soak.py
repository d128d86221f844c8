"""A soak: a real pool under kills, stops, requests to end and clocks that disagree.

    python -m tests.faults.soak --minutes 30 --seed 0 --directory D

Four worker processes train Swimmer-v5 by PPO in D/disturbed. All the while one of them after the
other, by a seeded choice, is killed with SIGKILL, stopped with SIGSTOP and woken later, or asked to
end with SIGTERM, and now and then all are killed at once; each one that is gone is started anew,
with a clock that is up to an hour wrong. Then a calm worker finishes the iteration in flight, and
the pool is compared with an undisturbed one of as many iterations in D/calm.
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

from poolrl.config import schema as config
from poolrl.config.schema import RunOptions, Spec
from poolrl.pool.directory import Pool, make_pool
from poolrl.storage.deposits import Archive
from tests.faults.checker import examine, same_history

WORKERS = 4
LEASE_SECONDS = 2.0
SKEW_SECONDS = 3600.0
CHANCES = {"killed": 0.62, "stopped": 0.25, "asked to end": 0.1, "all killed": 0.03}
PAUSE_SECONDS = (0.5, 5.0)
"""A stopped worker is woken after so long: before and after its lease has run out."""


def real_spec() -> Spec:
    """The real learner on a real task, in iterations of a few seconds."""
    return config.load(
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
    """One disturbed pool.

    Attributes:
        pool: the pool.
        seed: of the disturbances; the pool has its own.
        every: mean seconds between two of them.
        counts: how many there were of each kind.
        lost: records or merges that were seen once and are gone or different.
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
        """Disturb the pool for so long, and let nobody live afterwards."""
        end = time.monotonic() + seconds
        following = time.monotonic()
        try:
            while time.monotonic() < end:
                self._tend()
                if time.monotonic() >= following:
                    self._disturb()
                    following = time.monotonic() + self._random.expovariate(1 / self.every)
                time.sleep(0.05)
            self._look()
        finally:
            for worker in self._workers:
                worker.kill()
                worker.wait()
            self._log.close()

    def _tend(self) -> None:
        """Wake who has slept enough, and start anew who is gone."""
        for worker, until in list(self._asleep.items()):
            if time.monotonic() >= until:
                worker.send_signal(signal.SIGCONT)  # or nothing, where it had just ended
                del self._asleep[worker]
        living = [worker for worker in self._workers if worker.poll() is None]
        for worker in self._workers:
            if worker.returncode not in (None, -signal.SIGKILL, -signal.SIGTERM, 75):
                raise AssertionError(f"a worker ended with {worker.returncode}; see the log")
        self._workers = living
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
        self._look()
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

    def _look(self) -> None:
        """Whatever could be seen once must stay as it was."""
        for path in self.pool.layout.iterations.glob("*/*.json"):
            if ".attempt-" in path.name:
                self.counts["attempts"] += path not in self._seen
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            if self._seen.setdefault(path, sha256) != sha256:
                self.lost.append(f"{path}: changed")
        self.lost += [f"{path}: gone" for path in self._seen if not path.exists()]


def finish(pool: Pool, iterations: int) -> None:
    """One calm worker, to the end."""
    command = [sys.executable, "-m", "poolrl", "worker", "--pool-directory", str(pool.layout.root)]
    command += ["--iterations", str(iterations)]
    done = subprocess.run(command, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0, done.stderr.decode()


def soak(
    directory: Path, spec: Spec, minutes: float, seed: int, every: float
) -> tuple[list[str], list[str]]:
    """Disturb a pool, and compare it with a calm one.

    Returns:
        What was broken, and lines that tell what happened.
    """
    run = RunOptions(iterations=10**6)
    pool = make_pool(directory / "disturbed", spec, run)
    disturbed = Soak(pool, seed, every)
    began = time.monotonic()
    disturbed.run(60 * minutes)
    seconds = time.monotonic() - began
    iterations = max(Archive(pool).iterations())  # with the one in flight
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
