"""Paths of models: absolute, and mapped where a file has moved."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolrl import tasks
from poolrl.config.schema import World
from poolrl.errors import UsageError
from poolrl.tasks.model_paths import ModelPaths
from tests.tasks.mujoco.anymal import write_scene

WORLD = World(id="AnymalC-v0", kwargs={"xml_file": "/gone/scene.xml"})


def test_a_model_is_loaded_from_its_new_path(tmp_path: Path) -> None:
    paths = ModelPaths()
    assert tasks.new_place(WORLD, model_paths=paths) is None
    with pytest.raises(UsageError, match=r"no such file: /gone/scene\.xml"):
        tasks.make(WORLD, 1, model_paths=paths)
    tasks.move_model(WORLD, {"xml_file": write_scene(tmp_path)}, model_paths=paths)
    assert tasks.new_place(WORLD, model_paths=paths) == str(tmp_path / "scene.xml")
    assert tasks.make(WORLD, 1, model_paths=paths).num_simulations == 1


def test_objects_share_no_paths(tmp_path: Path) -> None:
    paths = ModelPaths()
    tasks.move_model(WORLD, {"xml_file": write_scene(tmp_path)}, model_paths=paths)
    assert tasks.new_place(WORLD, model_paths=ModelPaths()) is None
    assert tasks.new_place(WORLD) is None
    assert paths.resolve("/other.xml") == "/other.xml"


@pytest.mark.parametrize(
    ("kwargs", "arguments", "words"),
    [
        ({"xml_file": "/a.xml"}, {"frame_skip": 2}, "--task-arg frame_skip: a pool's arguments"),
        ({"xml_file": "/a.xml"}, {"xml_file": 3}, "--task-arg xml_file: a pool's arguments"),
        ({}, {"xml_file": "/b.xml"}, "--task-arg xml_file: the pool's task, Swimmer-v5, names no"),
    ],
)
def test_other_arguments_are_refused(
    kwargs: dict[str, str], arguments: dict[str, object], words: str
) -> None:
    with pytest.raises(UsageError) as error:
        tasks.move_model(World(kwargs=kwargs), arguments, model_paths=ModelPaths())
    assert words in str(error.value)
