"""The seed's joint damped fit, on sums alone: one odd curve an indicator, all fitted together.

A curve's bucket values are B a, B the basis of its form (`forms.py`) and a its coefficients in ticks. One
pass draws for every indicator j at once the curve through what the others leave of the label,

    f_j = (B'N_j B + L_j)^-1 B'Z_j'(y - sum over i != j of Z_i B a_i),      a_j <- a_j + step (f_j - a_j),

N_j = Z_j'Z_j the counts of its buckets, until no value moves: damped Jacobi backfitting. L_j = penalty_j
* rows / KNOTS * R + 0.003 B'N_j B, R the form's roughness: a place of few rows leans on its neighbours,
with nothing to say the curve is zero, and indicators that say the same share it. At rest
(B'Z'Z B + Lambda) a = B'Z'y, the penalised least-squares fit of all curves, so that each holds only what
the others do not explain.

The passes converge while step * lambda_max < 2, lambda_max the top eigenvalue of the joint operator
(Buja, Hastie, Tibshirani 1989, "Linear smoothers and additive models"). The step is the seed's 30 %
unless that comes too near; then it is cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from assets.curves.forms import KNOTS, LINEAR, Form
from assets.curves.statistics import BUCKETS, Floats, Statistics

STEP: Final = 0.3
"""The seed's damping."""

_STABLE: Final = 1.8
"""step * lambda_max stays below this: 2 diverges, and the power iteration's estimate comes from below."""

_POWER_ITERATIONS: Final = 50
"""Brings lambda_max to within 1 % for indicators correlated by 0 to 0.9."""

TOLERANCE: Final = 1e-6
"""Ticks. A curve that moves by less in a pass is at rest; a half tick is the smallest move of a mid."""

_MAX_PASSES: Final = 5000
"""A bound for indicators that are nearly copies of one another; the model's `residual` tells what was left."""

MODESTY: Final = 0.003
"""Shrinks every curve a little, so that two indicators of equal sign (skew and weighted mid) cannot cancel each other at no cost; the
passes need a tenth of their number, and R2 loses 0.04 % of itself on the simulated exchange."""

one_thread: Final = ThreadpoolController().wrap(limits=1, user_api="blas")
"""For functions that multiply matrices: the number of threads would otherwise show in the last bits."""


@dataclass(frozen=True)
class Shapes:
    """What held-out sessions decide before the fit: a form and a penalty for each indicator."""

    forms: tuple[Form, ...]
    penalties: Floats  # [p]

    @staticmethod
    def linear(penalties: Floats) -> "Shapes":
        """Piecewise linear curves, all of them."""
        return Shapes((LINEAR,) * len(penalties), penalties)


@dataclass(frozen=True)
class Fit:
    """Curves at rest, and how the passes went."""

    value: Floats  # [P] of each bucket, in ticks
    shapes: Shapes  # as given, the ties of monotone curves drawn
    passes: int
    step: float
    lambda_max: float
    residual: float  # largest change of a coefficient in the last pass, ticks


@dataclass(frozen=True)
class Sums:
    """The sums of a design of S columns: the buckets themselves (S = P), or the bases of some forms (S = Q, KNOTS an indicator)."""

    gram: Floats  # [S, S]
    label_sum: Floats  # [S]
    rows: int

    @staticmethod
    def of(statistics: Statistics) -> "Sums":
        """Of the buckets: Z'Z and Z'y."""
        return Sums(statistics.full_gram(), statistics.label_sum, statistics.rows)

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(self.gram + other.gram, self.label_sum + other.label_sum, self.rows + other.rows)

    def __sub__(self, other: "Sums") -> "Sums":
        return Sums(self.gram - other.gram, self.label_sum - other.label_sum, self.rows - other.rows)

    def through(self, forms: Sequence[Form]) -> "Sums":
        """From the buckets to the bases of the forms: B'Z'Z B and B'Z'y."""
        p = len(forms)
        bases = np.stack([form.basis for form in forms])
        gram = np.empty((p * KNOTS, p * KNOTS))
        for j in range(p):  # of the symmetric matrix what is on and below the diagonal, mirrored
            columns = self.gram[j * BUCKETS :, j * BUCKETS : (j + 1) * BUCKETS] @ bases[j]
            below = (bases[j:].transpose(0, 2, 1) @ columns.reshape(p - j, BUCKETS, KNOTS)).reshape(-1, KNOTS)
            own = slice(j * KNOTS, (j + 1) * KNOTS)
            gram[own, j * KNOTS :], gram[j * KNOTS :, own] = below.T, below
        return Sums(gram, _through(forms, self.label_sum), self.rows)

    @property
    def mean_knot(self) -> float:
        """Rows of a mean place: what a penalty of 1 weighs."""
        return self.rows / KNOTS

    def normal_matrix(self, shapes: Shapes) -> Floats:
        """B'Z'Z B + Lambda, [Q, Q]."""
        normal = self.gram.copy()
        for j, (form, penalty) in enumerate(zip(shapes.forms, shapes.penalties, strict=True)):
            own = slice(j * KNOTS, (j + 1) * KNOTS)
            normal[own, own] += MODESTY * normal[own, own] + penalty * self.mean_knot * form.roughness
        return normal

    def solve(self, shapes: Shapes, sums: Floats) -> Floats:
        """(B'Z'Z B + Lambda)^-1 sums, by Cholesky."""
        factor = cho_factor(self.normal_matrix(shapes), lower=True, overwrite_a=True, check_finite=False)
        return cho_solve(factor, sums, check_finite=False)


@one_thread
def damped_fit(statistics: Statistics, shapes: Shapes, *, step: float = STEP) -> Fit:
    """The joint fit in damped passes from zero, on at least one row; `step` is cut where it would diverge."""
    sums, start, passes = Sums.of(statistics), np.zeros(len(shapes.forms) * KNOTS), 0
    while True:
        found = _at_rest(sums.through(shapes.forms), shapes, step, start)
        passes += found.passes
        ties = [form.tied(own) for form, own in zip(shapes.forms, found.value.reshape(-1, KNOTS), strict=True)]
        if not any(ties):
            return replace(found, value=buckets(shapes.forms, found.value), passes=passes)
        shapes = replace(shapes, forms=tuple(tie or form for tie, form in zip(ties, shapes.forms, strict=True)))
        start = found.value


def _at_rest(sums: Sums, shapes: Shapes, step: float, start: Floats) -> Fit:
    """The passes; `value` holds the coefficients, [Q]."""
    normal = sums.normal_matrix(shapes)
    p = len(shapes.forms)
    each = np.arange(p)
    smoothers = np.linalg.inv(normal.reshape(p, KNOTS, p, KNOTS)[each, :, each, :])  # (B'N_j B + L_j)^-1 of each indicator
    operator = (smoothers @ normal.reshape(p, KNOTS, -1)).reshape(normal.shape)
    alone = (smoothers @ sums.label_sum.reshape(p, KNOTS, 1)).reshape(-1)  # each indicator's curve without the others
    top = _lambda_max(operator)
    step = min(step, _STABLE / top)
    value, passes, residual = start, 0, np.inf
    while residual > TOLERANCE and passes < _MAX_PASSES:
        change = step * (alone - operator @ value)
        value = value + change
        passes, residual = passes + 1, float(np.abs(change).max())
    return Fit(value, shapes, passes, step, top, residual)


@one_thread
def direct_fit(statistics: Statistics, shapes: Shapes) -> Floats:
    """Where the passes come to rest: the bucket values of the penalised least-squares fit, [P] ticks."""
    sums = Sums.of(statistics).through(shapes.forms)
    return buckets(shapes.forms, sums.solve(shapes, sums.label_sum))


@one_thread
def standard_errors(parts: Sequence[Statistics], total: Statistics, fitted: Fit) -> Floats:
    """Of each bucket's value, clustered by part (sandwich): A^-1 (sum of u u') A^-1, A the normal matrix, u a part's share of the score.

    `total` is the sum of the parts.

    Labels overlap within a session and not across sessions, so the spread between sessions is honest where that between rows is not.
    The bias of smoothing, and the choice of forms, are not in it. NaN with one part, which has no spread. [P] ticks.
    """
    if len(parts) == 1:
        return np.full(len(fitted.value), np.nan)
    forms = fitted.shapes.forms
    scores = np.column_stack([_through(forms, part.label_sum - part.gram_times(fitted.value)) for part in parts])
    scores -= scores.mean(axis=1, keepdims=True)
    shifts = buckets(forms, Sums.of(total).through(forms).solve(fitted.shapes, scores))
    return np.sqrt(np.square(shifts).sum(axis=1) * len(parts) / (len(parts) - 1))


def r2(value: Floats, statistics: Statistics) -> float | None:
    """R2, against predicting zero, of curves on the rows of the statistics; None where no label moved."""
    return 1 - statistics.squared_error(value) / statistics.label_square if statistics.label_square else None


def buckets(forms: Sequence[Form], coefficients: Floats) -> Floats:
    """The curves' bucket values: [Q] to [P], or [Q, n] to [P, n]."""
    values = [form.basis @ own for form, own in zip(forms, coefficients.reshape(len(forms), KNOTS, -1), strict=True)]
    return np.concatenate(values).reshape(-1, *coefficients.shape[1:])


def _through(forms: Sequence[Form], sums: Floats) -> Floats:
    """B' of each indicator's sums, [P] to [Q]."""
    return np.concatenate([form.basis.T @ own for form, own in zip(forms, sums.reshape(-1, BUCKETS), strict=True)])


def _lambda_max(operator: Floats) -> float:
    """Top eigenvalue of the joint operator by power iteration: 1 where the indicators share nothing, at most their number."""
    vector, top = np.ones(len(operator)), 1.0
    for _ in range(_POWER_ITERATIONS):
        image = operator @ vector
        top = float(np.linalg.norm(image))
        vector = image / top
    return top
