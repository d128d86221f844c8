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
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from poolrl.config.branches import BranchValues, Evolve, check_evolving, refused_key, starts
from poolrl.config.exploration import Exploration, NoExploration, check_exploration
from poolrl.config.learners import PPO, SHARED_BY_ALL, Learner, Reinforce
from poolrl.config.merging import MergeSpec, check_merge
from poolrl.config.mpo import MPO
from poolrl.config.networks import MLPSpec, NetworkSpec, QMLPSpec
from poolrl.config.pools import PoolSpec
from poolrl.config.scoring import EvaluationSpec, SelectionSpec
from poolrl.config.types import (
    Section,
    Text,
)
from poolrl.config.validation import convert
from poolrl.errors import UsageError


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
        `[evaluation.info]`, `later_count` or kind of score that says nothing, so that such a pool
        is what earlier versions made."""
        table: dict[str, Any] = msgspec.to_builtins(self)
        if not self.pool.later_count:
            del table["pool"]["later_count"]
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
