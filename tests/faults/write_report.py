"""Cause every fault of file systems, and write the results to results/faults.md.

    python -m tests.faults.write_report [--cuts 40]

Needs root. Takes some minutes.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.faults import file_system_cases, lease_cases, power_cuts, scenarios
from tests.faults.file_systems import ext4, why_no_mounts
from tests.faults.scenarios import Case

TARGET = Path(__file__).parents[2] / "results" / "faults.md"

HEAD = """\
# Faults of file systems

What `python -m tests.faults.write_report` saw on {system}; the tests in `tests/faults` hold each
row to its promise. A pool of three branches, {iterations} iterations of some 0.3 s, two workers,
leases of {lease} s. *Champion as undisturbed*: every iteration's champion has the SHA-256 that it
has in an undisturbed run. *All records still there*: byte for byte.

| fault | command | last line printed | exit code | left in the pool | then |
|---|---|---|---|---|---|
"""

CUTS = """
## Power cuts

ext4 on a loop device, shut down without flushing (`EXT4_IOC_SHUTDOWN`) at a random instant while
two workers work on a pool there, mounted again, resumed. What workers had logged as deposited, and
the merges that they had gone on from, must be there and whole.

| workers | cuts | at deposit | deposits logged | of them lost | same champion after |
|---|---|---|---|---|---|
"""


def cases() -> list[Callable[[Path], Case]]:
    """All cases but the power cuts; each is called with an empty directory."""
    return [
        *(cause for cause, _ in file_system_cases.WHEN_MADE.values()),
        *(
            lambda f, call=call: file_system_cases.lacking(f, call)
            for call in file_system_cases.LACKING
        ),
        *(cause for cause, _ in file_system_cases.MIDWAY.values()),
        *(lambda f, e=e: lease_cases.empty(f, exchange=e) for e in (True, False)),
        *(lambda f, e=e: lease_cases.dead(f, exchange=e) for e in (True, False)),
    ]


def row(*cells: object) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |\n"


def cut(seed: int, *, careless: bool) -> tuple[power_cuts.Cut, bool]:
    """One power cut, and whether the pool then ended as without it."""
    with (
        tempfile.TemporaryDirectory() as name,
        ext4(Path(name), commit_seconds=3600 if careless else 5) as system,
    ):
        seen = power_cuts.power_cut(system, Path(name), seed, careless=careless)
        if not careless:
            scenarios.finish(system.point, scenarios.deposits(system.point / scenarios.POOL))
        return seen, not careless


def cuts_row(workers: str, cuts: list[tuple[power_cuts.Cut, bool]]) -> str:
    times = [seen.after for seen, _ in cuts]
    return row(
        workers,
        len(cuts),
        f"{min(times)} to {max(times)}",
        sum(len(seen.logged) for seen, _ in cuts),
        sum(len(seen.lost) for seen, _ in cuts),
        sum(ended for _, ended in cuts) or "not tried",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=40, help="power cuts")
    parser.add_argument("--only-cuts", action="store_true", help="leave the rest as it is")
    arguments = parser.parse_args()
    cuts = arguments.cuts
    if why_no_mounts():
        parser.error(why_no_mounts())
    system = f"Linux {platform.release().split('-')[0]}"
    text = HEAD.format(system=system, iterations=scenarios.ITERATIONS, lease=scenarios.LEASE)
    if arguments.only_cuts:
        text = TARGET.read_text().partition(CUTS[:16])[0]
    for cause in [] if arguments.only_cuts else cases():
        with tempfile.TemporaryDirectory() as name:
            case = cause(Path(name))
        text += row(
            case.fault, f"`{case.command}`", f"`{case.printed}`", case.code, case.left, case.ended
        )
        print(text.splitlines()[-1], flush=True)
    text += CUTS
    text += cuts_row("as they are", [cut(seed, careless=False) for seed in range(cuts)])
    text += cuts_row(
        "without fsync, to see that it shows",
        [cut(seed, careless=True) for seed in range(min(cuts, 5))],
    )
    TARGET.write_text(text)


if __name__ == "__main__":
    main()
