"""A frame on standard output: as a table for a person, or as csv, json or parquet for a program."""

import datetime as dt
import json
import math
import sys
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl
import polars.selectors as cs

from assets.desk import PRICE_UNIT

if TYPE_CHECKING:
    from rich.table import Table

    from pipelines.try_file import Tried


def write_frame(frame: pl.DataFrame, style: str | None) -> None:
    """Print a frame; `style` is table, csv, json or parquet; None: a table on a terminal, csv in a pipe."""
    match style or ("table" if sys.stdout.isatty() else "csv"):
        case "table":
            print_table(frame)
        case "csv":
            nested = cs.nested() | cs.binary() | cs.object()
            plain = [pl.Series(name, [_as_text(value) for value in column], pl.String) for name, column in _named(frame.select(nested))]
            sys.stdout.write(frame.with_columns(plain).write_csv())
        case "json":
            print_json(frame)
        case "parquet":
            frame.write_parquet(sys.stdout.buffer)


def print_json(value: object) -> None:
    """Print one JSON document that any parser reads: numbers are numbers, what is not finite is null, times are ISO 8601."""
    sys.stdout.write(json.dumps(_plain(value), allow_nan=False) + "\n")


def print_table(frame: pl.DataFrame, title: str | None = None) -> None:
    """Print a frame with every row and column: as a table, or where that is too wide turned on its side, or else row by row."""
    from rich.console import Console

    # What is in a cell is text, never markup. A pipe has no width of its own: 80 columns there would fold every figure.
    console = Console(markup=False, emoji=False, highlight=False)
    cells = {name: [_cell(value) for value in column] for name, column in _named(frame)}
    text = {name for name, kind in frame.schema.items() if not kind.is_numeric()}
    if not sys.stdout.isatty():
        console.width = _needed(cells, set())
    if _needed(cells, text) <= console.width:
        console.print(_table(cells, text, title, console.width))
        return
    rows = [list(row) for row in zip(*cells.values(), strict=True)]
    on_its_side = {"": list(cells), **{str(place): row for place, row in enumerate(rows, 1)}}
    if _needed(on_its_side, set(on_its_side)) <= console.width:
        console.print(_table(on_its_side, set(on_its_side), title, console.width, headed=False))
        return
    for place, row in enumerate(rows, 1):
        record = {"": list(cells), "value": row}
        console.print(_table(record, set(record), f"{title or 'row'}, {place} of {frame.height}", console.width, headed=False))


def _table(cells: Mapping[str, list[str]], text: set[str], title: str | None, room: int, *, headed: bool = True) -> "Table":
    """A table no wider than `room`, in which only the columns of `text` are folded."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title) if title else None, title_justify="left", show_header=headed)
    spare = room - _needed(cells, text)
    for name, column in cells.items():
        least, most = (_width(name, column, folds=folds and name in text) for folds in (True, False))
        width = max(1, least + min(spare, most - least))
        spare -= width - least
        table.add_column(Text(name), justify="left" if name in text else "right", width=width, overflow="fold")
    for row in zip(*cells.values(), strict=True):
        table.add_row(*(Text(cell) for cell in row))
    return table


def _needed(cells: Mapping[str, list[str]], text: set[str]) -> int:
    """Columns of a terminal below which a figure, a name or a word would be broken."""
    return 1 + sum(3 + _width(name, column, folds=name in text) for name, column in cells.items())


def _width(name: str, column: list[str], *, folds: bool) -> int:
    from rich.cells import cell_len

    parts = [name, *(part for cell in column for part in (cell.split() if folds else cell.splitlines()))]
    return max(cell_len(part) for part in parts)


def _named(frame: pl.DataFrame) -> list[tuple[str, pl.Series]]:
    return list(zip(frame.columns, frame.get_columns(), strict=True))


def _as_text(value: object) -> str | None:
    return None if value is None else json.dumps(_plain(value), allow_nan=False)


def _plain(value: object) -> Any:
    """The value in the words that JSON has."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case pl.DataFrame():
            return _plain(value.with_columns(cs.datetime().dt.to_string("iso:strict")).to_dicts())  # Python's own times have no nanoseconds
        case pl.Series():
            return _plain(value.to_list())
        case Mapping():
            return {str(key): _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case dt.date() | dt.time():
            return value.isoformat()
        case dt.timedelta():
            return value.total_seconds()
        case bytes():
            return value.hex()
    return str(value)


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
        *([] if quality["quarantined"] else [("quarantined", "no record")]),
        *([("between two ticks", _between(quality))] if quality["off_tick_orders"] or quality["off_tick_trades"] else []),
        *(("warning", warning) for warning in tried.warnings),
        ("rows", f"{tried.trained:,} to fit on, {tried.tested:,} after a gap of one horizon to trade"),
        ("out-of-sample R2", r2),
        ("net P&L", f"{report['net_pnl']:,.2f} {unit} ({fees})"),
        ("contracts", f"{report['contracts']:,}, of which {report['maker_contracts']:,} as maker"),
        ("orders", f"{report['orders']:,}, of which {report['cancelled']:,} cancelled"),
        ("largest drawdown", f"{report['max_drawdown']:,.2f} {unit}"),
        ("page", str(tried.page)),
    ]
    print_table(pl.DataFrame(rows, schema=["of the file", "told"], orient="row"))


def _between(quality: dict[str, Any]) -> str:
    orders, trades = quality["off_tick_orders"], quality["off_tick_trades"]
    first = f", the first at {quality['off_tick_price'] / PRICE_UNIT:.9g}, left out of what is traded" if orders else ""
    return f"{trades:,} trades, which meet no queue; {orders:,} orders{first}"


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.4f}" if abs(value) < 10 else f"{value:,.2f}"
    return str(value.to_list() if isinstance(value, pl.Series) else value)
