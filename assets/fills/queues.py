"""Where an order of ours stands when nobody says who left: the contracts ahead of it after a cancel of unknown place.

F contracts ahead, B behind (ours not counted), c of them cancelled. What trades take comes from the front and is no question;
of a cancel only a feed with order ids says whose it was. An aggregated feed leaves a choice:

    pessimist    all cancels come from behind, until none is left there: F <- min(F, F + B - c)       (RiskAverse)
    optimist     all come from ahead:                                    F <- max(F - c, 0)
    power        P = B^n / (B^n + F^n)
    share        P = 1 - (F / (F + B))^n
    logarithm    P = ln(1 + B) / (ln(1 + B) + ln(1 + F))

with P the chance that a cancelled contract stood behind, and F <- min(F - (1 - P) c + min(B - P c, 0), F + B - c): more than
stand behind cannot leave there. The two bounds hold whatever the truth; the three estimates lie between.

Source: the queue models of hftbacktest (power, logarithm) and of Databento's estimator (share, n = 5 and 20).
"""

import math
from typing import Any, Final

from numba import njit

EXACT, PESSIMIST, OPTIMIST, POWER, SHARE, LOGARITHM = range(6)

QUEUES: Final = ("exact", "pessimist", "optimist", "power", "share", "logarithm")
"""Names of the codes, as the desk writes them. Exact needs order ids; where there are none it counts as the pessimist."""


@njit(cache=True, _nrt=False)
def after_cancel(queue: Any, exponent: float, ahead: float, behind: float, cancelled: float) -> float:
    """Contracts ahead once `cancelled` of `ahead` + `behind` have left from an unknown place; not below zero, maybe a fraction."""
    left = max(ahead + behind - cancelled, 0.0)
    if queue == OPTIMIST:
        return max(ahead - cancelled, 0.0)
    if queue in (EXACT, PESSIMIST):
        return min(ahead, left)
    share = _from_behind(queue, exponent, ahead, behind)
    estimate = ahead - (1.0 - share) * cancelled + min(behind - share * cancelled, 0.0)
    return max(min(estimate, left), 0.0)


@njit(cache=True, _nrt=False)
def _from_behind(queue: Any, exponent: float, ahead: float, behind: float) -> float:
    """P: the chance that a cancelled contract stood behind; 1 where nobody stands ahead, 0 where nobody stands behind."""
    if ahead <= 0.0:
        return 1.0
    if behind <= 0.0:
        return 0.0
    if queue == POWER:
        return 1.0 / (1.0 + (ahead / behind) ** exponent)
    if queue == SHARE:
        return 1.0 - (ahead / (ahead + behind)) ** exponent
    return math.log1p(behind) / (math.log1p(behind) + math.log1p(ahead))
