"""Identify the legs of a four-legged robot from the joints of its actuators."""

from __future__ import annotations

from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from poolrl.errors import UsageError


class Legs(NamedTuple):
    """Four legs of three position-controlled hinges, in the order of the actuators.

    Attributes:
        level: (12,): 0 for hip abduction (HAA), 1 for hip flexion (HFE), 2 for knee flexion (KFE).
        mirror: (12,): 1 or -1: factors from the angles of a fore leg, HAA positive outwards, HFE
            and KFE about the y axis, to those of each leg, mirrored left-right and fore-hind.
        qpos: (12,): indices of the joints in qpos.
        length: distance between fore and hind hips, in m.
    """

    level: NDArray[np.intp]
    mirror: NDArray[np.float64]
    qpos: NDArray[np.intp]
    length: float


def find_legs(model: mujoco.MjModel) -> Legs:
    """Identify the legs of a model; the robot must face along x in the initial position.

    Raises:
        UsageError: the model is no robot of a free joint and four legs of three hinges.
    """

    def expect(condition: bool, problem: str) -> None:
        if not condition:
            raise UsageError(f"task.kwargs.xml_file: no quadruped: {problem}")

    expect(model.nu == 12, f"expected 12 actuators, got {model.nu}")
    free = model.njnt > 0 and model.jnt_type[0] == mujoco.mjtJoint.mjJNT_FREE
    expect(bool(free), "the first joint is not a free joint")
    expect(model.nq == 19, f"expected a free joint and 12 hinges, got {model.njnt} joints")
    joint = model.actuator_trnid[:, 0]
    driven = np.isin(
        model.actuator_trntype,
        [mujoco.mjtTrn.mjTRN_JOINT, mujoco.mjtTrn.mjTRN_JOINTINPARENT],
    )
    hinges = np.flatnonzero(model.jnt_type == mujoco.mjtJoint.mjJNT_HINGE)
    expect(
        bool(driven.all()) and np.array_equal(np.sort(joint), hinges),
        "the actuators do not drive one hinge each",
    )
    gain, bias = model.actuator_gainprm[:, 0], model.actuator_biasprm[:, 1]
    expect(bool(((gain > 0) & (bias == -gain)).all()), "the actuators do not control positions")
    chains = [_chain(model, hinges, int(j)) for j in joint]
    level = np.array([len(chain) - 1 for chain in chains])
    legs = {chain[0] for chain in chains}
    expect(
        len(legs) == 4 and np.bincount(level).tolist() == [4, 4, 4],
        "expected four legs of three hinges in a row",
    )
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    trunk = data.xpos[model.jnt_bodyid[0]]
    hip = data.xanchor[[chain[0] for chain in chains]] - trunk
    fore, left = np.where(hip[:, 0] > 0, 1.0, -1.0), np.where(hip[:, 1] > 0, 1.0, -1.0)
    axis = data.xaxis[joint]
    mirror = np.where(
        level == 0,
        left * np.where(axis[:, 0] < 0, -1.0, 1.0),
        fore * np.where(axis[:, 1] < 0, -1.0, 1.0),
    )
    length = float(hip[:, 0].max() - hip[:, 0].min())
    return Legs(level, mirror, model.jnt_qposadr[joint].astype(np.intp), length)


def _chain(model: mujoco.MjModel, hinges: NDArray[np.intp], joint: int) -> list[int]:
    """Return the hinges from the trunk to a joint, which is the last of them."""
    bodies = set()
    body = int(model.jnt_bodyid[joint])
    while body not in {0, int(model.jnt_bodyid[0])}:
        bodies.add(body)
        body = int(model.body_parentid[body])
    return [int(j) for j in hinges if int(model.jnt_bodyid[j]) in bodies and j <= joint]
