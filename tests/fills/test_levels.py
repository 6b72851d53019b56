"""The tape of records that bring levels and no orders: what is seen is held exactly, what is not is never in our favour."""

import datetime as dt

import numpy as np
import polars as pl
import pytest

from assets.books import codes
from assets.books.rebuild import rebuild
from assets.books.schema import LEVELS
from assets.desk import Market
from assets.fills.levels import FIRST
from assets.fills.rows import ADDED, CLEARED, FILLED, REMOVED, TRADED, UNKNOWN
from assets.fills.tape import Tape, make_tape
from assets.ticks.dbn import to_frame
from assets.ticks.exchange import Instrument, simulate

MARKET = Market(symbol="TEST", tick_size="1")
UNIT = 10**9
FIELDS = (
    ("action", codes.ADD, pl.UInt8), ("side", codes.SIDE_NONE, pl.UInt8), ("price", codes.UNDEF_PRICE, pl.Int64),
    ("size", 0, pl.UInt32), ("flags", codes.F_LAST, pl.UInt8),
)  # fmt: skip


def quote(bid: tuple[int, int] | None, ask: tuple[int, int] | None, trade: tuple[str, int, int] | None = None) -> dict[str, int]:
    """A record of schema mbp-1: (price, contracts) a side, and for a trade the aggressor, its price and contracts."""
    side, price, size = trade or ("N", 0, 0)
    row = {"action": ord("T" if trade else "A"), "side": ord(side), "price": price * UNIT, "size": size, "flags": codes.F_LAST}
    for name, level in (("bid", bid), ("ask", ask)):
        row[f"{name}_px_00"], row[f"{name}_sz_00"] = (level[0] * UNIT, level[1]) if level else (codes.UNDEF_PRICE, 0)
    return row


def tape_of(*quotes: dict[str, int]) -> Tape:
    frame = pl.DataFrame(list(quotes)).with_columns(pl.col("action", "side", "flags").cast(pl.UInt8), pl.col("size").cast(pl.UInt32))
    return make_tape(frame.with_row_index("ts_event").with_columns(pl.col("ts_event").cast(pl.Int64)), MARKET)


def told(tape: Tape) -> list[tuple[int, str, int, int, int]]:
    """Each row as (kind, side, price, contracts, priority: own row unless said otherwise)."""
    return [
        (
            int(row["kind"]),
            "BA"[row["side"]],
            int(row["px"]) + tape.base,
            int(row["size"]),
            int(row["priority"]) if row["priority"] != k else k,
        )
        for k, row in enumerate(tape.rows)
    ]


def test_a_queue_that_shrinks_says_only_what_is_left():
    tape = tape_of(quote((100, 5), (101, 7)), quote((100, 3), (101, 7)))
    assert told(tape) == [(ADDED, "B", 100, 5, 0), (ADDED, "A", 101, 7, 1), (REMOVED, "B", 100, 2, UNKNOWN)]


def test_a_trade_is_told_before_the_quote_that_follows_it():
    tape = tape_of(quote((100, 5), (101, 7)), quote((100, 5), (101, 7), ("A", 100, 2)), quote((100, 3), (101, 7)))
    assert told(tape)[2:] == [(FILLED, "B", 100, 2, UNKNOWN)]


def test_a_trade_whose_own_record_shows_the_smaller_level_is_told_once():
    tape = tape_of(quote((100, 5), (101, 7)), quote((100, 3), (101, 7), ("A", 100, 2)), quote((100, 2), (101, 7)))
    assert told(tape)[2:] == [(FILLED, "B", 100, 2, UNKNOWN), (REMOVED, "B", 100, 1, UNKNOWN)]


def test_a_level_that_does_not_shrink_after_a_trade_was_renewed_at_the_back():
    tape = tape_of(quote((100, 5), (101, 7)), quote((100, 5), (101, 7), ("A", 100, 2)), quote((100, 5), (101, 7)))
    assert told(tape)[2:] == [(FILLED, "B", 100, 2, UNKNOWN), (ADDED, "B", 100, 2, 3)]


def test_a_trade_of_more_than_was_shown_met_hidden_contracts():
    tape = tape_of(quote((100, 5), (101, 7)), quote(None, (101, 7), ("A", 100, 8)))
    assert told(tape)[2:] == [(FILLED, "B", 100, 5, UNKNOWN), (TRADED, "B", 100, 3, np.iinfo(np.int32).max)]


def test_a_trade_without_an_aggressor_says_nothing_of_a_queue():
    assert len(tape_of(quote((100, 5), (101, 7)), quote((100, 5), (101, 7), ("N", 100, 2))).rows) == 2


def test_a_price_that_comes_into_view_from_behind_is_put_ahead_of_us_and_a_better_one_behind():
    worse = told(tape_of(quote((100, 5), (105, 7)), quote((98, 9), (105, 7))))
    assert worse[2:] == [(REMOVED, "B", 100, 5, UNKNOWN), (ADDED, "B", 98, 9, FIRST)]
    better = told(tape_of(quote((100, 5), (105, 7)), quote((101, 9), (105, 7))))
    assert better[2:] == [(ADDED, "B", 101, 9, 2)]


def test_a_price_out_of_view_stands_as_last_seen_until_the_best_passes_it():
    tape = tape_of(quote((100, 5), (105, 7)), quote((101, 1), (105, 7)), quote((100, 4), (105, 7)), quote((99, 2), (105, 7)))
    assert told(tape)[3:] == [
        (REMOVED, "B", 101, 1, UNKNOWN),
        (REMOVED, "B", 100, 1, UNKNOWN),
        (REMOVED, "B", 100, 4, UNKNOWN),
        (ADDED, "B", 99, 2, FIRST),
    ]


def test_an_empty_side_takes_all_that_stood_on_it():
    tape = tape_of(quote((100, 5), (105, 7)), quote((101, 1), (105, 7)), quote(None, (105, 7)))
    assert told(tape)[3:] == [(REMOVED, "B", 101, 1, UNKNOWN), (REMOVED, "B", 100, 5, UNKNOWN)]
    assert tape.rows["bid"][-1] == -1


def test_a_clear_empties_both_sides():
    cleared = quote(None, None) | {"action": codes.CLEAR}
    tape = tape_of(quote((100, 5), (105, 7)), cleared, quote((100, 5), (105, 7)))
    assert [kind for kind, *_ in told(tape)] == [ADDED, ADDED, CLEARED, ADDED, ADDED]


def levels_of_a_session(depth: int) -> pl.DataFrame:
    """The first events of a simulated session, each a record with the levels that its book then showed; a record a nanosecond."""
    open_ns = 1_790_000_040 * UNIT
    (made,) = simulate(
        7,
        dt.date(2026, 9, 7),
        [Instrument(1, UNIT // 10, follows=True)],
        open_ns=open_ns,
        close_ns=open_ns + 3_600 * UNIT,
        events=6_000,
        alpha=1.0,
    )
    books = rebuild(to_frame(made.records)).books.head(3_000)
    sides = [(side, level) for side in ("bid", "ask") for level in range(depth)]
    return books.select(
        pl.int_range(pl.len()).alias("ts_event"),
        *(pl.lit(value, kind).alias(name) for name, value, kind in FIELDS),
        *(pl.col(f"{side}_px_{level:02d}").fill_null(codes.UNDEF_PRICE) for side, level in sides),
        *(pl.col(f"{side}_sz_{level:02d}").fill_null(0) for side, level in sides),
    )


@pytest.mark.parametrize("depth", [1, 3, LEVELS])
def test_on_a_traded_session_every_level_in_view_is_held_exactly(depth):
    """The rebuilt book of a simulated session as a vendor would send its levels; the tape's ladder, replayed, must show them."""
    records, market = levels_of_a_session(depth), Market(symbol="TEST", tick_size="0.1")
    tape = make_tape(records, market)
    standing: dict[tuple[int, int], int] = {}
    ts, r = records["ts_event"].to_numpy(), 0
    for i in range(records.height):
        while r < len(tape.rows) and tape.rows["ts"][r] <= ts[i]:
            row = tape.rows[r]
            if row["kind"] in (ADDED, REMOVED):
                at = int(row["side"]), int(row["px"]) + tape.base
                standing[at] = standing.get(at, 0) + int(row["size"]) * (1 if row["kind"] == ADDED else -1)
                assert standing[at] >= 0
            r += 1
        for side, name in enumerate(("bid", "ask")):
            seen = [(records[f"{name}_px_{k:02d}"][i], records[f"{name}_sz_{k:02d}"][i]) for k in range(depth)]
            for price, size in seen:
                if size:
                    assert standing[side, price // market.tick] == size
            best = max if side == 0 else min
            held = [px for (which, px), size in standing.items() if which == side and size]
            assert best(held, default=None) == (seen[0][0] // market.tick if seen[0][1] else None)
