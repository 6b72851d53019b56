"""The exchange as our orders meet it.

What an order of ours gets:
- it waits behind the contracts that rested at its price when it arrived; where they are known by their priority, a
  removal or a fill ahead of it moves it up and one behind it does not; where they are not, trades take from the front
  and cancels from where the queue model says (`queues.py`);
- a trade at its price or a worse one gives it what is left after those ahead, and no more than was traded;
- several orders of ours share one trade's contracts, the better price first, then the earlier order;
- an opposite order that comes to rest at its price or through it would have met it first: it gives its contracts;
- what crosses on arrival takes the prices then standing, as many contracts as stand there; what we took is gone
  for us: where orders are known by their priority until those leave that we took it of, else until fewer stand there;
- it never meets an order of ours: the exchange rejects the later one;
- while the best prices touch or cross, nobody trades: what rests waits, a new order is rejected;
- where continuous trading ends (a break, a halt, an auction, a roll) the exchange cancels what rests, and rejects new orders until it
  begins again. What was sent before the end and comes after it is rejected, too: it was meant for what is over.

The market does not react to us: the tape stays as it was. Our connection is one ordered stream each way, so a
cancel never overtakes the order that it cancels.
"""

import math
from typing import Any

import numpy as np

from assets.books.codes import ASK, BID, Int
from assets.desk import NS
from assets.fills.places import follow, given_back, join, mind, missed, move, reach, show, span
from assets.fills.rows import ADDED, CLEARED, FILLED, LAST, LED, REMOVED, TRADED, UNKNOWN
from assets.fills.settled import minds_queues, worth
from assets.fills.wire import (
    ALARM,
    CANCEL,
    CANCELLED,
    DONE,
    ENDING,
    FRONT,
    IN_FLIGHT,
    LOSS,
    MESSAGE_RATE,
    MOST_TURNS,
    NEVER,
    NEW,
    NOT_TRADING,
    ORDER_TO_TRADE,
    OWN_ORDER,
    POSITION,
    POST_ONLY,
    REJECTED,
    REST,
    RESTING,
    STANDS,
    TAKEN,
    TOO_LATE,
    Room,
    delayed,
    kernel,
    part,
)


@part
def advance(rows: np.ndarray, r: Int, until: Int, room: Room) -> Int:
    """Let the market and our requests happen up to and including `until`; return the next row."""
    n = len(rows)
    while True:
        arrival, turn = next_arrival(room), next_turn(room)
        limit = min(until, arrival, turn - 1)
        while r < n and rows[r].ts <= limit:
            stand(rows[r], room.ladder)
            react(rows[r], room)
            r += 1
        if min(arrival, turn) > until:
            return r
        if turn <= arrival:
            _turn(turn, room)
        else:
            _arrive(rows, r, room)


@part
def next_turn(room: Room) -> Int:
    """When continuous trading ends or begins next within the session."""
    turn = room.state.turn
    return room.rules.turns[turn] if turn < MOST_TURNS else NEVER


@kernel
def _turn(ts: Int, room: Room) -> None:
    """Continuous trading ends, and what rests is cancelled; or it begins again."""
    state, ours = room.state, room.trader.state
    if state.turn % 2 == 0:
        # Whatever was decided before is sent by now; a log that is replayed is there as a whole, what it sends later included.
        expire(NEVER if ours.orders > 0 else ts, NOT_TRADING, room)
        for side in range(2):
            while state.count[side] > 0:
                room.orders[state.resting[side, 0]].state = CANCELLED
                _leave(side, 0, room)
        state.turn_known, state.turn_orders = _back(ts, room), ours.orders
    state.turn += 1


@part
def next_arrival(room: Room) -> Int:
    """When the next of our requests reaches the exchange."""
    arrived = room.state.arrived
    return room.requests[arrived].ts_arrival if arrived < room.trader.state.sent else NEVER


@part
def stand(row: Any, ladder: np.ndarray) -> None:
    """What a row of the tape leaves standing; of contracts that we have taken, no more than stand there."""
    side, px, kind = row.side, row.px, row.kind  # read before the ladder is written, which for all the compiler knows is the tape
    if kind == CLEARED:
        ladder[:, :, STANDS] = 0
        ladder[:, :, TAKEN:] = 0
    else:
        # Without a branch: which kind comes next is what a processor cannot guess.
        left = ladder[side, px, STANDS] + row.size * ((kind == ADDED) - (kind == REMOVED) - (kind == FILLED))
        ladder[side, px, STANDS] = left
        if ladder[side, px, TAKEN] > 0:
            _release(np.int64(side), np.int64(px), np.int64(kind), np.int64(row.priority), np.int64(row.size), ladder)


@kernel
def _release(side: Int, px: Int, kind: Int, priority: Int, size: Int, ladder: np.ndarray) -> None:
    """Take from what we have taken at a price what has left of it: of an order the last, for who met it after us met what we left."""
    place: Any = ladder[side, px]
    freed: Int = 0
    if kind in (REMOVED, FILLED) and UNKNOWN < priority <= place[FRONT]:
        freed = size
        if priority == place[FRONT]:
            freed = max(0, size - place[REST])
            place[REST] -= size - freed
    place[TAKEN] = max(0, min(place[TAKEN] - freed, place[STANDS]))


@kernel
def note_taken(rows: np.ndarray, r: Int, side: Int, px: Int, room: Room) -> None:
    """Find the last order of a price that we took of, before row r: from the back, each with what is left of it."""
    place: Any = room.ladder[side, px]
    gone, k = room.gone, r - 1
    behind: Int = place[STANDS] - place[TAKEN]
    place[FRONT], place[REST] = -1, 0
    while k >= 0:
        row: Any = rows[k]
        if row.kind == CLEARED:
            break
        if row.side == side and row.px == px and row.kind != TRADED:
            if row.priority == UNKNOWN:
                break  # nobody says whose contracts left
            if row.kind != ADDED:
                gone[row.priority] += row.size
            else:
                left = row.size - gone[row.priority]
                if left > behind:
                    place[FRONT], place[REST] = row.priority, behind
                    break
                behind -= left
        k -= 1
    for j in range(max(k, 0), r):
        row = rows[j]
        if row.side == side and row.px == px and row.kind in (REMOVED, FILLED) and row.priority != UNKNOWN:
            gone[row.priority] = 0


@part
def react(row: Any, room: Room) -> None:
    """What a row of the tape does to our resting orders, once it stands."""
    if _concerns(row, room):
        _meet(row, room)
        if minds_queues(room.policy):
            follow(row, room.trader)


@part
def _concerns(row: Any, room: Room) -> bool:
    """Whether a row of the tape can matter to a resting order of ours."""
    state, side, px = room.state, np.int64(row.side), np.int64(row.px)
    if row.kind == ADDED:
        if reach(1 - side, px) <= state.front[1 - side]:
            return True
        if row.priority >= state.newest:
            return False  # it joins behind all of ours
    elif row.kind == CLEARED:
        return max(state.front[BID], state.front[ASK]) > 0
    place = reach(side, px)
    return place <= state.front[side] and (place >= state.back[side] or row.kind not in (ADDED, REMOVED))


@part
def _meet(row: Any, room: Room) -> None:
    """What a row of the tape does to our resting orders."""
    state, side, px = room.state, np.int64(row.side), np.int64(row.px)
    if row.kind == CLEARED:
        for s in range(2):
            for j in range(state.count[s]):
                move(row, room.orders[state.resting[s, j]], 0, room.rules)
        state.newest = row.priority + 1
        return
    if row.crossed:
        pass  # whoever comes to rest or trades here does so in an auction, of which we are no part
    elif row.kind == ADDED:  # met by an order of ours on the other side
        given = _share(1 - side, px, np.int64(row.size), np.int64(LAST), row.ts, room)
        if given > 0:
            place = room.ladder[side, px]
            place[TAKEN] += given
            alone = place[STANDS] == row.size and place[TAKEN] == given
            place[FRONT], place[REST] = (row.priority, row.size - given) if alone else (-1, 0)
    elif row.kind != REMOVED:
        _share(side, px, np.int64(row.size), np.int64(row.priority), row.ts, room)
    for j in range(state.count[side]):
        order = room.orders[state.resting[side, j]]
        if order.px == px:
            move(row, order, room.ladder[side, px, STANDS], room.rules)
            mind(side, order, room)


@part
def _share(side: Int, px: Int, volume: Int, priority: Int, ts: Int, room: Room) -> Int:
    """Give our resting orders of a side their part of a trade at `px` with the order of that priority; return its contracts."""
    state, sign = room.state, 1 if side == BID else -1
    left, j = volume, 0
    while j < state.count[side]:
        o = state.resting[side, j]
        order = room.orders[o]
        better = sign * (order.px - px)
        if better < 0 or (better == 0 and UNKNOWN < priority < order.priority):
            break  # of orders of ours at one price the later stand behind it, too
        ahead = order.ahead
        if priority == LED:
            if missed(order, ts, room.rules):
                j += 1
                continue
            ahead += given_back(order, volume, ts, room.rules) if better == 0 else 0.0
        quantity = min(order.left, max(0, np.int64(math.floor(left - ahead + 0.5))))
        if quantity > 0:
            left -= quantity
            book_fill(o, quantity, order.px, True, ts, room)
        if order.left == 0:
            _leave(side, j, room)
        else:
            j += 1
    return volume - left


@part
def book_fill(o: Int, quantity: Int, px: Int, maker: bool, ts: Int, room: Room) -> None:
    """Book an execution of ours."""
    state, rules, order = room.state, room.rules, room.orders[o]
    order.left -= quantity
    if order.left == 0:
        order.state = DONE
    fee = quantity * (rules.maker_fee if maker else rules.taker_fee)
    state.position += order.side * quantity
    state.cash -= order.side * quantity * (px + rules.base) * rules.tick_value + fee
    state.contracts += quantity
    if state.fills == len(room.fills):
        state.full = 1
        return
    fill = room.fills[state.fills]
    fill.ts, fill.ts_known, fill.fee, fill.cash, fill.position = ts, _back(ts, room), fee, state.cash, state.position
    fill.order, fill.px, fill.quantity, fill.side, fill.maker = o, px, quantity, order.side, maker
    state.fills += 1


@part
def _back(ts: Int, room: Room) -> Int:
    """When an answer or a fill of `ts` has come back: none before the one that was sent before it."""
    state = room.state
    state.returned = max(delayed(ts, room.rules.response_delay), state.returned)
    return state.returned


@part
def _leave(side: Int, j: Int, room: Room) -> None:
    """Take the j-th of our resting orders of a side off the list."""
    state = room.state
    room.ladder[side, room.orders[state.resting[side, j]].px, ALARM] = 0
    state.count[side] -= 1
    for k in range(j, state.count[side]):
        state.resting[side, k] = state.resting[side, k + 1]
    span(side, room)


@part
def _arrive(rows: np.ndarray, r: Int, room: Room) -> None:
    """The exchange takes our next request, before row r."""
    state, rules = room.state, room.rules
    request = room.requests[state.arrived]
    state.arrived += 1
    receive(request, room)
    o, order = request.order, room.orders[request.order]
    if request.kind == CANCEL:
        request.answer = withdraw(o, room)
        return
    side, sign = BID if order.side > 0 else ASK, order.side
    other, width = 1 - side, room.ladder.shape[1]
    last: Any = rows[r - 1]
    refusal = refused(state.arrived - 1, last.bid, last.ask, room)
    px = last.ask if side == BID else last.bid
    takes = 0 <= px < width and sign * (order.px - px) >= 0
    if meets_own(order, room):
        refusal = OWN_ORDER
    elif takes and rules.post_only and not order.immediate:
        refusal = POST_ONLY
    if refusal:
        order.state, request.answer, request.refusal = REJECTED, REJECTED, refusal
        return
    while takes and order.left > 0:
        quantity = min(order.left, room.ladder[other, px, STANDS] - room.ladder[other, px, TAKEN])
        if quantity > 0:
            room.ladder[other, px, TAKEN] += quantity
            note_taken(rows, r, other, px, room)
            book_fill(o, quantity, px, False, request.ts_arrival, room)
        px += sign
        takes = 0 <= px < width and sign * (order.px - px) >= 0
    if order.left == 0:
        request.answer = DONE
    elif order.immediate:
        order.state, request.answer = CANCELLED, CANCELLED
    else:
        order.state, request.answer = RESTING, RESTING
        request.ahead = room.ladder[side, order.px, STANDS]
        join(order, request.ahead, r, request.ts_arrival)
        show(o, request.ahead, r, request.ts_arrival, room.trader)
        state.newest = max(state.newest, r)
        rest(o, side, room)


@part
def meets_own(order: Any, room: Room) -> bool:
    """Whether a new order would trade with one of ours that rests."""
    other = ASK if order.side > 0 else BID
    return room.state.count[other] > 0 and order.side * (order.px - room.orders[room.state.resting[other, 0]].px) >= 0


@part
def receive(request: Any, room: Room) -> None:
    """A request has come: it is answered, and of a new order the exchange opens its own record."""
    request.ts_response = _back(request.ts_arrival, room)
    request.ahead, request.refusal = -1, 0
    if request.kind == NEW:
        order = room.orders[request.order]
        order.px, order.left = request.px, request.quantity
        order.side, order.state, order.immediate = request.side, IN_FLIGHT, request.immediate


@part
def refused(k: Int, bid: Int, ask: Int, room: Room) -> Int:
    """Why the checks before the exchange refuse the new order of request k, whatever our own code thought; 0 if they do not.

    A cancel is never refused, and an order that only takes the position down neither for its ratio nor after a loss nor at the end.
    """
    state, rules, request = room.state, room.rules, room.requests[k]
    order = room.orders[request.order]
    if state.turn % 2 == 1 or bid >= ask:
        return NOT_TRADING
    held, exposed, side = order.side * state.position, order.left, BID if order.side > 0 else ASK
    for j in range(state.count[side]):
        exposed += room.orders[state.resting[side, j]].left
    if held + exposed > (rules.allowed_busy_position if request.ts_arrival >= rules.busy_ns else rules.allowed_position):
        return POSITION
    each = rules.messages_per_second
    if 0 < each <= k and request.ts_arrival - room.requests[k - each].ts_arrival < NS:
        return MESSAGE_RATE
    if held + exposed <= 0:
        return 0
    if k >= max(rules.order_to_trade_free, rules.order_to_trade * state.contracts):
        return ORDER_TO_TRADE
    if request.ts_arrival >= rules.allowed_until:
        return ENDING
    if 0 <= bid < ask < room.ladder.shape[1] and worth(state.cash, state.position, bid, ask, rules) <= -rules.allowed_loss:
        return LOSS
    return 0


@part
def rest(o: Int, side: Int, room: Room) -> None:
    """Put an order of ours on the list of its side: behind better prices and, at its own, behind those before it."""
    state, orders = room.state, room.orders
    sign, px, j = orders[o].side, orders[o].px, state.count[side]
    while j > 0 and sign * (px - orders[state.resting[side, j - 1]].px) > 0:
        state.resting[side, j] = state.resting[side, j - 1]
        j -= 1
    state.resting[side, j] = o
    state.count[side] += 1
    span(side, room)


@part
def leave(o: Int, room: Room) -> None:
    """Take an order of ours off the list of its side."""
    side, j = BID if room.orders[o].side > 0 else ASK, 0
    while room.state.resting[side, j] != o:
        j += 1
    _leave(side, j, room)


@part
def withdraw(o: Int, room: Room) -> Int:
    """Take an order of ours off the market, unless it has gone before; return the answer."""
    order = room.orders[o]
    if order.state != RESTING:
        return TOO_LATE
    order.state = CANCELLED
    room.state.cancelled += 1
    leave(o, room)
    return CANCELLED


@kernel
def expire(ts: Int, why: Int, room: Room) -> None:
    """Trading ends at `ts`: what was sent before and is still under way comes too late, a new order is rejected."""
    state = room.state
    while state.arrived < room.trader.state.sent and room.requests[state.arrived].ts_request < ts:
        request = room.requests[state.arrived]
        receive(request, room)
        if request.kind == NEW:
            room.orders[request.order].state, request.answer, request.refusal = REJECTED, REJECTED, why
        else:
            request.answer = withdraw(request.order, room)
        state.arrived += 1
