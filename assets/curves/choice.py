"""What held-out sessions decide: how smooth each curve is, and which form it takes.

Both are judged on consecutive stretches of the training window, each predicted from sums of all the others:
sums add and subtract, so that no row is read again.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, TypeVar

import numpy as np

from assets.curves.forms import KNOTS, LINEAR, MONOTONE, Form, candidates
from assets.curves.joint import MODESTY, Shapes, Sums, direct_fit, one_thread, sums_of
from assets.curves.statistics import BUCKETS, Floats, Statistics, add

PENALTIES: Final = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3, 1e4)
"""Candidates for held-out sessions to choose from, from hardly smoothed to almost zero. A decade moves R2 by 0.3 % of itself."""

UNTESTED_PENALTY: Final = 100.0
"""Where one session leaves nothing to hold out: cautious, as one session's overlapping labels are a small sample."""

_SWEEPS: Final = 2
"""Rounds over the indicators' penalties: a third changes nothing that held-out sessions notice."""

_FOLDS: Final = 4
"""Consecutive stretches of the window that are held out in turn; weeks, where the window is four weeks."""

_ROUGHNESS: Final = LINEAR.roughness

T = TypeVar("T")


def stretches(parts: Sequence[T]) -> list[Sequence[T]]:
    """The parts in consecutive stretches of nearly equal length: the folds to hold out."""
    bounds = np.linspace(0, len(parts), min(_FOLDS, len(parts)) + 1).round().astype(int)
    return [parts[start:end] for start, end in pairwise(bounds)]


@one_thread
def choose(parts: Sequence[Statistics], grids: Sequence[Floats]) -> tuple[Shapes, float | None]:
    """An indicator's form and penalty each, and the R2 that the curves so shaped reach on held-out stretches.

    First the penalties of piecewise linear curves, then the form of each indicator beside the others' curves, with a penalty of its
    own. Other forms are taken only where the curves, all fitted anew, predict the held-out stretches better with them. With one part
    nothing can be held out: linear, the default penalty, and None.

    Args:
        parts: sessions, or stretches at least one horizon apart, in the order of time, each with rows.
        grids: the edges of each indicator's buckets, [BUCKETS + 1] each.
    """
    penalties, tested = choose_penalties(parts)
    linear = Shapes.linear(penalties)
    if tested is None:
        return linear, None
    folds = [add(stretch) for stretch in stretches(parts)]
    total, moved = add(folds), sum(fold.label_square for fold in folds)
    shapes = _choose_forms([_HeldOut(total - fold, fold, linear) for fold in folds], grids, linear)
    fitted = [(fold, direct_fit(total - fold, shapes)) for fold in folds]
    reshaped = 1 - sum(fold.squared_error(value) for fold, value in fitted) / moved
    return (shapes, reshaped) if reshaped > tested else (linear, tested)


@one_thread
def choose_penalties(parts: Sequence[Statistics]) -> tuple[Floats, float | None]:
    """A penalty for each indicator's piecewise linear curve, [p], by the R2 over held-out stretches of the parts; and that R2.

    First the best that all share, then, indicator by indicator, the best of each beside the others'. None where one part leaves nothing
    to hold out, or no label moved.
    """
    p = len(parts[0].names)
    if len(parts) == 1:
        return np.full(p, UNTESTED_PENALTY), None
    folds = [add(stretch) for stretch in stretches(parts)]
    forms = (LINEAR,) * p
    total, held_out = sums_of(add(folds), forms), [sums_of(fold, forms) for fold in folds]
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


def _shared_penalty(total: Sums, held_out: Sequence[Sums]) -> float:
    errors = np.zeros(len(PENALTIES))
    for fold in held_out:
        rest = total - fold
        for k, penalty in enumerate(PENALTIES):
            knots = rest.solve(Shapes.linear(np.full(len(rest.gram) // KNOTS, penalty)), rest.label_sum)
            errors[k] += knots @ (fold.gram @ knots - 2 * fold.label_sum)
    return _smoothest_minimum(errors)


def _smoothest_minimum(errors: Floats) -> float:
    return PENALTIES[len(errors) - 1 - int(np.argmin(errors[::-1]))]


class _Trial:
    """One held-out stretch: the fit on the rest, held so that changing one indicator's penalty costs little.

    With A the normal matrix and A + E M E' that of a changed penalty (E the indicator's columns), the knots become a - U w,
    U = A^-1 E, w = (I + M E'U)^-1 M E'a (Woodbury), so that one product U'G U serves every candidate.
    """

    def __init__(self, rest: Sums, fold: Sums, penalties: Floats) -> None:
        self._rest, self._fold = rest, fold
        self._inverse = rest.solve(Shapes.linear(penalties), np.eye(len(rest.gram)))
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
        change = (penalty - present) * self._rest.mean_knot * _ROUGHNESS
        self._knots = self._knots - columns @ self._shift(j, present, penalty)
        self._inverse -= columns @ np.linalg.solve(np.eye(KNOTS) + change @ columns[own], change @ columns.T)

    def _shift(self, j: int, present: float, penalty: float) -> Floats:
        own = slice(j * KNOTS, (j + 1) * KNOTS)
        change = (penalty - present) * self._rest.mean_knot * _ROUGHNESS
        return np.asarray(np.linalg.solve(np.eye(KNOTS) + change @ self._inverse[own, own], change @ self._knots[own]))


class _HeldOut:
    """One held-out stretch and the curves fitted on the rest, of which one at a time is drawn in another form.

    Within an indicator the design's columns never meet, so that one curve beside the others needs only counts and sums of its buckets.
    """

    def __init__(self, rest: Statistics, fold: Statistics, shapes: Shapes) -> None:
        self._sides = [(side.full_gram(), side.label_sum, side.count) for side in (rest, fold)]
        self._mean_knot = rest.rows / KNOTS
        self.value = direct_fit(rest, shapes)

    def left(self, j: int) -> list[tuple[Floats, Floats]]:
        """For the rest and the held-out stretch: counts of the buckets of j, and sums of what the other curves leave of the label."""
        own = slice(j * BUCKETS, (j + 1) * BUCKETS)
        return [
            (count[own].astype(np.float64), label_sum[own] - gram[own] @ self.value + count[own] * self.value[own])
            for gram, label_sum, count in self._sides
        ]

    def drawn(self, forms: Sequence[Form], penalties: Sequence[float], count: Floats, sums: Floats) -> tuple[Floats, Floats]:
        """Coefficients [forms, penalties, KNOTS] and bucket values [forms, penalties, BUCKETS] of the curves through the rest."""
        bases = np.stack([form.basis for form in forms])
        own = (bases.transpose(0, 2, 1) * count) @ bases * (1 + MODESTY)
        rough = np.stack([form.roughness for form in forms])
        weights = np.asarray(penalties)[:, None, None] * self._mean_knot
        right = np.broadcast_to((bases.transpose(0, 2, 1) @ sums)[:, None, :, None], (len(forms), len(penalties), KNOTS, 1))
        coefficients = np.asarray(np.linalg.solve(own[:, None] + weights * rough[:, None], right)[..., 0], np.float64)
        return coefficients, np.asarray(np.einsum("fbk,fpk->fpb", bases, coefficients))

    def monotone(self, penalty: float, count: Floats, sums: Floats) -> Floats:
        """Bucket values of the monotone curve through the rest."""
        form: Form | None = MONOTONE
        while form is not None:
            coefficients, value = self.drawn([form], [penalty], count, sums)
            form = form.tied(coefficients[0, 0])
        return value[0, 0]


def _choose_forms(held_out: Sequence[_HeldOut], grids: Sequence[Floats], linear: Shapes) -> Shapes:
    forms, penalties = list(linear.forms), linear.penalties.copy()
    for j, grid in enumerate(grids):
        open_to = candidates(grid)
        drawn, errors = [], np.zeros((len(open_to), len(PENALTIES) + 1))
        for trial in held_out:
            (count, sums), (count_out, sums_out) = trial.left(j)
            _, free = trial.drawn(open_to, PENALTIES, count, sums)
            tied = trial.monotone(linear.penalties[j], count, sums)
            curves = np.concatenate([free, np.broadcast_to(tied, (len(open_to), 1, BUCKETS))], axis=1)
            drawn.append(curves)
            errors += curves**2 @ count_out - 2 * curves @ sums_out
        present = (0, PENALTIES.index(linear.penalties[j]))
        best = divmod(int(np.argmin(errors)), errors.shape[1])
        if errors[best] >= errors[present]:
            continue
        for trial, curves in zip(held_out, drawn, strict=True):
            trial.value[j * BUCKETS : (j + 1) * BUCKETS] = curves[best]
        is_monotone = best[1] == len(PENALTIES)
        forms[j] = MONOTONE if is_monotone else open_to[best[0]]
        penalties[j] = linear.penalties[j] if is_monotone else PENALTIES[best[1]]
    return Shapes(tuple(forms), penalties)
