"""Legs are found by what the actuators drive."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from poolrl.errors import UsageError
from poolrl.tasks.mujoco.legs import find_legs
from poolrl.tasks.mujoco.model import load_model
from tests.tasks.mujoco.anymal import scene


def feet(model: mujoco.MjModel, posture: tuple[float, float, float]) -> np.ndarray:
    """(4, 3): lowest points of the legs in a mirrored posture, from the trunk."""
    legs = find_legs(model)
    data = mujoco.MjData(model)
    data.qpos[legs.qpos] = np.array(posture)[legs.level] * legs.mirror
    mujoco.mj_kinematics(model, data)
    spheres = np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_SPHERE)
    points: np.ndarray = data.geom_xpos[spheres] - data.xpos[1]
    return points


@pytest.mark.parametrize("text", ["", scene(), scene(("RH", "LF", "RF", "LH"))])
def test_postures_are_mirrored(text: str) -> None:
    model = mujoco.MjModel.from_xml_string(text) if text else load_model("quadruped.xml")
    legs = find_legs(model)
    assert np.bincount(legs.level).tolist() == [4, 4, 4]
    assert legs.length == pytest.approx(0.6)
    straight = feet(model, (0, 0, 0))
    outwards = feet(model, (0.2, 0, 0)) - straight
    assert (outwards[:, 1] * np.sign(straight[:, 1]) > 0.05).all()
    bent = feet(model, (0, 0.4, -0.8)) - straight
    assert (bent[:, 2] > 0.03).all()
    backwards = feet(model, (0, 0.4, 0)) - straight
    assert (backwards[:, 0] * np.sign(straight[:, 0]) < -0.1).all(), "about y, mirrored behind"


LF_KFE = '<position joint="LF_KFE"/>'


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (LF_KFE, "", "expected 12 actuators, got 11"),
        ("<freejoint/>", "", "the first joint is not a free joint"),
        ("<freejoint/>", '<freejoint/><body><joint/><geom size="1"/></body>', "got 14 joints"),
        (LF_KFE, '<position joint="LF_HFE"/>', "drive one hinge each"),
        (LF_KFE, '<motor joint="LF_KFE"/>', "do not control positions"),
        (LF_KFE, '<velocity kv="9" joint="LF_KFE"/>', "do not control positions"),
    ],
)
def test_what_does_not_fit_is_said(old: str, new: str, words: str) -> None:
    text = scene()
    assert old in text
    with pytest.raises(UsageError, match=rf"task\.kwargs\.xml_file: no quadruped: .*{words}"):
        find_legs(mujoco.MjModel.from_xml_string(text.replace(old, new)))


def test_twelve_joints_in_one_row_are_no_legs() -> None:
    chain = "".join(f'<body><joint name="{i}"/><geom size="0.1"/>' for i in range(12))
    actuators = "".join(f'<position joint="{i}"/>' for i in range(12))
    text = f"""<mujoco><worldbody><body><freejoint/><geom size="1"/>{chain}{"</body>" * 13}
    </worldbody><actuator>{actuators}</actuator></mujoco>"""
    with pytest.raises(UsageError, match="four legs of three hinges"):
        find_legs(mujoco.MjModel.from_xml_string(text))
