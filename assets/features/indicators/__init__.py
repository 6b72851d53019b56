"""The indicators: every one a class in a module of this folder, and the set that a desk uses.

To add one, write a class in one of the modules (docs/indicators.md): nothing else needs an edit.
"""

from collections.abc import Sequence

from assets.features.errors import FeaturesError
from assets.features.indicators import external, flow, imbalance, motion
from assets.features.indicators.base import CLASSES, Indicator

__all__ = ["CLASSES", "Indicator", "catalogue", "distinct", "external", "flow", "grid", "imbalance", "indicators", "motion"]


def indicators(leaders: Sequence[str]) -> list[Indicator]:
    """The default set: of the traded market, then of each leader, in the order of `feature_table`'s columns.

    One or two of each family: what they say is nearly all that the whole catalogue says, without its noise.

    Raises:
        FeaturesError: two indicators would have the same name, because two leaders differ in upper and lower case only.
    """
    own = [cls("", **values) for cls in CLASSES for values in cls.defaults]
    of_leaders = [cls(leader, **values) for leader in leaders for cls in CLASSES for values in cls.leader_defaults]
    chosen = own + of_leaders
    distinct(chosen, leaders)
    return chosen


def catalogue(leaders: Sequence[str]) -> list[Indicator]:
    """Every indicator with all parameter values worth having, of the traded market and of each leader.

    A user's own series are not in it: they are what the user's tables say.
    """
    found = [
        cls(leader, **values) for leader in ("", *leaders) for cls in CLASSES for values in cls.settings if leader or not cls.needs_leader
    ]
    distinct(found, leaders)
    return found


def grid(leaders: Sequence[str]) -> dict[str, tuple[float, float]]:
    """For each indicator of the default set, the |value|s between which the curves' logarithmic buckets lie."""
    return {indicator.name: (indicator.lo, indicator.hi) for indicator in indicators(leaders)}


def distinct(chosen: Sequence[Indicator], leaders: Sequence[str]) -> None:
    """Refuse two indicators of one name.

    Raises:
        FeaturesError: names it.
    """
    names = [indicator.name for indicator in chosen]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        led = f", or rename one of the leaders {', '.join(leaders)}" if leaders else ""
        raise FeaturesError(f"two indicators are named {twice[0]}: take one out of the desk's indicators{led}")
