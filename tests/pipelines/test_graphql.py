"""What the UI is told: the real webserver on a desk of its own, asked through GraphQL as the UI asks it."""

import json
import logging
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import uvicorn
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.backfill import execute_backfill_iteration
from dagster_webserver.app import create_app_from_workspace_process_context

from assets.calendar import Calendar
from assets.desk import Desk, load_desk
from pipelines.definitions import DESK_VARIABLE, build_definitions
from pipelines.instance import open_instance
from pipelines.jobs import RECORDED, recorded_keys
from pipelines.sql_models import load
from pipelines.warehouse import sources

DEFAULT = Path(__file__).parents[2] / "desk.toml"

# Dagster calls what it has itself deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.* is deprecated and will be removed in 2.0:DeprecationWarning")

Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def desk_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("desk") / "desk.toml"
    path.write_text(DEFAULT.read_text())
    return path


@pytest.fixture(scope="module")
def desk(desk_file: Path) -> Desk:
    return load_desk(desk_file)


@pytest.fixture(scope="module")
def instance(desk: Desk) -> Iterator[dg.DagsterInstance]:
    """The desk's own instance, on which its warehouse has been published once."""
    with open_instance(desk) as instance:
        publish = build_definitions(desk).resolve_job_def("publish")
        quiet: Any = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        assert publish.execute_in_process(instance=instance, run_config=quiet).success
        yield instance


@contextmanager
def loaded(instance: dg.DagsterInstance) -> Iterator[WorkspaceProcessContext]:
    """What a webserver or a daemon holds of the desk's definitions from its start to its end."""
    target = LoadableTargetOrigin(executable_path=sys.executable, module_name="pipelines.definitions", attribute="defs")
    origin = InProcessCodeLocationOrigin(target, location_name="tickline")
    with WorkspaceProcessContext(instance, InProcessWorkspaceLoadTarget(origin)) as context:
        yield context


@pytest.fixture(scope="module")
def workspace(desk_file: Path, instance: dg.DagsterInstance) -> Iterator[WorkspaceProcessContext]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(DESK_VARIABLE, str(desk_file))
        with loaded(instance) as context:
            yield context


@pytest.fixture(scope="module")
def ask(workspace: WorkspaceProcessContext) -> Iterator[Ask]:
    """Asks the webserver; an error in the answer is an error of the test."""
    config = uvicorn.Config(create_app_from_workspace_process_context(workspace), port=0, log_level="error", ws="none", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        thread.join(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]

    def asked(query: str, **variables: object) -> dict[str, Any]:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}/graphql", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                told = json.load(answer)
        except urllib.error.HTTPError as refused:
            raise AssertionError(refused.read().decode()) from None
        assert "errors" not in told, told["errors"]
        return told["data"]

    yield asked
    server.should_exit = True
    thread.join(10)


NODES = """{ assetNodes {
    id assetKey { path } groupName description kinds isPartitioned partitionKeys
    owners { ... on TeamAssetOwner { team } } tags { key value } dependencyKeys { path }
    metadataEntries { label ... on TableSchemaMetadataEntry { schema { columns { name type description } } } }
    assetChecksOrError { ... on AssetChecks { checks { name description } } }
} }"""


@pytest.fixture(scope="module")
def nodes(ask: Ask) -> dict[str, dict[str, Any]]:
    """What the lineage page knows of each asset."""
    return {"/".join(node["assetKey"]["path"]): node for node in ask(NODES)["assetNodes"]}


def test_the_lineage_shows_every_asset_with_its_group_and_what_it_is(nodes: dict[str, dict[str, Any]]) -> None:
    models = {f"{model.kind}/{model.name}" for model in load(sources()).models.values()}
    assert models | {"FLW/raw_ticks", "LDR/clean_books", "FLW/performance_report", "warehouse", "desk_report"} <= set(nodes)
    groups = {"ticks", "books", "features", "curves", "fills", "reports", "staging", "marts", "warehouse"}
    assert {node["groupName"] for node in nodes.values()} == groups
    for name, node in nodes.items():
        assert node["description"], name
        assert node["kinds"], name
        assert node["owners"] == [{"team": "desk"}], name


def test_two_nodes_of_one_name_are_told_apart_by_their_market(nodes: dict[str, dict[str, Any]]) -> None:
    shared = [name.split("/") for name in nodes if name.startswith(("FLW/", "LDR/"))]
    assert len({layer for _, layer in shared}) < len(shared)
    for market, layer in shared:
        assert {"FLW", "LDR"} & set(nodes[f"{market}/{layer}"]["kinds"]) == {market}


def test_what_a_command_ran_stands_in_the_overview_and_in_the_history_of_its_job(ask: Ask) -> None:
    told = ask(
        """query($job: PipelineSelector!) {
            runsOrError { ... on Runs { results { runId jobName repositoryOrigin { repositoryName repositoryLocationName } } } }
            pipelineOrError(params: $job) { ... on Pipeline { runs { runId } } }
        }""",
        job={"pipelineName": "publish", "repositoryName": "__repository__", "repositoryLocationName": "tickline"},
    )
    ran = [run for run in told["runsOrError"]["results"] if run["jobName"] == "publish"]
    assert ran
    assert all(run["repositoryOrigin"] == {"repositoryName": "__repository__", "repositoryLocationName": "tickline"} for run in ran)
    assert {run["runId"] for run in ran} == {run["runId"] for run in told["pipelineOrError"]["runs"]}


def test_every_asset_of_a_market_says_its_market_and_layer(nodes: dict[str, dict[str, Any]]) -> None:
    for name, node in nodes.items():
        market, *_ = name.split("/")
        if market in ("FLW", "LDR"):
            assert {"market": market, "layer": node["groupName"]}.items() <= {tag["key"]: tag["value"] for tag in node["tags"]}.items(), (
                name
            )


def test_arrows_cross_between_markets_and_lead_on_to_the_models(nodes: dict[str, dict[str, Any]]) -> None:
    upstream = {name: {"/".join(key["path"]) for key in node["dependencyKeys"]} for name, node in nodes.items()}
    assert upstream["FLW/feature_table"] == {"FLW/clean_books", "LDR/clean_books"}
    assert upstream["staging/stg_fills"] == {"FLW/simulated_fills"}
    assert upstream["marts/weekly_scorecard"] == {"staging/stg_performance_report"}


def test_sessions_and_periods_are_the_partitions_of_the_calendar(nodes: dict[str, dict[str, Any]], desk: Desk) -> None:
    calendar = Calendar(desk)
    expected = {
        "FLW/raw_ticks": calendar.sessions(),
        "FLW/simulated_fills": calendar.traded_sessions(),
        "FLW/curve_model": calendar.periods(),
    }
    for name, days in expected.items():
        assert nodes[name]["partitionKeys"] == [day.isoformat() for day in days]
    assert not nodes["warehouse"]["isPartitioned"]


def test_a_mart_tells_its_columns_before_it_is_built(nodes: dict[str, dict[str, Any]]) -> None:
    [schema] = [entry["schema"] for entry in nodes["marts/daily_pnl"]["metadataEntries"] if entry["label"] == "dagster/column_schema"]
    told = {column["name"]: (column["type"], column["description"]) for column in schema["columns"]}
    assert told["net_pnl"] == ("DOUBLE", "P&L after fees")
    assert all(description for _, description in told.values())


def test_an_asset_of_the_lake_tells_its_columns_before_it_is_made(nodes: dict[str, dict[str, Any]]) -> None:
    for name, column in (("FLW/raw_ticks", "ts_event"), ("FLW/simulated_fills", "position"), ("FLW/performance_report", "net_pnl")):
        [schema] = [entry["schema"] for entry in nodes[name]["metadataEntries"] if entry["label"] == "dagster/column_schema"]
        told = {one["name"]: one["description"] for one in schema["columns"]}
        assert {"market", "session", column} <= set(told), name
        assert told["session"] == "Trade date"


def test_rules_are_checks_on_their_assets(nodes: dict[str, dict[str, Any]]) -> None:
    checks = {name: {check["name"] for check in node["assetChecksOrError"]["checks"]} for name, node in nodes.items()}
    assert {"key", "not_null_net_pnl", "net_is_gross_less_fees"} <= checks["marts/daily_pnl"]
    assert "raw_ticks_contract" in checks["FLW/raw_ticks"]
    assert "simulated_fills" in {name.split("/")[-1] for name, of_asset in checks.items() if of_asset}


def test_columns_know_where_they_come_from_and_rows_are_counted(ask: Ask) -> None:
    lineage = "... on TableColumnLineageMetadataEntry { lineage { columnName columnDeps { assetKey { path } columnName } } }"
    query = f"""query Last($key: AssetKeyInput!) {{ assetOrError(assetKey: $key) {{ ... on Asset {{ assetMaterializations(limit: 1) {{
        metadataEntries {{ label ... on IntMetadataEntry {{ intValue }} {lineage} }} }} }} }} }}"""
    [made] = ask(query, key={"path": ["marts", "daily_pnl"]})["assetOrError"]["assetMaterializations"]
    entries = {entry["label"]: entry for entry in made["metadataEntries"]}
    assert entries["dagster/row_count"]["intValue"] == 0
    origins = {entry["columnName"]: entry["columnDeps"] for entry in entries["dagster/column_lineage"]["lineage"]}
    assert origins["trades"] == [{"assetKey": {"path": ["staging", "stg_performance_report"]}, "columnName": "fills"}]


def test_checks_that_ran_say_that_they_passed(ask: Ask) -> None:
    query = """query Checks($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode { assetChecksOrError {
        ... on AssetChecks { checks { name executionForLatestMaterialization { status evaluation { severity success } } } } } } } }"""
    checks = ask(query, key={"path": ["marts", "daily_pnl"]})["assetNodeOrError"]["assetChecksOrError"]["checks"]
    assert checks
    for check in checks:
        assert check["executionForLatestMaterialization"]["evaluation"]["success"], check["name"]


def test_what_launches_runs_is_off_until_somebody_switches_it_on(ask: Ask) -> None:
    query = """{ repositoriesOrError { ... on RepositoryConnection { nodes {
        schedules { name description cronSchedule defaultStatus scheduleState { status } }
        sensors { name description defaultStatus sensorState { status } } } } } }"""
    [repository] = ask(query)["repositoriesOrError"]["nodes"]
    assert {schedule["name"] for schedule in repository["schedules"]} == {"nightly", "weekly_retrain", "weekly_scores"}
    for schedule in repository["schedules"]:
        assert (schedule["defaultStatus"], schedule["scheduleState"]["status"]) == ("STOPPED", "STOPPED")
    for sensor in repository["sensors"]:
        status = "RUNNING" if sensor["name"] == "dead_runs" else "STOPPED"  # it launches nothing
        assert (sensor["defaultStatus"], sensor["sensorState"]["status"]) == (status, status)
    assert all(one["description"] for one in [*repository["schedules"], *repository["sensors"]])


def test_the_settings_hold_runs_to_the_desks_workers(instance: dg.DagsterInstance, desk: Desk) -> None:
    assert instance.get_concurrency_config().run_queue_config.max_concurrent_runs == desk.workers
    assert instance.freshness_enabled


def test_a_backfill_makes_one_run_a_session_and_a_restarted_daemon_makes_none_twice(
    ask: Ask, instance: dg.DagsterInstance, desk: Desk
) -> None:
    sessions = [day.isoformat() for day in Calendar(desk).sessions()[-10:]]  # a run costs a quarter of a second to create
    launch = """mutation Launch($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
        __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
    keys = [{"path": list(key.path)} for key in recorded_keys(desk)]
    launched = ask(launch, params={"partitionNames": sessions, "assetSelection": keys})["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    # A turn is what the daemon does; a daemon that is started again loads everything anew and goes on from the instance.
    for turns in (1, 2):
        with loaded(instance) as daemon:
            for _ in range(turns):
                faults = list(execute_backfill_iteration(daemon, logging.getLogger("backfill")))
                assert [fault for fault in faults if fault] == []
    query = """query Runs($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status runs(limit: 500) {
        status tags { key value } assetSelection { path } } } } }"""
    backfill = ask(query, id=launched["backfillId"])["partitionBackfillOrError"]
    partitions = [tag["value"] for run in backfill["runs"] for tag in run["tags"] if tag["key"] == "dagster/partition"]
    assert sorted(partitions) == sessions
    for run in backfill["runs"]:
        assert {key["path"][-1] for key in run["assetSelection"]} >= set(RECORDED)
        assert run["status"] == "QUEUED"
