"""Indicators and labels do not reach across a pause or a roll, the traded market's or a leader's."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.features.build import build
from assets.hours import Window

SECOND = 1_000_000_000
START, HORIZON = 1 * SECOND, 5 * SECOND
FEW = settings(max_examples=20, deadline=None, derandomize=True)


def session(make, own, leader, window, leader_window=None):
    windows = {} if leader_window is None else {"LDR": leader_window}
    ticks = {"tick": make.tick, "leader_ticks": {"LDR": make.tick}, "horizon_ns": HORIZON}
    return build(*own, {"LDR": leader}, **ticks, continuous=window, leaders_continuous=windows)


def joined(first, second, at, shift=0):
    """Books and trades of one market up to `at` and of another from there on, its prices moved by so many units."""
    parts = []
    for k, (before, after) in enumerate(zip(first, second, strict=True)):
        prices = pl.col("^(bid|ask)_px_.*$") if k == 0 else pl.col("price")
        last = (before["row"].max() or 0) + 1 if before.height else 1
        after = after.filter(pl.col("ts_event") >= at).with_columns(prices + shift, pl.col("row") + last)
        parts.append(pl.concat([before.filter(pl.col("ts_event") < at), after]))
    return tuple(parts)


def windows(at, why):
    whole = Window(START, 10_000 * SECOND)
    return whole.rolled([(0, 1), (at, 2)]) if why == "roll" else whole.without([(at, at + 3 * SECOND)], why)


@FEW
@given(seed=st.integers(0, 10_000), other=st.integers(0, 10_000), why=st.sampled_from(["break", "halt", "roll"]), place=st.floats(0.3, 0.7))
def test_nothing_before_a_pause_or_roll_knows_of_what_comes_after_and_after_it_all_begins_anew(make, seed, other, why, place):
    own, leader, then = make.random(seed), make.random(seed + 1), make.random(other)
    at = int(own[0]["ts_event"].quantile(place))
    window = windows(at, why)
    two = joined(own, then, at, shift=5_000 * make.tick)
    as_it_was, scrambled = session(make, own, leader, window), session(make, two, leader, window)
    before = [table.filter(pl.col("ts_event") < at) for table in (as_it_was, scrambled)]
    assert before[0].equals(before[1])
    across = before[0].filter(pl.col("ts_event") + HORIZON >= at)
    assert across["label"].null_count() == across.height
    again = window.continuous[1].begin_ns
    assert scrambled.filter(pl.col("ts_event").is_between(at, again, closed="left")).is_empty()
    alone = [tuple(frame.filter(pl.col("ts_event") >= again) for frame in ticks) for ticks in (two, leader)]
    after = session(make, *alone, Window(again, window.close_ns))
    assert scrambled.filter(pl.col("ts_event") >= again).equals(after)


@FEW
@given(seed=st.integers(0, 10_000), other=st.integers(0, 10_000))
def test_a_leaders_roll_looks_like_no_move_and_cuts_no_label_of_the_traded_market(make, seed, other):
    own, leader, then = make.random(seed), make.random(seed + 1), make.random(other)
    at = int(leader[0]["ts_event"].quantile(0.5))
    rolled, whole = joined(leader, then, at, shift=5_000 * make.tick), Window(START, 10_000 * SECOND)
    far = joined(leader, then, at, shift=9_000 * make.tick)
    told = [session(make, own, each, whole, windows(at, "roll")) for each in (rolled, far)]
    columns = [name for name in told[0].columns if name not in ("ts_event", "row", "own", "bid_px", "ask_px", "label")]
    for name in columns:  # how far the leader's new instrument is from its old one shows in nothing
        assert np.allclose(told[0][name].to_numpy(), told[1][name].to_numpy(), atol=1e-3), name
    plain = session(make, own, leader, whole)
    labels = [table.filter("own").select("ts_event", "label").drop_nulls() for table in (told[0], plain)]
    both = labels[0].unique("ts_event", keep="last").join(labels[1].unique("ts_event", keep="last"), on="ts_event")
    assert both["label"].equals(both["label_right"].rename("label"))


def test_a_crossed_book_ends_a_label_and_no_indicator(make):
    quotes = [(START + k * SECOND, [(100 + k % 3, 5, 1)], [(104, 5, 1)]) for k in range(40)]
    own, leader = (make.books(*quotes), make.trades()), (make.books(), make.trades())
    window = Window(START, START + 40 * SECOND)
    cut = window.without([(START + 10 * SECOND + 1, START + 12 * SECOND)], "crossed")
    told = [session(make, own, leader, each) for each in (window, cut)]
    assert told[0].drop("label").equals(told[1].drop("label"))
    nulls = [table.filter(pl.col("label").is_null())["ts_event"] for table in told]
    assert set(nulls[1]) - set(nulls[0]) == {START + k * SECOND for k in (6, 7, 8, 9, 10, 11)}


@pytest.mark.parametrize("why", ["break", "roll"])
def test_a_series_of_the_users_own_is_known_again_after_a_pause(make, why):
    from assets.features.indicators.external import External

    quotes = [(START + k * SECOND, [(100 + k % 3, 5, 1)], [(104, 5, 1)]) for k in range(40)]
    series = pl.DataFrame({"ts_event": [START + 2 * SECOND], "value": [7.0]})
    found = build(
        make.books(*quotes), make.trades(), {}, tick=make.tick, leader_ticks={}, horizon_ns=HORIZON,
        continuous=windows(START + 20 * SECOND, why), chosen=[External(series="own", delay=0.0)], series={"own": series},
    )  # fmt: skip
    assert set(found.filter(pl.col("ts_event") >= START + 2 * SECOND).to_series(-1)) == {7.0}
