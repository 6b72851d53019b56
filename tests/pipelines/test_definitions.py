"""The graph as Dagster sees it. A change of lineage shows here as a diff."""

import datetime as dt
import fnmatch
from pathlib import Path

import dagster as dg
import pytest

from assets.calendar import Calendar
from assets.desk import Desk, load_desk
from assets.shell import COLUMN_LINEAGE
from pipelines.definitions import build_definitions
from pipelines.instance import BY_COMMAND
from pipelines.layers import LAYERS
from pipelines.origins import ORIGINS

DEFAULT = Path(__file__).parents[2] / "desk.toml"

LINEAGE = {
    "FLW/raw_ticks": [],
    "LDR/raw_ticks": [],
    "FLW/clean_books": ["FLW/raw_ticks"],
    "LDR/clean_books": ["LDR/raw_ticks"],
    "FLW/feature_table": ["FLW/clean_books", "LDR/clean_books"],
    "FLW/curve_statistics": ["FLW/feature_table", "FLW/raw_ticks", "LDR/raw_ticks"],
    "FLW/indicator_scores": ["FLW/curve_statistics", "FLW/feature_table"],
    "FLW/curve_model": ["FLW/curve_statistics", "FLW/indicator_scores"],
    "FLW/model_choice": ["FLW/curve_statistics", "FLW/feature_table", "FLW/indicator_scores"],
    "FLW/model_scores": ["FLW/curve_statistics", "FLW/feature_table", "FLW/indicator_scores", "FLW/model_choice"],
    "FLW/predictions": ["FLW/curve_model", "FLW/feature_table", "FLW/model_choice"],
    "FLW/quoting_policy": [
        "FLW/clean_books",
        "FLW/curve_model",
        "FLW/curve_statistics",
        "FLW/feature_table",
        "FLW/indicator_scores",
        "FLW/model_choice",
        "FLW/raw_ticks",
    ],
    "FLW/live_log": ["FLW/curve_model", "FLW/model_choice", "FLW/quoting_policy", "LDR/clean_books"],
    "FLW/policy_ablation": ["FLW/clean_books", "FLW/predictions", "FLW/quoting_policy", "FLW/raw_ticks"],
    "FLW/what_if": ["FLW/clean_books", "FLW/predictions", "FLW/quoting_policy", "FLW/raw_ticks"],
    "FLW/shadow_orders": ["FLW/clean_books", "FLW/raw_ticks"],
    "FLW/queue_fit": ["FLW/shadow_orders"],
    "FLW/reconciliation": ["FLW/live_log"],
    "FLW/simulated_fills": ["FLW/clean_books", "FLW/predictions", "FLW/quoting_policy", "FLW/raw_ticks"],
}


@pytest.fixture(scope="module")
def desk() -> Desk:
    return load_desk(DEFAULT)


@pytest.fixture(scope="module")
def definitions(desk: Desk) -> dg.Definitions:
    return build_definitions(desk)


def test_the_lineage_is_the_house(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    told = {
        key.to_user_string(): sorted(parent.to_user_string() for parent in graph.get(key).parent_keys) for key in graph.get_all_asset_keys()
    }
    assert {name: told[name] for name in LINEAGE} == LINEAGE


def test_a_leader_is_watched_and_not_traded(definitions: dg.Definitions) -> None:
    keys = definitions.resolve_asset_graph().get_all_asset_keys()
    assert {key.path[-1] for key in keys if key.path[0] == "LDR"} == {"raw_ticks", "clean_books"}


def test_every_asset_tells_what_it_is(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description, key
        assert node.owners == ["team:desk"], key
        assert node.kinds, key
        assert set(node.tags) >= {"market", "layer"}, key


def test_columns_come_from_columns_that_are_there_of_assets_upstream(definitions: dg.Definitions) -> None:
    specs = {spec.key: spec for spec in definitions.resolve_all_asset_specs()}
    tables = {
        asset: {c for layer in LAYERS.values() if layer.asset == asset for c in layer.column_types}
        for asset in {x.asset for x in LAYERS.values()}
    }
    for table in ("feature_table", "predictions"):  # the desk's indicators and its sets of them
        tables[table] |= {column.name for column in specs[dg.AssetKey(["FLW", table])].metadata["dagster/column_schema"].columns}
    told = 0
    for spec in specs.values():
        lineage = spec.metadata.get(COLUMN_LINEAGE, dg.TableColumnLineage({})).deps_by_column
        above = upstream(specs, spec.key) | {spec.key}
        for column, deps in lineage.items():
            assert column in tables[spec.key.path[-1]], (spec.key, column)
            for dep in deps:
                assert dep.asset_key in above, (spec.key, column, dep)
                assert dep.column_name in tables[dep.asset_key.path[-1]], (spec.key, column, dep)
        told += bool(lineage)
    assert told == len(tables), "all of the traded market but the ground floor, and the leader's books"


@pytest.mark.parametrize("table", ORIGINS)
def test_no_origin_names_a_column_that_is_not_there(table: str) -> None:
    columns = {name: [*layer.column_types] for name, layer in LAYERS.items()} | {"indicators": ["skew"]}
    columns["predictions"].append("prediction_fast")
    for pattern, origins in ORIGINS[table].items():
        assert fnmatch.filter(columns[table], pattern), pattern
        for above, column in (origin.split(".") for origin in origins):
            assert fnmatch.filter(columns[above], column), (pattern, above, column)


def upstream(specs: dict[dg.AssetKey, dg.AssetSpec], key: dg.AssetKey) -> set[dg.AssetKey]:
    direct = {dep.asset_key for dep in specs[key].deps}
    return direct.union(*(upstream(specs, one) for one in direct))


def test_every_table_of_the_lineage_has_its_contract_checked(definitions: dg.Definitions) -> None:
    checked = {key.asset_key.to_user_string() for key in definitions.resolve_asset_graph().asset_check_keys}
    assert set(LINEAGE) <= checked


def test_schedules_and_sensors_that_launch_runs_are_shown_and_off(definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    schedules = {schedule.name: schedule for schedule in repository.schedule_defs}
    assert set(schedules) == {"nightly", "weekly_retrain", "weekly_scores"}
    assert all(schedule.default_status == dg.DefaultScheduleStatus.STOPPED for schedule in schedules.values())
    assert [sensor.name for sensor in repository.sensor_defs if sensor.default_status != dg.DefaultSensorStatus.STOPPED] == ["dead_runs"]


@pytest.mark.parametrize(
    ("name", "job"), [("trade_session_after_record_session", "record_session"), ("publish_after_trade_session", "trade_session")]
)
def test_what_a_command_ran_starts_nothing_that_the_command_makes_itself(
    definitions: dg.Definitions, desk: Desk, name: str, job: str
) -> None:
    sensor = definitions.get_repository_def().get_sensor_def(name)
    assert isinstance(sensor, dg.RunStatusSensorDefinition)
    session = Calendar(desk).traded_sessions()[0].isoformat()

    def asked(**tags: str) -> object:
        ran = dg.DagsterRun(job, tags=tags)
        event = dg.DagsterEvent("PIPELINE_SUCCESS", job)
        with dg.DagsterInstance.ephemeral() as instance:
            context = dg.build_run_status_sensor_context(name, event, instance, ran, partition_key=session)
            return sensor(context)

    assert isinstance(asked(), dg.RunRequest)
    assert isinstance(asked(**{BY_COMMAND: "true"}), dg.SkipReason)


def test_on_saturday_the_retrain_is_requested_for_the_monday_that_follows(desk: Desk, tmp_path: Path) -> None:
    running = desk.model_copy(update={"last_session": None, "home": tmp_path})
    repository = build_definitions(running).get_repository_def()
    schedule = repository.get_schedule_def("weekly_retrain")
    with dg.DagsterInstance.ephemeral() as instance:
        saturday = dt.datetime(2026, 10, 3, 1, tzinfo=dt.UTC)
        context = dg.build_schedule_context(instance, scheduled_execution_time=saturday, repository_def=repository)
        requests = schedule.evaluate_tick(context).run_requests
    assert requests is not None
    assert [request.partition_key for request in requests] == ["2026-10-05"]


def test_at_night_the_last_session_is_recorded(desk: Desk, tmp_path: Path) -> None:
    running = desk.model_copy(update={"last_session": None, "home": tmp_path})
    repository = build_definitions(running).get_repository_def()
    schedule = repository.get_schedule_def("nightly")
    with dg.DagsterInstance.ephemeral() as instance:
        night = dt.datetime(2026, 10, 2, 1, tzinfo=dt.UTC)
        context = dg.build_schedule_context(instance, scheduled_execution_time=night, repository_def=repository)
        requests = schedule.evaluate_tick(context).run_requests
    assert requests is not None
    assert [request.partition_key for request in requests] == ["2026-10-01"]
