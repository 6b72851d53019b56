"""First floor: the rebuilt book, its trades, what had to be left out, and how good the session was."""

from typing import Final

import pandera.polars as pa
import polars as pl

LEVELS: Final = 10
"""Levels a side in `clean_books`, as in Databento's mbp-10; compiled into the numba kernels."""

WHY: Final = ("open", "break", "halt", "auction", "crossed", "roll", "close")
"""What a stretch of continuous trading begins or ends with."""

BOOK_COLUMNS: Final = tuple(
    f"{side}_{kind}_{level:02d}" for level in range(LEVELS) for side in ("bid", "ask") for kind in ("px", "sz", "ct")
)
"""bid_px_00, bid_sz_00, bid_ct_00, ask_px_00, ... : price in 1e-9, contracts, orders."""


class _Books(pa.DataFrameModel):
    ts_event: pl.Int64 = pa.Field(ge=0, description="Exchange time of the event, UTC nanoseconds, never falling")
    ts_recv: pl.Int64 = pa.Field(ge=0, description="Capture time of the event's last record")
    row: pl.UInt32 = pa.Field(description="Row of `raw_ticks` that ended the event", unique=True)
    records: pl.UInt32 = pa.Field(ge=1, description="Rows of `raw_ticks` that the event spans, quarantined ones not counted")
    instrument_id: pl.UInt32 = pa.Field(description="Whose book it is: changes within a session where the market's symbol rolls")


def _clean_books() -> type[pa.DataFrameModel]:
    kinds = {"px": pl.Int64, "sz": pl.UInt32, "ct": pl.UInt32}
    annotations = {name: kinds[name.split("_")[1]] for name in BOOK_COLUMNS}
    fields = {name: pa.Field(nullable=True) for name in BOOK_COLUMNS}
    return type("CleanBooks", (_Books,), {"__annotations__": annotations, "__doc__": _CLEAN_BOOKS, **fields})


_CLEAN_BOOKS = """`clean_books`: ten levels a side after each completed event. A level that is empty, or that the
source does not carry, is null in all three columns; levels never have holes before them.

Sum of `records` + rows of `quarantine` = rows of `raw_ticks`.
"""

CleanBooks = _clean_books()


class Trades(pa.DataFrameModel):
    """`trades`: each execution, once, with the side that took."""

    ts_event: pl.Int64 = pa.Field(ge=0)
    ts_recv: pl.Int64 = pa.Field(ge=0)
    row: pl.UInt32 = pa.Field(description="Row of `raw_ticks`")
    instrument_id: pl.UInt32 = pa.Field(description="What was traded, as in `raw_ticks`")
    price: pl.Int64 = pa.Field(description="Units of 1e-9")
    size: pl.UInt32 = pa.Field(ge=1)
    aggressor: pl.Int8 = pa.Field(isin=[-1, 0, 1], description="+1 a buyer took, -1 a seller took, 0 unknown")


class Quarantine(pa.DataFrameModel):
    """`quarantine`: rows of `raw_ticks` that are in no published book event, with the reason."""

    row: pl.UInt32 = pa.Field(unique=True)
    ts_event: pl.Int64
    action: pl.UInt8
    side: pl.UInt8
    price: pl.Int64
    size: pl.UInt32
    order_id: pl.UInt64 = pa.Field(nullable=True, description="Null where the schema carries no orders")
    flags: pl.UInt8
    sequence: pl.UInt32
    reason: str = pa.Field(description="See docs/data-quality.md")


class TradingStretches(pa.DataFrameModel):
    """`trading_stretches`: when a session's market traded continuously, a row for each stretch, of one instrument.

    By the market's calendar and the desk, less halts and auctions that the vendor's files tell and what the book itself shows. Nothing of
    ours fills outside of them, and labels do not reach from one into another.
    """

    trading_from: pl.Int64 = pa.Field(unique=True, description="UTC nanoseconds, inclusive, rising")
    trading_until: pl.Int64 = pa.Field(description="Exclusive")
    begins: str = pa.Field(isin=WHY, description="What it begins with: open, or what was before it: break, halt, auction, crossed, roll")
    ends: str = pa.Field(isin=WHY, description="What it ends with: close, or break, halt, auction, crossed, roll")
    instrument_id: pl.Int64 = pa.Field(description="As in `raw_ticks`; 0 where the session has no record")


class BookQuality(pa.DataFrameModel):
    """`book_quality`: one row a session. A holiday has one too, with no records."""

    records: pl.Int64 = pa.Field(ge=0, description="Rows of `raw_ticks`")
    events: pl.Int64 = pa.Field(ge=0, description="Rows of `clean_books`")
    trades: pl.Int64 = pa.Field(ge=0, description="Rows of `trades`")
    quarantined: pl.Int64 = pa.Field(ge=0, description="Rows of `quarantine`")
    refused: pl.Int64 = pa.Field(ge=0, description="Records that the book could not take, because they cannot be")
    crossed: pl.Int64 = pa.Field(ge=0, description="Records of events left out because the book was crossed or locked, outside an auction")
    crossed_ns: pl.Int64 = pa.Field(ge=0, description="Time with the best bid above the best ask, outside an auction")
    locked_ns: pl.Int64 = pa.Field(ge=0, description="Time with the best bid at the best ask, outside an auction")
    out_of_order: pl.Int64 = pa.Field(ge=0, description="Records whose exchange time is before the latest so far")
    gaps: pl.Int64 = pa.Field(ge=0, description="Stretches of records that the vendor marks F_MAYBE_BAD_BOOK: messages were lost")
    trusted_from: pl.Int64 = pa.Field(
        nullable=True, description="Exchange time since which no gap and no unknown order near the touch contradicts the book"
    )
    silent_ns: pl.Int64 = pa.Field(
        nullable=True, ge=0, description="Continuous trading after the last event: a feed that ended before the market did"
    )
    instruments: pl.Int64 = pa.Field(ge=0, description="Instruments that the records are of, one after another; 0 on a holiday")
    rolled_at: pl.Int64 = pa.Field(
        nullable=True, description="Exchange time at which the market turned to its last instrument; null where it was one all along"
    )
    feed_p50_ns: pl.Int64 = pa.Field(nullable=True, description="Median of ts_recv - ts_event")
    feed_p99_ns: pl.Int64 = pa.Field(nullable=True, description="99th percentile of ts_recv - ts_event")
    off_tick_orders: pl.Int64 = pa.Field(
        nullable=True, ge=0, description="Records that put an order, or show a level, between two ticks: such a price is never traded at"
    )
    off_tick_price: pl.Int64 = pa.Field(nullable=True, description="The first such price, units of 1e-9")
    off_tick_trades: pl.Int64 = pa.Field(
        nullable=True, ge=0, description="Rows of `trades` between two ticks (midpoints, averages): they meet no queue"
    )
    front_share: pl.Float64 = pa.Field(
        nullable=True, ge=0, le=1, description="Share of fills that passed over no order ahead in our queue; null without fills"
    )
