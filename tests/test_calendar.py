"""Which sessions a model may see, told twice (by the calendar and by Dagster's mapping), must be the same answer."""

import datetime as dt

import pytest
from dagster import TimeWindowPartitionMapping, TimeWindowPartitionsDefinition

from assets.calendar import Calendar
from assets.desk import Desk, DeskError, Market

FIRST = dt.date(2025, 1, 6)
SUNDAY = dt.date(2026, 1, 25)


def desk(**changes: object) -> Desk:
    market = Market(symbol="FLWZ6", tick_size="0.10", calendar=str(changes.pop("calendar", "weekdays")))
    settings = {
        "name": "test",
        "home": "var",
        "traded": "FLW",
        "markets": {"FLW": market},
        "first_session": FIRST,
        "last_session": dt.date(2026, 1, 23),
        "hours": (dt.time(13, 30), dt.time(20)),
    }
    return Desk.model_validate(settings | changes)


Partitions = TimeWindowPartitionsDefinition


def upstream(mapping: TimeWindowPartitionMapping, key: str, down: Partitions, up: Partitions) -> list[str]:
    subset = down.empty_subset().with_partition_keys([key])
    return sorted(mapping.get_upstream_mapped_partitions_result_for_partitions(subset, down, up).partitions_subset.get_partition_keys())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"retrain": "daily", "training_sessions": 3},
        {"calendar": "24/7", "training_sessions": 28, "last_session": SUNDAY},
        {"training_sessions": 5},
    ],
    ids=["weekly", "daily", "every-day", "one-week"],
)
def test_dagsters_mapping_gives_exactly_the_training_sessions_for_every_period(changes: dict[str, object]) -> None:
    calendar = Calendar(desk(**changes))
    periods = calendar.periods()
    assert len(periods) > 50
    for period in periods:
        told = upstream(calendar.training_mapping, period.isoformat(), calendar.period_partitions, calendar.session_partitions)
        assert told == [day.isoformat() for day in calendar.training_sessions(period)]
        assert all(day < period for day in calendar.training_sessions(period))


def test_every_traded_session_depends_on_the_model_of_its_own_week_and_no_other() -> None:
    calendar = Calendar(desk())
    assert len(calendar.traded_sessions()) > 200
    for session in calendar.traded_sessions():
        told = upstream(TimeWindowPartitionMapping(), session.isoformat(), calendar.traded_partitions, calendar.period_partitions)
        assert told == [calendar.period_of(session).isoformat()]
        assert session not in calendar.training_sessions(calendar.period_of(session))


def test_the_first_period_is_the_first_with_a_whole_window_and_the_last_is_the_week_to_come() -> None:
    calendar = Calendar(desk())
    assert calendar.periods()[0] == dt.date(2025, 2, 3)
    assert calendar.training_sessions(calendar.periods()[0])[0] == FIRST
    assert calendar.periods()[-1] == dt.date(2026, 1, 26)
    assert not calendar.has_history(dt.date(2025, 1, 27))


def test_what_is_scored_has_sessions_and_the_week_to_come_has_none() -> None:
    calendar = Calendar(desk())
    scored = [dt.date.fromisoformat(key) for key in calendar.scored_partitions.get_partition_keys()]
    assert scored == [period for period in calendar.periods() if calendar.period_sessions(period)] == calendar.periods()[:-1]


def test_the_coming_week_exists_over_the_weekend_before_it() -> None:
    calendar = Calendar(desk(last_session=None))
    saturday = dt.datetime(2026, 6, 6, 12, tzinfo=dt.UTC)
    assert calendar.period_partitions.get_partition_keys(current_time=saturday)[-1] == "2026-06-08"
    assert calendar.scored_partitions.get_partition_keys(current_time=saturday)[-1] == "2026-06-01"


def test_an_evening_open_belongs_to_the_next_trade_date_and_a_holiday_has_no_window() -> None:
    calendar = Calendar(desk(calendar="CMES", hours=None))
    monday = calendar.window("FLW", dt.date(2025, 6, 9))
    assert monday is not None
    assert dt.datetime.fromtimestamp(monday.open_ns / 1e9, dt.UTC) == dt.datetime(2025, 6, 8, 22, tzinfo=dt.UTC)
    assert calendar.window("FLW", dt.date(2025, 12, 25)) is None
    assert dt.date(2025, 12, 25) in calendar.sessions()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [({"calendar": "MOON"}, "unknown calendar 'MOON'"), ({"hours": None}, "needs hours")],
)
def test_a_calendar_that_cannot_be_used_is_named(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(DeskError, match=sentence):
        Calendar(desk(**changes)).window("FLW", FIRST)
