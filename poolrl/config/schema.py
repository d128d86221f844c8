"""Structures of the configuration; each option is documented where it is declared.

``Spec`` contains everything that affects a pool's results; it is hashed and frozen in the pool.
What each run may choose is in ``run_options.RunOptions``. Both are sections of one TOML file:

    [pool] [task] [network] [learner] [evaluation] [selection] [branches]     -> Spec
    [run]                                                                    -> RunOptions

The default of a field is what a pool without it means. Where new pools mean something else, the
field's text says so, and ``config.new_pools`` has the value.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from poolrl.config.validation import convert
from poolrl.errors import UsageError

# The upper bounds refuse infinity.
Positive = Annotated[float, Meta(gt=0, le=1e9)]
NonNegative = Annotated[float, Meta(ge=0, le=1e9)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Std = Annotated[float, Meta(ge=1e-6, le=1e6)]
"""A standard deviation whose square, and its inverse, are far from the limits of float32."""
Count = Annotated[int, Meta(ge=1, le=10**9)]
Natural = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Episodes = Annotated[int, Meta(ge=1, le=100_000)]
"""The bound limits memory: each episode has a random stream, and its return is in a record."""
Sizes = Annotated[
    tuple[Annotated[int, Meta(ge=1, le=100_000)], ...],
    Meta(max_length=16),
]
Text = Annotated[str, Meta(max_length=4000, pattern=r"\A[^\x00-\x1f\x7f-\x9f\ud800-\udfff]*\Z")]
"""A single line without control characters or surrogates, so that it can be printed and encoded."""


class Section(Struct, frozen=True, forbid_unknown_fields=True):
    """Base class of the tables of the configuration; unknown keys are errors."""


class PoolSpec(Section, frozen=True):
    """Size, seed and budgets of the pool and its iterations."""

    count: Annotated[int, Meta(ge=1, le=100_000)] = 10
    """Branches per iteration."""
    seed: Natural = 0
    """Seed of all random streams of the pool."""
    iterate_episodes: Episodes = 10
    """Episodes that a branch trains for."""
    iterate_steps: Natural = 0
    """Control steps that a branch trains for instead of episodes, if not 0: no episode starts once
    they are taken, and episodes in progress run to their end. For tasks with episodes of twenty
    steps at first and a thousand later."""
    evaluate_episodes: Episodes = 10
    """Episodes of the evaluation, without updates, of each branch and of the parent."""
    closing_episodes: Episodes = 100
    """Episodes of the closing evaluation, on seeds that nothing else uses."""
    max_attempts: Count = 3
    """Attempts that may fail on their workers' side before a unit is abandoned."""
    lease_duration: Positive = 30.0
    """Seconds without progress of its lease after which a unit may be taken over."""


class Randomization(Section, frozen=True):
    """Distribution of a model value, drawn for every episode; exactly one of the first three."""

    scale: tuple[float, float] | None = None
    """Bounds of a uniform factor of the model's own value."""
    add: tuple[float, float] | None = None
    """Bounds of a uniform summand to the model's own value."""
    value: tuple[float, float] | None = None
    """Bounds of a uniform value."""
    names: tuple[str, ...] = ()
    """Names of the bodies, geoms, joints, … to randomise; empty for all."""
    together: bool = False
    """Use one draw for all of them, instead of one for each."""

    def __post_init__(self) -> None:
        given = [each for each in ("scale", "add", "value") if getattr(self, each) is not None]
        if len(given) != 1:
            got = " and ".join(given) or "none"
            raise ValueError(f"exactly one of scale, add and value is needed, got {got}")
        low, high = getattr(self, given[0])
        if not -1e9 <= low <= high <= 1e9:  # refuses NaN and infinity too
            raise ValueError(f"{given[0]}: the bounds must be finite and in order")


class World(Section, frozen=True):
    """The environment of an agent: a task with its arguments and variants."""

    id: Text = "Swimmer-v5"
    """An id of `poolrl tasks`, any id of Gymnasium's, or path/to/file.py:ClassName."""
    max_episode_steps: Annotated[int, Meta(ge=0, le=10**9)] = 0
    """Time limit in control steps; 0 for the task's own."""
    kwargs: dict[str, Any] = {}
    """The task's own arguments, named as in Gymnasium."""
    action_repeat: Annotated[int, Meta(ge=1, le=10_000)] = 1
    """Control steps that each action is applied for; their rewards are summed."""
    mask_velocities: bool = False
    """Omit the velocities from the observations, for a partially observed variant of the task."""
    randomize: dict[str, Randomization] = {}
    """Domain randomisation: field of the MuJoCo model -> distribution of its values."""
    source_sha256: Text = ""
    """SHA-256 of the file of a user's own task; set when the pool is created."""


class TaskSpec(World, frozen=True):
    """The world of a pool."""

    max_simulations: Annotated[int, Meta(ge=1, le=10_000)] = 64
    """Maximum number of parallel simulations of a worker; affects the bits of results."""
    model_sha256: Text = ""
    """SHA-256 of the compiled MuJoCo model; set when the pool is created."""


class NetworkSpec(Section, frozen=True):
    """Actor and critic, two separate multi-layer perceptrons."""

    actor: Sizes = (64, 64)
    critic: Sizes = (64, 64)
    activation: Literal["tanh", "relu"] = "tanh"
    distribution: Literal[
        "auto", "beta", "gaussian", "squashed_gaussian", "categorical", "discretized"
    ] = "auto"
    """Of actions; auto: beta if they are bounded, else gaussian; categorical if discrete.
    `squashed_gaussian` (tanh of a normal) and `discretized` (a choice among `bins` values of each
    dimension) need bounds. Deterministic actions are the mean of beta and gaussian, tanh of the
    mean of squashed_gaussian, and the most probable value of categorical and discretized."""
    std: Literal["free", "network", "schedule"] = "free"
    """Standard deviation of gaussian and squashed_gaussian, in units of half the range of a bounded
    action, before tanh. `free`: learned, the same for all observations. `network`: computed by the
    actor, between `std_min` and `std_max`. `schedule`: not learned; it falls from `std_init` to
    `std_min`."""
    std_init: Std = 1.0
    """Standard deviation of a new agent; with `std = "network"`, of an output of 0."""
    std_min: Std = 0.01
    """Lower bound of `network`, end of `schedule`; not used by `free`."""
    std_max: Std = 2.0
    """Upper bound of `network`; not used by `free` and `schedule`."""
    bins: Annotated[int, Meta(ge=2, le=10_000)] = 11
    """Values of each dimension that discretized chooses from, equidistant, with both ends of the
    range (Tang & Agrawal 2020)."""
    normalize_observations: bool = True
    """Subtract the running mean and divide by the running standard deviation."""
    normalizer_precision: Literal["double", "single"] = "single"
    """Of this arithmetic. `double` (new pools): the mean is subtracted in float64, and all that
    varies by more than rounding errors is scaled to variance 1. `single` (pools and agents without
    the key): observations are rounded to float32 first, and standard deviations below 0.001 count
    as 0.001."""


class PPO(Section, frozen=True, tag_field="name", tag="ppo"):
    """Proximal policy optimisation (Schulman et al. 2017), clipped, with GAE."""

    learning_rate: Positive = 3e-4
    """Step size of Adam."""
    discount: Fraction = 0.99
    gae_lambda: Fraction = 0.95
    clip_range: Positive = 0.2
    epochs: Count = 10
    """Passes over the samples of an update."""
    minibatch_size: Count = 64
    episodes_per_update: Count = 8
    """Episodes collected for each update; a branch has iterate_episodes / this many updates."""
    segment_steps: Natural = 0
    """If not 0, update instead after this many steps of every simulation, within episodes, with the
    critic's value of the rest (bootstrap). Then iterate_steps ends a branch with the segment that
    reaches it, and cuts the episodes in progress there."""
    entropy_coefficient: NonNegative = 0.0
    value_coefficient: NonNegative = 0.5
    max_grad_norm: NonNegative = 0.5
    """Maximum norm of the gradient, by clipping; 0 for no clipping."""
    gradient_clipping: Literal["separate", "joint"] = "joint"
    """Clip the norms of the actor's and the critic's gradient separately, each to `max_grad_norm`
    (new pools), or the norm of both together (pools without the key): a critic of large returns
    then leaves nothing of the actor's gradient."""
    normalize_values: bool = False
    """Let the critic predict values in units of their running mean and standard deviation, which
    are part of the agent, so that the unit of the rewards does not matter. On in new pools, off in
    pools without the key."""
    normalize_advantage: bool = True
    """Scale the advantages of an update to mean 0 and standard deviation 1."""
    standardize_single: bool = True
    """Apply this, and `center_rewards`, to an update with a single step too, where nothing of it
    is left: an advantage of 0, a reward of 0. Off in new pools, on in pools without the key."""
    center_rewards: bool = False
    """Subtract an update's mean reward from its rewards (Naik et al. 2024). Only for tasks that end
    at their time limit alone: with a discount near 1 the critic need not learn the large constant
    mean reward / (1 - discount). If episodes can terminate, it changes the optimal policy."""


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
    """Samples per gradient step; each sample is used once."""
    normalize_values: bool = False
    """As for PPO, for the baseline."""
    normalize_advantage: bool = True
    standardize_single: bool = True
    """As for PPO."""
    center_rewards: bool = False
    """As for PPO, for tasks that end at their time limit alone. Undiscounted returns shrink with
    the remaining time, which a baseline that depends on the state alone cannot represent."""
    max_grad_norm: NonNegative = 0.5


class RandomSearch(Section, frozen=True, tag_field="name", tag="climb"):
    """Random search: one random step of the actor's weights; for tests of the pool itself."""

    learning_rate: NonNegative = 0.1
    """Standard deviation of the step."""


Learner = PPO | Reinforce | RandomSearch


class EvaluationSpec(Section, frozen=True):
    """How units are scored."""

    deterministic: bool = True
    """Evaluate deterministic actions instead of samples."""


class SelectionSpec(Section, frozen=True):
    """How a merge names the champion."""

    keep_parent: bool = False
    """Keep the champion if no branch scores higher on the same evaluation seeds. Off by default: on
    the swimmer, a champion with a lucky score stalled the pool until ``patience`` ran out."""
    patience: Natural = 3
    """Consecutive iterations that the parent may be kept before the best branch is taken anyway."""


class Spec(Section, frozen=True):
    """Everything that affects a pool's results."""

    pool: PoolSpec = PoolSpec()
    task: TaskSpec = TaskSpec()
    network: NetworkSpec = NetworkSpec()
    learner: Learner = PPO()
    evaluation: EvaluationSpec = EvaluationSpec()
    selection: SelectionSpec = SelectionSpec()
    branches: dict[str, Annotated[tuple[bool | int | float, ...], Meta(max_length=10_000)]] = {}
    """Hyper-parameter of the learner -> values; branch b uses value b modulo their number."""
    initial_agent_sha256: str = ""
    """SHA-256 of the agent that the pool starts from; empty if it is drawn from the seed."""

    def __post_init__(self) -> None:
        for index in range(max((len(v) for v in self.branches.values()), default=0) or 1):
            self.hyperparameters(index)

    def hyperparameters(self, branch: int) -> Learner:
        """The learner's hyper-parameters on one branch.

        Raises:
            UsageError: `[branches]` has an unknown key or an invalid value.
        """
        fields = type(self.learner).__struct_fields__
        values = msgspec.to_builtins(self.learner)
        for name, choices in self.branches.items():
            if name not in fields or name == "normalize_values":
                raise UsageError(_refused_branch_key(name, fields))
            if not choices:
                raise UsageError(f"branches.{name}: needs at least one value")
            values[name] = choices[branch % len(choices)]
        try:
            return convert(values, type(self.learner))
        except UsageError as error:
            raise UsageError(f"branches.{error}") from None


def _refused_branch_key(name: str, fields: Sequence[str]) -> str:
    own = {"name", "network", "learner", "normalize_values"}
    if name in {*NetworkSpec.__struct_fields__, *own}:
        return f"branches.{name}: changes the agent's tensors, which all branches must share"
    close = difflib.get_close_matches(name, fields, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(fields)}"
    return f"branches.{name}: not a hyper-parameter of the learner; {hint}"
