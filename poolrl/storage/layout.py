"""Paths and file names of a pool directory: one property per path, one pattern per name."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from poolrl.errors import IncompatiblePool
from poolrl.records.work_units import AGENT_PATH, HASH_LENGTH, Unit

_ITERATION = re.compile(r"[0-9]{6}|[1-9][0-9]{6,8}")
_ATTEMPT = re.compile(r"([a-z]+-[0-9]{3,6})\.attempt-[0-9a-f]{32}\.json")
_BRANCH = re.compile(r"branch-[0-9]{3,6}\.json")
_LEASE = re.compile(r"([a-z]+-[0-9]{3,6})(?:\.copy-[0-9]+)?\.lease")
_HEARTBEAT = re.compile(r"[0-9a-f]{32}\.json")
_SUBMISSION = re.compile(r"[1-9][0-9]{0,9}\.json")
_AGENT = re.compile(rf"[a-z]+-[0-9]{{3,6}}-[0-9a-f]{{{HASH_LENGTH}}}\.safetensors")


@dataclass(frozen=True)
class IterationLayout:
    """The folder of one iteration."""

    folder: Path

    @property
    def merge(self) -> Path:
        return self.folder / "merge.json"

    @property
    def merge_lease(self) -> Path:
        return self.folder / "merge.lease"

    @property
    def sources(self) -> Path:
        """The deposits that candidates or an update are made of."""
        return self.folder / "sources.json"

    def record(self, unit: Unit) -> Path:
        """The record; the unit is deposited once it exists."""
        return self.folder / f"{unit.stem}.json"

    def lease(self, unit: Unit, copy: int = 0) -> Path:
        """The lease of a unit, or of a backup copy of a straggler: 1 for the first copy."""
        return self.folder / f"{unit.stem}{f'.copy-{copy}' if copy else ''}.lease"

    def agent(self, unit: Unit, sha256: str) -> Path:
        """The agent that the record names; equal content has an equal name."""
        return self.folder / unit.agent_name(sha256)

    def rollout(self, unit: Unit, sha256: str) -> Path:
        """The rollout whose hash the record holds."""
        return self.folder / unit.rollout_name(sha256)

    def attempt(self, unit: Unit, identifier: str) -> Path:
        """The record of an attempt, by the identifier of its worker."""
        return self.folder / f"{unit.stem}.attempt-{identifier}.json"

    @staticmethod
    def attempt_stem(name: str) -> str | None:
        """Stem of the unit of an attempt; ``None`` if the file is no attempt."""
        match = _ATTEMPT.fullmatch(name)
        return match[1] if match else None

    @staticmethod
    def is_branch(name: str) -> bool:
        """Whether a file is the record of a branch."""
        return _BRANCH.fullmatch(name) is not None

    @staticmethod
    def taken(names: Iterable[str]) -> set[str]:
        """Stems of units that are claimed and not deposited."""
        names = set(names)
        leased = {match[1] for name in names if (match := _LEASE.fullmatch(name))}
        return {stem for stem in leased if f"{stem}.json" not in names}

    @staticmethod
    def is_agent(name: str) -> bool:
        """Whether a file is a deposited agent or rollout."""
        return _AGENT.fullmatch(name) is not None

    @staticmethod
    def is_rollout(name: str) -> bool:
        """Whether a file is a deposited rollout."""
        return _AGENT.fullmatch(name) is not None and name.startswith("rollout-")


@dataclass(frozen=True)
class Layout:
    """A pool directory."""

    root: Path

    @property
    def name(self) -> str:
        """Name of the directory, also where the path to it has none, as ``.``."""
        return Path(os.path.abspath(self.root)).name

    @property
    def spec(self) -> Path:
        """The frozen specification."""
        return self.root / "pool.toml"

    @property
    def run(self) -> Path:
        """Options of the last run, the defaults of workers that join it."""
        return self.root / "run.toml"

    @property
    def iterations(self) -> Path:
        return self.root / "iterations"

    @property
    def workers(self) -> Path:
        """Folder of the heartbeats, for the status only."""
        return self.root / "workers"

    def heartbeat(self, worker: str) -> Path:
        """The heartbeat of one worker."""
        return self.workers / f"{worker}.json"

    @staticmethod
    def is_heartbeat(name: str) -> bool:
        """Whether a file is the heartbeat of a worker."""
        return _HEARTBEAT.fullmatch(name) is not None

    @property
    def jobs(self) -> Path:
        """Folder of the submissions to a cluster."""
        return self.root / "jobs"

    def submission(self, job: str) -> Path:
        """The record of a submission, by the id of its first job."""
        return self.jobs / f"{job}.json"

    @staticmethod
    def is_submission(name: str) -> bool:
        """Whether a file is the record of a submission."""
        return _SUBMISSION.fullmatch(name) is not None

    @property
    def script(self) -> Path:
        """Batch script of the last submission."""
        return self.root / "submit.sh"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def videos(self) -> Path:
        """Folder of the champions' videos."""
        return self.root / "videos"

    def video(self, iteration: int) -> Path:
        """The video of an iteration's champion."""
        return self.videos / f"iteration-{iteration:06d}.mp4"

    @property
    def tensorboard(self) -> Path:
        """Folder of the event file for TensorBoard."""
        return self.root / "tensorboard"

    @property
    def plot(self) -> Path:
        """Plot of a finished run."""
        return self.root / "history.png"

    @property
    def history(self) -> Path:
        """History of a finished run as a table."""
        return self.root / "history.csv"

    def iteration(self, number: int) -> IterationLayout:
        return IterationLayout(self.iterations / f"{number:06d}")

    @staticmethod
    def iteration_number(name: str) -> int | None:
        """Number of an iteration's folder; ``None`` if the name is not one."""
        return int(name) if _ITERATION.fullmatch(name) else None

    def relative(self, path: Path) -> str:
        """A path as records contain it: relative to the root, with forward slashes."""
        return path.relative_to(self.root).as_posix()

    def resolve(self, relative: str) -> Path:
        """The absolute path of an agent that a record names.

        Raises:
            IncompatiblePool: it is no path of an agent, and might be outside of the pool.
        """
        if AGENT_PATH.fullmatch(relative) is None:
            raise IncompatiblePool(f"{self.root}: {relative!r} is no path of an agent")
        return self.root / relative
