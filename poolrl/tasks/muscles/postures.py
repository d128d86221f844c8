"""Postures of a model: joints within their ranges, and those that are coupled to others."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from poolrl.errors import UsageError

MAX_DEPTH = 0.005
"""Deepest penetration in m of a posture that can be held."""

_SLACK = 0.01
"""By how much a coupled joint may be beyond its range, in rad or m: limits are soft."""

_TRIES = 1000


class Postures:
    """Draw postures of a model.

    A joint that an equality makes a polynomial of another one follows it; equalities of other kinds
    are not considered. Joints without a range, and free and ball joints, stay where the model has
    them.

    Args:
        model: must not change.

    Attributes:
        free: (n,): addresses in qpos of the joints that are drawn.
        coupled: (m,): addresses in qpos of the joints that follow others.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self.model = model
        self._data = mujoco.MjData(model)
        is_single = np.isin(
            model.jnt_type, [int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE)]
        )
        self._couplings = _couplings(model)
        followers = [joint for joint, _, _ in self._couplings]
        is_free = is_single & (model.jnt_limited != 0)
        is_free[followers] = False
        self.free: NDArray[np.intp] = model.jnt_qposadr[is_free].astype(np.intp)
        self.coupled: NDArray[np.intp] = model.jnt_qposadr[followers].astype(np.intp)
        self._low, self._high = model.jnt_range[is_free].T
        limited = model.jnt_limited[followers, None] != 0
        ranges = np.where(limited, model.jnt_range[followers], [-np.inf, np.inf])
        self._coupled_low, self._coupled_high = ranges.T

    def draw(self, generator: np.random.Generator) -> NDArray[np.float64]:
        """Draw a posture, (nq,): free joints uniformly in their ranges, without collisions deeper
        than ``MAX_DEPTH`` and with coupled joints in theirs.

        Raises:
            UsageError: of many postures none is such.
        """
        for _ in range(_TRIES):
            qpos: NDArray[np.float64] = self.model.qpos0.copy()
            qpos[self.free] = generator.uniform(self._low, self._high)
            self.complete(qpos)
            if self._can_be_held(qpos):
                return qpos
        raise UsageError(
            f"task: of {_TRIES} postures within the joints' ranges none is without collisions "
            f"deeper than {MAX_DEPTH:g} m"
        )

    def near(
        self, qpos: NDArray[np.float64], scale: float, generator: np.random.Generator
    ) -> NDArray[np.float64]:
        """Draw a posture about another one, (nq,), within the ranges of the joints.

        Args:
            qpos: (nq,).
            scale: largest deviation of a free joint.
            generator: of the episode.
        """
        qpos = qpos.copy()
        moved = qpos[self.free] + generator.uniform(-scale, scale, len(self.free))
        qpos[self.free] = np.clip(moved, self._low, self._high)
        return self.complete(qpos)

    def complete(self, qpos: NDArray[np.float64]) -> NDArray[np.float64]:
        """Move the coupled joints of a posture, (nq,), to where the others want them; return it."""
        rest, address = self.model.qpos0, self.model.jnt_qposadr
        for joint, other, coefficients in self._couplings:
            deviation = qpos[address[other]] - rest[address[other]] if other >= 0 else 0.0
            # Horner's scheme, on scalars.
            value = 0.0
            for coefficient in coefficients[::-1]:
                value = value * deviation + coefficient
            qpos[address[joint]] = rest[address[joint]] + value
        return qpos

    def positions(self, qpos: NDArray[np.float64], field: str) -> NDArray[np.float64]:
        """Return positions at a posture, a field of ``MjData`` that follows from kinematics.

        Args:
            qpos: (nq,).
            field: ``xpos`` or ``site_xpos``.
        """
        self._data.qpos[:] = qpos
        mujoco.mj_kinematics(self.model, self._data)
        positions: NDArray[np.float64] = getattr(self._data, field).copy()
        return positions

    def _can_be_held(self, qpos: NDArray[np.float64]) -> bool:
        coupled = qpos[self.coupled]
        if ((coupled < self._coupled_low - _SLACK) | (coupled > self._coupled_high + _SLACK)).any():
            return False
        self._data.qpos[:] = qpos
        mujoco.mj_kinematics(self.model, self._data)
        mujoco.mj_collision(self.model, self._data)
        depths = -self._data.contact.dist[: self._data.ncon]
        return bool(depths.max(initial=0.0) <= MAX_DEPTH)


def _couplings(model: mujoco.MjModel) -> list[tuple[int, int, list[float]]]:
    """Return (joint, the joint that it follows or -1, coefficients) of a model's joint equalities,
    each after those that it depends on; of a joint with several, the first."""
    found: dict[int, tuple[int, list[float]]] = {}
    active: Any = model.eq_active0
    for i in np.flatnonzero((model.eq_type == int(mujoco.mjtEq.mjEQ_JOINT)) & (active != 0)):
        joint, other = int(model.eq_obj1id[i]), int(model.eq_obj2id[i])
        found.setdefault(joint, (other, model.eq_data[i][:5].tolist()))
    ordered: list[tuple[int, int, list[float]]] = []
    while found:
        ready = [joint for joint, (other, _) in found.items() if other not in found]
        if not ready:  # they follow each other in a circle
            break
        ordered += [(joint, *found.pop(joint)) for joint in ready]
    return ordered
