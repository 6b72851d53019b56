"""The rows of a tape: what happened to a price, and to whom in its queue."""

from typing import Final

import numpy as np

ADDED, REMOVED, FILLED, TRADED, CLEARED = range(5)

UNKNOWN: Final = -1
"""Priority of a removal or a fill whose order is not known."""

LAST: Final = np.iinfo(np.int32).max
"""Priority behind every order."""

ROW: Final = np.dtype(
    [("ts", "i8"), *((name, "i4") for name in ("px", "size", "priority", "bid", "ask")), ("kind", "u1"), ("side", "u1")], align=True
)
"""ts: UTC nanoseconds, never falling; px: ticks above the tape's base; size: contracts; priority: of the order
concerned (of a clear: the last that its snapshot can restore); bid, ask: best prices after the row, -1 and the
ladder's width where a side is empty; side: of the resting contracts."""
