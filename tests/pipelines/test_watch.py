"""What is watched: lateness by the calendar, checks that fail, files that land."""

import datetime as dt
import os
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.test_utils import freeze_time

from assets.desk import DbnFolderSource, Desk, SimulatedSource, load_desk
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


MONDAY, TUESDAY, WEDNESDAY = (dt.date(2026, 8, day) for day in (24, 25, 26))


class Landing:
    """A desk that reads a folder, the turns of its sensor, and what each of them asked for and said."""

    def __init__(self, desk: Desk, folder: Path) -> None:
        made = desk.model_copy(update={"source": SimulatedSource(events_per_session=500), "home": folder / "made"})
        assert isinstance(made.source, SimulatedSource)
        self._exchange, self._markets = SimulatedExchange(made, made.source), desk.all_markets
        self.folder = folder / "landing"
        self._desk = desk.model_copy(update={"source": DbnFolderSource(kind="dbn_folder", folder=self.folder)})
        self._cursor: str | None = None
        self.warned: list[str] = []

    def land(self, session: dt.date, *markets: str) -> None:
        self.folder.mkdir(exist_ok=True)
        for market in markets or self._markets:
            [path] = self._exchange.fetch(market, session)
            shutil.copy(path, self.folder / f"{session}.{market}.dbn.zst")

    def turn(self, at: str = "2026-09-30 12:00") -> tuple[list[str], str]:
        with dg.DagsterInstance.ephemeral() as instance, freeze_time(dt.datetime.fromisoformat(at).replace(tzinfo=dt.UTC)):
            repository = build_definitions(self._desk).get_repository_def()
            context = dg.build_sensor_context(instance=instance, cursor=self._cursor, repository_def=repository)
            context.log.warning = self.warned.append  # type: ignore[method-assign, assignment]
            answer = repository.get_sensor_def("record_when_landed")(context)
        self._cursor = context.cursor
        if isinstance(answer, dg.SkipReason):
            return [], answer.skip_message or ""
        return [request.partition_key for request in answer.run_requests], ""


@pytest.fixture
def landing(desk: Desk, tmp_path: Path) -> Landing:
    return Landing(desk, tmp_path)


def test_a_session_is_recorded_when_every_market_has_landed_and_lies_still(landing: Landing) -> None:
    assert "no folder at" in landing.turn()[1]
    landing.land(TUESDAY, "FLW")
    assert "waiting for one turn without a change" in landing.turn()[1]
    assert landing.turn() == ([], "")
    landing.land(TUESDAY, "LDR")
    assert "waiting for one turn without a change" in landing.turn()[1]
    # Monday's partition, of which nothing has landed, is no session of the desk.
    assert landing.turn() == ([TUESDAY.isoformat()], "")
    assert "nothing new" in landing.turn()[1]


def test_a_landed_session_is_asked_for_once_whether_or_not_another_file_lands(landing: Landing) -> None:
    landing.land(TUESDAY)
    # The partition of a session exists from its close on; its file may be there before.
    asked = [landing.turn(at)[0] for at in ("2026-08-25 19:00", "2026-08-25 19:01", "2026-08-25 20:01", "2026-08-25 23:00")]
    assert asked == [[], [], [TUESDAY.isoformat()], []]
    landing.land(WEDNESDAY)
    asked = [landing.turn(f"2026-08-26 20:0{minute}")[0] for minute in range(1, 5)]
    assert asked == [[], [WEDNESDAY.isoformat()], [], []]


def test_a_recorder_that_writes_beside_holds_no_session_up(landing: Landing) -> None:
    landing.land(MONDAY)
    beside = [
        landing.folder / name for name in (".2026-08-25.mbo.dbn.zst.partial", ".2026-08-25.mbo.dbn.symbols", ".2026-08-25.mbo.dbn.zst.77")
    ]
    asked = []
    for _ in range(4):
        for path in beside:
            with path.open("ab") as file:
                file.write(bytes(1_000))
        asked.append(landing.turn()[0])
    assert asked == [[], [MONDAY.isoformat()], [], []]


def test_a_file_that_is_still_being_copied_holds_its_own_session_up_and_no_other(landing: Landing) -> None:
    landing.land(MONDAY)
    landing.land(TUESDAY)
    growing, asked = landing.folder / f"{TUESDAY}.LDR.dbn.zst", []
    whole = growing.read_bytes()
    for length in (1_000, 2_000, 3_000, len(whole), len(whole)):
        growing.write_bytes(whole[:length])
        os.utime(growing, (length, length))
        asked.append(landing.turn()[0])
    assert asked == [[], [MONDAY.isoformat()], [], [], [TUESDAY.isoformat()]]


def test_what_cannot_be_read_is_named_once_and_stops_nothing(landing: Landing) -> None:
    landing.land(MONDAY)
    (landing.folder / "bad.dbn").write_bytes(b"no DBN at all")
    (landing.folder / "folder.dbn").mkdir()
    (landing.folder / "link.dbn.zst").symlink_to(landing.folder / "nowhere")
    asked = [landing.turn()[0] for _ in range(2)]
    landing.land(TUESDAY)
    asked += [landing.turn()[0] for _ in range(2)]
    assert asked == [[], [MONDAY.isoformat()], [], [TUESDAY.isoformat()]]
    assert len(landing.warned) == 3
    for sentence in ("bad.dbn is not a DBN file", "folder.dbn is no file: rename it", "link.dbn.zst cannot be read (No such file"):
        assert sum(sentence in said for said in landing.warned) == 1


def test_only_a_desk_that_reads_a_folder_watches_one(desk: Desk) -> None:
    names = {sensor.name for sensor in build_definitions(desk).get_repository_def().sensor_defs}
    assert "record_when_landed" not in names
    assert "failed_checks" in names
