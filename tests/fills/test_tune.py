"""The search for a policy: every trial kept, the same for everyone, and free to stand aside."""

import datetime as dt
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.desk import Delay, Delays, Trading
from assets.fills import replay, wire
from assets.fills.backends import open_backend
from assets.fills.errors import FillsError
from assets.fills.exchange import advance, expire
from assets.fills.journal import fingerprint, remembered
from assets.fills.policy import POLICY, Policy
from assets.fills.replay import make_rules, make_session
from assets.fills.schema import TrialSessions, TuningTrials
from assets.fills.trader import decide, listen
from assets.fills.tune import BATCH, RANGES, STAND_ASIDE, policy_of, search
from assets.fills.wire import kernel
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
    return Trading(tuning_trials=12, max_position=2, daily_loss_limit=10_000)


@pytest.fixture(scope="module")
def swinging(hand):
    """Two sessions; of the second only the first twenty seconds are quoted on."""
    whole = swings(hand)
    return [whole, replay.Session(whole.tape, whole.ts[:9], whole.signal[:9], whole.window)]


DAYS = [dt.date(2026, 9, 17), dt.date(2026, 9, 18)]


def find(market, trading, sessions):
    ruled = [(session, make_rules(market, trading, session)) for session in sessions]
    with open_backend("serial", ruled, 1) as replays:
        return search(replays, DAYS[: len(sessions)], trading)


@pytest.fixture(scope="module")
def found(hand, trading, swinging):
    return find(hand.market, trading, swinging)


def test_every_trial_is_kept_and_the_best_one_wins(found):
    trials, best = found.trials(), found.winner(0)
    check(trials, TuningTrials, "trials")
    assert trials["trial"].to_list() == list(range(12))
    assert best["net_pnl_train"][0] == trials["net_pnl"].max() > 0
    assert trials.row(best["trial"][0], named=True)["threshold"] == policy_of(best).threshold


def test_every_trial_is_kept_session_by_session(found):
    sessions = found.by_session()
    check(sessions, TrialSessions, "trial_sessions")
    assert sessions["session"].to_list() == DAYS * 12
    sums = sessions.group_by("trial", maintain_order=True).agg(pl.col("net_pnl", "contracts").sum())
    assert sums["contracts"].to_list() == found.trials()["contracts"].to_list()
    assert sums["net_pnl"].to_numpy() == pytest.approx(found.trials()["net_pnl"].to_numpy())


def test_a_desk_that_nothing_pays_for_stands_aside(hand, trading, swinging):
    dear = hand.market.model_copy(update={"maker_fee": Decimal(50), "taker_fee": Decimal(50)})
    tried = find(dear, trading, swinging[:1])
    best = tried.winner(0)
    assert (best["trial"][0], best["net_pnl_train"][0], best["dsr"][0]) == (0, 0.0, None)
    assert tried.trials()["net_pnl"].min() < 0
    assert tried.trials()["contracts"][0] == 0


def test_a_setting_that_earns_too_little_a_contract_is_not_chosen(hand, trading, swinging, found):
    worth = found.trials()["pnl_per_contract"]
    floor = sorted(worth.drop_nulls())[-2]
    chosen = found.winner(floor)["trial"][0]
    assert worth[chosen] >= floor
    assert found.winner(0)["net_pnl_train"][0] >= found.winner(floor)["net_pnl_train"][0]
    assert found.winner(worth.max() + 1)["trial"][0] == 0


def test_the_default_policy_is_among_the_trials(found):
    assert found.policies[:2] == [STAND_ASIDE, Policy()]
    assert all(low <= value <= high for value, (low, high) in ((getattr(Policy(), name), bounds) for name, bounds in RANGES.items()))


def test_a_window_without_a_trade_lets_the_desk_stand_aside(hand, trading):
    silent = [make_session(hand.quiet_market().tape(), *hand.signal_of((100, 0.0)), hand.hours)] * 2
    tried = find(hand.market, trading, silent)
    best = tried.winner(0)
    assert best.select("trial", "net_pnl_train", "sharpe_train", "dsr", "pbo").row(0) == (0, 0.0, None, None, None)
    check(tried.trials(), TuningTrials, "trials")


def test_more_trials_begin_with_the_same(hand, trading, swinging, found):
    more = find(hand.market, trading.model_copy(update={"tuning_trials": 14}), swinging)
    assert more.policies[:12] == found.policies


def test_a_search_that_is_killed_goes_on_and_finds_the_same(hand, trading, swinging, found, tmp_path):
    path, made = tmp_path / "search" / "period.jsonl", []
    ruled = [(session, make_rules(hand.market, trading, session)) for session in swinging]

    class Killed(BaseException):
        pass

    with open_backend("serial", ruled, 1) as replays:

        def counted(policies):
            if len(made) == 1 + BATCH:
                raise Killed
            made.extend(policies)
            return replays(policies)

        with pytest.raises(Killed):
            search(remembered(counted, path, fingerprint(ruled)), DAYS, trading)
        with path.open("ab") as file:
            file.write(b"[0.5, 1.0, [[1")  # a line that the kill cut short
        first, made = made, []
        resumed = search(remembered(counted, path, fingerprint(ruled)), DAYS, trading)
    assert resumed.trials().equals(found.trials())
    assert [*first, *made] == found.policies


def test_what_was_found_on_other_sessions_is_forgotten(hand, trading, swinging, tmp_path):
    path, made = tmp_path / "period.jsonl", []
    rules = [make_rules(hand.market, trading, session) for session in swinging]

    def counted(policies):
        made.extend(policies)
        return [[replay.Outcome(1, 2, 3, 4, 5)]] * len(policies)

    ruled = list(zip(swinging, rules, strict=True))
    for sessions, times in ((ruled, 1), (ruled, 1), (ruled[:1], 2), (ruled, 3)):
        assert remembered(counted, path, fingerprint(sessions))([Policy(), Policy()]) == [[replay.Outcome(1, 2, 3, 4, 5)]] * 2
        assert len(made) == times


def test_a_home_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "search").write_text("a file where the folder should be")
    with pytest.raises(FillsError, match="make room there, then run it again"):
        remembered(list, tmp_path / "search" / "period.jsonl", "0")


def test_a_window_of_holidays_is_refused(trading):
    with pytest.raises(FillsError, match="holiday"):
        search(list, [], trading)


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


@kernel
def every_decision(rows, ts, signal, room):
    """The replay without passing any decision over."""
    r = 0
    for i in range(len(ts)):
        r = advance(rows, r, ts[i], room)
        listen(wire.delayed(ts[i], room.rules.feed_delay), room)
        if r > 0:
            decide(rows[r - 1], ts[i], signal[i], room)
    advance(rows, r, room.rules.close_ns - 1, room)
    expire(room)


SMALL = st.floats(-1, 1)


@pytest.fixture(scope="module")
def dense(hand, swinging):
    """The swings with a decision at each row and no opinion in the third quarter: some stretches are passed over, some are not."""
    ts, quarter = swinging[0].tape.rows["ts"], np.arange(4).repeat(len(swinging[0].tape.rows) // 4 + 1)
    signal = swinging[0].signal[np.clip(np.searchsorted(swinging[0].ts, ts, side="right") - 1, 0, 59)]
    return make_session(swinging[0].tape, ts, np.where(quarter[: len(ts)] == 2, 0.0, signal), hand.hours)


wires = st.one_of(
    st.sampled_from([0.0, 20.0, 300.0]).map(lambda ms: {"latency_ms": ms}),
    st.floats(1, 500).map(lambda ms: {"delays": Delays(order=Delay(median_ms=ms, sigma=1.0))}),
)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    sparse=st.booleans(),
    threshold=SMALL,
    weights=st.tuples(SMALL, SMALL, SMALL, SMALL),
    style=st.integers(0, 2),
    loss_limit=st.integers(1, 50),
    wire_of=wires,
)
def test_decisions_passed_over_would_have_come_to_nothing(hand, swinging, dense, sparse, threshold, weights, style, loss_limit, wire_of):
    session, policy = swinging[0] if sparse else dense, Policy(threshold, *weights, 0.1, style)
    trading = Trading(max_position=2, daily_loss_limit=loss_limit, **wire_of)
    rules = make_rules(hand.market, trading, session)
    replayer = replay.Replayer()
    replayer.run(session, policy, rules)
    places, ladder = len(replayer._requests), np.zeros((2, session.tape.width, 2), np.int32)
    logs = [np.zeros(places, record) for record in (wire.ORDER, wire.REQUEST, wire.FILL)]
    room = wire.Room(ladder, *logs, np.zeros(1, wire.STATE)[0], rules[0], np.array([policy], POLICY)[0])
    every_decision(session.tape.rows, session.ts, session.signal, room)
    assert room.requests[: room.state["sent"]].tobytes() == replayer.requests.tobytes()
    assert room.fills[: room.state["fills"]].tobytes() == replayer.fills.tobytes()
