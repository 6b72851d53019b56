"""Ground floor: the records of a session exactly as they arrived, in the order of the file."""

from typing import Final

import pandera.polars as pa
import polars as pl

MBO_COLUMNS: Final = {
    "ts_recv": pl.Int64,
    "ts_event": pl.Int64,
    "rtype": pl.UInt8,
    "publisher_id": pl.UInt16,
    "instrument_id": pl.UInt32,
    "action": pl.UInt8,
    "side": pl.UInt8,
    "price": pl.Int64,
    "size": pl.UInt32,
    "channel_id": pl.UInt8,
    "order_id": pl.UInt64,
    "flags": pl.UInt8,
    "ts_in_delta": pl.Int32,
    "sequence": pl.UInt32,
}
"""Columns of `raw_ticks` in their order; a session without records is an empty frame of these."""


class RawTicks(pa.DataFrameModel):
    """`raw_ticks`: one row a record of Databento's schema `mbo`, every field kept, file order kept.

    The other schemas (mbp-10, mbp-1, tbbo, trades) share the columns up to `sequence` and carry
    their levels (`bid_px_00`, ...) instead of `channel_id` and `order_id`.
    """

    ts_recv: pl.Int64 = pa.Field(description="Capture time, UTC nanoseconds; below 0 where the vendor has none")
    ts_event: pl.Int64 = pa.Field(description="Exchange time, UTC nanoseconds; below 0 where the vendor has none")
    rtype: pl.UInt8 = pa.Field(description="DBN record type; 160 is mbo")
    publisher_id: pl.UInt16
    instrument_id: pl.UInt32
    action: pl.UInt8 = pa.Field(description="ASCII code: A add, C cancel, M modify, R clear, T trade, F fill, N none")
    side: pl.UInt8 = pa.Field(description="ASCII code: B bid, A ask, N none; for a trade the aggressor's side")
    price: pl.Int64 = pa.Field(description="Units of 1e-9; int64 max is undefined")
    size: pl.UInt32 = pa.Field(description="Contracts")
    channel_id: pl.UInt8 | None
    order_id: pl.UInt64 | None
    flags: pl.UInt8 = pa.Field(description="128 F_LAST ends an event, 32 F_SNAPSHOT, 8 F_BAD_TS_RECV, 4 F_MAYBE_BAD_BOOK")
    ts_in_delta: pl.Int32 = pa.Field(description="Nanoseconds from the venue's sending to capture")
    sequence: pl.UInt32 = pa.Field(description="Venue's message number; may repeat within an event")


class TradingHalts(pa.DataFrameModel):
    """`trading_halts`: stretches of a session without continuous trading, where the vendor's files of schema status tell them."""

    halted_from: pl.Int64 = pa.Field(description="Exchange time, UTC nanoseconds, inclusive")
    halted_until: pl.Int64 = pa.Field(description="Exclusive; int64 max where nothing ended it")


class Recording(pa.DataFrameModel):
    """`recording`: what a session was read from, one row a session, and whether it is all there."""

    files: pl.Int64 = pa.Field(ge=0, description="Vendor files; none on a holiday")
    bytes: pl.Int64 = pa.Field(ge=0, description="Size of the vendor files")
    records: pl.Int64 = pa.Field(ge=0, description="Rows of `raw_ticks`")
    complete: pl.Boolean = pa.Field(description="Whether every record of the files could be read; no model trains on a session that is not")
    damage: str = pa.Field(nullable=True, description="What ended the records early, in a sentence; null where nothing did")
