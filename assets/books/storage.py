"""How a book is kept: numba functions on arrays, no Python object inside.

Orders stand in first-in-first-out queues, one a price, linked by index; the prices of a side are a
sorted array with the best one last, so that what happens near the touch moves few elements, whatever
the tick size; a hash table leads from an order id to its order. What records mean is in `kernel.py`.
"""

from typing import Final, NamedTuple

import numpy as np

from assets.books.codes import BID, Int
from assets.books.compiled import kernel

ORDER: Final = np.dtype(
    [
        ("id", "u8"),
        ("priority", "i8"),
        ("level", "i4"),
        ("quantity", "i4"),
        ("before", "i4"),
        ("behind", "i4"),
        ("filled", "i4"),
        ("event", "i4"),
    ]
)
"""An order: its id, its place in time (smaller stands before), its level, contracts, neighbours in the queue,
and the contracts filled in the event numbered `event` but not yet taken off the book."""

LEVEL: Final = np.dtype([("price", "i8"), ("quantity", "i8"), ("count", "i4"), ("side", "i4"), ("first", "i4"), ("last", "i4")])
"""A price with at least one order: contracts, orders, side, and both ends of the queue."""

# Places of Book.state. The first two are the numbers of levels, so that a side is its own place.
_ORDERS, _ORDER_TOP, _ORDER_FREE, _LEVEL_TOP, _LEVEL_FREE, _SHIFT = 2, 3, 4, 5, 6, 7
PRIORITY: Final = 8
"""The priority that the next order in a queue gets."""
IN_SNAPSHOT: Final = 9
"""1 between the first and the last record of a snapshot."""
TAKER: Final = 10
"""Order id of the last trade: the order that took."""
EVENT: Final = 11
"""Number of the event that is under way."""
WHOLE: Final = 12
"""1 once a clear or a snapshot has been seen: from then on every order that stands is known."""
LOW, HIGH = 13, 15
"""First and last rank that changed since `changed` was asked, a place for each side."""
_PLACES: Final = 17

TOP: Final = 10
"""Levels a side whose changes are tracked for the output."""

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
"""2**64 over the golden ratio, for multiplicative hashing."""

_NEIGHBOURS: Final = np.uint64(3)
"""Ids that differ in these bits only are hashed side by side: venues count orders up, so the next one's place is in the cache."""

_SPARSE: Final = 4
"""Places of the table for each order that the book has room for: an empty one is found at once."""


class Book(NamedTuple):
    """The state of one book; every array belongs to it alone."""

    orders: np.ndarray
    """ORDER records."""
    levels: np.ndarray
    """LEVEL records."""
    keys: np.ndarray
    """int64[2, n]: a side's prices (negated for asks), ascending, so that the best is last."""
    slots: np.ndarray
    """int32[2, n]: the level of each key."""
    table: np.ndarray
    """int32: a hash table of indices into `orders`, -1 where empty; open addressing with linear probing."""
    state: np.ndarray
    """int64: numbers of levels, bids then asks, and counters."""


def new_book(capacity: int = 1 << 14) -> Book:
    """An empty book with room for `capacity` orders; `grown` makes it larger."""
    bits = max(4, (_SPARSE * capacity - 1).bit_length())
    book = Book(
        orders=np.empty(capacity, ORDER),
        levels=np.empty(capacity, LEVEL),
        keys=np.empty((2, capacity), np.int64),
        slots=np.empty((2, capacity), np.int32),
        table=np.full(1 << bits, -1, np.int32),
        state=np.zeros(_PLACES, np.int64),
    )
    book.state[_SHIFT] = 64 - bits
    book.state[[_ORDER_FREE, _LEVEL_FREE]] = -1
    book.state[[LOW, LOW + 1]] = TOP
    book.state[[HIGH, HIGH + 1]] = -1
    return book


def grown(book: Book) -> Book:
    """The same book with twice the room."""
    larger = new_book(2 * len(book.orders))
    old = len(book.orders)
    larger.orders[:old], larger.levels[:old] = book.orders, book.levels
    larger.keys[:, :old], larger.slots[:, :old] = book.keys, book.slots
    shift = larger.state[_SHIFT]
    larger.state[:] = book.state
    larger.state[_SHIFT] = shift
    _rehash(book, larger)
    return larger


@kernel
def _rehash(book: Book, larger: Book) -> None:
    for order in book.table:
        if order >= 0:
            larger.table[-1 - entry(larger, book.orders[order].id)] = order


@kernel
def is_full(book: Book) -> bool:
    """Whether the next add would find no room."""
    return book.state[_ORDERS] == book.orders.size


# The map from order id to order -----------------------------------------------------------------


@kernel
def _home(book: Book, order_id: np.uint64) -> Int:
    scattered = ((order_id & ~_NEIGHBOURS) * _GOLDEN) >> np.uint64(book.state[_SHIFT])
    return np.int64((scattered & ~_NEIGHBOURS) | (order_id & _NEIGHBOURS))


@kernel
def entry(book: Book, order_id: np.uint64) -> Int:
    """Place of an id in the table; of one that is not there, -1 less the place that is free for it."""
    mask = book.table.size - 1
    place = _home(book, order_id)
    while book.table[place] >= 0:
        if book.orders[book.table[place]].id == order_id:
            return place
        place = (place + 1) & mask
    return -1 - place


@kernel
def _forget(book: Book, hole: Int) -> None:
    """Empty a place and close the gap, so that no probe ends early and no tombstone stays."""
    mask = book.table.size - 1
    place = (hole + 1) & mask
    while book.table[place] >= 0:
        if ((place - _home(book, book.orders[book.table[place]].id)) & mask) >= ((place - hole) & mask):
            book.table[hole] = book.table[place]
            hole = place
        place = (place + 1) & mask
    book.table[hole] = -1


@kernel
def find(book: Book, order_id: np.uint64) -> Int:
    """Index into `book.orders` of the order with this uint64 id, or -1."""
    place = entry(book, order_id)
    return np.int64(book.table[place]) if place >= 0 else -1


@kernel
def new_order(book: Book, order_id: np.uint64, place: Int) -> Int:
    """Take an order from the free ones and enter its id at a free place of the table."""
    state = book.state
    order = state[_ORDER_FREE]
    if order >= 0:
        state[_ORDER_FREE] = book.orders[order].behind
    else:
        order = state[_ORDER_TOP]
        state[_ORDER_TOP] += 1
    state[_ORDERS] += 1
    book.table[place] = order
    book.orders[order].id = order_id
    return order


@kernel
def free_order(book: Book, place: Int) -> None:
    """Give back the order at a place of the table, once it is out of its queue."""
    order = np.int64(book.table[place])
    _forget(book, place)
    book.orders[order].behind = book.state[_ORDER_FREE]
    book.state[_ORDER_FREE] = order
    book.state[_ORDERS] -= 1


# Levels -----------------------------------------------------------------------------------------


@kernel
def key_of(side: Int, price: Int) -> Int:
    """Price as it is sorted: the better, the larger, on both sides."""
    return price if side == BID else -price


@kernel
def locate(book: Book, side: Int, key: Int) -> Int:
    """First position of a side's keys that is not below `key`: near the touch by steps, else by halving."""
    keys, high = book.keys, book.state[side]
    low = max(high - 16, 0)
    if low == 0 or keys[side, low] < key:
        while high > low and keys[side, high - 1] >= key:
            high -= 1
        return high
    high, low = low, 0
    while low < high:
        middle = (low + high) >> 1
        if keys[side, middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def _touch(book: Book, side: Int, low: Int, high: Int) -> None:
    book.state[LOW + side] = min(book.state[LOW + side], low)
    book.state[HIGH + side] = max(book.state[HIGH + side], high)


@kernel
def _resized(book: Book, side: Int, key: Int) -> None:
    """Note that the level with this key changed, where it is among the top ones."""
    n = book.state[side]
    for rank in range(min(n, TOP)):
        if book.keys[side, n - 1 - rank] <= key:
            if book.keys[side, n - 1 - rank] == key:
                _touch(book, side, rank, rank)
            return


@kernel
def _open_level(book: Book, side: Int, position: Int, price: Int) -> Int:
    state, keys, slots = book.state, book.keys, book.slots
    level = state[_LEVEL_FREE]
    if level >= 0:
        state[_LEVEL_FREE] = book.levels[level].first
    else:
        level = state[_LEVEL_TOP]
        state[_LEVEL_TOP] += 1
    n = state[side]
    for k in range(n, position, -1):
        keys[side, k] = keys[side, k - 1]
        slots[side, k] = slots[side, k - 1]
    keys[side, position] = key_of(side, price)
    slots[side, position] = level
    state[side] = n + 1
    if n - position < TOP:
        _touch(book, side, n - position, TOP - 1)
    new = book.levels[level]
    new.price = price
    new.quantity = 0
    new.count = 0
    new.side = side
    new.first = -1
    new.last = -1
    return level


@kernel
def _close_level(book: Book, level: Int) -> None:
    state, keys, slots = book.state, book.keys, book.slots
    side = book.levels[level].side
    position = locate(book, side, key_of(side, book.levels[level].price))
    n = state[side] - 1
    if n - position < TOP:
        _touch(book, side, n - position, TOP - 1)
    for k in range(position, n):
        keys[side, k] = keys[side, k + 1]
        slots[side, k] = slots[side, k + 1]
    state[side] = n
    book.levels[level].first = state[_LEVEL_FREE]
    state[_LEVEL_FREE] = level


# Queues -----------------------------------------------------------------------------------------


@kernel
def enqueue(book: Book, order: Int, side: Int, price: Int, quantity: Int, position: Int) -> None:
    """Put an order behind all others at its price, whose key has this position (`locate`)."""
    if position < book.state[side] and book.keys[side, position] == key_of(side, price):
        level = np.int64(book.slots[side, position])
        rank = book.state[side] - 1 - position
        if rank < TOP:
            _touch(book, side, rank, rank)
    else:
        level = _open_level(book, side, position, price)
    at = book.levels[level]
    new = book.orders[order]
    new.priority = book.state[PRIORITY]
    book.state[PRIORITY] += 1
    new.level = level
    new.quantity = quantity
    new.before = at.last
    new.behind = -1
    new.event = -1
    if at.last >= 0:
        book.orders[at.last].behind = order
    else:
        at.first = order
    at.last = order
    at.quantity += quantity
    at.count += 1


@kernel
def dequeue(book: Book, order: Int) -> None:
    """Take an order out of its queue, and the level out of the book with its last order."""
    old = book.orders[order]
    level = np.int64(old.level)
    at = book.levels[level]
    if old.before >= 0:
        book.orders[old.before].behind = old.behind
    else:
        at.first = old.behind
    if old.behind >= 0:
        book.orders[old.behind].before = old.before
    else:
        at.last = old.before
    at.quantity -= old.quantity
    at.count -= 1
    if at.count == 0:
        _close_level(book, level)
    else:
        _resized(book, at.side, key_of(at.side, at.price))


@kernel
def resize(book: Book, order: Int, quantity: Int) -> None:
    """Change an order's size where it stands."""
    at = book.levels[book.orders[order].level]
    at.quantity += quantity - book.orders[order].quantity
    book.orders[order].quantity = quantity
    _resized(book, at.side, key_of(at.side, at.price))


@kernel
def clear(book: Book) -> None:
    """Take every order off the book."""
    state = book.state
    state[WHOLE] = 1
    for side in range(2):
        state[side] = 0
        _touch(book, side, 0, TOP - 1)
    if state[_ORDERS] > 0:
        for place in range(book.table.size):
            book.table[place] = -1
    state[_ORDERS] = 0
    state[_ORDER_TOP] = 0
    state[_LEVEL_TOP] = 0
    state[_ORDER_FREE] = -1
    state[_LEVEL_FREE] = -1
