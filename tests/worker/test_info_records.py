"""Values of the task's ``info`` in the records of a pool."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from poolrl.config.run_options import RunOptions
from poolrl.errors import UsageError
from poolrl.monitoring.verify import verify_files
from poolrl.pool.directory import Pool, make_pool, open_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.records.evaluation import InfoRecord
from poolrl.records.records import UnitRecord
from poolrl.records.work_units import Unit
from poolrl.rollouts.episode_infos import EpisodeInfos
from poolrl.tasks.mujoco.hopper import Hopper
from poolrl.worker.loop import Worker
from poolrl.worker.recomputation import Recomputer
from tests.conftest import tiny_spec
from tests.helpers.damage import edit
from tests.helpers.pools import champions

HOPPER = {"task__id": "Hopper-v5", "task__max_episode_steps": 6}
BRANCH = Unit(1, "branch", 0)


def finished(root: Path, **spec: object) -> Pool:
    pool = make_pool(root, tiny_spec(**spec), RunOptions(keep="all"))
    Worker(pool, StopCriteria(1)).run()
    return pool


def record_of(pool: Pool, unit: Unit = BRANCH) -> UnitRecord:
    record = pool.deposit_store().record(unit)
    assert record is not None
    return record


def info_of(pool: Pool, unit: Unit = BRANCH) -> dict[str, InfoRecord]:
    evaluation = record_of(pool, unit).evaluation
    assert evaluation is not None
    return dict(evaluation.infos)


def path_of(pool: Pool) -> Path:
    return pool.layout.iteration(1).record(BRANCH)


def differences(pool: Pool) -> list[str]:
    verified = verify_files(pool)
    assert verified.discrepancies == []
    found = Recomputer(pool).differences(verified.units[BRANCH], verified.merges[0])
    return [str(each) for each in found]


def test_every_evaluation_has_a_value_an_episode(tmp_path: Path) -> None:
    pool = finished(tmp_path / "pool", **HOPPER)
    for unit, episodes in ((Unit(0, "initial", 0), 3), (BRANCH, 3), (Unit(1, "closing", 0), 5)):
        info = info_of(pool, unit)
        assert record_of(pool, unit).schema == 2
        assert list(info) == sorted(info)
        assert {name: each.aggregate for name, each in info.items()} == {
            "reward_ctrl": "sum",
            "reward_forward": "sum",
            "reward_survive": "sum",
            "x_position": "last",
            "x_velocity": "last",
            "z_distance_from_origin": "last",
        }
        assert {len(each.values) for each in info.values()} == {episodes}
    assert pool.spec.to_table()["evaluation"] == {"deterministic": True}
    assert "schema = 1" in pool.layout.spec.read_text()


def test_a_task_without_info_has_records_as_before(tmp_path: Path) -> None:
    pool = finished(tmp_path / "pool")
    assert record_of(pool).schema == 1
    assert b'"info"' not in path_of(pool).read_bytes()


def test_champions_do_not_depend_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = champions(finished(tmp_path / "with", **HOPPER))
    monkeypatch.setattr(EpisodeInfos, "_add", lambda *_: None)
    without = finished(tmp_path / "without", **HOPPER)
    assert info_of(without) == {}
    assert champions(without) == expected


def test_a_pool_may_name_other_aggregates(tmp_path: Path) -> None:
    named = {"evaluation__info": {"x_velocity": "max", "reward_forward": "mean", "nothing": "max"}}
    pool = finished(tmp_path / "pool", **HOPPER, **named)
    info = info_of(pool)
    assert (info["x_velocity"].aggregate, info["reward_forward"].aggregate) == ("max", "mean")
    assert "nothing" not in info
    assert "schema = 2" in pool.layout.spec.read_text()
    assert open_pool(pool.layout.root).spec == pool.spec
    assert differences(pool) == []
    plain = finished(tmp_path / "plain", **HOPPER)
    assert plain.spec_sha256 != pool.spec_sha256
    lengths = [
        evaluation.lengths
        for r in (record_of(pool), record_of(plain))
        if (evaluation := r.evaluation) is not None
    ]
    means = [
        f / n for f, n in zip(info_of(plain)["reward_forward"].values, lengths[0], strict=True)
    ]
    assert info["reward_forward"].values == pytest.approx(means)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"success": "best"}, "evaluation.info.success: unknown value 'best'; known: last, sum"),
        ({"success": 1}, "evaluation.info.success: expected str, got 1"),
        ({"a\nb": "max"}, r"evaluation.info: 'a\\nb' is no name of a value"),
        ({str(i): "max" for i in range(33)}, "evaluation.info: expected object of length <= 32"),
    ],
)
def test_wrong_names_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        tiny_spec(evaluation__info=given)


def test_records_of_earlier_versions_come_out_the_same(tmp_path: Path) -> None:
    pool = finished(tmp_path / "pool", **HOPPER)
    assert differences(pool) == []
    edit(path_of(pool), lambda record: record["evaluation"].pop("info"))
    edit(path_of(pool), lambda record: record.update(schema=1))
    assert record_of(pool).schema == 1
    assert differences(pool) == []


def test_another_value_is_a_difference(tmp_path: Path) -> None:
    pool = finished(tmp_path / "pool", **HOPPER)

    def change(record: dict[str, Any]) -> None:
        record["evaluation"]["info"]["x_position"]["values"][1] = None

    edit(path_of(pool), change)
    (found,) = differences(pool)
    assert "evaluation.info.x_position.values[1]: None recorded, " in found


def test_values_for_other_episodes_are_a_damaged_record(tmp_path: Path) -> None:
    pool = finished(tmp_path / "pool", **HOPPER)
    edit(path_of(pool), lambda r: r["evaluation"]["info"]["x_position"]["values"].append(1.0))
    found = [str(each) for each in verify_files(pool).discrepancies]
    assert any("has a value, or null, of each of its episodes" in each for each in found)


def test_what_is_left_out_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def info(self: Hopper) -> dict[str, Any]:
        return {f"k{i:02d}": self.qpos[:, 0] for i in range(34)}

    monkeypatch.setattr(Hopper, "info", info)
    with caplog.at_level(logging.WARNING, "poolrl.worker"):
        pool = finished(tmp_path / "pool", **HOPPER)
    assert len(info_of(pool)) == 32
    (said,) = [each for each in caplog.messages if "left out" in each]
    assert "left out: k32, k33; name those that you want in [evaluation.info]" in said
