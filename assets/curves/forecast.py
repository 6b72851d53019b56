"""What the floors above see of a model: predictions by whatever the desk trades, and how it is had again.

Curves are rows of `curve_model`. A rival is not stored: models are rows, never pickles, and a forest has no rows worth reading.
It is trained again where it is needed, from the same sessions of the lake with the same seeds to the same bits, once a process
and period; the fingerprint of `curve_model` says that the sessions are still those.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from assets.calendar import Calendar
from assets.curves.champion import traded
from assets.curves.kept import kept_indicators, kept_sets, restricted
from assets.curves.rivals import CHAMPION, CURVES
from assets.curves.statistics import CurvesError, add
from assets.curves.training import Forecast, Training
from assets.curves.window import read_window
from assets.desk import ALL, Desk
from assets.features.chosen import desk_indicators
from assets.features.indicators import Indicator
from assets.lake import Lake


def read_training(desk: Desk, lake: Lake, period: dt.date) -> Training:
    """A period's training window, with the indicators that its lab has kept: every model learns from the same.

    Raises:
        CurvesError: sessions of the window have no `curve_statistics`; the message names them.
        LakeError: a partition is damaged.
    """
    return _trainings(desk, lake, period, {ALL: kept_indicators(desk, lake, period)})[ALL]


def read_trainings(desk: Desk, lake: Lake, period: dt.date) -> dict[str, Training]:
    """The same window once for each of the desk's sets of indicators.

    Raises:
        CurvesError: sessions of the window have no `curve_statistics`; the message names them.
        LakeError: a partition is damaged.
    """
    return _trainings(desk, lake, period, kept_sets(desk, lake, period))


def _trainings(desk: Desk, lake: Lake, period: dt.date, sets: Mapping[str, Sequence[Indicator]]) -> dict[str, Training]:
    market = desk.traded
    sums = read_window(lake, market, Calendar(desk).training_sessions(period))

    def training(chosen: Sequence[Indicator]) -> Training:
        columns = [*(indicator.name for indicator in chosen), "label"]

        def read(session: dt.date) -> pl.DataFrame:
            return lake.read("feature_table", columns=columns, market=market, session=session)

        return Training(restricted(sums, desk, chosen), read, chosen, desk.horizon_ns)

    return {name: training(chosen) for name, chosen in sets.items()}


def model_of(desk: Desk, lake: Lake, period: dt.date) -> str:
    """The name of the model that the desk trades in a period.

    Raises:
        LakeError: the desk trades the champion, and `model_choice` of the period is not in the lake.
    """
    return traded(lake.read("model_choice", market=desk.traded, period=period)) if desk.model == CHAMPION else desk.model


def read_curves(lake: Lake, market: str, period: dt.date, indicators: str) -> pl.DataFrame:
    """A period's curves of a set of indicators: `curve_model`, or the rows of a narrower set in `set_curves`.

    Raises:
        LakeError: the table is not in the lake.
        CurvesError: it was made when the desk had no such set.
    """
    if indicators == ALL:
        return lake.read("curve_model", market=market, period=period)
    rows = lake.read("set_curves", market=market, period=period).filter(indicators=indicators)
    if rows.is_empty():
        raise CurvesError(f"period {period} has no curves of the set {indicators!r}: `tickline make set_curves --period {period}`")
    return rows


def period_forecasts(desk: Desk, lake: Lake, period: dt.date) -> dict[str, Forecast]:
    """What the desk predicts the sessions of a period with, by the set of indicators.

    Raises:
        LakeError: the period's `curve_model` (or `model_choice`) is not in the lake.
        CurvesError: the training window is not the one that `curve_model` was fitted on.
    """
    name = model_of(desk, lake, period)
    stored = {of: read_curves(lake, desk.traded, period, of) for of in (ALL, *desk.indicators.sets)}
    if name == CURVES:
        known = desk_indicators(desk)
        fitted = {of: [own for own in known if own.name in set(curves["indicator"])] for of, curves in stored.items()}
        return {of: Forecast.of_curves(curves, fitted[of]) for of, curves in stored.items()}
    fingerprint = stored[ALL]["fingerprint"][0]
    key = (lake.root, desk.traded, period, name, fingerprint, repr((desk.indicators, desk.horizon_seconds)))
    if key not in _trained:
        trainings = read_trainings(desk, lake, period)
        if add(trainings[ALL].sums.values()).fingerprint != fingerprint:
            raise CurvesError(f"the training window of period {period} has changed since it was fitted: `tickline demo` fits it anew")
        _trained.clear()
        _trained[key] = {of: training.learn(name) for of, training in trainings.items()}
    return _trained[key]


_trained: dict[tuple[Path, str, dt.date, str, str, str], dict[str, Forecast]] = {}
"""The last rival that this process has trained: the sessions of a period follow one another."""
