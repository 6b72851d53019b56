"""What the policy wants, what it may have, and how a session ends: orders and fills of small simulated sessions."""

import polars as pl
import pytest

from assets.desk import Trading
from assets.fills import trader
from assets.fills.errors import FillsError
from assets.fills.policy import TAKE, TOUCH, Policy
from assets.fills.replay import FLAT_BEFORE_CLOSE_NS
from assets.fills.schema import Equity, Fills, Orders
from assets.fills.simulate import nothing, simulate
from assets.lake import check

BUY, SELL = 1, -1
MS = 1_000_000

FOLLOW = Policy(threshold=1.0, prediction_weight=1.0, level_weight=-0.1, ahead_weight=0.0, behind_weight=0.0, hysteresis=0.0)
"""Wants the side of the prediction, near the mid first."""


@pytest.fixture
def trade(hand):
    """Simulate a hand-written market under a signal of (milliseconds, ticks)."""

    def run(stream, *signal, policy=FOLLOW, **trading):
        limits = Trading(**{"max_position": 1, **trading})
        made = simulate(stream.frame(), *hand.signal_of(*signal), market=hand.market, trading=limits, policy=policy, window=hand.hours)
        for frame, contract in ((made.orders, Orders), (made.fills, Fills), (made.equity, Equity)):
            check(frame, contract, contract.__name__)
        return made

    return run


def sent(made, hand, kind="new"):
    """(milliseconds, side, price in ticks) of the requests of a kind."""
    chosen = made.orders.filter(kind=kind).select("ts_request", "side", "price")
    return [((ts - hand.open) / MS, side, price // hand.tick) for ts, side, price in chosen.iter_rows()]


def test_an_order_stands_where_the_score_is_above_the_threshold(trade, hand):
    assert sent(trade(hand.quiet_market(ask=101), (100, 3.0)), hand) == [(100, BUY, 100)]
    assert sent(trade(hand.quiet_market(ask=101), (100, -3.0)), hand) == [(100, SELL, 101)]
    assert sent(trade(hand.quiet_market(ask=101), (100, 0.9)), hand) == []


def test_one_level_is_inside_the_spread_when_there_is_room(trade, hand):
    assert sent(trade(hand.quiet_market(ask=102), (100, 3.0)), hand) == [(100, BUY, 101)]


def test_five_levels_a_side_are_scored_at_most(trade, hand):
    everything = FOLLOW._replace(threshold=-100.0)
    made = sent(trade(hand.quiet_market(ask=102), (100, 3.0), policy=everything, max_position=50), hand)
    assert sorted(price for _, side, price in made if side == BUY) == [97, 98, 99, 100, 101]
    assert sorted(price for _, side, price in made if side == SELL) == [102, 103, 104, 105]


def test_below_the_threshold_the_order_is_cancelled(trade, hand):
    made = trade(hand.quiet_market(ask=101), (100, 3.0), (300, 0.0))
    assert sent(made, hand, "cancel") == [(300, BUY, 100)]
    assert made.orders["answer"].to_list() == ["resting", "cancelled"]


def test_what_is_held_weighs_on_the_side_that_would_add_to_it(trade, hand):
    """Long one from 220 ms on: with a skew of two ticks a prediction of two does not ask for a second, and one of a fifth sells."""
    stream, near = hand.quiet_market(ask=101).trade(200, SELL, 100, unseen=6), FOLLOW._replace(level_weight=-1.0)
    steps = ((100, 2.0), (230, 2.0), (300, 0.2))
    blind, skewed = (trade(stream, *steps, max_position=5, policy=near, skew=skew) for skew in (0.0, 2.0))
    assert sent(blind, hand)[:2] == [(100, BUY, 100), (230, BUY, 100)]
    assert sent(skewed, hand)[:2] == [(100, BUY, 100), (300, SELL, 101)]


def test_within_the_hysteresis_the_order_stays(trade, hand):
    calm = FOLLOW._replace(hysteresis=0.5)
    assert sent(trade(hand.quiet_market(ask=101), (100, 3.0), (300, 0.8), policy=calm), hand, "cancel")[:1] != [(300, BUY, 100)]
    assert sent(trade(hand.quiet_market(ask=101), (100, 3.0), (300, 0.2), policy=calm), hand, "cancel")[:1] == [(300, BUY, 100)]


def test_an_order_left_behind_by_the_market_is_cancelled(trade, hand):
    stream = hand.quiet_market(ask=102)
    for order in range(101, 107):
        stream.cancel(200, order)
    for level in range(6):
        stream.add(200, BUY, 101 + level, 5, 60 + level)
    made = trade(stream, (100, 3.0), (300, 3.0))
    assert sent(made, hand)[0] == (100, BUY, 101)
    assert sent(made, hand, "cancel")[0] == (300, BUY, 101)


def test_more_contracts_ahead_make_a_worse_level(trade, hand):
    stream = hand.quiet_market(ask=101).add(1, BUY, 100, 500, 60)
    shy = FOLLOW._replace(ahead_weight=-1.0)
    assert sent(trade(stream, (100, 5.0), policy=shy), hand) == [(100, BUY, 99)]


def test_contracts_behind_hold_an_order_up(trade, hand):
    stream = hand.quiet_market(ask=101).add(200, BUY, 100, 50, 60)
    follower = FOLLOW._replace(behind_weight=1.0)
    assert sent(trade(stream, (100, 3.0), (300, 0.0)), hand, "cancel") == [(300, BUY, 100)]
    assert sent(trade(stream, (100, 3.0), (300, 0.0), policy=follower), hand, "cancel")[:1] != [(300, BUY, 100)]


def test_the_position_could_bear_every_open_order(trade, hand):
    made = trade(hand.quiet_market(ask=101), *((at, 3.0) for at in range(100, 1000, 5)), max_position=3)
    assert sent(made, hand) == [(100, BUY, 100), (100, BUY, 99), (100, BUY, 98)]


def test_a_better_level_takes_the_place_of_a_worse_one_when_there_is_no_room_for_both(trade, hand):
    stream = hand.quiet_market(ask=101).cancel(200, 101).cancel(200, 102)
    made = trade(stream, (100, 3.0), (300, 3.0), (339.9, 3.0), (340, 3.0))
    assert sent(made, hand) == [(100, BUY, 100), (340, BUY, 101)]
    assert made.orders.filter(kind="cancel")["reason"].to_list()[0] == "limit"
    settled = trade(stream, (100, 3.0), (300, 3.0), (340, 3.0), policy=FOLLOW._replace(hysteresis=0.2))
    assert sent(settled, hand) == [(100, BUY, 100)]


def test_the_policy_does_not_know_what_has_not_been_answered(trade, hand):
    made = trade(hand.quiet_market(ask=101), (100, 3.0), (110, 3.0), (139.9, 3.0))
    assert len(sent(made, hand)) == 1


def test_a_fill_opens_room_on_the_other_side_only_when_it_is_known(trade, hand):
    stream = hand.quiet_market(ask=101).trade(200, SELL, 100, unseen=6)
    signal = [(100, 3.0), *((at, -3.0) for at in (205, 215, 219.9, 220, 230))]
    made = trade(stream, *signal)
    # Known to be flat until 220 ms, it offers one contract; known to be long one from then on, a second.
    assert [at for at, side, _ in sent(made, hand) if side == SELL][:2] == [205, 220]


# Simpler styles


QUOTE_TOUCH = Policy(-1.0, 0.0, 0.0, 0.0, 0.0, 0.0, TOUCH)
TAKER = Policy(1.0, 1.0, 0.0, 0.0, 0.0, 0.5, TAKE)


def test_quoting_at_the_touch_is_one_order_a_side_whatever_is_predicted(trade, hand):
    for prediction in (-3.0, 3.0):
        made = trade(hand.quiet_market(ask=103), (100, prediction), (300, prediction), policy=QUOTE_TOUCH, max_position=5)
        assert sent(made, hand) == [(100, BUY, 100), (100, SELL, 103)]


@pytest.mark.parametrize("max_position", [1, 5])
def test_an_order_at_the_touch_moves_with_it_once_the_last_is_gone(trade, hand, max_position):
    stream = hand.quiet_market(ask=103).add(200, BUY, 101, 5, 60)
    made = trade(stream, (100, 0.0), (300, 0.0), (400, 0.0), policy=QUOTE_TOUCH, max_position=max_position)
    assert sent(made, hand, "cancel")[:1] == [(300, BUY, 100)]
    assert sent(made, hand)[:3] == [(100, BUY, 100), (100, SELL, 103), (400, BUY, 101)]


def test_a_taker_takes_the_other_touch_and_leaves_when_the_prediction_fades(trade, hand):
    stream = hand.quiet_market(ask=101)
    signal = [(100, 0.9), (200, 1.1), (210, 1.1), (300, 0.6), (400, 0.4), (500, 0.4)]
    made = trade(stream, *signal, policy=TAKER, max_position=2)
    told = [((ts - hand.open) / MS, side, price // hand.tick, n, kind) for ts, side, price, n, kind in made.fills.select(
        "ts_event", "side", "price", "quantity", "liquidity").iter_rows()]  # fmt: skip
    assert told == [(220, BUY, 101, 2, "taker"), (420, SELL, 100, 2, "taker")]
    assert made.fills["position"].to_list() == [2, 0]


def test_a_taker_turns_round_within_its_limit(trade, hand):
    made = trade(hand.quiet_market(ask=101), (100, 2.0), (200, -2.0), policy=TAKER, max_position=2)
    assert made.fills["position"].to_list()[:2] == [2, -2]


def test_what_a_spread_costs_can_keep_a_taker_out(trade, hand):
    dear = TAKER._replace(level_weight=2.0)
    assert trade(hand.quiet_market(ask=101), (100, 1.9), policy=dear).fills.height == 0
    assert trade(hand.quiet_market(ask=101), (100, 2.1), policy=dear).fills.height > 0
    assert trade(hand.quiet_market(ask=102), (100, 2.1), policy=dear).fills.height == 0


@pytest.mark.parametrize("prediction", [-3.0, 0.5, 3.0])
def test_what_the_position_cost_changes_nothing(hand, prediction):
    """Blind to the entry: only the position limit looks at the position, and only the loss limit at the cash."""

    def decided(cash, position):
        market = hand.Wire(hand.quiet_market(ask=101), max_position=10).run(1)
        market.ours["known_position"], market.ours["known_cash"] = position, cash
        market.rules["loss_limit"] = 10**18
        trader.decide(market.tape.rows[-1], hand.open + 100 * MS, hand.open + 100 * MS, prediction, market.room.trader)
        requests = market.room.requests[: market.ours["sent"][0]]
        return [(int(r["side"]), int(r["px"]), float(r["score"])) for r in requests]

    assert decided(-100 * 10**9, 1) == decided(500 * 10**9, 1)
    scores = [{(side, px): score for side, px, score in decided(0, position)} for position in (-2, 2)]
    assert all(scores[0][order] == scores[1][order] for order in scores[0].keys() & scores[1].keys())


def test_the_session_ends_flat(trade, hand):
    made = trade(hand.quiet_market(ask=101).trade(200, SELL, 100, unseen=6), (100, 3.0), (150, 3.0))
    assert made.outcome.position == 0
    last = made.fills.row(-1, named=True)
    assert (last["side"], last["liquidity"], last["position"]) == (SELL, "taker", 0)
    assert last["ts_event"] < hand.hours.close_ns - FLAT_BEFORE_CLOSE_NS + 2_000 * MS
    assert made.orders.filter(ts_request=hand.hours.close_ns - FLAT_BEFORE_CLOSE_NS)["reason"].unique().to_list() == ["close"]


def test_a_position_that_nobody_takes_is_marked_at_the_last_mid(trade, hand):
    stream = hand.quiet_market(ask=101).trade(200, SELL, 100, unseen=6)
    for order in range(10, 0, -1):  # the touch last
        stream.cancel(60_000, order)
    made = trade(stream, (100, 3.0), (150, 3.0))
    assert made.outcome.position == 1
    # Bought at 100, marked at 100.5, less the maker's fee.
    assert made.outcome.net_pnl == made.equity["equity"][-1] == 400_000_000


def test_nothing_is_quoted_after_the_flattening_began(trade, hand):
    late = (hand.hour - FLAT_BEFORE_CLOSE_NS) / MS
    assert sent(trade(hand.quiet_market(ask=101), (late - 1, 3.0)), hand) == [(late - 1, BUY, 100)]
    assert sent(trade(hand.quiet_market(ask=101), (late, 3.0)), hand) == []


def test_the_daily_loss_limit_flattens_and_stops(trade, hand):
    stream = hand.quiet_market(ask=101).trade(200, SELL, 100, unseen=6)
    for order in (1, 2, 3, 4, 5):
        stream.cancel(300, order)
    stream.add(301, SELL, 97, 5, 60)
    made = trade(stream, (100, 3.0), (150, 3.0), *((at, 3.0) for at in range(310, 900, 10)), daily_loss_limit="3")
    assert "flatten" in made.orders["reason"].to_list()
    stopped = made.orders.filter(reason="flatten")["ts_request"].min()
    assert made.orders.filter(pl.col("ts_request") > stopped, reason="score").height == 0
    assert made.fills["position"].to_list()[-1] == 0


def test_equity_is_cash_and_the_position_at_the_mid(trade, hand):
    made = trade(hand.quiet_market(ask=101).trade(200, SELL, 100, unseen=6), (100, 3.0), (150, 3.0))
    at_fill = made.equity.filter(ts_event=hand.open + 200 * MS).row(0, named=True)
    # Bought at 100 with the mid at 100.5: half a tick, less the maker's fee of 0.1.
    assert at_fill["equity"] == 400_000_000
    assert made.equity["equity"][-1] == made.outcome.net_pnl == made.fills["cash"][-1]
    assert made.equity.height == 61 + made.fills.height


def test_markouts_look_the_given_seconds_ahead(trade, hand):
    stream = hand.quiet_market(ask=101).trade(200, SELL, 100, unseen=6).cancel(3_000, 101)
    made = trade(stream, (100, 3.0), (150, 3.0))
    fill = made.fills.row(0, named=True)
    assert [fill[name] / hand.tick for name in ("mid", "mid_1s", "mid_5s")] == [100.5, 100.5, 101.0]


def test_a_makers_mid_is_the_one_before_its_fill(trade, hand):
    stream = hand.quiet_market(ask=101).trade(200, SELL, 100, (1, 5)).add(200, SELL, 100, 3, 60)
    fill = trade(stream, (100, 3.0), (150, 3.0)).fills.row(0, named=True)
    assert (fill["liquidity"], fill["price"] / hand.tick, fill["mid"] / hand.tick) == ("maker", 100, 100.5)
    assert fill["mid_1s"] / hand.tick == 99.5


def test_a_silent_session_has_its_minutes_and_no_orders(trade, hand):
    made = trade(hand.quiet_market(ask=101))
    assert (made.orders.height, made.fills.height, made.equity.height) == (0, 0, 61)


def test_a_session_without_records_is_empty(trade, hand):
    made = trade(hand.Stream())
    assert (made.orders.height, made.fills.height, made.equity.height) == (0, 0, 0)


def test_a_day_without_a_session_has_tables_that_keep_their_contracts():
    made = nothing()
    for frame, contract in ((made.orders, Orders), (made.fills, Fills), (made.equity, Equity)):
        check(frame, contract, contract.__name__)


def test_a_signal_that_is_not_a_number_is_refused(trade, hand):
    with pytest.raises(FillsError, match="not a number"):
        trade(hand.quiet_market(), (100, float("nan")))
