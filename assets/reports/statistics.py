"""What a series of sessions says: return, risk, and how likely it is that it was luck.

Every function takes daily P&L as an array, one number a session, in any one unit. A figure that the
series is too short or too flat to carry is None, never a zero that looks like a result.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
import polars as pl
from scipy.special import stdtr, stdtrit

from assets.desk import Desk
from assets.fills.evidence import FLAT, Pnl, deviation, sharpe, sharpe_and_scale

SESSIONS_A_YEAR: Final = 252
"""Sessions of a weekday market in a year, the usual base of an annual Sharpe ratio."""

DAYS_A_YEAR: Final = 365
"""Sessions of a market that never closes."""

_NORMAL: Final = NormalDist()


def sessions_a_year(desk: Desk) -> int:
    """The factor that makes a figure of the desk's sessions annual."""
    return DAYS_A_YEAR if desk.every_day else SESSIONS_A_YEAR


def sortino(pnl: Pnl, per_year: int = 1) -> float | None:
    """Mean over the root mean square of the losing sessions (zero for the others), times sqrt(per_year)."""
    downside = math.sqrt(float(np.mean(np.minimum(pnl, 0.0) ** 2))) if len(pnl) else 0.0
    return float(np.mean(pnl)) / downside * math.sqrt(per_year) if downside > 0 else None


@dataclass(frozen=True)
class Drawdown:
    """The deepest fall of cumulative P&L: the sessions (by index) after which it stood at peak and trough; peak -1 is the start."""

    depth: float
    peak: int
    trough: int


def max_drawdown(pnl: Pnl) -> Drawdown | None:
    """Deepest fall of cumulative P&L below its highest point so far, zero at the start included; None if it never fell."""
    worth = np.concatenate([[0.0], np.cumsum(pnl)])
    below = np.maximum.accumulate(worth) - worth
    trough = int(np.argmax(below))
    if below[trough] <= 0:
        return None
    return Drawdown(float(below[trough]), int(np.argmax(worth[: trough + 1])) - 1, trough - 1)


def t_statistic(pnl: Pnl) -> float | None:
    """Of the hypothesis that mean session P&L is zero: Sharpe per session times sqrt(sessions)."""
    ratio = sharpe(pnl)
    return None if ratio is None else ratio * math.sqrt(len(pnl))


def chance(pnl: Pnl) -> float | None:
    """Chance of a mean session P&L at least this high where the true mean is zero: Student's t with sessions - 1 degrees of freedom.

    A session is one observation. Its round trips are not: they share the session's position and the market's move.
    """
    value = t_statistic(pnl)
    return None if value is None else float(stdtr(len(pnl) - 1, -value))


def mean_interval(pnl: Pnl, level: float = 0.95) -> tuple[float, float] | None:
    """Interval of mean session P&L: mean -+ t s / sqrt(n), t the quantile of Student's t with n - 1 degrees of freedom (Student 1908).

    A session is one observation: what happens within one hangs together. Of normal sessions the interval covers the true mean as often
    as it says, however few they are; of ten exponential ones, about 90 % instead of 95 %.
    """
    spread = deviation(pnl)
    if spread == 0:
        return None
    mean, reach = float(np.mean(pnl)), float(stdtrit(len(pnl) - 1, (1 + level) / 2)) * spread / math.sqrt(len(pnl))
    return mean - reach, mean + reach


def sessions_to_convince(pnl: Pnl, level: float = 0.95) -> int | None:
    """Sessions after which a Sharpe ratio like this one is above zero at the given level (minimum track record length).

    1 + (1 - g3 SR + (g4 - 1)/4 SR^2) (z / SR)^2, rounded up; None for a Sharpe that is not above zero: no record would do.
    """
    estimate = sharpe_and_scale(pnl)
    if estimate is None or estimate[0] <= 0:
        return None
    ratio, scale = estimate
    return math.ceil(1 + (scale * _NORMAL.inv_cdf(level) / ratio) ** 2)


def bases(reports: pl.DataFrame) -> tuple[float | None, float | None]:
    """What returns are of: the most that was held, and one contract at the first session's first mid.

    The most is the largest worth of any session: its most contracts times one at its first mid. None without a position, or
    without a price: nothing was at stake, so nothing has a return on it.
    """
    most = float((reports["max_position"] * reports["notional"]).to_numpy().max(initial=0.0))
    one = float(reports["notional"][0]) if reports.height else 0.0
    return most or None, one or None


def returns(reports: pl.DataFrame) -> pl.DataFrame:
    """Cumulative return after each session on its base: session; net and gross of the most that was held; held of one contract."""
    most, one = (pl.lit(base, pl.Float64) for base in bases(reports))
    return reports.select(
        "session",
        net=pl.col("net_pnl").cum_sum() / most,
        gross=pl.col("gross_pnl").cum_sum() / most,
        held=pl.col("hold_pnl").cum_sum() / one,
    )


def scoreboard(reports: pl.DataFrame, every: str, per_year: int = SESSIONS_A_YEAR) -> pl.DataFrame:
    """Reports added up by calendar stretch.

    Args:
        reports: rows of `performance_report`, each with its `session` (date).
        every: "1w" for weeks, keyed by their Monday, "1mo" for months, keyed by their first day.
        per_year: sessions in a year, for the Sharpe ratio.

    Returns:
        A row a stretch in which there was a session; a share or ratio with nothing to divide by is null.
    """
    share = pl.when(pl.col("contracts").sum() > 0).then(pl.col("maker_contracts").sum() / pl.col("contracts").sum())
    cancelled = pl.when(pl.col("orders").sum() > 0).then(pl.col("cancelled").sum() / pl.col("orders").sum())
    spread = pl.col("net_pnl").std()
    varies = spread > FLAT * pl.col("net_pnl").abs().max()
    start = {"1w": "week", "1mo": "month"}[every]
    return (
        reports.sort("session")
        .group_by(pl.col("session").dt.truncate(every).alias(start), maintain_order=True)
        .agg(
            sessions=pl.len().cast(pl.Int64),
            net_pnl=pl.col("net_pnl").sum(),
            gross_pnl=pl.col("gross_pnl").sum(),
            fees=pl.col("fees").sum(),
            trades_a_day=pl.col("fills").mean(),
            maker_share=share,
            cancelled_share=cancelled,
            sharpe=pl.when(varies).then(pl.col("net_pnl").mean() / spread * math.sqrt(per_year)),
            worst_day=pl.col("net_pnl").min(),
            hold_pnl=pl.col("hold_pnl").sum(),
            r2=pooled_r2(),
        )
    )


def weekly_table(reports: pl.DataFrame, per_year: int = SESSIONS_A_YEAR) -> pl.DataFrame:
    """`scoreboard` by week, the columns of the summary: what came of each week, and whether the prediction was worth anything in it."""
    columns = ["week", "sessions", "net_pnl", "trades_a_day", "maker_share", "cancelled_share", "sharpe", "worst_day", "r2"]
    return scoreboard(reports, "1w", per_year).select(columns)


def pooled_r2() -> pl.Expr:
    """R2 of all rows of all sessions together: 1 - sum of squared errors / sum of squared labels."""
    errors = (pl.col("mse") * pl.col("rows_scored")).sum()
    squares = pl.col("label_square").filter(pl.col("mse").is_not_null()).sum()
    return pl.when(squares > 0).then(1 - errors / squares)
