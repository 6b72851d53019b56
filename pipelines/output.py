"""A frame on standard output: as a table for a person, or as csv, json or parquet for a program."""

import json
import sys

import polars as pl


def write_frame(frame: pl.DataFrame, style: str) -> None:
    """Print a frame; `style` is table, csv, json or parquet."""
    match style:
        case "table":
            print_table(frame)
        case "csv":
            sys.stdout.write(frame.write_csv())
        case "json":
            sys.stdout.write(json.dumps(frame.to_dicts(), default=str) + "\n")
        case "parquet":
            frame.write_parquet(sys.stdout.buffer)


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


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.4f}" if abs(value) < 10 else f"{value:,.2f}"
    return str(value)
