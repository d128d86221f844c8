"""``poolrl tasks``, and tasks of one's own on the command line: when their code runs."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from poolrl.pool.directory import open_pool
from poolrl.tasks.registry import REGISTRY
from tests.helpers.command_line import Result, in_process, poolrl, settings
from tests.helpers.pools import snapshot

# Importing it leaves a marker.
SOURCE = """\
from pathlib import Path
from poolrl.tasks.identity import Plateau
(Path(__file__).parent / "ran").touch()
class Mine(Plateau):
    '''A plateau of mine.

    More of it.
    '''
    def __init__(self, n, *, max_episode_steps=4, size=2, low_high=(0.0, 1.0)):
        super().__init__(n, max_episode_steps=max_episode_steps, size=size)
"""


def tiny(task_id: str) -> list[str]:
    words = settings()
    at = words.index("task.id=Plateau-v0")
    return [*words[: at - 1], *words[at + 1 :], "--task", task_id]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a user's task and a pool that was made of it."""
    place = tmp_path_factory.mktemp("made")
    (place / "mine.py").write_text(SOURCE)
    arguments = ["--iterations", "1", "--workers", "1", "--pool-directory", "pool"]
    said = poolrl("run", *arguments, *tiny("mine.py:Mine"), cwd=place)
    assert said.returncode == 0, said.stderr
    return place


@pytest.fixture
def place(made: Path) -> Iterator[Path]:
    """The same, restored after each test, and nothing of the user's has run in it."""
    kept = made.with_name("kept")
    shutil.copytree(made, kept)
    (made / "ran").unlink(missing_ok=True)
    yield made
    shutil.rmtree(made)
    kept.rename(made)


def one_line(said: subprocess.CompletedProcess[str] | Result, code: int, *words: str) -> None:
    assert said.returncode == code, said.stderr
    assert said.stderr.count("\n") == 1, said.stderr
    for word in words:
        assert word in said.stderr


AGENT = "AGENT"
UNNAMED = {
    "run": ("run", "--pool-directory", "pool", "--iterations", "2"),
    "run a copy of its configuration": ("run", "config.toml", "--pool-directory", "new"),
    "worker": ("worker", "--pool-directory", "pool", "--iterations", "2"),
    "evaluate a pool": ("evaluate", "pool"),
    "evaluate an agent": ("evaluate", AGENT),
}


def arguments_of(place: Path, name: str) -> list[str]:
    (place / "config.toml").write_text(f'[task]\nid = "{place}/mine.py:Mine"\n')
    agent = next((place / "pool").rglob("*.safetensors"))
    return [str(agent) if word is AGENT else word for word in UNNAMED[name]]


@pytest.mark.parametrize("name", UNNAMED)
def test_nothing_runs_unless_it_is_named(place: Path, name: str) -> None:
    arguments = arguments_of(place, name)
    before = snapshot(place)
    said = in_process(*arguments, cwd=place)
    one_line(said, 2, f"add --task {place}/mine.py:Mine, or --trust")
    assert not (place / "ran").exists()
    assert snapshot(place) == before


@pytest.mark.parametrize("name", UNNAMED)
@pytest.mark.parametrize("how", [("--task", "mine.py:Mine"), ("--trust",)])
def test_what_is_named_or_trusted_runs(place: Path, name: str, how: tuple[str, ...]) -> None:
    arguments = arguments_of(place, name)
    if name.startswith("run a copy"):
        arguments += ["--iterations", "0", "--set", "learner.name=climb", "--workers", "1"]
        arguments += ["--set", "network.actor=[]", "--set", "pool.closing_episodes=2"]
    said = poolrl(*arguments, *how, cwd=place)
    assert said.returncode == 0, said.stderr
    assert (place / "ran").exists()


@pytest.mark.parametrize("name", ["run", "worker", "evaluate a pool", "evaluate an agent"])
@pytest.mark.parametrize("how", [("--task", "mine.py:Mine"), ("--trust",)])
def test_another_content_does_not_run(place: Path, name: str, how: tuple[str, ...]) -> None:
    recorded = open_pool(place / "pool").spec.task.source_sha256
    (place / "mine.py").write_text(SOURCE + "# changed\n")
    said = in_process(*arguments_of(place, name), *how, cwd=place)
    one_line(said, 4, "task.source_sha256", recorded, "the task is another one")
    assert not (place / "ran").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("history", "pool"),
        ("plot", "pool", "-o", "x.png"),
        ("tasks",),
        ("tasks", "--all"),
        ("run", "--pool-directory", "new", "--from-agent", AGENT, "--iterations", "0", *settings()),
    ],
)
def test_what_needs_no_task_runs_none(place: Path, arguments: tuple[str, ...]) -> None:
    agent = str(next((place / "pool").rglob("*.safetensors")))
    said = in_process(*(agent if word is AGENT else word for word in arguments), cwd=place)
    assert said.returncode == 0, said.stderr
    assert not (place / "ran").exists()


def test_a_worker_is_told_of_another_task(place: Path) -> None:
    said = in_process("worker", "--pool-directory", "pool", "--task", "Swimmer-v5", cwd=place)
    one_line(said, 2, "--task Swimmer-v5: the task is", "mine.py:Mine")


def test_a_pool_goes_on_where_its_file_has_moved(place: Path) -> None:
    (place / "mine.py").rename(place / "moved.py")
    arguments = ["--pool-directory", "pool", "--iterations", "2", "--workers", "1"]
    said = poolrl("run", *arguments, "--task", "moved.py:Mine", cwd=place)
    assert said.returncode == 0, said.stderr
    assert "going on at iteration 2" in said.stdout


def test_the_pool_knows_file_and_arguments(place: Path) -> None:
    arguments = ["--iterations", "0", "--workers", "1", *tiny("./mine.py:Mine")]
    arguments += ["--task-arg", "size=3", "--task-arg", "low_high=0.5,1e1"]
    said = poolrl("run", *arguments, cwd=place)
    assert said.returncode == 0, said.stderr
    task = open_pool(place / "pools" / "Mine").spec.task
    assert task.id == f"{place}/mine.py:Mine"
    assert task.kwargs == {"size": 3, "low_high": [0.5, 10.0]}
    assert len(task.source_sha256) == 64


BROKEN = {
    "a wrong shape": (
        "def observe(self): return self._target[:, :1]",
        "observe() must be an array",
    ),
    "an exception in a step": ("def step(self, action, ids=None): 1 / 0", "mine.py:11: ZeroDivis"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_task_makes_no_pool(place: Path, name: str) -> None:
    source, word = BROKEN[name]
    (place / "mine.py").write_text(f"{SOURCE}    {source}\n")
    said = poolrl("run", "--pool-directory", "new", *tiny("mine.py:Mine"), cwd=place)
    one_line(said, 2, word)
    assert not (place / "new").exists()


def test_an_exception_in_training_names_the_users_line(place: Path) -> None:
    late = "    def step(self, action, ids=None):\n        assert not (self._elapsed == 20).any()\n"
    late += "        return super().step(action, ids)\n"
    (place / "mine.py").write_text(SOURCE + late)
    arguments = ["--pool-directory", "new", "--workers", "1", *tiny("mine.py:Mine")]
    said = poolrl("run", *arguments, "--set", "task.max_episode_steps=30", cwd=place)
    one_line(said, 2, "mine.py:12: AssertionError")


@pytest.mark.parametrize("argument", ["size", "=3", "a.b=3", "a b=3"])
def test_a_bad_argument_is_named(tmp_path: Path, argument: str) -> None:
    said = in_process("run", "--task-arg", argument, cwd=tmp_path)
    assert said.returncode == 2
    assert "--task-arg" in said.stderr


LAKE = ("run", "--pool-directory", "pool", "--one-worker", "--iterations", "0")


@pytest.mark.parametrize(("word", "value"), [("False", False), ("True", True), ("false", False)])
@pytest.mark.parametrize("option", ["--task-arg", "--set"])
def test_words_of_python_are_no_texts(option: str, word: str, value: bool, tmp_path: Path) -> None:
    name = "is_slippery" if option == "--task-arg" else "task.kwargs.is_slippery"
    arguments = [*LAKE, *tiny("FrozenLake-v1"), option, f"{name}={word}"]
    said = in_process(*arguments, cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert open_pool(tmp_path / "pool").spec.task.kwargs == {"is_slippery": value}


@pytest.mark.parametrize("option", ["--task-arg", "--set"])
def test_none_is_refused_by_name(option: str, tmp_path: Path) -> None:
    name = "map_name" if option == "--task-arg" else "task.kwargs.map_name"
    said = in_process(*LAKE, *tiny("FrozenLake-v1"), option, f"{name}=None", cwd=tmp_path)
    assert said.returncode == 2
    assert f"{name}: None is no value here" in said.stderr
    assert not (tmp_path / "pool").exists()


def test_a_pool_that_recorded_a_word_as_a_text_goes_on_with_it(tmp_path: Path) -> None:
    words = [*LAKE, *tiny("FrozenLake-v1")]
    said = in_process(*words, "--task-arg", 'is_slippery="False"', cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    for argument in ("is_slippery=False", 'is_slippery="False"'):
        said = in_process(*words, "--task-arg", argument, cwd=tmp_path)
        assert said.returncode == 0, said.stderr
    assert open_pool(tmp_path / "pool").spec.task.kwargs == {"is_slippery": "False"}
    said = in_process(*words, "--task-arg", "is_slippery=True", cwd=tmp_path)
    one_line(said, 4, "task.kwargs.is_slippery (False in the pool, True now)")


# poolrl tasks


def test_the_list_has_every_task_of_ours(tmp_path: Path) -> None:
    listed = json.loads(in_process("tasks", "--json", cwd=tmp_path).stdout)
    assert [entry["id"] for entry in listed] == list(REGISTRY)
    assert all(entry["origin"] == "native" for entry in listed)
    assert all(entry["max_episode_steps"] == REGISTRY[entry["id"]][1] for entry in listed)
    text = in_process("tasks", cwd=tmp_path).stdout
    rows = [line.split() for line in text.splitlines()]
    assert ["Swimmer-v5", "8", "Box", "2", "1000", "native"] in rows
    assert ["Switches-v0", "9", "MultiDiscrete", "2×3×4", "10", "native"] in rows
    assert "--all lists what is adapted: gymnasium, " in text


def test_all_has_what_is_adapted(tmp_path: Path) -> None:
    listed = json.loads(in_process("tasks", "--all", "--json", cwd=tmp_path).stdout)
    by_id = {entry["id"]: entry for entry in listed}
    assert by_id["CartPole-v1"]["origin"] == "gymnasium"
    assert by_id["CartPole-v1"]["max_episode_steps"] == 500
    assert not [task_id for task_id in by_id if task_id.startswith("GymV2") or "Ant-v3" in task_id]


def test_a_task_is_described(place: Path) -> None:
    said = poolrl("tasks", "mine.py:Mine", cwd=place).stdout
    assert "  A plateau of mine.\n" in said
    assert "  observation  Box 2, from -1 to 1\n" in said
    assert "    low_high: tuple = (0.0, 1.0)\n" in said
    found = json.loads(in_process("tasks", "CartPole-v1", "--json", cwd=place).stdout)
    assert found["action"] == "Discrete 2"
    assert found["arguments"] == {"sutton_barto_reward": "bool = False"}
    assert "Box 2, from -1 to 1" in in_process("tasks", "Swimmer-v5", cwd=place).stdout
    one_line(in_process("tasks", "CartPol-v1", cwd=place), 2, "did you mean CartPole-v1?")
    if find_spec("jax") is None:
        said = in_process("tasks", "phys2d/CartPole-v1", cwd=place)
        one_line(
            said, 2, "cannot import gymnasium.envs.phys2d.cartpole: ModuleNotFoundError: No module"
        )


def test_a_task_that_needs_an_argument_is_described_with_all_of_them(place: Path) -> None:
    said = in_process("tasks", "AnymalC-v0", cwd=place).stdout
    assert "  observation  follows from the arguments\n" in said
    assert "  needs        task.kwargs.xml_file: needed" in said
    found = json.loads(in_process("tasks", "AnymalC-v0", "--json", cwd=place).stdout)
    assert found["arguments"]["fall_cost"] == "float = 100.0"
    assert found["observation"] is None


ENVIRONMENT = """\
import gymnasium
import numpy as np
from gymnasium import spaces
from poolrl.tasks.identity import Plateau

class Mine(gymnasium.Env):
    '''An environment of mine.'''
    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    action_space = spaces.Discrete(3)
    def __init__(self, gravity: float = 9.81, render_mode=None): ...

gymnasium.register("Limited-v0", entry_point=Mine, max_episode_steps=7)
gymnasium.register("Unlimited-v0", entry_point=Mine)

class NoLimit(Plateau):
    '''A plateau of mine.'''
    def __init__(self, n, *, max_episode_steps, size=2):
        super().__init__(n, max_episode_steps=max_episode_steps, size=size)
"""


@pytest.mark.parametrize(
    ("name", "summary", "limit", "arguments"),
    [
        ("Mine", "An environment of mine.", None, {"gravity": "float = 9.81"}),
        ("Unlimited-v0", "An environment of mine.", None, {"gravity": "float = 9.81"}),
        ("Limited-v0", "An environment of mine.", 7, {"gravity": "float = 9.81"}),
        ("NoLimit", "A plateau of mine.", None, {"size": "int = 2"}),
    ],
)
def test_an_environment_of_ones_own_is_described(
    name: str, summary: str, limit: int | None, arguments: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text(ENVIRONMENT)
    said = poolrl("tasks", f"own.py:{name}", "--json", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout)
    assert found["origin"] == str(tmp_path / "own.py")
    assert found["summary"] == summary
    assert found["max_episode_steps"] == limit
    assert found["arguments"] == arguments
    assert found["observation"] == "Box 2, from -1 to 1"
    text = poolrl("tasks", f"own.py:{name}", cwd=tmp_path).stdout
    needed = "none of its own: --set task.max_episode_steps=STEPS"
    assert f"  time limit   {f'{limit} steps' if limit else needed}\n" in text


def test_an_environment_of_gymnasiums_without_a_limit_is_described(tmp_path: Path) -> None:
    said = in_process("tasks", "Blackjack-v1", "--json", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout)["max_episode_steps"] is None
