"""Where everything in a pool directory is: every path a property, every name by one pattern."""

from __future__ import annotations

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

    def record(self, unit: Unit) -> Path:
        """The record, whose appearance is the deposit."""
        return self.folder / f"{unit.stem}.json"

    def lease(self, unit: Unit, copy: int = 0) -> Path:
        """Who is on it: advice. A unit that takes far longer than its siblings is done by a second
        worker too, whose lease is that of copy 1, and so on."""
        return self.folder / f"{unit.stem}{f'.copy-{copy}' if copy else ''}.lease"

    def agent(self, unit: Unit, sha256: str) -> Path:
        """The agent that the record names; equal content is equal name."""
        return self.folder / unit.agent_name(sha256)

    def attempt(self, unit: Unit, identifier: str) -> Path:
        """A try that failed for reasons of its worker."""
        return self.folder / f"{unit.stem}.attempt-{identifier}.json"

    @staticmethod
    def attempt_stem(name: str) -> str | None:
        """The stem of the unit that a file is an attempt at; ``None`` where it is no attempt."""
        match = _ATTEMPT.fullmatch(name)
        return match[1] if match else None

    @staticmethod
    def is_branch(name: str) -> bool:
        """Whether a file name is that of a branch's record."""
        return _BRANCH.fullmatch(name) is not None

    @staticmethod
    def taken(names: Iterable[str]) -> set[str]:
        """The stems of units that somebody has claimed and nobody deposited."""
        names = set(names)
        leased = {match[1] for name in names if (match := _LEASE.fullmatch(name))}
        return {stem for stem in leased if f"{stem}.json" not in names}

    @staticmethod
    def is_agent(name: str) -> bool:
        """Whether a file name is that of a deposited agent."""
        return _AGENT.fullmatch(name) is not None


@dataclass(frozen=True)
class Layout:
    """A pool directory."""

    root: Path

    @property
    def spec(self) -> Path:
        """The frozen specification."""
        return self.root / "pool.toml"

    @property
    def run(self) -> Path:
        """The options of the last run, for whoever joins it."""
        return self.root / "run.toml"

    @property
    def iterations(self) -> Path:
        return self.root / "iterations"

    @property
    def workers(self) -> Path:
        """Heartbeats, for whoever looks at the pool; no decision hangs on them."""
        return self.root / "workers"

    def heartbeat(self, worker: str) -> Path:
        """The heartbeat of one worker."""
        return self.workers / f"{worker}.json"

    @staticmethod
    def is_heartbeat(name: str) -> bool:
        """Whether a file name is that of a worker's heartbeat."""
        return _HEARTBEAT.fullmatch(name) is not None

    @property
    def jobs(self) -> Path:
        """What was submitted to a cluster for the pool."""
        return self.root / "jobs"

    def submission(self, job: str) -> Path:
        """What is known of a submission, by the id of its first job."""
        return self.jobs / f"{job}.json"

    @staticmethod
    def is_submission(name: str) -> bool:
        """Whether a file name is that of a submission."""
        return _SUBMISSION.fullmatch(name) is not None

    @property
    def script(self) -> Path:
        """The batch script of the last submission."""
        return self.root / "submit.sh"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def plot(self) -> Path:
        """Where a run leaves its plot."""
        return self.root / "history.png"

    @property
    def history(self) -> Path:
        """Where a run leaves its history as a table."""
        return self.root / "history.csv"

    def iteration(self, number: int) -> IterationLayout:
        return IterationLayout(self.iterations / f"{number:06d}")

    @staticmethod
    def iteration_number(name: str) -> int | None:
        """The number of an iteration's folder; ``None`` where the name is not one."""
        return int(name) if _ITERATION.fullmatch(name) else None

    def relative(self, path: Path) -> str:
        """A path as records name it: from the pool's root, with forward slashes."""
        return path.relative_to(self.root).as_posix()

    def resolve(self, relative: str) -> Path:
        """The file of an agent that a record names.

        Raises:
            IncompatiblePool: the name is none of an agent's, and may lead anywhere.
        """
        if AGENT_PATH.fullmatch(relative) is None:
            raise IncompatiblePool(f"{self.root}: {relative!r} is no path of an agent")
        return self.root / relative
