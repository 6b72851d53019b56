"""The floor as Dagster sees it: one asset that reads two markets, its contract, and the sentences that bad input gets."""

import datetime as dt

import dagster as dg
import polars as pl
import pytest

from assets.books.continuous import rows_of
from assets.books.rebuild import rebuild
from assets.books.schema import CleanBooks, Trades, TradingStretches
from assets.calendar import Calendar
from assets.desk import Desk, Market
from assets.features.asset import checks, feature_table
from assets.features.build import build, indicator_names
from assets.provenance import open_lake
from assets.ticks.dbn import read_records

pytestmark = pytest.mark.filterwarnings("ignore:Specifying a partitions_def:dagster.PreviewWarning")

SESSION = dt.date(2013, 10, 10)
HOLIDAY = dt.date(2013, 12, 25)


@pytest.fixture
def desk(tmp_path) -> Desk:
    markets = {name: Market(symbol=name, tick_size="0.25", calendar="XNYS") for name in ("FLW", "LDR")}
    return Desk(
        name="test", home=tmp_path, traded="FLW", leaders=("LDR",), markets=markets, training_sessions=5,
        first_session=dt.date(2013, 9, 30), last_session=dt.date(2013, 12, 31),
    )  # fmt: skip


@pytest.fixture
def ticks(desk, make):
    """Books and trades of both markets from some seconds before the open of the session on, in the lake."""
    window = Calendar(desk).window("FLW", SESSION)
    opens = window.open_ns
    made = {name: make.random(seed, events=400, start=opens - 20_000_000_000) for seed, name in enumerate(desk.all_markets)}
    for name, (books, trades) in made.items():
        open_lake(desk).write("clean_books", books, CleanBooks, market=name, session=SESSION)
        open_lake(desk).write("trades", trades, Trades, market=name, session=SESSION)
        open_lake(desk).write("trading_stretches", rows_of(window), TradingStretches, market=name, session=SESSION)
    return made


def materialise(desk, session):
    with dg.DagsterInstance.ephemeral() as instance:
        definitions = [feature_table(desk), *checks(desk, "FLW")]
        return dg.materialize(definitions, partition_key=session.isoformat(), instance=instance, raise_on_error=False)


def test_the_asset_writes_what_build_makes_of_the_sessions_hours(desk, ticks, make):
    run = materialise(desk, SESSION)
    window = Calendar(desk).window("FLW", SESSION)
    expected = build(
        *ticks["FLW"], {"LDR": ticks["LDR"]}, tick=make.tick, leader_ticks={"LDR": make.tick}, horizon_ns=desk.horizon_ns,
        open_ns=window.open_ns, close_ns=window.close_ns,
    )  # fmt: skip
    written = open_lake(desk).read("feature_table", market="FLW", session=SESSION)
    assert written.equals(expected)
    assert written["ts_event"].min() >= window.open_ns > ticks["FLW"][0]["ts_event"].min()
    assert [evaluation.passed for evaluation in run.get_asset_check_evaluations()] == [True]


def test_rows_labels_and_correlations_are_in_the_metadata(desk, ticks):
    run = materialise(desk, SESSION)
    table = open_lake(desk).read("feature_table", market="FLW", session=SESSION)
    told = run.asset_materializations_for_node("FLW__feature_table")[0].metadata
    assert told["dagster/row_count"].value == table.height
    assert told["rows_own"].value == table["own"].sum() < table.height
    assert told["rows_with_label"].value == table["label"].count() < table.height
    assert told["correlation_skew"].value == pytest.approx(table.drop_nulls("label").select(pl.corr("skew", "label")).item())


def test_the_traded_table_waits_for_every_market(desk):
    keys = feature_table(desk).asset_deps[dg.AssetKey(["FLW", "feature_table"])]
    assert keys == {dg.AssetKey(["FLW", "clean_books"]), dg.AssetKey(["LDR", "clean_books"])}


def test_a_holiday_is_a_partition_without_rows(desk):
    assert materialise(desk, HOLIDAY).success
    table = open_lake(desk).read("feature_table", market="FLW", session=HOLIDAY)
    assert table.height == 0
    assert table.columns[6:] == indicator_names(["LDR"])


def test_missing_books_of_a_leader_are_named(desk, ticks):
    open_lake(desk).path("clean_books", market="LDR", session=SESSION).unlink()
    failure = materialise(desk, SESSION).get_step_failure_events()[0].step_failure_data.user_failure_data
    assert failure.description.startswith("clean_books LDR 2013-10-10 is not in the lake")


@pytest.mark.parametrize(
    ("file", "tick"),
    [("esh4-glbx-mdp3-20231225.mbo.dbn.zst", 250_000_000), ("equities/BAC/2013-10-09.mbp-1.dbn.zst", 10_000_000)],
    ids=["market by order", "best bid and offer"],
)
def test_real_books_go_through_and_their_skew_predicts(shared_data, file, tick):
    made = rebuild(read_records([shared_data / file]))
    table = build(made.books, made.trades, {}, tick=tick, leader_ticks={}, horizon_ns=10_000_000_000)
    assert table.height > 20_000
    assert (table["bid_px"] < table["ask_px"]).all()
    assert table.drop_nulls("label").select(pl.corr("skew", "label")).item() > 0.1
