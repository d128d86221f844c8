"""``--target-return threshold``: the return that a task is registered with."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolrl.errors import UsageError
from poolrl.launch.pool_setup import validate
from poolrl.tasks.gymnasium_ids import reward_threshold
from tests.conftest import TINY
from tests.helpers.command_line import in_process


def test_it_is_the_registrys() -> None:
    assert reward_threshold("CartPole-v1") == 475
    assert reward_threshold("HalfCheetah-v5") == 4800
    for task_id in ("Pendulum-v1", "Plateau-v0", "nowhere.py:Mine"):
        with pytest.raises(UsageError, match=f"--target-return threshold: {task_id}"):
            reward_threshold(task_id)


def test_a_run_ends_at_it(tmp_path: Path) -> None:
    keys = TINY | {"task.id": "CartPole-v1", "run.target_return": "threshold"}
    run = validate(None, tmp_path / "pool", keys, None).run
    assert run.target_return == 475


@pytest.mark.parametrize("word", ["solved", "nan"])
def test_other_words_are_refused(tmp_path: Path, word: str) -> None:
    said = in_process("run", "--target-return", word, cwd=tmp_path)
    assert said.returncode == 2
    assert "--target-return" in said.stderr
    assert f"{word!r} is neither a number nor `threshold`" in said.stderr


def test_a_score_that_nothing_reaches_is_refused(tmp_path: Path) -> None:
    said = in_process("run", "--target-score", "nan", cwd=tmp_path)
    assert said.returncode == 2
    assert "--target-score" in said.stderr
    assert "'nan' is not a number" in said.stderr
