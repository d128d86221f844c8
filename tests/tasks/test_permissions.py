"""A user's own task: found, permitted and run, with errors that name its line."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from poolrl import tasks, trusted_code
from poolrl.config.schema import World
from poolrl.errors import IncompatiblePool, UsageError
from poolrl.tasks.base import Task
from poolrl.trusted_code import TrustedCode

EXAMPLES = Path(__file__).parents[2] / "examples"

SOURCE = """\
from pathlib import Path
from poolrl.tasks.identity import Plateau
(Path(__file__).parent / "ran").touch()
class Mine(Plateau):
    def __init__(self, n, *, max_episode_steps=7, size=3):
        super().__init__(n, max_episode_steps=max_episode_steps, size=size)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A task whose import leaves a marker."""
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    return path


def ran(file: Path) -> bool:
    return (file.parent / "ran").exists()


def test_a_file_that_is_named_is_run(file: Path) -> None:
    task_id = f"{file}:Mine"
    world = tasks.permit(World(id=task_id, kwargs={"size": 5}), task_id)
    assert world.source_sha256 == hashlib.sha256(SOURCE.encode()).hexdigest()
    task = tasks.make(world, 2)
    assert task.observation_space.shape == (5,)
    assert task.max_episode_steps == 7
    with pytest.raises(UsageError, match=r"task\.kwargs\.siz: unknown argument .* known: size"):
        tasks.make(World(id=task_id, kwargs={"siz": 5}), 2)


def test_nothing_runs_that_is_not_named(file: Path) -> None:
    world = World(id=f"{file}:Mine")
    with pytest.raises(UsageError, match=r"add --task .*mine\.py:Mine, or --trust"):
        tasks.permit(world)
    with pytest.raises(UsageError, match="must be named on the command line"):
        tasks.make(world, 1)
    with pytest.raises(UsageError, match=r"--task Swimmer-v5: the task is .*mine\.py:Mine"):
        tasks.permit(world, "Swimmer-v5")
    with pytest.raises(UsageError, match=r"--task .*:Other: the task is"):
        tasks.permit(world, f"{file}:Other", trust=True)
    assert not ran(file)
    tasks.permit(world, trust=True)
    assert ran(file)


def test_another_content_is_refused_before_it_runs(file: Path) -> None:
    recorded = World(id=f"{file}:Mine", source_sha256="0" * 64)
    with pytest.raises(IncompatiblePool) as error:
        tasks.permit(recorded, recorded.id)
    assert "0" * 64 in str(error.value)
    assert trusted_code.sha256(recorded.id, "task.id") in str(error.value)
    assert not ran(file)


def test_what_runs_is_what_was_hashed(file: Path) -> None:
    world = tasks.permit(World(id=f"{file}:Mine"), trust=True)
    file.write_text(SOURCE.replace("size=3", "size=4"))
    assert tasks.make(world, 1).observation_space.shape == (3,)
    newer = tasks.permit(World(id=f"{file}:Mine"), trust=True)
    assert tasks.make(newer, 1).observation_space.shape == (4,)
    with pytest.raises(UsageError, match="must be named"):
        tasks.make(world, 1)


def test_a_file_may_move_with_its_content(file: Path, tmp_path: Path) -> None:
    old = World(
        id="/gone/mine.py:Mine", source_sha256=trusted_code.sha256(f"{file}:Mine", "task.id")
    )
    tasks.permit(old, f"{file}:Mine")
    assert tasks.make(old, 1).max_episode_steps == 7
    other = tmp_path / "other.py"
    other.write_text(SOURCE + "\n")
    with pytest.raises(UsageError, match=r"--task .*other\.py:Mine: the task is /gone/mine\.py"):
        tasks.permit(old, f"{other}:Mine")


def test_a_path_means_the_same_file_everywhere(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    assert tasks.absolute("mine.py:Mine") == f"{file}:Mine"
    assert tasks.absolute("./mine.py:Mine") == f"{file}:Mine"
    assert tasks.absolute("package.mine:Mine") == "package.mine:Mine"
    assert tasks.absolute("Swimmer-v5") == "Swimmer-v5"
    tasks.permit(World(id=f"{file}:Mine"), "mine.py:Mine")


def test_a_module_is_found_without_running_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "lab_package"
    package.mkdir()
    (package / "__init__.py").write_text("from pathlib import Path\nPath('imported').touch()\n")
    (package / "helper.py").write_text("SIZE = 6\n")
    (package / "own.py").write_text(
        SOURCE.replace("size=3", "size=SIZE") + "from .helper import SIZE\n"
    )
    lines = (package / "own.py").read_text().splitlines()
    (package / "own.py").write_text("\n".join([lines[-1], *lines[:-1]]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    world = World(id="lab_package.own:Mine")
    assert trusted_code.source(world.id, "task.id") == package / "own.py"
    with pytest.raises(UsageError, match="--trust"):
        tasks.permit(world)
    assert not (tmp_path / "imported").exists()
    world = tasks.permit(world, world.id)
    assert (tmp_path / "imported").exists()
    assert tasks.make(world, 1).observation_space.shape == (6,)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("class Mine(:\n", ["mine.py:1: SyntaxError"]),
        ("import no_such_module_here\n", ["mine.py:1: ModuleNotFoundError", "no_such_module"]),
        ("x = 1\nraise ValueError('a\\nb')\n", ["mine.py:2: ValueError: a b"]),
        ("import sys\nsys.exit(3)\n", ["mine.py:2: SystemExit: 3"]),
        ("class Other: pass\n", ["Mine is not in it", "no such class"]),
        ("class Mine: pass\n", ["Mine is no class derived from poolrl.tasks.Task"]),
        (
            "from poolrl.tasks.identity import Plateau\nclass Mein(Plateau): pass\n",
            ["Mine is not in it; there: Mein"],
        ),
    ],
)
def test_what_cannot_be_loaded_is_one_line(tmp_path: Path, source: str, words: list[str]) -> None:
    (tmp_path / "mine.py").write_text(source)
    world = World(id=f"{tmp_path}/mine.py:Mine")
    with pytest.raises(UsageError) as error:
        tasks.permit(world, world.id)
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("task_id", "words"),
    [
        ("/no/such.py:Mine", ["no such file: /no/such.py"]),
        ("no_such_package.mine:Mine", ["no module no_such_package.mine"]),
        ("mine.py:", ["expected path/to/file.py:Class"]),
    ],
)
def test_what_is_not_there_is_named(task_id: str, words: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        tasks.permit(World(id=task_id), task_id)
    for word in words:
        assert word in str(error.value)


def test_an_exception_names_the_users_line(file: Path) -> None:
    file.write_text(SOURCE + "        self.broken = 1 / (size - 3)\n")
    world = tasks.permit(World(id=f"{file}:Mine"), trust=True)
    with pytest.raises(UsageError, match=r"mine\.py:7: ZeroDivisionError"):
        tasks.make(world, 1)
    with pytest.raises(ValueError, match="ours"), tasks.blamed(world):
        raise ValueError("ours")


def test_an_environment_of_ones_own_is_adapted(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import gymnasium\n"
        "from gymnasium.envs.classic_control.cartpole import CartPoleEnv\n"
        "class Mine(CartPoleEnv): pass\n"
        "gymnasium.register('Registered-v3', Mine, max_episode_steps=9)\n"
    )
    world = World(id=f"{tmp_path}/mine.py:Mine", max_episode_steps=5)
    assert tasks.make(tasks.permit(world, world.id), 2).max_episode_steps == 5
    world = World(id=f"{tmp_path}/mine.py:Registered-v3")
    task = tasks.make(tasks.permit(world, world.id), 2)
    assert task.max_episode_steps == 9
    task.reset(np.arange(2), [np.random.default_rng(i) for i in range(2)])
    assert task.step(np.zeros(2, np.int64)).reward.tolist() == [1, 1]


def test_permissions_may_be_kept_in_an_object_of_ones_own(file: Path) -> None:
    code = TrustedCode("task.id", base_classes=lambda: (Task,), base_name="poolrl.tasks.Task")
    world = tasks.permit(World(id=f"{file}:Mine"), trust=True, code=code)
    assert tasks.make(world, 1, code=code).max_episode_steps == 7
    with pytest.raises(UsageError, match="must be named on the command line"):
        tasks.make(world, 1)
    with pytest.raises(UsageError, match=r"mine\.py:6: ValueError"), tasks.blamed(world, code=code):
        code.permitted(world.id).entry(-1)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["pendulum.py:Pendulum", "reach.py:Reach"])
def test_the_examples_pass_the_check(name: str) -> None:
    from poolrl.tasks.check import check_task

    world = World(id=f"{EXAMPLES}/{name}")
    check_task(tasks.permit(world, world.id))
    path = EXAMPLES / name.partition(":")[0]
    assert len(path.read_text().splitlines()) < 60
