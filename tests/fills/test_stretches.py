"""What is told of a stretch is what its decisions and its rows would have told."""

import numpy as np
import pytest

from assets.desk import ALL, Trading
from assets.fills import wire
from assets.fills.policy import Policy
from assets.fills.replay import Session, make_rules, make_session
from assets.fills.rows import CLEARED
from assets.fills.settled import idle
from assets.fills.stretches import STRETCH, jump, passes

BUY, SELL = 1, -1
ASIDE = Policy(threshold=9.0, level_weight=0.1)


@pytest.fixture(scope="module")
def session(hand):
    """Orders that come and go at ten prices, the book emptied once; a decision at each row, the signal 5 in the second stretch."""
    stream, random = hand.quiet_market(), np.random.default_rng(0)
    for k in range(4 * STRETCH):
        if k == 3 * STRETCH:
            stream.clear(1 + k)
        side, level = (BUY, SELL)[int(random.integers(2))], int(random.integers(8))
        stream.add(1 + k, side, 100 - level if side == BUY else 102 + level, int(random.integers(1, 9)), 1000 + k)
        if k % STRETCH > 40 and random.random() < 0.6:
            stream.cancel(1 + k, 1000 + k - int(random.integers(1, 30)))
    tape = stream.tape()
    ts = tape.rows["ts"]
    return make_session(tape, ts, np.where((np.arange(len(ts)) // STRETCH) == 1, 5.0, 0.0), hand.hours)


def room_of(hand, session, policy=ASIDE, skew=0.0, **state):
    rules, memory = make_rules(hand.market, Trading(skew=skew), session), wire.Memory(8)
    room = memory.room(wire.make_ladder(session.tape.width), rules, policy.record, len(session.tape.rows))
    for name, value in state.items():
        memory.ours[name] = value
    return room


def passed(hand, session, policy=ASIDE, **state):
    room = room_of(hand, session, policy, **state)
    return [passes(b, session.tape.rows, session.ts, session.stretches[ALL], room.trader) for b in range(len(session.stretches[ALL].seen))]


@pytest.mark.parametrize(
    "policy", [ASIDE, Policy(threshold=4.0), Policy(threshold=0.5, level_weight=-0.2), Policy(threshold=2.0, level_weight=0.2)]
)
def test_a_stretch_passes_only_if_each_of_its_decisions_is_idle(hand, session, policy):
    room = room_of(hand, session, policy)
    came = passed(hand, session, policy)
    assert any(came)
    for b in np.flatnonzero(came):
        for i in range(b * STRETCH, (b + 1) * STRETCH):
            assert idle(session.tape.rows[session.seen[i] - 1], session.ts[i], session.signals[ALL][i], room.trader)


def test_a_signal_above_the_threshold_holds_up_its_stretch_alone(hand, session):
    assert [b for b, came in enumerate(passed(hand, session, Policy(threshold=4.0, level_weight=0.0))) if not came] == [1]


@pytest.mark.parametrize("state", [{"stopped": 1}, {"known_cash": -(10**18)}, {"known_position": 20, "known_cash": -20 * 200 * 10**9}])
def test_nothing_passes_for_who_must_flatten(hand, session, state):
    assert not any(passed(hand, session, **state))


def test_a_position_with_skew_holds_up_all_stretches_but_the_one_whose_signal_makes_up_for_it(hand, session):
    came = passed(hand, session, Policy(threshold=4.0, level_weight=0.0), skew=5.0, known_position=1)
    assert [b for b, each in enumerate(came) if each] == [1]


def test_nothing_passes_once_positions_are_closed(hand, session):
    room = room_of(hand, session)
    room.rules["flatten_ns"] = session.ts[2 * STRETCH - 1]
    came = [passes(b, session.tape.rows, session.ts, session.stretches[ALL], room.trader) for b in range(3)]
    assert came == [True, False, False]


def test_before_the_first_row_nothing_passes(hand, session):
    early = Session(session.tape, np.concatenate([session.ts[:1] - 1, session.ts]), {ALL: np.zeros(len(session.ts) + 1)}, session.window)
    assert passed(hand, early)[:2] == [False, True]


@pytest.mark.parametrize("until", [STRETCH - 1, STRETCH, 3 * STRETCH + 7, 5 * STRETCH])
def test_a_ladder_that_jumps_is_where_the_rows_bring_it(hand, session, until):
    rows, (first, second) = session.tape.rows, (room_of(hand, session) for _ in range(2))
    assert CLEARED in rows["kind"][: 5 * STRETCH]
    for room in (first, second):
        jump(rows, 0, 30, session.stretches[ALL], room)
        room.ladder[:, :, wire.TAKEN] = room.ladder[:, :, wire.STANDS]  # we took all that stood
    assert jump(rows, 30, until, session.stretches[ALL], first) == until
    for r in range(30, until):  # one row at a time is never a stretch
        jump(rows, r, r + 1, session.stretches[ALL], second)
    assert first.ladder.any()
    assert np.array_equal(first.ladder, second.ladder)
