"""What is watched: lateness by the calendar, checks that fail, files that land."""

import datetime as dt
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets.desk import DbnFolderSource, Desk, load_desk
from assets.ticks.source import SimulatedExchange
from pipelines.definitions import build_definitions
from pipelines.watch import FAILED_CHECKS, failed_checks, freshness

DEFAULT = Path(__file__).parents[2] / "desk.toml"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A desk that goes on: it has no last session."""
    return load_desk(DEFAULT).model_copy(update={"home": tmp_path, "last_session": None})


def ticks(cron: str, start: str, days: int) -> list[str]:
    from dagster._utils.schedules import schedule_execution_time_iterator

    after = dt.datetime.fromisoformat(start).replace(tzinfo=dt.UTC)
    times = schedule_execution_time_iterator(after.timestamp(), cron, "UTC")
    found = []
    while (moment := next(times)) < after + dt.timedelta(days=days):
        found.append(f"{moment:%a %H:%M}")
    return found


def deadlines(desk: Desk, layer: str) -> list[str]:
    policy: Any = freshness(desk, [])[dg.AssetKey([desk.traded, layer])]
    return ticks(policy.deadline_cron, "2026-11-02", 7)


def test_a_session_is_due_the_morning_after_it_and_none_is_on_sunday_or_monday(desk: Desk) -> None:
    mornings = ["Tue 06:00", "Wed 06:00", "Thu 06:00", "Fri 06:00", "Sat 06:00"]
    for layer in ("raw_ticks", "curve_statistics", "simulated_fills", "performance_report"):
        assert deadlines(desk, layer) == mornings


def test_a_model_is_due_before_its_week_and_on_a_daily_desk_every_morning(desk: Desk) -> None:
    assert deadlines(desk, "curve_model") == ["Sat 12:00"]
    assert len(deadlines(desk.model_copy(update={"retrain": "daily"}), "curve_model")) == 5


def test_every_schedule_runs_between_the_earliest_time_that_counts_and_the_deadline(desk: Desk) -> None:
    schedules = {schedule.name: schedule for schedule in build_definitions(desk).get_repository_def().schedule_defs}
    for name, layer in (("nightly", "raw_ticks"), ("weekly_retrain", "quoting_policy")):
        policy: Any = freshness(desk, [])[dg.AssetKey([desk.traded, layer])]
        cron = schedules[name].cron_schedule
        assert isinstance(cron, str)
        runs, due = ticks(cron, "2026-11-02", 7), ticks(policy.deadline_cron, "2026-11-02", 7)
        assert [run.split()[0] for run in runs] == [deadline.split()[0] for deadline in due]
        assert policy.lower_bound_delta >= dt.timedelta(hours=7)


def test_policies_reach_the_graph_and_a_finished_history_is_never_late(desk: Desk) -> None:
    graph = build_definitions(desk).resolve_asset_graph()
    late = {key.to_user_string() for key in graph.get_all_asset_keys() if graph.get(key).freshness_policy is not None}
    assert late == {key.to_user_string() for key in graph.get_all_asset_keys()}
    assert {"LDR/clean_books", "FLW/model_scores", "warehouse"} <= late
    assert freshness(load_desk(DEFAULT), []) == {}


def test_a_failed_check_is_written_down_once(desk: Desk) -> None:
    @dg.asset(check_specs=[dg.AssetCheckSpec("positive", asset="made"), dg.AssetCheckSpec("sorted", asset="made")])
    def made() -> dg.MaterializeResult:
        bad = dg.AssetCheckResult(check_name="positive", passed=False, description="3 rows below zero")
        return dg.MaterializeResult(check_results=[bad, dg.AssetCheckResult(check_name="sorted", passed=True)])

    sensor = failed_checks(desk)
    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize([made], instance=instance)
        cursor = None
        for told in ("2 checks have run, 1 failed", "no check has run since"):
            context = dg.build_sensor_context(instance, cursor=cursor)
            answer = sensor.evaluate_tick(context)
            assert answer.skip_message == told
            cursor = answer.cursor
    [line] = (desk.home / FAILED_CHECKS).read_text().splitlines()
    assert line.endswith("made positive ERROR: 3 rows below zero")


def test_a_session_is_recorded_when_every_market_has_landed_and_lies_still(desk: Desk, tmp_path: Path) -> None:
    session = dt.date(2026, 8, 25)
    small = desk.model_copy(update={"source": desk.source.model_copy(update={"events_per_session": 500}), "home": tmp_path / "made"})
    assert small.source.kind == "simulated"
    files = {market: SimulatedExchange(small, small.source).fetch(market, session)[0] for market in desk.all_markets}
    folder = tmp_path / "landing"
    reading = desk.model_copy(update={"source": DbnFolderSource(kind="dbn_folder", folder=folder)})
    repository = build_definitions(reading).get_repository_def()
    sensor = repository.get_sensor_def("record_when_landed")
    cursor = None

    def turn() -> tuple[list[str], str]:
        nonlocal cursor
        with dg.DagsterInstance.ephemeral() as instance:
            answer = sensor.evaluate_tick(dg.build_sensor_context(instance, cursor=cursor, repository_def=repository))
        cursor = answer.cursor
        return [request.partition_key for request in answer.run_requests or [] if request.partition_key], answer.skip_message or ""

    assert "no folder at" in turn()[1]
    folder.mkdir()
    for market, path in files.items():
        path.rename(folder / f"{market}.dbn.zst")
        assert "waiting for one turn without a change" in turn()[1]
        # Monday's partition of the first market alone is no session of the desk.
        asked, _ = turn()
    assert asked == [session.isoformat()]
    assert "nothing new" in turn()[1]


def test_only_a_desk_that_reads_a_folder_watches_one(desk: Desk) -> None:
    names = {sensor.name for sensor in build_definitions(desk).get_repository_def().sensor_defs}
    assert "record_when_landed" not in names
    assert "failed_checks" in names
