"""What the schedules ask for, with the clock at each of their ticks: through a year, holidays, both changes of the clocks and its end."""

import datetime as dt
from itertools import takewhile
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.test_utils import freeze_time
from dagster._utils.schedules import schedule_execution_time_iterator

from assets.calendar import Calendar
from assets.desk import NS, Desk
from pipelines.definitions import build_definitions

UTC = dt.UTC
FIRST, LAST = dt.date(2025, 3, 3), dt.date(2026, 3, 13)

MARKETS: dict[str, dict[str, Any]] = {
    "utc": {"hours": ["13:30", "20:00"]},
    "chicago": {"calendar": "CMES"},
    "tokyo": {"calendar": "XTKS"},
    "midnight": {"hours": ["18:00", "00:00"], "zone": "America/Los_Angeles"},
    "every_day": {"calendar": "24/7"},
}


def desk(folder: Path, market: str, retrain: str, leader: str | None = None) -> Desk:
    every_day = MARKETS[market].get("calendar") == "24/7"
    named = {"M": market, **({"L": leader} if leader else {})}
    return Desk.model_validate(
        {
            "name": "clock", "home": folder, "traded": "M", "leaders": [name for name in named if name != "M"],
            "first_session": FIRST, "retrain": retrain, "training_sessions": 7 if every_day else 5,
            "markets": {name: {"symbol": name, "tick_size": "0.25", **MARKETS[kind]} for name, kind in named.items()},
        }
    )  # fmt: skip


def asked(own: Desk, name: str) -> list[tuple[dt.datetime, str]]:
    """(tick, partition) of every request of a schedule, evaluated with the clock at the tick, as the daemon does."""
    repository = build_definitions(own).get_repository_def()
    schedule = repository.get_schedule_def(name)
    partitions = repository.get_job(schedule.job_name).partitions_def
    assert partitions is not None
    start, end = (dt.datetime.combine(day, dt.time(), UTC) for day in (FIRST, LAST))
    ticks = schedule_execution_time_iterator(start.timestamp(), schedule.cron_schedule, schedule.execution_timezone)
    found = []
    for tick in takewhile(lambda tick: tick < end, ticks):
        with freeze_time(tick.astimezone(UTC)):
            told = schedule(dg.build_schedule_context(scheduled_execution_time=tick))
            if isinstance(told, dg.RunRequest):
                assert told.partition_key is not None
                assert told.partition_key in partitions.get_partition_keys()
                found.append((tick, told.partition_key))
    return found


@pytest.mark.parametrize(
    ("market", "leader", "retrain"),
    [
        ("utc", None, "weekly"),
        ("chicago", "utc", "weekly"),
        ("tokyo", "chicago", "daily"),
        ("midnight", None, "daily"),
        ("every_day", None, "weekly"),
    ],
)
def test_every_session_is_asked_for_the_night_after_it_once_it_is_over(
    market: str, leader: str | None, retrain: str, tmp_path: Path
) -> None:
    own = desk(tmp_path, market, retrain, leader)
    calendar, requests = Calendar(own), asked(own, "nightly")
    due = [FIRST + dt.timedelta(days) for days in range((LAST - FIRST).days - 2)]
    due = [day for day in due if own.every_day or day.weekday() < 5]
    assert [key for _, key in requests][: len(due)] == [day.isoformat() for day in due]
    for tick, key in requests:
        windows = [calendar.window(name, dt.date.fromisoformat(key)) for name in own.all_markets]
        closes = [window.close_ns / NS for window in windows if window]
        assert not closes or max(closes) <= tick.timestamp() < max(closes) + 36 * 3600


@pytest.mark.parametrize(("market", "retrain"), [("chicago", "weekly"), ("utc", "daily"), ("every_day", "weekly")])
def test_a_retrain_is_asked_for_each_period_when_its_whole_window_can_be_had(market: str, retrain: str, tmp_path: Path) -> None:
    own = desk(tmp_path, market, retrain)
    calendar, trained = Calendar(own), set()
    for tick, key in asked(own, "weekly_retrain"):
        with freeze_time(tick.astimezone(UTC)):
            assert set(calendar.training_sessions(dt.date.fromisoformat(key))) <= set(calendar.sessions())
        trained.add(dt.date.fromisoformat(key))
    with freeze_time(dt.datetime.combine(LAST - dt.timedelta(days=7), dt.time(12), UTC)):
        over = [period for period in calendar.periods() if calendar.period_sessions(period)]
    assert set(over) <= trained


def test_a_fridays_session_exists_from_its_close_and_not_before(tmp_path: Path) -> None:
    calendar, friday = Calendar(desk(tmp_path, "chicago", "weekly")), dt.date(2026, 3, 6)
    window = calendar.window("M", friday)
    assert window is not None
    close = dt.datetime.fromtimestamp(window.close_ns / NS, UTC)
    for moment, there in ((close - dt.timedelta(seconds=1), False), (close, True)):
        with freeze_time(moment):
            assert (friday in calendar.sessions()) is there


def test_the_evening_is_that_of_the_market_that_closes_last(tmp_path: Path) -> None:
    told = {}
    for market, leader in (("utc", None), ("chicago", "utc"), ("tokyo", "chicago"), ("tokyo", "utc"), ("midnight", None)):
        told[market, leader] = tuple(Calendar(desk(tmp_path, market, "weekly", leader)).evening)
    assert told == {
        ("utc", None): ("UTC", dt.time(20)),
        ("chicago", "utc"): ("America/Chicago", dt.time(16)),
        ("tokyo", "chicago"): ("America/Chicago", dt.time(16)),
        ("tokyo", "utc"): ("UTC", dt.time(20)),
        ("midnight", None): ("America/Los_Angeles", dt.time(23, 59)),
    }
