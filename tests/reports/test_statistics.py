"""Each statistic against a case worked by hand, and against series that it has nothing to say of."""

import datetime as dt
import math
from statistics import NormalDist

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from assets.desk import load_desk
from assets.reports import statistics
from assets.reports.summary import COLUMNS

PNL = np.array([10.0, -5.0, 15.0, -20.0, 10.0])


def test_sortino_by_hand():
    assert statistics.sortino(PNL) == pytest.approx(2 / math.sqrt((25 + 400) / 5))


def test_t_statistic_by_hand():
    assert statistics.t_statistic(PNL) == pytest.approx(2 / math.sqrt(207.5 / 5))


def test_drawdown_by_hand():
    # 10, 5, 20, 0, 10: from 20 after the third session to 0 after the fourth.
    assert statistics.max_drawdown(PNL) == statistics.Drawdown(20.0, peak=2, trough=3)


def test_a_drawdown_may_begin_at_the_start():
    assert statistics.max_drawdown(np.array([-4.0, -3.0, 9.0])) == statistics.Drawdown(7.0, peak=-1, trough=1)
    assert statistics.max_drawdown(np.array([1.0, 0.0, 2.0])) is None


@pytest.mark.parametrize("pnl", [[], [3.0], [2.0, 2.0, 2.0]])
def test_too_short_or_too_flat_a_series_has_no_ratio(pnl):
    series = np.array(pnl)
    for figure in (statistics.t_statistic, statistics.sessions_to_convince):
        assert figure(series) is None


def test_the_interval_of_the_mean_is_students():
    pnl = np.random.default_rng(5).normal(3, 10, 12)
    known = ttest_1samp(pnl, 0).confidence_interval(0.95)
    assert statistics.mean_interval(pnl) == pytest.approx((known.low, known.high))
    assert statistics.mean_interval(PNL[:1]) is None


@pytest.mark.parametrize(
    ("sessions", "shape", "least"), [(3, "normal", 0.94), (10, "normal", 0.94), (40, "normal", 0.94), (10, "skewed", 0.88)]
)
def test_the_interval_covers_the_true_mean_as_often_as_it_says(sessions, shape, least):
    random = np.random.default_rng(20260824)
    draws = random.normal(0, 1, (4_000, sessions)) if shape == "normal" else random.exponential(1, (4_000, sessions)) - 1
    intervals = np.array([statistics.mean_interval(pnl) for pnl in draws])
    covered = float(((intervals[:, 0] <= 0) & (intervals[:, 1] >= 0)).mean())
    assert least < covered < 0.96


@given(st.floats(0.001, 1e6), st.sampled_from([-1, 1]), st.integers(2, 60))
def test_equal_sessions_have_no_ratio_and_no_interval_whatever_rounding_leaves(amount, sign, sessions):
    pnl = np.array([sign * amount + 0.1 - 0.1] * sessions)
    pnl[::2] = np.nextafter(pnl[::2], np.inf)
    figures = (statistics.t_statistic, statistics.chance, statistics.mean_interval, statistics.sessions_to_convince)
    assert [figure(pnl) for figure in figures] == [None] * 4
    days = [dt.date(2026, 9, 7)] * sessions
    columns = dict.fromkeys(("gross_pnl", "fees", "hold_pnl", "mse", "label_square"), 0.0)
    counts = dict.fromkeys(("contracts", "maker_contracts", "orders", "cancelled", "fills", "rows_scored"), 0)
    reports = pl.DataFrame({"session": days, "net_pnl": pnl}).with_columns(
        pl.lit(value).alias(name) for name, value in (columns | counts).items()
    )
    assert statistics.scoreboard(reports, "1w")["sharpe"].to_list() == [None]


def test_sessions_to_convince_by_hand():
    # Symmetric series of +-1 around 0.5: skew 0, raw kurtosis 1, so the estimate's scale is exactly 1.
    pnl = np.array([1.5, -0.5] * 8)
    ratio = 0.5 / math.sqrt(16 / 15)
    assert statistics.sessions_to_convince(pnl) == math.ceil(1 + (NormalDist().inv_cdf(0.95) / ratio) ** 2)


def test_a_losing_record_never_convinces():
    assert statistics.sessions_to_convince(-PNL) is None


def test_a_year_has_the_markets_own_number_of_sessions():
    desk = load_desk("desk.toml")
    always = desk.model_copy(update={"markets": {"FLW": desk.markets["FLW"].model_copy(update={"calendar": "24/7"})}})
    assert (statistics.sessions_a_year(desk), statistics.sessions_a_year(always)) == (252, 365)


def reports(days: list[tuple[dt.date, float, int]]) -> pl.DataFrame:
    """Reports with a date, a net P&L and a number of fills; half of the fills rest, a quarter of the orders fill."""
    zeros = {name: [0.0] * len(days) for name in COLUMNS}
    fills = [fills for _, _, fills in days]
    return pl.DataFrame(zeros).with_columns(
        session=pl.Series([day for day, _, _ in days], dtype=pl.Date),
        net_pnl=pl.Series([net for _, net, _ in days], dtype=pl.Float64),
        fills=pl.Series(fills, dtype=pl.Int64),
        contracts=pl.Series(fills, dtype=pl.Int64),
        maker_contracts=pl.Series([count // 2 for count in fills]),
        orders=pl.Series([count * 4 for count in fills]),
        cancelled=pl.Series([count * 3 for count in fills]),
        mse=pl.Series([3.0 if count else None for count in fills], dtype=pl.Float64),
        rows_scored=pl.Series([10 if count else 0 for count in fills]),
        label_square=pl.Series([40.0 if count else 0.0 for count in fills]),
    )


def test_weeks_begin_on_monday_and_add_up():
    monday = dt.date(2026, 9, 21)
    days = [(monday, 10.0, 4), (monday + dt.timedelta(4), -4.0, 8), (monday + dt.timedelta(7), 5.0, 0)]
    table = statistics.weekly_table(reports(days))
    assert table["week"].to_list() == [monday, monday + dt.timedelta(7)]
    first, second = table.rows(named=True)
    assert first == {
        "week": monday,
        "sessions": 2,
        "net_pnl": 6.0,
        "trades_a_day": 6.0,
        "maker_share": 0.5,
        "cancelled_share": 0.75,
        "sharpe": pytest.approx(3 / math.sqrt(98) * math.sqrt(252)),
        "worst_day": -4.0,
        "r2": pytest.approx(0.25),
    }
    assert (second["maker_share"], second["cancelled_share"], second["sharpe"], second["r2"]) == (None, None, None, None)


def test_no_reports_are_no_weeks():
    assert statistics.weekly_table(reports([])).height == 0


@given(st.lists(st.floats(-1e4, 1e4).map(lambda value: round(value, 2)), min_size=2, max_size=30, unique=True))
def test_chance_is_the_one_sided_t_test_and_agrees_with_its_picture(pnl):
    chance = statistics.chance(np.array(pnl))
    assert chance == pytest.approx(ttest_1samp(pnl, 0.0, alternative="greater").pvalue, abs=1e-9)
    assert (chance < 0.5) == (sum(pnl) > 0) or sum(pnl) == pytest.approx(0, abs=1e-6)


def test_chance_of_too_few_or_equal_sessions_is_not_known():
    assert [statistics.chance(np.array(pnl)) for pnl in ([], [5.0], [5.0, 5.0])] == [None, None, None]


def test_a_return_is_on_the_most_that_was_held_beside_one_contract():
    money = {"net_pnl": [33.0, -66.0, 0.0], "gross_pnl": [66.0, 0.0, 0.0], "hold_pnl": [10.0, 20.0, -40.0]}
    days = [dt.date(2026, 9, day) for day in (21, 22, 23)]
    reports = pl.DataFrame({"session": days, "max_position": [1, 3, 2], "notional": [100.0, 110.0, 120.0], **money})
    assert statistics.bases(reports) == (330.0, 100.0)
    told = statistics.returns(reports)
    assert told["net"].to_list() == pytest.approx([0.1, -0.1, -0.1])
    assert told["gross"].to_list() == pytest.approx([0.2, 0.2, 0.2])
    assert told["held"].to_list() == pytest.approx([0.1, 0.3, -0.1])


def test_nothing_at_stake_has_no_return():
    days = reports([(dt.date(2026, 9, 21), 0.0, 0)])
    assert statistics.bases(days) == statistics.bases(days.clear()) == (None, None)
    assert statistics.returns(days).row(0)[1:] == (None, None, None)
