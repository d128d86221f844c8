"""The options of the command line that are made from ``RunOptions``."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from poolrl.cli import run, submit, worker
from poolrl.config.run_options import RunOptions, encode
from poolrl.pool.directory import Pool
from tests.helpers.command_line import in_process


def options_of(command: click.Command) -> set[str]:
    return {parameter.name or "" for parameter in command.params}


def test_every_field_is_an_option() -> None:
    fields = set(RunOptions.__struct_fields__)
    assert fields <= options_of(run.command)
    # A submission has --tasks and --cpus-per-task instead, and no launcher beside workers.
    beside = {"video_every", "tensorboard"}
    assert fields - options_of(submit.command) == {"workers", "threads", "later_threads", *beside}
    # A worker has a deadline instead of a budget, and is one.
    assert fields - options_of(worker.command) == {"workers", "time_budget", *beside}


@pytest.mark.parametrize(
    ("arguments", "last"),
    [
        ([], 3),  # as the pool's last run had it
        (["--run-options", encode(RunOptions(iterations=1))], 1),
        (["--run-options", encode(RunOptions(iterations=1)), "--iterations", "2"], 2),
    ],
)
def test_a_worker_takes_all_options_at_once(
    tiny_pool: Pool, tmp_path: Path, arguments: list[str], last: int
) -> None:
    said = in_process("worker", "--pool-directory", "pool", *arguments, cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    done = "1 iteration is done" if last == 1 else f"{last} iterations are done"
    assert f"the pool ended: {done}" in said.stderr
    assert tiny_pool.layout.iteration(last).merge.exists()


@pytest.mark.parametrize("text", ["", "{", "{'keep': 1}", '{"keep": "some"}', "null", "\0"])
def test_options_that_cannot_be_are_one_line(tiny_pool: Pool, tmp_path: Path, text: str) -> None:
    arguments = ["--pool-directory", "pool", "--run-options", text]
    said = in_process("worker", *arguments, cwd=tmp_path)
    assert said.returncode == 2
    assert said.stderr.startswith("poolrl: --run-options: ")
    assert said.stderr.count("\n") == 1
    assert "--run-options" not in in_process("worker", "--help", cwd=tmp_path).stdout


@pytest.mark.parametrize("number", ["0", "-1"])
@pytest.mark.parametrize(
    ("command", "option"),
    [("run", "--workers"), ("run", "--threads"), ("worker", "--threads")],
)
def test_fewer_than_one_is_refused(
    tiny_pool: Pool, tmp_path: Path, command: str, option: str, number: str
) -> None:
    said = in_process(command, "--pool-directory", "pool", option, number, cwd=tmp_path)
    assert said.returncode == 2
    assert f"'{option}': {number} is not in the range x>=1" in said.stderr
    assert not tiny_pool.layout.iteration(0).merge.exists()
