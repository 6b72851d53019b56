"""The book at a session's begin: what the records before it leave standing, as the snapshot that a vendor would begin a file with.

A session's records are its own; the orders that stand when it begins came before, often hours into the session before it
(a vendor's own snapshots are of midnight UTC). They are followed here by the rules of the rebuild, and told once.
"""

import numpy as np

from assets.books import codes
from assets.books.codes import BID, KEPT, UNDEF_PRICE, Int
from assets.books.compiled import kernel
from assets.books.events import CLOCK, SEQUENCE, beginning, stamps
from assets.books.kernel import anew, apply
from assets.books.replay import Records
from assets.books.storage import PRIORITY, WHOLE, Book, find, grown, is_full, new_book


class Opening:
    """The orders that stand after the records taken so far; memory follows the book, not the records."""

    def __init__(self, capacity: int = 1 << 14) -> None:
        self._book, self._now = new_book(capacity), beginning(None, None)
        self._origin = np.zeros((capacity, 2), np.int64)
        self._last: np.ndarray | None = None

    def take(self, records: np.ndarray) -> None:
        """Records of the MBO layout, in the order of capture; another instrument or venue begins another book."""
        if not records.size:
            return
        whose = records["publisher_id"].astype(np.uint64) << np.uint64(32) | records["instrument_id"]
        turns = np.flatnonzero(whose[1:] != whose[:-1]) + 1
        if turns.size or (self._last is not None and any(records[0][name] != self._last[0][name] for name in _IDS)):
            records = records[turns[-1] if turns.size else 0 :]
            anew(self._book)
            self._now[SEQUENCE] = -1
        self._last = records[-1:].copy()
        columns = Records(*(self._column(records, name) for name in Records._fields))
        done = 0
        while (done := follow(self._book, columns, self._origin, self._now, done)) < records.size:
            if is_full(self._book):
                self._book = grown(self._book)
                self._origin = np.concatenate([self._origin, np.zeros_like(self._origin)])

    def snapshot(self, at_ns: int) -> np.ndarray:
        """The orders that stand, in the order of their priority, after a clear; each bears the time and sequence of its own past.

        Where neither a clear nor a snapshot has been seen, there may be others: its first record is then marked F_MAYBE_BAD_BOOK.
        """
        book = self._book
        standing = np.sort(book.table[book.table >= 0])
        standing = standing[np.argsort(book.orders["priority"][standing], kind="stable")]
        if self._last is None or not (standing.size or book.state[WHOLE]):
            return np.empty(0) if self._last is None else self._last[:0]
        orders, levels = book.orders[standing], book.levels[book.orders["level"][standing]]
        made = np.repeat(self._last, 1 + standing.size)
        made["ts_recv"], made["ts_in_delta"] = at_ns, 0
        made["flags"] = codes.F_SNAPSHOT | codes.F_BAD_TS_RECV
        made["action"], made["side"], made["price"], made["size"], made["order_id"] = codes.CLEAR, codes.SIDE_NONE, UNDEF_PRICE, 0, 0
        adds = made[1:]
        adds["action"], adds["side"] = codes.ADD, np.where(levels["side"] == BID, codes.SIDE_BID, codes.SIDE_ASK)
        adds["price"], adds["size"], adds["order_id"] = levels["price"], orders["quantity"], orders["id"]
        adds["ts_event"], adds["sequence"] = self._origin[standing].T
        made["flags"][-1] |= codes.F_LAST
        if not book.state[WHOLE]:
            made["flags"][0] |= codes.F_MAYBE_BAD_BOOK
        return made

    @staticmethod
    def _column(records: np.ndarray, name: str) -> np.ndarray:
        values = np.zeros(records.size, np.bool_) if name == "anew" else np.ascontiguousarray(records[name])
        values = values.view(np.int64) if name in ("ts_event", "ts_recv") else values
        values.flags.writeable = False
        return values


_IDS = ("publisher_id", "instrument_id")


@kernel
def follow(book: Book, records: Records, origin: np.ndarray, now: np.ndarray, start: Int) -> Int:
    """Apply records from `start` on until they end or the book is full; returns how many are done. `origin` is int64[orders, 2]: the
    exchange time and the sequence with which each order joined its queue."""
    for i in range(start, records.action.size):
        if is_full(book):
            return i
        code = stamps(records, now, i)
        if code != KEPT:
            continue
        before = book.state[PRIORITY]
        code = apply(book, records.action[i], records.side[i], records.price[i], records.size[i], records.order_id[i], records.flags[i])
        if book.state[PRIORITY] != before:
            order = find(book, records.order_id[i])
            origin[order, 0] = records.ts_event[i]
            origin[order, 1] = records.sequence[i]
        if code == KEPT or code >= codes.FIRST_APPLIED:
            now[CLOCK] = max(now[CLOCK], records.ts_event[i])
    return records.action.size
