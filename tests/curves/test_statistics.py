"""The sums: what falls into which bucket, and that sums add up to the bit."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.curves.schema import CurveStatistics
from assets.curves.statistics import BUCKETS, CurvesError, Statistics, add, edges, session_statistics
from assets.lake import check


def table(values: object, label: object = 1.0) -> pl.DataFrame:
    values = np.asarray(values, np.float32)
    return pl.DataFrame({"x": values, "label": np.broadcast_to(np.asarray(label, np.float32), len(values))})


@pytest.mark.parametrize(
    ("value", "bucket", "sign"),
    [
        (1e-30, 0, 1),
        (0.01, 0, 1),
        (-0.01, 0, -1),
        (9.99, BUCKETS - 1, 1),
        (10.0, BUCKETS - 1, 1),
        (-1e30, BUCKETS - 1, -1),
        (np.inf, BUCKETS - 1, 1),
        (-np.inf, BUCKETS - 1, -1),
    ],
)
def test_small_values_fall_into_the_first_bucket_and_large_ones_into_the_last(scale, value, bucket, sign):
    sums = session_statistics(table([value]), [scale("x", 0.01, 10.0)], horizon_ns=1)
    assert sums.count[bucket] == sums.count.sum() == 1
    assert sums.label_sum[bucket] == sums.label_sum.sum() == sign


@pytest.mark.parametrize("value", [0.0, -0.0, np.nan, None])
def test_zero_and_nothing_are_no_opinion(scale, value):
    features = pl.DataFrame({"x": pl.Series([value], dtype=pl.Float32), "label": pl.Series([1.0], dtype=pl.Float32)})
    sums = session_statistics(features, [scale("x")], horizon_ns=1)
    assert not sums.gram.any()
    assert not sums.label_sum.any()
    assert (sums.rows, sums.label_square) == (1, 1.0)


@settings(max_examples=40, deadline=None)
@given(st.floats(1e-4, 1e2), st.floats(1.01, 1e6), st.lists(st.floats(-1e7, 1e7, width=32), max_size=50))
def test_a_value_lies_between_the_edges_of_its_bucket(scale, lo, ratio, drawn):
    grid = edges(scale("x", lo, lo * ratio))
    values = np.append(np.asarray(drawn, np.float32), grid.astype(np.float32))
    sums = session_statistics(table(values), [scale("x", lo, lo * ratio)], horizon_ns=1)
    bucket = np.clip(np.searchsorted(grid, np.abs(values[values != 0]).astype(float), side="right") - 1, 0, BUCKETS - 1)
    np.testing.assert_array_equal(sums.count, np.bincount(bucket, minlength=BUCKETS))


def test_the_sums_are_those_of_the_written_out_design(scale, planted):
    made = planted(3000, 1, correlation=0.5)
    features = made.features.with_columns(
        pl.when(pl.int_range(pl.len()) % 7 == 0).then(None).otherwise(pl.col("label")).alias("label"),
        pl.when(pl.int_range(pl.len()) % 5 == 0).then(0).otherwise(pl.col("x1")).alias("x1"),
    )
    known = features.drop_nulls("label")
    design = np.zeros((known.height, 4, BUCKETS))
    for k, indicator in enumerate(made.indicators):
        values = known[indicator.name].to_numpy().astype(float)
        bucket = np.clip(np.searchsorted(edges(indicator), np.abs(values), side="right") - 1, 0, BUCKETS - 1)
        design[np.arange(known.height), k, bucket] = np.sign(values)
    flat, label = design.reshape(known.height, -1), known["label"].to_numpy().astype(float)
    sums = session_statistics(features, made.indicators, horizon_ns=1)
    np.testing.assert_array_equal(sums.full_gram(), flat.T @ flat)
    np.testing.assert_array_equal(sums.gram_times(np.arange(200.0)), flat.T @ (flat @ np.arange(200.0)))
    np.testing.assert_array_equal(sums.label_sum, flat.T @ label)
    assert (sums.rows, sums.label_square) == (known.height, label @ label)


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 5000), max_size=6), order=st.randoms(use_true_random=False))
def test_rows_split_anyhow_and_added_in_any_order_give_the_same_bits(planted, cuts, order):
    made = planted(5000, 2)
    bounds = [0, *sorted(cuts), 5000]
    parts = [made.statistics(slice(start, end)) for start, end in pairwise(bounds)]
    order.shuffle(parts)
    assert add(parts).fingerprint == made.statistics().fingerprint


def test_subtraction_undoes_addition(planted):
    one, other = planted(2000, 3).statistics(), planted(1500, 4).statistics()
    assert (one + other - other).fingerprint == one.fingerprint


def test_the_order_of_rows_does_not_matter(planted):
    made = planted(4000, 5)
    mixed = made.features.sample(fraction=1.0, shuffle=True, seed=1)
    assert session_statistics(mixed, made.indicators, horizon_ns=made.horizon_ns).fingerprint == made.statistics().fingerprint


def test_a_frame_holds_all_of_it_and_keeps_its_contract(planted):
    sums = planted(2000, 6).statistics()
    frame = sums.to_frame()
    check(frame, CurveStatistics, "test")
    assert Statistics.from_frame(frame).fingerprint == sums.fingerprint


def test_sums_of_another_scale_or_horizon_do_not_add_up(scale):
    features = table([1.0, 2.0])
    here = session_statistics(features, [scale("x")], horizon_ns=1)
    for other in (
        session_statistics(features, [scale("x", hi=4.0)], horizon_ns=1),
        session_statistics(features, [scale("x")], horizon_ns=2),
        session_statistics(features, [scale("x", version="2")], horizon_ns=1),
    ):
        with pytest.raises(CurvesError, match="tickline make curve_statistics"):
            here + other


@pytest.mark.parametrize(("lo", "hi"), [(0.0, 1.0), (2.0, 1.0), (-1.0, 1.0), (1.0, np.inf), (1.0, 1.000001)])
def test_an_impossible_scale_is_named(scale, lo, hi):
    with pytest.raises(CurvesError, match="indicator 'crooked'"):
        edges(scale("crooked", lo, hi))


@pytest.mark.parametrize("label", [0.3, np.inf])
def test_a_label_off_the_grid_points_at_the_tick_size(scale, label):
    with pytest.raises(CurvesError, match="tick_size"):
        session_statistics(table([1.0], label), [scale("x")], horizon_ns=1)


def test_a_missing_indicator_is_named(scale):
    with pytest.raises(CurvesError, match="'gone' is not in the feature table"):
        session_statistics(table([1.0]), [scale("x"), scale("gone")], horizon_ns=1)


def test_nothing_to_add_is_said():
    with pytest.raises(CurvesError, match="no statistics to add"):
        add([])
