"""Tasks are closed by their owners."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box

from poolrl import tasks
from poolrl.config.schema import Randomization, World
from poolrl.errors import UsageError
from poolrl.tasks import listing
from poolrl.tasks.base import Task
from poolrl.tasks.check import check_task
from poolrl.tasks.variants import with_variants

COUNTED = """\
from pathlib import Path
import gymnasium
import numpy as np
from gymnasium.spaces import Box

FOLDER = Path(__file__).parent

def note(event):
    with open(FOLDER / event, "a") as file:
        file.write("x")

class Counted(gymnasium.Env):
    '''Counts the environments that are made and closed.'''
    observation_space = action_space = Box(-1, 1, (1,), np.float32)
    metadata = {}

    def __init__(self, most=1000, space=1, close="", forget=False):
        if len(events("made")) >= most:
            raise RuntimeError("no licence is left")
        note("made")
        self.on_close = close
        if not space:
            self.observation_space = Box(0, 255, (8, 8, 3), np.uint8)
        self.steps, self.forget, self.closed = 0, forget, False

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        if self.forget:
            return None
        return np.zeros(1, np.float32), 0.0, False, False, {}

    def close(self):
        if not self.closed:
            note("closed")
        self.closed = True
        if self.on_close:
            raise ValueError(self.on_close)

def events(event):
    path = FOLDER / event
    return path.read_text() if path.exists() else ""
"""


class Files:
    """A file with an environment that counts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "counted.py").write_text(COUNTED)
        self.id = f"{folder / 'counted.py'}:Counted"

    def count(self, event: str) -> int:
        path = self.folder / event
        return len(path.read_text()) if path.exists() else 0

    def all_closed(self) -> bool:
        assert self.count("made") > 0
        return self.count("made") == self.count("closed")

    def world(self, **kwargs: Any) -> World:
        world = World(id=self.id, max_episode_steps=5, kwargs=kwargs)
        return tasks.permit(world, self.id)


@pytest.fixture
def counted(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_a_task_closes_all_of_its_environments_once(counted: Files) -> None:
    world = counted.world()
    task = tasks.make(world, 3)
    assert counted.count("closed") == 0
    task.close()
    task.close()
    assert counted.count("made") == counted.count("closed") == 3


def test_one_that_fails_keeps_no_other_open(counted: Files, caplog: Any) -> None:
    world = counted.world(close="the port is gone")
    task = tasks.make(world, 3)
    with caplog.at_level(logging.WARNING):
        tasks.close(task, world)
    assert counted.all_closed()
    (record,) = caplog.records
    assert "could not be closed" in record.message
    assert "counted.py:" in record.message
    assert "ValueError: the port is gone" in record.message
    assert "\n" not in record.message


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [({"most": 2}, "no licence is left"), ({"space": 0}, "observes images")],
)
def test_a_task_that_cannot_be_made_leaves_nothing(
    counted: Files, kwargs: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        tasks.make(counted.world(**kwargs), 3)
    assert counted.all_closed()


def test_nor_does_one_without_a_time_limit(counted: Files) -> None:
    world = tasks.permit(World(id=counted.id), counted.id)
    with pytest.raises(UsageError, match="no time limit"):
        tasks.make(world, 1)
    assert counted.all_closed()


@pytest.mark.parametrize(
    "fields",
    [{"mask_velocities": True}, {"randomize": {"gravity": Randomization(scale=(0.9, 1.1))}}],
)
def test_nor_one_whose_variant_is_refused(counted: Files, fields: dict[str, Any]) -> None:
    world = World(id=counted.id, max_episode_steps=5, **fields)
    with pytest.raises(UsageError):
        tasks.make(tasks.permit(world, counted.id), 2)
    assert counted.all_closed()


@pytest.mark.parametrize("kwargs", [{}, {"forget": True}, {"close": "broken"}])
def test_the_check_closes_what_it_makes(counted: Files, kwargs: dict[str, Any]) -> None:
    world = counted.world(**kwargs)
    if "forget" in kwargs:
        with pytest.raises(UsageError):
            check_task(world)
    else:
        check_task(world)
    assert counted.all_closed()


def test_so_does_a_description(counted: Files) -> None:
    listing.describe(counted.world())
    assert counted.all_closed()


def test_variants_and_vector_environments_pass_it_on(counted: Files) -> None:
    world = counted.world()
    inner = tasks.make(world, 1)
    with_variants(inner, World(id="x", action_repeat=2)).close()
    assert counted.all_closed()
    counted.world()
    environments: gymnasium.vector.VectorEnv[Any, Any, Any] = tasks.make_vec(
        counted.id, 2, max_episode_steps=5
    )
    environments.close()
    environments.close()
    assert counted.all_closed()


class Threshold(Task):
    """Has a number where ``close`` is expected."""

    def __init__(self, num_simulations: int, *, max_episode_steps: int = 5) -> None:
        self.num_simulations, self.max_episode_steps = num_simulations, max_episode_steps
        self.observation_space = self.action_space = Box(-1, 1, (1,), np.float64)
        self.close = 0.5  # type: ignore[assignment,method-assign]

    def reset(self, ids: Any, generators: Any) -> None: ...

    def observe(self) -> Any: ...

    def step(self, action: Any, ids: Any = None) -> Any: ...


def test_an_attribute_named_close_is_left_alone(caplog: Any) -> None:
    tasks.close(Threshold(1), World(id="x"))
    assert not caplog.records


def test_a_command_says_in_one_line_what_could_not_be_closed(counted: Files) -> None:
    command = [sys.executable, "-m", "poolrl", "run", "--pool-directory", "p", "--workers", "1"]
    command += ["--task", counted.id, "--task-arg", "close=broken", "--pool-count", "1"]
    command += ["--set", "task.max_episode_steps=4", "--iterate-episodes", "2"]
    command += ["--iterations", "1", "--evaluate-episodes", "2", "--set", "pool.closing_episodes=2"]
    said = subprocess.run(command, cwd=counted.folder, capture_output=True, text=True, check=True)
    assert "result: mean return" in said.stdout
    (line,) = said.stderr.splitlines()
    assert "could not be closed" in line
    assert "ValueError: broken" in line
    assert counted.all_closed()
