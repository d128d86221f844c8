"""A pool resumes where its model has moved together with the files that it names."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import TINY, as_options
from tests.helpers.command_line import in_process, poolrl
from tests.helpers.pools import snapshot

MESH = "v 0 0 0\nv {0} 0 0\nv 0 {0} 0\nv 0 0 {0}\nf 1 3 2\nf 1 4 3\nf 1 2 4\nf 2 3 4\n"

PART = """<mujoco><asset>
<mesh name="leg" file="leg.obj"/><mesh name="foot" file="../../shared/foot.obj"/>
<texture name="paint" type="2d" file="paint.png"/><material name="painted" texture="paint"/>
<hfield name="hills" file="hills.png" size="5 5 1 1"/></asset>
<include file="parts/more.xml"/></mujoco>"""

SCENE = """<mujoco><compiler meshdir="assets" texturedir="assets"/><include file="parts/part.xml"/>
<worldbody><geom type="hfield" hfield="hills" pos="0 0 -9" material="painted"/>
<body name="torso" pos="0 0 .5"><freejoint/><geom size=".2"/>
<body pos=".2 0 0"><joint name="a" axis="0 1 0"/><geom type="mesh" mesh="leg"/>
<geom type="mesh" mesh="foot"/></body></body></worldbody>
<actuator><motor joint="a" ctrlrange="-1 1"/></actuator></mujoco>"""

SKIN_BIN = b"".join(
    [
        np.array([3, 0, 1, 1], np.int32).tobytes(),
        np.array([0, 0, 0, 1, 0, 0, 0, 1, 0], np.float32).tobytes(),
        np.array([0, 1, 2], np.int32).tobytes(),
        b"torso".ljust(40, b"\0"),
        np.array([0, 0, 0, 1, 0, 0, 0], np.float32).tobytes(),
        np.array([3, 0, 1, 2], np.int32).tobytes(),
        np.array([1, 1, 1], np.float32).tobytes(),
    ]
)

TASKS = '''
from pathlib import Path
import gymnasium, mujoco, numpy as np
from poolrl.tasks.mujoco.half_cheetah import HalfCheetah
from poolrl.tasks import StepResult, Task
Box = gymnasium.spaces.Box

class Beside(HalfCheetah):
    """Its model is beside this file."""
    def __init__(self, n, *, max_episode_steps=4):
        file = str(Path(__file__).parent / "robot/scene.xml")
        super().__init__(n, xml_file=file, max_episode_steps=max_episode_steps)

class Own(Task):
    """It compiles a model itself, and changes it."""
    def __init__(self, n, *, max_episode_steps=4, xml_file="?"):
        self.num_simulations, self.max_episode_steps = n, max_episode_steps
        self.observation_space = self.action_space = Box(-1, 1, (1,), np.float32)
        self.model = mujoco.MjModel.from_xml_path(xml_file)
        self.model.opt.timestep = 0.004
        self.elapsed = np.zeros(n, int)
    def reset(self, ids, generators): self.elapsed[ids] = 0
    def observe(self): return np.zeros((self.num_simulations, 1))
    def step(self, action, ids=None):
        self.elapsed[slice(None) if ids is None else ids] += 1
        never = np.zeros(self.num_simulations, bool)
        reward = self.model.geom_pos.sum() + np.zeros(self.num_simulations)
        return StepResult(self.observe(), reward, never, self.elapsed >= self.max_episode_steps)

class Env(gymnasium.Env):
    """An environment with a file of a model, and no model that poolrl would know of."""
    observation_space = action_space = Box(-1, 1, (1,), np.float32)
    def __init__(self, xml_file="?"): self.reward = mujoco.MjModel.from_xml_path(xml_file).nmeshvert
    def reset(self, seed=None, options=None): return np.zeros(1, np.float32), {}
    def step(self, action): return np.zeros(1, np.float32), float(self.reward), False, False, {}
'''

NATIVE = ["--task", "HalfCheetah-v5"]
CASES = {
    "native": (NATIVE, True),
    "beside the task": (["--task", "{0}/mine.py:Beside"], False),
    "compiled by the task": (["--task", "{0}/mine.py:Own"], True),
    "of an environment": (["--task", "{0}/mine.py:Env"], True),
}
"""Name -> the task that is named, in a folder; and whether its model is."""


def write_robot(folder: Path, size: int = 1) -> None:
    """Write a model that names every kind of file, and tasks that use it."""
    image = pytest.importorskip("PIL.Image")
    for each in ("robot/assets", "robot/parts", "shared"):
        (folder / each).mkdir(parents=True)
    (folder / "robot/scene.xml").write_text(SCENE)
    (folder / "robot/parts/part.xml").write_text(PART)
    (folder / "robot/parts/more.xml").write_text(
        '<mujoco><asset><skin name="coat" file="coat.skn"/></asset></mujoco>'
    )
    (folder / "robot/assets/leg.obj").write_text(MESH.format(size))
    (folder / "shared/foot.obj").write_text(MESH.format(2))
    (folder / "robot/parts/coat.skn").write_bytes(SKIN_BIN)
    image.new("RGB", (4, 4), "red").save(folder / "robot/assets/paint.png")
    pixels = np.arange(16, dtype=np.uint8).reshape(4, 4)
    image.fromarray(pixels).save(folder / "robot/parts/hills.png")
    (folder / "mine.py").write_text(TASKS)


def arguments(name: str, folder: str) -> list[str]:
    task, has_argument = CASES[name]
    words = [word.format(folder) for word in task]
    return words + ["--task-arg", f"xml_file=./{folder}/robot/scene.xml"] * has_argument


@pytest.fixture(scope="module", params=CASES)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pool of one iteration, and its robot in a folder of another name."""
    place = tmp_path_factory.mktemp("place")
    write_robot(place / "old")
    keys = {key: value for key, value in TINY.items() if key != "task.id"}
    said = poolrl(
        *("run", "--pool-directory", "pool", "--workers", "1", "--iterations", "1"),
        *(*as_options(keys), *arguments(request.param, "old")),
        cwd=place,
    )
    assert said.returncode == 0, said.stderr
    (place / "case").write_text(request.param)
    (place / "old").rename(place / "a new and longer name")
    (place / "a new and longer name").rename(place / "new")
    return place


@pytest.mark.parametrize("command", ["run", "worker"])
def test_the_pool_goes_on(place: Path, command: str) -> None:
    pool, name = place / f"pool-{command}", (place / "case").read_text()
    shutil.copytree(place / "pool", pool)
    given = arguments(name, "new")
    if name == "native" and command == "worker":
        given = given[2:]  # a native task is not named
    options = ["--pool-directory", pool, "--iterations", "2", *given]
    workers = ["--workers", "1"] if command == "run" else []
    said = poolrl(command, *options, *workers, cwd=place)
    assert said.returncode == 0, said.stderr
    given = given if name != "native" else given[-2:]
    again = poolrl("verify", pool, "--all", *given, cwd=place)
    assert again.returncode == 0, again.stdout + again.stderr
    assert (pool / "pool.toml").read_bytes() == (place / "pool/pool.toml").read_bytes()


def test_another_file_of_the_model_is_refused(place: Path) -> None:
    """Also where the files of the old place are there again."""
    name = (place / "case").read_text()
    if name == "of an environment":
        pytest.skip("the pool has no hash of its model")
    write_robot(place / "other", size=3)
    write_robot(place / "old")
    before = snapshot(place / "pool")
    try:
        options = ["--pool-directory", "pool", "--workers", "1", *arguments(name, "other")]
        said = poolrl("run", *options, "--iterations", "2", cwd=place)
    finally:
        shutil.rmtree(place / "other")
        shutil.rmtree(place / "old")
    assert said.returncode == 4, said.stderr
    assert "model_sha256" in said.stderr.splitlines()[-1]
    assert snapshot(place / "pool") == before


def test_a_path_through_a_link_is_the_recorded_one(tmp_path: Path) -> None:
    write_robot(tmp_path / "old")
    keys = {key: value for key, value in TINY.items() if key != "task.id"}
    options = ["--pool-directory", "pool", "--workers", "1", *as_options(keys)]
    said = in_process(
        "run", *options, "--iterations", "0", *arguments("native", "old"), cwd=tmp_path
    )
    assert said.returncode == 0, said.stderr
    (tmp_path / "linked").symlink_to("old")
    said = in_process(
        "run", *options, "--iterations", "0", *arguments("native", "linked"), cwd=tmp_path
    )
    assert said.returncode == 0, said.stderr
