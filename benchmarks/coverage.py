"""How much of what a body can do exploration finds in one simulated minute, and at which effort.

    python benchmarks/coverage.py measure [--seeds 10] [--seconds 60] [--body arm]
    python benchmarks/coverage.py show

DEP, pink, Ornstein–Uhlenbeck and white noise, and no noise, each alone (without a policy, and with
no reward), on the bodies of BODIES, whose tasks go on where an episode would end. A seed is one
simulation of a batch, with an initial state and noise of its own. Of each:

- span: of each joint with a range that no equality constraint couples to others, the distance from
  the 2.5 to the 97.5 % quantile of its positions over that range; and the mean over joints;
- voxels: number of 5 cm cubes that a point of the body visits, in the frame of another body;
- effort: mean squared activity over steps and muscles.

`measure` writes results/benchmarks/coverage.json, and only what is not there; `show` makes
coverage.md, coverage.png and, joint by joint, coverage_joints.png of it, with means over seeds and
their 95 % bootstrap intervals.
"""

from __future__ import annotations

import report  # isort: skip  (before NumPy is loaded)

import json
from pathlib import Path
from typing import Any, NamedTuple

import click
import mujoco
import numpy as np
from numpy.typing import NDArray

from poolrl import tasks
from poolrl.config.exploration import (
    PRESETS,
    DEPSpec,
    Exploration,
    OrnsteinUhlenbeckSpec,
    PinkSpec,
    WhiteSpec,
)
from poolrl.networks.policy import PolicyOutput
from poolrl.report.bootstrap import mean_band
from poolrl.rollouts.exploring import ExploringActor
from poolrl.rollouts.sampler import Budget, Sampler
from poolrl.seeding import Purpose, Streams
from poolrl.tasks.base import Ids, StepResult
from poolrl.tasks.variants import TaskWrapper

F64 = NDArray[np.float64]

RESULTS = Path(__file__).resolve().parent.parent / "results" / "benchmarks"
VOXEL = 0.05
"""Edge in m."""

THETA = 0.15


class Body(NamedTuple):
    """A task, a point of its body, and the body in whose frame the point is seen."""

    task: str
    point: str
    frame: str


BODIES = {
    "arm": Body("MuscleArmReach-v0", "IFtip_r", "world"),
    "legs": Body("MuscleLegsWalk-v0", "toes_r", "pelvis"),
}
KINDS: dict[str, Exploration] = {
    "DEP": DEPSpec(mode="pure", **PRESETS["myosuite"]),
    "pink": PinkSpec(1.0),
    "OU": OrnsteinUhlenbeckSpec(float(np.sqrt(2 * THETA)), theta=THETA),
    "white": WhiteSpec(1.0),
    "none": WhiteSpec(0.0),
}
"""Noise of standard deviation 1, in units of half the range of an action."""

METRICS = {
    "span": "span over range, mean over joints",
    "voxels": "5 cm voxels visited",
    "effort": "mean squared activity",
}


NOTES = """\
Means over seeds with 95 % bootstrap intervals; benchmarks/coverage.py says what each is. The voxels
are those of the tip of the arm's index finger, and of the right toes in the pelvis' frame. Noise
has standard deviation 1 in units of half the range of an action, before it is clipped; DEP has the
preset `myosuite`. An action a is an excitation 1/(1 + exp(−5·(a − 0.5))) in all of them."""


class Endless(TaskWrapper):
    """A task whose episodes end at their time limit alone."""

    def step(self, action: NDArray[Any], ids: Ids | None = None) -> StepResult:
        result = super().step(action, ids)
        return result._replace(terminated=np.zeros_like(result.terminated))


class Nobody:
    """A policy that is never asked."""

    def act(self, *given: Any) -> PolicyOutput:
        raise AssertionError("exploration acts alone")


def explored(
    body: Body, kind: Exploration, seeds: int, seconds: float, excitation: str
) -> tuple[mujoco.MjModel, F64, F64]:
    """Explore for some time.

    Returns:
        The model, the positions of its joints, (seeds, steps, nq), and efforts, (seeds,).
    """
    kwargs = {"excitation": excitation}
    one: Any = tasks.make(body.task, 1, kwargs=kwargs)
    steps = round(seconds / one.dt)
    inner: Any = tasks.make(body.task, seeds, max_episode_steps=steps, kwargs=kwargs)
    task, streams = Endless(inner), Streams(0)
    sampler = Sampler(task, streams.generators_from(Purpose.RESET), Budget(seeds))
    actor = ExploringActor(Nobody(), kind, task, sampler, streams, alone=True)
    qpos = np.empty((seeds, steps, inner.model.nq))
    effort = np.zeros(seeds)
    for t, _ in enumerate(sampler.steps(actor)):
        qpos[:, t] = inner.qpos
        effort += np.square(inner.actuator_state().activity).mean(axis=1) / steps
    return inner.model, qpos, effort


def spans(model: mujoco.MjModel, qpos: F64) -> dict[str, float]:
    """Spans of joints over their ranges, by name, of hinges and slides with a range that do not
    depend on others.

    Args:
        model: of the body.
        qpos: (steps, nq).
    """
    equal = model.eq_type == int(mujoco.mjtEq.mjEQ_JOINT)
    coupled = set(model.eq_obj1id[equal].tolist())
    simple = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))
    found = {}
    for joint in range(model.njnt):
        low, high = model.jnt_range[joint]
        if joint in coupled or model.jnt_type[joint] not in simple or not low < high:
            continue
        values = qpos[:, model.jnt_qposadr[joint]]
        span = np.subtract(*np.quantile(values, [0.975, 0.025])) / (high - low)
        found[model.joint(joint).name] = round(float(span), 5)
    return found


def visited(points: F64) -> int:
    """Number of voxels that points, (n, 3), are in."""
    return len(np.unique(np.floor(points / VOXEL).astype(np.int64), axis=0))


def path_of(model: mujoco.MjModel, body: Body, qpos: F64) -> F64:
    """Positions of a body's point in its frame, (steps, 3), of joint positions (steps, nq)."""
    data = mujoco.MjData(model)
    site = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SITE, body.point)
    found = np.empty((len(qpos), 3))
    for t, position in enumerate(qpos):
        data.qpos[:] = position
        mujoco.mj_kinematics(model, data)
        point = data.site_xpos[site] if site >= 0 else data.body(body.point).xpos
        frame = data.body(body.frame)
        found[t] = frame.xmat.reshape(3, 3).T @ (point - frame.xpos)
    return found


def read() -> dict[str, Any]:
    """What was measured: body -> kind -> metric -> values by seed."""
    file = RESULTS / "coverage.json"
    return json.loads(file.read_text()) if file.exists() else {}


@click.group(help=__doc__)
def main() -> None:
    """Commands."""


@main.command()
@click.option("--seeds", default=10, show_default=True)
@click.option("--seconds", default=60.0, show_default=True)
@click.option("--excitation", default="sigmoid", show_default=True)
@click.option("--body", type=click.Choice(list(BODIES)), multiple=True)
def measure(seeds: int, seconds: float, excitation: str, body: tuple[str, ...]) -> None:
    """Measure what has not been measured yet."""
    report.one_core()
    for name in body or BODIES:
        for kind, exploration in KINDS.items():
            found = read()
            of_body = found.setdefault(name, {})
            if kind in of_body:
                continue
            given = (BODIES[name], exploration, seeds, seconds, excitation)
            model, qpos, effort = explored(*given)
            joints = [spans(model, each) for each in qpos]
            of_body[kind] = {
                "joints": {joint: [each[joint] for each in joints] for joint in joints[0]},
                "span": [round(float(np.mean(list(each.values()))), 5) for each in joints],
                "voxels": [visited(path_of(model, BODIES[name], each)) for each in qpos],
                "effort": [round(each, 5) for each in effort.tolist()],
            }
            (RESULTS / "coverage.json").write_text(json.dumps(found, indent=1) + "\n")
            cells = [_interval(of_body[kind][metric], metric) for metric in METRICS]
            click.echo(f"{name} {kind}: {', '.join(cells)}")


@main.command()
def show() -> None:
    """Make the table and the picture."""
    found = read()
    rows = []
    for name, kinds in found.items():
        for kind, values in kinds.items():
            cells = [_interval(values[metric], metric) for metric in METRICS]
            rows.append([name, kind, *cells])
    draw(found, RESULTS / "coverage.png")
    draw_joints(found, RESULTS / "coverage_joints.png")
    seeds = len(next(iter(next(iter(found.values())).values()))["span"])
    report.keep(
        RESULTS / "coverage.md",
        f"One simulated minute of exploration, {seeds} seeds",
        "python benchmarks/coverage.py measure; python benchmarks/coverage.py show",
        "![Coverage and effort](coverage.png)\n\n"
        + report.table(["body", "exploration", *METRICS.values()], rows)
        + "\n\n"
        + NOTES
        + "\n\n![Span of each joint](coverage_joints.png)",
    )


def _interval(values: list[float], metric: str) -> str:
    form = ".0f" if metric == "voxels" else ".3f"
    mean, low, high = (float(part[0]) for part in band(values))
    return f"{mean:{form}} ({low:{form}} to {high:{form}})"


def band(values: list[float]) -> tuple[F64, F64, F64]:
    """Mean and interval over seeds."""
    return mean_band(np.array(values, np.float64)[:, None], np.random.default_rng(0))


def draw(found: dict[str, Any], path: Path) -> None:
    """Draw the metrics of each body, with intervals and single seeds."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shape = len(found), len(METRICS)
    figure, axes = plt.subplots(
        *shape, figsize=(11, 2.9 * len(found)), layout="constrained", squeeze=False
    )
    for row, (name, kinds) in zip(axes, found.items(), strict=True):
        for axis, (metric, label) in zip(row, METRICS.items(), strict=True):
            for x, (kind, values) in enumerate(kinds.items()):
                mean, low, high = (float(part[0]) for part in band(values[metric]))
                color = f"C{list(KINDS).index(kind)}"
                axis.bar(x, mean, color=color, alpha=0.45)
                axis.errorbar(
                    x, mean, [[max(0, mean - low)], [max(0, high - mean)]], color="black", capsize=4
                )
                places = x + np.linspace(-0.25, 0.25, len(values[metric]))
                axis.plot(places, values[metric], ".", color=color, markersize=4)
            axis.set_xticks(range(len(kinds)), list(kinds))
            axis.set_ylabel(label, fontsize=8)
            axis.set_title(name)
            axis.grid(axis="y", alpha=0.3)
            axis.set_ylim(bottom=0)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def draw_joints(found: dict[str, Any], path: Path) -> None:
    """Draw the span of each joint, with intervals."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        len(found), figsize=(11, 3.6 * len(found)), layout="constrained", squeeze=False
    )
    for axis, (name, kinds) in zip(axes[:, 0], found.items(), strict=True):
        for place, (kind, values) in enumerate(kinds.items()):
            bands = np.array([band(each) for each in values["joints"].values()])[:, :, 0]
            x = np.arange(len(bands)) + 0.14 * (place - (len(kinds) - 1) / 2)
            errors = np.maximum(0, [bands[:, 0] - bands[:, 1], bands[:, 2] - bands[:, 0]])
            color = f"C{list(KINDS).index(kind)}"
            axis.errorbar(x, bands[:, 0], errors, fmt="o", ms=3, color=color, label=kind)
        joints = list(next(iter(kinds.values()))["joints"])
        axis.set_xticks(range(len(joints)), joints, rotation=60, ha="right", fontsize=7)
        axis.set_ylabel("span over range")
        axis.set_title(name)
        axis.grid(alpha=0.3)
    handles = axes[0][0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=len(KINDS))
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
