"""What people would use instead of the curves: how each model is made, and how many rows its training can afford.

A rival sees the same indicators and the same training sessions as the curves. No label reaches past its own
session's end, so between sessions the purge is complete without a gap.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVR
from sklearn.tree import DecisionTreeRegressor

CURVES: Final = "curves"
"""The name of our own model among the scores and on the desk."""

CHAMPION: Final = "champion"
"""On the desk: whichever model held-out sessions of the period's own training window prefer."""

MOST_ROWS: Final = 300_000
"""Of a training window that any rival is trained on: every k-th. Labels of neighbouring rows overlap; 1.5 million gave the same R2."""


@dataclass(frozen=True)
class Rival:
    """How a model is made, and how many rows its training can afford."""

    make: Callable[[], Any]
    most_rows: int = MOST_ROWS


RIVALS: Final[dict[str, Rival]] = {
    "zero": Rival(lambda: DummyRegressor(strategy="constant", constant=0.0)),
    "ridge": Rival(lambda: make_pipeline(StandardScaler(), Ridge(alpha=1000.0))),
    "linear": Rival(LinearRegression),
    "linear_svr": Rival(
        lambda: make_pipeline(StandardScaler(), LinearSVR(epsilon=0.25, C=0.01, dual=True, max_iter=2_000, random_state=0)),
        most_rows=100_000,
    ),
    "decision_tree": Rival(lambda: DecisionTreeRegressor(max_depth=8, min_samples_leaf=300, random_state=0), most_rows=60_000),
    "gradient_boosting": Rival(
        lambda: HistGradientBoostingRegressor(max_iter=60, max_leaf_nodes=15, early_stopping=False, random_state=0), most_rows=150_000
    ),
    "random_forest": Rival(
        lambda: RandomForestRegressor(24, min_samples_leaf=100, max_features=1 / 3, max_samples=0.5, random_state=0), most_rows=60_000
    ),
    "kernel_svr": Rival(
        lambda: make_pipeline(
            StandardScaler(),
            Nystroem(gamma=0.01, n_components=100, random_state=0),
            LinearSVR(epsilon=0.25, C=0.1, dual=True, max_iter=2_000, random_state=0),
        ),
        most_rows=60_000,
    ),
}
"""Every model that is set beside the curves, the plainest first, by the name it has in `model_scores` and on the desk."""

SIMPLICITY: Final = ("zero", "ridge", "linear", "linear_svr", CURVES, "decision_tree", "gradient_boosting", "random_forest", "kernel_svr")
"""All models, the plainest first: of models that held-out sessions cannot tell apart the plainest is the champion."""
