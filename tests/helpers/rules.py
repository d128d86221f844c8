"""A small pool of each merge rule, and some that explore, for what every rule promises.

A new rule is an entry of RULES; the tests of promises run over all of them.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

from poolrl.config.loading import load
from poolrl.config.run_options import RunOptions
from poolrl.config.schema import Spec
from poolrl.pool.directory import Pool, make_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.records.records import MergeRecord
from poolrl.worker.loop import Worker
from poolrl.worker.unit_computation import UnitComputation

ITERATIONS = 4

COMMON: dict[str, object] = {
    "task.id": "Swimmer-v5",
    "task.max_episode_steps": 8,
    "task.max_simulations": 4,
    "network.actor": [6],
    "network.critic": [6],
    "pool.count": 4,
    "pool.iterate_episodes": 4,
    "pool.evaluate_episodes": 4,
    "pool.closing_episodes": 4,
    "pool.lease_duration": 0.5,
    "learner.name": "ppo",
    "learner.episodes_per_update": 4,
    "learner.minibatch_size": 16,
    "learner.microbatch_size": 4,
    "learner.epochs": 1,
    "learner.learning_rate": 1.0,
    "selection.keep_parent": False,
}
"""A task and a learner that share out their work to threads. Steps are too long, so that branches
are often worse than their parent."""


class Rule(NamedTuple):
    """An entry of the table.

    Attributes:
        keys: of the specification, beside COMMON.
        merges: that are among those of its pool: `MergeRecord.rule`.
        situation: of the fault harness that has its files: a key of
            `tests.faults.situations.SITUATIONS`.
    """

    keys: dict[str, object]
    merges: frozenset[str]
    situation: str


RULES = {
    "best": Rule({}, frozenset({"best branch"}), "making"),
    "keep parent": Rule(
        {"selection.keep_parent": True}, frozenset({"best branch", "parent kept"}), "making"
    ),
    "fewer later": Rule(
        {"pool.later_count": 2, "merge.candidates": [2]},
        frozenset({"best branch", "best candidate"}),
        "candidates",
    ),
    "fallback": Rule(
        {"merge.fallback": 0}, frozenset({"best branch", "best-ever fallback"}), "falling back"
    ),
    "mean": Rule(
        {
            "merge.rule": "mean",
            "merge.step": 1.5,
            "merge.momentum": 0.5,
            "merge.fallback": 0,
        },
        frozenset({"mean", "best-ever fallback"}),
        "averaging",
    ),
    "rank": Rule(  # whose weights are those of the evolving values too
        {
            "merge.rule": "mean",
            "merge.weights": "rank",
            "branches.learning_rate": {"evolve": 0.5},
        },
        frozenset({"mean"}),
        "averaging",
    ),
    "candidates": Rule(
        {"merge.candidates": [1, 2, 4]},
        frozenset({"best branch", "best candidate"}),
        "candidates",
    ),
    "update": Rule(
        {"merge.rule": "update", "learner.learning_rate": 0.1}, frozenset({"update"}), "sharing"
    ),
    "evolving": Rule(
        {"merge.candidates": [1, 2], "branches.learning_rate": {"evolve": 0.5}},
        frozenset({"best branch", "best candidate"}),
        "evolving",
    ),
    "exploring": Rule(
        # Branches keep the champion's policy, and so their scores are the same.
        {"learner.name": "dep", "exploration.tau": 4, "merge.candidates": [1, 2]},
        frozenset({"best branch"}),
        "exploring",
    ),
    "mpo with dep": Rule(
        {
            "learner.name": "mpo",
            "learner.batch_size": 8,
            "learner.batches": 2,
            "learner.update_interval": 8,
            "learner.warmup_steps": 8,
            "learner.replay_start": 8,
            "learner.learning_rate": 0.3,
            "learner.replay_window": 100,
            "exploration.tau": 4,
            "exploration.intervention_probability": 0.2,
            "exploration.greedy_every": 3,
            "exploration.prefill_steps": 140,  # ends in the second iteration
            "merge.candidates": [1, 2],
        },
        frozenset({"best branch", "best candidate"}),
        "exploring off-policy",
    ),
}


ENCODED: dict[str, object] = {
    "task.id": "Plateau-v0",
    "task.kwargs": {"size": 3},
    "network.name": "encoder_decoder",
    "network.encoder_senses": ["first"],
    "network.encoder": [5],
    "network.latent_size": 2,
    "network.decoder": [4, 3],
    "network.decoder_output": "lstm",
    "network.critic": [6],
    "learner.segment_steps": 2,
    "learner.sequence_steps": 2,
    "learner.penalties": {"kl": 0.1},
    "learner.learning_rate": 0.1,
}
"""A network with a bottleneck and a memory, which segments carry on within episodes."""

NETWORK_RULES = {
    "bottleneck, mean": Rule(
        ENCODED | {"merge.rule": "mean", "merge.step": 1.5, "merge.momentum": 0.5},
        frozenset({"mean"}),
        "averaging",
    ),
    "bottleneck, update": Rule(
        ENCODED | {"merge.rule": "update"}, frozenset({"update"}), "sharing"
    ),
}
"""Further pools, of a network with noise, a penalty and a memory, for what concerns workers."""


def spec_of(rule: str, **keys: object) -> Spec:
    """The specification of a rule's pool; keywords have ``__`` for the dots of further keys."""
    given = {key.replace("__", "."): value for key, value in keys.items()}
    own = (RULES | NETWORK_RULES)[rule].keys
    common = COMMON
    for part in ("learner", "network"):
        if f"{part}.name" in own:  # without the options of another one
            common = {k: v for k, v in common.items() if not k.startswith(f"{part}.")}
    model = {} if "task.id" in own else {"task.model_sha256": _model_sha256()}
    return load(None, common | own | given | model)[0]


@cache
def _model_sha256() -> str:
    """Recorded by `poolrl run`, which refuses to go on with pools of another one."""
    computation = UnitComputation(load(None, COMMON)[0])
    computation.close()
    return computation.model_sha256


def finished(
    root: Path,
    rule: str,
    *,
    iterations: int = ITERATIONS,
    keep: str = "champions",
    threads: int = 1,
) -> Pool:
    """Make a rule's pool, and let one worker finish it.

    Args:
        root: its directory.
        rule: of the table.
        iterations: after which it ends.
        keep: which agents stay.
        threads: of the worker.
    """
    run = RunOptions(iterations, keep=keep, threads=threads)
    pool = make_pool(root, spec_of(rule), run)
    Worker(pool, StopCriteria(iterations), run=run).run()
    return pool


def merges(pool: Pool) -> list[MergeRecord]:
    """The merges of a pool, in order."""
    deposits = pool.deposit_store()
    return [deposits.merge(number) for number in deposits.iterations()]
