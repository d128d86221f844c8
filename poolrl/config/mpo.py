"""Structure of `[learner]` for MPO; each option is documented where it is declared."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from poolrl.config.types import Count, Fraction, Natural, NonNegative, Positive, Section


class MPO(Section, frozen=True, tag_field="name", tag="mpo"):
    """Maximum a posteriori policy optimisation (Abdolmaleki et al. 2018), off-policy, with the
    decoupled constraints of the mean and the standard deviation. docs/mpo.md has the equations."""

    learning_rate: Positive = 3e-4
    """Step size of Adam for the actor."""
    critic_learning_rate: Positive = 3e-4
    """Of the critic."""
    dual_learning_rate: Positive = 1e-2
    """Of the dual variables."""
    discount: Annotated[float, Meta(ge=0, lt=1)] = 0.99
    """γ, of a control step."""
    return_steps: Annotated[int, Meta(ge=1, le=1000)] = 1
    """Rewards of a critic's target before the target critic stands for the rest (n-step)."""
    action_samples: Annotated[int, Meta(ge=2, le=1000)] = 20
    """Actions of the target policy in each observation, for the E-step and for the expectation of
    the critic's target."""
    batch_size: Count = 256
    """Transitions of a batch."""
    batches: Count = 30
    """Batches of an update."""
    update_interval: Count = 1000
    """Control steps, of all simulations together, from one update to the next; rounded up to whole
    steps of all simulations."""
    warmup_steps: Natural = 5000
    """Control steps of the agent's own line that are taken with uniform actions, before the first
    update."""
    replay_start: Count = 1000
    """Transitions that the replay of a branch must have before the first update of the branch."""
    replay_size: Count = 1_000_000
    """Most transitions in the replay of a branch, without `replay_window`; the oldest make room."""
    replay_window: Natural = 0
    """If not 0, the branches of a pool share their replay: each deposits the transitions that it
    has sampled as one file, and the branches after a merge learn from the newest files of so many
    transitions, of all branches that succeeded, beside their own. 0 for a replay that ends with its
    branch. 1,000,000 in new pools, 0 in pools without the key."""
    simulations: Annotated[int, Meta(ge=1, le=10_000)] = 4
    """Simulations that are stepped side by side in training, at most `task.max_simulations`."""
    target_rate: Fraction = 0.005
    """Step of the target networks to the others after each batch (Polyak averaging)."""
    epsilon: Positive = 0.1
    """Bound of the E-step's KL divergence, between its weights and the target policy's samples."""
    action_penalty: bool = True
    """Weigh samples beyond ±1 down, by a second E-step with a temperature of its own (MO-MPO)."""
    epsilon_penalty: Positive = 1e-3
    """Bound of that one's KL divergence."""
    epsilon_mean: Positive = 1e-3
    """Bound of the KL divergence of the policy's mean from the target policy's, a dimension."""
    epsilon_std: Positive = 1e-6
    """The same for its standard deviation."""
    normalize_returns: bool = False
    """Let the critic's values be between the smallest and the largest reward so far, at most −1 and
    at least 1, divided by 1 − discount; the extremes are part of the agent."""
    muscles: Natural = 0
    """Number of muscles, if an energy cost is to be subtracted from the rewards of each batch that
    is drawn: a weight times Σ a³ over the muscles and all transitions of the batch (Schumacher et
    al. 2023). Their activities a are what the task names ``activity`` among its observations, as
    poolrl's own tasks of muscles do, and elsewhere the last values observed. The weight adapts and
    is part of the agent. 0 for none."""
    energy_threshold: Annotated[float, Meta(ge=-1e9, le=1e9)] = 1000.0
    """Running return of episodes above which the weight of the energy cost grows."""
    max_grad_norm: NonNegative = 0.0
    """Maximum norm of the actor's gradient, and of that of the dual variables, by clipping; 0 for
    no clipping."""
    critic_max_grad_norm: NonNegative = 0.0
    """The same for the critic's gradient."""
