"""Retention rule: parsing, and the newest iteration that it lets expire."""

from __future__ import annotations

import pytest

from poolrl.config.run_options import RetentionRule, RunOptions
from poolrl.errors import UsageError


def test_newest_expired_iteration() -> None:
    assert RetentionRule.parse("champions").newest_expired(7) == 7
    assert RetentionRule.parse("last:3").newest_expired(7) == 4
    assert RetentionRule.parse("last:9").newest_expired(7) < 0
    assert RetentionRule.parse("all").newest_expired(7) < 0


@pytest.mark.parametrize("text", ["", "last", "last:0", "last:-1", "last:1.5", "ALL", "last:1\n"])
def test_other_rules_are_refused_by_name(text: str) -> None:
    with pytest.raises(UsageError, match="champions, all or last:N"):
        RetentionRule.parse(text)
    with pytest.raises(UsageError, match=r"run\.keep: expected"):
        RunOptions(keep=text)
