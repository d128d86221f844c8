"""Tasks of the rat whose actions are latent variables of a frozen decoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from poolrl import tasks
from poolrl.agent import Agent
from poolrl.config.schema import World
from poolrl.errors import UsageError
from poolrl.frozen_decoder import FrozenDecoder
from poolrl.launch.pool_setup import make_or_open_pool
from poolrl.networks.normalizer import update_normalizer
from poolrl.tasks.imitation.command import CommandTask
from poolrl.tasks.imitation.joystick import Joystick
from tests.conftest import TINY
from tests.helpers.pools import champion_file
from tests.helpers.rodents import imitating_agent, needs_dm, write_rat_clips
from tests.helpers.workers import work

pytestmark = needs_dm

ID = "RodentJoystick-v0"
TASKS = (ID, "RodentMoveToTarget-v0", "RodentRun-v0")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_rat_clips(tmp_path_factory.mktemp("clips") / "clips.h5", (9,))


def save(path: Path, clips: str, **kwargs: Any) -> str:
    """Write an agent of imitation that has observed something; return its path."""
    made = imitating_agent({"clips": clips, **kwargs}, network__latent_size=5)
    arrays = {name: array.copy() for name, array in made.arrays.items()}
    (size,) = made.metadata.observation_space.shape
    seen = np.random.default_rng(1).normal(0, 2, (200, size))
    update_normalizer(arrays, made.metadata.network, seen)
    path.write_bytes(Agent(arrays, made.metadata).to_bytes())
    return str(path)


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory, clips: str) -> str:
    return save(tmp_path_factory.mktemp("agent") / "agent.safetensors", clips)


def started(task_id: str, n: int, decoder: str, **kwargs: Any) -> CommandTask:
    task = tasks.make(task_id, n, kwargs={"decoder": decoder, **kwargs})
    assert isinstance(task, CommandTask)
    task.reset(np.arange(n), [np.random.default_rng([4, i]) for i in range(n)])
    return task


@pytest.mark.parametrize("task_id", TASKS)
def test_controls_are_the_decoders_mean_actions(task_id: str, decoder: str) -> None:
    task, own = started(task_id, 4, decoder), FrozenDecoder.load(decoder)
    assert task.action_space.shape == (5,)
    assert (task.action_space.low == -3).all()
    state, starts = own.initial_state(4), np.ones(4, bool)
    random = np.random.default_rng(2)
    for k in range(7):
        if k == 4:  # a new episode, with an empty memory
            task.reset(np.array([1]), [np.random.default_rng(9)])
            starts[1] = True
        latent = random.normal(0, 1, (4, 5)).astype(np.float32)
        seen = task.observe()[:, :200]
        ids = np.array([0, 1, 3]) if k in (2, 5) else np.arange(4)
        expected, after = own.act(latent, seen, state, starts)
        task.step(latent, None if len(ids) == 4 else ids)
        # As it was computed for all; a smaller batch has other low bits.
        assert np.array_equal(task.ctrl[ids], np.clip(expected, -1.0, 1.0)[ids].astype(float))
        state = tuple(part.copy() for part in state)
        for part, new in zip(state, after, strict=True):
            part[ids] = new[ids]
        starts[ids] = False
    assert 0.05 < np.abs(task.ctrl).max() <= 1.0


def test_the_memory_does_not_depend_on_neighbours(decoder: str) -> None:
    """What others do has no effect, nor whether they step."""
    runs = []
    for others in (0.0, 1.0):
        task = started(ID, 4, decoder)
        random = np.random.default_rng(2)
        for k in range(4):
            latent = np.full((4, 5), others)
            latent[0] = random.normal(0, 1, 5)
            result = task.step(latent, np.array([0]) if others and k == 1 else None)
        runs.append(result.observation[0])
    assert np.array_equal(*runs)


def test_the_hash_is_of_the_decoder_too(tmp_path: Path, clips: str, decoder: str) -> None:
    def fingerprint(**kwargs: Any) -> str:
        return tasks.fingerprint(tasks.make(ID, 1, kwargs=kwargs))

    copied = tmp_path / "copied.safetensors"
    copied.write_bytes(Path(decoder).read_bytes())
    assert fingerprint(decoder=str(copied)) == fingerprint(decoder=decoder)
    another = Agent.load(decoder)
    another.arrays["actor.head.bias"][0] += 1.0
    copied.write_bytes(another.to_bytes())
    assert len({fingerprint(), fingerprint(decoder=decoder), fingerprint(decoder=str(copied))}) == 3
    assert tasks.with_absolute_paths({"decoder": "agent"}, ID)["decoder"].startswith("/")


def test_other_decoders_are_refused(tmp_path: Path, clips: str, decoder: str) -> None:
    path = tmp_path / "agent.safetensors"

    def refused(words: str, **kwargs: Any) -> None:
        with pytest.raises(UsageError) as error:
            tasks.make(ID, 1, kwargs={"decoder": str(path), **kwargs})
        assert str(path) in str(error.value)
        assert words in str(error.value)
        assert "\n" not in str(error.value)

    refused("missing" if path.exists() else "No such file")
    path.write_bytes(b"none")
    refused("agent.safetensors")
    save(path, clips, speed_range=2.0)
    refused("of another body: its decoder sees more than the 200 values of proprioception")
    save(path, clips, torque_actuators=False)
    refused("of another body: it was trained with torque_actuators = False, not True")
    assert isinstance(
        tasks.make(ID, 1, kwargs={"decoder": str(path), "torque_actuators": False}), Joystick
    )

    made = Agent.load(decoder)
    for world, words in (
        (
            World(id="Swimmer-v5", max_episode_steps=9),
            "it was trained on Swimmer-v5, which is no task with the rat",
        ),
        (replace(made.metadata.world, action_repeat=2), "trained with mask_velocities or action"),
        (
            World(id=ID, max_episode_steps=9, kwargs={"frame_skip": 4}),
            "it was trained with frame_skip = 4, not 5",
        ),
        (
            World(id=ID, max_episode_steps=9, kwargs={"decoder": decoder}),
            "its actions are latent variables of another decoder",
        ),
    ):
        other = Agent(dict(made.arrays), made.metadata.in_world(world))
        path.write_bytes(other.to_bytes())
        refused(words)
    path.write_bytes(Path(decoder).read_bytes())
    refused_range = {"decoder": str(path), "latent_range": 0.0}
    with pytest.raises(UsageError, match=r"latent_range: expected more than 0, got 0\.0"):
        tasks.make(ID, 1, kwargs=refused_range)


def test_a_pool_learns_latent_actions(tmp_path: Path, decoder: str) -> None:
    keys = {
        **TINY,
        "pool.count": 1,
        "task.id": ID,
        "task.kwargs.decoder": decoder,
        "task.max_episode_steps": 3,
    }
    pool, _, _ = make_or_open_pool(None, tmp_path / "pool", keys, None)
    history = work(pool, 1)
    assert [unit.status for unit in history.units] == ["done"] * len(history.units)
    champion = Agent.load(champion_file(tmp_path / "pool", 1))
    assert champion.metadata.action_space.shape == (5,)
    assert champion.metadata.world.kwargs["decoder"] == decoder
