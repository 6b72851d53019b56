"""What one session says of many indicators at once: figures and sums that need its rows only once.

An indicator is read by its signed bucket: 0 where it has no opinion, else the number of the bucket of |value| with the
value's sign, from -BUCKETS to BUCKETS. Ranks are those of signed buckets, so that a rank correlation is Spearman's of the
bucketed indicator. Places are the KNOTS of piecewise linear curves: the sums of buckets through them suffice for every fit.

Only rows count from which every horizon is known.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
from numba import njit

from assets.curves.forms import KNOTS, LINEAR
from assets.curves.joint import one_thread
from assets.curves.statistics import BUCKETS, Floats, Indicator, Lookup, bucket_of, edges, lookup, matrix
from assets.desk import NS

HORIZONS: Final = (1, 2, 5, 10, 20, 30, 60)
"""Seconds ahead at which an indicator's correlation is followed."""

_CELLS: Final = 2 * BUCKETS + 1


@dataclass(frozen=True)
class Readings:
    """One session, p indicators, the first q of them the desk's."""

    names: tuple[str, ...]
    rows: int
    label_square: float
    """Sum of the squared label, ticks squared."""
    count: Floats
    """[p, BUCKETS] rows."""
    label_sum: Floats
    """[p, BUCKETS] sums of s * label, ticks."""
    hits: Floats
    """[p] rows that moved the way of the indicator's sign."""
    misses: Floats
    ranks: Floats
    """[p, 1 + len(HORIZONS)] rank correlation with the label, then with the move over each horizon; NaN where one of both is constant."""
    alike: npt.NDArray[np.float32]
    """[p, p] rank correlation of each pair; NaN where one of both is constant."""
    gram: Floats
    """[p, KNOTS, q * KNOTS] B'Z'Z B: each indicator's places against those of the desk's indicators."""

    @property
    def through(self) -> Floats:
        """[p, KNOTS] sums of the label through the places."""
        return self.label_sum @ LINEAR.basis

    @property
    def own(self) -> Floats:
        """[p, KNOTS, KNOTS] each indicator's places against themselves."""
        return np.asarray((LINEAR.basis.T * self.count[:, None]) @ LINEAR.basis)


@one_thread
def read_session(features: pl.DataFrame, indicators: Sequence[Indicator], *, desk: int, tick: int) -> Readings | None:
    """The readings of a session; None where no row is known at every horizon.

    Args:
        features: rows of `feature_table` with a column for each indicator.
        indicators: p of them, the desk's first.
        desk: how many are the desk's.
        tick: price step of the traded market in 1e-9.

    Raises:
        CurvesError: an indicator's column is missing.
    """
    moves = _moves(features, tick)
    known = ~np.isnan(moves).any(axis=1)
    if not known.any():
        return None
    moves = moves[known]
    names = tuple(indicator.name for indicator in indicators)
    cells = _cells(matrix(features, names)[:, known].view(np.int32), *_tables(indicators))
    label = moves[:, 0]
    counts, sums, hits, misses = _tally(cells, label)
    signed = np.stack([_midranks(count)[cell.astype(np.int16) + BUCKETS] for count, cell in zip(counts, cells, strict=True)])
    ranked = np.stack([_midranks_of(move) for move in moves.T]).astype(np.float32)
    lengths = np.sqrt(np.einsum("in,in->i", signed, signed, dtype=np.float64))
    with np.errstate(invalid="ignore", divide="ignore"):
        # One by one: a product of two matrices rounds by their size, and what is said of one indicator must not depend on the others.
        ranks = np.stack([ranked @ row for row in signed]) / np.outer(lengths, np.linalg.norm(ranked.astype(np.float64), axis=1))
        alike = (signed @ signed.T) / np.outer(lengths, lengths)
    above, below = slice(BUCKETS + 1, None), slice(BUCKETS - 1, None, -1)
    pairs = _pairs(cells, desk).astype(np.float64)
    gram = (LINEAR.basis.T @ pairs @ LINEAR.basis).transpose(0, 2, 1, 3).reshape(len(names), KNOTS, -1)
    return Readings(
        names, len(label), float(label @ label), (counts[:, above] + counts[:, below]).astype(np.float64), sums[:, above] - sums[:, below],
        hits, misses, ranks, alike.astype(np.float32), gram,
    )  # fmt: skip


def _moves(features: pl.DataFrame, tick: int) -> Floats:
    """[n, 1 + len(HORIZONS)] the label, then the mid's move over each horizon, ticks; NaN where the rows end before."""
    ts = features["ts_event"].to_numpy()
    twice = (features["bid_px"] + features["ask_px"]).to_numpy()
    columns = [features["label"].cast(pl.Float64).fill_null(np.nan).to_numpy()]
    for horizon in HORIZONS:
        then = ts + horizon * NS
        at = np.searchsorted(ts, then, side="right") - 1
        columns.append(np.where(then <= ts[-1:], (twice[at] - twice) / (2.0 * tick), np.nan))
    return np.column_stack(columns)


def _tables(indicators: Sequence[Indicator]) -> tuple[Any, Any]:
    where: Lookup = lookup([edges(indicator) for indicator in indicators])
    return where.cells, where.uppers


def _midranks(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Of each value its rank, counted from the middle of all: ties share theirs."""
    return (np.cumsum(counts) - counts / 2 - counts.sum() / 2).astype(np.float32)


def _midranks_of(move: Floats) -> npt.NDArray[np.float32]:
    place = np.rint(2 * move).astype(np.int64)  # moves are half ticks
    place -= place.min()
    return _midranks(np.bincount(place))[place]


@njit(cache=True, nogil=True)
def _cells(bits: Any, cells: Any, uppers: Any) -> Any:
    """Signed bucket of each value: int8 [p, n], counted from 1, 0 where there is no opinion."""
    p, n = bits.shape
    out = np.zeros((p, n), np.int8)
    for i in range(p):
        for r in range(n):
            magnitude = bits[i, r] & np.int32(0x7FFF_FFFF)
            if magnitude != 0 and magnitude <= np.int32(0x7F80_0000):
                bucket = np.int8(bucket_of(magnitude, cells[i], uppers[i]) + 1)
                out[i, r] = bucket if bits[i, r] > 0 else -bucket
    return out


@njit(cache=True, nogil=True)
def _tally(cells: Any, label: Any) -> Any:
    """Rows and label sums of each signed bucket, [p, _CELLS]; rows that moved with the sign and against it, [p]."""
    p, n = cells.shape
    counts, sums = np.zeros((p, _CELLS), np.int64), np.zeros((p, _CELLS))
    hits, misses = np.zeros(p), np.zeros(p)
    for i in range(p):
        for r in range(n):
            cell, y = cells[i, r], label[r]
            counts[i, cell + BUCKETS] += 1
            sums[i, cell + BUCKETS] += y
            hits[i] += cell * y > 0.0
            misses[i] += cell * y < 0.0
    return counts, sums, hits, misses


@njit(cache=True, nogil=True)
def _pairs(cells: Any, desk: Any) -> Any:
    """Signed counts of every bucket of each indicator with every one of the first `desk`: int32 [p, desk, BUCKETS, BUCKETS].

    The rows only count pairs of signed buckets, in a table that stays in the processor's nearest cache; the signs come after.
    """
    p, n = cells.shape
    out = np.zeros((p, desk, BUCKETS, BUCKETS), np.int32)
    columns = (cells[:desk].astype(np.int16) + BUCKETS).astype(np.uint8)
    starts = np.empty(n, np.uint16)
    counts = np.empty(_CELLS * _CELLS, np.int32)
    square = counts.reshape((_CELLS, _CELLS))
    up, down = square[BUCKETS + 1 :], square[:BUCKETS][::-1]
    for i in range(p):
        for r in range(n):
            starts[r] = (np.int32(cells[i, r]) + BUCKETS) * _CELLS
        for j in range(min(desk, i + 1)):
            counts[:] = 0
            column = columns[j]
            for r in range(n):
                counts[np.uint32(starts[r]) + np.uint32(column[r])] += 1
            odd = up - down
            out[i, j] = odd[:, BUCKETS + 1 :] - odd[:, :BUCKETS][:, ::-1]
    for i in range(min(desk, p)):
        for j in range(i):
            out[j, i] = out[i, j].T
    return out
