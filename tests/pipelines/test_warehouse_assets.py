"""The warehouse as Dagster sees it: an asset a model, a check a test, lineage and rows told."""

import datetime as dt
from pathlib import Path

import dagster as dg
import pytest

from assets.desk import Desk, load_desk
from assets.lake import Lake
from benchmarks.made import put, put_report
from pipelines.sql_models import load
from pipelines.warehouse import sources, warehouse_assets

DESK_FILE = Path(__file__).parents[2] / "desk.toml"
PROJECT = load(sources())
MONDAY = dt.date(2026, 9, 21)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return load_desk(DESK_FILE).model_copy(update={"home": tmp_path})


@pytest.fixture(scope="module")
def whole_desk() -> Desk:
    return load_desk(DESK_FILE)


def test_every_model_is_an_asset_that_depends_on_what_its_sql_names(whole_desk: Desk) -> None:
    assets = warehouse_assets(whole_desk)
    depends = {spec.key.to_user_string(): {dep.asset_key.to_user_string() for dep in spec.deps} for spec in assets.specs}
    assert set(depends) == {"warehouse", *(f"{model.kind}/{model.name}" for model in PROJECT.models.values())}
    assert depends["staging/stg_raw_ticks"] == {"FLW/raw_ticks", "LDR/raw_ticks"}
    assert depends["staging/stg_trades"] == {"FLW/clean_books", "LDR/clean_books"}
    assert depends["staging/stg_fills"] == {"FLW/simulated_fills"}
    assert depends["staging/stg_tuning_trials"] == {"FLW/quoting_policy"}
    assert depends["marts/fill_quality"] == {"staging/stg_fills"}
    assert depends["warehouse"] == set(depends) - {"warehouse"}


def test_tests_of_the_yml_are_checks_of_their_asset(whole_desk: Desk) -> None:
    told = {(spec.asset_key.to_user_string(), spec.name) for spec in warehouse_assets(whole_desk).check_specs}
    assert ("marts/daily_pnl", "key") in told
    assert len(told) == sum(len(model.tests) for model in PROJECT.models.values())


def test_materialising_publishes_with_lineage_checks_and_rows_though_most_partitions_are_missing(desk: Desk) -> None:
    put_report(desk, MONDAY, net=10.0)
    sessions = dg.DailyPartitionsDefinition("2026-09-21", end_date="2026-09-25")
    upstream = dg.AssetSpec(dg.AssetKey(["FLW", "performance_report"]), partitions_def=sessions)
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([warehouse_assets(desk), upstream], instance=instance)
    assert result.success
    made = [event.step_materialization_data.materialization for event in result.get_asset_materialization_events()]
    assert len(made) == len(PROJECT.models) + 1
    daily = next(one.metadata for one in made if one.asset_key == dg.AssetKey(["marts", "daily_pnl"]))
    assert daily["dagster/row_count"].value == 1
    assert "| 10.0" in daily["table"].value
    dependency = daily["dagster/column_lineage"].value.deps_by_column["trades"][0]
    assert (dependency.asset_key.to_user_string(), dependency.column_name) == ("staging/stg_performance_report", "fills")
    described = {column.name: column.description for column in daily["dagster/column_schema"].value.columns}
    assert described["net_pnl"] == "P&L after fees"
    checks = result.get_asset_check_evaluations()
    assert len(checks) == sum(len(model.tests) for model in PROJECT.models.values())
    assert all(check.passed for check in checks)


def test_a_failed_test_shows_its_rows_on_the_check(desk: Desk) -> None:
    put(desk, "performance_report", 1, provenance=["simulated exchange"], net_pnl=[5.0], gross_pnl=[9.0], fees=[1.0])
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([warehouse_assets(desk)], instance=instance)
    failed = {(check.asset_key.path[-1], check.check_name): check for check in result.get_asset_check_evaluations() if not check.passed}
    assert failed["daily_pnl", "net_is_gross_less_fees"].metadata["first rows at fault"].value[0]["net_pnl"] == "5.0"


def test_a_build_that_fails_is_a_failure_with_its_sentence(desk: Desk) -> None:
    path = Lake(desk.lake).path("fills", market="FLW", session=MONDAY)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PAR1 not really")
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([warehouse_assets(desk)], instance=instance, raise_on_error=False)
    failure = result.get_step_failure_events()[0].step_failure_data
    assert failure.user_failure_data is not None
    assert "the warehouse could not be built" in (failure.user_failure_data.description or "")
