"""A session's records in, its books, trades, quarantine and quality out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from assets.books import codes, events
from assets.books.events import Events, beginning, new_events
from assets.books.quotes import all_trades, frozen, hold_to_sizes, levels_of, quotes_of, replay_quotes
from assets.books.replay import Records, expand, finish, new_changes, new_levels, replay
from assets.books.schema import BOOK_COLUMNS, LEVELS, BookQuality, Quarantine
from assets.books.steps import OFF_TICK, off_tick
from assets.books.storage import grown, is_full, new_book

_AGGRESSOR: Final = {codes.SIDE_BID: 1, codes.SIDE_ASK: -1}
_HEAD: Final = ("ts_event", "ts_recv", "row", "records")

ANEW: Final = (
    pl.any_horizontal(pl.col(name) != pl.col(name).shift(1) for name in ("publisher_id", "instrument_id")).fill_null(False).alias("anew")
)
"""Whether a record is the first of another instrument, or of another venue, than the one before it."""


@dataclass(frozen=True)
class Books:
    """A rebuilt session: one frame a table of the floor."""

    books: pl.DataFrame
    trades: pl.DataFrame
    quarantine: pl.DataFrame
    quality: pl.DataFrame


def rebuild(
    raw: pl.DataFrame,
    *,
    open_ns: int | None = None,
    close_ns: int | None = None,
    halts: Sequence[tuple[int, int]] = (),
    tick: int | None = None,
    capacity: int = 1 << 14,
) -> Books:
    """Rebuild a session's book from `raw_ticks`: order by order (schema mbo), or from the levels that the records bring.

    A book that is crossed or locked when its event completes is not published; its records are in
    quarantine, but the book has taken them. Before `open_ns` (where unknown: before the first trade) and
    from `close_ns` on that is called an auction and speaks against nobody. `ts_event` of a book is the latest
    exchange time up to its event, so it never falls. Sum of `books.records` + rows of `quarantine` = rows of `raw`.

    Where the records turn to another instrument (a continuous symbol that rolls), the book begins anew: what is open of the old
    one is left out as unfinished, the new one's book holds what its own records have brought, and no row has both.

    Args:
        raw: `raw_ticks` of one instrument at a time, in the order of its files.
        open_ns: of continuous trading, UTC nanoseconds, inclusive.
        close_ns: exclusive; None: as far as the records go.
        halts: stretches without continuous trading between them, (begin, end) in UTC nanoseconds.
        tick: the market's price step in 1e-9, for the figures of what lies between two ticks; None: not told.
        capacity: orders that the book has room for at first; it grows, and the work is the same.
    """
    raw, now = raw.with_columns(ANEW).rechunk(), beginning(open_ns, close_ns, halts)
    found, levels = _exact(raw, now, capacity) if "order_id" in raw.columns else _quoted(raw, now)
    head = [pl.Series(name, getattr(found, name)[: now[events.ROWS]]) for name in _HEAD]
    instruments = raw["instrument_id"].gather(found.row[: now[events.ROWS]])
    books = pl.DataFrame([*head, instruments, *levels])
    trades = _trades(raw, found.code)
    quality = _quality(raw, found.code, now, books, trades)
    return Books(books, trades, _quarantine(raw, found.code), ticked(quality, raw, trades, tick))


def ticked(quality: pl.DataFrame, raw: pl.DataFrame, trades: pl.DataFrame, tick: int | None) -> pl.DataFrame:
    """A row of `book_quality` with what lies between two ticks; null where the tick is not known."""
    figures = dict.fromkeys(OFF_TICK) if tick is None else off_tick(raw, trades, tick)
    told = quality.with_columns(pl.lit(value, pl.Int64).alias(name) for name, value in figures.items())
    return told.select(*BookQuality.to_schema().columns)


def applied(raw: pl.DataFrame, quarantine: pl.DataFrame) -> pl.DataFrame:
    """The records that changed the rebuilt book, unpublished events included, with their `row` in front.

    What a replay needs to hold the same queues: `raw_ticks` without the rows that the book refused,
    and `ts_event` never falling, as in `clean_books`. Before the first record of another instrument stands a clear of our own,
    with the same `row`: what replays them begins anew there, as the book did. That messages were lost before a row that was refused
    (F_MAYBE_BAD_BOOK) is told by the next that was not.
    """
    refused = quarantine.filter(~pl.col("reason").is_in(codes.REASONS[codes.FIRST_APPLIED :]))["row"]
    kept = np.ones(raw.height, bool)
    kept[refused.to_numpy()] = False
    losses = (pl.col("flags") & codes.F_MAYBE_BAD_BOOK != 0).cum_sum()
    known = raw.with_row_index("row").with_columns(losses=losses).filter(pl.Series(kept))
    flags = pl.when(pl.col("losses") > pl.col("losses").shift(fill_value=0)).then(codes.F_MAYBE_BAD_BOOK).otherwise(0).cast(pl.UInt8)
    known = known.with_columns(pl.col("ts_event").cum_max(), pl.col("flags") | flags).drop("losses")
    rolled = known.filter(ANEW)
    if rolled.is_empty():
        return known
    return pl.concat([known.with_columns(after=1), _clears(rolled).with_columns(after=0)]).sort("row", "after").drop("after")


def _clears(records: pl.DataFrame) -> pl.DataFrame:
    """A clear of the book at the time of each record: no order, and no level on either side."""
    none = {"action": codes.CLEAR, "side": codes.SIDE_NONE, "price": codes.UNDEF_PRICE, "size": 0, "flags": codes.F_LAST}
    none |= {name: 0 if "_sz_" in name or "_ct_" in name else codes.UNDEF_PRICE for name in records.columns if name[:4] in ("bid_", "ask_")}
    none |= {"order_id": 0} if "order_id" in records.columns else {}
    return records.with_columns(pl.lit(value, records.schema[name]).alias(name) for name, value in none.items())


def _exact(raw: pl.DataFrame, now: np.ndarray, capacity: int) -> tuple[Events, list[pl.Series]]:
    records = Records(*(frozen(raw[name]) for name in Records._fields))
    most = most_events(records.flags)
    found, levels, changes, book = new_events(most, raw.height), new_levels(most), new_changes(1 + capacity // 4), new_book(capacity)
    places = np.empty((int(np.count_nonzero(records.action == codes.FILL)), 3), np.int64)
    while replay(book, records, found, changes, places, now) < raw.height:
        expand(changes, levels, now)
        book = grown(book) if is_full(book) else book
    finish(book, records, found, changes, places, now)
    expand(changes, levels, now)
    rows, columns = int(now[events.ROWS]), {}
    for column in range(2 * LEVELS):
        side, level = "bid" if column < LEVELS else "ask", column % LEVELS
        present = levels.counts[column, :rows] > 0
        for kind, values in (("px", levels.prices), ("sz", levels.sizes), ("ct", levels.counts)):
            name = f"{side}_{kind}_{level:02d}"
            series = pl.Series(name, values[column, :rows])
            columns[name] = series if present.all() else pl.select(pl.when(pl.Series(present)).then(series).alias(name)).to_series()
    return found, [columns[name] for name in BOOK_COLUMNS]


def _quoted(raw: pl.DataFrame, now: np.ndarray) -> tuple[Events, list[pl.Series]]:
    hold_to_sizes(raw)
    quotes = quotes_of(raw)
    found = new_events(raw.height, raw.height)
    replay_quotes(quotes, found, now, all_trades(quotes))
    return found, levels_of(raw, found.row[: now[events.ROWS]])


def most_events(flags: np.ndarray) -> int:
    """An event ends with F_LAST, or where a snapshot does."""
    snapshot = (flags & codes.F_SNAPSHOT) != 0
    return int(((flags & codes.F_LAST) != 0).sum() + (snapshot[:-1] & ~snapshot[1:]).sum()) + 1


def _trades(raw: pl.DataFrame, code: np.ndarray) -> pl.DataFrame:
    happened = (raw["action"].to_numpy() == codes.TRADE) & ((code == codes.KEPT) | (code >= codes.FIRST_APPLIED))
    rows = np.flatnonzero(happened)
    return raw[rows].select(
        pl.col("ts_event").cum_max(),
        "ts_recv",
        pl.Series("row", rows, pl.UInt32),
        "instrument_id",
        "price",
        "size",
        pl.col("side").replace_strict(_AGGRESSOR, default=0, return_dtype=pl.Int8).alias("aggressor"),
    )


def _quarantine(raw: pl.DataFrame, code: np.ndarray) -> pl.DataFrame:
    rows = np.flatnonzero(code)
    reasons = pl.Series("reason", code[rows]).replace_strict(dict(enumerate(codes.REASONS)), return_dtype=pl.String)
    columns = [name for name in Quarantine.to_schema().columns if name not in {"row", "reason"}]
    orders = raw if "order_id" in raw.columns else raw.with_columns(pl.lit(None, pl.UInt64).alias("order_id"))
    return orders[rows].select(pl.Series("row", rows, pl.UInt32), *columns, reasons)


def _silent(now: np.ndarray) -> int | None:
    """Time from the last event to where continuous trading ends; None where nobody knows when it does."""
    closes, halts = now[events.CLOSE], now[events.CLOSE + 1 :].reshape(-1, 2)
    until = min([closes, *(begin for begin, end in halts if end >= closes)])
    return max(0, int(until - now[events.CLOCK])) if until < events.NEVER else None


def _quality(raw: pl.DataFrame, code: np.ndarray, now: np.ndarray, books: pl.DataFrame, trades: pl.DataFrame) -> pl.DataFrame:
    stamped = raw.filter(pl.col("flags") & (codes.F_SNAPSHOT | codes.F_BAD_TS_RECV) == 0)
    latency = stamped.select(pl.col("ts_recv") - pl.col("ts_event")).to_series()
    values = {
        "records": raw.height,
        "events": books.height,
        "trades": trades.height,
        "quarantined": np.count_nonzero(code),
        "refused": np.count_nonzero((code != codes.KEPT) & (code < codes.FIRST_APPLIED)),
        "crossed": np.count_nonzero((code == codes.CROSSED) | (code == codes.LOCKED)),
        "crossed_ns": now[events.CROSSED_NS],
        "locked_ns": now[events.LOCKED_NS],
        "out_of_order": now[events.OUT_OF_ORDER],
        "gaps": now[events.GAPS],
        "trusted_from": max(books["ts_event"][0], now[events.DOUBTED]) if books.height else None,
        "silent_ns": _silent(now) if raw.height else None,
        "instruments": now[events.ROLLS] + 1 if raw.height else 0,
        "rolled_at": now[events.ROLLED] if now[events.ROLLS] else None,
        "feed_p50_ns": latency.quantile(0.50, "nearest"),
        "feed_p99_ns": latency.quantile(0.99, "nearest"),
    }
    row = {name: None if value is None else int(value) for name, value in values.items()}
    front = now[events.FRONT] / now[events.FILLS] if now[events.FILLS] else None
    return pl.DataFrame([row], schema=dict.fromkeys(row, pl.Int64)).with_columns(pl.lit(front, pl.Float64).alias("front_share"))
