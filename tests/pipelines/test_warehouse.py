"""The warehouse: built from whatever the lake holds, always whole for its readers."""

import datetime as dt
import json
import re
import subprocess
import sys
from pathlib import Path

import dagster as dg
import polars as pl
import polars.testing
import pytest

from assets.desk import Desk, load_desk
from assets.lake import Lake
from assets.reports.statistics import weekly_table
from benchmarks.made import plausible
from pipelines import warehouse
from pipelines.layers import LAYERS
from pipelines.query import WarehouseError, layout, open_warehouse, query, tables
from pipelines.sql_models import load
from pipelines.warehouse import build, sources, warehouse_assets

DESK_FILE = Path(__file__).parents[2] / "desk.toml"
PROJECT = load(sources())
MONDAY = dt.date(2026, 9, 21)
TUESDAY = dt.date(2026, 9, 22)
OPEN = 1_790_000_000_000_000_000


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return load_desk(DESK_FILE).model_copy(update={"home": tmp_path})


def write(desk: Desk, table: str, rows: int = 3, *, market: str | None = None, key: dt.date = MONDAY, **given: list[object]) -> None:
    layer = LAYERS[table]
    frame = plausible(layer.contract, rows, **given)
    Lake(desk.lake).write(table, frame, layer.contract, market=market or desk.traded, **{layer.key: key})


def report(desk: Desk, session: dt.date, net: float, fees: float = 10.0, **given: list[object]) -> None:
    """A line of `performance_report` that adds up, and the account's last line."""
    whole = {"net_pnl": [net], "fees": [fees], "gross_pnl": [net + fees], "long_pnl": [net], "short_pnl": [0.0]}
    write(desk, "performance_report", 1, key=session, provenance=["simulated exchange"], **whole, **given)
    write(desk, "equity", 1, key=session, ts_event=[OPEN], equity=[round(net * 10**9)])


# What is in it


def test_every_layer_and_model_is_there_with_its_rows(desk: Desk) -> None:
    for table in LAYERS:
        write(desk, table)
    built = build(desk, PROJECT)
    with open_warehouse(desk) as con:
        shown = {row[0] for row in con.sql("SHOW TABLES").fetchall()}
        assert shown == {*LAYERS, *PROJECT.models, "markets", "built_with"}
        for table in LAYERS:
            assert con.sql(f"SELECT count(*) FROM {table}").fetchall() == [(3,)], table
            assert con.sql(f"SELECT count(*) FROM stg_{table}").fetchall() == [(3,)], table
    assert built.rows["stg_fills"] == 3


def test_an_empty_lake_gives_empty_tables_of_the_right_columns(desk: Desk) -> None:
    built = build(desk, PROJECT)
    for name, columns in (sources() | PROJECT.columns).items():
        if name != "markets":
            assert (built.columns[name], built.rows[name]) == (columns, 0), name
    assert all(result.passed for result in built.results)


def test_big_layers_are_views_over_the_lake_and_small_ones_are_copied(desk: Desk) -> None:
    for table in LAYERS:
        write(desk, table)
    build(desk, PROJECT)
    kinds = dict(query(desk, "SELECT table_name, table_type FROM information_schema.tables").iter_rows())
    for table, layer in LAYERS.items():
        assert kinds[table] == ("VIEW" if layer.big else "BASE TABLE"), table
    assert kinds["daily_pnl"] == "BASE TABLE"


def test_partition_keys_are_columns_and_line_is_the_row_of_its_partition(desk: Desk) -> None:
    for market in desk.all_markets:
        write(desk, "raw_ticks", 2, market=market)
    write(desk, "raw_ticks", 1, key=TUESDAY)
    build(desk, PROJECT)
    rows = query(desk, "SELECT market, session, row FROM stg_raw_ticks ORDER BY ALL").rows()
    assert rows == [("FLW", MONDAY, 0), ("FLW", MONDAY, 1), ("FLW", TUESDAY, 0), ("LDR", MONDAY, 0), ("LDR", MONDAY, 1)]


def test_partitions_of_different_columns_meet_by_name(desk: Desk) -> None:
    lake, layer = Lake(desk.lake), LAYERS["raw_ticks"]
    mbo = plausible(layer.contract, 1, order_id=[77])
    mbp = plausible(layer.contract, 1).drop("order_id", "channel_id").with_columns(bid_px_00=pl.lit(5, pl.Int64))
    lake.write("raw_ticks", mbp, layer.contract, market="FLW", session=MONDAY)
    build(desk, PROJECT)
    assert query(desk, "SELECT order_id, bid_px_00 FROM raw_ticks").rows() == [(None, 5)]
    lake.write("raw_ticks", mbo, layer.contract, market="FLW", session=TUESDAY)
    build(desk, PROJECT)
    assert query(desk, "SELECT order_id, bid_px_00 FROM raw_ticks ORDER BY session").rows() == [(None, 5), (77, None)]
    assert query(desk, "SELECT order_id FROM stg_raw_ticks ORDER BY session").rows() == [(None,), (77,)]


def test_indicators_are_columns_of_the_feature_table_and_say_so(desk: Desk) -> None:
    layer = LAYERS["feature_table"]
    frame = plausible(layer.contract, 1).with_columns(skew=pl.lit(0.5, pl.Float32))
    Lake(desk.lake).write("feature_table", frame, layer.contract, market="FLW", session=MONDAY)
    build(desk, PROJECT)
    assert query(desk, "SELECT skew FROM stg_feature_table").rows() == [(0.5,)]
    comment = "SELECT comment FROM duckdb_columns() WHERE table_name = 'stg_feature_table' AND column_name = 'skew'"
    assert "indicator" in query(desk, comment).item().lower()


def test_markets_that_the_desk_does_not_name_are_left_out(desk: Desk) -> None:
    write(desk, "fills", market="OLD")
    write(desk, "fills", market="LDR")
    write(desk, "fills")
    build(desk, PROJECT)
    assert query(desk, "SELECT DISTINCT market FROM fills").rows() == [("FLW",)]


def test_every_table_and_column_tells_what_it_is(desk: Desk) -> None:
    build(desk, PROJECT)
    with open_warehouse(desk) as con:
        models = tuple(PROJECT.models)
        comments = con.sql(f"SELECT table_name, column_name, comment FROM duckdb_columns() WHERE table_name IN {models}").fetchall()
        both = "SELECT table_name, comment FROM duckdb_tables() UNION ALL SELECT view_name, comment FROM duckdb_views() WHERE NOT internal"
        assert [row for row in con.sql(both).fetchall() if not row[1]] == []
    assert {row[:2] for row in comments if not row[2]} == set()
    assert len(comments) == sum(len(PROJECT.columns[name]) for name in models)


def test_the_facts_of_the_desk_are_told(desk: Desk) -> None:
    build(desk, PROJECT)
    rows = query(desk, "SELECT market, role, tick_size, multiplier, maker_fee, sessions_per_year FROM markets").rows()
    assert rows == [("FLW", "traded", 0.1, 50.0, 1.4, 252), ("LDR", "leader", 0.25, 50.0, 1.4, 252)]
    assert query(desk, "SELECT desk, provenance, layout FROM built_with").rows() == [("demo", "simulated exchange", layout())]


def test_marts_add_up_over_sessions(desk: Desk) -> None:
    report(desk, MONDAY, net=100.0)
    report(desk, TUESDAY, net=-160.0)
    write(desk, "equity", 2, ts_event=[OPEN, OPEN], equity=[130 * 10**9, 100 * 10**9], key=MONDAY)
    write(desk, "equity", 1, ts_event=[OPEN], equity=[-160 * 10**9], key=TUESDAY)
    build(desk, PROJECT)
    assert query(desk, "SELECT session, cumulative_pnl, drawdown FROM daily_pnl").rows() == [(MONDAY, 100.0, 0.0), (TUESDAY, -60.0, 160.0)]
    assert query(desk, "SELECT total_pnl, drawdown FROM equity_curve").rows() == [(130.0, 0.0), (100.0, 30.0), (-60.0, 190.0)]
    assert query(desk, "SELECT week, sessions, net_pnl, worst_day FROM weekly_scorecard").rows() == [(MONDAY, 2, -60.0, -160.0)]


def test_the_weekly_scorecard_says_what_the_report_says(desk: Desk) -> None:
    activity = {"contracts": [4], "maker_contracts": [3], "orders": [9], "cancelled": [5]}
    scores = {"mse": [2.0], "rows_scored": [7], "label_square": [16.0]}
    nets = [12.5, -40.0, 3.25, 7.0, 0.5, 60.0]
    for day, net in enumerate(nets):
        report(desk, MONDAY + dt.timedelta(days=day + 2 * (day > 4)), net, **activity, **scores)
    build(desk, PROJECT)
    lake = Lake(desk.lake)
    keys = lake.partitions("performance_report")
    parts = [lake.read("performance_report", **key).with_columns(session=pl.lit(key["session"]).str.to_date()) for key in keys]
    expected = weekly_table(pl.concat(parts))
    from_sql = query(desk, "FROM weekly_scorecard").select(expected.columns)
    assert from_sql.height == 2
    polars.testing.assert_frame_equal(from_sql, expected, check_dtypes=False)


def test_the_same_lake_gives_the_same_contents(desk: Desk) -> None:
    report(desk, MONDAY, net=1 / 3)
    write(desk, "fills")
    contents = []
    for _ in range(2):
        build(desk, PROJECT)
        with open_warehouse(desk) as con:
            contents.append({table: con.sql(f"FROM {table}").fetchall() for (table,) in con.sql("SHOW TABLES").fetchall()})
    assert contents[0] == contents[1]


def test_a_test_that_fails_is_told_and_does_not_hold_the_publication_back(desk: Desk) -> None:
    write(desk, "performance_report", 1, provenance=["simulated exchange"], net_pnl=[5.0], gross_pnl=[9.0], fees=[1.0])
    failed = {(result.test.model, result.test.name): result for result in build(desk, PROJECT).results if not result.passed}
    fault = failed["daily_pnl", "net_is_gross_less_fees"]
    assert (fault.failures, fault.sample[0]["net_pnl"]) == (1, 5.0)
    assert query(desk, "SELECT net_pnl FROM daily_pnl").rows() == [(5.0,)]


# Publishing


def test_what_is_published_does_not_move_while_the_lake_is_written(desk: Desk) -> None:
    write(desk, "orders", 2)
    build(desk, PROJECT)
    write(desk, "orders", 5)
    write(desk, "orders", 7, key=TUESDAY)
    assert query(desk, "SELECT count(*) FROM orders").item() == 2
    build(desk, PROJECT)
    assert query(desk, "SELECT count(*) FROM orders").item() == 12


def test_a_reader_keeps_its_publication_through_the_next_and_old_ones_are_cleared_away(desk: Desk) -> None:
    write(desk, "orders", 1)
    build(desk, PROJECT)
    # another process would hold the file open; in this one DuckDB shares a database by path
    with open_warehouse(desk) as reader:
        write(desk, "orders", 2)
        build(desk, PROJECT)
        assert reader.sql("SELECT count(*) FROM orders").fetchall() == [(1,)]
    for rows in (3, 4):
        write(desk, "orders", rows)
        build(desk, PROJECT)
    assert len(list((desk.home / "published").iterdir())) == 2
    assert query(desk, "SELECT count(*) FROM orders").item() == 4


def test_a_damaged_partition_leaves_the_published_warehouse_whole(desk: Desk) -> None:
    write(desk, "fills", 2)
    build(desk, PROJECT)
    Lake(desk.lake).path("fills", market="FLW", session=TUESDAY).parent.mkdir()
    Lake(desk.lake).path("fills", market="FLW", session=TUESDAY).write_bytes(b"PAR1 not really")
    with pytest.raises(WarehouseError, match=r"could not be built.*session=2026-09-22"):
        build(desk, PROJECT)
    assert query(desk, "SELECT count(*) FROM fills").item() == 2
    assert [path.name for path in desk.home.glob(".warehouse.duckdb*")] == []


def test_a_full_disk_leaves_the_published_warehouse_whole(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    build(desk, PROJECT)
    before = desk.warehouse.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(warehouse, "_write", full)
    with pytest.raises(WarehouseError, match="No space left on device"):
        build(desk, PROJECT)
    assert desk.warehouse.read_bytes() == before


def test_what_a_killed_build_left_behind_is_no_obstacle(desk: Desk) -> None:
    write(desk, "fills", 2)
    desk.home.joinpath(".warehouse.duckdb.new").write_bytes(b"half a database")
    desk.home.joinpath("published/.new/fills").mkdir(parents=True)
    build(desk, PROJECT)
    assert query(desk, "SELECT count(*) FROM fills").item() == 2


READER = """
import sys
from pathlib import Path
from threading import Thread
from assets.desk import load_desk
from pipelines.query import open_warehouse

# A publication is whole when a view over the lake, a copied table and a mart tell of the same sessions.
TABLES = ("(SELECT DISTINCT session FROM orders)", "performance_report", "daily_pnl")
WHOLE = f"SELECT {', '.join(f'(SELECT count(*) FROM {table})' for table in TABLES)}"
desk = load_desk(sys.argv[1]).model_copy(update={"home": Path(sys.argv[2])})
seen = set()

def read():
    with open_warehouse(desk) as con:
        seen.update(con.sql(WHOLE).fetchall())

read()
print("ready", flush=True)
until_told = Thread(target=sys.stdin.read)
until_told.start()
while until_told.is_alive():
    read()
    until_told.join(timeout=0.1)
read()
print(sorted(seen))
"""


def test_four_readers_meet_no_lock_and_never_half_of_a_publication(desk: Desk) -> None:
    def add(day: int) -> None:
        session = MONDAY + dt.timedelta(days=day)
        report(desk, session, net=1.0)
        write(desk, "orders", 2, key=session)

    add(0)
    build(desk, PROJECT)
    command = [sys.executable, "-c", READER, str(DESK_FILE), str(desk.home)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    readers = [subprocess.Popen(command, text=True, **pipes) for _ in range(4)]
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
    for day in range(1, 3):
        add(day)
        build(desk, PROJECT)
    told = [reader.communicate(timeout=60) for reader in readers]
    assert [error for _, error in told] == [""] * 4
    for seen, _ in told:
        publications = [tuple(counts) for counts in json.loads(seen.replace("(", "[").replace(")", "]"))]
        assert publications[0] == (1, 1, 1)
        assert publications[-1] == (3, 3, 3)
        assert all(len(set(counts)) == 1 for counts in publications)


# Asking it


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A desk whose warehouse is published from an empty lake."""
    desk = load_desk(DESK_FILE).model_copy(update={"home": tmp_path_factory.mktemp("empty")})
    build(desk, PROJECT)
    return desk


def test_a_missing_or_older_warehouse_says_how_to_build_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WarehouseError, match=r"no warehouse at .* run `tickline demo`"):
        query(desk, "SELECT 1")
    build(desk, PROJECT)
    monkeypatch.setattr("pipelines.query.layout", lambda: "of tomorrow")
    with pytest.raises(WarehouseError, match=r"another version .* `tickline demo` .* to build it again"):
        query(desk, "SELECT 1")
    desk.warehouse.write_bytes(b"no database" * 500)
    with pytest.raises(WarehouseError, match="cannot be opened"):
        query(desk, "SELECT 1")


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT * FROM daily_pln", r"LINE 1: SELECT \* FROM daily_pln(?s:.*)nearest tables: daily_pnl"),
        ("SELECT net FROM daily_pnl", r'Candidate bindings: .*"net_pnl"'),
        ("SELEC 1", r"syntax error(?s:.*)LINE 1: SELEC 1"),
        ("", "can only read"),
        ("SELECT 1; SELECT 2", "can only read"),
        ("DROP TABLE daily_pnl", "can only read"),
        ("COPY daily_pnl TO '/tmp/stolen.csv'", "can only read"),
        ("FROM read_csv('http://localhost:9/x.csv')", "httpfs"),
    ],
)
def test_a_query_that_cannot_be_answered_is_told_in_duckdbs_words(empty: Desk, sql: str, said: str) -> None:
    with pytest.raises(WarehouseError, match=said):
        query(empty, sql)


READS = ["FROM daily_pnl", "WITH a AS (SELECT 1) FROM a", "DESCRIBE fills", "SHOW TABLES", "SUMMARIZE markets", "EXPLAIN SELECT 1"]


@pytest.mark.parametrize("sql", READS)
def test_every_way_to_read_is_open(empty: Desk, sql: str) -> None:
    assert query(empty, sql).width > 0


def test_the_difference_of_two_times_can_be_shown(empty: Desk) -> None:
    sql = "SELECT make_timestamp_ns(90000000000) - make_timestamp_ns(0) AS took, 1 AS took, sum(n) AS total FROM range(4) AS t(n)"
    assert query(empty, sql).rows() == [("00:01:30", 1, 6)]


def test_every_table_is_listed_with_what_it_is(empty: Desk) -> None:
    listed = {name: (columns, description) for name, columns, description in tables(empty).iter_rows()}
    assert set(listed) == {*LAYERS, *PROJECT.models, "markets", "built_with"}
    assert listed["daily_pnl"] == (len(PROJECT.columns["daily_pnl"]), PROJECT.models["daily_pnl"].about.description)


def sql_in(page: str) -> list[str]:
    """Every statement in a sql block of a page."""
    blocks = re.findall(r"```sql\n(.*?)```", (DESK_FILE.parent / page).read_text(), flags=re.DOTALL)
    return [statement.strip() for block in blocks for statement in block.split(";") if statement.strip()]


@pytest.mark.parametrize("page", ["README.md", "docs/sql.md"])
def test_every_query_that_is_written_down_can_be_asked(empty: Desk, page: str) -> None:
    asked = [query(empty, statement) for statement in sql_in(page)]
    assert len(asked) >= 10


# Dagster


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
    report(desk, MONDAY, net=10.0)
    sessions = dg.DailyPartitionsDefinition("2026-09-21", end_date="2026-09-25")
    upstream = dg.AssetSpec(dg.AssetKey(["FLW", "performance_report"]), partitions_def=sessions)
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([warehouse_assets(desk), upstream], instance=instance)
    assert result.success
    made = [event.step_materialization_data.materialization for event in result.get_asset_materialization_events()]
    assert len(made) == len(PROJECT.models) + 1
    daily = next(one.metadata for one in made if one.asset_key == dg.AssetKey(["marts", "daily_pnl"]))
    assert daily["dagster/row_count"].value == 1
    dependency = daily["dagster/column_lineage"].value.deps_by_column["trades"][0]
    assert (dependency.asset_key.to_user_string(), dependency.column_name) == ("staging/stg_performance_report", "fills")
    described = {column.name: column.description for column in daily["dagster/column_schema"].value.columns}
    assert described["net_pnl"] == "P&L after fees"
    checks = result.get_asset_check_evaluations()
    assert len(checks) == sum(len(model.tests) for model in PROJECT.models.values())
    assert all(check.passed for check in checks)


def test_a_failed_test_shows_its_rows_on_the_check(desk: Desk) -> None:
    write(desk, "performance_report", 1, provenance=["simulated exchange"], net_pnl=[5.0], gross_pnl=[9.0], fees=[1.0])
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
