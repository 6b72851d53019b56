"""A session's records in, its books, trades, quarantine and quality out."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from assets.books import codes, replay
from assets.books.schema import BOOK_COLUMNS, LEVELS
from assets.books.storage import grown, new_book
from assets.desk import UserError

_AGGRESSOR: Final = {codes.SIDE_BID: 1, codes.SIDE_ASK: -1}
_QUARANTINED: Final = ["ts_event", "action", "side", "price", "size", "order_id", "flags", "sequence"]


class BooksError(UserError):
    """Records from which no book can be made; the message says why and what to do."""


@dataclass(frozen=True)
class Books:
    """A rebuilt session: one frame a table of the floor."""

    books: pl.DataFrame
    trades: pl.DataFrame
    quarantine: pl.DataFrame
    quality: pl.DataFrame


def rebuild(raw: pl.DataFrame, *, open_ns: int | None = None, close_ns: int | None = None, capacity: int = 1 << 14) -> Books:
    """Rebuild a session's book from `raw_ticks` (schema mbo).

    A book that is crossed or locked when its event completes is not published; its records are in
    quarantine, but the book has taken them. Before `open_ns` (where unknown: before the first trade)
    and from `close_ns` on that is called an auction and counts against nobody. `ts_event` of a book is the latest
    exchange time up to its event, so it never falls. Sum of `books.records` + rows of `quarantine` = rows of `raw`.
    `capacity` is the orders that the book has room for at first; it grows.
    """
    frame = raw.rechunk()
    records = replay.Records(*(_readonly(frame[name]) for name in replay.Records._fields))
    out = replay.output(_most_events(records.flags), frame.height)
    progress = replay.start(int(np.count_nonzero(records.action == codes.FILL)), open_ns, close_ns)
    book = new_book(capacity)
    while replay.replay(book, records, out, progress) < frame.height:
        book = grown(book)
    replay.finish(book, records, out, progress)
    books = _books(out, int(progress.now[replay.ROWS]))
    trades = _trades(frame, out.code)
    quality = _quality(records, out.code, progress.now, books, trades.height)
    return Books(books, trades, _quarantine(frame, out.code), quality)


def applied(raw: pl.DataFrame, quarantine: pl.DataFrame) -> pl.DataFrame:
    """The records that changed the rebuilt book, unpublished events included, with their `row` in front.

    What a replay needs to hold the same queues: `raw_ticks` without the rows that the book refused,
    and `ts_event` never falling, as in `clean_books`.
    """
    refused = quarantine.filter(~pl.col("reason").is_in(codes.REASONS[codes.FIRST_APPLIED :]))["row"]
    kept = np.ones(raw.height, bool)
    kept[refused.to_numpy()] = False
    return raw.with_row_index("row").filter(pl.Series(kept)).with_columns(pl.col("ts_event").cum_max())


def _readonly(column: pl.Series) -> np.ndarray:
    # One kind of array for every frame, so that the kernels are compiled once.
    values = column.to_numpy().view()
    values.flags.writeable = False
    return values


def _most_events(flags: np.ndarray) -> int:
    """An event ends with F_LAST, or where a snapshot does."""
    snapshot = (flags & codes.F_SNAPSHOT) != 0
    return int(((flags & codes.F_LAST) != 0).sum() + (snapshot[:-1] & ~snapshot[1:]).sum()) + 1


def _books(out: replay.Output, rows: int) -> pl.DataFrame:
    columns = {name: pl.Series(name, getattr(out, name)[:rows]) for name in ("ts_event", "ts_recv", "row", "records")}
    for side in range(2):
        for level in range(LEVELS):
            column = side * LEVELS + level
            empty = out.counts[column, :rows] == 0
            holes = pl.Series(~empty) if empty.any() else None
            for kind, values in (("px", out.prices), ("sz", out.sizes), ("ct", out.counts)):
                name = f"{'bid' if side == codes.BID else 'ask'}_{kind}_{level:02d}"
                series = pl.Series(name, values[column, :rows])
                columns[name] = series if holes is None else pl.select(pl.when(holes).then(series).alias(name)).to_series()
    return pl.DataFrame([columns[name] for name in ("ts_event", "ts_recv", "row", "records", *BOOK_COLUMNS)])


def _trades(raw: pl.DataFrame, code: np.ndarray) -> pl.DataFrame:
    done = (raw["action"].to_numpy() == codes.TRADE) & ((code == codes.KEPT) | (code >= codes.FIRST_APPLIED))
    rows = np.flatnonzero(done)
    return raw[rows].select(
        pl.col("ts_event").cum_max(),
        "ts_recv",
        pl.Series("row", rows, pl.UInt32),
        "price",
        "size",
        pl.col("side").replace_strict(_AGGRESSOR, default=0, return_dtype=pl.Int8).alias("aggressor"),
    )


def _quarantine(raw: pl.DataFrame, code: np.ndarray) -> pl.DataFrame:
    rows = np.flatnonzero(code)
    reasons = pl.Series("reason", code[rows]).replace_strict(dict(enumerate(codes.REASONS)), return_dtype=pl.String)
    return raw[rows].select(pl.Series("row", rows, pl.UInt32), *_QUARANTINED, reasons)


def _quality(records: replay.Records, code: np.ndarray, now: np.ndarray, books: pl.DataFrame, trades: int) -> pl.DataFrame:
    stamped = (records.flags & (codes.F_SNAPSHOT | codes.F_BAD_TS_RECV)) == 0
    latency = (records.ts_recv - records.ts_event)[stamped]
    values = {
        "records": code.size,
        "events": books.height,
        "trades": trades,
        "quarantined": np.count_nonzero(code),
        "refused": np.count_nonzero((code != codes.KEPT) & (code < codes.FIRST_APPLIED)),
        "crossed": np.count_nonzero((code == codes.CROSSED) | (code == codes.LOCKED)),
        "crossed_ns": now[replay.CROSSED_NS],
        "locked_ns": now[replay.LOCKED_NS],
        "out_of_order": now[replay.OUT_OF_ORDER],
        "gaps": now[replay.GAPS],
        "trusted_from": max(books["ts_event"][0], now[replay.DOUBTED]) if books.height else None,
        "feed_p50_ns": _percentile(latency, 50),
        "feed_p99_ns": _percentile(latency, 99),
    }
    front = now[replay.FRONT] / now[replay.FILLS] if now[replay.FILLS] else None
    row = {name: None if value is None else int(value) for name, value in values.items()}
    return pl.DataFrame([row], schema=dict.fromkeys(row, pl.Int64)).with_columns(pl.lit(front, pl.Float64).alias("front_share"))


def _percentile(values: np.ndarray, percent: int) -> int | None:
    """Nearest-rank percentile."""
    if values.size == 0:
        return None
    rank = max(0, -(-percent * values.size // 100) - 1)
    return int(np.partition(values, rank)[rank])
