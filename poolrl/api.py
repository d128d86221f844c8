"""What the commands do, as functions: ``poolrl.Pool``, ``poolrl.train``, ``poolrl.evaluate``."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from poolrl.agent import Agent
from poolrl.config.run_options import RunOptions
from poolrl.config.tables import flatten, override
from poolrl.errors import IncompatiblePool, PoolrlError, UsageError
from poolrl.import_path import python_command
from poolrl.monitoring.history import History, read_history
from poolrl.pool.directory import open_pool

if TYPE_CHECKING:
    import pandas as pd

    from poolrl.monitoring.status_types import Status
    from poolrl.rollouts.evaluation import Summary

ERRORS: dict[int, type[PoolrlError]] = {2: UsageError, 4: IncompatiblePool}
"""Exit code of a run -> what is raised; ``PoolrlError`` for others."""

_WHOLE = re.compile(r'(branches|task\.kwargs|task\.randomize)\.("[^"]+"|[^.]+)')
"""Keys of settings that a table replaces, where others are tables of keys."""


class Pool:
    """A pool's directory. Each call reads its files, and no method changes them.

    Attributes:
        path: of the directory.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """
        Args:
            path: of the directory.

        Raises:
            poolrl.errors.UsageError: it is no pool.
            poolrl.errors.IncompatiblePool: the pool is damaged, or of a newer version.
        """
        self.path = Path(path)
        open_pool(self.path)

    def __repr__(self) -> str:
        return f"poolrl.Pool({str(self.path)!r})"

    def history(self) -> pd.DataFrame:
        """One row a unit and iteration, as `poolrl history`; docs/python.md has the columns."""
        return self._history().table()

    def status(self) -> Status:
        """What the pool is at, as `poolrl status --json`."""
        from poolrl.monitoring.pool_status import StatusReader

        return StatusReader(open_pool(self.path)).read()

    def champion(self, iteration: int | None = None) -> Agent:
        """The agent that the pool would have ended with after an iteration.

        Args:
            iteration: a merged one; ``None`` for the newest.

        Raises:
            poolrl.errors.UsageError: there is no such iteration, or no champion yet.
            poolrl.errors.IncompatiblePool: the champion's file is damaged.
        """
        from poolrl.render.agents import shown_agents

        (shown,) = shown_agents(self.path, None if iteration is None else str(iteration))
        return shown.agent

    def evaluate(self, **options: Any) -> Summary:
        """Measure the newest champion; the options are those of ``poolrl.evaluate``."""
        return evaluate(self, **options)

    def plot(self, output: str | os.PathLike[str], figure: str | None = None) -> Path:
        """Draw the pool's history, as `poolrl plot`.

        Args:
            output: a .png, .pdf or .svg file; for all figures a .pdf file, or a folder.
            figure: one of docs/figures.md, or "all"; by default scores against iteration, steps and
                time.

        Returns:
            Its path.

        Raises:
            poolrl.errors.UsageError: there is no such figure, or the output does not suit.
            poolrl.errors.PoolrlError: there is nothing to draw, or the file cannot be written.
        """
        from poolrl.report.figures.output import write_figures
        from poolrl.report.figures.registry import draw_figures, names_of
        from poolrl.report.plot import plot_history

        output = Path(output)
        if figure is None:
            plot_history(self._history(), output)
        else:
            names = names_of(figure)
            history = self._history()
            write_figures(names, lambda: draw_figures(history, names), output, None)
        return output

    def video(
        self,
        output: str | os.PathLike[str],
        *,
        iterations: str = "last",
        episodes: int = 1,
        seed: int = 0,
        stochastic: bool = False,
        exploration: bool = False,
        ghost: bool = False,
        size: tuple[int, int] | None = None,
        fps: float | None = None,
        quality: Literal["fast", "full"] = "fast",
        camera: str | None = None,
        side_by_side: bool = False,
        task: str | None = None,
        task_kwargs: Mapping[str, Any] | None = None,
        network: str | None = None,
        trust: bool = False,
    ) -> Path:
        """Make a video of champions, as `poolrl render`.

        Args:
            output: a .mp4, .gif or .webp file.
            iterations: whose champions are shown, as in "0,10,last".
            episodes: of each.
            seed: of the episodes, which are those of ``evaluate`` with the same two arguments.
            stochastic: sample actions.
            exploration: let exploration act as the pool's training does.
            ghost: show the movement that is imitated beside, translucent.
            size: width and height of a panel in pixels.
            fps: frames a second; by default one a control step.
            quality: "fast" leaves out shadows, reflections and smoothed edges.
            camera: name of one of the model's.
            side_by_side: show iterations, or else episodes, in panels.
            task, task_kwargs, network, trust: as of ``poolrl.evaluate``.

        Returns:
            The path of the file.

        Raises:
            poolrl.errors.UsageError: an argument is wrong, the extra `video` is missing, or nothing
                can draw here.
        """
        from poolrl.cli.agents import permitted_world
        from poolrl.render.agents import exploration_of, shown_agents
        from poolrl.render.encode import output_format
        from poolrl.render.recording import record
        from poolrl.render.video import VideoOptions, make_video
        from poolrl.rollouts.evaluation import NO_EXPLORATION

        if episodes < 1 or seed < 0:
            raise UsageError(
                f"expected episodes >= 1 and seed >= 0, got episodes={episodes}, seed={seed}"
            )
        output = Path(output)
        output_format(output)
        shown = shown_agents(self.path, iterations)
        recordings = []
        for each in shown:
            named = task, task_kwargs or {}, network
            with permitted_world(each.agent, *named, trust=trust) as world:
                recordings.append(
                    record(
                        *(each.agent, world, episodes, seed),
                        deterministic=not stochastic,
                        exploration=exploration_of(each) if exploration else NO_EXPLORATION,
                        ghost=ghost,
                    )
                )
        rate = None if fps is None else Fraction(fps).limit_denominator(100_000)
        looks = VideoOptions(size, rate, quality, camera, side_by_side, task)
        make_video(shown, recordings, output, looks)
        return output

    def activations(
        self,
        output: str | os.PathLike[str],
        *,
        simulations: int = 64,
        task: str | None = None,
        task_kwargs: Mapping[str, Any] | None = None,
        network: str | None = None,
        trust: bool = False,
    ) -> Path:
        """Record what every layer of the newest champion computes over all clips of an imitation
        task, as `poolrl activations`; docs/activations.md has the names in the file.

        Args:
            output: a .h5 file.
            simulations: the most clips side by side.
            task, task_kwargs, network, trust: as of ``poolrl.evaluate``; ``{"clips": "other.h5"}``
                plays other clips.

        Returns:
            The path of the file.

        Raises:
            poolrl.errors.UsageError: task or network are others, the extra `clips` is missing, or
                the file cannot be written.
            poolrl.errors.Divergence: a simulation became unstable.
        """
        from poolrl.activations.recording import record_activations
        from poolrl.cli.agents import permitted_world

        if simulations < 1:
            raise UsageError(f"expected simulations >= 1, got simulations={simulations}")
        agent, output = self.champion(), Path(output)
        named = task, task_kwargs or {}, network
        with permitted_world(agent, *named, trust=trust) as world:
            record_activations(agent, world, output, simulations=simulations)
        return output

    def log(self, folder: str | os.PathLike[str]) -> Path:
        """Write what is new for TensorBoard, as `poolrl log --tensorboard`.

        Args:
            folder: of the event file.

        Raises:
            poolrl.errors.UsageError: the extra `tensorboard` is missing, or the folder holds event
                files of something else.
            poolrl.errors.PoolrlError: another process writes there.
        """
        from poolrl.report.tensorboard import EventLog

        history = self._history()
        events = EventLog(history.pool, Path(folder))
        try:
            if not events.update(history):
                raise PoolrlError(f"{folder}: another process writes there")
        finally:
            events.close()
        return Path(folder)

    def _history(self) -> History:
        return read_history(self.path)


def evaluate(
    agent: Agent | Pool | str | os.PathLike[str],
    *,
    episodes: int = 100,
    seed: int = 0,
    stochastic: bool = False,
    simulations: int = 64,
    task: str | None = None,
    task_kwargs: Mapping[str, Any] | None = None,
    network: str | None = None,
    trust: bool = False,
) -> Summary:
    """Measure an agent on the task that it was trained for, as `poolrl evaluate`.

    Args:
        agent: an agent, its file, or a pool, which means its newest champion.
        episodes: number of them.
        seed: of the episodes.
        stochastic: sample actions instead of playing their mode.
        simulations: the most side by side.
        task: ``FILE.py:CLASS``, to let the agent's task run if it is this user's own.
        task_kwargs: arguments of the task that are others than the agent was trained with.
        network: the same of its network.
        trust: let a user's own code run, whatever it is.

    Returns:
        Statistics of the undiscounted returns: mean, 95 % interval, standard deviation, extremes,
        the mean length in control steps, and means of the values of the task's ``info``.

    Raises:
        poolrl.errors.UsageError: there is no agent, or its code was not permitted.
    """
    from poolrl.cli.agents import permitted_world
    from poolrl.render.agents import shown_agents
    from poolrl.rollouts.evaluation import evaluate_agent

    if isinstance(agent, Pool):
        agent = agent.path
    aggregates = None
    if not isinstance(agent, Agent):
        (shown,) = shown_agents(Path(agent))
        agent, aggregates = shown.agent, shown.aggregates
    if episodes < 1 or simulations < 1 or seed < 0:
        raise UsageError(
            f"expected episodes >= 1, simulations >= 1 and seed >= 0, got episodes={episodes}, "
            f"simulations={simulations}, seed={seed}"
        )
    with permitted_world(agent, task, task_kwargs or {}, network, trust=trust) as world:
        return evaluate_agent(
            agent,
            world,
            episodes,
            seed,
            deterministic=not stochastic,
            simulations=simulations,
            aggregates=aggregates,
        )


def train(
    pool_directory: str | os.PathLike[str],
    config: str | os.PathLike[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    *,
    task: str | None = None,
    network: str | None = None,
    from_agent: str | os.PathLike[str] | None = None,
    trust: bool = False,
    quiet: bool = False,
    **options: Any,
) -> Pool:
    """Train until the pool has ended, as `poolrl run`: by a process of its own with local workers.

    A pool that is there goes on. An interrupt (Ctrl-C, or a notebook's stop button) ends the run,
    and the same call goes on from there.

    Args:
        pool_directory: where the pool is, or shall be.
        config: a TOML file; without one, the pool's own, or the defaults.
        settings: keys of a configuration, dotted ("learner.clip_range") or nested.
        task: an id, or a user's own ``FILE.py:CLASS``.
        network: a user's own ``FILE.py:CLASS``.
        from_agent: an agent file to start from.
        trust: let a user's own code run that is not named here.
        quiet: print nothing.
        **options: of the run, by the names of ``[run]``: iterations, workers, tensorboard, ….

    Returns:
        The pool.

    Raises:
        poolrl.errors.UsageError: an input is wrong; nothing has been changed.
        poolrl.errors.IncompatiblePool: the directory holds a pool of another specification.
        poolrl.errors.PoolrlError: the run failed; ``exit_code`` is its own.
    """
    for name in options:
        if name not in RunOptions.__struct_fields__:
            known = ", ".join(RunOptions.__struct_fields__)
            raise TypeError(f"train: no option {name!r} of a run; there are {known}")
    arguments = ["run", "--pool-directory", os.fspath(pool_directory)]
    keys = flatten(settings or {}, whole=_WHOLE, quoted=True)
    keys |= {f"run.{name}": value for name, value in options.items() if value is not None}
    for key, value in keys.items():
        arguments += ["--set", override(key, value)]
    for name, text in (("task", task), ("network", network), ("from-agent", from_agent)):
        arguments += [] if text is None else [f"--{name}", os.fspath(text)]
    arguments += ["--trust"] if trust else []
    if config is not None:
        arguments += ["--", os.fspath(config)]
    _run(arguments, quiet=quiet)
    return Pool(pool_directory)


def _run(arguments: list[str], *, quiet: bool) -> None:
    """Run a command in a process, so that its signals, threads and output are its own.

    Raises:
        PoolrlError: it failed, with the last line that it printed.
    """
    last = ""
    with subprocess.Popen(
        [*python_command("poolrl"), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # an interrupt reaches it once, from here
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                last = line.rstrip("\n") or last
                if not quiet:
                    print(line, end="", flush=True)
        except BaseException:
            process.send_signal(signal.SIGINT)
            process.wait()
            raise
    if code := process.returncode:
        said = last.removeprefix("poolrl: ") if code > 0 else f"killed by signal {-code}"
        error = ERRORS.get(code, PoolrlError)(said)
        error.exit_code = code
        raise error
