"""Make the assets of this folder with the poolrl of this checkout:

    python -m tests.frozen.make [NAME ...]

NAME is one of the pools below, or ``configurations``. The tests never need it: the assets were made
once, by version 0.1.0, and a later version must give the same. What is made depends on the machine,
which is recorded with it.

swimmer       a pool that has ended after iteration 2, with its closing record
reinforce     a pool whose workers were killed in iteration 2; see ``damage``
from_agent    a pool that goes on from an agent of another one, cut after iteration 1
gymnasium     a pool of an adapted task, cut in iteration 2, whose parent's deposit is missing

Each pool is run to its end by the command that is stored with it, and the champions of all
iterations are recorded; what is stored of the pool is then cut back. Names of hosts and absolute
paths are replaced, since no result depends on them.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.frozen.command import ROOT, as_options, champions, fill, python, succeed
from tests.frozen.machine import machine
from tests.frozen.pool import POOLS, answers, history, status, touch
from tests.frozen.table import CHAMPIONS, train_all

HOST = "machine-a"

SABOTEUR = """
import os, runpy, signal, sys, time
import mujoco.batch

what, pattern, *arguments = sys.argv[1:]

def fail(*_, **__):
    mujoco.batch.Batch.step = step
    raise MemoryError("raised by tests/frozen/make.py")

def rename(source, target, **options):
    original_rename(source, target, **options)
    if pattern in str(target):
        mujoco.batch.Batch.step = fail

def link(source, target, **options):
    if pattern in str(target):
        time.sleep(2.5)  # for the thread of the heartbeats
        os.kill(os.getpid(), signal.SIGKILL)
    return original(source, target, **options)

step, original, original_rename = mujoco.batch.Batch.step, os.link, os.rename
if what == "fail":
    os.rename = rename
else:
    os.link = link
sys.argv = ["poolrl", *arguments]
runpy.run_module("poolrl", run_name="__main__", alter_sys=True)
"""
"""A worker that raises an error in its next step of a simulation once it has set a file aside, or
kills itself instead of giving a file its final name."""


@dataclass(frozen=True)
class Made:
    """How a pool was made.

    Attributes:
        config: the configuration file, which is copied beside the pool.
        command: arguments of poolrl, with placeholders.
        last: the iteration after which the pool is cut; ``None`` where it is not.
        extension: arguments by which the finished pool is extended.
        agent: arguments of the run whose champion is the agent that ``{agent}`` names.
        leave: what is done to the pool that was cut.
    """

    config: Path
    command: tuple[str, ...]
    last: int | None = None
    extension: tuple[str, ...] = ()
    agent: tuple[str, ...] = ()
    leave: Callable[[Path], None] | None = None


def damage(pool: Path) -> None:
    """Leave iteration 2 as workers do that are killed and fail.

    One is killed as it merges, and leaves the lease of the merge, a heartbeat and a temporary file.
    The record of branch 0 is then truncated. The next one sets it aside and fails as it does the
    unit again, which it notes as an attempt. The last one is killed as it deposits the unit's
    agent, and leaves a lease, a heartbeat and a temporary file.
    """
    _sabotage(pool, "kill", "000002/merge.json", -9)
    record = pool / "iterations/000002/branch-000.json"
    data = record.read_bytes()
    record.write_bytes(data[: len(data) // 2])
    _sabotage(pool, "fail", "branch-000.json.corrupt-", 1)
    _sabotage(pool, "kill", "000002/branch-000-", -9)


def without_parent(pool: Path) -> None:
    """Leave iteration 2 with the branches' deposits, without the parent's."""
    _sabotage(pool, "kill", "000002/parent-000.json", -9)
    folder = pool / "iterations/000002"
    for path in [*folder.glob("*.lease"), *folder.glob(".tmp-*")]:
        path.unlink()
    shutil.rmtree(pool / "workers")


def _sabotage(pool: Path, what: str, pattern: str, code: int) -> None:
    worker = ("worker", "--pool-directory", pool, "--prefer", "0")
    done = python("-c", SABOTEUR, what, pattern, *worker, cwd=pool.parent)
    assert done.returncode == code, done.stderr


CONFIGS = ROOT / "tests/frozen/configurations"

SMALL = {
    "pool.count": 3,
    "pool.iterate_episodes": 4,
    "pool.evaluate_episodes": 3,
    "pool.closing_episodes": 4,
    "task.max_episode_steps": 40,
    "network.actor": [8, 8],
    "network.critic": [8, 8],
    "learner.minibatch_size": 40,
}

REINFORCE = SMALL | {"network.actor": [], "network.critic": [8], "pool.lease_duration": 1.0}

HOPPER = {
    "pool.count": 2,
    "pool.iterate_steps": 128,
    "pool.evaluate_episodes": 3,
    "pool.closing_episodes": 4,
    "task.max_simulations": 4,
    "network.actor": [8],
    "network.critic": [8],
    "learner.segment_steps": 16,
    "learner.minibatch_size": 32,
    "learner.epochs": 3,
}

RUN = ("run", "{config}", "--pool-directory", "{pool}")

TABLE = {
    "swimmer": Made(
        config=CONFIGS / "swimmer.toml",
        command=(*RUN, "--workers", "1", "--iterations", "2", *as_options(SMALL)),
        extension=("--iterations", "3"),
    ),
    "reinforce": Made(
        config=CONFIGS / "swimmer_reinforce.toml",
        command=(*RUN, "--workers", "1", "--iterations", "3", *as_options(REINFORCE)),
        last=1,
        leave=damage,
    ),
    "from_agent": Made(
        config=CONFIGS / "hopper.toml",
        command=(
            *(*RUN, "--from-agent", "{agent}", "--seed", "5", "--workers", "2"),
            *("--iterations", "3", "--learning-rate", "1e-3,3e-3", *as_options(HOPPER)),
            *("--set", "task.randomize.body_mass.scale=[0.8,1.2]"),
        ),
        last=1,
        agent=(*RUN, "--seed", "3", "--iterations", "1", *as_options(HOPPER)),
    ),
    "gymnasium": Made(
        config=POOLS / "gymnasium/cartpole.toml",
        command=(*RUN, "--workers", "1", "--iterations", "3"),
        last=1,
        leave=without_parent,
    ),
}
"""The pools."""


def make(name: str) -> None:
    """Make a pool and what is expected of it."""
    made = TABLE[name]
    asset = POOLS / name
    asset.mkdir(parents=True, exist_ok=True)
    if made.config.parent != asset:
        shutil.copy(made.config, asset)
    pool, config, agent = asset / "pool", asset / made.config.name, asset / "agent.safetensors"
    shutil.rmtree(pool, ignore_errors=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if made.agent:
            first = folder / "first"
            succeed(*fill(made.agent, pool=first, config=config), cwd=folder)
            (champion,) = (first / "iterations/000001").glob("*.safetensors")
            shutil.copy(champion, agent)
        whole = folder / "whole"
        words = fill(made.command, pool=whole, config=config, agent=agent)
        succeed(*words, cwd=folder)
        cut = folder / "cut"
        shutil.copytree(whole, cut)
        if made.extension:
            succeed(*words, *made.extension, cwd=folder)
        expected = champions(whole)
        shutil.rmtree(cut / "logs")
        for left in ("history.csv", "history.png"):
            (cut / left).unlink()
        if made.last is not None:
            for each in sorted((cut / "iterations").iterdir()):
                if int(each.name) > made.last:
                    shutil.rmtree(each)
        if made.leave is not None:
            made.leave(cut)
        scrub(cut)
        shutil.copytree(cut, pool)
        touch(cut)
        frozen = {
            "machine": machine(),
            "config": config.name,
            "command": list(made.command),
            "extension": list(made.extension),
            "champions": expected,
            "status": status(cut),
            "agents": {path: answers(cut / path, drawn(cut / path)) for path in agents(cut)},
        }
        (asset / "history.csv").write_text(history(cut))
    (asset / "frozen.json").write_text(json.dumps(frozen, indent=1) + "\n")


def agents(pool: Path) -> list[str]:
    """The agents of a pool, by their paths in it."""
    return sorted(str(path.relative_to(pool)) for path in pool.glob("iterations/*/*.safetensors"))


def drawn(path: Path) -> list[list[float]]:
    """Observations for an agent, of the size that its normaliser has, drawn at random."""
    import safetensors.numpy

    size = safetensors.numpy.load(path.read_bytes())["normalizer.mean"].shape[0]
    return np.random.default_rng(1).normal(scale=1.5, size=(8, size)).tolist()


def scrub(pool: Path) -> None:
    """Replace the names of hosts and absolute paths in the files of a pool."""
    for path in pool.rglob("*"):
        if path.is_file() and path.suffix != ".safetensors":
            data = path.read_bytes()
            scrubbed = re.sub(rb'("host":")[^"]*', rb"\g<1>" + HOST.encode(), data)
            scrubbed = re.sub(rb"(?m)^(host=).*$", rb"\g<1>" + HOST.encode(), scrubbed)
            scrubbed = re.sub(rb'/[^\s"\\]*/site-packages/', b"/opt/poolrl/packages/", scrubbed)
            scrubbed = re.sub(rb'/[^\s"\\]*/(?=poolrl/[a-z])', b"/opt/poolrl/", scrubbed)
            scrubbed = scrubbed.replace(str(ROOT).encode(), b"/opt/poolrl")
            if scrubbed != data:
                path.write_bytes(scrubbed)


def main() -> None:
    """Make what is named, or everything."""
    for name in sys.argv[1:] or [*TABLE, "configurations"]:
        if name == "configurations":
            table: dict[str, Any] = {"machine": machine(), "champions": train_all()}
            CHAMPIONS.write_text(json.dumps(table, indent=1) + "\n")
        else:
            make(name)


if __name__ == "__main__":
    main()
