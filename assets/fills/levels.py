"""The tape of records that bring their levels and name no order (schemas mbp-10, mbp-1 and tbbo): what changed between two records.

Nothing is invented. Contracts that leave a price have no known place in its queue: they are REMOVED with the priority UNKNOWN,
and the exchange estimates how many stood ahead of us (`queues.py`). A trade takes from the front, and once: its contracts are FILLED
when it is told, and netted against all that its level loses at that time, in one step or many, before it or after. Where the level was
shown without them before, by a quote that led its trade, they are TRADED with the priority LED: they have left the level, and were
taken for a cancel (`places.py`). A price that comes into view
from behind brings contracts that may have joined before ours: they are put ahead. A price that leaves the view stands as
it was last seen, until the best price passes it.
"""

from typing import Final, NamedTuple

import numpy as np
import polars as pl
from numba import njit

from assets.books import codes as mbo
from assets.books.codes import ASK, BID, Int
from assets.fills.rows import ADDED, CLEARED, FILLED, LAST, LEAD_NS, LED, REMOVED, ROW, TRADED, UNKNOWN

FIRST: Final = 0
"""Priority ahead of every order of ours."""


def quoted_prices(records: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """(prices, sizes), int64[2, depth, n]: bids first, best first; 0 contracts where a level is empty.

    Prices in 1e-9 as in `raw_ticks`, UNDEF_PRICE where there is none.
    """
    depth = sum(name.startswith("bid_px_") for name in records.columns)
    prices, sizes = np.empty((2, 2, depth, records.height), np.int64)
    for side, name in ((BID, "bid"), (ASK, "ask")):
        for level in range(depth):
            prices[side, level] = records[f"{name}_px_{level:02d}"].to_numpy()
            sizes[side, level] = records[f"{name}_sz_{level:02d}"].to_numpy()
    sizes[prices == mbo.UNDEF_PRICE] = 0
    prices[sizes == 0] = mbo.UNDEF_PRICE
    return prices, sizes


class Quoted(NamedTuple):
    """Columns of records with levels, one element a record; prices in ticks above the tape's base."""

    ts: np.ndarray
    action: np.ndarray
    side: np.ndarray
    px: np.ndarray
    size: np.ndarray
    level_px: np.ndarray
    """int64[2, depth, n]: -1 where a level is empty."""
    level_size: np.ndarray


def resolve_levels(quoted: Quoted, width: int) -> np.ndarray:
    """The tape's rows."""
    rows = np.empty(_rows_of(quoted, width, np.empty(0, ROW)), ROW)  # counted first: a record can change every level
    _rows_of(quoted, width, rows)
    return rows


@njit(cache=True)
def _rows_of(quoted: Quoted, width: Int, rows: np.ndarray) -> Int:
    ts, action, side, px, size, level_px, level_size = quoted
    depth = level_px.shape[1]
    ladder = np.zeros((2, width), np.int64)
    seen = np.zeros((2, width), np.int64)
    owed = np.zeros((2, width), np.int64)  # contracts that traded while the level still showed them
    traded_at = np.zeros((2, width), np.int64)
    left = np.zeros((3, 2, width), np.int64)  # contracts that left by no trade that was told: earlier, at a time, and that time
    book = np.array([-1, width], np.int64)  # best bid, best ask
    deepest = np.array([-1, width], np.int64)  # last price in view
    worst = np.array([width, -1], np.int64)  # furthest price that stands
    told = book.copy()  # the best prices on the last row
    k, told_at = 0, ts[0] if len(ts) else 0
    for i in range(len(ts)):
        first = k
        if action[i] == mbo.CLEAR:
            ladder[:] = 0
            owed[:] = 0
            left[:] = 0
            book[BID], book[ASK] = -1, width
            deepest[BID], deepest[ASK] = -1, width
            worst[BID], worst[ASK] = width, -1
            k = _write(rows, k, ts[i], CLEARED, BID, 0, 0, k, book)
        # A seller that takes meets bids. A trade without an aggressor says nothing about a queue.
        met = BID if side[i] == mbo.SIDE_ASK else ASK
        traded = size[i] if action[i] == mbo.TRADE and side[i] != mbo.SIDE_NONE and 0 <= px[i] < width else 0
        before = book.copy()
        for s in range(2):
            book[s] = -1 if s == BID else width
            for level in range(depth):
                if 0 <= level_px[s, level, i] < width:
                    book[s] = level_px[s, level, i]
                    break
        for s in range(2):
            toward = -1 if s == BID else 1
            last, stop = book[s], worst[s]
            for level in range(depth):
                at = level_px[s, level, i]
                if 0 <= at < width:
                    seen[s, at] = level_size[s, level, i]
                    last = at
            if level_px[s, depth - 1, i] >= 0:  # else the side ends before the view does
                stop = last
            elif 0 <= last < width:
                stop = min(last, stop) if s == BID else max(last, stop)
            at = max(before[s], book[s]) if s == BID else min(before[s], book[s])
            while 0 <= at < width and toward * (stop - at) >= 0:
                more = seen[s, at] - ladder[s, at]
                # What of the trade is still to be shown at its own time; more than that has joined.
                owed[s, at] = min(max(more, 0), owed[s, at]) if ts[i] == traded_at[s, at] else 0
                more -= owed[s, at]
                if more < 0 and traded > 0 and s == met and at == px[i]:
                    shown = min(-more, traded)
                    k = _write(rows, k, ts[i], FILLED, s, at, shown, UNKNOWN, book)
                    more, traded = more + shown, traded - shown
                if more > 0:
                    revealed = toward * (at - deepest[s]) > 0 and toward * (at - before[s]) > 0
                    k = _write(rows, k, ts[i], ADDED, s, at, more, FIRST if revealed else k, book)
                    worst[s] = min(worst[s], at) if s == BID else max(worst[s], at)
                elif more < 0:
                    k = _write(rows, k, ts[i], REMOVED, s, at, -more, UNKNOWN, book)
                    _lose(left[:, s, at], -more, ts[i])
                ladder[s, at] = seen[s, at] - owed[s, at]
                seen[s, at] = 0
                at += toward
            deepest[s] = last
            if book[s] < 0 or book[s] == width:
                worst[s] = width if s == BID else -1
        if traded > 0:
            same, led = _gone_before(left[:, met, px[i]], traded, ladder[met, px[i]], quoted, i, met)
            traded -= same + led
            if same > 0:
                _retell(rows[:k], ts[i], met, px[i], same)
                k = _write(rows, k, ts[i], FILLED, met, px[i], same, UNKNOWN, book)
            if led > 0:
                k = _write(rows, k, ts[i], TRADED, met, px[i], led, LED, book)
        gone = min(traded, ladder[met, px[i]]) if traded > 0 else 0
        if gone > 0:
            ladder[met, px[i]] -= gone
            owed[met, px[i]], traded_at[met, px[i]] = owed[met, px[i]] + gone, ts[i]
            k = _write(rows, k, ts[i], FILLED, met, px[i], gone, UNKNOWN, book)
        if traded > gone:
            k = _write(rows, k, ts[i], TRADED, met, px[i], traded - gone, LAST, book)
        if k == first and (book[BID] != told[BID] or book[ASK] != told[ASK]):
            # Nothing left but what had traded, and yet the best price is another one.
            if k > 0 and told_at == ts[i]:
                _touch(rows, k - 1, book)
            else:
                k = _write(rows, k, ts[i], REMOVED, BID, 0, 0, UNKNOWN, book)
        if k > first:
            told_at = ts[i]
        told[:] = book
    return k


@njit(cache=True)
def _lose(left: np.ndarray, contracts: Int, ts: Int) -> None:
    """Note that contracts left a level by no trade that was told."""
    earlier, now, at = left
    if at != ts:
        left[0], left[1], left[2] = (earlier + now if ts - at <= LEAD_NS else 0), 0, ts
    left[1] += contracts


@njit(cache=True)
def _gone_before(left: np.ndarray, traded: Int, stands: Int, quoted: Quoted, i: Int, side: Int) -> tuple[Int, Int]:
    """How many contracts of record i's trade its level was shown without before: at the same time, and within LEAD_NS.

    What later records of the time show the level to lose is this trade's first.
    """
    ts, (earlier, now, at) = quoted.ts[i], left
    if ts - at > LEAD_NS:
        return 0, 0
    same = min(traded, now) if at == ts else 0
    left[1] -= same
    earlier += now if at != ts else 0
    least, j = stands, i
    while j < len(quoted.ts) and quoted.ts[j] == ts:
        least, j = min(least, _shown(quoted, j, side, quoted.px[i], stands)), j + 1
    led = min(max(0, traded - same - (stands - least)), earlier)
    if led > 0:
        left[0], left[1] = earlier - led, (left[1] if at == ts else 0)
    return same, led


@njit(cache=True)
def _shown(quoted: Quoted, i: Int, side: Int, px: Int, unseen: Int) -> Int:
    """Contracts that record i shows at a price; `unseen` where it lies behind all that is in view."""
    for level in range(quoted.level_px.shape[1]):
        at = quoted.level_px[side, level, i]
        if at == px:
            return quoted.level_size[side, level, i]
        if at < 0 or (at < px) == (side == BID):
            return 0
    return unseen


@njit(cache=True)
def _retell(rows: np.ndarray, ts: Int, side: Int, px: Int, contracts: Int) -> None:
    """Take contracts that traded out of the removals of the same time."""
    r = len(rows) - 1
    while contracts > 0 and r >= 0 and rows[r].ts == ts:
        row = rows[r]
        if row.kind == REMOVED and row.side == side and row.px == px:
            taken = min(contracts, np.int64(row.size))
            row.size -= taken
            contracts -= taken
        r -= 1


@njit(cache=True)
def _write(rows: np.ndarray, k: Int, ts: Int, kind: Int, side: Int, px: Int, size: Int, priority: Int, book: np.ndarray) -> Int:
    """Write row k, unless the rows are only counted; return the number of the next row."""
    if k < len(rows):
        row = rows[k]
        row.ts, row.kind, row.side, row.px, row.size, row.priority = ts, kind, side, px, size, priority
    _touch(rows, k, book)
    return k + 1


@njit(cache=True)
def _touch(rows: np.ndarray, k: Int, book: np.ndarray) -> None:
    """Write the best prices on row k, unless the rows are only counted."""
    if k < len(rows):
        rows[k].bid, rows[k].ask = book[BID], book[ASK]
