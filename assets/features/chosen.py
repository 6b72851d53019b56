"""What a desk chooses: its indicators, and the user's own tables that some of them read.

The one place where the desk's `[indicators]` are held against the formulas there are.
"""

import datetime as dt
import difflib
import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache

import polars as pl

from assets.calendar import Calendar
from assets.desk import ALL, NS, Chosen, Desk, OwnSeries
from assets.features.errors import FeaturesError
from assets.features.indicators import CLASSES, Indicator, distinct
from assets.features.indicators.external import External
from assets.features.tables import read_series
from assets.provenance import file_state


def desk_indicators(desk: Desk) -> list[Indicator]:
    """The desk's indicators in the order of `feature_table`'s columns: of the traded market, of each leader, the user's series.

    Raises:
        FeaturesError: an indicator or parameter that does not exist, one out of its range, or two of one name; named, with the remedy.
    """
    chosen = desk.indicators
    if chosen.leader and not desk.leaders:
        raise FeaturesError(f"indicators.leader names {chosen.leader[0].name}, but the desk has no leaders: name one, or leave it out")
    found: list[Indicator] = []
    if chosen.own is None:
        found += [cls("", **values) for cls in CLASSES for values in cls.defaults]
    for choice in chosen.own or ():
        found += _made(choice, "")
    for leader in desk.leaders:
        if chosen.leader is None:
            found += [cls(leader, **values) for cls in CLASSES for values in cls.leader_defaults]
        for choice in chosen.leader or ():
            found += _made(choice, leader)
    for name, own in chosen.series.items():
        found.append(External(series=name, delay=own.delay_seconds, sign=own.sign, smallest=own.smallest, largest=own.largest))
    if not found:
        raise FeaturesError("the desk chooses no indicator: name at least one under indicators.own, or leave it out for the default set")
    distinct(found, desk.leaders)
    return found


def indicator_sets(desk: Desk) -> dict[str, list[Indicator]]:
    """What the search may predict with: all of the desk's indicators, and its narrower sets by their bounds on tau.

    What has no tau is in every set.

    Raises:
        FeaturesError: as `desk_indicators`; or the bounds of a set leave nothing out, or every tau.
    """
    every = desk_indicators(desk)
    found = {ALL: every}
    for name, (shortest, longest) in desk.indicators.sets.items():
        found[name] = [own for own in every if not own.tau or shortest <= own.tau <= longest]
        if len(found[name]) == len(every) or not any(own.tau for own in found[name]):
            what = "every" if any(own.tau for own in found[name]) else "no"
            raise FeaturesError(
                f"indicators.sets.{name}: {what} indicator of the desk with a tau has it from {shortest:g} to {longest:g} s: "
                "set other bounds, or leave the set out"
            )
    return found


def desk_series(desk: Desk) -> dict[str, pl.DataFrame]:
    """The user's own tables, by their names on the desk.

    Raises:
        FeaturesError: a table or a column of it is missing or cannot be read, or none of its rows lies near the desk's sessions.
    """
    last = desk.last_session or dt.datetime.now(dt.UTC).date()
    return {name: _table(own, (desk.first_session, last), file_state(own.path)) for name, own in desk.indicators.series.items()}


@lru_cache(maxsize=16)
def _table(own: OwnSeries, sessions: tuple[dt.date, dt.date], _state: tuple[int, int]) -> pl.DataFrame:
    """Read once a process: every session's fingerprint asks for it. A file that has changed since has another state."""
    return read_series(own.path, own.value, time=own.time, time_unit=own.time_unit, sessions=sessions)


def series_seen(desk: Desk, closes_ns: Sequence[int]) -> list[str]:
    """For each close of a session the fingerprint of what the user's tables hold that is known before it; empty where the desk has none.

    Rows that are added later change nothing of it, a row corrected in hindsight does.
    """
    tables = desk_series(desk)
    return [_fingerprint(desk, tables, close) if tables else "" for close in closes_ns]


def series_of(desk: Desk, market: str, session: dt.date) -> dict[str, str]:
    """The same of one session, for the fingerprint of what is made from it; nothing where the desk has no table, or no session."""
    window = Calendar(desk).window(market, session) if desk.indicators.series else None
    return {"the user's own series": series_seen(desk, [window.close_ns])[0]} if window else {}


def _fingerprint(desk: Desk, tables: Mapping[str, pl.DataFrame], close_ns: int) -> str:
    digest = hashlib.sha256()
    for name, table in tables.items():
        delay = round(desk.indicators.series[name].delay_seconds * NS)
        known = table.filter(pl.col("ts_event") + delay < close_ns)
        digest.update(f"{name} {known.height}".encode())
        for column in ("ts_event", "value"):
            digest.update(known[column].to_numpy().tobytes())
    return digest.hexdigest()[:16]


def _made(choice: Chosen, leader: str) -> Sequence[Indicator]:
    known = {cls.stem: cls for cls in CLASSES if cls is not External}
    where = "leader" if leader else "own"
    if choice.name not in known:
        near = difflib.get_close_matches(choice.name, known, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise FeaturesError(f"indicators.{where}: no indicator is called {choice.name!r}: {hint}there are {', '.join(sorted(known))}")
    cls = known[choice.name]
    if cls.needs_leader and not leader:
        raise FeaturesError(f"indicators.own: {choice.name} follows a leader: name it under indicators.leader")
    for parameter in choice.parameters:
        if parameter not in {taken.name for taken in cls.parameters}:
            takes = ", ".join(taken.name for taken in cls.parameters) or "no parameter"
            raise FeaturesError(f"indicators.{where}: {choice.name} takes no {parameter}: it takes {takes}")
    return [cls(leader, **values) for values in ([choice.parameters] if choice.parameters else cls.settings)]
