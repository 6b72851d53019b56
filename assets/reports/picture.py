"""A picture small enough for an asset's metadata: the day's account as a line of block characters, and its figures."""

from typing import Any, Final

import numpy as np
import polars as pl

from assets.desk import PRICE_UNIT
from assets.reports.page import money, number, percent

_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_WIDTH: Final = 48
"""Characters of the line: one for each eight minutes of a regular session."""


def spark(values: np.ndarray, width: int = _WIDTH) -> str:
    """Values as a line of blocks, lowest to highest; each character is the last value of its stretch."""
    if not len(values):
        return ""
    places = np.linspace(0, len(values) - 1, min(width, len(values))).round().astype(int)
    low, high = float(values.min()), float(values.max())
    scaled = (values[places] - low) / (high - low) * (len(_BLOCKS) - 1) if high > low else np.zeros(len(places))
    return "".join(_BLOCKS[round(level)] for level in scaled)


def picture(equity: pl.DataFrame, row: dict[str, Any]) -> str:
    """Markdown of one session: the account through time, and the figures one looks for first.

    Args:
        equity: `equity` of the session.
        row: its row of `performance_report`.
    """
    even = equity.filter(pl.col("ts_event") % 60_000_000_000 == 0)
    line = spark((even if even.height else equity)["equity"].to_numpy() / PRICE_UNIT)
    maker = row["maker_contracts"] / row["contracts"] if row["contracts"] else None
    return (
        f"{row['provenance']}\n\n`{line}`\n\n"
        "| net | gross | fees | fills | maker | worst fall | R² |\n|---|---|---|---|---|---|---|\n"
        f"| {money(row['net_pnl'])} | {money(row['gross_pnl'])} | {money(row['fees'])} | {row['fills']} | {percent(maker)} "
        f"| {money(-row['max_drawdown'])} | {number(4)(row['r2'])} |"
    )
