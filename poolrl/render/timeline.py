"""When each moment of an episode is shown: frames in real time; panels wait for the longest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from math import ceil
from typing import NamedTuple

from poolrl.render.job import Moment


class Panel(NamedTuple):
    """A place in the picture that shows episodes, one after another.

    Attributes:
        episodes: indices of the episodes.
        captions: written into each of them.
    """

    episodes: list[int]
    captions: list[str]


class Frame(NamedTuple):
    """A frame of the video.

    Attributes:
        moments: of each panel.
        part: how many episodes of each panel came before.
    """

    moments: list[Moment]
    part: int


def shown_steps(steps: int, period: Fraction, fps: Fraction) -> Iterator[int]:
    """The control steps that frames of an episode show: of each time the nearest one, and the last
    one at the end.

    Args:
        steps: control steps of the episode.
        period: duration of a control step in seconds.
        fps: frames a second.
    """
    per_frame = 1 / (fps * period)  # control steps
    for frame in range(ceil(steps / per_frame) + 1):
        yield min(steps, int(frame * per_frame + Fraction(1, 2)))


def frames(
    panels: Sequence[Panel], steps: Sequence[int], period: Fraction, fps: Fraction
) -> list[Frame]:
    """The frames of a video, in order.

    The first episodes of all panels begin together, then the second ones, and so on; a panel whose
    episode has ended shows its last moment until the longest one has ended.

    Args:
        panels: each with the same number of episodes.
        steps: control steps of each episode.
        period: duration of a control step in seconds.
        fps: frames a second.
    """
    result = []
    for part, episodes in enumerate(zip(*(panel.episodes for panel in panels), strict=True)):
        for step in shown_steps(max(steps[episode] for episode in episodes), period, fps):
            moments = [Moment(episode, min(step, steps[episode])) for episode in episodes]
            result.append(Frame(moments, part))
    return result


def drawn_moments(sequence: Sequence[Frame]) -> list[Moment]:
    """The moments that have to be drawn, in order: of each panel those that differ from the one
    before."""
    if not sequence:
        return []
    moments = list(sequence[0].moments)
    for before, frame in pairwise(sequence):
        moments += [
            new for old, new in zip(before.moments, frame.moments, strict=True) if new != old
        ]
    return moments
