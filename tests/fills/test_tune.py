"""The search for a policy: every trial kept, the same for everyone, and free to stand aside."""

from decimal import Decimal

import numpy as np
import pytest

from assets.desk import Trading
from assets.fills import replay, wire
from assets.fills.errors import FillsError
from assets.fills.policy import Policy
from assets.fills.replay import make_session
from assets.fills.schema import TuningTrials
from assets.fills.tune import RANGES, policy_of, tune, winner
from assets.lake import check

BUY, SELL = 1, -1


def swings(hand):
    """A market that swings by three ticks every two seconds, trades on both sides in between, and a signal that knows."""
    stream, steps, orders = hand.quiet_market(ask=101, size=2), [], 1000
    standing = {**{1 + k: (BUY, 100 - k) for k in range(10)}, **{101 + k: (SELL, 101 + k) for k in range(10)}}
    for k in range(60):
        at, up, bid = 2_000.0 + 2_000 * k, k % 2 == 0, 100 if k % 2 == 0 else 103
        steps.append((at - 1_500, 3.0 if up else -3.0))
        stream.trade(at - 500, SELL, bid, unseen=9).trade(at - 499, BUY, bid + 1, unseen=9)
        moved = {}
        for order, (side, px) in standing.items():
            orders += 1
            stream.cancel(at, order)
            moved[orders] = (side, px + (3 if up else -3))
        for order, (side, px) in moved.items():
            stream.add(at, side, px, 2, order)
        standing = moved
    return make_session(stream.tape(), *hand.signal_of(*steps), hand.hours)


@pytest.fixture(scope="module")
def trading():
    return Trading(tuning_trials=8, max_position=2, daily_loss_limit=10_000)


def test_every_trial_is_kept_and_the_best_one_wins(hand, trading):
    trials = tune([swings(hand)] * 2, market=hand.market, trading=trading)
    best = winner(trials)
    check(trials, TuningTrials, "trials")
    assert trials["trial"].to_list() == list(range(8))
    assert best["net_pnl_train"][0] == trials["net_pnl"].max() > 0
    assert trials.row(best["trial"][0], named=True)["threshold"] == policy_of(best).threshold


def test_a_desk_that_nothing_pays_for_stands_aside(hand, trading):
    dear = hand.market.model_copy(update={"maker_fee": Decimal(50), "taker_fee": Decimal(50)})
    trials = tune([swings(hand)], market=dear, trading=trading)
    best = winner(trials)
    assert (best["trial"][0], best["net_pnl_train"][0]) == (0, 0.0)
    assert trials["net_pnl"].min() < 0
    assert trials["contracts"][0] == 0


def test_a_rerun_tries_the_same_and_finds_the_same(hand, trading):
    sessions = [swings(hand)]
    assert tune(sessions, market=hand.market, trading=trading).equals(tune(sessions, market=hand.market, trading=trading))


def test_the_default_policy_is_among_the_trials(hand, trading):
    trials = tune([swings(hand)], market=hand.market, trading=trading)
    assert policy_of(trials[1]) == Policy()
    assert all(low <= value <= high for value, (low, high) in ((getattr(Policy(), name), bounds) for name, bounds in RANGES.items()))


def test_a_window_of_holidays_is_refused(hand, trading):
    with pytest.raises(FillsError, match="holiday"):
        tune([], market=hand.market, trading=trading)


def test_a_log_too_short_is_lengthened_and_the_session_replayed(hand):
    session = swings(hand)
    rules = replay.make_rules(hand.market, Trading(), session)
    long, short = replay.Replayer(), replay.Replayer()
    short._grow(16)
    policy = Policy(threshold=0.0)
    assert long.run(session, policy, rules) == short.run(session, policy, rules)
    assert len(long.requests) > 16
    for name in wire.REQUEST.names:
        assert np.array_equal(long.requests[name], short.requests[name], equal_nan=name == "score")
    assert np.array_equal(long.fills, short.fills)
