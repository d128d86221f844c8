"""What clusters and hurried people do to a pool: each ends right, or is refused in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from poolrl.config.schema import RunOptions
from poolrl.pool.directory import make_pool
from tests.conftest import TINY, as_options, tiny_spec
from tests.faults.checker import check, same_history

PATIENCE = 120
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
    _, said = done.communicate(timeout=PATIENCE)
    assert done.returncode == 0, said
    return folder / "pool"


def test_of_two_pools_in_one_directory_one_is_made_and_one_refused(
    tmp_path: Path, undisturbed: Path
) -> None:
    both = [run("pool", seed, tmp_path) for seed in (1, 2)]
    said = [each.communicate(timeout=PATIENCE)[1] for each in both]
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
        _, said = each.communicate(timeout=PATIENCE)
        assert each.returncode == 0, said
    assert check(tmp_path / "pool", iterations=ITERATIONS) == []
    assert same_history(tmp_path / "pool", undisturbed) == []


def test_ten_workers_join_at_the_same_instant(tmp_path: Path, undisturbed: Path) -> None:
    make_pool(tmp_path / "pool", tiny_spec(pool__seed=1), RunOptions(iterations=ITERATIONS))
    crowd = [poolrl("worker", "--pool-directory", "pool", cwd=tmp_path) for _ in range(10)]
    for each in crowd:
        _, said = each.communicate(timeout=PATIENCE)
        assert each.returncode == 0, said
    assert check(tmp_path / "pool", iterations=ITERATIONS) == []
    assert same_history(tmp_path / "pool", undisturbed) == []


def test_a_directory_that_is_moved_while_its_pool_is_stopped_goes_on(
    tmp_path: Path, undisturbed: Path
) -> None:
    first = run("pool", 1, tmp_path, iterations=1)
    first.communicate(timeout=PATIENCE)
    assert first.returncode == 0
    (tmp_path / "elsewhere").mkdir()
    moved = (tmp_path / "pool").rename(tmp_path / "elsewhere" / "renamed")
    again = run(str(moved), 1, tmp_path)
    _, said = again.communicate(timeout=PATIENCE)
    assert again.returncode == 0, said
    assert check(moved, iterations=ITERATIONS) == []
    assert same_history(moved, undisturbed) == []


def test_a_directory_that_is_moved_away_under_its_workers_ends_them_in_one_line(
    tmp_path: Path,
) -> None:
    going = run("pool", 1, tmp_path, iterations=100_000)
    first = tmp_path / "pool" / "iterations" / "000001" / "merge.json"
    try:
        for _ in range(PATIENCE * 20):
            if first.exists():
                break
            subprocess.run(["sleep", "0.05"], check=True)
        (tmp_path / "pool").rename(tmp_path / "moved")
        _, said = going.communicate(timeout=PATIENCE)
    finally:
        going.kill()
    assert going.returncode in (1, 2, 4)
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) == 1
    # No half of a pool is left where it was, and the whole of it goes on where it is.
    assert not (tmp_path / "pool" / "iterations").exists()
    again = run("moved", 1, tmp_path, iterations=1)
    again.communicate(timeout=PATIENCE)
    assert check(tmp_path / "moved") == []
