"""Second floor: signed indicators at each change of the top of the book, and the label."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandera.polars as pa
import polars as pl


class FeatureTable(pa.DataFrameModel):
    """`feature_table`: a row for each change of the best price or size of the traded market or of a leader.

    Beside these columns, one Float32 column an indicator, named by it; positive means up, zero means no opinion.
    Sorted by ts_event. Nothing in a row depends on anything after it but the label.
    """

    ts_event: pl.Int64 = pa.Field(ge=0, description="Exchange time of the change, UTC nanoseconds, never falling")
    row: pl.UInt32 = pa.Field(description="Row of the traded market's `raw_ticks` that is the last one known")
    own: pl.Boolean = pa.Field(description="True where the traded market changed, false where a leader did")
    bid_px: pl.Int64 = pa.Field(description="Best bid, 1e-9")
    ask_px: pl.Int64 = pa.Field(description="Best ask, 1e-9, above bid_px")
    label: pl.Float32 = pa.Field(nullable=True, description="Mid a horizon later minus mid now, in ticks; null past the session's end")


def contract(names: Sequence[str]) -> type[FeatureTable]:
    """`FeatureTable` with the columns of the named indicators: Float32, each value a finite number."""
    fields = {name: _finite() for name in names}
    return type("FeatureTable", (FeatureTable,), {"__annotations__": dict.fromkeys(names, pl.Float32), **fields})


def _finite() -> Any:
    largest = float(np.finfo(np.float32).max)
    return pa.Field(ge=-largest, le=largest)
