"""The seed's joint damped fit, on sums alone: one smooth odd curve an indicator, all fitted together.

A curve is piecewise linear in the bucket's number, that is in log |indicator|, with KNOTS knots: its
bucket values are H a, a the knots' values in ticks. One pass draws for every indicator j at once the
curve through what the others leave of the label,

    f_j = (H'N_j H + L)^-1 H'Z_j'(y - sum over i != j of Z_i H a_i),      a_j <- a_j + step (f_j - a_j),

N_j = Z_j'Z_j the counts of its buckets, until no value moves: damped Jacobi backfitting. L = penalty *
rows / KNOTS * D'D, D the first differences along the knots beginning with the step from zero: a knot
of few rows leans on its neighbours, and with nothing to say the curve is zero. At rest
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

_MAX_PASSES: Final = 3000
"""A bound for indicators that are nearly copies of one another; the model's `residual` tells what was left."""

PENALTIES: Final = tuple(float(penalty) for penalty in np.geomspace(0.01, 1e4, 13))
"""Candidates for held-out sessions to choose from: from hardly smoothed to a line that is almost zero."""

UNTESTED_PENALTY: Final = 100.0
"""Where one session leaves nothing to hold out: cautious, as one session's overlapping labels are a small sample."""

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

    def block_penalty(self, penalty: float) -> Floats:
        """L of one indicator, [K, K]."""
        difference = np.eye(KNOTS) - np.eye(KNOTS, k=-1)
        return penalty * self.rows / KNOTS * difference.T @ difference

    def normal_matrix(self, penalty: float) -> Floats:
        """H'Z'Z H + Lambda, [Q, Q]."""
        return self.gram + np.kron(np.eye(len(self.gram) // KNOTS), self.block_penalty(penalty))

    def smoothers(self, penalty: float) -> Floats:
        """(H'N_j H + L)^-1 of each indicator, [p, K, K]."""
        each = np.arange(len(self.gram) // KNOTS)
        own = self.gram.reshape(len(each), KNOTS, len(each), KNOTS)[each, :, each, :]
        return np.asarray(np.linalg.inv(own + self.block_penalty(penalty)), np.float64)

    def solve(self, penalty: float, sums: Floats) -> Floats:
        """(H'Z'Z H + Lambda)^-1 sums, by Cholesky."""
        factor = cho_factor(self.normal_matrix(penalty), lower=True, overwrite_a=True, check_finite=False)
        return cho_solve(factor, sums, check_finite=False)


@_one_thread
def damped_fit(statistics: Statistics, penalty: float, *, step: float = STEP) -> Fit:
    """The joint fit in damped passes from zero, on at least one row; `step` is cut where it would diverge."""
    knotted = _knotted(statistics)
    normal, smoothers = knotted.normal_matrix(penalty), knotted.smoothers(penalty)
    top = _lambda_max(normal, smoothers)
    step = min(step, _STABLE / top)
    knots, passes, residual = np.zeros(len(normal)), 0, np.inf
    while residual > _TOLERANCE and passes < _MAX_PASSES:
        change = step * _smooth(smoothers, knotted.label_sum - normal @ knots)
        knots += change
        passes, residual = passes + 1, float(np.abs(change).max())
    return Fit(_buckets(knots), passes, step, top, residual)


@_one_thread
def direct_fit(statistics: Statistics, penalty: float) -> Floats:
    """Where the passes come to rest: the bucket values of the penalised least-squares fit, [P] ticks."""
    knotted = _knotted(statistics)
    return _buckets(knotted.solve(penalty, knotted.label_sum))


@_one_thread
def choose_penalty(parts: Sequence[Statistics]) -> tuple[float, float | None]:
    """The candidate with the best R2 over held-out stretches of the parts, its R2; for one part the default and None.

    Parts are sessions, or stretches at least one horizon apart, in the order of time, each with rows.
    """
    if len(parts) == 1:
        return UNTESTED_PENALTY, None
    folds = [add(stretch) for stretch in stretches(parts)]
    total, held_out = _knotted(add(folds)), [_knotted(fold) for fold in folds]
    moved = sum(fold.label_square for fold in folds)
    errors = np.full(len(PENALTIES), moved)
    for fold in held_out:
        rest = total - fold
        for k, penalty in enumerate(PENALTIES):
            knots = rest.solve(penalty, rest.label_sum)
            errors[k] += knots @ (fold.gram @ knots - 2 * fold.label_sum)
    # The last of equals is the smoothest.
    best = len(errors) - 1 - int(np.argmin(errors[::-1]))
    return PENALTIES[best], 1 - float(errors[best]) / moved if moved else None


def stretches(parts: Sequence[T]) -> list[Sequence[T]]:
    """The parts in consecutive stretches of nearly equal length: the folds to hold out."""
    bounds = np.linspace(0, len(parts), min(_FOLDS, len(parts)) + 1).round().astype(int)
    return [parts[start:end] for start, end in pairwise(bounds)]


def r2(value: Floats, statistics: Statistics) -> float | None:
    """R2, against predicting zero, of curves on the rows of the statistics; None where no label moved."""
    return 1 - statistics.squared_error(value) / statistics.label_square if statistics.label_square else None


@_one_thread
def standard_errors(parts: Sequence[Statistics], penalty: float, value: Floats) -> Floats:
    """Of each bucket's value, clustered by part (sandwich): A^-1 (sum of u u') A^-1, A the normal matrix, u a part's share of the score.

    Labels overlap within a session and not across sessions, so the spread between sessions is honest where that between rows is not.
    The bias of smoothing is not in it. NaN with one part, which has no spread. [P] ticks.
    """
    if len(parts) == 1:
        return np.full(len(value), np.nan)
    scores = np.column_stack([_through_knots(part.label_sum - part.gram_times(value)) for part in parts])
    scores -= scores.mean(axis=1, keepdims=True)
    shifts = _buckets(_knotted(add(parts)).solve(penalty, scores))
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
