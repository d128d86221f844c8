"""Values for a shell's tab completion: tasks, keys of a configuration, pools, agents.

A shell calls the command again for each tab, so nothing heavy is imported here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import click
from click.shell_completion import CompletionItem

MAX_ENTRIES = 10_000
"""Entries of a folder that are looked at."""


def tasks(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids of native tasks; files, once a path is being typed."""
    from poolrl.tasks.registry import REGISTRY

    found = [CompletionItem(name) for name in REGISTRY if name.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="file")]


def keys(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Keys of a configuration, as ``section.key=``."""
    if "=" in incomplete:
        return []
    return [CompletionItem(f"{key}=") for key in known_keys() if key.startswith(incomplete)]


def pools(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Pools in the folder that is being typed, or below ``pools``; folders where there are none."""
    found = [CompletionItem(path) for path in _pools(incomplete)]
    return found or [CompletionItem(incomplete, type="dir")]


def agents(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Agent files in the folder that is being typed, and pools; files where there are none."""
    found = [CompletionItem(path) for path in (*_pools(incomplete), *_agents(incomplete))]
    return found or [CompletionItem(incomplete, type="file")]


def known_keys() -> list[str]:
    """All keys that ``--set`` knows, in the order of their declaration, without those of tasks'
    own arguments."""
    import msgspec

    from poolrl.config.learners import PPO, Reinforce
    from poolrl.config.mpo import MPO
    from poolrl.config.run_options import RunOptions
    from poolrl.config.schema import Spec

    found = [*_fields(msgspec.inspect.type_info(Spec)), "task.kwargs.", "task.randomize."]
    found += [f"run.{name}" for name in RunOptions.__struct_fields__]
    for learner in (PPO, Reinforce, MPO):
        found += [f"branches.{name}" for name in learner.__struct_fields__]
    containers = ("task.kwargs", "task.randomize", "branches")
    return [key for key in dict.fromkeys(found) if key not in containers]


def _fields(info: Any, prefix: str = "") -> Iterator[str]:
    """Dotted keys of a structure, or of all structures of a union; otherwise the key itself."""
    import msgspec

    members = info.types if isinstance(info, msgspec.inspect.UnionType) else (info,)
    structures = [each for each in members if isinstance(each, msgspec.inspect.StructType)]
    if not structures:
        if prefix:
            yield prefix
        return
    for structure in structures:
        if structure.tag_field is not None:
            yield f"{prefix}.{structure.tag_field}"
        for field in structure.fields:
            yield from _fields(field.type, f"{prefix}.{field.name}" if prefix else field.name)


def _pools(incomplete: str) -> Iterator[str]:
    for folder in dict.fromkeys((os.path.dirname(incomplete), "" if incomplete else "pools")):
        for path in _entries(folder, incomplete):
            if os.path.isfile(os.path.join(path, "pool.toml")):
                yield path


def _agents(incomplete: str) -> Iterator[str]:
    for path in _entries(os.path.dirname(incomplete), incomplete):
        if path.endswith(".safetensors"):
            yield path


def _entries(folder: str, incomplete: str) -> list[str]:
    try:
        with os.scandir(folder or ".") as entries:
            names = [entry.name for _, entry in zip(range(MAX_ENTRIES), entries, strict=False)]
    except OSError:
        return []
    paths = (os.path.join(folder, name) for name in sorted(names))
    return [path for path in paths if path.startswith(incomplete)]
