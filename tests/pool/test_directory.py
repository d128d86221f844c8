"""Making and opening pools."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from poolrl.config.run_options import RunOptions
from poolrl.errors import IncompatiblePool, UsageError
from poolrl.pool.directory import Pool, make_pool, open_pool
from tests.conftest import tiny_spec
from tests.helpers.pools import snapshot


def test_a_pool_opens_as_it_was_made(tiny_pool: Pool) -> None:
    again = open_pool(tiny_pool.layout.root)
    assert again.spec == tiny_pool.spec
    assert again.spec_sha256 == tiny_pool.spec_sha256
    assert again.run.iterations == 3
    assert "mujoco" in again.made_with


def test_making_it_again_opens_it_whatever_the_run_options(tiny_pool: Pool) -> None:
    root = tiny_pool.layout.root
    before = snapshot(root)
    assert make_pool(root, tiny_spec(), RunOptions(iterations=3)) == tiny_pool
    assert snapshot(root) == before
    assert make_pool(root, tiny_spec(), RunOptions(iterations=9)).run.iterations == 9
    assert open_pool(root).run.iterations == 9  # for workers that join
    before.pop("run.toml")
    assert before.items() <= snapshot(root).items()


def test_another_specification_is_refused_by_key(tiny_pool: Pool) -> None:
    root = tiny_pool.layout.root
    before = snapshot(root)
    with pytest.raises(IncompatiblePool) as error:
        make_pool(root, tiny_spec(pool__seed=5, learner__learning_rate=0.3), RunOptions())
    assert "pool.seed (0 in the pool, 5 now)" in str(error.value)
    assert "learner.learning_rate (0.1 in the pool, 0.3 now)" in str(error.value)
    assert error.value.exit_code == 4
    assert snapshot(root) == before


def test_an_option_that_a_later_version_adds_does_not_change_an_old_pool(tiny_pool: Pool) -> None:
    path = tiny_pool.layout.spec
    old = path.read_text().replace("patience = 3\n", "")  # as an earlier version wrote it
    path.write_text(old)
    opened = open_pool(tiny_pool.layout.root)
    assert opened.spec == tiny_pool.spec
    assert opened.spec_sha256 != tiny_pool.spec_sha256  # of the file as it is
    assert make_pool(tiny_pool.layout.root, tiny_spec(), opened.run) == opened


def test_a_newer_schema_is_refused(tiny_pool: Pool) -> None:
    path = tiny_pool.layout.spec
    path.write_text(path.read_text().replace("schema = 1", "schema = 3"))
    with pytest.raises(IncompatiblePool, match="schema 3 is newer"):
        open_pool(tiny_pool.layout.root)


@pytest.mark.parametrize("text", ["", "schema = 1\n", "schema = [", "schema = 1\n[spec]\nx = 1\n"])
def test_a_damaged_specification_is_refused(tiny_pool: Pool, text: str) -> None:
    tiny_pool.layout.spec.write_text(text)
    with pytest.raises(IncompatiblePool, match=r"pool\.toml") as error:
        open_pool(tiny_pool.layout.root)
    assert "\n" not in str(error.value)


def test_what_is_no_pool_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a pool"):
        open_pool(tmp_path)
    with pytest.raises(UsageError, match="no such directory"):
        open_pool(tmp_path / "absent")
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(UsageError, match="not a pool, and not empty"):
        make_pool(tmp_path, tiny_spec(), RunOptions())
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_a_pool_whose_making_was_cut_off_is_made(tmp_path: Path) -> None:
    (tmp_path / "iterations").mkdir()
    (tmp_path / ".tmp-123").write_text("half")
    make_pool(tmp_path, tiny_spec(), RunOptions())
    open_pool(tmp_path)
