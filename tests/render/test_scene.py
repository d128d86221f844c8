"""Cameras, without a picture."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from poolrl.errors import UsageError
from poolrl.render.scene import NEAR, Camera, extend_floors, root_body

MODEL = """\
<mujoco>
  <worldbody>
    <geom type="plane" size="0 0 1"/>
    <body name="post"><geom type="box" size=".1 .1 5" mass="100"/></body>
    <body name="small" pos="1 0 .05"><joint type="hinge"/><geom size=".05"/></body>
    <body name="ball" pos="0 0 .2"><freejoint/><geom size=".2"/></body>
    <camera name="side" pos="0 -3 1"/>
    {cameras}
  </worldbody>
</mujoco>
"""


def model(cameras: str = "") -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(MODEL.format(cameras=cameras))


def test_the_root_is_the_heaviest_body_that_moves() -> None:
    assert model().body(root_body(model())).name == "ball"
    still = mujoco.MjModel.from_xml_string("<mujoco/>")
    assert root_body(still) == 0


def test_without_a_camera_track_one_follows_the_root_body() -> None:
    for name in (None, "track"):
        of = model()
        camera, data = Camera(of, name), mujoco.MjData(of)
        mujoco.mj_kinematics(of, data)
        start = np.array(camera.at(data).lookat)
        data.joint(1).qpos[:3] += (5, 1, 2)
        mujoco.mj_kinematics(of, data)
        moved = camera.at(data)
        assert moved.type == mujoco.mjtCamera.mjCAMERA_FREE
        assert moved.lookat - start == pytest.approx(np.array([5, 1, 2]))


def test_a_floor_that_is_left_has_no_end() -> None:
    asset = """
      <texture name="t" type="2d" builtin="checker" width="8" height="8"/>
      <material name="m" texture="t" texrepeat="60 30"/>"""
    world = """
      <geom name="floor" type="plane" size="40 20 1" material="m" pos="1 0 0" euler="0 0 90"/>
      <body><freejoint/><geom size=".1"/></body>"""
    xml = f"<mujoco><asset>{asset}</asset><worldbody>{world}</worldbody></mujoco>"
    for place, ends in (((10, 15, 0), True), ((-12, 0, 0), False), ((0, 25, 0), False)):
        of = mujoco.MjModel.from_xml_string(xml)
        assert extend_floors(of, np.array([(0, 0, 0), place], float)) == (not ends)
        assert of.geom("floor").size[:2].tolist() == ([40, 20] if ends else [0, 0])
        assert of.mat_texrepeat[0].tolist() == ([60, 30] if ends else [1.5, 1.5])
    # A second geom has the same material, and would look another way.
    shared = xml.replace('<geom size=".1"/>', '<geom size=".1" material="m"/>')
    of = mujoco.MjModel.from_xml_string(shared)
    assert not extend_floors(of, np.array([(0.0, 100.0, 0.0)]))
    assert of.geom("floor").size[:2].tolist() == [40, 20]


def test_cameras_of_the_model() -> None:
    own = model('<camera name="track" mode="trackcom" pos="0 -3 0"/>')
    data = mujoco.MjData(own)
    for name, number in ((None, 1), ("track", 1), ("side", 0)):
        camera = Camera(own, name).at(data)
        assert (camera.type, camera.fixedcamid) == (mujoco.mjtCamera.mjCAMERA_FIXED, number)
    with pytest.raises(UsageError, match="--camera nose"):
        Camera(own, "nose")


def test_the_camera_that_follows_comes_near_to_a_small_body_in_a_large_scene() -> None:
    body = '<body pos="1 0 1"><freejoint/><geom name="own" type="capsule" size=".1 .4"/></body>'
    room = '<geom type="box" size="20 .1 5" pos="0 20 0"/>'
    near, far = (
        mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{inside}</worldbody></mujoco>")
        for inside in (body + room, body)
    )
    for model, distance in ((near, NEAR * 0.5), (far, 1.5 * far.stat.extent)):
        data = mujoco.MjData(model)
        data.qpos[:3] = (3, 2, 1)
        mujoco.mj_kinematics(model, data)
        camera = Camera(model, None).at(data)
        assert camera.distance == pytest.approx(distance)
        assert camera.lookat == pytest.approx([3, 2, 1])
