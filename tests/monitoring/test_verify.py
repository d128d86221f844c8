"""Files held against the rules: what the checker of the fault tests must find, verify finds too."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from poolrl.errors import IncompatiblePool
from poolrl.monitoring import verify
from poolrl.monitoring.verify import examine
from poolrl.pool.directory import open_pool
from poolrl.storage import store
from tests.faults import test_checker as planted
from tests.faults.test_checker import ITERATIONS, edit, finished, folder, loser
from tests.pool.test_directory import snapshot

UNREAD = {"two_merge_files", "a_branch_too_many", "something_unknown"}
"""Plants that change nothing of what poolrl reads."""

PLANTS = [plant for plant in planted.PLANTS if plant.__name__ not in UNREAD]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(tmp_path_factory.mktemp("sound") / "pool")


@pytest.fixture
def pool(sound: Path, tmp_path: Path) -> Path:
    return shutil.copytree(sound, tmp_path / "pool")


def findings(pool: Path) -> list[str]:
    return [str(finding) for finding in examine(open_pool(pool)).findings]


def test_a_sound_pool_is_read_whole_and_left_as_it_is(sound: Path) -> None:
    before = snapshot(sound)
    examined = examine(open_pool(sound))
    assert examined.findings == []
    assert len(examined.units) == 1 + 4 * ITERATIONS + 1
    assert list(examined.merges) == list(range(ITERATIONS + 1))
    assert snapshot(sound) == before


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_what_is_planted_is_found(pool: Path, plant: Callable[[Path], str]) -> None:
    iteration = re.match(r"(iterations/)?(\d{6})", plant(pool))
    before = snapshot(pool)
    found = findings(pool)
    assert found
    if iteration is not None:
        assert any(f"iterations/{iteration[2]}" in finding for finding in found), found
    assert snapshot(pool) == before


def test_findings_name_file_and_key(pool: Path) -> None:
    edit(folder(pool, 3) / "merge.json", lambda merge: merge.update(environment_steps=1))
    # The totals of what follows are held against what stands there.
    first, second = findings(pool)
    assert first == (
        "iterations/000003/merge.json: environment_steps: 1 recorded, 228 by the rules"
    )
    assert second.startswith("iterations/000004/merge.json: environment_steps: 300 recorded, ")


def test_a_later_schema_is_no_damage(pool: Path) -> None:
    edit(loser(pool, 2), lambda record: record.update(schema=9))
    with pytest.raises(IncompatiblePool, match="schema 9 is newer"):
        findings(pool)


def test_losers_may_be_gone_and_damaged_files_set_aside(pool: Path) -> None:
    planted.agent_of(pool, loser(pool, 2)).unlink()
    (folder(pool, 2) / f"branch-000.json.corrupt-{'a' * 32}").write_bytes(b"")
    examined = examine(open_pool(pool))
    assert examined.findings == []
    assert examined.set_aside == 1


def test_a_pool_may_be_at_work_meanwhile(pool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The last iteration is merged, and its losers' agents go, after we have listed its folder.
    real, last = store.names_in, folder(pool, ITERATIONS)
    planted.agent_of(pool, loser(pool, ITERATIONS)).unlink()

    def names_in(path: Path) -> set[str]:
        late = {"merge.json", "closing-000.json"} if path == last else set()
        return real(path) - late

    monkeypatch.setattr(verify.store, "names_in", names_in)
    assert findings(pool) == []
    (last / "merge.json").unlink()
    assert "missing" in findings(pool)[0]
