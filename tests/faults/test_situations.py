"""Runs that meet on one pool, or whose pool is moved, end right or are refused with one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from poolrl.config.run_options import RunOptions
from poolrl.pool.directory import make_pool
from tests.conftest import TINY, as_options, tiny_spec
from tests.faults.checker import check, same_history
from tests.helpers.waiting import TIMEOUT_SECONDS, until

ITERATIONS = 3


def poolrl(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "poolrl", *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(root: str, seed: int, cwd: Path, iterations: int = ITERATIONS) -> subprocess.Popen[str]:
    keys = as_options(TINY | {"pool.seed": seed})
    arguments = ["--pool-directory", root, "--iterations", str(iterations), "--workers", "2"]
    return poolrl("run", *arguments, *keys, cwd=cwd)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pool of seed 1, made by one run."""
    folder = tmp_path_factory.mktemp("undisturbed")
    done = run("pool", 1, folder)
    _, said = done.communicate(timeout=TIMEOUT_SECONDS)
    assert done.returncode == 0, said
    return folder / "pool"


def test_of_two_pools_in_one_directory_one_is_made_and_one_refused(
    tmp_path: Path, undisturbed: Path
) -> None:
    both = [run("pool", seed, tmp_path) for seed in (1, 2)]
    said = [each.communicate(timeout=TIMEOUT_SECONDS)[1] for each in both]
    codes = [each.returncode for each in both]
    assert sorted(codes) == [0, 4], said
    refused = said[codes.index(4)]
    assert refused.startswith("poolrl: pool: a pool of another specification: pool.seed (")
    assert refused.count("\n") == 1
    assert check(tmp_path / "pool", iterations=ITERATIONS) == []
    if codes[0] == 0:
        assert same_history(tmp_path / "pool", undisturbed) == []


def test_two_runs_of_one_pool_share_it(tmp_path: Path, undisturbed: Path) -> None:
    both = [run("pool", 1, tmp_path) for _ in range(2)]
    for each in both:
        _, said = each.communicate(timeout=TIMEOUT_SECONDS)
        assert each.returncode == 0, said
    assert check(tmp_path / "pool", iterations=ITERATIONS) == []
    assert same_history(tmp_path / "pool", undisturbed) == []


def test_ten_workers_join_at_the_same_instant(tmp_path: Path, undisturbed: Path) -> None:
    make_pool(tmp_path / "pool", tiny_spec(pool__seed=1), RunOptions(iterations=ITERATIONS))
    workers = [poolrl("worker", "--pool-directory", "pool", cwd=tmp_path) for _ in range(10)]
    for each in workers:
        _, said = each.communicate(timeout=TIMEOUT_SECONDS)
        assert each.returncode == 0, said
    assert check(tmp_path / "pool", iterations=ITERATIONS) == []
    assert same_history(tmp_path / "pool", undisturbed) == []


def test_a_directory_that_is_moved_while_its_pool_is_stopped_can_be_continued(
    tmp_path: Path, undisturbed: Path
) -> None:
    first = run("pool", 1, tmp_path, iterations=1)
    first.communicate(timeout=TIMEOUT_SECONDS)
    assert first.returncode == 0
    (tmp_path / "elsewhere").mkdir()
    moved = (tmp_path / "pool").rename(tmp_path / "elsewhere" / "renamed")
    again = run(str(moved), 1, tmp_path)
    _, said = again.communicate(timeout=TIMEOUT_SECONDS)
    assert again.returncode == 0, said
    assert check(moved, iterations=ITERATIONS) == []
    assert same_history(moved, undisturbed) == []


def test_a_directory_that_is_moved_away_under_its_workers_ends_them_in_one_line(
    tmp_path: Path,
) -> None:
    running = run("pool", 1, tmp_path, iterations=100_000)
    first = tmp_path / "pool" / "iterations" / "000001" / "merge.json"
    try:
        until(first.exists, "the first merge")
        (tmp_path / "pool").rename(tmp_path / "moved")
        _, said = running.communicate(timeout=TIMEOUT_SECONDS)
    finally:
        running.kill()
    assert running.returncode in (1, 2, 4)
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) == 1
    # No part of the pool is left in the old directory, and the new one can be continued.
    assert not (tmp_path / "pool" / "iterations").exists()
    again = run("moved", 1, tmp_path, iterations=1)
    again.communicate(timeout=TIMEOUT_SECONDS)
    assert check(tmp_path / "moved") == []
