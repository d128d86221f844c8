"""Learners with their hyper-parameters: PPO, REINFORCE and random search.

``config.mpo`` has MPO, and ``config.exploration`` exploration without learning.
"""

from __future__ import annotations

from typing import Literal

from poolrl.config.exploration import PureExploration
from poolrl.config.mpo import MPO
from poolrl.config.types import Count, Fraction, Natural, NonNegative, Positive, Section

Schedule = Literal["constant", "linear", "exponential"]


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
    """γ, of a control step."""
    gae_lambda: Fraction = 0.95
    """λ of generalised advantage estimation (Schulman et al. 2016)."""
    clip_range: Positive = 0.2
    """ε: the probability ratio is clipped to 1 ± ε."""
    clip_range_schedule: Schedule = "constant"
    """From `clip_range` to `schedule_end` times it; see `schedule_steps`."""
    epochs: Count = 10
    """Passes over the samples of an update."""
    target_kl: NonNegative = 0.0
    """If not 0, an update ends before the first minibatch whose samples estimate a KL divergence
    beyond 1.5 times this (Stable-Baselines3)."""
    minibatch_size: Count = 64
    """Samples of a gradient step; the last minibatch of an epoch may have fewer."""
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
    """Weight of the policy's mean entropy, which the loss rewards."""
    entropy_schedule: Schedule = "constant"
    """From `entropy_coefficient` to `schedule_end` times it; see `schedule_steps`."""
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
    """Weight of the critic's loss."""
    value_loss: Literal["squared", "smooth_l1"] = "squared"
    """`smooth_l1`: (V − R)²/2, or |V − R| − 1/2 where the difference is larger than 1, in units of
    the normalised values, which it needs."""
    value_clip_range: NonNegative = 0.0
    """If not 0, a value that has moved further than this from what it was in the rollout gives the
    larger of its own loss and that of the bound, in units of the normalised values, which it needs.
    As by rl_games, both are by the statistics after the update's rollout; where these still change
    much, as in the first updates, values are beyond the bound before they have moved."""
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
    """γ, of a control step."""
    episodes_per_update: Count = 1
    """Episodes collected for each update."""
    minibatch_size: Count = 50
    """Samples per gradient step; each sample is used once."""
    sequence_steps: Count = 16
    """As for PPO."""
    normalize_values: bool = False
    """As for PPO, for the baseline."""
    normalize_advantage: bool = True
    """As for PPO, over an update."""
    standardize_single: bool = True
    """As for PPO."""
    center_rewards: bool = False
    """As for PPO, for tasks that end at their time limit alone. Undiscounted returns shrink with
    the remaining time, which a baseline that depends on the state alone cannot represent."""
    max_grad_norm: NonNegative = 0.5
    """As for PPO, of policy and baseline each."""
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
