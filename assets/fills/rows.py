"""The rows of a tape: what happened to a price, and to whom in its queue."""

from typing import Final

import numpy as np

from assets.desk import NS

ADDED, REMOVED, FILLED, TRADED, CLEARED = range(5)

OURS: Final = CLEARED + 1
"""What our own request did: of the marks of a session that we have been in, not of a tape."""

UNKNOWN: Final = -1
"""Priority of a removal or a fill whose order is not known."""

LED: Final = -2
"""Priority of traded contracts whose level was shown without them before the trade was told."""

LEAD_NS: Final = NS // 20
"""How long a quote may lead its trade: four times as long as was seen on a consolidated feed of shares (12 ms)."""

LAST: Final = np.iinfo(np.int32).max
"""Priority behind every order."""

NO_ASK: Final = 1 << 30
NO_BID: Final = -NO_ASK
"""Best prices of an empty side: further from the ladder than any price is told."""

ROW: Final = np.dtype(
    [
        ("ts", "i8"),
        *((name, "i4") for name in ("px", "size", "priority", "bid", "ask")),
        *((name, "u1") for name in ("kind", "side", "crossed")),
    ],
    align=True,
)
"""ts: UTC nanoseconds, never falling; px: ticks above the tape's base; size: contracts; priority: of the order
concerned (of a clear: the last that its snapshot can restore); bid, ask: best prices after the row, which a stub
quote may have far off the ladder, NO_BID and NO_ASK where a side is empty; side: of the resting contracts; crossed:
whether the best prices touch or cross before this nanosecond or at its end, so that nobody trades."""
