"""Every figure of a pool of every merge rule, and of pools that earlier versions made."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from matplotlib.collections import PolyCollection

from poolrl.config.run_options import RunOptions
from poolrl.pool.directory import make_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.records.evaluation import Evaluation
from poolrl.report.evolved import evolved_configuration
from poolrl.report.figures import champion, episodes, overstatement, tree, wins
from poolrl.report.figures.pool_data import PoolData, half_width
from poolrl.report.figures.registry import FIGURES
from poolrl.worker.loop import Worker
from tests.conftest import tiny_spec
from tests.frozen.pool import POOLS
from tests.helpers.command_line import in_process
from tests.helpers.pools import snapshot
from tests.helpers.rules import RULES
from tests.report.figures.conftest import history_of

FROZEN = sorted(path.parent.name for path in POOLS.glob("*/frozen.json"))

every_rule = pytest.mark.parametrize("rule", RULES)


def texts(figure: Any) -> str:
    """All that is written in a figure."""
    import matplotlib.text

    return "\n".join(each.get_text() for each in figure.findobj(matplotlib.text.Text))


@every_rule
def test_every_figure_of_every_rule(pool_of: Callable[[str], Path], rule: str) -> None:
    data = PoolData(history_of(pool_of(rule)))
    for name, kind in FIGURES.items():
        figure = kind.draw(data)
        figure.set_layout_engine("none")  # which takes most of the time
        figure.set_dpi(20)
        figure.canvas.draw()
        assert figure.axes, name


@pytest.mark.parametrize("name", FROZEN)
def test_pools_of_earlier_versions(name: str, tmp_path: Path) -> None:
    root = shutil.copytree(POOLS / name / "pool", tmp_path / "pool")
    before = snapshot(root)
    done = in_process("plot", "pool", "--figure", "all", "-o", "all.pdf", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "all.pdf\n", "")
    content = (tmp_path / "all.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert content.count(b"/Type /Page ") == len(FIGURES)
    assert snapshot(root) == before


def test_all_figures_in_a_folder(pool_of: Callable[[str], Path], tmp_path: Path) -> None:
    options = ("plot", pool_of("candidates"), "--figure", "all", "--format", "svg", "-o", "new")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "champion.svg").write_text("replaced")
    done = in_process(*options, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [f"new/{name}.svg" for name in FIGURES]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(
        f"{name}.svg" for name in FIGURES
    )
    assert b"<svg" in (tmp_path / "new" / "champion.svg").read_bytes()


def test_an_equal_figure_is_an_equal_file(pool_of: Callable[[str], Path], tmp_path: Path) -> None:
    for form in ("svg", "pdf"):
        names = [f"one.{form}", f"two.{form}"]
        for name in names:
            command = ("plot", pool_of("best"), "--figure", "time", "-o", name)
            assert in_process(*command, cwd=tmp_path).returncode == 0
        one, two = ((tmp_path / name).read_bytes() for name in names)
        assert one == two


def test_a_file_stays_the_link_that_it_is(pool_of: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "target.png").write_text("old")
    (tmp_path / "link.png").symlink_to("target.png")
    command = ("plot", pool_of("best"), "--figure", "time", "-o", "link.png")
    assert in_process(*command, cwd=tmp_path).returncode == 0
    assert (tmp_path / "link.png").is_symlink()
    assert (tmp_path / "target.png").read_bytes().startswith(b"\x89PNG")


def test_the_line_goes_back_with_a_fallback(pool_of: Callable[[str], Path]) -> None:
    data = PoolData(history_of(pool_of("fallback")))
    falls = data.history.fallbacks()
    assert falls
    iterations = [champion.iteration for champion in data.line]
    assert iterations == sorted(set(iterations))
    assert iterations[0] == 0
    dropped = {i for start, target in falls for i in range(target + 1, start + 1)}
    assert not dropped & set(iterations)


@every_rule
def test_the_closing_evaluation_is_within_the_figure(
    pool_of: Callable[[str], Path], rule: str
) -> None:
    data = PoolData(history_of(pool_of(rule)))
    assert data.closing is not None
    assert data.closing.score is not None
    half = half_width(data.closing)
    for axis in champion.draw(data).axes:
        low, high = axis.get_ylim()
        assert low < data.closing.score - half < data.closing.score + half < high


UNEVALUATED = [name for name in RULES if name in ("mean", "update")]


@every_rule
def test_shares_add_up(pool_of: Callable[[str], Path], rule: str) -> None:
    data = PoolData(history_of(pool_of(rule)))
    if rule in UNEVALUATED:
        for draw in (wins.draw, overstatement.draw):
            assert data.rule in texts(draw(data))
        return
    rows = [*wins._by_branch(data), *wins._others(data)]
    assert sum(row.share for row in rows) == pytest.approx(1)
    expected = sum(row.expected or 0.0 for row in rows)
    assert expected == pytest.approx(sum(row.share for row in rows if row.expected is not None))
    for name in data.spec.branches:
        by_value = wins._by_value(data, name)
        assert sum(row.share for row in by_value) == pytest.approx(
            sum(row.share for row in rows if row.expected is not None)
        )


@pytest.mark.parametrize("evolve", [1e-6, 1.0])
def test_values_that_evolve_are_all_in_a_row(tmp_path: Path, evolve: float) -> None:
    pool = make_pool(
        tmp_path / "pool",
        tiny_spec(branches__learning_rate={"evolve": evolve}, pool__count=4),
        RunOptions(4),
    )
    Worker(pool, StopCriteria(4)).run()
    data = PoolData(history_of(pool.layout.root))
    by_branch, by_value = wins._by_branch(data), wins._by_value(data, "learning_rate")
    assert len(by_value) > 1
    for rows in (by_branch, by_value):
        won = sum(row.share for row in rows)
        assert won == pytest.approx(sum(row.share for row in by_branch))
        assert sum(row.expected or 0.0 for row in rows) == pytest.approx(won)


def test_more_values_than_rows_are_drawn_by_chance_alike(tmp_path: Path) -> None:
    count = wins.MOST + 2
    rates = [0.1 * (1 + number) for number in range(count)]
    pool = make_pool(
        tmp_path / "pool",
        tiny_spec(branches__learning_rate=rates, pool__count=count),
        RunOptions(1),
    )
    Worker(pool, StopCriteria(1)).run()
    data = PoolData(history_of(pool.layout.root))
    won = sum(row.share for row in wins._by_branch(data))
    assert won == 1
    rows = wins._by_value(data, "learning_rate")
    assert len(rows) == wins.MOST
    assert [row.expected for row in rows] == pytest.approx([1 / count] * len(rows))


def test_gains_are_paired_with_the_parent(pool_of: Callable[[str], Path]) -> None:
    data = PoolData(history_of(pool_of("best")))
    by_branch = wins._by_branch(data)
    for number, merged in data.merges.items():
        if number > 0 and merged.to_parent is not None:
            gain = by_branch[merged.champion.index].gains[number - 1]
            assert gain == pytest.approx(merged.to_parent.mean)


@every_rule
def test_makers_are_whom_the_merge_used(pool_of: Callable[[str], Path], rule: str) -> None:
    data = PoolData(history_of(pool_of(rule)))
    for number, merged in data.merges.items():
        makers = data.makers(number)
        if merged.rule in ("best branch", "mean", "best candidate", "update"):
            assert sum(makers.values()) == pytest.approx(1)
        else:
            assert not makers
        if merged.rule == "best branch":
            assert list(makers) == [merged.champion.index]
        elif makers:
            assert len(makers) == (2 if rule == "rank" else data.spec.pool.branches(number))


def test_long_pools_have_marks_in_place_of_edges(
    pool_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "EDGES_UP_TO", 2)
    for rule in ("fallback", "candidates", "mean"):
        figure = tree.draw(PoolData(history_of(pool_of(rule))))
        figure.set_layout_engine("none")
        figure.canvas.draw()
        assert "other branches" not in texts(figure)


def test_info_is_drawn_where_records_have_it(
    pool_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Info(NamedTuple):
        values: tuple[float | None, ...]

    values = {"x$y": Info((1.0, None, 3.0)), "never": Info((None, None))}
    data = PoolData(history_of(pool_of("best")))
    monkeypatch.setattr(Evaluation, "infos", property(lambda evaluation: values))
    figure = episodes.draw(data)
    assert [axis.get_title() for axis in figure.axes if axis.axison] == [
        "episode length / control steps",
        r"info: x\$y",
    ]
    line = next(line for line in figure.axes[2].lines if "champion" in str(line.get_label()))
    assert set(line.get_ydata()) == {2.0}
    assert "no episode with a value yet" in texts(figure)


def test_the_interval_of_a_single_champion_is_seen(tmp_path: Path) -> None:
    root = tmp_path / "pool"
    for iterations in (1, 2):
        pool = make_pool(root, tiny_spec(), RunOptions(iterations))
        Worker(pool, StopCriteria(iterations)).run()
        data = PoolData(history_of(root))
        for draw in (champion.draw, episodes.draw):
            parts = draw(data).axes[0].collections
            (band,) = (part for part in parts if isinstance(part, PolyCollection))
            has_edge = bool(band.get_linewidths()[0] > 0)
            assert has_edge == (iterations == 1)  # as one point has no area


def test_a_pool_by_a_path_without_a_name(
    pool_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = pool_of("evolving")
    monkeypatch.chdir(root)
    history = history_of(Path("."))
    assert PoolData(history).title.startswith("evolving: Swimmer-v5, ")
    assert "Evolved in the pool evolving: " in evolved_configuration(history)


BAD: dict[str, tuple[tuple[str, ...], str]] = {
    "an unknown figure": (("--figure", "champoin", "-o", "x.png"), "did you mean champion?"),
    "a figure of no name": (("--figure", "zzz", "-o", "x.png"), "zzz: no such figure; known: "),
    "another suffix": (("--figure", "time", "-o", "x.jpg"), "-o x.jpg: name a .png, .svg or .pdf"),
    "no suffix": (("--figure", "time", "-o", "x"), "-o x: name a .png, .svg or .pdf file"),
    "all into a .png": (("--figure", "all", "-o", "x.png"), "into one .pdf file"),
    "all into an unknown kind": (("--figure", "all", "-o", "x.jpg"), "-o x.jpg: name a .png"),
    "another format": (("--figure", "time", "-o", "x.png", "--format", "svg"), "--format svg"),
    "an unknown format": (("--figure", "all", "-o", "x", "--format", "gif"), "--format"),
    "a format without a figure": (("-o", "x.png", "--format", "png"), "--format goes with"),
    "a folder for a file": (("--figure", "time", "-o", "folder.png"), "folder.png: is a folder"),
    "a folder nowhere": (("--figure", "all", "-o", "no/where"), "-o no/where: cannot write"),
    "a file nowhere": (("--figure", "time", "-o", "no/x.png"), "-o no/x.png: cannot write"),
    "a file for a folder": (("--figure", "all", "-o", "file"), "-o file: cannot write"),
}


def test_bad_input(tmp_path: Path) -> None:
    pool = make_pool(tmp_path / "pool", tiny_spec(), RunOptions())
    Worker(pool, StopCriteria(1)).run()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").write_text("")
    before = snapshot(tmp_path)
    for name, (arguments, words) in BAD.items():
        done = in_process("plot", "pool", *arguments, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, ""), name
        assert words in done.stderr.strip().splitlines()[-1], name
        assert snapshot(tmp_path) == before, name


def test_a_pool_without_a_champion(tmp_path: Path) -> None:
    make_pool(tmp_path / "pool", tiny_spec(), RunOptions())
    for figure in (*FIGURES, "all"):
        done = in_process("plot", "pool", "--figure", figure, "-o", "x.pdf", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "poolrl: pool: the pool has no merged iteration yet\n"
        assert not (tmp_path / "x.pdf").exists()
