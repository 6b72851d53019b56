"""Which model a period trades when the desk says `champion`: decided on held-out sessions of its own training window.

The window is walked forward once within itself: every model is trained on its first three quarters (three weeks of four) and
judged on the last quarter. The best R2 there is the best of several, which luck helps; so the champion is the plainest model
(`SIMPLICITY`) that falls short of it by no more than one standard error of the shortfall, session by session (the one-standard-error
rule of Breiman, Friedman, Olshen, Stone 1984, Classification and Regression Trees). Where nothing can be predicted, that is zero.
"""

from collections.abc import Sequence
from typing import Any, Final, TypeVar

import numpy as np
import polars as pl

from assets.curves.evaluation import Unseen, predicted, ratio, squared_errors
from assets.curves.rivals import CHAMPION, CURVES, SIMPLICITY
from assets.curves.schema import ModelChoice
from assets.curves.training import Training

TRAINED_SHARE: Final = 0.75
"""Share of the window's sessions that models are trained on before they are judged on the others."""

T = TypeVar("T")


def split(sessions: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    """The sessions to train on and those to judge by, at least one each; of a single session, none to judge by."""
    cut = min(max(1, round(TRAINED_SHARE * len(sessions))), max(1, len(sessions) - 1))
    return sessions[:cut], sessions[cut:]


def choose_champion(training: Training, wanted: str) -> pl.DataFrame:
    """Rows of `model_choice`, one a model, the plainest first.

    Args:
        training: the window of the period.
        wanted: what the desk's `model` says; marks the model that it trades.

    Raises:
        CurvesError: there is no row with a label to train on.
    """
    learning, held_out = split(training.sessions)
    unseen = Unseen.of([training.rows(session) for session in held_out])
    span = {"first_held_out": min(held_out, default=None), "last_held_out": max(held_out, default=None), "rows_held_out": unseen.rows}
    table: list[dict[str, Any]] = [{"model": name, "every": 1, "rows_train": 0} for name in SIMPLICITY]
    champion = CURVES
    if unseen.rows:
        forecasts = [training.learn(name, learning) for name in SIMPLICITY]
        errors = [squared_errors(predicted(forecast, unseen), unseen) for forecast in forecasts]
        best = min(errors, key=np.sum)
        behind = [ratio(error - best, unseen.moved) for error in errors]
        r2 = [ratio(unseen.moved - error, unseen.moved) for error in errors]
        for row, forecast, reached, short in zip(table, forecasts, r2, behind, strict=True):
            row |= {"every": forecast.every, "rows_train": forecast.rows}
            row |= {"r2_held_out": reached.value, "behind": short.value, "behind_error": short.error}
        champion = next(name for name, short in zip(SIMPLICITY, behind, strict=True) if (short.value or 0.0) <= (short.error or 0.0))
    for row in table:
        row["champion"] = row["model"] == champion
        row["traded"] = row["model"] == (champion if wanted == CHAMPION else wanted)
    return pl.DataFrame([row | span for row in table], schema=ModelChoice.empty().schema)


def traded(choice: pl.DataFrame) -> str:
    """The model that a period trades, by its `model_choice`."""
    return str(choice.filter("traded")["model"].item())
