"""The quoting policy: a score for each price level at which an order of ours could rest.

    score(side, price) = side * (prediction_weight * prediction - skew * position)      side +1 buy, -1 sell; predicted move, ticks
                       + level_weight      * side * (mid - price)     ticks from the mid, positive is passive
                       + ahead_weight      * log(1 + contracts ahead)
                       + behind_weight     * log(1 + contracts behind)

Everything is in ticks. Above the threshold there is an order, below it is cancelled. Five levels a side are
scored: one tick inside the spread (there is none where the spread is one tick), the touch, and the three prices
behind it. What a fill costs if it comes is in the first two terms; what it says that it came is in the last two:
behind a long queue one is filled mostly when the price is about to go through.

Two simpler *styles* share the same settings, for comparison: TOUCH scores the touch alone, so an order
moves with it; TAKE never rests, but takes the opposite touch where its score is above the threshold.

The policy is blind, on purpose, to the price at which a position was entered: the market does not know it. Whether an order opens
or closes counts by the desk's `skew` alone, ticks for each contract held, 0 unless the desk says so; then the position limit alone
decides which side may still quote. The two styles know no skew.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit

from assets.books.codes import Int
from assets.desk import ALL

LEVELS: Final = 5
"""Prices scored a side."""

INSIDE, TOUCHING = range(2)
"""The level one tick inside the spread, and the touch; those behind it follow."""

SCORES, TOUCH, TAKE = range(3)
"""Styles."""

_LOG: Final = np.log1p(np.arange(4096.0))
"""log(1 + n) for the queue lengths that occur; a longer queue counts as this long."""


class Policy(NamedTuple):
    """One setting of the policy; the defaults are a plausible start for the tuning, not a result."""

    threshold: float = 0.4
    """Ticks: an order stands where the score is above this."""
    prediction_weight: float = 1.0
    level_weight: float = -0.05
    ahead_weight: float = -0.1
    behind_weight: float = 0.05
    hysteresis: float = 0.2
    """Ticks: an order once sent stays until its score is this much below the threshold, so that it does not flash."""
    style: int = SCORES
    indicators: str = ALL
    """The set of the desk's indicators whose prediction it trades on."""

    @property
    def record(self) -> np.ndarray:
        """What kernels see of it: an array of one POLICY."""
        return np.array([tuple(getattr(self, name) for name in POLICY.names or ())], POLICY)


SETTINGS: Final = tuple(name for name in Policy._fields if name != "style")
"""What a search chooses."""

POLICY: Final = np.dtype([(name, "i8" if name == "style" else "f8") for name in Policy._fields if name != "indicators"])
"""A policy for kernels, which are given the signal of its indicators."""


@njit(cache=True)
def score(policy: Any, side: Int, lean: float, distance: float, ahead: Int, behind: Int) -> float:
    """The score, in ticks, of an order `distance` ticks to the passive side of the mid; lean: weighted prediction less skew, ticks."""
    last = len(_LOG) - 1
    return (
        side * lean
        + policy.level_weight * distance
        + policy.ahead_weight * _LOG[min(ahead, last)]
        + policy.behind_weight * _LOG[min(behind, last)]
    )
