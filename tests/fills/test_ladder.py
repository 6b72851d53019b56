"""Prices of every kind: wherever a market goes, the tape's touch is that of the rebuilt book."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.books import codes
from assets.books.rebuild import applied, rebuild
from assets.desk import Market
from assets.fills.errors import FillsError
from assets.fills.rows import NO_ASK, NO_BID
from assets.fills.tape import MOST_WIDTH, REACH, make_tape

TICK = 10_000_000
MARKET = Market(symbol="TEST", tick_size="0.01", multiplier=1)
KINDS = {
    "action": pl.UInt8,
    "side": pl.UInt8,
    "size": pl.UInt32,
    "flags": pl.UInt8,
    "sequence": pl.UInt32,
    "instrument_id": pl.UInt32,
    "publisher_id": pl.UInt16,
}
FEW = settings(max_examples=30, deadline=None, derandomize=True)

moves = st.one_of(st.integers(-3, 3), st.integers(-2_000, 2_000), st.sampled_from([-60_000, 60_000]))
stubs = st.lists(st.tuples(st.integers(0, 59), st.sampled_from([-1, 1]), st.sampled_from([1, 10_000_000, 20_000_000])), max_size=3)
courses = st.tuples(st.integers(-400_000, 400_000), st.lists(st.tuples(moves, st.integers(1, 40)), min_size=20, max_size=60), stubs)
"""First bid in ticks; then how far the bid moves and the spread; and stub quotes: at which step, on which side, how far off."""


def quotes_of(course):
    """(bid, ask) in ticks at each step, either None at times, and the stub orders as (step, side, price)."""
    bid, steps, far = course[0], [], []
    for k, (move, spread) in enumerate(course[1]):
        bid += move
        steps.append((None if k % 17 == 5 else bid, None if k % 19 == 7 else bid + spread))
    for step, side, away in course[2]:
        if step < len(steps):
            far.append((step, side, min(b or 0 for b, _ in steps) - away if side == 1 else max(a or 0 for _, a in steps) + away))
    return steps, far


def by_order(course):
    """The course as MBO records, each an event: the quotes of a step replace those before it, the stubs stay."""
    steps, far = quotes_of(course)
    rows, standing, number = [], {}, 1
    for k, quote in enumerate(steps):
        for side, order in [*standing.items()]:
            rows.append(("C", side, *order))
            del standing[side]
        for side, price in zip((1, -1), quote, strict=True):
            if price is not None:
                standing[side] = (price, number)
                rows.append(("A", side, price, number))
                number += 1
        for step, side, price in far:
            if step == k:
                rows.append(("A", side, price, number))
                number += 1
    times = np.arange(1, len(rows) + 1)
    return pl.DataFrame(
        {
            "ts_event": times,
            "ts_recv": times,
            "action": [ord(row[0]) for row in rows],
            "side": [codes.SIDE_BID if row[1] == 1 else codes.SIDE_ASK for row in rows],
            "price": [row[2] * TICK for row in rows],
            "size": [5] * len(rows),
            "order_id": [row[3] for row in rows],
            "flags": [codes.F_LAST] * len(rows),
            "sequence": times,
            "instrument_id": 1,
            "publisher_id": 1,
        },
        schema_overrides=KINDS | {"order_id": pl.UInt64},
    )


def by_level(course):
    """The course as records of schema mbp-1: the best of the quotes and the stubs that stand."""
    steps, far = quotes_of(course)
    rows = []
    for k, quote in enumerate(steps):
        best = []
        for side, price in zip((1, -1), quote, strict=True):
            there = [p for step, s, p in far if s == side and step <= k] + ([] if price is None else [price])
            best.append((max if side == 1 else min)(there) if there else None)
        rows.append(best)
    columns = {}
    for side, name in enumerate(("bid", "ask")):
        best = [row[side] for row in rows]
        columns[f"{name}_px_00"] = [codes.UNDEF_PRICE if price is None else price * TICK for price in best]
        columns[f"{name}_sz_00"] = columns[f"{name}_ct_00"] = [0 if price is None else 5 for price in best]
    times = np.arange(1, len(rows) + 1)
    head = {"ts_event": times, "ts_recv": times, "action": [ord("A")] * len(rows), "side": [codes.SIDE_NONE] * len(rows)}
    tail = {
        "price": [codes.UNDEF_PRICE] * len(rows),
        "size": [0] * len(rows),
        "flags": [codes.F_LAST] * len(rows),
        "sequence": times,
        "instrument_id": 1,
        "publisher_id": 1,
    }
    counts = dict.fromkeys((name for name in columns if "_px_" not in name), pl.UInt32)
    return pl.DataFrame(head | tail | columns, schema_overrides=KINDS | counts)


@pytest.mark.parametrize("records_of", [by_order, by_level])
@FEW
@given(courses)
def test_the_touch_of_the_tape_is_that_of_the_rebuilt_book_wherever_the_price_goes(records_of, course):
    raw = records_of(course)
    made = rebuild(raw, open_ns=0)
    tape = make_tape(applied(raw, made.quarantine), MARKET)
    after = np.searchsorted(tape.rows["ts"], made.books["ts_event"], side="right") - 1
    for ours, theirs, nobody in (("bid", "bid_px_00", NO_BID), ("ask", "ask_px_00", NO_ASK)):
        told = tape.rows[ours][after].astype(np.int64)
        assert [None if px == nobody else (px + tape.base) * TICK for px in told.tolist()] == made.books[theirs].to_list()


@FEW
@given(courses)
def test_where_a_market_is_quoted_its_touch_is_on_the_ladder_with_room_beyond(course):
    tape = make_tape(by_order(course), MARKET)
    rows = tape.rows
    near = (rows["bid"] > NO_BID) & (rows["ask"] < NO_ASK) & (np.abs(rows["ask"] - rows["bid"]) <= REACH)
    assert (rows["bid"][near] >= 10).all()
    assert (rows["ask"][near] < tape.width - 10).all()
    assert ((rows["px"] >= 0) & (rows["px"] < tape.width)).all()


def test_a_price_that_no_ladder_can_follow_is_refused_with_its_range():
    far = (100, [(0, 1), (MOST_WIDTH, 1), (0, 1)], [])
    with pytest.raises(FillsError, match=r"range from 1 to 41944\.05 in the session, 4,194,305 ticks of 0\.01"):
        make_tape(by_order(far), MARKET)
