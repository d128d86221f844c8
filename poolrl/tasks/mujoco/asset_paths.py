"""The hash that a compiled model has where its files are at another place.

A compiled model contains the absolute paths of its meshes, textures, height fields and skins, and
nothing else that depends on where they are. So a model that has moved is compiled where it is now,
and then its paths are replaced by the recorded ones.
"""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Iterator, Sequence

import mujoco
import numpy as np

_HEADER = 5
"""Numbers of four bytes before the sizes: magic number, bytes of a float, number of sizes, …"""

_ALIGNMENT = 64
"""Of the arrays in memory, in bytes; the last size is that of their buffer."""


def serialized(model: mujoco.MjModel) -> bytes:
    """A compiled model in MuJoCo's binary format (MJB)."""
    buffer = np.empty(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, buffer)
    return buffer.tobytes()


def sha256s_elsewhere(model: mujoco.MjModel, folder: str, recorded: str) -> Iterator[str]:
    """The SHA-256 hashes that a model may have had when its folder was at another place.

    Files in the folder were in the recorded one. Files outside were either at the same relative
    path, if the model names them so, or at the same absolute one; the compiled model does not say
    which.

    Args:
        model: compiled from the files in ``folder``.
        folder: absolute path of the folder of the model's file.
        recorded: absolute path of the folder in which the model was when it was hashed.
    """
    own = [path.decode(errors="surrogateescape") for path in model.paths.split(b"\0")[:-1]]
    if not own:
        return
    tried = set()
    # The more of the path a file shares with the folder, the likelier it is named relative to it.
    for depth in range(len(folder.split(os.sep)) + 1):
        near = os.sep.join(folder.split(os.sep)[:depth])
        paths = tuple(
            os.path.normpath(os.path.join(recorded, os.path.relpath(path, folder)))
            if os.path.isabs(path) and path.startswith(near.rstrip(os.sep) + os.sep)
            else path
            for path in own
        )
        if paths in tried:
            continue
        tried.add(paths)
        data = with_paths(model, paths)
        if data is not None:
            yield hashlib.sha256(data).hexdigest()


def with_paths(model: mujoco.MjModel, paths: Sequence[str]) -> bytes | None:
    """A compiled model in MuJoCo's binary format, with other paths of its files.

    Args:
        model: is not changed.
        paths: as many as it has.

    Returns:
        ``None`` where this version of MuJoCo has another format, which is found by loading it.
    """
    old: bytes = model.paths
    new = b"".join(path.encode(errors="surrogateescape") + b"\0" for path in paths)
    changed = copy.copy(model)
    starts = dict(zip(_starts(old), _starts(new), strict=True)) | {-1: -1}
    for name in ("mesh_pathadr", "hfield_pathadr", "tex_pathadr", "skin_pathadr"):
        addresses = getattr(changed, name)
        addresses[...] = [starts[int(address)] for address in addresses]
    data = serialized(changed)
    at = data.rfind(old)
    header = np.frombuffer(data, np.int32, _HEADER)
    start = header.nbytes
    sizes = np.frombuffer(data, np.int64, int(header[2]), start)
    longer = len(new) - len(old)
    for index in np.flatnonzero(sizes == len(old)).tolist():
        # The buffer grows by whole units, and how many depends on the other arrays.
        for units in {longer // _ALIGNMENT, -(-longer // _ALIGNMENT)}:
            other = sizes.copy()
            other[index] = len(new)
            other[-1] += units * _ALIGNMENT
            end = start + sizes.nbytes
            result = data[:start] + other.tobytes() + data[end:at] + new + data[at + len(old) :]
            if _is_loaded_with(result, new):
                return result
    return None


def _starts(paths: bytes) -> list[int]:
    """Where each of the paths begins, which all end with a zero."""
    ends = [i + 1 for i, byte in enumerate(paths) if byte == 0]
    return [0, *ends][:-1]


def _is_loaded_with(data: bytes, paths: bytes) -> bool:
    try:
        model = mujoco.MjModel.from_binary_path("model.mjb", {"model.mjb": data})
    except Exception:  # whatever MuJoCo has against it
        return False
    return bool(model.paths == paths) and serialized(model) == data
