"""A fitted model as rows: what `joint.py` found through a window's sums, and the prediction made from it."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from numba import njit

from assets.curves.choice import choose
from assets.curves.joint import TOLERANCE, Fit, Shapes, damped_fit, r2, standard_errors
from assets.curves.statistics import (
    BUCKETS,
    CurvesError,
    Floats,
    Indicator,
    Lookup,
    Statistics,
    add,
    bucket_of,
    design_version,
    edges,
    lookup,
    matrix,
)
from assets.provenance import code_of


def fit(
    parts: Sequence[Statistics],
    indicators: Sequence[Indicator],
    *,
    horizon_ns: int,
    first_session: dt.date,
    last_session: dt.date,
    shapes: Shapes | None = None,
) -> pl.DataFrame:
    """Rows of `curve_model` from the statistics of the window's sessions, in the order of time.

    Args:
        parts: one Statistics a session (or a stretch of one, at least a horizon from the next); sessions without rows left out.
        indicators: the present definitions, in the design's order.
        horizon_ns: of the label.
        first_session: first of the training window.
        last_session: last of the training window.
        shapes: a form and a penalty for each indicator; None: those that held-out parts choose.

    Raises:
        CurvesError: there is no row with a label, or the sums belong to another design.
    """
    version = design_version(indicators, horizon_ns)
    parts = [part for part in parts if part.rows]
    if not parts:
        raise CurvesError(f"no row with a label between {first_session} and {last_session}: the curves have nothing to be fitted on")
    if any(part.version != version for part in parts):
        raise CurvesError(
            f"curve_statistics between {first_session} and {last_session} were made for other indicators, buckets or another horizon "
            f"(design {parts[0].version}, now {version}): `tickline make curve_statistics` makes them anew"
        )
    total = add(parts)
    grids = [edges(indicator) for indicator in indicators]
    shapes, tested = choose(parts, grids) if shapes is None else (shapes, None)
    fitted = damped_fit(total, shapes)
    count = total.count
    frame = pl.DataFrame(
        {
            "indicator": np.repeat(total.names, BUCKETS),
            "bucket": np.tile(np.arange(BUCKETS, dtype=np.int16), len(grids)),
            "lower": np.concatenate([grid[:-1] for grid in grids]),
            "upper": np.concatenate([grid[1:] for grid in grids]),
            "count": count,
            "mean": total.label_sum / np.maximum(count, 1),
            "value": fitted.value,
            "form": np.repeat([form.name for form in shapes.forms], BUCKETS),
            "penalty": np.repeat(shapes.penalties, BUCKETS),
            "error": standard_errors(parts, total, fitted),
            "note": [note for note in notes(total, len(parts), fitted) for _ in range(BUCKETS)],
        },
        nan_to_null=True,
        schema_overrides={"error": pl.Float64, "note": pl.String},
    )
    return frame.with_columns(
        version=pl.lit(version),
        code_version=pl.lit(code_of("curves")),
        fingerprint=pl.lit(total.fingerprint),
        first_session=pl.lit(first_session),
        last_session=pl.lit(last_session),
        passes=pl.lit(fitted.passes, pl.Int32),
        step=pl.lit(fitted.step),
        lambda_max=pl.lit(fitted.lambda_max),
        residual=pl.lit(fitted.residual),
        r2_train=pl.lit(r2(fitted.value, total), pl.Float64),
        r2_held_out=pl.lit(tested, pl.Float64),
    )


def notes(total: Statistics, parts: int, fitted: Fit) -> list[str | None]:
    """For each indicator what was done where its sums, or those of all, are too poor for the usual fit; None where nothing was."""
    of_all = []
    if parts == 1:
        of_all.append("one session, nothing to hold out: untested penalty, no error")
    if not total.label_square:
        of_all.append("no label moved: zero")
    if fitted.residual > TOLERANCE:
        of_all.append(f"not at rest after {fitted.passes} passes")
    found = []
    for own in total.count.reshape(-1, BUCKETS):
        of_one = []
        if not own.any():
            of_one.append("zero or missing in every row: no curve")
        elif np.count_nonzero(own) == 1:
            of_one.append("constant but for its sign: one bucket holds every row")
        if 0 < own.sum() < BUCKETS:
            of_one.append(f"{own.sum()} rows for {BUCKETS} buckets: buckets lean on one another")
        found.append("; ".join(of_one + of_all) or None)
    return found


def cross_fitted(
    sessions: Mapping[dt.date, Statistics], folds: Sequence[Sequence[dt.date]], indicators: Sequence[Indicator], *, horizon_ns: int
) -> list[pl.DataFrame]:
    """For each fold the model fitted on all sessions but the fold's own: what the fold's sessions may be predicted with.

    The values of a model have not seen its fold. Its forms and penalties have: they are chosen once, by every session given here, because
    choosing them without each fold takes four times as long; it flatters R2 on the folds by 1 % of itself (0.0753 for 0.0745).

    Args:
        sessions: statistics by session; sessions without rows may be missing.
        folds: groups of sessions, such as the weeks of a window or `stretches` of its sessions.
        indicators: the present definitions, in the design's order.
        horizon_ns: of the label.

    Raises:
        CurvesError: nothing is left to fit on, or the sums belong to another design.
    """
    every = sorted(chain(*folds))
    known = [sessions[session] for session in every if session in sessions and sessions[session].rows]
    shapes = choose(known, [edges(indicator) for indicator in indicators])[0] if known else None
    models = []
    for fold in folds:
        rest = [session for session in every if session not in set(fold)]
        if not any(session in sessions for session in rest):
            raise CurvesError(f"without the sessions {min(fold)} to {max(fold)} nothing is left to fit on: the window needs more of them")
        parts = [sessions[session] for session in rest if session in sessions]
        models.append(fit(parts, indicators, horizon_ns=horizon_ns, first_session=rest[0], last_session=rest[-1], shapes=shapes))
    return models


@dataclass(frozen=True)
class Curves:
    """A model's rows made ready for prediction."""

    names: tuple[str, ...]
    where: Lookup
    value: Floats  # [p, BUCKETS] ticks


def curves(model: pl.DataFrame) -> Curves:
    """Ready the rows of `curve_model`, or any rows with its indicator, bucket, lower, upper and value."""
    names = tuple(model["indicator"].unique(maintain_order=True).to_list())
    lower, upper = (model[side].to_numpy().reshape(len(names), BUCKETS) for side in ("lower", "upper"))
    grids = [np.append(low, high[-1]) for low, high in zip(lower, upper, strict=True)]
    return Curves(names, lookup(grids), model["value"].to_numpy().reshape(len(names), BUCKETS))


def predict(model: pl.DataFrame, features: pl.DataFrame) -> npt.NDArray[np.float32]:
    """Predicted move of the mid over the horizon for each row of a feature table, in ticks.

    Raises:
        CurvesError: an indicator of the model is missing from the features.
    """
    ready = curves(model)
    return predict_matrix(ready, matrix(features, ready.names))


def predict_matrix(ready: Curves, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The same for float32 values [p, n] in the order of the model's indicators; n = 1 serves an event as it comes, with the same bits."""
    return _predict(values.view(np.int32), ready.where.cells, ready.where.uppers, ready.value)


@njit(cache=True, nogil=True)
def _predict(bits: Any, cells: Any, uppers: Any, value: Any) -> Any:
    p, n = bits.shape
    total = np.zeros(n, np.float64)
    for i in range(p):
        for r in range(n):
            total[r] += move_of(bits[i, r], cells[i], uppers[i], value[i])
    return total.astype(np.float32)


@njit(cache=True, nogil=True, _nrt=False)
def move_of(x: Any, cells: Any, uppers: Any, value: Any) -> Any:
    """What one curve says of a value, given as the bits of a float32; 0 where that is no number or zero."""
    magnitude = x & np.int32(0x7FFF_FFFF)
    if magnitude == 0 or magnitude > np.int32(0x7F80_0000):
        return 0.0
    move = value[bucket_of(magnitude, cells, uppers)]
    return move if x > 0 else -move
