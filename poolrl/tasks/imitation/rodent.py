"""The body of a rat of the package dm_control, as plain MJCF on a floor."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from xml.etree import ElementTree

import mujoco

from poolrl.errors import UsageError
from poolrl.extras import require
from poolrl.tasks.mujoco.callbacks import silence_warnings

ROOT_BODY = "torso"
"""Body whose orientation is the rat's, and whose subtree is the whole of it."""

_LIMBS = ("lower_arm_R", "lower_arm_L", "foot_R", "foot_L")

END_EFFECTORS = (*_LIMBS, "skull")
"""Bodies that dm_control's observable ``appendages_pos`` is about, in its order."""

TRACKED_BODIES = (
    "torso",
    "pelvis",
    "upper_leg_L",
    "lower_leg_L",
    "foot_L",
    "upper_leg_R",
    "lower_leg_R",
    "foot_R",
    "skull",
    "jaw",
    "scapula_L",
    "upper_arm_L",
    "lower_arm_L",
    "finger_L",
    "scapula_R",
    "upper_arm_R",
    "lower_arm_R",
    "finger_R",
)
"""dm_control's ``Rat.mocap_tracking_bodies``, in its order."""

_DEFAULTS = "rat"
"""Class of the rat's own defaults, which the floor does not have."""

_SKIN = "rodent_walker_skin.skn"
_HIP_MODS = frozenset(
    f"{part}_{way}" for part in ("lumbar", "cervical") for way in ("extend", "bend", "twist")
)

# Options and looks are those of dm_control's empty arena (composer/arena.xml) and of its ``Floor``,
# but for an extent of which the free camera shows a rat rather than the floor.
_SCENE = """<mujoco model="rat">
<compiler angle="radian" eulerseq="xyz" boundmass="1e-5" boundinertia="1e-11"/>
<option cone="elliptic" noslip_iterations="5" noslip_tolerance="0"/>
<statistic meansize="0.003" extent="0.5"/>
<visual>
<quality shadowsize="2048"/>
<headlight ambient=".4 .4 .4" diffuse=".8 .8 .8" specular=".1 .1 .1"/>
<map znear="0.01"/>
<scale forcewidth="0.01" contactwidth="0.06" contactheight="0.01" jointwidth="0.01"
 framewidth="0.01" framelength="0.3"/>
</visual>
<default/>
<asset>
<texture name="groundplane" type="2d" builtin="checker" rgb1=".2 .3 .4" rgb2=".1 .2 .3"
 width="200" height="200" mark="edge" markrgb=".8 .8 .8"/>
<material name="groundplane" texture="groundplane" texrepeat="2 2" texuniform="true"
 reflectance=".2"/>
</asset>
<worldbody>
<geom name="groundplane" type="plane" size="8 8 .25" material="groundplane"/>
<body name="walker"><freejoint name="root"/></body>
</worldbody>
</mujoco>"""


@dataclass(frozen=True)
class Scene:
    """A model in plain MJCF.

    Attributes:
        xml: of the model; the same text wherever the package is installed.
        assets: name of a file -> its content.
    """

    xml: str
    assets: Mapping[str, bytes]

    def compile(self) -> mujoco.MjModel:
        """Compile the model."""
        return mujoco.MjModel.from_xml_string(self.xml, dict(self.assets))

    @property
    def sha256(self) -> str:
        """SHA-256 of XML and assets, which does not depend on the version of MuJoCo."""
        digest = hashlib.sha256()
        for name, content in [("", self.xml.encode()), *sorted(self.assets.items())]:
            for part in (name.encode(), content):
                digest.update(len(part).to_bytes(8, "little") + part)
        return digest.hexdigest()


def rodent_scene(
    *,
    torque_actuators: bool = True,
    foot_mods: bool = True,
    hip_mods: bool = False,
    body_scale: float = 1.0,
    timestep: float = 0.002,
) -> Scene:
    """Build dm_control's rat (``dm_control.locomotion.walkers.rodent.Rat``; Merel et al., *Deep
    neuroethology of a virtual rodent*, ICLR 2020) with a free joint on its ``Floor``.

    The compiled model is that which dm_control's composer makes, without its prefix ``walker/`` of
    names. The composer is not used, since version 1.0.50 of it fails with MuJoCo 4, nor is
    anything of dm_control imported.

    Args:
        torque_actuators: controls in [-1, 1] are shares of the largest force of an actuator, rather
            than positions in the range of its joint or tendon.
        foot_mods: wider ranges of ankles and toes, dm_control's.
        hip_mods: gains of the three lumbar and three cervical actuators divided by 100, for
            positions alone.
        body_scale: factor of lengths, as of dm_control's ``rescale_subtree``; densities stay, so
            that masses change by its cube. A rat of another size has no skin.
        timestep: of the physics, in s.

    Raises:
        UsageError: dm_control is not installed, or an argument is out of range.
    """
    if torque_actuators and hip_mods:
        raise UsageError("task.kwargs.hip_mods: only without torque_actuators")
    for key, value in (("body_scale", body_scale), ("timestep", timestep)):
        if not (math.isfinite(value) and value > 0):
            raise UsageError(f"task.kwargs.{key}: expected more than 0, got {value!r}")
    folder = _folder()
    rat = ElementTree.fromstring((folder / "rodent.xml").read_text(encoding="utf-8"))
    scene = ElementTree.fromstring(_SCENE)
    _child(scene, "option").set("timestep", repr(timestep))

    defaults = _child(rat, "default")
    defaults.set("class", _DEFAULTS)
    _child(scene, "default").append(defaults)
    torso = _child(rat, "worldbody/body[@name='torso']")
    if body_scale != 1:
        _rescale(torso, body_scale)
    else:
        _child(scene, "asset").extend(_child(rat, "asset"))
    walker = _child(scene, "worldbody/body")
    walker.set("childclass", _DEFAULTS)
    walker.append(torso)
    for section in ("contact", "tendon", "actuator", "sensor"):
        scene.append(_child(rat, section))
    for limb in _LIMBS:  # dm_control adds them with its observables
        frame = {"objtype": "xbody", "objname": limb, "reftype": "xbody", "refname": ROOT_BODY}
        sensor = {"name": f"{limb}_end_effector", **frame}
        _child(scene, "sensor").append(ElementTree.Element("framepos", sensor))

    for actuator in _child(scene, "actuator"):
        actuator.set("class", actuator.get("class", _DEFAULTS))
        if torque_actuators:
            actuator.set("gainprm", actuator.attrib["forcerange"].split()[1])
            del actuator.attrib["biastype"], actuator.attrib["biasprm"]
        elif hip_mods and actuator.get("name") in _HIP_MODS:
            actuator.set("gainprm", repr(float(actuator.attrib["gainprm"]) / 100.0))
    if foot_mods:
        for part, limits in (("ankle", "-0.1 2"), ("toe", "-0.7 0.87")):
            _child(defaults, f".//default[@class='{part}']/joint").set("range", limits)

    assets = {} if body_scale != 1 else {_SKIN: (folder / _SKIN).read_bytes()}
    return Scene(ElementTree.tostring(scene, encoding="unicode"), MappingProxyType(assets))


@lru_cache(maxsize=8)
def load_rodent(
    *,
    torque_actuators: bool = True,
    foot_mods: bool = True,
    hip_mods: bool = False,
    body_scale: float = 1.0,
    timestep: float = 0.002,
) -> mujoco.MjModel:
    """Compile the rat of ``rodent_scene``; it is cached and must not be modified.

    Raises:
        UsageError: as of ``rodent_scene``.
    """
    silence_warnings()
    return rodent_scene(
        torque_actuators=torque_actuators,
        foot_mods=foot_mods,
        hip_mods=hip_mods,
        body_scale=body_scale,
        timestep=timestep,
    ).compile()


def _folder() -> Path:
    """Return the folder of dm_control's walkers, without importing the package."""
    require("dm_control", "dm", "task: the rat needs dm_control")
    spec = find_spec("dm_control")
    assert spec is not None
    folder = Path(str(spec.origin)).parent / "locomotion" / "walkers" / "assets"
    if not os.path.isfile(folder / "rodent.xml"):
        raise UsageError(f"task: the installed dm_control has no rat: no rodent.xml in {folder}")
    return folder


def _child(element: ElementTree.Element, path: str) -> ElementTree.Element:
    found = element.find(path)
    if found is None:
        raise UsageError(f"task: the rat of the installed dm_control is another one: no {path}")
    return found


def _rescale(body: ElementTree.Element, scale: float) -> None:
    """Scale what is in a body, but not where the body itself is."""
    for child in body:
        for name in ("pos", "size", "fromto"):
            if name in child.attrib:
                numbers = (repr(scale * float(number)) for number in child.attrib[name].split())
                child.set(name, " ".join(numbers))
        if child.tag == "body":
            _rescale(child, scale)
