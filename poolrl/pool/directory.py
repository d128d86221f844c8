"""A pool and its frozen specification, ``pool.toml``."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import tomli_w

from poolrl import files
from poolrl.config import schema as config
from poolrl.config import tables
from poolrl.config.schema import RunOptions, Spec
from poolrl.doctor import examination as doctor
from poolrl.errors import IncompatiblePool, UsageError
from poolrl.provenance import versions
from poolrl.records.records import SCHEMA, Word
from poolrl.records.work_units import Unit
from poolrl.storage import store
from poolrl.storage.layout import Layout
from poolrl.storage.links import guard

_COMMENT = """\
# A pool of poolrl: its specification, frozen when the pool was made. What affects results is in
# [spec], whose SHA-256 every record repeats; [made_with] is only remembered.
"""


@dataclass(frozen=True)
class Pool:
    """A pool directory that has been opened.

    Attributes:
        layout: where its files are.
        spec: its specification.
        run: the options of its last run, the defaults of whoever joins it.
        made_with: versions of the software that made it.
        spec_sha256: the identity of the pool, repeated in every record: of the specification as it
            stands in the file, so that options that later versions add do not change it.
    """

    layout: Layout
    spec: Spec
    run: RunOptions
    made_with: dict[str, str]
    spec_sha256: str

    def refuse_another(self, spec: Spec) -> None:
        """See that a specification is this pool's.

        Raises:
            IncompatiblePool: it is not; names the keys that differ.
        """
        differences = config.differing_keys(self.spec, spec)
        if differences:
            raise IncompatiblePool(
                f"{self.layout.root}: a pool of another specification: {'; '.join(differences)}"
            )

    def model_difference(self, model_sha256: str) -> str | None:
        """What to warn of where the task's model is another here; ``None`` where it is the same.

        Compiled models differ between versions of MuJoCo, and so do results.

        Raises:
            IncompatiblePool: it is another although the version is the same.
        """
        own = self.spec.task.model_sha256
        if own in ("", model_sha256):
            return None
        here, there = versions().get("mujoco"), self.made_with.get("mujoco")
        if here == there:
            raise IncompatiblePool(
                f"{self.layout.root}: task.model_sha256 ({own} in the pool, {model_sha256} now): "
                f"the model of {self.spec.task.id} is another one"
            )
        return f"the pool was made with mujoco {there}, this is {here}: results will differ"


class _File(config.Section, frozen=True):
    schema: int
    spec: Spec
    made_with: dict[Word, Word]  # workers tell in their records what differs


def open_pool(root: Path) -> Pool:
    """Open a pool.

    Raises:
        UsageError: the directory is not a pool.
        IncompatiblePool: the pool is of a newer schema, or its specification is damaged.
    """
    layout = Layout(root)
    guard(root)
    data = store.read_if_there(layout.spec, files.SPECIFICATION)
    if data is None:
        there = os.path.isdir(root)
        what = "not a pool (it has no pool.toml)" if there else "no such directory"
        raise UsageError(f"{root}: {what}")
    try:
        table = tables.parse_toml(data, str(layout.spec))
    except UsageError as error:
        raise IncompatiblePool(str(error)) from error
    schema = table.get("schema")
    if isinstance(schema, int) and schema > SCHEMA:
        raise IncompatiblePool(
            f"{layout.spec}: schema {schema} is newer than this version of poolrl reads ({SCHEMA})"
        )
    try:
        file = tables.convert(table, _File, str(layout.spec))
        sha256 = tables.sha256(table["spec"])
    except UsageError as error:
        raise IncompatiblePool(str(error)) from error
    return Pool(layout, file.spec, _last_run(layout), file.made_with, sha256)


def make_pool(root: Path, spec: Spec, run: RunOptions, initial_agent: bytes | None = None) -> Pool:
    """Make a pool, or open the one that is there if it has the same specification.

    Args:
        root: the directory; made where it is missing.
        spec: what is frozen.
        run: remembered, in an old pool too, as the defaults of whoever joins.
        initial_agent: the agent file to start from, whose SHA-256 the specification holds.

    Raises:
        UsageError: the directory holds something else, cannot be written to, or its file system
            cannot hold a pool.
        IncompatiblePool: it holds a pool of another specification; names the keys that differ.
    """
    layout = Layout(root)
    guard(root)
    tables.sha256(msgspec.to_builtins(spec))  # before anything is made of what cannot be hashed
    names = store.names_in(root)
    if layout.spec.name not in names:
        own = {layout.iterations.name, layout.logs.name}
        if any(name not in own and not name.startswith(".") for name in names):
            raise UsageError(f"{root}: not a pool, and not empty")
        doctor.brief(root)
        store.make_folder(layout.iteration(0).folder)
        store.make_folder(layout.logs)
        if initial_agent is not None:
            unit = Unit(0, "initial", 0)
            store.publish(layout.iteration(0).agent(unit, spec.initial_agent_sha256), initial_agent)
        file = _File(schema=SCHEMA, spec=spec, made_with=versions())
        store.publish(layout.spec, (_COMMENT + "\n").encode() + _to_toml(file))
    pool = open_pool(root)
    pool.refuse_another(spec)
    if pool.run != run:
        store.replace(layout.run, _to_toml(run))
    return replace(pool, run=run)


def _last_run(layout: Layout) -> RunOptions:
    data = store.read_if_there(layout.run, files.SPECIFICATION)
    try:
        table = tables.parse_toml(data or b"", str(layout.run))
        return tables.convert(table, RunOptions, str(layout.run))
    except UsageError as error:
        raise IncompatiblePool(str(error)) from error


def _to_toml(structure: config.Section) -> bytes:
    table: dict[str, Any] = tables.without_none(msgspec.to_builtins(structure))
    return tomli_w.dumps(table).encode()
