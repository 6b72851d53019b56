"""The codes of market-by-order records, as Databento writes them, and our reasons for refusing one.

numba compiles these numbers into the kernels, so this file counts among the kernels' sources.
"""

from typing import Any, Final

import numpy as np

Int = int | np.integer[Any]
"""An integer inside a kernel, whatever its width."""

BID: Final = 0
ASK: Final = 1

ADD, CANCEL, MODIFY, CLEAR, TRADE, FILL, NONE = (ord(letter) for letter in "ACMRTFN")
SIDE_BID, SIDE_ASK, SIDE_NONE = (ord(letter) for letter in "BAN")

F_LAST: Final = 128
F_SNAPSHOT: Final = 32
F_BAD_TS_RECV: Final = 8
F_MAYBE_BAD_BOOK: Final = 4

UNDEF_PRICE: Final = np.iinfo(np.int64).max
MAX_SIZE: Final = np.iinfo(np.int32).max
"""Venues write sizes as int32: what is above would be negative there."""
MAX_LEVEL: Final = np.iinfo(np.uint32).max
"""What the column of a level's size can hold."""

REASONS: Final = (
    "kept",
    "unknown_action",
    "undefined_side",
    "undefined_price",
    "zero_size",
    "excessive_size",
    "unknown_order",
    "duplicate_order",
    "wrong_side",
    "bad_timestamp",
    "out_of_sequence",
    "broken_levels",
    "excessive_cancel",
    "crossed",
    "locked",
    "auction",
    "unfinished_event",
)
"""Why a record is in quarantine, by code; `docs/data-quality.md` has a paragraph for each."""

(
    KEPT,
    UNKNOWN_ACTION,
    UNDEFINED_SIDE,
    UNDEFINED_PRICE,
    ZERO_SIZE,
    EXCESSIVE_SIZE,
    UNKNOWN_ORDER,
    DUPLICATE_ORDER,
    WRONG_SIDE,
    BAD_TIMESTAMP,
    OUT_OF_SEQUENCE,
    BROKEN_LEVELS,
    EXCESSIVE_CANCEL,
    CROSSED,
    LOCKED,
    AUCTION,
    UNFINISHED,
) = range(len(REASONS))

FIRST_APPLIED: Final = EXCESSIVE_CANCEL
"""Records with this code or a higher one (and kept ones) have changed the book; the others have not."""
