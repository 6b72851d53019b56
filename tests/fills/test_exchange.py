"""What the exchange does with our orders: a statement a test, each on a market written by hand."""

import pytest

from assets.books import codes
from assets.fills import wire

BUY, SELL = 1, -1


@pytest.fixture
def quiet(hand):
    """Five contracts at each price: bids 100, 99, ..., offers 102, 103, ...; orders 1.. bid, 101.. offer."""
    return hand.quiet_market()


def test_an_order_waits_behind_what_rests_at_its_price_when_it_arrives(hand, quiet):
    market = hand.Wire(quiet.add(10, BUY, 100, 7, 50))
    order = market.send(0, BUY, 100)
    assert market.run(30).ahead(order) == 12


def test_an_order_that_joins_behind_ours_is_not_ahead(hand, quiet):
    market = hand.Wire(quiet.add(25, BUY, 100, 7, 50))
    order = market.send(0, BUY, 100)
    assert market.run(30).ahead(order) == 5


def test_at_the_same_nanosecond_the_market_comes_first(hand, quiet):
    market = hand.Wire(quiet.add(20, BUY, 100, 7, 50))
    order = market.send(0, BUY, 100)
    assert market.run(20).ahead(order) == 12


def test_the_last_to_join_before_us_is_ahead(hand, quiet):
    quiet.trade(18, SELL, 100, (1, 5)).add(19, BUY, 100, 2, 50).trade(30, SELL, 100, (50, 2))
    market = hand.Wire(quiet)
    order = market.send(0, BUY, 100)
    assert market.run(25).ahead(order) == 2
    assert market.run(40).ahead(order) == 0
    assert market.fills == []


def test_a_cancel_ahead_moves_us_up_and_a_cancel_behind_does_not(hand, quiet):
    market = hand.Wire(quiet.add(25, BUY, 100, 7, 50).cancel(30, 50, 3).cancel(31, 1, 2))
    order = market.send(0, BUY, 100)
    assert market.run(30).ahead(order) == 5
    assert market.run(31).ahead(order) == 3


def test_an_order_ahead_that_grows_or_moves_away_leaves_our_front(hand, quiet):
    market = hand.Wire(quiet.modify(30, 1, size=9))
    order = market.send(0, BUY, 100)
    assert market.run(40).ahead(order) == 0


def test_an_order_ahead_that_shrinks_keeps_its_place(hand, quiet):
    market = hand.Wire(quiet.modify(30, 1, size=2))
    order = market.send(0, BUY, 100)
    assert market.run(40).ahead(order) == 2


def test_an_icebergs_refill_goes_to_the_back_of_the_queue_behind_us(hand, quiet):
    quiet.trade(30, SELL, 100, (1, 5))
    quiet.records[-1] |= {"action": ord("M"), "size": 5}  # its shown part has traded, and the same order shows five again
    market = hand.Wire(quiet.trade(31, SELL, 100, unseen=1))
    order = market.send(0, BUY, 100)
    assert market.run(30).ahead(order) == 0
    assert market.run(40).fills == [(31, BUY, 100, 1)]


def test_a_trade_gives_us_what_is_left_after_those_ahead(hand, quiet):
    quiet.add(25, BUY, 100, 7, 50).trade(30, SELL, 100, (1, 5), (50, 2))
    market = hand.Wire(quiet)
    order = market.send(0, BUY, 100, 3)
    assert market.run(40).fills == [(30, BUY, 100, 2)]
    assert market.filled(order) == 2


def test_a_trade_that_ends_ahead_of_us_gives_us_nothing(hand, quiet):
    market = hand.Wire(quiet.trade(30, SELL, 100, (1, 4)))
    order = market.send(0, BUY, 100)
    assert market.run(40).fills == []
    assert market.ahead(order) == 1


def test_contracts_traded_unseen_fill_us_only_beyond_those_ahead(hand, quiet):
    market = hand.Wire(quiet.trade(30, SELL, 100, unseen=5).trade(31, SELL, 100, unseen=7))
    market.send(0, BUY, 100, 10)
    assert market.run(40).fills == [(31, BUY, 100, 2)]


def test_a_trade_through_our_price_gives_no_more_than_was_traded(hand, quiet):
    """hftbacktest 2.4.4 fills 100 contracts on this trade of one."""
    quiet.cancel(25, 1).trade(30, SELL, 99, (2, 1))
    market = hand.Wire(quiet)
    order = market.send(0, BUY, 100, 100)
    assert market.run(40).fills == [(30, BUY, 100, 1)]
    assert market.filled(order) == 1


def test_an_order_in_two_fills_counts_both(hand, quiet):
    """hftbacktest 2.4.4 ends with a position of 1 after fills of 2 and 1."""
    quiet.trade(30, SELL, 100, (1, 5)).add(31, BUY, 100, 9, 50).trade(32, SELL, 100, (50, 2)).trade(33, SELL, 100, (50, 1))
    market = hand.Wire(quiet)
    market.send(0, BUY, 100, 3)
    assert market.run(40).fills == [(32, BUY, 100, 2), (33, BUY, 100, 1)]
    assert market.position == 3


def test_after_a_fill_of_its_exact_size_the_next_trade_passes_it_by(hand, quiet):
    """hftbacktest 2.4.4 aborts on the second trade."""
    quiet.trade(30, SELL, 100, (1, 5)).add(31, BUY, 100, 9, 50).trade(32, SELL, 100, (50, 2)).trade(33, SELL, 100, (50, 2))
    market = hand.Wire(quiet)
    market.send(0, BUY, 100, 2)
    assert market.run(40).fills == [(32, BUY, 100, 2)]
    assert market.position == 2


def test_two_orders_of_ours_share_one_trade(hand, quiet):
    """Five ahead and six traded leave one contract; hftbacktest 2.4.4 fills both orders."""
    market = hand.Wire(quiet.trade(30, SELL, 100, unseen=6))
    first, second = market.send(0, BUY, 100), market.send(0, BUY, 100)
    market.run(40)
    assert (market.filled(first), market.filled(second)) == (1, 0)


def test_our_better_price_is_served_before_our_earlier_order(hand, quiet):
    quiet.trade(40, SELL, 100, (1, 1))
    market = hand.Wire(quiet)
    earlier, better = market.send(0, BUY, 100), market.send(10, BUY, 101)
    market.run(50)
    assert (market.filled(earlier), market.filled(better)) == (0, 1)
    assert market.fills == [(40, BUY, 101, 1)]


def test_an_offer_that_comes_down_to_our_bid_would_have_met_us_first(hand, quiet):
    quiet.cancel(25, 1).add(30, SELL, 100, 2, 60)
    market = hand.Wire(quiet)
    market.send(0, BUY, 100, 5)
    assert market.run(40).fills == [(30, BUY, 100, 2)]


def test_what_we_gave_to_an_offer_is_gone_from_it(hand, quiet):
    quiet.cancel(25, 1).add(30, SELL, 100, 2, 60)
    market = hand.Wire(quiet)
    market.send(0, BUY, 100, 1)
    market.run(31)
    market.send(31, BUY, 100, 5, immediate=True)
    assert market.run(60).fills == [(30, BUY, 100, 1), (51, BUY, 100, 1)]


def test_nothing_fills_before_it_arrives(hand, quiet):
    market = hand.Wire(quiet.trade(19.9, SELL, 100, unseen=50))
    market.send(0, BUY, 100)
    assert market.run(40).fills == []


def test_an_order_that_crosses_on_arrival_takes_what_stands_at_each_price(hand, quiet):
    market = hand.Wire(quiet.cancel(10, 101, 2))
    order = market.send(0, BUY, 103, 10)
    assert market.run(40).fills == [(20, BUY, 102, 3), (20, BUY, 103, 5)]
    assert market.answer(0) == wire.RESTING
    assert market.room.orders["left"][order] == 2


def test_what_was_cancelled_before_we_arrive_cannot_be_taken(hand, quiet):
    market = hand.Wire(quiet.cancel(10, 101))
    market.send(0, BUY, 102)
    assert market.run(40).fills == []


def test_what_we_took_is_gone_until_the_market_renews_it(hand, quiet):
    market = hand.Wire(quiet.add(50, SELL, 102, 1, 60))
    market.send(0, BUY, 102, 5, immediate=True)
    market.send(10, BUY, 102, 5, immediate=True)
    market.send(40, BUY, 102, 5, immediate=True)
    assert market.run(70).fills == [(20, BUY, 102, 5), (60, BUY, 102, 1)]
    assert [market.answer(k) for k in range(3)] == [wire.DONE, wire.CANCELLED, wire.CANCELLED]


def test_what_has_left_since_we_took_it_does_not_hide_what_came_after(hand, quiet):
    market = hand.Wire(quiet.cancel(30, 101, 3).add(31, SELL, 102, 3, 60))
    market.send(0, BUY, 102, 5, immediate=True)
    market.run(40)
    market.send(40, BUY, 102, 9, immediate=True)
    assert market.run(70).fills == [(20, BUY, 102, 5), (60, BUY, 102, 3)]


def test_a_trade_at_a_worse_price_passes_over_us_with_those_ahead_of_us(hand, quiet):
    """Hidden liquidity traded at 99 while five contracts stood before us at 100: it was not our turn."""
    market = hand.Wire(quiet.trade(30, SELL, 99, unseen=5).trade(31, SELL, 99, unseen=6))
    market.send(0, BUY, 100, 3)
    assert market.run(40).fills == [(31, BUY, 100, 1)]


def test_a_post_only_order_that_would_cross_is_rejected(hand, quiet):
    market = hand.Wire(quiet, post_only=True)
    market.send(0, BUY, 102)
    market.send(0, BUY, 101)
    market.run(40)
    assert (market.answer(0), market.answer(1)) == (wire.REJECTED, wire.RESTING)


def test_an_order_that_would_meet_our_own_is_rejected(hand, quiet):
    market = hand.Wire(quiet)
    market.send(0, BUY, 101)
    market.send(1, SELL, 101)
    market.run(40)
    assert market.answer(1) == wire.REJECTED
    assert market.fills == []


def test_a_cancel_takes_as_long_as_an_order_and_a_fill_may_come_first(hand, quiet):
    market = hand.Wire(quiet.trade(55, SELL, 100, unseen=6))
    order = market.send(0, BUY, 100)
    cancel = market.cancel(40, order)
    market.run(70)
    assert market.fills == [(55, BUY, 100, 1)]
    assert market.answer(cancel) == wire.TOO_LATE


def test_nothing_fills_after_a_confirmed_cancel(hand, quiet):
    market = hand.Wire(quiet.trade(61, SELL, 100, unseen=60))
    order = market.send(0, BUY, 100)
    cancel = market.cancel(40, order)
    assert market.run(70).fills == []
    assert market.answer(cancel) == wire.CANCELLED


def test_a_cancel_never_overtakes_its_order(hand, quiet):
    market = hand.Wire(quiet)
    market.rules["cancel_delay"] = 0
    cancel = market.cancel(1, market.send(0, BUY, 100))
    market.run(40)
    assert market.answer(cancel) == wire.CANCELLED
    assert market.room.requests["ts_arrival"][cancel] == market.room.requests["ts_arrival"][0]


def test_we_hear_of_a_fill_a_delay_after_it(hand, quiet):
    market = hand.Wire(quiet.trade(30, SELL, 100, unseen=6))
    market.send(0, BUY, 100)
    market.run(60)
    assert market.listen(49.9).ours["known_position"] == 0
    assert market.listen(50).ours["known_position"] == 1


def test_a_snapshot_in_mid_session_puts_its_orders_ahead_of_ours(hand, quiet):
    snapshot = codes.F_SNAPSHOT
    quiet.clear(30).add(30, BUY, 100, 3, 1, flags=snapshot).add(30, SELL, 102, 3, 101, flags=snapshot | codes.F_LAST)
    market = hand.Wire(quiet.add(31, BUY, 100, 9, 70))
    order = market.send(0, BUY, 100)
    assert market.run(40).ahead(order) == 3


def test_maker_and_taker_pay_their_own_fees(hand, quiet):
    market = hand.Wire(quiet.trade(30, SELL, 100, unseen=6))
    market.send(0, SELL, 99, 2, immediate=True)
    market.send(0, BUY, 100)
    market.run(40)
    assert list(market.room.fills["fee"][:2]) == [600_000_000, 100_000_000]


def test_cash_is_what_the_fills_cost_with_fees(hand, quiet):
    market = hand.Wire(quiet)
    market.send(0, BUY, 102, 2, immediate=True)
    market.run(30)
    market.send(30, SELL, 100, 2, immediate=True)
    market.run(60)
    # Two ticks lost on two contracts, a tick is worth 1, and four contracts at 0.3.
    assert int(market.state["cash"][0]) == -4_000_000_000 - 1_200_000_000


def test_what_is_under_way_at_the_close_finds_a_closed_exchange(hand, quiet):
    market = hand.Wire(quiet)
    end = 3_600_000
    order = market.send(end - 50, BUY, 100)
    cancel = market.cancel(end - 10, order)
    late = market.send(end - 5, BUY, 99)
    market.run()
    assert market.answer(cancel) == wire.CANCELLED
    assert market.room.orders["state"][late] == wire.REJECTED
