"""The wire: four legs, each with its own delay, drawn before the session and in order."""

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from assets.desk import Delay, Delays, Trading, load_desk
from assets.fills.delays import SLOT, delay_slots
from assets.fills.errors import FillsError
from assets.fills.policy import Policy
from assets.fills.replay import Replayer, make_rules, make_session
from assets.fills.wire import SLOTS

MS = 1_000_000
BUY = 1


def wire(**legs):
    return Trading(delays=Delays(**legs))


def test_one_number_is_three_legs_and_the_feed_takes_no_time():
    slots = delay_slots(Trading(latency_ms=7), 1)
    assert {leg: (drawn.min(), drawn.max()) for leg, drawn in slots.items()} == {
        "feed_delay": (0, 0),
        "order_delay": (7 * MS, 7 * MS),
        "cancel_delay": (7 * MS, 7 * MS),
        "response_delay": (7 * MS, 7 * MS),
    }


def test_each_leg_takes_its_own_time(hand):
    stream = hand.quiet_market()
    tape = stream.tape()
    session = make_session(tape, *hand.signal_of((100, 5.0), (600, -5.0)), hand.hours)
    trading = wire(feed=Delay(ms=3), order=Delay(ms=20), cancel=Delay(ms=11), response=Delay(ms=5))
    replayer = Replayer()
    replayer.run(session, Policy(), make_rules(hand.market, trading, session))
    sent = replayer.requests
    after = [[(int(r[name]) - hand.open) / MS for name in ("ts_request", "ts_arrival", "ts_response")] for r in sent]
    assert after[0] == [103, 123, 128]
    assert [603, 614, 619] in after


def test_the_policy_decides_on_a_market_as_old_as_its_feed(hand):
    """What happened within the feed's delay before a decision is not in it: five contracts ahead, not twelve."""
    stream = hand.quiet_market().add(101, BUY, 100, 7, 50)
    session = make_session(stream.tape(), *hand.signal_of((100, 5.0)), hand.hours)
    trading = wire(feed=Delay(ms=50), order=Delay(ms=0))
    policy, replayer = Policy(ahead_weight=-1.0, prediction_weight=1.0), Replayer()
    replayer.run(session, policy, make_rules(hand.market, trading, session))
    at_the_touch = replayer.requests[replayer.requests["px"] == 100 - session.tape.base][0]
    assert at_the_touch["score"] == pytest.approx(5.0 - 0.05 - np.log(6))
    assert at_the_touch["ahead"] == 12


def test_a_recording_comes_in_its_order_from_a_place_of_the_sessions(tmp_path):
    path = tmp_path / "delays.csv"
    pl.DataFrame({"ms": [10.0, 12.0, 90.0]}).write_csv(path)
    drawn = delay_slots(wire(order=Delay(file=path)), 5)["order_delay"]
    assert set(np.unique(drawn)) == {10 * MS, 12 * MS, 90 * MS}
    assert (drawn[1:][drawn[:-1] == 12 * MS] == 90 * MS).all()
    starts = {int(delay_slots(wire(order=Delay(file=path)), day)["order_delay"][0]) for day in range(20)}
    assert len(starts) == 3


def test_a_recording_may_be_parquet(tmp_path):
    path = tmp_path / "delays.parquet"
    pl.DataFrame({"day": [1, 2], "ms": [1.5, 1.5]}).write_parquet(path)
    assert (delay_slots(wire(response=Delay(file=path)), 5)["response_delay"] == 1_500_000).all()


def test_lognormal_delays_have_their_median_and_their_spread():
    drawn = delay_slots(wire(order=Delay(median_ms=10, sigma=0.4)), 3)["order_delay"] / MS
    assert np.median(drawn) == pytest.approx(10, rel=0.02)
    assert np.log(drawn).std() == pytest.approx(0.4, rel=0.03)


def test_a_burst_lasts_and_multiplies():
    calm = delay_slots(wire(order=Delay(median_ms=1, sigma=0)), 3)["order_delay"]
    rough = delay_slots(wire(order=Delay(median_ms=1, sigma=0, burst_chance=0.01, burst_seconds=2, burst_factor=30)), 3)["order_delay"]
    assert (calm == MS).all()
    assert set(np.unique(rough)) == {MS, 30 * MS}
    lasting = 2_000_000_000 // SLOT + 1
    share = 1 - 0.99**lasting
    assert (rough == 30 * MS).mean() == pytest.approx(share, abs=0.05)
    begins = np.flatnonzero((rough[1:] == 30 * MS) & (rough[:-1] == MS)) + 1
    assert all((rough[b : b + lasting] == 30 * MS).all() for b in begins if b + lasting < SLOTS)


def test_sessions_draw_differently_and_the_same_session_the_same():
    trading = wire(feed=Delay(median_ms=5), order=Delay(median_ms=5))
    one, again, other = delay_slots(trading, 1), delay_slots(trading, 1), delay_slots(trading, 2)
    assert np.array_equal(one["order_delay"], again["order_delay"])
    assert not np.array_equal(one["order_delay"], other["order_delay"])
    assert not np.array_equal(one["order_delay"], one["feed_delay"])


SLOW = Delay(median_ms=200, sigma=1.0)
"""Half of the messages take longer than a slot, some of them ten."""


def each_time(hand, gap_ms, **legs):
    """Requests that are sent one by one, so far apart: milliseconds that each took there and its answer back, and when they came."""
    market = hand.Wire(hand.quiet_market())
    for name, slots in delay_slots(wire(**legs), hand.open).items():
        market.rules[name] = slots
    for k in range(30):
        market.cancel(gap_ms * (k + 1), market.send(gap_ms * (k + 1), BUY, 95))
    sent = market.run().room.requests[:60]
    return [np.asarray(sent[name] - hand.open) / MS for name in ("ts_request", "ts_arrival", "ts_response")]


def test_what_sets_out_later_does_not_arrive_earlier(hand):
    request, arrival, response = each_time(hand, 30, order=SLOW, cancel=SLOW, response=SLOW)
    assert (np.diff(arrival) >= 0).all()
    assert (np.diff(response) >= 0).all()
    alone = delay_slots(wire(order=SLOW), hand.open)["order_delay"][(hand.open + (request[::2] * MS).astype(np.int64)) // SLOT % SLOTS] / MS
    assert (arrival[::2] > request[::2] + alone + 1).any()  # by their delays alone, some would


def test_a_message_with_none_before_it_takes_the_time_that_the_desk_tells(hand):
    """A minute apart nothing is held back by anything, whatever the slots between were drawn."""
    legs = {"order": SLOW, "cancel": Delay(ms=0), "response": SLOW}
    slots = delay_slots(wire(**legs), hand.open)
    request, arrival, response = (times[::2] for times in each_time(hand, 60_000, **legs))
    for name, went, came in (("order_delay", request, arrival), ("response_delay", arrival, response)):
        slot = (hand.open + (went * MS).astype(np.int64)) // SLOT % SLOTS
        assert came - went == pytest.approx(slots[name][slot] / MS, abs=1e-3)


def test_the_feed_is_held_back_by_its_own_messages_alone(hand):
    """A market that is silent between two records: what is seen of the second is as old as the desk tells, or waits for the first."""
    tape = hand.quiet_market().add(1_000, BUY, 100, 1, 500).add(1_200, BUY, 100, 1, 501).add(60_000, BUY, 100, 1, 502).tape()
    session = make_session(tape, *hand.signal_of((1_000, 0.0), (1_200, 0.0), (60_000, 0.0)), hand.hours)
    feed = np.full(SLOTS, 300 * MS)
    feed[(hand.open + 1_000 * MS) // SLOT % SLOTS] = 2_000 * MS
    assert [(int(at) - hand.open) / MS for at in session.made_at(feed)[:3]] == [3_000, 3_000, 60_300]
    assert session.made_at(np.zeros(SLOTS, np.int64)) is session.ts


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("ms\n", "is empty"),
        ("ms\n3\n-1\n", "a delay of -1 ms"),
        ("ms\nsoon\n", "must be a number of milliseconds in every row"),
        ("a,b\n1,2\n", "has one column, or one called ms; this one has a, b"),
        (None, "no recording of delays can be read there"),
    ],
)
def test_a_recording_that_is_none_is_refused(tmp_path, rows, sentence):
    path = tmp_path / "delays.csv"
    if rows is not None:
        path.write_text(rows)
    with pytest.raises(FillsError, match=sentence):
        delay_slots(wire(order=Delay(file=path)), 1)


@pytest.mark.parametrize("told", [{}, {"ms": 1, "median_ms": 2}, {"ms": -1}, {"median_ms": 5, "burst_chance": 2}, {"median_ms": -5}])
def test_a_delay_is_told_in_one_way_and_never_negative(told):
    with pytest.raises(ValidationError, match=r"told in one way|greater than|less than"):
        Delay(**told)


def test_a_recording_is_found_beside_its_desk(tmp_path, request):
    text = (request.config.rootpath / "desk.toml").read_text()
    (tmp_path / "desk.toml").write_text(text + '\n[trading.delays.order]\nfile = "order.csv"\n\n[trading.delays.feed]\nms = 4\n')
    delays = load_desk(tmp_path / "desk.toml").trading.delays
    assert delays.order.file == tmp_path / "order.csv"
    assert delays.feed.ms == 4
