"""Read a pool's directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from poolrl.pool.directory import Pool, open_pool


def snapshot(root: Path) -> dict[str, bytes]:
    """The contents of all files below a directory, by relative path."""
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def champions(pool: Pool) -> list[str]:
    """SHA-256 of every iteration's champion; each of them must exist and be whole."""
    deposit_store = open_pool(pool.layout.root).deposit_store()
    merges = [deposit_store.merge(iteration) for iteration in deposit_store.iterations()]
    for merge in merges:
        deposit_store.champion(merge.champion)
    return [merge.champion.sha256 for merge in merges]


def champion_file(pool: Path, iteration: int) -> Path:
    """The agent file that an iteration's merge names."""
    merge = json.loads((pool / f"iterations/{iteration:06d}/merge.json").read_text())
    return pool / str(merge["champion"]["path"])


def agent_header(agent: Path) -> dict[str, Any]:
    """The metadata in the header of an agent file, as it is written."""
    data = agent.read_bytes()
    table = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    found: dict[str, Any] = json.loads(table["__metadata__"]["poolrl"])
    return found
