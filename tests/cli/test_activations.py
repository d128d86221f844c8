"""``poolrl activations``: the file, what is drawn of it, and bad input in one line."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from poolrl.clips import read_clips
from poolrl.report.figures.body_errors import table
from tests.helpers.command_line import in_process
from tests.helpers.rodents import imitating_agent, write_worm

h5py = pytest.importorskip("h5py", reason="needs poolrl[clips]")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an agent, its clips of three behaviours, and a file of activations."""
    folder = tmp_path_factory.mktemp("activations")
    kwargs = write_worm(folder, 12, 30, 16, 20) | {"max_target_distance": 0.012}
    with h5py.File(folder / "worm.h5", "r+") as file:
        for name, label in zip(("clip_0", "clip_1", "clip_2"), ("Rear", "Walk", ""), strict=True):
            file[name].attrs["action"] = label
    (folder / "agent.safetensors").write_bytes(imitating_agent(kwargs).to_bytes())
    said = in_process("activations", "agent.safetensors", "-o", "a.h5", cwd=folder)
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("a.h5: 4 clips of 108 control steps, ")
    return folder


def test_the_table_has_means_over_the_steps_to_the_first_end(folder: Path) -> None:
    said = in_process("activations", "a.h5", "--by-body", "errors.csv", cwd=folder)
    assert (said.returncode, said.stdout) == (0, "errors.csv\n")
    head, *rows = csv.reader((folder / "errors.csv").read_text().splitlines())
    assert head == ["label", "clips", "trunk", "head", "mean"]
    assert [row[:2] for row in rows] == [
        *(["(none)", "1"], ["Rear", "1"], ["Sway", "1"], ["Walk", "1"], ["all", "4"])
    ]
    with h5py.File(folder / "a.h5") as file:
        status = file["status"][:]
        assert (status == 2).any(axis=0).any()
        means = np.zeros((4, 2))
        for clip in range(4):
            length = 1 + int(np.argmax(status[:, clip] != 0))
            for i, body in enumerate(("trunk", "head")):
                means[clip, i] = file[f"infos/global_error_{body}"][:length, clip].mean()
    for row, clips in zip(rows, ([2], [0], [3], [1], range(4)), strict=True):
        expected = means[list(clips)].mean(axis=0)
        numbers = [float(cell) for cell in row[2:]]
        assert numbers == pytest.approx([*expected, expected.mean()], rel=1e-5)


def test_a_behaviour_may_be_called_all() -> None:
    text = table(["all", "Rear"], ["head"], np.array([[1.0], [3.0]]))
    assert text.splitlines()[1:] == ["Rear,1,3,3", "all,1,1,1", "all,2,2,2"]


def test_boxes_are_drawn_with_the_recording(folder: Path) -> None:
    said = in_process(
        *("activations", "agent.safetensors", "-o", "b.h5", "--by-body", "errors.svg"), cwd=folder
    )
    assert said.returncode == 0
    assert said.stdout.endswith("errors.svg\n")
    text = (folder / "errors.svg").read_text()
    for word in ("trunk", "head", "Walk (1)", "(none) (1)", "body (4 clips)"):
        assert f">{word}</text>" in text


def test_the_map_names_behaviours_and_variances(folder: Path) -> None:
    said = in_process("activations", "a.h5", "--map", "map.svg", cwd=folder)
    assert (said.returncode, said.stdout) == (0, "map.svg\n")
    text = (folder / "map.svg").read_text()
    for word in ("Rear", "Sway", "Walk", "(none)"):
        assert f">{word}</text>" in text
    with h5py.File(folder / "a.h5") as file:
        status = file["status"][:].T
        latents = file["activations/encoder/bottleneck/latent"][:].astype(float)
    steps = [1 + int(np.argmax(of_clip != 0)) for of_clip in status]
    rows = np.concatenate([latents[:length, clip] for clip, length in enumerate(steps)])
    variances = np.sort(np.linalg.eigvalsh(np.cov(rows.T)))[::-1]
    for name, variance in zip(("first", "second"), variances, strict=False):
        share = 100 * variance / variances.sum()
        assert f"{name} principal component ({share:.0f} % of the variance)" in text


def test_other_clips_of_the_same_body_are_played(folder: Path, tmp_path: Path) -> None:
    write_worm(tmp_path, 14)
    for name in ("agent.safetensors", "worm.xml"):
        shutil.copy(folder / name, tmp_path)
    said = in_process(
        *("activations", folder / "agent.safetensors", "-o", "a.h5", "--clips", "worm.h5"),
        cwd=tmp_path,
    )
    assert said.stdout.startswith("a.h5: 1 clip of 16 control steps, ")
    with h5py.File(tmp_path / "a.h5") as file:
        start = read_clips(tmp_path / "worm.h5")[0].qpos[0]
        assert np.array_equal(file["states/qpos"][0, 0, 3:], start[3:])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("agent.safetensors", "name a file: -o activations.h5"),
        ("a.h5", "a.h5: name what to draw of it"),
        ("a.h5 -o b.h5", "a.h5: -o and --clips go with an agent"),
        ("a.h5 --by-body e.txt", "--by-body e.txt: name a .csv, .png, .svg or .pdf file"),
        ("a.h5 --by-body no/e.csv", "--by-body no/e.csv: no such directory: "),
        ("a.h5 --map m.csv", "--map m.csv: name a .png, .svg or .pdf file"),
        ("same.h5 --map m.png", "same.h5: the latent variables are the same in all steps"),
        ("same.h5 --map m.gif --by-body e.csv", "--map m.gif: name a"),
        ("worm.h5 --by-body e.csv", "worm.h5: status: missing"),
        ("torn.h5 --by-body e.csv", "torn.h5: infos/global_error_head: missing"),
        ("short.h5 --by-body e.csv", "short.h5: infos/global_error_head: its steps and clips"),
        ("fewer.h5 --by-body e.csv", "fewer.h5: status: 4 clips of 48 steps, but 3 clip_labels"),
        ("no.h5 --by-body e.csv", "no.h5: No such file or directory"),
        ("agent.safetensors -o no/c.h5", "no/c.h5: no such directory: "),
        ("agent.safetensors -o agent.safetensors", "agent.safetensors: it is read for this"),
        ("agent.safetensors -o worm.h5", "worm.h5: it is read for this; name another file"),
        ("agent.safetensors -o c.h5 --clips no.h5", "no.h5: No such file or directory"),
    ],
)
def test_bad_input_is_one_line(folder: Path, words: str, message: str) -> None:
    for name in ("torn", "short", "fewer"):
        shutil.copy(folder / "a.h5", folder / f"{name}.h5")
        with h5py.File(folder / f"{name}.h5", "r+") as file:
            gone = "clip_labels" if name == "fewer" else "infos/global_error_head"
            values = file[gone][:]
            del file[gone]
            if name != "torn":
                file[gone] = values[:-1]
    shutil.copy(folder / "a.h5", folder / "same.h5")
    with h5py.File(folder / "same.h5", "r+") as file:
        file["activations/encoder/bottleneck/latent"][...] = 0.25
    before = {path.name for path in folder.iterdir()}
    said = in_process("activations", *words.split(), cwd=folder)
    assert (said.returncode, said.stdout) == (2, "")
    assert message in said.stderr.splitlines()[-1]
    assert {path.name for path in folder.iterdir()} == before
