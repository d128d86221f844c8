"""A picture that cannot be drawn: the result is printed, and the failure is one line."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from poolrl.config.run_options import RunOptions
from poolrl.errors import UsageError
from poolrl.monitoring.history import History, read_history
from poolrl.pool.directory import make_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.records.evaluation import Evaluation
from poolrl.report.plot import _figure, plot_history
from poolrl.worker.loop import Worker
from tests.conftest import tiny_spec
from tests.helpers.command_line import settings
from tests.helpers.waiting import TIMEOUT_SECONDS

ROOT = str(Path(__file__).parent.parent.parent)


def poolrl(folder: Path, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "poolrl", *map(str, arguments)],
        cwd=folder,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A folder with configurations of matplotlib that are broken, and a broken matplotlib."""
    (tmp_path / "no_text").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "latex").write_text("text.usetex: True\n")
    (tmp_path / "old").write_text("backend: Qt4Agg\ntext.latex.unicode: True\nfont.family: Nowhere")
    (tmp_path / "absent").mkdir()
    (tmp_path / "absent" / "matplotlib.py").write_text("raise ImportError('of no\\nuse')\n")
    return tmp_path


CANNOT = [{"MATPLOTLIBRC": "no_text"}, {"MATPLOTLIBRC": "latex", "PATH": ""}]
CANNOT += [{"PYTHONPATH": f"absent{os.pathsep}{ROOT}"}]

CAN = [{"MPLBACKEND": "module://matplotlib_inline.backend_inline"}, {"MPLBACKEND": "Qt4Agg"}]
CAN += [{"MPLBACKEND": "nonsense"}, {"MPLBACKEND": "TkAgg", "DISPLAY": ":99"}]
CAN += [{"MATPLOTLIBRC": "old"}, {"MPLCONFIGDIR": "/dev/null/nowhere"}, {"HOME": "/dev/null"}]


@pytest.mark.parametrize("variables", CANNOT, ids=str)
@pytest.mark.parametrize("command", [["run", "--workers", "2"], ["run", "--one-worker"]])
def test_a_run_tells_its_result(
    broken: Path, command: list[str], variables: dict[str, str]
) -> None:
    done = poolrl(
        broken, *command, "--pool-directory", "pool", "--iterations", 1, *settings(), **variables
    )
    assert (done.returncode, done.stderr) == (0, "")
    (*_, result, agent, history, plot) = done.stdout.splitlines()
    assert "result: mean return" in result
    assert "agent: " in agent
    assert history.endswith("pool/history.csv")
    assert "warning: no plot: cannot draw: " in plot
    assert (broken / "pool" / "history.csv").exists()
    assert not (broken / "pool" / "history.png").exists()


@pytest.mark.parametrize("variables", CAN, ids=str)
def test_what_a_picture_does_not_need_does_not_hinder_it(
    broken: Path, variables: dict[str, str]
) -> None:
    options = ["--pool-directory", "pool", "--iterations", 1, "--workers", 2, *settings()]
    done = poolrl(broken, "run", *options, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "plot:    pool/history.png"
    assert (broken / "pool" / "history.png").read_bytes().startswith(b"\x89PNG")


def test_plot_fails_in_one_line(broken: Path) -> None:
    pool = make_pool(broken / "pool", tiny_spec(), RunOptions())
    Worker(pool, StopCriteria(1)).run()
    for variables in CANNOT:
        done = poolrl(broken, "plot", "pool", "-o", "x.png", **variables)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert done.stderr.startswith("poolrl: cannot draw: ")
        assert not (broken / "x.png").exists()
    for variables in CAN:
        done = poolrl(broken, "plot", "pool", "-o", "x.png", **variables)
        assert (done.returncode, done.stdout, done.stderr) == (0, "x.png\n", "")


@pytest.fixture
def short(tmp_path: Path) -> History:
    """The records of a pool with one iteration of one branch, whose result is a low one."""
    pool = make_pool(tmp_path / "pool", tiny_spec(pool__count=1), RunOptions())
    Worker(pool, StopCriteria(1)).run()
    history = read_history(tmp_path / "pool")
    closing = history.units.pop()
    low = Evaluation.of([-1e3, -1e3 - 1], [4, 4], deterministic=True)
    history.units.append(replace(closing, evaluation=low))
    return history


def test_a_short_pool_is_all_in_its_picture(short: History) -> None:
    figure = _figure(short)
    points = {len(line.get_xdata()): line for line in figure.axes[0].lines if line.get_ls() == "-"}
    assert sorted(points) == [1, 2]  # evaluated again, and as selected
    assert points[1].get_marker() == "o"
    scores = [unit.score for unit in short.units if unit.score is not None]
    for axis in figure.axes:
        low, high = axis.get_ylim()
        assert low < min(scores) < max(scores) < high
    assert all(float(tick).is_integer() for tick in figure.axes[0].get_xticks())


def test_a_closing_evaluation_that_failed_is_not_in_the_legend(short: History) -> None:
    closing = short.units.pop()
    short.units.append(replace(closing, status="failed", evaluation=None, reason="of no use"))
    labels = _figure(short).axes[0].get_legend_handles_labels()[1]
    assert labels == ["branches", "champion, as selected", "champion, evaluated again"]


@pytest.mark.parametrize("suffix", ["png", "pdf"])
def test_a_picture_is_whole_or_as_it_was(tmp_path: Path, suffix: str) -> None:
    pool = make_pool(tmp_path / "pool", tiny_spec(), RunOptions())
    Worker(pool, StopCriteria(1)).run()
    picture = tmp_path / f"x.{suffix}"
    picture.write_text("old")
    history = read_history(tmp_path / "pool")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))  # smaller than any picture
    try:
        with pytest.raises(UsageError, match="File too large"):
            plot_history(history, picture)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert picture.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pool", picture.name]
    plot_history(history, picture)
    assert picture.stat().st_size > 4096


def test_a_picture_that_cannot_be_written(tmp_path: Path) -> None:
    options = ["--pool-directory", "pool", "--workers", 2, *settings()]
    assert poolrl(tmp_path, "run", *options, "--iterations", 1).returncode == 0
    picture = tmp_path / "pool" / "history.png"
    picture.unlink()
    picture.mkdir()
    done = poolrl(tmp_path, "run", *options, "--iterations", 2)
    assert (done.returncode, done.stderr) == (0, "")
    assert "result: mean return" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("warning: no plot: ")
