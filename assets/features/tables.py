"""Tables of the user's own: a time and a number a row, from CSV or Parquet."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import polars as pl

from assets.features.errors import FeaturesError

_READERS: Final[dict[str, Callable[[Path], pl.DataFrame]]] = {".csv": pl.read_csv, ".parquet": pl.read_parquet}


def read_series(path: Path, value: str, *, time: str = "ts_event") -> pl.DataFrame:
    """Columns `ts_event` (int64 UTC nanoseconds, sorted) and `value` (float64) of a table for an `External` indicator.

    The time column may be nanoseconds, timestamps, or text as in 2026-10-05T14:30:00Z; without a zone it is UTC. Rows
    without a value are left out; of two at one time the later in the file counts.

    Raises:
        FeaturesError: the file or a column is missing, a time cannot be read, or a value is no finite number.
    """
    if path.suffix not in _READERS:
        raise FeaturesError(f"{path}: a table is read from .csv or .parquet, not {path.suffix or 'a file without an ending'}")
    try:
        table = _READERS[path.suffix](path)
    except FileNotFoundError:
        raise FeaturesError(f"no table at {path}: check the path") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        raise FeaturesError(f"{path} cannot be read as {path.suffix.removeprefix('.')}: {str(error).splitlines()[0]}") from None
    for column in (time, value):
        if column not in table.columns:
            raise FeaturesError(f"{path} has no column {column}: it has {', '.join(table.columns)}")
    if not table.schema[value].is_numeric():
        raise FeaturesError(f"{path}: column {value} holds {table.schema[value]}, not numbers")
    series = table.select(_nanoseconds(table.schema[time], time), pl.col(value).cast(pl.Float64).alias("value"))
    timeless = table.filter(series["ts_event"].is_null())
    if timeless.height:
        unread = repr(timeless[time][0])
        raise FeaturesError(f"{path}: column {time} holds {unread}, which is no time: write nanoseconds or 2026-10-05T14:30:00Z")
    series = series.drop_nulls("value")
    if not series["value"].is_finite().all():
        raise FeaturesError(f"{path}: column {value} holds a number that is not finite: leave it empty where there is no value")
    return series.sort("ts_event", maintain_order=True)


def _nanoseconds(kind: pl.DataType, name: str) -> pl.Expr:
    time = pl.col(name)
    if kind == pl.String:
        time = time.str.to_datetime(time_unit="ns", time_zone="UTC", strict=False)
    elif isinstance(kind, pl.Datetime):
        time = (time if kind.time_zone else time.dt.replace_time_zone("UTC")).dt.cast_time_unit("ns")
    return time.cast(pl.Int64).alias("ts_event")
