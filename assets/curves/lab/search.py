"""The search over parameters: first a grid, then Optuna's tree of Parzen estimators, one study for each formula and market.

A try's score is the held-out R2 that the indicator adds to the desk's indicators of other formulas or markets: what it would be
worth in place of the desk's own of its kind. Only training sessions are seen, and every try is a row of `indicator_trials`.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any, Final

import numpy as np
import polars as pl

from assets.curves.joint import one_thread
from assets.curves.lab.gains import Window
from assets.curves.lab.scores import parameters
from assets.curves.schema import IndicatorTrials
from assets.features.indicators import CLASSES, Indicator
from assets.features.indicators.base import SLOW
from assets.features.indicators.external import External

TAUS: Final = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Seconds: thirds of decades around the horizons that the lab follows."""

DEPTHS: Final = (2, 3, 5, 10)

SLOWER: Final = 6.0
"""Of a formula whose catalogue sets a slow time of its own: so many times tau, as there."""

_SEED: Final = 20260824
_BATCH: Final = 4
"""Values that a study asks for at a time, tried in one pass over the data: fewer would be chosen better, and take more passes."""

_STARTUP: Final = 4
"""Tries at random before the estimator takes over; the grid has been told it already."""

Kind = tuple[type[Indicator], str]
"""A formula, and the leader that it reads ("" for the traded market)."""


def kinds(leaders: Sequence[str]) -> list[Kind]:
    """Every formula with every market that it can read; the user's own series have nothing to choose."""
    return [(cls, leader) for leader in ("", *leaders) for cls in CLASSES if cls is not External and (leader or not cls.needs_leader)]


def grid(leaders: Sequence[str]) -> list[Indicator]:
    """Each formula with each value of its parameters on the grid, and as the catalogue has it."""
    found: dict[str, Indicator] = {}
    for cls, leader in kinds(leaders):
        taken = {parameter.name for parameter in cls.parameters}
        own_slow = any("slow" in values for values in cls.settings)
        values = product(TAUS if "tau" in taken else (None,), DEPTHS if "levels" in taken else (None,))
        tried = [_given(tau, max(tau * SLOWER, SLOW.low) if tau and own_slow else None, levels) for tau, levels in values]
        for each in (*cls.settings, *tried):
            indicator = cls(leader, **each)
            found.setdefault(indicator.name, indicator)
    return list(found.values())


@one_thread
def tried(window: Window, indicators: Sequence[Indicator], sampler: str, places: Sequence[int]) -> list[dict[str, Any]]:
    """Rows of `indicator_trials`, still without a number, of the indicators at these places of the window."""
    square = sum(reading.label_square for reading in window.readings)
    rows = []
    for j in places:
        gains = {"score": window.added(j, _of_its_kind(window, indicators, j)), "r2_alone": window.alone(j)}
        found = {name: float(by_session.sum() / square) if square else np.nan for name, by_session in gains.items()}
        rows.append(parameters(indicators[j]) | {"sampler": sampler} | {name: None if np.isnan(r2) else r2 for name, r2 in found.items()})
    return rows


def trials(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """`indicator_trials` from every try, in their order."""
    schema = IndicatorTrials.empty().schema
    frame = pl.DataFrame([{"trial": number, "best": False, **row} for number, row in enumerate(rows)], schema=schema)
    of_kind = ["formula", "leader"]
    first = pl.col("trial").sort_by("score", "trial", descending=[True, False], nulls_last=True).first().over(of_kind)
    return frame.with_columns(best=(pl.col("trial") == first) & pl.col("score").is_not_null())


def tpe(
    leaders: Sequence[str], told: Sequence[dict[str, Any]], count: int, score: Callable[[Sequence[Indicator]], Sequence[dict[str, Any]]]
) -> Iterator[dict[str, Any]]:
    """Tries of the estimator, `count` for each formula and market that has a parameter to choose.

    Args:
        leaders: of the desk.
        told: rows of the grid, which the estimators learn from first.
        count: tries a study.
        score: rows of `indicator_trials` for some indicators, from one pass over the data.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    studies: dict[Kind, Any] = {}
    for place, (cls, leader) in enumerate(kinds(leaders)):
        space = _space(cls)
        if not space:
            continue
        sampler = optuna.samplers.TPESampler(seed=_SEED + place, n_startup_trials=_STARTUP)
        study = studies[cls, leader] = optuna.create_study(direction="maximize", sampler=sampler)
        for row in told:
            inside = all(row[name] is not None and spread.low <= row[name] <= spread.high for name, spread in space.items())
            if (row["formula"], row["leader"]) == (cls.stem, leader) and row["score"] is not None and inside:
                study.add_trial(
                    optuna.trial.create_trial(params={name: row[name] for name in space}, distributions=space, value=row["score"])
                )
    for start in range(0, count, _BATCH):
        asked = [(kind, study.ask(_space(kind[0]))) for kind, study in studies.items() for _ in range(min(_BATCH, count - start))]
        indicators = [cls(leader, **_sensible(trial.params)) for (cls, leader), trial in asked]
        found = {row["indicator"]: row for row in score(list({each.name: each for each in indicators}.values()))}
        for (kind, trial), indicator in zip(asked, indicators, strict=True):
            row = found[indicator.name]
            studies[kind].tell(trial, row["score"] if row["score"] is not None else 0.0)
            yield row


def passes(count: int) -> int:
    """Over the data, for so many tries of a study."""
    return -(-count // _BATCH)


def _given(tau: float | None, slow: float | None, levels: int | None) -> dict[str, Any]:
    return {name: value for name, value in (("tau", tau), ("slow", slow), ("levels", levels)) if value is not None}


def _space(cls: type[Indicator]) -> dict[str, Any]:
    """What a study chooses: tau and slow on a logarithmic scale within the grid's ends and the formula's range, levels."""
    from optuna.distributions import FloatDistribution, IntDistribution

    taken = {parameter.name: parameter for parameter in cls.parameters}
    space: dict[str, Any] = {}
    if "tau" in taken:
        space["tau"] = FloatDistribution(TAUS[0], TAUS[-1], log=True)
    if "slow" in taken:
        space["slow"] = FloatDistribution(10.0, 3600.0, log=True)
    if "levels" in taken:
        space["levels"] = IntDistribution(1, int(taken["levels"].high))
    return space


def _sensible(values: dict[str, Any]) -> dict[str, Any]:
    """To three digits, so that names are short and equal values are one try."""
    return {name: float(f"{value:.3g}") if isinstance(value, float) else value for name, value in values.items()}


def _of_its_kind(window: Window, indicators: Sequence[Indicator], j: int) -> list[int]:
    kind = (indicators[j].stem, indicators[j].leader)
    return [k for k in range(window.desk) if (indicators[k].stem, indicators[k].leader) == kind]
