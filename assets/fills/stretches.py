"""What of a session no setting changes, told once for stretches of it, so that a replay goes over a stretch at once.

A stretch of decisions keeps the bounds of what they see: a setting that has nothing out and would not quote at any of these
bounds would not have within them. A stretch of the tape keeps the prices that changed and what then stood there, some thirty for
256 rows: the ladder is brought from one end to the other without the rows, while nothing of ours rests among them.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit

from assets.books.codes import Int
from assets.fills.exchange import stand
from assets.fills.policy import SCORES, score
from assets.fills.rows import CLEARED
from assets.fills.settled import dearest, tilt, worth_at
from assets.fills.wire import STANDS, TAKEN, Room, Trader, kernel, make_ladder, part

STRETCH: Final = 256
"""Decisions, and rows of the tape, that are told together."""

SEEN: Final = np.dtype([(name, "f8") for name in ("low", "high", "nearest", "furthest")] + [("first", "i8"), ("last", "i8")])
"""Bounds of a stretch of decisions. low, high: of the signal; nearest, furthest: of the ticks from the mid of the best and the
worst level; first, last: rows of the tape with the lowest and the highest mid, -1 where the market is never quoted."""

CHANGE: Final = np.dtype([(name, "i4") for name in ("side", "px", "stands")])
"""A price that a stretch of the tape changed, and contracts there at its end."""


class Stretches(NamedTuple):
    """A session's stretches; what is left over at its end is in none."""

    seen: np.ndarray
    """SEEN records of the decisions."""
    begins: np.ndarray
    """int64[m + 1]: where the changes of each stretch of the tape begin; none where the book was emptied in it."""
    changes: np.ndarray
    """CHANGE records."""


def tell(rows: np.ndarray, width: int, seen: np.ndarray, signals: Mapping[str, np.ndarray]) -> dict[str, Stretches]:
    """The stretches of a tape and of the decisions on it, by signal.

    Args:
        rows: ROW records.
        width: prices on the ladder.
        seen: rows that have happened at each decision.
        signals: predictions at each decision, ticks.
    """
    begins = np.zeros(len(rows) // STRETCH + 1, np.int64)
    changes = np.empty(len(rows), CHANGE)
    changes = changes[: _note(rows, make_ladder(width), begins, changes)].copy()
    bounds = {name: np.zeros(len(seen) // STRETCH, SEEN) for name in signals}
    for name, signal in signals.items():
        _bound(rows, width, seen, signal, bounds[name])
    return {name: Stretches(bound, begins, changes) for name, bound in bounds.items()}


@njit(cache=True)
def _bound(rows: np.ndarray, width: int, seen: np.ndarray, signal: np.ndarray, bounds: np.ndarray) -> None:
    for b in range(len(bounds)):
        bound = bounds[b]
        bound.low, bound.high, bound.nearest, bound.furthest = np.inf, -np.inf, np.inf, -np.inf
        bound.first = bound.last = -1
        if seen[b * STRETCH] == 0:
            continue
        for i in range(b * STRETCH, (b + 1) * STRETCH):
            row = rows[seen[i] - 1]
            # Where messages are lost the signal is not a number, which min and max pass by: with nothing out, nothing is sent there.
            bound.low, bound.high = min(bound.low, signal[i]), max(bound.high, signal[i])
            bound.nearest = min(bound.nearest, dearest(row.bid, row.ask, -1.0))
            bound.furthest = max(bound.furthest, dearest(row.bid, row.ask, 1.0))
            if not 0 <= row.bid < row.ask < width:
                continue  # no limit is held to the prices of such a market
            if bound.first < 0 or row.bid + row.ask < rows[bound.first].bid + rows[bound.first].ask:
                bound.first = seen[i] - 1
            if bound.last < 0 or row.bid + row.ask > rows[bound.last].bid + rows[bound.last].ask:
                bound.last = seen[i] - 1


@njit(cache=True)
def _note(rows: np.ndarray, ladder: np.ndarray, begins: np.ndarray, changes: np.ndarray) -> Int:
    place = np.full(ladder.shape[:2], -1)
    k = 0
    for b in range(len(begins) - 1):
        began, emptied = k, False
        for r in range(b * STRETCH, (b + 1) * STRETCH):
            row = rows[r]
            stand(row, ladder)
            emptied |= row.kind == CLEARED
            left = ladder[row.side, row.px, STANDS]
            at = place[row.side, row.px]
            if at < began:
                at = place[row.side, row.px] = k
                changes[k].side, changes[k].px = row.side, row.px
                k += 1
            changes[at].stands = left
        if emptied:
            k = began
            place[:] = -1
        begins[b + 1] = k
    return k


@part
def over(room: Trader) -> bool:
    """Whether a replay with nothing out sends nothing any more: it was stopped, and is flat."""
    return room.state.stopped != 0 and room.state.known_position == 0


@kernel
def passes(b: Int, rows: np.ndarray, ts: np.ndarray, stretches: Stretches, room: Trader) -> bool:
    """Whether stretch b of the decisions comes to nothing, nothing of ours being out.

    What passes is a subset of what `settled.idle` finds: a score and the worth of a position are monotone in all that they see.
    """
    policy, rules = room.policy, room.rules
    if b == len(stretches.seen) or room.state.stopped or policy.style != SCORES or policy.ahead_weight > 0:
        return False
    bound = stretches.seen[b]
    if bound.first < 0 or np.inf in (bound.high, -bound.low) or ts[(b + 1) * STRETCH - 1] >= rules.flatten_ns:
        return False
    if min(worth_at(rows[bound.first], room), worth_at(rows[bound.last], room)) <= -rules.loss_limit:
        return False
    distance, reach = bound.nearest if policy.level_weight < 0 else bound.furthest, -np.inf
    for sign in (1, -1):
        for prediction in (bound.low, bound.high):
            reach = max(reach, score(policy, sign, policy.prediction_weight * prediction - tilt(room), distance, 0, 0))
    return reach <= policy.threshold


@kernel
def jump(rows: np.ndarray, r: Int, until: Int, stretches: Stretches, room: Room) -> Int:
    """Bring the ladder from row r to row `until`, nothing of ours being out; return the next row."""
    ladder, room.trader.state.settled[:] = room.ladder, 0  # what the queues have become was not watched
    while r < until:
        b = r // STRETCH
        if r % STRETCH == 0 and r + STRETCH <= until and _whole(b, stretches, ladder):
            for k in range(stretches.begins[b], stretches.begins[b + 1]):
                change: Any = stretches.changes[k]
                ladder[change.side, change.px, STANDS] = change.stands
            r += STRETCH
        else:
            stand(rows[r], ladder)
            r += 1
    return r


@part
def _whole(b: Int, stretches: Stretches, ladder: np.ndarray) -> bool:
    """Whether stretch b of the tape is told by its changes: the book was not emptied, and nothing has left of what we took."""
    for k in range(stretches.begins[b], stretches.begins[b + 1]):
        if ladder[stretches.changes[k].side, stretches.changes[k].px, TAKEN] > 0:
            return False
    return bool(stretches.begins[b] < stretches.begins[b + 1])
