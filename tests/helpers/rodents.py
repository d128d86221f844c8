"""Bodies that imitate, for tests: which package they need."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

needs_dm = pytest.mark.skipif(find_spec("dm_control") is None, reason="needs poolrl[dm]")
