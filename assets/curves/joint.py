"""The seed's joint damped fit, on sums alone: one smooth odd curve an indicator, all fitted together.

A curve is piecewise linear in the bucket's number, that is in log |indicator|, with KNOTS knots: its
bucket values are H a, a the knots' values in ticks. One pass draws for every indicator j at once the
curve through what the others leave of the label,

    f_j = (H'N_j H + L_j)^-1 H'Z_j'(y - sum over i != j of Z_i H a_i),      a_j <- a_j + step (f_j - a_j),

N_j = Z_j'Z_j the counts of its buckets, until no value moves: damped Jacobi backfitting. L_j = penalty_j
* rows / KNOTS * D'D + 0.003 H'N_j H, D the first differences along the knots beginning with the step
from zero: a knot of few rows leans on its neighbours, with nothing to say the curve is zero, and
indicators that say the same share it. At rest
(H'Z'Z H + Lambda) a = H'Z'y, the penalised least-squares fit of all curves, so that each holds only what
the others do not explain.

The passes converge while step * lambda_max < 2, lambda_max the top eigenvalue of the joint operator
(Buja, Hastie, Tibshirani 1989, "Linear smoothers and additive models"). The step is the seed's 30 %
unless that comes too near; then it is cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeVar

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from assets.curves.statistics import BUCKETS, Floats, Statistics, add

KNOTS: Final = 17
"""One in three buckets. On an additive signal in heavy noise 13 to 50 knots reach the same R2; the work grows as the cube."""

STEP: Final = 0.3
"""The seed's damping."""

_STABLE: Final = 1.8
"""step * lambda_max stays below this: 2 diverges, and the power iteration's estimate comes from below."""

_POWER_ITERATIONS: Final = 50
"""Brings lambda_max to within 1 % for indicators correlated by 0 to 0.9."""

_TOLERANCE: Final = 1e-6
"""Ticks. A curve that moves by less in a pass is at rest; a half tick is the smallest move of a mid."""

_MAX_PASSES: Final = 5000
"""A bound for indicators that are nearly copies of one another; the model's `residual` tells what was left."""

PENALTIES: Final = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3, 1e4)
"""Candidates for held-out sessions to choose from, from hardly smoothed to almost zero. A decade moves R2 by 0.3 % of itself."""

UNTESTED_PENALTY: Final = 100.0
"""Where one session leaves nothing to hold out: cautious, as one session's overlapping labels are a small sample."""

_MODESTY: Final = 0.003
"""Shrinks every curve a little, so that two indicators of equal sign (skew and weighted mid) cannot cancel each other at no cost; the
passes need a tenth of their number, and R2 loses 0.04 % of itself on the simulated exchange."""

_SWEEPS: Final = 2
"""Rounds over the indicators' penalties: a third changes nothing that held-out sessions notice."""

_FOLDS: Final = 4
"""Consecutive stretches of the window that are held out in turn; weeks, where the window is four weeks."""

_one_thread = ThreadpoolController().wrap(limits=1, user_api="blas")
"""For functions that multiply matrices: the number of threads would otherwise show in the last bits."""

T = TypeVar("T")


@dataclass(frozen=True)
class Fit:
    """Curves at rest, and how the passes went."""

    value: Floats  # [P] of each bucket, in ticks
    passes: int
    step: float
    lambda_max: float
    residual: float  # largest change of a knot in the last pass, ticks


@dataclass(frozen=True)
class _Knotted:
    """The sums of a design whose curves are piecewise linear: K = KNOTS columns an indicator, Q in all."""

    gram: Floats  # [Q, Q] H'Z'Z H
    label_sum: Floats  # [Q] H'Z'y
    rows: int

    def __sub__(self, other: "_Knotted") -> "_Knotted":
        return _Knotted(self.gram - other.gram, self.label_sum - other.label_sum, self.rows - other.rows)

    @property
    def roughness(self) -> Floats:
        """What a penalty of 1 adds to L, [K, K]."""
        difference = np.eye(KNOTS) - np.eye(KNOTS, k=-1)
        return self.rows / KNOTS * difference.T @ difference

    def normal_matrix(self, penalties: Floats) -> Floats:
        """H'Z'Z H + Lambda, [Q, Q]."""
        normal = self.gram.copy()
        for j, penalty in enumerate(penalties):
            own = slice(j * KNOTS, (j + 1) * KNOTS)
            normal[own, own] += _MODESTY * normal[own, own] + penalty * self.roughness
        return normal

    def solve(self, penalties: Floats, sums: Floats) -> Floats:
        """(H'Z'Z H + Lambda)^-1 sums, by Cholesky."""
        factor = cho_factor(self.normal_matrix(penalties), lower=True, overwrite_a=True, check_finite=False)
        return cho_solve(factor, sums, check_finite=False)


@_one_thread
def damped_fit(statistics: Statistics, penalties: Floats, *, step: float = STEP) -> Fit:
    """The joint fit in damped passes from zero, on at least one row; `step` is cut where it would diverge."""
    knotted = _knotted(statistics)
    normal = knotted.normal_matrix(penalties)
    each = np.arange(len(penalties))
    own = normal.reshape(len(each), KNOTS, len(each), KNOTS)[each, :, each, :]
    smoothers = np.asarray(np.linalg.inv(own), np.float64)  # (H'N_j H + L_j)^-1 of each indicator
    top = _lambda_max(normal, smoothers)
    step = min(step, _STABLE / top)
    knots, passes, residual = np.zeros(len(normal)), 0, np.inf
    while residual > _TOLERANCE and passes < _MAX_PASSES:
        change = step * _smooth(smoothers, knotted.label_sum - normal @ knots)
        knots += change
        passes, residual = passes + 1, float(np.abs(change).max())
    return Fit(_buckets(knots), passes, step, top, residual)


@_one_thread
def direct_fit(statistics: Statistics, penalties: Floats) -> Floats:
    """Where the passes come to rest: the bucket values of the penalised least-squares fit, [P] ticks."""
    knotted = _knotted(statistics)
    return _buckets(knotted.solve(penalties, knotted.label_sum))


@_one_thread
def choose_penalties(parts: Sequence[Statistics]) -> tuple[Floats, float | None]:
    """An indicator's penalty each, [p], by the R2 over held-out stretches of the parts; and that R2.

    First the best that all share, then, indicator by indicator, the best of each beside the others'. With one part nothing can be
    held out: the default, and None.

    Args:
        parts: sessions, or stretches at least one horizon apart, in the order of time, each with rows.
    """
    p = len(parts[0].names)
    if len(parts) == 1:
        return np.full(p, UNTESTED_PENALTY), None
    folds = [add(stretch) for stretch in stretches(parts)]
    total, held_out = _knotted(add(folds)), [_knotted(fold) for fold in folds]
    moved = sum(fold.label_square for fold in folds)
    penalties = np.full(p, _shared_penalty(total, held_out))
    trials = [_Trial(total - fold, fold, penalties) for fold in held_out]
    for _ in range(_SWEEPS):
        for j in range(p):
            best = _smoothest_minimum(np.sum([trial.errors(j, penalties[j]) for trial in trials], axis=0))
            for trial in trials:
                trial.move(j, penalties[j], best)
            penalties[j] = best
    errors = moved + sum(trial.error for trial in trials)
    return penalties, 1 - errors / moved if moved else None


def _shared_penalty(total: _Knotted, held_out: Sequence[_Knotted]) -> float:
    errors = np.zeros(len(PENALTIES))
    for fold in held_out:
        rest = total - fold
        for k, penalty in enumerate(PENALTIES):
            knots = rest.solve(np.full(len(rest.gram) // KNOTS, penalty), rest.label_sum)
            errors[k] += knots @ (fold.gram @ knots - 2 * fold.label_sum)
    return _smoothest_minimum(errors)


def _smoothest_minimum(errors: Floats) -> float:
    return PENALTIES[len(errors) - 1 - int(np.argmin(errors[::-1]))]


class _Trial:
    """One held-out stretch: the fit on the rest, held so that changing one indicator's penalty costs little.

    With A the normal matrix and A + E M E' that of a changed penalty (E the indicator's columns), the knots become a - U w,
    U = A^-1 E, w = (I + M E'U)^-1 M E'a (Woodbury), so that one product U'G U serves every candidate.
    """

    def __init__(self, rest: _Knotted, fold: _Knotted, penalties: Floats) -> None:
        self._rest, self._fold = rest, fold
        self._inverse = rest.solve(penalties, np.eye(len(rest.gram)))
        self._knots = self._inverse @ rest.label_sum

    @property
    def error(self) -> float:
        """Squared error on the held-out stretch, less the label's own square."""
        return float(self._knots @ (self._fold.gram @ self._knots - 2 * self._fold.label_sum))

    def errors(self, j: int, present: float) -> Floats:
        """The same for each candidate penalty of indicator j, up to a constant."""
        columns = self._inverse[:, j * KNOTS : (j + 1) * KNOTS]
        slope = columns.T @ (self._fold.gram @ self._knots - self._fold.label_sum)
        curvature = columns.T @ (self._fold.gram @ columns)
        shifts = np.array([self._shift(j, present, penalty) for penalty in PENALTIES])
        return np.asarray(np.einsum("ck,kl,cl->c", shifts, curvature, shifts) - 2 * shifts @ slope)

    def move(self, j: int, present: float, penalty: float) -> None:
        """Give indicator j another penalty."""
        own = slice(j * KNOTS, (j + 1) * KNOTS)
        columns = self._inverse[:, own].copy()
        change = (penalty - present) * self._rest.roughness
        self._knots = self._knots - columns @ self._shift(j, present, penalty)
        self._inverse -= columns @ np.linalg.solve(np.eye(KNOTS) + change @ columns[own], change @ columns.T)

    def _shift(self, j: int, present: float, penalty: float) -> Floats:
        own = slice(j * KNOTS, (j + 1) * KNOTS)
        change = (penalty - present) * self._rest.roughness
        return np.asarray(np.linalg.solve(np.eye(KNOTS) + change @ self._inverse[own, own], change @ self._knots[own]))


def stretches(parts: Sequence[T]) -> list[Sequence[T]]:
    """The parts in consecutive stretches of nearly equal length: the folds to hold out."""
    bounds = np.linspace(0, len(parts), min(_FOLDS, len(parts)) + 1).round().astype(int)
    return [parts[start:end] for start, end in pairwise(bounds)]


def r2(value: Floats, statistics: Statistics) -> float | None:
    """R2, against predicting zero, of curves on the rows of the statistics; None where no label moved."""
    return 1 - statistics.squared_error(value) / statistics.label_square if statistics.label_square else None


@_one_thread
def standard_errors(parts: Sequence[Statistics], penalties: Floats, value: Floats) -> Floats:
    """Of each bucket's value, clustered by part (sandwich): A^-1 (sum of u u') A^-1, A the normal matrix, u a part's share of the score.

    Labels overlap within a session and not across sessions, so the spread between sessions is honest where that between rows is not.
    The bias of smoothing is not in it. NaN with one part, which has no spread. [P] ticks.
    """
    if len(parts) == 1:
        return np.full(len(value), np.nan)
    scores = np.column_stack([_through_knots(part.label_sum - part.gram_times(value)) for part in parts])
    scores -= scores.mean(axis=1, keepdims=True)
    shifts = _buckets(_knotted(add(parts)).solve(penalties, scores))
    return np.sqrt(np.square(shifts).sum(axis=1) * len(parts) / (len(parts) - 1))


def _curve_through_knots() -> Floats:
    """H, [BUCKETS, KNOTS]: bucket values of the curve that is 1 at one knot, 0 at the others, linear between."""
    places = np.linspace(0, BUCKETS - 1, KNOTS)
    return np.column_stack([np.interp(np.arange(BUCKETS), places, one) for one in np.eye(KNOTS)])


_H: Final = _curve_through_knots()


def _knotted(statistics: Statistics) -> _Knotted:
    p = len(statistics.names)
    half = statistics.full_gram().reshape(-1, BUCKETS) @ _H
    gram = np.matmul(_H.T, half.reshape(p, BUCKETS, p * KNOTS)).reshape(p * KNOTS, p * KNOTS)
    return _Knotted(gram, _through_knots(statistics.label_sum), statistics.rows)


def _through_knots(sums: Floats) -> Floats:
    """H' of each indicator's sums, [P] to [Q]."""
    return (sums.reshape(-1, BUCKETS) @ _H).reshape(-1)


def _buckets(knots: Floats) -> Floats:
    """H of each indicator's knots, [Q] to [P], or [Q, n] to [P, n]."""
    p = len(knots) // KNOTS
    return np.matmul(_H, knots.reshape(p, KNOTS, -1)).reshape(p * BUCKETS, *knots.shape[1:])


def _smooth(smoothers: Floats, sums: Floats) -> Floats:
    return np.matmul(smoothers, sums.reshape(-1, KNOTS, 1)).reshape(-1)


def _lambda_max(normal: Floats, smoothers: Floats) -> float:
    """Top eigenvalue of the joint operator by power iteration: 1 where the indicators share nothing, at most their number."""
    vector, top = np.ones(len(normal)), 1.0
    for _ in range(_POWER_ITERATIONS):
        image = _smooth(smoothers, normal @ vector)
        top = float(np.linalg.norm(image))
        vector = image / top
    return top
