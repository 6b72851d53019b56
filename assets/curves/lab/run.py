"""The lab of one period: on the desk's own indicators from their feature tables, or on everything that can be tried, from books."""

import datetime as dt
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import Any, Final

import polars as pl

from assets.books.continuous import read_continuous
from assets.calendar import Calendar
from assets.curves.lab import search
from assets.curves.lab.gains import Window
from assets.curves.lab.readings import Readings, read_session
from assets.curves.lab.scores import Tables, tables
from assets.curves.schema import IndicatorBuckets, IndicatorCorrelations, IndicatorScores, IndicatorTrials
from assets.curves.statistics import CurvesError
from assets.desk import Desk
from assets.features.build import build
from assets.features.chosen import desk_indicators
from assets.features.indicators import Indicator
from assets.lake import Lake

LAB: Final[dict[str, Any]] = {
    "indicator_correlations": IndicatorCorrelations,
    "indicator_buckets": IndicatorBuckets,
    "indicator_trials": IndicatorTrials,
    "indicator_scores": IndicatorScores,
}
"""The lab's tables with their contracts, in the order in which they are written."""

_TIMES: Final = 60
"""Different time constants tried in one pass of the features kernel, which has room for 63."""

Told = Callable[[Mapping[str, tuple[int, int]]], None]

_ONE_THREAD: Final = ("POLARS_MAX_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Found:
    """The lab's four tables of a period."""

    scores: pl.DataFrame
    correlations: pl.DataFrame
    buckets: pl.DataFrame
    trials: pl.DataFrame

    def publish(self, desk: Desk, lake: Lake, period: dt.date) -> None:
        """Write the tables, the scores last: others read them, and find the rest in its place."""
        frames = (self.correlations, self.buckets, self.trials, self.scores)
        for (table, contract), frame in zip(LAB.items(), frames, strict=True):
            lake.write(table, frame, contract, market=desk.traded, period=period)


def score_desk(desk: Desk, lake: Lake, sessions: Sequence[dt.date]) -> Found:
    """The desk's own indicators over some training sessions; tables without rows where none reaches a minute ahead.

    Raises:
        CurvesError: a feature table lacks an indicator.
        LakeError: a feature table is not in the lake.
    """
    chosen = desk_indicators(desk)
    window = _window([read(desk, lake, (), session) for session in sessions], len(chosen))
    if window is None:
        return _nothing()
    return _found(tables(window, chosen), search.tried(window, chosen, "desk", range(len(chosen))))


def score_everything(
    desk: Desk, lake: Lake, sessions: Sequence[dt.date], *, trials: int, workers: int | None = None, told: Told = lambda counts: None
) -> Found:
    """The desk's indicators, and each formula with every value of the grid; then `trials` more of each formula by the estimator.

    The same tables for any number of workers, one process a session at a time (None: as many as there are cores).

    Args:
        told: hears at every step how many sessions have been read of how many, for the grid and for the estimator.

    Raises:
        CurvesError: no session reaches a minute ahead.
        LakeError: books or features of a session are not in the lake.
    """
    chosen = desk_indicators(desk)
    own = {indicator.name for indicator in chosen}
    with _processes(workers or os.cpu_count() or 1) as spread:
        read_so_far = {"grid": 0, "tpe": 0}
        planned = {"grid": len(sessions), "tpe": len(sessions) * search.passes(trials)}

        def look(step: str, candidates: Sequence[Indicator]) -> Window:
            readings = []
            for reading in spread(partial(read, desk, lake, tuple(candidates)), sessions):
                readings.append(reading)
                read_so_far[step] += 1
                told({step: (read_so_far[step], planned[step])})
            window = _window(readings, len(chosen))
            if window is None:
                raise CurvesError(f"no row of {desk.traded} between {sessions[0]} and {sessions[-1]} is known a minute ahead")
            return window

        on_grid = [indicator for indicator in search.grid(desk.leaders) if indicator.name not in own]
        window, every = look("grid", on_grid), [*chosen, *on_grid]
        rows = search.tried(window, every, "desk", range(len(chosen)))
        rows += search.tried(window, every, "grid", range(len(chosen), len(every)))

        def score(candidates: Sequence[Indicator]) -> list[dict[str, Any]]:
            new = [indicator for indicator in candidates if indicator.name not in own]
            further = [*chosen, *new]
            places = [j for j, indicator in enumerate(further) if indicator.name in {candidate.name for candidate in candidates}]
            return search.tried(look("tpe", new), further, "tpe", places)

        rows += list(search.tpe(desk.leaders, rows, trials, score)) if trials else []
    return _found(tables(window, every), rows)


def read(desk: Desk, lake: Lake, candidates: Sequence[Indicator], session: dt.date) -> Readings | None:
    """Readings of a session: the desk's indicators from its feature table, then the candidates from its books."""
    chosen, market = desk_indicators(desk), desk.traded
    columns = ["ts_event", "bid_px", "ask_px", "label", *(indicator.name for indicator in chosen)]
    features = lake.read("feature_table", columns=columns, market=market, session=session)
    tick = desk.markets[market].tick
    for part in _parts(candidates):
        features = features.hstack(_built(desk, lake, session, part).select(indicator.name for indicator in part))
    return read_session(features, [*chosen, *candidates], desk=len(chosen), tick=tick)


def _built(desk: Desk, lake: Lake, session: dt.date, chosen: Sequence[Indicator]) -> pl.DataFrame:
    calendar = Calendar(desk)
    hours = {name: read_continuous(lake, calendar.window(name, session), name, session) for name in desk.all_markets}
    window = hours[desk.traded]
    if window is None:
        raise CurvesError(f"{desk.traded} has features for {session}, which its calendar calls a holiday: `tickline demo` makes it anew")

    def ticks(market: str) -> tuple[pl.DataFrame, pl.DataFrame]:
        return lake.read("clean_books", market=market, session=session), lake.read("trades", market=market, session=session)

    books, trades = ticks(desk.traded)
    return build(
        books,
        trades,
        {name: ticks(name) for name in desk.leaders},
        tick=desk.markets[desk.traded].tick,
        leader_ticks={name: desk.markets[name].tick for name in desk.leaders},
        horizon_ns=desk.horizon_ns,
        continuous=window,
        leaders_continuous={name: its for name in desk.leaders if (its := hours[name])},
        chosen=chosen,
    )


def _parts(candidates: Sequence[Indicator]) -> Iterator[list[Indicator]]:
    """The candidates in parts of which each has no more time constants than one pass takes."""
    part: list[Indicator] = []
    times: set[float] = set()
    for indicator in candidates:
        if part and len(times | {indicator.tau, indicator.slow}) > _TIMES:
            yield part
            part, times = [], set()
        part.append(indicator)
        times |= {indicator.tau, indicator.slow}
    if part:
        yield part


def _window(readings: Sequence[Readings | None], desk: int) -> Window | None:
    known = [reading for reading in readings if reading is not None]
    return Window(known, desk) if known else None


def _found(made: Tables, rows: Sequence[dict[str, Any]]) -> Found:
    return Found(made.scores, made.correlations, made.buckets, search.trials(rows))


def _nothing() -> Found:
    return Found(IndicatorScores.empty(), IndicatorCorrelations.empty(), IndicatorBuckets.empty(), IndicatorTrials.empty())


@contextmanager
def _processes(workers: int) -> Iterator[Callable[..., Any]]:
    """A map over processes, or the plain one where one worker is asked for."""
    if workers == 1:
        yield map
        return
    for variable in _ONE_THREAD:
        os.environ.setdefault(variable, "1")  # the processes are the parallelism
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield pool.map
