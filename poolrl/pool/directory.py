"""Making and opening pools, and their frozen specification, ``pool.toml``."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import tomli_w

from poolrl import files
from poolrl.config import networks, tables
from poolrl.config.exploration import NoExploration
from poolrl.config.loading import differing_keys
from poolrl.config.mpo import MPO
from poolrl.config.run_options import RunOptions
from poolrl.config.schema import Spec
from poolrl.config.types import Section
from poolrl.config.validation import convert
from poolrl.doctor.examination import check_briefly
from poolrl.errors import IncompatiblePool, UsageError
from poolrl.pool.replay_window import window_size
from poolrl.provenance import versions
from poolrl.records.types import Word
from poolrl.records.work_units import Unit
from poolrl.storage.deposits import DepositStore
from poolrl.storage.layout import Layout
from poolrl.storage.store import Store

SCHEMA = 2
"""Newest version of the format of ``pool.toml``; newer ones are refused."""

_COMMENT = """\
# A pool of poolrl: its specification, frozen when the pool was made. What affects results is in
# [spec], whose SHA-256 every record repeats; [made_with] is only remembered.
"""


@dataclass(frozen=True)
class Pool:
    """A pool directory that has been opened.

    Attributes:
        store: its files.
        spec: its specification.
        run: options of its last run, the defaults of workers that join it.
        made_with: versions of the software that made it.
        spec_sha256: identity of the pool, repeated in every record: SHA-256 of the specification
            as written in the file, so that options that later versions add do not change it.
    """

    store: Store
    spec: Spec
    run: RunOptions
    made_with: dict[str, str]
    spec_sha256: str

    @property
    def layout(self) -> Layout:
        """The paths of its files."""
        return Layout(self.store.root)

    def deposit_store(self) -> DepositStore:
        """Deposits, merges and agents of this pool."""
        return DepositStore(
            self.store,
            spec_sha256=self.spec_sha256,
            evaluate_episodes=self.spec.pool.evaluate_episodes,
            closing_episodes=self.spec.pool.closing_episodes,
            initial_agent_sha256=self.spec.initial_agent_sha256,
            evaluates_branches=self.spec.merge.evaluates_branches,
            shares_experience=self.spec.merge.shares_experience,
            shares_replay=window_size(self.spec) > 0,
            evolving=tuple(self.spec.evolving),
        )

    def refuse_another(self, spec: Spec) -> None:
        """Check that a specification is this pool's.

        Raises:
            IncompatiblePool: it is not; names the keys that differ.
        """
        differences = differing_keys(self.spec, spec)
        if differences:
            raise IncompatiblePool(
                f"{self.layout.root}: a pool of another specification: {'; '.join(differences)}"
            )

    def model_difference(self, model_sha256: str) -> str | None:
        """A warning if the task's compiled model differs here; ``None`` if it is the same.

        Compiled models, and results, differ between versions of MuJoCo.

        Raises:
            IncompatiblePool: the model differs although the version is the same.
        """
        own = self.spec.task.model_sha256
        if own in ("", model_sha256):
            return None
        here, there = versions().get("mujoco"), self.made_with.get("mujoco")
        if here == there:
            raise IncompatiblePool(
                f"{self.layout.root}: task.model_sha256 ({own} in the pool, {model_sha256} now): "
                f"the model of {self.spec.task.id}, or a file that it reads, is another one"
            )
        return f"the pool was made with mujoco {there}, this is {here}: results will differ"


class _File(Section, frozen=True):
    schema: int
    spec: Spec
    made_with: dict[Word, Word]  # records of workers name the differing ones


def open_pool(root: Path, store: Store | None = None) -> Pool:
    """Open a pool.

    Args:
        root: its directory.
        store: its files, if they are not on disk.

    Raises:
        UsageError: the directory is not a pool.
        IncompatiblePool: the pool is of a newer schema, or its specification is damaged.
    """
    store = store or Store(root)
    layout = Layout(root)
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
        completed = copy.deepcopy(table)
        if isinstance(completed.get("spec"), dict):
            networks.complete(completed["spec"].setdefault("network", {}))
        file = convert(completed, _File, str(layout.spec))
        sha256 = tables.sha256(table["spec"])
    except UsageError as error:
        raise IncompatiblePool(str(error)) from error
    return Pool(store, file.spec, _last_run(store), file.made_with, sha256)


def make_pool(
    root: Path,
    spec: Spec,
    run: RunOptions,
    initial_agent: bytes | None = None,
    store: Store | None = None,
) -> Pool:
    """Make a pool, or open the existing one if it has the same specification.

    Args:
        root: the directory; created if missing.
        spec: the specification to freeze.
        run: options to store as the defaults of workers that join; replaced in an existing pool.
        initial_agent: content of the agent file to start from, of which the specification holds
            the SHA-256.
        store: its files, if they are not on disk; its file system is not checked then.

    Raises:
        UsageError: the directory holds something else, cannot be written to, or its file system
            cannot hold a pool.
        IncompatiblePool: it holds a pool of another specification; names the keys that differ.
    """
    check_file_system = store is None
    store = store or Store(root)
    layout = Layout(root)
    specification = spec.to_table()
    tables.sha256(specification)  # refuse what cannot be hashed before anything is written
    names = store.names_in(root)
    if layout.spec.name not in names:
        own = {layout.iterations.name, layout.logs.name}
        if any(name not in own and not name.startswith(".") for name in names):
            raise UsageError(f"{root}: not a pool, and not empty")
        if check_file_system:
            check_briefly(root)
        store.make_folder(layout.iteration(0).folder)
        store.make_folder(layout.logs)
        if initial_agent is not None:
            unit = Unit(0, "initial", 0)
            store.publish(layout.iteration(0).agent(unit, spec.initial_agent_sha256), initial_agent)
        file = {
            "schema": SCHEMA if _needs_newest_schema(spec) else 1,
            "spec": specification,
            "made_with": versions(),
        }
        store.publish(layout.spec, (_COMMENT + "\n").encode() + _to_toml(file))
    pool = open_pool(root, store)
    pool.refuse_another(spec)
    if pool.run != run:
        store.replace(layout.run, _to_toml(run))
    return replace(pool, run=run)


def _needs_newest_schema(spec: Spec) -> bool:
    """Whether a specification has keys that versions which read schema 1 alone do not know."""
    selects_otherwise = (spec.selection.score, spec.selection.direction) != ("return", "max")
    new_learner = isinstance(spec.learner, MPO) or spec.exploration != NoExploration()
    has_new = spec.evolving or spec.evaluation.info or new_learner or spec.pool.later_count
    return bool(not spec.merge.is_default or has_new or selects_otherwise)


def _last_run(store: Store) -> RunOptions:
    layout = Layout(store.root)
    data = store.read_if_there(layout.run, files.SPECIFICATION)
    try:
        table = tables.parse_toml(data or b"", str(layout.run))
        return convert(table, RunOptions, str(layout.run))
    except UsageError as error:
        raise IncompatiblePool(str(error)) from error


def _to_toml(structure: Section | dict[str, Any]) -> bytes:
    table: dict[str, Any] = tables.without_none(msgspec.to_builtins(structure))
    return tomli_w.dumps(table).encode()
