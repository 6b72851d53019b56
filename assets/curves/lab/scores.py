"""The lab's tables: every figure of an indicator, whether it passes the test, and whether it is redundant."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from scipy import stats

from assets.curves.evaluation import ratio
from assets.curves.joint import one_thread
from assets.curves.lab.gains import Window
from assets.curves.lab.readings import HORIZONS
from assets.curves.schema import IndicatorBuckets, IndicatorCorrelations, IndicatorScores
from assets.curves.statistics import BUCKETS, Floats, edges
from assets.features.indicators import Indicator

LEVEL: Final = 0.05
"""Of the test: the chance that any of a period's indicators passes where none is worth anything."""

SHARED: Final = 0.7
"""Rank correlation from which two indicators may be redundant: half of what one says, the other says too."""

MATTERS: Final = 0.001
"""Of the held-out R2 of all together: one that adds less adds nothing. Where what it adds had to be above zero beyond its interval instead,
three of sixteen went in a week and not two, and out of sample the demo lost 0.3 and 1.3 % of R2; so it loses 0.1 and 0.03 %."""

_DRAWS: Final = 2000
_SEED: Final = 20260824
"""Of the bootstrap: any number does, as long as it stays."""

_COVERED: Final = (2.5, 97.5)

_LEAST_SHARE: Final = 0.001
"""Of a bucket's rows among all with an opinion; a thinner bucket's mean says nothing of monotonicity."""


@dataclass(frozen=True)
class Tables:
    """Rows of the lab's tables of one period."""

    scores: pl.DataFrame
    correlations: pl.DataFrame
    buckets: pl.DataFrame


@one_thread
def tables(window: Window, indicators: Sequence[Indicator]) -> Tables:
    """Everything that the readings of a training window say of its indicators, the desk's first."""
    scores = pl.DataFrame(_rows(window, indicators), schema=IndicatorScores.empty().schema)
    return Tables(scores, _correlations(window), _buckets(window, indicators))


def parameters(indicator: Indicator) -> dict[str, Any]:
    """An indicator's formula, leader and parameters; None for those that the formula does not take."""
    taken = {parameter.name for parameter in indicator.parameters}
    values = {name: getattr(indicator, name) if name in taken else None for name in ("tau", "slow", "levels")}
    return {"indicator": indicator.name, "formula": indicator.stem, "leader": indicator.leader, **values}


def significance(ranks: Floats) -> tuple[Floats, Floats, Floats]:
    """The test: is the mean of the sessions' rank correlations zero? Student's t, two-sided, a session one observation.

    Args:
        ranks: of S sessions with the label, [S, p]; 0 where an indicator says nothing.

    Returns:
        t, p and p adjusted for the number of indicators (`holm`), [p] each; NaN with one session.
    """
    sessions, p = ranks.shape
    if sessions == 1:
        return np.full(p, np.nan), np.full(p, np.nan), np.full(p, np.nan)
    mean = ranks.mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        t_values = np.where(mean == 0, 0.0, mean / ranks.std(axis=0, ddof=1) * np.sqrt(sessions))
    p_values = 2 * stats.t.sf(np.abs(t_values), sessions - 1)
    return t_values, p_values, holm(p_values)


def holm(p_values: Floats) -> Floats:
    """Holm's adjusted p-values: with those of at most LEVEL called, the chance of any false call is at most LEVEL."""
    order = np.argsort(p_values)
    stepped = p_values[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return adjusted


def redundant(alone: Floats, alike: Floats, adds: Callable[[int, Sequence[int]], bool]) -> dict[int, int]:
    """The desk's indicators to leave out, each with the one that it is left out for, by their numbers.

    From the worst alone to the best: one that shares SHARED or more with another that is still there is dropped, unless it adds
    to all that are. Of copies that add nothing beside one another one is left. What it is left out for shares SHARED or more with it:
    the closest of those that are kept, or else the closest of those that were still there, which was left out in its turn.

    Args:
        alone: held-out R2 of each by itself, [q].
        alike: rank correlations, [q, q].
        adds: whether one adds to the others without those dropped.
    """
    worst_first = sorted(range(len(alone)), key=lambda j: (alone[j], -j))
    dropped: dict[int, int] = {}
    for j in worst_first:
        near = [k for k in worst_first if k != j and k not in dropped and abs(alike[j, k]) >= SHARED]
        if near and not adds(j, list(dropped)):
            dropped[j] = max(near, key=lambda k: abs(alike[j, k]))
    for j in dropped:
        kept = [k for k in worst_first if k not in dropped and abs(alike[j, k]) >= SHARED]
        if kept:
            dropped[j] = max(kept, key=lambda k: abs(alike[j, k]))
    return dropped


def _rows(window: Window, indicators: Sequence[Indicator]) -> list[dict[str, Any]]:
    readings, p = window.readings, len(indicators)
    sessions = len(readings)
    draws = np.random.default_rng(_SEED).multinomial(sessions, np.full(sessions, 1 / sessions), _DRAWS).astype(np.float64)
    squares = np.array([reading.label_square for reading in readings])
    alone, added = ([gain(j) for j in range(p)] for gain in (window.alone, window.added))
    ranks = np.nan_to_num(np.stack([reading.ranks for reading in readings]))  # [S, p, 1 + horizons]
    t_values, p_values, adjusted = significance(ranks[:, :, 0])
    with np.errstate(invalid="ignore", divide="ignore"):
        deviations = ranks[:, :, 0].std(axis=0, ddof=1) if sessions > 1 else np.full(p, np.nan)
        mean = ranks.mean(axis=0)
        drawn = draws @ ranks[:, :, 0] / sessions
        spreads = np.sqrt((draws @ np.square(ranks[:, :, 0]) / sessions - np.square(drawn)) * sessions / max(sessions - 1, 1))
        stable = np.where(spreads > 0, drawn / spreads, np.nan)
    alike = _alike(window)
    r2_added, r2_alone = ([_share(gains, squares) for gains in each] for each in (added, alone))
    desk = window.desk
    best = np.array([r2[0] for r2 in r2_alone[:desk]])
    matters = MATTERS * window.together().sum()

    def adds(j: int, without: Sequence[int]) -> bool:
        return not window.added(j, without).sum() < matters  # with one session that is not known, and nothing is dropped

    dropped = redundant(best, alike, adds)
    rows = []
    for j, indicator in enumerate(indicators):
        near = {k: abs(alike[j, k]) for k in range(desk) if k != j and not np.isnan(alike[j, k])}
        closest = max(near, key=lambda k: near[k]) if near else None
        counts, sums = (sum(getattr(reading, name)[j] for reading in readings) for name in ("count", "label_sum"))
        hits, misses = (sum(getattr(reading, name)[j] for reading in readings) for name in ("hits", "misses"))
        decay = {f"rank_{horizon}s": value for horizon, value in zip(HORIZONS, mean[j, 1:], strict=True)}
        rows.append(
            parameters(indicator) | decay
            | dict(zip(("r2_alone", "r2_alone_low", "r2_alone_high"), r2_alone[j], strict=True))
            | dict(zip(("r2_added", "r2_added_low", "r2_added_high"), r2_added[j], strict=True))
            | dict(zip(("rank_low", "rank_high"), ratio(ranks[:, j, 0], np.ones(sessions))[2:], strict=True))
            | dict(zip(("stability_low", "stability_high"), _covered(stable[:, j]), strict=True))
            | {
                "on_desk": j < desk, "sessions": sessions, "rows": int(counts.sum()), "rank_correlation": mean[j, 0],
                "stability": mean[j, 0] / deviations[j] if deviations[j] > 0 else None,
                "hit_rate": hits / (hits + misses) if hits + misses else None, "monotonicity": _monotonicity(counts, sums),
                "t_value": t_values[j], "p_value": p_values[j], "p_adjusted": adjusted[j], "passes": bool(adjusted[j] <= LEVEL),
                "closest": None if closest is None else window.names[closest],
                "closest_correlation": None if closest is None else alike[j, closest],
                "kept": j < desk and j not in dropped, "dropped_for": window.names[dropped[j]] if j in dropped else None,
            }
        )  # fmt: skip
    return [{name: None if isinstance(value, float) and np.isnan(value) else value for name, value in row.items()} for row in rows]


def _share(gains: Floats, squares: Floats) -> tuple[float, float | None, float | None]:
    """R2 gained, and its interval."""
    gained = ratio(gains, squares)
    return gained.value or 0.0, gained.low, gained.high


def _covered(values: Floats) -> tuple[float, float]:
    known = values[~np.isnan(values)]
    low, high = np.percentile(known, _COVERED) if known.size else (np.nan, np.nan)
    return float(low), float(high)


def _monotonicity(counts: Floats, sums: Floats) -> float | None:
    seen = counts > max(_LEAST_SHARE * counts.sum(), 0)
    if seen.sum() < 3:
        return None
    return float(stats.spearmanr(np.flatnonzero(seen), sums[seen] / counts[seen]).statistic)


def _alike(window: Window) -> Floats:
    """Mean over the sessions in which both of a pair vary, [p, p]; NaN where there is none."""
    every = np.stack([reading.alike for reading in window.readings]).astype(np.float64)
    known = ~np.isnan(every)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, every, 0.0).sum(axis=0) / known.sum(axis=0))


def _correlations(window: Window) -> pl.DataFrame:
    first, second = np.triu_indices(len(window.names), 1)
    names = np.array(window.names)
    columns = {"indicator": names[first], "other": names[second], "correlation": _alike(window)[first, second]}
    return pl.DataFrame(columns, schema=IndicatorCorrelations.empty().schema, nan_to_null=True)


def _buckets(window: Window, indicators: Sequence[Indicator]) -> pl.DataFrame:
    counts, sums = (sum(getattr(reading, name) for reading in window.readings) for name in ("count", "label_sum"))
    with np.errstate(invalid="ignore"):
        means = sums / counts
    curves = [window.curve(j) for j in range(len(indicators))]
    grids = [edges(indicator) for indicator in indicators]
    columns = {
        "indicator": np.repeat(window.names, BUCKETS),
        "bucket": np.tile(np.arange(BUCKETS), len(indicators)),
        "lower": np.concatenate([grid[:-1] for grid in grids]),
        "upper": np.concatenate([grid[1:] for grid in grids]),
        "count": counts.reshape(-1).astype(np.int64),
        "mean": means.reshape(-1),
        "value": np.concatenate([value for value, _ in curves]),
        "error": np.concatenate([error for _, error in curves]),
    }
    return pl.DataFrame(columns, schema=IndicatorBuckets.empty().schema, nan_to_null=True)
