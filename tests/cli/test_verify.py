"""`poolrl verify`, as a user runs it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.command_line import in_process, poolrl, settings
from tests.helpers.damage import edit, finished, loser
from tests.helpers.pools import snapshot


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(tmp_path_factory.mktemp("sound") / "pool")


@pytest.fixture
def place(sound: Path, tmp_path: Path) -> Path:
    shutil.copytree(sound, tmp_path / "pool")
    return tmp_path


def test_a_sound_pool(place: Path) -> None:
    before = snapshot(place)
    for options, units in (((), 5), (("--all",), 18), (("--sample", "0"), 0)):
        said = in_process("verify", "pool", *options, cwd=place)
        assert said.returncode == 0, said.stderr + said.stdout
        assert said.stdout == (f"5 merges and 18 records checked, {units} units computed again\n")
        assert said.stderr == ""
    named = in_process("verify", "pool", "--iteration", "2", "--branch", "1", cwd=place)
    assert ", 1 unit computed" in named.stdout
    assert "4 units" in in_process("verify", "pool", "--iteration", "2", cwd=place).stdout
    assert snapshot(place) == before


def test_a_broken_rule_exits_4(place: Path) -> None:
    edit(loser(place / "pool", 2), lambda record: record["evaluation"].update(score=99.0))
    said = in_process("verify", "pool", "--sample", "0", cwd=place)
    assert said.returncode == 4
    assert "damaged: its score is 99.0, but that of its returns " in said.stdout
    assert said.stderr.startswith("poolrl: pool: ")
    assert said.stderr.endswith(" differences\n")
    assert "Traceback" not in said.stderr


def test_what_comes_out_otherwise_exits_4(place: Path) -> None:
    record = loser(place / "pool", 2)
    edit(record, lambda table: table["training"].update(updates=7))
    branch = str(int(record.stem.rpartition("-")[2]))
    assert in_process("verify", "pool", "--sample", "0", cwd=place).returncode == 0
    said = in_process("verify", "pool", "--iteration", "2", "--branch", branch, cwd=place)
    assert said.returncode == 4
    assert said.stdout.startswith(
        f"iterations/000002/{record.name}: training.updates: 7 recorded, 1 computed here\n"
    )
    assert said.stderr == "poolrl: pool: 1 difference\n"


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--all", "--sample", "2"), 2, "--sample, --all and --iteration"),
        (("--branch", "2"), 2, "--branch: needs --iteration"),
        (("--iteration", "9"), 2, "iteration 9: the pool has no deposit"),
        (("--iteration", "2", "--branch", "7"), 2, "iteration 2 branch 7: the pool has no"),
        (("--task", "Swimmer-v5"), 2, "--task Swimmer-v5: the task is Plateau-v0"),
    ],
)
def test_what_cannot_be_meant(place: Path, options: tuple[str], code: int, words: str) -> None:
    said = in_process("verify", "pool", *options, cwd=place)
    assert said.returncode == code
    assert words in said.stderr
    assert "Traceback" not in said.stderr


def test_files_are_checked_without_torch_and_without_a_simulator(sound: Path) -> None:
    code = (
        "import sys\nfrom poolrl.cli.main import cli\n"
        f"cli(['verify', {str(sound)!r}, '--sample', '0'], standalone_mode=False)\n"
        "sys.exit(bool({'torch', 'mujoco', 'gymnasium'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_users_task_runs_only_where_it_is_named(tmp_path: Path) -> None:
    from poolrl.tasks import identity as plateau

    marker = "import pathlib; pathlib.Path('ran').touch()\n"
    text = Path(plateau.__file__).read_text().replace("import numpy", marker + "import numpy", 1)
    (tmp_path / "mine.py").write_text(text)
    options = [*settings(task__id="mine.py:Plateau"), "--task", "mine.py:Plateau"]
    made = poolrl("run", "--pool-directory", "pool", "--iterations", "1", *options, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    (tmp_path / "ran").unlink()
    assert poolrl("verify", "pool", "--sample", "0", cwd=tmp_path).returncode == 0
    refused = poolrl("verify", "pool", cwd=tmp_path)
    assert refused.returncode == 2
    assert "--trust" in refused.stderr
    assert not (tmp_path / "ran").exists()
    named = poolrl("verify", "pool", "--all", "--task", "mine.py:Plateau", cwd=tmp_path)
    assert named.returncode == 0, named.stderr
    assert (tmp_path / "ran").exists()
    assert (
        "6 units computed again"
        in poolrl("verify", "pool", "--all", "--trust", cwd=tmp_path).stdout
    )
    (tmp_path / "mine.py").write_text(text + "\n")
    changed = poolrl("verify", "pool", "--trust", cwd=tmp_path)
    assert changed.returncode == 4
    assert "source_sha256" in changed.stderr
