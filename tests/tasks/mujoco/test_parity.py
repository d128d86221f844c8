"""The eleven tasks against Gymnasium's own, to the last bit."""

from __future__ import annotations

import inspect
from importlib.metadata import version
from pathlib import Path

import gymnasium
import mujoco
import numpy as np
import pytest

from benchmarks.parity import TASKS, compare, distance, info_distance, parse
from poolrl import tasks

DOCUMENT = Path(__file__).parents[3] / "docs" / "parity.md"
INF = float("inf")

LOCOMOTION: list[dict[str, object]] = [
    {"forward_reward_weight": 2.5, "ctrl_cost_weight": 0.7},
    {"frame_skip": 3, "reset_noise_scale": 0.05},
    {"exclude_current_positions_from_observation": False},
]
BODIES: list[dict[str, object]] = [
    {"frame_skip": 2, "include_cinert_in_observation": False},
    {"reset_noise_scale": 0.1, "include_cvel_in_observation": False},
    {"ctrl_cost_weight": 0.3, "include_qfrc_actuator_in_observation": False},
    {"exclude_current_positions_from_observation": False},
]
WALKING: list[dict[str, object]] = [
    *LOCOMOTION,
    {"healthy_reward": 0.3, "terminate_when_unhealthy": False},
]

# Every argument takes another value than its default's in one of these; xml_file has its own test.
VARIANTS: dict[str, list[dict[str, object]]] = {
    "InvertedPendulum-v5": [{"frame_skip": 3}, {"reset_noise_scale": 0.1}],
    "InvertedDoublePendulum-v5": [
        {"frame_skip": 3, "healthy_reward": 2.5},
        {"reset_noise_scale": 0.02},
    ],
    "Reacher-v5": [
        {"frame_skip": 5},
        {"reward_dist_weight": 2.5, "reward_control_weight": 0.3},
    ],
    "Pusher-v5": [
        {"frame_skip": 2},
        {"reward_near_weight": 0.7, "reward_dist_weight": 2.5, "reward_control_weight": 0.3},
    ],
    "Swimmer-v5": LOCOMOTION,
    "HalfCheetah-v5": LOCOMOTION,
    "Hopper-v5": [
        *WALKING,
        {"healthy_state_range": (-2.0, 1.5), "healthy_angle_range": (-INF, INF)},
        {"healthy_z_range": (1.1, 1.3), "healthy_angle_range": (-0.1, 0.3)},
    ],
    "Walker2d-v5": [
        *WALKING,
        {"healthy_z_range": (-INF, 1.25), "healthy_angle_range": (-0.2, 0.4)},
    ],
    "Ant-v5": [
        *WALKING,
        {"contact_cost_weight": 0.02, "include_cfrc_ext_in_observation": False},
        {"contact_cost_weight": 0.0, "include_cfrc_ext_in_observation": False},
        {"contact_force_range": (-INF, 3.0), "main_body": "torso"},
        {"contact_force_range": (0.1, INF), "healthy_z_range": (0.4, INF), "main_body": 3},
    ],
    "Humanoid-v5": [
        *BODIES,
        {"forward_reward_weight": 2.0, "contact_cost_weight": 0.0},
        {"contact_cost_weight": 0.1, "contact_cost_range": (0.5, 40.0)},
        {"include_cfrc_ext_in_observation": False, "healthy_reward": 0.3},
        {"include_cfrc_ext_in_observation": False, "contact_cost_weight": 0.0},
        {"terminate_when_unhealthy": False},
        {"healthy_z_range": (1.3, INF)},
    ],
    "HumanoidStandup-v5": [
        *BODIES,
        {"impact_cost_weight": 0.1, "impact_cost_range": (0.5, 40.0)},
        {"include_cfrc_ext_in_observation": False, "impact_cost_weight": 0.0},
        {"include_cfrc_ext_in_observation": False, "uph_cost_weight": 2.0},
    ],
}


@pytest.mark.parametrize("scale", [1.0, 5.0], ids=["random", "extreme"])
@pytest.mark.parametrize("task_id", TASKS)
def test_whole_episodes(task_id: str, scale: float) -> None:
    found = compare(task_id, 2, 1010, scale=scale)
    assert found.none, found
    assert found.episodes


@pytest.mark.parametrize(
    ("task_id", "kwargs"),
    [(task_id, kwargs) for task_id, variants in VARIANTS.items() for kwargs in variants],
    ids=str,
)
def test_keyword_arguments(task_id: str, kwargs: dict[str, object]) -> None:
    found = compare(task_id, 2, 130, kwargs=kwargs, limit=60)
    assert found.none, found
    assert found.episodes >= 4


@pytest.mark.filterwarnings("ignore:compiler attribute 'settotalmass'")
@pytest.mark.parametrize("task_id", TASKS)
def test_another_model(task_id: str, tmp_path: Path) -> None:
    assets = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets"
    parameters = inspect.signature(tasks.task_class(task_id)).parameters
    spec = mujoco.MjSpec.from_file(str(assets / parameters["xml_file"].default))
    spec.option.timestep *= 0.75
    spec.option.gravity *= 0.5
    file = tmp_path / "other.xml"
    file.write_text(spec.to_xml())
    found = compare(task_id, 2, 60, kwargs={"xml_file": str(file)}, limit=40)
    assert found.none, found


@pytest.mark.parametrize("task_id", TASKS)
def test_the_keyword_arguments_are_gymnasiums(task_id: str) -> None:
    entry_point = gymnasium.spec(task_id).entry_point
    assert isinstance(entry_point, str)
    cls = gymnasium.envs.registration.load_env_creator(entry_point)
    theirs = inspect.signature(cls).parameters
    ours = inspect.signature(tasks.task_class(task_id)).parameters
    own = {"num_simulations", "max_episode_steps"}
    assert ours.keys() - own == theirs.keys() - {"default_camera_config", "kwargs"}
    changed = {name for kwargs in VARIANTS[task_id] for name in kwargs}
    assert ours.keys() - own == changed | {"xml_file"}
    for name in ours.keys() - own:
        assert ours[name].default == theirs[name].default


@pytest.mark.parametrize("task_id", TASKS)
def test_spaces_and_time_limits_are_gymnasiums(task_id: str) -> None:
    task, env = tasks.make(task_id, 2), gymnasium.make(task_id)
    assert task.observation_space == env.observation_space
    assert task.action_space == env.action_space
    assert env.spec is not None
    assert task.max_episode_steps == env.spec.max_episode_steps
    for variant in VARIANTS[task_id]:
        other = tasks.make(task_id, 1, kwargs=variant)
        assert other.observation_space == gymnasium.make(task_id, **variant).observation_space


def test_differences_are_seen() -> None:
    """The comparison itself."""
    assert distance([1.0, np.nan], [1.0, np.nan]) == 0
    assert distance([1.0, 2.0], [1.0, 2.5]) == 0.5
    assert distance([1.0], [1.0, 2.0]) == distance([1.0], [np.nan]) == INF
    assert info_distance({"a": np.ones(2)}, {"b": 1.0}, 0) == INF
    assert info_distance({"a": np.arange(2)}, {"a": 3.0}, 1) == 2
    assert not compare("Hopper-v5", 1, 3, limit=2, scale=1.0).endings


@pytest.mark.parametrize("task_id", TASKS)
def test_the_document_is_true(task_id: str) -> None:
    stated = parse(DOCUMENT.read_text())
    assert {"3.17.0", "4.0.0"} <= stated.keys()
    for section in stated.values():
        assert list(section) == list(TASKS)
    here = stated.get(version("mujoco"))
    if here is None:
        pytest.skip("not measured with this version of mujoco")
    found = compare(task_id, 2, 200)
    assert found.observation <= here[task_id].observation
    assert found.reward <= here[task_id].reward
    assert found.info <= here[task_id].info
    assert found.endings <= here[task_id].endings
