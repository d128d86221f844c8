"""Figures of several pools."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from msgspec.structs import replace

from poolrl.config.learners import RandomSearch
from poolrl.config.run_options import RunOptions
from poolrl.errors import UsageError
from poolrl.monitoring.history import History
from poolrl.pool.directory import make_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.report.figures import style
from poolrl.report.figures.comparison import Comparison
from poolrl.report.figures.pool_data import PoolData
from poolrl.worker.loop import Worker
from tests.conftest import tiny_spec
from tests.helpers.command_line import in_process
from tests.helpers.pools import champion_file
from tests.report.figures.conftest import history_of


def made(root: Path, iterations: int = 3, **keys: object) -> Path:
    """A tiny pool; keywords have ``__`` for the dots of keys."""
    pool = make_pool(root, tiny_spec(**keys), RunOptions(iterations))
    if iterations:
        Worker(pool, StopCriteria(iterations)).run()
    return root


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pools of three configurations: ``a`` of three seeds, one of which is longer."""
    folder = tmp_path_factory.mktemp("pools")
    for seed, iterations in ((0, 3), (1, 3), (2, 5)):
        made(folder / f"a{seed}", iterations, pool__seed=seed)
    made(folder / "b0", selection__keep_parent=False)
    made(folder / "c0", pool__count=2, selection__keep_parent=False, pool__evaluate_episodes=2)
    made(folder / "again")
    made(folder / "none", iterations=0)
    return folder


def comparison(folder: Path, *names: str) -> Comparison:
    return Comparison([history_of(folder / name) for name in names])


def test_seeds_are_grouped_by_configuration(folder: Path) -> None:
    found = comparison(folder, "a1", "b0", "a0", "a2")
    assert [group.label for group in found.groups] == [
        "keep_parent = True (3 seeds)",
        "keep_parent = False (1 seed)",
    ]
    assert [data.spec.pool.seed for data in found.groups[0].pools] == [0, 1, 2]
    assert comparison(folder, "a0").groups[0].label == "best branch (1 seed)"


def test_many_differences_are_named_by_the_pool(folder: Path) -> None:
    labels = [group.label for group in comparison(folder, "a0", "c0").groups]
    assert labels == ["a0 (1 seed)", "c0 (1 seed)"]


def test_pools_of_the_same_name_are_named_by_their_folders(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "one" / "deep").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    roots = tmp_path / "one" / "deep" / "x", tmp_path / "other" / "x"
    for root, name in zip(roots, ("a0", "c0"), strict=True):
        shutil.copytree(folder / name, root)
    labels = [group.label for group in Comparison([history_of(root) for root in roots]).groups]
    assert labels == ["one/deep/x (1 seed)", "other/x (1 seed)"]


def test_a_difference_outside_of_the_sections_has_its_name(folder: Path, tmp_path: Path) -> None:
    agent = champion_file(folder / "a0", 3).read_bytes()
    sha256 = hashlib.sha256(agent).hexdigest()
    spec = tiny_spec(initial_agent_sha256=sha256)
    pool = make_pool(tmp_path / "d0", spec, RunOptions(1), initial_agent=agent)
    Worker(pool, StopCriteria(1)).run()
    found = Comparison([history_of(folder / "a0"), history_of(tmp_path / "d0")])
    assert [group.label for group in found.groups] == [
        "initial_agent_sha256 = none (1 seed)",
        f"initial_agent_sha256 = {sha256[:23]}… (1 seed)",
    ]


def test_a_mean_goes_as_far_as_the_shortest_pool(folder: Path) -> None:
    figure = comparison(folder, "a0", "a2").draw()
    mean = next(line for line in figure.axes[0].lines if "2 seeds" in str(line.get_label()))
    # the newest champion is not evaluated again yet
    assert (min(mean.get_xdata()), max(mean.get_xdata())) == (0, 2)
    pools = [PoolData(history_of(folder / name)) for name in ("a0", "a2")]
    last = [again.score for data in pools if (again := data.reevaluation(2))]
    assert list(mean.get_ydata())[-1] == pytest.approx(np.mean([s for s in last if s is not None]))


def test_many_configurations_look_different(folder: Path) -> None:
    first = history_of(folder / "a0")
    histories = []
    for number in range(9):
        spec = replace(first.pool.spec, learner=RandomSearch(learning_rate=float(number)))
        history = History(dataclasses.replace(first.pool, spec=spec))
        history.units, history.merges = first.units, first.merges
        histories.append(history)
    figure = Comparison(histories).draw()
    for axis in (figure.axes[0], figure.axes[3]):
        looks = {(line.get_color(), line.get_ls(), line.get_marker()) for line in axis.lines}
        assert len(axis.lines) == len(looks) == 9


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_single_re_evaluation_is_seen(tmp_path: Path, seeds: int) -> None:
    pools = [made(tmp_path / str(seed), 1, pool__seed=seed) for seed in range(seeds)]
    figure = Comparison([history_of(pool) for pool in pools]).draw()
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[::-1, :, :3]
    blue = np.round(255 * np.array(to_rgb(style.BLUE)))
    for axis in figure.axes[:3]:
        (left, low), (right, high) = axis.get_window_extent().get_points().astype(int)
        inside = pixels[low + 2 : high - 2, left + 2 : right - 2]
        assert (inside == blue).all(axis=2).any()


@pytest.mark.parametrize("form", ["png", "svg", "pdf"])
def test_from_the_command_line(folder: Path, tmp_path: Path, form: str) -> None:
    pools = [folder / name for name in ("a0", "a1", "a2", "b0", "c0")]
    done = in_process("plot", *pools, "--compare", "-o", f"x.{form}", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"x.{form}\n", "")
    assert (tmp_path / f"x.{form}").stat().st_size > 1000


def test_bad_input(folder: Path, tmp_path: Path) -> None:
    def said(*arguments: str) -> str:
        done = in_process("plot", *arguments, cwd=folder)
        assert (done.returncode, done.stdout) == (2, "")
        assert not (folder / "x.png").exists()
        return done.stderr.strip().splitlines()[-1]

    out = ("-o", "x.png")
    assert "several are drawn by --compare" in said("a0", "b0", *out)
    assert "same configuration and seed 0" in said("--compare", "a0", "again", *out)
    assert "none: the pool has no merged iteration" in said("--compare", "a0", "none", *out)
    assert "absent: no such directory" in said("--compare", "a0", "absent", *out)
    assert "without --figure" in said("--compare", "a0", "--figure", "time", *out)
    assert "-o x.jpg: name a .png" in said("--compare", "a0", "-o", "x.jpg")
    assert "POOL" in said("--compare", *out)


def test_pools_that_cannot_be_compared(folder: Path, tmp_path: Path) -> None:
    pool = make_pool(tmp_path / "one", tiny_spec(pool__seed=9), RunOptions())
    Worker(pool, StopCriteria(0)).run()
    with pytest.raises(UsageError, match="one: no champion has been evaluated again yet"):
        Comparison([history_of(folder / "a0"), history_of(tmp_path / "one")])
    made(tmp_path / "other", task__id="Switches-v0")
    with pytest.raises(UsageError, match=r"trains Plateau-v0, .*other Switches-v0: returns"):
        Comparison([history_of(folder / "a0"), history_of(tmp_path / "other")])
