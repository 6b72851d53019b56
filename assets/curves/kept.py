"""Which indicators a period's model is made of: those that the lab has kept, or all where the desk says so."""

import datetime as dt
from collections.abc import Mapping, Sequence

from assets.curves.statistics import Statistics, design_version
from assets.desk import Desk
from assets.features.chosen import desk_indicators
from assets.features.indicators import Indicator
from assets.lake import Lake


def kept_indicators(desk: Desk, lake: Lake, period: dt.date) -> list[Indicator]:
    """The desk's indicators in their order, without those that the period's `indicator_scores` call redundant.

    Raises:
        LakeError: the period has not been scored.
    """
    chosen = desk_indicators(desk)
    if not desk.indicators.drop_redundant:
        return chosen
    scores = lake.read("indicator_scores", columns=["indicator", "dropped_for"], market=desk.traded, period=period)
    dropped = set(scores.drop_nulls("dropped_for")["indicator"])
    return [indicator for indicator in chosen if indicator.name not in dropped]


def restricted(sessions: Mapping[dt.date, Statistics], desk: Desk, kept: Sequence[Indicator]) -> dict[dt.date, Statistics]:
    """Sums of the desk's indicators cut down to those that are kept; sums of another design stay as they are, for the fit to refuse."""
    whole, cut = (design_version(some, desk.horizon_ns) for some in (desk_indicators(desk), kept))
    names = [indicator.name for indicator in kept]
    return {day: sums.only(names, cut) if sums.version == whole else sums for day, sums in sessions.items()}
