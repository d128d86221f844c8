"""Structures of `[network]`; each option is documented where it is declared."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from poolrl.config.types import Natural, NonNegative, Positive, Section, Sizes, Std, Text


class _Network(Section, frozen=True, tag_field="name"):
    """What all networks have in common."""

    distribution: Literal[
        "auto",
        "beta",
        "gaussian",
        "squashed_gaussian",
        "tanh_mean_gaussian",
        "categorical",
        "discretized",
    ] = "auto"
    """Of actions; auto: beta if they are bounded, else gaussian; categorical if discrete; of a
    `q_mlp` tanh_mean_gaussian. `squashed_gaussian` (tanh of a normal), `tanh_mean_gaussian` (normal
    with mean tanh m and σ = softplus p within [1e-4, 1], in units of half the range, clipped) and
    `discretized` (a choice among `bins` values of each dimension) need bounds. Deterministic
    actions are the mean of beta and of both clipped gaussians, tanh of the mean of
    squashed_gaussian, and the most probable value of categorical and discretized."""
    std: Literal["free", "network", "schedule"] = "free"
    """Standard deviation of gaussian and squashed_gaussian, in units of half the range of a bounded
    action, before tanh. `free`: learned, the same for all observations. `network`: computed by the
    actor, between `std_min` and `std_max`. `schedule`: not learned; it falls from `std_init` to
    `std_min` in proportion to the agent's steps, over `learner.schedule_steps`."""
    std_init: Std = 1.0
    """Standard deviation of a new agent; with `std = "network"`, of an output of 0."""
    std_min: Std = 0.01
    """Lower bound of `network`, end of `schedule`; not used by `free`."""
    std_max: Std = 2.0
    """Upper bound of `network`; not used by `free` and `schedule`."""
    bins: Annotated[int, Meta(ge=2, le=10_000)] = 11
    """Values of each dimension that discretized chooses from, equidistant, with both ends of the
    range (Tang & Agrawal 2020)."""
    beta_link: Literal["softplus", "exponential"] = "softplus"
    """How outputs p of the actor become the parameters of beta: `softplus`: 1 + softplus(p), which
    gives densities with one peak (Chou et al. 2017). `exponential`: exp(p), within [0.01, 1,000],
    uniform at p = 0, which may put the bounds of the actions above what is between them; with
    `actor = []` RLAI's linear policy."""
    critic_senses: tuple[Text, ...] = ()
    """Parts of the observation that the critic alone sees, by their names: entries of a dictionary
    of observations, or what the task's `senses` names. Acting needs none of them."""
    critic_columns: tuple[Natural, ...] = ()
    """Their numbers in the observation; set in agents."""
    normalize_observations: bool = True
    """Subtract the running mean and divide by the running standard deviation."""
    normalizer_precision: Literal["double", "single"] = "single"
    """Of this arithmetic. `double` (new pools): the mean is subtracted in float64, and all that
    varies by more than rounding errors is scaled to variance 1. `single` (pools and agents without
    the key): observations are rounded to float32 first, and standard deviations below 0.001 count
    as 0.001."""

    @property
    def has_memory(self) -> bool:
        """Whether the network carries a state from step to step."""
        return False

    @property
    def learns_in_microbatches(self) -> bool:
        """Whether gradients may be computed in microbatches, by `learner.microbatch_size`."""
        return False


class MLPSpec(_Network, frozen=True, tag="mlp"):
    """Actor and critic as multi-layer perceptrons, in NumPy."""

    actor: Sizes = (64, 64)
    """Widths of the hidden layers, or `simple` (64, 64), `deeper` (64, 64, 64, 32) or `wider`
    (1024, 512)."""
    critic: Sizes = (64, 64)
    """The same of the critic."""
    activation: Literal["tanh", "relu", "elu", "silu"] = "tanh"
    """Of the hidden layers."""
    shared: bool = False
    """One trunk, of the widths of `actor`, for both; `critic` must be the same or left out."""
    hidden_gain: NonNegative = 1.4142135623730951
    """Weights are orthogonal at first, times this gain (Saxe et al. 2014)."""
    policy_gain: NonNegative = 0.01
    """Of the actor's last layer: small, for nearly the same actions everywhere at first."""
    value_gain: NonNegative = 1.0
    """Of the critic's last layer."""

    def __post_init__(self) -> None:
        _check_trunk(self)

    @property
    def learns_in_microbatches(self) -> bool:
        return not self.shared


class RecurrentSpec(_Network, frozen=True, tag="recurrent"):
    """Actor and critic with a memory: hidden layers, a recurrent layer, a linear one.

    They learn by back-propagation through time, truncated after `learner.sequence_steps`.
    """

    actor: Sizes = (64,)
    """Widths of the layers before the memory."""
    critic: Sizes = (64,)
    """The same of the critic."""
    activation: Literal["tanh", "relu", "elu", "silu"] = "tanh"
    """Of the layers before the memory."""
    cell: Literal["rnn", "gru", "lstm"] = "lstm"
    """`rnn`: h' = tanh(W x + b + U h + c) (Elman 1990); `gru` (Cho et al. 2014); `lstm` (Hochreiter
    & Schmidhuber 1997); as in torch."""
    memory: Annotated[int, Meta(ge=1, le=10_000)] = 64
    """Width of the recurrent layer."""
    shared: bool = False
    """One trunk with one memory, of the widths of `actor`, for both; `critic` must be the same or
    left out."""
    hidden_gain: NonNegative = 1.4142135623730951
    """As for `mlp`; the recurrent layer's weights are orthogonal, by gate, with gain 1, and the
    forget gate's bias is 1 (Jozefowicz et al. 2015)."""
    policy_gain: NonNegative = 0.01
    """As for `mlp`."""
    value_gain: NonNegative = 1.0
    """As for `mlp`."""

    def __post_init__(self) -> None:
        _check_trunk(self)

    @property
    def has_memory(self) -> bool:
        return True


class QMLPSpec(_Network, frozen=True, tag="q_mlp"):
    """Actor and critic of actions, Q(s, a), as perceptrons in NumPy, with target copies of both and
    the dual variables of `mpo`, which alone trains it."""

    distribution: Literal["auto", "tanh_mean_gaussian"] = "auto"
    """A gaussian whose mean is the tanh of an output; `auto` is the same."""
    actor: Sizes = (256, 256)
    """Widths of the hidden layers, as for `mlp`."""
    critic: Sizes = (256, 256)
    """The same of the critic."""
    activation: Literal["tanh", "relu", "elu", "silu"] = "relu"
    """Of the hidden layers."""

    def __post_init__(self) -> None:
        if self.critic_senses:
            raise ValueError("critic_senses: actor and critic of a q_mlp see the same")


class EncoderDecoderSpec(_Network, frozen=True, tag="encoder_decoder"):
    """An encoder of some senses, a bottleneck, and a decoder of its latent variables and of the
    other senses, with or without a memory; a critic of all senses; in NumPy.

    It is the network of the virtual rodent (Aldarondo et al. 2024, Nature 632), after neural
    probabilistic motor primitives (Merel et al. 2019). Its outputs are within ±1: the means of
    actions in units of half their range, and what `std` makes standard deviations of.
    """

    distribution: Literal["auto", "gaussian"] = "auto"
    """`auto` is gaussian."""
    std: Literal["free", "network", "schedule"] = "network"
    """As for other networks; but with `network`, σ goes in proportion to an output, from `std_min`
    at −1 to `std_max` at 1, and `std_init` is not used."""
    std_init: Std = 0.2
    """As for other networks."""
    std_max: Std = 0.5
    """As for other networks."""
    encoder_senses: tuple[Text, ...] = ()
    """Parts of the observation that the encoder sees, and the decoder does not, by their names, as
    for `critic_senses`."""
    encoder_columns: tuple[Natural, ...] = ()
    """Their numbers in the observation; set in agents."""
    encoder: Sizes = (256, 256)
    """Widths of the encoder's hidden layers, as for `mlp`."""
    bottleneck: Literal["variational", "deterministic", "noisy", "none"] = "variational"
    """How the encoder's last layer gives the latent variables z. `variational`: z = μ + σξ with
    normal ξ, where μ and log σ / 3 are tanh of a linear layer; the penalty `kl`, the mean over the
    variables of (μ² + σ² − 1)/2 − log σ, needs a weight in `learner.penalties` (Kingma & Welling
    2014). `deterministic`: z = tanh of a linear layer. `noisy`: that, plus `noise_scale` times
    normal noise. `none`: there is no encoder, and the decoder sees all. The linear layer is zero at
    first; deterministic actions take ξ = 0."""
    latent_size: Annotated[int, Meta(ge=1, le=10_000)] = 60
    """Number of latent variables."""
    noise_scale: Positive = 1.0
    """Standard deviation of the noise of `noisy`."""
    decoder: Sizes = (256, 256)
    """Widths of the decoder's layers before its output."""
    decoder_kind: Literal["lstm", "mlp"] = "lstm"
    """`lstm`: each layer has a memory (Hochreiter & Schmidhuber 1997), and learns by
    back-propagation through time, truncated after `learner.sequence_steps`. `mlp`: none has one."""
    decoder_output: Literal["linear", "lstm"] = "linear"
    """The last layer: linear, then tanh; or an LSTM with a unit for each output, whose values are
    within ±1."""
    critic: Sizes = (256, 256)
    """Widths of the critic's hidden layers, as for `mlp`."""
    activation: Literal["tanh", "relu", "elu", "silu"] = "tanh"
    """Of encoder, critic and `mlp` decoder."""
    value_scale: Positive = 1.0
    """Factor of the critic's last layer, such as 1/(1 − γ) for values of rewards of the order of 1;
    not with `learner.normalize_values`, which has a scale of its own."""
    hidden_gain: NonNegative = 1.4142135623730951
    """As for `mlp`."""
    policy_gain: NonNegative = 0.01
    """As for `mlp`, of a linear output; weights of an LSTM are as for `recurrent`."""
    value_gain: NonNegative = 0.0
    """Of the critic's last layer: all values are 0 at first."""

    def __post_init__(self) -> None:
        if self.bottleneck == "none" and self.encoder_senses:
            raise ValueError("encoder_senses: without a bottleneck there is no encoder")
        if self.bottleneck != "none" and not self.encoder_senses:
            raise ValueError("encoder_senses: name what the encoder sees, or set bottleneck = none")
        if both := set(self.encoder_senses) & set(self.critic_senses):
            names = ", ".join(sorted(both))
            raise ValueError(f"critic_senses: the encoder sees {names} too")
        if self.noise_scale != 1.0 and self.bottleneck != "noisy":
            raise ValueError("noise_scale: needs bottleneck = noisy")
        if self.decoder_kind == "mlp" and self.decoder_output == "lstm":
            raise ValueError("decoder_output: lstm needs decoder_kind = lstm")
        if self.decoder_kind == "lstm" and not self.lstm_widths(1):
            raise ValueError("decoder: an lstm needs a layer")

    @property
    def has_memory(self) -> bool:
        return self.decoder_kind == "lstm"

    @property
    def learns_in_microbatches(self) -> bool:
        return True

    @property
    def penalties(self) -> tuple[str, ...]:
        """Names of what it adds to the loss, times `learner.penalties`."""
        return ("kl",) if self.bottleneck == "variational" else ()

    @property
    def noise_size(self) -> int:
        """Normal numbers that it takes for each observation."""
        return self.latent_size if self.bottleneck in ("variational", "noisy") else 0

    def lstm_widths(self, outputs: int) -> tuple[int, ...]:
        """Widths of the layers of the decoder that have a memory.

        Args:
            outputs: number of outputs of the decoder.
        """
        if self.decoder_kind == "mlp":
            return ()
        return (*self.decoder, outputs) if self.decoder_output == "lstm" else self.decoder


class ModuleSpec(_Network, frozen=True, kw_only=True, tag="module"):
    """A user's own `torch.nn.Module`; docs/own_networks.md says what it must do."""

    source: Text
    """path/to/file.py:Class, or package.module:Class."""
    kwargs: dict[str, Any] = {}
    """Keyword arguments of its constructor."""
    source_sha256: Text = ""
    """SHA-256 of its file. This and what follows is set when the pool is created."""
    arrays: dict[str, tuple[Natural, ...]] = {}
    """Name -> shape of its parameters."""
    constants: dict[str, tuple[Text, tuple[Natural, ...]]] = {}
    """Name -> type and shape of its buffers, and of its parameters without a gradient."""
    state: tuple[tuple[Natural, ...], ...] = ()
    """Shapes of its memory, for each simulation."""
    noise_size: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    """Normal numbers that it takes for each observation."""
    penalties: tuple[Text, ...] = ()
    """Names of what it adds to the loss, times `learner.penalties`."""

    @property
    def has_memory(self) -> bool:
        """Known when the pool is created."""
        return bool(self.state)


NetworkSpec = MLPSpec | RecurrentSpec | QMLPSpec | EncoderDecoderSpec | ModuleSpec
KINDS = (MLPSpec, RecurrentSpec, QMLPSpec, EncoderDecoderSpec, ModuleSpec)


ARCHITECTURES = {"simple": (64, 64), "deeper": (64, 64, 64, 32), "wider": (1024, 512)}
"""Widths of hidden layers by name."""


def default_name(learner: Any) -> str:
    """The name of the network that a learner trains where none is named.

    Args:
        learner: its name.
    """
    return "q_mlp" if learner == "mpo" else "mlp"


def complete(network: Any, learner: Any = None) -> None:
    """Name the network of a table that names none, replace names of architectures by their widths,
    and let the critic follow a shared trunk where it is left out.

    Args:
        network: of a configuration, a pool or an agent; changed in place. What is not a table is
            left as it is, to be refused where it is converted.
        learner: name of the learner that trains it, which decides the network's.
    """
    if not isinstance(network, dict):
        return
    network.setdefault("name", default_name(learner))
    for key in ("actor", "critic", "encoder", "decoder"):
        if isinstance(network.get(key), str) and network[key] in ARCHITECTURES:
            network[key] = list(ARCHITECTURES[network[key]])
    if network.get("shared") is True and "actor" in network:
        network.setdefault("critic", network["actor"])


def _check_trunk(network: MLPSpec | RecurrentSpec) -> None:
    actor, critic = list(network.actor), list(network.critic)
    if network.shared and actor != critic:
        raise ValueError(f"critic is {critic}, but shares the trunk {actor}")
    if network.shared and network.critic_senses:
        raise ValueError("critic_senses: a shared trunk sees them too; set shared = false")
