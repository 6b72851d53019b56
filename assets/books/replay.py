"""From records to completed events: which are published, what their ten levels are, what is left out.

One pass of a numba kernel over column arrays. The output columns are dense, yet an event changes few of their cells:
each of the sixty remembers the row since which its value stands, and is written in one stretch when
the value changes, so the work follows what changed and not the width of the table.
"""

from typing import Final, NamedTuple

import numpy as np

from assets.books import codes
from assets.books.codes import KEPT, Int
from assets.books.compiled import kernel
from assets.books.kernel import apply, best, changed, depth, size_ahead
from assets.books.schema import LEVELS
from assets.books.storage import TAKER, Book, find, is_full

CLOCK_TOLERANCE_NS: Final = 60_000_000_000
"""An exchange stamp this far after its capture is no clock's drift but damage."""

_UNKNOWN: Final = -1
_NEVER: Final = np.iinfo(np.int64).max

_FLAT, _LOCKED, _CROSSED = 0, 1, 2


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


class Output(NamedTuple):
    """What a pass fills: a row an event, and a code a record."""

    prices: np.ndarray
    """int64[2 * LEVELS, rows]; bids first, best first; 0 where the level is empty."""
    sizes: np.ndarray
    """uint32[2 * LEVELS, rows]."""
    counts: np.ndarray
    """uint32[2 * LEVELS, rows]; 0 where the level is empty."""
    ts_event: np.ndarray
    ts_recv: np.ndarray
    row: np.ndarray
    records: np.ndarray
    code: np.ndarray
    """uint8[records]: why a record is left out (codes.REASONS), KEPT where it is not."""


class Progress(NamedTuple):
    """Where a pass stands, so that it can stop for a larger book and go on."""

    now: np.ndarray
    """int64, the places below."""
    value: np.ndarray
    """int64[3, 2 * LEVELS]: price, size, count that stand in the output's columns now."""
    since: np.ndarray
    """int64[3, 2 * LEVELS]: the row from which they do."""
    places: np.ndarray
    """int64[fills, 3]: side, price and priority of the orders that were filled in the open event."""


(
    RECORD,
    ROWS,
    EVENT_START,
    EVENT_KEPT,
    EVENT_LAST,
    CLOCK,
    SEQUENCE,
    TRADED,
    STATE,
    STATE_SINCE,
    CROSSED_NS,
    LOCKED_NS,
    OUT_OF_ORDER,
    GAPS,
    IN_GAP,
    DOUBTED,
    PENDING,
    FILLS,
    FRONT,
    OPEN,
    CLOSE,
) = range(21)
"""Places of Progress.now: the next record; rows written; first record, kept records and
last kept record of the open event; highest exchange time; highest sequence; whether there was a trade;
state of the book and since when; whether the records are marked as
after a gap, and the time of the last doubt of the book; how many `places` are taken; the sums that go into `book_quality`; and the
hours of continuous trading, open inclusive, close exclusive."""


def start(fills: int, open_ns: int | None, close_ns: int | None) -> Progress:
    """A pass that has not begun, over records with this many fills; without `open_ns` the auction lasts until the first trade."""
    now = np.zeros(CLOSE + 1, np.int64)
    now[OPEN] = _UNKNOWN if open_ns is None else open_ns
    now[CLOSE] = _NEVER if close_ns is None else close_ns
    now[EVENT_LAST] = -1
    now[SEQUENCE] = -1
    return Progress(now, np.zeros((3, 2 * LEVELS), np.int64), np.zeros((3, 2 * LEVELS), np.int64), np.empty((fills, 3), np.int64))


def output(rows: int, records: int) -> Output:
    """Room for this many events and records."""
    return Output(
        np.empty((2 * LEVELS, rows), np.int64),
        np.empty((2 * LEVELS, rows), np.uint32),
        np.empty((2 * LEVELS, rows), np.uint32),
        np.empty(rows, np.int64),
        np.empty(rows, np.int64),
        np.empty(rows, np.uint32),
        np.empty(rows, np.uint32),
        np.zeros(records, np.uint8),
    )


@kernel
def replay(book: Book, records: Records, out: Output, progress: Progress) -> Int:
    """Apply records until they end or the book is full; returns how many are done in all."""
    now = progress.now
    for i in range(now[RECORD], records.action.size):
        if is_full(book):
            break
        flags = records.flags[i]
        if now[EVENT_KEPT] > 0 and not flags & codes.F_SNAPSHOT and records.flags[now[EVENT_LAST]] & codes.F_SNAPSHOT:
            _complete(book, records, out, progress, i)  # a snapshot that did not mark its end
        code = _stamps(records, now, i)
        if code == KEPT:
            code = apply(book, records.action[i], records.side[i], records.price[i], records.size[i], records.order_id[i], flags)
        if code == KEPT and records.action[i] == codes.TRADE:
            now[TRADED] = 1
        elif code == KEPT and records.action[i] == codes.FILL:
            _fill(book, records, progress, i)
        out.code[i] = code
        _doubt(book, records, now, i, code)
        if code == KEPT or code >= codes.FIRST_APPLIED:
            now[CLOCK] = max(now[CLOCK], records.ts_event[i])
        if code == KEPT:
            now[EVENT_KEPT] += 1
            now[EVENT_LAST] = i
        if flags & codes.F_LAST and code != codes.OUT_OF_SEQUENCE:
            _complete(book, records, out, progress, i + 1)
        now[RECORD] = i + 1
    return now[RECORD]


@kernel
def finish(book: Book, records: Records, out: Output, progress: Progress) -> None:
    """After the last record: a snapshot is complete, what else no F_LAST closed is not; standing values are written out."""
    now = progress.now
    if now[EVENT_KEPT] > 0 and records.flags[now[EVENT_LAST]] & codes.F_SNAPSHOT:
        _complete(book, records, out, progress, records.action.size)
    elif now[EVENT_KEPT] > 0:
        _refuse(out, now, records.action.size, codes.UNFINISHED)
    for kind in range(3):
        for column in range(2 * LEVELS):
            _write(out, progress, kind, column)


@kernel
def _stamps(records: Records, now: np.ndarray, i: Int) -> Int:
    """Whether a record's times and sequence can be, and if so remember them."""
    event, received, sequence, flags = records.ts_event[i], records.ts_recv[i], np.int64(records.sequence[i]), records.flags[i]
    if event < 0 or received < 0 or (not flags & codes.F_BAD_TS_RECV and event - received > CLOCK_TOLERANCE_NS):
        return codes.BAD_TIMESTAMP
    if flags & codes.F_SNAPSHOT:  # its orders bear the times and sequences of their own past
        return KEPT
    if event < now[CLOCK]:
        now[OUT_OF_ORDER] += 1
        # Both clocks say that it is late; a sequence alone that falls was started anew by the venue.
        if sequence < now[SEQUENCE]:
            return codes.OUT_OF_SEQUENCE
    now[SEQUENCE] = sequence
    return KEPT


@kernel
def _doubt(book: Book, records: Records, now: np.ndarray, i: Int, code: Int) -> None:
    """Note what speaks against the book: a gap, or an order within its top levels that it does not know."""
    gap = records.flags[i] & codes.F_MAYBE_BAD_BOOK != 0
    now[GAPS] += gap and not now[IN_GAP]
    now[IN_GAP] = gap
    unknown = code == codes.UNKNOWN_ORDER and records.action[i] != codes.FILL
    if gap or (unknown and _near(book, records.side[i], records.price[i])):
        now[DOUBTED] = max(now[DOUBTED], now[CLOCK] if code == codes.BAD_TIMESTAMP else max(now[CLOCK], records.ts_event[i]))


@kernel
def _near(book: Book, side: Int, price: Int) -> bool:
    if side == codes.SIDE_BID:
        return price >= depth(book, codes.BID, LEVELS - 1)[0] or book.state[codes.BID] < LEVELS
    return price <= depth(book, codes.ASK, LEVELS - 1)[0]


@kernel
def _in_auction(now: np.ndarray) -> bool:
    before = now[TRADED] == 0 if now[OPEN] == _UNKNOWN else now[CLOCK] < now[OPEN]
    return before or now[CLOCK] >= now[CLOSE]


@kernel
def _fill(book: Book, records: Records, progress: Progress, i: Int) -> None:
    """Remember the place of a resting order that is filled in continuous trading."""
    now, order_id = progress.now, records.order_id[i]
    order = find(book, order_id)
    if order < 0 or np.int64(order_id) == book.state[TAKER] or _in_auction(now):
        return
    at = book.levels[book.orders[order].level]
    if records.side[i] == (codes.SIDE_BID if at.side == codes.BID else codes.SIDE_ASK):
        place = progress.places[now[PENDING]]
        place[0], place[1], place[2] = at.side, at.price, book.orders[order].priority
        now[PENDING] += 1


@kernel
def _judge_fills(book: Book, progress: Progress) -> None:
    """After an event, no order may stand that was ahead of one that it filled.

    Judged only now, because the venue may list an event's fills in any order, and because an order
    ahead may leave unfilled with the event (self-match prevention cancels it).
    """
    now, places = progress.now, progress.places
    for k in range(now[PENDING]):
        now[FRONT] += size_ahead(book, places[k, 0], places[k, 1], places[k, 2]) == 0
    now[FILLS] += now[PENDING]
    now[PENDING] = 0


@kernel
def _complete(book: Book, records: Records, out: Output, progress: Progress, end: Int) -> None:
    """Close the event that ends before record `end`: publish its book, or refuse its records."""
    now = progress.now
    _judge_fills(book, progress)
    bid, ask = best(book, codes.BID), best(book, codes.ASK)
    state = _FLAT
    if bid != codes.UNDEF_PRICE and bid >= ask:  # an empty ask is above every bid
        state = _CROSSED if bid > ask else _LOCKED
    auction = _in_auction(now)
    stood = now[CLOCK] - now[STATE_SINCE]
    if now[STATE] == _CROSSED:
        now[CROSSED_NS] += stood
    elif now[STATE] == _LOCKED:
        now[LOCKED_NS] += stood
    now[STATE] = _FLAT if auction else state
    now[STATE_SINCE] = now[CLOCK]
    if now[EVENT_KEPT] > 0:
        if state == _FLAT:
            _publish(book, records, out, progress)
        else:
            _refuse(out, now, end, codes.AUCTION if auction else (codes.CROSSED if state == _CROSSED else codes.LOCKED))
    now[EVENT_START] = end
    now[EVENT_KEPT] = 0


@kernel
def _refuse(out: Output, now: np.ndarray, end: Int, code: Int) -> None:
    for i in range(now[EVENT_START], end):
        if out.code[i] == KEPT:
            out.code[i] = code


@kernel
def _publish(book: Book, records: Records, out: Output, progress: Progress) -> None:
    """Add a row for the event, and end the stretches of the cells that it changed."""
    now, value = progress.now, progress.value
    row = now[ROWS]
    out.ts_event[row] = now[CLOCK]
    out.ts_recv[row] = records.ts_recv[now[EVENT_LAST]]
    out.row[row] = now[EVENT_LAST]
    out.records[row] = now[EVENT_KEPT]
    for side in range(2):
        first, last = changed(book, side)
        for rank in range(first, last + 1):
            column = side * LEVELS + rank
            price, size, count = depth(book, side, rank)
            if count == 0:
                price = 0
            if value[0, column] != price:
                _write(out, progress, 0, column)
                value[0, column] = price
            if value[1, column] != size:
                _write(out, progress, 1, column)
                value[1, column] = size
            if value[2, column] != count:
                _write(out, progress, 2, column)
                value[2, column] = count
    now[ROWS] = row + 1


@kernel
def _write(out: Output, progress: Progress, kind: Int, column: Int) -> None:
    """Write the value that stands in a column, from the row since which it does up to the rows written."""
    begin, end = progress.since[kind, column], progress.now[ROWS]
    value = progress.value[kind, column]
    if kind == 0:
        out.prices[column, begin:end] = value
    elif kind == 1:
        out.sizes[column, begin:end] = value
    else:
        out.counts[column, begin:end] = value
    progress.since[kind, column] = end
