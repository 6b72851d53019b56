"""Decisions are passed over only where, made, they would have sent nothing."""

import datetime as dt
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.books.codes import BID
from assets.desk import ALL, NS, Delay, Delays, Trading
from assets.fills import replay, wire
from assets.fills.exchange import advance, expire
from assets.fills.heard import listen
from assets.fills.policy import Policy
from assets.fills.queues import QUEUES
from assets.fills.replay import make_rules, make_session
from assets.fills.rows import ADDED
from assets.fills.tape import aggregated, make_tape
from assets.fills.trader import decide
from assets.fills.wire import CLOSED, NEVER, kernel
from assets.ticks.dbn import to_frame
from assets.ticks.exchange import Instrument, simulate


@kernel
def every_decision(rows, ts, now, signal, room):
    """The replay without passing any decision over."""
    r = 0
    for i in range(len(ts)):
        r = advance(rows, r, ts[i], room)
        listen(now[i], room)
        if r > 0:
            decide(rows[r - 1], ts[i], now[i], signal[i], room.trader)
    advance(rows, r, room.rules.close_ns - 1, room)
    expire(NEVER, CLOSED, room)


@pytest.fixture(scope="module")
def markets(hand, swinging):
    """The swings, seldom decided on and at each row, there without an opinion in the third quarter; a market whose queues
    change all the time, by its orders (messages are lost twice) and as levels show it, decided on at each row; both with breaks and
    halts, and a roll."""
    swings = swinging[0]
    ts, quarter = swings.tape.rows["ts"], np.arange(4).repeat(len(swings.tape.rows) // 4 + 1)
    signal = swings.signals[ALL][np.clip(np.searchsorted(swings.ts, ts, side="right") - 1, 0, 59)]
    made = simulate(
        3, dt.date(2026, 9, 7), [Instrument(1, hand.tick, follows=True)],
        open_ns=hand.hours.open_ns, close_ns=hand.hours.close_ns, events=6_000, alpha=1.0,
    )  # fmt: skip
    tape = make_tape(to_frame(made[0].records), hand.market)
    rows = tape.rows
    flow = np.where(rows["side"] == BID, 1.0, -1.0) * np.where(rows["kind"] == ADDED, 1.0, -1.0)
    moves = np.convolve(flow, np.full(64, 1 / 64), "full")[: len(rows)]
    return [
        swings,
        make_session(swings.tape, ts, np.where(quarter[: len(ts)] == 2, 0.0, signal), hand.hours),
        make_session(tape._replace(lost=rows["ts"][[1000, 2500]]), rows["ts"], moves, hand.hours, Trading()),
        make_session(aggregated(tape), rows["ts"], moves, hand.hours),
        make_session(swings.tape, ts, signal, broken(hand.hours, [40, 90])),
        make_session(tape, rows["ts"], moves, broken(hand.hours, [500, 1200, 2500])),
    ]


def broken(hours, seconds):
    """The session with a halt of 5 s at each of these times, each but the last followed by a break of 20 s; there it rolls."""
    at = [hours.open_ns + second * NS for second in seconds]
    window = hours.without([(moment, moment + 5 * NS) for moment in at], "halt")
    window = window.without([(moment + 15 * NS, moment + 35 * NS) for moment in at[:-1]], "break")
    return window.rolled([(hours.open_ns, 1), (at[-1] + 15 * NS, 2)])


SMALL: Final = st.floats(-1, 1)
WIRES: Final = st.one_of(
    st.sampled_from([0.0, 20.0, 300.0]).map(lambda ms: {"latency_ms": ms}),
    st.floats(1, 500).map(lambda ms: {"delays": Delays(order=Delay(median_ms=ms, sigma=1.0), feed=Delay(median_ms=ms / 10, sigma=1.0))}),
)


@settings(deadline=None, max_examples=110, derandomize=True)
@given(
    market=st.integers(0, 5),
    threshold=SMALL,
    weights=st.tuples(SMALL, SMALL, *[st.one_of(st.just(0.0), SMALL)] * 2),
    style=st.integers(0, 2),
    loss_limit=st.integers(1, 50),
    queue=st.sampled_from(QUEUES),
    sizes=st.sampled_from([{"max_position": 2}, {"max_position": 12, "order_size": 4}, {"max_position": 5, "skew": 0.3}]),
    wire_of=WIRES,
)
def test_decisions_passed_over_would_have_come_to_nothing(
    hand, markets, market, threshold, weights, style, loss_limit, queue, sizes, wire_of
):
    session, policy = markets[market], Policy(threshold, *weights, 0.1, style)
    rules = make_rules(hand.market, Trading(daily_loss_limit=loss_limit, queue=queue, **sizes, **wire_of), session)
    same_both_ways(session, policy, rules)


def test_an_order_that_rests_in_front_of_the_touch_is_met_by_who_joins_it(hand):
    """Half of a bid takes all of an offer that came inside; who joins that offer meets the other half, though no best price changes."""
    stream = hand.quiet_market().add(110, -1, 101, 2, 900).add(125, -1, 101, 3, 901)
    session = make_session(stream.tape(), *hand.signal_of(*((100.0 + 5 * k, 0.0) for k in range(12))), hand.hours)
    flat = Policy(threshold=-100.0, ahead_weight=0.0, behind_weight=0.0)
    fills = same_both_ways(session, flat, make_rules(hand.market, Trading(max_position=4, order_size=4), session))
    met = [(int(fill["ts"] - hand.open) // 1_000_000, int(fill["quantity"]), bool(fill["maker"])) for fill in fills[:2]]
    assert met == [(120, 2, False), (125, 2, True)]


def same_both_ways(session, policy, rules):
    """Replay with and without passing decisions over; the fills."""
    replayer = replay.Replayer()
    replayer.run(session, policy, rules)
    memory = wire.Memory(len(replayer._memory.requests))
    room = memory.room(wire.make_ladder(session.tape.width), rules, policy.record, len(session.tape.rows))
    every_decision(session.tape.rows, session.ts, session.made_at(rules["feed_delay"][0]), session.signals[ALL], room)
    assert memory.sent.tobytes() == replayer.requests.tobytes()
    assert memory.filled.tobytes() == replayer.fills.tobytes()
    return replayer.fills
