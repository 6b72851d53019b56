"""The policy without its parts, and simpler ways to trade: on a market whose signal knows, and on one whose signal does not."""

import datetime as dt

import numpy as np
import polars as pl
import pytest

from assets.desk import Trading
from assets.fills.ablation import STYLES, ablate, policies_of, variants
from assets.fills.policy import SETTINGS, TAKE, TOUCH, Policy
from assets.fills.replay import Outcome, Session, make_session
from assets.fills.schema import VARIANTS, PolicyAblation, PolicyVariants
from assets.fills.simulate import simulate
from assets.fills.tune import STAND_ASIDE, Search
from assets.lake import check

BUY, SELL = 1, -1
BEST = Policy(0.5, 1.0, -0.1, -0.2, 0.05, 0.1)
TRADING = Trading(max_position=2, daily_loss_limit=10_000)


def found(*policies: Policy) -> Search:
    """A search in which each policy earned more than the one before; one that stands aside did not trade."""
    outcomes = [[Outcome(number * 10**9, 0 if policy == STAND_ASIDE else 9, 9, 9, 0)] for number, policy in enumerate(policies)]
    return Search(list(policies), outcomes, [dt.date(2026, 9, 18)])


def earning(settle):
    """Replays that come to what a function says of each policy, and what they were asked."""
    asked = []

    def replays(policies):
        asked.extend(policies)
        return [[Outcome(settle(policy), 1, 1, 1, 0)] for policy in policies]

    return replays, asked


@pytest.fixture(scope="module")
def rising(hand):
    """A market that falls and rises by three ticks every ten seconds and trades on both sides in between; a signal that knows."""
    steps = [(1_000.0 + 10_000 * k + 1_000 * j, 3.0 if k % 2 == 0 else -3.0) for k in range(40) for j in range(9)]
    return hand.swinging_market(40, 10_000, size=20, traded=25), hand.signal_of(*steps)


@pytest.fixture(scope="module")
def session(hand, rising) -> Session:
    stream, signal = rising
    return make_session(stream.tape(), *signal, hand.hours)


def test_every_variant_is_there_with_its_settings(hand):
    rows = variants(found(STAND_ASIDE, BEST), BEST, hand.market, earning(lambda _: 0)[0])
    check(rows, PolicyVariants, "policy_variants")
    assert tuple(rows["variant"]) == VARIANTS
    of = policies_of(rows)
    assert of["full"] == of["random"] == BEST
    for factor in ("prediction", "level", "ahead", "behind"):
        alike = [name for name in SETTINGS if getattr(of[f"without_{factor}"], name) == getattr(BEST, name)]
        assert set(SETTINGS) - set(alike) - {"threshold"} == {f"{factor}_weight"}
        assert getattr(of[f"without_{factor}"], f"{factor}_weight") == 0
    alone = of["prediction_alone"]
    assert (alone.prediction_weight, alone.level_weight, alone.ahead_weight, alone.behind_weight) == (1.0, 0.0, 0.0, 0.0)
    assert [STYLES[of[name].style] for name in ("touch", "take", "signals")] == ["touch", "take", "take"]
    # Both fees of a round trip, in ticks: one tick is worth 1, and a contract costs 0.3 a time.
    assert of["take"].threshold == pytest.approx(0.6)


def test_a_threshold_is_chosen_on_the_training_sessions(hand):
    replays, asked = earning(lambda policy: -round(abs(policy.threshold - 0.31) * 10**9))
    rows = variants(found(BEST), BEST, hand.market, replays)
    of = policies_of(rows)
    assert of["without_ahead"].threshold == pytest.approx(0.3)
    assert of["signals"].threshold == 0.25
    chosen_from = {name: n for name, n in rows.select("variant", "choices").iter_rows() if n > 1}
    assert sum(chosen_from.values()) == len(asked) == 5 * 3 + 4
    assert rows.filter(variant="without_ahead")["net_pnl_train"][0] == pytest.approx(-0.01)


def test_a_variant_trades_even_where_standing_aside_would_have_been_better(hand):
    def replays(policies):
        return [[Outcome(-(10**9), 1, 1, 1, 0) if policy.threshold < -0.5 else Outcome(0, 0, 0, 0, 0)] for policy in policies]

    assert policies_of(variants(found(BEST), BEST, hand.market, replays))["without_prediction"].threshold == -0.6


def test_a_factor_that_did_nothing_changes_nothing(hand):
    idle = BEST._replace(behind_weight=0.0)
    of = policies_of(variants(found(idle), idle, hand.market, earning(lambda _: 0)[0]))
    assert of["without_behind"] == idle


def test_a_desk_that_stands_aside_loses_the_factors_of_its_best_trial_that_traded(hand):
    of = policies_of(variants(found(Policy(), BEST, STAND_ASIDE), STAND_ASIDE, hand.market, earning(lambda _: 0)[0]))
    assert of["full"] == STAND_ASIDE
    assert of["without_ahead"].level_weight == of["random"].level_weight == BEST.level_weight


def test_a_session_is_traded_by_each(hand, session, rising):
    stream, signal = rising
    take = Policy(0.6, 1.0, 2.0, 0.0, 0.0, 0.6, TAKE)
    chosen = {"full": BEST, "touch": Policy(-1.0, 0, 0, 0, 0, 0, TOUCH), "take": take, "random": BEST}
    rows = ablate(session, chosen, hand.market, TRADING, seed=1)
    check(rows, PolicyAblation, "policy_ablation")
    by = {row["variant"]: row for row in rows.iter_rows(named=True)}
    traded = simulate(stream.frame(), *signal, market=hand.market, trading=TRADING, policy=BEST, window=hand.hours)
    assert by["full"]["net_pnl"] == traded.outcome.net_pnl / 1e9
    assert by["full"]["fees"] == pytest.approx(traded.fills["fee"].sum() / 1e9)
    assert by["full"]["maker_contracts"] == traded.fills.filter(liquidity="maker")["quantity"].sum()
    assert by["take"]["maker_contracts"] == 0 < by["take"]["contracts"]
    # The signal knows: whoever follows it earns, whoever tosses a coin earns less.
    assert by["take"]["net_pnl"] > 0
    assert by["full"]["net_pnl"] > by["random"]["net_pnl"]


def test_a_coin_repeats_itself_and_leaves_the_size_of_the_prediction(hand, session):
    rows = [ablate(session, {"random": BEST, "full": BEST}, hand.market, TRADING, seed=seed) for seed in (1, 1, 2)]
    assert rows[0].equals(rows[1])
    assert not rows[0].equals(rows[2])
    assert rows[0].row(1) == rows[2].row(1)


def test_a_session_without_decisions_is_nobodys(hand):
    silent = make_session(hand.quiet_market().tape(), np.empty(0, np.int64), np.empty(0), hand.hours)
    rows = ablate(silent, {"full": BEST, "random": BEST}, hand.market, TRADING, seed=1)
    assert rows.select(pl.exclude("variant")).sum().row(0) == (0, 0, 0, 0, 0, 0)
