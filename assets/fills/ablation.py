"""What each part of the policy is worth: the policy without it, and simpler ways to trade, on the same sessions.

A *variant* is a way to trade. Those with something to choose choose it as the policy does, by net P&L on the training
sessions, but always trade. A score's threshold only means something beside its weights, so a policy without one of
its factors has its threshold chosen anew; its other weights stay.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import polars as pl

from assets.desk import NS, PRICE_UNIT, Market, Trading
from assets.fills.journal import Replays
from assets.fills.policy import SETTINGS, TAKE, TOUCH, Policy
from assets.fills.replay import Replayer, Session, make_rules
from assets.fills.tune import Search, settings

FULL: Final = "full"
RANDOM: Final = "random"

SHIFTS: Final = (0.0, -0.2, 0.2)
"""Ticks from the policy's own threshold: where that of a policy without a factor is looked for. A factor that did nothing leaves it."""

BLIND: Final = (-0.1, -0.3, -0.6)
"""Ticks: where the threshold is looked for without the prediction. Nothing else lifts a score above zero: from "only where there is
no queue" to nearly everywhere."""

SIGNALS: Final = (0.25, 0.5, 0.75, 1.0)
"""Ticks: where the threshold of the signals is looked for; a desk's prediction seldom passes one."""

_PREDICTION: Final = "prediction_weight"

COIN_NS: Final = 60 * NS
"""How long a coin's opinion lasts."""

STYLES: Final = ("scores", "touch", "take")
"""Names of the styles in `policy.py`, in their order."""


def variants(found: Search, chosen: Policy, market: Market, replays: Replays) -> pl.DataFrame:
    """Rows of `policy_variants`: each variant with the settings that it trades with.

    Args:
        found: the period's search; the policy that loses its factors is its best trial that traded at all.
        chosen: the policy of the period.
        market: its fees.
        replays: of the search's sessions.
    """
    trials = found.trials().filter(pl.col("contracts") > 0).sort(["net_pnl", "trial"], descending=[True, False])
    best = found.policies[trials["trial"][0]] if trials.height else Policy()
    candidates = {FULL: [chosen], **_without(best), **_simpler(market), RANDOM: [best]}
    open_choices = [policy for choices in candidates.values() if len(choices) > 1 for policy in choices]
    came = dict(zip(open_choices, replays(open_choices), strict=True))
    # Having traded first, then the net P&L; of equals the first choice.
    worth = {policy: (any(each.contracts for each in of), sum(each.net_pnl for each in of)) for policy, of in came.items()}
    rows = []
    for name, choices in candidates.items():
        policy = max(choices, key=lambda choice: worth.get(choice, (False, 0)))
        net = worth[policy][1] / PRICE_UNIT if len(choices) > 1 else None
        rows.append({"variant": name, "style": STYLES[policy.style], **settings(policy), "choices": len(choices), "net_pnl_train": net})
    return pl.DataFrame(rows, schema_overrides={"choices": pl.Int32, "net_pnl_train": pl.Float64})


def _without(best: Policy) -> dict[str, list[Policy]]:
    weights: dict[str, Any] = {name: 0.0 for name in SETTINGS if name.endswith("_weight")}
    removed: dict[str, dict[str, Any]] = {f"without_{name.removesuffix('_weight')}": {name: 0.0} for name in weights}
    removed["prediction_alone"] = weights | {_PREDICTION: best.prediction_weight}
    shifted = [best.threshold + shift for shift in SHIFTS]
    return {
        name: [best._replace(**gone, threshold=threshold) for threshold in (shifted if gone.get(_PREDICTION, 1) else BLIND)]
        for name, gone in removed.items()
    }


def _simpler(market: Market) -> dict[str, list[Policy]]:
    """Always quote at the touch; take when the prediction exceeds spread and fees, until it turns; hold what the signal says."""
    nothing = Policy(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    fees = 2 * float(market.taker_fee) * PRICE_UNIT / market.tick_value
    return {
        "touch": [nothing._replace(threshold=-1.0, style=TOUCH)],
        # Half a spread is paid on the way in and half on the way out.
        "take": [nothing._replace(prediction_weight=1.0, level_weight=2.0, threshold=fees, hysteresis=fees, style=TAKE)],
        "signals": [nothing._replace(prediction_weight=1.0, threshold=threshold, style=TAKE) for threshold in SIGNALS],
    }


def ablate(session: Session, chosen: Mapping[str, Policy], market: Market, trading: Trading, *, seed: int) -> pl.DataFrame:
    """Rows of `policy_ablation`: a session traded by each variant.

    Args:
        session: with the predictions that it was really traded on.
        chosen: policy by variant; `random` trades on a prediction whose direction a coin decides anew each minute.
        market, trading: tick, fees, delays and limits.
        seed: of the coin.
    """
    replayer, rules, rows = Replayer(), make_rules(market, trading, session), []
    for name, policy in chosen.items():
        traded = _tossed(session, seed) if name == RANDOM else session
        replayer.run(traded, policy, rules)
        rows.append({"variant": name, **replayer.figures()})
    return pl.DataFrame(rows)


def policies_of(rows: pl.DataFrame) -> dict[str, Policy]:
    """The policies that the rows of `policy_variants` hold, by variant."""
    told = rows.select("variant", "style", *SETTINGS).iter_rows(named=True)
    return {row.pop("variant"): Policy(**(row | {"style": STYLES.index(row["style"])})) for row in told}


def _tossed(session: Session, seed: int) -> Session:
    minutes = (session.ts - session.window.open_ns) // COIN_NS
    coins = np.random.default_rng(seed).choice([-1.0, 1.0], int(minutes[-1]) + 1 if len(minutes) else 0)
    signals = {name: signal * coins[minutes] for name, signal in session.signals.items()}
    return Session(session.tape, session.ts, signals, session.window)
