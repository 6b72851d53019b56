"""Tables of the user's own: a time and a number a row, from CSV or Parquet."""

import datetime as dt
from pathlib import Path
from typing import Final

import polars as pl

from assets.desk import FIRST_YEAR, LAST_YEAR, UserError
from assets.features.errors import FeaturesError
from assets.user_files import (
    UNIT_NAMES,
    TimeUnit,
    UserFileError,
    fitting_unit,
    moments,
    numbers,
    plausible,
    read_table,
)

_NEAR: Final = dt.timedelta(days=365)
"""How far from the desk's sessions the nearest row may lie."""


def read_series(
    path: Path,
    value: str,
    *,
    time: str = "ts_event",
    time_unit: TimeUnit | None = None,
    sessions: tuple[dt.date, dt.date] | None = None,
) -> pl.DataFrame:
    """Columns `ts_event` (int64 UTC nanoseconds, sorted) and `value` (float64) of a table for an `External` indicator.

    A time is a whole number of `time_unit` since 1970, a timestamp, or ISO 8601 as in 2026-10-05T14:30:00Z; without a zone it is UTC.
    Rows without a value are left out; of two at one time the later in the file counts.

    Args:
        path: `.csv` or `.parquet`.
        value: column of the numbers.
        time: column of the times.
        time_unit: of times that are numbers; None: nanoseconds.
        sessions: the first and the last that the table is for; None: any.

    Raises:
        FeaturesError: the file or a column is missing, a time cannot be read or lies in no year of a market's, no row lies within a
            year of the sessions, or a value is no finite number.
    """
    table = _read(path)
    for column in (time, value):
        if column not in table.columns:
            raise FeaturesError(f"{path} has no column {column}: it has {', '.join(table.columns)}")
    if time == value:
        raise FeaturesError(f"{path}: column {time} is both time and value: name two columns")
    table = table.select(time, value).filter(pl.any_horizontal(pl.all().is_not_null()))
    if table[value].dtype != pl.String and not table[value].dtype.is_numeric():
        raise FeaturesError(f"{path}: column {value} holds {table[value].dtype}, not numbers")
    series = pl.DataFrame({"ts_event": _times(path, table, time, time_unit), "value": _values(path, table, value)}).drop_nulls("value")
    if sessions is not None and not _near(series["ts_event"], sessions):
        days = series["ts_event"].cast(pl.Datetime("ns")).cast(pl.Date)
        span = f"they lie from {days.min()!s} to {days.max()!s}" if series.height else "it has none with a value"
        raise FeaturesError(
            f"{path}: no row lies within a year of the desk's sessions, {sessions[0]} to {sessions[1]}: {span}; "
            f"correct column {time}, or take the series off the desk"
        )
    return series.sort("ts_event", maintain_order=True)


def _read(path: Path) -> pl.DataFrame:
    if path.suffix not in (".csv", ".parquet"):
        raise FeaturesError(f"{path}: a table is read from .csv or .parquet, not {path.suffix or 'a file without an ending'}")
    try:
        return read_table(path)
    except UserError as error:
        raise FeaturesError(str(error)) from None


def _times(path: Path, table: pl.DataFrame, time: str, unit: TimeUnit | None) -> pl.Series:
    column = table[time]
    if unit is not None and not (column.dtype.is_numeric() or column.dtype == pl.String):
        raise FeaturesError(f"{path}: column {time} holds {column.dtype}, which says its own unit: leave time_unit out")
    try:
        read = moments(column, unit or "ns")
    except UserFileError as error:
        raise FeaturesError(f"{path}: {error}") from None
    wrong = read.is_null() | ~plausible(read)
    if not wrong.any():
        return read
    fits = fitting_unit(column)
    if fits not in (None, unit or "ns"):
        raise FeaturesError(
            f"{path}: column {time} holds no {UNIT_NAMES[unit or 'ns']} since 1970 of a market's years: "
            f'these look like {UNIT_NAMES[fits]}: set time_unit = "{fits}" for the series'
        )
    given, moment = column.filter(wrong)[0], read.filter(wrong)[0]
    years = "" if moment is None else f" of the years {FIRST_YEAR} to {LAST_YEAR}"
    raise FeaturesError(
        f"{path}: column {time} holds {given!r}, which is no time{years}: write it as 2026-10-05T14:30:00Z, or as a whole number of "
        f"{UNIT_NAMES[unit or 'ns']} since 1970 (time_unit states another unit)"
    )


def _values(path: Path, table: pl.DataFrame, value: str) -> pl.Series:
    read = numbers(table[value])
    wrong = table[value].filter(~(read.is_finite() | read.is_null()).fill_null(value=True))
    if len(wrong):
        raise FeaturesError(f"{path}: column {value} holds {wrong[0]!r}, no finite number: leave it empty where there is no value")
    return read


def _near(times: pl.Series, sessions: tuple[dt.date, dt.date]) -> bool:
    first, last = (dt.datetime.combine(day, dt.time(), dt.UTC) for day in (sessions[0] - _NEAR, sessions[1] + _NEAR))
    return bool(times.cast(pl.Datetime("ns", "UTC")).is_between(first, last).any())
