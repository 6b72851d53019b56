"""What the participants of the order flow do: each kind of event as orders entered, changed and cancelled.

An agent's orders stand in the same book (`Exchange.owner`). The flow meets them where they are, in price and
time, but does not follow them: the *touch* here is the best price at which the flow itself quotes, and only
its own orders are withdrawn.
"""

import math
from typing import Final

import numpy as np

from assets.ticks.exchange.engine import BEST_ASK, BEST_BID, BUY, NOBODY, SELL, Exchange, cancel, kernel, modify, submit
from assets.ticks.exchange.parameters import GRID

_REACH: Final = 24
"""Deepest level, in ticks from the touch, at which new orders are placed."""

_DECAY: Final = 9.0
"""Ticks over which the placing of new orders behind the touch falls by e."""

_BY_TRADE: Final = 0.5
"""Share of the touch's retreats in which orders are executed; in the others they are withdrawn."""

FULL: Final = 0.75
"""Share of one-tick spreads that end in both quotes moving a tick; the others widen to two."""

_NARROWS: Final = 0.85
"""Share of two-tick spreads that narrow; the others widen to three, which always narrow."""

_SIZES: Final = np.array([1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 4, 5, 5, 5, 10], np.int64)
"""Contracts of an order, drawn evenly: mostly one lot, with the round lots that people like; 2.6 on average."""

_RENEWED: Final = 3
"""Orders with which withdrawn quotes come back at their new price."""


@kernel
def open_book(x: Exchange, random: np.ndarray, mid: int) -> None:
    """Fill an empty book around a one-tick spread whose bid is `mid`: what the session's snapshot shows."""
    for distance in range(_REACH + 6):
        for side in range(2):
            level = mid - distance if side == BUY else mid + 1 + distance
            for _ in range(4 + int(uniform(random) * 5)):
                submit(x, side, level, _draw_size(random), True)


@kernel
def touch(x: Exchange, side: int) -> int:
    """The best level at which the flow quotes; an agent's own quote may be better."""
    if side == BUY:
        level = x.state[BEST_BID]
        while x.orders[level] == x.agent[level]:
            level -= 1
    else:
        level = x.state[BEST_ASK]
        while x.orders[level] == x.agent[level]:
            level += 1
    return level


@kernel
def plan(x: Exchange, random: np.ndarray) -> tuple[int, int, int]:
    """How the touch will change next: at which gap (eighths), and by how many ticks the near and the far side then move.

    Upwards the near side is the bid and the far side the ask; downwards the other way round.
    """
    spread = touch(x, SELL) - touch(x, BUY)
    draw = uniform(random)
    if spread == 1 and draw < FULL:
        return GRID, 1, 1
    if spread == 1 or (spread == 2 and draw > _NARROWS):
        return GRID // 2, 0, 1
    return GRID // 2, 1, 0


@kernel
def move(x: Exchange, random: np.ndarray, toward: int, near: int, far: int) -> int:
    """Move the touch by `near` and `far` ticks in one event. Returns the side that traded in a sweep, else NOBODY.

    A sweep takes an agent's orders with the others. Withdrawn are only the flow's own; the quotes that are renewed on the
    other side trade with an agent's order that was left standing in their way, and come until one of them rests.
    """
    side = BUY if toward > 0 else SELL
    bid, ask = touch(x, BUY), touch(x, SELL)
    behind, ahead = (bid, ask) if toward > 0 else (ask, bid)
    behind += toward * near
    traded = NOBODY
    if far > 0:
        reach = ahead + toward * (far - 1)
        if uniform(random) < _BY_TRADE:
            traded = side
            rests = reach == behind
            volume = _draw_size(random) if rests else 0
            best = x.state[BEST_ASK] if side == BUY else x.state[BEST_BID]
            for level in range(min(best, reach), max(best, reach) + 1):
                volume += x.volume[level]
            submit(x, side, reach, volume, rests)
        else:
            for level in range(min(ahead, reach), max(ahead, reach) + 1):
                slot = x.head[level]
                while slot >= 0:
                    after = x.after[slot]
                    if x.owner[slot] == NOBODY:
                        cancel(x, slot)
                    slot = after
    quotes = 0 if x.orders[behind] > x.agent[behind] else _RENEWED if far > 0 else 1
    while quotes > 0 or x.orders[behind] == x.agent[behind]:
        submit(x, side, behind, _draw_size(random), True)
        quotes -= 1
    if x.orders[ahead + toward * far] == x.agent[ahead + toward * far]:
        submit(x, 1 - side, ahead + toward * far, _draw_size(random), True)
    return traded


@kernel
def add(x: Exchange, random: np.ndarray, side: int, distance: int) -> None:
    """A new order, so many ticks behind the touch."""
    submit(x, side, touch(x, side) + (distance if side == SELL else -distance), _draw_size(random), True)


@kernel
def take(x: Exchange, random: np.ndarray, side: int) -> int:
    """A market order that leaves the flow a contract at the touch. Returns its side, or NOBODY where there is no more than that."""
    at, level = touch(x, 1 - side), x.state[BEST_ASK] if side == BUY else x.state[BEST_BID]
    within = x.volume[at]
    slot = x.tail[at]
    while x.owner[slot] != NOBODY:
        within -= x.size[slot]
        slot = x.before[slot]
    while level != at:
        within += x.volume[level]
        level += 1 if side == BUY else -1
    size = min(_draw_size(random), within - 1)
    if size <= 0:
        return NOBODY
    submit(x, side, at, size, False)
    return side


@kernel
def withdraw(x: Exchange, random: np.ndarray, level: int, kept: int, changes: float, back: float) -> None:
    """Cancel an order of a level, the last with the chance `back`, or change it; the level keeps at least `kept` orders."""
    if x.orders[level] - x.agent[level] <= kept:
        return
    slot = _of_flow(x, x.tail[level])
    before = _of_flow(x, x.before[slot])
    while before >= 0 and uniform(random) > back:
        slot = before
        before = _of_flow(x, x.before[slot])
    if uniform(random) >= changes:
        cancel(x, slot)
    elif uniform(random) < 0.5:
        if x.size[slot] > 1:
            modify(x, slot, level, x.size[slot] - 1 - int(uniform(random) * (x.size[slot] - 1)))
    else:
        away = 1 + deep(random)
        side = x.side[slot]
        modify(x, slot, touch(x, side) + (away if side == SELL else -away), x.size[slot])


@kernel
def _of_flow(x: Exchange, slot: int) -> int:
    """The order itself if it is the flow's, else the next one of the flow that stands before it; below 0 if there is none."""
    while slot >= 0 and x.owner[slot] != NOBODY:
        slot = x.before[slot]
    return slot


@kernel
def leans(random: np.ndarray, chance: float, tilt: float) -> bool:
    """A coin with the given chance, its odds multiplied by (1 + tanh tilt) / (1 - tanh tilt)."""
    lean = math.tanh(tilt)
    return uniform(random) * (chance * (1 + lean) + (1 - chance) * (1 - lean)) < chance * (1 + lean)


@kernel
def deep(random: np.ndarray) -> int:
    """Ticks behind the touch, less one: geometric, up to the reach."""
    return int(-_DECAY * math.log(1.0 - uniform(random))) % _REACH


@kernel
def _draw_size(random: np.ndarray) -> int:
    return _SIZES[int(uniform(random) * _SIZES.size)]


@kernel
def uniform(random: np.ndarray) -> float:
    """Next of splitmix64 in [0, 1): the same on every machine and in every version of numpy."""
    random[0] += np.uint64(0x9E3779B97F4A7C15)
    z = random[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.float64((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53
