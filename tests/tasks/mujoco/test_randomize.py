"""Domain randomisation: values of the model that are drawn for every episode."""

from __future__ import annotations

import time

import mujoco
import numpy as np
import pytest

from poolrl import tasks
from poolrl.config.schema import Randomization
from poolrl.errors import UsageError
from poolrl.tasks.mujoco import MujocoTask
from poolrl.tasks.mujoco.model import ASSETS, load_model

MASS = {"body_mass": Randomization(scale=(0.5, 2.0))}
MANY = MASS | {
    "geom_friction": Randomization(scale=(0.5, 1.5), together=True),
    "dof_damping": Randomization(value=(0.5, 3.0), names=("LF_HAA", "RH_KFE")),
    "body_ipos": Randomization(add=(-0.05, 0.05), names=("trunk",)),
    "opt.gravity": Randomization(add=(-0.5, 0.5)),
}


def made(fields: dict[str, Randomization], n: int = 1, task: str = "Quadruped-v0") -> MujocoTask:
    task = tasks.make(task, n, randomize=fields)
    assert isinstance(task, MujocoTask)
    return task


def generators(seeds: list[int]) -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in seeds]


def observations(task: MujocoTask, ids: list[int], seeds: list[int], steps: int = 30) -> np.ndarray:
    """(steps, simulations, …): observations, with rewards, of the simulations ``ids``."""
    task.reset(np.array(ids), generators(seeds))
    action = np.random.default_rng(9).uniform(-1, 1, (steps, task.model.nu))
    seen = [np.column_stack((task.observe(), np.zeros(task.num_simulations)))[ids]]
    for row in action:
        result = task.step(np.tile(row, (task.num_simulations, 1)), np.array(ids))
        seen.append(np.column_stack((result.observation, result.reward))[ids])
    return np.array(seen)


@pytest.mark.parametrize("task_id", ["Quadruped-v0", "Swimmer-v5", "Ant-v5"])
def test_factors_of_one_change_no_bit(task_id: str) -> None:
    one = Randomization(scale=(1.0, 1.0))
    fields = dict.fromkeys(["body_mass", "geom_friction", "dof_armature", "opt.gravity"], one)
    plain, drawn = made({}, 2, task_id), made(fields, 2, task_id)
    assert np.array_equal(observations(plain, [0, 1], [3, 4]), observations(drawn, [0, 1], [3, 4]))


def test_initial_states_are_those_without_it() -> None:
    plain, drawn = made({}, 2), made(MANY, 2)
    before, after = observations(plain, [0, 1], [3, 4]), observations(drawn, [0, 1], [3, 4])
    assert np.array_equal(before[0], after[0])
    assert not np.array_equal(before[-1], after[-1])


def test_an_episode_depends_on_its_generator_alone() -> None:
    alone = made(MANY)
    expected = observations(alone, [0], [5])
    assert np.array_equal(observations(alone, [0], [5]), expected)
    crowd = made(MANY, 3)
    observations(crowd, [0, 1, 2], [1, 2, 3])
    assert np.array_equal(observations(crowd, [0, 2], [6, 5])[:, 1:], expected)
    assert not np.array_equal(observations(crowd, [2], [6]), expected)


def test_the_batch_steps_the_model_that_was_drawn() -> None:
    """Against a plain simulation of a model whose values are set by hand."""
    task = made(MANY)
    task.reset(np.arange(1), generators([7]))
    model = task.batch.get_model(0)
    data = mujoco.MjData(model)
    data.qpos, data.qvel = task.qpos[0], task.qvel[0]
    assert model.body_mass[1] != task.model.body_mass[1]
    assert model.opt.gravity[0] != 0
    by_hand = mujoco.MjModel.from_xml_path(str(ASSETS / "quadruped.xml"))
    for field in ("body_mass", "body_inertia", "body_ipos", "geom_friction", "dof_damping"):
        getattr(by_hand, field)[:] = getattr(model, field)
    by_hand.opt.gravity[:] = model.opt.gravity
    mujoco.mj_setConst(by_hand, mujoco.MjData(by_hand))
    task.step(np.zeros((1, 12)))
    data.ctrl = task.ctrl[0]
    for _ in range(task.frame_skip):
        mujoco.mj_step(by_hand, data)
    assert np.array_equal(task.qpos[0], data.qpos)


def values(task: MujocoTask, field: str) -> np.ndarray:
    return np.array(task.batch.expand(field))


def test_contact_forces_are_those_of_the_drawn_model() -> None:
    task = made({"body_mass": Randomization(scale=(0.5, 2.0))}, 2, "Ant-v5")
    seen = observations(task, [0, 1], [3, 4], steps=40)
    assert np.abs(task.cfrc_ext).max() > 0
    for i in range(2):
        model, data = task.batch.get_model(i), mujoco.MjData(task.model)
        task.batch.get_data(i, data)
        mujoco.mj_rnePostConstraint(model, data)
        assert np.array_equal(task.cfrc_ext[i], data.cfrc_ext)
    assert not np.array_equal(seen[-1, 0], seen[-1, 1])


def test_draws_are_of_the_models_own_values_and_in_bounds() -> None:
    task = made(MANY, 40)
    for _ in range(5):  # and never compound
        task.reset(np.arange(40), generators(list(range(40))))
        ratio = values(task, "body_mass")[:, 1:] / task.model.body_mass[1:]
        assert 0.5 <= ratio.min() < 0.6
        assert 1.9 < ratio.max() <= 2.0
    assert (np.ptp(ratio, axis=1) > 0.1).all(), "one draw for each body"
    inertia = values(task, "body_inertia")[:, 1:] / task.model.body_inertia[1:]
    assert inertia == pytest.approx(np.repeat(ratio[:, :, None], 3, axis=2))

    friction = values(task, "geom_friction") / task.model.geom_friction
    assert np.ptp(friction.reshape(40, -1), axis=1) == pytest.approx(0), "one draw for all"
    assert np.ptp(friction) > 0.5

    damping = values(task, "dof_damping")
    chosen = [task.model.joint(name).dofadr[0] for name in ("LF_HAA", "RH_KFE")]
    assert (np.ptp(damping[:, chosen], axis=0) > 1).all()
    rest = np.delete(np.arange(task.model.nv), chosen)
    assert np.array_equal(damping[:, rest], np.tile(task.model.dof_damping[rest], (40, 1)))

    offset = values(task, "body_ipos") - task.model.body_ipos
    assert abs(offset[:, 1]).max() <= 0.05
    assert (np.ptp(offset[:, 1], axis=1) > 0).all(), "what is added is drawn for each number"
    assert not np.delete(offset, 1, axis=1).any()
    assert np.ptp(values(task, "opt.gravity")[:, 2]) > 0.5


def test_inertia_that_is_drawn_itself_is_left_alone() -> None:
    task = made(MASS | {"body_inertia": Randomization(scale=(1.0, 1.0))}, 4)
    task.reset(np.arange(4), generators([0, 1, 2, 3]))
    assert np.array_equal(values(task, "body_inertia")[2], task.model.body_inertia)
    assert not np.array_equal(values(task, "body_mass")[2], task.model.body_mass)


def test_names_of_joints_choose_positions_and_velocities() -> None:
    task = made({"qpos_spring": Randomization(value=(9.0, 9.0), names=("root", "LF_HFE"))})
    task.reset(np.arange(1), generators([0]))
    changed = values(task, "qpos_spring")[0] == 9
    assert np.flatnonzero(changed).tolist() == [0, 1, 2, 3, 4, 5, 6, 8]


def test_a_heavier_robot_sinks_deeper() -> None:
    depth = []
    for factor in (0.7, 1.0, 1.3):
        task = made({"body_mass": Randomization(scale=(factor, factor))})
        task.reset(np.arange(1), generators([0]))
        for _ in range(100):
            task.step(np.zeros((1, 12)))
        depth.append(task.qpos[0, 2])
    assert depth[0] > depth[1] + 0.002 > depth[2] + 0.004


@pytest.mark.parametrize(
    ("field", "how", "words"),
    [
        ("body_mas", {}, ["task.randomize.body_mas: ", "did you mean body_mass?"]),
        ("zzz", {}, ["task.randomize.zzz: ", "unknown field"]),
        ("opt.gravty", {}, ["task.randomize.opt.gravty", "did you mean opt.gravity?"]),
        ("body_parentid", {}, ["task.randomize.body_parentid", "no real number"]),
        ("opt.iterations", {}, ["task.randomize.opt.iterations", "no real number"]),
        ("opt.timestep", {}, ["task.randomize.opt.timestep", "cannot be drawn"]),
        ("dof_invweight0", {}, ["task.randomize.dof_invweight0", "follows from the rest"]),
        ("key_qpos", {}, ["task.randomize.key_qpos", "no effect"]),
        ("tendon_stiffness", {}, ["task.randomize.tendon_stiffness", "the model has none"]),
        ("body_mass", {"names": ("trnk",)}, ["body_mass.names", "'trnk'", "did you mean trunk?"]),
        ("body_mass", {"names": ("zzz",)}, ["body_mass.names", "'zzz'", "known: world, trunk"]),
        ("geom_size", {"names": ("",)}, ["geom_size.names", "''"]),
        ("opt.gravity", {"names": ("a",)}, ["opt.gravity.names", "belongs to no object"]),
        ("body_mass", {"scale": (-0.1, 1.0)}, ["body_mass", "must stay above 0"]),
        ("body_mass", {"scale": None, "add": (-1.0, 1.0)}, ["body_mass", "must stay above 0"]),
    ],
)
def test_what_is_wrong_is_named(field: str, how: dict[str, object], words: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        made({field: Randomization(**({"scale": (0.9, 1.1)} | how))})  # type: ignore[arg-type]
    for word in words:
        assert word in str(error.value)
    assert "\n" not in str(error.value)


def test_a_task_without_a_model_has_nothing_to_draw() -> None:
    with pytest.raises(UsageError, match=r"task\.randomize: Plateau-v0"):
        tasks.make("Plateau-v0", 1, randomize=MASS)


def test_the_models_own_values_stay() -> None:
    before = load_model("quadruped.xml").body_mass.copy()
    made(MASS).reset(np.arange(1), generators([0]))
    assert np.array_equal(load_model("quadruped.xml").body_mass, before)


def test_drawing_is_cheap() -> None:
    task = made(MANY, 16)
    start = time.perf_counter()
    for i in range(10):
        task.reset(np.arange(16), generators(list(range(i, i + 16))))
    assert (time.perf_counter() - start) / 160 < 2e-3, "seconds a reset"
