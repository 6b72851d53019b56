"""The one loop of the floor: books and trades go in, in time's order, and every indicator takes one step.

`on_trade` and `on_book` are the two things that can happen; `batch` calls them over columns of a
session and `Stream` one at a time, so both give the same bits. The order of events is total:
ts_event, then the market (the traded one before its leaders), then the row of raw_ticks. At equal
stamps an event of the traded market does not know the leader's: it is the order that never profits
from a coarse clock.
"""

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numba.extending import overload

from assets.books.schema import LEVELS
from assets.features.indicators.base import CELLS, CLASSES, Indicator, Market, Slot, mid, record

BID_PX: Final = 0
ASK_PX: Final = 1
BID_SZ: Final = 2
ASK_SZ: Final = 3
BID_CT: Final = 4
ASK_CT: Final = 5
"""Rows of one book event as `on_book` takes it, int64 (6, levels); a level that does not exist has size 0."""

Array = np.ndarray


class Now:
    """What there is once: the clock and the state of the traded market."""

    ts: int
    """Time of the last event; 0 before the first."""
    depth: int
    """Levels that the indicators in use look at."""
    whole: int
    """1 while the traded market's latest book has two sides that do not touch."""


class State(NamedTuple):
    """Everything between two events: record arrays of the classes of `indicators.base`, and the shared decays."""

    now: Array
    """Of `Now`, one element."""
    markets: Array
    """Of `Market`: the traded one, then the leaders."""
    slots: Array
    """Of `Slot`, sorted by the indicator's class."""
    first: Array
    """Int64 (classes + 1,): where the slots of each class begin."""
    time: Array
    """Float64: each different time constant in use, nanoseconds."""
    decay: Array
    """Float64: exp(-dt / time) at the current event."""


def prepare(indicators: Sequence[Indicator], leaders: Sequence[str], ticks: Sequence[int]) -> State:
    """A state that has seen nothing; `ticks`: price steps in 1e-9, of the traded market, then of each leader."""
    kinds = np.array([CLASSES.index(type(indicator)) for indicator in indicators], dtype=np.int64)
    order = np.argsort(kinds, kind="stable")
    # Time constant 0 says that there is none; it comes first and its decay is never read.
    times = [0.0, *sorted({time for indicator in indicators for time in (indicator.tau, indicator.slow)} - {0.0})]
    places = ["", *leaders]
    now = np.zeros(1, record(Now, 0))
    now["depth"] = max([2, *(indicator.levels for indicator in indicators)])
    markets = np.zeros(len(places), record(Market, LEVELS))
    markets["tick"], markets["last"] = ticks, math.nan
    slots = np.zeros(len(indicators), record(Slot, CELLS))
    for slot, column in zip(slots, order, strict=True):
        indicator = indicators[column]
        slot["column"], slot["market"], slot["levels"] = column, places.index(indicator.leader), indicator.levels
        slot["keep_at"], slot["slow_at"] = times.index(indicator.tau), times.index(indicator.slow)
        slot["share"] = indicator.tau / (indicator.slow or 1.0)
    first = np.searchsorted(kinds[order], np.arange(len(CLASSES) + 1))
    return State(now, markets, slots, first, np.array(times) * 1e9, np.ones(len(times)))


def _each_step(state: State) -> None:
    """Every indicator's step, in place: written out below, class by class, so that all are compiled into one loop."""


@overload(_each_step)
def _written_out(state):  # type: ignore[no-untyped-def]
    lines = ["def each_step(state):", "    markets, slots, first, decay = state.markets, state.slots, state.first, state.decay"]
    for kind in range(len(CLASSES)):
        lines += [
            f"    for i in range(first[{kind}], first[{kind + 1}]):",
            "        mine = slots[i]",
            "        market = markets[mine.market]",
            "        if market.known:",
            "            mine.keep, mine.slow = decay[mine.keep_at], decay[mine.slow_at]",
            f"            mine.value = step_{kind}(market, markets[0], mine)",
        ]
    scope: dict[str, Any] = {f"step_{kind}": cls.compiled for kind, cls in enumerate(CLASSES)}
    exec("\n".join(lines), scope)
    return scope["each_step"]


@njit(cache=True)
def on_trade(state, m, price, size, aggressor):  # type: ignore[no-untyped-def]
    """One trade of market m; price in 1e-9. It is told to the indicators with the next book event of any market."""
    market = state.markets[m]
    if not market.known:
        return
    trades = market.trades
    market.last = price / market.tick
    trades.volume += size
    trades.premium += size * (market.last - mid(market.now))
    if aggressor > 0:
        trades.buys += 1.0
        trades.buy_volume += size
    elif aggressor < 0:
        trades.sells += 1.0
        trades.sell_volume += size


@njit(cache=True)
def on_book(state, m, ts, event):  # type: ignore[no-untyped-def]
    """One book event of market m; `event`: int64 (6, levels), prices in 1e-9. True where a row of `feature_table` is due.

    A book without two sides, or whose sides touch or cross, is passed over: the last whole one stays in force,
    and while it is the traded market's, no row is due.
    """
    clock, market = state.now[0], state.markets[m]
    whole = event[BID_SZ, 0] > 0 and event[ASK_SZ, 0] > 0 and event[BID_PX, 0] < event[ASK_PX, 0]
    if m == 0:
        clock.whole = whole
    if not whole:
        return False
    now, before = market.now, market.before
    for level in range(clock.depth):
        there = event[BID_SZ, level] > 0
        now.bid[level] = event[BID_PX, level] / market.tick if there else math.nan
        now.bid_size[level] = event[BID_SZ, level]
        now.bid_count[level] = event[BID_CT, level]
        there = event[ASK_SZ, level] > 0
        now.ask[level] = event[ASK_PX, level] / market.tick if there else math.nan
        now.ask_size[level] = event[ASK_SZ, level]
        now.ask_count[level] = event[ASK_CT, level]
    changed = (
        now.bid[0] != before.bid[0]
        or now.ask[0] != before.ask[0]
        or now.bid_size[0] != before.bid_size[0]
        or now.ask_size[0] != before.ask_size[0]
    )
    if not market.known:
        market.known = 1
        _settle(market, clock.depth)  # the first book is not a flow
    elapsed = float(max(ts - clock.ts, 0)) if clock.ts else 0.0
    clock.ts = ts
    for k in range(1, state.time.size):
        state.decay[k] = math.exp(-elapsed / state.time[k])
    _each_step(state)
    _settle(market, clock.depth)
    for k in range(state.markets.size):
        trades = state.markets[k].trades
        trades.buys = trades.sells = trades.buy_volume = trades.sell_volume = trades.volume = trades.premium = 0.0
    return changed and clock.whole == 1


@njit
def _settle(market, depth):  # type: ignore[no-untyped-def]
    # What is now will have been before: until its next event the market does not change.
    now, before = market.now, market.before
    for level in range(depth):
        before.bid[level] = now.bid[level]
        before.ask[level] = now.ask[level]
        before.bid_size[level] = now.bid_size[level]
        before.ask_size[level] = now.ask_size[level]
        before.bid_count[level] = now.bid_count[level]
        before.ask_count[level] = now.ask_count[level]


class Books(NamedTuple):
    """Book events of all markets, one market's columns after the other's: market m has start[m] to start[m + 1]."""

    start: Array
    ts: Array
    row: Array
    bid_px: tuple[Array, ...]
    """A tuple of arrays, one a level; only as many levels are read as the indicators need."""
    ask_px: tuple[Array, ...]
    bid_sz: tuple[Array, ...]
    ask_sz: tuple[Array, ...]
    bid_ct: tuple[Array, ...]
    ask_ct: tuple[Array, ...]


class Tape(NamedTuple):
    """Trades of all markets, laid out as `Books`."""

    start: Array
    ts: Array
    row: Array
    price: Array
    size: Array
    aggressor: Array


class Rows(NamedTuple):
    """What `batch` fills: one element a row of `feature_table`."""

    ts: Array
    row: Array
    own: Array
    bid: Array
    ask: Array
    values: Array
    """Float32 (indicators, rows)."""


@njit(cache=True)
def batch(state, books, tape, rows):  # type: ignore[no-untyped-def]
    """Run all events through the state in their total order; returns the number of rows filled."""
    markets = books.start.size - 1
    # Taken out of the tuple once: every look into a tuple of arrays counts references to all of them.
    bid_px, ask_px, bid_sz, ask_sz, bid_ct, ask_ct = books.bid_px, books.ask_px, books.bid_sz, books.ask_sz, books.bid_ct, books.ask_ct
    book_at, trade_at = books.start[:-1].copy(), tape.start[:-1].copy()
    event = np.zeros((6, state.now[0].depth), dtype=np.int64)
    filled, row, bid, ask = 0, books.row[0], books.bid_px[0][0], books.ask_px[0][0]
    while True:
        m = -1
        for k in range(markets):
            if book_at[k] < books.start[k + 1] and (m < 0 or books.ts[book_at[k]] < books.ts[book_at[m]]):
                m = k
        if m < 0:
            return filled
        i = book_at[m]
        book_at[m] += 1
        ts = books.ts[i]
        for k in range(markets):
            while trade_at[k] < tape.start[k + 1]:
                j = trade_at[k]
                if tape.ts[j] > ts or (tape.ts[j] == ts and (k > m or (k == m and tape.row[j] > books.row[i]))):
                    break
                on_trade(state, k, tape.price[j], tape.size[j], tape.aggressor[j])
                trade_at[k] += 1
        for level in range(event.shape[1]):
            event[BID_PX, level] = bid_px[level][i]
            event[ASK_PX, level] = ask_px[level][i]
            event[BID_SZ, level] = bid_sz[level][i]
            event[ASK_SZ, level] = ask_sz[level][i]
            event[BID_CT, level] = bid_ct[level][i]
            event[ASK_CT, level] = ask_ct[level][i]
        due = on_book(state, m, ts, event)
        if m == 0:
            row, bid, ask = books.row[i], event[BID_PX, 0], event[ASK_PX, 0]
        if due:
            rows.ts[filled], rows.row[filled], rows.own[filled] = ts, row, m == 0
            rows.bid[filled], rows.ask[filled] = bid, ask
            for k in range(state.slots.size):
                rows.values[state.slots[k].column, filled] = state.slots[k].value
            filled += 1


@njit(cache=True)
def label(rows, count, ts, bid, ask, then, tick, out):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Mid in force one horizon after each row minus the mid of the row, in ticks; NaN where that is after the end.

    ts, bid, ask: the traded market's whole books, in time's order; in force at t is the last one with ts <= t.
    then: (horizon, end) in nanoseconds.
    """
    j = 0
    for i in range(count):
        at = rows.ts[i] + then[0]
        while j + 1 < ts.size and ts[j + 1] <= at:
            j += 1
        out[i] = (bid[j] + ask[j] - rows.bid[i] - rows.ask[i]) / (2.0 * tick) if at <= then[1] else math.nan


class Stream:
    """The same indicators, one event at a time: for live use, and to hold the batch against.

    Events are to come in the total order that the module describes.
    """

    def __init__(self, indicators: Sequence[Indicator], leaders: Sequence[str], ticks: Sequence[int]) -> None:
        self.names = [indicator.name for indicator in indicators]
        self._state = prepare(indicators, leaders, ticks)
        self._markets = ["", *leaders]

    def trade(self, leader: str, price: int, size: int, aggressor: int) -> None:
        """One trade, of the traded market where leader is empty; price in 1e-9, aggressor +1, -1 or 0."""
        on_trade(self._state, self._markets.index(leader), price, size, aggressor)

    def book(self, leader: str, ts: int, event: Array) -> Array | None:
        """One book event: int64 (6, levels), see `BID_PX` and so on; the indicators (float64) where a row is due, else None."""
        due = on_book(self._state, self._markets.index(leader), ts, event)
        slots = self._state.slots
        return slots["value"][np.argsort(slots["column"])] if due else None

    @property
    def levels(self) -> int:
        """Levels that an event must have."""
        return int(self._state.now["depth"][0])
