"""A day that the vendor has not whole: refused in the same words whether its API says so or a download's condition.json."""

import datetime as dt
import json
from pathlib import Path

import pytest

from assets.desk import DbnFolderSource, Desk, Market
from assets.ticks.condition import CONDITION_FILE, refuse
from assets.ticks.dbn import TicksError, header_of
from assets.ticks.source import open_source

MONDAY = dt.date(2026, 8, 24)
MIDNIGHT = int(dt.datetime(2026, 8, 24, tzinfo=dt.UTC).timestamp()) * 10**9


def folder(tmp_path: Path, conditions: object, *, allow_degraded: bool = False) -> Desk:
    """A desk on a folder of one job: a file of the days 23 to 25 August and what the vendor says of them."""
    job = tmp_path / "job"
    job.mkdir(exist_ok=True)
    start, end = MIDNIGHT - 86_400 * 10**9, MIDNIGHT + 2 * 86_400 * 10**9
    (job / "x.dbn").write_bytes(header_of(dataset="GLBX.MDP3", schema="mbo", instruments={"FLWZ6": [1]}, start_ns=start, end_ns=end))
    (job / CONDITION_FILE).write_text(conditions if isinstance(conditions, str) else json.dumps(conditions))
    return Desk.model_validate(
        {
            "name": "small",
            "home": tmp_path / "home",
            "traded": "FLW",
            "markets": {"FLW": Market(symbol="FLWZ6", tick_size="0.1", maker_fee="0", taker_fee="0")},
            "source": DbnFolderSource(kind="dbn_folder", folder=tmp_path, allow_degraded=allow_degraded),
            "first_session": MONDAY,
            "hours": (dt.time(13, 30), dt.time(13, 40)),
        }
    )


def told(day: dt.date, condition: str) -> list[dict[str, str]]:
    return [{"date": day.isoformat(), "condition": condition, "last_modified_date": "2026-08-30"}]


@pytest.mark.parametrize("condition", ["available", "degraded", "pending", "missing", "intraday"])
@pytest.mark.parametrize("allow_degraded", [False, True])
def test_the_folder_takes_and_refuses_what_the_api_takes_and_refuses(tmp_path: Path, condition: str, allow_degraded: bool) -> None:
    def of_the_api() -> str | None:
        try:
            refuse("FLW on 2026-08-24", "GLBX.MDP3", MONDAY, condition, allow_degraded=allow_degraded)
        except TicksError as error:
            return str(error)
        return None

    def of_the_folder() -> str | None:
        try:
            open_source(folder(tmp_path, told(MONDAY, condition), allow_degraded=allow_degraded)).fetch("FLW", MONDAY)
        except TicksError as error:
            return str(error)
        return None

    assert of_the_folder() == of_the_api()
    assert (of_the_api() is None) == (condition == "available" or (condition == "degraded" and allow_degraded))


@pytest.mark.parametrize("days", [-1, 1])
def test_a_day_outside_the_sessions_hours_and_a_day_that_is_not_listed_are_no_obstacle(tmp_path: Path, days: int) -> None:
    source = open_source(folder(tmp_path, told(MONDAY + dt.timedelta(days=days), "degraded")))
    assert source.fetch("FLW", MONDAY) == [tmp_path / "job" / "x.dbn"]


@pytest.mark.parametrize("content", ["", "{}x", '{"date": 1}', "[1]", '[{"date": "2026-08-24"}]'])
def test_a_list_that_is_none_is_told_in_a_sentence(tmp_path: Path, content: str) -> None:
    with pytest.raises(TicksError, match=r"condition\.json is no list of days and their conditions") as error:
        open_source(folder(tmp_path, content)).fetch("FLW", MONDAY)
    assert "\n" not in str(error.value)
