"""Clips from generalised positions: what a body's model says about each frame of a recording."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import mujoco
import numpy as np

from poolrl.clips.clip import ROOT_POSITIONS, Array, Clip
from poolrl.clips.recordings import Recording
from poolrl.errors import UsageError

MAX_VELOCITY = 20.0
"""Largest absolute value of ``qvel``, in m/s and rad/s; jumps of tracking give larger ones."""

SAME_PLACE = 1e-3
"""Largest distance in m of a body from where a file says that it is; single precision and rounding
in between leave 1e-6."""

ROUNDING = 1e-12
"""Deviation from unit length that a quaternion has after it has been normalised."""

CHECKED_FRAMES = 5
"""Frames of a recording whose bodies are compared with those of the model."""


def has_free_root(model: mujoco.MjModel) -> bool:
    """Whether the first joint of a model is a free one, and the others are hinges and slides."""
    free = int(mujoco.mjtJoint.mjJNT_FREE)
    is_first_free = model.njnt > 0 and model.jnt_type[0] == free
    return bool(is_first_free and model.nq == ROOT_POSITIONS + model.njnt - 1)


@dataclass(frozen=True, eq=False)
class Body:
    """A model, and which parts of it clips are about.

    Args:
        model: with a free joint as its first, and one degree of freedom in each of the others.
        root: body whose subtree has the centre of mass, and in whose frame appendages are.
        appendages: names of the end effectors' bodies, the head last.
        tracked: names of bodies whose positions and orientations are recorded.

    Raises:
        UsageError: the model has other joints, or no body of a name.
    """

    model: mujoco.MjModel
    root: str
    appendages: Sequence[str]
    tracked: Sequence[str]

    def __post_init__(self) -> None:
        if not has_free_root(self.model):
            raise UsageError(
                "model: expected a free root joint, and other joints of one degree of freedom each"
            )
        self.ids([self.root, *self.appendages, *self.tracked])

    def ids(self, names: Iterable[str]) -> list[int]:
        """Return the numbers of bodies in the model.

        Raises:
            UsageError: there is no body of a name.
        """
        found = []
        for name in names:
            number = mujoco.mj_name2id(self.model, mujoco.mjtObj.mjOBJ_BODY, name)
            if number < 0:
                raise UsageError(f"model: no body {name!r}")
            found.append(number)
        return found


def velocities(model: mujoco.MjModel, qpos: Array, fps: float) -> Array:
    """Return generalised velocities (T, nv), each from a frame to the next.

    They are within ``MAX_VELOCITY``; those of the last frame are 0.

    Args:
        model: of the body.
        qpos: (T, nq).
        fps: frames a second.
    """
    qvel = np.zeros((len(qpos), model.nv))
    for frame in range(len(qpos) - 1):
        mujoco.mj_differentiatePos(model, qvel[frame], 1.0 / fps, qpos[frame], qpos[frame + 1])
    return np.clip(qvel, -MAX_VELOCITY, MAX_VELOCITY, out=qvel)


def poses(model: mujoco.MjModel, qpos: Array) -> Iterator[tuple[int, mujoco.MjData]]:
    """Yield the number of each frame, and positions, orientations and centres of mass of all bodies
    in it, in one ``MjData`` that the next frame overwrites.

    Args:
        model: of the body.
        qpos: (T, nq).
    """
    data = mujoco.MjData(model)
    for frame, positions in enumerate(qpos):
        data.qpos[:] = positions
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        yield frame, data


def make_clip(recording: Recording, body: Body) -> Clip:
    """Make a clip of a recording.

    Velocities are as of ``velocities``; the rest is MuJoCo's kinematics of each frame. Quaternions
    are normalised.

    Args:
        recording: of the body.
        body: whose model gives what the recording has not.

    Raises:
        UsageError: the recording is of another body; the message begins with the field.
    """
    model = body.model
    _require_width(recording, model)
    qpos = _with_unit_quaternion(recording.qpos)
    _require_same_places(recording, qpos, body)

    (root,), appendages = body.ids([body.root]), body.ids(body.appendages)
    tracked, frames = body.ids(body.tracked), len(qpos)
    center_of_mass = np.empty((frames, 3))
    egocentric = np.empty((frames, 3 * len(appendages)))
    body_positions = np.empty((frames, 3 * len(tracked)))
    body_quaternions = np.empty((frames, 4 * len(tracked)))
    for frame, data in poses(model, qpos):
        center_of_mass[frame] = data.subtree_com[root]
        # The rows of x R are those of (Rᵀ xᵀ)ᵀ.
        away = data.xpos[appendages] - data.xpos[root]
        egocentric[frame] = (away @ data.xmat[root].reshape(3, 3)).ravel()
        body_positions[frame] = data.xpos[tracked].ravel()
        body_quaternions[frame] = data.xquat[tracked].ravel()
    qvel = velocities(model, qpos, recording.fps)
    return Clip(
        name=recording.name,
        label=recording.label,
        fps=recording.fps,
        position=qpos[:, :3],
        quaternion=qpos[:, 3:ROOT_POSITIONS],
        joints=qpos[:, ROOT_POSITIONS:],
        velocity=qvel[:, :3],
        angular_velocity=qvel[:, 3:6],
        joints_velocity=qvel[:, 6:],
        center_of_mass=center_of_mass,
        appendages=egocentric,
        body_positions=body_positions,
        body_quaternions=body_quaternions,
    )


def align_root(recording: Recording, body: Body) -> Recording:
    """Return a recording with the origin of its root where the body has it.

    stac-mjx scales the rat with the place of its torso in the root, and dm_control's
    ``rescale_subtree`` of the torso without; the bodies are the same. The way between the origins
    is taken from the first frame, and the root moved by it, in its own frame, in all of them.

    Args:
        recording: with positions of bodies.
        body: whose root the positions are to be of.

    Raises:
        UsageError: the recording has no positions of bodies of the model, or the bodies differ by
            more than an origin.
    """
    if recording.xpos is None:
        raise UsageError("xpos: missing; there is nothing to align the root by")
    _require_width(recording, body.model)
    root = body.model.body(int(body.model.jnt_bodyid[0])).name
    kept = [i for i, name in enumerate(recording.body_names) if name != root]
    rest = replace(
        recording,
        body_names=tuple(recording.body_names[i] for i in kept),
        xpos=recording.xpos[:, kept],
    )
    theirs, ours = _common(rest, body)
    qpos = _with_unit_quaternion(recording.qpos)
    _, data = next(poses(body.model, qpos[:1]))
    away = (recording.xpos[0, kept][theirs] - data.xpos[ours]).mean(axis=0)
    shift, turned = np.empty(3), np.empty(3)
    mujoco.mju_rotVecQuat(shift, away, _conjugate(qpos[0, 3:ROOT_POSITIONS]))
    for positions in qpos:
        mujoco.mju_rotVecQuat(turned, shift, positions[3:ROOT_POSITIONS])
        positions[:3] += turned
    return replace(rest, qpos=qpos)


def _conjugate(quaternion: Array) -> Array:
    return quaternion * (1.0, -1.0, -1.0, -1.0)


def _require_width(recording: Recording, model: mujoco.MjModel) -> None:
    width = recording.qpos.shape[1]
    if width != model.nq:
        raise UsageError(f"qpos: expected a width of {model.nq}, the body's, got {width}")


def _with_unit_quaternion(qpos: Array) -> Array:
    """A copy with quaternions of unit length; those that have it stay as they are, to the bit."""
    qpos = qpos.copy()
    quaternions = qpos[:, 3:ROOT_POSITIONS]
    length = np.linalg.norm(quaternions, axis=1, keepdims=True)
    np.divide(quaternions, length, out=quaternions, where=np.abs(length - 1.0) > ROUNDING)
    return qpos


def _common(recording: Recording, body: Body) -> tuple[list[int], list[int]]:
    """Numbers of the bodies that both have, in the recording and in the model."""
    known = {body.model.body(i).name: i for i in range(1, body.model.nbody)}
    theirs = [i for i, name in enumerate(recording.body_names) if name in known]
    if not theirs:
        raise UsageError("names_xpos: none of the bodies is one of the model's")
    return theirs, [known[recording.body_names[i]] for i in theirs]


def _require_same_places(recording: Recording, qpos: Array, body: Body) -> None:
    """Compare bodies of a recording with those of the model, in frames all over it."""
    if recording.xpos is None:
        return
    theirs, ours = _common(recording, body)
    frames = np.unique(np.linspace(0, len(qpos) - 1, CHECKED_FRAMES).astype(int))
    for number, data in poses(body.model, qpos[frames]):
        frame = frames[number]
        distance = np.linalg.norm(recording.xpos[frame, theirs] - data.xpos[ours], axis=1)
        worst = int(np.argmax(distance))
        if not distance[worst] <= SAME_PLACE:
            raise UsageError(
                f"xpos: {recording.body_names[theirs[worst]]} is {1000 * distance[worst]:.3g} mm "
                f"from where qpos and the model put it in frame {frame}: another body, another "
                f"scale or another origin of the root"
            )
