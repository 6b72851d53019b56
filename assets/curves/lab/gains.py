"""What a curve is worth on sessions that it did not see: alone, or added to the curves of others.

Both are one question. The others' curves are fitted on the training stretches without the indicator, a0 = A^-1 b (A
their normal matrix, b their sums of the label); with it, by block elimination,

    (D + lambda R - C U) c = d - C a0,      a = a0 - U c,      U = A^-1 C',

C the indicator's places against the others', D those against themselves, d its sums of the label. What it gains on a
held-out session is the fall of the squared error there, - c'L - c'M c with L = 2 (C a0 - d - U'g),
M = U'G U - U'C' - C U + D and g = G a0 - b of that session. Alone there are no others, and A is empty.

The window is cut into consecutive stretches that are held out in turn, and lambda is chosen for each by the others among
themselves: neither the indicator's curve nor its lambda has seen the sessions that it is judged on. The smoothness of the others'
curves has: it is chosen once, on the whole window, and is the same with the indicator and without it, and beside every one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Final

import numpy as np

from assets.curves.choice import PENALTIES, UNTESTED_PENALTY, choose_penalties, stretches
from assets.curves.forms import KNOTS, LINEAR
from assets.curves.joint import MODESTY, Shapes, Sums
from assets.curves.lab.readings import Readings
from assets.curves.statistics import Floats

_LEAST_FOLDS: Final = 3
"""Stretches below which there is nothing to choose a penalty by: the cautious one is taken."""


@dataclass(frozen=True)
class Candidate:
    """One indicator's places, session by session."""

    others: Floats  # [S, KNOTS, Q] against those of the others
    own: Floats  # [S, KNOTS, KNOTS] against themselves
    label_sum: Floats  # [S, KNOTS]

    def of(self, sessions: Sequence[int]) -> tuple[Floats, Floats, Floats]:
        """The sums over some sessions."""
        at = list(sessions)
        return self.others[at].sum(axis=0), self.own[at].sum(axis=0), self.label_sum[at].sum(axis=0)


class Others:
    """The curves that an indicator is added to, fitted on every set of stretches that is asked for.

    Args:
        sums: of each session in the order of time, through the places of q >= 0 indicators.
        penalties: of their curves, [q].
    """

    def __init__(self, sums: Sequence[Sums], penalties: Floats) -> None:
        self._sums, self._penalties = sums, penalties
        self.folds: list[Sequence[int]] = stretches(range(len(sums)))
        self._fits: dict[tuple[int, ...], tuple[list[int], Floats, Floats]] = {}
        self._totals: dict[tuple[int, ...], Sums] = {}

    def gains(self, candidate: Candidate) -> Floats:
        """Fall of the squared error on each session, [S], ticks squared, with the candidate fitted on the other stretches."""
        inner = {(k, m): self._errors(candidate, (k, m)) for k, m in combinations(range(len(self.folds)), 2)} if self._can_choose else {}
        found = np.zeros(len(self._sums))
        for k, fold in enumerate(self.folds):
            penalty = UNTESTED_PENALTY
            if inner:
                errors = np.sum([by_fold[pair.index(k) ^ 1] for pair, by_fold in inner.items() if k in pair], axis=0)
                penalty = _smoothest(errors)
            solved, fit, against = self._solved(candidate, (k,), [penalty])
            for session in fold:
                found[session] = -self._change(candidate, [session], solved, fit, against)[0]
        return found

    def own_gains(self) -> Floats:
        """Fall of the squared error on each session by the others' curves together, fitted on the other stretches, [S]."""
        found = np.zeros(len(self._sums))
        for k, fold in enumerate(self.folds):
            _, _, fit = self._fit((k,))
            for session in fold:
                found[session] = fit @ (2 * self._sums[session].label_sum - self._sums[session].gram @ fit)
        return found

    def fitted(self, candidate: Candidate) -> tuple[Floats, Floats]:
        """With no others: the candidate's curve on all sessions, and its standard error by session (NaN with one): [BUCKETS] ticks each."""
        penalty = UNTESTED_PENALTY
        if len(self.folds) > 1:
            errors = np.zeros(len(PENALTIES))
            for k, fold in enumerate(self.folds):
                errors += self._change(candidate, fold, *self._solved(candidate, (k,), PENALTIES))
            penalty = _smoothest(errors)
        [knots], _, _ = self._solved(candidate, (), [penalty])
        scores = candidate.label_sum - candidate.own @ knots
        scores -= scores.mean(axis=0)
        _, own, _ = candidate.of(range(len(self._sums)))
        mean_knot = sum(sums.rows for sums in self._sums) / KNOTS
        shifts = LINEAR.basis @ np.linalg.solve(own * (1 + MODESTY) + penalty * mean_knot * LINEAR.roughness, scores.T)
        spread = len(scores) / (len(scores) - 1) if len(scores) > 1 else np.nan
        return LINEAR.basis @ knots, np.sqrt(np.square(shifts).sum(axis=1) * spread)

    @property
    def _can_choose(self) -> bool:
        return len(self.folds) >= _LEAST_FOLDS

    def _errors(self, candidate: Candidate, out: tuple[int, int]) -> tuple[Floats, Floats]:
        """Change of the squared error on each of two stretches, both held out, for each penalty."""
        solved, fit, against = self._solved(candidate, out, PENALTIES)
        first, second = (self._change(candidate, self.folds[k], solved, fit, against) for k in out)
        return first, second

    def _solved(self, candidate: Candidate, out: tuple[int, ...], penalties: Sequence[float]) -> tuple[Floats, Floats, Floats]:
        """Coefficients [penalties, KNOTS] on all stretches but `out`, the others' without it [Q], and U [Q, KNOTS]."""
        sessions, inverse, fit = self._fit(out)
        others, own, label_sum = candidate.of(sessions)
        against = inverse @ others.T
        schur = own * (1 + MODESTY) - others @ against
        mean_knot = sum(self._sums[session].rows for session in sessions) / KNOTS
        normal = schur + np.asarray(penalties)[:, None, None] * (mean_knot * LINEAR.roughness)
        right = np.broadcast_to((label_sum - others @ fit)[:, None], (len(penalties), KNOTS, 1))
        return np.asarray(np.linalg.solve(normal, right)[..., 0]), fit, against

    def _change(self, candidate: Candidate, sessions: Sequence[int], solved: Floats, fit: Floats, against: Floats) -> Floats:
        """Change of the squared error over some sessions, [penalties]."""
        others, own, label_sum = candidate.of(sessions)
        total = self._over(sessions)
        linear = 2 * (others @ fit - label_sum - against.T @ (total.gram @ fit - total.label_sum))
        meet = others @ against
        square = against.T @ (total.gram @ against) - meet.T - meet + own
        return np.asarray(solved @ linear + ((solved @ square) * solved).sum(axis=1))

    def _fit(self, out: tuple[int, ...]) -> tuple[list[int], Floats, Floats]:
        if out not in self._fits:
            sessions = [session for k, fold in enumerate(self.folds) if k not in out for session in fold]
            total = self._over(sessions)
            inverse = np.asarray(np.linalg.inv(total.normal_matrix(Shapes.linear(self._penalties))), np.float64)
            self._fits[out] = sessions, inverse, inverse @ total.label_sum
        return self._fits[out]

    def _over(self, sessions: Sequence[int]) -> Sums:
        """The sums over some sessions, kept: every candidate asks for the same few."""
        if len(sessions) == 1:
            return self._sums[sessions[0]]
        if tuple(sessions) not in self._totals:
            self._totals[tuple(sessions)] = _total([self._sums[session] for session in sessions])
        return self._totals[tuple(sessions)]


class Window:
    """The readings of a training window, in the order of time: at least one session, the same indicators in each."""

    def __init__(self, readings: Sequence[Readings], desk: int) -> None:
        self.readings, self.desk, self.names = readings, desk, readings[0].names
        self._own = np.stack([reading.own for reading in readings])
        self._sums = np.stack([reading.through for reading in readings])
        self._gram = [reading.gram[:desk].reshape(desk * KNOTS, desk * KNOTS) for reading in readings]
        self._others: dict[tuple[int, ...], Others] = {}
        self._gains: dict[tuple[int, tuple[int, ...]], Floats] = {}

    @cached_property
    def _penalties(self) -> Floats:
        """Of the desk's curves, chosen by held-out stretches of the whole window: the same beside every candidate."""
        every = range(self.desk)
        if len(self.readings) == 1 or not self.desk:
            return np.full(self.desk, UNTESTED_PENALTY)
        folds = stretches([self._part(session, every) for session in range(len(self.readings))])
        return choose_penalties([_total(fold) for fold in folds])[0]

    def alone(self, indicator: int) -> Floats:
        """Held-out gain of an indicator's curve by itself, by session."""
        return self._beside(indicator, ())

    def together(self) -> Floats:
        """Held-out gain of all of the desk's indicators together, by session; NaN with one session."""
        return np.full(1, np.nan) if len(self.readings) == 1 else self._curves_of(tuple(range(self.desk))).own_gains()

    def curve(self, indicator: int) -> tuple[Floats, Floats]:
        """An indicator's curve by itself on the whole window, and its standard error: [BUCKETS] ticks each."""
        return self._curves_of(()).fitted(self._candidate(indicator, ()))

    def added(self, indicator: int, without: Sequence[int] = ()) -> Floats:
        """Held-out gain when it is added to the desk's other indicators, those in `without` left out too."""
        return self._beside(indicator, tuple(j for j in range(self.desk) if j != indicator and j not in without))

    def _beside(self, indicator: int, others: tuple[int, ...]) -> Floats:
        if len(self.readings) == 1:
            return np.full(1, np.nan)
        if (indicator, others) not in self._gains:
            self._gains[indicator, others] = self._curves_of(others).gains(self._candidate(indicator, others))
        return self._gains[indicator, others]

    def _curves_of(self, others: tuple[int, ...]) -> Others:
        if others not in self._others:
            parts = [self._part(session, others) for session in range(len(self.readings))]
            self._others[others] = Others(parts, self._penalties[list(others)] if others else np.empty(0))
        return self._others[others]

    def _candidate(self, indicator: int, others: tuple[int, ...]) -> Candidate:
        columns = _columns(others)
        meeting = np.stack([reading.gram[indicator][:, columns] for reading in self.readings])
        return Candidate(meeting, self._own[:, indicator], self._sums[:, indicator])

    def _part(self, session: int, indicators: Sequence[int]) -> Sums:
        columns = _columns(indicators)
        gram = self._gram[session][np.ix_(columns, columns)]
        return Sums(gram, self._sums[session][list(indicators)].reshape(-1), self.readings[session].rows)


def _smoothest(errors: Floats) -> float:
    """The largest penalty among those of the least error."""
    return PENALTIES[len(errors) - 1 - int(np.argmin(errors[::-1]))]


def _columns(indicators: Sequence[int]) -> list[int]:
    return [j * KNOTS + place for j in indicators for place in range(KNOTS)]


def _total(sums: Sequence[Sums]) -> Sums:
    return Sums(np.sum([one.gram for one in sums], axis=0), np.sum([one.label_sum for one in sums], axis=0), sum(one.rows for one in sums))
