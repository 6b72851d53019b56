"""SQL models: every file of the folder holds, and a folder that does not is refused in a sentence."""

import datetime as dt
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest

from assets.reports.statistics import mean_interval
from pipelines.layers import LAYERS, LINE
from pipelines.sql_models import FOLDER, ModelError, Project, load, run_tests
from pipelines.warehouse import sources

FILES = sorted(FOLDER.glob("*/*.sql"))

YML = "description: A table.\ncolumns: {a: {description: A column}}\n"


@pytest.fixture(scope="module")
def project() -> Project:
    return load(sources())


@pytest.fixture
def folder(tmp_path: Path) -> "Folder":
    return Folder(tmp_path)


class Folder:
    """A folder of models made by a test, on one source `ticks` with columns a and b."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, name: str, sql: str, yml: str = YML, kind: str = "staging") -> "Folder":
        (self.path / kind).mkdir(exist_ok=True)
        (self.path / kind / f"{name}.sql").write_text(sql)
        (self.path / kind / f"{name}.yml").write_text(yml)
        return self

    def load(self) -> Project:
        return load({"ticks": {"a": "INTEGER", "b": "VARCHAR"}}, self.path)


# The project's own models


def test_every_layer_has_a_staging_model_that_reads_it(project: Project) -> None:
    for table in LAYERS:
        assert project.models[f"stg_{table}"].reads == (table,)


OF_THE_FORMAT = {"rtype", "channel_id", "ts_in_delta"}
"""The vendor's, not the market's."""

LEFT_OUT = {
    "raw_ticks": OF_THE_FORMAT,
    "live_ticks": {*OF_THE_FORMAT, "publisher_id", "instrument_id"},  # those of its raw_ticks
    "quarantine": {"flags"},
    "curve_statistics": {"gram"},  # a matrix: rows of it mean nothing to a reader
}


@pytest.mark.parametrize("table", LAYERS)
def test_every_column_of_a_layer_reaches_its_staging_model(project: Project, table: str) -> None:
    shown = {column for origins in project.lineage(f"stg_{table}").values() for _, column in origins}
    assert set(LAYERS[table].column_types) - shown - {LINE} == LEFT_OUT.get(table, set())


def test_the_marts_are_there(project: Project) -> None:
    marts = {model.name for model in project.models.values() if model.kind == "marts"}
    of_results = {"daily_pnl", "weekly_scorecard", "monthly_pnl", "equity_curve"}
    of_trading = {"live_against_replay", "fill_quality", "markouts", "latency_profile", "tuning_trials_ranked"}
    of_policy = {"policy_ablation_intervals", "variant_returns", "markouts_by_score", "indicator_sets"}
    of_models_and_data = {"model_comparison", "indicator_leaderboard", "curve_drift", "data_quality"}
    of_truth = {"queue_fidelity", "pnl_by_assumption", "reconciliation_held_out"}
    assert marts == of_results | of_trading | of_policy | of_models_and_data | of_truth


def test_marts_read_staging_models_and_marts_and_no_layer(project: Project) -> None:
    for model in project.models.values():
        if model.kind == "marts":
            assert not set(model.reads) & set(LAYERS), model.name


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_a_chain_of_ctes_that_ends_in_one_plain_select(path: Path) -> None:
    tail = path.read_text().strip().splitlines()[-1]
    assert tail.startswith(("select * from final", "select * from renamed"))
    assert path.read_text().startswith("with ")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_unit_of_a_model_gives_what_it_expects(project: Project, path: Path) -> None:
    model = project.models[path.stem]
    assert model.about.unit, f"{path.stem}.yml has no unit rows"
    assert [fault for unit in model.about.unit if (fault := project.run_unit(model.name, unit))] == []


def test_lineage_reaches_through_ctes_and_aliases_to_the_columns_of_the_table_read(project: Project) -> None:
    quality = project.lineage("fill_quality")
    assert quality["side"] == [("stg_fills", "side")]
    of_fills = [("stg_fills", name) for name in ("direction", "mid_1s", "price", "quantity")]
    assert quality["markout_1s"] == [("markets", "multiplier"), *of_fills]
    assert project.lineage("stg_fills")["fill_time"] == [("fills", "ts_event")]


def test_every_column_of_every_model_but_counts_and_constants_comes_from_somewhere(project: Project) -> None:
    nowhere = {(name, column) for name in project.models for column, origins in project.lineage(name).items() if not origins}
    counted = {"sessions", "sessions_fitted", "fills", "requests", "reasons", "trials"}
    assert {column for _, column in nowhere} == counted | {"horizon_seconds", "calibrated"}


# Folders that are refused


def test_models_are_ordered_by_what_they_read(folder: Folder) -> None:
    folder.add("a_last", "select a from middle").add("middle", "select a from zz_first").add("zz_first", "select a from ticks")
    assert list(folder.load().models) == ["zz_first", "middle", "a_last"]


def test_a_cte_is_not_taken_for_a_table(folder: Folder) -> None:
    folder.add("one", "with x as (select a from ticks), y as (select a from x) select * from y")
    assert folder.load().models["one"].reads == ("ticks",)


def test_a_circle_names_its_members(folder: Folder) -> None:
    folder.add("one", "select a from two").add("two", "select a from three").add("three", "select a from one")
    with pytest.raises(ModelError, match="circle") as error:
        folder.load()
    assert all(name in str(error.value) for name in ("one", "two", "three"))


def test_an_unknown_table_is_named_with_the_model_and_the_nearest_names(folder: Folder) -> None:
    folder.add("one", "select a from tick")
    with pytest.raises(ModelError, match=r"'one' reads 'tick', .*nearest are ticks"):
        folder.load()


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("drop table ticks", "one SELECT and nothing else, but holds DROP"),
        ("select a from ticks; select a from ticks", "holds SELECT, SELECT"),
        ("", "holds nothing"),
        ("select from where", "one.sql"),
        ("select (a from ticks", "is not SQL"),
        ("select c from ticks", "one.sql: Binder Error"),
    ],
)
def test_what_is_no_single_select_is_refused(folder: Folder, sql: str, said: str) -> None:
    folder.add("one", sql)
    with pytest.raises(ModelError, match=said):
        folder.load()


@pytest.mark.parametrize(
    ("yml", "said"),
    [
        ("description: d\ncolumns: {}", "column 'a' is not described in one.yml"),
        ("description: d\ncolumns: {a: {description: x}, b: {description: x}}", "one.yml describes column 'b', which the SQL"),
        ("columns: {a: {description: x}}", "description: Field required"),
        ("description: d\ncolumns: {a: {descripton: x}}", "columns.a"),
        ("description: [", "is not YAML"),
        ("description: d\ncolumns: {a: {description: x, tests: [positive]}}", "cannot understand test 'positive' of column 'a'"),
        ("description: d\ncolumns: {a: {description: x, tests: [not_null, not_null]}}", "two tests are named 'not_null_a'"),
    ],
)
def test_a_yml_that_does_not_fit_its_sql_is_refused(folder: Folder, yml: str, said: str) -> None:
    folder.add("one", "select a from ticks", yml)
    with pytest.raises(ModelError, match=said):
        folder.load()


def test_a_model_without_its_yml_or_with_a_name_that_is_taken_is_refused(folder: Folder) -> None:
    folder.add("one", "select a from ticks").path.joinpath("staging/one.yml").unlink()
    with pytest.raises(ModelError, match=r"has no one\.yml beside it"):
        folder.load()
    folder.add("one", "select a from ticks").add("one", "select a from ticks", kind="marts")
    with pytest.raises(ModelError, match="already named 'one'"):
        folder.load()


# Tests and units


def results(folder: Folder, yml: str, *rows: str) -> dict[str, int]:
    """Failures of each test of a model on the given rows of `ticks`; a table `known` holds a = 1."""
    model = folder.add("one", "select a, b from ticks", yml).load().models["one"]
    with duckdb.connect() as con:
        con.execute("create table known as select 1 as a union all select null")
        con.execute(f"create table one as select * from (values {', '.join(rows)}) as t(a, b)")
        return {result.test.name: result.failures for result in run_tests(con, model.tests)}


def test_each_rule_counts_the_rows_that_break_it(folder: Folder) -> None:
    yml = """
description: d
columns:
  a: {description: x, tests: [not_null, unique, {relationships: {to: known, column: a}}]}
  b: {description: x, tests: [{accepted_values: [up, down]}]}
tests:
  - unique: [a, b]
  - key: [a, b]
  - expression: {small: a < 3}
"""
    counted = results(folder, yml, "(1, 'up')", "(1, 'up')", "(2, 'sideways')", "(null, null)", "(null, null)", "(3, 'down')")
    assert counted == {
        "not_null_a": 2,
        "unique_a": 1,
        "relationships_a_known": 2,
        "accepted_values_b": 1,
        "unique_a_b": 1,
        "key": 2,
        "small": 1,
    }


def test_a_unit_tells_what_it_got_instead(folder: Folder) -> None:
    yml = YML + "unit: {doubled: {given: {ticks: [{a: 2}, {a: 1}]}, expect: [{a: 2}, {a: 5}]}}"
    project = folder.add("one", "select 2 * a as a from ticks", yml).load()
    assert project.run_unit("one", "doubled") == "one: unit 'doubled' expected ['a'] = [(2,), (5,)], got [(2,), (4,)]"


@pytest.mark.parametrize(
    ("unit", "said"),
    [
        ("{given: {other: [{a: 1}]}, expect: []}", "gives rows for 'other', which the SQL does not read"),
        ("{given: {ticks: [{c: 1}]}, expect: []}", 'column with name "c"'),
        ("{given: {ticks: [{a: x}]}, expect: []}", "Could not convert"),
    ],
)
def test_a_unit_that_cannot_run_says_why(folder: Folder, unit: str, said: str) -> None:
    project = folder.add("one", "select a from ticks", f"{YML}unit: {{bad: {unit}}}").load()
    with pytest.raises(ModelError, match=said):
        project.run_unit("one", "bad")


@pytest.mark.parametrize("sessions", [2, 10, 31, 40, 250])
def test_the_intervals_of_the_ablation_are_those_of_the_page(project: Project, sessions: int) -> None:
    earned = np.random.default_rng(4).normal(50, 300, (2, sessions))
    days = [dt.date(2026, 1, 5) + dt.timedelta(days=day) for day in range(sessions)]
    flat = pl.DataFrame({"market": "FLW", "session": days, "variant": "flat", "net_pnl": 0.1 + 0.2})
    two = {"market": "FLW", "session": days * 2, "variant": ["full"] * sessions + ["touch"] * sessions, "net_pnl": earned.ravel()}
    rows = pl.concat([pl.DataFrame(two), flat])
    with duckdb.connect() as con:
        con.register("rows", rows.to_arrow())
        others = ", ".join(f"1 as {name}" for name in ("fees", "contracts", "maker_contracts", "orders", "cancelled"))
        con.sql(f"create table stg_policy_ablation as select *, {others} from rows")
        told = {row["variant"]: row for row in con.sql(project.models["policy_ablation_intervals"].sql).pl().iter_rows(named=True)}
    wanted = {"net": earned[1], "difference": earned[1] - earned[0]}
    for name, pnl in wanted.items():
        found = [told["touch"][f"{name}_{end}"] / sessions for end in ("low", "high")]
        assert found == pytest.approx(mean_interval(pnl), rel=1e-7)
    assert (told["flat"]["net_low"], told["full"]["difference_high"]) == (None, None)
