"""A pool resumes where its task's model has moved, and only with the same model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from poolrl.monitoring.history import History
from poolrl.pool.directory import open_pool
from tests.conftest import TINY, as_options
from tests.helpers.command_line import in_process, poolrl
from tests.helpers.models import copy_gymnasium_model
from tests.helpers.pools import snapshot

KEYS = TINY | {"task.id": "Swimmer-v5", "task.kwargs.xml_file": "./mine.xml"}


def champions(pool: Path) -> list[str]:
    history = History(open_pool(pool))
    history.refresh()
    return [merge.champion.sha256 for merge in history.merges]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished pool of two iterations, one that ended after its first, the model of
    both in another place than they say, and another model."""
    place = tmp_path_factory.mktemp("place")
    copy_gymnasium_model("swimmer.xml", place / "mine.xml")
    arguments = ["--pool-directory", "finished", "--workers", "1", *as_options(KEYS)]
    for iterations in (1, 2):
        said = poolrl("run", *arguments, "--iterations", iterations, cwd=place)
        assert said.returncode == 0, said.stderr
        if iterations == 1:
            shutil.copytree(place / "finished", place / "pool")
    model = (place / "mine.xml").read_text()
    (place / "other.xml").write_text(model.replace('viscosity="0.1"', 'viscosity="0.2"'))
    (place / "mine.xml").rename(place / "new.xml")
    return place


WRONG = {
    "none": ("run", "", 2, "task.kwargs.xml_file: no such file: "),
    "nowhere": ("run", "xml_file=nowhere.xml", 2, "/nowhere.xml"),
    "no path": ("worker", "xml_file=3", 2, "--task-arg xml_file: "),
    "another model": ("run", "xml_file=./other.xml", 4, "task.model_sha256"),
    "another model for a worker": ("worker", "xml_file=other.xml", 4, "task.model_sha256"),
    "another model for a check": ("verify", "xml_file=other.xml", 4, "task.model_sha256"),
    "another argument": ("run", "xml_file=./new.xml frame_skip=2", 4, "task.kwargs.frame_skip"),
    "another argument for a worker": ("worker", "frame_skip=2", 2, "--task-arg frame_skip: "),
}


@pytest.mark.parametrize("name", WRONG)
def test_another_model_is_one_line(place: Path, name: str) -> None:
    command, argument, code, word = WRONG[name]
    before = snapshot(place)
    arguments = ["pool"] if command == "verify" else ["--pool-directory", "pool"]
    arguments += [word for each in argument.split() for word in ("--task-arg", each)]
    said = in_process(command, *arguments, cwd=place)
    assert said.returncode == code, said.stderr
    line = said.stderr.splitlines()[-1]
    assert word in line
    assert "Traceback" not in said.stderr
    assert snapshot(place) == before


def test_a_pool_without_a_model_of_its_own(tmp_path: Path) -> None:
    keys = TINY | {"task.id": "Swimmer-v5"}
    said = poolrl(
        "run", "--pool-directory", "pool", "--iterations", "0", *as_options(keys), cwd=tmp_path
    )
    assert said.returncode == 0, said.stderr
    said = poolrl(
        "worker", "--pool-directory", "pool", "--task-arg", "xml_file=a.xml", cwd=tmp_path
    )
    assert said.returncode == 2
    assert "--task-arg xml_file: the pool's task, Swimmer-v5, names no such file" in said.stderr


@pytest.mark.parametrize("command", ["run", "worker"])
def test_a_pool_goes_on_with_its_model_at_a_new_place(place: Path, command: str) -> None:
    pool = place / f"pool-{command}"
    shutil.copytree(place / "pool", pool)
    arguments = ["--iterations", "2", "--task-arg", "xml_file=./new.xml"]
    workers = ["--workers", "2"] if command == "run" else []
    said = poolrl(command, "--pool-directory", pool, *workers, *arguments, cwd=place)
    assert said.returncode == 0, said.stderr
    assert champions(pool) == champions(place / "finished")
    again = poolrl("verify", pool, "--all", "--task-arg", "xml_file=new.xml", cwd=place)
    assert again.returncode == 0, again.stdout + again.stderr


def test_an_array_is_told_of_the_new_place(place: Path) -> None:
    arguments = ["--pool-directory", "pool", "--dry-run", "--task-arg", "xml_file=./new.xml"]
    said = in_process("submit", *arguments, cwd=place)
    assert said.returncode == 0, said.stderr
    assert f"--task-arg xml_file={place / 'new.xml'}\n" in said.stdout
