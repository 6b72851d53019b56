"""The kernel says what the plain-Python reference says, on anything."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.books.codes import F_BAD_TS_RECV, F_LAST, F_MAYBE_BAD_BOOK, F_SNAPSHOT, UNDEF_PRICE
from assets.books.kernel import apply
from assets.books.rebuild import Books, applied, rebuild
from assets.books.reference import Reference, reference
from assets.books.schema import LEVELS, BookQuality, CleanBooks, Quarantine, Trades
from assets.books.storage import find, is_full, new_book
from assets.lake import check

record = st.fixed_dictionaries(
    {
        "action": st.sampled_from("AAAAAACCMMTFRNx"),
        "side": st.sampled_from("BBBBAAAAN"),
        "price": st.one_of(st.integers(90, 110), st.integers(60, 140), st.sampled_from([UNDEF_PRICE, -(2**63), -5, 0])),
        "size": st.one_of(st.integers(1, 5), st.sampled_from([0, 2**31 - 1, 2**31, 2**32 - 1])),
        "order_id": st.integers(1, 25),
        "flags": st.sampled_from(
            [F_LAST] * 6 + [0, 0, F_SNAPSHOT, F_SNAPSHOT | F_LAST, F_LAST | F_BAD_TS_RECV, F_LAST | F_MAYBE_BAD_BOOK],
        ),
    },
    optional={
        "ts_event": st.one_of(st.integers(0, 60_000), st.sampled_from([-1, 10**12])),
        "ts_recv": st.one_of(st.integers(0, 60_000), st.just(-1)),
        "sequence": st.integers(0, 60),
    },
)
streams = st.lists(record, max_size=120)
hours = st.one_of(st.just((None, None)), st.tuples(st.integers(0, 60_000), st.one_of(st.none(), st.integers(0, 120_000))))


def levels(books: pl.DataFrame, side: str, row: dict) -> list[tuple[int, int, int]]:
    told = [tuple(row[f"{side}_{kind}_{level:02d}"] for kind in ("px", "sz", "ct")) for level in range(LEVELS)]
    present = [level for level in told if level[0] is not None]
    assert told == present + [(None, None, None)] * (LEVELS - len(present))
    return present


def assert_same(ours: Books, theirs: Reference) -> None:
    reasons = [""] * len(theirs.reasons)
    for row, reason in ours.quarantine.select("row", "reason").iter_rows():
        reasons[row] = reason
    assert reasons == theirs.reasons
    events = [
        (row["ts_event"], row["ts_recv"], row["row"], row["records"], levels(ours.books, "bid", row), levels(ours.books, "ask", row))
        for row in ours.books.iter_rows(named=True)
    ]
    assert events == theirs.events


@settings(max_examples=250, deadline=None)
@given(stream=streams, hours=hours)
def test_the_kernel_equals_the_reference_on_any_stream(frame, stream, hours):
    raw = frame(stream)
    open_ns, close_ns = hours
    assert_same(rebuild(raw, open_ns=open_ns, close_ns=close_ns), reference(raw, open_ns=open_ns, close_ns=close_ns))


@settings(max_examples=25, deadline=None)
@given(stream=streams, hours=hours)
def test_every_record_is_in_one_event_or_in_quarantine_and_every_table_keeps_its_contract(frame, stream, hours):
    raw = frame(stream)
    books = rebuild(raw, open_ns=hours[0], close_ns=hours[1])
    assert books.books["records"].sum() + books.quarantine.height == raw.height
    assert books.books["ts_event"].is_sorted()
    check(books.books, CleanBooks, "test")
    check(books.trades, Trades, "test")
    check(books.quarantine, Quarantine, "test")
    check(books.quality, BookQuality, "test")


@settings(max_examples=60, deadline=None)
@given(stream=streams)
def test_replaying_what_was_applied_gives_the_same_orders_in_the_same_queues(frame, stream):
    raw = frame(stream)
    book = new_book()
    for record in applied(raw, rebuild(raw).quarantine).iter_rows(named=True):
        assert not is_full(book)
        apply(
            book,
            np.uint8(record["action"]),
            np.uint8(record["side"]),
            record["price"],
            np.uint32(record["size"]),
            np.uint64(record["order_id"]),
            np.uint8(record["flags"]),
        )
    found = []
    for order_id, (side, price, size) in reference(raw).orders.items():
        order = book.orders[find(book, np.uint64(order_id))]
        level = book.levels[order["level"]]
        found.append(order["priority"])
        assert ("BA"[level["side"]], level["price"], order["quantity"]) == (side, price, size)
    assert found == sorted(found)
    assert len(found) == np.count_nonzero(book.table >= 0)


@pytest.mark.parametrize(
    ("name", "begin", "end"),
    [
        ("orderbooks_mbo_2024-05-08T00-00-00_2024-05-08T00-00-02.dbn.zst", 12_600, None),
        ("esh4-glbx-mdp3-20231225.mbo.dbn.zst", 8_725, 12_500),  # without its snapshot: the pre-open, the opening auction, trades
    ],
)
def test_the_kernel_equals_the_reference_on_real_records(real, name, begin, end):
    raw = real(name)[begin:end]
    assert_same(rebuild(raw), reference(raw))


@pytest.mark.parametrize("seed", range(3))
def test_the_kernel_equals_the_reference_on_a_deep_book_that_outgrows_its_room(frame, seed):
    generator = np.random.default_rng(seed)
    stream, live, number = [], [], 0
    for _ in range(1_200):
        if live and generator.random() < 0.35:
            order = live.pop(generator.integers(len(live)))
            stream.append({"action": "C", "order_id": order[0], "side": order[1], "size": order[2]})
        else:
            number += 1
            side = "BA"[generator.integers(2)]
            price = 1_000 + (1 + int(generator.integers(300))) * (-1 if side == "B" else 1)
            live.append((number, side, int(generator.integers(1, 9))))
            stream.append({"action": "A", "order_id": number, "side": side, "price": price, "size": live[-1][2]})
    raw = frame(stream)
    assert_same(rebuild(raw, capacity=4), reference(raw))
