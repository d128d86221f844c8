"""Files of clips: what is written is read, by dm_control too, and what is wrong is named."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolrl import hdf5
from poolrl.clips import Clip, ClipFile, read_clips, write_clips
from poolrl.clips.clip import FIELDS
from poolrl.errors import Stopped, UsageError
from tests.helpers.clips import assert_same, random_clip
from tests.helpers.pools import snapshot

h5py = pytest.importorskip("h5py", reason="needs the extra clips")

WALKER = "clip_1/walkers/walker_0"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Three clips of one body."""
    path = tmp_path / "clips.h5"
    write_clips(path, [random_clip(i, name=f"clip_{i}", frames=7 + i) for i in range(3)])
    return path


@settings(max_examples=20, deadline=None)
@given(
    clips=st.lists(
        st.builds(
            random_clip,
            seed=st.integers(0, 9),
            frames=st.integers(1, 5),
            joints=st.just(3),
            appendages=st.sampled_from([2]),
            bodies=st.just(1),
            label=st.text(max_size=8).filter(lambda text: "\0" not in text),
            name=st.from_regex(r"[a-zA-Z0-9_. -]{1,12}", fullmatch=True).filter(
                lambda name: name.strip(".") != ""
            ),
        ),
        min_size=1,
        max_size=4,
        unique_by=lambda clip: clip.name,
    ),
    fps=st.one_of(st.integers(1, 1000).map(float), st.sampled_from([29.97, 0.25, 119.88])),
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, clips: list[Clip], fps: float
) -> None:
    path = tmp_path_factory.mktemp("clips") / "clips.h5"
    written = {clip.name: random_rate(clip, fps) for clip in clips}
    write_clips(path, written.values())
    found = read_clips(path)
    assert {clip.name for clip in found} == written.keys()
    for clip in found:
        assert_same(clip, written[clip.name])


def random_rate(clip: Clip, fps: float) -> Clip:
    return Clip(clip.name, clip.label, fps, **{field: getattr(clip, field) for field in FIELDS})


@pytest.mark.parametrize("counts", [(0, 2, 2), (3, 0, 2), (3, 2, 0)])
def test_a_body_may_have_none_of_something(tmp_path: Path, counts: tuple[int, int, int]) -> None:
    joints, appendages, bodies = counts
    clip = random_clip(joints=joints, appendages=appendages, bodies=bodies)
    write_clips(tmp_path / "clips.h5", [clip])
    assert_same(read_clips(tmp_path / "clips.h5")[0], clip)


def test_blocks_of_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "BLOCK_FRAMES", 4)
    for frames in (3, 4, 9):
        clip = random_clip(frames=frames)
        write_clips(tmp_path / "clips.h5", [clip])
        assert_same(read_clips(tmp_path / "clips.h5")[0], clip)


def test_the_order_is_that_of_numbers_and_clips_are_read_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "clips.h5"
    clips = [random_clip(i, name=f"clip_{i}", label=f"label {i % 2}") for i in (10, 9, 100)]
    write_clips(path, clips, synthetic=True)
    with ClipFile(path, fps=50.0, joints=4, appendages=2, bodies=3) as file:
        assert [info.name for info in file.infos] == ["clip_9", "clip_10", "clip_100"]
        assert [info.label for info in file.infos] == ["label 1", "label 0", "label 0"]
        assert (len(file), file.is_synthetic) == (3, True)
        assert_same(file[1], clips[0])


def test_the_layout(file: Path) -> None:
    clip = random_clip(1, name="clip_1", frames=8)
    with h5py.File(file) as found:
        walker = found[WALKER]
        assert walker["joints"].shape == (4, 8)
        assert np.array_equal(walker["appendages"][:, 5], clip.appendages[5])
        assert np.array_equal(walker["end_effectors"][()], clip.appendages[:, :3].T)
        assert dict(found["clip_1"].attrs) == {"num_steps": 8, "dt": 0.02, "action": "Walk"}


def test_dm_control_opens_it(file: Path) -> None:
    pytest.importorskip("dm_control", reason="needs the extra dm")
    from dm_control.locomotion.mocap.loader import HDF5TrajectoryLoader
    from google.protobuf.descriptor import FieldDescriptor

    class Loader(HDF5TrajectoryLoader):
        """The loader, with attributes read as protobuf 7 has it, without ``label``."""

        def _fill_primitive_proto_fields(
            self, proto: Any, h5_group: Any, skip_fields: tuple[str, ...] = ()
        ) -> None:
            message = FieldDescriptor.TYPE_MESSAGE
            for field in proto.DESCRIPTOR.fields:
                value = h5_group.attrs.get(field.name)
                if value is None or field.name in skip_fields or field.type == message:
                    continue
                if field.is_repeated:
                    getattr(proto, field.name).extend(value)
                else:
                    setattr(proto, field.name, value)

    has_label = hasattr(FieldDescriptor, "label")
    loader = (HDF5TrajectoryLoader if has_label else Loader)(str(file))
    assert loader.keys() == ("clip_0", "clip_1", "clip_2")
    clip = read_clips(file)[1]
    trajectory = loader.get_trajectory("clip_1", zero_out_velocities=False)
    assert (trajectory.num_steps, trajectory.dt) == (8, 0.02)
    arrays = trajectory.as_dict()
    for field in FIELDS:
        assert np.array_equal(arrays[f"walker/{field}"].reshape(8, -1), getattr(clip, field))


def test_a_file_of_dm_controls_own_is_read() -> None:
    mocap = pytest.importorskip("dm_control.locomotion.mocap", reason="needs the extra dm")
    path = Path(mocap.__file__).parent / "test_trajectories.h5"
    first, second = read_clips(path, fps=20.0)
    assert (first.name, first.label, first.num_frames) == ("cmuv2019_001", "", 10)
    assert second.counts == {"joints": 56, "appendages": 5, "bodies": 30}


def test_attributes_may_be_missing(file: Path) -> None:
    with h5py.File(file, "r+") as damaged:
        for name in damaged:
            for attribute in list(damaged[name].attrs):
                del damaged[name].attrs[attribute]
    assert [clip.fps for clip in read_clips(file)] == [50.0] * 3
    assert [(clip.fps, clip.label) for clip in read_clips(file, fps=30.0)] == [(30.0, "")] * 3


def test_attributes_may_be_arrays_of_one_or_null(file: Path) -> None:
    with h5py.File(file, "r+") as other:
        attributes = other["clip_0"].attrs
        own = {"dt": 0.05, "num_steps": 7.0, "action": b"Rear"}
        for name, value in own.items():
            attributes[name] = np.array([value])
        for name in ("clip_1", "clip_2"):
            other[name].attrs.update(dt=0.05, action=h5py.Empty("S1"))
    found = [(clip.fps, clip.label) for clip in read_clips(file)]
    assert found == [(20.0, "Rear"), (20.0, ""), (20.0, "")]


def rename(group: h5py.Group, old: str, new: str) -> None:
    group.move(old, new)


def replace(group: h5py.Group, name: str, value: object) -> None:
    del group[name]
    group[name] = value


def put_nan(group: h5py.Group, name: str) -> None:
    group[name][1, 4] = np.nan


Damage = Callable[["h5py.File"], object]

DAMAGES: dict[str, tuple[Damage, str]] = {
    "no clips": (lambda f: [f.pop(name) for name in list(f)], "no clips"),
    "misnamed field": (
        lambda f: rename(f[WALKER], "joints", "joint"),
        f"{WALKER}/joints: missing",
    ),
    "misnamed walker": (
        lambda f: rename(f["clip_1/walkers"], "walker_0", "rat"),
        f"{WALKER}: missing",
    ),
    "another group": (lambda f: f.create_group("metadata"), "metadata/walkers/walker_0: missing"),
    "a field that is a group": (
        lambda f: (f[WALKER].pop("joints"), f[WALKER].create_group("joints")),
        f"{WALKER}/joints: expected a dataset of numbers",
    ),
    "text": (
        lambda f: replace(f[WALKER], "velocity", "fast"),
        f"{WALKER}/velocity: expected a dataset of numbers",
    ),
    "null": (
        lambda f: replace(f[WALKER], "velocity", h5py.Empty("f8")),
        f"{WALKER}/velocity: expected a dataset of numbers",
    ),
    "one dimension": (
        lambda f: replace(f[WALKER], "velocity", np.zeros(8)),
        f"{WALKER}/velocity: expected two dimensions, got 1",
    ),
    "rows are frames": (
        lambda f: replace(f[WALKER], "position", np.zeros((8, 3))),
        f"{WALKER}/position: a width of 8 is no multiple of 3",
    ),
    "width": (
        lambda f: replace(f[WALKER], "joints_velocity", np.zeros((3, 8))),
        f"{WALKER}/joints_velocity: expected a width of 4, 1 for each of 4 joints, got 3",
    ),
    "length": (
        lambda f: replace(f[WALKER], "joints", np.zeros((4, 9))),
        f"{WALKER}/joints: 9 frames, but position has 8",
    ),
    "no frames": (
        lambda f: [replace(f[WALKER], field, f[WALKER][field][:, :0]) for field in FIELDS],
        f"{WALKER}/position: no frames",
    ),
    "NaN": (
        lambda f: put_nan(f[WALKER], "velocity"),
        f"{WALKER}/velocity: nan in frame 4, column 1",
    ),
    "quaternion": (
        lambda f: replace(f[WALKER], "quaternion", np.full((4, 8), 0.4)),
        f"{WALKER}/quaternion: the length in frame 0 is 0.8, not 1",
    ),
    "steps": (
        lambda f: f["clip_1"].attrs.update(num_steps=9),
        "clip_1: num_steps is 9, but there are 8 frames",
    ),
    "attribute": (lambda f: f["clip_1"].attrs.update(dt="slow"), "clip_1: attributes: cannot be"),
    "no rate": (lambda f: f["clip_1"].attrs.update(dt=0.0), "clip_1: dt is 0.0 s"),
    "negative rate": (lambda f: f["clip_1"].attrs.update(dt=-0.02), "clip_1: dt is -0.02 s"),
    "two rates": (
        lambda f: f["clip_1"].attrs.update(dt=0.01),
        "clip_1: 100 frames a second (attribute dt), but clip_0 has 50",
    ),
    "two bodies": (
        lambda f: [
            replace(f[WALKER], name, np.zeros((5, 8))) for name in FIELDS if "joint" in name
        ],
        f"{WALKER}/joints: 5 joints, but clip_0 has 4",
    ),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_what_is_wrong_is_one_line(file: Path, kind: str) -> None:
    damage, message = DAMAGES[kind]
    with h5py.File(file, "r+") as damaged:
        damage(damaged)
    with pytest.raises(UsageError) as caught:
        read_clips(file)
    assert str(caught.value).startswith(f"{file}: {message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ({"fps": 100.0}, "clip_0: 50 frames a second (attribute dt), expected 100"),
        ({"joints": 67}, "clip_0/walkers/walker_0/joints: 4 joints, but the body has 67"),
        ({"appendages": 5}, "clip_0/walkers/walker_0/appendages: 2 appendages, but the body has 5"),
        ({"bodies": 18}, "clip_0/walkers/walker_0/body_positions: 3 bodies, but the body has 18"),
    ],
)
def test_another_rate_or_body(file: Path, expected: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_clips(file, **expected)  # type: ignore[arg-type]
    assert str(caught.value) == f"{file}: {message}"


def test_files_that_are_none_of_hdf5(file: Path) -> None:
    folder = file.parent
    (folder / "text.h5").write_text("no HDF5")
    (folder / "empty.h5").write_bytes(b"")
    (folder / "cut.h5").write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    os.mkfifo(folder / "pipe.h5")
    for name, message in {
        "text.h5": "no HDF5 file, or a damaged one: ",
        "empty.h5": "an empty file",
        "cut.h5": "no HDF5 file, or a damaged one: ",
        "pipe.h5": "no plain file",
        "missing.h5": "No such file or directory",
        ".": "no plain file",
    }.items():
        with pytest.raises(UsageError) as caught:
            read_clips(folder / name)
        assert str(caught.value).startswith(f"{folder / name}: {message}")
        assert "\n" not in str(caught.value)


def test_bytes_that_changed_are_named_or_read(file: Path) -> None:
    whole = file.read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(40):
        damaged = bytearray(whole)
        for place in generator.integers(len(whole), size=20):
            damaged[place] = generator.integers(256)
        file.write_bytes(damaged)
        said = f"{file}: "
        try:
            read_clips(file)
        except UsageError as error:
            said = str(error)
        assert said.startswith(f"{file}: ")
        assert "\n" not in said


def test_nothing_is_half_written(tmp_path: Path, file: Path) -> None:
    def failing() -> Iterator[Clip]:
        yield random_clip()
        raise UsageError("no more clips")

    def repeated() -> Iterator[Clip]:
        yield from (random_clip(), random_clip())

    before = snapshot(tmp_path)
    for clips, message in (
        (failing(), "no more clips"),
        (repeated(), "two clips of the name clip_0"),
        (iter([random_clip(name="a/b")]), "'a/b' is no name of a clip"),
        (iter([random_clip(name="..")]), "'..' is no name of a clip"),
        (iter([random_clip(name="")]), "'' is no name of a clip"),
        (iter([]), "no clips to write"),
    ):
        with pytest.raises(UsageError, match=message):
            write_clips(file, clips)
        assert snapshot(tmp_path) == before
    with pytest.raises(UsageError, match="no such directory"):
        write_clips(tmp_path / "no" / "clips.h5", [random_clip()])


@pytest.mark.parametrize("room", [0, 1000, 5000, 20_000])
def test_a_full_disk(tmp_path: Path, file: Path, room: int) -> None:
    before = snapshot(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    made = 0

    def clips() -> Iterator[Clip]:
        nonlocal made
        for made in range(1, 10):
            yield random_clip(name=f"clip_{made}")

    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(UsageError, match=r"clips\.h5: cannot write: File too large"):
            write_clips(file, clips())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert made < 9  # it is noticed at the clip
    assert snapshot(tmp_path) == before


def test_a_signal_while_it_is_written(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def interrupted(data: object) -> None:
        nonlocal calls
        calls += 1
        raise Stopped.by(signal.SIGTERM)

    before = snapshot(tmp_path)
    monkeypatch.setattr(hdf5, "memoryview", interrupted, raising=False)
    with pytest.raises(Stopped, match="SIGTERM"):
        write_clips(file, [random_clip(name=f"clip_{i}") for i in range(5)])
    assert calls
    assert snapshot(tmp_path) == before


def test_the_extra_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("poolrl.extras.find_spec", lambda name: None)
    for call in (lambda: read_clips(file), lambda: write_clips(file, [random_clip()])):
        with pytest.raises(UsageError, match=r"HDF5 files need h5py.*poolrl\[clips\]"):
            call()
