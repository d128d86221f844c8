"""What a merge rule takes on disk is said when a pool is made, and about true."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from poolrl.config.run_options import RunOptions
from poolrl.launch.disk_use import DiskUse, disk_line, disk_use
from poolrl.pool.directory import make_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.worker.loop import Worker
from poolrl.worker.unit_computation import UnitComputation
from tests.conftest import TINY, as_options, tiny_spec
from tests.helpers.command_line import in_process
from tests.helpers.every_network import keys_of
from tests.helpers.shared_experience import UPDATE

MEAN = {"selection__keep_parent": False, "merge__rule": "mean", "learner__name": "ppo"}
CANDIDATES = {"selection__keep_parent": False, "merge__candidates": [1, 2]}


@pytest.mark.parametrize(
    "keys",
    [
        MEAN,
        CANDIDATES,
        UPDATE,
        UPDATE | {"pool__iterate_steps": 400},
        UPDATE | keys_of("several choices", "lstm", "ppo"),
        UPDATE | keys_of("gaussian, free σ", "user's with memory", "ppo"),
    ],
    ids=["mean", "candidates", "update", "steps", "choices, memory", "noise"],
)
def test_it_is_about_what_an_iteration_takes(tmp_path: Path, keys: dict[str, Any]) -> None:
    spec = tiny_spec(**{"task__max_episode_steps": 200} | keys)
    computation = UnitComputation(spec)
    use = disk_use(spec, computation.initial_agent())
    computation.close()
    pool = make_pool(tmp_path / "pool", spec, RunOptions(1))
    Worker(pool, StopCriteria(1), run=RunOptions(1, keep="all")).run()
    files = list(pool.layout.iteration(1).folder.glob("*.safetensors"))
    champion = pool.layout.resolve(pool.deposit_store().merge(1).champion.path)
    total = sum(path.stat().st_size for path in files)
    assert use.iteration == pytest.approx(total, rel=0.15)
    assert use.agent == pytest.approx(champion.stat().st_size, rel=0.05)


def test_the_line_says_what_stays() -> None:
    spec = tiny_spec(**UPDATE)
    use = DiskUse(agent=1_200, iteration=63_000_000)
    lines = {keep: disk_line(spec, RunOptions(keep=keep), use) for keep in ("all", "last:3")}
    expected = "about 63.0 MB on disk an iteration by merge.rule = update, "
    assert lines["all"] == f"{expected}all of which stay (--keep all): docs/merging.md"
    assert lines["last:3"] == (
        f"{expected}of which 1.2 kB stay after 3 more (--keep last:3): docs/merging.md"
    )
    assert disk_line(tiny_spec(), RunOptions(), use) is None
    candidates = disk_line(tiny_spec(**CANDIDATES), RunOptions(), use)
    assert candidates is not None
    assert "by merge.candidates, of which 1.2 kB stay (--keep champions)" in candidates


@pytest.mark.parametrize(("keys", "said"), [(UPDATE, True), (MEAN, True), ({}, False)])
def test_a_run_says_it_once_where_the_rule_needs_more(
    tmp_path: Path, keys: dict[str, Any], said: bool
) -> None:
    options = as_options(TINY | {key.replace("__", "."): value for key, value in keys.items()})
    for iterations, again in ((1, False), (2, True)):
        done = in_process(
            *("run", "--pool-directory", "pool", "--workers", "1"),
            *("--iterations", str(iterations), *options),
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        printed = done.stdout + done.stderr
        assert ("on disk an iteration by merge.rule" in printed) == (said and not again)
