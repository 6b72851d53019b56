"""The one loop of the floor: books and trades go in, in time's order, and at each row every indicator takes one step.

`on_trade` and `on_book` are the two things that can happen; `batch` does the same over columns of a
session, and both have their rows told by `tell`, so both give the same bits. The order of events is total:
ts_event, then the market (the traded one before its leaders), then the row of raw_ticks. At equal
stamps an event of the traded market does not know the leader's: it is the order that never profits
from a coarse clock.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numba.extending import overload

from assets.books.schema import LEVELS
from assets.features.indicators.base import CLASSES, Array, Book, Indicator, Slot, part
from assets.features.local import borrow, give_back
from assets.features.state import KNOWN, NEW, UNKNOWN, Source, fade, in_ticks, prepare, slot_of

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

_INNER: Final = {"_nrt": False, "error_model": "numpy", "forceinline": True, "no_cfunc_wrapper": True, "no_cpython_wrapper": True}


@njit(cache=True, _nrt=False)
def on_trade(state, m, price, size, aggressor):  # type: ignore[no-untyped-def]
    """One trade of market m; price in 1e-9. The indicators are told with the next row."""
    source = state.sources[m]
    if not source.known:
        return
    trades = state.markets[m, state.now[0].rows].trades
    source.last = in_ticks(price, source)
    trades.volume += size
    trades.premium += size * (source.last - (in_ticks(source.bid, source) + in_ticks(source.ask, source)) / 2.0)
    if aggressor > 0:
        trades.buys += 1.0
        trades.buy_volume += size
    elif aggressor < 0:
        trades.sells += 1.0
        trades.sell_volume += size


@njit(cache=True, _nrt=False)
def on_value(state, i, value):  # type: ignore[no-untyped-def]
    """A value of a user's own series has reached us, and no row waits to be told: kept for the steps of slot i."""
    state.slots[i].memory[0] = value


@part
def on_top(state, m, bid, ask, bid_size, ask_size):  # type: ignore[no-untyped-def]
    """The best prices (1e-9) and sizes of a book event of market m; returns PASSED_OVER, IN_FORCE or ROW.

    A row is due where they differ from that market's at the row before. A book without two sides, or whose sides
    touch or cross, is passed over: the last whole one stays in force, and while it is the traded market's, no row is due.
    """
    whole = bid_size > 0 and ask_size > 0 and bid < ask
    if m == 0:
        state.now[0].whole = whole
    if not whole:
        return PASSED_OVER
    source = state.sources[m]
    same = bid == source.bid and ask == source.ask and bid_size == source.bid_size and ask_size == source.ask_size
    return IN_FORCE if same or not state.now[0].whole else ROW


@part
def stand(source, row, bid, ask, bid_size, ask_size):  # type: ignore[no-untyped-def]
    """What is in force of a market at the row in the making; prices in 1e-9."""
    source.bid, source.ask, source.bid_size, source.ask_size = bid, ask, bid_size, ask_size
    if source.known == UNKNOWN:
        source.known, source.since = NEW, row


@part
def place(source, book, level, bid, ask):  # type: ignore[no-untyped-def]
    """One level of a row's book; a side is (price in 1e-9, size, count), size 0 where there is no such level."""
    book.bid[level] = in_ticks(bid[0], source) if bid[1] > 0 else math.nan
    book.ask[level] = in_ticks(ask[0], source) if ask[1] > 0 else math.nan
    book.bid_size[level], book.ask_size[level] = bid[1], ask[1]
    book.bid_count[level], book.ask_count[level] = bid[2], ask[2]


@part
def make_row(state, ts):  # type: ignore[no-untyped-def]
    """End the row in the making."""
    now = state.now[0]
    for k in range(state.sources.size):
        state.markets[k, now.rows].last = state.sources[k].last
    state.fading[0, now.rows] = max(ts - now.ts, 0) if now.ts else 0
    now.ts = ts
    now.rows += 1


def _steps(slot: Slot, market: Array, own: Array, keep: Array, slow: Array, out: Array, at: np.uint64, rows: Any) -> None:
    """The steps of one indicator, whichever the slot is of, at the rows of the block: written out below, so that each class has
    a loop of its own. rows: a range of unsigned numbers, since a negative one would be counted from the end."""
    raise NotImplementedError


@overload(_steps, jit_options=_INNER)
def _written_out(slot, market, own, keep, slow, out, at, rows):  # type: ignore[no-untyped-def]
    taken = "slot, market, own, keep, slow, out, at, rows"
    lines = [f"def steps({taken}):", *(f"    if slot.kind == {kind}: loop_{kind}({taken})" for kind in range(len(CLASSES)))]
    scope: dict[str, Any] = {f"loop_{kind}": _loop(cls.compiled) for kind, cls in enumerate(CLASSES)}
    exec("\n".join(lines), scope)
    return scope["steps"]


def _loop(step: Callable[..., float]) -> Callable[..., None]:
    @njit(**_INNER)
    def loop(slot, market, own, keep, slow, out, at, rows):  # type: ignore[no-untyped-def]
        mine = borrow(slot)
        for r in rows:
            mine.keep, mine.slow = keep[r], slow[r]
            out[at + r] = step(market[r], own[r], mine)
        give_back(slot, mine)

    return loop


@part
def tell(state, values, at):  # type: ignore[no-untyped-def]
    """Every indicator's steps over the rows that were made; returns the number of rows told in all.

    values: float32 (indicators, rows), `at` of which were told before. An indicator of a market that is not known yet is zero.
    """
    now, rows = state.now[0], state.now[0].rows
    for k in range(1, now.times):
        for r in range(rows):
            state.fading[k, r] = fade(state.fading[0, r] * now.rate[k])
    for k in range(state.sources.size):
        source, market = state.sources[k], state.markets[k]
        if source.known == NEW:
            _copy(market[source.since].now, market[source.since].before, now.depth)  # the first book is not a flow
    for i in range(state.slots.size):
        slot, since = state.slots[i], state.sources[state.slots[i].market].since
        out = values[slot.column]
        out[at : at + min(since, rows)] = 0.0
        market, keep, slow = state.markets[slot.market], state.fading[slot.keep_at], state.fading[slot.slow_at]
        _steps(slot, market, state.markets[0], keep, slow, out, np.uint64(at), range(np.uint64(since), np.uint64(rows)))
    for k in range(state.sources.size):
        if state.sources[k].known == NEW:
            state.sources[k].known, state.sources[k].since = KNOWN, 0
        _turn(state.markets[k], rows, now.depth)
    now.rows = 0
    return at + rows


@part
def _copy(book, other, depth):  # type: ignore[no-untyped-def]
    for level in range(depth):
        other.bid[level], other.ask[level] = book.bid[level], book.ask[level]
        other.bid_size[level], other.ask_size[level] = book.bid_size[level], book.ask_size[level]
        other.bid_count[level], other.ask_count[level] = book.bid_count[level], book.ask_count[level]


@part
def _turn(market, rows, depth):  # type: ignore[no-untyped-def]
    # The last row's book is the one before the next block's first, to which the trades in the making belong.
    _copy(market[rows].before, market[0].before, depth)
    making = market[rows].trades
    volume, premium = making.volume, making.premium
    buys, sells, buy_volume, sell_volume = making.buys, making.sells, making.buy_volume, making.sell_volume
    for r in range(rows + 1):
        trades = market[r].trades
        if trades.volume > 0.0:
            trades.buys = trades.sells = trades.buy_volume = trades.sell_volume = trades.volume = trades.premium = 0.0
    first = market[0].trades
    first.volume, first.premium = volume, premium
    first.buys, first.sells, first.buy_volume, first.sell_volume = buys, sells, buy_volume, sell_volume


@njit(cache=True, _nrt=False)
def on_book(state, latest, m, ts, event, values):  # type: ignore[no-untyped-def]
    """One book event of market m; True where it makes a row, which is told at once.

    event: int64 (6, 10); latest: int64 (markets, 6, 10), the books in force, size 0 where there is none yet;
    values: float32 (indicators, 1), where the indicators go.
    """
    found = on_top(state, m, event[BID_PX, 0], event[ASK_PX, 0], event[BID_SZ, 0], event[ASK_SZ, 0])
    if found != PASSED_OVER:
        for row in range(event.shape[0]):  # one by one: a copy of the whole would need memory of numba's own
            for level in range(event.shape[1]):
                latest[m, row, level] = event[row, level]
    if found != ROW:
        return False
    now = state.now[0]
    for k in range(state.sources.size):
        book, source = latest[k], state.sources[k]
        if book[BID_SZ, 0] > 0:
            stand(source, now.rows, book[BID_PX, 0], book[ASK_PX, 0], book[BID_SZ, 0], book[ASK_SZ, 0])
            for level in range(now.depth):
                bid = book[BID_PX, level], book[BID_SZ, level], book[BID_CT, level]
                ask = book[ASK_PX, level], book[ASK_SZ, level], book[ASK_CT, level]
                place(source, state.markets[k, now.rows].now, level, bid, ask)
    make_row(state, ts)
    tell(state, values, 0)
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


def _place_levels(source: Source, book: Book, books: Books, at: np.uint64, depth: int) -> None:
    """Place the levels of the book event in row `at` of the columns: written out below, as a level that is not a constant
    makes a jump of every look into a tuple of arrays."""
    raise NotImplementedError


@overload(_place_levels, jit_options=_INNER)
def _levels_written_out(source, book, books, at, depth):  # type: ignore[no-untyped-def]
    lines = ["def place_levels(source, book, books, at, depth):"]
    for level in range(LEVELS):
        bid, ask = (", ".join(f"books.{side}_{kind}[{level}][at]" for kind in ("px", "sz", "ct")) for side in ("bid", "ask"))
        lines += [f"    if depth > {level}: place(source, book, {level}, ({bid}), ({ask}))"]
    scope: dict[str, Any] = {"place": place}
    exec("\n".join(lines), scope)
    return scope["place_levels"]


@njit(cache=True, _nrt=False)
def batch(state, feed, rows):  # type: ignore[no-untyped-def]
    """Run all events through the state in their total order; returns the number of rows filled."""
    now, sources = state.now[0], state.sources
    books, tape, series = feed.books, feed.tape, feed.series
    stop, ts, raw_row = books.start[1:], books.ts, books.row
    bid_px, ask_px, bid_sz, ask_sz = books.bid_px[0], books.ask_px[0], books.bid_sz[0], books.ask_sz[0]
    trade_stop, trade_ts, trade_row, price, size, aggressor = tape.start[1:], tape.ts, tape.row, tape.price, tape.size, tape.aggressor
    known_at, slot, value = series.ts, series.slot, series.value
    series_at, told, block = 0, 0, state.fading.shape[1]
    for k in range(sources.size):
        sources[k].next_book, sources[k].next_trade, sources[k].latest = books.start[k], tape.start[k], -1
    while True:
        m = -1
        for k in range(sources.size):
            if sources[k].next_book < stop[k] and (m < 0 or ts[sources[k].next_book] < ts[sources[m].next_book]):
                m = k
        if m < 0:
            break
        i = sources[m].next_book
        sources[m].next_book += 1
        for k in range(sources.size):
            for j in range(sources[k].next_trade, trade_stop[k]):
                if trade_ts[j] > ts[i] or (trade_ts[j] == ts[i] and (k > m or (k == m and trade_row[j] > raw_row[i]))):
                    break
                on_trade(state, k, price[j], size[j], aggressor[j])
                sources[k].next_trade += 1
        while series_at < known_at.size and known_at[series_at] <= ts[i]:
            if now.rows:
                told = tell(state, rows.values, told)
            on_value(state, slot[series_at], value[series_at])
            series_at += 1
        found = on_top(state, m, bid_px[i], ask_px[i], bid_sz[i], ask_sz[i])
        if found != PASSED_OVER:
            sources[m].latest = i
        if found != ROW:
            continue
        for k in range(sources.size):
            event = sources[k].latest
            if event >= 0:
                stand(sources[k], now.rows, bid_px[event], ask_px[event], bid_sz[event], ask_sz[event])
                _place_levels(sources[k], state.markets[k, now.rows].now, books, np.uint64(event), now.depth)
        at = told + now.rows
        rows.ts[at], rows.row[at], rows.own[at] = ts[i], raw_row[sources[0].next_book - 1], m == 0
        rows.bid[at], rows.ask[at] = sources[0].bid, sources[0].ask
        make_row(state, ts[i])
        if now.rows == block:
            told = tell(state, rows.values, told)
    return tell(state, rows.values, told)


class Stream:
    """The same indicators, one event at a time: for live use, and to hold the batch against.

    Events are to come in the total order that the module describes.
    """

    def __init__(self, indicators: Sequence[Indicator], leaders: Sequence[str], ticks: Sequence[int]) -> None:
        self.names = [indicator.name for indicator in indicators]
        self._state = prepare(indicators, leaders, ticks)
        self._latest = np.zeros((1 + len(leaders), 6, LEVELS), dtype=np.int64)
        self._values = np.zeros((len(indicators), 1), dtype=np.float32)
        self._markets = ["", *leaders]

    def value(self, name: str, value: float) -> None:
        """A value of the user's own series, at the moment it is known (its delay over); `name`: of the indicator."""
        on_value(self._state, slot_of(self._state, self.names.index(name)), value)

    def trade(self, leader: str, price: int, size: int, aggressor: int) -> None:
        """One trade, of the traded market where leader is empty; price in 1e-9, aggressor +1, -1 or 0."""
        on_trade(self._state, self._markets.index(leader), price, size, aggressor)

    def book(self, leader: str, ts: int, event: Array) -> Array | None:
        """One book event: int64 (6, 10), see `BID_PX` and so on; the indicators (float32) where a row is due, else None."""
        due = on_book(self._state, self._latest, self._markets.index(leader), ts, event, self._values)
        return self._values[:, 0].copy() if due else None
