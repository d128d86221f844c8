"""A short soak; results/soak.md has a long one."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import tiny_spec
from tests.faults.soak import soak


def test_a_pool_that_is_disturbed_all_the_time_ends_as_if_it_were_not(tmp_path: Path) -> None:
    spec = tiny_spec(task__max_episode_steps=600, pool__count=5, pool__lease_duration=1.0)
    broken, lines = soak(tmp_path, spec, minutes=0.4, seed=1, every=0.7)
    assert broken == []
    assert "broken: 0" in lines[-1]
