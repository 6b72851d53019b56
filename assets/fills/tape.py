"""The tape: a session's records in the form the simulated exchange replays, made once and replayed for every policy.

Market-by-order records name orders; a replay only needs to know what happened to a price, and whether it
happened before or behind an order of ours. So one pass resolves each record to its price, its contracts and
the *priority* of the order concerned (its time of joining the queue, smaller stands before):

- ADDED: contracts joined the back of a price's queue;
- REMOVED: contracts left a queue without trading;
- FILLED: resting contracts traded. Databento sends a fill (F) and then the cancel or modify that takes it off
  the book; here the fill itself does, and what follows is netted against it, so that the queue is right
  between two fills of one event;
- TRADED: traded contracts that no fill explains (implied and hidden liquidity, sources that carry no fills);
- CLEARED: the venue emptied the book.

A modify that raises the size or moves the price is a removal and an addition at the back; one that lowers the
size is a removal that keeps the rest in place. A refill of an order whose shown part had traded (iceberg)
joins the back, as on the venue.

This is the one seam where it is decided how a queue is known: a source without order ids (`levels.py`) writes removals and
fills with the priority UNKNOWN, and the exchange then estimates (`queues.py`). `aggregated` forgets the orders of a tape that knew them.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
from numba import njit

from assets.books import codes as mbo
from assets.books.codes import ASK, BID, Int
from assets.desk import PRICE_UNIT, Market
from assets.fills.errors import FillsError
from assets.fills.levels import Quoted, quoted_prices, resolve_levels
from assets.fills.rows import ADDED, CLEARED, FILLED, LAST, REMOVED, ROW, TRADED, UNKNOWN

REACH: Final = 1 << 17
"""Ticks to each side of the middle price that the tape keeps. An order further away (a stub quote at 0.01, a
spread's leg) is never near enough to the touch to be traded by us, and a dense ladder of it costs memory."""

MARGIN: Final = 16
"""Free ticks at both ends of the ladder, so that a price at which we may quote or flatten (ten ticks through the
touch) is on it whatever the session's later prices are."""


class Tape(NamedTuple):
    """A session, ready to be replayed."""

    rows: np.ndarray
    """ROW records."""
    base: int
    """Price, in ticks, that px = 0 stands for."""
    width: int
    """Prices on the ladder: 0 <= px < width."""
    lost: npt.NDArray[np.int64] = np.empty(0, np.int64)
    """Times, never falling, of the records that say that messages were lost before them (F_MAYBE_BAD_BOOK)."""


def make_tape(records: pl.DataFrame, market: Market) -> Tape:
    """Resolve the records that were applied to the book (RawTicks, file order) to a tape.

    Raises:
        FillsError: the records bring neither order ids nor levels, or a price is no multiple of the market's tick size.
    """
    exact = "order_id" in records.columns
    if not exact and "bid_px_00" not in records.columns:
        raise FillsError(f"{market.symbol}: trades alone show no queue to trade in: use a source of schema mbo, mbp-10 or mbp-1")
    priced = records["action"].to_numpy() != mbo.CLEAR
    px = _ticks(records["price"].to_numpy(), priced, market)
    prices, sizes = quoted_prices(records)
    levels = _ticks(prices, sizes > 0, market)
    known = [ticks[ticks != _NO_PRICE] for ticks in (px, levels)]
    span = [each for each in known if each.size]
    low, high = (min(int(each.min()) for each in span), max(int(each.max()) for each in span)) if span else (0, 0)
    middle = int(np.median(span[-1])) if span else 0
    base, top = max(low, middle - REACH) - MARGIN, min(high, middle + REACH) + MARGIN
    width = top - base + 1
    ts = np.maximum.accumulate(records["ts_event"].to_numpy().astype(np.int64))
    # Copies: one kind of array for every frame, so that a kernel is compiled once.
    action, side, size = np.array(records["action"]), np.array(records["side"]), np.array(records["size"], np.int64)
    if exact:
        ids, order = np.unique(records["order_id"].to_numpy(), return_inverse=True)
        rows = _resolve(ts, action, side, px - base, size, order.astype(np.int64), np.array(records["flags"]), len(ids), width).copy()
    else:
        # A level off the ladder is neither seen nor the end of its side.
        on_ladder = np.where((levels >= base) & (levels <= top), levels - base, width)
        rows = resolve_levels(Quoted(ts, action, side, px - base, size, np.where(sizes > 0, on_ladder, -1), sizes), width)
    return Tape(rows, base, width, ts[records["flags"].to_numpy() & mbo.F_MAYBE_BAD_BOOK != 0])


def aggregated(tape: Tape) -> Tape:
    """The same session as a feed of levels and trades shows it: nobody says whose contracts left or traded."""
    rows = tape.rows.copy()
    rows["priority"][np.isin(rows["kind"], (REMOVED, FILLED))] = UNKNOWN
    return tape._replace(rows=rows)


_NO_PRICE: Final = np.iinfo(np.int64).min // 2
"""Ticks where there is no price: below every ladder, whatever its base."""


def _ticks(prices: np.ndarray, priced: np.ndarray, market: Market) -> np.ndarray:
    """Prices in ticks, _NO_PRICE where there is none."""
    priced = priced & (prices != mbo.UNDEF_PRICE)
    ticks = np.full(prices.shape, _NO_PRICE)
    np.floor_divide(prices, market.tick, out=ticks, where=priced)
    astray = prices[priced & (ticks * market.tick != prices)]
    if astray.size:
        raise FillsError(
            f"{market.symbol}: price {astray[0] / PRICE_UNIT} is no multiple of the tick size {market.tick_size}: "
            "correct tick_size of the market in the desk file"
        )
    return ticks


def double_mids(tape: Tape) -> npt.NDArray[np.int64]:
    """Twice the mid, in ticks, after each row; where the market is one-sided or crossed, the last mid before (or the first)."""
    rows = tape.rows
    quoted = (rows["bid"] >= 0) & (rows["ask"] < tape.width) & (rows["bid"] < rows["ask"])
    if not quoted.any():
        return np.empty(0, np.int64)
    last = np.maximum.accumulate(np.where(quoted, np.arange(len(rows)), quoted.argmax()))
    return rows["bid"][last].astype(np.int64) + rows["ask"][last] + 2 * tape.base


def last_double_mid(tape: Tape) -> int:
    """The last of `double_mids`, looked for from the end of the tape."""
    rows, length = tape.rows, 1
    while not len(mids := double_mids(tape._replace(rows=rows[-length:]))) and length < len(rows):
        length *= 2
    return int(mids[-1])


@njit(cache=True)
def _resolve(
    ts: np.ndarray,
    action: np.ndarray,
    side: np.ndarray,
    px: np.ndarray,
    size: np.ndarray,
    order: np.ndarray,
    flags: np.ndarray,
    known: int,
    width: int,
) -> np.ndarray:
    n = len(ts)
    rows = np.empty(3 * n + 1, ROW)  # a modify can be two, the first add of a snapshot too
    k = 0
    open_size, filled = np.zeros(known, np.int64), np.zeros(known, np.int64)
    open_px, open_side, priority = np.empty(known, np.int64), np.empty(known, np.int64), np.empty(known, np.int64)
    ladder = np.zeros((2, width), np.int64)
    book = np.zeros(4, np.int64)  # best bid, best ask, contracts bid, contracts offered
    book[BID], book[ASK] = -1, width
    unexplained, trade_px, trade_side = 0, 0, BID
    in_snapshot = False

    for i in range(n):
        what, o = action[i], order[i]
        if unexplained and what != mbo.FILL:
            k = _write(rows, k, ts[i - 1], TRADED, trade_side, trade_px, unexplained, LAST, book, width)
            unexplained = 0
        gone, joined, met = 0, 0, False
        snapshot = flags[i] & mbo.F_SNAPSHOT != 0
        if what == mbo.CLEAR or (snapshot and not in_snapshot):
            # What a snapshot restores joins at the rows that follow.
            restored = 0
            while i + restored < n and (restored == 0 or flags[i + restored] & mbo.F_SNAPSHOT):
                restored += 1
            open_size[:] = 0
            filled[:] = 0
            ladder[:] = 0
            book[:] = 0
            book[BID], book[ASK] = -1, width
            k = _write(rows, k, ts[i], CLEARED, BID, 0, 0, k + restored, book, width)
        in_snapshot = snapshot
        if what == mbo.TRADE:
            # A seller that takes meets bids. A trade without an aggressor says nothing about a queue.
            if side[i] != mbo.SIDE_NONE:
                unexplained, trade_px, trade_side = size[i], px[i], BID if side[i] == mbo.SIDE_ASK else ASK
        elif what == mbo.FILL:
            gone = min(size[i], open_size[o])
            filled[o] += gone
            # An order moved through the market fills elsewhere than where it stood: it took, and no queue traded.
            met = px[i] == open_px[o]
            unexplained = max(0, unexplained - gone) if met else unexplained
        elif what == mbo.ADD:
            gone, joined = open_size[o], size[i]
        elif what == mbo.CANCEL:
            settled = min(size[i], filled[o])
            filled[o] -= settled
            gone = min(size[i] - settled, open_size[o])
        elif what == mbo.MODIFY:
            filled[o] = 0
            keeps_place = px[i] == open_px[o] and size[i] <= open_size[o]
            gone, joined = (open_size[o] - size[i], 0) if keeps_place else (open_size[o], size[i])
        if gone > 0:
            open_size[o] -= gone
            _change(ladder, book, open_side[o], open_px[o], -gone, width)
            kind = FILLED if what == mbo.FILL and met else REMOVED
            k = _write(rows, k, ts[i], kind, open_side[o], open_px[o], gone, priority[o], book, width)
        if joined > 0:
            open_size[o], open_px[o], open_side[o], priority[o] = joined, px[i], BID if side[i] == mbo.SIDE_BID else ASK, k
            filled[o] = 0
            _change(ladder, book, open_side[o], px[i], joined, width)
            k = _write(rows, k, ts[i], ADDED, open_side[o], px[i], joined, k, book, width)
    if unexplained:
        k = _write(rows, k, ts[n - 1], TRADED, trade_side, trade_px, unexplained, LAST, book, width)
    return rows[:k]


@njit(cache=True)
def _write(rows: np.ndarray, k: Int, ts: Int, kind: Int, side: Int, px: Int, size: Int, priority: Int, book: np.ndarray, width: Int) -> Int:
    """Write row k, unless its price is off the ladder; return the number of the next row."""
    if not 0 <= px < width:
        return k
    row = rows[k]
    row.ts, row.kind, row.side, row.px, row.size, row.priority = ts, kind, side, px, size, priority
    row.bid, row.ask = book[BID], book[ASK]
    return k + 1


@njit(cache=True)
def _change(ladder: np.ndarray, book: np.ndarray, side: Int, px: Int, contracts: Int, width: Int) -> None:
    """Add contracts to a price (or take them from it) and keep the best price of its side."""
    if not 0 <= px < width:
        return
    ladder[side, px] += contracts
    book[2 + side] += contracts
    if contracts > 0:
        book[side] = max(book[BID], px) if side == BID else min(book[ASK], px)
    elif book[2 + side] == 0:
        book[side] = -1 if side == BID else width
    elif px == book[side]:
        step = -1 if side == BID else 1
        while ladder[side, px] == 0:
            px += step
        book[side] = px
