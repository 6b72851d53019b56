"""The fit: where the damped passes come to rest, what they find, and what they do with bad input."""

import datetime as dt
import os
import platform
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from threadpoolctl import threadpool_limits

from assets.curves import joint, model
from assets.curves.choice import PENALTIES, choose_penalties, stretches
from assets.curves.forms import LINEAR
from assets.curves.joint import Shapes, Sums, damped_fit, direct_fit, r2
from assets.curves.model import cross_fitted, curves, fit, predict, predict_matrix
from assets.curves.schema import CurveModel
from assets.curves.statistics import BUCKETS, CurvesError, add, matrix
from assets.lake import check

FIRST, LAST = dt.date(2026, 8, 24), dt.date(2026, 9, 18)


def fitted(made, parts=None, sessions=8):
    return fit(parts or made.sessions(sessions), made.indicators, horizon_ns=made.horizon_ns, first_session=FIRST, last_session=LAST)


def linear_folds(parts):
    return [Sums.of(add(fold)).through((LINEAR,) * len(parts[0].names)) for fold in stretches(parts)]


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("penalty", [0.1, 100.0])
def test_the_damped_passes_come_to_rest_at_penalised_least_squares(planted, correlation, penalty):
    sums = planted(20_000, 1, correlation=correlation, size=8).statistics()
    shapes = Shapes.linear(penalty * np.arange(1.0, 9.0))
    found = damped_fit(sums, shapes)
    assert found.residual <= 1e-6
    np.testing.assert_allclose(found.value, direct_fit(sums, shapes), atol=1e-3 * np.abs(found.value).max())


def test_where_thirty_percent_would_diverge_the_step_is_cut_and_the_passes_converge(planted, monkeypatch):
    sums = planted(30_000, 2, correlation=0.7, size=12).statistics()
    found = damped_fit(sums, Shapes.linear(np.ones(12)))
    assert 0.3 * found.lambda_max > 2
    assert found.step * found.lambda_max < 2
    assert found.residual <= 1e-6
    monkeypatch.setattr(joint, "_STABLE", np.inf)
    monkeypatch.setattr(joint, "_MAX_PASSES", 200)
    uncut = damped_fit(sums, Shapes.linear(np.ones(12)))
    assert uncut.step == 0.3
    assert uncut.residual > 1e6


def test_unrelated_indicators_keep_the_seeds_step(planted):
    assert damped_fit(planted(20_000, 3).statistics(), Shapes.linear(np.ones(4))).step == 0.3


def test_a_planted_additive_signal_is_found(planted):
    train, test = planted(400_000, 4, correlation=0.3), planted(200_000, 5, correlation=0.3)
    found = fitted(train)
    check(found, CurveModel, "test")
    assert test.r2(predict(found, test.features)) > 0.98 * test.oracle() > 0.02


def test_each_curve_holds_only_what_the_others_do_not_explain(planted):
    # x3 is pure company: it moves with the others and adds nothing of its own.
    made = planted(400_000, 6, correlation=0.7)
    noise = 2 * np.random.default_rng(0).standard_normal(400_000)
    label = pl.Series(np.rint(2 * (made.features["x0"].to_numpy() + noise)) / 2)
    found = fitted(made._replace(features=made.features.with_columns(label=label))).filter(pl.col("count") > 5000)
    alone = found.filter(pl.col("indicator") == "x3")
    assert alone["mean"].abs().max() > 0.5
    assert alone["value"].abs().max() < 0.1


def test_pure_noise_gives_no_prediction_to_speak_of(planted):
    outside = []
    for seed in range(5):
        train, test = planted(40_000, 10 + seed, signal=0), planted(40_000, 20 + seed, signal=0)
        outside.append(test.r2(predict(fitted(train), test.features)))
    assert abs(np.mean(outside)) < 3e-4
    assert min(outside) > -1e-3


def test_r2_from_sums_is_r2_from_rows(planted):
    train, test = planted(50_000, 7), planted(20_000, 8)
    found = fitted(train)
    value = found["value"].to_numpy()
    assert found["r2_train"][0] == pytest.approx(train.r2(predict(found, train.features)), abs=1e-6)
    assert r2(value, test.statistics()) == pytest.approx(test.r2(predict(found, test.features)), abs=1e-6)


def test_a_prediction_is_odd_and_no_opinion_predicts_nothing(planted):
    made = planted(20_000, 9)
    found = fitted(made)
    names = [indicator.name for indicator in made.indicators]
    mirrored = made.features.with_columns(-pl.col(names))
    np.testing.assert_array_equal(predict(found, mirrored), -predict(found, made.features))
    nothing = dict(zip(names, (0.0, None, np.nan, -0.0), strict=True))
    silent = made.features.with_columns(pl.lit(value, pl.Float32).alias(name) for name, value in nothing.items())
    assert not predict(found, silent).any()


def test_one_event_at_a_time_gives_the_same_bits_as_the_batch(planted):
    made = planted(2000, 10)
    ready = curves(fitted(made))
    values = matrix(made.features, ready.names)
    stream = [predict_matrix(ready, np.ascontiguousarray(values[:, [k]]))[0] for k in range(values.shape[1])]
    np.testing.assert_array_equal(np.array(stream, np.float32), predict_matrix(ready, values))


def test_threads_do_not_change_a_bit(planted):
    made = planted(20_000, 11, size=12)
    with threadpool_limits(1):
        one = fitted(made)
    with threadpool_limits(2):
        assert fitted(made).equals(one)


_A_FIT = """
import datetime as dt, sys
from assets.curves.model import fit
from tests.curves.conftest import HORIZON_NS, _planted
made = _planted(20_000, 11, size=12)
days = {"first_session": dt.date(2026, 8, 24), "last_session": dt.date(2026, 9, 18)}
fit(made.sessions(8), made.indicators, horizon_ns=HORIZON_NS, **days).write_parquet(sys.argv[1])
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the names are those of x86 processors")
def test_another_processors_matrix_kernels_change_no_prediction_and_no_curve_in_its_first_twelve_digits(planted, tmp_path, request):
    models = []
    for core in ("Haswell", "Nehalem"):
        path, known = tmp_path / core, {**os.environ, "OPENBLAS_CORETYPE": core, "PYTHONPATH": str(request.config.rootpath)}
        subprocess.run([sys.executable, "-c", _A_FIT, str(path)], env=known, cwd=request.config.rootpath, check=True)
        models.append(pl.read_parquet(path))
    one, other = (found["value"].to_numpy() for found in models)
    assert np.abs(one - other).max() <= 1e-12 * np.abs(one).max()
    features = planted(2_000, 12, size=12).features
    assert predict(models[0], features).tobytes() == predict(models[1], features).tobytes()


def test_errors_tell_how_far_a_value_moves_from_sample_to_sample(planted):
    samples = [fitted(planted(20_000, 100 + k, size=1)) for k in range(12)]
    spread = np.std([sample["value"].to_numpy() for sample in samples], axis=0)
    told = np.mean([sample["error"].to_numpy() for sample in samples], axis=0)
    seen = samples[0]["count"].to_numpy() > 100
    assert 0.5 < np.median(told[seen] / spread[seen]) < 2


def test_one_session_is_fitted_with_the_cautious_penalty_and_without_errors(planted):
    found = fitted(planted(20_000, 12), sessions=1)
    check(found, CurveModel, "test")
    assert found["error"].null_count() == found["r2_held_out"].null_count() == found.height
    assert found["penalty"][0] == 100
    assert found["note"].str.contains("one session, nothing to hold out").all()


def test_constant_silent_and_rare_indicators_have_curves_that_claim_nothing(planted):
    made = planted(30_000, 13)
    features = made.features.with_columns(x1=pl.lit(0.5, pl.Float32), x2=pl.lit(0.0, pl.Float32), x3=pl.lit(None, pl.Float32))
    found = fitted(made._replace(features=features))
    check(found, CurveModel, "test")
    by_name = dict(zip(found["indicator"].unique(maintain_order=True), found["value"].to_numpy().reshape(-1, BUCKETS), strict=True))
    notes = dict(found.select("indicator", "note").unique().iter_rows())
    assert notes == {"x0": None, "x1": "constant but for its sign: one bucket holds every row"} | dict.fromkeys(
        ("x2", "x3"), "zero or missing in every row: no curve"
    )
    assert np.abs(by_name["x0"]).max() > 0.3
    assert np.abs(by_name["x1"]).max() < 0.1
    assert not by_name["x2"].any()
    assert not by_name["x3"].any()


def test_fewer_rows_than_buckets_still_fit(planted):
    found = fitted(planted(20, 14), sessions=2)
    check(found, CurveModel, "test")
    assert found["note"].unique().to_list() == ["20 rows for 50 buckets: buckets lean on one another"]


def test_a_label_that_never_moves_has_no_r2(planted):
    made = planted(1000, 15)
    found = fitted(made._replace(features=made.features.with_columns(label=pl.lit(0.0, pl.Float32))))
    assert found["r2_train"].null_count() == found.height
    assert not found["value"].to_numpy().any()
    assert found["note"].unique().to_list() == ["no label moved: zero"]


def test_passes_that_hit_their_bound_are_told(planted, monkeypatch):
    monkeypatch.setattr(joint, "_MAX_PASSES", 3)
    assert fitted(planted(2000, 15))["note"].str.contains("not at rest after").all()


def test_no_labelled_row_is_said_with_the_window(planted):
    made = planted(100, 16)
    with pytest.raises(CurvesError, match="no row with a label between 2026-08-24 and 2026-09-18"):
        fitted(made._replace(features=made.features.with_columns(label=pl.lit(None, pl.Float32))))


def test_statistics_of_another_design_are_refused(planted, scale):
    made = planted(1000, 17)
    with pytest.raises(CurvesError, match="`tickline make curve_statistics` makes them anew"):
        fitted(made._replace(indicators=[scale(f"x{k}", hi=9.0) for k in range(4)]), made.sessions(2))


def test_the_penalties_chosen_are_those_of_the_held_out_errors_written_out(planted):
    made = planted(40_000, 20, correlation=0.5)
    parts = made.sessions(8)
    penalties, trials = choose_penalties(linear_folds(parts))
    tested = -sum(trial.error for trial in trials) / add(parts).label_square

    def held_out(trial):
        folds = [add(fold) for fold in stretches(parts)]
        return 1 - sum(fold.squared_error(direct_fit(add(parts) - fold, Shapes.linear(trial))) for fold in folds) / add(parts).label_square

    assert tested == pytest.approx(held_out(penalties), abs=1e-9)
    assert tested >= max(held_out(np.full(4, penalty)) for penalty in PENALTIES) - 1e-9
    for j in range(4):
        others = [np.where(np.arange(4) == j, penalty, penalties) for penalty in PENALTIES]
        assert tested >= max(held_out(other) for other in others) - 1e-6


def test_an_indicator_of_noise_is_smoothed_and_one_that_knows_is_not(planted):
    made = planted(100_000, 21, noise=2.0)
    noise = np.random.default_rng(1).standard_normal(100_000).astype(np.float32)
    penalties, _ = choose_penalties(linear_folds(made._replace(features=made.features.with_columns(x1=noise)).sessions(8)))
    assert penalties[1] >= 10 * penalties[0]


def test_the_values_of_a_cross_fitted_model_have_not_seen_its_fold(planted, monkeypatch):
    monkeypatch.setattr(model, "choose", lambda parts, grids: (Shapes.linear(np.ones(4)), 0.0))
    made = planted(20_000, 18)
    days = [FIRST + dt.timedelta(days=k) for k in range(8)]
    sessions = dict(zip(days, made.sessions(8), strict=True))
    folds = stretches(days)
    assert [list(fold) for fold in folds] == [days[0:2], days[2:4], days[4:6], days[6:8]]
    models = cross_fitted(sessions, folds, made.indicators, horizon_ns=made.horizon_ns)
    poisoned = {day: sums if day not in folds[1] else planted(2500, 99, signal=50.0).statistics() for day, sums in sessions.items()}
    again = cross_fitted(poisoned, folds, made.indicators, horizon_ns=made.horizon_ns)
    assert [one.equals(other) for one, other in zip(models, again, strict=True)] == [False, True, False, False]


def test_a_fold_that_is_the_whole_window_leaves_nothing_to_fit(planted):
    made = planted(1000, 19)
    with pytest.raises(CurvesError, match="nothing is left to fit on"):
        cross_fitted({FIRST: made.statistics()}, [[FIRST]], made.indicators, horizon_ns=made.horizon_ns)
