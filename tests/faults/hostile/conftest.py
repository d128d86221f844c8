"""A pool and an agent to damage."""

from __future__ import annotations

import pytest

from poolrl.config.run_options import RunOptions
from poolrl.pool.directory import Pool, make_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.worker.loop import Worker
from tests.conftest import tiny_spec


@pytest.fixture
def pool(tiny_pool: Pool) -> Pool:
    """A pool of one finished iteration, with all its agents."""
    Worker(tiny_pool, StopCriteria(1), run=RunOptions(keep="all")).run()
    return tiny_pool


@pytest.fixture(scope="module")
def agent_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    pool = make_pool(tmp_path_factory.mktemp("agent") / "pool", tiny_spec(), RunOptions())
    return pool.deposit_store().champion(Worker(pool, StopCriteria(0)).run().champion)
