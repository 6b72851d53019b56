"""The rules of the rebuild in plain Python: slow, short, and what the kernel must equal.

Orders live in one dictionary in the order of their time priority: a new order goes to its end, a
reduced one stays where it is, one that changes price or grows is taken out and put at the end.
"""

from dataclasses import dataclass, field
from typing import Any

import polars as pl

from assets.books.codes import F_BAD_TS_RECV, F_LAST, F_MAYBE_BAD_BOOK, F_SNAPSHOT, MAX_LEVEL, MAX_SIZE, UNDEF_PRICE
from assets.books.events import CLOCK_TOLERANCE_NS
from assets.books.schema import LEVELS

Level = tuple[int, int, int]


@dataclass
class Reference:
    """What a rebuild says: events as (ts_event, ts_recv, row, records, bids, asks), and a reason a record ("" = kept)."""

    events: list[tuple[int, int, int, int, list[Level], list[Level]]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    orders: dict[int, tuple[str, int, int]] = field(default_factory=dict)


def reference(raw: pl.DataFrame, *, open_ns: int | None = None, close_ns: int | None = None) -> Reference:
    """Rebuild a session record by record."""
    done = Reference()
    book, reasons = done.orders, done.reasons
    event: list[int] = []
    kept: list[int] = []
    filled: dict[int, int] = {}
    clock, last_sequence, taker, traded, in_snapshot, whole = 0, -1, 0, False, False, False
    records = list(raw.iter_rows(named=True))
    before: tuple[int, int] | None = None

    def complete() -> None:
        bids, asks = _levels(book, "B"), _levels(book, "A")
        auction = (not traded if open_ns is None else clock < open_ns) or (close_ns is not None and clock >= close_ns)
        if bids and asks and bids[0][0] >= asks[0][0]:
            for i in kept:
                reasons[i] = "auction" if auction else "crossed" if bids[0][0] > asks[0][0] else "locked"
        elif kept:
            done.events.append((clock, records[kept[-1]]["ts_recv"], kept[-1], len(kept), bids[:LEVELS], asks[:LEVELS]))
        event.clear()
        kept.clear()

    for i, record in enumerate(records):
        snapshot, last = record["flags"] & F_SNAPSHOT, record["flags"] & F_LAST
        whose = record["publisher_id"], record["instrument_id"]
        rolled, before = before not in (None, whose), whose
        if kept and records[kept[-1]]["flags"] & F_SNAPSHOT and (rolled or not snapshot):
            complete()
        if rolled:
            for open_row in event:
                reasons[open_row] = reasons[open_row] or "unfinished_event"
            event.clear()
            kept.clear()
            book.clear()
            filled.clear()
            last_sequence, taker, in_snapshot, whole = -1, 0, False, False
        event.append(i)
        reason = _stamps(record, clock, last_sequence)
        if not snapshot and not reason:
            last_sequence = record["sequence"]
        action, order_id = chr(record["action"]), record["order_id"]
        reason = reason or _possible(action, record)
        if not reason:
            if action == "A" and snapshot and not in_snapshot:
                book.clear()
                filled.clear()
            whole = whole or action == "R" or (action == "A" and snapshot and not in_snapshot)
            if action == "M" and order_id not in book and not whole:
                action = "A"
            if action == "T":
                traded, taker = True, order_id
            unknown = action == "F" and order_id not in book and order_id != taker
            if action == "F" and order_id in book:
                filled[order_id] = filled.get(order_id, 0) + record["size"]
            reason = "unknown_order" if unknown else _apply(book, filled, action, record)
        if reason in {"", "excessive_cancel"}:
            whole = whole and not (record["flags"] & F_MAYBE_BAD_BOOK and (action == "R" or (snapshot and not in_snapshot)))
            if last:
                filled.clear()
            in_snapshot = bool(snapshot and not last)
            clock = max(clock, record["ts_event"])
        reasons.append(reason)
        if not reason:
            kept.append(i)
        if last and reason != "out_of_sequence":
            complete()
    if kept and records[kept[-1]]["flags"] & F_SNAPSHOT:
        complete()
    for i in event:
        reasons[i] = reasons[i] or "unfinished_event"
    return done


def _stamps(record: dict[str, Any], clock: int, last_sequence: int) -> str:
    event, received = record["ts_event"], record["ts_recv"]
    if event < 0 or received < 0 or (not record["flags"] & F_BAD_TS_RECV and event - received > CLOCK_TOLERANCE_NS):
        return "bad_timestamp"
    if record["flags"] & F_SNAPSHOT:
        return ""
    return "out_of_sequence" if event < clock and record["sequence"] < last_sequence else ""


def _possible(action: str, record: dict[str, Any]) -> str:
    if action in "RN":
        return ""
    if action not in "ACMTF":
        return "unknown_action"
    if action in "AM" and record["side"] not in b"AB":
        return "undefined_side"
    if action != "C" and record["price"] in (UNDEF_PRICE, -UNDEF_PRICE - 1):
        return "undefined_price"
    return "zero_size" if record["size"] == 0 else "excessive_size" if record["size"] > MAX_SIZE else ""


def _apply(book: dict[int, tuple[str, int, int]], filled: dict[int, int], action: str, record: dict[str, Any]) -> str:
    order_id, side, price, size = record["order_id"], chr(record["side"]), record["price"], record["size"]
    if action == "R":
        book.clear()
        filled.clear()
    if action not in "ACM":
        return ""
    if action == "A" and order_id in book:
        return "duplicate_order"
    if action in "CM" and order_id not in book:
        return "unknown_order"
    own_side, own_price, own_size = book.get(order_id, (side, price, 0))
    if side in "AB" and side != own_side:
        return "wrong_side"
    if action == "C":
        if size < own_size:
            book[order_id] = (own_side, own_price, own_size - size)
            return ""
        del book[order_id]
        filled.pop(order_id, None)
        return "" if size == own_size else "excessive_cancel"
    reduced = price == own_price and size <= own_size - filled.get(order_id, 0)
    others = sum(o[2] for i, o in book.items() if o[:2] == (side, price) and i != order_id)
    if not reduced and others + size > MAX_LEVEL:
        return "excessive_size"
    if not reduced:
        book.pop(order_id, None)
        filled.pop(order_id, None)
    book[order_id] = (side, price, size)
    return ""


def _levels(book: dict[int, tuple[str, int, int]], side: str) -> list[Level]:
    levels: dict[int, Level] = {}
    for own_side, price, size in book.values():
        if own_side == side:
            _, contracts, orders = levels.get(price, (price, 0, 0))
            levels[price] = (price, contracts + size, orders + 1)
    return sorted(levels.values(), reverse=side == "B")
