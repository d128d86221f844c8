"""The role of a client: start workers on the shared pool, and kill them."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from poolrl.config.run_options import RunOptions
from poolrl.pool.directory import make_pool
from tests.conftest import tiny_spec

ROOT = Path("/mnt/pools/pool")
ITERATIONS = 100_000
LEASE = 2.0
STEPS = 3000


def spec() -> object:
    return tiny_spec(task__max_episode_steps=STEPS, pool__lease_duration=LEASE, pool__count=4)


class Watcher(threading.Thread):
    """Reads every file of the pool as soon as it is listed, and records torn ones."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: set[Path] = set()
        self.torn: list[str] = []

    def run(self) -> None:
        while True:
            for folder in sorted(ROOT.glob("iterations/*"))[-2:]:
                for name in os.listdir(folder):
                    path = folder / name
                    if path not in self.seen and path.suffix in (".json", ".safetensors"):
                        self.check(path)
            time.sleep(0.02)

    def check(self, path: Path) -> None:
        try:
            data = path.read_bytes()
        except OSError:  # removed by the retention rule, or stale
            return
        self.seen.add(path)
        if path.suffix == ".safetensors":
            whole = hashlib.sha256(data).hexdigest()[:16] in path.name
        else:
            try:
                whole = isinstance(json.loads(data), dict)
            except ValueError:
                whole = False
        if not whole:
            self.torn.append(str(path))


def worker(out: Path, iterations: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "poolrl", "worker", "--pool-directory", str(ROOT)]
    with open(out / "workers.log", "ab") as log:
        return subprocess.Popen([*command, "--iterations", str(iterations)], stderr=log)


def merged() -> int:
    return max((int(path.parent.name) for path in ROOT.glob("iterations/*/merge.json")), default=0)


def main() -> None:
    role = os.environ["ROLE"]
    out, other = Path("/mnt/out") / role, Path("/mnt/out") / ("client1", "client2")[role[-1] == "1"]
    if role == "client1":
        done = subprocess.run(
            [sys.executable, "-m", "poolrl", "doctor", str(ROOT.parent)],
            capture_output=True,
            text=True,
            check=False,
        )
        (out / "doctor").write_text(done.stdout + done.stderr)
        make_pool(ROOT, spec(), RunOptions(iterations=ITERATIONS))  # type: ignore[arg-type]
        (out / "made").touch()
    else:
        while not (other / "made").exists():
            time.sleep(0.2)
    watcher = Watcher()
    watcher.start()
    # Kills at random instants
    generator = random.Random(role)
    end = time.monotonic() + float(os.environ["KILLS"])
    kills = 0
    while time.monotonic() < end:
        running = worker(out, ITERATIONS)
        start = len(watcher.seen)
        while len(watcher.seen) == start and time.monotonic() < end:  # no new file
            time.sleep(0.05)
        time.sleep(generator.uniform(0.0, 8.0))
        assert running.poll() is None, (out / "workers.log").read_text()[-2000:]
        running.send_signal(signal.SIGKILL)
        running.wait()
        kills += 1
    numbers = {
        "kills": kills,
        "watched": len(watcher.seen),
        "torn": watcher.torn,
    }
    (out / "numbers.json").write_text(json.dumps(numbers))
    if role == "client2":  # this guest will be killed
        old = held_by(role)
        worker(out, ITERATIONS)
        while not (ours := held_by(role) - old):
            time.sleep(0.01)
        (out / "working").write_text(", ".join(sorted(ours)))
        time.sleep(1000)
    while not (other / "numbers.json").exists():
        time.sleep(0.2)
    (out / "kill-me").touch()
    while not (other / "dead").exists():
        time.sleep(0.05)
    # From here on alone, with the leases of the killed guest
    last = merged() + 5
    began = time.monotonic()
    holding = sorted(held_by("client2"))
    running = worker(out, last)
    code = running.wait()
    numbers |= {
        "watched": len(watcher.seen),
        "torn": watcher.torn,
        "held": holding,
        "alone": time.monotonic() - began,
        "code": code,
        "iterations": last,
        "stay": len(list(ROOT.glob("iterations/*/*.lease"))),
    }
    (out / "numbers.json").write_text(json.dumps(numbers))
    shutil.copytree(ROOT, out / "pool")
    (out / "done").touch()


def held_by(host: str) -> set[str]:
    """The units without a record, with a lease of a host."""
    return {
        f"{path.parent.name}/{unit}"
        for path in ROOT.glob("iterations/*/*.lease")
        if host in read(path)
        and (unit := path.name.partition(".")[0]) != "merge"
        and not (path.parent / f"{unit}.json").exists()
    }


def read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


if __name__ == "__main__":
    main()
