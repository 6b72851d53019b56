"""Trading sessions, model periods, training windows, and the Dagster partitions made from them.

A *session* is keyed by its trade date (Sunday evening belongs to Monday). A *period* is the stretch
of sessions that one model trades: a week that begins on Monday, or a single session on a desk that
retrains daily. `training_sessions` is the one source of truth for what a period's model may see;
the Dagster mapping must agree with it, and a test says so for every key.
"""

import datetime as dt
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import dagster as dg

from assets.desk import NS, Desk, DeskError

SESSION_FORMAT: Final = "%Y-%m-%d"
_EVERY_DAY: Final = "0 0 * * *"
_WEEKDAYS: Final = "0 0 * * 1-5"
_OWN_HOURS: Final = {"weekdays", "24/7"}
"""Calendars of our own, whose hours come from the desk; every other name is exchange_calendars'."""


@dataclass(frozen=True)
class Window:
    """A session's hours as UTC nanoseconds: open inclusive, close exclusive."""

    open_ns: int
    close_ns: int


class Calendar:
    """The sessions and periods of one desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._step = dt.timedelta(days=7 if desk.retrain == "weekly" else 1)

    @property
    def session_partitions(self) -> dg.TimeWindowPartitionsDefinition:
        """One partition for each weekday (or each day), holidays included."""
        last = self._desk.last_session
        return dg.TimeWindowPartitionsDefinition(
            start=self._desk.first_session.isoformat(),
            end=self._following(last).isoformat() if last else None,
            cron_schedule=_EVERY_DAY if self._desk.every_day else _WEEKDAYS,
            fmt=SESSION_FORMAT,
        )

    @property
    def period_partitions(self) -> dg.TimeWindowPartitionsDefinition:
        """One partition for each model; the coming period exists before it begins."""
        if self._desk.retrain == "daily":
            return self.session_partitions
        last = self._desk.last_session
        # The week after the last session is still trained: it is the model that would trade next.
        end = self.period_of(last) + 2 * self._step if last else None
        return dg.WeeklyPartitionsDefinition(
            start_date=self.period_of(self._desk.first_session).isoformat(),
            end_date=end.isoformat() if end else None,
            day_offset=1,
            end_offset=2 if end is None else 0,
            fmt=SESSION_FORMAT,
        )

    @property
    def training_mapping(self) -> dg.TimeWindowPartitionMapping:
        """From a period to the sessions its model is trained on."""
        per_period = 1 if self._desk.retrain == "daily" else (7 if self._desk.every_day else 5)
        periods = self._desk.training_sessions // per_period
        return dg.TimeWindowPartitionMapping(start_offset=-periods, end_offset=-1)

    def sessions(self) -> list[dt.date]:
        """Every session key up to the desk's last session, or up to today."""
        return [_date(key) for key in self.session_partitions.get_partition_keys()]

    def periods(self) -> list[dt.date]:
        """Every period key that has its whole training window in the desk's history."""
        keys = [_date(key) for key in self.period_partitions.get_partition_keys()]
        return [period for period in keys if self.has_history(period)]

    def period_of(self, session: dt.date) -> dt.date:
        """The period that a session belongs to."""
        return session if self._desk.retrain == "daily" else session - dt.timedelta(days=session.weekday())

    def period_sessions(self, period: dt.date) -> list[dt.date]:
        """The sessions that a period's model trades."""
        return [session for session in self.sessions() if self.period_of(session) == period]

    def training_sessions(self, period: dt.date) -> list[dt.date]:
        """The sessions that a period's model may see: the window just before it, holidays included."""
        day, window = period, []
        while len(window) < self._desk.training_sessions:
            day -= dt.timedelta(days=1)
            if self._desk.every_day or day.weekday() < 5:
                window.append(day)
        return window[::-1]

    def _following(self, session: dt.date) -> dt.date:
        # A partition's window runs to the next tick of the cron, so Friday's ends on Monday.
        day = session + dt.timedelta(days=1)
        while not self._desk.every_day and day.weekday() >= 5:
            day += dt.timedelta(days=1)
        return day

    def has_history(self, period: dt.date) -> bool:
        """Whether the training window lies wholly within the desk's sessions."""
        return self.training_sessions(period)[0] >= self._desk.first_session

    def window(self, market: str, session: dt.date) -> Window | None:
        """Hours of a session, or None on a holiday.

        Raises:
            DeskError: the market's calendar is unknown, or the desk gives no hours for it.
        """
        name = self._desk.markets[market].calendar
        if name not in _OWN_HOURS:
            exchange = _exchange_calendar(name, self._desk.first_session.year)
            label = session.isoformat()
            if not exchange.is_session(label):
                return None
            return Window(exchange.session_open(label).value, exchange.session_close(label).value)
        if self._desk.hours is None and name == "weekdays":
            raise DeskError(f"markets.{market}: calendar 'weekdays' needs hours = [open, close] in UTC in the desk file")
        if name == "weekdays" and session.weekday() >= 5:
            return None
        start, end = self._desk.hours or (dt.time(0), dt.time(0))
        opens, closes = _utc_ns(session, start), _utc_ns(session, end)
        return Window(opens, closes if closes > opens else closes + 86_400 * NS)


def _date(key: str) -> dt.date:
    return dt.date.fromisoformat(key)


def _utc_ns(day: dt.date, time: dt.time) -> int:
    return int(dt.datetime.combine(day, time, dt.UTC).timestamp()) * NS


@cache
def _exchange_calendar(name: str, first_year: int) -> Any:
    import exchange_calendars

    try:
        return exchange_calendars.get_calendar(name, start=f"{first_year - 1}-01-01")
    except exchange_calendars.errors.InvalidCalendarName:
        raise DeskError(f"unknown calendar {name!r}: use 'weekdays', '24/7' or a name from exchange_calendars such as 'CMES' or 'XNYS'") from None
