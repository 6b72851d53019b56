"""A session in which the market's symbol turns to another instrument: two books, one after the other, and never one of both."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.books.codes import CLEAR, F_LAST, F_SNAPSHOT
from assets.books.kernel import anew, apply
from assets.books.rebuild import applied, rebuild
from assets.books.reference import reference
from assets.books.storage import find, new_book
from tests.books.test_reference import assert_same, record, streams

OLD, NEW = 7, 8

FIELDS = ("action", "side", "price", "size", "order_id", "flags")
untimed = st.lists(record.map(lambda fields: {name: fields[name] for name in FIELDS}), max_size=60)
"""Records whose times and sequence are as they come: the second instrument's are after the first one's."""


def bid(order_id, price=100, **further):
    return {"action": "A", "side": "B", "price": price, "order_id": order_id, **further}


def of(old, new):
    return pl.Series([OLD] * len(old) + [NEW] * len(new), dtype=pl.UInt32)


def rolled(frame, old, new):
    return frame([*old, *new]).with_columns(instrument_id=of(old, new))


def quotes(frame, stream):
    """Level-1 records of (bid, spread, flags)."""
    raw = frame([{"action": "A", "side": "B", "price": price, "flags": flags} for price, _, flags in stream]).drop("order_id", "channel_id")
    columns = {"px": [(price, price + spread) for price, spread, _ in stream], "sz": [(1, 2)] * len(stream), "ct": [(1, 1)] * len(stream)}
    return raw.with_columns(
        pl.Series(f"{side}_{kind}_00", [cells[place] for cells in columns[kind]], pl.Int64 if kind == "px" else pl.UInt32)
        for kind in columns
        for place, side in enumerate(("bid", "ask"))
    )


@settings(max_examples=100, deadline=None)
@given(old=streams, new=streams)
def test_the_kernel_equals_the_reference_where_the_instrument_changes(frame, old, new):
    raw = rolled(frame, old, new)
    assert_same(rebuild(raw, open_ns=0), reference(raw, open_ns=0))


@settings(max_examples=100, deadline=None)
@given(old=untimed, new=untimed)
def test_a_session_of_two_instruments_has_the_books_of_each_alone(frame, old, new):
    both = rolled(frame, old, new)
    parts = [both[: len(old)], both[len(old) :]]
    made, alone = rebuild(both, open_ns=0), [rebuild(part, open_ns=0) for part in parts]
    shifted = alone[1].books.with_columns(pl.col("row") + len(old))
    assert made.books.equals(pl.concat([alone[0].books, shifted]))
    assert made.quarantine.height == sum(part.quarantine.height for part in alone)
    assert made.trades.drop("row").equals(pl.concat([part.trades.drop("row") for part in alone]))


quote = st.tuples(st.integers(90, 110), st.integers(-1, 3), st.sampled_from([F_LAST, F_LAST, 0]))


@settings(max_examples=40, deadline=None)
@given(old=st.lists(quote, min_size=1, max_size=20), new=st.lists(quote, min_size=1, max_size=20))
def test_so_has_one_of_records_that_bring_their_levels(frame, old, new):
    both = quotes(frame, [*old, *new]).with_columns(instrument_id=of(old, new))
    made, alone = rebuild(both, open_ns=0), [rebuild(part, open_ns=0) for part in (both[: len(old)], both[len(old) :])]
    assert made.books.equals(pl.concat([alone[0].books, alone[1].books.with_columns(pl.col("row") + len(old))]))
    assert made.quality.select("instruments", "rolled_at").row(0) == (2, 1_000 * (len(old) + 1))


@settings(max_examples=40, deadline=None)
@given(old=untimed, new=untimed)
def test_what_is_replayed_after_the_roll_stands_in_the_new_instruments_queues(frame, old, new):
    raw, book, before = rolled(frame, old, new), new_book(), None
    for row in applied(raw, rebuild(raw, open_ns=0).quarantine).iter_rows(named=True):
        if before not in (None, row["instrument_id"]):
            assert row["action"] == CLEAR
            anew(book)
        else:
            number, price, size = np.uint64(row["order_id"]), row["price"], np.uint32(row["size"])
            apply(book, np.uint8(row["action"]), np.uint8(row["side"]), price, size, number, np.uint8(row["flags"]))
        before = row["instrument_id"]
    assert before == OLD or all(find(book, np.uint64(order_id)) >= 0 for order_id in reference(raw, open_ns=0).orders)


def test_the_roll_is_told_and_nothing_from_before_it_is_believed(frame):
    raw = rolled(frame, [bid(1), bid(2, flags=0)], [bid(1, price=150), bid(3, price=149)])
    made = rebuild(raw)
    assert made.quality.select("instruments", "rolled_at", "trusted_from").row(0) == (2, 3_000, 3_000)
    columns = ("row", "instrument_id", "bid_px_00", "bid_px_01")
    assert made.books.select(columns).rows() == [(0, OLD, 100, None), (2, NEW, 150, None), (3, NEW, 150, 149)]
    assert made.quarantine.select("row", "reason").rows() == [(1, "unfinished_event")]


def test_a_snapshot_that_had_not_ended_at_the_roll_is_a_book_of_the_old_instrument(frame):
    snapshot = [bid(1, flags=F_SNAPSHOT), bid(2, price=99, flags=F_SNAPSHOT)]
    made = rebuild(rolled(frame, snapshot, [bid(9, price=150, flags=F_SNAPSHOT), bid(8, price=149)]))
    assert made.books.select("row", "instrument_id", "bid_px_00").rows() == [(1, OLD, 100), (2, NEW, 150), (3, NEW, 150)]


@pytest.mark.parametrize("column", ["instrument_id", "publisher_id"])
def test_a_session_of_one_instrument_never_rolled(frame, column):
    assert rebuild(frame([bid(1), bid(2)])).quality.select("instruments", "rolled_at").row(0) == (1, None)
    raw = frame([bid(1), bid(2)]).with_columns(pl.Series(column, [1, 2]).cast(frame([]).schema[column]))
    assert rebuild(raw).quality["instruments"].item() == 2
    assert rebuild(frame([])).quality["instruments"].item() == 0
