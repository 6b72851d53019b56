"""Schemas that bring their levels lead to the same tables, and no depth is invented."""

import numpy as np
import polars as pl
import pytest

from assets.books.codes import UNDEF_PRICE
from assets.books.rebuild import rebuild
from assets.books.schema import BOOK_COLUMNS, CleanBooks, Quarantine, Trades
from assets.books.steps import BooksError
from assets.lake import check

HEAD = ["ts_recv", "ts_event", "publisher_id", "instrument_id", "action", "side", "price", "size", "flags", "sequence"]


def quotes(frame, records):
    """Records with levels, written as (fields of the record, bids, asks), each side a list of (price, size)."""
    raw = frame([{"price": 100, **fields} for fields, _, _ in records]).select(HEAD)
    columns = []
    for level in range(max((len(side) for _, *sides in records for side in sides), default=0)):
        for name, side in (("bid", 1), ("ask", 2)):
            cells = [record[side][level] if level < len(record[side]) else (UNDEF_PRICE, 0) for record in records]
            columns += [
                pl.Series(f"{name}_px_{level:02d}", [price for price, _ in cells], pl.Int64),
                pl.Series(f"{name}_sz_{level:02d}", [size for _, size in cells], pl.UInt32),
                pl.Series(f"{name}_ct_{level:02d}", [1] * len(cells), pl.UInt32),
            ]
    return raw.with_columns(columns)


@pytest.fixture(scope="module")
def session(frame):
    """A random session of market-by-order records whose book is deep, sound and many levels wide."""
    generator, records, live = np.random.default_rng(5), [], []
    for number in range(3_000):
        if len(live) > 60 and generator.random() < 0.5:
            side, order_id, size = live.pop(generator.integers(len(live)))
            records.append({"action": "C", "side": side, "order_id": order_id, "size": size})
        else:
            side, size = "BA"[generator.integers(2)], int(generator.integers(1, 9))
            price = 1_000 + int(generator.integers(1, 30)) * (1 if side == "A" else -1)
            live.append((side, number, size))
            records.append({"action": "A", "side": side, "order_id": number, "price": price, "size": size})
    return frame(records)


@pytest.mark.parametrize("depth", [10, 1, 0])
def test_levels_that_a_vendor_states_give_the_book_that_orders_give_and_the_rest_is_null(session, depth):
    exact = rebuild(session).books
    carried = [name for name in BOOK_COLUMNS if int(name[-2:]) < depth]
    levels = exact.with_columns(pl.col("^.*_px_.*$").fill_null(UNDEF_PRICE), pl.col("^.*_(sz|ct)_.*$").fill_null(0)).select(carried)
    made = rebuild(pl.concat([session.select(HEAD), levels], how="horizontal"))
    expected = exact.with_columns(pl.lit(None, dtype=exact.schema[name]).alias(name) for name in BOOK_COLUMNS if name not in carried)
    assert made.books.equals(expected)
    assert made.quarantine.is_empty()


def test_an_event_of_several_records_is_one_row_with_the_last_records_book(frame):
    raw = quotes(
        frame,
        [({"action": "T", "side": "B", "flags": 0}, [(99, 4)], [(100, 6)]), ({"action": "C", "side": "A"}, [(99, 4)], [(100, 5)])],
    )
    made = rebuild(raw)
    assert made.books.select("row", "records", "ask_sz_00").rows() == [(1, 2, 5)]
    assert made.trades.select("row", "price", "size", "aggressor").rows() == [(0, 100, 1, 1)]


def test_where_all_records_are_trades_each_is_an_event_of_its_own(frame):
    raw = quotes(frame, [({"action": "T", "side": side, "flags": 0}, [(99, 4)], [(100, 6)]) for side in "BAN"])
    made = rebuild(raw)
    assert made.books["records"].to_list() == [1, 1, 1]
    assert made.trades["aggressor"].to_list() == [1, -1, 0]


@pytest.mark.parametrize(
    ("fields", "bids", "asks", "reason"),
    [
        ({"action": "A"}, [(99, 1), (99, 1)], [(101, 1)], "broken_levels"),
        ({"action": "A"}, [(99, 1)], [(101, 1), (100, 1)], "broken_levels"),
        ({"action": "A"}, [(UNDEF_PRICE, 0), (98, 1)], [(101, 1)], "broken_levels"),
        ({"action": "A"}, [(102, 1)], [(101, 1)], "crossed"),
        ({"action": "A"}, [(101, 1)], [(101, 1)], "locked"),
        ({"action": "T", "price": UNDEF_PRICE}, [(99, 1)], [(101, 1)], "undefined_price"),
        ({"action": "T", "size": 0}, [(99, 1)], [(101, 1)], "zero_size"),
        ({"action": "T", "size": 2**31}, [(99, 1)], [(101, 1)], "excessive_size"),
        ({"action": "?"}, [(99, 1)], [(101, 1)], "unknown_action"),
        ({"action": "A", "flags": 0}, [(99, 1)], [(101, 1)], "unfinished_event"),
        ({"action": "A", "ts_event": 10, "sequence": 0}, [(99, 1)], [(101, 1)], "out_of_sequence"),
    ],
)
def test_what_cannot_be_is_left_out_with_its_reason(frame, fields, bids, asks, reason):
    sound = ({"action": "A"}, [(99, 1), (98, 1)], [(101, 1), (102, 1)])
    made = rebuild(quotes(frame, [sound, (fields, bids, asks)]), open_ns=0)
    assert made.quarantine.select("row", "reason", "order_id").rows() == [(1, reason, None)]
    assert made.books["row"].to_list() == [0]
    check(made.quarantine, Quarantine, "test")


def test_a_side_without_a_price_is_null_and_nothing_is_crossed(frame):
    made = rebuild(quotes(frame, [({"action": "A"}, [(99, 0)], [(101, 1)]), ({"action": "R"}, [], [])]), open_ns=0)
    assert made.books.select("bid_px_00", "bid_sz_00", "ask_px_00").rows() == [(None, None, 101), (None, None, None)]


@pytest.mark.parametrize(
    ("name", "levels"),
    [
        ("futures_mbp-1_2024-07-01T23-58_2024-07-02T00-02.dbn.zst", 1),
        ("futures_trades_2024-07-01T23-58_2024-07-02T00-02.dbn.zst", 0),
        ("equities/BAC/2013-10-07.mbp-1.dbn.zst", 1),
        ("dbn_formats/databento-python/GLBX.MDP3/test_data.mbp-10.dbn.zst", 10),
        ("dbn_formats/databento-python/EQUS.MINI/test_data.tbbo.dbn.zst", 1),
    ],
)
def test_real_records_with_levels_go_through(real, name, levels):
    raw = real(name)
    made = rebuild(raw)
    check(made.books, CleanBooks, name)
    check(made.trades, Trades, name)
    check(made.quarantine, Quarantine, name)
    assert made.books["records"].sum() + made.quarantine.height == raw.height
    assert [level for level in range(10) if made.books[f"bid_px_{level:02d}"].count()] == list(range(levels))
    assert set(made.quarantine["reason"].unique()) <= {"locked"}
    assert made.trades.height == (raw["action"] == ord("T")).sum()
    assert (made.books["row"].cast(pl.Int64).diff().drop_nulls() > 0).all()


def test_the_two_schemas_of_one_real_interval_tell_the_same_trades(real):
    span = "2024-07-01T23-58_2024-07-02T00-02.dbn.zst"
    quoted, traded = (rebuild(real(f"futures_{schema}_{span}")).trades for schema in ("mbp-1", "trades"))
    assert quoted.drop("row").equals(traded.drop("row"))


def test_quotes_that_never_have_a_size_are_refused_by_name(frame):
    sizeless = quotes(frame, [({"action": "A"}, [(100, 0)], [(105, 0)])] * 3)
    with pytest.raises(BooksError, match="every quote has a size of 0, as some feeds of currencies send them"):
        rebuild(sizeless)
    one = quotes(frame, [({"action": "A"}, [(100, 0)], [(105, 0)]), ({"action": "A"}, [(100, 1)], [(105, 2)])])
    assert rebuild(one, open_ns=0).books["bid_px_00"].to_list() == [None, 100]
