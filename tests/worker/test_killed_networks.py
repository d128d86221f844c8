"""Workers that are killed while they train any network: others end with the same champions."""

from __future__ import annotations

import signal
from itertools import product
from pathlib import Path

import pytest

from poolrl.config.run_options import RunOptions
from poolrl.pool.directory import make_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.worker.loop import Worker
from tests.conftest import tiny_spec
from tests.helpers.every_network import DISTRIBUTIONS, LEARNERS, NETWORKS, keys_of
from tests.helpers.pools import champions
from tests.helpers.processes import odd, said_by, start
from tests.helpers.waiting import TIMEOUT_SECONDS

# What is registered in this process alone is not there in workers.
NAMES = [name for name in DISTRIBUTIONS if name != "several choices"]
POINTS = ("in a unit", "between agent and record", "before the merge")


def compare(folder: Path, distribution: str, network: str, learner: str, point: str) -> None:
    """Kill a worker at a point, let another one go on, and compare with one that was left alone."""
    spec = tiny_spec(**keys_of(distribution, network, learner))
    calm, cut = (make_pool(folder / name, spec, RunOptions()) for name in ("calm", "cut"))
    Worker(calm, StopCriteria(2)).run()
    victim = odd(cut, "die", point, 2, "--trust")
    victim.communicate(timeout=TIMEOUT_SECONDS)
    assert victim.returncode == -signal.SIGKILL
    said_by(start(cut, 2, "--trust"))
    assert champions(cut)[:3] == champions(calm)
    assert len(champions(calm)) == 3


EACH = ["mlp", "mlp shared", "rnn shared", "gru", "gru shared", "lstm", "lstm shared", "user's"]
EACH += ["user's with memory"]


@pytest.mark.parametrize("index", range(len(NAMES)))
def test_every_value_survives_a_kill(tmp_path: Path, index: int) -> None:
    learner = list(LEARNERS)[index % 2]
    compare(tmp_path, NAMES[index], EACH[index], learner, POINTS[index % len(POINTS)])


@pytest.mark.full
@pytest.mark.parametrize(("distribution", "network"), list(product(NAMES, NETWORKS)))
def test_every_pair_survives_a_kill(tmp_path: Path, distribution: str, network: str) -> None:
    number = NAMES.index(distribution) + list(NETWORKS).index(network)
    learner = list(LEARNERS)[number % 2]
    compare(tmp_path, distribution, network, learner, POINTS[number % len(POINTS)])
