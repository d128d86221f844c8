"""What an analysis needs of a pool, in a small JSON file that is kept when the pool is gone.

Per iteration: the champion, its score, and by kind of unit the control steps and the seconds of
each phase, summed over its units. Seconds are rounded to four digits; hashes to 16 hexadecimal
digits, as in the names of agents' files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from poolrl.launch.cores import simulations
from poolrl.monitoring.history import WORK, History
from poolrl.pool.directory import Pool
from poolrl.provenance import versions
from poolrl.records.records import Seconds, UnitRecord
from poolrl.records.work_units import HASH_LENGTH

SERIAL = "merge"
"""The phase of the pool's overhead that one worker does for all; that of candidates, which make
their agents in it, is part of their units."""


class Units(msgspec.Struct, frozen=True, array_like=True):
    """Units of one kind in one iteration, or in several together.

    Attributes:
        count: number of units.
        training: control steps of training of each; a single number if all have as many.
        evaluation: control steps of evaluation, likewise.
        seconds: wall-clock and CPU seconds, summed over the units, by phase: ``training``,
            ``evaluation``, ``pool`` (overhead: load, look, claim, publish), ``merge``, ``waiting``.
    """

    count: int
    training: tuple[int, ...]
    evaluation: tuple[int, ...]
    seconds: dict[str, tuple[float, float]]

    @property
    def training_steps(self) -> list[int]:
        """Of each unit."""
        return _expanded(self.training, self.count)

    @property
    def evaluation_steps(self) -> list[int]:
        """Of each unit."""
        return _expanded(self.evaluation, self.count)

    def wall(self, phase: str) -> float:
        """Wall-clock seconds of a phase, of all units."""
        return self.seconds.get(phase, (0.0, 0.0))[0]

    def cpu(self, phase: str) -> float:
        """CPU seconds of a phase, of all units."""
        return self.seconds.get(phase, (0.0, 0.0))[1]


class Iteration(msgspec.Struct, frozen=True, omit_defaults=True):
    """A merged iteration.

    Attributes:
        number: of the iteration.
        champion: start of the SHA-256 of the agent that its merge named.
        units: by kind, in the order of the stages.
        score: of the champion, if it was measured: mean return of fresh episodes.
    """

    number: int
    champion: str
    units: dict[str, Units]
    score: float | None = None


class RunData(msgspec.Struct, frozen=True):
    """A run of a plan: what the analysis knows of it.

    Attributes:
        task, arm, seed: of the plan.
        branches: of an iteration.
        simulations: that a branch steps side by side at most: more threads have nothing to do.
        overlaps: whether the second stage of an iteration begins before the parent is evaluated.
        target: score that was searched for; ``None`` if there was none yet.
        score_every: seconds between champions that count, as the search used it.
        overhead: wall-clock and CPU seconds of the pool's overhead and of waiting, by phase, of the
            whole run.
        versions: of what the bits depend on.
        iterations: that were merged, in order.
    """

    task: str
    arm: str
    seed: int
    branches: int
    simulations: int
    overlaps: bool
    target: float | None
    score_every: float
    overhead: dict[str, tuple[float, float]]
    versions: dict[str, str]
    iterations: tuple[Iteration, ...]

    @property
    def single(self) -> bool:
        """Whether it is one process, which is charged for its training alone."""
        return self.branches == 1

    def charged(self, iteration: Iteration) -> float:
        """CPU seconds of an iteration that the arm pays for, as its records say: of one process
        those of training, of a pool all but waiting."""
        return sum(
            cpu
            for units in iteration.units.values()
            for phase, (_, cpu) in units.seconds.items()
            if (phase == "training" if self.single else phase != "waiting")
        )


def run_data(
    history: History,
    task: str,
    arm: str,
    seed: int,
    scores: dict[str, float | None],
    *,
    target: float | None,
    score_every: float,
) -> RunData:
    """What the analysis needs of a pool.

    Args:
        history: of the pool.
        task: of the plan.
        arm: of the plan.
        seed: of the plan.
        scores: by SHA-256 of the champions that were measured; ``None`` where one diverged.
        target: that was searched for.
        score_every: seconds between champions that count.
    """
    pool = history.pool
    iterations = [
        Iteration(
            number=merge.iteration,
            champion=merge.champion.sha256[:HASH_LENGTH],
            units=units_by_kind(history, [merge.iteration]),
            score=_rounded_score(scores.get(merge.champion.sha256)),
        )
        for merge in history.merges
    ]
    return RunData(
        task=task,
        arm=arm,
        seed=seed,
        branches=pool.spec.pool.count,
        simulations=simulations(pool.spec),
        overlaps=overlaps(pool),
        target=target,
        score_every=score_every,
        overhead=overhead(history.units),
        versions=versions(),
        iterations=tuple(iterations),
    )


def overlaps(pool: Pool) -> bool:
    """Whether a second stage begins once the branches are there, whatever the parent does: an
    update of shared experience, unlike candidates."""
    return str(pool.spec.merge.rule) == "update"


def units_by_kind(history: History, iterations: Iterable[int]) -> dict[str, Units]:
    """Units of iterations, by kind, without the closing evaluation.

    Args:
        history: of the pool.
        iterations: numbers of iterations.
    """
    there = set(iterations)
    kinds: dict[str, list[UnitRecord]] = {}
    for unit in history.units:
        if unit.iteration in there and unit.kind != "closing":
            kinds.setdefault(unit.kind, []).append(unit)
    played = {number: 0 for number in there}
    for unit in kinds.get("branch", ()):
        played[unit.iteration] += unit.training.environment_steps if unit.training else 0
    return {kind: _summed(units, played) for kind, units in kinds.items()}


def _summed(units: Sequence[UnitRecord], played: dict[int, int]) -> Units:
    """One kind of units.

    Args:
        units: of the kind.
        played: control steps of training of the branches, by iteration: what a unit that trains
            without being a branch has learned from.
    """
    seconds: dict[str, list[float]] = {}
    for unit in units:
        for phase, spent in unit.seconds.items():
            known = phase in (*WORK, SERIAL, "waiting")
            both = seconds.setdefault(phase if known else "pool", [0.0, 0.0])
            both[0] += spent.wall
            both[1] += spent.cpu
    return Units(
        count=len(units),
        training=_compressed([_training_steps(unit, played) for unit in units]),
        evaluation=_compressed([sum(u.evaluation.lengths) if u.evaluation else 0 for u in units]),
        seconds={
            phase: (_rounded(wall), _rounded(cpu))
            for phase, (wall, cpu) in seconds.items()
            if wall or cpu
        },
    )


def _training_steps(unit: UnitRecord, played: dict[int, int]) -> int:
    if unit.kind == "branch":
        return unit.training.environment_steps if unit.training else 0
    trained = unit.seconds.get("training", Seconds()).wall > 0
    return played[unit.iteration] if trained else 0


def overhead(units: Iterable[UnitRecord]) -> dict[str, tuple[float, float]]:
    """Wall-clock and CPU seconds of what is no work, by phase, the closing evaluation left out."""
    total: dict[str, list[float]] = {}
    for unit in units:
        for phase, seconds in unit.seconds.items():
            if phase not in WORK and unit.kind != "closing":
                both = total.setdefault(phase, [0.0, 0.0])
                both[0] += seconds.wall
                both[1] += seconds.cpu
    return {phase: (_rounded(wall), _rounded(cpu)) for phase, (wall, cpu) in total.items()}


def _compressed(values: Sequence[int]) -> tuple[int, ...]:
    return tuple(values[:1]) if len(set(values)) == 1 else tuple(values)


def _expanded(values: Sequence[int], count: int) -> list[int]:
    return list(values) * count if len(values) == 1 else list(values)


def _rounded(seconds: float) -> float:
    return float(f"{seconds:.4g}")


def _rounded_score(score: float | None) -> float | None:
    return None if score is None else round(score, 2)


# Files


def data_path(folder: Path, task: str, arm: str, seed: int) -> Path:
    """The file of a run; characters that names of files should not have become hyphens."""
    words = [re.sub(r"\W+", "-", word) for word in (task, arm)]
    return folder / f"{words[0]}-{words[1]}-{seed}.json"


def write_run(path: Path, run: RunData) -> None:
    """Write a run, an iteration a line, so that differences of versions can be read."""
    head = msgspec.json.encode(msgspec.structs.replace(run, iterations=())).decode()
    lines = ",\n".join(msgspec.json.encode(each).decode() for each in run.iterations)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{head.removesuffix(']}')}\n{lines}\n]}}\n")


def read_run(path: Path) -> RunData:
    """Read what ``write_run`` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=RunData)


def read_runs(folder: Path) -> list[RunData]:
    """All runs of a folder, by task, arm and seed."""
    found = [read_run(path) for path in folder.glob("*-*-*.json")]
    return sorted(found, key=lambda run: (run.task, run.arm, run.seed))
