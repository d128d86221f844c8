"""A private SLURM for the tests that want one.

It starts in a second, on ports that are free, so each process of pytest-xdist has its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm import jobs
from tests.slurm.cluster import Cluster, missing


@pytest.fixture(scope="session")
def _cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    with Cluster(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


@pytest.fixture
def slurm(_cluster: Cluster) -> Iterator[Cluster]:
    """A SLURM of four nodes, all idle and without jobs, whatever the test before has left."""
    _cluster.clear()
    yield _cluster
    _cluster.clear()


@pytest.fixture
def local(tmp_path: Path) -> Iterator[jobs.Locally]:
    """Starts `poolrl run` on a pool beside the test's own."""
    started = []

    def start(arguments: list[str]) -> jobs.Local:
        started.append(jobs.Local(tmp_path / "local", arguments))
        return started[-1]

    yield start
    for run in started:
        run.end()
