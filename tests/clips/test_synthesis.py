"""Synthetic clips of the rat."""

from __future__ import annotations

import numpy as np
import pytest

from poolrl.clips import Clip, synthesis
from poolrl.clips.preprocess import Body
from poolrl.clips.styles import STYLES
from poolrl.clips.synthesis import LOWEST_CENTER, synthesize
from poolrl.errors import UsageError
from poolrl.tasks.imitation.rodent import TRACKED_BODIES
from tests.helpers.clips import assert_same, with_value
from tests.helpers.rodents import driven_by_positions, needs_dm

pytestmark = needs_dm


@pytest.fixture(scope="module")
def body() -> Body:
    return driven_by_positions()


def made(body: Body, clips: int, seconds: float, seed: int, *labels: str) -> list[Clip]:
    styles = {label: STYLES[label] for label in labels or STYLES}
    return list(synthesize(body, clips=clips, seconds=seconds, seed=seed, styles=styles))


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Record before the movement has reached its size, which saves time."""
    monkeypatch.setattr(synthesis, "SETTLING_SECONDS", 0.2)


def test_a_clip_depends_on_the_seed_and_its_number_alone(body: Body, soon: None) -> None:
    two = made(body, 2, 0.2, 5, "Walk", "Groom")
    assert [(clip.name, clip.label, clip.fps) for clip in two] == [
        ("clip_0", "Walk", 50.0),
        ("clip_1", "Groom", 50.0),
    ]
    assert all(clip.num_frames == 10 for clip in two)
    assert two[0].counts == {"joints": 67, "appendages": 5, "bodies": 18}
    (one,) = made(body, 1, 0.2, 5, "Walk", "Groom")
    assert_same(one, two[0])
    (other,) = made(body, 1, 0.2, 6, "Walk", "Groom")
    assert np.abs(other.joints - one.joints).max() > 0.001


def test_what_falls_is_drawn_again(body: Body, soon: None, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Clip] = []

    def stands(clip: Clip) -> bool:
        drawn.append(clip)
        return len(drawn) == 3

    monkeypatch.setattr(synthesis, "_stands", stands)
    (clip,) = made(body, 1, 0.1, 0, "Still")
    assert_same(clip, drawn[2])
    assert len(drawn) == 3
    assert not np.array_equal(drawn[0].joints, drawn[1].joints)
    monkeypatch.setattr(synthesis, "MAX_ATTEMPTS", 2)
    monkeypatch.setattr(synthesis, "_stands", lambda clip: False)
    with pytest.raises(UsageError, match="Still: the body falls in each of 2 draws"):
        made(body, 1, 0.1, 0, "Still")


def test_a_fall_is_seen(body: Body, soon: None) -> None:
    (clip,) = made(body, 1, 0.1, 0, "Still")
    assert synthesis._stands(clip)
    low = clip.center_of_mass.copy()
    low[3, 2] = LOWEST_CENTER - 1e-6
    over = clip.quaternion.copy()
    over[2] = 0.0, 1.0, 0.0, 0.0
    for field, array in (("center_of_mass", low), ("quaternion", over)):
        assert not synthesis._stands(with_value(clip, field, array))


def test_clips_have_frames(body: Body) -> None:
    for seconds in (0.001, 1e9, float("inf"), float("nan")):
        with pytest.raises(UsageError, match="expected 1 to 10,000,000"):
            made(body, 1, seconds, 0)


@pytest.mark.full
def test_styles_differ(body: Body) -> None:
    clips = made(body, 14, 2.0, 1)
    assert [clip.label for clip in clips] == list(STYLES) * 2
    skull = 3 * TRACKED_BODIES.index("skull") + 2

    def of(label: str, value: str) -> float:
        """The mean over a style's clips of a value that tells it from others."""
        mean = {
            "height": lambda clip: clip.body_positions[:, skull].max(),
            "way": lambda clip: np.linalg.norm(np.ptp(clip.center_of_mass[:, :2], axis=0)),
            "motion": lambda clip: np.abs(clip.joints_velocity).mean(),
        }[value]
        return float(np.mean([mean(clip) for clip in clips if clip.label == label]))

    for clip in clips:
        assert clip.center_of_mass[:, 2].min() >= LOWEST_CENTER
    assert of("Rear", "height") > 1.3 * of("Still", "height") > 1.3 * of("Groom", "height")
    for label in ("Walk", "Turn"):
        assert of(label, "way") > 5 * of("Still", "way")
        assert of(label, "motion") > 3 * of("Still", "motion")
    assert of("Sway", "motion") > 1.3 * of("Still", "motion")
    assert of("HeadScan", "motion") > 1.3 * of("Still", "motion")
