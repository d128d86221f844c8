"""Hostile task ids and task arguments are refused with one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from poolrl import tasks
from poolrl.config.schema import World
from poolrl.errors import UsageError
from poolrl.tasks.check import try_task


@pytest.mark.parametrize(
    "task_id",
    ["~no_such_user/a.py:C", "/" * 5000 + ".py:C", "x" * 5000 + ":C", "./loop/a.py:C", "a..b:c"],
)
def test_ids_of_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task_id: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError):
        tasks.permit(World(id=tasks.absolute(task_id)), task_id)


@pytest.mark.parametrize("value", ["x" * 5000, "~no_such_user/x", "a\0b", "./loop"])
def test_arguments_that_are_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.chdir(tmp_path)
    kwargs = tasks.with_absolute_paths({"xml_file": value})
    with pytest.raises(UsageError):
        tasks.make(World(id="Swimmer-v5", kwargs=kwargs), 1)
    with pytest.raises(UsageError):
        tasks.make(World(id="CartPole-v1", kwargs={"x": value}), 1)


@pytest.mark.parametrize(
    ("task_id", "kwargs", "words"),
    [
        ("Plateau-v0", {"size": 10**15}, "size: expected 1 to"),
        ("Switches-v0", {"switches": -1}, "switches: expected 1 to"),
        ("Swimmer-v5", {"frame_skip": 10**9}, "frame_skip: expected 1 to"),
        ("Swimmer-v5", {"xml_file": "<mujoco/>"}, "Swimmer-v5 with these arguments"),
        ("Swimmer-v5", {"xml_file": "<mujoco><size memory='9E'/></mujoco>"}, "the model's XML"),
        ("Pendulum-v1", {"g": "x"}, "Pendulum-v1 with these arguments"),
    ],
)
def test_tasks_that_cannot_be(task_id: str, kwargs: dict[str, Any], words: str) -> None:
    world = World(id=task_id, kwargs=kwargs)
    with pytest.raises(UsageError) as error:
        try_task(tasks.make(world, 1), world)
    assert words in str(error.value)
