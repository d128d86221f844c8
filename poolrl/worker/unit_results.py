"""What a unit's record holds of its training, and of its evaluation."""

from __future__ import annotations

import logging
import math
import statistics

from poolrl.agent import Agent
from poolrl.algorithms.types import Training
from poolrl.config.schema import Spec
from poolrl.errors import Divergence
from poolrl.records.evaluation import Evaluation, InfoRecord
from poolrl.records.records import TrainingRecord
from poolrl.records.work_units import KINDS, Unit
from poolrl.rollouts.episode_infos import EpisodeInfos
from poolrl.rollouts.evaluation import evaluate
from poolrl.seeding import Purpose, Streams
from poolrl.tasks import Task

log = logging.getLogger("poolrl.worker")


def training_record(trained: Training) -> TrainingRecord:
    """The record of a training.

    Raises:
        Divergence: a metric is not finite, which JSON cannot hold.
    """
    for name, value in trained.metrics.items():
        if not math.isfinite(value):
            raise Divergence(f"{name} is not finite")
    return TrainingRecord(
        episodes=len(trained.returns),
        environment_steps=trained.environment_steps,
        updates=trained.updates,
        mean_return=statistics.fmean(trained.returns) if trained.returns else None,
        metrics=trained.metrics,
    )


def evaluation_of(spec: Spec, unit: Unit, agent: Agent, task: Task, said: set[str]) -> Evaluation:
    """Evaluate an agent on the seeds of a unit.

    Args:
        spec: of the pool.
        unit: gives the seeds.
        agent: to evaluate.
        task: with as many simulations as the specification says.
        said: notes about the task's ``info`` that were logged, and are not logged again.

    Raises:
        Divergence: a return is not finite, or a simulation became unstable; or a unit that is
            selected by its score has none.
    """
    reserved = KINDS[unit.kind].reserved_seeds
    episodes = spec.pool.closing_episodes if reserved else spec.pool.evaluate_episodes
    streams = Streams(spec.pool.seed, unit.evaluation_key)
    deterministic = spec.evaluation.deterministic
    selection = spec.selection
    infos = EpisodeInfos(task, spec.evaluation.info, first=selection.info_name)
    results = evaluate(
        agent.policy,
        task,
        streams.generators(Purpose.EVALUATE_RESET, 0, episodes),
        None if deterministic else streams.generator(Purpose.EVALUATE_ACTION),
        infos,
    )
    table = infos.table(results.infos)
    for note in infos.notes:
        if note not in said:
            said.add(note)
            log.warning("%s", note)
    evaluation = Evaluation.of(
        results.returns.tolist(),
        results.lengths.tolist(),
        deterministic=deterministic,
        info={name: InfoRecord(*values) for name, values in table.items()},
        by=selection.score,
    )
    # Measurements of a champion stay, without that score.
    if evaluation.selection_score is None and unit.kind not in ("parent", "closing"):
        missing = sum(value is None for value in evaluation.selection_values)
        reason = f"has no finite value in {missing} of {episodes} episodes"
        raise Divergence(f"{selection.score} {reason}")
    return evaluation
