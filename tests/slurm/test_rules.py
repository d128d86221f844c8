"""Every merge rule on two nodes of a real SLURM: the same champions as by one worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolrl.config.run_options import RunOptions
from poolrl.pool.directory import make_pool
from tests.faults.checker import check, same_history
from tests.helpers.rules import RULES, finished, spec_of
from tests.slurm.cluster import Cluster
from tests.slurm.jobs import deposits, deposits_by_worker, said, submit

ITERATIONS = 40
"""Longer than the start of two tasks differs."""


@pytest.mark.full
@pytest.mark.parametrize("rule", RULES)
def test_two_nodes_find_the_champions_of_one_worker(
    slurm: Cluster, tmp_path: Path, rule: str
) -> None:
    reference = finished(tmp_path / "one", rule, iterations=ITERATIONS)
    root = tmp_path / "array" / "pool"
    root.parent.mkdir()
    make_pool(root, spec_of(rule), RunOptions())
    iterations = ["--iterations", str(ITERATIONS)]
    job = submit(slurm, root, iterations, "--array=0-1", "--cpus-per-task=2")
    tasks = slurm.wait(job, 2)
    assert {task.exit_code for task in tasks.values()} == {0}, said(root, job, 0)
    nodes = {task.node for task in tasks.values()}
    assert len(nodes) == 2
    assert {deposit["worker"]["host"] for deposit in deposits(root)} == nodes
    print(deposits_by_worker(root))
    assert same_history(reference.layout.root, root) == []
    assert check(root, iterations=ITERATIONS) == []
