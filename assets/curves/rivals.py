"""What people would use instead, trained and scored on the same rows as the curves.

A rival sees the same indicators and the same training sessions, and is scored on sessions that come
after them. No label reaches past its own session's end, so nothing of the test is in the training:
between sessions the purge is complete without a gap.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.base import RegressorMixin
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from assets.curves.model import predict
from assets.curves.schema import ModelScores
from assets.curves.statistics import Indicator, matrix

CURVES: Final = "curves"
"""The name of our own model among the scores and in the desk."""

_BLAS: Final = ThreadpoolController()


@dataclass(frozen=True)
class Rival:
    """How a model is made, and how many rows its training can afford."""

    make: Callable[[], RegressorMixin]
    most_rows: int | None = None


RIVALS: Final[dict[str, Rival]] = {
    "zero": Rival(lambda: DummyRegressor(strategy="constant", constant=0.0)),
    "linear": Rival(LinearRegression),
    "gradient_boosting": Rival(
        lambda: HistGradientBoostingRegressor(max_iter=60, max_leaf_nodes=15, early_stopping=False, random_state=0),
        most_rows=1_500_000,  # 5 s on two cores; labels of neighbouring rows overlap, so every second row lost no R2 (0.0304, 0.0305)
    ),
}
"""Every model that is scored beside the curves, by the name it has in `model_scores`."""


@dataclass(frozen=True)
class Rows:
    """Rows with a label: float32 [n, p], NaN and null turned to 0 (no opinion), infinities to the indicator's hi; labels [n] in ticks."""

    values: npt.NDArray[np.float32]
    label: npt.NDArray[np.float64]


def labelled(features: Sequence[pl.DataFrame], indicators: Sequence[Indicator]) -> Rows:
    """The labelled rows of some sessions' feature tables, one after another."""
    names = [indicator.name for indicator in indicators]
    known = [frame.select(*names, "label").drop_nulls("label") for frame in features]
    values = np.empty((sum(frame.height for frame in known), len(names)), np.float32)
    at = 0
    for frame in known:
        values[at : at + frame.height] = matrix(frame, names).T
        at += frame.height
    for j, indicator in enumerate(indicators):
        np.nan_to_num(values[:, j], copy=False, nan=0.0, posinf=indicator.hi, neginf=-indicator.hi)
    return Rows(values, np.concatenate([frame["label"].cast(pl.Float64).to_numpy() for frame in known] or [np.empty(0)]))


def scores(
    model: pl.DataFrame, train: Sequence[pl.DataFrame], test: Sequence[pl.DataFrame], indicators: Sequence[Indicator]
) -> tuple[pl.DataFrame, dict[str, float]]:
    """Rows of `model_scores`, and the seconds that each rival took to train.

    Args:
        model: rows of `curve_model`, fitted on the training sessions.
        train: feature tables of the training sessions.
        test: feature tables of the period's own sessions; none yet gives null scores.
        indicators: the model's, in its order.
    """
    seen, unseen = labelled(train, indicators), labelled(test, indicators)
    ours = _predicted(model, test)
    table = [_score(ours, unseen.label) | {"model": CURVES, "every": 1, "rows_train": len(seen.label), "r2_train": model["r2_train"][0]}]
    seconds = {}
    for name, rival in RIVALS.items():
        every = 1 if rival.most_rows is None else max(1, -(-len(seen.label) // rival.most_rows))
        values, label = seen.values[::every], seen.label[::every]
        started = time.perf_counter()
        with _BLAS.limit(limits=1, user_api="blas"):
            fitted: Any = rival.make().fit(values, label)
            seconds[name] = time.perf_counter() - started
            r2_train = _r2(fitted.predict(values), label)
            forecast = fitted.predict(unseen.values) if len(unseen.label) else np.empty(0)
        table.append(_score(forecast, unseen.label) | {"model": name, "every": every, "rows_train": len(label), "r2_train": r2_train})
    return pl.DataFrame(table, schema=ModelScores.empty().schema), seconds


def _predicted(model: pl.DataFrame, test: Sequence[pl.DataFrame]) -> npt.NDArray[np.float64]:
    known = [frame.drop_nulls("label") for frame in test]
    return np.concatenate([predict(model, frame).astype(np.float64) for frame in known] or [np.empty(0)])


def _score(forecast: npt.NDArray[np.float64], label: npt.NDArray[np.float64]) -> dict[str, Any]:
    if not len(label):
        return {"rows_test": 0}
    ranks = pl.select(pl.corr(pl.lit(pl.Series(forecast)), pl.lit(pl.Series(label)), method="spearman")).item()
    return {
        "rows_test": len(label),
        "mse": float(np.mean(np.square(label - forecast))),
        "r2": _r2(forecast, label),
        "rank_correlation": None if ranks is None or np.isnan(ranks) else ranks,
    }


def _r2(forecast: npt.NDArray[np.float64], label: npt.NDArray[np.float64]) -> float | None:
    moved = float(np.sum(np.square(label)))
    return 1 - float(np.sum(np.square(label - forecast))) / moved if moved else None
