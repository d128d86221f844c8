"""Fixtures that several packages' tests share."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # as the command line does, before NumPy and torch come in

from pathlib import Path  # noqa: E402

import pytest  # noqa: E402

from poolrl.config import schema as config  # noqa: E402
from poolrl.config.schema import RunOptions, Spec  # noqa: E402
from poolrl.pool.directory import Pool, make_pool  # noqa: E402

TINY = {
    "task.id": "Plateau-v0",
    "task.max_episode_steps": 4,
    "network.actor": [],
    "network.critic": [],
    "learner.name": "climb",
    "pool.count": 3,
    "pool.iterate_episodes": 2,
    "pool.evaluate_episodes": 3,
    "pool.closing_episodes": 5,
    "pool.lease_duration": 2.0,
    "selection.keep_parent": True,
}
"""A pool without torch and without physics, of a few milliseconds an iteration."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="also run what takes long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--full"):
        skip = pytest.mark.skip(reason="takes long; runs with --full")
        for item in items:
            if item.get_closest_marker("full"):
                item.add_marker(skip)


def tiny_spec(**overrides: object) -> Spec:
    """A tiny pool's specification; keywords have ``__`` for the dots of keys."""
    keys = TINY | {key.replace("__", "."): value for key, value in overrides.items()}
    return config.load(None, keys)[0]


def as_options(keys: Mapping[str, object]) -> list[str]:
    """Keys of a configuration as ``--set`` on a command line."""
    return [
        word
        for key, value in keys.items()
        for word in ("--set", f"{key}={value if isinstance(value, str) else json.dumps(value)}")
    ]


def sleepy_options(unit_seconds: float, branches: int) -> list[str]:
    """Options of a pool whose units take a while and no processor: so many workers are as many as
    they seem."""
    steps = 10
    keys = TINY | {
        "pool.count": branches,
        "pool.closing_episodes": 1,
        "task.max_episode_steps": steps,
        # trained and evaluated in lockstep
        "task.kwargs.seconds": unit_seconds / (2 * steps),
    }
    del keys["task.id"]
    task = Path(__file__).with_name("faults") / "sleepy.py"
    return [*as_options(keys), "--task", f"{task}:Sleepy"]


@pytest.fixture
def tiny_pool(tmp_path: Path) -> Pool:
    return make_pool(tmp_path / "pool", tiny_spec(), RunOptions(iterations=3))
