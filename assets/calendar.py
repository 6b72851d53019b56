"""Trading sessions, model periods, training windows, and the Dagster partitions made from them.

A *session* is keyed by its trade date (Sunday evening belongs to Monday). A *period* is the stretch
of sessions that one model trades: a week that begins on Monday, or a single session on a desk that
retrains daily. `training_sessions` is the one source of truth for what a period's model may see;
the Dagster mapping must agree with it, and a test says so for every key.

A session's partition exists from the close of the desk's last market on: partitions begin at that time of day, in that market's zone,
and are offered from their beginning. So the night after a Friday finds it, and Saturday's retrain has its week.
"""

import datetime as dt
from functools import cached_property
from typing import Final, NamedTuple

import dagster as dg

from assets.desk import NS, Desk
from assets.hours import Window, usual_close, window_of, zone_of

SESSION_FORMAT: Final = "%Y-%m-%d"
_DAY: Final = dt.timedelta(days=1)
_MIDNIGHT: Final = dt.time()
_LONGEST_CLOSURE: Final = 31
"""Days without a session after which the one before is no longer looked for."""


class Evening(NamedTuple):
    """When the last of a desk's markets closes, on the clock of that market's zone."""

    zone: str
    time: dt.time
    """00:00 is the end of the trade date."""


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
        return self._sessions_from(self.first_period())

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

    def scored_periods(self) -> list[dt.date]:
        """The key of every period that has sessions to be scored on."""
        return _dates(self.scored_partitions)

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

    def first_period(self) -> dt.date:
        """The first period whose training window lies within the desk's sessions, be it over or to come."""
        day = self.period_of(self._desk.first_session)
        while not (self._has_key(day) and self.period_of(day) == day and self.has_history(day)):
            day += _DAY
        return day

    def _periods_of_training(self) -> int:
        per_period = 1 if self._desk.retrain == "daily" else (7 if self._desk.every_day else 5)
        return self._desk.training_sessions // per_period

    @cached_property
    def evening(self) -> Evening:
        """When a session's partition begins to exist; what runs by the clock runs in this zone.

        Raises:
            DeskError: a market's calendar is unknown, or the desk gives no hours for it.
        """
        closes = list[dt.datetime]()
        for month in (1, 7):  # winter's time and summer's
            day = dt.datetime(self._desk.first_session.year, month, 15)
            for market in self._desk.all_markets:
                closes.append((day + usual_close(self._desk, market)).replace(tzinfo=zone_of(self._desk, market)))
        latest = max(closes, key=lambda close: close.astimezone(dt.UTC) - dt.datetime(close.year, close.month, 15, tzinfo=dt.UTC))
        zone = latest.tzinfo
        after = max(close.astimezone(zone).replace(tzinfo=None) - dt.datetime(close.year, close.month, 15) for close in closes)
        if after < _DAY:
            return Evening(str(zone), (dt.datetime.min + after).time())
        # A session that lasts to the end of its date would be over on a day that is none of its own where there are weekends.
        return Evening(str(zone), _MIDNIGHT if self._desk.every_day else dt.time(23, 59))

    def _periods_to(self, last: dt.date | None, ahead: int) -> dg.TimeWindowPartitionsDefinition:
        """Periods from the first that can be trained to `last`; where the desk goes on, to `ahead` weeks past those that are over."""
        first = self.first_period()
        if self._desk.retrain == "daily":
            return self._sessions_from(first)
        end = max(last, first) + 7 * _DAY if last else None
        return self._partitions(first, end, "1", 0 if end else ahead)

    def _sessions_from(self, first: dt.date) -> dg.TimeWindowPartitionsDefinition:
        last, at_midnight = self._desk.last_session, self.evening.time == _MIDNIGHT
        end = self._following(max(last, first)) if last else None
        return self._partitions(first, end, "*" if self._desk.every_day else "1-5", 0 if at_midnight else 1)

    def _partitions(self, first: dt.date, end: dt.date | None, days: str, ahead: int) -> dg.TimeWindowPartitionsDefinition:
        """Partitions of these days of the week before `end`, from evening to evening; `ahead` of them are offered that are not over."""
        zone, time = self.evening
        if end and time != _MIDNIGHT:
            end += _DAY  # the last one ends on the evening of that day
        return dg.TimeWindowPartitionsDefinition(
            start=first.isoformat(),
            end=end.isoformat() if end else None,
            cron_schedule=f"{time.minute} {time.hour} * * {days}",
            timezone=zone,
            fmt=SESSION_FORMAT,
            end_offset=ahead,
        )

    def _following(self, session: dt.date) -> dt.date:
        # A partition's window runs to the next tick of the cron, so Friday's ends on Monday.
        day = session + _DAY
        while not self._has_key(day):
            day += _DAY
        return day

    def span(self, market: str, session: dt.date) -> Window | None:
        """Whose records are a session's: those since the close of the market's session before it, until its own; None on a holiday.

        Each moment is in one session, so each record is. Before the first session that the calendar knows a day is taken.
        """
        window = self.window(market, session)
        if window is None:
            return None
        before = (self.window(market, session - days * _DAY) for days in range(1, _LONGEST_CLOSURE))
        closed = next((earlier.close_ns for earlier in before if earlier is not None), window.open_ns - 86_400 * NS)
        return Window(closed, window.close_ns)

    def window(self, market: str, session: dt.date) -> Window | None:
        """Hours of a session, or None on a holiday.

        Raises:
            DeskError: the market's calendar is unknown, or the desk gives no hours for it.
        """
        return window_of(self._desk, market, session)


def _dates(partitions: dg.TimeWindowPartitionsDefinition) -> list[dt.date]:
    return [dt.date.fromisoformat(key) for key in partitions.get_partition_keys()]
