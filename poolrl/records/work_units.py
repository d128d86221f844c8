"""Units of work: (iteration, kind, index), and the table of their kinds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

from poolrl.config.merging import MergeSpec

KindName = Literal["branch", "parent", "closing", "initial", "mean", "candidate", "update"]


class Kind(NamedTuple):
    """A row in the table of kinds; all kinds share claim, deposit, takeover and record.

    Attributes:
        number: its part of the keys of seed streams; never changes.
        trains: whether it trains before it evaluates.
        reserved_seeds: whether it is evaluated on streams of its own, not on those of its
            iteration.
        second_stage: whether it is computed from the deposits that the sources of its iteration
            list.
    """

    number: int
    trains: bool
    reserved_seeds: bool
    second_stage: bool = False


KINDS: dict[KindName, Kind] = {
    "branch": Kind(0, trains=True, reserved_seeds=False),
    "parent": Kind(1, trains=False, reserved_seeds=False),
    "closing": Kind(2, trains=False, reserved_seeds=True),
    "initial": Kind(3, trains=False, reserved_seeds=False),
    "mean": Kind(4, trains=False, reserved_seeds=False),
    "candidate": Kind(5, trains=False, reserved_seeds=False, second_stage=True),
    "update": Kind(6, trains=True, reserved_seeds=False, second_stage=True),
}
"""All are units of work but ``mean``: its agent is made with the merge, and it has no record."""


HASH_LENGTH = 16
"""Hexadecimal digits of an agent's SHA-256 in its file name."""

AGENT_PATH = re.compile(
    r"iterations/[0-9]{6,9}/(?:branch|parent|closing|initial|mean|candidate|update)-[0-9]{3,6}-"
    rf"([0-9a-f]{{{HASH_LENGTH}}})\.safetensors"
)
"""Path of an agent, relative to the root; the group is the start of its SHA-256."""


@dataclass(frozen=True)
class Unit:
    """One unit of work."""

    iteration: int
    kind: KindName
    index: int

    @property
    def stem(self) -> str:
        """Common start of the names of its files, as in ``branch-003``."""
        return f"{self.kind}-{self.index:03d}"

    def agent_name(self, sha256: str) -> str:
        """File name of an agent that it deposits; equal content has an equal name."""
        return f"{self.stem}-{sha256[:HASH_LENGTH]}.safetensors"

    def rollout_path(self, sha256: str) -> str:
        """Path of the unit's rollout file, relative to the root of the pool."""
        return f"iterations/{self.iteration:06d}/{self.rollout_name(sha256)}"

    def rollout_name(self, sha256: str) -> str:
        """File name of a rollout that it deposits, as in ``rollout-003-….safetensors``."""
        return f"rollout-{self.index:03d}-{sha256[:HASH_LENGTH]}.safetensors"

    def agent_path(self, sha256: str) -> str:
        """Path of the same file, relative to the root."""
        return f"iterations/{self.iteration:06d}/{self.agent_name(sha256)}"

    @property
    def training_key(self) -> tuple[int, int, int]:
        """Key of the streams that it trains on."""
        return (self.iteration, KINDS[self.kind].number, self.index)

    @property
    def evaluation_key(self) -> tuple[int, int, int]:
        """Key of the streams that it is evaluated on; common to the units of an iteration."""
        if KINDS[self.kind].reserved_seeds:
            return self.training_key
        return (self.iteration, KINDS["parent"].number, 0)


def units_of(iteration: int, branches: int) -> list[Unit]:
    """The units that a merge waits for, without those of the second stage; the parent last, since
    it is the shortest."""
    if iteration == 0:
        return [Unit(0, "initial", 0)]
    units = [Unit(iteration, "branch", index) for index in range(branches)]
    return [*units, Unit(iteration, "parent", 0)]


def second_stage_of(iteration: int, rule: MergeSpec, done: int | None = None) -> list[Unit]:
    """The units of the second stage of an iteration.

    Args:
        iteration: its number.
        rule: of the pool's merges.
        done: number of branches that are done, by the sources; by default as many as are needed.
            An update is made of any, candidates of two.
    """
    if iteration == 0 or done == 0:
        return []
    if rule.shares_experience:
        return [Unit(iteration, "update", 0)]
    number = 0 if done == 1 else len(rule.candidates)
    return [Unit(iteration, "candidate", index) for index in range(number)]
