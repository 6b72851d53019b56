"""The rivals: on the same rows as the curves, scored with the same figures, the same bytes whatever the threads."""

import datetime as dt

import numpy as np
import polars as pl
import pytest
from threadpoolctl import threadpool_limits

from assets.curves.model import fit, predict
from assets.curves.rivals import CURVES, RIVALS, Rival, labelled, scores
from assets.curves.schema import ModelScores
from assets.lake import check

DAY = dt.date(2026, 9, 18)


@pytest.fixture(scope="module")
def scored(planted):
    train, test = planted(60_000, 1, noise=2.0), planted(30_000, 2, noise=2.0)
    curves = fit(train.sessions(4), train.indicators, horizon_ns=train.horizon_ns, first_session=DAY, last_session=DAY)
    table, seconds = scores(curves, [train.features[:25_000], train.features[25_000:]], [test.features], train.indicators)
    return train, test, curves, table, seconds


def test_every_model_is_scored_on_every_row(scored):
    *_, table, seconds = scored
    check(table, ModelScores, "test")
    assert table["model"].to_list() == [CURVES, *RIVALS]
    assert table["rows_train"].unique().to_list() == [60_000]
    assert table["rows_test"].unique().to_list() == [30_000]
    assert set(seconds) == set(RIVALS)


def test_the_curves_are_scored_by_their_own_prediction(scored):
    _, test, curves, table, _ = scored
    row = table.row(0, named=True)
    forecast = predict(curves, test.features)
    assert row["r2"] == pytest.approx(test.r2(forecast), abs=1e-9)
    assert row["mse"] == pytest.approx(np.mean((test.features["label"].to_numpy() - forecast.astype(float)) ** 2))
    ranks = [np.argsort(np.argsort(forecast)), test.features["label"].rank().to_numpy()]
    assert row["rank_correlation"] == pytest.approx(np.corrcoef(*ranks)[0, 1], abs=1e-3)


def test_on_an_additive_signal_the_curves_beat_a_line_and_nothing_scores_zero(scored):
    _, test, _, table, _ = scored
    r2 = dict(table.select("model", "r2").iter_rows())
    assert 0.95 * test.oracle() < r2[CURVES]
    assert r2["linear"] < r2[CURVES]
    assert r2["zero"] == 0
    assert dict(table.select("model", "rank_correlation").iter_rows())["zero"] is None


def test_before_the_period_has_a_session_there_are_no_scores(scored):
    train, _, curves, *_ = scored
    table, _ = scores(curves, [train.features], [], train.indicators)
    check(table, ModelScores, "test")
    assert table.select("mse", "r2", "rank_correlation").null_count().row(0) == (len(table),) * 3


def test_threads_do_not_change_a_bit(scored):
    train, test, curves, table, _ = scored
    with threadpool_limits(1):
        assert scores(curves, [train.features], [test.features], train.indicators)[0].equals(table)


def test_a_costly_rival_trains_on_every_kth_row_and_says_so(scored, monkeypatch):
    train, test, curves, *_ = scored
    monkeypatch.setitem(RIVALS, "linear", Rival(RIVALS["linear"].make, most_rows=25_000))
    table, _ = scores(curves, [train.features], [test.features], train.indicators)
    assert table.filter(model="linear").select("every", "rows_train").row(0) == (3, 20_000)


def test_what_is_not_a_number_becomes_no_opinion_and_infinities_the_scales_end(scale):
    features = pl.DataFrame({"x": [None, np.nan, np.inf, -np.inf, 0.5], "label": [1.0, 1.0, 1.0, 1.0, None]}).cast(pl.Float32)
    rows = labelled([features, features.clear()], [scale("x")])
    assert rows.values.tolist() == [[0.0], [0.0], [3.0], [-3.0]]
    assert rows.label.tolist() == [1.0, 1.0, 1.0, 1.0]
