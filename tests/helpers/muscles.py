"""Tasks with muscles for tests: which package they need, and a model of a user's own."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poolrl import tasks
from poolrl.tasks.muscles import MuscleTask

BODIES = (
    "MuscleElbowReach-v0",
    "MuscleFingerReach-v0",
    "MuscleArmReach-v0",
    "MuscleLegsStand-v0",
    "MuscleLegsWalk-v0",
)
"""Tasks with bodies of myo-sim."""

needs_bodies = pytest.mark.skipif(find_spec("myo_sim") is None, reason="needs poolrl[muscles]")

OWN = """<mujoco>
<worldbody><geom name="floor" type="plane" size="2 2 .1" pos="0 0 -.5"/>
<body name="upper"><joint name="shoulder" axis="0 1 0" range="-60 60" damping=".2"/>
<geom type="capsule" size=".03" fromto="0 0 0 0 0 -.3"/><site name="high" pos=".05 0 -.1"/>
<site name="low" pos="-.05 0 -.1"/><site name="root" pos=".05 0 -.28"/>
<body name="fore" pos="0 0 -.3"><joint name="elbow" axis="0 1 0" range="-120 0" damping=".1"/>
<joint name="twist" axis="0 0 1" range="-90 90" damping=".1"/>
<geom type="capsule" size=".02" fromto="0 0 0 0 0 -.2"/><site name="end" pos=".03 0 -.05"/>
<body name="hand" pos="0 0 -.2"><geom size=".02"/></body></body></body>
<site name="front" pos=".1 0 0"/><site name="back" pos="-.1 0 0"/></worldbody>
<equality><joint joint1="twist" joint2="elbow" polycoef=".1 -.5 0 0 0"/></equality>
<tendon><spatial name="flexor"><site site="front"/><site site="high"/></spatial>
<spatial name="extensor"><site site="back"/><site site="low"/></spatial>
<spatial name="biceps"><site site="root"/><site site="end"/></spatial></tendon>
<actuator>{first}<muscle name="extensor" tendon="extensor" lengthrange=".1 .25"/>
<muscle name="biceps" tendon="biceps" lengthrange=".02 .1"/></actuator>
<keyframe><key name="bent" qpos="0 -1 .6"/></keyframe></mujoco>"""
"""A model of a user's own: three joints, of which one follows another, and three muscles."""

FLEXOR = '<muscle name="flexor" tendon="flexor" lengthrange=".1 .25" force="40"/>'


def own_model(folder: Path, first: str = FLEXOR) -> dict[str, Any]:
    """Write the model, with ``first`` as its first actuator; return the arguments of a task."""
    path = folder / "arm.xml"
    path.write_text(OWN.format(first=first))
    return {"xml_file": str(path), "tip": "hand"}


def started(task_id: str, n: int = 3, seed: int = 0, **kwargs: Any) -> MuscleTask:
    """A task of muscles with running episodes."""
    task = tasks.make(task_id, n, kwargs=kwargs)
    assert isinstance(task, MuscleTask)
    task.reset(np.arange(n), [np.random.default_rng([seed, i]) for i in range(n)])
    return task


def actions(task: MuscleTask, seed: int) -> np.ndarray:
    """Random actions, (num_simulations, muscles), float32."""
    space: Any = task.action_space
    size = (task.num_simulations, *space.shape)
    return np.random.default_rng(seed).uniform(space.low, space.high, size).astype(np.float32)
