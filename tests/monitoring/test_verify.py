"""Verification of files: it finds the damage that the checker of the fault tests finds."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from poolrl.errors import IncompatiblePool
from poolrl.monitoring.verify import verify_files
from poolrl.pool.directory import open_pool
from poolrl.storage.store import Store
from tests.helpers import damage
from tests.helpers.damage import ITERATIONS, edit, finished, folder, loser
from tests.helpers.pools import snapshot

UNREAD = {"two_merge_files", "a_branch_too_many", "something_unknown"}
"""Plants that change nothing of what poolrl reads."""

PLANTS = [plant for plant in damage.PLANTS if plant.__name__ not in UNREAD]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(tmp_path_factory.mktemp("sound") / "pool")


@pytest.fixture
def pool(sound: Path, tmp_path: Path) -> Path:
    return shutil.copytree(sound, tmp_path / "pool")


def discrepancies(pool: Path) -> list[str]:
    return [str(each) for each in verify_files(open_pool(pool)).discrepancies]


def test_a_sound_pool_is_read_whole_and_left_as_it_is(sound: Path) -> None:
    before = snapshot(sound)
    verified = verify_files(open_pool(sound))
    assert verified.discrepancies == []
    assert len(verified.units) == 1 + 4 * ITERATIONS + 1
    assert list(verified.merges) == list(range(ITERATIONS + 1))
    assert snapshot(sound) == before


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_what_is_planted_is_found(pool: Path, plant: Callable[[Path], str]) -> None:
    iteration = re.match(r"(iterations/)?(\d{6})", plant(pool))
    before = snapshot(pool)
    found = discrepancies(pool)
    assert found
    if iteration is not None:
        assert any(f"iterations/{iteration[2]}" in each for each in found), found
    assert snapshot(pool) == before


def test_discrepancies_name_file_and_key(pool: Path) -> None:
    edit(folder(pool, 3) / "merge.json", lambda merge: merge.update(environment_steps=1))
    # The totals of later merges are compared with the changed one.
    first, second = discrepancies(pool)
    assert first == (
        "iterations/000003/merge.json: environment_steps: 1 recorded, 228 by the rules"
    )
    assert second.startswith("iterations/000004/merge.json: environment_steps: 300 recorded, ")


def test_a_later_schema_is_no_damage(pool: Path) -> None:
    edit(loser(pool, 2), lambda record: record.update(schema=9))
    with pytest.raises(IncompatiblePool, match="schema 9 is newer"):
        discrepancies(pool)


def test_losers_may_be_gone_and_damaged_files_set_aside(pool: Path) -> None:
    damage.agent_of(pool, loser(pool, 2)).unlink()
    (folder(pool, 2) / f"branch-000.json.corrupt-{'a' * 32}").write_bytes(b"")
    verified = verify_files(open_pool(pool))
    assert verified.discrepancies == []
    assert verified.set_aside == 1


def test_workers_may_be_running_meanwhile(pool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The last iteration is merged, and its losers' agents go, after its folder was listed.
    real, last = Store.names_in, folder(pool, ITERATIONS)
    damage.agent_of(pool, loser(pool, ITERATIONS)).unlink()

    def names_in(self: Store, path: Path) -> set[str]:
        late = {"merge.json", "closing-000.json"} if path == last else set()
        return real(self, path) - late

    monkeypatch.setattr(Store, "names_in", names_in)
    assert discrepancies(pool) == []
    (last / "merge.json").unlink()
    assert "missing" in discrepancies(pool)[0]
