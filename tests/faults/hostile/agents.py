"""Change agent files."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from poolrl.agent import Agent


def with_header(data: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    change(header)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + size :]


def with_metadata(data: bytes, **changed: Any) -> bytes:
    def change(header: dict[str, Any]) -> None:
        table = json.loads(header["__metadata__"]["poolrl"]) | changed
        header["__metadata__"]["poolrl"] = json.dumps(table)

    return with_header(data, change)


def with_array(data: bytes, name: str, array: Any) -> bytes:
    agent = Agent.from_bytes(data)
    return Agent({**agent.arrays, name: np.array(array)}, agent.metadata).to_bytes()
