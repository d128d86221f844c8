"""Files of the working directory are not imported, however poolrl is started."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from poolrl.config.loading import load
from poolrl.config.run_options import RunOptions
from poolrl.import_path import python_command
from poolrl.launch.submit import Request, script
from poolrl.pool.directory import make_pool
from tests.helpers.command_line import TINY, settings
from tests.helpers.waiting import TIMEOUT_SECONDS

ROOT = str(Path(__file__).parent.parent)

NAMES = ("statistics", "random", "tomllib", "queue", "secrets", "click", "numpy", "scipy", "code")
"""Of modules that poolrl imports, or that what it imports does."""


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A folder with files that say that they were imported, and fail."""
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(
            "open('imported', 'a').write(__name__ + ' ')\nraise ImportError\n"
        )
    return tmp_path


def process(
    folder: Path, *words: object, python_path: str = ROOT, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, words)),
        cwd=folder,
        env=os.environ | {"PYTHONPATH": python_path} | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )


CONSOLE_SCRIPT = "import sys; sys.path.pop(0); from poolrl.__main__ import main; sys.exit(main())"
RUN = ["run", "--pool-directory", "pool", "--iterations", "1", "--workers", "2"]


@pytest.mark.parametrize("path", [ROOT, f"{ROOT}{os.pathsep}", f"{ROOT}{os.pathsep * 2}/nowhere"])
@pytest.mark.parametrize("start", [["-m", "poolrl"], ["-c", CONSOLE_SCRIPT]])
def test_a_run_imports_nothing_of_the_working_directory(
    foreign: Path, start: list[str], path: str
) -> None:
    words = [sys.executable, *start, *RUN, *settings()]
    done = process(foreign, *words, python_path=path)
    assert not (foreign / "imported").exists(), (foreign / "imported").read_text()
    assert done.returncode == 0, done.stderr
    assert "result: mean return" in done.stdout


@pytest.mark.parametrize(
    "arguments", [["doctor", "."], ["tasks"], ["tasks", "CartPole-v1"], ["status", "nowhere"]]
)
def test_nor_does_another_command(foreign: Path, arguments: list[str]) -> None:
    done = process(foreign, sys.executable, "-m", "poolrl", *arguments)
    assert not (foreign / "imported").exists(), (foreign / "imported").read_text()
    assert "Traceback" not in done.stderr


def test_nor_does_a_batch_script(foreign: Path) -> None:
    pool = foreign / "pool"
    make_pool(pool, load(None, TINY)[0], RunOptions())  # as the submission does
    text = script(pool, Request(), 1, ["--iterations", "1"])
    done = process(foreign, "bash", "-c", text)
    assert done.returncode == 0, done.stderr
    assert not (foreign / "imported").exists()


def test_a_module_of_the_working_directory_is_a_task_when_it_is_named(foreign: Path) -> None:
    (foreign / "lab").mkdir()
    (foreign / "lab" / "__init__.py").write_text("")
    (foreign / "lab" / "task.py").write_text(
        "from tests.faults.sleepy import Sleepy\n\nclass Own(Sleepy):\n    pass\n"
    )
    options = [*settings(), "--task", "lab.task:Own", "--set", "task.kwargs.seconds=0.001"]
    done = process(foreign, sys.executable, "-m", "poolrl", *RUN, *options)
    assert done.returncode == 0, done.stderr
    assert not (foreign / "imported").exists()


def test_what_python_path_names_stays(tmp_path: Path) -> None:
    code = "import poolrl.__main__, sys; print(*sys.path, sep='\\n')"
    path = os.pathsep.join([str(tmp_path), "", ROOT])
    done = process(tmp_path, sys.executable, "-P", "-c", code, python_path=path)
    assert str(tmp_path) in done.stdout.splitlines(), done.stderr


def test_poolrls_own_folder_serves_without_installation(tmp_path: Path) -> None:
    copy = tmp_path / "poolrl"
    shutil.copytree(Path(ROOT) / "poolrl", copy)
    worker = copy / "cli" / "worker.py"
    worker.write_text(f"{worker.read_text()}\nopen('worker', 'w')\n")
    done = process(tmp_path, sys.executable, "-m", "poolrl", *RUN, *settings(), python_path="")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "worker").exists()


def test_a_program_that_imports_poolrl_keeps_its_path(tmp_path: Path) -> None:
    (tmp_path / "program").mkdir()
    (tmp_path / "program" / "__init__.py").write_text("import poolrl\n")
    (tmp_path / "program" / "__main__.py").write_text("import neighbour\n")
    (tmp_path / "neighbour.py").write_text("print('found')\n")
    done = process(tmp_path, sys.executable, "-m", "program")
    assert done.stdout == "found\n", done.stderr


def test_the_command_is_this_python() -> None:
    assert python_command("poolrl") == [sys.executable, "-P", "-m", "poolrl"]
