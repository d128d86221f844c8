"""Copies of weights in another order."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from poolrl.networks.cells import contiguous


@given(data=st.data())
def test_a_contiguous_copy_has_the_same_values(data: st.DataObject) -> None:
    """Of arrays of any number of axes, in any order of them in memory."""
    shape = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=4), "shape")
    axes = data.draw(st.permutations(range(len(shape))), "axes")
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape).transpose(axes)
    copy = contiguous(array)
    assert np.array_equal(copy, array)
    assert copy.flags.c_contiguous
    assert not np.shares_memory(copy, array)
