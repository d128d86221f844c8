"""Recorded movements that a body is to imitate: clips of a file, joined into arrays."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache

import mujoco
import numpy as np
from numpy.typing import NDArray

from poolrl.clips import ClipFile
from poolrl.clips.clip import ROOT_POSITIONS
from poolrl.clips.preprocess import poses
from poolrl.errors import UsageError
from poolrl.hdf5 import status_of
from poolrl.tasks.imitation.rotations import angle_between

F64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class References:
    """The clips of a file, one after another; rows are frames. Nothing of it may be modified.

    Attributes:
        path: of the file.
        names, labels: of the clips.
        starts: (clips,): first row of each.
        lengths: (clips,): frames of each.
        qpos: (frames, nq).
        qvel: (frames, nv).
        center_of_mass: (frames, 3), in m.
        appendages: (frames, a, 3): end effectors in the frame of the root body, in m.
        sha256: of all of it but the path.
    """

    path: str
    names: tuple[str, ...]
    labels: tuple[str, ...]
    starts: NDArray[np.intp]
    lengths: NDArray[np.intp]
    qpos: F64
    qvel: F64
    center_of_mass: F64
    appendages: F64
    sha256: str

    def require_body(self, model: mujoco.MjModel, root: int, distance: float) -> None:
        """Check that the movements are this body's, by the first frame of each clip, and that the
        root body is not turned against the free joint, whose orientation clips have.

        Args:
            model: of the body.
            root: body whose subtree's centre of mass the clips have.
            distance: that its centre of mass may differ by, in m.

        Raises:
            UsageError: names file, clip and field.
        """
        for clip, data in poses(model, self.qpos[self.starts]):
            center = self.center_of_mass[self.starts[clip]]
            if angle_between(data.xquat[root][None], self.qpos[[self.starts[clip]], 3:7])[0] > 1e-3:
                raise UsageError(
                    f"task.kwargs.root_body: {model.body(root).name} is turned against the free "
                    "joint, whose orientation clips have"
                )
            off = float(np.linalg.norm(data.subtree_com[root] - center))
            if off > distance:
                raise UsageError(
                    f"{self.path}: {self.names[clip]}: center_of_mass: in its first frame "
                    f"{off:.2g} m from that of the task's body: the clip is of another one"
                )

    def tracked_positions(self, bodies: int) -> F64:
        """Read the positions of tracked bodies, (frames, bodies, 3), in m; few need them.

        Args:
            bodies: their number.

        Raises:
            UsageError: the clips have another number of bodies, or the file has gone.
        """
        shape = len(self.qpos), bodies, 3
        if not bodies:  # whatever the clips have
            return np.empty(shape)
        with ClipFile(self.path, bodies=bodies) as file:
            return np.concatenate([clip.body_positions for clip in file]).reshape(shape)


def load_references(
    path: str, *, fps: float, joints: int, appendages: int, horizon: int
) -> References:
    """Read a file of clips; it is read once as long as it does not change.

    Args:
        path: of the file.
        fps: frames a second that the clips must have.
        joints: number of joints of the body, without its root.
        appendages: number of its end effectors.
        horizon: frames ahead that a task needs.

    Raises:
        UsageError: the file is none of clips, damaged, or of another rate or body, or a clip is too
            short; names file and field.
    """
    try:
        status = status_of(path)
    except UsageError as error:
        raise UsageError(f"task.kwargs.clips: {error}") from error
    version = (status.st_mtime_ns, status.st_size, status.st_ino)
    references = _load(path, version, fps, joints, appendages)
    for name, length in zip(references.names, references.lengths.tolist(), strict=True):
        if length < horizon + 2:
            raise UsageError(
                f"{path}: {name}: {length} frames, but a horizon of {horizon} needs {horizon + 2}"
            )
    return references


@lru_cache(maxsize=2)
def _load(path: str, version: object, fps: float, joints: int, appendages: int) -> References:
    with ClipFile(path, fps=fps, joints=joints, appendages=appendages) as file:
        infos = file.infos
        lengths = np.array([info.num_frames for info in infos], np.intp)
        ends = np.cumsum(lengths)
        frames = int(ends[-1])
        qpos = np.empty((frames, ROOT_POSITIONS + joints))
        qvel = np.empty((frames, ROOT_POSITIONS - 1 + joints))
        centers, limbs = np.empty((frames, 3)), np.empty((frames, appendages, 3))
        for clip, end in zip(file, ends.tolist(), strict=True):
            rows = slice(end - clip.num_frames, end)
            qpos[rows], qvel[rows] = clip.qpos, clip.qvel
            centers[rows] = clip.center_of_mass
            limbs[rows] = clip.appendages.reshape(-1, appendages, 3)
    arrays = (qpos, qvel, centers, limbs)
    names, labels = tuple(i.name for i in infos), tuple(i.label for i in infos)
    head = [names, labels, lengths.tolist(), fps, [array.shape for array in arrays]]
    digest = hashlib.sha256(json.dumps(head).encode())
    for array in arrays:
        array.flags.writeable = False
        digest.update(array.data)
    return References(path, names, labels, ends - lengths, lengths, *arrays, digest.hexdigest())
