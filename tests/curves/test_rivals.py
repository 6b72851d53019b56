"""The rivals: trained and scored on the same rows as the curves, the same bytes whatever the threads; one of them is the champion."""

import datetime as dt
import typing

import numpy as np
import polars as pl
import pytest
from threadpoolctl import threadpool_limits

from assets.curves import rivals, training
from assets.curves.champion import choose_champion, split, traded
from assets.curves.evaluation import Unseen, importance, ratio
from assets.curves.model import fit, predict
from assets.curves.rivals import CHAMPION, CURVES, RIVALS, SIMPLICITY, Rival
from assets.curves.schema import ModelChoice, ModelImportance, ModelScores
from assets.curves.scores import MEASURED, score
from assets.curves.statistics import CurvesError, session_statistics
from assets.curves.training import Rows, Training, cleaned, labelled
from assets.desk import Model
from assets.lake import check

MONDAY = dt.date(2026, 8, 31)
SESSIONS = 4
FAST = ("zero", "ridge", "linear", CURVES, "decision_tree")


def days(number: int) -> list[dt.date]:
    return [MONDAY + dt.timedelta(days=k) for k in range(number)]


def window(planted, tables: dict[dt.date, pl.DataFrame]) -> Training:
    sums = {day: session_statistics(table, planted.indicators, horizon_ns=planted.horizon_ns) for day, table in tables.items()}
    return Training(sums, tables.__getitem__, planted.indicators, planted.horizon_ns)


def sessions_of(planted, number: int = SESSIONS) -> dict[dt.date, pl.DataFrame]:
    size = planted.features.height // number
    return {day: planted.features[k * size : (k + 1) * size] for k, day in enumerate(days(number))}


@pytest.fixture(scope="module")
def known(planted):
    return planted(24_000, 1, noise=2.0), planted(12_000, 2, noise=2.0)


@pytest.fixture(scope="module")
def scored(known):
    train, test = known
    learning = window(train, sessions_of(train))
    choice = choose_champion(learning, CHAMPION)
    blocks = [labelled(table, test.indicators) for table in sessions_of(test, 3).values()]
    return learning, blocks, choice, *score(learning, blocks, choice)


def test_the_desk_may_name_every_model_and_no_other():
    assert set(typing.get_args(Model)) == {*SIMPLICITY, CHAMPION}
    assert set(SIMPLICITY) == {*RIVALS, CURVES}


def test_every_model_is_scored_on_every_row(scored):
    *_, choice, table, weights = scored
    for frame, contract in ((choice, ModelChoice), (table, ModelScores), (weights, ModelImportance)):
        check(frame, contract, "test")
    assert table["model"].to_list() == choice["model"].to_list() == list(SIMPLICITY)
    assert table["rows_train"].unique().to_list() == [24_000]
    assert table["rows_test"].unique().to_list() == [12_000]
    assert (table["r2_low"] <= table["r2"]).all()
    assert (table["r2"] <= table["r2_high"]).all()
    assert (table["fit_seconds"] > 0).all()
    assert (table["predict_row_us"] > 0).all()
    assert weights.select("model", "indicator").is_unique().all()
    assert weights.height == len(SIMPLICITY) * 4


def test_the_curves_are_scored_by_their_own_prediction(scored, known):
    train, test = known
    _, _, _, table, _ = scored
    row = table.row(by_predicate=pl.col("model") == CURVES, named=True)
    model = fit(train.sessions(SESSIONS), train.indicators, horizon_ns=train.horizon_ns, first_session=MONDAY, last_session=MONDAY)
    forecast = predict(model, test.features)
    assert row["r2"] == pytest.approx(test.r2(forecast), abs=1e-9)
    assert row["mse"] == pytest.approx(np.mean((test.features["label"].to_numpy() - forecast.astype(float)) ** 2))
    ranks = [np.argsort(np.argsort(forecast)), test.features["label"].rank().to_numpy()]
    assert row["rank_correlation"] == pytest.approx(np.corrcoef(*ranks)[0, 1], abs=1e-3)


def test_on_an_additive_signal_the_curves_beat_every_rival_and_are_the_champion(scored, known):
    *_, choice, table, _ = scored
    r2 = dict(table.select("model", "r2").iter_rows())
    assert 0.9 * known[1].oracle() < r2[CURVES] == max(r2.values())
    assert r2["zero"] == 0
    assert dict(table.select("model", "rank_correlation").iter_rows())["zero"] is None
    assert traded(choice) == CURVES
    assert table.filter("champion")["model"].to_list() == table.filter("traded")["model"].to_list() == [CURVES]


def test_an_indicator_is_as_important_as_what_it_says(planted):
    told = planted(20_000, 3, noise=1.0, size=2)
    noise = np.random.default_rng(0).standard_normal(20_000).astype(np.float32)
    table = told.features.with_columns(x1=pl.Series(noise))
    moved = told._replace(features=table.with_columns(label=(2 * pl.col("x0").sign()).cast(pl.Float32)))
    learning = window(moved, sessions_of(moved))
    unseen = Unseen.of([learning.rows(day) for day in learning.sessions])
    found = importance(learning.learn("ridge"), unseen)
    assert found["x0"].low > 0.5
    assert found["x1"].low < 0.001
    assert abs(found["x1"].value) < 0.001


def test_before_the_period_has_a_session_there_are_no_scores(scored):
    learning, _, choice, *_ = scored
    table, weights = score(learning, [], choice)
    check(table, ModelScores, "test")
    assert table.select("mse", "r2", "rank_correlation").null_count().row(0) == (len(table),) * 3
    assert weights.height == 0


def test_neither_threads_nor_another_run_change_a_bit(scored):
    learning, blocks, choice, table, weights = scored
    with threadpool_limits(1):
        again, weights_again = score(learning, blocks, choice)
    assert again.drop(MEASURED).equals(table.drop(MEASURED))
    assert weights_again.equals(weights)


def test_a_costly_rival_trains_on_every_kth_row_and_says_so(known, monkeypatch):
    train, _ = known
    monkeypatch.setattr(training, "MOST_ROWS", 12_000)
    monkeypatch.setitem(RIVALS, "ridge", Rival(RIVALS["ridge"].make, most_rows=5_000))
    learning = window(train, sessions_of(train))
    assert (learning.learn("linear").every, learning.learn("linear").rows) == (2, 12_000)
    assert (learning.learn("ridge").every, learning.learn("ridge").rows) == (6, 4_000)


def test_what_is_not_a_number_becomes_no_opinion_and_infinities_the_scales_end(scale):
    features = pl.DataFrame({"x": [None, np.nan, np.inf, -np.inf, 0.5], "label": [1.0, 1.0, 1.0, 1.0, None]}).cast(pl.Float32)
    rows = labelled(features, [scale("x")])
    assert rows.values.tolist() == [[0.0], [0.0], [3.0], [-3.0]]
    assert rows.label.tolist() == [1.0, 1.0, 1.0, 1.0]
    assert len(cleaned(features, [scale("x")])) == 5


def test_a_model_trained_on_some_sessions_has_seen_nothing_of_the_others(known):
    """Scramble the held-out sessions: every model trained on the rest predicts the same, to the bit."""
    train, test = known
    tables = sessions_of(train)
    held_out = days(SESSIONS)[-1]
    scrambled = tables | {held_out: tables[held_out].with_columns(x0=-pl.col("x0"), label=-pl.col("label"))}
    values = cleaned(test.features, test.indicators)
    for name in FAST:
        one, other = (window(train, each).learn(name, days(SESSIONS)[:-1]).predict(values) for each in (tables, scrambled))
        assert one.tobytes() == other.tobytes(), name


def test_each_fold_is_predicted_by_a_model_trained_without_it(known):
    train, _ = known
    tables = sessions_of(train)
    odd = days(SESSIONS)[0]
    tables[odd] = tables[odd].with_columns(label=-50 * pl.col("label"))
    learning = window(train, tables)
    for name in ("ridge", CURVES):
        signs = []
        for day, forecast in zip(days(SESSIONS), learning.cross_fitted(name, [[day] for day in days(SESSIONS)]), strict=True):
            signs.append(
                np.corrcoef(forecast(tables[day]), train.signal[: len(tables[day])] if day == odd else tables[day]["label"])[0, 1] > 0
            )
        assert signs == [True, False, False, False], name


def test_where_models_cannot_be_told_apart_the_plainest_is_the_champion(planted):
    straight = planted(16_000, 4, noise=2.0)
    signal = sum(straight.features[name].to_numpy() for name in ("x0", "x1"))
    label = np.rint(2 * (signal + 2 * np.random.default_rng(5).standard_normal(16_000))) / 2
    line = straight._replace(features=straight.features.with_columns(label=pl.Series(label.astype(np.float32))))
    choice = choose_champion(window(line, sessions_of(line)), CURVES)
    assert choice.filter("champion")["model"].item() in ("ridge", "linear", "linear_svr")
    assert traded(choice) == CURVES
    blind = line._replace(features=line.features.with_columns(label=pl.Series(np.rint(np.random.default_rng(6).standard_normal(16_000)))))
    assert traded(choose_champion(window(blind, sessions_of(blind)), CHAMPION)) == "zero"


def test_the_last_quarter_of_the_window_is_held_out():
    assert split(range(20)) == (range(15), range(15, 20))
    assert split(range(2)) == (range(1), range(1, 2))
    assert split(range(1)) == (range(1), range(1, 1))


def test_of_a_window_of_one_session_curves_are_the_champion_untried(known):
    train, _ = known
    choice = choose_champion(window(train, sessions_of(train, 1)), CHAMPION)
    check(choice, ModelChoice, "test")
    assert traded(choice) == CURVES
    assert choice["r2_held_out"].null_count() == choice.height


def test_a_single_session_is_judged_by_its_stretches():
    rows = Rows(np.zeros((100, 1), np.float32), np.arange(100.0))
    assert [len(block.label) for block in Unseen.of([rows]).blocks] == [10] * 10
    assert len(Unseen.of([rows, rows]).blocks) == 2
    assert Unseen.of([]).rows == 0


def test_the_interval_of_a_ratio_covers_it_as_often_as_it_says():
    random, hits = np.random.default_rng(7), 0
    for _ in range(2_000):
        below = random.uniform(0.5, 1.5, 6)
        interval = ratio(0.3 * below + 0.05 * random.standard_normal(6), below)
        hits += interval.low < 0.3 < interval.high
    assert 0.93 < hits / 2_000 < 0.97


def test_a_window_without_a_label_has_nothing_to_train_on(known):
    train, _ = known
    blank = {day: table.with_columns(label=pl.lit(None, pl.Float32)) for day, table in sessions_of(train).items()}
    with pytest.raises(CurvesError, match="nothing to train a model on"):
        window(train, blank).learn("ridge")


def test_the_registry_states_what_each_can_afford():
    assert all(rival.most_rows <= rivals.MOST_ROWS for rival in RIVALS.values())
