"""Limits are held twice: by our own code, and by who stands before the exchange, whatever our code thought."""

import numpy as np
import pytest

from assets.books import codes
from assets.desk import Delay, Delays, Limits, Trading
from assets.fills import wire
from assets.fills.policy import TAKE, Policy
from assets.fills.replay import Replayer, gap_ns, make_rules, make_session
from assets.fills.simulate import simulate

BUY, SELL = 1, -1
MS = 1_000_000
EAGER = Policy(threshold=-100.0)
"""Wants an order at every level always."""


@pytest.fixture
def quiet(hand):
    return hand.quiet_market()


def limited(hand, **limits):
    return hand.market.model_copy(update={"limits": Limits(**limits)})


def refusals(market):
    sent = market.room.requests[: int(market.ours["sent"][0])]
    return [int(request["refusal"]) for request in sent]


def trade(hand, stream, *steps, market=None, policy=EAGER, **trading):
    return simulate(
        stream.frame(), *hand.signal_of(*steps), market=market or hand.market, trading=Trading(**trading), policy=policy, window=hand.hours
    )


def test_the_check_before_the_exchange_counts_what_is_held_and_what_rests(hand, quiet):
    market = hand.Wire(quiet.trade(30, SELL, 100, unseen=6), max_position=2)
    market.send(0, BUY, 100)
    market.send(1, BUY, 99)
    market.run(40)
    assert market.position == 1
    for at, side in ((40, BUY), (41, SELL)):
        market.send(at, side, 98 if side == BUY else 104)
    market.run(80)
    assert refusals(market) == [0, 0, wire.POSITION, 0]
    assert market.answer(2) == wire.REJECTED


def test_a_cancelled_order_makes_room_again(hand, quiet):
    market = hand.Wire(quiet, max_position=1)
    first = market.send(0, BUY, 100)
    market.send(1, BUY, 99)
    market.cancel(2, first)
    market.send(3, BUY, 98)
    market.run(40)
    assert refusals(market) == [0, wire.POSITION, 0, 0]


@pytest.mark.parametrize("policy", [EAGER, Policy(threshold=0.1, style=TAKE)])
def test_without_our_own_check_the_exchange_still_holds_the_position(hand, policy):
    """Our code is told that it may hold a hundred; the broker allows two."""
    stream = hand.quiet_market()
    for k in range(60):
        stream.add(50 + 20 * k, BUY, 100, 3, 1000 + k).trade(60 + 20 * k, SELL, 100, (1000 + k, 3), unseen=40)
    signal = [(at, 4.0) for at in range(40, 1200, 7)]
    session = make_session(stream.tape(), *hand.signal_of(*signal), hand.hours)
    rules = make_rules(hand.market, Trading(daily_loss_limit=10_000), session)
    rules["max_position"] = rules["busy_position"] = 100
    replayer = Replayer()
    replayer.run(session, policy, rules)
    assert np.abs(replayer.fills["position"]).max(initial=0) == (2 if policy is EAGER else 0)  # the taker asks for all at once
    assert (replayer.requests["refusal"] == wire.POSITION).any()


def test_after_a_loss_the_exchange_takes_only_what_takes_the_position_down(hand, quiet):
    """Long two at 100 and 99; when everything falls by ten ticks the check, whose limit is forty, lets one sell and nobody buy."""
    stream = quiet.trade(30, SELL, 99, unseen=12)
    for order in [*range(1, 11), *range(101, 111)]:
        stream.cancel(50, order)
    stream.add(50, BUY, 89, 5, 900).add(50, SELL, 91, 5, 901)
    market = hand.Wire(stream, max_position=5)
    market.rules["allowed_loss"] = 15 * 10**9
    market.send(0, BUY, 100)
    market.send(0, BUY, 99)
    market.run(45)
    assert market.position == 2
    market.send(60, BUY, 80)
    market.send(61, SELL, 95, 2)
    market.send(62, SELL, 96)
    market.run(100)
    assert refusals(market)[2:] == [wire.LOSS, 0, wire.LOSS]


def test_at_the_end_the_exchange_takes_only_what_takes_the_position_down(hand, quiet):
    market = hand.Wire(quiet.trade(30, SELL, 100, unseen=6), max_position=5)
    market.rules["allowed_until"] = hand.open + 60 * MS
    for at, side, px in ((0, BUY, 100), (39.9, BUY, 90), (40, BUY, 89), (41, SELL, 110), (42, SELL, 111)):
        market.send(at, side, px)
    market.run(100)
    assert market.position == 1
    assert refusals(market) == [0, 0, wire.ENDING, 0, wire.ENDING]


def test_our_own_check_leaves_the_exchange_nothing_to_refuse(hand, quiet):
    made = trade(hand, quiet.trade(300, SELL, 100, unseen=60), *((at, 0.0) for at in range(100, 2000, 50)))
    assert made.fills.height > 0
    assert made.orders["refusal"].null_count() == made.orders.height


def test_more_may_be_held_once_the_session_has_traded_much(hand, quiet):
    """Ten contracts have traded at 500 ms, the eleventh at 1000."""
    quiet.trade(500, SELL, 100, unseen=10).trade(1000, SELL, 99, unseen=1)
    trading = {"max_position": 1, "high_volume": 10, "max_position_high_volume": 4, "daily_loss_limit": 10_000}
    made = trade(hand, quiet, *((at, 0.0) for at in range(100, 3000, 50)), **trading)
    buys = made.orders.filter(kind="new", side=BUY)["ts_request"].to_numpy()
    first_busy = hand.open + 1000 * MS
    assert len(buys[buys < first_busy]) >= 1
    assert len(buys[buys == first_busy]) == 3
    assert made.fills["position"].abs().max() <= 4
    assert made.orders["refusal"].null_count() == made.orders.height


def test_the_exchange_refuses_more_orders_than_it_takes_in_a_second(hand, quiet):
    market = hand.Wire(quiet)
    market.rules["messages_per_second"] = 2
    first = market.send(0, BUY, 97)
    market.send(10, BUY, 96)
    market.send(20, BUY, 95)
    cancel = market.cancel(30, first)
    market.send(1040, BUY, 94)
    market.run(2000)
    assert refusals(market) == [0, 0, wire.MESSAGE_RATE, 0, 0]
    assert market.answer(cancel) == wire.CANCELLED  # a cancel is never refused


def test_our_code_holds_back_before_the_exchange_must(hand, quiet):
    market = limited(hand, messages_per_second=3)
    made = trade(hand, quiet, *((at, 0.0) for at in range(100, 4000, 50)), market=market, max_position=30)
    sent, new = made.orders["ts_request"].to_numpy(), (made.orders["kind"] == "new").to_numpy()
    assert new.sum() > 6
    assert (sent[3:] - sent[:-3] >= 1_000 * MS)[new[3:]].all()  # cancels are not held back
    assert made.orders["refusal"].null_count() == made.orders.height


def test_a_wire_that_bunches_what_was_sent_in_time_is_refused_by_the_exchange(hand, quiet):
    """Within our second but not within the exchange's: the first of the two waits for a slow moment of the wire."""
    session = make_session(quiet.tape(), *hand.signal_of(*((at, 0.0) for at in range(100, 60_000, 50))), hand.hours)
    trading = Trading(max_position=30, delays=Delays(order=Delay(median_ms=20, sigma=1.5)))
    replayer = Replayer()
    replayer.run(session, EAGER, make_rules(limited(hand, messages_per_second=1), trading, session))
    refused = replayer.requests["refusal"] == wire.MESSAGE_RATE
    assert 0 < refused.sum() < len(refused)


def test_more_messages_than_the_trades_allow_are_refused(hand, quiet):
    market = hand.Wire(quiet.trade(300, SELL, 100, (1, 5), unseen=1))
    market.rules["order_to_trade"], market.rules["order_to_trade_free"] = 4.0, 2
    market.send(0, BUY, 100)
    market.send(1, BUY, 97)
    market.send(2, BUY, 96)
    market.run(320)
    market.send(320, BUY, 95)
    market.send(330, BUY, 94)
    market.send(340, SELL, 103)
    market.run(400)
    # Two are free; one contract traded allows four; what only takes the position down is let through.
    assert refusals(market) == [0, 0, wire.ORDER_TO_TRADE, 0, wire.ORDER_TO_TRADE, 0]


def test_our_code_leaves_room_for_the_cancels_of_what_is_open(hand, quiet):
    market = limited(hand, order_to_trade=1, order_to_trade_free=10)
    steps = [(at, 0.0) for at in range(100, 2000, 50)]
    made = trade(hand, quiet, *steps, (3_580_000, 0.0), market=market, max_position=30)
    assert made.orders.filter(kind="new").height == 5
    assert made.orders.height == 10  # and five cancels at the close
    assert made.orders["refusal"].null_count() == made.orders.height


def test_a_silent_feed_cancels_all_and_the_position_waits(hand, quiet):
    quiet.trade(300, SELL, 100, unseen=6).add(9000, BUY, 95, 1, 70)
    made = trade(hand, quiet, (100, 0.0), (400, 0.0), (9100, 0.0), max_gap_seconds=5)
    cancels = made.orders.filter(kind="cancel", reason="gap")["ts_request"].to_numpy() - hand.open
    assert set(cancels) == {5300 * MS + 1, 14_000 * MS + 1}
    held = made.fills.filter(ts_event=hand.open + 300 * MS)
    assert held["position"].to_list()[-1] != 0
    between = made.orders.filter(made.orders["ts_request"].is_between(hand.open + 5301 * MS, hand.open + 9099 * MS))
    assert between.height == 0  # neither a quote nor a flattening order
    back = made.orders.filter(ts_request=hand.open + 9100 * MS, kind="new")
    assert back.height > 0
    assert made.outcome.position == 0  # closed at the session's end all the same


def test_nothing_is_quoted_while_only_others_are_heard(hand, quiet):
    """The signal changes (a leader trades), but the market itself has been silent for too long."""
    made = trade(hand, quiet, *((at, 0.0) for at in range(6000, 8000, 100)), max_gap_seconds=5)
    assert made.orders.height == 0


def test_a_market_that_is_heard_in_time_is_traded_as_without_the_switch(hand, quiet):
    for k in range(3600):
        quiet.add(1000 * k + 500, BUY, 90, 1, 2000 + k)
    steps = [(at, 0.0) for at in range(100, 20_000, 500)]
    assert trade(hand, quiet, *steps, max_gap_seconds=2).orders.equals(trade(hand, quiet, *steps).orders)


LOST = codes.F_LAST | codes.F_MAYBE_BAD_BOOK
STEPS = [(at, 0.0) for at in range(100, 9000, 200)]


def sent_at(hand, made, **query):
    """Milliseconds from the open at which requests were sent."""
    return sorted(set((made.orders.filter(**query)["ts_request"].to_numpy() - hand.open) / MS))


def test_lost_messages_cancel_all_until_the_book_can_be_believed_again(hand, quiet):
    quiet.add(1050, BUY, 95, 1, 70, flags=LOST)
    made = trade(hand, quiet, *STEPS, gap_pause_seconds=3)
    assert sent_at(hand, made, kind="cancel", reason="gap") == [1050]
    assert min(at for at in sent_at(hand, made, kind="new") if at > 1050) == 4100  # the first decision three seconds after


def test_lost_messages_again_prolong_the_pause(hand, quiet):
    quiet.add(1050, BUY, 95, 1, 70, flags=LOST).add(3050, BUY, 95, 1, 71, flags=LOST)
    made = trade(hand, quiet, *STEPS, gap_pause_seconds=3)
    assert sent_at(hand, made, kind="cancel", reason="gap") == [1050]
    assert min(at for at in sent_at(hand, made, kind="new") if at > 1050) == 6100


def test_a_book_that_is_sent_anew_ends_the_pause(hand, quiet):
    quiet.add(1050, BUY, 95, 1, 70, flags=LOST).clear(2050)
    quiet.add(2050, BUY, 100, 5, 71).add(2050, SELL, 102, 5, 72)
    made = trade(hand, quiet, *STEPS, gap_pause_seconds=3)
    assert min(at for at in sent_at(hand, made, kind="new") if at > 1050) == 2100


def test_a_desk_that_does_not_pause_trades_as_if_nothing_was_lost(hand, quiet):
    whole = trade(hand, hand.quiet_market().add(1050, BUY, 95, 1, 70), *STEPS)
    assert trade(hand, quiet.add(1050, BUY, 95, 1, 70, flags=LOST), *STEPS, gap_pause_seconds=0).orders.equals(whole.orders)


def test_a_position_waits_while_messages_are_lost_and_is_closed_at_the_end(hand, quiet):
    quiet.trade(300, SELL, 100, unseen=6).add(1050, BUY, 95, 1, 70, flags=LOST)
    made = trade(hand, quiet, *STEPS, gap_pause_seconds=3600)
    assert made.fills["position"].to_list()[0] != 0
    assert sent_at(hand, made, reason="close")[0] > 1_000_000
    assert made.outcome.position == 0


def test_rules_that_pass_with_time_are_not_slept_through(hand, quiet):
    """A policy blind to queues is not asked again while nothing changes, but for rules that time alone changes."""
    blind = EAGER._replace(ahead_weight=0.0, behind_weight=0.0)
    steps = [(at, 0.0) for at in range(100, 4000, 50)]
    made = trade(hand, quiet, *steps, market=limited(hand, messages_per_second=1), policy=blind, max_position=30)
    assert made.orders.filter(kind="new").height == 4


def test_the_desk_says_how_long_a_silence_may_be():
    assert gap_ns(Trading(max_gap_seconds=1.5)) == 1_500_000_000
    assert gap_ns(Trading()) == wire.NEVER
