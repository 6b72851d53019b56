"""The matching engine: price-time priority, one instrument, every change of the book told as MBO records.

What belongs here: order entry (`submit`, `cancel`, `modify`), the book they act on, and the records
that a market-by-order feed would carry. What does not: who sends the orders and why (flow.py). An
event is everything between two calls of `end_event`; its last record carries F_LAST, as CME's feed
normalised by Databento has it:

    resting      A                       price and size of the new order
    cancel       C                       the size that was left
    modify       M                       the new price and size; a smaller size keeps its place, all else goes to the back
    execution    T F F.. [T F..] C M A   a trade for each price, a fill for each resting order, then what became of the
                                         orders (gone: C with the size filled; partly filled: M with the size left), then
                                         the aggressor's rest, if it has one and may rest

A level is a price in ticks counted from the book's own base, so that prices index arrays. An order
is a slot; slots are never reused, so a slot plus the session's first id is its order id. An agent who
trades beside the flow writes its own number for the order in the `owner` of the slot to come
(`state[NEXT_SLOT]`) before it submits; the matching knows no owners.
"""

from typing import Final, NamedTuple

import numpy as np
from numba import njit

kernel = njit(cache=True, _nrt=False, no_cfunc_wrapper=True)
"""How the exchange is compiled: nothing in it allocates, so it runs without numba's reference counts, which a tuple of
arrays would pay at every call."""

BUY: Final = 0
SELL: Final = 1

MBO: Final = np.dtype(
    [
        ("length", "u1"),
        ("rtype", "u1"),
        ("publisher_id", "<u2"),
        ("instrument_id", "<u4"),
        ("ts_event", "<u8"),
        ("order_id", "<u8"),
        ("price", "<i8"),
        ("size", "<u4"),
        ("flags", "u1"),
        ("channel_id", "u1"),
        ("action", "u1"),
        ("side", "u1"),
        ("ts_recv", "<u8"),
        ("ts_in_delta", "<i4"),
        ("sequence", "<u4"),
    ]
)
"""Databento's MboMsg, 56 bytes, the same in DBN v1, v2 and v3."""

F_LAST: Final = 128
F_SNAPSHOT: Final = 32
F_BAD_TS_RECV: Final = 8

_A, _C, _M, _T, _F = ord("A"), ord("C"), ord("M"), ord("T"), ord("F")
_SIDE = np.frombuffer(b"BA", dtype=np.uint8)

BEST_BID: Final = 0
BEST_ASK: Final = 1
NEXT_SLOT: Final = 2
LIVE: Final = 3
ROWS: Final = 4
SEQUENCE: Final = 5
NOW: Final = 6
"""Places in `Exchange.state`: best levels (-1 and the number of levels when a side is empty), the next order, live
orders, records written, the last sequence number, the time of the current event."""

_NONE: Final = -1

NOBODY: Final = -1
"""Owner of the flow's orders."""

ROW_MARGIN: Final = 4096
"""Rows kept free on the tape for the event under way: a driver stops, and its caller asks for a longer tape, before an
event could run past the end. More than the orders that one sweep can meet."""


class Exchange(NamedTuple):
    """One instrument's book and the tape of its records; arrays only, so that kernels take it whole.

    One width of integer throughout, or numba compiles every function once for each mixture of widths.
    """

    state: np.ndarray  # i64[7]
    head: np.ndarray  # i64[levels], first order in the queue
    tail: np.ndarray  # i64[levels]
    volume: np.ndarray  # i64[levels], contracts
    orders: np.ndarray  # i64[levels]
    after: np.ndarray  # i64[slots], next in the queue
    before: np.ndarray  # i64[slots]
    level: np.ndarray  # i64[slots]
    size: np.ndarray  # i64[slots], contracts left; 0 once gone
    side: np.ndarray  # i64[slots]
    live: np.ndarray  # i64[slots], the live orders in no order, for drawing one at random
    place: np.ndarray  # i64[slots], where in `live`
    owner: np.ndarray  # i64[slots], the agent's number for its order; NOBODY for the flow's
    agent: np.ndarray  # i64[levels], orders of the agent
    tape: np.ndarray  # MBO[rows]; price holds the level, order_id the slot, ts_event the driver's clock


def new_exchange(levels: int, rows: int) -> Exchange:
    """An empty book of `levels` prices with room for `rows` records."""
    state = np.zeros(7, np.int64)
    state[BEST_BID], state[BEST_ASK] = -1, levels
    none = np.full(levels, _NONE, np.int64)
    zero = np.zeros(rows, np.int64)
    return Exchange(
        state,
        head=none,
        tail=none.copy(),
        volume=np.zeros(levels, np.int64),
        orders=np.zeros(levels, np.int64),
        after=zero,
        before=zero.copy(),
        level=zero.copy(),
        size=zero.copy(),
        side=zero.copy(),
        live=zero.copy(),
        place=zero.copy(),
        owner=np.full(rows, NOBODY, np.int64),
        agent=np.zeros(levels, np.int64),
        tape=np.zeros(rows, MBO),
    )


@kernel
def submit(x: Exchange, side: int, level: int, size: int, rests: bool) -> int:
    """Enter an order limited at `level`; what cannot trade rests (or is dropped: fill and kill). Returns the contracts traded."""
    slot = x.state[NEXT_SLOT]
    x.state[NEXT_SLOT] += 1
    x.state[SEQUENCE] += 1
    traded = _execute(x, slot, side, level, size)
    if rests and traded < size:
        _rest(x, slot, side, level, size - traded)
        _tell(x, _A, side, level, size - traded, slot)
    return traded


@kernel
def cancel(x: Exchange, slot: int) -> None:
    """Take a live order out of the book."""
    x.state[SEQUENCE] += 1
    _tell(x, _C, x.side[slot], x.level[slot], x.size[slot], slot)
    _remove(x, slot)


@kernel
def modify(x: Exchange, slot: int, level: int, size: int) -> bool:
    """Change a live order. Refused (False) where the new price would trade: a crossing order has to be entered anew."""
    side = x.side[slot]
    if (side == BUY and level >= x.state[BEST_ASK]) or (side == SELL and level <= x.state[BEST_BID]):
        return False
    x.state[SEQUENCE] += 1
    if level == x.level[slot] and size <= x.size[slot]:
        x.volume[level] -= x.size[slot] - size
        x.size[slot] = size
    else:
        _remove(x, slot)
        _rest(x, slot, side, level, size)
    _tell(x, _M, side, level, size, slot)
    return True


@kernel
def end_event(x: Exchange) -> None:
    """Close the event: F_LAST on its last record."""
    if x.state[ROWS] > 0:
        x.tape[x.state[ROWS] - 1].flags |= F_LAST


@kernel
def _execute(x: Exchange, taker: int, side: int, limit: int, size: int) -> int:
    step, best = (1, x.state[BEST_ASK]) if side == BUY else (-1, x.state[BEST_BID])
    first, left, level = x.state[ROWS], size, best
    while left > 0 and 0 <= level < x.head.size and (limit - level) * step >= 0:
        if x.volume[level] > 0:
            _tell(x, _T, side, level, min(left, x.volume[level]), taker)
            slot = x.head[level]
            while left > 0 and slot != _NONE:
                filled = min(left, x.size[slot])
                _tell(x, _F, 1 - side, level, filled, slot)
                left -= filled
                slot = x.after[slot]
        level += step
    last = x.state[ROWS]
    if last > first:
        x.state[SEQUENCE] += 1
    for row in range(first, last):
        fill = x.tape[row]
        if fill.action != _F:
            continue
        slot, filled = np.int64(fill.order_id), np.int64(fill.size)
        if filled == x.size[slot]:
            _tell(x, _C, 1 - side, x.level[slot], filled, slot)
            _remove(x, slot)
        else:
            x.size[slot] -= filled
            x.volume[x.level[slot]] -= filled
            _tell(x, _M, 1 - side, x.level[slot], x.size[slot], slot)
    return size - left


@kernel
def _rest(x: Exchange, slot: int, side: int, level: int, size: int) -> None:
    x.side[slot], x.level[slot], x.size[slot] = side, level, size
    x.before[slot], x.after[slot] = x.tail[level], _NONE
    if x.tail[level] == _NONE:
        x.head[level] = slot
    else:
        x.after[x.tail[level]] = slot
    x.tail[level] = slot
    x.volume[level] += size
    x.orders[level] += 1
    x.agent[level] += x.owner[slot] != NOBODY
    x.live[x.state[LIVE]], x.place[slot] = slot, x.state[LIVE]
    x.state[LIVE] += 1
    if side == BUY:
        x.state[BEST_BID] = max(x.state[BEST_BID], level)
    else:
        x.state[BEST_ASK] = min(x.state[BEST_ASK], level)


@kernel
def _remove(x: Exchange, slot: int) -> None:
    level = x.level[slot]
    before, after = x.before[slot], x.after[slot]
    if before == _NONE:
        x.head[level] = after
    else:
        x.after[before] = after
    if after == _NONE:
        x.tail[level] = before
    else:
        x.before[after] = before
    x.volume[level] -= x.size[slot]
    x.orders[level] -= 1
    x.agent[level] -= x.owner[slot] != NOBODY
    x.size[slot] = 0
    x.state[LIVE] -= 1
    moved = x.live[x.state[LIVE]]
    x.live[x.place[slot]], x.place[moved] = moved, x.place[slot]
    if x.orders[level] == 0:
        while x.state[BEST_BID] >= 0 and x.orders[x.state[BEST_BID]] == 0:
            x.state[BEST_BID] -= 1
        while x.state[BEST_ASK] < x.head.size and x.orders[x.state[BEST_ASK]] == 0:
            x.state[BEST_ASK] += 1


@kernel
def _tell(x: Exchange, action: int, side: int, level: int, size: int, slot: int) -> None:
    record = x.tape[x.state[ROWS]]
    record.ts_event = x.state[NOW]
    record.order_id = slot
    record.price = level
    record.size = size
    record.action = action
    record.side = _SIDE[side]
    record.sequence = x.state[SEQUENCE]
    record.flags = 0
    x.state[ROWS] += 1
