"""What is decided the same way for every schema: times, auctions, which events are published.

numba kernels, as `replay.py` (market by order) and `quotes.py` (schemas that bring their levels) use them.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from assets.books import codes
from assets.books.codes import KEPT, Int
from assets.books.compiled import kernel

CLOCK_TOLERANCE_NS: Final = 60_000_000_000
"""An exchange stamp this far after its capture is no clock's drift but damage."""

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
    WRITTEN,
    ROLLS,
    ROLLED,
    OPEN,
    CLOSE,
) = range(24)
"""Places of a pass's int64 `now`: the next record; rows written; first record, kept records and last kept
record of the open event; highest exchange time; last sequence; whether there was a trade; state of the book
and since when; nanoseconds crossed and locked; records out of order; gaps, whether one is open, and when the
book was last doubted; fills of the open event to be judged; fills, and those that passed over no order; the rows
written out of the logs of levels; changes of instrument and the time of the last one; hours of continuous
trading, open inclusive, close exclusive.
After these come the halts: the beginning and the end of each, in turn."""

_UNKNOWN: Final = -1
NEVER: Final = np.iinfo(np.int64).max

_SOUND, _LOCKED, _CROSSED = 0, 1, 2


class Events(NamedTuple):
    """What every pass fills: a row for each published event, and a code for each record."""

    ts_event: np.ndarray
    ts_recv: np.ndarray
    row: np.ndarray
    records: np.ndarray
    code: np.ndarray
    """uint8: why a record is left out (codes.REASONS), KEPT where it is not."""


def new_events(rows: int, records: int) -> Events:
    """Room for this many published events, and for all records."""
    times, counts = np.empty((2, rows), np.int64), np.empty((2, rows), np.uint32)
    return Events(times[0], times[1], counts[0], counts[1], np.zeros(records, np.uint8))


def beginning(open_ns: int | None, close_ns: int | None, halts: Sequence[tuple[int, int]] = ()) -> np.ndarray:
    """`now` of a pass that has not begun; without `open_ns` the auction lasts until the first trade."""
    now = np.zeros(CLOSE + 1 + 2 * len(halts), np.int64)
    now[CLOSE + 1 :] = [moment for halt in halts for moment in halt]
    now[OPEN] = _UNKNOWN if open_ns is None else open_ns
    now[CLOSE] = NEVER if close_ns is None else close_ns
    now[EVENT_LAST] = -1
    now[SEQUENCE] = -1
    return now


@kernel
def stamps(records: Any, now: np.ndarray, i: Int) -> Int:
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
def note(records: Any, events: Events, now: np.ndarray, i: Int, code: Int, contradicts: bool) -> None:
    """Enter a record's code; `contradicts` is whether it speaks against the book, as a gap always does."""
    gap = records.flags[i] & codes.F_MAYBE_BAD_BOOK != 0
    now[GAPS] += gap and not now[IN_GAP]
    now[IN_GAP] = gap
    if gap or contradicts:
        now[DOUBTED] = max(now[DOUBTED], now[CLOCK] if code == codes.BAD_TIMESTAMP else max(now[CLOCK], records.ts_event[i]))
    events.code[i] = code
    if code == KEPT or code >= codes.FIRST_APPLIED:
        now[CLOCK] = max(now[CLOCK], records.ts_event[i])
    if code == KEPT:
        now[TRADED] |= records.action[i] == codes.TRADE
        now[EVENT_KEPT] += 1
        now[EVENT_LAST] = i


@kernel
def leave(events: Events, now: np.ndarray, i: Int) -> None:
    """Before record `i`, the first of another instrument: the old one's open event has no end, its sequence is no measure of the new."""
    refuse(events, now, i, codes.UNFINISHED)
    following(now, i)
    now[PENDING] = 0
    now[SEQUENCE] = -1
    now[STATE] = _SOUND


@kernel
def arrive(now: np.ndarray) -> None:
    """After the first record of another instrument: the market has rolled, and nothing from before speaks for the new book."""
    now[ROLLS] += 1
    now[ROLLED] = now[CLOCK]
    now[DOUBTED] = now[CLOCK]


@kernel
def in_auction(now: np.ndarray) -> bool:
    """Whether the latest event lies outside continuous trading, where books may cross."""
    for k in range(CLOSE + 1, now.size, 2):
        if now[k] <= now[CLOCK] < now[k + 1]:
            return True
    before = now[TRADED] == 0 if now[OPEN] == _UNKNOWN else now[CLOCK] < now[OPEN]
    return before or now[CLOCK] >= now[CLOSE]


@kernel
def judge(events: Events, now: np.ndarray, end: Int, bid: Int, ask: Int) -> bool:
    """Whether the open event, which ends before record `end` with these best prices, is published; else refuse its records.

    An empty side is UNDEF_PRICE.
    """
    state = _SOUND
    if bid != codes.UNDEF_PRICE and bid >= ask:  # an empty ask is above every bid
        state = _CROSSED if bid > ask else _LOCKED
    stood = now[CLOCK] - now[STATE_SINCE]
    if now[STATE] == _CROSSED:
        now[CROSSED_NS] += stood
    elif now[STATE] == _LOCKED:
        now[LOCKED_NS] += stood
    auction = in_auction(now)
    now[STATE] = _SOUND if auction else state
    now[STATE_SINCE] = now[CLOCK]
    if state != _SOUND:
        refuse(events, now, end, codes.AUCTION if auction else (codes.CROSSED if state == _CROSSED else codes.LOCKED))
    return state == _SOUND and now[EVENT_KEPT] > 0


@kernel
def publish(records: Any, events: Events, now: np.ndarray) -> None:
    """Add the row of the open event."""
    row = now[ROWS]
    events.ts_event[row] = now[CLOCK]
    events.ts_recv[row] = records.ts_recv[now[EVENT_LAST]]
    events.row[row] = now[EVENT_LAST]
    events.records[row] = now[EVENT_KEPT]
    now[ROWS] = row + 1


@kernel
def following(now: np.ndarray, start: Int) -> None:
    """Begin the next event at record `start`."""
    now[EVENT_START] = start
    now[EVENT_KEPT] = 0


@kernel
def refuse(events: Events, now: np.ndarray, end: Int, code: Int) -> None:
    """Give every kept record of the open event, which ends before `end`, the same reason."""
    for i in range(now[EVENT_START], end):
        if events.code[i] == KEPT:
            events.code[i] = code
