"""Structures of the configuration; each option is documented where it is declared.

``Spec`` contains everything that affects a pool's results; it is hashed and frozen in the pool.
What each run may choose is in ``run_options.RunOptions``. Both are sections of one TOML file:

    [pool] [task] [network] [learner] [exploration] [evaluation] [selection] [merge] [branches]
                -> Spec
    [run]       -> RunOptions

The default of a field is what a pool without it means. Where new pools mean something else, the
field's text says so, and ``config.new_pools`` has the value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from poolrl.config.branches import BranchValues, Evolve, check_evolving, refused_key, starts
from poolrl.config.exploration import (
    Exploration,
    NoExploration,
    PureExploration,
    check_exploration,
)
from poolrl.config.merging import MergeSpec, check_merge
from poolrl.config.mpo import MPO
from poolrl.config.networks import MLPSpec, NetworkSpec, QMLPSpec
from poolrl.config.pools import PoolSpec
from poolrl.config.scoring import EvaluationSpec, SelectionSpec
from poolrl.config.types import (
    Count,
    Fraction,
    Natural,
    NonNegative,
    Positive,
    Section,
    Text,
)
from poolrl.config.validation import convert
from poolrl.errors import UsageError

Schedule = Literal["constant", "linear", "exponential"]


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
    """Control steps that each action is applied for; their rewards are summed. The time limit
    counts them; budgets, lengths of episodes and records count actions."""
    mask_velocities: bool = False
    """Omit the velocities from the observations, for a partially observed variant of the task."""
    randomize: dict[str, Randomization] = {}
    """Domain randomisation: field of the MuJoCo model -> distribution of its values."""
    exact_spaces: bool = False
    """Keep to the spaces of an adapted environment: it gets a single choice in the type of its
    action space, not as an `int`; what it returns must have the shapes and types that it declares,
    and nothing is spread or guessed; agents record its action space, and `act` returns actions of
    it. On in new pools, off in pools and agents without the key."""
    source_sha256: Text = ""
    """SHA-256 of the file of a user's own task; set when the pool is created."""


class TaskSpec(World, frozen=True):
    """The world of a pool."""

    max_simulations: Annotated[int, Meta(ge=1, le=10_000)] = 64
    """Maximum number of parallel simulations of a worker; affects the bits of results."""
    model_sha256: Text = ""
    """SHA-256 of the compiled MuJoCo model; set when the pool is created."""


class PPO(Section, frozen=True, tag_field="name", tag="ppo"):
    """Proximal policy optimisation (Schulman et al. 2017), clipped, with GAE."""

    learning_rate: Positive = 3e-4
    """Step size of Adam; with `adaptive_kl`, only where it starts."""
    learning_rate_schedule: Schedule = "constant"
    """From `learning_rate` to `schedule_end` times it; see `schedule_steps`."""
    adaptive_kl: NonNegative = 0.0
    """If not 0, adapt the learning rate after each epoch to this KL divergence between the policy
    of the rollout and that of the epoch, 0.008 to 0.01 (as rl_games and rsl_rl do): above twice it,
    divide by 1.5; below half of it, multiply by 1.5; within 1e-6 and 1e-2. The rate is part of the
    agent. The divergence is the mean over the epoch's minibatches of Schulman's estimate from the
    samples, (r − 1) − log r."""
    discount: Fraction = 0.99
    gae_lambda: Fraction = 0.95
    clip_range: Positive = 0.2
    clip_range_schedule: Schedule = "constant"
    epochs: Count = 10
    """Passes over the samples of an update."""
    target_kl: NonNegative = 0.0
    """If not 0, an update ends before the first minibatch whose samples estimate a KL divergence
    beyond 1.5 times this (Stable-Baselines3)."""
    minibatch_size: Count = 64
    microbatch_size: Natural = 0
    """If not 0, a minibatch is divided into parts of at most so many samples, whose gradients are
    computed apart and summed: by the threads of the worker side by side, with the same bits at any
    number of threads. 256 for minibatches of 2,048, say. Another size changes the last bits.
    For actor and critic that are perceptrons without a shared trunk, and for `encoder_decoder`,
    whose sequences stay whole."""
    sequence_steps: Count = 16
    """Longest sequence that a network with memory learns from: gradients go back so far."""
    episodes_per_update: Count = 8
    """Episodes collected for each update; a branch has iterate_episodes / this many updates."""
    segment_steps: Natural = 0
    """If not 0, update instead after this many steps of every simulation, within episodes, with the
    critic's value of the rest (bootstrap). Then iterate_steps ends a branch with the segment that
    reaches it, and cuts the episodes in progress there."""
    entropy_coefficient: NonNegative = 0.0
    entropy_schedule: Schedule = "constant"
    schedule_steps: Natural = 0
    """Control steps of training, of the agent's own line, after which schedules stay at their end;
    `linear` goes there in proportion to the steps, `exponential` by an equal factor for equal
    steps. Each is evaluated once an update."""
    schedule_end: Fraction = 0.0
    """Fraction of the start that schedules end with; not 0 for an exponential one."""
    bounds_coefficient: NonNegative = 0.0
    """Weight of a loss of gaussian means outside their bounds, the sum over dimensions of their
    squared excess beyond ±1.1 half-ranges (rl_games), which keeps them from where the actions no
    longer change. Not for other distributions."""
    penalties: dict[str, NonNegative] = {}
    """Weights of the penalties that a network adds to the loss, by name: a user's, or `kl` of an
    `encoder_decoder`; all must be named."""
    value_coefficient: NonNegative = 0.5
    value_loss: Literal["squared", "smooth_l1"] = "squared"
    """`smooth_l1`: (V − R)²/2, or |V − R| − 1/2 where the difference is larger than 1, in units of
    the normalised values, which it needs."""
    value_clip_range: NonNegative = 0.0
    """If not 0, a value that has moved further than this from what it was in the rollout gives the
    larger of its own loss and that of the bound, in units of the normalised values, which it needs.
    """
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
    """Scale the advantages to mean 0 and standard deviation 1."""
    advantage_batch: Literal["update", "minibatch"] = "update"
    """The samples that they are scaled over."""
    scale_rewards: bool = False
    """Divide rewards by the running standard deviation of the discounted return (Engstrom et al.
    2020), which is part of the agent, and clip them to ±10."""
    standardize_single: bool = True
    """Apply this, and `center_rewards`, to an update with a single step too, where nothing of it
    is left: an advantage of 0, a reward of 0. Off in new pools, on in pools without the key."""
    center_rewards: bool = False
    """Subtract an update's mean reward from its rewards (Naik et al. 2024). Only for tasks that end
    at their time limit alone: with a discount near 1 the critic need not learn the large constant
    mean reward / (1 - discount). If episodes can terminate, it changes the optimal policy."""

    def __post_init__(self) -> None:
        schedules = {
            name: getattr(self, name)
            for name in ("learning_rate_schedule", "clip_range_schedule", "entropy_schedule")
        }
        for name, kind in schedules.items():
            if kind != "constant" and not self.schedule_steps:
                raise ValueError(f"{name} = {kind} has no end: set schedule_steps")
            if kind == "exponential" and not self.schedule_end:
                raise ValueError(f"{name} = exponential never reaches 0: set schedule_end")
        if self.adaptive_kl and self.learning_rate_schedule != "constant":
            raise ValueError("adaptive_kl and learning_rate_schedule: give one of them")
        if not self.normalize_values:
            for name, given in (
                ("value_loss = smooth_l1", self.value_loss != "squared"),
                ("value_clip_range", bool(self.value_clip_range)),
            ):
                if given:
                    raise ValueError(
                        f"{name} is in units of normalised values: set normalize_values"
                    )


class Reinforce(Section, frozen=True, tag_field="name", tag="reinforce"):
    """REINFORCE with a baseline (Williams 1992; Sutton & Barto 2018, section 13.4)."""

    learning_rate: Positive = 1e-3
    """Step size of the policy."""
    policy_step: Literal["adam", "unit"] = "adam"
    """`unit`: plain stochastic gradient ascent, sample by sample in the order of time, in which the
    weights of each of the distribution's parameters move by learning_rate · δ along the unit vector
    of the density's gradient, where δ is the sample's advantage. For policies that are linear in
    the observation (`network.actor = []`), without parameters that do not depend on it. RLAI's
    step; `normalize_advantage = false` makes δ its difference to the baseline."""
    baseline: Literal["learned", "none"] = "learned"
    """`learned`: the critic, linear with `network.critic = []`. `none`: advantages are returns, and
    the critic stays as it is."""
    schedule_steps: Natural = 0
    """As for PPO, for `network.std = "schedule"`."""
    warmup_episodes: Natural = 0
    """Training episodes, of the agent's own line, in which the policy stays as it is, while the
    baseline and the normalisers settle."""
    baseline_learning_rate: Positive = 1e-3
    """Step size of Adam for the baseline."""
    discount: Fraction = 1.0
    episodes_per_update: Count = 1
    """Episodes collected for each update."""
    minibatch_size: Count = 50
    """Samples per gradient step; each sample is used once."""
    sequence_steps: Count = 16
    """As for PPO."""
    normalize_values: bool = False
    """As for PPO, for the baseline."""
    normalize_advantage: bool = True
    standardize_single: bool = True
    """As for PPO."""
    center_rewards: bool = False
    """As for PPO, for tasks that end at their time limit alone. Undiscounted returns shrink with
    the remaining time, which a baseline that depends on the state alone cannot represent."""
    max_grad_norm: NonNegative = 0.5
    penalties: dict[str, NonNegative] = {}
    """As for PPO."""

    def __post_init__(self) -> None:
        if self.baseline == "none" and self.normalize_values:
            raise ValueError("normalize_values needs a baseline that is learned")


class RandomSearch(Section, frozen=True, tag_field="name", tag="climb"):
    """Random search: one random step of the actor's weights; for tests of the pool itself."""

    learning_rate: NonNegative = 0.1
    """Standard deviation of the step."""


SHARED_BY_ALL = ("normalize_values", "normalize_returns", "replay_window")
"""Hyper-parameters that cannot differ by branch."""

Learner = PPO | Reinforce | MPO | RandomSearch | PureExploration


class Spec(Section, frozen=True):
    """Everything that affects a pool's results."""

    pool: PoolSpec = PoolSpec()
    task: TaskSpec = TaskSpec()
    network: NetworkSpec = MLPSpec()
    learner: Learner = PPO()
    exploration: Exploration = NoExploration()
    evaluation: EvaluationSpec = EvaluationSpec()
    selection: SelectionSpec = SelectionSpec()
    merge: MergeSpec = MergeSpec()
    branches: dict[str, BranchValues] = {}
    """Hyper-parameter of the learner -> values; branch b uses value b modulo their number. Or
    `{evolve = 0.5}`: values evolve, from the learner's; see ``config.branches.Evolve``."""
    initial_agent_sha256: str = ""
    """SHA-256 of the agent that the pool starts from; empty if it is drawn from the seed."""

    def __post_init__(self) -> None:
        _check_network(self.network, self.learner)
        learner = str(type(self.learner).__struct_config__.tag)
        check_exploration(self.exploration, learner)
        check_merge(
            self.merge,
            keep_parent=self.selection.keep_parent,
            learner=learner,
            branches=self.branches,
        )
        lengths = [len(v) for v in self.branches.values() if not isinstance(v, Evolve)]
        for index in range(max(lengths, default=0) or 1):
            self.hyperparameters(index)
        check_evolving(self.branches, self.learner, lambda v: self.hyperparameters(0, v))

    @property
    def evolving(self) -> dict[str, float]:
        """Evolving hyper-parameters with the values that they start at, in alphabetical order."""
        return starts(self.branches, self.learner)

    def to_table(self) -> dict[str, Any]:
        """Plain data as in ``pool.toml``, without an `[exploration]`, `[merge]`,
        `[evaluation.info]` or kind of score that says nothing, so that such a pool is what earlier
        versions made."""
        table: dict[str, Any] = msgspec.to_builtins(self)
        if not self.evaluation.info:
            del table["evaluation"]["info"]
        for name, default in (("score", "return"), ("direction", "max")):
            if table["selection"][name] == default:
                del table["selection"][name]
        if self.merge.is_default:
            del table["merge"]
        if self.exploration == NoExploration():
            del table["exploration"]
        return table

    def hyperparameters(self, branch: int, evolved: Mapping[str, float] | None = None) -> Learner:
        """The learner's hyper-parameters on one branch.

        Args:
            branch: its index.
            evolved: values of evolving hyper-parameters; the learner's own by default.

        Raises:
            UsageError: `[branches]` has an unknown key or an invalid value.
        """
        fields = type(self.learner).__struct_fields__
        values = msgspec.to_builtins(self.learner)
        for name, choices in self.branches.items():
            if name not in fields or name in SHARED_BY_ALL:
                raise UsageError(refused_key(name, fields))
            if isinstance(choices, Evolve):
                continue
            if not choices:
                raise UsageError(f"branches.{name}: needs at least one value")
            values[name] = choices[branch % len(choices)]
        values |= evolved or {}
        try:
            return convert(values, type(self.learner))
        except UsageError as error:
            raise UsageError(f"branches.{error}") from None


def _check_network(network: NetworkSpec, learner: Learner) -> None:
    """Check that a learner can train a network.

    Raises:
        UsageError: names the key.
    """
    if isinstance(network, QMLPSpec) != isinstance(learner, MPO):
        names = (type(each).__struct_config__.tag for each in (network, learner))
        raise UsageError(
            "network.name: q_mlp is the network of learner.name = mpo, and of no other; got {} and "
            "{}".format(*names)
        )
    if isinstance(learner, Reinforce) and learner.policy_step == "unit":
        linear = isinstance(network, MLPSpec) and not network.actor and not network.shared
        if not linear:
            raise UsageError("learner.policy_step: unit is for linear policies: network.actor = []")
    if getattr(learner, "bounds_coefficient", 0) and network.distribution != "gaussian":
        raise UsageError("learner.bounds_coefficient: needs network.distribution = gaussian")
    if network.std == "schedule" and not getattr(learner, "schedule_steps", 0):
        raise UsageError("network.std = schedule has no end: set learner.schedule_steps")
    if getattr(learner, "normalize_values", False) and getattr(network, "value_scale", 1) != 1:
        raise UsageError("network.value_scale: needs learner.normalize_values = false")
    if network.has_memory:
        check_sequences(learner)
    if isinstance(learner, PPO) and learner.microbatch_size and not network.learns_in_microbatches:
        raise UsageError("learner.microbatch_size: only for perceptrons apart and encoder_decoder")


def check_sequences(learner: Learner) -> None:
    """Check that the sequences that a network with memory learns from fit into minibatches.

    Raises:
        UsageError: names the key.
    """
    if not isinstance(learner, PPO | Reinforce):
        return
    steps = learner.sequence_steps
    if learner.minibatch_size < steps:
        raise UsageError(
            f"learner.sequence_steps: {steps} do not fit into learner.minibatch_size = "
            f"{learner.minibatch_size}"
        )
    if isinstance(learner, PPO) and learner.segment_steps % steps:
        raise UsageError(
            f"learner.sequence_steps: learner.segment_steps = {learner.segment_steps} is no "
            f"multiple of {steps}"
        )
