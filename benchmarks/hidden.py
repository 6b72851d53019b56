"""The law of what the simulated exchange hides, given what its books have shown: a filter, one pass over a session.

The gap of a market (efficient price less mid, in eighths of a tick) is zero at each change of the touch. From then on it is a symmetric
walk, killed where the planned change would have happened: one has seen that it has not. Each order at the touch was on the side that the
gap favours with a known probability, which multiplies the law (Bayes). The plan is hidden too: 15 gaps where both quotes are to move,
7 where one is, which the kind of the change then tells.

Of a leader, beside the law of its own gap, the filter carries the mean of the steps that the follower has not yet taken, state by
state: it enters with each step, passes through the stages of the delay and leaves, so that a change of the leader's touch tells when
the steps that led to it were taken. What leaves drifts the follower's walk.
"""

import math
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from assets.ticks.exchange.flow import CANCEL_LEAN, LIMIT_LEAN, MARKET_LEAN, THIN
from assets.ticks.exchange.parameters import GRID
from assets.ticks.exchange.participants import FULL

Floats = npt.NDArray[np.float64]

_STAGES: Final = 7
"""The fixed half of the follower's delay as six stages of equal mean, then the exponential half."""

_WIDE, _NARROW = 2 * GRID - 1, GRID - 1
_STATES: Final = _WIDE + _NARROW
"""Gaps from -7 to 7 eighths where both quotes are to move, then from -3 to 3 where one is."""

LEADER, FOLLOWER, ROW, STEP = range(4)
"""What happens at a moment: an event of either book, a row to predict, a step of the leader's efficient price."""


class Book(NamedTuple):
    """A market's book after each of its events, and what the exchange knows of the market."""

    ts: npt.NDArray[np.int64]
    bid: npt.NDArray[np.int64]  # ticks
    ask: npt.NDArray[np.int64]
    bid_orders: npt.NDArray[np.int64]
    ask_orders: npt.NDArray[np.int64]
    bid_size: npt.NDArray[np.int64]
    ask_size: npt.NDArray[np.int64]
    took: npt.NDArray[np.int64]  # side that traded in the event, 0 where none did
    pace: Floats  # exchange seconds in each second of the wall
    walk: Floats  # steps of the efficient price in each second of the wall
    rates: Floats  # lean, add_touch, add_thin, cancel_touch, trade, excite_same, excite_other, excite_decay


@njit(cache=True)
def forecasts(
    moments: Any,
    what: Any,
    which: Any,
    own: Any,
    leader: Any,
    size: Any,
    lag_s: float,
    share: float,
    known: bool,
    open_ns: int,
    horizon_s: float,
    step_s: float,
) -> Any:
    """Expected move and expected gap at each row, in ticks.

    Args:
        moments: i64[m], UTC nanoseconds, never falling.
        what: i64[m], LEADER, FOLLOWER, ROW or STEP.
        which: i64[m], place among the events, rows or steps of its kind.
        own, leader: the books.
        size: f64, ticks of each step of the leader's efficient price.
        lag_s: mean delay of the follower.
        share: of the leader's moves that the follower takes; 0 leaves the leader out.
        known: whether the leader's efficient price is known instead of its book.
        open_ns: of the session.
        horizon_s: of the label.
        step_s: longest step of the time grid.
    """
    p, q = np.zeros(_STATES), np.zeros(_STATES)
    none, pending = np.zeros((0, _STATES)), np.zeros((_STAGES, _STATES))
    certain = np.zeros((_STAGES, 1))
    leave = np.array([(_STAGES - 1) / (0.5 * lag_s)] * (_STAGES - 1) + [1 / (0.5 * lag_s)])
    rows = np.count_nonzero(what == ROW)
    move, gap = np.empty(rows), np.empty(rows)
    heat, heat_leader = np.zeros(2), np.zeros(2)
    at, at_own, at_leader, jump, jumped = 0, -1, -1, 0.0, 0.0
    total = np.concatenate((np.zeros(1), np.cumsum(own.walk)))
    now = 0.0
    for m in range(len(moments)):
        then = (moments[m] - open_ns) / 1e9
        pieces = max(1, math.ceil((then - now) / step_s))
        h = (then - now) / pieces
        second = min(max(int(now), 0), len(own.walk) - 1)
        for _ in range(pieces if then > now else 0):
            drift = 0.0
            if share > 0:
                if known:
                    _pass_on(certain, leave, h)
                    drift = share * leave[-1] * certain[-1, 0] * GRID
                elif at_leader >= 0:
                    _evolve(q, pending, 0.5 * leader.walk[second] * h, 0.5 * leader.walk[second] * h)
                    _pass_on(pending, leave, h)
                    _nothing_happened(q, pending, leader, at_leader, heat_leader, h * leader.pace[second])
                    drift = share * leave[-1] * pending[-1].sum() / max(q.sum(), 1e-300) * GRID
            if at_own >= 0:
                walk = own.walk[second]
                drift = min(max(drift, -walk), walk)
                _evolve(p, none, 0.5 * (walk + drift) * h, 0.5 * (walk - drift) * h)
                _nothing_happened(p, none, own, at_own, heat, h * own.pace[second])
        for k, market in enumerate((own, leader)):
            heats = heat if k == 0 else heat_leader
            heats *= math.exp(-market.rates[7] * (then - now) * market.pace[second])
        now, index = then, which[m]
        if what[m] == FOLLOWER:
            happened = _observe(p, none, own, index, heat)
            at_own = index
            if happened != 0 and happened == jump:
                jump = 0.0
        elif what[m] == LEADER and share > 0 and not known:
            happened = _observe(q, pending, leader, index, heat_leader)
            at_leader = index
            if happened != 0:
                jump, jumped = happened, now
        elif what[m] == LEADER:
            happened = _jump(leader, index)
            if happened != 0:
                jump, jumped = happened, now
        elif what[m] == STEP:
            certain[0, 0] += size[index]
        else:
            here = min(max(now, 0.0), len(own.walk) - 1.0)
            ahead = min(now + horizon_s, len(own.walk) - 1.0)
            steps = _between(total, ahead) - _between(total, here)
            mean, left, slope = _expected(p, steps)
            coming = share * (certain.sum() if known else pending.sum() / max(q.sum(), 1e-300))
            lasting = _lasts(now - jumped, lag_s) * share
            sudden = jump * lasting / (1 - share + lasting) if share > 0 and jump != 0 else 0.0
            move[at], gap[at] = mean - left + coming * (1 - slope) + sudden, mean
            at += 1
    return move, gap


@njit(cache=True)
def _between(total: Any, second: float) -> float:
    k = min(int(second), len(total) - 2)
    return total[k] + (second - k) * (total[k + 1] - total[k])


@njit(cache=True)
def _lasts(age_s: float, lag_s: float) -> float:
    """Chance that the follower has not yet taken a move of this age."""
    return math.exp(-max(0.0, age_s - 0.5 * lag_s) / (0.5 * lag_s))


@njit(cache=True)
def _evolve(p: Any, pending: Any, up: float, down: float) -> None:
    """A short time of the walk: up and down are the chances of a step; at a barrier it is killed. Steps enter the first stage."""
    for begin, size in ((0, _WIDE), (_WIDE, _NARROW)):
        for row in range(len(pending)):
            z = pending[row]
            before = 0.0
            for i in range(begin, begin + size):
                here, after = z[i], z[i + 1] if i + 1 < begin + size else 0.0
                z[i] = here * (1 - up - down) + before * up + after * down
                before = here
        before = 0.0
        for i in range(begin, begin + size):
            here, after = p[i], p[i + 1] if i + 1 < begin + size else 0.0
            p[i] = here * (1 - up - down) + before * up + after * down
            if len(pending):
                pending[0, i] += (before * up - after * down) / GRID
            before = here


@njit(cache=True)
def _pass_on(pending: Any, leave: Any, h: float) -> None:
    """A short time of the delay: what is in a stage goes on to the next, out of the last to the follower."""
    for row in range(len(leave) - 1, -1, -1):
        gone = min(1.0, leave[row] * h)
        for i in range(pending.shape[1]):
            out = pending[row, i] * gone
            pending[row, i] -= out
            if row + 1 < len(leave):
                pending[row + 1, i] += out


@njit(cache=True)
def _lean(state: int, factor: float) -> float:
    gap = state - GRID + 1 if state < _WIDE else state - _WIDE - GRID // 2 + 1
    return math.tanh(factor * gap / GRID)


@njit(cache=True)
def _nothing_happened(p: Any, pending: Any, book: Any, k: int, heat: Any, seconds: float) -> None:
    """Where one side could not have acted (a last order is not cancelled, a last contract not taken), silence tells of the other."""
    lean, rate_cancel, trade = book.rates[0], book.rates[3], book.rates[4]
    last_bid, last_ask = book.bid_orders[k] <= 1, book.ask_orders[k] <= 1
    thin_bid, thin_ask = book.bid_size[k] <= 1, book.ask_size[k] <= 1
    if not (last_bid or last_ask or thin_bid or thin_ask):
        return
    orders = float(book.bid_orders[k] + book.ask_orders[k])
    buys = (0.5 * trade + heat[0]) / (trade + heat[0] + heat[1])
    for i in range(_STATES):
        rate = 0.0
        if last_bid != last_ask:
            hits_ask = _share(book.ask_orders[k] / orders, _lean(i, CANCEL_LEAN * lean))
            rate += rate_cancel * orders * (hits_ask if last_bid else 1 - hits_ask)
        if thin_bid != thin_ask:
            buy = _share(buys, _lean(i, MARKET_LEAN * lean))
            rate += (trade + heat[0] + heat[1]) * (buy if thin_bid else 1 - buy)
        stays = math.exp(-rate * seconds)
        p[i] *= stays
        for row in range(len(pending)):
            pending[row, i] *= stays


@njit(cache=True)
def _share(chance: float, lean: float) -> float:
    return chance * (1 + lean) / (chance * (1 + lean) + (1 - chance) * (1 - lean))


@njit(cache=True)
def _observe(p: Any, pending: Any, book: Any, k: int, heat: Any) -> float:
    """Learn from the event that led to book k. Returns the ticks of a jump of both quotes, else 0."""
    spread, jump = book.ask[k] - book.bid[k], _jump(book, k)
    if k == 0:
        _reset(p, pending, spread, 0.0, -1, 0)
    else:
        up_bid, up_ask = book.bid[k] - book.bid[k - 1], book.ask[k] - book.ask[k - 1]
        if jump == 0 and (up_bid != 0 or up_ask != 0):
            side = 1 if up_bid + up_ask > 0 else -1
            wide = up_bid == up_ask
            begin, size = (0, _WIDE) if wide else (_WIDE, _NARROW)
            edge = begin + size - 1 if side > 0 else begin
            _reset(p, pending, spread, side / GRID, edge, len(pending))
        elif jump == 0:
            _weigh(p, pending, book, k, heat)
    if book.took[k] != 0:
        side = 0 if book.took[k] > 0 else 1
        heat[side] += book.rates[7] * book.rates[5]
        heat[1 - side] += book.rates[7] * book.rates[6]
    return jump


@njit(cache=True)
def _jump(book: Any, k: int) -> float:
    """Ticks by which both quotes moved at once, 0 where it was no jump."""
    up = book.bid[k] - book.bid[k - 1] if k > 0 else 0
    return float(up) if abs(up) > 1 and up == book.ask[k] - book.ask[k - 1] else 0.0


@njit(cache=True)
def _reset(p: Any, pending: Any, spread: int, step: float, edge: int, stages: int) -> None:
    """The touch has changed: the gap is zero, the plan is new, and the step that met the barrier is on its way."""
    full = FULL if spread == 1 else 0.0
    for row in range(stages):
        held = pending[row, edge] / p[edge] if p[edge] > 0 else 0.0
        held += step if row == 0 else 0.0
        pending[row] = 0.0
        pending[row, GRID - 1], pending[row, _WIDE + GRID // 2 - 1] = held * full, held * (1 - full)
    p[:] = 0.0
    p[GRID - 1], p[_WIDE + GRID // 2 - 1] = full, 1 - full


@njit(cache=True)
def _weigh(p: Any, pending: Any, book: Any, k: int, heat: Any) -> None:
    """An event that left the best prices alone: which side it was on, against the side that the gap would have chosen."""
    lean = book.rates[0]
    bids, asks = float(book.bid_orders[k - 1]), float(book.ask_orders[k - 1])
    more_bid, more_ask = book.bid_size[k] - book.bid_size[k - 1], book.ask_size[k] - book.ask_size[k - 1]
    if book.took[k] != 0:
        trade = book.rates[4]
        chance, factor, up = (0.5 * trade + heat[0]) / (trade + heat[0] + heat[1]), MARKET_LEAN, book.took[k] > 0
    elif more_bid > 0 or more_ask > 0:
        add_bid = book.rates[1] + book.rates[2] * max(0.0, THIN - bids)
        add_ask = book.rates[1] + book.rates[2] * max(0.0, THIN - asks)
        chance, factor, up = add_bid / (add_bid + add_ask), LIMIT_LEAN, more_bid > 0
    elif more_bid < 0 or more_ask < 0:
        chance, factor, up = asks / (bids + asks), CANCEL_LEAN, more_ask < 0
    else:
        return
    total = 0.0
    for i in range(_STATES):
        likely = _share(chance, _lean(i, factor * lean))
        p[i] *= likely if up else 1 - likely
        total += p[i]
        for row in range(len(pending)):
            pending[row, i] *= likely if up else 1 - likely
    p /= total
    pending /= total


@njit(cache=True)
def _expected(p: Any, steps: float) -> Any:
    """Mean gap, what of it is left after so many expected steps of the walk, and how that grows with the gap; ticks."""
    mass = p.sum()
    mean = left = slope = 0.0
    for begin, size in ((0, _WIDE), (_WIDE, _NARROW)):
        width = (size + 1) // 2
        for i in range(size):
            mean += p[begin + i] * (i + 1 - width)
        for k in range(2, size + 1, 2):  # modes even about zero hold no gap
            angle = math.pi * k / (2 * width)
            stays = math.exp(-steps * (1 - math.cos(angle)))
            held = there = turned = 0.0
            for i in range(1, size + 1):
                wave = math.sin(angle * i)
                held += (i - width) * wave
                there += p[begin + i - 1] * wave
                turned += p[begin + i - 1] * angle * math.cos(angle * i)
            left += there * stays * held / width
            slope += turned * stays * held / width
    return mean / mass / GRID, left / mass / GRID, slope / mass
