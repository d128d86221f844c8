"""``poolrl render``, as a user runs it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import av
import pytest

from poolrl.agent import Agent
from poolrl.config.schema import World
from tests.helpers.agents import new_agent
from tests.helpers.command_line import in_process, poolrl, settings
from tests.helpers.pools import snapshot

SHORT = {"task__id": "Swimmer-v5", "task__max_episode_steps": 3}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a pool of three iterations, one without a champion, and an agent."""
    directory = tmp_path_factory.mktemp("place")
    arguments = ("--pool-directory", "pool", "--iterations", "2", "--workers", "1")
    said = in_process("run", *arguments, *settings(**SHORT), cwd=directory)
    assert said.returncode == 0, said.stderr
    (directory / "agent.safetensors").write_bytes(new_agent(**SHORT).to_bytes())
    (directory / "plateau.safetensors").write_bytes(new_agent().to_bytes())
    (directory / "new").mkdir()
    (directory / "new" / "pool.toml").write_bytes((directory / "pool" / "pool.toml").read_bytes())
    return directory


def test_a_pools_newest_champion(place: Path, draws: None) -> None:
    said = in_process("render", "pool", "-o", "pool.mp4", "--size", "64x48", cwd=place)
    assert said.returncode == 0, said.stderr
    evaluated = in_process("evaluate", "pool", "--episodes", "1", cwd=place).stdout
    (value,) = re.findall(r"mean return (\S+)", evaluated)
    assert said.stdout == (
        f"iteration 2: return {value}\npool.mp4: 4 frames, 0.2 s at 25 frames a second\n"
    )
    with av.open(str(place / "pool.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.average_rate) == (64, 48, 25)
        assert len(list(container.decode(stream))) == 4


def test_iterations_side_by_side(place: Path, draws: None) -> None:
    options = ["--iterations", "0,1,last", "--side-by-side", "--episodes", "2", "--seed", "5"]
    said = in_process("render", "pool", "-o", "all.gif", "--size", "64x48", *options, cwd=place)
    assert said.returncode == 0, said.stderr
    lines = said.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        *("iteration 0", "iteration 1", "iteration 2", "all.gif"),
    ]
    # The values are those of one episode, and of both.
    evaluated = in_process("evaluate", "pool", "--episodes", "2", "--seed", "5", cwd=place).stdout
    first, second = map(float, lines[2].removeprefix("iteration 2: returns ").split(", "))
    (mean,) = re.findall(r"mean return (\S+)", evaluated)
    assert (first + second) / 2 == pytest.approx(float(mean), abs=0.01)
    with av.open(str(place / "all.gif")) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (192, 48)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pool", "-o", "swim.avi"], "swim.avi: name a .mp4, .gif or .webp file"),
        (["pool", "-o", "swim"], "swim: name a .mp4, .gif or .webp file"),
        (["pool", "-o", "none/swim.mp4"], "none/swim.mp4: no such directory: none"),
        (["pool", "--size", "480"], "'480': write WIDTHxHEIGHT"),
        (["pool", "--size", "480x5"], "'480x5': expected 16 to 4096 pixels"),
        (["pool", "--fps", "0"], "'0': expected 0.01 to 1000 frames a second"),
        (["pool", "--fps", "fast"], "'fast' is no number"),
        (["pool", "--quality", "best"], "'best' is not one of 'fast', 'full'"),
        (["pool", "--camera", "nose"], "--camera nose: no such camera; there: track"),
        (["pool", "--iterations", "0,x"], "--iterations: 'x': write numbers and last"),
        (["pool", "--iterations", "3"], "--iterations 3: pool has iterations 0 to 2"),
        (["agent.safetensors", "--iterations", "0"], "is an agent file, and has none"),
        (["pool", "--every", "3"], "--every goes with --follow alone"),
        (["pool", "--follow"], "--follow goes without -o and --iterations"),
        (["new"], "new: the pool has no champion yet"),
        (["."], ".: not a pool"),
        (["nowhere"], "nowhere: No such file or directory"),
        (["plateau.safetensors"], "task.id: Plateau-v0 cannot be drawn"),
        (["agent.safetensors", "--task-arg", "xml_file=/none.xml"], "no such file: /none.xml"),
    ],
)
def test_what_is_wrong_is_one_line(place: Path, arguments: list[str], message: str) -> None:
    before = snapshot(place)
    output = [] if "-o" in arguments else ["-o", "swim.mp4"]
    said = in_process("render", *arguments, *output, cwd=place)
    assert (said.returncode, said.stdout) == (2, "")
    errors = [line for line in said.stderr.splitlines() if not line.startswith(("Usage", "Try"))]
    assert len([line for line in errors if line]) == 1
    assert message in said.stderr
    assert snapshot(place) == before


def test_a_backend_that_does_not_work_is_one_line(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUJOCO_GL", "nonsense")
    said = in_process("render", "pool", "-o", "swim.mp4", cwd=place)
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.startswith("poolrl: MUJOCO_GL=nonsense cannot draw here")
    assert said.stderr.count("\n") == 1


OWN = """\
import gymnasium, numpy as np
from gymnasium.spaces import Box

class Own(gymnasium.Env):
    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}
    observation_space = action_space = Box(-1, 1, (1,), np.float32)
    def __init__(self, render_mode=None):
        self.render_mode = render_mode
        print("printed by the task")
    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(1, np.float32), {}
    def step(self, action):
        self.steps += 1
        return np.zeros(1, np.float32), REWARD, False, False, {}
    def render(self):
        return RENDERED
"""


@pytest.mark.parametrize(
    ("reward", "rendered", "code", "message"),
    [
        ("1.0", "np.full((32, 48, 3), 40 * self.steps, np.uint8)", 0, "return 3.00"),
        ("1.0", "np.zeros((32, 48))", 2, "render() returned float64 of shape (32, 48)"),
        ("1.0", "1 / 0", 2, "own.py:18: ZeroDivisionError: division by zero"),
        (
            *("float(self.render_mode is None)", "np.zeros((32, 48, 3), np.uint8)", 1),
            "the same seed and actions gave another reward at step 1 (0, not 1)",
        ),
    ],
)
def test_a_users_own_environment(
    tmp_path: Path, reward: str, rendered: str, code: int, message: str
) -> None:
    source = OWN.replace("REWARD", reward).replace("RENDERED", rendered)
    agent = write_own(tmp_path, source)
    said = poolrl("render", agent, "-o", "own.mp4", "--task", "own.py:Own", cwd=tmp_path)
    assert said.returncode == code, said.stderr
    assert message in said.stdout + said.stderr
    assert "printed" not in said.stdout
    assert (tmp_path / "own.mp4").exists() == (code == 0)


def test_a_users_own_environment_must_be_named(tmp_path: Path) -> None:
    said = in_process("render", write_own(tmp_path, OWN), "-o", "own.mp4", cwd=tmp_path)
    assert said.returncode == 2
    assert "must be named on the command line" in said.stderr


def write_own(folder: Path, source: str) -> str:
    """Write a user's own environment, and an agent of it; returns the agent's name."""
    file = folder / "own.py"
    file.write_text(source)
    sha256 = hashlib.sha256(source.encode()).hexdigest()
    world = World(id=f"{file}:Own", max_episode_steps=3, source_sha256=sha256)
    like = new_agent(task__kwargs={"size": 1})
    agent = Agent(like.arrays, like.metadata.in_world(world))
    (folder / "own.safetensors").write_bytes(agent.to_bytes())
    return "own.safetensors"


def test_exploration_as_in_training(place: Path, draws: None) -> None:
    run = ("--pool-directory", "explored", "--iterations", "1", "--workers", "1")
    keys = ("--learner", "dep", "--set", "exploration.name=uniform", "--task", "Swimmer-v5")
    small = ("--pool-count", "1", "--iterate-episodes", "1", "--evaluate-episodes", "1")
    small += ("--set", "pool.closing_episodes=1", "--set", "task.max_episode_steps=5")
    said = in_process("run", *run, *keys, *small, cwd=place)
    assert said.returncode == 0, said.stderr
    drawn = ("render", "explored", "--size", "32x24", "-o")
    still = in_process(*drawn, "still.webp", cwd=place)
    moved = in_process(*drawn, "moved.webp", "--exploration", cwd=place)
    assert (still.returncode, moved.returncode) == (0, 0), moved.stderr
    assert still.stdout.splitlines()[0] != moved.stdout.splitlines()[0]
    again = in_process(*drawn, "again.webp", "--exploration", cwd=place)
    assert again.stdout.splitlines()[0] == moved.stdout.splitlines()[0]
    assert (place / "again.webp").read_bytes() == (place / "moved.webp").read_bytes()


def test_exploration_beside_a_policy(place: Path, draws: None) -> None:
    """A prefill that is over is not shown, and one that goes on is."""
    small = ("--pool-count", "1", "--iterate-episodes", "1", "--evaluate-episodes", "1")
    small += ("--set", "pool.closing_episodes=1", "--set", "task.max_episode_steps=5")
    small += ("--learner", "mpo", "--task", "Swimmer-v5", "--iterations", "1", "--one-worker")
    small += ("--set", "exploration.mode=prefill", "--set", "exploration.tau=3")
    shown = []
    for steps, options in (("5", ()), ("5", ("--exploration",)), ("6", ("--exploration",))):
        keys = ("--set", f"exploration.prefill_steps={steps}")
        said = in_process("run", "--pool-directory", f"fill{steps}", *small, *keys, cwd=place)
        assert said.returncode == 0, said.stderr
        drawn = ("render", f"fill{steps}", "--size", "32x24", "-o", "fill.webp", *options)
        said = in_process(*drawn, cwd=place)
        assert said.returncode == 0, said.stderr
        shown.append(said.stdout.splitlines()[0])
    of_policy, over, going_on = shown
    assert of_policy == over != going_on


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("pool", "--exploration: training in this pool does not explore"),
        ("agent.safetensors", "--exploration: an agent file does not say how its pool explores"),
    ],
)
def test_exploration_where_there_is_none(place: Path, what: str, message: str) -> None:
    said = in_process("render", what, "-o", "none.webp", "--exploration", cwd=place)
    assert said.returncode == 2
    assert message in said.stderr
    assert said.stderr.count("\n") == 1
    assert not (place / "none.webp").exists()
