"""A frame on standard output: as a table for a person, or as csv, json or parquet for a program."""

import json
import sys
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from pipelines.try_file import Tried


def write_frame(frame: pl.DataFrame, style: str) -> None:
    """Print a frame; `style` is table, csv, json or parquet."""
    match style:
        case "table":
            print_table(frame)
        case "csv":
            sys.stdout.write(frame.write_csv())
        case "json":
            print_json(frame.to_dicts())
        case "parquet":
            frame.write_parquet(sys.stdout.buffer)


def print_json(value: object) -> None:
    """Print one JSON document; what JSON has no word for, dates and paths, as text."""
    sys.stdout.write(json.dumps(value, default=str) + "\n")


def print_table(frame: pl.DataFrame, title: str | None = None) -> None:
    """Print a frame as a table with every row and column."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name, dtype in frame.schema.items():
        table.add_column(name, justify="right" if dtype.is_numeric() else "left")
    for row in frame.iter_rows():
        table.add_row(*(_cell(value) for value in row))
    # A pipe has no width of its own: 80 columns there would fold every figure.
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def print_tried(tried: "Tried") -> None:
    """Print what came out of `tickline try`."""
    report, quality, market = tried.report.row(0, named=True), tried.quality.row(0, named=True), tried.instrument.market
    unit = tried.instrument.unit
    fees = f"fees {market.maker_fee} a contract" if market.maker_fee else "before any fee: name yours with --fee"
    r2 = "unknown" if report["r2"] is None else f"{report['r2']:.4f}"
    rows = [
        ("instrument", f"{market.symbol}, tick {market.tick_size.normalize():f} ({tried.instrument.origin})"),
        ("book", f"{quality['records']:,} records, {quality['events']:,} events, {quality['trades']:,} trades"),
        *([("damaged", f"only the records before it: {tried.damage}")] if tried.damage else []),
        ("quarantined", f"{quality['quarantined']:,} records"),
        ("rows", f"{tried.trained:,} to fit on, {tried.tested:,} after a gap of one horizon to trade"),
        ("out-of-sample R2", r2),
        ("net P&L", f"{report['net_pnl']:,.2f} {unit} ({fees})"),
        ("contracts", f"{report['contracts']:,}, of which {report['maker_contracts']:,} as maker"),
        ("orders", f"{report['orders']:,}, of which {report['cancelled']:,} cancelled"),
        ("largest drawdown", f"{report['max_drawdown']:,.2f} {unit}"),
        ("page", str(tried.page)),
    ]
    print_table(pl.DataFrame(rows, schema=["of the file", "told"], orient="row"))


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.4f}" if abs(value) < 10 else f"{value:,.2f}"
    return str(value)
