"""Where our orders stand in their queues, as the market's rows alone tell it.

The exchange goes by the place of an order from its arrival until it has gone; we go by what the feed shows of it until we hear that it
has gone, which is later. What fills of ours take moves no place, so that both follow from the same rows, each in a record of its own.
"""

from typing import Any, Final

import numpy as np

from assets.books.codes import ASK, BID, Int
from assets.fills.queues import OPTIMIST, after_cancel
from assets.fills.rows import ADDED, CLEARED, LEAD_NS, LED, REMOVED, TRADED, UNKNOWN
from assets.fills.settled import minds_queues
from assets.fills.wire import ALARM, ALWAYS, STANDS, Room, Trader, part

_FAR: Final = 1 << 30
"""Higher than every price of a ladder."""


@part
def reach(side: Int, px: Int) -> Int:
    """The place of a price on a side, the better the greater, all above 0."""
    return px + 1 if side == BID else _FAR - px


@part
def move(row: Any, order: Any, stands: Int, rules: Any) -> None:
    """What a row of the tape at an order's own price does to its place; stands: contracts of others there after it."""
    size = np.int64(row.size)
    if row.kind == CLEARED:
        order.ahead, order.priority = 0, row.priority + 1
    elif row.kind == ADDED:
        if row.priority < order.priority:  # a snapshot restored it
            order.ahead += size
    elif row.kind == TRADED:
        if row.priority == LED and not missed(order, row.ts, rules):
            order.ahead = max(order.ahead + given_back(order, size, row.ts, rules) - size, 0.0)
            order.yielded = max(order.yielded - size, 0.0)
    elif row.priority != UNKNOWN:
        if row.priority < order.priority:
            order.ahead -= size
    elif row.kind == REMOVED:
        before = order.ahead
        order.ahead = after_cancel(rules.queue, rules.queue_exponent, before, stands + size - before, float(size))
        order.yielded = before - order.ahead + (order.yielded if row.ts - order.yielded_at <= LEAD_NS else 0.0)
        order.yielded_at = row.ts
    else:
        order.ahead = max(order.ahead - size, 0.0)


@part
def missed(order: Any, ts: Int, rules: Any) -> bool:
    """Whether a trade that its quote led, told at `ts`, may have been before an order: to the optimist it never was."""
    return rules.queue != OPTIMIST and ts - order.since <= LEAD_NS


@part
def given_back(order: Any, size: Int, ts: Int, rules: Any) -> float:
    """Contracts that stood ahead of an order when a trade of so many was made, and were taken for cancelled when its quote led it.

    The optimist gives none back: by his bound others may have been cancelled.
    """
    if rules.queue == OPTIMIST or ts - order.yielded_at > LEAD_NS:
        return 0.0
    return min(float(size), order.yielded)


@part
def join(order: Any, ahead: Int, priority: Int, ts: Int) -> None:
    """An order takes its place, behind all that stands at its price."""
    order.ahead, order.priority, order.since, order.yielded, order.yielded_at = ahead, priority, ts, 0.0, ts


@part
def show(o: Int, ahead: Int, priority: Int, ts: Int, room: Trader) -> None:
    """The market's feed shows an order of ours in its queue."""
    join(room.orders[o], ahead, priority, ts)
    room.orders[o].shown = 1


@part
def follow(row: Any, room: Trader) -> None:
    """What a row of the feed does to the places of our orders."""
    state, side, sign = room.state, np.int64(row.side), (1 if row.side == BID else -1)
    for j in range(state.lives):
        own = room.orders[state.live[j]]
        if own.shown and (row.kind == CLEARED or (own.side == sign and own.px == row.px)):
            move(row, own, room.ladder[side, row.px, STANDS], room.rules)


@part
def mind(side: Int, order: Any, room: Room) -> None:
    """Set the alarm of the price at which an order rests.

    Where what leaves has stood behind us, only fewer contracts than stand ahead of it matter to the exchange. The latest order of ours at
    a price has the most ahead of it, and is the last to be minded.
    """
    seldom = room.rules.from_behind and not minds_queues(room.policy)
    room.ladder[side, order.px, ALARM] = np.int64(order.ahead) if seldom else ALWAYS


@part
def span(side: Int, room: Room) -> None:
    """Note between which prices of a side rows can move a place, and set the alarms there."""
    state, sign = room.state, (1 if side == BID else -1)
    front, back = 0, _FAR
    for j in range(state.count[side]):
        order = room.orders[state.resting[side, j]]
        mind(side, order, room)
        front, back = max(front, reach(side, order.px)), reach(side, order.px)
    if minds_queues(room.policy):
        ours = room.trader.state
        for j in range(ours.lives):
            own = room.trader.orders[ours.live[j]]
            if own.shown and own.side == sign:
                room.ladder[side, own.px, ALARM] = ALWAYS
                front, back = max(front, reach(side, own.px)), min(back, reach(side, own.px))
    state.front[side], state.back[side] = front, back if front else 0


@part
def exposed(bid: Int, ask: Int, room: Room) -> bool:
    """Whether an order of ours may rest where an opposite one that joins the touch would meet it."""
    front = room.state.front
    return reach(ASK, bid) <= front[ASK] or reach(BID, ask) <= front[BID]
