"""A market's sessions against what its exchange has published, and the desk's own hours and days."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from assets.desk import Desk
from assets.hours import Stretch, Window, window_of

HALF_DAYS = ("2023-11-24", "2024-07-03", "2024-11-29", "2024-12-24")
MONDAY_HOLIDAYS = ("2024-01-15", "2024-02-19", "2024-05-27", "2024-09-02", "2024-06-19", "2024-07-04", "2024-11-28")

PUBLISHED = {
    # name, trade date: stretches on the market's own clock, an hour and minute of the day before with a -
    ("CMES", "2024-01-10"): "-17:00 16:00",
    ("CMES", "2024-03-11"): "-17:00 16:00",  # the Sunday on which clocks are put forward
    ("CMES", "2024-11-04"): "-17:00 16:00",  # and back
    ("CMES", "2024-01-08"): "-17:00 16:00",
    **{("CMES", day): "-17:00 12:15" for day in HALF_DAYS},
    **{("CMES", day): "-17:00 12:00" for day in MONDAY_HOLIDAYS},
    **{("CMES", day): "" for day in ("2023-12-25", "2024-01-01", "2024-03-29", "2024-12-25", "2024-01-06", "2024-01-07")},
    ("CMES", "2024-12-26"): "-17:00 16:00",
    ("CMES", "2023-04-07"): "-17:00 08:15",
    ("CMES", "2025-01-09"): "-17:00 08:30",
    ("CBOT_GRAINS", "2024-01-10"): "-19:00 07:45 08:30 13:20",
    ("CBOT_GRAINS", "2024-03-11"): "-19:00 07:45 08:30 13:20",
    ("CBOT_GRAINS", "2024-11-04"): "-19:00 07:45 08:30 13:20",
    ("CBOT_GRAINS", "2024-01-16"): "-19:00 07:45 08:30 13:20",
    ("CBOT_GRAINS", "2024-11-29"): "08:30 12:05",
    ("CBOT_GRAINS", "2024-07-05"): "08:30 13:20",
    ("CBOT_GRAINS", "2023-12-26"): "08:30 13:20",
    ("CBOT_GRAINS", "2024-01-02"): "08:30 13:20",
    ("CBOT_GRAINS", "2024-07-03"): "-19:00 07:45 08:30 12:05",
    ("CBOT_GRAINS", "2024-12-24"): "-19:00 07:45 08:30 12:05",
    **{("CBOT_GRAINS", day): "" for day in ("2024-01-15", "2024-03-29", "2024-05-27", "2024-06-19", "2024-07-04", "2024-12-25")},
    ("XNYS", "2024-03-08"): "09:30 16:00",
    ("XNYS", "2024-03-11"): "09:30 16:00",
    ("XNYS", "2024-11-04"): "09:30 16:00",
    **{("XNYS", day): "09:30 13:00" for day in HALF_DAYS},
    **{("XNYS", day): "" for day in MONDAY_HOLIDAYS},
    ("XTKS", "2024-11-01"): "09:00 11:30 12:30 15:00",
    ("XTKS", "2024-11-05"): "09:00 11:30 12:30 15:25",  # from here on the session ends at 15:30, with an auction of five minutes
    ("XTKS", "2024-12-30"): "09:00 11:30 12:30 15:25",
    **{("XTKS", day): "" for day in ("2024-01-01", "2024-01-02", "2024-01-03", "2024-02-12", "2024-05-06", "2024-11-04", "2024-12-31")},
    ("XHKG", "2024-01-10"): "09:30 12:00 13:00 16:00",
    **{("XHKG", day): "09:30 12:00" for day in ("2024-02-09", "2024-12-24", "2024-12-31", "2025-01-28")},
    **{("XHKG", day): "" for day in ("2024-02-12", "2024-03-29", "2024-05-01", "2024-10-01", "2024-12-25", "2024-12-26")},
    ("XSHG", "2024-01-10"): "09:30 11:30 13:00 14:57",
    ("XSHG", "2024-02-08"): "09:30 11:30 13:00 14:57",
    **{("XSHG", day): "" for day in ("2024-01-01", "2024-02-09", "2024-02-12", "2024-04-04", "2024-05-01", "2024-06-10", "2024-10-01")},
    **{("XSHG", day): "" for day in ("2024-10-07", "2025-01-01", "2025-01-28")},
}
ZONES = {
    "CMES": "America/Chicago", "CBOT_GRAINS": "America/Chicago", "XNYS": "America/New_York",
    "XTKS": "Asia/Tokyo", "XHKG": "Asia/Hong_Kong", "XSHG": "Asia/Shanghai",
}  # fmt: skip


def desk(**market: object) -> Desk:
    further = {name: market.pop(name) for name in ("hours_of_desk",) if name in market}
    settings = {"name": "test", "home": "var", "traded": "M", "first_session": dt.date(2024, 1, 1), "retrain": "daily"}
    markets = {"M": {"symbol": "M", "tick_size": "0.25", "maker_fee": 0, "taker_fee": 0, **market}}
    return Desk.model_validate(settings | {"markets": markets, "hours": further.get("hours_of_desk")})


def told(window: Window | None, session: dt.date, zone: str) -> str:
    """The stretches of a session as in `PUBLISHED`."""
    moments = [moment for stretch in window.continuous for moment in stretch[:2]] if window else []
    local = [dt.datetime.fromtimestamp(moment / 1e9, ZoneInfo(zone)) for moment in moments]
    return " ".join(f"{'-' if moment.date() < session else ''}{moment:%H:%M}" for moment in local)


@pytest.mark.parametrize(("name", "day"), PUBLISHED, ids=[f"{name}-{day}" for name, day in PUBLISHED])
def test_a_calendar_keeps_the_hours_that_its_exchange_has_published(name: str, day: str) -> None:
    session = dt.date.fromisoformat(day)
    assert told(window_of(desk(calendar=name), "M", session), session, ZONES[name]) == PUBLISHED[name, day]


@pytest.mark.parametrize("name", ["CME", "CBOT", "NYMEX", "COMEX", "us_futures"])
def test_no_name_of_a_futures_calendar_closes_an_hour_after_trading_ends(name: str) -> None:
    session = dt.date(2024, 1, 10)
    assert told(window_of(desk(calendar=name), "M", session), session, "America/Chicago") == "-17:00 16:00"


@pytest.mark.parametrize(
    ("hours", "stretches"),
    [
        (["08:30", "15:00"], "08:30 15:00"),
        (["17:00", "16:00"], "-17:00 16:00"),
        (["17:00", "17:00"], "-17:00 17:00"),
        (["00:00", "12:00"], "00:00 12:00"),
        ([["19:00", "07:45"], ["08:30", "13:20"]], "-19:00 07:45 08:30 13:20"),
        ([["20:00", "23:00"], ["01:00", "05:00"]], "-20:00 -23:00 01:00 05:00"),
    ],
)
def test_hours_are_told_in_the_markets_own_zone_and_end_on_the_trade_date(hours: object, stretches: str) -> None:
    for session in (dt.date(2024, 1, 8), dt.date(2024, 3, 11), dt.date(2024, 7, 8)):
        found = window_of(desk(calendar="weekdays", zone="America/Chicago", hours=hours), "M", session)
        assert told(found, session, "America/Chicago") == stretches


def test_a_whole_day_ends_with_the_trade_date() -> None:
    session = dt.date(2024, 1, 8)
    for hours in (None, (dt.time(), dt.time())):
        window = window_of(desk(calendar="24/7", hours_of_desk=hours), "M", session)
        assert window is not None
        assert window.close_ns - window.open_ns == 86_400 * 10**9
        assert told(window, session, "UTC").startswith("00:00")


def test_a_single_day_is_what_the_desk_says_of_it() -> None:
    own = desk(calendar="CMES", days={"2024-06-19": "closed", "2024-06-20": [["08:00", "12:00"]]})
    assert window_of(own, "M", dt.date(2024, 6, 19)) is None
    assert told(window_of(own, "M", dt.date(2024, 6, 20)), dt.date(2024, 6, 20), "America/Chicago") == "08:00 12:00"
    assert told(window_of(own, "M", dt.date(2024, 6, 21)), dt.date(2024, 6, 21), "America/Chicago") == "-17:00 16:00"


def test_own_hours_on_an_exchanges_days_end_where_it_closes_early() -> None:
    regular = desk(calendar="CMES", hours=["08:30", "15:00"])
    days = {"2024-01-10": "08:30 15:00", "2024-11-29": "08:30 12:15", "2024-12-25": ""}
    for day, stretches in days.items():
        session = dt.date.fromisoformat(day)
        assert told(window_of(regular, "M", session), session, "America/Chicago") == stretches


@pytest.mark.parametrize(
    ("market", "sentence"),
    [
        ({"zone": "Chicago"}, "no time zone is called 'Chicago'"),
        ({"hours": [["08:00", "10:00"], ["09:00", "12:00"]]}, "in the order of time"),
        ({"hours": [["19:00", "18:00"], ["17:00", "20:00"]]}, "in the order of time"),
        ({"hours": []}, "hours are"),
        ({"days": {"2024-06-22": [["08:00", "10:00"]]}}, "is a Saturday"),
    ],
)
def test_hours_that_cannot_be_are_refused_in_a_sentence(market: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        desk(**market)


moments = st.integers(0, 1000)
cuts = st.lists(st.tuples(moments, moments).map(sorted), max_size=6)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(pauses=cuts, rolls=st.lists(moments, max_size=3, unique=True).map(sorted))
def test_stretches_and_pauses_share_the_session_between_them(pauses: list[list[int]], rolls: list[int]) -> None:
    session = Window(0, 1000).without([(begin, end) for begin, end in pauses], "halt").rolled([(0, 7), *((at, at) for at in rolls)])
    trading = {t for stretch in session.continuous for t in range(stretch.begin_ns, stretch.end_ns)}
    assert trading == {t for t in range(1000) if not any(begin <= t < end for begin, end in pauses)}
    assert {t for begin, end in session.pauses for t in range(begin, end)} == set(range(1000)) - trading
    for before, after in zip(session.continuous, session.continuous[1:], strict=False):
        assert before.end_ns <= after.begin_ns
    for stretch in session.continuous:
        assert isinstance(stretch, Stretch)
        assert stretch.instrument_id == max([at for at in rolls if at <= stretch.begin_ns], default=7)
