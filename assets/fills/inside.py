"""The policy inside the matching engine of the simulated exchange: one loop of market, wire, features and decisions.

The exchange runs event by event (`assets.ticks.exchange.flow`). Our requests reach its engine a delay after they
were decided, rest in its queues beside everybody's orders, are met by the flow's market orders and stand in the way of
its quotes; what follows, follows from the changed book. Leaders do not hear of us, so theirs is the recorded
session. Features and predictions are computed on that book as it comes, by the very kernels of the lineage, but less our
own orders, which who knows his order numbers leaves out: a desk that takes its own quote for the market's sees one
contract at a new best price, reads it as a thin bid, and withdraws (docs/fidelity.md).

Order at one moment: the traded market, then our request, then leaders, then the clock; the decision at each
row of the features, and each second before the close, as in a replay.
"""

from typing import Any, NamedTuple

import numpy as np

from assets.books.codes import BID, Int
from assets.curves.model import move_of
from assets.desk import NS
from assets.features.kernel import ASK_CT, ASK_PX, ASK_SZ, BID_CT, BID_PX, BID_SZ, Feed, on_book, on_trade, on_value
from assets.features.state import State
from assets.fills.exchange import book_fill, expire, leave, meets_own, next_arrival, receive, refused, rest, withdraw
from assets.fills.heard import listen
from assets.fills.policy import LEVELS
from assets.fills.rows import ADDED, OURS
from assets.fills.trader import decide
from assets.fills.wire import (
    CANCEL,
    CANCELLED,
    CLOSED,
    DONE,
    NEVER,
    OWN_ORDER,
    POST_ONLY,
    REJECTED,
    RESTING,
    STANDS,
    Room,
    delayed,
    kernel,
)
from assets.ticks.exchange.engine import (
    BEST_ASK,
    BEST_BID,
    BUY,
    NEXT_SLOT,
    NOBODY,
    NOW,
    ROW_MARGIN,
    ROWS,
    SELL,
    Exchange,
    cancel,
    end_event,
    submit,
)
from assets.ticks.exchange.flow import Path, Rates, begin, draw, happen, interrupt, stamped
from assets.ticks.exchange.participants import touch

FINISHED, SHORT_TAPE, SHORT_LOG = range(3)
"""What came of a run; after the other two it is to be made again with more room."""

_T, _F = ord("T"), ord("F")


class Venue(NamedTuple):
    """The traded market's exchange and its clock."""

    x: Exchange
    flow: Any
    """FLOW record."""
    random: np.ndarray
    rates: Rates
    path: Path
    length: float
    wall: np.ndarray
    exchange: np.ndarray
    """f64[n]: seconds since the open on the wall's clock, and on the exchange's at the same moments."""
    open_ns: int
    tick: int
    slots: np.ndarray
    """i64[orders]: place in the exchange of each order of ours that rests."""
    marks: np.ndarray
    """ROW records: ts, the best prices without ours, and whether it was OURS, after each event; as many as records on the tape."""


class Sight(NamedTuple):
    """What the policy's model sees: the state of the features, and the curves."""

    state: State
    latest: np.ndarray
    """i64[markets, 6, LEVELS]: as `on_book` takes it."""
    event: np.ndarray
    """i64[6, LEVELS]"""
    shown: np.ndarray
    """f32[indicators, 1]: what the features are at a row."""
    columns: np.ndarray
    """i64[p]: the place in it of each indicator of the model."""
    values: np.ndarray
    """f32[p], and the same as bits."""
    bits: np.ndarray
    cells: np.ndarray
    uppers: np.ndarray
    value: np.ndarray
    at: np.ndarray
    trade_at: np.ndarray
    """i64[markets]: the next book event and trade of each."""


@kernel
def trade(venue: Venue, sight: Sight, feed: Feed, room: Room) -> tuple[int, int]:
    """Trade a session; returns how it ended and the number of marks. `feed` has nothing of the traded market."""
    x, flow, random, rates, path = venue.x, venue.flow, venue.random, venue.rates, venue.path
    books, tape, series, state, close = feed.books, feed.tape, feed.series, room.state, room.rules.close_ns
    at, trade_at, series_at = sight.at, sight.trade_at, 0
    tick, marks = max(room.rules.flatten_ns, venue.open_ns), 0
    fed = 0  # when the market's last message has reached us
    begin(x, flow, random)
    draw(x, flow, random, rates, path)
    while True:
        if x.state[ROWS] > x.tape.size - ROW_MARGIN:
            return SHORT_TAPE, marks
        if state.full or room.trader.state.full:
            return SHORT_LOG, marks
        own = to_wall(flow.stamp, venue) if flow.then < venue.length else NEVER
        m = -1
        for k in range(1, at.size):
            if at[k] < books.start[k + 1] and (m < 0 or books.ts[at[k]] < books.ts[at[m]]):
                m = k
        other = books.ts[at[m]] if m >= 0 else NEVER
        coming = next_arrival(room)
        stamp, arrival = _reaches(coming, venue) if coming != NEVER else (NEVER, NEVER)
        ts = min(own, other, arrival, tick)
        if ts >= close:
            break
        while series_at < series.ts.size and series.ts[series_at] <= ts:
            on_value(sight.state, series.slot[series_at], series.value[series_at])
            series_at += 1
        first, due = x.state[ROWS], False
        if ts == tick and ts < min(own, arrival, other):
            tick += NS
            if marks > 0:
                _decide(venue, marks, ts, max(fed, delayed(ts, room.rules.feed_delay)), 0.0, room)
            continue
        # Trades of the leaders that are known before a book event of this moment and market.
        now_at = 0 if ts in (own, arrival) else m
        for k in range(1, at.size):
            while trade_at[k] < tape.start[k + 1]:
                j = trade_at[k]
                if tape.ts[j] > ts or (tape.ts[j] == ts and (k > now_at or (k == now_at and tape.row[j] > books.row[at[m]]))):
                    break
                on_trade(sight.state, k, tape.price[j], tape.size[j], tape.aggressor[j])
                trade_at[k] += 1
        ours = ts != own and ts == arrival
        if ts == own:
            happen(x, flow, random, rates, path)
            draw(x, flow, random, rates, path)
        elif ours:
            _arrive(stamp, ts, venue, room)
        else:
            i = at[m]
            at[m] += 1
            for level in range(sight.state.now[0].depth):
                sight.event[BID_PX, level], sight.event[ASK_PX, level] = books.bid_px[level][i], books.ask_px[level][i]
                sight.event[BID_SZ, level], sight.event[ASK_SZ, level] = books.bid_sz[level][i], books.ask_sz[level][i]
                sight.event[BID_CT, level], sight.event[ASK_CT, level] = books.bid_ct[level][i], books.ask_ct[level][i]
            due = on_book(sight.state, sight.latest, m, ts, sight.event, sight.shown)
        if x.state[ROWS] > first:
            fed = max(fed, delayed(ts, room.rules.feed_delay))
            for row in range(first, x.state[ROWS]):
                told = x.tape[row]
                if told.action == _T:
                    price = (np.int64(told.price) + room.rules.base) * venue.tick
                    on_trade(sight.state, 0, price, np.int64(told.size), 1 if told.side == ord("B") else -1)
                    state.volume += told.size
                    if state.volume > room.rules.high_volume:
                        room.rules.busy_ns = min(room.rules.busy_ns, ts)
            _book_fills(venue, first, ts, room)
            _show(x, sight.state.now[0].depth, room.rules.base, venue.tick, sight.event)
            mark = venue.marks[marks]
            mark.ts, mark.bid, mark.ask, mark.kind = ts, touch(x, BUY), touch(x, SELL), OURS if ours else ADDED
            marks += 1
            due = on_book(sight.state, sight.latest, 0, ts, sight.event, sight.shown)
        if due:
            prediction = 0.0
            for i in range(sight.columns.size):
                sight.values[i] = sight.shown[sight.columns[i], 0]
                prediction += move_of(sight.bits[i], sight.cells[i], sight.uppers[i], sight.value[i])
            _decide(venue, marks, ts, max(fed, delayed(ts, room.rules.feed_delay)), np.float64(np.float32(prediction)), room)
    expire(NEVER, CLOSED, room)
    return FINISHED, marks


@kernel
def _decide(venue: Venue, marks: Int, ts: Int, now: Int, prediction: float, room: Room) -> None:
    """Hear what has come back; decide on the book without our own orders."""
    listen(now, room)
    x, trader = venue.x, room.trader
    row: Any = venue.marks[marks - 1]
    for side in range(2):
        sign, front = (1, row.bid + 1) if side == BID else (-1, row.ask - 1)
        for level in range(LEVELS):
            px = front - sign * level
            if 0 <= px < x.head.size:
                trader.ladder[side, px, STANDS] = _others(x, px, NOBODY)
    for j in range(trader.state.lives):
        own = trader.orders[trader.state.live[j]]
        if own.heard:
            own.ahead = _ahead(x, own.px, venue.slots[trader.state.live[j]])
    decide(row, ts, now, prediction, trader)


@kernel
def _ahead(x: Exchange, level: Int, ours: Int) -> Int:
    """Contracts of the flow that stand at a level since before an order of ours joined it.

    None once it has gone: it filled at the front of its queue, or was cancelled by us. So it is of the market's feed alone, whether or not
    we have heard of that.
    """
    return _others(x, level, ours) if x.size[ours] > 0 else 0


@kernel
def _others(x: Exchange, level: Int, until: Int) -> Int:
    """Contracts of the flow at a level, or of them those that stand before the order `until`."""
    total, slot = 0, x.head[level]
    while slot not in (NOBODY, until):
        if x.owner[slot] == NOBODY:
            total += x.size[slot]
        slot = x.after[slot]
    return total


@kernel
def _reaches(ts: Int, venue: Venue) -> tuple[Int, Int]:
    """When the engine takes a request that arrives at `ts`, on its own clock and UTC: behind the event before it."""
    stamp = stamped(venue.flow, to_exchange(ts, venue))
    return stamp, max(ts, to_wall(stamp, venue))


@kernel
def _arrive(stamp: Int, ts: Int, venue: Venue, room: Room) -> None:
    """The engine takes our next request."""
    x, flow, state, rules = venue.x, venue.flow, room.state, room.rules
    request = room.requests[state.arrived]
    state.arrived += 1
    request.ts_arrival = ts
    receive(request, room)
    x.state[NOW] = stamp
    o, order, taker = request.order, room.orders[request.order], NOBODY
    if request.kind == CANCEL:
        request.answer = withdraw(o, room)
        if request.answer != CANCELLED:
            return
        cancel(x, venue.slots[o])
    else:
        side, px = BUY if order.side > 0 else SELL, order.px
        crosses = px >= x.state[BEST_ASK] if side == BUY else px <= x.state[BEST_BID]
        refusal = refused(state.arrived - 1, x.state[BEST_BID], x.state[BEST_ASK], room)
        if meets_own(order, room):
            refusal = OWN_ORDER
        elif crosses and rules.post_only and not order.immediate:
            refusal = POST_ONLY
        if refusal:
            order.state, request.answer, request.refusal = REJECTED, REJECTED, refusal
            return
        slot, quantity, ahead = x.state[NEXT_SLOT], np.int64(order.left), _others(x, px, NOBODY)
        x.owner[slot] = o
        traded = submit(x, side, px, quantity, not order.immediate)
        if traded > 0:
            taker = side
        if traded == quantity:
            request.answer = DONE
        elif order.immediate:
            order.state, request.answer = CANCELLED, CANCELLED
        else:
            order.state, request.answer, venue.slots[o] = RESTING, RESTING, slot
            request.ahead = 0 if crosses else ahead
            rest(o, side, room)
    end_event(x)
    interrupt(x, flow, venue.rates, venue.path, stamp, taker)


@kernel
def _book_fills(venue: Venue, first: Int, ts: Int, room: Room) -> None:
    """Book our part of an event from its records, as their order numbers tell it."""
    x = venue.x
    for row in range(first, x.state[ROWS]):
        told = x.tape[row]
        o = x.owner[np.int64(told.order_id)]
        if o != NOBODY and told.action in (_T, _F):
            book_fill(o, np.int64(told.size), np.int64(told.price), told.action == _F, ts, room)
            if told.action == _F and room.orders[o].left == 0:
                leave(o, room)


@kernel
def _show(x: Exchange, depth: Int, base: Int, tick: Int, event: np.ndarray) -> None:
    """The book without our own orders, as the features take it."""
    event[BID_SZ : ASK_SZ + 1] = 0
    for side in range(2):
        level, step = (x.state[BEST_BID], -1) if side == BID else (x.state[BEST_ASK], 1)
        px, sz, ct = (BID_PX, BID_SZ, BID_CT) if side == BID else (ASK_PX, ASK_SZ, ASK_CT)
        found = 0
        while found < depth and 0 <= level < x.head.size:
            count = x.orders[level] - x.agent[level]
            if count > 0:
                contracts = _others(x, level, NOBODY) if x.agent[level] > 0 else x.volume[level]
                event[px, found], event[sz, found], event[ct, found] = (level + base) * tick, contracts, count
                found += 1
            level += step


@kernel
def to_wall(stamp: Int, venue: Venue) -> Int:
    """UTC nanoseconds of a stamp of the exchange's clock; the same bits as `Clock.to_wall` makes for the captured records."""
    return venue.open_ns + np.int64(np.rint(1e9 * _between(stamp / 1e9, venue.exchange, venue.wall)))


@kernel
def to_exchange(ts: Int, venue: Venue) -> Int:
    """A stamp of the exchange's clock that is not before `ts`, UTC nanoseconds."""
    stamp = np.int64(1e9 * _between((ts - venue.open_ns) / 1e9, venue.wall, venue.exchange))
    while to_wall(stamp, venue) < ts:
        stamp += 1
    return stamp


@kernel
def _between(value: float, known: np.ndarray, wanted: np.ndarray) -> float:
    """Linear interpolation, in the operations of numpy.interp."""
    low, high = 0, known.size - 1
    if value >= known[high]:
        return float(wanted[high])
    while high - low > 1:
        middle = (low + high) // 2
        if known[middle] <= value:
            low = middle
        else:
            high = middle
    slope = (wanted[high] - wanted[low]) / (known[high] - known[low])
    return float(slope * (value - known[low]) + wanted[low])
