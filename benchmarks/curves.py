"""`make bench-curves`: the fit, a week's retraining and a single prediction, beside what people would use.

The rows are of known truth, an additive signal in heavy noise, so that a model's R2 can be told as a share of what the true function
reaches. Times are processor time of all threads, least of five runs for ours and one run for a peer; every model is first
fitted on a few rows, so that imports and compilation are in nobody's time. `python -m benchmarks.curves ROWS` tries it on fewer rows
and keeps no table.
"""

import datetime as dt
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
from rich.console import Console

from assets.curves.estimator import BucketCurves
from assets.curves.kept import restricted
from assets.curves.model import Curves, fit, predict_matrix
from assets.curves.schema import CurveStatistics
from assets.curves.statistics import lookup, session_statistics
from assets.curves.window import read_window
from assets.desk import load_desk
from assets.features.chosen import desk_indicators
from assets.features.indicators import Indicator
from assets.lake import Lake
from benchmarks import features
from benchmarks.table import Line, close

ROWS: Final = 2_000_000
TEST_ROWS: Final = 500_000
FEATURES: Final = 12
R2: Final = 0.03
"""Of the true function: what a good set of indicators reaches on ten seconds of a future."""

CORRELATION: Final = 0.3
"""Of every pair of features."""

QUALITY_TARGET, TIME_TARGET, RETRAIN_LIMIT = 0.997, 200.0, 1.0

SESSIONS: Final = 20
SESSION_ROWS: Final = 120_000
"""Rows of a feature table of the demo."""

WARM: Final = 5_000
"""Rows of a first fit that is not timed."""

EVENTS: Final = 20_000
"""Predictions timed one by one: twenty beyond the 99.9th percentile."""

Array = np.ndarray
Shape = Callable[[Array], Array]

ODD: Final[tuple[Shape, ...]] = (
    lambda x: np.tanh(2 * x),
    lambda x: np.sign(x) * np.sqrt(np.abs(x)),
    lambda x: x * np.exp(-(x**2)),
    lambda x: 0.5 * x,
    lambda x: np.clip(x, -1, 1),
    lambda x: np.sign(x) * np.maximum(np.abs(x) - 1, 0),
    lambda x: 0.6 * np.sin(2 * x),
    lambda x: 0.3 * np.sign(x) * (np.abs(x) > 0.7),
    lambda x: 0.2 * x,
    lambda x: 0.3 * np.sign(x) * np.log1p(np.abs(x)),
)
"""Of the first ten features; the last two know nothing."""

ONE_SIDED: Final[tuple[Shape, ...]] = (*(lambda x, odd=odd: odd(x) * (x > 0) for odd in ODD[:5]), *ODD[5:])
"""The same, but the first five move the label only where their feature is positive."""


class Rows(NamedTuple):
    """Features [n, FEATURES], the true function [n] and the labels [n]."""

    X: Array
    truth: Array
    y: Array


class Fitted(NamedTuple):
    """What a model took, and what it found."""

    seconds: float
    share: float


def main() -> None:
    """Measure everything and close with the table, or only show what fewer rows give."""
    if len(sys.argv) > 1:
        for line in lines(int(sys.argv[1])):
            Console().print(line)
    else:
        close("curves", lines(ROWS))


def lines(rows: int) -> list[Line]:
    """All of the table."""
    return [*_fits(rows), *_not_odd(rows), _retraining(), *_streaming(rows), *features.lines(rows * features.EVENTS // ROWS)]


def _fits(rows: int) -> list[Line]:
    train, test = _made(rows, 1, ODD), _made(TEST_ROWS, 2, ODD)
    ours = min((_fitted(BucketCurves, train, test) for _ in range(5)), key=lambda one: one.seconds)
    found = []
    for name, (make, most) in PEERS.items():
        peer = _fitted(make, Rows(*(side[:most] for side in train)), test)
        given = f", which is given {most:,} of them" if most < rows else ""
        time_target, quality_target = (TIME_TARGET, QUALITY_TARGET) if name == JUDGED else (None, None)
        found += [
            Line(
                f"fit of {rows:,} × {FEATURES} rows, processor time, beside {name}{given}",
                _seconds(ours.seconds),
                _seconds(peer.seconds),
                peer.seconds / ours.seconds,
                time_target,
            ),
            Line("its R², of the true function's", _percent(ours.share), _percent(peer.share), ours.share / peer.share, quality_target),
        ]
    return found


def _not_odd(rows: int) -> list[Line]:
    train, test = _made(rows, 3, ONE_SIDED), _made(TEST_ROWS, 4, ONE_SIDED)
    folded, unfolded = (_fitted(lambda folded=folded: BucketCurves(folded=folded), train, test) for folded in (True, False))
    boosted = _fitted(PEERS[BOOSTED][0], train, test)
    work = "five of ten functions act on one side only, R² of the true function's"
    return [
        Line(f"{work}: folded, beside unfolded", _percent(folded.share), _percent(unfolded.share), folded.share / unfolded.share),
        Line(f"the same: unfolded, beside {BOOSTED}", _percent(unfolded.share), _percent(boosted.share), unfolded.share / boosted.share),
        Line(
            "the same: processor time of the unfolded fit, beside the folded one",
            _seconds(unfolded.seconds),
            _seconds(folded.seconds),
            folded.seconds / unfolded.seconds,
        ),
    ]


def _fitted(make: Callable[[], Any], train: Rows, test: Rows) -> Fitted:
    make().fit(train.X[:WARM], train.y[:WARM])
    model, began = make(), time.process_time()
    model.fit(train.X, train.y)
    seconds = time.process_time() - began
    wrong = float(np.mean(np.square(test.truth - model.predict(test.X))))
    return Fitted(seconds, 1 - wrong / float(np.mean(np.square(test.truth))))


def _made(rows: int, seed: int, shapes: tuple[Shape, ...]) -> Rows:
    random = np.random.default_rng(seed)
    common = random.standard_normal((rows, 1))
    X = np.sqrt(1 - CORRELATION) * random.standard_normal((rows, FEATURES)) + np.sqrt(CORRELATION) * common
    truth = sum((shape(X[:, j]) for j, shape in enumerate(shapes)), start=np.zeros(rows))
    truth = (truth - truth.mean()) / truth.std() * np.sqrt(R2 / (1 - R2))
    return Rows(X, truth, truth + random.standard_normal(rows))


# Retraining and prediction ----------------------------------------------------------------------


def _retraining() -> Line:
    desk = load_desk("desk.toml")
    chosen, days = desk_indicators(desk), [dt.date(2026, 8, 24) + dt.timedelta(days=k) for k in range(SESSIONS)]
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder))
        for day in days:
            sums = session_statistics(_features(chosen, day.toordinal()), chosen, horizon_ns=desk.horizon_ns)
            lake.write("curve_statistics", sums.to_frame(), CurveStatistics, market=desk.traded, session=day)

        def retrained() -> None:
            parts = list(restricted(read_window(lake, desk.traded, days), desk, chosen).values())
            fit(parts, chosen, horizon_ns=desk.horizon_ns, first_session=days[0], last_session=days[-1])

        seconds = min(_timed(retrained) for _ in range(5))
    work = f"retraining a week: statistics of {SESSIONS} sessions × {len(chosen)} indicators read, forms, penalties, passes, errors"
    return Line(f"{work}, processor time", _seconds(seconds), f"limit {RETRAIN_LIMIT:g} s", RETRAIN_LIMIT / seconds, 1.0)


def _features(chosen: list[Indicator], seed: int) -> pl.DataFrame:
    """A session's rows: indicators over the whole of their scales, those of a family (every third) much alike, half of them telling."""
    random = np.random.default_rng(seed)
    families = random.standard_normal((3, SESSION_ROWS))
    columns, move = {}, np.zeros(SESSION_ROWS)
    for j, indicator in enumerate(chosen):
        size = 0.8 * families[j % 3] + 0.6 * random.standard_normal(SESSION_ROWS)
        columns[indicator.name] = np.sign(size) * indicator.lo * (indicator.hi / indicator.lo) ** np.minimum(np.abs(size) / 3, 1)
        move += np.tanh(2 * size) * (j % 2)
    label = np.rint(2 * (0.3 * move + 2 * random.standard_normal(SESSION_ROWS))) / 2
    return pl.DataFrame(columns | {"label": label}).cast(pl.Float32)


def _streaming(rows: int) -> list[Line]:
    from sklearn.ensemble import HistGradientBoostingRegressor

    train = _made(min(rows, 200_000), 5, ODD)
    ours = BucketCurves().fit(train.X, train.y)
    ready = Curves(tuple(f"x{j}" for j in range(FEATURES)), lookup(list(ours.edges_)), ours.values_)
    events = np.ascontiguousarray(train.X[:EVENTS, :, None].astype(np.float32))
    peer = HistGradientBoostingRegressor().fit(train.X, train.y)
    mine = _each(lambda k: predict_matrix(ready, events[k]), EVENTS)
    theirs = _each(lambda k: peer.predict(train.X[k : k + 1]), EVENTS // 10)
    return [
        Line(
            f"prediction of one event × {FEATURES}, called from Python, {name}, beside HistGradientBoosting.predict on one row",
            f"{np.quantile(mine, level):,.0f} ns",
            f"{np.quantile(theirs, level):,.0f} ns",
            float(np.quantile(theirs, level) / np.quantile(mine, level)),
        )
        for name, level in (("median", 0.5), ("99.9th percentile", 0.999))
    ]


def _each(work: Callable[[int], object], events: int) -> Array:
    """Nanoseconds of each call, after as many that are not counted."""
    taken = np.empty(2 * events)
    for k in range(2 * events):
        began = time.perf_counter_ns()
        work(k % events)
        taken[k] = time.perf_counter_ns() - began
    return taken[events:]


def _timed(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s"


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


# The peers --------------------------------------------------------------------------------------


def _ebm(**settings: Any) -> Any:
    from interpret.glassbox import ExplainableBoostingRegressor

    return ExplainableBoostingRegressor(interactions=0, n_jobs=1, random_state=0, **settings)


def _splines() -> Any:
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import SplineTransformer

    return make_pipeline(SplineTransformer(n_knots=16, knots="quantile", extrapolation="constant"), Ridge(alpha=1.0))


def _boosting() -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(max_depth=1, max_iter=500, early_stopping=False, random_state=0)


def _forest() -> Any:
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(n_estimators=50, min_samples_leaf=500, max_features=1 / 3, n_jobs=2, random_state=0)


def _gam() -> Any:
    from pygam import LinearGAM

    return LinearGAM(n_splines=20)


JUDGED: Final = "EBM (interactions=0)"
BOOSTED: Final = "HistGradientBoosting, depth 1, 500 rounds"

PEERS: Final[dict[str, tuple[Callable[[], Any], int]]] = {
    JUDGED: (_ebm, ROWS),
    "EBM of one bag": (lambda: _ebm(outer_bags=1), ROWS),
    "splines and ridge": (_splines, ROWS),
    BOOSTED: (_boosting, ROWS),
    "a random forest of 50": (_forest, 500_000),
    "pyGAM": (_gam, 100_000),
}
"""How each is made, and the most rows it is given: of more the forest would take minutes and pyGAM all memory. EBM as it comes fits
fourteen bags and takes their mean, which gains it a little; of one bag it is the harder peer in time."""


if __name__ == "__main__":
    main()
