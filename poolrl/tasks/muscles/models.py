"""Models with muscles: the bodies of the package myo-sim, and users' own."""

from __future__ import annotations

import copy
import os
import warnings
from functools import lru_cache
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from poolrl.errors import UsageError, one_line
from poolrl.extras import require
from poolrl.tasks.mujoco.asset_paths import with_paths
from poolrl.tasks.mujoco.callbacks import silence_warnings
from poolrl.tasks.mujoco.model import is_path

TARGET = "poolrl_target"
"""Name of the mocap body, and of its site, that shows the target of a reach task."""

_TARGET_RADIUS = 0.02
"""Of the sphere that is drawn, in m."""


@lru_cache(maxsize=8)
def load_body(
    name: str, *, tip: str = "", level: bool = False, whole: bool = False
) -> mujoco.MjModel:
    """Compile a body of myo-sim; it is cached and must not be modified.

    Sites that nothing refers to are left out: most belong to muscles of a torso that are not there,
    and their kinematics take a sixteenth of the time, without an effect on the rest. The compiled
    model is the same wherever the package is installed: paths of its meshes begin at the package.

    Args:
        name: as for ``myo_sim.load_spec``.
        tip: a site to keep, with a target for it: a mocap body and a site ``TARGET``, which touch
            nothing; empty for none.
        level: put the floor where the podium of myo-sim's scene ends, at a radius of 1 m.
        whole: keep all sites.

    Raises:
        UsageError: myo-sim is not installed, or has no such body.
    """
    require("myo_sim", "muscles", f"task: the body {name} needs myo-sim")
    import myo_sim

    silence_warnings()
    with warnings.catch_warnings():
        # About saving specifications as XML.
        warnings.simplefilter("ignore")
        try:
            spec = myo_sim.load_spec(name)
        except ValueError as error:
            raise UsageError(f"task: myo-sim has no body {name!r}: {one_line(error)}") from error
        if not whole:
            _remove_idle_sites(spec, tip)
        if tip:
            _add_target(spec)
        if level:
            _make_level(spec)
        model = spec.compile()
    return _portable(model, os.path.dirname(os.path.dirname(myo_sim.__file__)))


@lru_cache(maxsize=8)
def load_own(xml_file: str) -> mujoco.MjModel:
    """Compile a user's model with muscles, and a target; it is cached and must not be modified.

    Args:
        xml_file: a path, from ``/``, ``.`` or ``~``.

    Raises:
        UsageError: there is no such file, or MuJoCo cannot compile it.
    """
    path = os.path.expanduser(xml_file)
    if not is_path(xml_file) or not os.path.isfile(path):
        given = f"no such file: {xml_file}" if xml_file else "needed"
        raise UsageError(
            f"task.kwargs.xml_file: {given}; give the path of a model with muscles, beginning with "
            "/, ./ or ~/"
        )
    try:
        spec = mujoco.MjSpec.from_file(path)
        _add_target(spec)
        return spec.compile()
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"task.kwargs.xml_file: {path}: {reason}") from error


def require_muscles(model: mujoco.MjModel) -> None:
    """Check that all actuators of a model are muscles.

    Raises:
        UsageError: names the first actuator that is none, or says that there are no actuators.
    """
    if not model.nu:
        raise UsageError("task.kwargs.xml_file: the model has no muscles")
    is_muscle = (model.actuator_dyntype == int(mujoco.mjtDyn.mjDYN_MUSCLE)) & (
        model.actuator_gaintype == int(mujoco.mjtGain.mjGAIN_MUSCLE)
    )
    if not is_muscle.all():
        index = int(np.flatnonzero(~is_muscle)[0])
        name = model.actuator(index).name or f"number {index}"
        raise UsageError(
            f"task.kwargs.xml_file: the actuator {name} is no muscle; an excitation would mean "
            "something else for it"
        )


def peak_forces(model: mujoco.MjModel) -> NDArray[np.float64]:
    """Return the muscles' peak active forces in N, (nu,); where the model gives none, MuJoCo's
    ``scale / acc0``."""
    given, scale = model.actuator_gainprm[:, 2], model.actuator_gainprm[:, 3]
    own: NDArray[np.float64] = np.where(
        given < 0, scale / np.maximum(model.actuator_acc0, mujoco.mjMINVAL), given
    )
    return own


def with_scaled_forces(model: mujoco.MjModel, factor: float) -> mujoco.MjModel:
    """Return a copy whose muscles' peak active forces are scaled; passive forces stay.

    Args:
        model: all of whose actuators are muscles.
        factor: of the forces.
    """
    scaled = copy.copy(model)
    scaled.actuator_gainprm[:, 2] = factor * peak_forces(model)
    return scaled


def point(model: mujoco.MjModel, name: str) -> tuple[str, int]:
    """Return where the position of a site or a body is: the field of ``MjData``, and the index.

    Args:
        model: with the site or body.
        name: of a site or, if there is none, of a body.

    Raises:
        UsageError: the model has neither.
    """
    for field, kind in (
        ("site_xpos", mujoco.mjtObj.mjOBJ_SITE),
        ("xpos", mujoco.mjtObj.mjOBJ_BODY),
    ):
        index = int(mujoco.mj_name2id(model, kind, name)) if name else -1
        if index >= 0:
            return field, index
    bodies = ", ".join(filter(None, (model.body(i).name for i in range(1, model.nbody))))
    raise UsageError(f"task.kwargs.tip: no site or body {name!r}; bodies of the model: {bodies}")


def _remove_idle_sites(spec: mujoco.MjSpec, kept: str) -> None:
    model, wrap, site = spec.compile(), mujoco.mjtWrap, int(mujoco.mjtObj.mjOBJ_SITE)
    used = {kept}

    def use(ids: Any) -> None:
        used.update(model.site(int(i)).name for i in np.ravel(ids) if i >= 0)

    use(model.wrap_objid[model.wrap_type == int(wrap.mjWRAP_SITE)])
    # Sites beside which a tendon passes an obstacle.
    is_obstacle = np.isin(model.wrap_type, [int(wrap.mjWRAP_SPHERE), int(wrap.mjWRAP_CYLINDER)])
    use(model.wrap_prm[is_obstacle])
    use(model.sensor_objid[model.sensor_objtype == site])
    use(model.sensor_refid[model.sensor_reftype == site])
    for each in list(spec.sites):
        if each.name not in used:
            spec.delete(each)


def _add_target(spec: mujoco.MjSpec) -> None:
    body = spec.worldbody.add_body(name=TARGET, mocap=True)
    body.add_site(name=TARGET, size=[_TARGET_RADIUS] * 3, rgba=[0.9, 0.2, 0.1, 0.6])


def _make_level(spec: mujoco.MjSpec) -> None:
    floor = spec.geom("floor")
    for geom in spec.worldbody.geoms:
        if geom.type == mujoco.mjtGeom.mjGEOM_CYLINDER and geom.contype:
            floor.pos[2] = geom.pos[2] + geom.size[1]
            geom.contype = geom.conaffinity = 0
            geom.rgba[3] = 0.0


def _portable(model: mujoco.MjModel, root: str) -> mujoco.MjModel:
    """Return the model with the paths of its files relative to ``root``, so that its hash does not
    depend on where a package is installed; as it is if MuJoCo's format is another one."""
    paths = [path.decode(errors="surrogateescape") for path in model.paths.split(b"\0")[:-1]]
    if not any(paths):
        return model
    data = with_paths(model, [os.path.relpath(path, root) for path in paths])
    if data is None:
        return model
    return mujoco.MjModel.from_binary_path("model.mjb", {"model.mjb": data})
