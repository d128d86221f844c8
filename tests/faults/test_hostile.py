"""Files that somebody made to do harm: refused with one line, whatever reads them.

The named tests are of defects that were found; the last ones run the fuzzer, which finds more.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import poolrl
from poolrl import files, tasks
from poolrl.agent import Agent
from poolrl.config import tables
from poolrl.config.schema import RunOptions, World
from poolrl.errors import IncompatiblePool, UsageError
from poolrl.monitoring.history import History
from poolrl.pool.directory import Pool, make_pool, open_pool
from poolrl.pool.stop_criteria import Ending
from poolrl.records.records import MergeRecord, NewerSchema, UnitRecord, Unreadable, decode, encode
from poolrl.records.work_units import Unit
from poolrl.report.plot import plot_bytes
from poolrl.storage import store
from poolrl.storage.claims import Claims
from poolrl.storage.deposits import Archive
from poolrl.tasks.check import try_task
from poolrl.worker.loop import Worker
from tests.conftest import tiny_spec
from tests.faults.hostile.inputs import CANARY
from tests.faults.hostile.values import damaged, deep, mutated, to_json, whole
from tests.pool.test_merge_rules import choose, deposit, first


@pytest.fixture
def pool(tiny_pool: Pool) -> Pool:
    """A pool of one finished iteration, with all its agents."""
    Worker(tiny_pool, Ending(1), run=RunOptions(keep="all")).run()
    return tiny_pool


@pytest.fixture(scope="module")
def agent_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    pool = make_pool(tmp_path_factory.mktemp("agent") / "pool", tiny_spec(), RunOptions())
    return Archive(pool).champion(Worker(pool, Ending(0)).run())


# Agents


def with_header(data: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    change(header)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + size :]


def with_metadata(data: bytes, **changed: Any) -> bytes:
    def change(header: dict[str, Any]) -> None:
        table = json.loads(header["__metadata__"]["poolrl"]) | changed
        header["__metadata__"]["poolrl"] = json.dumps(table)

    return with_header(data, change)


def with_array(data: bytes, name: str, array: Any) -> bytes:
    agent = Agent.from_bytes(data)
    return Agent({**agent.arrays, name: np.array(array)}, agent.metadata).to_bytes()


NETWORK = {"actor": [], "critic": [], "activation": "tanh", "distribution": "beta"}
BOX = {"shape": [2], "dtype": "float64"}

AGENTS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "a length beyond all files": (lambda d: b"\xff" * 8 + d[8:], "header of"),
    "a length of 100 MB": (lambda d: struct.pack("<Q", 10**8) + d[8:], "header of 100,000,000"),
    "offsets that overlap": (
        lambda d: with_header(d, lambda h: h["actor.0.bias"].update(data_offsets=[0, 8])),
        "not an agent file",
    ),
    "a shape of terabytes": (
        lambda d: with_header(d, lambda h: h["actor.0.bias"].update(shape=[2**40, 2**40])),
        "not an agent file",
    ),
    "a negative shape": (
        lambda d: with_header(d, lambda h: h["actor.0.bias"].update(shape=[-1])),
        "not an agent file",
    ),
    "a network of a billion units": (
        lambda d: with_metadata(d, network=NETWORK | {"actor": [10**9, 10**9]}),
        "damaged metadata",
    ),
    "a network of ten billion parameters": (
        lambda d: with_metadata(d, network=NETWORK | {"actor": [100_000, 100_000]}),
        "parameters, more than",
    ),
    "a type of its own": (lambda d: with_array(d, "actor.0.bias", [0] * 4), "int64, not float32"),
    "an array too many": (lambda d: with_array(d, "x", [0.0]), "tensor x is none"),
    "not a number": (lambda d: with_array(d, "normalizer.mean", [np.nan] * 2), "not finite"),
    "a negative variance": (lambda d: with_array(d, "normalizer.var", [-1.0] * 2), "is negative"),
    "observations that are choices": (
        lambda d: with_metadata(
            d, observation_space={"shape": [], "dtype": "int64", "choices": [3]}
        ),
        "observations must be a box",
    ),
    "bounds that are no numbers": (
        lambda d: with_metadata(
            d, observation_space=BOX | {"low": [np.nan] * 2, "high": [1.0] * 2}
        ),
        "not in order",
    ),
    "arguments nested deep": (lambda d: with_metadata(d, task_kwargs={"a": deep(60)}), "nested"),
    "an integer of 4000 digits": (
        lambda d: with_header(
            d, lambda h: h["__metadata__"].update(poolrl='{"schema":' + "9" * 5000 + "}")
        ),
        "not an agent's",
    ),
    "half a character": (lambda d: with_metadata(d, task="\ud800"), "damaged metadata"),
    "two lines": (lambda d: with_metadata(d, task="a\nb"), "damaged metadata"),
    "more steps than there is time": (
        lambda d: with_metadata(d, max_episode_steps=10**30),
        "damaged metadata",
    ),
}


@pytest.mark.parametrize("name", AGENTS)
def test_hostile_agents(agent_bytes: bytes, tmp_path: Path, name: str) -> None:
    change, words = AGENTS[name]
    path = tmp_path / "mine"
    path.write_bytes(change(agent_bytes))
    start = time.monotonic()
    with pytest.raises(UsageError, match=r"mine: ") as error:
        poolrl.load(path)
    assert words in str(error.value)
    assert time.monotonic() - start < 5


def test_a_key_that_stands_twice(agent_bytes: bytes) -> None:
    size = int.from_bytes(agent_bytes[:8], "little")
    text = agent_bytes[8 : 8 + size].rstrip()
    twice = text[:-1] + b"," + text[1:]
    with pytest.raises(UsageError):
        Agent.from_bytes(struct.pack("<Q", len(twice)) + twice + agent_bytes[8 + size :])


def test_what_is_no_plain_file_is_no_agent(agent_bytes: bytes, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="pipe: no plain file"):
        poolrl.load(tmp_path / "pipe")
    with pytest.raises(UsageError, match="/dev/zero: no plain file"):
        poolrl.load("/dev/zero")
    with pytest.raises(UsageError, match="Is a directory"):
        poolrl.load(tmp_path)
    with pytest.raises(UsageError, match="no name of a file"):
        poolrl.load("a\0b")
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(files.AGENT + 1)
    with pytest.raises(UsageError, match="huge: larger than"):
        poolrl.load(tmp_path / "huge")
    (tmp_path / "real").write_bytes(agent_bytes)
    (tmp_path / "link").symlink_to("real")
    assert poolrl.load(tmp_path / "link").metadata.task == "Plateau-v0"


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_bytes_are_an_agent_or_refused(agent_bytes: bytes, data: st.DataObject) -> None:
    changed = data.draw(damaged(agent_bytes) | whole)
    try:
        agent = Agent.from_bytes(changed, "mine")
    except UsageError as error:
        assert str(error).startswith("mine: ")  # noqa: PT017
    else:
        assert np.isfinite(agent.act(np.zeros(2))).all()


# Records


def changed(record: Any, **fields: Any) -> bytes:
    """A record with other values, by dotted key."""
    table = json.loads(encode(record))
    for key, value in fields.items():
        tables.assign(table, key.replace("__", "."), value)
    return to_json(table)


BRANCH = deposit("branch", 0, [1.0, 3.0])
CONTRADICTIONS: dict[str, dict[str, Any]] = {
    "a score that is not the mean": {"evaluation__score": 9.0},
    "a standard error that is not theirs": {"evaluation__standard_error": 0.0},
    "returns without lengths": {"evaluation__lengths": [5]},
    "no episodes": {"evaluation__returns": [], "evaluation__lengths": []},
    "a negative length": {"evaluation__lengths": [5, -5]},
    "steps beyond 64 bits": {"evaluation__lengths": [5, 10**30]},
    "done without an agent": {"agent": None},
    "failed with an agent": {"status": "failed"},
    "a negative index": {"index": -1},
    "a kind of another iteration": {"kind": "initial"},
    "a parent with an index": {"kind": "parent", "index": 3},
    "a path out of the pool": {"agent__path": "../../../etc/passwd"},
    "an absolute path": {"agent__path": "/etc/passwd"},
    "a path of another iteration": {"agent__path": "iterations/000002/branch-000-0.safetensors"},
    "a hash that is none": {"agent__sha256": "0"},
    "a hash with a line's end": {"spec_sha256": "0" * 64 + "\n"},
    "a host on two lines": {"worker__host": "a\nb"},
    "a host that colours the terminal": {"worker__host": "\x1b[31m"},
    "seconds before the beginning": {"seconds": {"training": {"wall": -1.0}}},
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_records_that_contradict_themselves(name: str) -> None:
    assert decode(changed(BRANCH), UnitRecord) == BRANCH
    with pytest.raises(Unreadable):
        decode(changed(BRANCH, **CONTRADICTIONS[name]), UnitRecord)


@pytest.mark.parametrize(
    "fields",
    [
        {"champion__path": "../outside.safetensors"},
        {"champion__path": "iterations/000001/branch-000-0000000000000000.safetensors"},
        {"champion__iteration": 7},
        {"champion__sha256": "0" * 64},
        {"rule": "initial"},
        {"environment_steps": -1},
    ],
)
def test_merges_that_contradict_themselves(fields: dict[str, Any]) -> None:
    merge = choose([deposit("branch", 0, [1.0]), deposit("parent", 0, [0.0])])
    with pytest.raises(Unreadable):
        decode(changed(merge, **fields), MergeRecord)


@pytest.mark.parametrize("data", [b'{"a":"\xed\xa0\x80"}', b'{"schema":1e999}', b"9" * 5000])
def test_json_that_is_none(data: bytes) -> None:
    with pytest.raises(Unreadable):
        decode(data, UnitRecord)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_table_is_a_record_or_unreadable(data: st.DataObject) -> None:
    for record in (BRANCH, first()):
        try:
            found = decode(to_json(data.draw(mutated(json.loads(encode(record))))), type(record))
        except (Unreadable, NewerSchema):
            continue
        assert decode(encode(found), type(record)) == found


def test_a_record_of_other_episodes_is_done_again(pool: Pool) -> None:
    layout = pool.layout.iteration(1)
    path = layout.record(Unit(1, "branch", 1))
    before = json.loads(path.read_bytes())
    score = before["evaluation"]["returns"][0]
    evaluation = {"returns": [score], "lengths": [4], "score": score, "standard_error": 0.0}
    path.write_text(json.dumps(before | {"evaluation": before["evaluation"] | evaluation}))
    layout.merge.unlink()
    Worker(pool, Ending(1)).run()
    assert json.loads(path.read_bytes())["evaluation"] == before["evaluation"]
    assert any(name.startswith(f"{path.name}.corrupt-") for name in os.listdir(layout.folder))


def test_a_damaged_closing_record_is_done_again(pool: Pool) -> None:
    path = pool.layout.iteration(1).record(Unit(1, "closing", 0))
    before = json.loads(path.read_bytes())
    path.write_bytes(b"{")
    Worker(pool, Ending(1)).run()
    assert json.loads(path.read_bytes())["evaluation"] == before["evaluation"]


def test_a_history_with_gaps_is_drawn(pool: Pool) -> None:
    Worker(pool, Ending(3), run=RunOptions(keep="all")).run()
    for path in pool.layout.iteration(2).folder.glob("[bp]*.json"):
        path.write_bytes(b"{")
    history = History(pool)
    history.refresh()
    assert plot_bytes(history).startswith(b"\x89PNG")


# Names, and what stands behind them


def state_of(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


@pytest.mark.parametrize("name", ["iterations", "iterations/000001", "iterations/000002"])
def test_folders_that_lead_out_of_the_pool(pool: Pool, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    inside = pool.layout.root / name
    if inside.exists():
        shutil.move(inside, outside)
    else:
        outside.mkdir()
    inside.symlink_to(outside)
    before = state_of(outside)
    with pytest.raises(IncompatiblePool, match=f"{name}: a symbolic link"):
        Worker(open_pool(pool.layout.root), Ending(3)).run()
    if name != "iterations/000002":
        with pytest.raises(IncompatiblePool, match=f"{name}: a symbolic link"):
            History(open_pool(pool.layout.root)).refresh()
    assert state_of(outside) == before


def test_writing_and_removing_through_links(pool: Pool, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "worker-000.log").write_text("kept")
    shutil.rmtree(pool.layout.logs)
    pool.layout.logs.symlink_to(outside)
    path = pool.layout.logs / "worker-000.log"
    for call in (
        lambda: store.open_log(path),
        lambda: store.publish(path.with_name("new"), b""),
        lambda: store.replace(path, b""),
        lambda: store.remove(path),
        lambda: store.set_aside(path),
        lambda: store.make_folder(path.with_name("new")),
        lambda: Claims(1.0).claim(path.with_name("x.lease")),
    ):
        with pytest.raises(IncompatiblePool, match="logs: a symbolic link"):
            call()
    assert state_of(outside) == {"worker-000.log": b"kept"}


def test_a_log_that_is_a_link_or_a_pipe(pool: Pool, tmp_path: Path) -> None:
    (pool.layout.logs / "a").symlink_to(tmp_path / "new")
    os.mkfifo(pool.layout.logs / "b")
    for name in "ab":
        with pytest.raises(store.Strange, match="no plain file"):
            store.open_log(pool.layout.logs / name)
    assert not (tmp_path / "new").exists()


def test_a_pool_may_be_reached_through_a_link(pool: Pool, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(pool.layout.root)
    assert Worker(open_pool(tmp_path / "link"), Ending(2)).run().iteration == 2


@pytest.mark.parametrize("what", ["link", "pipe", "folder", "huge"])
def test_a_record_that_is_no_plain_file_is_done_again(
    pool: Pool, tmp_path: Path, what: str
) -> None:
    layout = pool.layout.iteration(1)
    path = layout.record(Unit(1, "branch", 1))
    before = json.loads(path.read_bytes())
    secret = tmp_path / "secret"
    shutil.move(path, secret)
    layout.merge.unlink()
    if what == "link":
        path.symlink_to(secret)
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    else:
        with open(path, "wb") as file:
            file.truncate(files.RECORD + 1)
    history = History(pool)
    history.refresh()
    assert Unit(1, "branch", 1) not in {unit.unit for unit in history.units}
    Worker(pool, Ending(1)).run()
    assert json.loads(path.read_bytes())["evaluation"] == before["evaluation"]
    assert json.loads(secret.read_bytes()) == before


@pytest.mark.parametrize("name", ["pool.toml", "run.toml", "iterations/000001/merge.json"])
def test_other_files_of_a_pool_that_are_pipes_or_links(
    pool: Pool, tmp_path: Path, name: str
) -> None:
    path = pool.layout.root / name
    shutil.move(path, tmp_path / "real")
    for make in (os.mkfifo, lambda path: path.symlink_to(tmp_path / "real")):
        make(path)
        with pytest.raises(IncompatiblePool, match=rf"{name}: (no plain file|a symbolic link)"):
            Worker(open_pool(pool.layout.root), Ending(1)).run()
        path.unlink()


def test_an_agent_of_the_pool_that_is_none(pool: Pool) -> None:
    """Its hash is what the merge says, and it is no agent of this pool all the same."""
    layout = pool.layout.iteration(1)
    champion = Archive(pool).merge(1).champion
    agent = Agent.from_bytes(Archive(pool).champion(Archive(pool).merge(1)))
    bad = {**agent.arrays, "actor.0.bias": agent.arrays["actor.0.bias"] * np.float32(np.nan)}
    data = Agent(bad, agent.metadata).to_bytes()
    digest = hashlib.sha256(data).hexdigest()
    Path(
        str(pool.layout.resolve(champion.path)).replace(champion.sha256[:16], digest[:16])
    ).write_bytes(data)
    text = layout.merge.read_text().replace(champion.sha256, digest)
    layout.merge.write_text(text.replace(champion.sha256[:16], digest[:16]))
    with pytest.raises(IncompatiblePool, match="not finite"):
        Worker(pool, Ending(2)).run()


# Tables


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "9" * 5000,
        "x = 0x" + "f" * 5000,
        "x = " + "[" * 5000,
        "x = " + "[" * 50 + "]" * 50,
        "x = 99999999999999999999",
        "\0",
        "\udc80",
    ],
)
def test_tables_that_nothing_can_use(pool: Pool, tmp_path: Path, text: str) -> None:
    path = tmp_path / "hostile.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UsageError, match=r"hostile\.toml: ") as error:
        tables.read_toml(path)
    assert len(str(error.value)) < 500
    for file in (pool.layout.spec, pool.layout.run):
        before = file.read_bytes()
        file.write_bytes(path.read_bytes())
        with pytest.raises(IncompatiblePool, match=rf"{file.name}: "):
            open_pool(pool.layout.root)
        file.write_bytes(before)
    with pytest.raises(UsageError):
        tables.convert(tables.parse_override("a.b=" + text.partition("=")[2]), int)


def test_versions_that_no_record_can_repeat(pool: Pool) -> None:
    text = pool.layout.spec.read_text()
    pool.layout.spec.write_text(text.replace("\n[made_with]\n", '\n[made_with]\n"a\\nb" = "c"\n'))
    with pytest.raises(IncompatiblePool, match=r"pool\.toml: .*made_with"):
        open_pool(pool.layout.root)


def test_a_huge_table_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "huge.toml", "wb") as file:
        file.truncate(2**40)
    with pytest.raises(UsageError, match=r"huge\.toml: larger than"):
        tables.read_toml(tmp_path / "huge.toml")


@pytest.mark.parametrize(
    "task_id",
    ["~no_such_user/a.py:C", "/" * 5000 + ".py:C", "x" * 5000 + ":C", "./loop/a.py:C", "a..b:c"],
)
def test_ids_of_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task_id: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError):
        tasks.permit(World(id=tasks.absolute(task_id)), task_id)


@pytest.mark.parametrize("value", ["x" * 5000, "~no_such_user/x", "a\0b", "./loop"])
def test_arguments_that_are_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.chdir(tmp_path)
    kwargs = tasks.with_absolute_paths({"xml_file": value})
    with pytest.raises(UsageError):
        tasks.make(World(id="Swimmer-v5", kwargs=kwargs), 1)
    with pytest.raises(UsageError):
        tasks.make(World(id="CartPole-v1", kwargs={"x": value}), 1)


@pytest.mark.parametrize(
    ("task_id", "kwargs", "words"),
    [
        ("Plateau-v0", {"size": 10**15}, "size: expected 1 to"),
        ("Switches-v0", {"switches": -1}, "switches: expected 1 to"),
        ("Swimmer-v5", {"frame_skip": 10**9}, "frame_skip: expected 1 to"),
        ("Swimmer-v5", {"xml_file": "<mujoco/>"}, "Swimmer-v5 with these arguments"),
        ("Swimmer-v5", {"xml_file": "<mujoco><size memory='9E'/></mujoco>"}, "the model's XML"),
        ("Pendulum-v1", {"g": "x"}, "Pendulum-v1 with these arguments"),
    ],
)
def test_tasks_that_cannot_be(task_id: str, kwargs: dict[str, Any], words: str) -> None:
    world = World(id=task_id, kwargs=kwargs)
    with pytest.raises(UsageError) as error:
        try_task(tasks.make(world, 1), world)
    assert words in str(error.value)


# Code

NAMES_OF_CODE = ["canary.py:Canary", "hostile_canary:CartPole-v1", "hostile_package.inner:Canary"]


@pytest.mark.parametrize("task_id", NAMES_OF_CODE)
def test_an_agent_or_a_pool_that_names_code(
    agent_bytes: bytes, pool: Pool, tmp_path: Path, task_id: str
) -> None:
    here = tmp_path / "here"
    (here / "hostile_package").mkdir(parents=True)
    for name in ("canary", "hostile_canary", "hostile_package/__init__", "hostile_package/inner"):
        (here / f"{name}.py").write_text(CANARY)
    (tmp_path / "agent").write_bytes(with_metadata(agent_bytes, task=task_id))
    text = pool.layout.spec.read_text()
    pool.layout.spec.write_text(text.replace('"Plateau-v0"', json.dumps(task_id)))
    shutil.rmtree(pool.layout.iterations)
    for arguments in (
        ["evaluate", str(tmp_path / "agent")],
        ["worker", "--pool-directory", str(pool.layout.root)],
        ["run", "--pool-directory", str(pool.layout.root)],
    ):
        said = subprocess.run(
            [sys.executable, "-m", "poolrl", *arguments],
            cwd=here,
            env=os.environ | {"PYTHONPATH": f"{here}:{Path(poolrl.__file__).parents[1]}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert said.returncode == 2, said.stderr
        assert "must be named on the command line" in said.stderr
        assert said.stderr.count("\n") == 1
    assert not list(here.rglob("ran"))
    loaded = poolrl.load(tmp_path / "agent")
    assert loaded.act(np.zeros(2)).shape == (2,)
    with pytest.raises(UsageError, match="must be named"):
        tasks.make(loaded.metadata.world, 1)


# All of it


def fuzz(inputs: int, tmp_path: Path) -> dict[str, Any]:
    """In a process of its own, since a hook on what a process does stays for ever."""
    command = [
        sys.executable,
        "-m",
        "tests.faults.fuzz",
        "--json",
        "--keep",
        str(tmp_path / "kept"),
    ]
    said = subprocess.run(
        [*command, "--inputs", str(inputs), "--seed", "1"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert said.stdout, said.stderr
    report: dict[str, Any] = json.loads(said.stdout.splitlines()[-1])
    return report


def test_a_sample_of_hostile_inputs(tmp_path: Path) -> None:
    report = fuzz(500, tmp_path)
    assert report["inputs"] >= 500
    assert not report["failures"], "\n\n".join(report["failures"])
    assert {code for *_, code, _ in report["counts"]} >= {"0", "2", "4"}


@pytest.mark.full
def test_ten_thousand_hostile_inputs(tmp_path: Path) -> None:
    report = fuzz(10_000, tmp_path)
    print(report["inputs"], "hostile inputs in", report["seconds"], "s")
    assert report["inputs"] >= 10_000
    assert not report["failures"], "\n\n".join(report["failures"])
