"""What market-by-order records do to a book, and what the book says.

Compiled with numba. `apply` takes one record and says whether the book could take it. The rebuild (`rebuild.py`) and the
fills' simulator both run on these functions, so both see the same queues.

Sides are 0 (bid) and 1 (ask); prices are int64 in 1e-9, sizes whole contracts. Trades and fills do
not change the book: in Databento's records the cancel or modify that follows them does.
"""

import numpy as np

from assets.books import codes
from assets.books.codes import ASK, BID, KEPT, UNDEF_PRICE, Int
from assets.books.compiled import kernel
from assets.books.storage import (
    EVENT,
    HIGH,
    IN_SNAPSHOT,
    LOW,
    TAKER,
    TOP,
    WHOLE,
    Book,
    clear,
    dequeue,
    enqueue,
    entry,
    find,
    free_order,
    key_of,
    locate,
    new_order,
    resize,
)


@kernel
def add(book: Book, order_id: np.uint64, side: Int, price: Int, size: Int) -> Int:
    """A new order, behind all others at its price. Returns KEPT or the reason why it cannot be."""
    place = entry(book, order_id)
    if place >= 0:
        return codes.DUPLICATE_ORDER
    position = locate(book, side, key_of(side, price))
    if _size_of(book, side, price, position) + size > codes.MAX_LEVEL:
        return codes.EXCESSIVE_SIZE
    enqueue(book, new_order(book, order_id, -1 - place), side, price, size, position)
    return KEPT


@kernel
def cancel(book: Book, order_id: np.uint64, side: Int, size: Int) -> Int:
    """Take `size` contracts off an order, which keeps its place; all of them take the order off.

    `side` is 0 or 1, or -1 where the record does not say. Returns KEPT; EXCESSIVE_CANCEL where the
    order had less (it is gone then); or the reason why the book was left alone.
    """
    place = entry(book, order_id)
    if place < 0:
        return codes.UNKNOWN_ORDER
    order = np.int64(book.table[place])
    if side >= 0 and side != book.levels[book.orders[order].level].side:
        return codes.WRONG_SIDE
    left = book.orders[order].quantity - size
    if left > 0:
        resize(book, order, left)
        return KEPT
    dequeue(book, order)
    free_order(book, place)
    return KEPT if left == 0 else codes.EXCESSIVE_CANCEL


@kernel
def modify(book: Book, order_id: np.uint64, side: Int, price: Int, size: Int) -> Int:
    """New price and size of an order: a reduction at its price keeps its place, all else puts it last.

    The order's size is what its fills of this event have left: an iceberg that shows the same size again has grown.
    In a session that began without a snapshot an unknown order is older than the session, and is added.
    Returns KEPT or the reason why the book was left alone.
    """
    order = find(book, order_id)
    if order < 0:
        return codes.UNKNOWN_ORDER if book.state[WHOLE] else add(book, order_id, side, price, size)
    at = book.levels[book.orders[order].level]
    if side != at.side:
        return codes.WRONG_SIDE
    if price == at.price and size <= book.orders[order].quantity - unsettled(book, order):
        resize(book, order, size)
        return KEPT
    own = book.orders[order].quantity if price == at.price else 0
    if size_at(book, side, price) - own + size > codes.MAX_LEVEL:
        return codes.EXCESSIVE_SIZE
    dequeue(book, order)
    enqueue(book, order, side, price, size, locate(book, side, key_of(side, price)))
    return KEPT


@kernel
def anew(book: Book) -> None:
    """Begin the book of another instrument, of which no order is known."""
    clear(book)
    book.state[WHOLE] = 0
    book.state[IN_SNAPSHOT] = 0
    book.state[TAKER] = 0
    book.state[EVENT] += 1


@kernel
def fill(book: Book, order_id: np.uint64, size: Int) -> Int:
    """Note that an order traded; the record that follows takes it off the book. Returns KEPT or UNKNOWN_ORDER."""
    order = find(book, order_id)
    if order < 0:
        return KEPT if np.int64(order_id) == book.state[TAKER] else codes.UNKNOWN_ORDER
    book.orders[order].filled = min(unsettled(book, order) + size, codes.MAX_SIZE)
    book.orders[order].event = book.state[EVENT]
    return KEPT


@kernel
def apply(book: Book, action: Int, side: Int, price: Int, size: Int, order_id: np.uint64, flags: Int) -> Int:
    """Apply one record, its fields as in `raw_ticks`; returns KEPT, EXCESSIVE_CANCEL or why the book was left alone.

    The first add of a snapshot clears the book, so a second snapshot replaces the first; one whose first record is marked
    F_MAYBE_BAD_BOOK is not all that stands. A trade or
    fill changes no queue, but a fill must name an order that stands or the one that took last.
    """
    book_side = BID if side == codes.SIDE_BID else (ASK if side == codes.SIDE_ASK else -1)
    code = _possible(action, book_side, price, size)
    if code != KEPT:
        return code
    state = book.state
    size = np.int64(size)
    if action == codes.ADD:
        if flags & codes.F_SNAPSHOT and not state[IN_SNAPSHOT]:
            clear(book)
        code = add(book, order_id, book_side, price, size)
    elif action == codes.CANCEL:
        code = cancel(book, order_id, book_side, size)
    elif action == codes.MODIFY:
        code = modify(book, order_id, book_side, price, size)
    elif action == codes.CLEAR:
        clear(book)
    elif action == codes.TRADE:
        state[TAKER] = np.int64(order_id)
    elif action == codes.FILL:
        code = fill(book, order_id, size)
    if code == KEPT or code >= codes.FIRST_APPLIED:
        if flags & codes.F_MAYBE_BAD_BOOK and (action == codes.CLEAR or (flags & codes.F_SNAPSHOT and not state[IN_SNAPSHOT])):
            state[WHOLE] = 0
        state[IN_SNAPSHOT] = flags & codes.F_SNAPSHOT and not flags & codes.F_LAST
        state[EVENT] += flags & codes.F_LAST != 0
    return code


@kernel
def _possible(action: Int, side: Int, price: Int, size: Int) -> Int:
    """What can be said of a record without the book."""
    if action in (codes.CLEAR, codes.NONE):
        return KEPT
    if action not in (codes.ADD, codes.CANCEL, codes.MODIFY, codes.TRADE, codes.FILL):
        return codes.UNKNOWN_ACTION
    if action in (codes.ADD, codes.MODIFY) and side < 0:
        return codes.UNDEFINED_SIDE
    if action != codes.CANCEL and (price == UNDEF_PRICE or price == -UNDEF_PRICE - 1):
        return codes.UNDEFINED_PRICE
    if size == 0:
        return codes.ZERO_SIZE
    if size > codes.MAX_SIZE:
        return codes.EXCESSIVE_SIZE
    return KEPT


# What the book says -----------------------------------------------------------------------------


@kernel
def best(book: Book, side: Int) -> Int:
    """Best price of a side, or UNDEF_PRICE where it is empty."""
    n = book.state[side]
    if n == 0:
        return UNDEF_PRICE
    return book.levels[book.slots[side, n - 1]].price


@kernel
def depth(book: Book, side: Int, rank: Int) -> tuple[Int, Int, Int]:
    """(price, contracts, orders) of a side's level, 0 the best; (UNDEF_PRICE, 0, 0) where there is none."""
    n = book.state[side]
    if rank >= n:
        return UNDEF_PRICE, 0, 0
    at = book.levels[book.slots[side, n - 1 - rank]]
    return at.price, at.quantity, np.int64(at.count)


@kernel
def size_at(book: Book, side: Int, price: Int) -> Int:
    """Contracts at a price, 0 where there is no such level."""
    return _size_of(book, side, price, locate(book, side, key_of(side, price)))


@kernel
def _size_of(book: Book, side: Int, price: Int, position: Int) -> Int:
    if position < book.state[side] and book.keys[side, position] == key_of(side, price):
        return book.levels[book.slots[side, position]].quantity
    return np.int64(0)


@kernel
def size_ahead(book: Book, side: Int, price: Int, priority: Int) -> Int:
    """Contracts at a price that stand before `priority`; a newcomer's is `book.state[PRIORITY]`."""
    position = locate(book, side, key_of(side, price))
    ahead = 0
    if position < book.state[side] and book.keys[side, position] == key_of(side, price):
        order = book.levels[book.slots[side, position]].first
        while order >= 0 and book.orders[order].priority < priority:
            ahead += book.orders[order].quantity
            order = book.orders[order].behind
    return ahead


@kernel
def unsettled(book: Book, order: Int) -> Int:
    """Contracts of an order that traded in the event under way and are still on the book."""
    return np.int64(book.orders[order].filled) if book.orders[order].event == book.state[EVENT] else 0


@kernel
def changed(book: Book, side: int) -> tuple[Int, Int]:
    """(first, last) of the top levels that changed since the last call, best 0; last < first where none did."""
    first, last = book.state[LOW + side], book.state[HIGH + side]
    book.state[LOW + side] = TOP
    book.state[HIGH + side] = -1
    return first, last
