"""The search for a policy: every trial kept, the same for everyone, and free to stand aside."""

import dataclasses
import datetime as dt
from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from assets.desk import ALL, Trading
from assets.fills import replay, wire
from assets.fills.backends import open_backend
from assets.fills.errors import FillsError
from assets.fills.journal import fingerprint, remembered
from assets.fills.policy import Policy
from assets.fills.replay import make_rules, make_session
from assets.fills.schema import TrialSessions, TuningTrials
from assets.fills.tune import BATCH, RANGES, STAND_ASIDE, policy_of, search
from assets.lake import check

BUY, SELL = 1, -1


@pytest.fixture(scope="module")
def trading():
    return Trading(tuning_trials=12, max_position=2, daily_loss_limit=10_000)


DAYS = [dt.date(2026, 9, 17), dt.date(2026, 9, 18)]


def find(market, trading, sessions, indicators=(ALL,)):
    ruled = [(session, make_rules(market, trading, session)) for session in sessions]
    with open_backend("serial", ruled, 1) as replays:
        return search(replays, DAYS[: len(sessions)], trading, indicators)


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


def test_the_set_of_indicators_that_earns_most_is_chosen(hand, trading, swinging):
    """One set knows what comes, one knows nothing, one believes the opposite; each is tried with the same start."""
    known = [session.signals[ALL] for session in swinging]
    by_set = {ALL: 0.0, "knows": 1.0, "errs": -1.0}
    sessions = [
        dataclasses.replace(session, signals={name: knows * signal for name, knows in by_set.items()})
        for session, signal in zip(swinging, known, strict=True)
    ]
    tried = find(hand.market, trading.model_copy(update={"tuning_trials": 20}), sessions, [*by_set])
    assert tried.policies[1:4] == [Policy(indicators=name) for name in by_set]
    check(tried.trials(), TuningTrials, "trials")
    best = tried.winner(0)
    assert best["indicators"][0] == policy_of(best).indicators == "knows"
    assert set(tried.trials()[4:]["indicators"]) == {*by_set}


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


def test_a_log_too_short_is_lengthened_and_the_session_replayed(hand, swinging):
    session = swinging[0]
    rules = replay.make_rules(hand.market, Trading(), session)
    long, short = replay.Replayer(), replay.Replayer()
    short._memory = wire.Memory(16)
    policy = Policy(threshold=0.0)
    assert long.run(session, policy, rules) == short.run(session, policy, rules)
    assert len(long.requests) > 16
    for name in wire.REQUEST.names:
        assert np.array_equal(long.requests[name], short.requests[name], equal_nan=name == "score")
    assert np.array_equal(long.fills, short.fills)
