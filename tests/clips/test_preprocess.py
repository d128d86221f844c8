"""What is computed from generalised positions, against formulas written out."""

from __future__ import annotations

from dataclasses import replace

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from poolrl.clips.preprocess import (
    MAX_VELOCITY,
    Body,
    align_root,
    make_clip,
    poses,
    velocities,
)
from poolrl.clips.recordings import Recording
from poolrl.errors import UsageError
from tests.helpers.clips import SNAKE, smooth_positions, snake
from tests.helpers.rodents import needs_dm

BODY = snake()
MODEL = BODY.model


def recorded(qpos: np.ndarray, **others: object) -> Recording:
    return Recording("clip", "Turn", 50.0, qpos, **others)  # type: ignore[arg-type]


def rotation(quaternion: np.ndarray) -> Rotation:
    return Rotation.from_quat(np.roll(quaternion, -1))


def test_the_fields_of_a_clip() -> None:
    qpos = smooth_positions(12)
    clip = make_clip(recorded(qpos), BODY)
    assert (clip.name, clip.label, clip.fps, clip.num_frames) == ("clip", "Turn", 50.0, 12)
    assert clip.counts == {"joints": 3, "appendages": 2, "bodies": 3}
    assert np.abs(clip.qpos - qpos).max() < 1e-15
    data = mujoco.MjData(MODEL)
    for frame in range(12):
        data.qpos[:] = qpos[frame]
        mujoco.mj_forward(MODEL, data)
        mass = MODEL.body_mass[1:]
        center = (mass[:, None] * data.xipos[1:]).sum(axis=0) / mass.sum()
        assert np.abs(clip.center_of_mass[frame] - center).max() < 1e-12
        turn, root = rotation(qpos[frame, 3:7]), qpos[frame, :3]
        for number, name in enumerate(("tail", "head")):
            found = clip.appendages[frame, 3 * number :][:3]
            expected = turn.inv().apply(data.body(name).xpos - root)
            assert np.abs(found - expected).max() < 1e-12
        for number, name in enumerate(("trunk", "neck", "head")):
            place = clip.body_positions[frame, 3 * number :][:3]
            quaternion = clip.body_quaternions[frame, 4 * number :][:4]
            assert np.abs(place - data.body(name).xpos).max() < 1e-12
            assert np.abs(quaternion - data.body(name).xquat).max() < 1e-12


def test_velocities_written_out() -> None:
    qpos = smooth_positions(9, seed=3)
    qvel = velocities(MODEL, qpos, 50.0)
    for frame in range(8):
        now, then = qpos[frame], qpos[frame + 1]
        turn = (rotation(now[3:7]).inv() * rotation(then[3:7])).as_rotvec()
        expected = np.concatenate((then[:3] - now[:3], turn, then[7:] - now[7:])) * 50.0
        assert np.abs(qvel[frame] - expected).max() < 1e-9
    assert not qvel[8].any()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), fps=st.floats(10.0, 500.0))
def test_velocities_lead_from_frame_to_frame_unless_they_are_clipped(seed: int, fps: float) -> None:
    generator = np.random.default_rng(seed)
    qpos = smooth_positions(3, seed)
    qpos[2] = smooth_positions(1, seed + 1)[0]
    qpos[2, :3] += 100.0 * generator.standard_normal(3)
    qvel = velocities(MODEL, qpos, fps)
    assert np.abs(qvel).max() <= MAX_VELOCITY
    there = qpos[0].copy()
    if np.abs(qvel[0]).max() < MAX_VELOCITY:
        mujoco.mj_integratePos(MODEL, there, qvel[0], 1.0 / fps)
        assert np.abs(there[:3] - qpos[1, :3]).max() < 1e-9
        assert (rotation(there[3:7]).inv() * rotation(qpos[1, 3:7])).magnitude() < 1e-7
    away = np.abs(qpos[2, :3] - qpos[1, :3]) * fps > MAX_VELOCITY
    assert (np.abs(qvel[1, :3][away]) == MAX_VELOCITY).all()


def test_quaternions_are_normalised() -> None:
    qpos = smooth_positions(5)
    longer = qpos.copy()
    longer[:, 3:7] *= 1.05
    one, other = make_clip(recorded(qpos), BODY), make_clip(recorded(longer), BODY)
    assert np.abs(one.qpos - other.qpos).max() < 1e-15
    assert np.abs(one.qvel - other.qvel).max() < 1e-12


def test_a_body_without_end_effectors() -> None:
    clip = make_clip(recorded(smooth_positions(4)), Body(MODEL, "neck", (), ()))
    assert clip.counts == {"joints": 3, "appendages": 0, "bodies": 0}


def test_bodies_of_a_recording_are_compared_with_the_models() -> None:
    qpos = smooth_positions(30)
    xpos = np.zeros((30, 3, 3))
    data = mujoco.MjData(MODEL)
    for frame in range(30):
        data.qpos[:] = qpos[frame]
        mujoco.mj_forward(MODEL, data)
        xpos[frame, :2] = data.xpos[[0, 3]]
    names = ("world", "head", "ear")
    same = recorded(qpos, body_names=names, xpos=xpos.astype(np.float32).astype(float))
    assert make_clip(same, BODY).num_frames == 30
    other = xpos.copy()
    other[29, 1, 2] += 0.002
    with pytest.raises(UsageError, match=r"^xpos: head is 2 mm from .* in frame 29: another body"):
        make_clip(replace(same, xpos=other), BODY)
    with pytest.raises(UsageError, match=r"^names_xpos: none of the bodies"):
        make_clip(replace(same, body_names=("a", "b", "c")), BODY)


def with_frame(place: str) -> Body:
    """``SNAKE``'s body at a place in a frame that has the free joint."""
    trunk = SNAKE.split("<worldbody>")[1].split("</worldbody>")[0].replace("<freejoint/>", "")
    trunk = trunk.replace('<body name="trunk">', f'<body name="trunk" pos="{place}">')
    xml = f'<worldbody><body name="frame"><freejoint/>{trunk}</body></worldbody>'
    model = mujoco.MjModel.from_xml_string(f"<mujoco>{xml}</mujoco>")
    return Body(model, "trunk", ("tail", "head"), ("trunk", "neck", "head"))


def all_places(body: Body, qpos: np.ndarray) -> dict[str, object]:
    """Names and positions of all bodies, as a flat file has them."""
    names = tuple(body.model.body(i).name for i in range(body.model.nbody))
    return {
        "body_names": names,
        "xpos": np.array([data.xpos.copy() for _, data in poses(body.model, qpos)]),
    }


def test_another_origin_of_the_root() -> None:
    ours, theirs = with_frame("0.03 0 0.06"), with_frame("0.02 0.01 0.05")
    qpos = smooth_positions(20)
    recording = recorded(qpos, **all_places(theirs, qpos))
    with pytest.raises(UsageError, match=r"^xpos: .* another origin of the root$"):
        make_clip(recording, ours)
    clip, expected = make_clip(align_root(recording, ours), ours), make_clip(recording, theirs)
    for field in ("body_positions", "body_quaternions", "center_of_mass", "appendages", "joints"):
        assert np.abs(getattr(clip, field) - getattr(expected, field)).max() < 1e-12
    assert np.abs(clip.position - expected.position).max() > 0.01
    assert np.array_equal(recording.qpos, qpos)


def test_only_the_origin_is_aligned() -> None:
    qpos = smooth_positions(20)
    places = all_places(BODY, qpos)
    recording = recorded(qpos, **places)
    assert np.abs(align_root(recording, BODY).qpos - qpos).max() < 1e-15
    larger = recorded(qpos, **places | {"xpos": 1.2 * places["xpos"]})  # type: ignore[operator]
    with pytest.raises(UsageError, match=r"^xpos: .* another scale"):
        make_clip(align_root(larger, BODY), BODY)
    with pytest.raises(UsageError, match=r"^xpos: missing"):
        align_root(recorded(qpos), BODY)


def test_another_body_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^qpos: expected a width of 10, the body's, got 12$"):
        make_clip(recorded(smooth_positions(4, joints=5)), BODY)
    with pytest.raises(UsageError, match=r"^model: no body 'ear'$"):
        Body(MODEL, "trunk", ("ear",), ())
    for joints in ("", "<joint/>", "<freejoint/><geom size='1'/><body><joint type='ball'/>"):
        end = "<geom size='1'/></body>" + ("</body>" if "ball" in joints else "")
        xml = f"<mujoco><worldbody><body name='a'>{joints}{end}</worldbody></mujoco>"
        with pytest.raises(UsageError, match=r"^model: expected a free root joint"):
            Body(mujoco.MjModel.from_xml_string(xml), "a", (), ())


@needs_dm
def test_the_rat() -> None:
    from poolrl.tasks.imitation.rodent import END_EFFECTORS, ROOT_BODY, TRACKED_BODIES, load_rodent

    model = load_rodent()
    body = Body(model, ROOT_BODY, END_EFFECTORS, TRACKED_BODIES)
    clip = make_clip(recorded(np.tile(model.qpos0, (3, 1))), body)
    assert clip.counts == {"joints": 67, "appendages": 5, "bodies": 18}
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    assert np.abs(clip.center_of_mass - data.body("torso").subtree_com).max() < 1e-12
    # The skull of a rat that stands is before and above the torso's origin.
    assert clip.appendages[0, 12] > 0.02
    assert not clip.qvel.any()
