"""Files behind links, and files that a user's task is given, are the same from everywhere."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from poolrl import files, tasks
from poolrl.config.run_options import RunOptions
from poolrl.pool.directory import make_pool, open_pool
from tests.conftest import TINY, as_options, tiny_spec
from tests.helpers.command_line import poolrl

ROBOT = """<mujoco><include file="body.xml"/>
<actuator><motor joint="a" ctrlrange="-1 1"/></actuator></mujoco>"""

BODY = """<mujoco><asset><mesh name="leg" file="leg.obj"/></asset><worldbody>
<body name="torso" pos="0 0 .5"><freejoint/><geom size=".2"/><body pos=".2 0 0">
<joint name="a" axis="0 1 0"/><geom type="mesh" mesh="leg"/></body></body></worldbody></mujoco>"""

MESH = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 4 3\nf 1 2 4\nf 2 3 4\n"

TASK = '''
import gymnasium, numpy as np
from pathlib import Path
from neighbour import GAIN
Box = gymnasium.spaces.Box

class Filed(gymnasium.Env):
    """Its reward is what is in its files."""
    observation_space = action_space = Box(-1, 1, (1,), np.float32)
    def __init__(self, data=None, more=(), folder="", word="plain", xml_file=""):
        names = [data, *more, f"{folder}/gain.txt" if folder else None, xml_file or None]
        self.gain = GAIN + sum(float(open(name).read()) for name in names if name)
        assert word == "plain", word
    def reset(self, seed=None, options=None): return np.zeros(1, np.float32), {}
    def step(self, action): return np.zeros(1, np.float32), self.gain, False, False, {}
'''

OPTIONS = as_options({key: value for key, value in TINY.items() if key != "task.id"})


def run(cwd: Path, *arguments: object, command: str = "run") -> None:
    workers = ["--workers", "1"] if command == "run" else []
    said = poolrl(command, "--pool-directory", cwd / "pool", *workers, *arguments, cwd=cwd)
    assert said.returncode == 0, said.stderr


def scores(pool: Path) -> list[float]:
    """Of the champions of all iterations."""
    deposits = open_pool(pool).deposit_store()
    return [deposits.merge(number).champion.score for number in deposits.iterations()]


def store(folder: Path, contents: dict[str, str]) -> None:
    """Write files as links into a store that names them by a number."""
    (folder / "blobs").mkdir(parents=True)
    (folder / "snapshot").mkdir()
    for number, (name, text) in enumerate(contents.items()):
        (folder / "blobs" / str(number)).write_text(text)
        (folder / "snapshot" / name).symlink_to(f"../blobs/{number}")


def test_neighbours_of_a_model_are_beside_its_link(tmp_path: Path) -> None:
    store(tmp_path, {"scene.xml": ROBOT, "body.xml": BODY, "leg.obj": MESH})
    model = "xml_file=./snapshot/scene.xml"
    run(tmp_path, *OPTIONS, "--task", "HalfCheetah-v5", "--task-arg", model, "--iterations", 1)
    recorded = open_pool(tmp_path / "pool").spec.task.kwargs["xml_file"]
    assert recorded == str(tmp_path / "snapshot/scene.xml")
    run(tmp_path, "--task-arg", model, "--iterations", 2)
    # Another snapshot of the same contents.
    (tmp_path / "snapshot").rename(tmp_path / "later")
    run(tmp_path, "--task-arg", "xml_file=./later/scene.xml", "--iterations", 3)


def test_neighbours_of_a_links_target_are_found_too(tmp_path: Path) -> None:
    (tmp_path / "robots").mkdir()
    for name, text in {"scene.xml": ROBOT, "body.xml": BODY, "leg.obj": MESH}.items():
        (tmp_path / "robots" / name).write_text(text)
    (tmp_path / "current.xml").symlink_to("robots/scene.xml")
    kwargs = {"xml_file": str(tmp_path / "current.xml")}
    assert tasks.make("HalfCheetah-v5", 1, kwargs=kwargs).num_simulations == 1


def test_a_pool_that_recorded_the_target_goes_on(tmp_path: Path) -> None:
    """Earlier versions recorded the target of a link."""
    (tmp_path / "robots").mkdir()
    for name, text in {"scene.xml": ROBOT, "body.xml": BODY, "leg.obj": MESH}.items():
        (tmp_path / "robots" / name).write_text(text)
    (tmp_path / "robots/mine.py").write_text(TASK)
    (tmp_path / "robots/neighbour.py").write_text("GAIN = 1.0\n")
    (tmp_path / "current.xml").symlink_to("robots/scene.xml")
    (tmp_path / "current.py").symlink_to("robots/mine.py")
    for name, at in (
        ("model", ["--task", "HalfCheetah-v5", "--task-arg", "xml_file=./{}.xml"]),
        ("task", ["--task", "{}.py:Filed"]),
    ):
        place = tmp_path / name
        (place).mkdir()
        target = {"model": "../robots/scene", "task": "../robots/mine"}[name]
        first = [word.format(target) for word in at]
        run(place, *OPTIONS, *first, "--iterations", 1)
        linked = [word.format("../current") for word in at]
        run(place, *OPTIONS, *linked, "--iterations", 2)
        said = poolrl("verify", "pool", *(linked[-2:]), cwd=place)
        assert said.returncode == 0, said.stdout + said.stderr


def test_neighbours_of_a_task_are_beside_its_link(tmp_path: Path) -> None:
    store(tmp_path, {"mine.py": TASK, "neighbour.py": "GAIN = 2.0\n"})
    (tmp_path / "blobs/neighbour.py").write_text("GAIN = 9.0\n")
    run(tmp_path, *OPTIONS, "--task", "snapshot/mine.py:Filed", "--iterations", 1)
    assert scores(tmp_path / "pool") == [8.0, 8.0]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a task and its files, and another with other files of the same names."""
    (tmp_path / "mine.py").write_text(TASK)
    (tmp_path / "neighbour.py").write_text("GAIN = 0.0\n")
    for folder, gain in (("here", "1"), ("there", "50")):
        (tmp_path / folder / "data").mkdir(parents=True)
        (tmp_path / folder / "plain").mkdir()
        for name in ("gain.txt", "bare", "data/gain.txt", "data/more"):
            (tmp_path / folder / name).write_text(gain)
    return tmp_path


@pytest.mark.parametrize("given", ["data=gain.txt", "folder=./data"])
def test_a_file_of_a_task_is_the_same_from_everywhere(place: Path, given: str) -> None:
    named = ["--task", "../mine.py:Filed"]
    first = [*OPTIONS, *named, "--task-arg", given]
    pool = ["--pool-directory", "../pool"]
    said = poolrl("run", *pool, "--workers", 1, *first, "--iterations", 0, cwd=place / "here")
    assert said.returncode == 0, said.stderr
    said = poolrl("worker", *pool, *named, "--iterations", 1, cwd=place / "there")
    assert said.returncode == 0, said.stderr
    assert scores(place / "pool") == [4.0] * 2
    # The original command, in its folder.
    said = poolrl("run", *pool, "--workers", 1, *first, "--iterations", 0, cwd=place / "here")
    assert said.returncode == 0, said.stderr


PATHS = {
    "./gain.txt": "here/gain.txt",
    "gain.txt": "here/gain.txt",
    "bare": "here/bare",
    "data/more": "here/data/more",
    "../there/gain.txt": "there/gain.txt",
    "./data": "here/data",
    "../there/data/": "there/data",
    "data/": "here/data",
    ".": "here",
    "./to be written": "here/to be written",
    "./data/*.txt": "here/data/*.txt",
    # No path, although a folder has the first one's name.
    "plain": None,
    "no.txt": None,
    "no/such/file": None,
    "/gain.txt": None,
    "SFF\0": None,
    "": None,
}


@pytest.mark.parametrize("given", PATHS)
def test_which_arguments_are_paths(
    place: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.chdir(place / "here")
    expected = PATHS[given]
    for task in ("mine.py:Filed", "Adapted-v0"):
        assert tasks.with_absolute_paths({"data": given}, task) == {
            "data": given if expected is None else str(place / expected)
        }


def test_files_in_lists_and_tables(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place / "here")
    folder = place / "here"
    given = {
        "a": ["gain.txt", {"b": "./data", "c": 3}],
        "d": "SFF",
        "e": "/gain.txt",
        "f": "no.txt",
    }
    assert tasks.with_absolute_paths(given, "mine.py:Filed") == given | {
        "a": [str(folder / "gain.txt"), {"b": str(folder / "data"), "c": 3}]
    }
    asset = {"xml_file": "ant.xml"}
    (folder / "ant.xml").write_text("")
    assert tasks.with_absolute_paths(asset, "mine.py:Filed") == asset
    assert tasks.with_absolute_paths(given, "Ant-v5") == given


def test_a_pool_keeps_the_relative_path_that_it_recorded(place: Path) -> None:
    """Earlier versions recorded paths as they were given."""
    task = f"{place / 'mine.py'}:Filed"
    spec = tiny_spec(task__id=task, task__kwargs={"data": "./gain.txt"})
    digest = hashlib.sha256((place / "mine.py").read_bytes()).hexdigest()
    spec = replace(spec, task=replace(spec.task, source_sha256=digest))
    make_pool(place / "pool", spec, RunOptions(iterations=1))
    named = ["--task", "../mine.py:Filed", "--task-arg", "data=./gain.txt"]
    pool = ["--pool-directory", "../pool", "--workers", 1]
    said = poolrl("run", *pool, *OPTIONS, *named, "--iterations", 1, cwd=place / "here")
    assert said.returncode == 0, said.stderr
    assert open_pool(place / "pool").spec == spec


@pytest.mark.parametrize("command", ["run", "worker"])
def test_a_file_that_has_moved_is_named(place: Path, command: str) -> None:
    named = ["--task", "../mine.py:Filed"]
    pool = ["--pool-directory", "../pool"]
    first = [*named, "--task-arg", "data=./gain.txt", "--workers", 1]
    said = poolrl("run", *pool, *OPTIONS, *first, "--iterations", 1, cwd=place / "here")
    assert said.returncode == 0, said.stderr
    shutil.move(place / "here/gain.txt", place / "here/moved.txt")
    workers = ["--workers", 1] if command == "run" else []
    moved = [*named, "--task-arg", "data=./moved.txt", *workers]
    said = poolrl(command, *pool, *moved, "--iterations", 2, cwd=place / "here")
    assert said.returncode == 0, said.stderr
    assert scores(place / "pool") == [4.0] * 3
    wrong = [*named, "--task-arg", "word=other", *workers]
    said = poolrl(command, *pool, *wrong, "--iterations", 2, cwd=place / "here")
    assert said.returncode in (2, 4)


def test_absolute_paths_keep_the_link_and_follow_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real/inner").mkdir(parents=True)
    (tmp_path / "folder").symlink_to("real/inner")
    (tmp_path / "real/file").symlink_to("../elsewhere")
    monkeypatch.chdir(tmp_path)
    assert files.absolute("folder/../file") == str(tmp_path / "real/file")
    assert files.absolute("folder/..") == str(tmp_path / "real")
    assert files.absolute(".") == str(tmp_path)
    assert files.is_same("folder/../file", "elsewhere")
    assert not files.is_same("folder", "real")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.absolute("~/real") == str(tmp_path / "real")
