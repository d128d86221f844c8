"""Fixtures: a private SLURM, and runs for comparison.

SLURM starts within a second, on free ports, so that each process of pytest-xdist has its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm import jobs
from tests.slurm.cluster import Cluster
from tests.slurm.requirements import missing


@pytest.fixture(scope="session")
def _cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    with Cluster(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


@pytest.fixture
def slurm(_cluster: Cluster) -> Iterator[Cluster]:
    """A SLURM of four idle nodes without jobs."""
    _cluster.clear()
    yield _cluster
    _cluster.clear()


@pytest.fixture
def local(tmp_path: Path) -> Iterator[jobs.Locally]:
    """Starts `poolrl run` on another pool of the test."""
    started = []

    def start(arguments: list[str]) -> jobs.Local:
        started.append(jobs.Local(tmp_path / "local", arguments))
        return started[-1]

    yield start
    for run in started:
        run.end()
