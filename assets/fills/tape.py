"""The tape: a session's records in the form the simulated exchange replays, made once and replayed for every policy.

Market-by-order records name orders; a replay only needs to know what happened to a price, and whether it
happened before or behind an order of ours. So one pass resolves each record to its price, its contracts and
the *priority* of the order concerned (its time of joining the queue, smaller stands before):

- ADDED: contracts joined the back of a price's queue;
- REMOVED: contracts left a queue without trading;
- FILLED: resting contracts traded. Databento sends a fill (F) and then the cancel or modify that takes it off
  the book; here the fill itself does, and what follows is netted against it, so that the queue is right
  between two fills of one event;
- TRADED: traded contracts that no fill of their event explains (implied and hidden liquidity, sources that carry no fills);
- CLEARED: the venue emptied the book.

Within an event a venue may list its fills in any order. What each queue gave is netted over the event and told by priority: better
prices first, then who joined earlier, hidden contracts last.

A modify that raises the size or moves the price is a removal and an addition at the back; one that lowers the
size is a removal that keeps the rest in place. A refill of an order whose shown part had traded (iceberg)
joins the back, as on the venue.

This is the one seam where it is decided how a queue is known: a source without order ids (`levels.py`) writes removals and
fills with the priority UNKNOWN, and the exchange then estimates (`queues.py`). `aggregated` forgets the orders of a tape that knew them.
"""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
from numba import njit

from assets.books import codes as mbo
from assets.books.codes import ASK, BID, Int
from assets.desk import PRICE_UNIT, Market
from assets.fills.errors import FillsError
from assets.fills.levels import Quoted, quoted_prices, resolve_levels
from assets.fills.rows import ADDED, CLEARED, FILLED, LAST, NO_ASK, NO_BID, REMOVED, ROW, TRADED, UNKNOWN

REACH: Final = 1 << 17
"""Ticks beyond the touch's range that the ladder keeps. An order further away (a stub quote at 0.01, a spread's leg) is never
near enough to the touch to be traded by us, and a dense ladder of it costs memory. A spread wider than this is no market: it
does not widen the ladder."""

MOST_WIDTH: Final = 1 << 22
"""Ticks that the touch may range over in a session: a hundred megabytes of ladder for each replay."""

MARGIN: Final = 16
"""Free ticks at both ends of the ladder, so that a price at which we may quote or flatten (ten ticks through the
touch) is on it whatever the session's later prices are."""

ASTRAY: Final = 0.001
"""Share of the rows whose best prices may lie between two ticks, as a stub quote's do before the open; more, and the tick is wrong."""


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
    instruments: tuple[tuple[int, int], ...] = ()
    """(since, instrument_id) of each instrument of the records, one after another; none where the records do not tell."""


def make_tape(records: pl.DataFrame, market: Market) -> Tape:
    """Resolve the records that were applied to the book (RawTicks, file order) to a tape.

    Raises:
        FillsError: the records bring neither order ids nor levels; the best prices are no multiples of the market's tick size, or
            range over more than `MOST_WIDTH` ticks.
    """
    exact = "order_id" in records.columns
    if not exact and "bid_px_00" not in records.columns:
        raise FillsError(f"{market.symbol}: trades alone show no queue to trade in: use a source of schema mbo, mbp-10 or mbp-1")
    # Copies: one kind of array for every frame, so that a kernel is compiled once.
    ts = np.maximum.accumulate(records["ts_event"].to_numpy().astype(np.int64))
    action, side, size = np.array(records["action"]), np.array(records["side"]), np.array(records["size"], np.int64)
    traded = np.isin(action, (mbo.TRADE, mbo.FILL))
    named = traded | np.isin(action, (mbo.ADD, mbo.MODIFY)) if exact else traded
    prices = np.where(named, records["price"].to_numpy(), mbo.UNDEF_PRICE)
    if exact:
        ids, order = np.unique(records["order_id"].to_numpy(), return_inverse=True)
        known, (px,) = _ranked(prices)
        rows = _resolve(ts, action, side, px, size, order.astype(np.int64), np.array(records["flags"]), len(ids), len(known)).copy()
    else:
        level_prices, sizes = quoted_prices(records)
        known, (px, levels) = _ranked(prices, level_prices)
        rows = resolve_levels(Quoted(ts, action, side, px, size, levels, sizes), len(known))
    rows["crossed"] = _crossed(rows)
    lost = ts[records["flags"].to_numpy() & mbo.F_MAYBE_BAD_BOOK != 0]
    return _laid(rows, known, market)._replace(lost=lost, instruments=_instruments(records))


def _instruments(records: pl.DataFrame) -> tuple[tuple[int, int], ...]:
    if "instrument_id" not in records.columns:
        return ()
    turned = pl.col("instrument_id") != pl.col("instrument_id").shift(1)
    return tuple(records.filter(turned.fill_null(True)).select("ts_event", "instrument_id").iter_rows())


def _ranked(*prices: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """The prices that occur, rising, and the place of each price among them, -1 where there is none.

    A queue is resolved on these places: they are as many as there are prices, however far apart the prices lie.
    """
    known = pl.concat([pl.Series(each.ravel(), dtype=pl.Int64).unique() for each in prices]).unique().sort().to_numpy()
    known = known[known != mbo.UNDEF_PRICE]
    return known, [np.where(each == mbo.UNDEF_PRICE, -1, np.searchsorted(known, each)) for each in prices]


def _laid(rows: np.ndarray, known: np.ndarray, market: Market) -> Tape:
    """A tape of rows whose prices are places among the known ones: laid on a ladder of ticks that the touch never leaves.

    What happens off the ladder or between two ticks concerns no order of ours: of such a row the touch alone is kept. A best price
    between two ticks, or more than 2^30 ticks away, is told as none.
    """
    ticks = known // market.tick
    on_tick = ticks * market.tick == known
    _hold_to_tick(rows, known, on_tick, market)
    told, none = np.where(on_tick, ticks, _NO_PRICE), np.array([_NO_PRICE])
    bid, ask = np.append(told, none)[rows["bid"]], np.append(told, none)[rows["ask"]]  # an empty side is the place before, or after, all
    base, top = _span(bid, ask, told[on_tick], market)
    if len(known):
        px = told[rows["px"]]
        off = ((px < base) | (px > top)) & (rows["kind"] != CLEARED)
        rows["px"] = np.where(off | (rows["kind"] == CLEARED), 0, px - base)
        rows["kind"][off], rows["size"][off], rows["priority"][off] = REMOVED, 0, UNKNOWN
    for name, prices, nobody in (("bid", bid, NO_BID), ("ask", ask, NO_ASK)):
        rows[name] = np.where(np.abs(prices - base) < NO_ASK, prices - base, nobody)
    return Tape(rows, base, top - base + 1)


def _span(bid: np.ndarray, ask: np.ndarray, ticks: np.ndarray, market: Market) -> tuple[int, int]:
    """The first and the last tick of the ladder."""
    quoted = (bid > _NO_PRICE) & (ask > _NO_PRICE) & (np.abs(ask - bid) <= REACH)
    touch = (bid[quoted], ask[quoted]) if quoted.any() else (ticks, ticks)
    if not len(ticks):
        return -MARGIN, MARGIN
    low, high = int(np.minimum(*touch).min()), int(np.maximum(*touch).max())
    if not quoted.any():  # no market, so nothing to trade
        high = min(high, low + REACH)
    if high - low > MOST_WIDTH:
        reached = " to ".join(f"{px * market.tick / PRICE_UNIT:.12g}" for px in (low, high))
        raise FillsError(
            f"{market.symbol}: the best prices range from {reached} in the session, {high - low:,} ticks of {market.tick_size:f}, and "
            f"{MOST_WIDTH:,} can be followed: check tick_size of the market and its symbol"
        )
    return max(int(ticks.min()), low - REACH) - MARGIN, min(int(ticks.max()), high + REACH) + MARGIN


def _hold_to_tick(rows: np.ndarray, known: np.ndarray, on_tick: np.ndarray, market: Market) -> None:
    """Refuse a tick that the best prices of a two-sided market are no multiples of, but for a stray one."""
    if on_tick.all():
        return
    bid, ask = rows["bid"].astype(np.int64), rows["ask"].astype(np.int64)
    quoted = (bid >= 0) & (ask < len(known)) & (bid < ask)
    astray = np.concatenate([side[quoted][~on_tick[side[quoted]]] for side in (bid, ask)])
    if len(astray) > ASTRAY * 2 * np.count_nonzero(quoted):
        price = known[np.bincount(astray).argmax()]
        raise FillsError(
            f"{market.symbol}: the best price {price / PRICE_UNIT} is no multiple of the tick size {market.tick_size:f}, nor are "
            f"{len(astray) / (2 * np.count_nonzero(quoted)):.1%} of all: correct tick_size of the market"
        )


def _crossed(rows: np.ndarray) -> npt.NDArray[np.bool_]:
    """At each row, whether the best prices touch or cross before its nanosecond or at its end; what a single event does on its way is no
    state of the market."""
    meet, ts = rows["bid"] >= rows["ask"], rows["ts"]
    if not meet.any():
        return meet
    ends = np.flatnonzero(np.diff(ts, append=ts[-1] + 1))
    of_moment = meet[ends] | np.append(False, meet[ends[:-1]])
    return np.repeat(of_moment, np.diff(ends, prepend=-1))


def aggregated(tape: Tape) -> Tape:
    """The same session as a feed of levels and trades shows it: nobody says whose contracts left or traded.

    An order that leaves a price and joins it again at once, as one that grows does, is seen by what the price gained or lost.
    """
    rows = tape.rows.copy()
    gone, back = rows[:-1], rows[1:]
    again = (gone["kind"] == REMOVED) & (back["kind"] == ADDED)
    for name in ("ts", "side", "px"):
        again &= gone[name] == back[name]
    left, joined = np.flatnonzero(again), np.flatnonzero(again) + 1
    gained = rows["size"][joined] - rows["size"][left]
    rows["size"][left], rows["size"][joined] = np.maximum(-gained, 0), np.maximum(gained, 0)
    for name in ("bid", "ask"):
        rows[name][left] = rows[name][joined]
    rows["priority"][np.isin(rows["kind"], (REMOVED, FILLED))] = UNKNOWN
    kept = np.ones(len(rows), bool)
    kept[left[gained >= 0]] = kept[joined[gained <= 0]] = False
    placed = np.isin(rows["kind"], (ADDED, CLEARED))
    rows["priority"][placed] = (np.cumsum(kept) - 1)[rows["priority"][placed]]  # a row's number is what tells who joined before
    return tape._replace(rows=rows[kept])


_NO_PRICE: Final = np.iinfo(np.int64).min // 2
"""Ticks where there is no price: below every ladder, whatever its base."""


def double_mids(tape: Tape) -> npt.NDArray[np.int64]:
    """Twice the mid, in ticks, after each row; where the market is one-sided or crossed, the last mid before (or the first)."""
    rows = tape.rows
    quoted = (rows["bid"] > NO_BID) & (rows["ask"] < NO_ASK) & (rows["bid"] < rows["ask"])
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
    """The rows, prices as places among the known ones: 0 <= px < width, -1 and `width` where a side has none."""
    n = len(ts)
    rows = np.empty(3 * n + 1, ROW)  # a modify can be two, the first add of a snapshot too
    k = 0
    open_size, filled = np.zeros(known, np.int64), np.zeros(known, np.int64)
    open_px, open_side, priority = np.empty(known, np.int64), np.empty(known, np.int64), np.empty(known, np.int64)
    traded, places, listed = np.zeros((2, width), np.int64), np.empty((2, n), np.int64), 0  # by the event, less its fills
    began, in_snapshot, clear = 0, False, 0

    for i in range(n):
        what, o = action[i], order[i]
        gone, joined, met = 0, 0, False
        snapshot = flags[i] & mbo.F_SNAPSHOT != 0
        if what == mbo.CLEAR or (snapshot and not in_snapshot):
            open_size[:] = 0
            filled[:] = 0
            clear = k
            k = _write(rows, k, ts[i], CLEARED, BID, 0, 0, k, width)
            began = k
        in_snapshot = snapshot
        if what == mbo.TRADE:
            # A seller that takes meets bids. A trade without an aggressor says nothing about a queue.
            if side[i] != mbo.SIDE_NONE and 0 <= px[i] < width:
                places[0, listed], places[1, listed] = BID if side[i] == mbo.SIDE_ASK else ASK, px[i]
                traded[places[0, listed], px[i]] += size[i]
                listed += 1
        elif what == mbo.FILL:
            gone = min(size[i], open_size[o])
            filled[o] += gone
            # An order moved through the market fills elsewhere than where it stood: it took, and no queue traded.
            met = px[i] == open_px[o]
            if met and 0 <= px[i] < width:
                places[0, listed], places[1, listed] = open_side[o], px[i]
                traded[open_side[o], px[i]] -= gone
                listed += 1
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
            kind = FILLED if what == mbo.FILL and met else REMOVED
            k = _write(rows, k, ts[i], kind, open_side[o], open_px[o], gone, priority[o], width)
        if joined > 0:
            open_size[o], open_px[o], open_side[o], priority[o] = joined, px[i], BID if side[i] == mbo.SIDE_BID else ASK, k
            filled[o] = 0
            k = _write(rows, k, ts[i], ADDED, open_side[o], px[i], joined, k, width)
        if snapshot:
            rows[clear].priority = k - 1
        ends = i == n - 1 or flags[i] & mbo.F_LAST != 0 or ts[i + 1] != ts[i]
        if ends and (i == n - 1 or action[i + 1] != mbo.FILL):  # a venue may end an event between a trade and its fills
            _explain(traded, places[:, :listed])
            for j in range(listed):
                on, at = places[0, j], places[1, j]
                if traded[on, at] > 0:
                    k = _write(rows, k, ts[i], TRADED, on, at, traded[on, at], LAST, width)
                traded[on, at] = 0
            listed = 0
            _by_priority(rows, began, k)
            began = k
    _touch(rows[:k], width)
    return rows[:k]


@njit(cache=True)
def _explain(traded: np.ndarray, places: np.ndarray) -> None:
    """Take fills of an event for whose price it tells no trade from what it traded at another: some venues tell a sweep at one price."""
    for side in range(2):
        more = 0
        for j in range(places.shape[1]):
            if places[0, j] == side:
                more -= min(0, traded[side, places[1, j]])
                traded[side, places[1, j]] = max(0, traded[side, places[1, j]])
        for j in range(places.shape[1]):
            if places[0, j] == side and more > 0:
                explained = min(more, traded[side, places[1, j]])
                traded[side, places[1, j]] -= explained
                more -= explained


@njit(cache=True)
def _by_priority(rows: np.ndarray, began: Int, ended: Int) -> None:
    """Tell an event's fills of a side by price and time, in the places where it listed fills; who joined in the event comes last."""
    for r in range(began + 1, ended):
        at = r
        while rows[at].kind in (FILLED, TRADED):
            before = at - 1
            while before >= began and (rows[before].kind not in (FILLED, TRADED) or rows[before].side != rows[at].side):
                before -= 1
            if before < began or not _sooner(rows[at], rows[before], began):
                break
            one, other = rows[at], rows[before]
            one.kind, other.kind = other.kind, one.kind
            one.px, other.px = other.px, one.px
            one.size, other.size = other.size, one.size
            one.priority, other.priority = other.priority, one.priority
            at = before


@njit(cache=True)
def _sooner(one: Any, other: Any, began: Int) -> bool:
    """Whether a fill is told before another of its event and side, which is listed before it."""
    if other.priority != LAST and other.priority >= began:
        return bool(one.priority == LAST or one.priority < began)
    if one.priority != LAST and one.priority >= began:
        return False
    if one.px != other.px:
        return bool((one.px > other.px) == (one.side == BID))
    return bool(one.priority < other.priority)


@njit(cache=True)
def _touch(rows: np.ndarray, width: int) -> None:
    """Write the best prices after each row."""
    ladder = np.zeros((2, width), np.int64)
    book = np.zeros(4, np.int64)  # best bid, best ask, contracts bid, contracts offered
    book[BID], book[ASK] = -1, width
    for r in range(len(rows)):
        row = rows[r]
        if row.kind == CLEARED:
            ladder[:] = 0
            book[:] = 0
            book[BID], book[ASK] = -1, width
        elif row.kind != TRADED:
            _change(ladder, book, np.int64(row.side), np.int64(row.px), np.int64(row.size if row.kind == ADDED else -row.size), width)
        row.bid, row.ask = book[BID], book[ASK]


@njit(cache=True)
def _write(rows: np.ndarray, k: Int, ts: Int, kind: Int, side: Int, px: Int, size: Int, priority: Int, width: Int) -> Int:
    """Write row k, unless it has no price; return the number of the next row."""
    if not 0 <= px < width:
        return k
    row = rows[k]
    row.ts, row.kind, row.side, row.px, row.size, row.priority = ts, kind, side, px, size, priority
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
