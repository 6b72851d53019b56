"""The indicators: every one a class in a module of this folder, and the set that a desk uses.

To add one, write a class in one of the modules (docs/indicators.md): nothing else needs an edit.
"""

from collections.abc import Sequence

from assets.features.errors import FeaturesError
from assets.features.indicators import flow, imbalance, motion
from assets.features.indicators.base import CLASSES, Indicator

__all__ = ["CLASSES", "Indicator", "flow", "grid", "imbalance", "indicators", "motion"]


def indicators(leaders: Sequence[str]) -> list[Indicator]:
    """The default set: of the traded market, then of each leader, in the order of `feature_table`'s columns.

    Raises:
        FeaturesError: two indicators would have the same name, because two leaders differ in upper and lower case only.
    """
    own = [cls("", **values) for cls in CLASSES for values in cls.defaults]
    of_leaders = [cls(leader, **values) for leader in leaders for cls in CLASSES for values in cls.leader_defaults]
    chosen = own + of_leaders
    names = [indicator.name for indicator in chosen]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FeaturesError(f"two indicators are named {twice[0]}: rename one of the leaders {', '.join(leaders)}")
    return chosen


def grid(leaders: Sequence[str]) -> dict[str, tuple[float, float]]:
    """For each indicator of the default set, the |value|s between which the curves' logarithmic buckets lie."""
    return {indicator.name: (indicator.lo, indicator.hi) for indicator in indicators(leaders)}
