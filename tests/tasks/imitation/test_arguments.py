"""Imitation: wrong clips and arguments are one line; which clips they were is recorded."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from poolrl import tasks
from poolrl.clips import Clip, read_clips, write_clips
from poolrl.clips.clip import FIELDS
from poolrl.config.schema import World
from poolrl.errors import IncompatiblePool, UsageError
from poolrl.launch.pool_setup import make_or_open_pool
from poolrl.tasks import model_paths
from poolrl.tasks.model_paths import ModelPaths
from tests.conftest import TINY
from tests.helpers.command_line import in_process
from tests.helpers.rodents import needs_dm, write_rat_clips, write_worm
from tests.helpers.workers import work

pytestmark = needs_dm

ID = "RodentImitation-v0"


def moved(clip: Clip) -> Clip:
    return replace(clip, center_of_mass=clip.center_of_mass + 0.3)


def short(clip: Clip) -> Clip:
    return replace(clip, **{field: getattr(clip, field)[:6] for field in FIELDS})


def slow(clip: Clip) -> Clip:
    return replace(clip, fps=25.0)


def narrow(clip: Clip) -> Clip:
    joints, velocities = clip.joints[:, 1:].copy(), clip.joints_velocity[:, 1:].copy()
    return replace(clip, joints=joints, joints_velocity=velocities)


def armless(clip: Clip) -> Clip:
    return replace(clip, appendages=clip.appendages[:, 3:].copy())


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_rat_clips(tmp_path_factory.mktemp("clips") / "clips.h5", (12, 9))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (moved, "clip_1: center_of_mass: in its first frame 0.52 m from that of the task's body"),
        (short, "clip_1: 6 frames, but a horizon of 5 needs 7"),
        (slow, "clip_0: 25 frames a second (attribute dt), expected 50"),
        (narrow, "clip_0/walkers/walker_0/joints: 66 joints, but the body has 67"),
        (armless, "clip_0/walkers/walker_0/appendages: 4 appendages, but the body has 5"),
    ],
)
def test_other_clips_are_refused(tmp_path: Path, clips: str, change, message: str) -> None:  # type: ignore[no-untyped-def]
    first, second = read_clips(clips)
    both = change in (slow, narrow, armless)
    write_clips(tmp_path / "bad.h5", [change(first) if both else first, change(second)])
    options = ("--task-arg", "clips=bad.h5", "--pool-directory", "pool")
    said = in_process("run", "--task", ID, *options, cwd=tmp_path)
    assert (said.returncode, said.stdout) == (2, "")
    assert f"{tmp_path / 'bad.h5'}: {message}" in said.stderr
    assert said.stderr.count("\n") == 1
    assert not (tmp_path / "pool").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "No such file or directory"), (b"", "an empty file"), (b"\x89HDF", "no HDF5 file")],
)
def test_files_that_hold_no_clips_are_refused(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "bad.h5"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError) as error:
        tasks.make(ID, 1, kwargs={"clips": str(path)})
    assert f"{path}: {message}" in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"clips": ""}, "task.kwargs.clips: needed; give the path of a file of clips"),
        ({"horizon": 0}, "task.kwargs.horizon: expected at least 1"),
        ({"speed_range": 0.5}, "task.kwargs.speed_range: expected at least 1"),
        ({"start_frames": 0}, "task.kwargs.start_frames: expected at least 1"),
        ({"max_target_distance": 0.0}, "task.kwargs.max_target_distance: expected more than 0"),
        ({"falloffs": [0.1, 0.1, 0.0, 1.0, 1.0]}, "task.kwargs.falloffs: expected numbers more"),
        ({"root_body": "trunk"}, "task.kwargs.root_body: no body 'trunk'; bodies of the model"),
        ({"end_effectors": "foot_L,foot"}, "task.kwargs.end_effectors: no body 'foot'"),
        ({"end_effectors": ","}, "task.kwargs.end_effectors: expected names of bodies"),
        ({"tracked_bodies": "nose"}, "task.kwargs.tracked_bodies: no body 'nose'"),
        ({"sensors": "gyro,nose"}, "task.kwargs.sensors: no sensor 'nose'; known: accelerometer"),
        ({"touch_sensors": "palm"}, "task.kwargs.touch_sensors: no sensor 'palm'"),
        ({"xml_file": "rat.xml"}, "task.kwargs.xml_file: no such file: rat.xml; give the path"),
    ],
)
def test_wrong_arguments_are_named(clips: str, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as error:
        tasks.make(ID, 1, kwargs={"clips": clips, **arguments})
    assert message in str(error.value)


BALL = ('axis="0 1 0" range="-60 60"', 'type="ball" range="0 60"')


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("<freejoint/>", ""), "expected a free joint, and then hinges and slides"),
        (BALL, "expected a free joint, and then hinges and slides"),
        (("actuator>", "default>"), "the model has no actuators"),
    ],
)
def test_bodies_that_cannot_imitate_are_refused(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    arguments = write_worm(tmp_path)
    path, (old, new) = Path(arguments["xml_file"]), change
    drives = ('<position joint="bend" kp="2" ctrlrange="-1 1"/>', '<motor joint="nod" ')
    text = path.read_text().replace(old, new)
    if "default" in new:
        text = text.replace(drives[0], "").replace(drives[1], "<motor ")
    path.write_text(text)
    with pytest.raises(UsageError) as error:
        tasks.make(ID, 1, kwargs=arguments)
    assert f"{path}: {message}" in str(error.value)


def test_a_root_that_is_turned_against_the_joint_is_refused(tmp_path: Path) -> None:
    arguments = write_worm(tmp_path)
    path = Path(arguments["xml_file"])
    path.write_text(
        path.read_text().replace('<body name="head" pos', '<body name="head" euler="9 0 0" pos')
    )
    with pytest.raises(
        UsageError, match=r"task\.kwargs\.root_body: head is turned against the free"
    ):
        tasks.make(ID, 1, kwargs=arguments | {"root_body": "head"})


def test_options_of_the_rat_are_not_those_of_another_body(tmp_path: Path) -> None:
    arguments = write_worm(tmp_path) | {"body_scale": 0.9}
    with pytest.raises(UsageError, match=r"task\.kwargs\.body_scale: of the rat alone"):
        tasks.make(ID, 1, kwargs=arguments)


def test_the_hash_is_of_the_clips_too_and_moves_with_them(tmp_path: Path, clips: str) -> None:
    def world(path: str) -> World:
        return World(id=ID, kwargs={"clips": path})

    own = tasks.fingerprint(tasks.make(world(clips), 1))
    copied = shutil.copy(clips, tmp_path / "copied.h5")
    assert tasks.fingerprint(tasks.make(world(str(copied)), 1)) == own
    first, second = read_clips(clips)
    write_clips(tmp_path / "other.h5", [first, replace(second, label="Still")])
    assert tasks.fingerprint(tasks.make(world(str(tmp_path / "other.h5")), 1)) != own

    paths = ModelPaths()
    gone = world("/gone/clips.h5")
    tasks.move_model(gone, {"clips": str(copied)}, model_paths=paths)
    assert tasks.fingerprint(tasks.make(gone, 1, model_paths=paths), model_paths=paths) == own
    assert tasks.with_absolute_paths({"clips": "clips.h5"}, ID)["clips"].startswith("/")


def test_a_pool_goes_on_with_clips_that_have_moved_and_with_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clips: str
) -> None:
    monkeypatch.setattr(model_paths.MODEL_PATHS, "_moved", {})
    monkeypatch.chdir(tmp_path)
    shutil.copy(clips, "clips.h5")
    keys = {
        **TINY,
        "pool.count": 1,
        "task.id": ID,
        "task.kwargs.clips": "clips.h5",
        "task.max_episode_steps": 3,
    }
    root = tmp_path / "pool"
    pool, _, _ = make_or_open_pool(None, root, keys, None)
    assert pool.spec.task.kwargs["clips"] == str(tmp_path / "clips.h5")
    assert pool.spec.task.model_sha256

    Path("clips.h5").rename("moved.h5")
    with pytest.raises(UsageError, match=r"clips\.h5: No such file"):
        make_or_open_pool(None, root, {}, None)
    again, _, _ = make_or_open_pool(None, root, {"task.kwargs.clips": "moved.h5"}, None)
    assert again.spec == pool.spec
    champions = work(again, 1)
    assert [unit.status for unit in champions.units] == ["done"] * len(champions.units)

    first, second = read_clips("moved.h5")
    write_clips("other.h5", [second, replace(first, name="clip_9")])
    with pytest.raises(IncompatiblePool, match=r"task\.model_sha256 .* or a file that it reads"):
        make_or_open_pool(None, root, {"task.kwargs.clips": "other.h5"}, None)
