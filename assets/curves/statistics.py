"""The sums of a session from which curves are fitted.

A design column stands for one bucket of one indicator. A row whose indicator x falls into bucket b
of |x| holds sign(x) in that column and 0 in the indicator's others: negative values are folded onto
positive ones, so a curve is odd by construction. With Z the design and y the label, the joint fit
needs no rows, only Z'Z (`gram`), Z'y (`label_sum`), y'y (`label_square`) and the number of rows, and
those of two sessions add up. Gram entries are integers and labels are whole half ticks, so every sum
is exact and neither order nor grouping changes a bit of it.

Buckets are logarithmic between the indicator's own lo and hi: bucket b begins at lo (hi/lo)^(b/50).
Smaller values belong to the first bucket, larger ones (infinities too) to the last. Zero and NaN are
no opinion: they are in no bucket.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl
from numba import njit

from assets.desk import UserError

BUCKETS: Final = 50
"""Buckets an indicator: the seed's number; finer ones gain nothing once the curve through them is smooth."""

_CELL_SHIFT: Final = 16
"""A cell is a float32 less its 16 lowest bits: 128 cells an octave, finer than a bucket; a lookup and a comparison find the bucket."""

_CELLS: Final = 1 << (31 - _CELL_SHIFT)
_INFINITY_BITS: Final = 0x7F80_0000
_NO_UPPER: Final = np.iinfo(np.int32).max

_STORED: Final = np.dtype("<i4")
"""Of the gram in a session's partition, as bytes: a list column would take eight times as long to read back."""

_TILE: Final = 2048
"""Rows folded at a time: the tile's buckets and signs (4 kB an indicator) stay in the processor's nearest caches."""

_MIRRORED: Final = 32
"""Rows of the gram mirrored at a time, so that what is read down a column is still near."""

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


class CurvesError(UserError):
    """Statistics, curves or models that cannot be had; the message names the indicator, session or period and the remedy."""


class Indicator(Protocol):
    """What the curves need to know of an indicator: its name, the scale of its buckets and its version."""

    @property
    def name(self) -> str:
        """Column of the feature table."""

    @property
    def lo(self) -> float:
        """Where its first bucket begins, > 0, in the indicator's unit."""

    @property
    def hi(self) -> float:
        """Where its last bucket ends, > lo."""

    @property
    def version(self) -> str:
        """Changes with its formula or parameters."""


def edges(indicator: Indicator) -> Floats:
    """Where the buckets of |indicator| begin and end: BUCKETS + 1 rising float32 values, held as float64.

    Raises:
        CurvesError: lo and hi are not 0 < lo < hi, or too close for BUCKETS buckets.
    """
    lo, hi = float(indicator.lo), float(indicator.hi)
    if not 0 < lo < hi < float(np.finfo(np.float32).max):
        raise CurvesError(f"indicator {indicator.name!r} has lo = {lo} and hi = {hi}: its buckets need 0 < lo < hi, both finite")
    grid = np.geomspace(lo, hi, BUCKETS + 1).astype(np.float32).astype(np.float64)
    if np.any(np.diff(grid) <= 0):
        raise CurvesError(f"indicator {indicator.name!r}: lo = {lo} and hi = {hi} are too close for {BUCKETS} buckets")
    return grid


def design_version(indicators: Sequence[Indicator], horizon_ns: int) -> str:
    """Fingerprint of all that must be equal for sums to add up: indicators, scales, buckets, horizon."""
    parts = [f"{BUCKETS} {horizon_ns}", *(f"{i.name} {i.version} {float(i.lo)!r} {float(i.hi)!r}" for i in indicators)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Lookup:
    """How the kernels find a bucket, an indicator a row. For positive floats the order of the bits is the order of the values."""

    cells: npt.NDArray[np.uint8]  # [p, _CELLS]: bucket at the beginning of a cell
    uppers: npt.NDArray[np.int32]  # [p, BUCKETS]: bits of the value at which the next bucket begins


def lookup(grids: Sequence[Floats]) -> Lookup:
    """The lookup of each indicator's edges, as given by `edges`."""
    starts = (np.arange(_CELLS, dtype=np.int64) << _CELL_SHIFT).astype(np.int32)
    uppers = np.full((len(grids), BUCKETS), _NO_UPPER, np.int32)
    cells = np.empty((len(grids), _CELLS), np.uint8)
    for j, grid in enumerate(grids):
        uppers[j, :-1] = grid[1:-1].astype(np.float32).view(np.int32)
        cells[j] = np.searchsorted(uppers[j, :-1], starts, side="right")
    return Lookup(cells, uppers)


@dataclass(frozen=True)
class Statistics:
    """Sums over some sessions of one design of P = len(names) * BUCKETS columns; `+` and `-` are exact.

    Z'Z is symmetric: kept is its lower triangle, row after row, diagonal included.
    """

    names: tuple[str, ...]
    version: str
    gram: Counts  # [P (P + 1) / 2] lower triangle of Z'Z
    label_sum: Floats  # [P] Z'y, in ticks
    label_square: float  # y'y, in ticks squared
    rows: int  # with a label

    def __add__(self, other: "Statistics") -> "Statistics":
        """The sums over both."""
        self._must_match(other)
        return Statistics(
            self.names,
            self.version,
            self.gram + other.gram,
            self.label_sum + other.label_sum,
            self.label_square + other.label_square,
            self.rows + other.rows,
        )

    def __sub__(self, other: "Statistics") -> "Statistics":
        """The sums over what is in self and not in other, which must be a part of self."""
        self._must_match(other)
        return Statistics(
            self.names,
            self.version,
            self.gram - other.gram,
            self.label_sum - other.label_sum,
            self.label_square - other.label_square,
            self.rows - other.rows,
        )

    @property
    def count(self) -> Counts:
        """Rows in each bucket, [P]: the diagonal of Z'Z."""
        column = np.arange(len(self.label_sum))
        return self.gram[column * (column + 3) // 2]

    def full_gram(self) -> Floats:
        """Z'Z, [P, P]."""
        return _unpack(self.gram, len(self.label_sum))

    def gram_times(self, value: Floats) -> Floats:
        """Z'Z value, [P]."""
        return _times(self.gram, value)

    def squared_error(self, value: Floats) -> float:
        """Sum of (y - Z value)^2 over the rows."""
        return float(self.label_square + value @ (self.gram_times(value) - 2 * self.label_sum))

    def only(self, names: Sequence[str], version: str) -> "Statistics":
        """The sums of some of the indicators, in the order of the design, as of the design `version` that has only these."""
        columns = np.flatnonzero(np.repeat([name in set(names) for name in self.names], BUCKETS))
        row, column = np.tril_indices(len(columns))
        gram = self.gram[columns[row] * (columns[row] + 1) // 2 + columns[column]]
        return Statistics(tuple(names), version, gram, self.label_sum[columns], self.label_square, self.rows)

    @property
    def fingerprint(self) -> str:
        """sha256 of every sum."""
        digest = hashlib.sha256(f"{self.version} {self.rows} {self.label_square!r}".encode())
        digest.update(self.gram.tobytes())
        digest.update(self.label_sum.tobytes())
        return digest.hexdigest()

    def to_frame(self, series: str = "") -> pl.DataFrame:
        """As rows of `curve_statistics`, in the design's order; a row's gram ends with its own column.

        series: fingerprint of the user's own tables as the session knew them.
        """
        size = len(self.label_sum)
        gram = self.gram.astype(_STORED)
        ends = np.arange(size + 1) * np.arange(1, size + 2) // 2
        return pl.DataFrame(
            {
                "indicator": np.repeat(self.names, BUCKETS),
                "bucket": np.tile(np.arange(BUCKETS, dtype=np.int16), len(self.names)),
                "version": np.repeat(self.version, size),
                "series": np.repeat(series, size),
                "count": self.count,
                "label_sum": self.label_sum,
                "label_square": np.full(size, self.label_square),
                "rows": np.full(size, self.rows),
                "gram": [gram[start:end].tobytes() for start, end in pairwise(ends)],
            }
        )

    @staticmethod
    def from_frame(frame: pl.DataFrame) -> "Statistics":
        """From rows of `curve_statistics` of one session with at least one indicator."""
        names = tuple(frame["indicator"].unique(maintain_order=True).to_list())
        gram = np.frombuffer(b"".join(frame["gram"]), _STORED).astype(np.int64)
        first = frame.row(0, named=True)
        return Statistics(names, first["version"], gram, frame["label_sum"].to_numpy(), first["label_square"], first["rows"])

    def _must_match(self, other: "Statistics") -> None:
        if (self.version, self.names) != (other.version, other.names):
            raise CurvesError(
                f"sums of design {self.version} and of design {other.version} do not add up: indicators, buckets or horizon changed "
                "between them; `tickline make curve_statistics` makes them anew"
            )


def add(parts: Iterable[Statistics]) -> Statistics:
    """The sums over all parts, in any order.

    Raises:
        CurvesError: there are no parts, or they are of different designs.
    """
    parts = list(parts)
    if not parts:
        raise CurvesError("there are no statistics to add: every session of the window is empty")
    first, *others = parts
    gram, label_sum = first.gram.copy(), first.label_sum.copy()
    for part in others:
        first._must_match(part)
        gram += part.gram  # in place: fresh memory would cost more than the sums
        label_sum += part.label_sum
    label_square, rows = sum(part.label_square for part in parts), sum(part.rows for part in parts)
    return Statistics(first.names, first.version, gram, label_sum, label_square, rows)


def matrix(features: pl.DataFrame, names: Sequence[str]) -> npt.NDArray[np.float32]:
    """The named columns as float32 [p, n], an indicator a row; null becomes NaN.

    Raises:
        CurvesError: a column is missing.
    """
    missing = [name for name in names if name not in features.columns]
    if missing:
        raise CurvesError(f"indicator {missing[0]!r} is not in the feature table: `tickline make feature_table` makes it anew")
    values = np.empty((len(names), features.height), np.float32)
    for j, name in enumerate(names):
        values[j] = features[name].cast(pl.Float32).to_numpy()
    return values


def session_statistics(features: pl.DataFrame, indicators: Sequence[Indicator], *, horizon_ns: int) -> Statistics:
    """The sums of a session's feature table; rows without a label do not count.

    Raises:
        CurvesError: an indicator's column is missing or its scale unusable, or a label is not in whole half ticks.
    """
    label = features["label"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    known = label[~np.isnan(label)]
    if not np.array_equal(np.rint(2 * known), 2 * known) or not np.all(np.isfinite(known)):
        raise CurvesError("a label is not a whole number of half ticks: check the tick_size of the traded market in the desk file")
    names = tuple(indicator.name for indicator in indicators)
    gram, label_sum = accumulate(matrix(features, names), label, lookup([edges(indicator) for indicator in indicators]))
    return Statistics(names, design_version(indicators, horizon_ns), gram, label_sum, float(known @ known), known.size)


def accumulate(values: npt.NDArray[np.float32], label: Floats, where: Lookup) -> tuple[Counts, Floats]:
    """Z'Z (its lower triangle) and Z'y of float32 values [p, n] and labels [n]; a NaN label leaves its row out."""
    blocks, label_sum = _accumulate(values.view(np.int32), label, where.cells, where.uppers)
    return _pack(blocks, len(values)), label_sum.reshape(-1)


@njit(cache=True, nogil=True, inline="always")
def bucket_of(bits: Any, cells: Any, uppers: Any) -> Any:
    """Bucket of |x| for the bits of a positive float32."""
    bucket = cells[bits >> _CELL_SHIFT]
    while bits >= uppers[bucket]:
        bucket += np.uint8(1)
    return bucket


@njit(cache=True, nogil=True)
def _accumulate(bits: Any, label: Any, cells: Any, uppers: Any) -> tuple[Any, Any]:
    """One pass: each tile of rows is folded once, then counted into the block of every pair of indicators (j <= i)."""
    p, n = bits.shape
    blocks = np.zeros((p * (p + 1) // 2, BUCKETS * BUCKETS), np.int32)
    label_sum = np.zeros((p, BUCKETS), np.float64)
    bucket = np.zeros((p, _TILE), np.uint16)
    sign = np.zeros((p, _TILE), np.int8)
    for start in range(0, n, _TILE):
        size = min(_TILE, n - start)
        for i in range(p):
            for r in range(size):
                x = bits[i, start + r]
                y = label[start + r]
                magnitude = x & np.int32(0x7FFF_FFFF)
                if magnitude == 0 or magnitude > _INFINITY_BITS or np.isnan(y):
                    sign[i, r] = 0
                    bucket[i, r] = 0
                else:
                    b = bucket_of(magnitude, cells[i], uppers[i])
                    s = 1 if x > 0 else -1
                    bucket[i, r] = b
                    sign[i, r] = s
                    label_sum[i, b] += s * y
        for i in range(p):
            pairs = i * (i + 1) // 2
            j = 0
            while j < i:  # two at a time: the row's cell and sign of i are looked up once for both
                one, other = blocks[pairs + j], blocks[pairs + j + 1]
                for r in range(size):
                    at, mine = np.uint32(bucket[i, r]) * np.uint32(BUCKETS), np.int32(sign[i, r])
                    one[at + np.uint32(bucket[j, r])] += mine * np.int32(sign[j, r])
                    other[at + np.uint32(bucket[j + 1, r])] += mine * np.int32(sign[j + 1, r])
                j += 2
            if j == i:
                block = blocks[pairs + i]
                for r in range(size):
                    at = np.uint32(bucket[i, r]) * np.uint32(BUCKETS)
                    block[at + np.uint32(bucket[i, r])] += np.int32(sign[i, r]) * np.int32(sign[i, r])
    return blocks.reshape(-1, BUCKETS, BUCKETS), label_sum


@njit(cache=True, nogil=True)
def _pack(blocks: Any, p: Any) -> Any:
    """From the block of every pair of indicators to the lower triangle, row after row."""
    size = p * BUCKETS
    gram = np.empty(size * (size + 1) // 2, np.int64)
    at = 0
    for i in range(p):
        for a in range(BUCKETS):
            for j in range(i + 1):
                for b in range(BUCKETS if j < i else a + 1):
                    gram[at] = blocks[i * (i + 1) // 2 + j, a, b]
                    at += 1
    return gram


@njit(cache=True, nogil=True)
def _unpack(gram: Any, size: Any) -> Any:
    full = np.empty((size, size), np.float64)
    for top in range(0, size, _MIRRORED):
        bottom = min(top + _MIRRORED, size)
        for row in range(top, bottom):
            start = row * (row + 1) // 2
            for column in range(row + 1):
                full[row, column] = gram[start + column]
        for column in range(bottom):
            for row in range(max(top, column), bottom):
                full[column, row] = full[row, column]
    return full


@njit(cache=True, nogil=True)
def _times(gram: Any, value: Any) -> Any:
    product = np.zeros(len(value), np.float64)
    at = 0
    for row in range(len(value)):
        own = 0.0
        for column in range(row):
            own += gram[at + column] * value[column]
            product[column] += gram[at + column] * value[row]
        product[row] += own + gram[at + row] * value[row]
        at += row + 1
    return product
