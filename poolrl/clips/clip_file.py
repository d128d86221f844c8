"""Files of clips in the layout of dm_control and of the virtual rodent's clips.

Each clip is a group NAME with attributes ``num_steps``, ``dt`` (s) and ``action``, the behaviour;
its arrays are datasets (width, T), columns are frames, in NAME/walkers/walker_0. It is the layout
of ``dm_control.locomotion.mocap.loader.HDF5TrajectoryLoader``, which opens these files too, and of
the clips that the virtual rodent imitates (Aldarondo et al., *A virtual rodent predicts the
structure of neural activity across behaviours*, Nature 632, 2024).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from poolrl.clips.clip import FIELDS, Clip, counts, require_rate, require_shapes
from poolrl.errors import UsageError
from poolrl.hdf5 import (
    SYNTHETIC,
    ReadFile,
    damage_named,
    dataset,
    mark,
    new_file,
    read_transposed,
    single,
    text,
    write_transposed,
)

if TYPE_CHECKING:
    import h5py

WALKER = "walkers/walker_0"
"""Group of a clip's arrays, within the clip's own."""

DEFAULT_FPS = 50.0
"""Frames a second of clips that do not say: those of the virtual rodent."""

RATE_TOLERANCE = 1e-6
"""Largest relative difference of two rates that count as one."""


class ClipInfo(NamedTuple):
    """What a file says of a clip besides its arrays.

    Attributes:
        name: of its group.
        label: the behaviour; empty for none.
        fps: frames a second.
        num_frames: their number.
        counts: numbers of ``joints``, ``appendages`` and ``bodies``.
    """

    name: str
    label: str
    fps: float
    num_frames: int
    counts: dict[str, int]


class ClipFile(ReadFile):
    """The clips of a file, each read when it is asked for; a context manager.

    Names, labels, rates and shapes of all clips are read and checked at once, numbers with their
    clip. Clips are in the order of their names, of which digits are compared as numbers.

    Args:
        path: of the file.
        fps: frames a second that the clips must have; a clip that does not say has them.
        joints: their number, without the root, that the clips must have.
        appendages: number of end effectors that the clips must have.
        bodies: number of tracked bodies that the clips must have.

    Attributes:
        path: of the file.
        infos: of all clips.
        is_synthetic: whether the file says that its clips were made, and not recorded.

    Raises:
        UsageError: the file is none of clips, damaged or of another rate or body; one line that
            names file and field.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        fps: float | None = None,
        joints: int | None = None,
        appendages: int | None = None,
        bodies: int | None = None,
    ) -> None:
        super().__init__(path)
        try:
            with damage_named(path):
                names = sorted(self._file, key=_as_numbers)
                self.is_synthetic = bool(self._file.attrs.get(SYNTHETIC, False))
            if not names:
                raise UsageError(f"{path}: no clips")
            self.infos = [self._info(name, fps or DEFAULT_FPS) for name in names]
            body = {"joints": joints, "appendages": appendages, "bodies": bodies}
            self._require(fps, {count: n for count, n in body.items() if n is not None})
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self.infos)

    def __getitem__(self, index: int) -> Clip:
        """Read a clip; as ``read``."""
        return self.read(index)

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Clip:
        """Read a clip, or some frames of it.

        Args:
            index: of the clip in ``infos``.
            start: first frame, from 0.
            stop: frame after the last; ``None`` for all that there are.

        Raises:
            UsageError: the numbers cannot be read, or are none of a clip's.
        """
        info = self.infos[index]
        folder = f"{info.name}/{WALKER}"
        arrays = {}
        for field in FIELDS:
            with damage_named(self.path, f"{folder}/{field}"):
                arrays[field] = read_transposed(self._file[f"{folder}/{field}"], start, stop)
        try:
            return Clip(info.name, info.label, info.fps, **arrays)
        except UsageError as error:
            raise UsageError(f"{self.path}: {folder}/{error}") from error

    def __iter__(self) -> Iterator[Clip]:
        return (self[index] for index in range(len(self)))

    def _info(self, name: str, fps: float) -> ClipInfo:
        import h5py

        with damage_named(self.path, name):
            group = self._file.get(f"{name}/{WALKER}")
        if not isinstance(group, h5py.Group):
            raise UsageError(f"{self.path}: {name}/{WALKER}: missing")
        shapes = {field: dataset(self.path, group, field).shape[::-1] for field in FIELDS}
        try:
            require_shapes(shapes)
        except UsageError as error:
            raise UsageError(f"{self.path}: {name}/{WALKER}/{error}") from error
        frames = shapes["position"][0]
        attributes = self._file[name].attrs
        with damage_named(self.path, f"{name}: attributes"):
            label = text(attributes.get("action", ""))
            steps = int(single(attributes.get("num_steps", frames)))
            dt = float(single(attributes["dt"])) if "dt" in attributes else None
        if steps != frames:
            raise UsageError(
                f"{self.path}: {name}: num_steps is {steps}, but there are {frames} frames"
            )
        try:
            rate = fps if dt is None else _rate(dt)
            require_rate(rate)
        except (UsageError, ZeroDivisionError) as error:
            raise UsageError(f"{self.path}: {name}: dt is {dt} s") from error
        return ClipInfo(name, label, rate, frames, counts(shapes))

    def _require(self, fps: float | None, body: Mapping[str, int]) -> None:
        """Check that all clips have one rate and one body, or those that are asked for."""
        first = self.infos[0]
        for info in self.infos:
            if fps is not None and not _is_same_rate(info.fps, fps):
                raise UsageError(
                    f"{self.path}: {info.name}: {info.fps:g} frames a second (attribute dt), "
                    f"expected {fps:g}"
                )
            if not _is_same_rate(info.fps, first.fps):
                raise UsageError(
                    f"{self.path}: {info.name}: {info.fps:g} frames a second (attribute dt), but "
                    f"{first.name} has {first.fps:g}"
                )
            for field, (_, count) in FIELDS.items():
                if not count:
                    continue
                found, expected = info.counts[count], body.get(count, first.counts[count])
                if found != expected:
                    whose = "the body has" if count in body else f"{first.name} has"
                    raise UsageError(
                        f"{self.path}: {info.name}/{WALKER}/{field}: {found} {count}, but {whose} "
                        f"{expected}"
                    )


def read_clips(
    path: str | Path,
    *,
    fps: float | None = None,
    joints: int | None = None,
    appendages: int | None = None,
    bodies: int | None = None,
) -> list[Clip]:
    """Read all clips of a file.

    Args:
        path: of the file.
        fps: frames a second that the clips must have; a clip that does not say has them.
        joints: their number, without the root, that the clips must have.
        appendages: number of end effectors that the clips must have.
        bodies: number of tracked bodies that the clips must have.

    Raises:
        UsageError: as ``ClipFile``.
    """
    body = {"joints": joints, "appendages": appendages, "bodies": bodies}
    with ClipFile(path, fps=fps, **body) as file:
        return list(file)


def write_clips(path: str | Path, clips: Iterable[Clip], *, synthetic: bool = False) -> None:
    """Write a file of clips, whole or not at all.

    ``dm_control`` also wants end effectors, which are its appendages without the last one, the
    head, and groups of what these clips have not: ``scaling``, ``markers`` and ``props``.

    Args:
        path: of the file, which is replaced.
        clips: one at a time is in memory, if the iterable makes them so.
        synthetic: note that the clips were made, and not recorded.

    Raises:
        UsageError: the file cannot be written, there are no clips, two have one name, or a name or
            a label is none that HDF5 can hold.
    """
    with new_file(path) as new:
        file = new.file
        mark(file, synthetic=synthetic)
        for clip in clips:
            if not clip.name or re.search(r"[/\0]|^\.+$", clip.name):
                raise UsageError(f"{path}: {clip.name!r} is no name of a clip")
            if clip.name in file:
                raise UsageError(f"{path}: two clips of the name {clip.name}")
            if "\0" in clip.label:
                raise UsageError(
                    f"{path}: {clip.name}: {clip.label!r} is no label: HDF5 has no NUL"
                )
            _write(file.create_group(clip.name), clip)
            new.check()
        if not len(file):
            raise UsageError(f"{path}: no clips to write")


def _write(group: h5py.Group, clip: Clip) -> None:
    group.attrs["num_steps"] = clip.num_frames
    group.attrs["dt"] = 1.0 / clip.fps
    group.attrs["action"] = clip.label
    group.create_group("props")
    walker = group.create_group(WALKER)
    walker.create_group("scaling")
    walker.create_group("markers")
    for field in FIELDS:
        write_transposed(walker, field, getattr(clip, field))
    write_transposed(walker, "end_effectors", clip.appendages[:, :-3])


def _rate(dt: float) -> float:
    """Frames a second of a time step; of the numbers that give it, one of few decimals."""
    fps = 1.0 / dt
    short = round(fps, 6)
    return short if short and 1.0 / short == dt else fps


def _is_same_rate(one: float, other: float) -> bool:
    return abs(one - other) <= RATE_TOLERANCE * other


def _as_numbers(name: str) -> list[tuple[int, str]]:
    """A key by which clip_10 comes after clip_9."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
