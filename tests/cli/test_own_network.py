"""A network of a user's own, from the command line: what runs, where, and with which permission."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import poolrl
from poolrl.errors import UsageError
from tests.conftest import as_options
from tests.frozen.command import succeed
from tests.helpers import user_networks
from tests.helpers.command_line import in_process

KEYS = {
    "pool.count": 2,
    "pool.iterate_episodes": 2,
    "pool.evaluate_episodes": 2,
    "pool.closing_episodes": 2,
    "learner.minibatch_size": 16,
    "learner.sequence_steps": 4,
    "learner.penalties": {"kl": 0.1},
    "task.max_episode_steps": 8,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network's file and a pool of it."""
    folder = tmp_path_factory.mktemp("place")
    shutil.copy(user_networks.__file__, folder / "net.py")
    succeed(
        *("run", "--task", "Swimmer-v5", "--network", "net.py:Bottleneck", "--iterations", "2"),
        *("--pool-directory", "pool", "--workers", "2", *as_options(KEYS)),
        cwd=folder,
    )
    return folder


def test_a_pool_of_it_is_sound_and_goes_on(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place, tmp_path / "copy")
    copy = tmp_path / "copy"
    # Reading a pool runs none of its code.
    for command in (("status",), ("history",), ("verify", "--sample", "0")):
        said = in_process(command[0], "pool", *command[1:], cwd=copy)
        assert said.returncode == 0, said.stderr
    said = in_process("verify", "pool", "--all", cwd=copy)
    assert said.returncode == 2
    assert "add --network" in said.stderr
    # The file may have moved: it is the same by its class and hash.
    (copy / "net.py").rename(copy / "moved.py")
    said = in_process("verify", "pool", "--all", "--network", "moved.py:Bottleneck", cwd=copy)
    assert said.returncode == 0, said.stderr
    succeed(
        *("run", "--pool-directory", "pool", "--iterations", "3"),
        *("--network", "moved.py:Bottleneck"),
        cwd=copy,
    )


def test_a_file_that_has_changed_is_another_network(place: Path, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text((place / "net.py").read_text() + "# changed\n")
    pool = str(place / "pool")
    said = in_process("evaluate", pool, "--network", "net.py:Bottleneck", cwd=tmp_path)
    assert said.returncode == 2, said.stderr
    assert said.stderr.count("\n") == 1
    assert "--network net.py:Bottleneck: the network is" in said.stderr


def test_an_agent_acts_where_its_network_is_permitted(place: Path) -> None:
    (agent,) = (place / "pool/iterations/000002").glob("branch-*.safetensors")
    said = in_process("evaluate", str(agent), "--episodes", "2", "--trust", cwd=place)
    assert said.returncode == 0, said.stderr
    loaded = poolrl.load(agent, network=f"{place}/net.py:Bottleneck")
    size = loaded.metadata.observation_space.shape[0]
    action, state = loaded.step(np.zeros(size))
    assert action.shape == (2,)
    assert [part.shape for part in state] == [(1, 6)]
    with pytest.raises(UsageError, match="the network is"):
        poolrl.load(agent, network=f"{place}/net.py:Plain")
