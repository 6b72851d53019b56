"""Files of the user's own: what is read from them is what stands in them, and nothing is guessed.

Text is UTF-8, with or without a byte-order mark, with any line ends. A CSV file is read as text and cast column by column, so no
number of first rows decides a type. A moment is a whole number of a stated unit, a timestamp, or ISO 8601; a day, a time of day and
every other way to write a time are not: they do not say when something was known.
"""

import datetime as dt
from pathlib import Path
from typing import Final, Literal

import polars as pl

from assets.desk import FIRST_YEAR, LAST_YEAR, NS, UserError, read_text

TimeUnit = Literal["ns", "us", "ms", "s"]
"""What a number of a time counts since 1970."""

NS_OF: Final[dict[TimeUnit, int]] = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": NS}
UNIT_NAMES: Final[dict[TimeUnit, str]] = {"ns": "nanoseconds", "us": "microseconds", "ms": "milliseconds", "s": "seconds"}

FIRST_NS: Final = int(dt.datetime(FIRST_YEAR, 1, 1, tzinfo=dt.UTC).timestamp()) * NS
END_NS: Final = int(dt.datetime(LAST_YEAR + 1, 1, 1, tzinfo=dt.UTC).timestamp()) * NS

_ISO: Final = r"^(\d{4}-\d{2}-\d{2})[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?(?:(Z)|([+-])(\d{2})(?::?(\d{2}))?)?$"
"""Day, hour, minute, second, fraction, Z, sign, hours and minutes of the offset."""

_MOST: Final = 2**63 - 1

_NO_MOMENT: Final = {
    pl.Date: "days, and a day does not say when in it a value was known",
    pl.Time: "times of a day, without the day",
    pl.Duration: "durations, which begin nowhere",
}


class UserFileError(UserError):
    """A file of the user's that cannot be read; the message names it and the remedy."""


def read_table(path: Path) -> pl.DataFrame:
    """A table as it stands in the file: of CSV every column is text, an empty field null; of Parquet (`.parquet`) each has its own type.

    Raises:
        UserError: it is not UTF-8.
        UserFileError: it is not there, cannot be opened, or is not CSV or Parquet.
    """
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path, glob=False, hive_partitioning=False)
        return pl.read_csv(read_text(path).encode(), infer_schema=False)
    except FileNotFoundError:
        raise UserFileError(f"no table at {path}: there is no such file, check the path") from None
    except OSError as error:
        raise UserFileError(f"{path} cannot be read: {error.strerror or error}") from None
    except pl.exceptions.PolarsError as error:
        kind = "Parquet" if path.suffix == ".parquet" else "CSV"
        raise UserFileError(f"{path} cannot be read as {kind}: {str(error).splitlines()[0]}") from None


def numbers(column: pl.Series) -> pl.Series:
    """Float64 of a column of numbers or of text; null where nothing stands, NaN where something stands that is no number."""
    if column.dtype != pl.String:
        return column.cast(pl.Float64)
    text = _stripped(column)
    read = text.cast(pl.Float64, strict=False)
    return read.zip_with(read.is_not_null() | text.is_null(), pl.Series([float("nan")]))


def moments(column: pl.Series, unit: TimeUnit = "ns", *, zone_needed: bool = False) -> pl.Series:
    """UTC nanoseconds (Int64) of a column of times; null where what stands there is no moment.

    Args:
        column: whole numbers of `unit` since 1970 (fractions too, unless they are nanoseconds), timestamps, or text of either, ISO 8601.
        unit: of the numbers.
        zone_needed: whether what has no offset from UTC is no moment either; else it is UTC.

    Raises:
        UserFileError: the column is of a type that holds no moments: days, times of a day, durations, others.
    """
    kind = column.dtype
    if isinstance(kind, pl.Datetime):
        if zone_needed and kind.time_zone is None:
            raise UserFileError(f"column {column.name} holds timestamps without a zone: write them with their zone, or as UTC nanoseconds")
        zoned = column if kind.time_zone else column.dt.replace_time_zone("UTC")
        return zoned.dt.convert_time_zone("UTC").dt.cast_time_unit("ns").cast(pl.Int64)
    if kind == pl.String:
        text = _stripped(column)
        written = _written_out(text, zone_needed=zone_needed)
        return written.zip_with(written.is_not_null(), _counted(text.str.to_decimal(scale=9).cast(pl.String), unit))
    if kind.is_numeric():
        return _counted(column.cast(pl.String).str.to_decimal(scale=9).cast(pl.String), unit)
    told = next((told for no, told in _NO_MOMENT.items() if kind == no), f"{kind}, which is no time")
    raise UserFileError(f"column {column.name} holds {told}: write moments, as 2026-10-05T14:30:00Z")


def plausible(moments: pl.Series) -> pl.Series:
    """Whether each moment lies in the years in which a market's can."""
    return moments.is_between(FIRST_NS, END_NS, closed="left")


def fitting_unit(column: pl.Series) -> TimeUnit | None:
    """The unit in which every number of a column is a moment of a market's years; None where none is, or where it holds no numbers."""
    for unit in NS_OF:
        read = moments(column, unit)
        if len(read) and numbers(column).is_finite().all() and not read.has_nulls() and plausible(read).all():
            return unit
    return None


def _stripped(column: pl.Series) -> pl.Series:
    text = column.str.strip_chars()
    return text.set(text == "", None)


def _written_out(text: pl.Series, *, zone_needed: bool) -> pl.Series:
    """UTC nanoseconds of what is ISO 8601, else null."""
    parts = text.str.extract_groups(_ISO).struct.unnest()
    day, hour, minute, second, fraction, utc, sign, ahead_hours, ahead_minutes = (parts[name] for name in parts.columns)
    whole = {name: part.fill_null("0").cast(pl.Int64) for name, part in (("h", hour), ("m", minute), ("s", second))}
    ahead = (ahead_hours.fill_null("0").cast(pl.Int64) * 60 + ahead_minutes.fill_null("0").cast(pl.Int64)) * 60
    ahead = ahead.zip_with(sign.ne_missing("-"), -ahead)
    seconds = day.str.to_date("%Y-%m-%d", strict=False).cast(pl.Int64) * 86_400 + whole["h"] * 3_600 + whole["m"] * 60 + whole["s"] - ahead
    real = (whole["h"] < 24) & (whole["m"] < 60) & (whole["s"] < 60) & (ahead.abs() < 86_400) & (seconds.abs() < _MOST // NS)
    if zone_needed:
        real &= utc.is_not_null() | sign.is_not_null()
    return (seconds * NS + fraction.fill_null("").str.pad_end(9, "0").cast(pl.Int64)).set(~real, None)


def _counted(text: pl.Series, unit: TimeUnit) -> pl.Series:
    """UTC nanoseconds of plain decimal numbers; what lies between two nanoseconds is the later, as nothing is known before its time."""
    parts = text.str.extract_groups(r"^(\d+)(?:\.(\d{1,9}))?$").struct.unnest()
    whole, fraction = parts["1"].cast(pl.Int64, strict=False), parts["2"].fill_null("").str.pad_end(9, "0").cast(pl.Int64)
    factor = NS_OF[unit]
    held = whole < _MOST // factor
    if unit == "ns":
        held &= fraction == 0
    return (whole.set(~held, None) * factor + (fraction * factor + NS - 1) // NS).alias(text.name)
