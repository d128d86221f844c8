"""The kinds of hostile input: the files that each changes, and the commands that read them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from poolrl.agent import Agent
from poolrl.config.run_options import RunOptions
from poolrl.pool.directory import make_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.worker.loop import Worker
from tests.conftest import tiny_spec
from tests.faults.hostile.values import damaged, mutated, to_json, to_toml, values, whole

CANARY = """\
from pathlib import Path
from poolrl.tasks.identity import Plateau as Canary
(Path(__file__).resolve().parent / "ran").touch()
"""


@dataclass(frozen=True)
class Place:
    """A directory with a pool in its second iteration, an agent file, a configuration, code that
    must not run, and a folder ``outside`` that must not change."""

    root: Path

    @property
    def pool(self) -> Path:
        return self.root / "pool"

    @property
    def agent(self) -> Path:
        return self.root / "agent.safetensors"

    @property
    def config(self) -> Path:
        return self.root / "config.toml"

    @property
    def outside(self) -> Path:
        return self.root / "outside"

    @property
    def here(self) -> Path:
        """Where commands run."""
        return self.root / "here"

    @property
    def plots(self) -> Path:
        """Where a plot is written, by way of a temporary file beside it."""
        return self.root / "plots"

    def files(self, pattern: str) -> list[Path]:
        """Of the pool, in order."""
        return sorted(self.pool.glob(pattern))


def make_template(root: Path) -> Place:
    """Make a place to copy."""
    place = Place(root)
    for folder in (place.outside / "folder", place.here / "hostile_package", place.plots):
        folder.mkdir(parents=True)
    (place.outside / "kept.safetensors").write_bytes(b"kept")
    run = RunOptions(iterations=2, keep="all")
    Worker(make_pool(place.pool, tiny_spec(pool__lease_duration=0.2), run), StopCriteria(2)).run()
    champion = sorted(place.pool.glob("iterations/000001/branch-*.safetensors"))[0]
    shutil.copy(champion, place.agent)
    for name in ("merge.json", "closing-000.json", "branch-001.json"):
        (place.pool / "iterations/000002" / name).unlink()
    spec = tomllib.loads((place.pool / "pool.toml").read_text())["spec"]
    del spec["initial_agent_sha256"]
    place.config.write_bytes(to_toml({**spec, "run": {"iterations": 1, "workers": 1}}))
    for name in ("canary.py", "hostile_canary.py", "hostile_package/inner.py"):
        (place.here / name).write_text(CANARY)
    (place.here / "hostile_package/__init__.py").write_text(CANARY)
    os.mkfifo(place.here / "pipe")
    (place.here / "loop").symlink_to("loop")
    (place.here / "model.xml").write_text(
        "<mujoco><worldbody><body name='b'/></worldbody></mujoco>"
    )
    return place


# Each kind draws the change, and then one of the commands that read it.

Draw = st.DrawFn
Arguments = list[str]


def _pool_command(draw: Draw, place: Place, *, runs: bool = True) -> Arguments:
    # A plot takes a hundred times longer than a table.
    weights = {"history": 6, "worker": 8, "evaluate": 4, "prune": 3, "status": 6, "plot": 1}
    weights["run"] = 4 if runs else 0
    name = draw(st.sampled_from([name for name, weight in weights.items() for _ in range(weight)]))
    pool = str(place.pool)
    return {
        "history": ["history", pool, "--format", draw(st.sampled_from(["table", "csv", "json"]))],
        # A hostile run may have a million iterations, which is not a hang.
        "worker": ["worker", "--pool-directory", pool, "--deadline", str(time.time() + 2)],
        "evaluate": ["evaluate", pool, "--episodes", "2"],
        "run": ["run", "--pool-directory", pool],
        "prune": ["prune", pool, "--corrupt"],
        "status": ["status", pool, *draw(st.sampled_from([[], ["--json"], ["--all"]]))],
        "plot": ["plot", pool, "-o", str(place.plots / "out.png")],
    }[name]


def _table_or_bytes(
    draw: Draw, data: bytes, load: Callable[[bytes], Any], dump: Callable[[Any], bytes]
) -> bytes:
    how = draw(st.sampled_from(["table", "table", "table", "bytes", "whole"]))
    if how == "table":
        return dump(draw(mutated(load(data), ("id", "kwargs", "randomize", "index", "path"))))
    return draw(damaged(data)) if how == "bytes" else draw(whole)


def record(draw: Draw, place: Place) -> Arguments:
    path = draw(st.sampled_from(place.files("iterations/*/[!m]*.json")))
    path.write_bytes(_table_or_bytes(draw, path.read_bytes(), json.loads, to_json))
    return _pool_command(draw, place)


def merge(draw: Draw, place: Place) -> Arguments:
    path = draw(st.sampled_from(place.files("iterations/*/merge.json")))
    path.write_bytes(_table_or_bytes(draw, path.read_bytes(), json.loads, to_json))
    return _pool_command(draw, place)


def signs_of_life(draw: Draw, place: Place) -> Arguments:
    """Heartbeats, leases and submissions, which only `poolrl status` reads."""
    worker = {"id": "0" * 32, "host": "n1", "pid": 12, "versions": {}, "job": "7_1"}
    times = {"since": 1e9, "beat": 1e9 + 5, "started": 1e9 - 9}  # the same in every run
    beat = {"worker": worker, "state": "working", "iteration": 2, "doing": "branch-001", **times}
    lease = "filelock/2\npid=12\nhost=n1\nmode=lease\ntoken=0\nduration=0.2\n"
    jobs = {"jobs": ["7", "8"], "tasks": 3, "submitted": 1e9, "host": "n0"}
    files = {
        f"workers/{'0' * 32}.json": to_json(beat),
        "iterations/000002/branch-001.lease": lease.encode(),
        "jobs/7.json": to_json(jobs),
    }
    for name, data in files.items():
        path = place.pool / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    name = draw(st.sampled_from(sorted(files)))
    hostile = draw(damaged(files[name]) | whole) if name.endswith(".lease") else None
    if hostile is None:
        hostile = _table_or_bytes(draw, files[name], json.loads, to_json)
    (place.pool / name).write_bytes(hostile)
    return ["status", str(place.pool), *draw(st.sampled_from([[], ["--json"]]))]


def specification(draw: Draw, place: Place) -> Arguments:
    path = place.pool / "pool.toml"
    path.write_bytes(
        _table_or_bytes(draw, path.read_bytes(), lambda d: tomllib.loads(d.decode()), to_toml)
    )
    if draw(st.booleans()):  # so that only the specification is read
        shutil.rmtree(place.pool / "iterations")
    return _pool_command(draw, place)


def run_options(draw: Draw, place: Place) -> Arguments:
    path = place.pool / "run.toml"
    path.write_bytes(
        _table_or_bytes(draw, path.read_bytes(), lambda d: tomllib.loads(d.decode()), to_toml)
    )
    return _pool_command(draw, place)


def configuration(draw: Draw, place: Place) -> Arguments:
    place.config.write_bytes(
        _table_or_bytes(
            draw, place.config.read_bytes(), lambda d: tomllib.loads(d.decode()), to_toml
        )
    )
    return ["run", str(place.config), "--pool-directory", str(place.root / "new")]


def agent_file(draw: Draw, place: Place) -> Arguments:
    place.agent.write_bytes(_hostile_agent(draw, place.agent.read_bytes()))
    if draw(st.integers(0, 2)):
        return ["evaluate", str(place.agent), "--episodes", "2"]
    new = ["run", str(place.config), "--pool-directory", str(place.root / "new")]
    return [*new, "--from-agent", str(place.agent)]


def deposited_agent(draw: Draw, place: Place) -> Arguments:
    """An agent in the pool; its hash in the merge and the records is right."""
    iteration = draw(st.sampled_from(["000000", "000001"]))
    folder = place.pool / "iterations" / iteration
    table = json.loads((folder / "merge.json").read_bytes())
    old, relative = table["champion"]["sha256"], table["champion"]["path"]
    data = _hostile_agent(draw, (place.pool / relative).read_bytes())
    new = hashlib.sha256(data).hexdigest()
    (place.pool / relative.replace(old[:16], new[:16])).write_bytes(data)
    for path in place.files("iterations/*/*.json"):
        text = path.read_text().replace(old, new)
        path.write_text(text.replace(f"-{old[:16]}.", f"-{new[:16]}."))
    return _pool_command(draw, place, runs=False)


def names(draw: Draw, place: Place) -> Arguments:
    """A link, pipe or folder instead of a file or folder of the pool."""
    paths = [p for p in sorted(place.pool.rglob("*")) if ".lease" not in p.name]
    folders = ["iterations", "iterations/000001", "iterations/000002", "iterations/000003"]
    extra = [*folders, "logs", "workers", "pool.toml", "run.toml", "history.csv", "history.png"]
    extra += ["iterations/000002/branch-000.lease", "iterations/000002/merge.lease"]
    extra += ["iterations/000002/merge.json", "iterations/000002/closing-000.json"]
    extra += ["iterations/999999999", "iterations/٠٠٠٠٠٣", "iterations/000002/branch-000.json\n"]
    path = draw(st.sampled_from([*paths, *(place.pool / name for name in extra)]))
    what = draw(st.sampled_from(["link", "link", "inner link", "loop", "pipe", "folder", "empty"]))
    target: Path | str = place.outside / "copy"
    if path.is_dir():
        shutil.copytree(path, target)
        shutil.rmtree(path)
    elif path.exists():
        shutil.copy(path, target)
        path.unlink()
    else:
        target = draw(
            st.sampled_from([place.outside / "folder", place.outside / "kept.safetensors"])
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    elif what == "empty":
        path.write_bytes(b"")
    else:
        absent = draw(st.sampled_from([target, target, "../absent", place.outside / "new"]))
        inner = place.pool / "iterations/000001/merge.json"
        path.symlink_to({"loop": path.name, "inner link": inner}.get(what, absent))
    return _pool_command(draw, place)


def words(draw: Draw, place: Place) -> Arguments:
    """Hostile arguments on the command line."""
    hostile = values.map(lambda v: v if isinstance(v, str) else to_toml({"x": v})[4:].decode())
    said = hostile.map(lambda text: text.replace("\0", "").encode(errors="replace").decode())
    word, other = draw(said), draw(said)
    new = ["--pool-directory", str(place.root / "new")]
    spec = tomllib.loads(place.config.read_text())
    keys = [f"{section}.{key}" for section, table in spec.items() for key in table]
    key = draw(st.sampled_from([*keys, "task.kwargs.xml_file", "task.kwargs.a.b", "a", "", "."]))
    return draw(
        st.sampled_from(
            [
                ["run", str(place.config), *new, "--set", f"{key}={word}"],
                ["run", str(place.config), *new, "--set", word],
                ["run", *new, f"--task={_not_ours(word)}", f"--task-arg=size={other}"],
                ["run", *new, "--task=Swimmer-v5", f"--task-arg=xml_file={_not_ours(word)}"],
                ["run", str(place.config), *new, f"--learning-rate={word}", f"--seed={other}"],
                ["run", f"./{word}", *new],
                ["run", str(place.config), *new, f"--from-agent={_not_ours(word)}"],
                ["evaluate", str(place.agent), f"--task={_not_ours(word)}", "--episodes", "1"],
                ["evaluate", str(place.agent), f"--task-arg=size={word}", "--episodes", "1"],
                ["evaluate", f"./{word}"],
                ["history", f"./{word}"],
                ["tasks", "--", _not_ours(word)],
                ["worker", f"--pool-directory=./{word}"],
                ["worker", "--pool-directory", str(place.pool), f"--task={_not_ours(word)}"],
                ["worker", "--pool-directory", str(place.pool), f"--task-arg={word}"],
                ["worker", "--pool-directory", str(place.pool), f"--task-arg=xml_file={word}"],
            ]
        )
    )


TASKS = ["Swimmer-v5", "Ant-v5", "AnymalC-v0", "Plateau-v0", "Switches-v0", "Pendulum-v1"]
TASKS += ["CartPole-v1", "Blackjack-v1", "FrozenLake-v1", "Ant-v4", "Ant-v3", "Swimmer-v2"]
TASKS += ["gymnasium:Pendulum-v1", "hostile_canary:Pendulum-v1", "hostile_package.inner:Canary"]
TASKS += ["canary.py:Canary", "hostile_canary:Canary", "antigravity:Swimmer-v5", "this:Ant-v5"]
TASKS += [
    "GymV21Environment-v0",
    "GymV26Environment-v0",
    "phys2d/CartPole-v1",
    "tabular/Blackjack-v0",
]

ARGUMENTS = ["xml_file", "size", "switches", "frame_skip", "reset_noise_scale", "render_mode"]
ARGUMENTS += ["max_episode_steps", "id", "env", "env_id", "entry_point", "kwargs", "spec", "desc"]
ARGUMENTS += ["map_name", "domain_name", "task_kwargs", "model_path", "additional_wrappers", "g"]
ARGUMENTS += ["disable_env_checker", "vectorization_mode", "healthy_z_range", "main_body", "self"]


def world(draw: Draw, place: Place) -> Arguments:
    """A task id that names code, or arguments that a real task does not expect."""
    task_id = draw(st.sampled_from(TASKS))
    kwargs = draw(st.dictionaries(st.sampled_from(ARGUMENTS), values, max_size=2))
    data = place.agent.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    metadata = json.loads(header["__metadata__"]["poolrl"])
    metadata |= {"task": task_id, "task_kwargs": kwargs, "max_episode_steps": 5}
    header["__metadata__"]["poolrl"] = json.dumps(metadata)
    text = to_json(header)
    place.agent.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])
    task = {"id": task_id, "kwargs": kwargs, "max_episode_steps": 5}
    for path, keys in ((place.config, ()), (place.pool / "pool.toml", ("spec",))):
        table = inner = tomllib.loads(path.read_text())
        for key in keys:
            inner = inner[key]
        inner["task"] = task
        path.write_bytes(to_toml(table))
    shutil.rmtree(place.pool / "iterations")
    new = ["run", str(place.config), "--pool-directory", str(place.root / "new")]
    evaluate = ["evaluate", str(place.agent), "--episodes", "2"]
    there = ["worker", "--pool-directory", str(place.pool)]
    there.append(f"--task-arg=xml_file={draw(st.sampled_from(['./nowhere.xml', 'ant.xml', '<']))}")
    return draw(st.sampled_from([evaluate, evaluate, new, there, _pool_command(draw, place)]))


KINDS: dict[str, Callable[[Draw, Place], Arguments]] = {
    "record": record,
    "merge": merge,
    "signs of life": signs_of_life,
    "specification": specification,
    "run options": run_options,
    "configuration": configuration,
    "agent file": agent_file,
    "deposited agent": deposited_agent,
    "names": names,
    "world": world,
    "words": words,
}


def _not_ours(word: str) -> str:
    """Replace names of code: code that is named on the command line may run."""
    return word.replace("canary", "nothing").replace("hostile", "no").replace("this:", "no:")


def _hostile_agent(draw: Draw, data: bytes) -> bytes:
    size = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    metadata = json.loads(header["__metadata__"]["poolrl"])
    how = draw(
        st.sampled_from(
            ["metadata"] * 4 + ["header"] * 3 + ["arrays"] * 2 + ["length", "bytes", "whole"]
        )
    )
    if how == "metadata":
        changed = draw(mutated(metadata, ("task_kwargs", "randomize", "network")))
        header["__metadata__"]["poolrl"] = to_json(changed).decode()
    elif how == "header":
        header = draw(mutated(header, ("actor.2.weight", "optimizer/actor.0.weight/step")))
    elif how == "arrays":
        return _hostile_arrays(draw, data)
    elif how == "bytes":
        return draw(damaged(data))
    elif how == "whole":
        return draw(whole)
    text = to_json(header)
    if draw(st.integers(0, 9)) == 0:
        text = text[:1] + text[1:-1] + b"," + text[1:]  # every key twice
    length = len(text)
    if how == "length":
        wrong = [0, 1, length - 1, length + 1, len(data), 10**8, 2**31, 2**63, 2**64 - 1]
        length = draw(st.sampled_from(wrong))
    return struct.pack("<Q", length) + text + body


def _hostile_arrays(draw: Draw, data: bytes) -> bytes:
    agent = Agent.from_bytes(data)
    arrays: dict[str, Any] = dict(agent.arrays)
    name = draw(st.sampled_from(sorted(arrays)))
    array = np.array(arrays[name])
    how = draw(st.sampled_from(["number", "number", "type", "shape", "remove", "add"]))
    if how == "number":
        numbers = [np.nan, np.inf, -np.inf, -1.0, 1e38, -1e38, 1e-45, 0.0]
        with np.errstate(all="ignore"):
            array[...] = draw(st.sampled_from(numbers))
    elif how == "type":
        array = array.astype(draw(st.sampled_from([np.float16, np.float64, np.int8, np.bool_])))
    elif how == "shape":
        array = np.zeros(
            draw(st.sampled_from([(0,), (1,), (2, 2), (0, 3), (1, 1, 1)])), array.dtype
        )
    elif how == "add":
        name = draw(
            st.sampled_from(["x", "", "../x", "optimizer/x", "actor.9.weight", "__metadata"])
        )
    arrays[name] = array
    if how == "remove":
        del arrays[name]
    return Agent(arrays, agent.metadata).to_bytes()
