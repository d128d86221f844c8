"""Check the pool of the clients, and write results/nfs.md."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

from poolrl.config.run_options import RunOptions
from poolrl.pool.directory import make_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.worker.loop import Worker
from tests.faults.checker import examine, same_history
from tests.faults.nfs import client

TARGET = Path(__file__).parents[3] / "results" / "nfs.md"

TEXT = """\
# Two NFS clients

What `tests/faults/nfs/run.sh` saw: three kernels of their own (user-mode Linux {kernel}), one an
NFS 4.2 server (knfsd, ext4, `sync`), two its clients ({mount}), on one machine with two cores. One
worker at a time on each client, of a pool of four branches with leases of {lease:g} s. For
{seconds:g} s workers are killed (SIGKILL) at random instants and started again; then client 2 is
killed as a machine, in the midst of a unit, and client 1 goes on alone.

| | |
|---|---|
| iterations | {iterations} |
| workers killed | {kills1} on client 1, {kills2} on client 2, and client 2 itself |
| files read as soon as they were listed | {watched1} on client 1, {watched2} on client 2 |
| of them torn | {torn} |
| units that the dead machine held | {held} |
| client 1 alone, from there | 5 iterations more in {alone:.1f} s, exit code {code} |
| lease markers that never yielded, there at the end | {stay} |
| deposits by host | {hosts} |
| violations that the independent checker finds | {violations} |
| merges | one an iteration, {merges} in all |
| champions | all {same}as those of one undisturbed worker on the local disk |
| other differences to its history, but for times, hosts and attempts | {differences} |

`poolrl doctor` on client 1:

```
{doctor}
```
"""


def main(out: Path) -> None:
    one = json.loads((out / "client1" / "numbers.json").read_text())
    two = json.loads((out / "client2" / "numbers.json").read_text())
    pool = out / "client1" / "pool"
    iterations = one["iterations"]
    local = out / "local"
    undisturbed = make_pool(local, client.spec(), RunOptions(iterations=client.ITERATIONS))  # type: ignore[arg-type]
    Worker(undisturbed, StopCriteria(iterations)).run()
    found, right = examine(pool, iterations=iterations), examine(local, iterations=iterations)
    assert right.violations == []
    hosts: dict[str, int] = {}
    for record in pool.glob("iterations/*/*-*.json"):
        if ".attempt-" not in record.name:
            host = json.loads(record.read_bytes())["worker"]["host"]
            hosts[host] = hosts.get(host, 0) + 1
    mount = (out / "client1" / "mount").read_text()
    text = TEXT.format(
        kernel=re.sub(r"-.*", "", (out / "client1" / "kernel").read_text().strip()),
        mount=f"`{re.sub(r',(client)?addr=.*', '', mount.split()[3])}`",
        lease=client.LEASE,
        seconds=float(os.environ["KILLS"]),
        iterations=iterations,
        kills1=one["kills"],
        kills2=two["kills"],
        watched1=one["watched"],
        watched2=two["watched"],
        torn=len(one["torn"]) + len(two["torn"]),
        held=", ".join(one["held"]) or "none",
        stay=one["stay"],
        alone=one["alone"],
        code=one["code"],
        hosts=", ".join(f"{host} {count}" for host, count in sorted(hosts.items())),
        violations=len(found.violations),
        merges=len(list(pool.glob("iterations/*/merge.json"))),
        same="the same, byte for byte, " if found.champions == right.champions else "NOT the same ",
        differences=len(same_history(pool, local)),
        doctor=(out / "client1" / "doctor").read_text().rstrip(),
    )
    TARGET.write_text(text)
    print(text)
    problems = [*found.violations, *one["torn"], *two["torn"], *same_history(pool, local)]
    if problems or found.champions != right.champions or one["code"]:
        sys.exit("\n".join(["the promises do not hold:", *problems]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
