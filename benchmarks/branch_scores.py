"""How many branches keep every pool near the others?

    python benchmarks/branch_scores.py POOL [...] [--iteration 1] [--start 0] [--count 10 …]

The pools are of one configuration and differ in their seeds. Of one iteration's branches: quantiles
of their scores; whether pools differ by more than chance (Kruskal and Wallis 1952); and, for
pools that do not, how far the worst of as many is below their median when each takes the best of
branches that are drawn at random from all of these.
"""

from __future__ import annotations

import math
from pathlib import Path

import click
import numpy as np
import scipy.stats
from analysis import worst_to_median
from numpy.typing import NDArray

from poolrl.monitoring.history import History
from poolrl.pool.directory import open_pool

F64 = NDArray[np.float64]
TRIALS = 20_000


def branch_scores(pool: Path, iteration: int, start: int) -> list[float]:
    """Scores of the branches of an iteration that have one, from index `start` on."""
    history = History(open_pool(pool))
    history.refresh()
    return [
        unit.score
        for unit in history.units
        if (unit.iteration, unit.kind) == (iteration, "branch") and unit.index >= start
        if unit.score is not None and math.isfinite(unit.score)
    ]


def worst_below_median(scores: F64, pools: int, count: int, generator: np.random.Generator) -> F64:
    """How far the worst of some pools is below their median, as a fraction of it.

    Args:
        scores: of branches, from which those of each pool are drawn with replacement.
        pools: number of pools.
        count: number of branches of each.
        generator: of the draws.

    Returns:
        (TRIALS,)
    """
    best = generator.choice(scores, (TRIALS, pools, count)).max(axis=2)
    return np.array([worst_to_median(trial) for trial in best.tolist()])


@click.command()
@click.argument("pools", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--iteration", default=1, show_default=True)
@click.option(
    "--start",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    help="The first branch: to leave out those by which something was chosen.",
)
@click.option(
    "--count",
    "counts",
    multiple=True,
    default=(5, 10, 20, 30),
    show_default=True,
    type=click.IntRange(1),
    help="Number of branches.",
)
def main(pools: tuple[Path, ...], iteration: int, start: int, counts: tuple[int, ...]) -> None:
    """Print what the scores of POOLS' branches say of other numbers of branches."""
    by_pool = [found for pool in pools if (found := branch_scores(pool, iteration, start))]
    if not by_pool:
        raise click.UsageError(f"no branch of iteration {iteration} from {start} on has a score")
    scores = np.concatenate(by_pool)
    low, quarter, median, three_quarters, high = np.quantile(scores, [0, 0.25, 0.5, 0.75, 1])
    click.echo(
        f"{len(scores)} branches of {len(by_pool)} pools: median {median:,.0f}, quartiles "
        f"{quarter:,.0f} and {three_quarters:,.0f}, {low:,.0f} to {high:,.0f}"
    )
    if len(by_pool) > 1:
        p = scipy.stats.kruskal(*by_pool).pvalue
        click.echo(f"Kruskal–Wallis test that pools do not differ: p = {p:.2g}")
    generator = np.random.default_rng(0)
    for count in counts:
        below = worst_below_median(scores, len(by_pool), count, generator)
        click.echo(
            f"{count} branches: the worst of {len(by_pool)} pools is {np.median(below):.1%} below "
            f"their median, within 10 % of it in {(below <= 0.1).mean():.0%} of {TRIALS:,} draws"
        )


if __name__ == "__main__":
    main()
