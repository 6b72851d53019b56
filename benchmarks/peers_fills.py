"""What the simulator of fills is measured against, on the same events: hftbacktest, and a bare replay loop.

The events are those of an aggregated feed (a level's new size, or a trade), made from one session of the simulated
exchange: what hftbacktest's queue models are meant for. Prices are ticks above the ladder's lowest, one contract an order.
The policy is hftbacktest's own kind: one post-only order a side at the touch; where the touch has moved, it is cancelled, and
sent anew at the touch once it is known to be gone. A decision at every event. One thing hftbacktest cannot do: cancel an order of
which it has not heard yet. Ours cancels at once.
"""

import datetime as dt
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
from hftbacktest import BacktestAsset, HashMapMarketDepthBacktest, ROIVectorMarketDepthBacktest
from hftbacktest import types as hft
from hftbacktest.order import GTX, LIMIT
from numba import njit

from assets.books.codes import ASK, BID
from assets.desk import NS, Market
from assets.fills.rows import ADDED, CLEARED, FILLED, REMOVED, TRADED
from assets.fills.tape import Tape, make_tape
from assets.ticks.exchange import Instrument, simulate

SESSION: Final = dt.date(2026, 8, 24)
OPEN_NS: Final = int(dt.datetime(2026, 8, 24, 13, 30, tzinfo=dt.UTC).timestamp()) * NS
CLOSE_NS: Final = OPEN_NS + 23_400 * NS
MARKET: Final = Market(symbol="FLWZ6", tick_size="0.10", multiplier=50, maker_fee="1.40", taker_fee="1.40")  # type: ignore[arg-type]

DEPTHS: Final = {"hash map": HashMapMarketDepthBacktest, "ROI vector": ROIVectorMarketDepthBacktest}
"""hftbacktest's two books of levels."""

_GONE: Final = 2
"""Status from which on an order is over: expired 2, filled 3, cancelled 4, rejected 6; 5, partly filled, needs two contracts."""
_FILLED: Final = 3


class Events(NamedTuple):
    """An aggregated feed, one element an event."""

    ts: np.ndarray
    trade: np.ndarray
    """Whether it is a trade, not a level."""
    side: np.ndarray
    """Of the level; of a trade, the side of the resting contracts."""
    px: np.ndarray
    size: np.ndarray
    """What the level holds now, or what was traded."""


def session_tape(records: int) -> Tape:
    """The tape of a session of the simulated exchange of about so many records."""
    made = simulate(1, SESSION, [Instrument(1, MARKET.tick, follows=True)], open_ns=OPEN_NS, close_ns=CLOSE_NS, events=records, alpha=1.0)[
        0
    ].records
    frame = pl.DataFrame(
        {name: made[name] for name in ("ts_event", "price", "size", "order_id", "flags")}
        | {name: made[name].view(np.uint8) for name in ("action", "side")}
    )
    return make_tape(frame, MARKET)


def aggregated(tape: Tape) -> Events:
    """The tape as a feed of levels and trades shows it: a fill is a trade, and then a smaller level."""
    return Events(*_aggregated(tape.rows, tape.width))


@njit
def _aggregated(rows: np.ndarray, width: int) -> Any:
    most = 2 * len(rows)
    ts, trade, side = np.empty(most, np.int64), np.empty(most, np.bool_), np.empty(most, np.int8)
    px, size = np.empty(most, np.int32), np.empty(most, np.int32)
    ladder, n = np.zeros((2, width), np.int32), 0
    for r in range(len(rows)):
        row = rows[r]
        if row.kind == CLEARED:
            ladder[:] = 0
            continue
        if row.kind in (FILLED, TRADED):
            ts[n], trade[n], side[n], px[n], size[n] = row.ts, True, row.side, row.px, row.size
            n += 1
        if row.kind in (ADDED, REMOVED, FILLED):
            ladder[row.side, row.px] += row.size if row.kind == ADDED else -row.size
            ts[n], trade[n], side[n], px[n], size[n] = row.ts, False, row.side, row.px, ladder[row.side, row.px]
            n += 1
    return ts[:n], trade[:n], side[:n], px[:n], size[:n]


# hftbacktest ------------------------------------------------------------------------------------


class Played(NamedTuple):
    """One run of hftbacktest."""

    seconds: float
    fills: np.ndarray
    """int64[n, 3]: time at the exchange, side (+1 bought), price."""
    sent: np.ndarray
    """int64[n, 5]: its requests: time, whether a cancel, order (from 1), side (+1 buys), price."""
    position: float
    fees: float


def play(events: Events, width: int, depth: str, *, delay_ns: int, limit: int) -> Played:
    """The touch policy in hftbacktest, its risk-averse queue, one delay each way; `limit`: contracts held at most."""
    data = feed(events)  # named: hftbacktest reads it where it is and does not keep it alive
    asset = (
        BacktestAsset()
        .data([data])
        .linear_asset(1.0)
        .constant_order_latency(delay_ns, delay_ns)
        .risk_adverse_queue_model()
        .no_partial_fill_exchange()
        .flat_per_trade_fee_model(1.40, 1.40)
        .tick_size(1.0)
        .lot_size(1.0)
        .last_trades_capacity(0)
    )
    fills, sent = np.zeros((len(events.ts), 3), np.int64), np.zeros((len(events.ts), 5), np.int64)
    run = DEPTHS[depth]([asset.roi_lb(0.0).roi_ub(float(width)) if depth == "ROI vector" else asset])
    began = time.perf_counter()
    count, requests = _quote(run, limit, fills, sent)
    seconds = time.perf_counter() - began
    state = run.state_values(0)
    played = Played(seconds, fills[:count].copy(), sent[:requests].copy(), float(state.position), float(state.fee))
    run.close()
    return played


def feed(events: Events) -> np.ndarray:
    """The events as hftbacktest takes them; no delay of the feed."""
    data = np.zeros(len(events.ts), hft.event_dtype)
    kind = np.where(events.trade, hft.TRADE_EVENT, hft.DEPTH_EVENT).astype(np.uint64)
    buys = (events.side == BID) != events.trade  # of a trade hftbacktest wants the side that took
    data["ev"] = kind | np.where(buys, hft.BUY_EVENT, hft.SELL_EVENT).astype(np.uint64) | np.uint64(hft.EXCH_EVENT | hft.LOCAL_EVENT)
    data["exch_ts"] = data["local_ts"] = events.ts
    data["px"], data["qty"] = events.px, events.size
    return data


@njit
def _quote(run: Any, limit: int, fills: np.ndarray, log: np.ndarray) -> tuple[int, int]:
    ours = np.zeros(2, np.int64)  # order by side, 0: none
    sent, count, k = 0, 0, 0
    while run.wait_next_feed(False, 10**15) == 2:
        depth = run.depth(0)
        bid, ask = depth.best_bid_tick, depth.best_ask_tick
        if not 0 <= bid < ask:
            continue
        orders, over = run.orders(0), False
        for side in range(2):
            touch, sign = (bid, 1) if side == BID else (ask, -1)
            if ours[side] > 0:
                order = orders.get(ours[side])
                if order.req == 0 and order.status >= _GONE:
                    if order.status == _FILLED:
                        fills[count] = order.exch_timestamp, sign, order.exec_price_tick
                        count += 1
                    ours[side], over = 0, True
                elif order.req == 0 and order.price_tick != touch:
                    run.cancel(0, ours[side], False)
                    log[k] = run.current_timestamp, 1, ours[side], sign, order.price_tick
                    k += 1
            if ours[side] == 0 and sign * run.position(0) + 1 <= limit:
                sent += 1
                ours[side] = sent
                log[k] = run.current_timestamp, 0, sent, sign, touch
                k += 1
                if side == BID:
                    run.submit_buy_order(0, sent, float(touch), 1.0, GTX, LIMIT, False)
                else:
                    run.submit_sell_order(0, sent, float(touch), 1.0, GTX, LIMIT, False)
        if over:
            run.clear_inactive_orders(0)
    return count, k


# The limit --------------------------------------------------------------------------------------


class Done(NamedTuple):
    """What a bare loop has to show."""

    fills: int
    requests: int


def bare(events: Events, width: int, *, delay_ns: int, limit: int) -> Callable[[], Done]:
    """A replay loop that can do no less for the same task: the touch policy with its delays, its limit and its place in the queue.

    No account but the position, no log, no fees, no rules of an exchange: what any simulator adds its own work to.
    """
    ladder, sides = np.zeros((2, width), np.int32), np.zeros(2, SIDE)

    def run() -> Done:
        ladder[:] = 0
        return Done(*_bare(*events, ladder, sides, delay_ns, limit))

    return run


def instant(events: Events, width: int) -> Callable[[], int]:
    """The same without delays and limit: the order is wherever the touch is. Returns the contracts filled."""
    ladder = np.zeros((2, width), np.int32)

    def run() -> int:
        ladder[:] = 0
        return int(_instant(*events, ladder))

    return run


SIDE: Final = np.dtype([(name, "i8") for name in ("at", "rests", "ahead", "leaving", "filled", "arrives", "leaves", "heard")])
"""Our order of a side: its price (-1: none), where it rests (beyond every price: nowhere), contracts ahead, whether a cancel is under way
and whether it was filled; when it arrives, when its cancel does, and when its end is known."""

_NEVER: Final = np.iinfo(np.int64).max


@njit
def _bare(
    ts: np.ndarray,
    trade: np.ndarray,
    side: np.ndarray,
    px: np.ndarray,
    size: np.ndarray,
    ladder: np.ndarray,
    sides: Any,
    delay: int,
    limit: int,
) -> tuple[int, int]:
    width = ladder.shape[1]
    touch, seen = np.array([-1, width]), np.array([-1, width])
    for s in range(2):
        sides[s].at, sides[s].rests, sides[s].leaving, sides[s].filled = -1, -1 if s == BID else width, 0, 0
        sides[s].arrives = sides[s].leaves = sides[s].heard = _NEVER
    held, due, news, fills, sent = 0, _NEVER, _NEVER, 0, 0
    for i in range(len(ts)):
        now = ts[i]
        if due < now:
            for s in range(2):
                order = sides[s]
                if order.arrives < now:
                    if order.at >= touch[ASK] if s == BID else order.at <= touch[BID]:
                        order.heard, order.leaves = order.arrives + delay, _NEVER  # it would take: refused
                    else:
                        order.rests, order.ahead = order.at, ladder[s, order.at]
                    order.arrives = _NEVER
                if order.leaves < now:
                    order.rests, order.heard, order.leaves = -1 if s == BID else width, order.leaves + delay, _NEVER
            due, news = _due(sides)
        s, p = side[i], px[i]
        gone = -1  # the side whose order is filled
        if trade[i]:
            order = sides[s]
            if p <= order.rests if s == BID else p >= order.rests:
                order.ahead -= size[i] if p == order.rests else order.ahead + 1
                gone = s if order.ahead < 0 else -1
        else:
            _show(s, p, size[i], ladder, touch)
            if size[i] > 0 and (p >= sides[ASK].rests if s == BID else p <= sides[BID].rests):
                gone = 1 - s
            if sides[s].rests == p:
                sides[s].ahead = min(sides[s].ahead, size[i])
        if gone >= 0:
            order = sides[gone]
            fills += 1
            order.rests, order.heard, order.leaves, order.filled = -1 if gone == BID else width, now + delay, _NEVER, 1
            due, news = _due(sides)
        if news <= now or touch[BID] != seen[BID] or touch[ASK] != seen[ASK]:
            for s in range(2):
                order = sides[s]
                if order.heard <= now:
                    held += order.filled * (1 if s == BID else -1)
                    order.heard, order.at, order.leaving, order.filled = _NEVER, -1, 0, 0
            if 0 <= touch[BID] < touch[ASK] < width:
                seen[:] = touch
                for s in range(2):
                    order = sides[s]
                    if order.at < 0 and held * (1 if s == BID else -1) + 1 <= limit:
                        order.at, order.arrives = touch[s], now + delay
                        sent += 1
                    elif order.at >= 0 and order.at != touch[s] and not order.leaving:
                        order.leaving = 1
                        order.leaves = now + delay if order.heard == _NEVER else _NEVER
                        sent += 1
            due, news = _due(sides)
    return fills, sent


@njit
def _show(side: int, px: int, size: int, ladder: np.ndarray, touch: np.ndarray) -> None:
    """A level's new size, and the touch after it."""
    ladder[side, px] = size
    if side == BID:
        if size > 0 and px > touch[BID]:
            touch[BID] = px
        while touch[BID] >= 0 and ladder[BID, touch[BID]] == 0:
            touch[BID] -= 1
    else:
        if size > 0 and px < touch[ASK]:
            touch[ASK] = px
        while touch[ASK] < ladder.shape[1] and ladder[ASK, touch[ASK]] == 0:
            touch[ASK] += 1


@njit
def _due(sides: Any) -> tuple[int, int]:
    """When the next of our messages arrives, and when the next end of an order is known."""
    bid, ask = sides[BID], sides[ASK]
    return min(bid.arrives, bid.leaves, ask.arrives, ask.leaves), min(bid.heard, ask.heard)


@njit
def _instant(ts: np.ndarray, trade: np.ndarray, side: np.ndarray, px: np.ndarray, size: np.ndarray, ladder: np.ndarray) -> int:
    width = ladder.shape[1]
    touch, at, ahead = np.array([-1, width]), np.array([-1, -1]), np.zeros(2, np.int64)
    filled = 0
    for i in range(len(ts)):
        s, p = side[i], px[i]
        if trade[i]:
            if at[s] == p:
                ahead[s] -= size[i]
                if ahead[s] < 0:
                    filled += 1
                    ahead[s] = ladder[s, p]
            continue
        _show(s, p, size[i], ladder, touch)
        if at[s] == p:
            ahead[s] = min(ahead[s], size[i])
        if at[s] != touch[s]:
            at[s] = touch[s]
            ahead[s] = ladder[s, at[s]] if 0 <= at[s] < width else 0
    return filled
