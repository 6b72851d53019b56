"""Streams of market-by-order records: real ones where they are there, random ones always."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

REAL = Path(__file__).parents[2].parent / "shared/data"
COLUMNS = {
    "ts_recv": pl.Int64,
    "ts_event": pl.Int64,
    "rtype": pl.UInt8,
    "publisher_id": pl.UInt16,
    "instrument_id": pl.UInt32,
    "action": pl.UInt8,
    "side": pl.UInt8,
    "price": pl.Int64,
    "size": pl.UInt32,
    "channel_id": pl.UInt8,
    "order_id": pl.UInt64,
    "flags": pl.UInt8,
    "ts_in_delta": pl.Int32,
    "sequence": pl.UInt32,
}
CONSTANT = {"rtype": 160, "publisher_id": 1, "instrument_id": 7, "channel_id": 0, "ts_in_delta": 0}


def _frame(records: list[dict[str, Any]]) -> pl.DataFrame:
    rows = []
    for number, record in enumerate(records):
        time = 1_000 * (number + 1)
        whole = {"ts_event": time, "side": "N", "price": 100, "size": 1, "order_id": 0, "flags": 128, "sequence": number + 1} | record
        whole = {"ts_recv": max(whole["ts_event"], 0) + 50} | CONSTANT | whole
        rows.append(whole | {"action": ord(whole["action"]), "side": ord(whole["side"])})
    return pl.DataFrame(rows, schema=COLUMNS)


@pytest.fixture(scope="session")
def frame() -> Callable[[list[dict[str, Any]]], pl.DataFrame]:
    """Records written as {"action": "A", "side": "B", ...}, what is left out filled in, as `raw_ticks`."""
    return _frame


@pytest.fixture(scope="session")
def real() -> Callable[[str], pl.DataFrame]:
    """A real DBN file as `raw_ticks`; skips where the shared data is absent."""

    def load(name: str) -> pl.DataFrame:
        path = REAL / name
        if not path.is_file():
            pytest.skip(f"real data {path} is not here")
        import databento

        records = databento.DBNStore.from_bytes(path.read_bytes()).to_ndarray()
        columns = {}
        for column, kind in COLUMNS.items():
            values = np.ascontiguousarray(records[column])
            columns[column] = pl.Series(values.view("u1") if values.dtype.kind == "S" else values).cast(kind)
        return pl.DataFrame(columns)

    return load
