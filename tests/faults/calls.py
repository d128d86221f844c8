"""Cause a fault at every file-system call of a worker, one after the other.

    python -m tests.faults.calls --full --output results/faults-calls.md

For every call in every situation (``situations.py``): the process is killed before or after it,
the call fails once with each of four errors, a server executes it and its reply is lost, or the
disk is full from then on. Then other workers finish the pool, and ``checker.py``, which only reads
the files, checks the pool's guarantees and compares the pool with an undisturbed one.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import queue
import random
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from poolrl import threads
from tests.faults import shim
from tests.faults.server import Case, Outcome
from tests.faults.shim import Call, Mode
from tests.faults.situations import SITUATIONS

ERRORS = (errno.ENOSPC, errno.EIO, errno.ESTALE, errno.EACCES)

BATCH = 250
"""Cases between two lines of progress."""

Calls = dict[str, list[Call]]


def cases_of(name: str, calls: list[Call]) -> Iterator[Case]:
    """Every case of a situation."""
    for number, call in enumerate(calls, start=1):
        yield Case(name, number, Mode.KILL_BEFORE)
        yield Case(name, number, Mode.KILL_AFTER)
        for error in ERRORS:
            yield Case(name, number, Mode.FAIL, error)
        if call.has_reply:
            yield Case(name, number, Mode.LOSE_REPLY)
        if call.needs_space:
            yield Case(name, number, Mode.FULL_DISK, errno.ENOSPC)


def title(case: Case) -> str:
    """A case's mode in words."""
    if case.mode == Mode.FAIL:
        return f"fails once, {errno.errorcode[case.error]}"
    return {
        Mode.KILL_BEFORE: "killed before",
        Mode.KILL_AFTER: "killed after",
        Mode.LOSE_REPLY: "done, reply lost",
        Mode.FULL_DISK: "disk full from here",
    }[case.mode]


def print_problems(case: Case, outcome: Outcome, call: Call) -> None:
    """Print the problems of a case, and the option that runs it alone."""
    arguments = f"{case.situation},{case.number},{int(case.mode)},{case.error}"
    print(f"--case '{arguments}': {title(case)}: {call.name} {call.path}: {outcome.ended}")
    print("".join(f"    {problem}\n" for problem in outcome.problems), end="")


class Harness:
    """Server processes, each with the shim loaded."""

    def __init__(self, folder: Path, processes: int, plant: str) -> None:
        library = shim.build(folder)
        environment = {
            **os.environ,
            "LD_PRELOAD": str(library),
            "PYTHONDONTWRITEBYTECODE": "1",
            **dict.fromkeys(threads.VARIABLES, "1"),
        }
        command = [sys.executable, "-m", "tests.faults.server"]
        self._servers = [
            subprocess.Popen(
                [*command, str(folder / f"server-{number}"), plant],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=Path(__file__).parents[2],
                env=environment,
                text=True,
            )
            for number in range(processes)
        ]

    def record(self, names: Iterable[str] = SITUATIONS) -> Calls:
        """The calls of the situations' processes."""
        requests = [{"record": name} for name in names]
        answers = self._ask_all(requests)
        return {
            request["record"]: [Call(*fields) for fields in answer]
            for request, answer in zip(requests, answers, strict=True)
        }

    def run(self, cases: list[Case]) -> list[Outcome]:
        """Run cases in any order; outcomes in the order of the cases."""
        return [Outcome(**answer) for answer in self._ask_all([asdict(case) for case in cases])]

    def _ask_all(self, requests: list[dict[str, Any]]) -> list[Any]:
        waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        for index in range(len(requests)):
            waiting.put(index)
        answers: list[Any] = [None] * len(requests)

        def serve(server: subprocess.Popen[str]) -> None:
            assert server.stdin is not None
            assert server.stdout is not None
            while True:
                try:
                    index = waiting.get_nowait()
                except queue.Empty:
                    return
                print(json.dumps(requests[index]), file=server.stdin, flush=True)
                line = server.stdout.readline()
                if not line:  # the server has died; its request has no answer
                    return
                answers[index] = json.loads(line)

        threads = [threading.Thread(target=serve, args=(server,)) for server in self._servers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for request, answer in zip(requests, answers, strict=True):
            if answer is None:
                raise RuntimeError(f"no answer to {request}: a server died")
        return answers

    def close(self) -> None:
        for server in self._servers:
            server.communicate()


@contextmanager
def harness(processes: int = 1, plant: str = "") -> Iterator[Harness]:
    """A harness on a file system in memory, if there is one, where fsync is fast.

    Args:
        processes: the number of servers.
        plant: a defect of ``plants.py``; none by default.

    Raises:
        shim.Unavailable: the shim cannot be built; the message says why.
    """
    memory = Path("/dev/shm")
    where = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="poolrl-faults-", dir=where) as folder:
        running = Harness(Path(folder), processes, plant)
        try:
            yield running
        finally:
            running.close()


def sample(cases: list[Case], size: int, seed: int) -> list[Case]:
    """A sample of the cases, or all, from each mode and situation in turn."""
    groups: dict[tuple[str, str], list[Case]] = defaultdict(list)
    for case in cases:
        groups[case.situation, title(case)].append(case)
    generator = random.Random(seed)
    chosen: list[Case] = []
    shuffled = list(groups.values())
    generator.shuffle(shuffled)
    for group in shuffled:
        generator.shuffle(group)
    while len(chosen) < min(size, len(cases)):
        chosen += [group.pop() for group in shuffled if group]
    return chosen[:size]


def report(
    command: str,
    calls: Calls,
    cases: list[Case],
    outcomes: list[Outcome],
    every: int,
    seconds: float,
) -> str:
    """The coverage and the outcomes, as Markdown.

    Args:
        command: that it is the report of.
        calls: by situation.
        cases: those that were run.
        outcomes: of the cases.
        every: the number of all cases.
        seconds: the duration.
    """
    hit = [(case, outcome) for case, outcome in zip(cases, outcomes, strict=True) if outcome.hit]
    broken = sum(bool(outcome.problems) for outcome in outcomes)
    kinds = Counter(call.name for listed in calls.values() for call in listed)
    lines = [
        "# Faults by call",
        "",
        f"Written by `{command}`.",
        "Every file-system call is hit: the process is killed before it or after it, it fails",
        "once with one of four errors, or is done and its reply lost, or the disk is full from",
        "there on. Each time one or two others bring the pool to its end, and it is held against",
        "the promises and against an undisturbed pool.",
        "",
        f"**{sum(map(len, calls.values())):,} calls, {len(cases):,} of {every:,} cases, "
        f"{len(hit):,} of them hit, {broken} with a broken promise**; {seconds / 60:.0f} minutes.",
        "",
        "| situation | calls | faults that hit | broken |",
        "|---|---:|---:|---:|",
    ]
    for name, listed in calls.items():
        mine = [outcome for case, outcome in hit if case.situation == name]
        bad = sum(bool(outcome.problems) for outcome in mine)
        lines.append(f"| {SITUATIONS[name].what} | {len(listed):,} | {len(mine):,} | {bad} |")
    lines += [
        "",
        "How the process ended that was hit: it *went on* to the end, or said *one line*, after",
        "which the same command goes on.",
        "",
        "| fault | hit | killed | went on | one line | otherwise | broken |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for mode in dict.fromkeys(map(title, sorted(cases, key=lambda c: (c.mode, c.error)))):
        mine = [outcome for case, outcome in hit if title(case) == mode]
        ends = Counter(outcome.ended for outcome in mine)
        known = [ends.pop(end, 0) for end in ("killed", "done", "refused")]
        counts = [len(mine), *known, ends.total(), sum(bool(o.problems) for o in mine)]
        lines.append(f"| {mode} | {' | '.join(f'{count:,}' for count in counts)} |")
    listed = ", ".join(f"{name} {count:,}" for name, count in kinds.most_common())
    lines += ["", f"The calls by name: {listed}.", ""]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--full", action="store_true", help="every case, not a sample")
    parser.add_argument("--sample", type=int, default=200, help="how many cases otherwise")
    parser.add_argument("--minutes", type=float, help="begin no more cases after so long")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--situation", action="append", choices=SITUATIONS, help="these alone")
    parser.add_argument("--case", help="one: situation, number, mode, error; as failures print it")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--output", type=Path, help="write the report here")
    options = parser.parse_args()
    started = time.monotonic()
    with harness(options.processes) as running:
        if options.case:
            name, number, mode, error = options.case.split(",")
            cases = [Case(name, int(number), Mode(int(mode)), int(error))]
            calls = running.record([name])
        else:
            calls = running.record(options.situation or SITUATIONS)
            cases = [case for name, listed in calls.items() for case in cases_of(name, listed)]
            cases = sample(cases, len(cases) if options.full else options.sample, options.seed)
        print(f"{sum(map(len, calls.values()))} calls, {len(cases)} cases", flush=True)
        every, outcomes = len(cases), []
        for first in range(0, len(cases), BATCH):
            if options.minutes and time.monotonic() - started > 60 * options.minutes:
                cases = cases[:first]
                break
            batch = cases[first : first + BATCH]
            outcomes += running.run(batch)
            for case, outcome in zip(batch, outcomes[first:], strict=True):
                if outcome.problems or options.case:
                    print_problems(case, outcome, calls[case.situation][case.number - 1])
            print(f"{len(outcomes)} done in {time.monotonic() - started:.0f} s", flush=True)
    command = shlex.join(["python", "-m", "tests.faults.calls", *sys.argv[1:]])
    text = report(command, calls, cases, outcomes, every, time.monotonic() - started)
    print(text)
    if options.output:
        options.output.write_text(text)
    return any(outcome.problems for outcome in outcomes)


if __name__ == "__main__":
    sys.exit(main())
