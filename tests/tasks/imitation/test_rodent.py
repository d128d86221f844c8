"""The rat: the model that dm_control's composer makes, without the composer."""

from __future__ import annotations

import shutil
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import mujoco
import numpy as np
import pytest

from poolrl import extras
from poolrl.errors import UsageError
from poolrl.tasks.imitation import rodent
from tests.helpers.rodents import needs_dm

COMPOSED = int(version("mujoco").partition(".")[0]) < 4
OTHER = (
    "njmax",
    "nconmax",
    "narena",
    "nbuffer",
    "signature",
    "nnames",
    "nnames_map",
    "npaths",
    "paths",
    "names",
)
"""Sizes of memory, hashes and lengths of names."""


def composed(torque: bool, foot: bool, hip: bool, scale: float) -> mujoco.MjModel:
    """The rat as published work with it compiles it."""
    from dm_control.locomotion.arenas.floors import Floor
    from dm_control.locomotion.walkers.rescale import rescale_subtree
    from dm_control.locomotion.walkers.rodent import Rat

    rat, floor = Rat(torque_actuators=torque, foot_mods=foot), Floor()
    rescale_subtree(rat.root_body, scale, scale)
    rat.create_root_joints(floor.attach(rat))
    rat.observables  # noqa: B018  (they add sensors)
    root = floor.mjcf_model
    if hip:
        for part in ("lumbar", "cervical"):
            for way in ("extend", "bend", "twist"):
                root.find("actuator", f"walker/{part}_{way}").gainprm /= 100.0
    return mujoco.MjModel.from_xml_string(root.to_xml_string(), root.get_assets())


@needs_dm
@pytest.mark.skipif(not COMPOSED, reason="dm_control's composer fails with MuJoCo 4")
@pytest.mark.parametrize(
    ("torque", "foot", "hip", "scale"),
    [
        (True, True, False, 1.0),
        pytest.param(False, True, True, 1.0, marks=pytest.mark.full),
        (False, False, False, 0.8),
    ],
)
def test_the_model_is_the_composers(torque: bool, foot: bool, hip: bool, scale: float) -> None:
    theirs = composed(torque, foot, hip, scale)
    scene = rodent.rodent_scene(
        torque_actuators=torque, foot_mods=foot, hip_mods=hip, body_scale=scale
    )
    own, compared = scene.compile(), set()
    for name in dir(theirs):
        # The composer's floor has a camera, and a rat of another size a skin that does not fit.
        if name.startswith(("_", "cam_", "ncam", "name", "skin_", "nskin")) or name in OTHER:
            continue
        value = getattr(theirs, name)
        if isinstance(value, (int, float, np.ndarray)):
            assert np.array_equal(value, getattr(own, name)), name
            compared.add(name)
    assert {"body_mass", "geom_friction", "actuator_gainprm", "jnt_range", "qpos0"} < compared
    for name in dir(theirs.opt):
        if not name.startswith("_"):
            assert np.array_equal(getattr(theirs.opt, name), getattr(own.opt, name)), name
    for kind in (mujoco.mjtObj.mjOBJ_JOINT, mujoco.mjtObj.mjOBJ_SENSOR, mujoco.mjtObj.mjOBJ_BODY):
        names = [
            [mujoco.mj_id2name(model, kind, i) for i in range(2, 12)] for model in (theirs, own)
        ]
        assert [name.removeprefix("walker/") for name in names[0]] == names[1]


@needs_dm
def test_sizes_are_those_of_published_work() -> None:
    model = rodent.load_rodent()
    assert (model.nq, model.nv, model.nu, model.na) == (74, 73, 38, 38)
    assert (model.nbody, model.nsensordata) == (67, 28)
    assert model.body_mass.sum() == pytest.approx(0.338, abs=5e-4)
    assert model.opt.timestep == 0.002
    assert np.array_equal(model.actuator_ctrlrange, np.tile([-1.0, 1.0], (38, 1)))
    for name in (*rodent.TRACKED_BODIES, *rodent.END_EFFECTORS, rodent.ROOT_BODY):
        assert model.body(name).id > 0
    assert rodent.load_rodent(timestep=0.001).opt.timestep == 0.001


@needs_dm
def test_bodies_are_named_as_dm_control_tracks_them() -> None:
    from dm_control.locomotion.walkers.rodent import Rat

    rat = Rat()
    assert tuple(body.name for body in rat.mocap_tracking_bodies) == rodent.TRACKED_BODIES
    ends = (*rat.end_effectors, rat.head)
    assert tuple(body.name for body in ends) == rodent.END_EFFECTORS
    assert rat.root_body.name == rodent.ROOT_BODY


@needs_dm
def test_the_hash_says_which_rat_it_is_and_not_where_the_package_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [{}, {"torque_actuators": False}, {"foot_mods": False}, {"body_scale": 0.9}]
    hashes = [rodent.rodent_scene(**each).sha256 for each in options]
    assert len(set(hashes)) == len(options)
    if version("dm_control") == "1.0.50":
        assert hashes[0].startswith("5f9dd8e559b82d99")

    spec = find_spec("dm_control")
    assert spec is not None
    folder = Path("locomotion", "walkers", "assets")
    (tmp_path / folder).mkdir(parents=True)
    for name in ("rodent.xml", "rodent_walker_skin.skn"):
        shutil.copy(Path(str(spec.origin)).parent / folder / name, tmp_path / folder)
    moved = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(rodent, "find_spec", lambda name: moved)
    scene = rodent.rodent_scene()
    assert scene.sha256 == hashes[0]
    assert scene.compile().paths == b"rodent_walker_skin.skn\0"

    (tmp_path / folder / "rodent.xml").write_text("<mujoco><default/></mujoco>")
    with pytest.raises(UsageError, match=r"another one: no worldbody/body\[@name='torso'\]"):
        rodent.rodent_scene()
    (tmp_path / folder / "rodent.xml").unlink()
    with pytest.raises(UsageError, match=r"has no rat: no rodent\.xml in "):
        rodent.rodent_scene()


@needs_dm
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hip_mods": True}, r"task\.kwargs\.hip_mods: only without torque_actuators"),
        ({"body_scale": 0.0}, r"task\.kwargs\.body_scale: expected more than 0, got 0\.0"),
        ({"timestep": float("nan")}, r"task\.kwargs\.timestep: expected more than 0, got nan"),
    ],
)
def test_options_are_checked(options: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        rodent.rodent_scene(**options)  # type: ignore[arg-type]


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(extras.MissingExtra, match=r"pip install 'poolrl\[dm\]'"):
        rodent.rodent_scene()
