"""The order flow: who sends orders to the engine, and why the mid can be made to hide everything.

The efficient price walks in eighths of a tick. The quoted price answers it only at barriers: when the
efficient price has moved by exactly as much as the planned change of the touch would move the mid, the
touch changes in one event (a sweep, or quotes withdrawn and renewed, or an order inside the spread).
Nothing else changes the best prices: other market orders leave a contract at the touch, other cancels
its last order. So every move of the mid is a symmetric walk's exit from a symmetric interval, a fair
coin, whatever else the flow has shown; and until the exit the *gap* (efficient price less mid) is what
an informed participant knows and the book does not say. With `lean` = 0 flow does not depend on the
gap: the mid is a martingale given all that can be observed. With `lean` > 0 flow leans towards it.
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numba import njit

from assets.ticks.exchange.engine import (
    BEST_ASK,
    BEST_BID,
    BUY,
    LIVE,
    NOW,
    ROW_MARGIN,
    ROWS,
    SELL,
    Exchange,
    cancel,
    end_event,
    modify,
    submit,
)
from assets.ticks.exchange.parameters import GRID

_REACH: Final = 24
"""Deepest level, in ticks from the touch, at which new orders are placed."""

_DECAY: Final = 9.0
"""Ticks over which the placing of new orders behind the touch falls by e."""

_KEPT: Final = 14
"""Levels from the touch whose last order is not cancelled, so that ten levels are always there."""

THIN: Final = 4
"""Orders at the touch below which quoting participants hurry to fill it up."""

_BACK: Final = 0.55
"""Chance that a cancel takes the last order of the queue; else the one before it has the same chance, and so on."""

_BY_TRADE: Final = 0.5
"""Share of the touch's retreats in which orders are executed; in the others they are withdrawn."""

_FULL: Final = 0.75
"""Share of one-tick spreads that end in both quotes moving a tick; the others widen to two."""

_NARROWS: Final = 0.85
"""Share of two-tick spreads that narrow; the others widen to three, which always narrow."""

_SIZES: Final = np.array([1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 4, 5, 5, 5, 10], np.int64)
"""Contracts of an order, drawn evenly: mostly one lot, with the round lots that people like; 2.6 on average."""

_MARKET_LEAN: Final = 1.0
_LIMIT_LEAN: Final = 2.6
_CANCEL_LEAN: Final = 2.6
"""How strongly each kind of flow leans per tick of gap when `lean` is 1: its share on one side is (1 + tanh(lean c gap)) / 2."""

_RENEWED: Final = 3
"""Orders with which withdrawn quotes come back at their new price."""

_NOBODY: Final = -1

_SPACING_NS: Final = 2_000
"""Least time between two events of one market."""


class Rates(NamedTuple):
    """What the kernel needs of `Parameters`, in the same units."""

    lean: float
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


@njit(cache=True)
def open_book(x: Exchange, random: np.ndarray, mid: int) -> None:
    """Fill an empty book around a one-tick spread whose bid is `mid`: what the session's snapshot shows."""
    for distance in range(_REACH + 6):
        for side in range(2):
            level = mid - distance if side == BUY else mid + 1 + distance
            for _ in range(4 + int(_uniform(random) * 5)):
                submit(x, side, level, _draw_size(random), True)


@njit(cache=True)
def run(x: Exchange, random: np.ndarray, rates: Rates, times: np.ndarray, steps: np.ndarray, length: float) -> bool:
    """Trade from 0 to `length` seconds of the exchange's clock.

    Args:
        x: the exchange, its book opened.
        random: u64[1], the generator's state; drawn from, so changed.
        rates: of the order flow.
        times: f64[n], seconds at which the efficient price moves, never falling.
        steps: i64[n], by how many eighths of a tick; above one eighth it is a jump.
        length: seconds.

    Returns:
        Whether the session was finished; False when the tape is too short for it.
    """
    now, last_ns, step, gap = 0.0, -1, 0, 0
    buy_heat = sell_heat = 0.0
    width, near, far = _plan(x, random)
    while True:
        if x.state[ROWS] > x.tape.size - ROW_MARGIN:
            return False
        bids, asks = x.orders[x.state[BEST_BID]], x.orders[x.state[BEST_ASK]]
        tilt = rates.lean * gap / GRID
        add_bid = rates.add_touch + rates.add_thin * max(0, THIN - bids)
        add_ask = rates.add_touch + rates.add_thin * max(0, THIN - asks)
        adds = add_bid + add_ask + rates.add_deep
        cancel_touch = rates.cancel_touch * (bids + asks)
        cancels = cancel_touch + rates.cancel_deep * (x.state[LIVE] - bids - asks)
        total = adds + cancels + rates.trade + buy_heat + sell_heat
        then = now - math.log(1.0 - _uniform(random)) / total
        moves = step < times.size and times[step] <= then
        then = times[step] if moves else then
        if then >= length:
            return True
        fade = math.exp(-rates.excite_decay * (then - now))
        buy_heat, sell_heat, now = buy_heat * fade, sell_heat * fade, then
        x.state[NOW] = max(int(now * 1e9), last_ns + _SPACING_NS)
        rows, side = x.state[ROWS], _NOBODY
        if moves:
            size = steps[step]
            step += 1
            toward = 1 if size > 0 else -1
            if abs(size) > 1:
                # News moves both prices at once, and leaves the gap and the plan as they were.
                side = _move(x, random, toward, abs(size) // GRID, abs(size) // GRID)
            else:
                gap += size
                if abs(gap) == width:
                    side = _move(x, random, toward, near, far)
                    width, near, far = _plan(x, random)
                    gap = 0
        else:
            draw = _uniform(random) * total
            if draw < add_bid + add_ask:
                _add(x, random, BUY if _leans(random, add_bid / (add_bid + add_ask), _LIMIT_LEAN * tilt) else SELL, 0)
            elif draw < adds:
                _add(x, random, BUY if _uniform(random) < 0.5 else SELL, 1 + _deep(random))
            elif draw < adds + cancel_touch:
                sells = _leans(random, asks / (bids + asks), _CANCEL_LEAN * tilt)
                _withdraw(x, random, x.state[BEST_ASK] if sells else x.state[BEST_BID], 1, rates.modify)
            elif draw < adds + cancels:
                level = x.level[x.live[int(_uniform(random) * x.state[LIVE])]]
                away = max(x.state[BEST_BID] - level, level - x.state[BEST_ASK])
                if away > 0:
                    _withdraw(x, random, level, 1 if away < _KEPT else 0, rates.modify)
            elif draw < adds + cancels + rates.trade + buy_heat + sell_heat:
                # Ogata's thinning: the excitement has faded since the wait was drawn.
                buys = (0.5 * rates.trade + buy_heat) / (rates.trade + buy_heat + sell_heat)
                side = _take(x, random, BUY if _leans(random, buys, _MARKET_LEAN * tilt) else SELL)
        if x.state[ROWS] > rows:
            end_event(x)
            last_ns = x.state[NOW]
        if side != _NOBODY:
            buy_heat += rates.excite_decay * (rates.excite_same if side == BUY else rates.excite_other)
            sell_heat += rates.excite_decay * (rates.excite_same if side == SELL else rates.excite_other)


@njit(cache=True)
def _plan(x: Exchange, random: np.ndarray) -> tuple[int, int, int]:
    """How the touch will change next: at which gap (eighths), and by how many ticks the near and the far side then move.

    Upwards the near side is the bid and the far side the ask; downwards the other way round.
    """
    spread = x.state[BEST_ASK] - x.state[BEST_BID]
    draw = _uniform(random)
    if spread == 1 and draw < _FULL:
        return GRID, 1, 1
    if spread == 1 or (spread == 2 and draw > _NARROWS):
        return GRID // 2, 0, 1
    return GRID // 2, 1, 0


@njit(cache=True)
def _move(x: Exchange, random: np.ndarray, toward: int, near: int, far: int) -> int:
    """Move the touch by `near` and `far` ticks in one event. Returns the side that traded, if any did."""
    side = BUY if toward > 0 else SELL
    behind, ahead = (x.state[BEST_BID], x.state[BEST_ASK]) if toward > 0 else (x.state[BEST_ASK], x.state[BEST_BID])
    behind += toward * near
    traded = _NOBODY
    if far > 0:
        reach = ahead + toward * (far - 1)
        if _uniform(random) < _BY_TRADE:
            traded = side
            rests = reach == behind
            volume = _draw_size(random) if rests else 0
            for level in range(min(ahead, reach), max(ahead, reach) + 1):
                volume += x.volume[level]
            submit(x, side, reach, volume, rests)
        else:
            for level in range(min(ahead, reach), max(ahead, reach) + 1):
                while x.orders[level] > 0:
                    cancel(x, x.head[level])
    if x.orders[behind] == 0:
        for _ in range(_RENEWED if far > 0 else 1):
            submit(x, side, behind, _draw_size(random), True)
    if x.orders[ahead + toward * far] == 0:
        submit(x, 1 - side, ahead + toward * far, _draw_size(random), True)
    return traded


@njit(cache=True)
def _add(x: Exchange, random: np.ndarray, side: int, distance: int) -> None:
    level = x.state[BEST_BID] - distance if side == BUY else x.state[BEST_ASK] + distance
    submit(x, side, level, _draw_size(random), True)


@njit(cache=True)
def _take(x: Exchange, random: np.ndarray, side: int) -> int:
    """A market order that leaves a contract at the touch. Returns its side, or nobody where there is no more than that."""
    best = x.state[BEST_ASK] if side == BUY else x.state[BEST_BID]
    size = min(_draw_size(random), x.volume[best] - 1)
    if size <= 0:
        return _NOBODY
    submit(x, side, best, size, False)
    return side


@njit(cache=True)
def _withdraw(x: Exchange, random: np.ndarray, level: int, kept: int, changes: float) -> None:
    """Cancel an order of a level, rather from the back, or change it; the level keeps at least `kept` orders."""
    if x.orders[level] <= kept:
        return
    slot = x.tail[level]
    while x.before[slot] >= 0 and _uniform(random) > _BACK:
        slot = x.before[slot]
    if _uniform(random) >= changes:
        cancel(x, slot)
    elif _uniform(random) < 0.5:
        if x.size[slot] > 1:
            modify(x, slot, level, x.size[slot] - 1 - int(_uniform(random) * (x.size[slot] - 1)))
    else:
        away = 1 + _deep(random)
        modify(x, slot, x.state[BEST_BID] - away if x.side[slot] == BUY else x.state[BEST_ASK] + away, x.size[slot])


@njit(cache=True)
def _leans(random: np.ndarray, chance: float, tilt: float) -> bool:
    """A coin with the given chance, its odds multiplied by (1 + tanh tilt) / (1 - tanh tilt)."""
    lean = math.tanh(tilt)
    return _uniform(random) * (chance * (1 + lean) + (1 - chance) * (1 - lean)) < chance * (1 + lean)


@njit(cache=True)
def _deep(random: np.ndarray) -> int:
    """Ticks behind the touch, less one: geometric, up to the reach."""
    return int(-_DECAY * math.log(1.0 - _uniform(random))) % _REACH


@njit(cache=True)
def _draw_size(random: np.ndarray) -> int:
    return _SIZES[int(_uniform(random) * _SIZES.size)]


@njit(cache=True)
def _uniform(random: np.ndarray) -> float:
    """Next of splitmix64 in [0, 1): the same on every machine and in every version of numpy."""
    random[0] += np.uint64(0x9E3779B97F4A7C15)
    z = random[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.float64((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53
