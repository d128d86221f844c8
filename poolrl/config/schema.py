"""The configuration: frozen structures ⇄ TOML, each option documented where it is declared.

``Spec`` holds what affects a pool's results; it is hashed and frozen in the pool. ``RunOptions``
holds what a run may choose anew each time. Both are sections of one TOML file:

    [pool] [task] [network] [learner] [evaluation] [selection] [branches]     -> Spec
    [run]                                                                    -> RunOptions
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from poolrl.config import tables
from poolrl.config.retention_rule import Keep
from poolrl.errors import UsageError

# The upper bounds refuse infinity.
Positive = Annotated[float, Meta(gt=0, le=1e9)]
NonNegative = Annotated[float, Meta(ge=0, le=1e9)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=1, le=10**9)]
Natural = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Episodes = Annotated[int, Meta(ge=1, le=100_000)]
"""Every one of them has its own random stream, and is kept in a record."""
Sizes = Annotated[
    tuple[Annotated[int, Meta(ge=1, le=100_000)], ...],
    Meta(max_length=16),
]
Text = Annotated[str, Meta(max_length=4000, pattern=r"\A[^\x00-\x1f\x7f-\x9f\ud800-\udfff]*\Z")]
"""One line, since it is shown in one, and what any file can hold."""


class Section(Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the configuration: unknown keys are errors."""


class PoolSpec(Section, frozen=True):
    """The shape of the pool and of one iteration."""

    count: Annotated[int, Meta(ge=1, le=100_000)] = 10
    """Branches an iteration."""
    seed: Natural = 0
    """Every random stream of the pool follows from it."""
    iterate_episodes: Episodes = 10
    """Episodes that a branch trains for."""
    iterate_steps: Natural = 0
    """Control steps that a branch trains for instead, if not 0: none of its episodes starts once so
    many have been taken, and those in flight run to their end. For tasks whose episodes last twenty
    steps at first and a thousand later."""
    evaluate_episodes: Episodes = 10
    """Episodes that a branch, or the parent, is then evaluated on without updating."""
    closing_episodes: Episodes = 100
    """Episodes of the closing evaluation, on seeds that nothing else uses."""
    max_attempts: Count = 3
    """Tries that may fail for reasons of their workers before a unit is given up."""
    lease_duration: Positive = 30.0
    """Seconds without a heartbeat after which a unit's worker counts as gone."""


class Randomization(Section, frozen=True):
    """How a value of the model is drawn anew for every episode; just one of the first three."""

    scale: tuple[float, float] | None = None
    """The model's own value times a factor that is drawn uniformly between these."""
    add: tuple[float, float] | None = None
    """The model's own value plus what is drawn uniformly between these."""
    value: tuple[float, float] | None = None
    """A value that is drawn uniformly between these."""
    names: tuple[str, ...] = ()
    """The bodies, geoms, joints, … whose values are drawn; all of them where none is named."""
    together: bool = False
    """One draw for all of them, instead of one for each."""

    def __post_init__(self) -> None:
        given = [each for each in ("scale", "add", "value") if getattr(self, each) is not None]
        if len(given) != 1:
            got = " and ".join(given) or "none"
            raise ValueError(f"exactly one of scale, add and value is needed, got {got}")
        low, high = getattr(self, given[0])
        if not -1e9 <= low <= high <= 1e9:  # refuses NaN and infinity too
            raise ValueError(f"{given[0]}: the bounds must be finite and in order")


class World(Section, frozen=True):
    """What an agent acts in: a task with its arguments and variants."""

    id: Text = "Swimmer-v5"
    """An id of `poolrl tasks`, any id of Gymnasium's, or path/to/file.py:ClassName."""
    max_episode_steps: Annotated[int, Meta(ge=0, le=10**9)] = 0
    """Time limit in control steps; 0 for the task's own."""
    kwargs: dict[str, Any] = {}
    """The task's own arguments, as Gymnasium names them."""
    action_repeat: Annotated[int, Meta(ge=1, le=10_000)] = 1
    """Control steps that every action is played for; their rewards add up."""
    mask_velocities: bool = False
    """Leave the velocities out of the observations: a partially observed twin of the task."""
    randomize: dict[str, Randomization] = {}
    """Domain randomisation: values of the MuJoCo model, by the names of its fields."""
    source_sha256: Text = ""
    """SHA-256 of the file of a user's own task; filled in when the pool is made."""


class TaskSpec(World, frozen=True):
    """The world of a pool."""

    max_simulations: Annotated[int, Meta(ge=1, le=10_000)] = 64
    """Most simulations that a worker steps side by side; part of what determines the bits."""
    model_sha256: Text = ""
    """SHA-256 of the compiled MuJoCo model; filled in when the pool is made."""


class NetworkSpec(Section, frozen=True):
    """Actor and critic, two separate multi-layer perceptrons."""

    actor: Sizes = (64, 64)
    critic: Sizes = (64, 64)
    activation: Literal["tanh", "relu"] = "tanh"
    distribution: Literal["auto", "beta", "gaussian", "categorical"] = "auto"
    """Of actions; auto: beta where they are bounded, else gaussian, and categorical for choices."""
    normalize_observations: bool = True
    """Subtract the running mean and divide by the running standard deviation."""


class PPO(Section, frozen=True, tag_field="name", tag="ppo"):
    """Proximal policy optimisation (Schulman et al. 2017), clipped, with GAE."""

    learning_rate: Positive = 3e-4
    """Step size of Adam."""
    discount: Fraction = 0.99
    gae_lambda: Fraction = 0.95
    clip_range: Positive = 0.2
    epochs: Count = 10
    """Passes over the data of an update."""
    minibatch_size: Count = 64
    episodes_per_update: Count = 8
    """Episodes collected for each update; a branch makes iterate_episodes / this many updates."""
    segment_steps: Natural = 0
    """Update instead after so many steps of every simulation, if not 0, in the midst of episodes,
    whose rest counts as the critic says (bootstrap). Then iterate_steps ends a branch with the
    segment that reaches it, and cuts the episodes in flight there."""
    entropy_coefficient: NonNegative = 0.0
    value_coefficient: NonNegative = 0.5
    max_grad_norm: NonNegative = 0.5
    """Norm to which gradients are clipped; 0 for no clipping."""
    normalize_advantage: bool = True
    """Scale the advantages of an update to mean 0 and standard deviation 1."""
    center_rewards: bool = False
    """Subtract an update's mean reward from its rewards (Naik et al. 2024). For tasks that end at
    their time limit alone: with a discount near 1 the critic need not learn the large constant
    mean reward / (1 - discount). Where episodes can end early it would change what is optimal."""


class Reinforce(Section, frozen=True, tag_field="name", tag="reinforce"):
    """REINFORCE with a learned baseline (Williams 1992; Sutton & Barto 2018, section 13.4)."""

    learning_rate: Positive = 1e-3
    """Step size of Adam for the policy."""
    baseline_learning_rate: Positive = 1e-3
    """Step size of Adam for the baseline."""
    discount: Fraction = 1.0
    episodes_per_update: Count = 1
    """Episodes collected for each update."""
    minibatch_size: Count = 50
    """Samples a gradient step; each sample is used once."""
    normalize_advantage: bool = True
    center_rewards: bool = False
    """As for PPO: for tasks that end at their time limit alone. Undiscounted returns of an episode
    shrink with the time that is left, which a baseline of the state alone cannot know."""
    max_grad_norm: NonNegative = 0.5


class Climb(Section, frozen=True, tag_field="name", tag="climb"):
    """A random step of a linear policy: the smallest learner, for testing the pool itself."""

    learning_rate: NonNegative = 0.1
    """Standard deviation of the step."""


Learner = PPO | Reinforce | Climb


class EvaluationSpec(Section, frozen=True):
    """How units are scored."""

    deterministic: bool = True
    """Evaluate the mean action instead of a sample."""


class SelectionSpec(Section, frozen=True):
    """How a merge names the champion."""

    keep_parent: bool = False
    """Keep the champion when no branch scores higher on the same evaluation seeds. Off by default:
    on the swimmer a champion that had been lucky stalled the pool for its whole patience."""
    patience: Natural = 3
    """Iterations in a row that the parent may be kept before the best branch is taken anyway."""


class Spec(Section, frozen=True):
    """What affects a pool's results."""

    pool: PoolSpec = PoolSpec()
    task: TaskSpec = TaskSpec()
    network: NetworkSpec = NetworkSpec()
    learner: Learner = PPO()
    evaluation: EvaluationSpec = EvaluationSpec()
    selection: SelectionSpec = SelectionSpec()
    branches: dict[str, Annotated[tuple[bool | int | float, ...], Meta(max_length=10_000)]] = {}
    """Hyper-parameters of the learner by branch: branch b takes value b modulo their number."""
    initial_agent_sha256: str = ""
    """SHA-256 of the agent that the pool starts from; empty where it is drawn from the seed."""

    def __post_init__(self) -> None:
        for index in range(max((len(v) for v in self.branches.values()), default=0) or 1):
            self.hyperparameters(index)

    def hyperparameters(self, branch: int) -> Learner:
        """The learner's values on one branch.

        Raises:
            UsageError: `[branches]` names what is no hyper-parameter, or a value is invalid.
        """
        fields = learner_fields(self.learner)
        values = msgspec.to_builtins(self.learner)
        for name, choices in self.branches.items():
            if name not in fields:
                raise UsageError(_refused_branch_key(name, fields))
            if not choices:
                raise UsageError(f"branches.{name}: needs at least one value")
            values[name] = choices[branch % len(choices)]
        try:
            return tables.convert(values, type(self.learner))
        except UsageError as error:
            raise UsageError(f"branches.{error}") from None


class RunOptions(Section, frozen=True):
    """What a run may choose anew each time; nothing here changes what a unit of work computes."""

    iterations: Annotated[int, Meta(ge=0, le=999_999_999)] = 100
    """The iteration after which the pool ends; a finished pool is extended by a larger one."""
    workers: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    """Local workers; by default one per core that this process may use, at most one per branch."""
    keep: str = "champions"
    """Which agents stay on disk once an iteration is merged: what merges named `champions`, those
    and all agents of the last N iterations (`last:N`), or `all`."""
    target_return: float | None = None
    """End with the iteration in which the re-evaluation of the standing champion, an unbiased
    measurement, reaches this return; that iteration's champion is the result."""
    time_budget: Positive | None = None
    """End after this many seconds."""
    branch_timeout: Positive | None = None
    """Seconds after which an iteration goes on without the units that were claimed so long ago and
    are not deposited. What comes of it depends on timing, and its merge says so."""
    min_deposits: Count = 1
    """Branches that must have succeeded before an iteration goes on without the others."""
    stall_timeout: Positive = 86_400.0
    """Seconds without anything new in the pool after which its workers end, with exit code 3."""
    max_failed_iterations: Count = 5
    """Iterations in a row without a branch that succeeded after which the pool ends."""

    def __post_init__(self) -> None:
        try:
            Keep.parse(self.keep)
        except UsageError as error:
            raise UsageError(f"run.keep: {error}") from None


class _RunTable(Section, frozen=True):
    run: RunOptions = RunOptions()


DEFAULT: dict[str, dict[str, Any]] = {
    "pool": {"count": 10, "iterate_episodes": 20, "evaluate_episodes": 10},
    "task": {"id": "Swimmer-v5", "max_episode_steps": 500},
    "network": {"actor": [32, 32], "critic": [32, 32]},
    "learner": {
        "name": "ppo",
        "discount": 0.9999,
        "minibatch_size": 128,
        "episodes_per_update": 4,
        "center_rewards": True,
    },
    "branches": {
        "learning_rate": [0.001, 0.002, 0.003, 0.004, 0.006],
        "gae_lambda": [0.99, 0.995],
    },
    "run": {"iterations": 30},
}
"""What is trained without a configuration: configs/swimmer.toml. Another task, or another learner,
begins with the defaults of the structures above."""


def learner_fields(learner: Learner) -> tuple[str, ...]:
    """The names of a learner's hyper-parameters."""
    return type(learner).__struct_fields__


def load(path: Path | None, overrides: Mapping[str, Any] | None = None) -> tuple[Spec, RunOptions]:
    """Read a configuration and lay overrides over it.

    Args:
        path: a TOML file; ``None`` for the defaults.
        overrides: dotted key -> value, as in ``{"learner.learning_rate": 1e-3}``.

    Raises:
        UsageError: names the file and the key that is unknown, or whose value is wrong.
    """
    table = tables.read_toml(path) if path is not None else {}
    if path is None and not {"task.id", "learner.name"} & (overrides or {}).keys():
        table = copy.deepcopy(DEFAULT)
    return _resolve(table, overrides or {}, str(path) if path is not None else "")


def load_over(spec: Spec, run: RunOptions, overrides: Mapping[str, Any]) -> tuple[Spec, RunOptions]:
    """Lay overrides over what a pool was made with; arguments and errors as for ``load``.

    The hash of the model is left to be found anew; with another task or learner nothing of the old
    one's options is left either.
    """
    table = msgspec.to_builtins(spec) | {"run": msgspec.to_builtins(run)}
    table["task"]["model_sha256"] = ""
    if overrides.get("task.id", spec.task.id) != spec.task.id:
        table["task"] = {}
    if overrides.get("learner.name", table["learner"]["name"]) != table["learner"]["name"]:
        table["learner"], table["branches"] = {}, {}
    return _resolve(table, overrides, "")


def _resolve(
    table: dict[str, Any], overrides: Mapping[str, Any], source: str
) -> tuple[Spec, RunOptions]:
    for key in overrides:
        section, _, name = key.partition(".")
        if section == "learner" and isinstance(table.get("branches"), dict):
            table["branches"].pop(name, None)  # a value that is asked for holds on every branch
    for key, value in overrides.items():
        tables.assign(table, key, value)
    try:
        run = tables.convert({"run": table.pop("run", {})}, _RunTable, source).run
        learner = table.setdefault("learner", {})
        if isinstance(learner, dict):
            learner.setdefault("name", "ppo")
        return tables.convert(table, Spec, source), run
    except RecursionError:
        raise UsageError(f"{source}: nested too deeply") from None


def differing_keys(old: Spec, new: Spec) -> list[str]:
    """The dotted keys in which two specifications differ, each with both values."""
    left, right = tables.flatten(msgspec.to_builtins(old)), tables.flatten(msgspec.to_builtins(new))
    keys = sorted(left.keys() | right.keys())
    absent = "absent"
    return [
        f"{key} ({left.get(key, absent)} in the pool, {right.get(key, absent)} now)"
        for key in keys
        if left.get(key, absent) != right.get(key, absent)
    ]


def _refused_branch_key(name: str, fields: Sequence[str]) -> str:
    if name in {*NetworkSpec.__struct_fields__, "name", "network", "learner"}:
        return f"branches.{name}: changes the agent's tensors, which all branches must share"
    close = difflib.get_close_matches(name, fields, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(fields)}"
    return f"branches.{name}: not a hyper-parameter of the learner; {hint}"
