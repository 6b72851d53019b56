"""What a series of sessions proves, and how much of it is left after so many tries.

Session P&L comes as an array, one number a session, in any one unit. A figure that the series is too short or too flat
to carry is None, never a zero that looks like a result.
"""

import math
from collections.abc import Sequence
from itertools import combinations
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

Pnl = npt.NDArray[np.float64]

BLOCKS: Final = 10
"""Stretches that the sessions are cut into for PBO: 252 ways to choose half of them; twenty sessions make blocks of two."""

_NORMAL: Final = NormalDist()
_EULER_GAMMA: Final = 0.5772156649015329


FLAT: Final = 1e-9
"""Of the largest value of a series: a deviation below it is what rounding leaves of none."""


def deviation(pnl: Pnl) -> float:
    """Standard deviation (n - 1); 0 where the values are one and the same, but for rounding, and where there are fewer than two."""
    spread = float(np.std(pnl, ddof=1)) if len(pnl) > 1 else 0.0
    return spread if spread > FLAT * float(np.abs(pnl).max(initial=0.0)) else 0.0


def sharpe(pnl: Pnl, per_year: int = 1) -> float | None:
    """Mean over standard deviation (n - 1) of session P&L, times sqrt(per_year); the riskless rate is taken as zero."""
    spread = deviation(pnl)
    return float(np.mean(pnl)) / spread * math.sqrt(per_year) if spread > 0 else None


def sharpe_and_scale(pnl: Pnl) -> tuple[float, float] | None:
    """Sharpe per session, and sqrt(1 - g3 SR + (g4 - 1)/4 SR^2), which over sqrt(T - 1) is its standard error (Mertens 2002)."""
    ratio = sharpe(pnl)
    if ratio is None:
        return None
    centred = pnl - np.mean(pnl)
    spread = math.sqrt(float(np.mean(centred**2)))
    skew, kurtosis = (float(np.mean(centred**power)) / spread**power for power in (3, 4))
    variance = 1 - skew * ratio + (kurtosis - 1) / 4 * ratio**2
    return (ratio, math.sqrt(variance)) if variance > 0 else None


def probabilistic_sharpe(pnl: Pnl, benchmark: float = 0.0) -> float | None:
    """Probability that the true Sharpe ratio per session is above a benchmark (Bailey and Lopez de Prado 2012).

    Phi((SR - SR0) sqrt(T - 1) / sqrt(1 - g3 SR + (g4 - 1)/4 SR^2)), g4 the raw kurtosis.
    """
    estimate = sharpe_and_scale(pnl)
    if estimate is None:
        return None
    ratio, scale = estimate
    return _NORMAL.cdf((ratio - benchmark) * math.sqrt(len(pnl) - 1) / scale)


def expected_best_sharpe(trials: int, spread: float) -> float:
    """Sharpe that the best of N worthless trials is expected to show (Bailey and Lopez de Prado 2014).

    SR0 = sd(SR) ((1 - gamma) z(1 - 1/N) + gamma z(1 - 1/(N e))), sd(SR) the spread of the trials' Sharpe ratios.
    """
    if trials < 2:
        return 0.0
    quantile = _NORMAL.inv_cdf
    return spread * ((1 - _EULER_GAMMA) * quantile(1 - 1 / trials) + _EULER_GAMMA * quantile(1 - 1 / (trials * math.e)))


def deflated_sharpe(pnl: Pnl, tried: Sequence[Pnl]) -> tuple[float | None, int]:
    """Probability that the winner's true Sharpe ratio is above zero, given all that was tried (Bailey and Lopez de Prado 2014).

    `probabilistic_sharpe` against the best Sharpe expected of as many worthless trials, their spread measured on the trials
    themselves. Trials that never traded have no Sharpe and are no tries. Trials of one search resemble each other, so they count
    for more than they are: the figure is too low rather than too high.

    Args:
        pnl: the winner's session P&L.
        tried: session P&L of every trial, the winner's among them.

    Returns:
        The probability, and how many trials it counted: those that have a Sharpe ratio.
    """
    ratios = np.array([ratio for ratio in map(sharpe, tried) if ratio is not None])
    return probabilistic_sharpe(pnl, expected_best_sharpe(len(ratios), deviation(ratios))), len(ratios)


def overfitting_probability(pnl: npt.NDArray[np.float64], blocks: int = BLOCKS) -> float | None:
    """PBO: how often the best of the trials on one half of the sessions is below their median on the other half.

    Combinatorially symmetric cross-validation (Bailey, Borwein, Lopez de Prado and Zhu 2015): the sessions are cut into
    consecutive blocks; each choice of half of them is a training set, the rest its test set. With n the winner's rank in
    the test set, 1 the worst of N, omega = n / (N + 1) and PBO = share of choices with log(omega / (1 - omega)) <= 0. Net P&L
    decides in both halves, as it does in the search. Equals share their rank; of equals in training the first wins.

    Args:
        pnl: float64[sessions, trials].
        blocks: at most so many, and an even number no larger than the sessions.

    Returns:
        None with fewer than four sessions, or trials that are all the same: there is nothing to cut, or nothing to choose from.
    """
    sessions, trials = pnl.shape
    blocks = min(blocks, sessions) // 2 * 2
    if blocks < 4 or (pnl == pnl[:, :1]).all():
        return None
    sums = np.array([block.sum(axis=0) for block in np.array_split(pnl, blocks)])
    chosen = np.zeros((math.comb(blocks, blocks // 2), blocks))
    for row, half in enumerate(combinations(range(blocks), blocks // 2)):
        chosen[row, half] = 1
    trained, tested = chosen @ sums, (1 - chosen) @ sums
    best = np.argmax(trained, axis=1)
    own = np.take_along_axis(tested, best[:, None], axis=1)
    # The mean of the ranks that equals take up: those below, and half of the equals with the winner itself.
    rank = (tested < own).sum(axis=1) + ((tested == own).sum(axis=1) + 1) / 2
    return float(np.mean(rank / (trials + 1) <= 0.5))
