"""Choosing the policy of a period: many settings traded on the training sessions, the best net P&L wins.

The search is Optuna's TPE, seeded, one suggestion after another: the same sessions give the same trials
wherever they are run. Trial 0 stands aside, so a desk that nothing pays for does not trade; trial 1 is
the policy's default. Every trial is kept: the winner is the best of many, and what that flatters can only
be told by who knows how many.
"""

from collections.abc import Sequence
from typing import Final

import optuna
import polars as pl

from assets.desk import PRICE_UNIT, Market, Trading
from assets.fills.backends import open_backend
from assets.fills.errors import FillsError
from assets.fills.policy import Policy
from assets.fills.replay import Session, make_rules

STAND_ASIDE: Final = Policy(threshold=1000.0)
"""No score reaches a thousand ticks."""

RANGES: Final[dict[str, tuple[float, float]]] = {
    "threshold": (0.0, 1.0),
    "prediction_weight": (0.5, 2.0),
    "level_weight": (-0.2, 0.4),
    "ahead_weight": (-0.25, 0.0),
    "behind_weight": (0.0, 0.15),
    "hysteresis": (0.0, 0.5),
}
"""Where each setting is searched, in ticks or ticks a unit (`policy.py`). The scale is that of a prediction weight
of 1, so a threshold is about the predicted move for which one would quote: more than a tick is hardly ever predicted
ten seconds ahead. A queue ahead is never welcome and one behind never feared, so their signs are fixed."""

_SEED: Final = 0
"""Of the sampler; the sessions make the difference between periods, the seed does not."""


def tune(sessions: Sequence[Session], *, market: Market, trading: Trading, workers: int = 1) -> pl.DataFrame:
    """Rows of `tuning_trials`, in the order in which they were tried.

    Args:
        sessions: training sessions, each with predictions of a model that was fitted without it.
        market, trading: tick, fees, delays and limits.
        workers: processes that a trial's sessions are spread over, where `trading.tuning_backend` is `processes`.

    Raises:
        FillsError: there is no session to try a setting on, or no such backend.
    """
    if not sessions:
        raise FillsError("there is no training session to tune the policy on: every session of the window is a holiday")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=_SEED, n_startup_trials=min(10, trading.tuning_trials))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.enqueue_trial(_searched(Policy()))
    rows = []
    with open_backend(trading.tuning_backend, [(session, make_rules(market, trading, session)) for session in sessions], workers) as replay:
        for number in range(trading.tuning_trials):
            if number == 0:
                policy, trial = STAND_ASIDE, None
            else:
                trial = study.ask()
                policy = Policy(**{name: trial.suggest_float(name, *bounds) for name, bounds in RANGES.items()})
            outcomes = replay(policy)
            net = sum(outcome.net_pnl for outcome in outcomes)
            contracts = sum(outcome.contracts for outcome in outcomes)
            if trial is not None:
                study.tell(trial, net / PRICE_UNIT)
            rows.append(
                {"trial": number, **policy._asdict(), "net_pnl": net / PRICE_UNIT, "contracts": contracts}
                | {"pnl_per_contract": net / PRICE_UNIT / contracts if contracts else None}
            )
    return pl.DataFrame(rows, schema_overrides={"trial": pl.Int32, "pnl_per_contract": pl.Float64})


def winner(trials: pl.DataFrame) -> pl.DataFrame:
    """The row of `quoting_policy`: the trial with the best net P&L, of equals the one that trades least."""
    best = trials.sort(["net_pnl", "contracts", "trial"], descending=[True, False, False]).head(1)
    return best.select(
        "trial",
        pl.lit(trials.height, pl.Int32).alias("trials"),
        *Policy._fields,
        pl.col("net_pnl").alias("net_pnl_train"),
    )


def policy_of(row: pl.DataFrame) -> Policy:
    """The policy that a row of `quoting_policy` holds."""
    return Policy(**row.select(Policy._fields).row(0, named=True))


def _searched(policy: Policy) -> dict[str, float]:
    return {name: value for name, value in policy._asdict().items() if name in RANGES}
