"""The one loop of the floor: books and trades go in, in time's order, and at each row every indicator takes one step.

`on_trade` and `on_book` are the two things that can happen; `batch` calls them over columns of a
session and `Stream` one at a time, so both give the same bits. The order of events is total:
ts_event, then the market (the traded one before its leaders), then the row of raw_ticks. At equal
stamps an event of the traded market does not know the leader's: it is the order that never profits
from a coarse clock.
"""

import hashlib
import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numba.extending import overload

from assets.books.schema import LEVELS
from assets.desk import NS
from assets.features.errors import FeaturesError
from assets.features.indicators.base import CELLS, CLASSES, Array, Indicator, Market, Slot, mid, record

BID_PX: Final = 0
ASK_PX: Final = 1
BID_SZ: Final = 2
ASK_SZ: Final = 3
BID_CT: Final = 4
ASK_CT: Final = 5
"""Rows of one book event as `on_book` takes it, int64 (6, 10); a level that does not exist has size 0."""

PASSED_OVER: Final = 0
IN_FORCE: Final = 1
ROW: Final = 2
"""What becomes of a book event."""

TIMES: Final = 64
"""Room for time constants: a lab that tries many values runs them in parts, and a fixed size keeps one compiled kernel."""


class Now:
    """What there is once: the clock, the decays that indicators share, the state of the traded market."""

    ts: int
    """Time of the last event; 0 before the first."""
    whole: int
    """1 while the traded market's latest book has two sides that do not touch."""
    depth: int
    """Levels that the indicators in use look at."""
    times: int
    """Different time constants in use."""
    time: Array
    """Float64 (TIMES,): the time constants, nanoseconds; the first is 0 and stands for none."""
    decay: Array
    """Float64 (TIMES,): exp(-dt / time) at the current event."""


class State(NamedTuple):
    """Everything between two events, as records of numba.

    The kernel's functions take the three one by one: a look into a tuple of arrays counts references, which costs
    more than an indicator's step.
    """

    now: Array
    """Of `Now`, one element."""
    markets: Array
    """Of `Market`: the traded one, then the leaders."""
    slots: Array
    """Of `Slot`, sorted by the indicator's class."""


def prepare(indicators: Sequence[Indicator], leaders: Sequence[str], ticks: Sequence[int]) -> State:
    """A state that has seen nothing; `ticks`: price steps in 1e-9, of the traded market, then of each leader.

    Raises:
        FeaturesError: more different time constants than one pass has room for.
    """
    times = [0.0, *sorted({time for indicator in indicators for time in (indicator.tau, indicator.slow)} - {0.0})]
    if len(times) > TIMES:
        room = f"the {TIMES - 1} that one pass has room for"
        raise FeaturesError(f"{len(times) - 1} different time constants are more than {room}: compute the indicators in parts")
    now = np.zeros(1, record(Now, TIMES))
    now["depth"] = max([2, *(indicator.levels for indicator in indicators)])
    now["times"] = len(times)
    now["time"][0, : len(times)] = np.array(times) * NS
    places = ["", *leaders]
    markets = np.zeros(len(places), record(Market, LEVELS))
    markets["tick"], markets["last"] = ticks, math.nan
    slots = np.zeros(len(indicators), np.dtype([*record(Slot, CELLS).descr, (_fingerprint(), "i8")], align=True))
    kinds = [CLASSES.index(type(indicator)) for indicator in indicators]
    for slot, column in zip(slots, np.argsort(kinds, kind="stable"), strict=True):
        indicator = indicators[column]
        slot["kind"], slot["column"], slot["market"] = kinds[column], column, places.index(indicator.leader)
        slot["levels"], slot["share"] = indicator.levels, indicator.tau / (indicator.slow or 1.0)
        slot["keep_at"], slot["slow_at"] = times.index(indicator.tau), times.index(indicator.slow)
    return State(now, markets, slots)


def _fingerprint() -> str:
    # Name of a field that nobody reads. It makes the slots of other classes another type to numba, which would otherwise
    # answer from a cache of compiled code that lacks a class or has its former formula.
    codes = [(cls.__qualname__, code.co_code, code.co_names, code.co_consts) for cls in CLASSES for code in [cls._step.__code__]]
    return f"classes_{hashlib.sha256(repr(codes).encode()).hexdigest()[:16]}"


def slot_of(state: State, column: int) -> int:
    """Place of the slot of the caller's indicator number `column`."""
    return int(np.flatnonzero(state.slots["column"] == column)[0])


def _step(market: Market, own: Market, mine: Slot) -> float:
    """One step of whichever indicator the slot is of: written out below, so that all are compiled into one loop."""
    raise NotImplementedError


@overload(_step)
def _written_out(market, own, mine):  # type: ignore[no-untyped-def]
    lines = ["def step(market, own, mine):"]
    lines += [f"    if mine.kind == {kind}: return step_{kind}(market, own, mine)" for kind in range(len(CLASSES))]
    scope: dict[str, Any] = {"nan": math.nan, **{f"step_{kind}": cls.compiled for kind, cls in enumerate(CLASSES)}}
    exec("\n".join([*lines, "    return nan"]), scope)
    return scope["step"]


@njit(cache=True)
def on_trade(markets, m, price, size, aggressor):  # type: ignore[no-untyped-def]
    """One trade of market m; price in 1e-9. The indicators are told with the next step."""
    market = markets[m]
    if not market.known:
        return
    trades = market.trades
    market.last = price / market.tick
    trades.volume += size
    trades.premium += size * (market.last - mid(market.before))
    if aggressor > 0:
        trades.buys += 1.0
        trades.buy_volume += size
    elif aggressor < 0:
        trades.sells += 1.0
        trades.sell_volume += size


@njit(cache=True)
def on_value(slots, i, value):  # type: ignore[no-untyped-def]
    """A value of a user's own series has reached us: kept for the steps of slot i."""
    slots[i].memory[0] = value


@njit
def on_top(now, markets, m, bid, ask, bid_size, ask_size):  # type: ignore[no-untyped-def]
    """The best prices (1e-9) and sizes of a book event of market m; returns PASSED_OVER, IN_FORCE or ROW.

    A row is due where they differ from that market's at the row before. A book without two sides, or whose sides
    touch or cross, is passed over: the last whole one stays in force, and while it is the traded market's, no row is due.
    """
    whole = bid_size > 0 and ask_size > 0 and bid < ask
    if m == 0:
        now[0].whole = whole
    if not whole:
        return PASSED_OVER
    market = markets[m]
    same = bid == market.bid and ask == market.ask and bid_size == market.bid_size and ask_size == market.ask_size
    return IN_FORCE if same or not now[0].whole else ROW


@njit
def place(market, level, bid, ask):  # type: ignore[no-untyped-def]
    """One level of the book in force, before a step; a side is (price in 1e-9, size, count), size 0 where there is no such level."""
    book = market.now
    book.bid[level] = bid[0] / market.tick if bid[1] > 0 else math.nan
    book.ask[level] = ask[0] / market.tick if ask[1] > 0 else math.nan
    book.bid_size[level], book.ask_size[level] = bid[1], ask[1]
    book.bid_count[level], book.ask_count[level] = bid[2], ask[2]
    if level == 0:
        market.bid, market.ask, market.bid_size, market.ask_size = bid[0], ask[0], bid[1], ask[1]
        market.placed = 1


@njit
def step(now, markets, slots, ts):  # type: ignore[no-untyped-def]
    """Every indicator's step at a row, with the books in force in their places."""
    clock = now[0]
    for k in range(markets.size):
        if markets[k].placed and not markets[k].known:
            markets[k].known = 1
            _settle(markets[k], clock.depth)  # the first book is not a flow
    elapsed = float(max(ts - clock.ts, 0)) if clock.ts else 0.0
    clock.ts = ts
    for k in range(1, clock.times):
        clock.decay[k] = math.exp(-elapsed / clock.time[k])
    for i in range(slots.size):
        mine = slots[i]
        if markets[mine.market].known:
            mine.keep, mine.slow = clock.decay[mine.keep_at], clock.decay[mine.slow_at]
            mine.value = _step(markets[mine.market], markets[0], mine)
    for k in range(markets.size):
        _settle(markets[k], clock.depth)


@njit
def _settle(market, depth):  # type: ignore[no-untyped-def]
    # What is now will have been before, and the trades have been told.
    if market.placed:
        now, before = market.now, market.before
        for level in range(depth):
            before.bid[level], before.ask[level] = now.bid[level], now.ask[level]
            before.bid_size[level], before.ask_size[level] = now.bid_size[level], now.ask_size[level]
            before.bid_count[level], before.ask_count[level] = now.bid_count[level], now.ask_count[level]
        market.placed = 0
    trades = market.trades
    if trades.volume > 0.0:
        trades.buys = trades.sells = trades.buy_volume = trades.sell_volume = trades.volume = trades.premium = 0.0


@njit(cache=True)
def on_book(now, markets, slots, latest, m, ts, event):  # type: ignore[no-untyped-def]
    """One book event of market m, as `batch` takes it from its columns; True where it makes a row.

    event: int64 (6, 10); latest: int64 (markets, 6, 10), the books in force, size 0 where there is none to place.
    """
    found = on_top(now, markets, m, event[BID_PX, 0], event[ASK_PX, 0], event[BID_SZ, 0], event[ASK_SZ, 0])
    if found != PASSED_OVER:
        for row in range(event.shape[0]):  # one by one: a copy of the whole would need memory of numba's own
            for level in range(event.shape[1]):
                latest[m, row, level] = event[row, level]
    if found != ROW:
        return False
    for k in range(markets.size):
        book = latest[k]
        for level in range(now[0].depth if book[BID_SZ, 0] > 0 else 0):
            bid = book[BID_PX, level], book[BID_SZ, level], book[BID_CT, level]
            place(markets[k], level, bid, (book[ASK_PX, level], book[ASK_SZ, level], book[ASK_CT, level]))
        book[BID_SZ, 0] = 0
    step(now, markets, slots, ts)
    return True


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


class Series(NamedTuple):
    """Values of the user's own series, in the order in which they reach us."""

    ts: Array
    """Int64: when the value is known, its delay included."""
    slot: Array
    value: Array


class Feed(NamedTuple):
    """All that goes into a pass."""

    books: Books
    tape: Tape
    series: Series


class Rows(NamedTuple):
    """What `batch` fills: one element a row of `feature_table`."""

    ts: Array
    row: Array
    own: Array
    bid: Array
    ask: Array
    values: Array
    """Float32 (indicators, rows)."""


def _place_levels(market: Market, books: Books, at: int, depth: int) -> None:
    """Place the levels of the book event in row `at` of the columns: written out below, as a level that is not a constant
    makes a jump of every look into a tuple of arrays."""
    raise NotImplementedError


@overload(_place_levels)
def _levels_written_out(market, books, at, depth):  # type: ignore[no-untyped-def]
    lines = ["def place_levels(market, books, at, depth):"]
    for level in range(LEVELS):
        bid, ask = (", ".join(f"books.{side}_{kind}[{level}][at]" for kind in ("px", "sz", "ct")) for side in ("bid", "ask"))
        lines += [f"    if depth > {level}: place(market, {level}, ({bid}), ({ask}))"]
    scope: dict[str, Any] = {"place": place}
    exec("\n".join(lines), scope)
    return scope["place_levels"]


@njit(cache=True, _nrt=False)  # counts no references: it did at each look into a tuple of arrays, for half of the loop's own time
def batch(state, feed, rows):  # type: ignore[no-untyped-def]
    """Run all events through the state in their total order; returns the number of rows filled."""
    now, markets, slots = state.now, state.markets, state.slots
    books, tape, series = feed.books, feed.tape, feed.series
    stop, ts, raw_row = books.start[1:], books.ts, books.row
    bid_px, ask_px, bid_sz, ask_sz = books.bid_px[0], books.ask_px[0], books.bid_sz[0], books.ask_sz[0]
    trade_stop, trade_ts, trade_row, price, size, aggressor = tape.start[1:], tape.ts, tape.row, tape.price, tape.size, tape.aggressor
    out_ts, out_row, out_own, out_bid, out_ask, values = rows.ts, rows.row, rows.own, rows.bid, rows.ask, rows.values
    known_at, slot, value = series.ts, series.slot, series.value
    series_at, filled, depth = 0, 0, now[0].depth
    for k in range(markets.size):
        markets[k].next_book, markets[k].next_trade, markets[k].latest = books.start[k], tape.start[k], -1
    while True:
        m = -1
        for k in range(markets.size):
            if markets[k].next_book < stop[k] and (m < 0 or ts[markets[k].next_book] < ts[markets[m].next_book]):
                m = k
        if m < 0:
            return filled
        i = markets[m].next_book
        markets[m].next_book += 1
        for k in range(markets.size):
            for j in range(markets[k].next_trade, trade_stop[k]):
                if trade_ts[j] > ts[i] or (trade_ts[j] == ts[i] and (k > m or (k == m and trade_row[j] > raw_row[i]))):
                    break
                on_trade(markets, k, price[j], size[j], aggressor[j])
                markets[k].next_trade += 1
        while series_at < known_at.size and known_at[series_at] <= ts[i]:
            on_value(slots, slot[series_at], value[series_at])
            series_at += 1
        found = on_top(now, markets, m, bid_px[i], ask_px[i], bid_sz[i], ask_sz[i])
        if found != PASSED_OVER:
            markets[m].latest = i
        if found != ROW:
            continue
        for k in range(markets.size):
            if markets[k].latest >= 0:
                _place_levels(markets[k], books, markets[k].latest, depth)
            markets[k].latest = -1
        step(now, markets, slots, ts[i])
        out_ts[filled], out_row[filled], out_own[filled] = ts[i], raw_row[markets[0].next_book - 1], m == 0
        out_bid[filled], out_ask[filled] = markets[0].bid, markets[0].ask
        for k in range(slots.size):
            values[slots[k].column, filled] = slots[k].value
        filled += 1


@njit(cache=True)
def label(rows, count, ts, bid, ask, then, tick, out):  # type: ignore[no-untyped-def]
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
        self._latest = np.zeros((1 + len(leaders), 6, LEVELS), dtype=np.int64)
        self._markets = ["", *leaders]

    def value(self, name: str, value: float) -> None:
        """A value of the user's own series, at the moment it is known (its delay over); `name`: of the indicator."""
        on_value(self._state.slots, slot_of(self._state, self.names.index(name)), value)

    def trade(self, leader: str, price: int, size: int, aggressor: int) -> None:
        """One trade, of the traded market where leader is empty; price in 1e-9, aggressor +1, -1 or 0."""
        on_trade(self._state.markets, self._markets.index(leader), price, size, aggressor)

    def book(self, leader: str, ts: int, event: Array) -> Array | None:
        """One book event: int64 (6, 10), see `BID_PX` and so on; the indicators (float64) where a row is due, else None."""
        due = on_book(*self._state, self._latest, self._markets.index(leader), ts, event)
        slots = self._state.slots
        return slots["value"][np.argsort(slots["column"])] if due else None
