"""Which indicators a period's models are made of: those that the lab has kept, or all where the desk says so."""

import datetime as dt
from collections.abc import Mapping, Sequence

from assets.curves.statistics import Statistics, design_version
from assets.desk import ALL, Desk
from assets.features.chosen import desk_indicators, indicator_sets
from assets.features.indicators import Indicator
from assets.lake import Lake


def kept_indicators(desk: Desk, lake: Lake, period: dt.date) -> list[Indicator]:
    """The desk's indicators in their order, without those that the period's `indicator_scores` call redundant.

    Raises:
        LakeError: the period has not been scored.
    """
    return kept_sets(desk, lake, period)[ALL]


def kept_sets(desk: Desk, lake: Lake, period: dt.date) -> dict[str, list[Indicator]]:
    """The same for each of the desk's sets: in a narrower one an indicator is redundant only where the one that makes it so is there.

    Raises:
        LakeError: the period has not been scored.
    """
    sets = indicator_sets(desk)
    if not desk.indicators.drop_redundant:
        return sets
    scores = lake.read("indicator_scores", columns=["indicator", "dropped_for"], market=desk.traded, period=period)
    better = dict(scores.drop_nulls("dropped_for").iter_rows())
    names = {name: {own.name for own in members} for name, members in sets.items()}
    return {name: [own for own in members if better.get(own.name) not in names[name]] for name, members in sets.items()}


def restricted(sessions: Mapping[dt.date, Statistics], desk: Desk, kept: Sequence[Indicator]) -> dict[dt.date, Statistics]:
    """Sums of the desk's indicators cut down to those that are kept; sums of another design stay as they are, for the fit to refuse."""
    whole, cut = (design_version(some, desk.horizon_ns) for some in (desk_indicators(desk), kept))
    names = [indicator.name for indicator in kept]
    return {day: sums.only(names, cut) if sums.version == whole else sums for day, sums in sessions.items()}
