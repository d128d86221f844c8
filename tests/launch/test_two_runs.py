"""Two runs of one pool at the same time, each of which ends by criteria of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolrl.launch.local import LocalWorkers
from poolrl.pool.directory import Pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.records.work_units import Unit
from poolrl.worker.loop import Worker
from tests.helpers.command_line import in_process
from tests.helpers.pools import champion_file


def test_a_run_ends_with_its_own_last_merge_where_another_goes_on(
    tiny_pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Worker(tiny_pool, StopCriteria(1)).run()
    closing = tiny_pool.layout.iteration(1).record(Unit(1, "closing", 0))
    late = closing.rename(tmp_path / "late")

    def supervise(self: LocalWorkers, progress: int = 0) -> int:
        if progress == 4:  # the run has seen what the other one did
            late.rename(closing)
            return 0
        Worker(tiny_pool, StopCriteria(3)).run()
        tiny_pool.layout.iteration(3).record(Unit(3, "closing", 0)).unlink()
        return 1

    monkeypatch.setattr(LocalWorkers, "start", lambda self, count: None)
    monkeypatch.setattr(LocalWorkers, "supervise", supervise)
    said = in_process("run", "--pool-directory", "pool", "--iterations", "1", cwd=tmp_path)
    assert (said.returncode, said.stderr) == (0, "")
    assert "ended after iteration 1: 1 iteration is done" in said.stdout
    assert "result: mean return" in said.stdout
    assert f"{champion_file(tmp_path / 'pool', 1).relative_to(tmp_path)}\n" in said.stdout
