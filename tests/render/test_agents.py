"""Which agents a video shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolrl.config.exploration import NoExploration
from poolrl.config.run_options import RunOptions
from poolrl.errors import IncompatiblePool, UsageError
from poolrl.pool.directory import make_pool, open_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.render.agents import shown_agents
from poolrl.worker.loop import Worker
from tests.conftest import tiny_spec
from tests.frozen.pool import POOLS
from tests.helpers.agents import new_agent


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pool of three iterations that goes back to its best-ever champion."""
    root = tmp_path_factory.mktemp("agents") / "pool"
    pool = make_pool(root, tiny_spec(merge__fallback=1, selection__keep_parent=False), RunOptions())
    Worker(pool, StopCriteria(3)).run()
    return root


def test_the_newest_champion_is_the_pools_result(root: Path) -> None:
    store = open_pool(root).deposit_store()
    newest = store.newest_merge()
    assert newest is not None
    (shown,) = shown_agents(root)
    assert shown.iteration == 3
    assert shown.agent.to_bytes() == store.champion(newest.result)


def test_iterations_in_the_order_that_they_are_named(root: Path) -> None:
    shown = shown_agents(root, "last, 0,2")
    assert [each.iteration for each in shown] == [3, 0, 2]
    store = open_pool(root).deposit_store()
    for each in shown:
        assert each.exploration == NoExploration()
        assert each.agent.to_bytes() == store.champion(store.merge(each.iteration or 0).result)


def test_an_agent_file(tmp_path: Path) -> None:
    (tmp_path / "agent.safetensors").write_bytes(new_agent().to_bytes())
    (shown,) = shown_agents(tmp_path / "agent.safetensors")
    assert (shown.agent.metadata.task, shown.iteration) == ("Plateau-v0", None)
    with pytest.raises(UsageError, match="is an agent file"):
        shown_agents(tmp_path / "agent.safetensors", "0")


def test_a_champion_that_is_lost(tmp_path: Path) -> None:
    pool = make_pool(tmp_path / "pool", tiny_spec(), RunOptions())
    Worker(pool, StopCriteria(0)).run()
    (agent,) = (tmp_path / "pool").glob("iterations/*/*.safetensors")
    agent.unlink()
    with pytest.raises(IncompatiblePool, match="the champion's agent is missing or damaged"):
        shown_agents(tmp_path / "pool")


@pytest.mark.parametrize("asset", sorted(path.parent.name for path in POOLS.glob("*/pool")))
def test_pools_of_earlier_versions(asset: str) -> None:
    first, last = shown_agents(POOLS / asset / "pool", "0,last")
    assert (first.iteration, last.agent.metadata.task) == (0, first.agent.metadata.task)
