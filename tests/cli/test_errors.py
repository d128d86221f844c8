"""Bad input: one line that names it, the right exit code, and nothing changed."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from poolrl.agent import Agent
from poolrl.config.run_options import RunOptions
from poolrl.pool.directory import make_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.worker.loop import Worker
from tests.conftest import tiny_spec
from tests.helpers.command_line import in_process, poolrl, settings, without_privileges
from tests.helpers.pools import snapshot
from tests.helpers.waiting import TIMEOUT_SECONDS


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with a finished pool, its champion's file, damaged copies, and other things."""
    pool = make_pool(tmp_path / "pool", tiny_spec(), RunOptions(iterations=1))
    Worker(pool, StopCriteria(1)).run()
    deposit_store = pool.deposit_store()
    last = deposit_store.newest_merge()
    assert last is not None
    data = deposit_store.champion(last.champion)
    (tmp_path / "good.safetensors").write_bytes(data)
    (tmp_path / "truncated.safetensors").write_bytes(data[:-7])
    (tmp_path / "text.safetensors").write_text("hello")
    (tmp_path / "nowhere.safetensors").write_bytes(of_another_task(data))
    (tmp_path / "strange.safetensors").write_bytes(with_another_tensor(data))
    (tmp_path / "bad.toml").write_text("[pool]\ncuont = 3\n")
    (tmp_path / "broken.toml").write_text("[pool\n")
    (tmp_path / "drops.py").write_text(DROPS)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("")
    newer = tmp_path / "newer"
    shutil.copytree(tmp_path / "pool", newer)
    text = (newer / "pool.toml").read_text()
    (newer / "pool.toml").write_text(text.replace("schema = 1", "schema = 9"))
    return tmp_path


def with_another_tensor(data: bytes) -> bytes:
    agent = Agent.from_bytes(data)
    return Agent({**agent.arrays, "extra": np.zeros(3, np.float32)}, agent.metadata).to_bytes()


def of_another_task(data: bytes) -> bytes:
    agent = Agent.from_bytes(data)
    header = json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])
    metadata = json.loads(header["__metadata__"]["poolrl"]) | {"task": "Nowhere-v0"}
    header["__metadata__"]["poolrl"] = json.dumps(metadata)
    new = json.dumps(header).encode()
    assert agent.metadata.task == "Plateau-v0"
    return struct.pack("<Q", len(new)) + new + data[8 + struct.unpack("<Q", data[:8])[0] :]


DROPS = """
import torch
from torch import nn

class Shapes(nn.Module):
    def __init__(self, observation_size, num_parameters):
        super().__init__()
        self.actor = nn.Linear(observation_size, num_parameters)
        self.critic = nn.Linear(observation_size, 1)
    def forward(self, x):
        return self.actor(x), self.critic(x)

class Fine(Shapes):
    def forward(self, x):
        return self.actor(x), self.critic(x)[:, 0]

class Drops(Shapes):
    def forward(self, x):
        return self.actor(nn.functional.dropout(x)), self.critic(x)[:, 0]
"""

RUN = ("run", "--pool-directory", "new")
OLD = ("run", "--pool-directory", "pool")

ON_PLATEAU = ("--set", "task.id=Plateau-v0", "--set", "network.actor=[]")
ON_PLATEAU += ("--set", "network.critic=[]")

CASES: dict[str, tuple[tuple[str, ...], int, list[str]]] = {
    "unknown key in a file": (("run", "bad.toml"), 2, ["bad.toml: pool.cuont", "count"]),
    "a file that is not TOML": (("run", "broken.toml"), 2, ["broken.toml: not valid TOML"]),
    "no such file": (("run", "absent.toml"), 2, ["absent.toml: No such file"]),
    "unknown key in --set": ((*RUN, "--set", "learner.epoch=3"), 2, ["learner.epoch", "epochs"]),
    "--set without =": ((*RUN, "--set", "learner.epochs"), 2, ["learner.epochs", "key=value"]),
    "wrong type": ((*RUN, "--set", "pool.count=ten"), 2, ["pool.count", "int", "'ten'"]),
    "wrong range": ((*RUN, "--pool-count", "0"), 2, ["pool.count", ">= 1", "0"]),
    "a negative rate": ((*RUN, "--learning-rate", "1e-3,-1"), 2, ["learning_rate", "> 0", "-1"]),
    "no list of rates": ((*RUN, "--learning-rate", "a,b"), 2, ["--learning-rate", "a,b"]),
    "a branch key of the network": ((*RUN, "--set", "branches.actor=[1]"), 2, ["branches.actor"]),
    "unknown task": ((*RUN, "--set", "task.id=Swimer-v5"), 2, ["task.id", "Swimmer-v5"]),
    "unknown task argument": ((*RUN, "--set", "task.kwargs.x=1"), 2, ["task.kwargs.x"]),
    "an unknown rule": ((*RUN, "--keep", "some"), 2, ["--keep", "last:N", "'some'"]),
    "an unknown rule in a file": (
        (*RUN, "--set", "run.keep=last:0"),
        2,
        ["run.keep: expected champions, all or last:N", "'last:0'"],
    ),
    "an unknown rule, for prune": (("prune", "pool", "--keep", "last:"), 2, ["--keep", "'last:'"]),
    "not a pool, for prune": (("prune", "other"), 2, ["other: not a pool"]),
    "a newer schema, for prune": (("prune", "newer"), 4, ["schema 9"]),
    "a bad duration": ((*RUN, "--time-budget", "soon"), 2, ["--time-budget", "soon"]),
    "beta with choices": (
        (*RUN, "--task", "CartPole-v1", "--set", "network.distribution=beta"),
        2,
        ["network.distribution: beta does not suit", "categorical does"],
    ),
    "sequences that do not fit": (
        (*RUN, "--set", "network.name=recurrent", "--set", "learner.sequence_steps=999"),
        2,
        ["learner.sequence_steps", "minibatch_size"],
    ),
    "a schedule without an end": (
        (*RUN, "--set", "learner.learning_rate_schedule=linear"),
        2,
        ["learner: learning_rate_schedule", "schedule_steps"],
    ),
    "a network that is not there": (
        (*RUN, "--network", "absent.py:Net"),
        2,
        ["network.source: ", "absent.py:Net: no such file"],
    ),
    "a network that draws numbers": (
        (*RUN, "--network", "drops.py:Drops"),
        2,
        ["drops.py:", "Drops: forward draws random numbers"],
    ),
    "a network of another shape": (
        (*RUN, "--network", "drops.py:Shapes"),
        2,
        ["drops.py:", "Shapes: forward must return value of shape"],
    ),
    "a network for a pool of perceptrons": (
        (*OLD, "--network", "drops.py:Fine"),
        4,
        ["network.name (mlp in the pool, module now)"],
    ),
    "another specification": ((*OLD, "--seed", "4"), 4, ["pool.seed", "0 in the pool", "4 now"]),
    "another configuration": (
        ("run", "--pool-directory", "pool", "--set", "task.max_episode_steps=9"),
        4,
        ["task.max_episode_steps (4 in the pool, 9 now)"],
    ),
    "another task": (
        (*OLD, "--set", "task.id=Swimmer-v5"),
        4,
        ["task.id (Plateau-v0 in the pool, Swimmer-v5 now)"],
    ),
    "another learner": (
        (*OLD, "--set", "learner.name=ppo"),
        4,
        ["learner.name (climb in the pool, ppo now)"],
    ),
    "an infinite argument": (
        (*RUN, "--set", "task.kwargs.ctrl_cost_weight=inf"),
        2,
        ["task.kwargs.ctrl_cost_weight", "finite"],
    ),
    "an impossible argument": (
        (*RUN, "--set", "task.kwargs.reset_noise_scale=-1.0"),
        2,
        ["task: Swimmer-v5 with these arguments"],
    ),
    "a date": ((*RUN, "--set", "task.kwargs.frame_skip=2026-01-01"), 2, ["frame_skip", "int"]),
    "a newer schema": (("run", "--pool-directory", "newer"), 4, ["newer", "schema 9 is newer"]),
    "a newer schema, for a worker": (("worker", "--pool-directory", "newer"), 4, ["schema 9"]),
    "a newer schema, for plot": (("plot", "newer", "-o", "x.png"), 4, ["schema 9"]),
    "not a pool, for run": (("run", "--pool-directory", "other"), 2, ["other: not a pool"]),
    "not a pool, for worker": (("worker", "--pool-directory", "other"), 2, ["other: not a pool"]),
    "not a pool, for history": (("history", "other"), 2, ["other: not a pool"]),
    "not a pool, for plot": (("plot", "other", "-o", "x.png"), 2, ["other: not a pool"]),
    "not a pool, for evaluate": (("evaluate", "other"), 2, ["other: not a pool"]),
    "no such pool": (("history", "absent"), 2, ["absent: no such directory"]),
    "no such agent": (("evaluate", "absent"), 2, ["absent: No such file"]),
    "a truncated agent": (("evaluate", "truncated.safetensors"), 2, ["truncated.safetensors"]),
    "text for an agent": (("evaluate", "text.safetensors"), 2, ["text.safetensors: not an agent"]),
    "an unknown task's agent": (("evaluate", "nowhere.safetensors"), 2, ["'Nowhere-v0'"]),
    "a plot nowhere": (("plot", "pool", "-o", "no/x.png"), 2, ["no/x.png"]),
    "a plot without a kind": (("plot", "pool", "-o", "x"), 2, ["x: name a .png"]),
    "a plot of no known kind": (("plot", "pool", "-o", "x.zzz"), 2, ["x.zzz"]),
    "a target that no score reaches": (
        (*RUN, "--set", "run.target_return=nan"),
        2,
        ["run.target_return: expected a number, got nan"],
    ),
    "more deposits than branches": (
        (*RUN, "--pool-count", 2, "--min-deposits", 3),
        2,
        ["run.min_deposits: 3 branches, of an iteration that has 2"],
    ),
    "more deposits than branches, of a worker": (
        ("worker", "--pool-directory", "pool", "--min-deposits", 99),
        2,
        ["run.min_deposits: 99 branches, of an iteration that has"],
    ),
    "from no agent": ((*RUN, "--from-agent", "absent"), 2, ["absent: No such file"]),
    "from a truncated agent": (
        (*RUN, "--from-agent", "truncated.safetensors"),
        2,
        ["truncated.safetensors: not an agent"],
    ),
    "from a strange agent": (
        (*RUN, *ON_PLATEAU, "--from-agent", "strange.safetensors"),
        2,
        ["strange.safetensors", "tensor extra"],
    ),
    "from another task's agent": (
        (*RUN, "--from-agent", "good.safetensors"),
        2,
        ["--from-agent good.safetensors", "observation_space is", "the pool's {"],
    ),
    "a distribution that does not suit": (
        (*RUN, "--set", "network.distribution=categorical"),
        2,
        ["network.distribution: categorical does not suit", "beta does"],
    ),
    "a distribution of choices": (
        (*RUN, "--task", "CartPole-v1", "--set", "network.distribution=beta"),
        2,
        ["network.distribution: beta does not suit", "Discrete(2)"],
    ),
    "two sizes of a branch": (
        (*RUN, "--iterate-steps", "100", "--iterate-episodes", "2"),
        2,
        ["--iterate-episodes and --iterate-steps"],
    ),
    "steps below zero": ((*RUN, "--iterate-steps", "-1"), 2, ["pool.iterate_steps", "-1"]),
    "segments of REINFORCE": (
        (*RUN, "--set", "learner.name=reinforce", "--set", "learner.segment_steps=8"),
        2,
        ["learner.segment_steps: unknown key"],
    ),
    "a frame skip beyond all numbers": (
        (*RUN, "--set", "task.kwargs.frame_skip=99999999999999"),
        2,
        ["task.kwargs.frame_skip: expected 1 to"],
    ),
    "velocities of an adapted task": (
        (*RUN, "--task", "CartPole-v1", "--set", "task.mask_velocities=true"),
        2,
        ["task.mask_velocities: CartPole-v1"],
    ),
    "an unknown option": (("run", "--pol-count", "3"), 2, ["--pol-count", "--pool-count"]),
    "an unknown command": (("rum",), 2, ["rum"]),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input(directory: Path, name: str) -> None:
    arguments, code, words = CASES[name]
    if "--network" in arguments:
        pytest.importorskip("torch")
    before = snapshot(directory)
    said = in_process(*arguments, cwd=directory)
    assert said.returncode == code, said.stderr
    # click puts a line of usage before its own errors
    lines = [
        line
        for line in said.stderr.strip().splitlines()
        if line and not line.startswith(("Usage:", "Try "))
    ]
    assert len(lines) == 1, said.stderr
    for word in words:
        assert word in lines[0]
    assert snapshot(directory) == before
    assert not (directory / "new").exists()


@pytest.mark.parametrize("name", ["wrong range", "another specification", "an unknown command"])
def test_a_process_says_the_same_as_main(directory: Path, name: str) -> None:
    arguments, code, _ = CASES[name]
    said = poolrl(*arguments, cwd=directory)
    assert (said.returncode, said.stdout) == (code, "")
    last = in_process(*arguments, cwd=directory).stderr.splitlines()[-1]
    assert said.stderr.splitlines()[-1] == last


def test_a_working_directory_that_was_removed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "poolrl", "worker", "--pool-directory", "pool"]
    (tmp_path / "gone").mkdir()
    said = subprocess.run(
        ["sh", "-c", 'rmdir "$PWD" && exec "$@"', "sh", *command],
        cwd=tmp_path / "gone",
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    line = "poolrl: the working directory was removed: change to another one\n"
    assert (said.returncode, said.stdout, said.stderr) == (2, "", line)


def test_a_read_only_directory(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    command = [sys.executable, "-m", "poolrl", "run", "--pool-directory", str(place / "pool")]
    command += settings()
    if os.geteuid() == 0:  # root writes where others may not, but not on a read-only mount
        script = f'mount -t tmpfs -o ro none {place} && exec "$@"'
        command = ["unshare", "--mount", "sh", "-c", script, "sh", *command]
        if subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
            pytest.skip("needs a mount namespace or another user than root")
    else:
        place.chmod(0o555)
    said = subprocess.run(
        command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
    )
    assert said.returncode == 2, said.stderr
    assert said.stderr.count("\n") == 1
    assert "cannot make: " in said.stderr
    assert str(place / "pool") in said.stderr


def test_a_figure_in_a_folder_that_is_not_ones_own(tmp_path: Path) -> None:
    make_pool(tmp_path / "pool", tiny_spec(), RunOptions())
    (tmp_path / "private").mkdir(mode=0)
    said = without_privileges("plot", "pool", "-o", "private/in/plot", cwd=tmp_path)
    (tmp_path / "private").chmod(0o700)
    line = "poolrl: -o private/in/plot: name a .png, .svg or .pdf file\n"
    assert (said.returncode, said.stderr) == (2, line)


def test_a_champion_that_is_missing(directory: Path) -> None:
    for path in (directory / "pool").rglob("*.safetensors"):
        path.unlink()
    said = in_process("evaluate", "pool", cwd=directory)
    assert said.returncode == 4
    assert "missing or damaged" in said.stderr
    assert said.stderr.count("\n") == 1
