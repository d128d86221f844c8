"""Hostile agent files are refused with one line."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import poolrl
from poolrl import files
from poolrl.agent import Agent
from poolrl.errors import UsageError
from tests.faults.hostile.agents import with_array, with_header, with_metadata
from tests.faults.hostile.values import damaged, deep, whole

NETWORK = {"actor": [], "critic": [], "activation": "tanh", "distribution": "beta"}
BOX = {"shape": [2], "dtype": "float64"}

AGENTS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "a length beyond all files": (lambda d: b"\xff" * 8 + d[8:], "header of"),
    "a length of 100 MB": (lambda d: struct.pack("<Q", 10**8) + d[8:], "header of 100,000,000"),
    "offsets that overlap": (
        lambda d: with_header(d, lambda h: h["actor.0.bias"].update(data_offsets=[0, 8])),
        "not an agent file",
    ),
    "a shape of terabytes": (
        lambda d: with_header(d, lambda h: h["actor.0.bias"].update(shape=[2**40, 2**40])),
        "not an agent file",
    ),
    "a negative shape": (
        lambda d: with_header(d, lambda h: h["actor.0.bias"].update(shape=[-1])),
        "not an agent file",
    ),
    "a network of a billion units": (
        lambda d: with_metadata(d, network=NETWORK | {"actor": [10**9, 10**9]}),
        "damaged metadata",
    ),
    "a network of ten billion parameters": (
        lambda d: with_metadata(d, network=NETWORK | {"actor": [100_000, 100_000]}),
        "parameters, more than",
    ),
    "a type of its own": (lambda d: with_array(d, "actor.0.bias", [0] * 4), "int64, not float32"),
    "an array too many": (lambda d: with_array(d, "x", [0.0]), "tensor x is none"),
    "not a number": (lambda d: with_array(d, "normalizer.mean", [np.nan] * 2), "not finite"),
    "a negative variance": (lambda d: with_array(d, "normalizer.var", [-1.0] * 2), "is negative"),
    "observations that are choices": (
        lambda d: with_metadata(
            d, observation_space={"shape": [], "dtype": "int64", "choices": [3]}
        ),
        "observations must be a box",
    ),
    "bounds that are no numbers": (
        lambda d: with_metadata(
            d, observation_space=BOX | {"low": [np.nan] * 2, "high": [1.0] * 2}
        ),
        "not in order",
    ),
    "arguments nested deep": (lambda d: with_metadata(d, task_kwargs={"a": deep(60)}), "nested"),
    "an integer of 4000 digits": (
        lambda d: with_header(
            d, lambda h: h["__metadata__"].update(poolrl='{"schema":' + "9" * 5000 + "}")
        ),
        "not an agent's",
    ),
    "half a character": (lambda d: with_metadata(d, task="\ud800"), "damaged metadata"),
    "two lines": (lambda d: with_metadata(d, task="a\nb"), "damaged metadata"),
    "more steps than there is time": (
        lambda d: with_metadata(d, max_episode_steps=10**30),
        "damaged metadata",
    ),
}


@pytest.mark.parametrize("name", AGENTS)
def test_hostile_agents(agent_bytes: bytes, tmp_path: Path, name: str) -> None:
    change, words = AGENTS[name]
    path = tmp_path / "mine"
    path.write_bytes(change(agent_bytes))
    start = time.process_time()
    with pytest.raises(UsageError, match=r"mine: ") as error:
        poolrl.load(path)
    assert words in str(error.value)
    assert time.process_time() - start < 5


def test_a_repeated_key(agent_bytes: bytes) -> None:
    size = int.from_bytes(agent_bytes[:8], "little")
    text = agent_bytes[8 : 8 + size].rstrip()
    twice = text[:-1] + b"," + text[1:]
    with pytest.raises(UsageError):
        Agent.from_bytes(struct.pack("<Q", len(twice)) + twice + agent_bytes[8 + size :])


def test_an_agent_must_be_a_plain_file(agent_bytes: bytes, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="pipe: no plain file"):
        poolrl.load(tmp_path / "pipe")
    with pytest.raises(UsageError, match="/dev/zero: no plain file"):
        poolrl.load("/dev/zero")
    with pytest.raises(UsageError, match="Is a directory"):
        poolrl.load(tmp_path)
    with pytest.raises(UsageError, match="no name of a file"):
        poolrl.load("a\0b")
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(files.AGENT + 1)
    with pytest.raises(UsageError, match="huge: larger than"):
        poolrl.load(tmp_path / "huge")
    (tmp_path / "real").write_bytes(agent_bytes)
    (tmp_path / "link").symlink_to("real")
    assert poolrl.load(tmp_path / "link").metadata.task == "Plateau-v0"


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_bytes_are_an_agent_or_refused(agent_bytes: bytes, data: st.DataObject) -> None:
    changed = data.draw(damaged(agent_bytes) | whole)
    try:
        agent = Agent.from_bytes(changed, "mine")
    except UsageError as error:
        assert str(error).startswith("mine: ")  # noqa: PT017
    else:
        assert np.isfinite(agent.act(np.zeros(2))).all()
