"""Streams of market-by-order records: real ones where they are there, random ones always."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from assets.ticks.dbn import read_records
from assets.ticks.schema import MBO_COLUMNS

CONSTANT = {"rtype": 160, "publisher_id": 1, "instrument_id": 7, "channel_id": 0, "ts_in_delta": 0}


def _frame(records: list[dict[str, Any]]) -> pl.DataFrame:
    rows = []
    for number, record in enumerate(records):
        time = 1_000 * (number + 1)
        whole = {"ts_event": time, "side": "N", "price": 100, "size": 1, "order_id": 0, "flags": 128, "sequence": number + 1} | record
        whole = {"ts_recv": max(whole["ts_event"], 0) + 50} | CONSTANT | whole
        rows.append(whole | {"action": ord(whole["action"]), "side": ord(whole["side"])})
    return pl.DataFrame(rows, schema=MBO_COLUMNS)


@pytest.fixture(scope="session")
def frame() -> Callable[[list[dict[str, Any]]], pl.DataFrame]:
    """Records written as {"action": "A", "side": "B", ...}, what is left out filled in, as `raw_ticks`."""
    return _frame


@pytest.fixture(scope="session")
def real(shared_data: Path) -> Callable[[str], pl.DataFrame]:
    """A real DBN file as `raw_ticks`."""
    return cache(lambda name: read_records([shared_data / name]))
