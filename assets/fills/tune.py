"""Choosing the policy of a period: many settings traded on the training sessions, the best net P&L wins.

The search is Optuna's TPE, seeded, in batches of a fixed size: the same sessions give the same trials wherever and
by however many workers they are replayed. Trial 0 stands aside, so a desk that nothing pays for does not trade; then comes
the policy's default, once with each set of indicators. Every trial is kept, session by session: the winner is the best of
many, and what that flatters can only be told by who knows what the others did.

P&L a contract is the second goal, as a floor: a setting that earned less than `min_pnl_per_contract` is not chosen, and the
search is told its net P&L less what it lacks.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import optuna
import polars as pl

from assets.desk import ALL, PRICE_UNIT, Trading
from assets.fills.errors import FillsError
from assets.fills.evidence import deflated_sharpe, overfitting_probability, sharpe
from assets.fills.journal import Replays
from assets.fills.policy import SETTINGS, Policy
from assets.fills.replay import Outcome

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

BATCH: Final = 8
"""Trials suggested before any of them is known, so that they can be replayed side by side. Fixed, and not the number
of workers, or the search would depend on the machine."""

_SEED: Final = 0
"""Of the sampler; the sessions make the difference between periods, the seed does not."""


@dataclass(frozen=True)
class Search:
    """Every setting tried on a period's training sessions, and what came of it."""

    policies: list[Policy]
    outcomes: list[list[Outcome]]
    """By trial, then by session."""
    sessions: list[dt.date]

    @property
    def net_pnl(self) -> np.ndarray:
        """float64[sessions, trials], currency."""
        return np.array([[outcome.net_pnl / PRICE_UNIT for outcome in trial] for trial in self.outcomes]).T

    def trials(self) -> pl.DataFrame:
        """Rows of `tuning_trials`, in the order in which they were tried."""
        rows = []
        for number, (policy, outcomes) in enumerate(zip(self.policies, self.outcomes, strict=True)):
            net, contracts = _sums(outcomes)
            ratio = sharpe(self.net_pnl[:, number])
            rows.append(
                {"trial": number, **settings(policy), "net_pnl": net, "contracts": contracts}
                | {"pnl_per_contract": net / contracts if contracts else None, "sharpe": ratio}
            )
        return pl.DataFrame(rows, schema_overrides={"trial": pl.Int32, "pnl_per_contract": pl.Float64, "sharpe": pl.Float64})

    def by_session(self) -> pl.DataFrame:
        """Rows of `trial_sessions`, by trial and session."""
        rows = [
            (number, session, outcome.net_pnl / PRICE_UNIT, outcome.contracts)
            for number, outcomes in enumerate(self.outcomes)
            for session, outcome in zip(self.sessions, outcomes, strict=True)
        ]
        return pl.DataFrame(rows, {"trial": pl.Int32, "session": pl.Date, "net_pnl": pl.Float64, "contracts": pl.Int64}, orient="row")

    def winner(self, floor: float) -> pl.DataFrame:
        """The row of `quoting_policy`: of the trials with that P&L a contract the best net P&L, of equals the one that trades least.

        Standing aside has no contracts and is always allowed.
        """
        trials = self.trials()
        allowed = trials.filter(pl.col("pnl_per_contract").is_null() | (pl.col("pnl_per_contract") >= floor))
        best = allowed.sort(["net_pnl", "contracts", "trial"], descending=[True, False, False]).head(1)
        pnl = self.net_pnl
        dsr, counted = deflated_sharpe(pnl[:, best["trial"][0]], list(pnl.T))
        return best.select(
            "trial",
            pl.lit(trials.height, pl.Int32).alias("trials"),
            *SETTINGS,
            pl.col("net_pnl").alias("net_pnl_train"),
            pl.col("sharpe").alias("sharpe_train"),
            pl.lit(dsr, pl.Float64).alias("dsr"),
            pl.lit(counted, pl.Int32).alias("dsr_trials"),
            pl.lit(overfitting_probability(pnl), pl.Float64).alias("pbo"),
        )


def search(replays: Replays, sessions: Sequence[dt.date], trading: Trading, indicators: Sequence[str] = (ALL,)) -> Search:
    """Try `tuning_trials` settings on the training sessions.

    Args:
        replays: each session with predictions of models that were fitted without it.
        sessions: their trade dates, in the order in which `replays` has them.
        trading: how many trials, and the floor of P&L a contract.
        indicators: sets of them whose predictions the sessions have.

    Raises:
        FillsError: there is no session to try a setting on.
    """
    if not sessions:
        raise FillsError("there is no training session to tune the policy on: every session of the window is a holiday")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=_SEED, constant_liar=True)  # suggestions of a batch keep away from one another
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for name in indicators:
        study.enqueue_trial(settings(Policy(indicators=name)))
    policies, outcomes = [STAND_ASIDE], replays([STAND_ASIDE])
    while len(policies) < trading.tuning_trials:
        asked = [study.ask() for _ in range(min(BATCH, trading.tuning_trials - len(policies)))]
        batch = [_suggested(trial, indicators) for trial in asked]
        came = replays(batch)
        for trial, of_sessions in zip(asked, came, strict=True):
            net, contracts = _sums(of_sessions)
            study.tell(trial, net - max(0.0, float(trading.min_pnl_per_contract) * contracts - net))
        policies += batch
        outcomes += came
    return Search(policies, outcomes, list(sessions))


def _suggested(trial: optuna.Trial, indicators: Sequence[str]) -> Policy:
    numbers = {name: trial.suggest_float(name, *bounds) for name, bounds in RANGES.items()}
    return Policy(**numbers, indicators=trial.suggest_categorical("indicators", indicators))


def policy_of(row: pl.DataFrame) -> Policy:
    """The policy that a row of `quoting_policy` holds."""
    return Policy(**row.select(SETTINGS).row(0, named=True))


def settings(policy: Policy) -> dict[str, Any]:
    """What of a policy a search chooses, by name."""
    return {name: getattr(policy, name) for name in SETTINGS}


def _sums(outcomes: Sequence[Outcome]) -> tuple[float, int]:
    """Net P&L in currency, and contracts, of all sessions together."""
    return sum(outcome.net_pnl for outcome in outcomes) / PRICE_UNIT, sum(outcome.contracts for outcome in outcomes)
