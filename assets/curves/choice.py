"""What held-out sessions decide: how smooth each curve is, and which form it takes.

Both are judged on consecutive stretches of the training window, each predicted from sums of all the others:
sums add and subtract, so that no row is read again.
"""

from collections.abc import Sequence
from functools import reduce
from itertools import pairwise
from typing import Final, TypeVar

import numpy as np

from assets.curves.forms import KNOTS, LINEAR, MONOTONE, Form, candidates
from assets.curves.joint import MODESTY, Shapes, Sums, buckets, one_thread
from assets.curves.statistics import BUCKETS, Floats, Statistics, add

PENALTIES: Final = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3, 1e4)
"""Candidates for held-out sessions to choose from, from hardly smoothed to almost zero. A decade moves R2 by 0.3 % of itself."""

UNTESTED_PENALTY: Final = 100.0
"""Where one session leaves nothing to hold out: cautious, as one session's overlapping labels are a small sample."""

_SWEEPS: Final = 2
"""Rounds over the indicators' penalties: a third changes nothing that held-out sessions notice."""

_FOLDS: Final = 4
"""Consecutive stretches of the window that are held out in turn; weeks, where the window is four weeks."""

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
    nothing can be held out: linear, the default penalty, and None; where no label moved, None.

    Args:
        parts: sessions, or stretches at least one horizon apart, in the order of time, each with rows.
        grids: the edges of each indicator's buckets, [BUCKETS + 1] each.
    """
    if len(parts) == 1:
        return Shapes.linear(np.full(len(grids), UNTESTED_PENALTY)), None
    merged = [add(stretch) for stretch in stretches(parts)]
    moved = sum(fold.label_square for fold in merged)
    folds = [Sums.of(fold) for fold in merged]
    penalties, trials = choose_penalties([fold.through((LINEAR,) * len(grids)) for fold in folds])
    linear = Shapes.linear(penalties)
    if not moved:
        return linear, None
    total = reduce(Sums.__add__, folds)
    held_out = [_HeldOut(total, fold, buckets(linear.forms, trial.knots)) for fold, trial in zip(folds, trials, strict=True)]
    shapes, error = _choose_forms(held_out, grids, linear), sum(trial.error for trial in trials)
    reshaped = _held_out_error(total.through(shapes.forms), [fold.through(shapes.forms) for fold in folds], shapes)
    return (shapes, -reshaped / moved) if reshaped < error else (linear, -error / moved)


def _held_out_error(total: Sums, folds: Sequence[Sums], shapes: Shapes) -> float:
    """Squared error on each fold of the curves fitted on the others, less the labels' own squares."""
    fitted = [(total - fold).solve(shapes, total.label_sum - fold.label_sum) for fold in folds]
    return sum(_error(fold, value) for fold, value in zip(folds, fitted, strict=True))


def _error(sums: Sums, value: Floats) -> float:
    return float(value @ (sums.gram @ value - 2 * sums.label_sum))


def choose_penalties(folds: Sequence[Sums]) -> tuple[Floats, Sequence["Trial"]]:
    """A penalty for each indicator's piecewise linear curve, [p], and the fits with them.

    First the best that all share, then, indicator by indicator, the best of each beside the others'.
    """
    total = reduce(Sums.__add__, folds)
    p = len(total.gram) // KNOTS
    shared = [_held_out_error(total, folds, Shapes.linear(np.full(p, penalty))) for penalty in PENALTIES]
    penalties = np.full(p, _smoothest_minimum(np.array(shared)))
    trials = [Trial(total - fold, fold, penalties) for fold in folds]
    for _ in range(_SWEEPS):
        for j in range(p):
            best = _smoothest_minimum(np.sum([trial.errors(j, penalties[j]) for trial in trials], axis=0))
            for trial in trials:
                trial.move(j, penalties[j], best)
            penalties[j] = best
    return penalties, trials


def _smoothest_minimum(errors: Floats) -> float:
    return PENALTIES[len(errors) - 1 - int(np.argmin(errors[::-1]))]


class Trial:
    """One held-out stretch: the fit on the rest, held so that changing one indicator's penalty costs little.

    With A the normal matrix and A + E M E' that of a changed penalty (E the indicator's columns), the knots become a - U w,
    U = A^-1 E, w = (I + M E'U)^-1 M E'a (Woodbury), so that one product U'G U serves every candidate.
    """

    def __init__(self, rest: Sums, fold: Sums, penalties: Floats) -> None:
        self._rest, self._fold = rest, fold
        self._inverse = rest.solve(Shapes.linear(penalties), np.eye(len(rest.gram)))
        self.knots = self._inverse @ rest.label_sum

    @property
    def error(self) -> float:
        """Squared error on the held-out stretch, less the label's own square."""
        return _error(self._fold, self.knots)

    def errors(self, j: int, present: float) -> Floats:
        """The same for each candidate penalty of indicator j, up to a constant."""
        columns = self._inverse[:, j * KNOTS : (j + 1) * KNOTS]
        gram = columns.T @ self._fold.gram
        slope, curvature = gram @ self.knots - columns.T @ self._fold.label_sum, gram @ columns
        shifts = self._shift(j, np.array(PENALTIES) - present)
        return np.asarray(((shifts @ curvature) * shifts).sum(axis=1) - 2 * shifts @ slope)

    def move(self, j: int, present: float, penalty: float) -> None:
        """Give indicator j another penalty."""
        if penalty == present:
            return
        own = slice(j * KNOTS, (j + 1) * KNOTS)
        columns = self._inverse[:, own].copy()
        change = (penalty - present) * self._rest.mean_knot * LINEAR.roughness
        self.knots = self.knots - columns @ self._shift(j, np.array([penalty - present]))[0]
        self._inverse -= columns @ np.linalg.solve(np.eye(KNOTS) + change @ columns[own], change @ columns.T)

    def _shift(self, j: int, changes: Floats) -> Floats:
        """w for each change of the penalty, [changes, KNOTS]."""
        own = slice(j * KNOTS, (j + 1) * KNOTS)
        change = changes[:, None, None] * self._rest.mean_knot * LINEAR.roughness
        return np.asarray(np.linalg.solve(np.eye(KNOTS) + change @ self._inverse[own, own], change @ self.knots[own, None])[..., 0])


class _HeldOut:
    """One held-out stretch and the curves fitted on the rest, of which one at a time is drawn in another form.

    Within an indicator the design's columns never meet, so that one curve beside the others needs only counts and sums of its buckets.
    """

    def __init__(self, total: Sums, fold: Sums, value: Floats) -> None:
        self._total, self._fold, self.value = total, fold, value
        self._mean_knot = total.mean_knot - fold.mean_knot

    def left(self, j: int) -> list[tuple[Floats, Floats]]:
        """For the rest and the held-out stretch: counts of the buckets of j, and sums of what the other curves leave of the label."""
        (count, sums), (count_out, sums_out) = (self._left(side, j) for side in (self._total, self._fold))
        return [(count - count_out, sums - sums_out), (count_out, sums_out)]

    def _left(self, side: Sums, j: int) -> tuple[Floats, Floats]:
        own = slice(j * BUCKETS, (j + 1) * BUCKETS)
        count = side.gram[own, own].diagonal()
        return count, side.label_sum[own] - side.gram[own] @ self.value + count * self.value[own]

    def drawn(self, form: Form, penalties: Sequence[float], count: Floats, sums: Floats) -> tuple[Floats, Floats]:
        """Coefficients [penalties, KNOTS] and bucket values [penalties, BUCKETS] of the curves through the rest."""
        used = form.used
        basis, rough = form.basis[:, used], form.roughness[np.ix_(used, used)]
        own = (basis.T * count) @ basis * (1 + MODESTY)
        weights = np.asarray(penalties)[:, None, None] * self._mean_knot
        coefficients = np.zeros((len(penalties), KNOTS))
        coefficients[:, used] = np.linalg.solve(own + weights * rough, (basis.T @ sums)[:, None])[..., 0]
        return coefficients, coefficients @ form.basis.T

    def monotone(self, penalty: float, count: Floats, sums: Floats) -> Floats:
        """Bucket values of the monotone curve through the rest, [BUCKETS]."""
        form: Form | None = MONOTONE
        while form is not None:
            coefficients, value = self.drawn(form, [penalty], count, sums)
            form = form.tied(coefficients[0])
        return value[0]


def _choose_forms(held_out: Sequence[_HeldOut], grids: Sequence[Floats], linear: Shapes) -> Shapes:
    forms, penalties = list(linear.forms), linear.penalties.copy()
    for j, grid in enumerate(grids):
        open_to = candidates(grid)
        # The curves that compete on each stretch: every form with every penalty, and last the monotone one with the linear one's.
        options = [(form, penalty) for form in open_to for penalty in PENALTIES] + [(MONOTONE, linear.penalties[j])]
        drawn, errors = [], np.zeros(len(options))
        for trial in held_out:
            (count, sums), (count_out, sums_out) = trial.left(j)
            free = [trial.drawn(form, PENALTIES, count, sums)[1] for form in open_to]
            drawn.append(np.concatenate([*free, [trial.monotone(linear.penalties[j], count, sums)]]))
            errors += drawn[-1] ** 2 @ count_out - 2 * drawn[-1] @ sums_out
        best = int(np.argmin(errors))
        if errors[best] < errors[PENALTIES.index(linear.penalties[j])]:
            forms[j], penalties[j] = options[best]
            for trial, curves in zip(held_out, drawn, strict=True):
                trial.value[j * BUCKETS : (j + 1) * BUCKETS] = curves[best]
    return Shapes(tuple(forms), penalties)
