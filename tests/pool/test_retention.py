"""What may go from a pool, and what must stay."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from poolrl.config.run_options import RetentionRule, RunOptions
from poolrl.errors import IncompatiblePool
from poolrl.pool.directory import Pool, make_pool, open_pool
from poolrl.pool.retention import STALE_SECONDS, removable, remove
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.worker.loop import Worker
from tests.conftest import tiny_spec
from tests.faults.checker import check, examine
from tests.helpers.command_line import poolrl

ITERATIONS = 5
ALL = RetentionRule.parse("all")


def agents(pool: Pool) -> dict[int, int]:
    """How many agents each iteration has."""
    return {
        number: len(list(pool.layout.iteration(number).folder.glob("*.safetensors")))
        for number in pool.deposit_store().iterations()
    }


def work(pool: Pool, keep: str) -> Pool:
    Worker(pool, StopCriteria(ITERATIONS), run=RunOptions(keep=keep)).run()
    return pool


@pytest.fixture
def full(tiny_pool: Pool) -> Pool:
    """A finished pool with every agent in it."""
    return work(tiny_pool, "all")


@pytest.mark.parametrize("keep", ["champions", "last:1", "last:3", "last:99", "all"])
def test_a_worker_and_prune_leave_the_same_agents(tmp_path: Path, full: Pool, keep: str) -> None:
    cleaned = work(make_pool(tmp_path / "cleaned", tiny_spec(), RunOptions()), keep)
    remove(full, removable(full, RetentionRule.parse(keep)))
    assert agents(full) == agents(cleaned)
    iterations = RetentionRule.parse(keep).iterations
    kept = ITERATIONS if iterations is None else iterations
    whole = [number for number, count in agents(full).items() if number and count == 3]
    assert whole == list(range(max(1, ITERATIONS - kept + 1), ITERATIONS + 1))
    assert check(full.layout.root, keep=keep, iterations=ITERATIONS) == []


def test_another_rule_from_run_to_run(full: Pool) -> None:
    Worker(full, StopCriteria(ITERATIONS + 1), run=RunOptions(keep="champions")).run()
    left = agents(full)
    assert all(count == 3 for number, count in left.items() if 0 < number < ITERATIONS)
    assert left[ITERATIONS] <= 1  # from here on the new rule holds; prune does the rest
    remove(full, removable(full, RetentionRule.parse("champions")))
    assert max(agents(full).values()) == 1
    assert check(full.layout.root, iterations=ITERATIONS + 1) == []


def test_an_iteration_that_is_not_merged_keeps_its_agents(full: Pool) -> None:
    last = full.layout.iteration(ITERATIONS)
    last.merge.unlink()
    (last.folder / "closing-000.json").unlink()
    remove(full, removable(full, RetentionRule.parse("champions")))
    assert agents(full)[ITERATIONS] == 3
    assert check(full.layout.root) == []


def test_the_given_agent_stays(tmp_path: Path, full: Pool) -> None:
    last = full.deposit_store().newest_merge()
    assert last is not None
    spec = tiny_spec(task__max_episode_steps=5, initial_agent_sha256=last.champion.sha256)
    given = full.deposit_store().champion(last.champion)
    pool = work(make_pool(tmp_path / "other", spec, RunOptions(), given), "champions")
    # The agent that begins says of its task what this pool's is, and so is another file.
    assert agents(pool)[0] == 2
    remove(pool, removable(pool, RetentionRule.parse("champions")))
    assert pool.deposit_store().given_agent() == given
    assert check(pool.layout.root, iterations=ITERATIONS) == []


def test_a_damaged_merge_leaves_everything(full: Pool) -> None:
    full.layout.iteration(2).merge.write_bytes(b"{")
    before = agents(full)
    with pytest.raises(IncompatiblePool, match=r"000002/merge\.json"):
        removable(full, RetentionRule.parse("champions"))
    assert agents(full) == before


def stray(folder: Path, name: str, age: float = 0.0) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"12345")
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_what_the_killed_left_behind_goes_once_it_is_old(full: Pool) -> None:
    root, folder = full.layout.root, full.layout.iteration(2).folder
    old, name = STALE_SECONDS + 60, f".tmp-{'0' * 32}"
    temporary = [stray(place, name, old) for place in (root, folder, root / "workers")]
    fresh = stray(folder, f".tmp-{'1' * 32}", STALE_SECONDS / 2)
    foreign = stray(folder, ".tmp-mine", old)
    aside = stray(folder, f"branch-001.json.corrupt-{'a' * 32}")
    assert remove(full, removable(full, ALL))
    assert [path.exists() for path in temporary] == [False] * 3
    assert fresh.exists()
    assert foreign.exists()
    assert aside.exists()
    remove(full, removable(full, ALL, set_aside=True))
    assert not aside.exists()


def test_links_out_of_the_pool_are_left_alone(full: Pool, tmp_path: Path) -> None:
    precious = tmp_path / "branch-000-0123456789abcdef.safetensors"
    precious.write_bytes(b"precious")
    folder = full.layout.iteration(1).folder
    (folder / precious.name).symlink_to(precious)
    remove(full, removable(full, RetentionRule.parse("champions")))
    assert (folder / precious.name).is_symlink()
    assert precious.read_bytes() == b"precious"


def test_a_linked_folder_is_refused_by_prune_and_by_workers(full: Pool, tmp_path: Path) -> None:
    folder = full.layout.iteration(ITERATIONS).folder
    elsewhere = folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(elsewhere)
    before = sorted(os.listdir(elsewhere))
    said = poolrl("prune", full.layout.root, "--keep", "champions", cwd=tmp_path)
    assert said.returncode == 1
    assert said.stderr == f"poolrl: {folder}: a symbolic link or no folder; it is left alone\n"
    with pytest.raises(IncompatiblePool, match="a symbolic link"):
        Worker(full, StopCriteria(ITERATIONS + 1)).run()
    assert sorted(os.listdir(elsewhere)) == before


def test_the_command_says_what_goes(full: Pool, tmp_path: Path) -> None:
    root = full.layout.root
    stray(root, f".tmp-{'0' * 32}", STALE_SECONDS + 60)
    before = agents(full)
    would = removable(full, RetentionRule.parse("last:2"))
    assert poolrl("prune", root, "--keep", "all", cwd=tmp_path).stdout == (
        "removed 1 file, 5 bytes (temporary files: 1, 5 bytes)\n"
    )
    dry = poolrl("prune", root, "--keep", "last:2", "--dry-run", cwd=tmp_path)
    losers = [file for file in would if file.category == "agents that lost"]
    assert dry.stdout.startswith(f"would remove {len(losers)} files, ")
    assert agents(full) == before
    done = poolrl("prune", root, "--keep", "last:2", cwd=tmp_path)
    assert done.stdout == dry.stdout.replace("would remove", "removed")
    assert sum(before.values()) - sum(agents(full).values()) == len(losers)
    # Without a rule on the command line, that of the last run holds.
    assert open_pool(root).run.keep == "champions"
    assert "agents that lost" in poolrl("prune", root, cwd=tmp_path).stdout
    assert poolrl("prune", root, cwd=tmp_path).stdout == "removed nothing\n"
    assert examine(root).strays == []
