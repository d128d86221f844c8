"""What the scores of branches say of other numbers of branches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from branch_scores import TRIALS, branch_scores, main, worst_below_median
from click.testing import CliRunner

from poolrl.config.run_options import RunOptions
from poolrl.pool.directory import make_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.worker.loop import Worker
from tests.conftest import tiny_spec


def test_the_best_of_one_of_two_values_is_low_as_often_as_its_branches_are() -> None:
    scores = np.array([80.0, 100.0])
    below = worst_below_median(scores, 3, 2, np.random.default_rng(0))
    # Each pool is at 80 with a probability of 1/4; the median of three is below 100 with two.
    one_of_three = 3 * 0.25 * 0.75**2
    assert np.unique(below) == pytest.approx([0, 0.2])
    assert (below > 0.1).mean() == pytest.approx(one_of_three, abs=4 / np.sqrt(TRIALS))


def test_pools_are_read(tmp_path: Path) -> None:
    pools = []
    for seed in (1, 2):
        pool = make_pool(tmp_path / str(seed), tiny_spec(pool__seed=seed), RunOptions(iterations=1))
        Worker(pool, StopCriteria(1)).run()
        pools.append(str(tmp_path / str(seed)))
    scores = branch_scores(tmp_path / "1", 1, 0)
    assert len(scores) == 3
    assert branch_scores(tmp_path / "1", 1, 2) == scores[2:]
    lines = CliRunner().invoke(main, [*pools, "--count", "3", "--count", "6"]).output.splitlines()
    assert lines[0].startswith("6 branches of 2 pools: median ")
    assert [line.partition(":")[0] for line in lines[2:]] == ["3 branches", "6 branches"]
    nothing = CliRunner().invoke(main, [*pools, "--iteration", "2"])
    assert (nothing.exit_code, nothing.output.splitlines()[-1]) == (
        2,
        "Error: no branch of iteration 2 from 0 on has a score",
    )
