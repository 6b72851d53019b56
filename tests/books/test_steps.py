"""The price step of a market is what its resting orders near the touch say, whatever else is quoted or traded."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.books.rebuild import rebuild, ticked
from assets.books.schema import LEVELS
from assets.books.steps import BooksError, infer_tick

FEW = settings(max_examples=40, deadline=None, derandomize=True)
STEPS = [1, 100_000, 1_000_000, 10_000_000, 15_625_000, 250_000_000, 5_000_000_000]


def books(tick: int, middle: int, *, events: int = 400, seed: int = 0) -> pl.DataFrame:
    """Ten levels a side, mostly side by side, about a bid that walks from `middle` ticks on."""
    random = np.random.default_rng(seed)
    bid = middle + np.cumsum(random.integers(-2, 3, events))
    ask = bid + random.integers(1, 4, events)
    columns = {}
    for level in range(LEVELS):
        deep = level + (random.integers(0, 3, events) if level == LEVELS - 1 else 0)
        columns |= {f"bid_px_{level:02d}": (bid - deep) * tick, f"ask_px_{level:02d}": (ask + deep) * tick}
    return pl.DataFrame(columns)


@FEW
@given(st.sampled_from(STEPS), st.integers(-5_000, 5_000), st.integers(0, 100), st.lists(st.integers(-(10**15), 10**15), max_size=3))
def test_the_step_is_that_of_the_prices_near_the_touch_whatever_stubs_rest_far_away(tick, middle, seed, stubs):
    made = books(tick, middle, seed=seed)
    low, high = int(made["bid_px_08"].min()), int(made["ask_px_08"].max())
    for stub in stubs:
        far = low - abs(stub) - 2_000 * tick if stub < 0 else high + abs(stub) + 2_000 * tick
        made = made.with_columns(pl.lit(far, pl.Int64).alias("bid_px_09" if stub < 0 else "ask_px_09"))
    assert infer_tick(made) == tick


@FEW
@given(st.sampled_from(STEPS[1:]), st.integers(0, 100))
def test_one_price_in_ten_thousand_off_the_step_does_not_make_the_step(tick, seed):
    made = books(tick, 10_000, seed=seed)
    odd = pl.when(pl.int_range(pl.len()) == 7).then(pl.col("bid_px_05") + tick // 3).otherwise("bid_px_05")
    assert infer_tick(made.with_columns(bid_px_05=odd)) == tick


def test_a_book_of_one_sided_events_still_tells_its_step():
    assert infer_tick(pl.DataFrame({"bid_px_00": [100, 175, None], "ask_px_00": [None, None, 350]})) == 25


def test_a_step_that_varies_with_the_price_is_refused_by_name():
    below = books(100_000, 9_000, events=300).filter(pl.col("ask_px_09") < 10**9)
    above = books(10_000_000, 200, events=300)
    with pytest.raises(BooksError, match=r"prices step by 0\.01 above .* and by 0\.0001 on its other side"):
        infer_tick(pl.concat([below, above]))


def test_a_book_without_a_price_tells_no_step():
    with pytest.raises(BooksError, match="no book with a price in it"):
        infer_tick(books(1, 0).clear())


def test_what_lies_between_two_ticks_is_counted_and_named(frame):
    rows = [
        {"action": "A", "side": "B", "price": 100, "order_id": 1},
        {"action": "A", "side": "A", "price": 105, "order_id": 2},
        {"action": "A", "side": "B", "price": 3, "order_id": 3},
        {"action": "T", "side": "N", "price": 102, "order_id": 0},
        {"action": "T", "side": "N", "price": 105, "order_id": 0},
    ]
    raw = frame(rows)
    made = rebuild(raw, open_ns=0, tick=5)
    assert made.quality.select("off_tick_orders", "off_tick_price", "off_tick_trades").row(0) == (1, 3, 1)
    assert made.trades["price"].to_list() == [102, 105]
    unknown = ticked(made.quality, raw, made.trades, None)
    assert unknown.select("off_tick_orders", "off_tick_price", "off_tick_trades").row(0) == (None, None, None)
    assert unknown.columns == made.quality.columns
