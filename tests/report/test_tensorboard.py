"""Event files: exactly one value a key and iteration, whatever happens to their writer."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from poolrl import extras
from poolrl.config.loading import load
from poolrl.config.run_options import RunOptions
from poolrl.errors import UsageError
from poolrl.interrupts import InterruptHandler
from poolrl.monitoring.history import History
from poolrl.pool.directory import Pool, make_pool, open_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.records.evaluation import Evaluation
from poolrl.report.scalars import Position, _reevaluation, _success_rate, position, scalars
from poolrl.report.tensorboard import EventLog
from poolrl.worker.loop import Worker
from tests.conftest import tiny_spec
from tests.helpers.command_line import in_process
from tests.helpers.event_files import accumulate, expected, read
from tests.helpers.forks import serve
from tests.helpers.pools import snapshot
from tests.helpers.rodents import IMITATING, needs_h5py, write_worm
from tests.helpers.rules import RULES
from tests.helpers.rules import finished as finished_by

ITERATIONS = 30


@pytest.fixture(scope="module")
def finished(memory_folder: Path) -> Pool:
    pool = make_pool(memory_folder / "pool", tiny_spec(), RunOptions(iterations=ITERATIONS))
    serve(pool.layout.root, ITERATIONS, 1)
    return pool


def whole(pool: Pool) -> History:
    history = History(open_pool(pool.layout.root))
    history.refresh()
    return history


def growing(history: History) -> Iterator[History]:
    """A history as a process that follows a pool sees it: one merge more each time, at last the
    closing evaluation."""
    merges, units = history.merges, history.units
    for end in range(1, len(merges) + 1):
        history.merges = merges[:end]
        history.units = [unit for unit in units if unit.kind != "closing" and unit.iteration <= end]
        yield history
    history.units = units
    yield history


def write(pool: Pool, folder: Path, pause: float = 0.0) -> None:
    log = EventLog(pool, folder)
    for history in growing(whole(pool)):
        while not log.update(history):
            time.sleep(0.01)
        time.sleep(pause)
    log.close()


def test_each_iteration_has_each_value_once(finished: Pool, tmp_path: Path) -> None:
    history = whole(finished)
    log = EventLog(finished, tmp_path)
    assert log.update(history)
    log.close()
    accumulator = accumulate(tmp_path)
    counts = read(accumulator)
    assert counts == expected(history)
    assert set(counts.values()) == {1}
    steps = [merge.training_steps for merge in history.merges]
    iterations = accumulator.Scalars("pool/iteration")
    assert [(e.step, e.value) for e in iterations] == list(zip(steps, range(31), strict=True))
    assert [e.wall_time for e in iterations] == [merge.finished for merge in history.merges]
    again = accumulator.Scalars("eval/mean_reward")
    assert [e.step for e in again] == steps[:-1]  # the last champion was not evaluated again
    scores = [merge.parent_score for merge in history.merges[1:]]
    assert [e.value for e in again] == pytest.approx(scores)
    (closing,) = accumulator.Scalars("pool/closing_score")
    assert closing.step == steps[-1]
    returns = accumulator.Scalars("rollout/ep_rew_mean")
    winners = {
        merge.training_steps: unit.training.mean_return
        for merge in history.merges
        for unit in history.units
        if (unit.iteration, unit.kind, unit.index)
        == (merge.iteration, "branch", merge.champion.index)
        and merge.champion.iteration == merge.iteration
        and unit.training is not None
    }
    assert {event.step: event.value for event in returns} == pytest.approx(winners)
    # Once more there is nothing to write, and one at a time gives the same bytes.
    before = snapshot(tmp_path)
    assert EventLog(finished, tmp_path).update(history)
    assert snapshot(tmp_path) == before
    write(finished, tmp_path / "slowly")
    assert snapshot(tmp_path / "slowly") == before


def test_twenty_kills_leave_one_value_a_key_and_iteration(
    finished: Pool, memory_folder: Path
) -> None:
    folder = memory_folder / "killed"
    folder.mkdir()
    EventLog(finished, memory_folder / "whole").update(whole(finished))  # imports, and the file
    live = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    generator = random.Random(1)
    killed = 0
    for _ in range(20):
        writer = os.fork()
        if writer == 0:
            signal.alarm(60)
            code = 1
            try:
                write(finished, folder, pause=0.001)
                code = 0
            finally:
                os._exit(code)
        time.sleep(generator.uniform(0.0, 0.05))
        os.kill(writer, signal.SIGKILL)
        killed += os.WIFSIGNALED(os.waitpid(writer, 0)[1])
        live.Reload()
    write(finished, folder)
    assert killed > 10
    history = whole(finished)
    assert read(live.Reload()) == expected(history)
    assert read(accumulate(folder)) == expected(history)
    files, good = snapshot(folder), snapshot(memory_folder / "whole")
    assert {name: files[name] for name in good if "lease" not in name} == {
        name: data for name, data in good.items() if "lease" not in name
    }


@pytest.mark.parametrize("cut", [0, 1, 30, 500])
def test_what_comes_after_the_cursor_is_written_again(
    finished: Pool, tmp_path: Path, cut: int
) -> None:
    """A writer that was killed between append and cursor, or within an append; with ``cut`` bytes
    left of what it appended."""
    write(finished, tmp_path)
    good = snapshot(tmp_path)
    (event_file,) = tmp_path.glob("*tfevents*")
    history = whole(finished)
    first = EventLog(finished, tmp_path / "other")
    first.update(next(growing(history)))
    first.close()
    (short,) = (tmp_path / "other").glob("*tfevents*")
    length = short.stat().st_size
    (tmp_path / "poolrl-cursor.json").write_bytes(
        (tmp_path / "other" / "poolrl-cursor.json").read_bytes()
    )
    event_file.write_bytes(event_file.read_bytes()[: length + cut])
    live = accumulate(tmp_path)
    EventLog(finished, tmp_path).update(whole(finished))
    assert read(live.Reload()) == expected(whole(finished))
    assert event_file.read_bytes() == good[event_file.name]


@pytest.mark.parametrize("damage", [b"", b"{", b'{"file":1}', None])
def test_a_lost_cursor_or_file_is_written_again(
    finished: Pool, tmp_path: Path, damage: bytes | None
) -> None:
    write(finished, tmp_path)
    good = snapshot(tmp_path)
    if damage is None:
        next(tmp_path.glob("*tfevents*")).unlink()
    else:
        (tmp_path / "poolrl-cursor.json").write_bytes(damage)
    log = EventLog(finished, tmp_path)
    log.update(whole(finished))
    log.close()
    assert snapshot(tmp_path) == good


def test_one_writer_at_a_time(
    finished: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = whole(finished)
    first, second = EventLog(finished, tmp_path), EventLog(finished, tmp_path)
    ways = growing(history)
    assert first.update(next(ways))
    assert second.update(history)  # it has nothing to add
    next(ways)
    assert not second.update(history)
    first.close()
    assert second.update(history)
    second.close()


def test_files_of_others_are_left_alone(finished: Pool, tmp_path: Path) -> None:
    (tmp_path / "events.out.tfevents.1.host").write_bytes(b"")
    with pytest.raises(UsageError, match="another pool or program"):
        EventLog(finished, tmp_path)


@pytest.mark.parametrize("rule", RULES)
def test_every_merge_rule_has_scalars(rule: str, memory_folder: Path) -> None:
    pool = finished_by(memory_folder / rule, rule)
    history = History(pool)
    history.refresh()
    counts = expected(history)
    assert set(counts.values()) == {1}
    keys = {key for key, _ in counts}
    assert {"pool/iteration", "rollout/ep_rew_mean"} <= keys
    assert ("train/policy_gradient_loss" in keys) == (rule not in ("exploring", "mpo with dep"))
    assert ("train/kl_mean" in keys) == (rule == "mpo with dep")
    for start in range(len(history.merges)):  # however it is cut
        at = history.merges[start].iteration
        after = [s for s in scalars(history, Position(at, True)) if s.iteration > at]
        assert after == [s for s in scalars(history, Position()) if s.iteration > at]


@pytest.mark.parametrize(
    ("values", "rate"), [((True, 0, 1.0, None), 2 / 3), ((None, None), None), (None, None)]
)
def test_the_success_rate_is_of_episodes_that_say_so(
    values: tuple[float | None, ...] | None, rate: float | None
) -> None:
    infos = {} if values is None else {"is_success": SimpleNamespace(values=values)}
    evaluation = cast(Evaluation, SimpleNamespace(infos=infos))
    assert _success_rate(evaluation) == rate


@needs_h5py
def test_a_network_with_latent_variables_has_quantiles(tmp_path: Path) -> None:
    """Of its latent variables and rewards in training, and of the values of info."""
    keys = {
        **IMITATING,
        "task.kwargs": write_worm(tmp_path, 14, 10),
        "pool.count": 2,
        "pool.iterate_episodes": 2,
        "pool.evaluate_episodes": 3,
        "selection.keep_parent": True,
    }
    pool = make_pool(tmp_path / "pool", load(None, keys)[0], RunOptions())
    Worker(pool, StopCriteria(2)).run()
    history = whole(pool)
    parent = next(u for u in history.units if (u.kind, u.iteration) == ("parent", 2))
    assert parent.evaluation is not None
    errors = parent.evaluation.infos["joint_error"].values
    found = [each.values for each in scalars(history, Position())]
    (evaluated,) = (v for v in found if v.get("eval/mean_reward") == parent.evaluation.score)
    ends = {"min": 0, "q25": 0.25, "median": 0.5, "q75": 0.75, "max": 1}
    for end, share in ends.items():
        expected = np.quantile(np.array(errors, float), share)
        assert evaluated[f"eval/joint_error_{end}"] == pytest.approx(expected)
        assert f"eval/com_reward_{end}" in evaluated
    others = _reevaluation([parent], with_infos=False)  # of networks without
    assert others.keys() == {"eval/mean_reward", "eval/mean_ep_length"}
    trained = [unit for unit in history.units if unit.training is not None]
    names = {f"rollout/{n}_{e}" for n in ("latent_mu", "latent_log_sigma", "reward") for e in ends}
    for unit in trained:
        assert unit.training is not None
        assert names <= unit.training.metrics.keys()
    assert any(names <= values.keys() for values in found)


def test_commands(finished: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = finished.layout.root
    before = snapshot(root)
    said = in_process("log", root, "--tensorboard", "events", cwd=tmp_path)
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")
    assert snapshot(root) == before
    followed = in_process("log", root, "--tensorboard", "events", "--follow", cwd=tmp_path)
    assert followed.returncode == 0  # the pool has ended
    assert read(accumulate(tmp_path / "events")) == expected(whole(finished))
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    for command in (
        ("log", root, "--tensorboard", "other"),
        ("run", "--pool-directory", "pool", "--tensorboard"),
    ):
        said = in_process(*command, cwd=tmp_path)
        assert (said.returncode, said.stderr.count("\n")) == (2, 1)
        assert "pip install 'poolrl[tensorboard]'" in said.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events"]


def test_a_pool_that_is_no_longer_there_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_pool(tmp_path / "pool", tiny_spec(), RunOptions())
    monkeypatch.setattr(
        InterruptHandler, "sleep", lambda *_: (tmp_path / "pool").rename(tmp_path / "moved")
    )
    said = in_process("log", "pool", "--tensorboard", "events", "--follow", cwd=tmp_path)
    assert said.returncode == 2
    assert said.stderr == f"poolrl: {tmp_path / 'pool'}: no such directory\n"


def test_a_pool_without_a_champion_is_one_line(tmp_path: Path) -> None:
    make_pool(tmp_path / "pool", tiny_spec(), RunOptions())
    said = in_process("log", "pool", "--tensorboard", "events", cwd=tmp_path)
    assert (said.returncode, said.stderr) == (
        2,
        "poolrl: pool: no champion yet; --follow waits for it\n",
    )
    assert not (tmp_path / "events").exists()
    refused = in_process("run", "--one-worker", "--tensorboard", cwd=tmp_path)
    assert refused.returncode == 2
    assert position(whole(open_pool(tmp_path / "pool"))) == Position()
