"""The floor's assets on a small lake: rows, pages, links, the SQL under the figures, and what is said when something is missing."""

import base64
import datetime as dt
import html
import json
import re
from dataclasses import replace
from pathlib import Path

import dagster as dg
import duckdb
import numpy as np
import polars as pl
import polars.testing
import pytest

from assets.curves.schema import CurveModel, ModelImportance, ModelScores
from assets.desk import Desk
from assets.fills.schema import VARIANTS, QuotingPolicy
from assets.fills.truth.schema import QueueFit, ReconciledOrders
from assets.provenance import open_lake
from assets.reports import asset
from assets.reports.belief import beside
from assets.reports.exhibits import origin_queries
from assets.reports.history import desk_page, week_page
from assets.reports.luck import assumptions, compared, mean_sessions
from assets.reports.origin import breakdown, by_hour, by_queue, by_score, by_side
from assets.reports.schema import PerformanceReport
from assets.reports.truth import before_and_after, by_model, fidelity, truth_page

MONDAY = dt.date(2026, 9, 21)
SQL = Path(__file__).parents[2] / "dbt_like_sql"
LABOUR_DAY = dt.date(2026, 9, 7)
FILLS = [(60.0 * n, (-1) ** n, 100.0 + 0.25 * (n % 3), 1, "maker" if n % 4 else "taker") for n in range(1, 21)]
MIDS = [(0, 100.0), (300, 100.5), (700, 100.25), (1500, 100.75)]
SESSIONS = [MONDAY, MONDAY + dt.timedelta(1), MONDAY + dt.timedelta(7)]


def desk_at(home, market, **more) -> Desk:
    told = {"hours": (dt.time(13, 30), dt.time(20)), "last_session": dt.date(2026, 10, 2), **more}
    return Desk(name="small", home=home, traded="ES", markets={"ES": market}, first_session=dt.date(2026, 8, 3), **told)


@pytest.fixture(scope="module")
def desk(tmp_path_factory, market, tables, rows, publish) -> Desk:
    """Three sessions of two weeks, materialised, with the models of both weeks."""
    desk = desk_at(tmp_path_factory.mktemp("desk"), market)
    lake = open_lake(desk)
    for place, period in enumerate((MONDAY, MONDAY + dt.timedelta(7))):
        session = tables()
        lake.write("curve_model", session.curves, CurveModel, market="ES", period=period)
        told = {"every": 1, "rows_train": 100, "rows_test": 50, "r2_train": 0.12}
        marks = {"champion": True, "traded": True, "r2_low": 0.05, "r2_high": 0.12, "r2_held_out": 0.11}
        scores = [told | marks | {"model": "curves", "r2": 0.1 - place * 0.02, "mse": 0.9}, told | {"model": "zero", "r2": 0.0, "mse": 1.0}]
        lost = [{"model": name, "indicator": "skew", "importance": 0.04, "low": 0.03, "high": 0.05} for name in ("curves", "zero")]
        lake.write("model_importance", rows(ModelImportance, lost), ModelImportance, market="ES", period=period)
        lake.write("model_scores", rows(ModelScores, scores), ModelScores, market="ES", period=period)
        fits = [{"queue": queue, "exponent": n, "sessions": 20, "orders": 9} for queue, n in (("power", 3.0), ("share", 5.0 - 3 * place))]
        lake.write("queue_fit", rows(QueueFit, fits), QueueFit, market="ES", period=period)
        chosen = {
            "trials": 24,
            "threshold": 0.37 + place,
            "indicators": ("fast", "all")[place],
            "dsr": 0.625,
            "dsr_trials": 23,
            "pbo": None,
        }
        lake.write("quoting_policy", rows(QuotingPolicy, [chosen]), QuotingPolicy, market="ES", period=period)
    for place, session in enumerate(SESSIONS):
        publish(lake, session, tables(FILLS[: 20 - 6 * place], MIDS, session=session))
        assert run(desk, session).success
    assert dg.materialize([asset.desk_report(desk)]).success
    return desk


def run(desk: Desk, session: dt.date, **more) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize([asset.performance_report(desk)], partition_key=session.isoformat(), instance=instance, **more)


def figures_of(page: str) -> dict[str, dict]:
    return {figure["id"]: figure for figure in json.loads(re.search(r'id="figures">(.*?)</script>', page)[1])}


def numbers(array) -> np.ndarray:
    return np.frombuffer(base64.b64decode(array["bdata"]), array["dtype"])


def test_each_session_has_a_row_and_a_page(desk):
    lake = open_lake(desk)
    for session in SESSIONS:
        report = lake.read("performance_report", market="ES", session=session)
        assert report.height == 1
        assert f"{session:%A}" in (desk.reports / f"session-{session}.html").read_text()


def test_every_link_leads_to_a_page(desk):
    pages = sorted(desk.reports.iterdir())
    assert {page.name for page in pages} >= {"index.html", "week-2026-09-21.html", "week-2026-09-28.html"}
    for page in pages:
        links = re.findall(r'<a href="([^"#]+)"', page.read_text())
        assert links
        assert [link for link in links if not (desk.reports / link).is_file()] == []


def test_a_week_leads_to_its_own_indicators_and_the_desk_to_the_last(desk):
    tables = replace(asset.read_desk(desk), labs=[MONDAY, MONDAY + dt.timedelta(7)])
    led = [re.findall(r'href="lab-([^"]+).html"', page) for page in (week_page(tables, MONDAY), desk_page(tables))]
    assert led == [["2026-09-21"], ["2026-09-28"]]


def test_every_page_says_simulated_exchange(desk):
    assert all("simulated exchange" in page.read_text() for page in desk.reports.iterdir())


def test_the_desks_pages_are_the_same_twice(desk):
    tables = asset.read_desk(desk)
    assert desk_page(tables) == (desk.reports / "index.html").read_text()
    assert week_page(tables, MONDAY) == (desk.reports / f"week-{MONDAY}.html").read_text()


def test_a_session_run_twice_gives_the_same_bytes(desk):
    paths = [desk.reports / f"session-{MONDAY}.html", open_lake(desk).path("performance_report", market="ES", session=MONDAY)]
    before = [path.read_bytes() for path in paths]
    assert run(desk, MONDAY).success
    assert [path.read_bytes() for path in paths] == before


def with_marts(con: duckdb.DuckDBPyConnection, desk: Desk) -> None:
    """The lake's tables, and the marts that a page asks."""
    for table in sorted(path.name for path in desk.lake.iterdir()):
        con.execute(
            f"create view {table} as select * rename (file_row_number as line) from read_parquet('{desk.lake}/{table}/*/*/*.parquet', "
            "hive_partitioning = true, file_row_number = true)"
        )
    con.execute("create table markets as select 'ES' as market, 0.25 as tick_size, 50.0 as multiplier")
    layers = ["shadow_orders", "queue_fit", "reconciliation", "policy_ablation", "performance_report"]
    staging = [f"stg_{layer}" for layer in (*layers, "orders", "fills", "live_orders", "live_fills")]
    for model in (*staging, "queue_fidelity", "reconciliation_held_out", "variant_returns", "live_against_replay"):
        kind = "staging" if model.startswith("stg_") else "marts"
        con.execute(f"create or replace view {model} as {(SQL / kind / f'{model}.sql').read_text()}")


def test_the_page_of_truth_shows_what_the_marts_hold(desk):
    tables = asset.read_truth(desk)
    with duckdb.connect() as con:
        with_marts(con, desk)
        for name, key, shown in (
            ("queue_fidelity", ("period", "queue"), fidelity(tables.shadow, tables.fits)),
            ("reconciliation_held_out", ("session", "calibrated"), before_and_after(tables.rows)),
        ):
            columns = [column for column in con.sql(f"from {name}").columns if column in shown.columns]
            asked = con.sql(f"select {', '.join(columns)} from {name}").pl().sort(key)
            assert shown.height > 1
            pl.testing.assert_frame_equal(shown.select(columns).sort(key), asked, check_dtypes=False)


def test_calibration_is_judged_on_the_session_that_did_not_choose(desk):
    before, after = before_and_after(asset.read_truth(desk).rows).iter_rows(named=True)
    assert before["session"] == after["session"] == SESSIONS[-1]
    assert (before["latency_ms"], before["queue"], before["missed"]) == (80.0, "pessimist", SESSIONS[-1].day)
    assert (after["latency_ms"], after["queue"], after["missed"], after["imagined"]) == (20.0, "exact", 0, 1)


def test_the_page_of_truth_stands_where_nothing_was_measured(desk):
    tables = asset.read_truth(desk)
    bare = replace(tables, shadow=tables.shadow.clear(), fits=tables.fits.clear(), rows=tables.rows.clear())
    page = truth_page(bare, ReconciledOrders.empty())
    assert "There is no live log" in page
    assert "<pre>" not in page


def test_the_desks_page_tells_of_its_fills_what_its_queries_do(desk):
    tables = asset.read_desk(desk)
    told = desk_page(tables).split("Can the simulation be believed?")[1]
    queries = re.findall(r"<pre>(.*?)</pre>", told, re.S)[:2]
    shown = (by_model(fidelity(tables.truth.shadow, tables.truth.fits)), beside(tables))
    with duckdb.connect() as con:
        with_marts(con, desk)
        for query, rows in zip(queries, shown, strict=True):
            asked = con.sql(html.unescape(query)).pl()
            assert asked.height > 1
            pl.testing.assert_frame_equal(rows.select(asked.columns), asked, check_dtypes=False)


def test_live_and_replay_are_told_of_the_same_orders_and_of_the_same_policy(desk):
    orders, policy = beside(asset.read_desk(desk)).rows(named=True)
    assert (orders["missed"], orders["imagined"], orders["gap"]) == (sum(day.day for day in SESSIONS), 15, 30.0)
    assert (policy["missed"], policy["imagined"]) == (None, None)
    assert policy["filled_live"] == policy["filled_replay"] - 3 == 20 + 14 + 8 - 3


def test_a_desk_without_measurements_says_nothing_of_them(desk):
    tables = asset.read_desk(desk)
    truth = replace(tables.truth, shadow=tables.truth.shadow.clear(), fits=tables.truth.fits.clear(), rows=tables.truth.rows.clear())
    page = desk_page(replace(tables, truth=truth, live=tables.live.clear()))
    assert "Can the simulation be believed?" not in page
    assert 'href="reconciliation.html"' in page
    logless = desk_page(replace(tables, truth=replace(tables.truth, rows=tables.truth.rows.clear())))
    assert "Queue models" in logless
    assert "Our live log" not in logless


def test_every_query_on_every_page_runs_and_answers(desk):
    with duckdb.connect() as con:
        with_marts(con, desk)
        queries = {query for page in desk.reports.iterdir() for query in re.findall(r"<pre>(.*?)</pre>", page.read_text(), re.S)}
        assert len(queries) > 20
        for query in queries:
            for statement in html.unescape(query).split(";"):
                assert con.execute(statement).fetchall(), statement


def test_the_query_of_the_weeks_gives_the_table_of_the_weeks(desk):
    from assets.reports.statistics import scoreboard

    tables = asset.read_desk(desk)
    query = next(text for text in re.findall(r"<pre>(.*?)</pre>", desk_page(tables), re.S) if "as week" in text)
    with duckdb.connect() as con:
        con.execute(
            f"create view performance_report as from read_parquet('{desk.lake}/performance_report/*/*/*.parquet', hive_partitioning = true)"
        )
        asked = con.execute(html.unescape(query)).fetchall()
    shown = scoreboard(tables.reports, "1w")
    for name, column in zip(("net_pnl", "fees", "trades_a_day", "maker_share", "cancelled_share"), range(2, 7), strict=True):
        assert [row[column] for row in asked] == pytest.approx(shown[name].to_list())
    assert [row[-1] for row in asked] == pytest.approx(shown["r2"].to_list())


def test_the_curve_of_returns_is_its_querys_and_the_marts(desk):
    tables = asset.read_desk(desk)
    with duckdb.connect() as con:
        with_marts(con, desk)
        for page, sessions in ((week_page(tables, MONDAY), 2), (desk_page(tables), 3)):
            query = next(text for text in re.findall(r"<pre>(.*?)</pre>", page, re.S) if "as most_held" in text)
            asked = con.sql(html.unescape(query)).pl()
            held, gross, net = figures_of(page)["plot-cumulative"]["data"]
            assert asked["net"].n_unique() == sessions
            for line, share, money in ((held, "held", "hold_pnl"), (gross, "gross", "gross_pnl"), (net, "net", "net_pnl")):
                assert numbers(line["y"]) == pytest.approx([0.0, *asked[share]]), share
                assert numbers(line["customdata"]) == pytest.approx([0.0, *asked[money]]), money
        mart = con.sql("select 100 * hold_return from variant_returns where variant = 'full' order by session").fetchall()
        assert asked["held"].to_list() == pytest.approx([held for (held,) in mart])


def test_the_queries_of_the_breakdowns_give_their_tables(desk):
    tables = asset.read_desk(desk)
    queries = origin_queries(tables.where, tables.multiplier)
    with duckdb.connect() as con:
        for table in ("fills", "orders"):
            con.execute(f"create view {table} as from read_parquet('{desk.lake}/{table}/*/*/*.parquet', hive_partitioning = true)")
        for name, by in {"hour": by_hour(), "side": by_side(), "queue": by_queue(), "score": by_score()}.items():
            asked = con.sql(queries[name]).pl()
            shown = breakdown(tables.fills, by)
            assert asked["key"].to_list() == shown["key"].to_list(), name
            for column, theirs in {"fills": "fills", "edge": "edge", "markout_60s": "after_60s", "paid": "fee", "kept": "kept"}.items():
                assert asked[theirs].to_list() == pytest.approx(shown[column].to_list()), (name, column)


def test_other_ways_to_trade_stand_beside_the_policy(desk):
    ways = compared(asset.read_desk(desk).ablation)
    assert ways["variant"][0] == VARIANTS[-1]
    full = ways.filter(pl.col("variant") == "full").row(0, named=True)
    assert (full["sessions"], full["mean"]) == (3, -sum(day.day for day in SESSIONS) / 3)
    assert (full["difference"], full["difference_low"], full["difference_high"]) == (0.0, None, None)  # the same as itself: no spread
    assert ways["difference"].to_list() == [10.0 * place for place in reversed(range(len(VARIANTS)))]
    assert "plot-ways" in (desk.reports / "index.html").read_text()


def test_each_period_tells_what_its_search_chose(desk):
    [told] = re.findall(r"What each search chose.*?</table>", desk_page(asset.read_desk(desk)), re.S)
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", told, re.S)[1:]]
    assert [(row[0], row[1], row[2], row[-2], row[-1]) for row in rows] == [
        ("2026-09-21", "fast", "0.37", "62.5%", "–"),
        ("2026-09-28", "all", "1.37", "62.5%", "–"),
    ]


def test_the_traded_model_is_told_in_and_out_of_sample_with_its_importance(desk):
    page = (desk.reports / "index.html").read_text()
    drawn = figures_of(page)
    assert [line["name"] for line in drawn["plot-r2-by-week"]["data"]] == ["in sample", "held out", "out of sample"]
    assert drawn["plot-r2-by-week"]["data"][2]["x"] == ["2026-09-21", "2026-09-28"]
    assert drawn["plot-rivals"]["data"][0]["y"] == ["zero", "curves"]
    assert drawn["plot-shuffled"]["data"][0]["y"] == ["skew"]
    assert '<td class="words">champion, traded</td>' in page


@pytest.mark.parametrize(("page", "least"), [("index", 11), ("reconciliation", 6)])
def test_plotly_knows_every_property_of_the_desks_figures(desk, page, least):
    import plotly.graph_objects as go

    found = re.search(r'id="figures">(.*?)</script>', (desk.reports / f"{page}.html").read_text())
    figures = json.loads(re.sub(r'"--[a-z-]+"', '"#000"', found[1]))
    assert len(figures) >= least
    for figure in figures:
        go.Figure(data=figure["data"], layout=figure["layout"])


def test_pnl_is_drawn_against_latency_and_between_the_queues_bounds(desk):
    tables = asset.read_desk(desk)
    wire = mean_sessions(tables.what_if.filter(pl.col("assumption") == "latency"), "setting")
    mean_day = sum(day.day for day in SESSIONS) / 3
    assert wire["label"].to_list() == ["0 ms", "5 ms", "20 ms"]
    assert wire["mean"].to_list() == pytest.approx([-mean_day, -mean_day - 5, -mean_day - 20])
    assert (wire["low"] <= wire["mean"]).all()
    _, bounds = assumptions(tables.what_if, tables.unit, tables.where)
    assert bounds.figure["data"][0]["y"] == ["pessimist", "exact", "optimist"]
    session = (desk.reports / f"session-{MONDAY}.html").read_text()
    for page in (session, week_page(tables, MONDAY), desk_page(tables)):
        assert 'id="latency"' in page
        assert 'id="queue-bounds"' in page


def test_what_was_left_out_is_on_every_page(desk):
    for page in desk.reports.iterdir():
        assert ("unknown order" in page.read_text()) == (page.name != "reconciliation.html"), page.name


def test_the_headline_is_metadata_as_floats(desk):
    [materialisation] = run(desk, MONDAY).asset_materializations_for_node("ES__performance_report")
    told = materialisation.metadata
    assert isinstance(told["net_pnl"].value, float)
    assert isinstance(told["r2"].value, float)
    assert "simulated exchange" in told["day"].value


def test_a_missing_input_is_named_and_nothing_is_published(tmp_path, market):
    desk = desk_at(tmp_path, market)
    result = run(desk, MONDAY, raise_on_error=False)
    [failure] = [event.step_failure_data for event in result.all_node_events if event.is_step_failure]
    told = "`tickline make book_quality --session 2026-09-21` makes it, `tickline demo` everything"
    assert failure.user_failure_data.description == f"book_quality ES 2026-09-21 is not in the lake at {desk.lake}: {told}"
    assert not desk.reports.exists()


def test_a_holiday_has_a_partition_without_rows(tmp_path, market):
    desk = desk_at(tmp_path, market.model_copy(update={"calendar": "XNYS"}))
    assert run(desk, LABOUR_DAY).success
    assert open_lake(desk).read("performance_report", market="ES", session=LABOUR_DAY).equals(PerformanceReport.empty())
    assert dg.materialize([asset.desk_report(desk)]).success


def test_a_desk_without_any_session_still_has_its_page(tmp_path, market):
    desk = desk_at(tmp_path, market)
    assert dg.materialize([asset.desk_report(desk)]).success
    assert "No session has been reported yet." in (desk.reports / "index.html").read_text()


def test_a_week_without_trades_still_has_its_page(desk):
    tables = asset.read_desk(desk)
    idle = {
        name: pl.lit(0, kind)
        for name, kind in PerformanceReport.empty().schema.items()
        if name in {"fills", "contracts", "orders", "net_pnl"}
    }
    page = week_page(replace(tables, reports=tables.reports.with_columns(**idle)), MONDAY)
    assert "No order was filled" in page


@pytest.mark.filterwarnings("ignore:Specifying a partitions_def:dagster.PreviewWarning")
def test_the_published_partition_is_held_to_its_contract_again(desk):
    [check] = asset.checks(desk, "ES")
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([asset.performance_report(desk), check], partition_key=MONDAY.isoformat(), instance=instance)
    assert all(evaluation.passed for evaluation in result.get_asset_check_evaluations())
    assert len(result.get_asset_check_evaluations()) == 1
