"""What the floors above see of a model: predictions by whatever the desk trades, and how it is had again.

Curves are rows of `curve_model`. A rival is not stored: models are rows, never pickles, and a forest has no rows worth reading.
It is trained again where it is needed, from the same sessions of the lake with the same seeds to the same bits, once a process
and period; the fingerprint of `curve_model` says that the sessions are still those.
"""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from assets.calendar import Calendar
from assets.curves.champion import traded
from assets.curves.kept import kept_indicators, restricted
from assets.curves.rivals import CHAMPION, CURVES
from assets.curves.statistics import CurvesError, add
from assets.curves.training import Forecast, Training
from assets.curves.window import read_window
from assets.desk import Desk
from assets.features.chosen import desk_indicators
from assets.lake import Lake


def read_training(desk: Desk, lake: Lake, period: dt.date) -> Training:
    """A period's training window, with the indicators that its lab has kept: every model learns from the same.

    Raises:
        CurvesError: sessions of the window have no `curve_statistics`; the message names them.
        LakeError: a partition is damaged.
    """
    market, chosen = desk.traded, kept_indicators(desk, lake, period)
    columns = [*(indicator.name for indicator in chosen), "label"]

    def read(session: dt.date) -> pl.DataFrame:
        return lake.read("feature_table", columns=columns, market=market, session=session)

    sums = restricted(read_window(lake, market, Calendar(desk).training_sessions(period)), desk, chosen)
    return Training(sums, read, chosen, desk.horizon_ns)


def model_of(desk: Desk, lake: Lake, period: dt.date) -> str:
    """The name of the model that the desk trades in a period.

    Raises:
        LakeError: the desk trades the champion, and `model_choice` of the period is not in the lake.
    """
    return traded(lake.read("model_choice", market=desk.traded, period=period)) if desk.model == CHAMPION else desk.model


def period_forecast(desk: Desk, lake: Lake, period: dt.date) -> Forecast:
    """What the desk predicts the sessions of a period with.

    Raises:
        LakeError: the period's `curve_model` (or `model_choice`) is not in the lake.
        CurvesError: the training window is not the one that `curve_model` was fitted on.
    """
    name, stored = model_of(desk, lake, period), lake.read("curve_model", market=desk.traded, period=period)
    if name == CURVES:
        return Forecast.of_curves(stored, [own for own in desk_indicators(desk) if own.name in set(stored["indicator"])])
    key = (lake.root, desk.traded, period, name, stored["fingerprint"][0])
    if key not in _trained:
        training = read_training(desk, lake, period)
        if add(training.sums.values()).fingerprint != stored["fingerprint"][0]:
            raise CurvesError(f"the training window of period {period} has changed since its curve_model was fitted: materialise that anew")
        _trained.clear()
        _trained[key] = training.learn(name)
    return _trained[key]


_trained: dict[tuple[Path, str, dt.date, str, str], Forecast] = {}
"""The last rival that this process has trained: the sessions of a period follow one another."""


def cross_fitted_forecasts(
    desk: Desk, lake: Lake, period: dt.date, training: Training, folds: Sequence[Sequence[dt.date]]
) -> list[Forecast]:
    """For each fold of a period's training sessions the desk's model, trained without that fold.

    Raises:
        CurvesError: nothing is left to train on.
    """
    return training.cross_fitted(model_of(desk, lake, period), folds)
