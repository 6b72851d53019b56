"""How long a decision stands: bounds within which, made again, it would send nothing.

Most decisions come to nothing. Those that surely do are passed over, and the requests and fills stay the same to the byte: that within
the bounds nothing is sent is certain, that beyond them something is not. Prediction and mid pull all scores of a side alike, and those of
the other side the other way (`leaning`). So a side is bound by its scores without that pull: what leans now is compared with two
numbers, a side's bounds stay when only the other side's touch moves, and a level's ALARM says how many contracts must stay at its price
for its queue to move no bound.
"""

from typing import Any, Final

import numpy as np

from assets.books.codes import ASK, BID, Int
from assets.fills.policy import INSIDE, LEVELS, SCORES, TAKE, TOUCH, TOUCHING, score
from assets.fills.rows import CLEARED
from assets.fills.wire import ALARM, ALWAYS, STANDS, Trader, part

OPEN, FULL, SHUT = range(3)
"""Whether a side has room for another order; if not, whether a worse order of ours could make way for it."""

_SURE: Final = 1e-9
"""Ticks by which a bound on a score is closer than it need be, for a level weight of 0 and as much again for one of 1: sums of the same
terms in another order, of which the greatest is that weight times a price on the ladder, differ by less."""


@part
def settled(row: Any, ts: Int, prediction: float, room: Trader) -> bool:
    """Whether the last decision, made again, would send nothing: the policy sees what it saw then, or not enough else."""
    state = room.state
    if not stands(room) or row.bid != state.bid or row.ask != state.ask:
        return False
    return state.least < leaning(prediction, room) < state.most and ts < room.rules.flatten_ns


@part
def stands(room: Trader) -> bool:
    """Whether the last decision is bound on both sides, as it is not where time alone can change it or a queue was emptied."""
    return (room.state.settled[BID] & room.state.settled[ASK]) != 0


@part
def leaning(prediction: float, room: Trader) -> float:
    """What of a score every level of the bid has in common, and of the ask with the opposite sign: prediction and mid."""
    return room.policy.prediction_weight * prediction + room.state.pull


@part
def tilt(room: Trader) -> float:
    """What the position that we know of takes from the scores of the bid and adds to those of the ask, ticks."""
    return room.rules.skew * room.state.known_position if room.policy.style == SCORES else 0.0


@part
def holds(side: Int, before: bool, room: Trader) -> bool:
    """Whether a side's decision, its own touch being the same, would send nothing; `before`: there was room inside the spread then."""
    state = room.state
    if state.settled[side] == 0:
        return False
    inside = state.ask - state.bid > 1
    if room.policy.style == SCORES and inside and not before:
        tighten(side, unpulled_score(side, state.bid + 1 if side == BID else state.ask - 1, -1, room), np.inf, room)
    elif before and not inside and state.standing[side, INSIDE] >= 0:
        return False
    return state.settled[side] == 1 and state.low[side] < leaning(state.prediction, room) < state.high[side]


@part
def minds_queues(policy: Any) -> bool:
    """Whether what a queue has become can make a decision another one."""
    return policy.style != TAKE and (policy.ahead_weight != 0.0 or policy.behind_weight != 0.0)


@part
def watch(row: Any, room: Trader) -> None:
    """What a row of the tape did to the queue at one of our levels, for the bounds between which the decision stands."""
    state, side = room.state, np.int64(row.side)
    if row.kind == CLEARED:
        state.settled[:] = 0
    elif room.ladder[side, row.px, ALARM] > room.ladder[side, row.px, STANDS]:
        level = state.bid + 1 - row.px if side == BID else row.px - state.ask + 1
        first, end = levels(state.bid, state.ask, room.policy)
        if first <= level < end:
            o = state.standing[side, level]
            value = unpulled_score(side, np.int64(row.px), o, room)
            if o < 0:
                tighten(side, value, np.inf, room)
                spare(side, np.int64(row.px), value, room)
            elif not room.orders[o].leaving:
                tighten(side, -np.inf, value, room)


@part
def levels(bid: Int, ask: Int, policy: Any) -> tuple[Int, Int]:
    """The levels that are scored, the last not included."""
    if policy.style == TOUCH:
        return TOUCHING, TOUCHING + 1
    return (INSIDE if ask - bid > 1 else TOUCHING), LEVELS


@part
def level_score(side: Int, px: Int, o: Int, prediction: float, room: Trader) -> float:
    """The score of a price at which our order o (-1: none) stands."""
    state, sign = room.state, (1 if side == BID else -1)
    there = room.ladder[side, px, STANDS]
    ahead, behind = there, 0
    if o >= 0 and room.orders[o].heard:
        ahead = np.int64(room.orders[o].ahead + 0.5)
        behind = max(0, there - ahead)
    lean = room.policy.prediction_weight * prediction - state.tilt
    return score(room.policy, sign, lean, 0.5 * sign * (state.bid + state.ask - 2 * px), ahead, behind)


@part
def unpulled_score(side: Int, px: Int, o: Int, room: Trader) -> float:
    """The same without what all levels of a side have in common."""
    pull = room.state.pull
    return level_score(side, px, o, 0.0, room) - (pull if side == BID else -pull)


@part
def tighten(side: Int, highest: float, lowest: float, room: Trader) -> None:
    """Bound a side's decision by unpulled scores: of a level without an order of ours, and of one with it.

    Bounds only tighten until the next decision. That within them it sends nothing is certain, that beyond it sends something is not.
    """
    state, policy = room.state, room.policy
    sure = _sure(policy)
    above, below = policy.threshold - policy.hysteresis - lowest + sure, np.inf
    if state.room[side] == OPEN:
        below = policy.threshold - highest - sure
    elif state.room[side] == FULL:
        state.highest[side], state.lowest[side] = max(highest, state.highest[side]), min(lowest, state.lowest[side])
        if state.highest[side] > state.lowest[side] + policy.hysteresis - sure:
            state.settled[side] = 0
    if side != BID:
        above, below = -below, -above
    state.low[side], state.high[side] = max(above, state.low[side]), min(below, state.high[side])
    state.least, state.most = max(above, state.least), min(below, state.most)


@part
def _sure(policy: Any) -> float:
    return _SURE * (1.0 + abs(policy.level_weight))


@part
def spare(side: Int, px: Int, value: float, room: Trader) -> None:
    """Note how many contracts must stay at a level without an order of ours, whose score is `value` now, for the bounds to stay.

    The score reaches its bound where 1 + contracts have fallen to exp(-slack) of themselves; 1 - slack + slack^2 / 2 is never below that.
    """
    state, weight = room.state, room.policy.ahead_weight
    room.ladder[side, px, ALARM] = ALWAYS if weight > 0.0 else 0
    if state.room[side] != SHUT and weight < 0.0:
        bound = state.highest[side]
        if state.room[side] == OPEN:
            bound = room.policy.threshold - _sure(room.policy) - (state.high[BID] if side == BID else -state.low[ASK])
        slack = min(max(bound - value, 0.0) / -weight, 1.0)
        room.ladder[side, px, ALARM] = np.int64((1 + room.ladder[side, px, STANDS]) * (1.0 - slack + 0.5 * slack * slack))


@part
def calm(side: Int, room: Trader) -> None:
    """Take off the alarms of the last decision's levels; where an order of ours rests, it stays."""
    state, sign = room.state, (1 if side == BID else -1)
    for level in range(LEVELS):
        px = state.bid + 1 - level if side == BID else state.ask - 1 + level
        if 0 <= px < room.ladder.shape[1]:
            room.ladder[side, px, ALARM] = 0
    for j in range(state.lives):
        own = room.orders[state.live[j]]
        if own.side == sign:
            room.ladder[side, own.px, ALARM] = ALWAYS


@part
def idles(room: Trader) -> bool:
    """Whether decisions, while nothing of ours is out, may come to nothing whatever queues there are."""
    return not room.state.stopped and room.policy.style == SCORES and room.policy.ahead_weight <= 0


@part
def idle(row: Any, ts: Int, prediction: float, room: Trader) -> bool:
    """Whether a decision, while `idles`, does so: no level of either side could pass the threshold, not even with an empty queue."""
    rules, policy = room.rules, room.policy
    lean = policy.prediction_weight * prediction - tilt(room)
    reach = abs(lean) + policy.level_weight * dearest(row.bid, row.ask, policy.level_weight)
    return reach <= policy.threshold and ts < rules.flatten_ns and worth_at(row, room) > -rules.loss_limit


@part
def worth_at(row: Any, room: Trader) -> Int:
    """Cash and position at the mid, as far as we have heard."""
    return worth(room.state.known_cash, room.state.known_position, row.bid, row.ask, room.rules)


@part
def worth(cash: Int, position: Int, bid: Int, ask: Int, rules: Any) -> Int:
    """Cash and a position at the mid."""
    return cash + position * (bid + ask + 2 * rules.base) * rules.tick_value // 2


@part
def out_of_reach(sign: Int, bid: Int, ask: Int, lean: float, policy: Any) -> bool:
    """Whether no level of a side could pass the threshold, not even with an empty queue: so it is at most decisions."""
    return policy.ahead_weight <= 0 and score(policy, sign, lean, dearest(bid, ask, policy.level_weight), 0, 0) <= policy.threshold


@part
def dearest(bid: Int, ask: Int, level_weight: float) -> float:
    """Ticks from the mid of the level whose score is the highest where all queues are empty."""
    nearest, levels = (0.5 * (ask - bid) - 1, LEVELS) if ask - bid > 1 else (0.5 * (ask - bid), LEVELS - 1)
    return nearest if level_weight < 0 else nearest + levels - 1
