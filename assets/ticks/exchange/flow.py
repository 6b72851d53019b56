"""The order flow: who sends orders to the engine, and why the mid can be made to hide everything.

The efficient price walks in eighths of a tick. The quoted price answers it only at barriers: when the
efficient price has moved by exactly as much as the planned change of the touch would move the mid, the
touch changes in one event (a sweep, or quotes withdrawn and renewed, or an order inside the spread).
Nothing else changes the best prices: other market orders leave a contract at the touch, other cancels
its last order. So every move of the mid is a symmetric walk's exit from a symmetric interval, a fair
coin, whatever else the flow has shown; and until the exit the *gap* (efficient price less mid) is what
an informed participant knows and the book does not say. With `lean` = 0 flow does not depend on the
gap: the mid is a martingale given all that can be observed. With `lean` > 0 flow leans towards it.

The flow runs event by event: `draw` says when the next one is due, `happen` brings it about. Between the two an
agent may act on the book; then `interrupt` lets what is left of the wait pass at the pace of the changed book,
which is exact, because waits are exponential. Without an agent nothing of the kind is drawn or computed.
"""

import math
from typing import Any, Final, NamedTuple

import numpy as np

from assets.ticks.exchange.engine import BUY, LIVE, NOBODY, NOW, ROW_MARGIN, ROWS, SELL, Exchange, end_event, kernel
from assets.ticks.exchange.parameters import GRID
from assets.ticks.exchange.participants import add, deep, leans, move, plan, take, touch, uniform, withdraw

_KEPT: Final = 14
"""Levels from the touch whose last order is not cancelled, so that ten levels are always there."""

THIN: Final = 4
"""Orders at the touch below which quoting participants hurry to fill it up."""

MARKET_LEAN: Final = 1.0
LIMIT_LEAN: Final = 2.6
CANCEL_LEAN: Final = 2.6
"""How strongly each kind of flow leans per tick of gap when `lean` is 1: its share on one side is (1 + tanh(lean c gap)) / 2."""

_SPACING_NS: Final = 2_000
"""Least time between two events of one market."""


class Rates(NamedTuple):
    """What the kernel needs of `Parameters`, in the same units."""

    lean: float
    back: float
    """Not of the week: `parameters.BACK`, or another habit."""
    add_touch: float
    add_thin: float
    add_deep: float
    cancel_touch: float
    cancel_deep: float
    modify: float
    trade: float
    excite_same: float
    excite_other: float
    excite_decay: float


class Path(NamedTuple):
    """The efficient price's moves on the exchange's clock."""

    times: np.ndarray
    """f64[n], seconds, never falling."""
    steps: np.ndarray
    """i64[n], by how many eighths of a tick; above one eighth it is a jump."""


FLOW: Final = np.dtype(
    [
        *((name, "f8") for name in ("now", "buy_heat", "sell_heat", "due", "then")),
        *((name, "f8") for name in ("add_bid", "add_ask", "adds", "cancel_touch", "cancels", "total")),
        *((name, "i8") for name in ("last", "stamp", "step", "moves", "gap", "width", "near", "far", "bids", "asks")),
    ]
)
"""The flow between two events. now: time of the last event, seconds; heats: excitement of market orders as of then;
due: end of the wait for the flow's own next event; then, stamp: of the next event, be it that or a move of the
efficient price (moves), in seconds and nanoseconds; rates of the wait and the flow's orders at the touch that they
come from; last: stamp of the last event that wrote records; step: of the path, the next; gap: eighths of a tick;
width, near, far: the planned change of the touch (`participants.plan`)."""


@kernel
def run(x: Exchange, flow: Any, random: np.ndarray, rates: Rates, path: Path, length: float) -> bool:
    """Trade from 0 to `length` seconds of the exchange's clock, nobody but the flow.

    Args:
        x: the exchange, its book opened.
        flow: FLOW record, zero.
        random: u64[1], the generator's state; drawn from, so changed.
        rates: of the order flow.
        path: of the efficient price.
        length: seconds.

    Returns:
        Whether the session was finished; False when the tape is too short for it.
    """
    begin(x, flow, random)
    while x.state[ROWS] <= x.tape.size - ROW_MARGIN:
        draw(x, flow, random, rates, path)
        if flow.then >= length:
            return True
        happen(x, flow, random, rates, path)
    return False


@kernel
def begin(x: Exchange, flow: Any, random: np.ndarray) -> None:
    """Before the first event."""
    flow.last = -1
    flow.width, flow.near, flow.far = plan(x, random)


@kernel
def draw(x: Exchange, flow: Any, random: np.ndarray, rates: Rates, path: Path) -> None:
    """Draw when the next event is due."""
    _weigh(x, flow, rates)
    flow.due = flow.now - math.log(1.0 - uniform(random)) / flow.total
    _next(flow, path)


@kernel
def stamped(flow: Any, ns: int) -> int:
    """The stamp of an agent's request that reaches the exchange at `ns` of its clock, before the event that is due."""
    return max(ns, flow.last + _SPACING_NS)


@kernel
def interrupt(x: Exchange, flow: Any, rates: Rates, path: Path, stamp: int, taker: int) -> None:
    """Before the event that is due an agent has changed the book, at `stamp`; taker: side of its market order, else NOBODY."""
    then, pace = max(flow.now, stamp / 1e9), flow.total
    _fade(flow, rates, then)
    _excite(flow, rates, taker)
    _weigh(x, flow, rates)
    flow.due = then + max(0.0, flow.due - then) * pace / flow.total
    flow.last = stamp
    _next(flow, path)


@kernel
def happen(x: Exchange, flow: Any, random: np.ndarray, rates: Rates, path: Path) -> None:
    """Bring about the event that is due."""
    _fade(flow, rates, flow.then)
    x.state[NOW] = flow.stamp
    rows, side = x.state[ROWS], NOBODY
    tilt = rates.lean * flow.gap / GRID
    if flow.moves:
        size = path.steps[flow.step]
        flow.step += 1
        toward = 1 if size > 0 else -1
        if abs(size) > 1:
            # News moves both prices at once, and leaves the gap and the plan as they were.
            side = move(x, random, toward, abs(size) // GRID, abs(size) // GRID)
        else:
            flow.gap += size
            if abs(flow.gap) == flow.width:
                side = move(x, random, toward, flow.near, flow.far)
                flow.width, flow.near, flow.far = plan(x, random)
                flow.gap = 0
    else:
        drawn = uniform(random) * flow.total
        if drawn < flow.add_bid + flow.add_ask:
            add(x, random, BUY if leans(random, flow.add_bid / (flow.add_bid + flow.add_ask), LIMIT_LEAN * tilt) else SELL, 0)
        elif drawn < flow.adds:
            add(x, random, BUY if uniform(random) < 0.5 else SELL, 1 + deep(random))
        elif drawn < flow.adds + flow.cancel_touch:
            sells = leans(random, flow.asks / (flow.bids + flow.asks), CANCEL_LEAN * tilt)
            withdraw(x, random, touch(x, SELL if sells else BUY), 1, rates.modify, rates.back)
        elif drawn < flow.adds + flow.cancels:
            slot = x.live[int(uniform(random) * x.state[LIVE])]
            level = x.level[slot]
            away = max(touch(x, BUY) - level, level - touch(x, SELL))
            if away > 0 and x.owner[slot] == NOBODY:
                withdraw(x, random, level, 1 if away < _KEPT else 0, rates.modify, rates.back)
        elif drawn < flow.adds + flow.cancels + rates.trade + flow.buy_heat + flow.sell_heat:
            # Ogata's thinning: the excitement has faded since the wait was drawn.
            buys = (0.5 * rates.trade + flow.buy_heat) / (rates.trade + flow.buy_heat + flow.sell_heat)
            side = take(x, random, BUY if leans(random, buys, MARKET_LEAN * tilt) else SELL)
    if x.state[ROWS] > rows:
        end_event(x)
        flow.last = flow.stamp
    _excite(flow, rates, side)


@kernel
def _weigh(x: Exchange, flow: Any, rates: Rates) -> None:
    """The rate of each kind of event. All see an agent's orders in the queue; only the flow's own can be cancelled."""
    bid, ask = touch(x, BUY), touch(x, SELL)
    flow.bids, flow.asks = x.orders[bid] - x.agent[bid], x.orders[ask] - x.agent[ask]
    flow.add_bid = rates.add_touch + rates.add_thin * max(0, THIN - x.orders[bid])
    flow.add_ask = rates.add_touch + rates.add_thin * max(0, THIN - x.orders[ask])
    flow.adds = flow.add_bid + flow.add_ask + rates.add_deep
    flow.cancel_touch = rates.cancel_touch * (flow.bids + flow.asks)
    flow.cancels = flow.cancel_touch + rates.cancel_deep * (x.state[LIVE] - x.orders[bid] - x.orders[ask])
    flow.total = flow.adds + flow.cancels + rates.trade + flow.buy_heat + flow.sell_heat


@kernel
def _next(flow: Any, path: Path) -> None:
    """Which comes first, the end of the wait or a move of the efficient price."""
    flow.moves = flow.step < path.times.size and path.times[flow.step] <= flow.due
    flow.then = max(flow.now, path.times[flow.step]) if flow.moves else flow.due
    flow.stamp = max(int(flow.then * 1e9), flow.last + _SPACING_NS)


@kernel
def _fade(flow: Any, rates: Rates, then: float) -> None:
    fade = math.exp(-rates.excite_decay * (then - flow.now))
    flow.buy_heat, flow.sell_heat, flow.now = flow.buy_heat * fade, flow.sell_heat * fade, then


@kernel
def _excite(flow: Any, rates: Rates, side: int) -> None:
    """A market order of that side brings forth others."""
    if side != NOBODY:
        flow.buy_heat += rates.excite_decay * (rates.excite_same if side == BUY else rates.excite_other)
        flow.sell_heat += rates.excite_decay * (rates.excite_same if side == SELL else rates.excite_other)
