"""Structures of the section `[exploration]`: actions that do not come from the policy.

A pool without it has a `pool.toml` as earlier versions wrote it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from msgspec import Meta

from poolrl.config.types import Count, Fraction, Natural, NonNegative, Positive, Section
from poolrl.errors import UsageError

Normalization = Literal["independent", "global", "none"]
QNorm = Literal["l2", "max", "none"]
Mode = Literal["prefill", "alternating", "stochastic", "pure"]

LEARNER = "dep"
"""Name of the learner that explores and does not learn."""

OFF_POLICY = "mpo"
"""Name of the learner that learns from any actions."""


class NoExploration(Section, frozen=True, tag_field="name", tag="none"):
    """Actions are the policy's own."""


class WhiteSpec(Section, frozen=True, tag_field="name", tag="white"):
    """Independent normal noise, added to the actions."""

    scale: NonNegative = 0.1
    """Standard deviation, in units of half the range of an action."""


class UniformSpec(Section, frozen=True, tag_field="name", tag="uniform"):
    """Independent uniform noise, added to the actions."""

    scale: NonNegative = 1.0
    """Largest value, in that unit."""


class PinkSpec(Section, frozen=True, tag_field="name", tag="pink"):
    """Noise with a power spectrum ∝ 1/f^β, added to the actions (Eberhard et al. 2023)."""

    scale: NonNegative = 0.1
    """Standard deviation, in that unit."""
    beta: Annotated[float, Meta(ge=0, le=2)] = 1.0
    """β: 0 is white, 1 pink, 2 red."""


class OrnsteinUhlenbeckSpec(Section, frozen=True, tag_field="name", tag="ou"):
    """Noise of an Ornstein–Uhlenbeck process, added to the actions:
    x ← x − θ·x·dt + scale·√dt·ξ, with normal ξ."""

    scale: NonNegative = 0.1
    """In that unit; the standard deviation tends to scale/√(2θ)."""
    theta: NonNegative = 0.15
    """θ, 1/s."""
    dt: Positive = 0.01
    """Seconds of a control step, as the process takes it."""
    clip: Positive = 2.0
    """Bound of |ξ|."""


class DEPSpec(Section, frozen=True, tag_field="name", tag="dep"):
    """Differential extrinsic plasticity; ``poolrl.exploration.dep`` has the equations. For tasks
    that tell the state of their actuators, one for each number of an action."""

    kappa: Positive = 100.0
    """κ, gain of the matrix and of the response."""
    tau: Annotated[int, Meta(ge=3, le=100_000)] = 20
    """τ, control steps of the window."""
    time_dist: Annotated[int, Meta(ge=0, le=100_000)] = 5
    """d, control steps from a motion to the one that follows from it."""
    bias_rate: Annotated[float, Meta(ge=-1e9, le=1e9)] = 2e-5
    """Rate of the bias; negative for no bias."""
    s4avg: NonNegative = 2.0
    """Control steps over which sensors are smoothed; at most 1 for none."""
    normalization: Normalization = "independent"
    """Of the matrix: by actuator, by simulation, or none."""
    q_norm_selector: QNorm = "l2"
    """Norm that responses are divided by."""
    regularization: Annotated[float, Meta(ge=0, le=300)] = 32.0
    """−log₁₀ of what is added to both norms."""
    buffer_size: Count = 200
    """Control steps that are kept; τ + d must fit."""
    force_scale: NonNegative = 0.0
    """Weight of forces in the sensors, beside lengths; both are scaled by the extrema seen so far,
    which are part of the agent."""
    mode: Mode = "stochastic"
    """When DEP acts instead of the policy. `prefill`: at the start alone. `alternating`: for
    `intervention_length` steps after every `policy_length` of the policy. `stochastic`: for
    `intervention_length` steps after each step of the policy, with `intervention_probability`, a
    draw for each simulation. `pure`: always. While the policy acts, DEP goes on learning. With
    `learner.name = "dep"` it is `pure`."""
    prefill_steps: Natural = 0
    """Control steps of the pool's training in which DEP alone acts at first, in all modes. A branch
    counts its own, after those of all branches of the iterations before."""
    intervention_length: Count = 5
    """Control steps that DEP acts for."""
    intervention_probability: Fraction = 4e-4
    """Of `stochastic`, a step of the policy."""
    policy_length: Count = 100
    """Control steps that the policy acts for, of `alternating`."""
    greedy_every: Natural = 0
    """Every so many training episodes of a unit, one is without DEP, which sees no sensors there;
    0 for none. Of `alternating` and `stochastic`."""

    def __post_init__(self) -> None:
        check_window(self.tau, self.time_dist, self.buffer_size)


class PureExploration(Section, frozen=True, tag_field="name", tag=LEARNER):
    """A learner that does not learn: it acts by `[exploration]` alone, DEP if that is left out, and
    makes no update. The policy stays as it is."""


NoiseSpec = WhiteSpec | UniformSpec | PinkSpec | OrnsteinUhlenbeckSpec
Exploration = NoExploration | WhiteSpec | UniformSpec | PinkSpec | OrnsteinUhlenbeckSpec | DEPSpec

_MYOSUITE = {"kappa": 1169.7, "tau": 40, "bias_rate": 0.002}
PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "default": {},
        "ostrich": {
            "kappa": 20.0,
            "tau": 8,
            "buffer_size": 90,
            "bias_rate": 0.03,
            "s4avg": 1.0,
            "force_scale": 3e-4,
            "intervention_length": 4,
            "intervention_probability": 4e-4,
            "greedy_every": 3,
            "prefill_steps": 300_000,
        },
        "humanreacher": {
            "kappa": 1000.0,
            "tau": 80,
            "buffer_size": 600,
            "s4avg": 6.0,
            "time_dist": 60,
            "force_scale": 0.04,
            "intervention_length": 20,
            "intervention_probability": 0.01,
            "prefill_steps": 300_000,
        },
        "myosuite": {
            **_MYOSUITE,
            "intervention_length": 5,
            "intervention_probability": 4e-4,
            "greedy_every": 3,
            "prefill_steps": 200_000,
        },
        "scone": {
            **_MYOSUITE,
            "kappa": 1000.0,
            "intervention_length": 8,
            "intervention_probability": 0.00371,
            "greedy_every": 3,
            "prefill_steps": 200_000,
        },
    }
)
"""Keys of DEP in the published experiments (Schumacher et al. 2023, DEP-RL, ICLR), by body; what is
not named is as in `default`."""


def check_window(tau: int, time_dist: int, buffer_size: int) -> None:
    """Check that DEP's window and its delay fit into its buffer.

    Raises:
        ValueError: names the parameter.
    """
    if tau < 3:  # the sum leaves out the newest step and the oldest
        raise ValueError(f"tau = {tau}: the smallest window is 3")
    if time_dist < 0:
        raise ValueError(f"time_dist = {time_dist} is negative")
    if tau + time_dist > buffer_size:
        raise ValueError(
            f"tau + time_dist = {tau + time_dist} steps do not fit into buffer_size = {buffer_size}"
        )


def complete(table: dict[str, Any]) -> None:
    """Name the exploration of a section that names none, or of a learner that needs one; replace a
    `preset` of DEP by its values.

    Args:
        table: of a configuration, with the learner's name; changed in place. What is not a table is
            left as it is, to be refused where it is converted.

    Raises:
        UsageError: the preset is unknown, or is not of DEP.
    """
    learner = table.get("learner")
    alone = isinstance(learner, dict) and learner.get("name") == LEARNER
    if alone:
        table.setdefault("exploration", {})
    section = table.get("exploration")
    if not isinstance(section, dict):
        return
    section.setdefault("name", "dep")
    if alone and section["name"] == "dep":
        section.setdefault("mode", "pure")
    if "preset" not in section:
        return
    preset = section.pop("preset")
    if section["name"] != "dep":
        raise UsageError(f"exploration.preset: of dep, not of {section['name']}")
    if not isinstance(preset, str) or preset not in PRESETS:
        raise UsageError(
            f"exploration.preset: unknown value {preset!r}; known: {', '.join(PRESETS)}"
        )
    for key, value in PRESETS[preset].items():
        section.setdefault(key, value)


def check_exploration(exploration: Exploration, learner: str) -> None:
    """Check that a learner can explore as it is to.

    Args:
        exploration: of the specification.
        learner: its name.

    Raises:
        UsageError: names the key.
    """
    name = str(type(exploration).__struct_config__.tag)
    if learner == OFF_POLICY:
        match exploration:
            case DEPSpec(mode="prefill", prefill_steps=0):
                raise UsageError("exploration.prefill_steps: with mode = prefill it must not be 0")
        return
    if learner != LEARNER:
        if not isinstance(exploration, NoExploration):
            raise UsageError(
                f"exploration.name: {name} is not for learner.name = {learner}, which learns from "
                f"the actions of its own policy alone; {OFF_POLICY} learns from all actions, and "
                f"{LEARNER} explores without learning"
            )
        return
    if isinstance(exploration, NoExploration):
        raise UsageError(
            f"exploration.name: learner.name = {LEARNER} explores and does nothing else; with none "
            "nothing is left"
        )
    if isinstance(exploration, DEPSpec) and exploration.mode != "pure":
        raise UsageError(
            f"exploration.mode: {exploration.mode} mixes DEP with a policy that learns from the "
            f"actions of others; with learner.name = {LEARNER} it is pure"
        )
