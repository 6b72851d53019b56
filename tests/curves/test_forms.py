"""The forms of a curve, and their choice by held-out sessions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.curves.choice import choose, choose_penalties, stretches
from assets.curves.forms import KNOTS, LINEAR, MONOTONE, candidates
from assets.curves.joint import Shapes, Sums, damped_fit, direct_fit
from assets.curves.statistics import BUCKETS, add, edges

GRID = np.geomspace(0.01, 3.0, BUCKETS + 1)


def named(form):
    return next(one for one in candidates(GRID) if one.name == form)


@pytest.mark.parametrize("form", candidates(GRID), ids=lambda form: form.name)
def test_a_form_at_its_places_is_the_form_at_its_buckets(form):
    places = np.linspace(0, BUCKETS - 1, KNOTS)
    for column in np.flatnonzero(form.basis.any(axis=0)):
        drawn = np.interp(places, np.arange(BUCKETS), form.basis[:, column])
        # Between two buckets a knot of 1, three buckets wide, is cut off by up to a quarter of its slope's turn.
        assert np.abs(drawn - form.places[:, column]).max() < (1.01 if form.name == "steps" else 0.17)


@pytest.mark.parametrize("power", [0.25, 0.5, 1, 2])
def test_a_power_form_is_that_power_of_the_middle_of_its_buckets(power):
    middle = np.sqrt(GRID[:-1] * GRID[1:])
    curve = named(f"power {power:g}").basis[:, 0]
    np.testing.assert_allclose(curve / curve[10], (middle / middle[10]) ** power)


@given(st.lists(st.floats(-3, 3), min_size=KNOTS, max_size=KNOTS))
def test_tying_ends_in_a_curve_that_never_turns_back(values):
    form, coefficients, ties = MONOTONE, np.array(values), 0
    while (tied := form.tied(coefficients)) is not None:
        form, ties = tied, ties + 1
        assert ties <= KNOTS
    curve = form.basis @ coefficients
    away = np.copysign(1.0, (form.places @ coefficients).sum()) * curve
    assert np.diff(away, prepend=0).min() >= -1e-8


def test_a_form_that_is_not_monotone_is_never_tied():
    assert LINEAR.tied(np.arange(KNOTS)[::-1].astype(float)) is None


def test_held_out_sessions_find_the_form_that_made_the_labels(planted):
    made = planted(400_000, 3, noise=4.0)  # tanh, square root, a hump, a straight line
    shapes, _ = choose(made.sessions(8), [edges(one) for one in made.indicators])
    names = [form.name for form in shapes.forms]
    assert names[1] == "power 0.5"
    assert names[2] in ("linear", "steps")
    assert names[3] == "power 1"


def test_a_form_is_taken_only_where_held_out_sessions_gain(planted):
    made = planted(40_000, 5, correlation=0.5)
    parts = made.sessions(8)
    _, reached = choose(parts, [edges(one) for one in made.indicators])
    _, linear = choose_penalties([Sums.of(add(fold)).through((LINEAR,) * 4) for fold in stretches(parts)])
    assert reached >= -sum(trial.error for trial in linear) / add(parts).label_square


def test_a_monotone_curve_in_the_joint_fit_never_turns_back(planted):
    made = planted(20_000, 7, correlation=0.8)
    sums = made.statistics()
    shapes = Shapes((MONOTONE,) * 4, np.full(4, 0.01))
    free = direct_fit(sums, Shapes.linear(shapes.penalties)).reshape(4, BUCKETS)
    tied = damped_fit(sums, shapes).value.reshape(4, BUCKETS)
    assert any((np.diff(np.sign(curve.sum()) * curve, prepend=0) < -1e-8).any() for curve in free)
    assert not any((np.diff(np.sign(curve.sum()) * curve, prepend=0) < -1e-8).any() for curve in tied)
