"""Fixtures that several packages' tests share."""

from __future__ import annotations

import json
import os
import signal
import tempfile
from collections.abc import Iterator, Mapping
from importlib.util import find_spec

from poolrl import threads

threads.use_single_thread()  # as the command line does, before NumPy and torch are imported

from pathlib import Path  # noqa: E402

import pytest  # noqa: E402

from poolrl.config.loading import load  # noqa: E402
from poolrl.config.run_options import RunOptions  # noqa: E402
from poolrl.config.schema import Spec  # noqa: E402
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


TORCH_MODULES = [
    "algorithms/test_gradients.py",
    "algorithms/test_ppo_options.py",
    "algorithms/test_stable_baselines.py",
    "cli/test_own_network.py",
    "distributions/test_distributions.py",
    "distributions/test_factory.py",
    "distributions/test_options.py",
    "launch/test_disk_use.py",
    "networks/test_contract.py",
    "networks/test_encoder_decoder.py",
    "networks/test_microbatches.py",
    "networks/test_module_trial.py",
    "networks/test_numpy_and_torch.py",
    "networks/test_policy.py",
    "networks/test_recurrent_agent.py",
    "networks/test_senses.py",
    "rollouts/test_rollout_file.py",
    "test_frozen_decoder.py",
    "worker/test_every_network.py",
    "worker/test_killed_networks.py",
    "worker/test_shared_experience.py",
]
"""Modules of tests that import torch, some by way of others. Single tests that need it have the
marker ``torch``."""

HAS_TORCH = find_spec("torch") is not None

collect_ignore = [] if HAS_TORCH else TORCH_MODULES


def pytest_report_header() -> str | None:
    left_out = ", ".join(TORCH_MODULES)
    return None if HAS_TORCH else f"torch is not installed; left out: {left_out}"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="also run what takes long")


def pytest_configure(config: pytest.Config) -> None:
    # `nohup` and a shell's `&` let a process ignore these, and so all that it starts; where it has
    # a handler instead, what it starts has the default again, which tests of signals need.
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda number, frame: None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--full"):
        skip = pytest.mark.skip(reason="takes long; runs with --full")
        for item in items:
            if item.get_closest_marker("full"):
                item.add_marker(skip)
    if not HAS_TORCH:
        without = pytest.mark.skip(reason="needs torch, which is not installed")
        for item in items:
            if item.get_closest_marker("torch"):
                item.add_marker(without)


def tiny_spec(**overrides: object) -> Spec:
    """A tiny pool's specification; keywords have ``__`` for the dots of keys."""
    given = {key.replace("__", "."): value for key, value in overrides.items()}
    keys = TINY | given
    if given.get("network.name") == "module":  # which has no layers of poolrl's
        keys = {key: keys[key] for key in keys if key in given or not key.startswith("network.")}
    return load(None, keys)[0]


def as_options(keys: Mapping[str, object]) -> list[str]:
    """Keys of a configuration as ``--set`` on a command line."""
    return [
        word
        for key, value in keys.items()
        for word in ("--set", f"{key}={value if isinstance(value, str) else json.dumps(value)}")
    ]


def sleepy_options(unit_seconds: float, branches: int) -> list[str]:
    """Options of a pool with units that sleep, so that workers do not slow each other down.

    Args:
        unit_seconds: duration of a unit in seconds.
        branches: number of branches.
    """
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


@pytest.fixture(scope="module")
def memory_folder() -> Iterator[Path]:
    """A folder of a module's tests, in memory if possible, where fsync is fast."""
    memory = Path("/dev/shm")
    where = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="poolrl-tests-", dir=where) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def draws() -> None:
    """Skip a test where no OpenGL backend works."""
    from poolrl.errors import UsageError
    from poolrl.render.backend import working_backend

    try:
        working_backend()
    except UsageError as error:
        pytest.skip(str(error))
