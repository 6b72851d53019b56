"""What is in the warehouse: every layer and model of whatever the lake holds, and marts that add up."""

import datetime as dt
from pathlib import Path

import polars as pl
import polars.testing
import pytest

from assets.desk import Desk, load_desk
from assets.provenance import open_lake
from assets.reports.statistics import weekly_table
from benchmarks.made import plausible, put, put_report
from pipelines.layers import LAYERS
from pipelines.query import layout, open_warehouse, query
from pipelines.sql_models import load
from pipelines.warehouse import build, sources

DESK_FILE = Path(__file__).parents[2] / "desk.toml"
PROJECT = load(sources())
MONDAY = dt.date(2026, 9, 21)
TUESDAY = dt.date(2026, 9, 22)
OPEN = 1_790_000_000_000_000_000


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return load_desk(DESK_FILE).model_copy(update={"home": tmp_path})


def test_every_layer_and_model_is_there_with_its_rows(desk: Desk) -> None:
    for table in LAYERS:
        put(desk, table, 2)
    built = build(desk, PROJECT)
    with open_warehouse(desk) as con:
        shown = {row[0] for row in con.sql("SHOW TABLES").fetchall()}
        assert shown == {*LAYERS, *PROJECT.models, "markets", "built_with"}
        for table in LAYERS:
            assert con.sql(f"SELECT count(*) FROM {table}").fetchall() == [(2,)], table
            assert con.sql(f"SELECT count(*) FROM stg_{table}").fetchall() == [(2,)], table
    assert built.rows["stg_fills"] == 2


def test_an_empty_lake_gives_empty_tables_of_the_right_columns(desk: Desk) -> None:
    built = build(desk, PROJECT)
    for name, columns in (sources() | PROJECT.columns).items():
        if name != "markets":
            assert (built.columns[name], built.rows[name]) == (columns, 0), name
    assert all(result.passed for result in built.results)


def test_big_layers_are_views_over_the_lake_and_small_ones_are_copied(desk: Desk) -> None:
    for table in LAYERS:
        put(desk, table, 2)
    build(desk, PROJECT)
    kinds = dict(query(desk, "SELECT table_name, table_type FROM information_schema.tables").iter_rows())
    for table, layer in LAYERS.items():
        assert kinds[table] == ("VIEW" if layer.big else "BASE TABLE"), table
    assert kinds["daily_pnl"] == "BASE TABLE"


def test_partition_keys_are_columns_and_line_is_the_row_of_its_partition(desk: Desk) -> None:
    for market in desk.all_markets:
        put(desk, "raw_ticks", 2, market=market)
    put(desk, "raw_ticks", 1, key=TUESDAY)
    build(desk, PROJECT)
    rows = query(desk, "SELECT market, session, row FROM stg_raw_ticks ORDER BY ALL").rows()
    assert rows == [("FLW", MONDAY, 0), ("FLW", MONDAY, 1), ("FLW", TUESDAY, 0), ("LDR", MONDAY, 0), ("LDR", MONDAY, 1)]


def test_the_signs_in_a_homes_name_change_no_table(tmp_path: Path) -> None:
    """Brackets, stars and braces are no patterns, a=b above the lake is no column, quotes and per cent are a name's."""
    plain = load_desk(DESK_FILE).model_copy(update={"home": tmp_path / "plain"})
    odd = plain.model_copy(update={"home": tmp_path / "x[1] {a,b}" / "run=3" / "market=Q" / "session=2020-01-01" / "50% of *'s ~ä"})
    shown = []
    for desk in (plain, odd):
        for table in LAYERS:
            put(desk, table, 2)
        build(desk, PROJECT)
        with open_warehouse(desk) as con:
            names = sorted(row[0] for row in con.sql("SHOW TABLES").fetchall())
            shown.append({name: con.sql(f"FROM {name}").pl() for name in names if name != "markets"})
    assert shown[0].keys() == shown[1].keys()
    for name, table in shown[0].items():
        polars.testing.assert_frame_equal(table, shown[1][name], check_row_order=False)


def test_partitions_of_different_columns_meet_by_name(desk: Desk) -> None:
    lake, layer = open_lake(desk), LAYERS["raw_ticks"]
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
    open_lake(desk).write("feature_table", frame, layer.contract, market="FLW", session=MONDAY)
    build(desk, PROJECT)
    assert query(desk, "SELECT skew FROM stg_feature_table").rows() == [(0.5,)]
    comment = "SELECT comment FROM duckdb_columns() WHERE table_name = 'stg_feature_table' AND column_name = 'skew'"
    assert "indicator" in query(desk, comment).item().lower()


def test_markets_that_the_desk_does_not_name_are_left_out(desk: Desk) -> None:
    put(desk, "fills", market="OLD")
    put(desk, "fills", market="LDR")
    put(desk, "fills")
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
    put_report(desk, MONDAY, net=100.0)
    put_report(desk, TUESDAY, net=-160.0)
    put(desk, "equity", 2, ts_event=[OPEN, OPEN], equity=[130 * 10**9, 100 * 10**9], key=MONDAY)
    put(desk, "equity", 1, ts_event=[OPEN], equity=[-160 * 10**9], key=TUESDAY)
    build(desk, PROJECT)
    assert query(desk, "SELECT session, cumulative_pnl, drawdown FROM daily_pnl").rows() == [(MONDAY, 100.0, 0.0), (TUESDAY, -60.0, 160.0)]
    assert query(desk, "SELECT total_pnl, drawdown FROM equity_curve").rows() == [(130.0, 0.0), (100.0, 30.0), (-60.0, 190.0)]
    assert query(desk, "SELECT week, sessions, net_pnl, worst_day FROM weekly_scorecard").rows() == [(MONDAY, 2, -60.0, -160.0)]


def test_the_weekly_scorecard_says_what_the_report_says(desk: Desk) -> None:
    activity = {"contracts": [4], "maker_contracts": [3], "orders": [9], "cancelled": [5]}
    scores = {"mse": [2.0], "rows_scored": [7], "label_square": [16.0]}
    nets = [12.5, -40.0, 3.25, 7.0, 0.5, 60.0]
    for day, net in enumerate(nets):
        put_report(desk, MONDAY + dt.timedelta(days=day + 2 * (day > 4)), net, **activity, **scores)
    build(desk, PROJECT)
    lake = open_lake(desk)
    keys = lake.partitions("performance_report")
    parts = [lake.read("performance_report", **key).with_columns(session=pl.lit(key["session"]).str.to_date()) for key in keys]
    expected = weekly_table(pl.concat(parts))
    from_sql = query(desk, "FROM weekly_scorecard").select(expected.columns)
    assert from_sql.height == 2
    polars.testing.assert_frame_equal(from_sql, expected, check_dtypes=False)


def test_the_same_lake_gives_the_same_contents(desk: Desk) -> None:
    put_report(desk, MONDAY, net=1 / 3)
    put(desk, "fills")
    contents = []
    for _ in range(2):
        build(desk, PROJECT)
        with open_warehouse(desk) as con:
            contents.append({table: con.sql(f"FROM {table}").fetchall() for (table,) in con.sql("SHOW TABLES").fetchall()})
    assert contents[0] == contents[1]


def test_a_test_that_fails_is_told_and_does_not_hold_the_publication_back(desk: Desk) -> None:
    put(desk, "performance_report", 1, provenance=["simulated exchange"], net_pnl=[5.0], gross_pnl=[9.0], fees=[1.0])
    failed = {(result.test.model, result.test.name): result for result in build(desk, PROJECT).results if not result.passed}
    fault = failed["daily_pnl", "net_is_gross_less_fees"]
    assert (fault.failures, fault.sample[0]["net_pnl"]) == (1, 5.0)
    assert query(desk, "SELECT net_pnl FROM daily_pnl").rows() == [(5.0,)]
