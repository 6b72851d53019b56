"""Where we stand when nobody says who left: each model by hand, and the bounds between which they lie."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.fills.queues import LOGARITHM, OPTIMIST, PESSIMIST, POWER, QUEUES, SHARE, after_cancel
from assets.fills.tape import aggregated


@pytest.mark.parametrize(
    ("queue", "exponent", "ahead"),
    [
        (PESSIMIST, 1, 6),  # 4 behind, 3 of them left
        (OPTIMIST, 1, 3),
        (POWER, 1, 6 - 0.6 * 3),  # P = 4 / 10
        (POWER, 2, 6 - (1 - 16 / 52) * 3),
        (SHARE, 1, 6 - 0.6 * 3),  # P = 1 - 6 / 10
        (SHARE, 5, 6 - 0.6**5 * 3),
        (LOGARITHM, 1, 6 - (1 - np.log(5) / (np.log(5) + np.log(7))) * 3),
    ],
)
def test_three_of_ten_are_cancelled_with_six_ahead(queue, exponent, ahead):
    assert after_cancel(queue, float(exponent), 6.0, 4.0, 3.0) == pytest.approx(ahead)


def test_more_than_stand_behind_cannot_leave_there():
    # P = 1 - 0.5^20: nearly all of the 6 from behind, where 5 are; the sixth was ahead.
    assert after_cancel(SHARE, 20.0, 5.0, 5.0, 6.0) == pytest.approx(4.0, abs=1e-4)


contracts = st.integers(0, 500).map(float)


@given(st.sampled_from([POWER, SHARE, LOGARITHM]), st.floats(0.1, 30), contracts, contracts, st.floats(0, 1))
def test_an_estimate_lies_between_the_bounds(queue, exponent, ahead, behind, part):
    cancelled = np.floor(part * (ahead + behind))
    low, high = (after_cancel(bound, 1.0, ahead, behind, cancelled) for bound in (OPTIMIST, PESSIMIST))
    assert low - 1e-9 <= after_cancel(queue, exponent, ahead, behind, cancelled) <= high + 1e-9


def standing(hand, queue, stream):
    """Contracts ahead of an order of ours that joined the bid at 100 behind orders 1 (5) and 2 (4), by the aggregated tape."""
    wire = hand.Wire(stream, latency_ms=0)
    wire.tape = aggregated(wire.tape)
    wire.rules["queue"] = QUEUES.index(queue)
    order = wire.send(10, 1, 100)
    wire.run(50)
    return wire, order


def joined(hand):
    return hand.quiet_market(bid=100).add(1, 1, 100, 4, 2000).add(20, 1, 100, 6, 3000)


@pytest.mark.parametrize(("queue", "ahead"), [("exact", 9), ("pessimist", 9), ("optimist", 5), ("share", 7)])
def test_an_aggregated_feed_leaves_the_cancel_of_the_one_before_us_to_the_model(hand, queue, ahead):
    wire, order = standing(hand, queue, joined(hand).cancel(30, 2000))
    assert wire.ahead(order) == ahead  # share: 9 - 9 / 15 * 4 = 6.6


def test_with_order_ids_the_cancel_of_the_one_before_us_moves_us_up(hand):
    wire = hand.Wire(joined(hand).cancel(30, 2000), latency_ms=0)
    order = wire.send(10, 1, 100)
    assert wire.run(50).ahead(order) == 5


@pytest.mark.parametrize("queue", ["pessimist", "optimist", "share"])
def test_a_trade_takes_from_the_front_whatever_the_model(hand, queue):
    wire, order = standing(hand, queue, joined(hand).trade(30, -1, 100, (1, 3)))
    assert wire.ahead(order) == 6
    assert wire.filled(order) == 0


def test_a_trade_of_all_before_us_and_one_more_fills_us(hand):
    wire, order = standing(hand, "pessimist", joined(hand).trade(30, -1, 100, (1, 5), (2000, 4), (3000, 1)))
    assert wire.filled(order) == 1
