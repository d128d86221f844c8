"""A rollout ⇄ one safetensors file.

A file holds what an update needs and cannot compute again bit for bit, of the valid steps alone.
It is canonical: the same rollout gives the same bytes in any process. Reading it runs no code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from poolrl.agent import Agent
from poolrl.errors import Divergence, UsageError
from poolrl.rollouts.rollout import STEP_ARRAYS, Rollout
from poolrl.rollouts.sampler import Episodes

METADATA = {"poolrl": json.dumps({"kind": "rollout", "schema": 1}, separators=(",", ":"))}
"""In the header of every file."""

VALID, NOISE, STATE = "valid", "noise", "state."
RETURNS, LENGTHS = "episodes.returns", "episodes.lengths"


def to_bytes(rollout: Rollout) -> bytes:
    """Serialise a rollout; the same one gives the same bytes, whatever steps are not valid hold.

    Arrays: ``valid``, shape (T, n); the others of ``Rollout``, shape (number of valid steps, …), in
    the order of time and then of simulations, without ``normalized``, which follows from the
    statistics of the agent, and ``goes_on``; ``state.0``, … for a memory; returns and lengths of
    the episodes that ended.
    """
    arrays: dict[str, NDArray[Any]] = {name: getattr(rollout, name) for name in STEP_ARRAYS}
    arrays |= {f"{STATE}{number}": state for number, state in enumerate(rollout.states)}
    if rollout.noise is not None:
        arrays[NOISE] = rollout.noise
    tensors = {name: array[rollout.valid] for name, array in arrays.items()}
    tensors[VALID] = rollout.valid
    tensors[RETURNS], tensors[LENGTHS] = rollout.episodes.returns, rollout.episodes.lengths
    contiguous = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    return save_tensors(contiguous, metadata=METADATA)


def from_bytes(data: bytes, agent: Agent, source: str = "rollout") -> Rollout:
    """Parse and check a rollout file.

    Args:
        data: content of the file.
        agent: that sampled it; its normaliser gives ``normalized``.
        source: name of the file, for errors.

    Returns:
        The rollout, with zeros in steps that are not valid; no simulation goes on.

    Raises:
        UsageError: the bytes are truncated, or no rollout of this agent; names ``source``.
    """
    try:
        tensors = load_tensors(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise UsageError(f"{source}: not a rollout file, or a damaged one: {error}") from error
    try:
        valid = _checked(tensors, agent)
    except ValueError as error:
        raise UsageError(f"{source}: not a rollout of this agent: {error}") from error

    def scattered(name: str) -> NDArray[Any]:
        tensor = tensors[name]
        whole = np.zeros((*valid.shape, *tensor.shape[1:]), tensor.dtype)
        whole[valid] = tensor
        return whole

    named = {name: scattered(name) for name in STEP_ARRAYS}
    observation = named["observation"]
    normalized = agent.policy.normalized(observation.reshape(valid.size, -1))
    return Rollout(
        **named,
        normalized=normalized.reshape(observation.shape),
        valid=valid,
        goes_on=np.zeros(valid.shape[1], np.bool_),
        episodes=Episodes(tensors[RETURNS], tensors[LENGTHS]),
        states=tuple(scattered(f"{STATE}{number}") for number in range(_num_states(tensors))),
        noise=scattered(NOISE) if NOISE in tensors else None,
    )


def check_finite(rollout: Rollout) -> None:
    """Check that an update can be made on a rollout.

    Raises:
        Divergence: a valid step has an array that is not finite.
    """
    arrays = {name: getattr(rollout, name) for name in STEP_ARRAYS}
    arrays |= {f"{STATE}{number}": state for number, state in enumerate(rollout.states)}
    for name, array in arrays.items():
        if not np.isfinite(array[rollout.valid]).all():
            raise Divergence(f"{name} is not finite in training")


def _num_states(tensors: Mapping[str, NDArray[Any]]) -> int:
    return sum(name.startswith(STATE) for name in tensors)


def _checked(tensors: Mapping[str, NDArray[Any]], agent: Agent) -> NDArray[np.bool_]:
    """The array ``valid``.

    Raises:
        ValueError: an array is missing, unknown, or of a wrong type or shape.
    """
    policy = agent.policy
    states = [f"{STATE}{number}" for number in range(_num_states(tensors))]
    noise = [NOISE] if policy.network.noise_size else []
    steps = [*STEP_ARRAYS, *states, *noise]
    if set(tensors) != {*steps, VALID, RETURNS, LENGTHS}:
        raise ValueError(f"it has the arrays {', '.join(sorted(tensors))}")
    if bool(states) != policy.network.has_memory:
        raise ValueError("one of them has a memory")
    kinds = {name: "f" for name in tensors} | {VALID: "b", "ended": "b", LENGTHS: "i"}
    for name, kind in kinds.items():
        if tensors[name].dtype.kind != kind and name != "sample":
            raise ValueError(f"{name} is {tensors[name].dtype}")
    valid: NDArray[np.bool_] = tensors[VALID]
    if valid.ndim != 2 or not valid.any():
        raise ValueError(f"{VALID} has the shape {valid.shape}, or no step")
    for name in steps:
        if tensors[name].shape[:1] != (int(valid.sum()),):
            raise ValueError(f"{name} has the shape {tensors[name].shape}")
    for name in ("log_prob", "value", "reward", "ended", "bootstrap"):
        if tensors[name].ndim != 1:
            raise ValueError(f"{name} has the shape {tensors[name].shape}")
    observation = tensors["observation"]
    size = agent.metadata.observation_space.shape
    if observation.shape[1:] != size or observation.dtype != policy.observation_type:
        raise ValueError(f"observations are {observation.dtype} of the shape {observation.shape}")
    return valid
