"""Lengths, velocities, forces and activities of a model's actuators at the current state."""

from __future__ import annotations

import copy
from typing import Any

import mujoco
import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray

from poolrl.tasks.base import ActuatorState
from poolrl.tasks.mujoco.randomize import Randomizer


class ActuatorProbe:
    """Compute the state of the actuators of a batch, whose simulations it does not touch.

    After a step, a batch's derived fields are one substep behind its state, and observations are
    made of them: to compute them again in the batch itself would change an episode. So the states
    are copied to a batch of the probe's own, whose model leaves out what has no effect on
    actuators: contacts and constraints, unless an actuator acts through contacts.

    Args:
        batch: the simulations.
        threads: of the probe's own batch.
    """

    def __init__(self, batch: Batch, threads: int) -> None:
        model = copy.copy(batch.model)
        disable, enable = mujoco.mjtDisableBit, mujoco.mjtEnableBit
        model.opt.disableflags |= int(disable.mjDSBL_SENSOR)
        if not (model.actuator_trntype == int(mujoco.mjtTrn.mjTRN_BODY)).any():
            model.opt.disableflags |= int(disable.mjDSBL_CONSTRAINT | disable.mjDSBL_CONTACT)
        # A batch that is not persistent refuses them; they are about later steps.
        model.opt.enableflags &= ~int(enable.mjENBL_SLEEP | enable.mjENBL_IPC)
        self._batch = batch
        self._own = Batch(model, batch.nsim, threads)
        self._length, self._velocity, self._force = (
            self._own.bind(f"actuator_{name}") for name in ("length", "velocity", "force")
        )
        self._act, self._of_act = batch.bind("act"), last_activations(model)

    def state(self) -> ActuatorState:
        """Return the state of the actuators at the current state of all simulations."""
        self._own.state[...] = self._batch.state
        self._own.forward()
        return ActuatorState(
            self._length.copy(),
            self._velocity.copy(),
            self._force.copy(),
            activities(self._act, self._of_act),
        )

    def copy_values(self, randomizer: Randomizer) -> None:
        """Take over the values of the model that were drawn for the simulations."""
        randomizer.copy_to(self._own)


def last_activations(model: mujoco.MjModel) -> NDArray[np.intp]:
    """Return for each actuator the index in ``act`` that its force is computed from, (nu,), the
    last one if it has several; -1 where it has none."""
    first, count = model.actuator_actadr, model.actuator_actnum
    index: NDArray[np.intp] = np.where(count > 0, first + count - 1, -1).astype(np.intp)
    return index


def activities(act: NDArray[np.float64], index: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return a new array of activities, (n, nu); NaN of actuators without an activation.

    Args:
        act: (n, na), of MuJoCo.
        index: (nu,), as ``last_activations`` returns it.
    """
    activity: NDArray[np.float64] = np.full((len(act), len(index)), np.nan)
    has_one = index >= 0
    activity[:, has_one] = act[:, index[has_one]]
    return activity


class DataProbe:
    """Compute the state of the actuators of single simulations (``MjData``), which stay as they
    are.

    Attributes:
        model: of the simulations.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self.model = model
        self._spec = int(mujoco.mjtState.mjSTATE_INTEGRATION)
        self._row = np.empty(mujoco.mj_stateSize(model, self._spec))
        self._scratch = mujoco.MjData(model)
        self._index = last_activations(model)

    def state(self, data: Any) -> ActuatorState:
        """Return the state of the actuators, each (nu,), at the current state of ``data``."""
        model, scratch = self.model, self._scratch
        mujoco.mj_getState(model, data, self._row, self._spec)
        mujoco.mj_setState(model, scratch, self._row, self._spec)
        mujoco.mj_fwdPosition(model, scratch)
        mujoco.mj_fwdVelocity(model, scratch)
        mujoco.mj_fwdActuation(model, scratch)
        return ActuatorState(
            scratch.actuator_length.copy(),
            scratch.actuator_velocity.copy(),
            scratch.actuator_force.copy(),
            activities(scratch.act[None], self._index)[0],
        )
