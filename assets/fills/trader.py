"""Our side of the wire: what we have heard, what the policy wants, what we send.

Nothing here knows more than the market's rows up to the decision and the answers that have come back by then.
"""

from typing import Any, Final

import numpy as np

from assets.books.codes import BID, Int
from assets.fills.policy import INSIDE, LEVELS, SCORES, TAKE, TOUCH, TOUCHING, score
from assets.fills.wire import (
    CANCEL,
    CANCELLED,
    CLOSE,
    FLATTEN,
    IN_FLIGHT,
    LIMIT,
    MOST_ORDERS,
    NEW,
    REJECTED,
    RESTING,
    SCORE,
    STANDS,
    Room,
    delayed,
    inlined,
    kernel,
)

PROTECTION: Final = 10
"""Ticks through the touch that a flattening order may pay, as an exchange's market order with protection."""


@inlined
def news(now: Int, room: Room) -> bool:
    """Whether a fill or an answer has come back by now that has not been heard."""
    state = room.state
    fill = state.fills_heard < state.fills and room.fills[state.fills_heard].ts_known <= now
    return fill or (state.heard < state.arrived and room.requests[state.heard].ts_response <= now)


@inlined
def settled(row: Any, ts: Int, prediction: float, room: Room) -> bool:
    """Whether the last decision would be made again: the policy sees what it saw then."""
    state = room.state
    same = row.bid == state.bid and row.ask == state.ask and prediction == state.prediction
    return state.settled != 0 and same and ts < room.rules.flatten_ns


@kernel
def listen(now: Int, room: Room) -> None:
    """Hear the fills and answers that have come back by now; fills first, as an order's fills precede its end."""
    state, heard = room.state, False
    while state.fills_heard < state.fills and room.fills[state.fills_heard].ts_known <= now:
        fill = room.fills[state.fills_heard]
        room.orders[fill.order].known -= fill.quantity
        state.known_position += fill.side * fill.quantity
        state.known_cash = fill.cash
        state.fills_heard += 1
        heard = True
    while state.heard < state.arrived and room.requests[state.heard].ts_response <= now:
        request = room.requests[state.heard]
        if request.answer in (REJECTED, CANCELLED):
            room.orders[request.order].known = 0
            heard = True
        state.heard += 1
    if heard:
        kept, state.settled = 0, 0
        for j in range(state.lives):
            if room.orders[state.live[j]].known > 0:
                state.live[kept] = state.live[j]
                kept += 1
        state.lives = kept


@kernel
def decide(row: Any, ts: Int, prediction: float, room: Room) -> None:
    """One decision, on the market as the tape's row left it."""
    state, rules = room.state, room.rules
    if state.sent + state.lives + 2 * LEVELS + 1 > len(room.requests):
        state.full = 1
        return
    state.ts, state.prediction, state.bid, state.ask = ts, prediction, row.bid, row.ask
    sent, quoted = state.sent, 0 <= row.bid < row.ask < room.ladder.shape[1]
    if not state.stopped:
        if ts >= rules.flatten_ns:
            state.stopped = CLOSE
        elif quoted and worth_at(row, room) <= -rules.loss_limit:
            state.stopped = FLATTEN
    if state.stopped:
        _flatten(room)
    elif quoted and room.policy.style == TAKE:
        _take(room)
    elif quoted:
        for side in range(2):
            _quote(side, room)
    # A policy that does not look at queues has nothing new to say until the touch, the signal or what it knows of its orders changes.
    blind = room.policy.ahead_weight == 0.0 and room.policy.behind_weight == 0.0
    state.settled = blind and not state.stopped and state.sent == sent


@kernel
def _flatten(room: Room) -> None:
    """Cancel all; once nothing of ours can fill any more, take the position off."""
    state, width = room.state, room.ladder.shape[1]
    for j in range(state.lives):
        if not room.orders[state.live[j]].leaving:
            _withdraw(state.live[j], state.stopped, np.nan, room)
    if state.lives == 0 and state.known_position != 0:
        sign = -1 if state.known_position > 0 else 1
        touch = state.bid if sign < 0 else state.ask
        if 0 <= touch < width:
            px = min(max(touch + sign * PROTECTION, 0), width - 1)
            _submit(sign, px, abs(state.known_position), 1, state.stopped, np.nan, room)


@kernel
def _take(room: Room) -> None:
    """Hold the position that the prediction asks for, by immediate orders at the opposite touch, one at a time.

    Full on a side where taking scores above the threshold; flat again when the weighted prediction alone falls
    short of the threshold by the hysteresis.
    """
    state, rules, policy = room.state, room.rules, room.policy
    if state.lives > 0:
        return
    half, held = 0.5 * (state.bid - state.ask), state.known_position
    wanted, value = held, np.nan
    for sign in (1, -1):
        if sign * held > 0 and policy.prediction_weight * sign * state.prediction < policy.threshold - policy.hysteresis:
            wanted = 0
    for sign in (1, -1):
        taken = score(policy, sign, state.prediction, half, 0, 0)
        if taken > policy.threshold:
            wanted, value = sign * rules.max_position, taken
    if wanted != held:
        sign = 1 if wanted > held else -1
        _submit(sign, state.ask if sign > 0 else state.bid, abs(wanted - held), 1, SCORE, value, room)


@inlined
def idle(row: Any, ts: Int, prediction: float, room: Room) -> bool:
    """Whether a decision comes to nothing whatever queues there are: nothing of ours open, under way or unheard, and nothing to quote."""
    state, rules, policy = room.state, room.rules, room.policy
    if state.lives > 0 or state.heard < state.sent or state.fills_heard < state.fills or state.stopped or policy.style != SCORES:
        return False
    if ts >= rules.flatten_ns or worth_at(row, room) <= -rules.loss_limit:
        return False
    return out_of_reach(1, row.bid, row.ask, prediction, policy) and out_of_reach(-1, row.bid, row.ask, prediction, policy)


@inlined
def worth_at(row: Any, room: Room) -> Int:
    """Cash and position at the mid, as far as we have heard."""
    state, rules = room.state, room.rules
    return state.known_cash + state.known_position * (row.bid + row.ask + 2 * rules.base) * rules.tick_value // 2


@kernel
def out_of_reach(sign: Int, bid: Int, ask: Int, prediction: float, policy: Any) -> bool:
    """Whether no level of a side could pass the threshold, not even with an empty queue: so it is at most decisions."""
    nearest, levels = (0.5 * (ask - bid) - 1, LEVELS) if ask - bid > 1 else (0.5 * (ask - bid), LEVELS - 1)
    distance = nearest if policy.level_weight < 0 else nearest + levels - 1
    return policy.ahead_weight <= 0 and score(policy, sign, prediction, distance, 0, 0) <= policy.threshold


@kernel
def _quote(side: Int, room: Room) -> None:
    """Bring our orders of a side into line with their scores."""
    state, rules, policy = room.state, room.rules, room.policy
    bid, ask, standing, scores = state.bid, state.ask, state.standing, state.scores
    sign = 1 if side == BID else -1
    front = bid + 1 if side == BID else ask - 1
    first, end = INSIDE if ask - bid > 1 else TOUCHING, LEVELS
    if policy.style == TOUCH:
        first, end = TOUCHING, TOUCHING + 1
    standing[:] = -1
    worst_case, leaving, ours = sign * state.known_position, 0, 0
    for j in range(state.lives):
        o = state.live[j]
        order = room.orders[o]
        if order.side == sign:
            ours += 1
            worst_case += order.known
            leaving += order.leaving
            level = sign * (front - order.px)
            if first <= level < end:
                standing[level] = o
            elif not order.leaving:
                _withdraw(o, SCORE, np.nan, room)
                leaving += 1

    if ours == 0 and out_of_reach(sign, bid, ask, state.prediction, policy):
        return

    best, worst = -1, -1
    for level in range(first, end):
        px = front - sign * level
        if not 0 <= px < room.ladder.shape[1]:
            scores[level] = -np.inf
            continue
        there = room.ladder[side, px, STANDS]
        ahead, behind = there, 0
        o = standing[level]
        if o >= 0 and room.orders[o].state == RESTING:
            ahead = np.int64(room.orders[o].ahead + 0.5)
            behind = max(0, there - ahead)
        value = score(policy, sign, state.prediction, 0.5 * sign * (bid + ask - 2 * px), ahead, behind)
        scores[level] = value
        if o < 0:
            if value > policy.threshold and (best < 0 or value > scores[best]):
                best = level
        elif not room.orders[o].leaving:
            if value < policy.threshold - policy.hysteresis:
                _withdraw(o, SCORE, value, room)
                leaving += 1
            elif worst < 0 or value < scores[worst]:
                worst = level

    if policy.style == TOUCH and ours > 0:
        return  # one order a side: the next is sent when the last is known to be gone
    # The best levels first, while the position could still bear the fill of everything open.
    while best >= 0 and state.lives < MOST_ORDERS and worst_case + rules.order_size <= rules.max_position:
        px = front - sign * best
        if not _meets_own(sign, px, room):
            _submit(sign, px, rules.order_size, 0, SCORE, scores[best], room)
            worst_case += rules.order_size
        scores[best] = -np.inf
        best = -1
        for level in range(first, end):
            if standing[level] < 0 and scores[level] > policy.threshold and (best < 0 or scores[level] > scores[best]):
                best = level
    # No room left for a better level: the worst order makes way, unless one is going already.
    if best >= 0 and worst >= 0 and leaving == 0 and scores[best] > scores[worst] + policy.hysteresis:
        _withdraw(standing[worst], LIMIT, scores[worst], room)


@kernel
def _meets_own(sign: Int, px: Int, room: Room) -> bool:
    """Whether an order would cross one of ours that may still be open."""
    state = room.state
    for j in range(state.lives):
        order = room.orders[state.live[j]]
        if order.side == -sign and sign * (px - order.px) >= 0:
            return True
    return False


@kernel
def _submit(sign: Int, px: Int, quantity: Int, immediate: Int, reason: Int, value: float, room: Room) -> None:
    """Send a new order."""
    state = room.state
    o = state.orders
    order = room.orders[o]
    order.side, order.px, order.left, order.known = sign, px, quantity, quantity
    order.ahead, order.priority, order.state, order.leaving, order.immediate = 0, 0, IN_FLIGHT, 0, immediate
    state.orders += 1
    state.live[state.lives] = o
    state.lives += 1
    _send(NEW, o, quantity, reason, value, room)


@kernel
def _withdraw(o: Int, reason: Int, value: float, room: Room) -> None:
    """Send a cancel."""
    order = room.orders[o]
    order.leaving = 1
    _send(CANCEL, o, order.known, reason, value, room)


@kernel
def _send(kind: Int, o: Int, quantity: Int, reason: Int, value: float, room: Room) -> None:
    """Put a request on the wire: it arrives a delay later, but not before the one sent before it."""
    state, order, rules = room.state, room.orders[o], room.rules
    request = room.requests[state.sent]
    request.ts_request = delayed(state.ts, rules.feed_delay)
    request.ts_arrival = delayed(request.ts_request, rules.order_delay if kind == NEW else rules.cancel_delay)
    if state.sent > 0:
        request.ts_arrival = max(request.ts_arrival, room.requests[state.sent - 1].ts_arrival)
    request.ts_response, request.score, request.prediction = 0, value, state.prediction
    request.order, request.px, request.quantity, request.ahead = o, order.px, quantity, -1
    request.side, request.kind, request.reason, request.answer = order.side, kind, reason, IN_FLIGHT
    state.sent += 1
