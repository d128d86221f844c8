"""Tasks by id."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
import tomli_w

from poolrl import tasks
from poolrl.config import tables
from poolrl.config.schema import Spec, TaskSpec
from poolrl.config.validation import convert
from poolrl.errors import UsageError
from poolrl.tasks.registry import like, takes

INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("task_id", "kwargs", "words"),
    [
        ("Swimer-v5", {}, ["task.id", "'Swimer-v5'", "did you mean Swimmer-v5"]),
        ("zzz", {}, ["task.id", "'zzz'", "known ids", "Swimmer-v5"]),
        ("Swimmer-v5", {"frame_skp": 3}, ["task.kwargs.frame_skp", "frame_skip"]),
        ("Swimmer-v5", {"frame_skip": "a"}, ["task.kwargs.frame_skip", "int", "'a'"]),
        ("Swimmer-v5", {"frame_skip": 0}, ["task.kwargs.frame_skip", "1 to 10000"]),
        ("Hopper-v5", {"healthy_z_range": [0.7]}, ["task.kwargs.healthy_z_range", "2 values"]),
        ("Hopper-v5", {"healthy_z_range": [0, "a"]}, ["healthy_z_range[1]", "float", "'a'"]),
        ("Hopper-v5", {"healthy_z_range": [0, NAN]}, ["healthy_z_range[1]", "finite"]),
        ("Hopper-v5", {"healthy_reward": INF}, ["task.kwargs.healthy_reward", "finite"]),
        ("Hopper-v5", {"healthy_reward": NAN}, ["task.kwargs.healthy_reward", "finite"]),
        ("Ant-v5", {"main_body": 1.5}, ["task.kwargs.main_body", "int", "1.5"]),
        ("Swimmer-v5", {"xml_file": "/no/such.xml"}, ["task.kwargs.xml_file", "/no/such.xml"]),
    ],
)
def test_what_is_wrong_is_named(task_id: str, kwargs: dict[str, object], words: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        tasks.make(task_id, 1, kwargs=kwargs)
    for word in words:
        assert word in str(error.value)


def test_a_model_that_does_not_compile_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.xml"
    path.write_text("<mujoco><worldbody><geom type='blob'/></worldbody></mujoco>")
    with pytest.raises(UsageError, match=r"task\.kwargs\.xml_file: .*bad\.xml: ") as error:
        tasks.make("Swimmer-v5", 1, kwargs={"xml_file": str(path)})
    assert "\n" not in str(error.value)


def test_whole_numbers_serve_as_floats() -> None:
    tasks.make("Swimmer-v5", 1, kwargs={"forward_reward_weight": 2})


def test_lists_serve_as_tuples_whose_ends_may_be_infinite() -> None:
    assert like((0.7, INF), [1, 2], "key") == (1.0, 2.0)
    assert like((0.7, 1.0), [-INF, INF], "key") == (-INF, INF)


def test_an_argument_may_be_of_several_types() -> None:
    for body in (1, "torso"):
        tasks.make("Ant-v5", 1, kwargs={"main_body": body})
    assert takes("int | str", 1)
    assert takes(int | str, "a")
    assert not takes("int | str", True)
    assert not takes(int, "a")


def test_an_infinite_range_goes_through_a_file() -> None:
    kwargs = {"healthy_z_range": [0.8, INF]}
    spec = Spec(task=TaskSpec(id="Hopper-v5", kwargs=kwargs))
    table = tomllib.loads(tomli_w.dumps(tables.without_none(spec.to_table())))
    assert tables.sha256(table) == tables.sha256(spec.to_table())
    again = convert(table, Spec)
    assert again.task.kwargs == kwargs
    tasks.make(again.task, 1)


def test_fingerprints_are_those_of_the_model() -> None:
    swimmer = tasks.fingerprint(tasks.make("Swimmer-v5", 1))
    assert swimmer == tasks.fingerprint(tasks.make("Swimmer-v5", 7))
    assert len(swimmer) == 64
    assert tasks.fingerprint(tasks.make("Plateau-v0", 1)) == ""


def test_plateau_is_highest_at_its_target() -> None:
    task = tasks.make("Plateau-v0", 2, max_episode_steps=3)
    task.reset(np.arange(2), [np.random.default_rng(i) for i in range(2)])
    best = task.step(task.observe())
    assert best.reward == pytest.approx(1.0)
    assert not best.truncated.any()
    task.step(task.observe())
    assert task.step(task.observe() + 0.1).truncated.all()


def test_a_models_path_means_the_same_file_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"xml_file": "./mine.xml", "frame_skip": 2}
    assert tasks.with_absolute_paths(given) == {
        "xml_file": str(tmp_path / "mine.xml"),
        "frame_skip": 2,
    }
    for unchanged in ({}, {"xml_file": "swimmer.xml"}, {"xml_file": "/a/b.xml"}):
        assert tasks.with_absolute_paths(unchanged) == unchanged
