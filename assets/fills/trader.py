"""Our side of the wire: what the policy wants, what we send.

All that is given to a function here is the `Trader`: the market's rows up to the decision and what has been heard by then (`heard.py`).
The exchange's records are out of its reach.
"""

from typing import Any, Final

import numpy as np

from assets.books.codes import ASK, BID, Int
from assets.desk import NS
from assets.fills.policy import LEVELS, TAKE, TOUCH, score
from assets.fills.settled import (
    FULL,
    OPEN,
    SHUT,
    calm,
    dearest,
    holds,
    leaning,
    level_score,
    levels,
    minds_queues,
    out_of_reach,
    spare,
    tighten,
    tilt,
    worth_at,
)
from assets.fills.wire import (
    ALARM,
    ALWAYS,
    CANCEL,
    CLOSE,
    FLATTEN,
    GAP,
    LIMIT,
    MOST_ORDERS,
    NEW,
    SCORE,
    Trader,
    delayed,
    kernel,
    part,
)

PROTECTION: Final = 10
"""Ticks through the touch that a flattening order may pay, as an exchange's market order with protection."""


@part
def decide(row: Any, ts: Int, now: Int, prediction: float, room: Trader) -> None:
    """One decision, made at `now` on the market of `ts`, as the tape's row left it."""
    room.state.settled[:] = 0
    amend(row, ts, now, prediction, room)


@kernel
def amend(row: Any, ts: Int, now: Int, prediction: float, room: Trader) -> None:
    """The same where the last decision may hold on a side: it is made again only where it does not."""
    state, rules, policy = room.state, room.rules, room.policy
    if state.sent + state.lives + 2 * LEVELS + 1 > len(room.requests):
        state.full = 1
        return
    inside = state.ask - state.bid > 1  # whether there was room inside the spread
    if row.bid != state.bid:
        state.settled[BID] = 0
        if minds_queues(policy):
            calm(BID, room)
    if row.ask != state.ask:
        state.settled[ASK] = 0
        if minds_queues(policy):
            calm(ASK, room)
    blind, ending = np.isnan(prediction) or ts - row.ts > rules.max_gap, np.isinf(prediction)
    state.ts, state.now, state.bid, state.ask = ts, now, row.bid, row.ask
    state.prediction = 0.0 if blind or ending else prediction
    state.tilt = tilt(room)
    state.pull = 0.0 if policy.style == TAKE else policy.level_weight * 0.5 * (row.bid + row.ask)
    quoted = 0 <= row.bid < row.ask < room.ladder.shape[1]
    if not state.stopped:
        if ts >= rules.flatten_ns:
            state.stopped = CLOSE
        elif quoted and worth_at(row, room) <= -rules.loss_limit:
            state.stopped = FLATTEN
    state.least, state.most = -np.inf, np.inf
    if state.stopped or blind or ending or not quoted or not rules.timeless:
        state.settled[:] = 0
    if state.stopped or ending:
        _flatten(state.stopped if state.stopped else CLOSE, room)
    elif blind:
        # Nobody knows the market now: nothing of ours stands in it, and a position waits until it is seen again.
        _withdraw_all(GAP, room)
    elif quoted and policy.style == TAKE:
        state.settled[:] = rules.timeless
        _take(room)
    elif quoted:
        for side in range(2):
            if not holds(side, inside, room):
                _quote(side, room)
        state.least, state.most = max(state.low[BID], state.low[ASK]), min(state.high[BID], state.high[ASK])


@kernel
def _flatten(reason: Int, room: Trader) -> None:
    """Cancel all; once nothing of ours can fill any more, take the position off, unless the market is crossed and nobody trades."""
    state, width = room.state, room.ladder.shape[1]
    _withdraw_all(reason, room)
    if state.lives == 0 and state.known_position != 0 and state.bid < state.ask:
        sign = -1 if state.known_position > 0 else 1
        touch = state.bid if sign < 0 else state.ask
        if 0 <= touch < width:
            px = min(max(touch + sign * PROTECTION, 0), width - 1)
            _submit(sign, px, abs(state.known_position), 1, reason, np.nan, room)


@kernel
def _withdraw_all(reason: Int, room: Trader) -> None:
    """Cancel whatever of ours is not on its way out already."""
    state = room.state
    for j in range(state.lives):
        if not room.orders[state.live[j]].leaving:
            _withdraw(state.live[j], reason, np.nan, room)


@part
def position_limit(ts: Int, room: Trader) -> Int:
    """Contracts that our own code lets itself hold."""
    return room.rules.busy_position if ts >= room.rules.busy_ns else room.rules.max_position


@part
def _may_send(room: Trader) -> bool:
    """Whether the exchange's limits leave room for a new order now, and for the cancel of each that may be open then."""
    state, rules = room.state, room.rules
    each = rules.messages_per_second
    if 0 < each <= state.sent and state.now - room.requests[state.sent - each].ts_request < NS:
        return False
    return state.sent + state.lives + 2 <= max(rules.order_to_trade_free, rules.order_to_trade * state.known_contracts)


@kernel
def _take(room: Trader) -> None:
    """Hold the position that the prediction asks for, by immediate orders at the opposite touch, one at a time.

    Full on a side where taking scores above the threshold; flat again when the weighted prediction alone falls
    short of the threshold by the hysteresis.
    """
    state, policy = room.state, room.policy
    if state.lives > 0 or not _may_send(room):
        return
    lean = policy.prediction_weight * state.prediction
    state.least, state.most = np.nextafter(lean, -np.inf), np.nextafter(lean, np.inf)  # another prediction is decided on anew
    half, held = 0.5 * (state.bid - state.ask), state.known_position
    wanted, value = held, np.nan
    for sign in (1, -1):
        if sign * held > 0 and policy.prediction_weight * sign * state.prediction < policy.threshold - policy.hysteresis:
            wanted = 0
    for sign in (1, -1):
        taken = score(policy, sign, lean, half, 0, 0)
        if taken > policy.threshold:
            wanted, value = sign * position_limit(state.ts, room), taken
    if wanted != held:
        sign = 1 if wanted > held else -1
        _submit(sign, state.ask if sign > 0 else state.bid, abs(wanted - held), 1, SCORE, value, room)


@part
def _quote(side: Int, room: Trader) -> None:
    """Bring our orders of a side into line with their scores."""
    state, rules, policy = room.state, room.rules, room.policy
    bid, ask, standing, scores = state.bid, state.ask, state.standing[side], state.scores
    sign = 1 if side == BID else -1
    front = bid + 1 if side == BID else ask - 1
    first, end = levels(bid, ask, policy)
    standing[:] = -1
    state.room[side], state.highest[side], state.lowest[side] = OPEN, -np.inf, np.inf
    state.settled[side], state.low[side], state.high[side] = rules.timeless, -np.inf, np.inf
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

    if ours == 0 and out_of_reach(sign, bid, ask, policy.prediction_weight * state.prediction - state.tilt, policy):
        highest = score(policy, sign, -state.tilt, dearest(bid, ask, policy.level_weight), 0, 0) - sign * state.pull
        tighten(side, highest, np.inf, room)
        return

    best, worst = -1, -1
    for level in range(first, end):
        px = front - sign * level
        if not 0 <= px < room.ladder.shape[1]:
            scores[level] = -np.inf
            continue
        o = standing[level]
        value = level_score(side, px, o, state.prediction, room)
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

    # The best levels first, while the position could still bear the fill of everything open. With the touch style there is one
    # order a side: the next is sent when the last is known to be gone.
    alone, tried, limit = policy.style == TOUCH and ours > 0, 0, position_limit(state.ts, room)
    while not alone and best >= 0 and state.lives < MOST_ORDERS and worst_case + rules.order_size <= limit and _may_send(room):
        px = front - sign * best
        if not _meets_own(sign, px, room):
            standing[best] = state.orders
            _submit(sign, px, rules.order_size, 0, SCORE, scores[best], room)
            worst_case += rules.order_size
            alone = policy.style == TOUCH
        tried |= 1 << best
        best = -1
        for level in range(first, end):
            untried = standing[level] < 0 and not tried & 1 << level
            if untried and scores[level] > policy.threshold and (best < 0 or scores[level] > scores[best]):
                best = level
    # No room left for a better level: the worst order makes way, unless one is going already.
    better = not alone and best >= 0 and worst >= 0 and leaving == 0 and scores[best] > scores[worst] + policy.hysteresis
    if better and _may_send(room):
        _withdraw(standing[worst], LIMIT, scores[worst], room)
        leaving += 1

    if alone or worst_case + rules.order_size > limit:
        state.room[side] = SHUT if alone or leaving > 0 else FULL
    highest, lowest, lean = -np.inf, np.inf, sign * leaning(state.prediction, room)
    for level in range(first, end):
        if standing[level] < 0:
            highest = max(highest, scores[level] - lean)
        elif not room.orders[standing[level]].leaving:
            lowest = min(lowest, scores[level] - lean)
    tighten(side, highest, lowest, room)
    if not minds_queues(policy):
        return
    for level in range(first, end):
        if standing[level] >= 0:
            room.ladder[side, front - sign * level, ALARM] = ALWAYS
        elif scores[level] > -np.inf:
            spare(side, front - sign * level, scores[level] - lean, room)


@part
def _meets_own(sign: Int, px: Int, room: Trader) -> bool:
    """Whether an order would cross one of ours that may still be open."""
    state = room.state
    for j in range(state.lives):
        order = room.orders[state.live[j]]
        if order.side == -sign and sign * (px - order.px) >= 0:
            return True
    return False


@part
def _submit(sign: Int, px: Int, quantity: Int, immediate: Int, reason: Int, value: float, room: Trader) -> None:
    """Send a new order."""
    state = room.state
    o = state.orders
    own = room.orders[o]
    own.side, own.px, own.known = sign, px, quantity
    own.leaving, own.shown, own.heard = 0, 0, 0
    state.orders += 1
    state.live[state.lives] = o
    state.lives += 1
    _send(NEW, o, quantity, immediate, reason, value, room)


@part
def _withdraw(o: Int, reason: Int, value: float, room: Trader) -> None:
    """Send a cancel."""
    order = room.orders[o]
    order.leaving = 1
    _send(CANCEL, o, order.known, 0, reason, value, room)


@part
def _send(kind: Int, o: Int, quantity: Int, immediate: Int, reason: Int, value: float, room: Trader) -> None:
    """Put a request on the wire: it arrives a delay later, but not before the one sent before it."""
    state, order, rules = room.state, room.orders[o], room.rules
    request = room.requests[state.sent]
    request.ts_request = state.now
    request.ts_arrival = delayed(request.ts_request, rules.order_delay if kind == NEW else rules.cancel_delay)
    if state.sent > 0:
        request.ts_arrival = max(request.ts_arrival, room.requests[state.sent - 1].ts_arrival)
    request.score, request.prediction = value, state.prediction
    request.order, request.px, request.quantity = o, order.px, quantity
    request.side, request.kind, request.reason, request.immediate = order.side, kind, reason, immediate
    state.sent += 1
