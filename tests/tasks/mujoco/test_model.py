"""Stages that are disabled in a model have no effect on its states."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
from mujoco.batch import Batch

from poolrl import tasks
from poolrl.tasks.mujoco.base import MujocoTask
from poolrl.tasks.mujoco.model import load_model, without_idle_stages

CONTACT = int(mujoco.mjtDisableBit.mjDSBL_CONTACT)
ISLAND = int(mujoco.mjtDisableBit.mjDSBL_ISLAND)

WALKER = """
<mujoco>
  <option {option}>{flags}</option>
  <worldbody>
    <geom type="plane" size="9 9 1" {plane}/>
    <body pos="0 0 {height}" name="torso">
      <freejoint/>
      <geom size=".1" {geom}/>
      <body pos=".2 0 0">
        <joint name="hip" axis="0 1 0" range="-30 30" limited="true" frictionloss=".1"/>
        <geom type="capsule" size=".05" fromto="0 0 0 .2 0 -.2" {geom}/>
        <body pos=".2 0 -.2" name="foot">
          <joint name="knee" axis="0 1 0" range="-20 20" limited="true"/>
          <geom type="capsule" size=".05" fromto="0 0 0 -.1 0 -.2" {geom}/>
        </body>
      </body>
    </body>
    {more}
  </worldbody>
  <tendon>
    <fixed name="both" limited="true" range="-.3 .3">
      <joint joint="hip" coef="1"/><joint joint="knee" coef="-1"/>
    </fixed>
  </tendon>
  <equality><connect body1="torso" anchor="0 0 .1" active="{held}"/></equality>
  <actuator><motor joint="hip" gear="3"/><motor joint="knee" gear="3"/></actuator>
</mujoco>
"""


def walker(
    option: str = "",
    flags: str = "",
    plane: str = "",
    geom: str = "",
    more: str = "",
    height: float = 0.4,
    held: str = "false",
) -> mujoco.MjModel:
    text = WALKER.format(
        option=option, flags=flags, plane=plane, geom=geom, more=more, height=height, held=held
    )
    return load_model(text)


def left_out(model: mujoco.MjModel) -> int:
    """The stages that only the reduced model disables."""
    reduced = without_idle_stages(model)
    assert reduced.opt.disableflags & model.opt.disableflags == model.opt.disableflags
    return int(reduced.opt.disableflags ^ model.opt.disableflags)


def states(model: mujoco.MjModel, steps: int = 200) -> np.ndarray:
    """(steps, 3, size): random controls, with resets every 50 steps."""
    generator = np.random.default_rng(7)
    batch = Batch(model, 3, 1)
    ctrl, qvel = batch.bind("ctrl"), batch.bind("qvel")
    seen = []
    for k in range(steps):
        if k % 50 == 0:
            batch.reset()
            qvel[...] = generator.normal(size=qvel.shape)
        ctrl[...] = generator.uniform(-1, 1, ctrl.shape)
        batch.step(None, 3)
        seen.append(batch.state.copy())
    return np.array(seen)


@pytest.mark.parametrize("held", ["false", "true"])
@pytest.mark.parametrize("cone", ["pyramidal", "elliptic"])
@pytest.mark.parametrize("solver", ["Newton", "CG", "PGS"])
def test_one_tree_moves_the_same_without_islands(solver: str, cone: str, held: str) -> None:
    model = walker(f'solver="{solver}" cone="{cone}" noslip_iterations="2"', held=held)
    assert left_out(model) == ISLAND
    assert np.array_equal(states(model), states(without_idle_stages(model)))


@pytest.mark.parametrize("integrator", ["Euler", "RK4", "implicit", "implicitfast"])
def test_what_cannot_touch_moves_the_same_without_contacts(integrator: str) -> None:
    # Types without affinities: nothing wants to touch anything, though all of it overlaps.
    model = walker(f'integrator="{integrator}"', geom='conaffinity="0"', plane='contype="0"')
    assert left_out(model) == ISLAND
    model = walker(
        f'integrator="{integrator}"', geom='conaffinity="0"', plane='conaffinity="0"', height=0.1
    )
    assert left_out(model) == ISLAND | CONTACT
    assert np.array_equal(states(model), states(without_idle_stages(model)))


def test_what_could_have_an_effect_stays() -> None:
    assert left_out(walker()) == ISLAND
    second = '<body pos="2 0 1"><freejoint/><geom size=".1" contype="0"/></body>'
    assert left_out(walker(more=second)) == 0
    assert left_out(walker(flags='<flag sleep="enable"/>')) == 0
    assert left_out(walker(flags='<flag contact="disable" island="disable"/>')) == 0
    untouchable = {"geom": 'contype="0" conaffinity="0"', "plane": 'contype="0" conaffinity="0"'}
    assert left_out(walker(**untouchable)) == ISLAND | CONTACT
    pair = '<contact><pair geom1="a" geom2="b"/></contact>'
    geoms = '<geom name="a" size=".1"/><body><joint/><geom name="b" size=".1"/></body>'
    chosen = f"<mujoco><worldbody>{geoms}</worldbody>{pair}</mujoco>"
    chosen = chosen.replace("<geom", '<geom contype="0" conaffinity="0"')
    assert left_out(load_model(chosen)) == ISLAND
    alone = '<mujoco><worldbody><body><joint/><geom size=".1"/></body></worldbody></mujoco>'
    assert left_out(load_model(alone)) == ISLAND | CONTACT


def test_a_task_keeps_its_model_as_it_was_read() -> None:
    """Its hash is stored in pools, and users may compute with it."""
    for name in ("Swimmer-v5", "Hopper-v5"):
        task = tasks.make(name, 1)
        assert isinstance(task, MujocoTask)
        assert task.model.opt.disableflags == 0
        assert task.batch.get_model(0).opt.disableflags != 0
