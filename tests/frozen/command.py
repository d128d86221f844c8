"""poolrl's command line and file formats, as a user has them; nothing else of poolrl is used."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

ROOT = Path(__file__).resolve().parents[2]
"""The checkout, whose poolrl is called."""


def poolrl(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Call the command line in a folder."""
    return python("-m", "poolrl", *arguments, cwd=cwd)


def python(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Call this Python in a folder, with the poolrl of this checkout."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def succeed(*arguments: object, cwd: Path) -> str:
    """Call the command line, which must end with exit code 0; its standard output."""
    done = poolrl(*arguments, cwd=cwd)
    assert done.returncode == 0, f"poolrl {' '.join(map(str, arguments))}\n{done.stderr}"
    return done.stdout


def as_options(keys: dict[str, Any]) -> list[str]:
    """Keys of a configuration as ``--set`` on a command line."""
    return [
        word
        for key, value in keys.items()
        for word in ("--set", f"{key}={value if isinstance(value, str) else json.dumps(value)}")
    ]


def merges(pool: Path) -> dict[int, dict[str, Any]]:
    """The merges of a pool, by iteration."""
    found = {}
    for path in sorted((pool / "iterations").glob("*/merge.json")):
        merge = json.loads(path.read_text())
        assert merge["iteration"] == int(path.parent.name)
        found[merge["iteration"]] = merge
    return found


def champions(pool: Path) -> dict[str, dict[str, Any]]:
    """SHA-256 and score of every champion of a pool, by iteration as text.

    The SHA-256 that a merge names must be that of the file.
    """
    table = {}
    for iteration, merge in merges(pool).items():
        champion = merge["champion"]
        found = hashlib.sha256((pool / champion["path"]).read_bytes()).hexdigest()
        assert found == champion["sha256"], champion["path"]
        table[str(iteration)] = {"sha256": found, "score": champion["score"]}
    return table


def tensors_sha256(path: Path) -> str:
    """SHA-256 of an agent's tensors with their names, types and shapes, in the order of the names.

    It leaves out the header's description of the task, and so the path of a task's model.
    """
    digest = hashlib.sha256()
    for name, array in sorted(safetensors.numpy.load(path.read_bytes()).items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def fill(words: Sequence[str], **values: object) -> list[str]:
    """Words of a command line with their placeholders filled in, as in ``{pool}``."""
    filled = []
    for word in words:
        for name, value in values.items():
            word = word.replace(f"{{{name}}}", str(value))  # noqa: PLW2901
        filled.append(word)
    return filled
