"""Read a pool's directory."""

from __future__ import annotations

from pathlib import Path

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
        deposit_store.champion(merge)
    return [merge.champion.sha256 for merge in merges]
