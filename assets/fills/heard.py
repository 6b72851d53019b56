"""What comes back to us over the wire: the one door between what the exchange has done and what we know of it.

A fill or an answer is heard when it has come back, and nothing before.
"""

import numpy as np

from assets.books.codes import ASK, BID, Int
from assets.fills.places import span
from assets.fills.settled import minds_queues
from assets.fills.wire import ALARM, CANCELLED, NEVER, REJECTED, RESTING, Room, kernel, part


@part
def next_news(room: Room) -> Int:
    """When the next fill or answer that has not been heard comes back."""
    state, ours = room.state, room.trader.state
    news = room.fills[ours.fills_heard].ts_known if ours.fills_heard < state.fills else NEVER
    if ours.turns_heard < state.turn:
        news = min(news, state.turn_known)
    return min(news, room.requests[ours.heard].ts_response) if ours.heard < state.arrived else news


@part
def nothing_out(room: Room) -> bool:
    """Whether nothing of ours is open, under way or unheard."""
    ours = room.trader.state
    return ours.lives == 0 and ours.heard == ours.sent and ours.fills_heard == room.state.fills


@kernel
def listen(now: Int, room: Room) -> None:
    """Hear the fills and answers that have come back by now; fills first, as an order's fills precede its end."""
    state, ours, orders, gone = room.state, room.trader.state, room.trader.orders, False
    while ours.fills_heard < state.fills and room.fills[ours.fills_heard].ts_known <= now:
        fill = room.fills[ours.fills_heard]
        orders[fill.order].known -= fill.quantity
        gone |= orders[fill.order].known == 0
        ours.known_position += fill.side * fill.quantity
        ours.known_cash = fill.cash
        ours.known_contracts += fill.quantity
        ours.fills_heard += 1
        ours.settled[:] = 0
    while ours.heard < state.arrived and room.requests[ours.heard].ts_response <= now:
        request = room.requests[ours.heard]
        side, own = (BID if request.side > 0 else ASK), orders[request.order]
        if request.answer in (REJECTED, CANCELLED):
            own.known, gone = 0, True
            ours.settled[side] = 0
        elif request.answer == RESTING:
            own.heard = 1
            if minds_queues(room.policy):
                ours.settled[side] = 0
        ours.heard += 1
    if ours.turns_heard < state.turn and state.turn_known <= now:
        for j in range(ours.lives):
            o = ours.live[j]
            if o < state.turn_orders and room.orders[o].state == CANCELLED:
                orders[o].known, gone = 0, True  # the exchange has cancelled what rested
        ours.settled[:] = 0
        ours.turns_heard = state.turn
    if gone:
        _forget(room)


@part
def _forget(room: Room) -> None:
    """Strike the orders of which nothing is left off our list."""
    ours, orders, kept = room.trader.state, room.trader.orders, 0
    for j in range(ours.lives):
        own = orders[ours.live[j]]
        if own.known > 0:
            ours.live[kept] = ours.live[j]
            kept += 1
        elif own.shown:
            room.ladder[BID if own.side > 0 else ASK, own.px, ALARM] = 0
    ours.lives = kept
    for side in range(2):
        span(np.int64(side), room)
