"""What lies between two events: decays, prices in ticks, and rows told in blocks."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.features.build import _rows, feed
from assets.features.indicators import catalogue
from assets.features.kernel import batch
from assets.features.state import fade, in_ticks, prepare

TICKS = st.sampled_from([1, 5_000_000, 10_000_000, 250_000_000, 15_625_000, 100_000_000])


@settings(deadline=None)  # the first call compiles
@given(st.floats(0, 63.99))
def test_fade_is_the_exponential(times):
    assert fade(times) == pytest.approx(math.exp(-times), rel=4e-16)


@pytest.mark.parametrize(("times", "left"), [(0.0, 1.0), (64.0, 0.0), (1e300, 0.0), (math.inf, 0.0)])
def test_fade_at_its_ends(times, left):
    assert fade(times) == left


@given(st.integers(-(10**5), 10**7), TICKS, st.integers(0, 1))
def test_a_price_in_ticks_is_the_quotient_to_the_last_bit(ticks, tick, off):
    source = prepare([], [], [tick]).sources[0]
    price = ticks * tick + off
    assert in_ticks.py_func(price, _Source(float(source["tick"]), float(source["step"]))) == price / tick


class _Source:
    def __init__(self, tick, step):
        self.tick, self.step = tick, step


def test_how_many_rows_a_block_has_changes_no_bit(make):
    ticks, chosen = [make.random(5), make.random(6)], catalogue(["LDR"])

    def told(rows):
        out = _rows(sum(books.height for books, _ in ticks), len(chosen))
        state = prepare(chosen, ["LDR"], [make.tick] * 2, rows)
        return out.values[:, : batch(state, feed(ticks, chosen, {}, state), out)]

    one = told(1)
    assert one.shape[1] > 200
    assert all(np.array_equal(one, told(rows)) for rows in (7, 128))
