"""The regressor: scikit-learn's own checks, sessions that come and go, and data that are too poor."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from assets.curves.estimator import STRETCHES, BucketCurves
from assets.curves.model import fit, predict
from assets.curves.statistics import BUCKETS, CurvesError, add

SCALE = {"lo": 0.01, "hi": 3.0}


def rows(made):
    return made.features.drop("label").to_numpy(), made.features["label"].to_numpy().astype(float)


def drawn(n, seed, *, shape=np.tanh, noise=1.0, features=3):
    random = np.random.default_rng(seed)
    X = random.standard_normal((n, features))
    signal = shape(X[:, 0])
    return X, signal, signal + noise * random.standard_normal(n)


@parametrize_with_checks([BucketCurves(), BucketCurves(folded=False)])
def test_scikit_learn_finds_nothing_to_object_to(estimator, check):
    check(estimator)


def test_it_is_the_fit_of_the_lineage(planted):
    made = planted(40_000, 1)
    X, y = rows(made)
    model = fit(made.sessions(8), made.indicators, horizon_ns=made.horizon_ns, first_session=None, last_session=None)
    found = BucketCurves(**SCALE).fit(X, y, groups=np.arange(40_000) // 5000)
    np.testing.assert_array_equal(found.values_.ravel(), model["value"])
    np.testing.assert_array_equal(found.errors_.ravel(), model["error"])
    np.testing.assert_array_equal(found.predict(X), predict(model, made.features))
    assert found.forms_ == model["form"].to_list()[::BUCKETS]
    assert found.r2_held_out_ == model["r2_held_out"][0]


def test_points_spread_evenly_over_the_buckets():
    X, _, y = drawn(50_000, 3)
    X[:, 1] = np.sinh(3 * X[:, 1])
    X[:, 2] *= 1e-6
    counts = add(session.sums for session in BucketCurves().fit(X, y).sessions_).count.reshape(3, BUCKETS)
    share = counts / counts.sum(axis=1, keepdims=True)
    assert share.max() < 4 / BUCKETS
    assert np.exp(-np.sum(share * np.log(np.maximum(share, 1e-12)), axis=1)).min() > 0.5 * BUCKETS


@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(1, 3999), min_size=1, max_size=4, unique=True), seed=st.integers(0, 9))
def test_sessions_added_one_by_one_in_any_grouping_are_those_of_one_fit(planted, cuts, seed):
    X, y = rows(planted(4000, 4))
    groups = np.searchsorted(sorted(cuts), np.arange(4000), side="right")
    whole = BucketCurves(**SCALE).fit(X, y, groups)
    parts = [BucketCurves(**SCALE).partial_fit(X[groups == k], y[groups == k]) for k in range(groups[-1] + 1)]
    merged = parts[0]
    for part in parts[1:]:
        merged.merge(part)
    np.testing.assert_array_equal(merged.values_, whole.values_)
    streamed = BucketCurves(**SCALE)
    for k in range(groups[-1] + 1):
        streamed.partial_fit(X[groups == k], y[groups == k])
    np.testing.assert_array_equal(streamed.values_, whole.values_)
    mixed = np.random.default_rng(seed).permutation(4000)
    mixed = mixed[np.argsort(groups[mixed], kind="stable")]
    shuffled = BucketCurves(**SCALE).fit(X[mixed], y[mixed], groups[mixed])
    np.testing.assert_array_equal(shuffled.values_, whole.values_)


def test_the_rows_of_a_session_need_not_stand_together(planted):
    X, y = rows(planted(4000, 5))
    groups = np.arange(4000) % 7
    together = np.argsort(groups, kind="stable")
    apart, joined = BucketCurves(**SCALE).fit(X, y, groups), BucketCurves(**SCALE).fit(X[together], y[together], groups[together])
    np.testing.assert_array_equal(apart.values_, joined.values_)
    np.testing.assert_array_equal(apart.errors_, joined.errors_)


def test_what_is_subtracted_leaves_no_trace():
    X, _, y = drawn(9000, 6)  # labels off any grid: sums of floats, and still to the bit
    first, poison = BucketCurves(**SCALE).fit(X[:6000], y[:6000]), BucketCurves(**SCALE).fit(X[6000:], 100 + y[6000:])
    before = first.values_.copy()
    assert np.abs(first.merge(poison).values_ - before).max() > 1
    np.testing.assert_array_equal(first.subtract(poison).values_, before)


def test_only_what_is_there_can_be_subtracted_and_something_has_to_stay():
    X, _, y = drawn(2000, 7)
    whole = BucketCurves(**SCALE).fit(X, y)
    stranger = BucketCurves(**SCALE).partial_fit(X[:50], -y[:50])
    with pytest.raises(ValueError, match="a session of 50 rows cannot be subtracted"):
        whole.subtract(stranger)
    with pytest.raises(ValueError, match="nothing would be left"):
        whole.subtract(whole)


@pytest.mark.parametrize("other", [{"lo": 0.02, "hi": 3.0}, {"lo": 0.01, "hi": 3.0, "folded": False}, {}])
@pytest.mark.parametrize("join", ["merge", "subtract"])
def test_statistics_of_other_edges_are_refused(join, other):
    X, _, y = drawn(500, 8)
    with pytest.raises(ValueError, match="other bucket edges do not add up"):
        getattr(BucketCurves(**SCALE).fit(X, y), join)(BucketCurves(**other).fit(X, y))


def test_later_sessions_keep_the_edges_of_the_first():
    X, _, y = drawn(1000, 9)
    found = BucketCurves().partial_fit(X, y)
    edges = found.edges_.copy()
    np.testing.assert_array_equal(found.partial_fit(10 * X, y).edges_, edges)
    assert len(found.sessions_) == 2


def test_a_signal_that_is_not_odd_is_lost_by_folding_and_found_without():
    shape = lambda x: x**2 - 1  # noqa: E731
    X, _, y = drawn(60_000, 10, shape=shape)
    X_test, signal, _ = drawn(20_000, 11, shape=shape)

    def share(**parameters):
        return 1 - np.mean((signal - BucketCurves(**parameters).fit(X, y).predict(X_test)) ** 2) / np.mean(signal**2)

    assert share() < 0.05
    assert share(folded=False) > 0.95


def test_where_the_signal_is_odd_both_find_it_and_folding_knows_more():
    X, _, y = drawn(60_000, 12, noise=5.0)
    X_test, signal, _ = drawn(20_000, 13)
    wrong = [np.mean((signal - BucketCurves(folded=folded).fit(X, y).predict(X_test)) ** 2) for folded in (True, False)]
    assert wrong[0] < wrong[1] < 0.05 * np.mean(signal**2)


def test_poor_data_are_fitted_and_the_notes_say_what_was_done():
    X, _, y = drawn(5000, 14, features=6)
    X[:, 1], X[:, 2], X[:, 3] = 0.5, np.nan, 0.0
    X[:30, 4], X[40:, 5] = np.inf, 0
    found = BucketCurves().fit(X, y)
    assert found.notes_ == [
        None,
        "constant but for its sign: one bucket holds every row",
        *["zero or missing in every row: no curve"] * 2,
        "30 infinite values taken as beyond hi",
        "40 rows for 50 buckets: buckets lean on one another",
    ]
    assert not found.values_[2:4].any()
    assert np.abs(found.values_[1]).max() < 0.1
    assert np.isfinite(found.predict(X)).all()
    np.testing.assert_array_equal(found.predict(np.full((1, 6), np.inf)), found.predict(np.full((1, 6), 1e30)))


def test_one_session_has_an_untested_penalty_and_no_errors():
    X, _, y = drawn(1000, 15)
    found = BucketCurves().fit(X, y, groups=np.zeros(1000))
    assert np.isnan(found.errors_).all()
    assert found.r2_held_out_ is None
    assert set(found.notes_) == {"one session, nothing to hold out: untested penalty, no error"}


@pytest.mark.parametrize("rows", [1, 2, 19, STRETCHES, 49])
def test_fewer_rows_than_buckets_or_stretches_are_fitted(rows):
    X, _, y = drawn(rows, 16)
    assert np.isfinite(BucketCurves().fit(X, y).predict(X)).all()


@pytest.mark.parametrize(
    ("parameters", "error", "sentence"),
    [
        ({"folded": "yes"}, ValueError, "folded must be True or False"),
        ({"lo": [0.1, 0.2]}, ValueError, "lo must be one number or 3, one a feature"),
        ({"lo": 0.0}, ValueError, "lo must be above 0 and finite"),
        ({"hi": np.inf}, ValueError, "hi must be above 0 and finite"),
        ({"lo": 2.0, "hi": 1.0}, CurvesError, "indicator 'x0' has lo = 2.0 and hi = 1.0"),
    ],
)
def test_an_unusable_parameter_is_named(parameters, error, sentence):
    X, _, y = drawn(100, 17)
    with pytest.raises(error, match=sentence):
        clone(BucketCurves(**parameters)).fit(X, y)
