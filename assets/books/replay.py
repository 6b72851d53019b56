"""The pass over market-by-order records: every record to the book, every completed event to a row of ten levels.

One pass of a numba kernel over column arrays. The output columns are dense, yet an event changes few of their cells:
each of the sixty remembers the row since which its value stands, and is written in one stretch when
the value changes, so the work follows what changed and not the width of the table.
"""

from typing import NamedTuple

import numpy as np

from assets.books import codes
from assets.books.codes import KEPT, Int
from assets.books.compiled import kernel
from assets.books.events import (
    EVENT_KEPT,
    EVENT_LAST,
    FILLS,
    FRONT,
    PENDING,
    RECORD,
    ROWS,
    Events,
    following,
    in_auction,
    judge,
    note,
    publish,
    refuse,
    stamps,
)
from assets.books.kernel import apply, best, changed, depth, size_ahead
from assets.books.schema import LEVELS
from assets.books.storage import TAKER, Book, find, is_full


class Records(NamedTuple):
    """Columns of `raw_ticks`, one element a record."""

    ts_event: np.ndarray
    ts_recv: np.ndarray
    action: np.ndarray
    side: np.ndarray
    price: np.ndarray
    size: np.ndarray
    order_id: np.ndarray
    flags: np.ndarray
    sequence: np.ndarray


class Levels(NamedTuple):
    """The ten levels of each published event; a column a level, bids first, best first."""

    prices: np.ndarray
    """int64[2 * LEVELS, rows]; 0 where the level is empty."""
    sizes: np.ndarray
    """uint32[2 * LEVELS, rows]."""
    counts: np.ndarray
    """uint32[2 * LEVELS, rows]; 0 where the level is empty."""
    value: np.ndarray
    """int64[3, 2 * LEVELS]: price, size, count that stand in a column now."""
    since: np.ndarray
    """int64[3, 2 * LEVELS]: the row from which they do."""


def new_levels(rows: int) -> Levels:
    """Room for this many published events."""
    return Levels(
        np.empty((2 * LEVELS, rows), np.int64),
        np.empty((2 * LEVELS, rows), np.uint32),
        np.empty((2 * LEVELS, rows), np.uint32),
        np.zeros((3, 2 * LEVELS), np.int64),
        np.zeros((3, 2 * LEVELS), np.int64),
    )


@kernel
def replay(book: Book, records: Records, events: Events, levels: Levels, places: np.ndarray, now: np.ndarray) -> Int:
    """Apply records until they end or the book is full; returns how many are done in all.

    `places` is int64[fills, 3]: room for the side, price and priority of the orders that an event fills.
    """
    for i in range(now[RECORD], records.action.size):
        if is_full(book):
            break
        flags = records.flags[i]
        if now[EVENT_KEPT] > 0 and not flags & codes.F_SNAPSHOT and records.flags[now[EVENT_LAST]] & codes.F_SNAPSHOT:
            _complete(book, records, events, levels, places, now, i)  # a snapshot that did not mark its end
        code = stamps(records, now, i)
        if code == KEPT:
            code = apply(book, records.action[i], records.side[i], records.price[i], records.size[i], records.order_id[i], flags)
        if code == KEPT and records.action[i] == codes.FILL:
            _remember_fill(book, records, places, now, i)
        unknown = code == codes.UNKNOWN_ORDER and records.action[i] != codes.FILL
        note(records, events, now, i, code, unknown and _is_near(book, records.side[i], records.price[i]))
        if flags & codes.F_LAST and code != codes.OUT_OF_SEQUENCE:
            _complete(book, records, events, levels, places, now, i + 1)
        now[RECORD] = i + 1
    return now[RECORD]


@kernel
def finish(book: Book, records: Records, events: Events, levels: Levels, places: np.ndarray, now: np.ndarray) -> None:
    """After the last record: a snapshot is complete, what else no F_LAST closed is not; standing values are written out."""
    if now[EVENT_KEPT] > 0 and records.flags[now[EVENT_LAST]] & codes.F_SNAPSHOT:
        _complete(book, records, events, levels, places, now, records.action.size)
    else:
        refuse(events, now, records.action.size, codes.UNFINISHED)
    for kind in range(3):
        for column in range(2 * LEVELS):
            _write(levels, kind, column, now[ROWS])


@kernel
def _is_near(book: Book, side: Int, price: Int) -> bool:
    """Whether a price is at or within the last of a side's published levels."""
    if side == codes.SIDE_BID:
        return price >= depth(book, codes.BID, LEVELS - 1)[0] or book.state[codes.BID] < LEVELS
    return price <= depth(book, codes.ASK, LEVELS - 1)[0]


@kernel
def _remember_fill(book: Book, records: Records, places: np.ndarray, now: np.ndarray, i: Int) -> None:
    """Remember the place of a resting order that is filled in continuous trading."""
    order_id = records.order_id[i]
    order = find(book, order_id)
    if order < 0 or np.int64(order_id) == book.state[TAKER] or in_auction(now):
        return
    at = book.levels[book.orders[order].level]
    if records.side[i] == (codes.SIDE_BID if at.side == codes.BID else codes.SIDE_ASK):
        place = places[now[PENDING]]
        place[0], place[1], place[2] = at.side, at.price, book.orders[order].priority
        now[PENDING] += 1


@kernel
def _judge_fills(book: Book, places: np.ndarray, now: np.ndarray) -> None:
    """After an event, no order may stand that was ahead of one that it filled.

    Judged only now, because the venue may list an event's fills in any order, and because an order
    ahead may leave unfilled with the event (self-match prevention cancels it).
    """
    for k in range(now[PENDING]):
        now[FRONT] += size_ahead(book, places[k, 0], places[k, 1], places[k, 2]) == 0
    now[FILLS] += now[PENDING]
    now[PENDING] = 0


@kernel
def _complete(book: Book, records: Records, events: Events, levels: Levels, places: np.ndarray, now: np.ndarray, end: Int) -> None:
    """Close the event that ends before record `end`: publish its book, or refuse its records."""
    _judge_fills(book, places, now)
    if judge(events, now, end, best(book, codes.BID), best(book, codes.ASK)):
        _publish_levels(book, levels, now[ROWS])
        publish(records, events, now)
    following(now, end)


@kernel
def _publish_levels(book: Book, levels: Levels, row: Int) -> None:
    """End the stretches of the cells that have changed since the last row."""
    value = levels.value
    for side in range(2):
        first, last = changed(book, side)
        for rank in range(first, last + 1):
            column = side * LEVELS + rank
            price, size, count = depth(book, side, rank)
            if count == 0:
                price = 0
            if value[0, column] != price:
                _write(levels, 0, column, row)
                value[0, column] = price
            if value[1, column] != size:
                _write(levels, 1, column, row)
                value[1, column] = size
            if value[2, column] != count:
                _write(levels, 2, column, row)
                value[2, column] = count


@kernel
def _write(levels: Levels, kind: Int, column: Int, row: Int) -> None:
    """Write the value that stands in a column, from the row since which it does to the one before `row`."""
    begin, value = levels.since[kind, column], levels.value[kind, column]
    if kind == 0:
        levels.prices[column, begin:row] = value
    elif kind == 1:
        levels.sizes[column, begin:row] = value
    else:
        levels.counts[column, begin:row] = value
    levels.since[kind, column] = row
