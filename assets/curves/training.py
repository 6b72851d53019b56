"""A training window, and one way to train any model on some of its sessions: the curves from sums, their rivals from rows.

No label reaches past the end of its own session, so what is trained on some sessions has seen nothing of the others: the
purge is complete without a gap. Nothing is shuffled.
"""

import datetime as dt
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from assets.curves.model import cross_fitted, curves, fit, predict_matrix
from assets.curves.rivals import CURVES, MOST_ROWS, RIVALS
from assets.curves.statistics import CurvesError, Floats, Indicator, Statistics, matrix

Values = npt.NDArray[np.float32]

_BLAS: Final = ThreadpoolController()


def one_thread() -> Any:
    """A context in which matrices are multiplied by one thread: their number would otherwise show in the last bits."""
    return _BLAS.limit(limits=1, user_api="blas")


@dataclass(frozen=True)
class Rows:
    """Rows with a label."""

    values: Values  # [n, p], as `cleaned` gives them
    label: Floats  # [n] ticks


@dataclass(frozen=True)
class Forecast:
    """A trained model, and what its training took."""

    name: str
    indicators: tuple[Indicator, ...]
    of: Callable[[Values], npt.NDArray[np.floating]]
    """From values [n, p], cleaned, to predicted moves [n] in ticks; within `one_thread`."""
    rows: int
    every: int
    """Trained on every k-th row."""
    seconds: float
    """Of processor time to train; for curves from the sums of the sessions, which are there already."""
    r2_train: float | None

    @staticmethod
    def of_curves(model: pl.DataFrame, indicators: Sequence[Indicator], *, rows: int = 0, seconds: float = 0.0) -> "Forecast":
        """The rows of `curve_model` made ready; `indicators` in the design's order."""
        ready = curves(model)

        def of(values: Values) -> Values:
            return predict_matrix(ready, np.ascontiguousarray(values.T))

        return Forecast(CURVES, tuple(indicators), of, rows, 1, seconds, model["r2_train"][0])

    def __call__(self, features: pl.DataFrame) -> Values:
        """Predicted move of the mid over the horizon for each row of a feature table, in ticks.

        Raises:
            CurvesError: an indicator of the model is missing from the features.
        """
        return self.predict(cleaned(features, self.indicators))

    def predict(self, values: Values) -> Values:
        """The same for values [n, p] that are cleaned."""
        if not len(values):
            return np.empty(0, np.float32)
        with one_thread():
            return self.of(values).astype(np.float32)


def cleaned(features: pl.DataFrame, indicators: Sequence[Indicator]) -> Values:
    """Float32 [n, p]: NaN and null turned to 0 (no opinion), infinities to the indicator's hi. Curves read both alike."""
    values = np.ascontiguousarray(matrix(features, [indicator.name for indicator in indicators]).T)
    for j, indicator in enumerate(indicators):
        np.nan_to_num(values[:, j], copy=False, nan=0.0, posinf=indicator.hi, neginf=-indicator.hi)
    return values


def labelled(features: pl.DataFrame, indicators: Sequence[Indicator], every: int = 1) -> Rows:
    """Every k-th row with a label of a feature table."""
    known = features.drop_nulls("label").gather_every(every)
    return Rows(cleaned(known, indicators), known["label"].cast(pl.Float64).to_numpy())


class Training:
    """The sessions of a training window that have rows: their sums, and as many of their rows as rivals can afford.

    Args:
        sums: statistics by session, in the order of time.
        read: the feature table of a session.
        indicators: the present definitions, in the design's order.
        horizon_ns: of the label.
    """

    def __init__(
        self, sums: Mapping[dt.date, Statistics], read: Callable[[dt.date], pl.DataFrame], indicators: Sequence[Indicator], horizon_ns: int
    ) -> None:
        self.sums, self.indicators, self.horizon_ns = dict(sums), tuple(indicators), horizon_ns
        self._read = read
        self._rows: dict[dt.date, Rows] = {}
        self._every = max(1, -(-sum(part.rows for part in sums.values()) // MOST_ROWS))

    @property
    def sessions(self) -> list[dt.date]:
        """In the order of time."""
        return list(self.sums)

    def rows(self, session: dt.date) -> Rows:
        """The session's share of the sample that rivals are trained on; read once."""
        if session not in self._rows:
            self._rows[session] = labelled(self._read(session), self.indicators, self._every)
        return self._rows[session]

    def learn(self, name: str, sessions: Sequence[dt.date] | None = None) -> Forecast:
        """A model trained on some sessions of the window, or on all.

        Raises:
            CurvesError: there is no row with a label, or the sums belong to another design.
        """
        sessions = self.sessions if sessions is None else sessions
        if not any(self.sums[session].rows for session in sessions):
            raise CurvesError("no row with a label in the training window: there is nothing to train a model on")
        return self._curves(sessions) if name == CURVES else self._rival(name, sessions)

    def cross_fitted(self, name: str, folds: Sequence[Sequence[dt.date]]) -> list[Forecast]:
        """For each fold of the window's sessions the model trained without it. Of curves, `model.cross_fitted` says what they have seen."""
        if name == CURVES:
            models = cross_fitted(self.sums, folds, self.indicators, horizon_ns=self.horizon_ns)
            return [Forecast.of_curves(model, self.indicators) for model in models]
        return [self.learn(name, [session for session in self.sessions if session not in set(fold)]) for fold in folds]

    def rows_of_curves(self, first: dt.date, last: dt.date) -> pl.DataFrame:
        """Rows of `curve_model`, fitted on all sessions of a window from `first` to `last`.

        Raises:
            CurvesError: there is no row with a label, or the sums belong to another design.
        """
        parts = list(self.sums.values())
        return fit(parts, self.indicators, horizon_ns=self.horizon_ns, first_session=first, last_session=last)

    def _curves(self, sessions: Sequence[dt.date]) -> Forecast:
        parts = [self.sums[session] for session in sessions]
        started = time.process_time()
        model = fit(parts, self.indicators, horizon_ns=self.horizon_ns, first_session=sessions[0], last_session=sessions[-1])
        seconds = time.process_time() - started
        return Forecast.of_curves(model, self.indicators, rows=sum(part.rows for part in parts), seconds=seconds)

    def _rival(self, name: str, sessions: Sequence[dt.date]) -> Forecast:
        rival, parts = RIVALS[name], [self.rows(session) for session in sessions]
        further = max(1, -(-sum(len(part.label) for part in parts) // rival.most_rows))
        values = np.concatenate([part.values for part in parts])[::further]
        label = np.concatenate([part.label for part in parts])[::further]
        with one_thread():
            started = time.process_time()
            fitted = rival.make().fit(values, label)
            seconds = time.process_time() - started
            left, moved = np.square(label - fitted.predict(values)).sum(), np.square(label).sum()
        r2_train = float(1 - left / moved) if moved else None
        return Forecast(name, self.indicators, fitted.predict, len(label), self._every * further, seconds, r2_train)
