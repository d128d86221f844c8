"""Hostile names in a pool: symbolic links, pipes, folders and huge files."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from poolrl import files
from poolrl.agent import Agent
from poolrl.errors import IncompatiblePool
from poolrl.monitoring.history import History
from poolrl.pool.directory import Pool, open_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.records.work_units import Unit
from poolrl.storage.claims import Claims
from poolrl.storage.store import UnusableFile
from poolrl.worker.loop import Worker


def state_of(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


@pytest.mark.parametrize("name", ["iterations", "iterations/000001", "iterations/000002"])
def test_folders_that_lead_out_of_the_pool(pool: Pool, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    inside = pool.layout.root / name
    if inside.exists():
        shutil.move(inside, outside)
    else:
        outside.mkdir()
    inside.symlink_to(outside)
    before = state_of(outside)
    with pytest.raises(IncompatiblePool, match=f"{name}: a symbolic link"):
        Worker(open_pool(pool.layout.root), StopCriteria(3)).run()
    if name != "iterations/000002":
        with pytest.raises(IncompatiblePool, match=f"{name}: a symbolic link"):
            History(open_pool(pool.layout.root)).refresh()
    assert state_of(outside) == before


def test_writing_and_removing_through_links(pool: Pool, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "worker-000.log").write_text("kept")
    shutil.rmtree(pool.layout.logs)
    pool.layout.logs.symlink_to(outside)
    store, path = pool.store, pool.layout.logs / "worker-000.log"
    for call in (
        lambda: store.open_log(path),
        lambda: store.publish(path.with_name("new"), b""),
        lambda: store.replace(path, b""),
        lambda: store.remove(path),
        lambda: store.set_aside(path),
        lambda: store.make_folder(path.with_name("new")),
        lambda: Claims(store, 1.0).claim(path.with_name("x.lease")),
    ):
        with pytest.raises(IncompatiblePool, match="logs: a symbolic link"):
            call()
    assert state_of(outside) == {"worker-000.log": b"kept"}


def test_a_log_that_is_a_link_or_a_pipe(pool: Pool, tmp_path: Path) -> None:
    (pool.layout.logs / "a").symlink_to(tmp_path / "new")
    os.mkfifo(pool.layout.logs / "b")
    for name in "ab":
        with pytest.raises(UnusableFile, match="no plain file"):
            pool.store.open_log(pool.layout.logs / name)
    assert not (tmp_path / "new").exists()


def test_a_pool_may_be_reached_through_a_link(pool: Pool, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(pool.layout.root)
    assert Worker(open_pool(tmp_path / "link"), StopCriteria(2)).run().iteration == 2


@pytest.mark.parametrize("what", ["link", "pipe", "folder", "huge"])
def test_a_record_that_is_no_plain_file_is_done_again(
    pool: Pool, tmp_path: Path, what: str
) -> None:
    layout = pool.layout.iteration(1)
    path = layout.record(Unit(1, "branch", 1))
    before = json.loads(path.read_bytes())
    secret = tmp_path / "secret"
    shutil.move(path, secret)
    layout.merge.unlink()
    if what == "link":
        path.symlink_to(secret)
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    else:
        with open(path, "wb") as file:
            file.truncate(files.RECORD + 1)
    history = History(pool)
    history.refresh()
    assert Unit(1, "branch", 1) not in {unit.unit for unit in history.units}
    Worker(pool, StopCriteria(1)).run()
    assert json.loads(path.read_bytes())["evaluation"] == before["evaluation"]
    assert json.loads(secret.read_bytes()) == before


@pytest.mark.parametrize("name", ["pool.toml", "run.toml", "iterations/000001/merge.json"])
def test_other_files_of_a_pool_that_are_pipes_or_links(
    pool: Pool, tmp_path: Path, name: str
) -> None:
    path = pool.layout.root / name
    shutil.move(path, tmp_path / "real")
    for make in (os.mkfifo, lambda path: path.symlink_to(tmp_path / "real")):
        make(path)
        with pytest.raises(IncompatiblePool, match=rf"{name}: (no plain file|a symbolic link)"):
            Worker(open_pool(pool.layout.root), StopCriteria(1)).run()
        path.unlink()


def test_an_agent_of_the_pool_that_is_none(pool: Pool) -> None:
    """Its hash is what the merge says, and it is no agent of this pool all the same."""
    layout = pool.layout.iteration(1)
    champion = pool.deposit_store().merge(1).champion
    agent = Agent.from_bytes(pool.deposit_store().champion(pool.deposit_store().merge(1).champion))
    bad = {**agent.arrays, "actor.0.bias": agent.arrays["actor.0.bias"] * np.float32(np.nan)}
    data = Agent(bad, agent.metadata).to_bytes()
    digest = hashlib.sha256(data).hexdigest()
    Path(
        str(pool.layout.resolve(champion.path)).replace(champion.sha256[:16], digest[:16])
    ).write_bytes(data)
    text = layout.merge.read_text().replace(champion.sha256, digest)
    layout.merge.write_text(text.replace(champion.sha256[:16], digest[:16]))
    with pytest.raises(IncompatiblePool, match="not finite"):
        Worker(pool, StopCriteria(2)).run()
