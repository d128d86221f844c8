"""Recording of activations: what is in the file is what single steps compute."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from poolrl import tasks
from poolrl.activations.file import ActivationsFile
from poolrl.activations.recording import RUNNING, TERMINATED, TRUNCATED, record_activations
from poolrl.agent import Agent
from poolrl.clips import read_clips, write_clips
from poolrl.errors import Divergence, UsageError
from poolrl.networks.base import State
from poolrl.tasks.imitation.imitation import Imitation
from poolrl.tasks.imitation.rodent import TRACKED_BODIES
from tests.helpers.agents import new_agent
from tests.helpers.rodents import imitating_agent, needs_dm, write_rat_clips, write_worm

h5py = pytest.importorskip("h5py", reason="needs poolrl[clips]")

LENGTHS = (30, 14, 22)
FAR = {"max_target_distance": 100.0}
"""An argument by which only the ends of clips end episodes."""


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    """All datasets of a file, by name."""
    found: dict[str, np.ndarray] = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, each: found.update({name: each[()]}) if hasattr(each, "shape") else None
        )
    return found


def step_by_step(agent: Agent) -> list[tuple[Imitation, np.ndarray, State, State, Any]]:
    """Play the clips of an agent's task side by side: of each step the observation, the memory
    before and after it, and its result; the task is that after the last one."""
    world = replace(agent.metadata.world, max_episode_steps=10_000)
    task = tasks.make(world, len(LENGTHS))
    assert isinstance(task, Imitation)
    ids = np.arange(len(LENGTHS))
    task.begin(ids, ids, np.zeros_like(ids))
    observation, rows = task.observe(), []
    state = before = agent.policy.network.initial_state(len(LENGTHS))
    for step in range(task.steps_to_end().max()):
        active = np.flatnonzero(step < task.steps_to_end())
        action, state = agent.step(observation, before)
        result = task.step(action, None if len(active) == len(ids) else active)
        rows.append((task, observation, before, state, result))
        observation, before = result.observation, state
    return rows


@pytest.mark.parametrize("frame_skip", [2, 3])
@pytest.mark.parametrize("kind", ["lstm", "mlp"])
def test_values_are_those_of_single_steps(tmp_path: Path, kind: str, frame_skip: int) -> None:
    kwargs = write_worm(tmp_path, *LENGTHS) | FAR | {"frame_skip": frame_skip}
    agent = imitating_agent(kwargs, network__decoder_kind=kind)
    played = record_activations(agent, agent.metadata.world, tmp_path / "a.h5")
    file, plain = arrays_of(tmp_path / "a.h5"), step_by_step(agent)
    steps = file["clip_steps"]
    assert played == (3, steps.sum(), 3)
    assert len(plain) == len(file["status"]) == steps.max()
    for t, (task, observation, before, state, result) in enumerate(plain):
        rows = t < steps
        ended = result.terminated | result.truncated
        assert np.array_equal(ended[rows], (t + 1 == steps)[rows])
        status = np.where(rows, np.where(t + 1 == steps, TRUNCATED, RUNNING), -1)
        assert np.array_equal(file["status"][t], status)
        assert np.array_equal(file["rewards"][t, rows], result.reward[rows])
        for name, columns in task.observation_parts().items():
            found = file[f"states/{name}"][t, rows]
            assert np.array_equal(found, observation[rows, columns]), name
        x = agent.policy.normalized(observation)
        value = agent.policy.value(observation)
        assert file["activations/critic/value"][t, rows, 0] == pytest.approx(value[rows])
        target = x[:, task.senses()["target"]]
        arrays = agent.arrays
        encoded = np.tanh(
            target @ arrays["actor.encoder.0.weight"].T + arrays["actor.encoder.0.bias"]
        )
        assert file["activations/encoder/0"][t, rows] == pytest.approx(encoded[rows], abs=1e-5)
        outputs = np.tanh(
            encoded @ arrays["actor.bottleneck.weight"].T + arrays["actor.bottleneck.bias"]
        )
        for name, expected in (
            ("mu", outputs[:, :3]),
            ("sigma", np.exp(3 * outputs[:, 3:])),
            ("latent", outputs[:, :3]),  # without noise
        ):
            found = file[f"activations/encoder/bottleneck/{name}"][t, rows]
            assert found == pytest.approx(expected[rows], abs=1e-5)
        for name, expected in zip("hc", state, strict=False):  # of an LSTM
            found = file[f"activations/decoder/0/{name}"][t, rows]
            assert np.array_equal(found, expected[rows])
            assert np.abs(found - before[0][rows]).max() > 0
        assert "activations/decoder/output" in file
    for name, array in file.items():
        if array.dtype.kind == "f":
            missing = np.isnan(array).reshape(*array.shape[:2], -1)
            extra = name.startswith("states/")
            wanted = np.arange(len(array))[:, None] >= steps + extra
            assert np.array_equal(missing.any(axis=2), wanted & (missing.shape[2] > 0)), name


def test_infos_and_states_are_the_tasks(tmp_path: Path) -> None:
    agent = imitating_agent(write_worm(tmp_path, *LENGTHS) | FAR)
    record_activations(agent, agent.metadata.world, tmp_path / "a.h5")
    file = arrays_of(tmp_path / "a.h5")
    last = file["clip_steps"].max() - 1  # that of the first clip alone
    task, *_ = step_by_step(agent)[-1]
    for name, values in task.info().items():
        assert np.array_equal(file[f"infos/{name}"][last, 0], values[0]), name
    for i, body in enumerate(("trunk", "head")):
        error = task.body_errors()[0, i]
        assert file[f"infos/global_error_{body}"][last, 0] == error
    assert np.array_equal(file["states/qpos"][last + 1, 0], task.qpos[0])
    assert np.array_equal(file["states/qvel"][last + 1, 0], task.qvel[0])
    assert file["states/act"].shape == (last + 2, 3, 0)
    clip = read_clips(tmp_path / "worm.h5")[2]
    start = clip.qpos[0] + np.array([0, 0, 0.01, *np.zeros(6)])
    assert np.array_equal(file["states/qpos"][0, 2], start)


def test_a_clip_goes_on_after_a_fall(tmp_path: Path) -> None:
    agent = imitating_agent(write_worm(tmp_path, *LENGTHS) | {"max_target_distance": 0.012})
    played = record_activations(agent, agent.metadata.world, tmp_path / "a.h5")
    file = arrays_of(tmp_path / "a.h5")
    fallen = (file["status"] == TERMINATED).any(axis=0)
    assert fallen.any()
    assert played.completed == 3 - np.count_nonzero(fallen)
    with ActivationsFile(tmp_path / "a.h5") as read:
        for clip in np.flatnonzero(fallen):
            status = file["status"][: file["clip_steps"][clip], clip]
            first = int(np.argmax(status))
            assert (status[:first] == RUNNING).all()
            assert (status[first:] == TERMINATED).all()
            assert np.array_equal(np.flatnonzero(read.played[:, clip]), np.arange(first + 1))
            heights = file["states/qpos"][: len(status) + 1, clip, 2]
            assert len(set(heights[first:])) == len(status) + 1 - first


def test_batches_of_clips_are_the_same_clips(tmp_path: Path) -> None:
    agent = imitating_agent(write_worm(tmp_path, *LENGTHS) | FAR)
    seen = []
    for simulations in (3, 2, 1):
        path = tmp_path / f"{simulations}.h5"
        progress: list[tuple[int, int]] = []
        record_activations(
            *(agent, agent.metadata.world, path),
            simulations=simulations,
            progress=lambda done, total, progress=progress: progress.append((done, total)),
        )
        seen.append(arrays_of(path))
        assert progress == sorted(progress)
        assert progress[-1][0] == progress[-1][1]
    for name, array in seen[0].items():
        for other in seen[1:]:
            assert array.shape == other[name].shape
            if array.dtype.kind == "f":  # products of matrices differ in their last bits
                assert other[name] == pytest.approx(array, abs=1e-3, nan_ok=True), name
            else:
                assert np.array_equal(array, other[name])


@needs_dm
def test_names_are_those_of_the_virtual_rodents_recordings(tmp_path: Path) -> None:
    clips = write_rat_clips(tmp_path / "clips.h5", (9, 8))
    agent = imitating_agent({"clips": clips}, network__decoder_output="lstm")
    record_activations(agent, agent.metadata.world, tmp_path / "a.h5")
    file = arrays_of(tmp_path / "a.h5")
    widths = {
        "states/proprioception/joints": 67,
        "states/proprioception/joint_vel": 67,
        "states/proprioception/actuations": 38,
        "states/proprioception/head/velocity": 3,
        "states/proprioception/head/accel": 3,
        "states/proprioception/head/gyro": 3,
        "states/proprioception/torso/velocity": 3,
        "states/proprioception/torso/xmat": 9,
        "states/proprioception/torso/com": 3,
        **{
            f"states/proprioception/paw_contacts/{name}": 1
            for name in ("palm_L", "palm_R", "sole_L", "sole_R")
        },
        "states/imitation_target/com": 15,
        "states/imitation_target/root_quat": 15,
        "states/imitation_target/joints": 335,
        "states/imitation_target/joint_vels": 335,
        "states/imitation_target/appendages": 15,
        "states/qpos": 74,
        "states/qvel": 73,
        "states/act": 38,
        "infos/qpos_root": 7,
        "activations/encoder/0": 6,
        **{f"activations/encoder/bottleneck/{name}": 3 for name in ("mu", "sigma", "latent")},
        **{f"activations/decoder/0/{name}": 5 for name in "hc"},
        **{f"activations/decoder/1/{name}": 76 for name in "hc"},
        "activations/critic/0": 4,
        "activations/critic/value": 1,
    }
    for name, width in widths.items():
        assert file[name].shape == (6 + name.startswith("states/"), 2, width), name
    for name in ("rewards", "status", *(f"infos/global_error_{body}" for body in TRACKED_BODIES)):
        assert file[name].shape == (6, 2), name
    others = {"clip_labels", "clip_names", "clip_steps", "rewards", "status"}
    assert {name for name in file if not name.startswith("infos/")} - widths.keys() == others
    assert [label.decode() for label in file["clip_labels"]] == ["Sway", "Sway"]


@pytest.mark.parametrize("in_clips", [2, 0])
def test_a_task_may_have_no_tracked_bodies(tmp_path: Path, in_clips: int) -> None:
    kwargs = write_worm(tmp_path, 12) | {"tracked_bodies": ""}
    if not in_clips:
        none = dict.fromkeys(("body_positions", "body_quaternions"), np.empty((12, 0)))
        clips = [dataclasses.replace(clip, **none) for clip in read_clips(kwargs["clips"])]
        write_clips(kwargs["clips"], clips)
    agent = imitating_agent(kwargs)
    record_activations(agent, agent.metadata.world, tmp_path / "a.h5")
    with ActivationsFile(tmp_path / "a.h5") as file:
        with pytest.raises(UsageError, match="the task has no tracked bodies"):
            file.body_errors()
        assert len(file.latents()[0]) == file.played.sum()


def test_a_body_named_like_the_folder_of_another(tmp_path: Path) -> None:
    """As dm_control's composer names bodies, with slashes."""
    kwargs = write_worm(tmp_path, 12) | {"tracked_bodies": "trunk,trunk/head"}
    xml = Path(kwargs["xml_file"])
    xml.write_text(xml.read_text().replace('"head"', '"trunk/head"'))
    agent = imitating_agent(kwargs | {"end_effectors": "tail,trunk/head"})
    with pytest.raises(UsageError, match="infos/global_error_trunk/head: infos/global_error_trunk"):
        record_activations(agent, agent.metadata.world, tmp_path / "a.h5")
    assert not list(tmp_path.glob("*a.h5"))
    world = replace(
        agent.metadata.world,
        kwargs={**agent.metadata.world.kwargs, "tracked_bodies": "trunk/head,tail"},
    )
    record_activations(agent, world, tmp_path / "a.h5")
    with ActivationsFile(tmp_path / "a.h5") as file:
        assert file.body_errors().shape == (1, 2)


def test_other_tasks_and_networks_are_refused(tmp_path: Path) -> None:
    kwargs = write_worm(tmp_path, 12)
    agent = imitating_agent(kwargs)
    world = agent.metadata.world
    plain = new_agent(task__id="RodentImitation-v0", task__kwargs=kwargs)
    away = new_agent()
    for made, place, message in (
        (plain, world, "the agent's network has no activations"),
        (agent, away.metadata.world, "observation_space"),
        (agent, replace(world, action_repeat=2), "task.action_repeat"),
        (agent, replace(world, mask_velocities=True), "task.mask_velocities"),
        (agent, replace(world, kwargs=kwargs | {"tracked_bodies": "head"}), "2 bodies"),
    ):
        with pytest.raises(UsageError, match=message) as error:
            record_activations(made, place, tmp_path / "a.h5")
        assert "\n" not in str(error.value)
    assert not list(tmp_path.glob("*a.h5"))
    assert not list(tmp_path.glob(".tmp*"))


def test_an_unstable_simulation_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = imitating_agent(write_worm(tmp_path, *LENGTHS) | FAR)

    def unstable(task: Imitation, *args: object) -> object:
        result = step(task, *args)
        task.qvel[1] = 1e12
        return result

    step = Imitation.step
    monkeypatch.setattr(Imitation, "step", unstable)
    with pytest.raises(Divergence, match="clip_1: the simulation became unstable"):
        record_activations(agent, agent.metadata.world, tmp_path / "a.h5")
    assert not (tmp_path / "a.h5").exists()
