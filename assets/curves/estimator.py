"""The curves as a scikit-learn regressor: for arrays of any features and labels, without a lake.

The sums, the choice of forms and penalties, and the joint fit are those of the lineage; only where the buckets lie
is taken from the data here.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d, validate_data

from assets.curves.choice import choose
from assets.curves.joint import damped_fit, standard_errors
from assets.curves.model import Curves, notes, predict_matrix
from assets.curves.statistics import BUCKETS, Counts, Floats, Statistics, accumulate, add, design_version, edges, lookup

STRETCHES: Final = 20
"""Sessions that rows without `groups` are cut into: those of four weeks."""

_TOP: Final = 0.9999
"""Quantile of |x| at which the last bucket ends. With 0.999 a market's rare large values are lumped together, at 1 % of the R2; the
largest value of all would hang on one outlier."""

_SAMPLED: Final = 100_000
"""Rows at least, evenly over all, from which the edges are taken: a quantile of more moves by less than a bucket."""

_TILE: Final = 4096
"""Rows turned from rows into columns at a time: they stay in the processor's caches."""

Columns = npt.NDArray[np.float32]


class BucketCurves(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Additive regression: one curve a feature, all fitted jointly from sums over logarithmic buckets.

        prediction(x) = sum over j of sign(x_j) f_j(bucket of |x_j|)                            folded
        prediction(x) = sum over j of f_j+(bucket of x_j) where x_j > 0, f_j-(bucket of |x_j|) where x_j < 0     unfolded

    Each f takes the form (steps, piecewise linear, power, saturating, monotone) and the smoothness that held-out sessions
    prefer; all are drawn together in damped passes until they rest at penalised least squares (`joint.py`). Zero and NaN are
    no opinion: they add nothing. There is no intercept: a row without opinions is predicted 0, so centre y where that is wrong.
    Unfolded, each feature is split into its positive and its negative part, two folded features of which one is zero: it costs
    four times the sums and sees what is not odd.

    The buckets lie logarithmically between `lo` and `hi`. Where these are not given, lo is the quantile 1/50 of |x| over the
    values that are neither zero nor infinite, so that the first bucket holds its even share of the points, and hi the quantile
    0.9999, for each column (unfolded: each part) by itself. What is beyond, infinities too, is in the last bucket. `partial_fit`
    after the first call keeps the edges.

    Statistics of a session add up, so that sessions come and go without a row being read again. Other than in the lake, where
    labels are whole half ticks and sums exact, labels may be any finite numbers here: sums of the same sessions in another order
    may differ in the last bits. What is taken out by `subtract` leaves no trace all the same, as sessions are kept apart.

    Args:
        folded: whether -x is predicted the opposite of x.
        lo: where the first bucket begins, > 0, in the feature's unit, one number or one a feature; smaller |x| are in it too. None: from
            the data.
        hi: where the last bucket ends, > lo, likewise; larger |x| are in it too.

    Attributes:
        sessions_: the statistics of each session.
        edges_: [c, 51] of the buckets; c is the number of features, or twice that unfolded: feature by feature, positive part first.
        values_: [c, 50] the curves, in the label's unit; a negative part is predicted the opposite of its curve.
        errors_: [c, 50] standard errors of the values, clustered by session; NaN with one session.
        forms_: names of the forms, [c].
        penalties_: [c] smoothness, in rows of a mean knot.
        notes_: [c] what was done where the data were too poor for the usual fit (constant, empty, infinite, few rows, one session);
            None where nothing was.
        r2_held_out_: R2 of held-out sessions, which chose the forms and so flatters; None with one session.
        n_iter_, step_, lambda_max_, residual_: the passes, as in `curve_model`.
        n_features_in_, feature_names_in_: as in scikit-learn.

    References:
        Buja, Hastie, Tibshirani (1989), Linear smoothers and additive models, Ann. Statist. 17.
        Eilers, Marx (1996), Flexible smoothing with B-splines and penalties, Statist. Sci. 11.
    """

    def __init__(self, *, folded: bool = True, lo: Any = None, hi: Any = None) -> None:
        self.folded = folded
        self.lo = lo
        self.hi = hi

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Fit on rows X [n, p] and labels y [n].

        Args:
            X: features; NaN is no opinion.
            y: labels, finite.
            groups: [n] session of each row, sessions in the order in which they first appear; None: STRETCHES equal stretches of the rows.

        Raises:
            ValueError: a parameter, the data or the groups are unusable.
        """
        X, y = self._checked(X, y, reset=True)
        self._place_buckets(X)
        self.sessions_: list[Session] = []
        return self._add(X, y, np.arange(len(y)) * min(STRETCHES, len(y)) // len(y) if groups is None else groups)

    def partial_fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Add rows as a session, or as those that `groups` tells, and fit anew; the first call places the buckets.

        Args:
            X: features, [n, p].
            y: labels, [n].
            groups: as in `fit`; None: the rows are one session.

        Raises:
            ValueError: as in `fit`.
        """
        first = not hasattr(self, "sessions_")
        X, y = self._checked(X, y, reset=first)
        if first:
            self._place_buckets(X)
            self.sessions_ = []
        return self._add(X, y, np.zeros(len(y), np.int8) if groups is None else groups)

    def merge(self, other: "BucketCurves") -> Self:
        """Add the sessions of another, fitted on other rows with the same edges, and fit anew.

        Raises:
            ValueError: its edges differ.
        """
        self._must_match(other)
        return self._refit([*self.sessions_, *other.sessions_])

    def subtract(self, other: "BucketCurves") -> Self:
        """Take out the sessions of another, each of which must be among ours, and fit anew.

        Raises:
            ValueError: its edges differ, a session of it is not among ours, or none would be left.
        """
        self._must_match(other)
        left = list(self.sessions_)
        for gone in other.sessions_:
            found = next((k for k, session in enumerate(left) if session.sums.fingerprint == gone.sums.fingerprint), None)
            if found is None:
                raise ValueError(f"a session of {gone.sums.rows} rows cannot be subtracted: it is not among those that were fitted")
            del left[found]
        if not left:
            raise ValueError("nothing would be left to fit on: subtract fewer sessions than were fitted")
        return self._refit(left)

    def predict(self, X: Any) -> Floats:
        """Predictions for the rows X [n, p], float32 arithmetic, [n]."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32], ensure_all_finite=False)
        return predict_matrix(self._curves, _columns(X, folded=self._folded)).astype(np.float64)

    def __sklearn_tags__(self) -> Tags:
        tags: Tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _checked(self, X: Any, y: Any, *, reset: bool) -> tuple[Floats, Floats]:
        if not isinstance(self.folded, bool | np.bool_):
            raise ValueError(f"folded must be True or False, not {self.folded!r}")
        return validate_data(self, X, y, reset=reset, dtype=[np.float64, np.float32], ensure_all_finite=False, y_numeric=True)

    def _place_buckets(self, X: Floats) -> None:
        self._folded = bool(self.folded)
        step = max(1, len(X) // _SAMPLED)
        sample = _columns(X[::step], folded=self._folded)
        parts = 1 if self._folded else 2
        given = [self._per_column(getattr(self, side), side, parts) for side in ("lo", "hi")]
        names = getattr(self, "feature_names_in_", [f"x{j}" for j in range(X.shape[1])])
        columns = [f"{name}{part}" for name in names for part in ("",) * self._folded or ("+", "-")]
        self._design = [Column(name, *_scale(x, lo, hi)) for name, x, lo, hi in zip(columns, sample, *given, strict=True)]
        self.edges_ = np.stack([edges(column) for column in self._design])
        self._where = lookup(list(self.edges_))

    def _per_column(self, value: Any, name: str, parts: int) -> Sequence[float | None]:
        """One number a column from a parameter that is None, one number, or one a feature."""
        if value is None:
            return [None] * (self.n_features_in_ * parts)
        numbers = np.asarray(value, np.float64)
        if numbers.ndim and numbers.shape != (self.n_features_in_,):
            raise ValueError(f"{name} must be one number or {self.n_features_in_}, one a feature, not of shape {numbers.shape}")
        if not (numbers > 0).all() or not np.isfinite(numbers).all():
            raise ValueError(f"{name} must be above 0 and finite: buckets of |x| are logarithmic")
        return np.repeat(np.broadcast_to(numbers, self.n_features_in_), parts).tolist()

    def _add(self, X: Floats, y: Floats, groups: Any) -> Self:
        check_consistent_length(y, groups)
        return self._refit([*self.sessions_, *(self._session(X, y, rows) for rows in _sessions(column_or_1d(groups)))])

    def _session(self, X: Floats, y: Floats, rows: Sequence[slice]) -> "Session":
        x, label = (np.concatenate([side[run] for run in rows]) if len(rows) > 1 else side[rows[0]] for side in (X, y))
        values, label = _columns(x, folded=self._folded), label.astype(np.float64, copy=False)
        gram, label_sum = accumulate(values, label, self._where)
        names = tuple(column.name for column in self._design)
        sums = Statistics(names, design_version(self._design, 0), gram, label_sum, float(label @ label), len(label))
        return Session(sums, np.array([np.count_nonzero(column) for column in np.isinf(values)]))

    def _refit(self, sessions: list["Session"]) -> Self:
        parts = [session.sums for session in sessions]
        total = add(parts)
        shapes, self.r2_held_out_ = choose(parts, list(self.edges_))
        fitted = damped_fit(total, shapes)
        infinite = sum(session.infinite for session in sessions)
        told = [(f"{many} infinite values taken as beyond hi" if many else None) for many in np.asarray(infinite)]
        self.sessions_ = sessions
        self.values_ = fitted.value.reshape(-1, BUCKETS)
        self.errors_ = standard_errors(parts, total, fitted).reshape(-1, BUCKETS)
        self.forms_ = [form.name for form in shapes.forms]
        self.penalties_ = shapes.penalties
        self.notes_ = ["; ".join(filter(None, pair)) or None for pair in zip(told, notes(total, len(parts), fitted), strict=True)]
        self.n_iter_, self.step_, self.lambda_max_, self.residual_ = fitted.passes, fitted.step, fitted.lambda_max, fitted.residual
        self._curves = Curves(total.names, self._where, self.values_)
        return self

    def _must_match(self, other: "BucketCurves") -> None:
        check_is_fitted(self)
        check_is_fitted(other)
        if self._design != other._design:
            raise ValueError(
                "statistics of other features or other bucket edges do not add up: fit both with the same lo and hi, or begin the second "
                "as a copy of the first"
            )


class Column(NamedTuple):
    """A feature, or a part of one, as far as the sums know it."""

    name: str
    lo: float
    hi: float
    version: str = ""


class Session(NamedTuple):
    """What is kept of a session."""

    sums: Statistics
    infinite: Counts  # [c] rows in which the column was infinite


def _scale(x: Columns, lo: float | None, hi: float | None) -> tuple[float, float]:
    """Where the buckets of |x| begin and end; those not given are quantiles, and a factor of 2 apart where these are not."""
    size = np.abs(x[(x != 0) & np.isfinite(x)]).astype(np.float64)
    if not size.size:
        size = np.ones(1)
    low, high = np.quantile(size, [1 / BUCKETS, _TOP]).tolist()
    if hi is None:
        hi = max(high, 2 * (lo or 0))
    return min(low, hi / 2) if lo is None else lo, hi


def _sessions(groups: npt.NDArray[Any]) -> list[list[slice]]:
    """The runs of rows of each session, sessions in the order of their first row."""
    starts = np.flatnonzero(groups[1:] != groups[:-1]) + 1
    runs = [slice(start, end) for start, end in pairwise([0, *starts, len(groups)])]
    found: dict[Any, list[slice]] = {}
    for run in runs:
        found.setdefault(groups[run.start], []).append(run)
    return list(found.values())


def _columns(X: Floats, *, folded: bool) -> Columns:
    """Features as float32 columns, [p, n]; unfolded [2 p, n], of each its positive part and its negative part."""
    values = np.empty((X.shape[1], len(X)), np.float32)
    with np.errstate(over="ignore"):  # beyond float32 is beyond hi
        for start in range(0, len(X), _TILE):
            values[:, start : start + _TILE] = X[start : start + _TILE].T
    if folded:
        return values
    return np.stack([np.maximum(values, 0), np.minimum(values, 0)], axis=1).reshape(-1, len(X))
