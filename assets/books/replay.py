"""The pass over market-by-order records: every record to the book, every completed event to a row of ten levels.

One pass of a numba kernel over column arrays. The output has sixty columns of levels, yet an event changes about
three of their cells. So the pass only logs what changed, a log a column, and `expand` writes
the columns from the logs, each in one go: the work follows what changed, and memory is written in order.
"""

from typing import Final, NamedTuple

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
    WRITTEN,
    Events,
    arrive,
    following,
    in_auction,
    judge,
    leave,
    note,
    publish,
    refuse,
    stamps,
)
from assets.books.kernel import anew, apply, best, changed, depth, size_ahead
from assets.books.schema import LEVELS
from assets.books.storage import TAKER, WHOLE, Book, find, is_full


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
    anew: np.ndarray
    """bool: the first record of another instrument than the one before it."""


class Changes(NamedTuple):
    """The logs: cell c of an event is kind * 2 * LEVELS + side * LEVELS + level; kinds are price, size and count."""

    row: np.ndarray
    """uint32[60, n]: the event's row."""
    value: np.ndarray
    """int64[60, n]: what the cell is from that row on; a price is 0 where the level is empty."""
    entries: np.ndarray
    """int64[60]: how many each log has."""
    latest: np.ndarray
    """int64[60]: what each cell is now."""
    written: np.ndarray
    """int64[60]: what each cell was in the last row that `expand` wrote."""


class Levels(NamedTuple):
    """The ten levels of each published event, a row a level: bids first, best first."""

    prices: np.ndarray
    """int64[2 * LEVELS, rows]; 0 where the level is empty."""
    sizes: np.ndarray
    """uint32[2 * LEVELS, rows]."""
    counts: np.ndarray
    """uint32[2 * LEVELS, rows]; 0 where the level is empty."""


_CELLS: Final = 6 * LEVELS
_SPARE: Final = 3
"""Events that a pass may still close once the logs are called full: two with its last record, and one at the end."""


def new_changes(length: int) -> Changes:
    """Empty logs for the changes of this many events: 4096 make 3 MB, near what a core's second cache holds."""
    return Changes(
        np.empty((_CELLS, length + _SPARE), np.uint32),
        np.empty((_CELLS, length + _SPARE), np.int64),
        np.zeros(_CELLS, np.int64),
        np.zeros(_CELLS, np.int64),
        np.zeros(_CELLS, np.int64),
    )


def new_levels(rows: int) -> Levels:
    """Room for this many published events."""
    shape = (2 * LEVELS, rows)
    return Levels(np.empty(shape, np.int64), np.empty(shape, np.uint32), np.empty(shape, np.uint32))


@kernel
def replay(book: Book, records: Records, events: Events, changes: Changes, places: np.ndarray, now: np.ndarray) -> Int:
    """Apply records until they end or the book or the logs are full; returns how many are done in all.

    `places` is int64[fills, 3]: room for the side, price and priority of the orders that an event fills.
    """
    for i in range(now[RECORD], records.action.size):
        if is_full(book) or now[ROWS] - now[WRITTEN] >= changes.row.shape[1] - _SPARE:
            break
        flags = records.flags[i]
        over = records.anew[i] or not flags & codes.F_SNAPSHOT
        if over and now[EVENT_KEPT] > 0 and records.flags[now[EVENT_LAST]] & codes.F_SNAPSHOT:
            _complete(book, records, events, changes, places, now, i)  # a snapshot that did not mark its end
        if records.anew[i]:
            leave(events, now, i)
            anew(book)
        code = stamps(records, now, i)
        older = not book.state[WHOLE] and records.action[i] == codes.MODIFY and find(book, records.order_id[i]) < 0
        if code == KEPT:
            code = apply(book, records.action[i], records.side[i], records.price[i], records.size[i], records.order_id[i], flags)
        if code == KEPT and records.action[i] == codes.FILL:
            _remember_fill(book, records, places, now, i)
        unknown = older or (code == codes.UNKNOWN_ORDER and records.action[i] != codes.FILL)
        note(records, events, now, i, code, unknown and _is_near(book, records.side[i], records.price[i]))
        if records.anew[i]:
            arrive(now)
        if flags & codes.F_LAST and code != codes.OUT_OF_SEQUENCE:
            _complete(book, records, events, changes, places, now, i + 1)
        now[RECORD] = i + 1
    return now[RECORD]


@kernel
def finish(book: Book, records: Records, events: Events, changes: Changes, places: np.ndarray, now: np.ndarray) -> None:
    """After the last record: a snapshot is complete, what else no F_LAST closed is not."""
    if now[EVENT_KEPT] > 0 and records.flags[now[EVENT_LAST]] & codes.F_SNAPSHOT:
        _complete(book, records, events, changes, places, now, records.action.size)
    else:
        refuse(events, now, records.action.size, codes.UNFINISHED)


@kernel
def expand(changes: Changes, levels: Levels, now: np.ndarray) -> None:
    """Write the columns of levels up to the rows published so far, and empty the logs."""
    end = now[ROWS]
    for cell in range(_CELLS):
        row, value = now[WRITTEN], changes.written[cell]
        for k in range(changes.entries[cell]):
            _fill(levels, cell, row, np.int64(changes.row[cell, k]), value)
            row, value = np.int64(changes.row[cell, k]), changes.value[cell, k]
        _fill(levels, cell, row, end, value)
        changes.written[cell] = value
        changes.entries[cell] = 0
    now[WRITTEN] = end


@kernel
def _fill(levels: Levels, cell: Int, begin: Int, end: Int, value: Int) -> None:
    kind, column = cell // (2 * LEVELS), cell % (2 * LEVELS)
    if kind == 0:
        levels.prices[column, begin:end] = value
    elif kind == 1:
        levels.sizes[column, begin:end] = value
    else:
        levels.counts[column, begin:end] = value


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
def _complete(book: Book, records: Records, events: Events, changes: Changes, places: np.ndarray, now: np.ndarray, end: Int) -> None:
    """Close the event that ends before record `end`: publish its book, or refuse its records."""
    _judge_fills(book, places, now)
    if judge(events, now, end, best(book, codes.BID), best(book, codes.ASK)):
        _log_levels(book, changes, now)
        publish(records, events, now)
    following(now, end)


@kernel
def _log_levels(book: Book, changes: Changes, now: np.ndarray) -> None:
    """Log the cells that differ from the last row's."""
    row = now[ROWS]
    for side in range(2):
        first, last = changed(book, side)
        for rank in range(first, last + 1):
            price, size, count = depth(book, side, rank)
            column = side * LEVELS + rank
            _log(changes, row, column, price if count else 0)
            _log(changes, row, 2 * LEVELS + column, size)
            _log(changes, row, 4 * LEVELS + column, count)


@kernel
def _log(changes: Changes, row: Int, cell: Int, value: Int) -> None:
    if changes.latest[cell] != value:
        entry = changes.entries[cell]
        changes.row[cell, entry] = row
        changes.value[cell, entry] = value
        changes.entries[cell] = entry + 1
        changes.latest[cell] = value
