"""When a market trades: its sessions as stretches of continuous trading, in UTC nanoseconds.

Hours come from an exchange's calendar or from the desk, in the market's own zone; single days of the desk replace both. A trade
date's last close lies on that date (midnight is its end), so an evening before it belongs to it: Sunday evening to Monday.
"""

import datetime as dt
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from assets.desk import NS, Desk, DeskError, Span, offsets

OWN: Final = ("weekdays", "24/7")
"""Calendars whose hours come from the desk alone."""

GLOBEX: Final = ("CMES", "CME", "CBOT", "NYMEX", "COMEX", "us_futures")
"""Names of CME's futures in exchange_calendars, where they close with the clearing day, an hour after trading ends: here when it ends."""

GRAINS: Final = "CBOT_GRAINS"
"""Corn, wheat and soybeans: an evening and a day session with a break between them."""

_CHICAGO: Final = ZoneInfo("America/Chicago")
_GLOBEX_HOURS: Final = ((dt.time(17), dt.time(16)),)
_GRAIN_HOURS: Final = ((dt.time(19), dt.time(7, 45)), (dt.time(8, 30), dt.time(13, 20)))

_GLOBEX_DAYS: Final = {
    dt.date(2018, 12, 5): dt.time(8, 30),
    dt.date(2021, 4, 2): dt.time(8, 15),
    dt.date(2023, 4, 7): dt.time(8, 15),
    dt.date(2025, 1, 9): dt.time(8, 30),
}
"""Closes of equity index futures that no rule tells: two days of mourning, two Good Fridays with the labour market's report."""

_NO_EVENING_AFTER: Final = ((7, 4), (12, 25), (1, 1))
"""Holidays (with Thanksgiving) after which the grains open with the day session."""

_CLOSING_AUCTIONS: Final = {
    "XSHG": (dt.date(2018, 8, 20), dt.timedelta(minutes=3)),
    "XTKS": (dt.date(2024, 11, 5), dt.timedelta(minutes=5)),
    "XKRX": (dt.date(2000, 1, 1), dt.timedelta(minutes=10)),
}
"""Exchanges whose calendar includes the closing auction: since when, and how long it lasts."""

Why = Literal["open", "break", "halt", "auction", "crossed", "roll", "close"]
"""What a stretch of continuous trading begins or ends with."""

SCHEDULED: Final = frozenset({"break", "auction", "roll", "close"})
"""What is known before it comes. A halt is not, and nor is a book that crosses."""


class Stretch(NamedTuple):
    """Continuous trading in one instrument, begin inclusive, end exclusive."""

    begin_ns: int
    end_ns: int
    begins: str = "open"
    ends: str = "close"
    instrument_id: int = 0
    """Of the vendor; 0 before a record has told it."""


@dataclass(frozen=True)
class Window:
    """A session: its hours as UTC nanoseconds (open inclusive, close exclusive), and when within them the market trades continuously."""

    open_ns: int
    close_ns: int
    continuous: tuple[Stretch, ...] = ()
    """Sorted, disjoint; where none are given, the whole session is one."""

    def __post_init__(self) -> None:
        if not self.continuous:
            object.__setattr__(self, "continuous", (Stretch(self.open_ns, self.close_ns),))

    @property
    def admitting(self) -> tuple[Stretch, ...]:
        """The stretches in which the exchange takes orders: a book that crosses ends none of them."""
        found: list[Stretch] = []
        for stretch in self.continuous:
            if found and found[-1].ends == stretch.begins == "crossed":
                found[-1] = found[-1]._replace(end_ns=stretch.end_ns, ends=stretch.ends)
            else:
                found.append(stretch)
        return tuple(found)

    def within(self, ts: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Whether the exchange takes orders at each of these times."""
        begins, ends = (np.array([stretch[k] for stretch in self.admitting], np.int64) for k in (0, 1))
        k = np.searchsorted(begins, ts, side="right") - 1
        return (k >= 0) & (ts < ends[k])

    def until(self, ts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The last moment that belongs to the stretch of each of these times: what comes later lies across its end.

        The session's close belongs to it, a moment at which another instrument begins does not.
        """
        stretches = self.admitting
        begins = np.array([stretch.begin_ns for stretch in stretches], np.int64)
        last = np.array([stretch.end_ns - (stretch.ends == "roll") for stretch in stretches], np.int64)
        return last[np.maximum(np.searchsorted(begins, ts, side="right") - 1, 0)]

    @property
    def scheduled_end(self) -> int:
        """When the session's last stretch ends by schedule: a halt that nothing ends is not known before it comes."""
        last = self.continuous[-1]
        return last.end_ns if last.ends in SCHEDULED else self.close_ns

    @property
    def pauses(self) -> list[tuple[int, int]]:
        """What of the session is not continuous trading, (begin, end)."""
        ends = [self.open_ns, *(stretch.end_ns for stretch in self.continuous)]
        begins = [*(stretch.begin_ns for stretch in self.continuous), self.close_ns]
        return [(end, begin) for end, begin in zip(ends, begins, strict=True) if end < begin]

    def without(self, pauses: Iterable[tuple[int, int]], why: Why) -> "Window":
        """The session without further pauses, (begin, end) in UTC nanoseconds."""
        kept: Sequence[Stretch] = self.continuous
        for begin, end in pauses:
            kept = [part for stretch in kept for part in _cut(stretch, begin, end, why)]
        return Window(self.open_ns, self.close_ns, tuple(kept) or (Stretch(self.close_ns, self.close_ns, why),))

    def between(self, open_ns: int, close_ns: int) -> "Window":
        """A part of the session, as one of its own."""
        kept = [s._replace(begin_ns=max(s.begin_ns, open_ns), end_ns=min(s.end_ns, close_ns)) for s in self.continuous]
        kept = [s._replace(ends="close") if s.end_ns == close_ns else s for s in kept if s.begin_ns < s.end_ns]
        return Window(open_ns, close_ns, tuple(kept) or (Stretch(close_ns, close_ns, "halt", "halt"),))

    @property
    def rolls(self) -> list[tuple[int, int]]:
        """Between which moments the market turned to another instrument: the last of the old one, and the first of the new one's book."""
        pairs = zip(self.continuous, self.continuous[1:], strict=False)
        return [(before.end_ns - 1, after.begin_ns) for before, after in pairs if after.begins == "roll"]

    def rolled(self, rolls: Sequence[tuple[int, int]]) -> "Window":
        """The session with its instruments: (since, instrument_id), the first from its beginning on."""
        kept: Sequence[Stretch] = [stretch._replace(instrument_id=rolls[0][1]) for stretch in self.continuous] if rolls else self.continuous
        for since, instrument in rolls[1:]:
            parts = [part for stretch in kept for part in _cut(stretch, since, since, "roll")]
            kept = [part._replace(instrument_id=instrument) if part.begin_ns >= since else part for part in parts]
        return Window(self.open_ns, self.close_ns, tuple(kept))


def _cut(stretch: Stretch, begin: int, end: int, why: Why) -> list[Stretch]:
    """What of a stretch is not in [begin, end); where they are equal, it is split there."""
    if end < begin or begin >= stretch.end_ns or end <= stretch.begin_ns:
        return [stretch]
    before, after = stretch._replace(end_ns=begin, ends=why), stretch._replace(begin_ns=end, begins=why)
    return [part for part in (before, after) if part.begin_ns < part.end_ns]


def window_of(desk: Desk, market: str, session: dt.date) -> Window | None:
    """Hours of a session by calendar and desk, or None on a day without one.

    Raises:
        DeskError: the market's calendar is unknown, or the desk gives no hours for it.
    """
    own = desk.markets[market]
    zone, day = zone_of(desk, market), own.days.get(session)
    if day is not None:
        return None if day == "closed" else _placed(session, day, zone)
    name, spans = own.calendar, own.hours
    if name in OWN:
        if name == "weekdays" and session.weekday() >= 5:
            return None
        return _placed(session, spans or _desk_hours(desk, market), zone)
    scheduled = _globex(name, session) if name in GLOBEX or name == GRAINS else _exchange(name, session)
    if scheduled is None or spans is None:
        return scheduled
    return _until_early_close(name, session, _placed(session, spans, zone), scheduled)


def zone_of(desk: Desk, market: str) -> ZoneInfo:
    """The zone in which a market's hours are told."""
    own = desk.markets[market]
    if own.zone is not None:
        return ZoneInfo(own.zone)
    if own.calendar in OWN:
        return ZoneInfo("UTC")
    if own.calendar in GLOBEX or own.calendar == GRAINS:
        return _CHICAGO
    return ZoneInfo(str(calendar_of(own.calendar).tz))


def usual_close(desk: Desk, market: str) -> dt.timedelta:
    """When a market's sessions usually end: time since the midnight in its zone with which the trade date begins."""
    own = desk.markets[market]
    if own.hours is not None or own.calendar in OWN:
        return offsets(own.hours or _desk_hours(desk, market))[-1][1]
    if own.calendar in GLOBEX or own.calendar == GRAINS:
        return offsets(_GRAIN_HOURS if own.calendar == GRAINS else _GLOBEX_HOURS)[-1][1]
    return offsets([(dt.time(0), max(time for _, time in calendar_of(own.calendar).close_times))])[-1][1]


def _desk_hours(desk: Desk, market: str) -> tuple[Span, ...]:
    if desk.hours is None and desk.markets[market].calendar == "weekdays":
        raise DeskError(
            f"markets.{market}: calendar 'weekdays' needs hours = [open, close], in UTC in the desk file or with a zone at the market"
        )
    return (desk.hours or (dt.time(0), dt.time(0)),)


def _placed(session: dt.date, spans: Sequence[Span], zone: ZoneInfo) -> Window:
    placed = [(_ns(session, opens, zone), _ns(session, closes, zone)) for opens, closes in offsets(spans)]
    return _session(placed)


def _session(spans: Sequence[tuple[int, int]]) -> Window:
    """The session of these stretches, with breaks between them."""
    begins, ends = ["open", *["break"] * (len(spans) - 1)], [*["break"] * (len(spans) - 1), "close"]
    stretches = tuple(Stretch(*span, why, until) for span, why, until in zip(spans, begins, ends, strict=True))
    return Window(spans[0][0], spans[-1][1], stretches)


def _ns(day: dt.date, since_midnight: dt.timedelta, zone: ZoneInfo) -> int:
    # On the zone's own clock: on the day on which it is put forward an opening at 09:30 is at 09:30.
    local = dt.datetime.combine(day, dt.time()) + since_midnight
    return int(local.replace(tzinfo=zone).timestamp()) * NS


def _until_early_close(name: str, session: dt.date, own: Window, scheduled: Window) -> Window:
    """The desk's own hours on an exchange's day; where the exchange closes early, until then."""
    early = _closes_early(name, session)
    if not early or scheduled.close_ns >= own.close_ns:
        return own
    kept = own.without([(scheduled.close_ns, own.close_ns)], "close").continuous
    return Window(own.open_ns, max(kept[-1].end_ns, own.open_ns), kept)


def _closes_early(name: str, session: dt.date) -> bool:
    if name in GLOBEX or name == GRAINS:
        return _early_close(name, session) is not None
    return session in _early_days(name)


@cache
def _early_days(name: str) -> frozenset[dt.date]:
    return frozenset(day.date() for day in calendar_of(name).early_closes)


def _exchange(name: str, session: dt.date) -> Window | None:
    """A session by exchange_calendars, with its break, without its closing auction."""
    exchange, label = calendar_of(name), session.isoformat()
    if not exchange.is_session(label):
        return None
    opens, closes = exchange.session_open(label).value, exchange.session_close(label).value
    halves = [opens, closes]
    if exchange.session_has_break(label):
        halves[1:1] = [exchange.session_break_start(label).value, exchange.session_break_end(label).value]
    window = _session([(halves[k], halves[k + 1]) for k in range(0, len(halves), 2)])
    since, length = _CLOSING_AUCTIONS.get(name, (dt.date.max, dt.timedelta()))
    if session < since:
        return window
    return window.without([(closes - round(length.total_seconds()) * NS, closes)], "auction")


def _globex(name: str, session: dt.date) -> Window | None:
    """A session of CME's futures: its stretches by the product, cut at an early close."""
    closed, early = _closed(name, session), _early_close(name, session)
    if closed or session.weekday() >= 5:
        return None
    spans: Sequence[Span] = _GRAIN_HOURS if name == GRAINS else _GLOBEX_HOURS
    if name == GRAINS and _after_holiday(session):
        spans = spans[1:]
    if early:
        spans = [*spans[:-1], (spans[-1][0], early)]
    return _placed(session, spans, _CHICAGO)


def _closed(name: str, session: dt.date) -> bool:
    if name == GRAINS:
        return _is_new_york_holiday(session)
    return session not in _GLOBEX_DAYS and not calendar_of("CMES").is_session(session.isoformat())


def _early_close(name: str, session: dt.date) -> dt.time | None:
    """When trading ends where that is not the usual time. Where New York's stocks close early or not open at all, futures close early."""
    short = session in _early_days("XNYS")
    if name == GRAINS:
        return dt.time(12, 5) if short else None
    if session in _GLOBEX_DAYS:
        return _GLOBEX_DAYS[session]
    if short:
        return dt.time(12, 15)
    return dt.time(12) if _is_new_york_holiday(session) else None


def _is_new_york_holiday(session: dt.date) -> bool:
    """Whether a rule, not a single day's event, closes New York's stocks."""
    return session in _new_york_holidays()


@cache
def _new_york_holidays() -> frozenset[dt.date]:
    calendar = calendar_of("XNYS")
    days = calendar.regular_holidays.holidays(calendar.first_session, f"{calendar.last_session.year}-12-31")
    return frozenset(day.date() for day in days)


def _after_holiday(session: dt.date) -> bool:
    """Whether the day before was a holiday after which the grains have no evening session."""
    before = session - dt.timedelta(days=1)
    thanksgiving = before.month == 11 and before.weekday() == 3 and 22 <= before.day <= 28
    kept_on = {before, before + dt.timedelta(days=1), before - dt.timedelta(days=1)}
    fixed = _is_new_york_holiday(before) and any((day.month, day.day) in _NO_EVENING_AFTER for day in kept_on)
    return thanksgiving or fixed


@cache
def calendar_of(name: str) -> Any:
    """An exchange's calendar.

    Raises:
        DeskError: exchange_calendars has none of that name.
    """
    import exchange_calendars

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what exchange_calendars asks of pandas
            return exchange_calendars.get_calendar(name, start="2000-01-03")
    except exchange_calendars.errors.InvalidCalendarName:
        raise DeskError(
            f"unknown calendar {name!r}: use 'weekdays', '24/7', 'CBOT_GRAINS' or a name of exchange_calendars ('CMES', 'XNYS')"
        ) from None
