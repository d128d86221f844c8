"""Recordings of a body's generalised positions: the files of stac-mjx and track-mjx, and others.

A recording becomes a clip once the model of its body is known (``poolrl.clips.preprocess``).

The flat layout is what stac-mjx writes and track-mjx trains on (MIMIC-MJX, arXiv 2511.20532): the
clips of a file one after another in datasets whose rows are frames, ``qpos`` (N, nq), ``qvel``
(N, nv), ``xpos`` (N, bodies, 3) and ``xquat`` (N, bodies, 4), with the names ``names_qpos`` and
``names_xpos`` and a ``config`` in YAML, of which ``stac.n_frames_per_clip`` is the length of a clip
and ``model.snips_order`` lists the clips' files, such as ``FastWalk_12.p``. Files that join clips
of several lengths pad them to one and list the lengths in ``clip_lengths``
(track-mjx, ``scripts/combine_reference_clips.py``). The rate is in neither.

Other files of tracking have the whole session as ``pose/qpos``, with frames as rows or as columns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from poolrl.clips.clip import ROOT_POSITIONS, Array, require_rate
from poolrl.errors import UsageError
from poolrl.extras import require
from poolrl.hdf5 import SYNTHETIC, damage_named, dataset, open_file, text

if TYPE_CHECKING:
    import h5py

SESSION = "pose/qpos"
"""Dataset of a session's generalised positions."""


@dataclass(frozen=True, eq=False)
class Recording:
    """Generalised positions of a body with a free root joint; rows are frames.

    Attributes:
        name: of the recording, unlike any other's of its file.
        label: the behaviour; empty for none.
        fps: frames a second.
        qpos: (T, nq): as MuJoCo's; quaternions need not be of unit length.
        body_names: of all bodies in ``xpos``, or none.
        xpos: (T, bodies, 3): their positions in m; ``None`` where the file has none.
    """

    name: str
    label: str
    fps: float
    qpos: Array
    body_names: tuple[str, ...] = ()
    xpos: Array | None = None


def is_synthetic(path: str | Path) -> bool:
    """Whether a file says that what is in it was made, and not recorded.

    Raises:
        UsageError: it cannot be opened as HDF5.
    """
    with open_file(path) as file, damage_named(path):
        return bool(file.attrs.get(SYNTHETIC, False))


def has_recordings(path: str | Path) -> bool:
    """Whether a file has one of the layouts of recordings.

    Raises:
        UsageError: it cannot be opened as HDF5.
    """
    with open_file(path) as file, damage_named(path):
        return "qpos" in file or SESSION in file


def read_recordings(
    path: str | Path, *, fps: float, frames_per_clip: int | None = None
) -> Iterator[Recording]:
    """Read the recordings of a file, one at a time.

    Args:
        path: of a file in the flat layout or with ``pose/qpos``.
        fps: frames a second, which files do not say.
        frames_per_clip: length of the clips of a flat file, where its own is not meant.

    Raises:
        UsageError: the file has neither layout, or is damaged; one line that names file and field.
    """
    require_rate(fps)
    with open_file(path) as file:
        with damage_named(path):
            is_flat, is_session = "qpos" in file, SESSION in file
        if is_flat:
            yield from _flat(path, file, fps, frames_per_clip)
        elif is_session:
            yield _session(path, file, fps)
        else:
            raise UsageError(f"{path}: neither qpos nor {SESSION}: no recording")


def _session(path: str | Path, file: h5py.File, fps: float) -> Recording:
    source = dataset(path, file, SESSION)
    if source.ndim != 2:
        raise UsageError(f"{path}: {SESSION}: expected two dimensions, got {source.ndim}")
    with damage_named(path, SESSION):
        qpos = np.asarray(source, np.float64)
    if not _is_qpos(qpos) and _is_qpos(qpos.T):
        qpos = np.ascontiguousarray(qpos.T)
    _require_qpos(path, SESSION, qpos)
    return Recording(Path(path).stem, "", fps, qpos)


def _flat(
    path: str | Path, file: h5py.File, fps: float, frames_per_clip: int | None
) -> Iterator[Recording]:
    qpos = dataset(path, file, "qpos")
    if qpos.ndim != 2:
        raise UsageError(f"{path}: qpos: expected two dimensions, got {qpos.ndim}")
    config = _config(path, file)
    snips = _snips(path, config)
    lengths = _lengths(path, file, config, len(snips), frames_per_clip)
    frames = len(qpos)
    if frames == 0:
        raise UsageError(f"{path}: qpos: no frames")
    if frames % len(lengths):
        raise UsageError(f"{path}: qpos: {frames} frames are no {len(lengths)} clips of one length")
    stride = frames // len(lengths)
    if not all(1 <= length <= stride for length in lengths):
        raise UsageError(f"{path}: clip_lengths: expected 1 to {stride} frames")
    names, xpos = _bodies(path, file, frames)
    unique = _unique(snips if len(snips) == len(lengths) else ["clip"] * len(lengths))
    for number, length in enumerate(lengths):
        rows = slice(number * stride, number * stride + length)
        with damage_named(path, "qpos"):
            positions = np.asarray(qpos[rows], np.float64)
        _require_qpos(path, "qpos", positions, number * stride)
        with damage_named(path, "xpos"):
            bodies = None if xpos is None else np.asarray(xpos[rows], np.float64)
        label = _label(snips[number]) if len(snips) == len(lengths) else ""
        yield Recording(unique[number], label, fps, positions, names, bodies)


def _config(path: str | Path, file: h5py.File) -> dict[str, Any]:
    with damage_named(path, "config"):
        raw = file.get("config")
    if raw is None:
        return {}
    require("yaml", "clips", f"{path}: config: YAML needs PyYAML")
    import yaml

    with damage_named(path, "config"):
        try:
            found = yaml.safe_load(text(raw[()]))
        except (yaml.YAMLError, RecursionError) as error:
            line = " ".join(str(error).split())
            raise UsageError(f"{path}: config: no YAML: {line}") from error
    if not isinstance(found, dict):
        raise UsageError(f"{path}: config: expected a mapping")
    return found


def _snips(path: str | Path, config: dict[str, Any]) -> list[str]:
    """The names of the clips' files in the configuration."""
    model = config.get("model")
    snips = model.get("snips_order") if isinstance(model, dict) else None
    if snips is None:
        return []
    if not isinstance(snips, list) or not all(isinstance(each, str) for each in snips):
        raise UsageError(f"{path}: config: model.snips_order: expected a list of names")
    return [PurePosixPath(each).stem for each in snips]


def _lengths(
    path: str | Path,
    file: h5py.File,
    config: dict[str, Any],
    num_snips: int,
    frames_per_clip: int | None,
) -> list[int]:
    """Lengths of the clips in frames."""
    frames = len(file["qpos"])
    if frames_per_clip is None and "clip_lengths" in file:
        source = dataset(path, file, "clip_lengths")
        with damage_named(path, "clip_lengths"):
            lengths = [int(each) for each in np.ravel(source[()])]
        if not lengths:
            raise UsageError(f"{path}: clip_lengths: empty")
        return lengths
    stac = config.get("stac")
    length = frames_per_clip or (stac.get("n_frames_per_clip") if isinstance(stac, dict) else None)
    if length is None and num_snips:
        return [frames // num_snips] * num_snips
    if length is None or length == 1:  # 1 is stac-mjx's way to say that it is one session
        return [frames]
    if not isinstance(length, int) or length < 1:
        raise UsageError(f"{path}: config: stac.n_frames_per_clip: expected a number of frames")
    if frames % length:
        whence = "" if frames_per_clip else " (config: stac.n_frames_per_clip)"
        raise UsageError(f"{path}: qpos: {frames} frames are no clips of {length}{whence}")
    return [length] * (frames // length)


def _bodies(
    path: str | Path, file: h5py.File, frames: int
) -> tuple[tuple[str, ...], h5py.Dataset | None]:
    """Names and positions of all bodies, if the file has both."""
    if "xpos" not in file or "names_xpos" not in file:
        return (), None
    xpos = dataset(path, file, "xpos")
    with damage_named(path, "names_xpos"):
        names = tuple(text(each) for each in np.ravel(file["names_xpos"][()]))
    if xpos.shape != (frames, len(names), 3):
        raise UsageError(
            f"{path}: xpos: expected the shape {(frames, len(names), 3)} by qpos and names_xpos, "
            f"got {xpos.shape}"
        )
    return names, xpos


def _unique(names: list[str]) -> list[str]:
    """Names with numbers behind those that are not the only ones, and without slashes."""
    plain = [re.sub(r"[/\0]", "_", name) or "clip" for name in names]
    if len(set(plain)) == len(plain) and not any(name.strip(".") == "" for name in plain):
        return plain
    return [f"{name}_{number}" for number, name in enumerate(plain)]


def _label(snip: str) -> str:
    """The behaviour in a name such as FastWalk_12; the name, if it is of another form."""
    match = re.fullmatch(r"([A-Za-z]+)_\d+", snip)
    return match[1] if match else snip


def _is_qpos(array: NDArray[np.float64]) -> bool:
    """Whether columns 3 to 7 are quaternions, of about unit length."""
    if array.shape[1] < ROOT_POSITIONS or not len(array):
        return False
    with np.errstate(over="ignore"):
        length = np.linalg.norm(array[:, 3:ROOT_POSITIONS], axis=1)
    return bool((np.abs(length - 1.0) < 0.1).all())


def _require_qpos(path: str | Path, field: str, qpos: Array, first_frame: int = 0) -> None:
    if not np.isfinite(qpos).all():
        frame, column = np.argwhere(~np.isfinite(qpos))[0]
        raise UsageError(
            f"{path}: {field}: {qpos[frame, column]} in frame {first_frame + frame}, column "
            f"{column}"
        )
    if not _is_qpos(qpos):
        raise UsageError(
            f"{path}: {field}: columns 3 to 6 are no quaternions: no body with a free root joint?"
        )
