"""Domain randomisation: values of the model that are drawn for every episode."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import mujoco
import numpy as np
from mujoco.batch import MODEL_FIELDS, Batch
from numpy.typing import NDArray

from poolrl.config.schema import Randomization
from poolrl.errors import UsageError, did_you_mean
from poolrl.tasks.base import Ids

# Prefix of a field -> the type of the objects that its rows belong to, and their count's field.
_OBJECTS = {
    "actuator_": (mujoco.mjtObj.mjOBJ_ACTUATOR, "nu"),
    "body_": (mujoco.mjtObj.mjOBJ_BODY, "nbody"),
    "dof_": (mujoco.mjtObj.mjOBJ_JOINT, "njnt"),
    "eq_": (mujoco.mjtObj.mjOBJ_EQUALITY, "neq"),
    "geom_": (mujoco.mjtObj.mjOBJ_GEOM, "ngeom"),
    "jnt_": (mujoco.mjtObj.mjOBJ_JOINT, "njnt"),
    "pair_": (mujoco.mjtObj.mjOBJ_PAIR, "npair"),
    "qpos": (mujoco.mjtObj.mjOBJ_JOINT, "njnt"),
    "site_": (mujoco.mjtObj.mjOBJ_SITE, "nsite"),
    "tendon_": (mujoco.mjtObj.mjOBJ_TENDON, "ntendon"),
}

# Values that are positive in the model must stay positive.
_POSITIVE = ("body_mass", "body_inertia", "geom_size")

_INPUTS = frozenset(mujoco.MjModel._setconst_inputs)


class Randomizer:
    """Draw values of the model for the simulations of a batch.

    Draws are relative to the model's own values, so that they do not depend on earlier episodes. A
    factor (``scale``) is drawn for each row of a field, that is for each body, geom, …; an offset
    (``add``) or a new value (``value``) for each number. A body's inertia is scaled by the factor
    of its mass, as if its density had changed, unless ``body_inertia`` is drawn too.

    Args:
        model: the model of the batch.
        batch: the simulations.
        fields: field of the model -> how it is drawn; options are named as in ``opt.gravity``.

    Raises:
        UsageError: names the field that is unknown or cannot be drawn, or the object in it.
    """

    def __init__(
        self, model: mujoco.MjModel, batch: Batch, fields: Mapping[str, Randomization]
    ) -> None:
        self._batch = batch
        # Sorted, since a pool's file does not keep the order of tables.
        self._names = sorted(fields)
        self._draws = [_Draw(model, batch, name, fields[name]) for name in self._names]
        self._mass = self._inertia = None
        self._masses, self._inertias = model.body_mass.copy(), model.body_inertia.copy()
        if "body_mass" in fields and "body_inertia" not in fields:
            self._mass, self._inertia = batch.expand("body_mass"), batch.expand("body_inertia")
        self._constants = any(name in _INPUTS or name.startswith("opt.") for name in fields)

    def draw(self, ids: Ids, generators: Sequence[np.random.Generator]) -> None:
        """Draw values for the simulations ``ids``, the i-th from ``generators[i]``."""
        for simulation, generator in zip(ids, generators, strict=True):
            for field in self._draws:
                field.draw(simulation, generator)
        if self._mass is not None and self._inertia is not None:
            ratio = np.ones_like(self._mass[ids])
            np.divide(self._mass[ids], self._masses, out=ratio, where=self._masses > 0)
            self._inertia[ids] = self._inertias * ratio[:, :, None]
        if self._constants:
            self._batch.set_const(ids)

    def copy_to(self, batch: Batch) -> None:
        """Copy the current values of the simulations to another batch of the same model and as
        many simulations."""
        names = self._names if self._inertia is None else [*self._names, "body_inertia"]
        for name in names:
            batch.expand(name)[...] = self._batch.expand(name)
        if self._constants:
            batch.set_const()


class _Draw:
    """Draws of one field: the model's values of the selected rows, and the simulations' values."""

    def __init__(self, model: mujoco.MjModel, batch: Batch, field: str, how: Randomization) -> None:
        own = _own_values(model, field)
        self._how = how
        self._rows = _rows(model, field, how.names)
        if field.startswith("opt."):  # a scalar or vector option becomes one row
            own = own[None]
            self._values = batch.expand(field)[:, None]
        else:
            self._values = batch.expand(field)
        self._own = own[self._rows]
        count = 1 if how.together else len(self._own)
        self._factors = (count, *[1] * (own.ndim - 1))
        self._numbers = (count, *own.shape[1:])
        if field in _POSITIVE:
            bounds = self._new(0.0), self._new(1.0)
            least = min(float(each.min(initial=1.0, where=self._own > 0)) for each in bounds)
            if least <= 0:
                raise UsageError(f"task.randomize.{field}: must stay above 0, could be {least:g}")

    def draw(self, simulation: int, generator: np.random.Generator) -> None:
        shape = self._numbers if self._how.scale is None else self._factors
        self._values[simulation, self._rows] = self._new(generator.random(shape))

    def _new(self, at: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Interpolate between the lowest values, at 0, and the highest, at 1."""
        how = self._how
        if how.scale is not None:
            return self._own * _between(how.scale, at)
        if how.add is not None:
            return self._own + _between(how.add, at)
        assert how.value is not None
        return np.broadcast_to(_between(how.value, at), self._own.shape)


def _between(
    bounds: tuple[float, float], at: NDArray[np.float64] | float
) -> NDArray[np.float64] | float:
    return bounds[0] + (bounds[1] - bounds[0]) * at


def _own_values(model: mujoco.MjModel, field: str) -> NDArray[np.float64]:
    """Return a copy of the model's values of a field.

    Raises:
        UsageError: there is no such field, or it cannot be drawn.
    """
    key = f"task.randomize.{field}"
    if field not in MODEL_FIELDS:
        known = [name for name in MODEL_FIELDS if name.startswith((*_OBJECTS, "opt."))]
        hint = did_you_mean(field, sorted(known))
        raise UsageError(f"{key}: unknown field of the model{hint and f'; {hint}'}")
    own = model.opt if field.startswith("opt.") else model
    values = np.array(getattr(own, field.removeprefix("opt.")))
    if values.dtype.kind != "f":
        raise UsageError(f"{key}: is no real number and cannot be drawn")
    # Names of constants that MuJoCo derives end with these, most with 0.
    derived = field not in _INPUTS and field.endswith(("0", "_subtreemass", "_rbound", "_length"))
    if derived or field == "opt.timestep" or not field.startswith((*_OBJECTS, "opt.")):
        raise UsageError(f"{key}: cannot be drawn; it follows from the rest or has no effect")
    return values.astype(np.float64)


def _rows(model: mujoco.MjModel, field: str, names: Iterable[str]) -> NDArray[np.intp]:
    """Return the rows of a field that belong to some objects.

    Args:
        model: with the field.
        field: of the model, or an option.
        names: of the objects; all rows are returned if there are none.

    Raises:
        UsageError: no object has such a name, or the field has no rows.
    """
    key = f"task.randomize.{field}"
    if field.startswith("opt."):
        if tuple(names):
            raise UsageError(f"{key}.names: an option belongs to no object")
        return np.zeros(1, np.intp)
    count = len(getattr(model, field))
    if not count:
        raise UsageError(f"{key}: the model has none")
    if not tuple(names):
        return np.arange(count)
    kind, total = next(each for start, each in _OBJECTS.items() if field.startswith(start))
    known = [mujoco.mj_id2name(model, kind, i) or "" for i in range(getattr(model, total))]
    named = list(filter(None, known))
    rows: list[int] = []
    for name in names:
        if name not in named:
            hint = did_you_mean(name, named, f"known: {', '.join(named) or 'none'}")
            raise UsageError(f"{key}.names: unknown name {name!r}; {hint}")
        rows.extend(_rows_of(model, field, known.index(name)))
    return np.array(rows)


def _rows_of(model: mujoco.MjModel, field: str, number: int) -> list[int]:
    """Return the rows of a field that belong to an object.

    Args:
        model: with the field.
        field: of the model.
        number: index of the object.
    """
    if field.startswith("dof_"):
        return [int(row) for row in np.flatnonzero(model.dof_jntid == number)]
    if field.startswith("qpos"):
        starts = [*model.jnt_qposadr, model.nq]
        return list(range(starts[number], starts[number + 1]))
    return [number]
