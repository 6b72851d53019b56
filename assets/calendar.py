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
_DAY: Final = dt.timedelta(days=1)
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

    @property
    def session_partitions(self) -> dg.TimeWindowPartitionsDefinition:
        """One partition for each weekday (or each day), holidays included."""
        return self._sessions_from(self._desk.first_session)

    @property
    def traded_partitions(self) -> dg.TimeWindowPartitionsDefinition:
        """The sessions that some model trades: those after the first training window."""
        return self._sessions_from(self._first_period())

    @property
    def period_partitions(self) -> dg.TimeWindowPartitionsDefinition:
        """One partition for each model with its whole training window in the desk's history; the coming period exists early."""
        last = self._desk.last_session
        # The week after a complete last week is still trained: it is the model that would trade next.
        return self._periods_to(self.period_of(self._following(last)) if last else None, ahead=2)

    @property
    def scored_partitions(self) -> dg.TimeWindowPartitionsDefinition:
        """The periods that have a session to be scored on: not the one to come."""
        last = self._desk.last_session
        return self._periods_to(self.period_of(last) if last else None, ahead=1)

    @property
    def training_mapping(self) -> dg.TimeWindowPartitionMapping:
        """From a period to the sessions its model is trained on."""
        return dg.TimeWindowPartitionMapping(start_offset=-self._periods_of_training(), end_offset=-1)

    @property
    def scoring_mapping(self) -> dg.TimeWindowPartitionMapping:
        """From a period to the sessions its model is trained on and the sessions it trades."""
        return dg.TimeWindowPartitionMapping(start_offset=-self._periods_of_training(), end_offset=0)

    def sessions(self) -> list[dt.date]:
        """Every session key up to the desk's last session, or up to today."""
        return _dates(self.session_partitions)

    def traded_sessions(self) -> list[dt.date]:
        """The sessions that some model trades."""
        return _dates(self.traded_partitions)

    def periods(self) -> list[dt.date]:
        """The key of every period that a model can be trained for."""
        return _dates(self.period_partitions)

    def period_of(self, session: dt.date) -> dt.date:
        """The period that a session belongs to."""
        return session if self._desk.retrain == "daily" else session - dt.timedelta(days=session.weekday())

    def period_sessions(self, period: dt.date) -> list[dt.date]:
        """The sessions that a period's model trades."""
        return [session for session in self.sessions() if self.period_of(session) == period]

    def training_sessions(self, period: dt.date) -> list[dt.date]:
        """The sessions that a period's model may see: the window just before it, holidays included."""
        day = period
        window: list[dt.date] = []
        while len(window) < self._desk.training_sessions:
            day -= _DAY
            if self._has_key(day):
                window.append(day)
        return window[::-1]

    def has_history(self, period: dt.date) -> bool:
        """Whether the training window lies wholly within the desk's sessions."""
        return self.training_sessions(period)[0] >= self._desk.first_session

    def _has_key(self, day: dt.date) -> bool:
        return self._desk.every_day or day.weekday() < 5

    def _first_period(self) -> dt.date:
        day = self.period_of(self._desk.first_session)
        while not (self._has_key(day) and self.period_of(day) == day and self.has_history(day)):
            day += _DAY
        return day

    def _periods_of_training(self) -> int:
        per_period = 1 if self._desk.retrain == "daily" else (7 if self._desk.every_day else 5)
        return self._desk.training_sessions // per_period

    def _periods_to(self, last: dt.date | None, ahead: int) -> dg.TimeWindowPartitionsDefinition:
        """Periods from the first that can be trained to `last`; where the desk goes on, to `ahead` weeks past those that are over."""
        first = self._first_period()
        if self._desk.retrain == "daily":
            return self._sessions_from(first)
        end = (max(last, first) + 7 * _DAY).isoformat() if last else None
        return dg.WeeklyPartitionsDefinition(
            start_date=first.isoformat(), end_date=end, day_offset=1, end_offset=0 if end else ahead, fmt=SESSION_FORMAT
        )

    def _sessions_from(self, first: dt.date) -> dg.TimeWindowPartitionsDefinition:
        last = self._desk.last_session
        return dg.TimeWindowPartitionsDefinition(
            start=first.isoformat(),
            end=self._following(max(last, first)).isoformat() if last else None,
            cron_schedule=_EVERY_DAY if self._desk.every_day else _WEEKDAYS,
            fmt=SESSION_FORMAT,
        )

    def _following(self, session: dt.date) -> dt.date:
        # A partition's window runs to the next tick of the cron, so Friday's ends on Monday.
        day = session + _DAY
        while not self._has_key(day):
            day += _DAY
        return day

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


def _dates(partitions: dg.TimeWindowPartitionsDefinition) -> list[dt.date]:
    return [dt.date.fromisoformat(key) for key in partitions.get_partition_keys()]


def _utc_ns(day: dt.date, time: dt.time) -> int:
    return int(dt.datetime.combine(day, time, dt.UTC).timestamp()) * NS


@cache
def _exchange_calendar(name: str, first_year: int) -> Any:
    import exchange_calendars

    try:
        return exchange_calendars.get_calendar(name, start=f"{first_year - 1}-01-01")
    except exchange_calendars.errors.InvalidCalendarName:
        raise DeskError(f"unknown calendar {name!r}: use 'weekdays', '24/7' or a name of exchange_calendars ('CMES', 'XNYS')") from None
