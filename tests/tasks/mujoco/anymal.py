"""A substitute for ANYmal C's scene: the same structure, of primitives, without a file of MuJoCo
Menagerie."""

from __future__ import annotations

from pathlib import Path

LEG = """
<body name="{name}_HIP" pos="{x} {y} 0">
  <inertial mass="2.8" pos="0 0 0" diaginertia="0.006 0.005 0.004"/>
  <joint name="{name}_HAA" axis="{fore} 0 0"/>
  <body name="{name}_THIGH" pos="{hip} {side} 0" quat="1 0 0 1">
    <inertial mass="3.1" pos="0 0 -0.1" diaginertia="0.03 0.03 0.004"/>
    <joint name="{name}_HFE" axis="{left} 0 0"/>
    <body name="{name}_SHANK" pos="0 0 -0.285">
      <inertial mass="0.6" pos="0 0 -0.1" diaginertia="0.01 0.01 0.001"/>
      <joint name="{name}_KFE" axis="{left} 0 0"/>
      <geom type="cylinder" size="0.0175 0.14" pos="0 0 -0.169"/>
      <geom type="sphere" size="0.03" pos="0 0 -0.31547" condim="6" friction="0.8 0.02 0.01"/>
    </body>
  </body>
</body>"""

SCENE = """
<mujoco>
  <compiler angle="radian" autolimits="true"/>
  <option cone="elliptic" impratio="100"/>
  <default>
    <joint damping="1" frictionloss="0.1"/>
    <position kp="100" ctrlrange="-6.28 6.28" forcerange="-80 80"/>
  </default>
  <worldbody>
    <geom name="floor" type="plane" size="0 0 0.05"/>
    <body name="base" pos="0 0 0.62" quat="0 0 0 1">
      <freejoint/>
      <inertial mass="19.2" pos="0 0 0.05" diaginertia="0.64 0.62 0.22"/>
      <geom type="box" size="0.29 0.07 0.09"/>{legs}
    </body>
  </worldbody>
  <actuator>{actuators}</actuator>
</mujoco>"""


def scene(order: tuple[str, ...] = ("LF", "RF", "LH", "RH")) -> str:
    """The scene with the actuators in an order of legs."""
    legs = ""
    for name in ("LF", "RF", "LH", "RH"):
        left, fore = (1 if name[0] == "L" else -1), (1 if name[1] == "F" else -1)
        x, y, hip, side = 0.3 * fore, 0.104 * left, 0.06 * fore, 0.1 * left
        legs += LEG.format(name=name, x=x, y=y, hip=hip, side=side, fore=fore, left=left)
    actuators = "".join(
        f'<position joint="{leg}_{joint}"/>' for leg in order for joint in ("HAA", "HFE", "KFE")
    )
    return SCENE.format(legs=legs, actuators=actuators)


def write_scene(folder: Path) -> str:
    """Write the scene into a folder; the file's path."""
    path = folder / "scene.xml"
    path.write_text(scene())
    return str(path)
