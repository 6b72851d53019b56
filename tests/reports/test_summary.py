"""The session's line against cases worked by hand, and against the laws it has to keep."""

from dataclasses import replace
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.lake import check
from assets.reports.schema import PerformanceReport
from assets.reports.session import session_page
from assets.reports.summary import round_trips

# Buy 2 at 99.75 (mid 100), sell 1 at 101, sell 1 at 100.50 by taking, then sell 1 at 100.50 and buy it back at 100.75 by taking.
FILLS = [
    (10.0, 1, 99.75, 2, "maker"),
    (20.0, -1, 101.0, 1, "maker"),
    (30.0, -1, 100.5, 1, "taker"),
    (40.0, -1, 100.5, 1, "maker"),
    (50.0, 1, 100.75, 1, "taker"),
]
MIDS = [(0, 100.0), (15, 100.75), (25, 100.5), (45, 100.75), (120, 101.0)]


@pytest.fixture
def row(tables):
    return tables(FILLS, MIDS).summarise().row(0, named=True)


def test_profit_and_loss_by_hand(row):
    # Points: -199.50 + 101 + 100.50 + 100.50 - 100.75 = 1.75, times 50; six contracts at 1.50.
    assert row["gross_pnl"] == pytest.approx(87.50)
    assert row["fees"] == pytest.approx(9.00)
    assert row["net_pnl"] == pytest.approx(78.50)


def test_round_trips_are_first_in_first_out(row):
    # 99.75 -> 101 (+62.50), 99.75 -> 100.50 (+37.50), short 100.50 -> 100.75 (-12.50), each less 3.00 of fees.
    assert (row["round_trips"], row["wins"], row["losses"]) == (3, 2, 1)
    assert row["win_pnl"] == pytest.approx(59.50 + 34.50)
    assert row["loss_pnl"] == pytest.approx(-15.50)
    assert row["long_pnl"] == pytest.approx(94.00)
    assert row["short_pnl"] == pytest.approx(-15.50)


def test_spread_and_slippage_by_hand(row):
    # Resting: 2 x 0.25 below mid, 0.25 above, 0 above. Taking: sold at the mid of 100.50, bought at the mid of 100.75.
    assert row["spread_captured"] == pytest.approx((0.5 + 0.25) * 50)
    assert row["slippage"] == pytest.approx(0.0)


def test_counts(row):
    assert (row["fills"], row["contracts"], row["maker_contracts"], row["orders"], row["cancelled"]) == (5, 6, 4, 5, 5)
    assert row["max_position"] == 2


def test_drawdown_is_from_the_highest_point_so_far(row):
    # Marked at the mid: +108 after the sale at 101 (mid 100.75), +78.50 at the end.
    assert row["max_drawdown"] == pytest.approx(29.50)


def test_mean_position_is_over_time(row):
    assert row["mean_position"] == pytest.approx((2 * 10 + 1 * 10 + 1 * 10) / 120)


def test_holding_is_one_contract_from_first_to_last_mid(row):
    assert row["hold_pnl"] == pytest.approx(50.0)
    assert row["notional"] == pytest.approx(5000.0)


def test_r2_is_against_predicting_zero(row):
    # The prediction is half of the label: a quarter of the squares remains.
    assert row["r2"] == pytest.approx(0.75)
    assert row["rows_scored"] == 41


def test_an_open_contract_is_marked_at_the_last_mid(tables):
    row = tables([(10.0, -1, 100.25, 1, "maker")], MIDS).summarise().row(0, named=True)
    assert (row["round_trips"], row["wins"], row["losses"]) == (0, 0, 0)
    assert row["net_pnl"] == row["short_pnl"] == pytest.approx((100.25 - 101.0) * 50 - 1.5)


def test_a_session_of_which_nothing_came_has_a_line_of_zeros(nothing):
    report = nothing.summarise()
    check(report, PerformanceReport, "performance_report")
    row = report.row(0, named=True)
    assert (row["net_pnl"], row["fills"], row["max_drawdown"], row["r2"], row["mse"]) == (0, 0, 0, None, None)


ANY_FILLS = st.lists(
    st.tuples(st.sampled_from([-1, 1]), st.integers(390, 410), st.integers(1, 3), st.sampled_from(["maker", "taker"])),
    min_size=1,
    max_size=25,
)


@given(ANY_FILLS)
@settings(max_examples=15, deadline=None)
def test_the_parts_add_up_whatever_was_traded(tables, drawn):
    fills = [(10.0 * (place + 1), side, ticks / 4, quantity, kind) for place, (side, ticks, quantity, kind) in enumerate(drawn)]
    session = tables(fills, [(0, 100.0), (77, 101.25), (180, 99.5), (400, 100.25)])
    report = session.summarise()
    check(report, PerformanceReport, "performance_report")
    row = report.row(0, named=True)
    trips = round_trips(session.fills, session.equity, session.market)
    assert row["long_pnl"] + row["short_pnl"] == pytest.approx(row["net_pnl"], abs=1e-6)
    assert trips["net"].sum() == pytest.approx(row["net_pnl"], abs=1e-6)
    assert trips["fees"].sum() == pytest.approx(row["fees"])
    bought = session.fills.filter(pl.col("side") == 1)["quantity"].sum()
    assert row["round_trips"] == min(bought, row["contracts"] - bought)
    assert trips.height - row["round_trips"] == abs(session.fills["position"][-1])
    assert row["max_drawdown"] >= max(0.0, -row["net_pnl"]) - 1e-6


MONEY = ("net_pnl", "gross_pnl", "fees", "spread_captured", "slippage", "win_pnl", "loss_pnl", "max_drawdown", "notional")


def test_a_session_turned_upside_down_tells_the_same_money(tables, row):
    """p -> -p with sides swapped: prices below zero, as of spreads, and of oil in April 2020."""
    fills, mids = [(at, -side, -price, *rest) for at, side, price, *rest in FILLS], [(at, -mid) for at, mid in MIDS]
    session = tables(fills, mids)
    turned = session.summarise().row(0, named=True)
    check(session.summarise(), PerformanceReport, "a session below zero")
    assert [turned[name] for name in MONEY] == pytest.approx([row[name] for name in MONEY])
    assert (turned["long_pnl"], turned["short_pnl"], turned["hold_pnl"]) == pytest.approx(
        (row["short_pnl"], row["long_pnl"], -row["hold_pnl"])
    )


def test_money_has_the_markets_currency_and_a_lot_its_size(tables):
    session = tables(FILLS, MIDS)
    lots = replace(session, market=session.market.model_copy(update={"currency": "JPY", "lot_size": Decimal("0.1")}))
    told = lots.summarise().row(0, named=True)
    assert (told["unit"], told["lot_size"]) == ("JPY", 0.1)
    assert told["hold_pnl"] == pytest.approx(session.summarise()["hold_pnl"].item() / 10)
    page = session_page(lots, lots.summarise())
    assert "JPY of fees, on 5 fills of 6 contracts of 0.1, 0.6 in all" in page
    assert "Cumulative P&amp;L, JPY" in page
