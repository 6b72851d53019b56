"""The curves and their rivals, trained on a period's window and scored on the period's own sessions."""

import time
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from assets.curves.evaluation import Unseen, importance, predicted, rank_correlation, ratio, squared_errors
from assets.curves.rivals import SIMPLICITY
from assets.curves.schema import ModelImportance, ModelScores
from assets.curves.training import Forecast, Rows, Training, one_thread

MEASURED: Final = ("fit_seconds", "predict_row_us")
"""Columns of `model_scores` that a clock has written: they differ from run to run, all others are the same bytes."""

_IMPORTANCE_ROWS: Final = 10_000
"""Of the period, for permutation importance: each indicator's shuffle is a prediction of all of them by every model."""

_REPEATS: Final = 50
"""Predictions of a single row, of which the median counts."""


def score(training: Training, sessions: Sequence[Rows], choice: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of `model_scores` and of `model_importance`.

    Args:
        training: the window of the period.
        sessions: labelled rows of each of the period's own sessions; none yet gives null scores and no importance.
        choice: rows of the period's `model_choice`.

    Raises:
        CurvesError: there is no row with a label to train on.
    """
    unseen = Unseen.of(sessions)
    sample = unseen.sample(_IMPORTANCE_ROWS)
    table: list[dict[str, Any]] = []
    weights: list[dict[str, Any]] = []
    for name in SIMPLICITY:
        forecast = training.learn(name)
        table.append(_scored(forecast, unseen))
        for indicator, fall in importance(forecast, sample).items() if unseen.rows else ():
            bounds = {"low": fall.low, "high": fall.high}
            weights.append({"model": name, "indicator": indicator, "importance": fall.value or 0.0, **bounds})
    facts = {row["model"]: row for row in choice.select("model", "r2_held_out", "champion", "traded").iter_rows(named=True)}
    scores = pl.DataFrame([row | facts[row["model"]] for row in table], schema=ModelScores.empty().schema)
    return scores, pl.DataFrame(weights, schema=ModelImportance.empty().schema)


def _scored(forecast: Forecast, unseen: Unseen) -> dict[str, Any]:
    moves = predicted(forecast, unseen)
    moved = unseen.moved
    r2 = ratio(moved - squared_errors(moves, unseen), moved) if unseen.rows else None
    return {
        "model": forecast.name,
        "every": forecast.every,
        "rows_train": forecast.rows,
        "rows_test": unseen.rows,
        "mse": float(squared_errors(moves, unseen).sum() / unseen.rows) if unseen.rows else None,
        "r2": r2.value if r2 else None,
        "r2_low": r2.low if r2 else None,
        "r2_high": r2.high if r2 else None,
        "r2_train": forecast.r2_train,
        "rank_correlation": rank_correlation(np.concatenate(moves), unseen.label) if unseen.rows else None,
        "fit_seconds": forecast.seconds,
        "predict_row_us": _row_us(forecast),
    }


def _row_us(forecast: Forecast) -> float:
    """Microseconds to predict one row, as a live desk would: median of the repeats."""
    row = np.full((1, len(forecast.indicators)), 0.1, np.float32)
    with one_thread():
        forecast.of(row)
        taken = []
        for _ in range(_REPEATS):
            started = time.perf_counter()
            forecast.of(row)
            taken.append(time.perf_counter() - started)
    return float(np.median(taken)) * 1e6
