"""The transitions that a branch has sampled ⇄ one safetensors file, which is not copied to be read.

Rows are those of ``poolrl.rollouts.replay``, simulation after simulation, the oldest row first. The
last row of each simulation has no transition. A file is canonical: the same rows give the same
bytes in any process. Reading it runs no code.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save as save_tensors

from poolrl.errors import UsageError

F32 = NDArray[np.float32]

METADATA = {"poolrl": json.dumps({"kind": "replay", "schema": 1}, separators=(",", ":"))}
"""In the header of every file."""

_TYPES = {"F32": np.float32, "BOOL": np.bool_}

_EXPECTED = (np.float32, np.float32, np.float32, np.bool_, np.bool_)


class Chunk(NamedTuple):
    """Rows of a replay, m of them.

    Attributes:
        observation: (m, observation size), not normalised.
        sample: (m, action size), of the policy's distribution.
        reward: (m,).
        terminated: (m,): no reward follows the row's transition.
        has_action: (m,): whether the row has a transition, to the observation of the next row.
    """

    observation: F32
    sample: F32
    reward: F32
    terminated: NDArray[np.bool_]
    has_action: NDArray[np.bool_]


def to_bytes(chunk: Chunk) -> bytes:
    """Serialise a chunk."""
    arrays = {name: np.ascontiguousarray(array) for name, array in chunk._asdict().items()}
    return save_tensors(arrays, metadata=METADATA)


def from_buffer(data: Any, observation_size: int, action_size: int, source: str) -> Chunk:
    """The arrays of a chunk, as views of its file.

    Args:
        data: content of the file, bytes or a memory-mapped array of them.
        observation_size, action_size: number of values.
        source: name of the file, for errors.

    Raises:
        UsageError: it is no chunk, or one of other sizes; names ``source``.
    """
    try:
        buffer = memoryview(data)
        length = int.from_bytes(buffer[:8], "little")
        header = json.loads(bytes(buffer[8 : 8 + length]))
        if header.pop("__metadata__") != METADATA:
            raise ValueError("another kind of file")
        arrays = {}
        for name, entry in header.items():
            dtype, shape = np.dtype(_TYPES[entry["dtype"]]), tuple(entry["shape"])
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            array = np.frombuffer(buffer[begin:end], dtype)
            arrays[name] = array.reshape(shape)
        chunk = Chunk(**arrays)
        rows = len(chunk.reward)
        shapes = [array.shape for array in chunk]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"{source}: not the transitions of a branch: {error}") from error
    expected = [(rows, observation_size), (rows, action_size), (rows,), (rows,), (rows,)]
    types = [array.dtype for array in chunk] == list(map(np.dtype, _EXPECTED))
    if shapes != expected or not types or not rows or chunk.has_action[-1]:
        raise UsageError(f"{source}: the transitions of another task, or damaged ones")
    return chunk
