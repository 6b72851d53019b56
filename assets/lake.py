"""The Lake: Parquet partitions, each checked against its contract and written atomically.

`<root>/<table>/market=FLW/session=2026-09-01/part-0.parquet`. A partition is written to a temporary
file in its own folder and renamed, so a reader sees the old one, the new one or none, never a part
of one. The pandera contract is checked before the rename: a bad partition never becomes visible.
The same frame gives the same bytes. A file says in its metadata what it was made from, where the lake was opened
with a ledger (assets/provenance.py), and what does not match the ledger is not read.
"""

import datetime as dt
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import pandera.errors
import pandera.polars as pa
import polars as pl
import pyarrow
import pyarrow.parquet as pq

from assets.desk import UserError

_ROW_GROUP: Final = 262_144
"""Rows a group: fixed, because the default follows the number of threads and bytes must not."""

_FROM: Final = "_from"
"""Column of the file that a row was read from, while it is read."""

_SAMPLE: Final = 5
"""Failing rows quoted in a message; the whole list of a bad ten-million-row table helps nobody."""


class LakeError(UserError):
    """A partition that is missing, unreadable or in breach of its contract, named, with the remedy."""


@dataclass(frozen=True)
class Written:
    """What one write published."""

    path: Path
    rows: int
    sha256: str


Key = dt.date | str

_MADE_FROM: Final = "tickline"
"""Name of the entry in a file's metadata that says what the file was made from."""


class Ledger(Protocol):
    """Knows what each partition is to be made from."""

    def written(self, table: str, keys: Mapping[str, Key]) -> str:
        """What a file that is written now says of itself."""
        ...

    def asked(self, lake: "Lake", table: str) -> list[dict[str, str]]:
        """Keys of the published partitions that are what is asked for.

        Raises:
            LakeError: one is damaged.
        """
        ...

    def admit(self, lake: "Lake", table: str, keys: Mapping[str, Key]) -> None:
        """Refuse a published partition that is not to be read.

        Raises:
            LakeError: it was made from something else than is asked for now; the message says from what, and how it is made anew.
        """
        ...


def remedy(table: str, keys: Mapping[str, Key]) -> str:
    """The command that makes a partition."""
    *_, (name, value) = keys.items()
    return f"`tickline make {table} --{name} {value}` makes it, `tickline demo` everything"


class Lake:
    """Tables of Parquet partitions under one folder."""

    def __init__(self, root: Path, ledger: Ledger | None = None) -> None:
        self.root = root
        self.ledger = ledger

    def path(self, table: str, **keys: Key) -> Path:
        """File of one partition, whether or not it exists; keys in the order market, then session or period."""
        return self.root.joinpath(table, *(f"{name}={value}" for name, value in keys.items()), "part-0.parquet")

    def exists(self, table: str, **keys: Key) -> bool:
        """Whether the partition has been published."""
        return self.path(table, **keys).is_file()

    def write(self, table: str, frame: pl.DataFrame, contract: type[pa.DataFrameModel], **keys: Key) -> Written:
        """Check a frame against its contract and publish it as one partition, columns in the contract's order, then any others.

        Raises:
            LakeError: the frame breaks the contract, or the disk refuses the write; what was published before stays.
        """
        where = _describe(table, keys)
        check(frame, contract, where)
        frame = _ordered(frame, contract)
        about = self._about(table, keys)
        with self._publishing(where, self.path(table, **keys)) as temporary:
            frame.write_parquet(
                temporary, compression="zstd", compression_level=1, row_group_size=_ROW_GROUP, statistics=True, metadata=about
            )
        path = self.path(table, **keys)
        return Written(path, frame.height, _sha256(path))

    def write_parts(self, table: str, frames: Iterable[pl.DataFrame], contract: type[pa.DataFrameModel], **keys: Key) -> Written:
        """Publish one partition from consecutive frames of the same columns, holding two row groups of them at a time.

        The next group is read (a vendor's file decompressed) and checked while this one is compressed and written.

        Prices and codes, which repeat, are stored by dictionary; times, numbers and sizes as differences from row to row: half
        the bytes, and less time than compressing them whole.

        Raises:
            LakeError: a frame breaks the contract, or the disk refuses the write; what was published before stays.
        """
        where, about, rows = _describe(table, keys), self._about(table, keys), 0
        with self._publishing(where, self.path(table, **keys)) as temporary, ExitStack() as opened:
            writer = None
            for group in _ahead(_checked(part, contract, where) for part in _row_groups(frames)):
                if writer is None:
                    writer = opened.enter_context(_parquet_writer(temporary, group.schema))
                    writer.add_key_value_metadata(about)
                writer.write_table(group, row_group_size=_ROW_GROUP)
                rows += group.num_rows
        path = self.path(table, **keys)
        return Written(path, rows, _sha256(path))

    def metadata(self, table: str, **keys: Key) -> str | None:
        """What a published file says it was made from; None where it does not say.

        Raises:
            FileNotFoundError: it has not been published.
            LakeError: the file is damaged.
        """
        path = self.path(table, **keys)
        if not path.is_file():
            raise FileNotFoundError(path)
        try:
            with path.open("rb") as file:  # a name would be read as a pattern
                return pl.read_parquet_metadata(file).get(_MADE_FROM)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise self._unreadable(table, keys, error) from error

    def _about(self, table: str, keys: Mapping[str, Key]) -> dict[str, str]:
        return {_MADE_FROM: self.ledger.written(table, keys)} if self.ledger else {}

    def _unreadable(self, table: str, keys: Mapping[str, Key], error: Exception) -> LakeError:
        return LakeError(f"{_describe(table, keys)} cannot be read ({self.path(table, **keys)}: {error}): {remedy(table, keys)}")

    @contextmanager
    def _publishing(self, where: str, path: Path) -> Iterator[Path]:
        """A temporary file that becomes the partition when the block has ended well."""
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            temporary.replace(path)
        except OSError as error:
            reason = error.strerror or str(error)
            raise LakeError(f"{where} could not be written to {path.parent}: {reason}; make room there, then run it again") from error
        finally:
            with suppress(OSError):  # the folder itself may be what could not be made
                temporary.unlink()

    def read(self, table: str, columns: list[str] | None = None, **keys: Key) -> pl.DataFrame:
        """One partition, in the order it was written.

        Raises:
            LakeError: it has not been published, lacks a column, or the file is damaged.
        """
        path, where = self.path(table, **keys), _describe(table, keys)
        if not path.is_file():
            raise LakeError(f"{where} is not in the lake at {self.root}: {remedy(table, keys)}")
        if self.ledger:
            self.ledger.admit(self, table, keys)
        try:
            return pl.read_parquet(path, columns=columns, hive_partitioning=False, glob=False)
        except pl.exceptions.ColumnNotFoundError:
            missing = set(columns or ()) - set(pq.read_schema(path).names)
            raise LakeError(f"{where} has no column {min(missing)}: it was made with other settings; {remedy(table, keys)}") from None
        except (pl.exceptions.PolarsError, OSError) as error:
            raise self._unreadable(table, keys, error) from error

    def read_dates(self, table: str, dates: Sequence[dt.date], *, market: str, key: str) -> pl.DataFrame:
        """Several partitions of a market below one another, each with its date in the column `key`, in one scan: a third of the time.

        Raises:
            LakeError: as `read` says of the partition at fault.
        """
        where: list[dict[str, Any]] = [{"market": market, key: date} for date in dates]
        if self.ledger:
            for keys in where:
                self.ledger.admit(self, table, keys)
        paths = [self.path(table, **keys) for keys in where]
        try:
            # Not by the folders' names: those above the lake may be called a=b, too.
            read = pl.read_parquet(paths, hive_partitioning=False, glob=False, include_file_paths=_FROM)
            dated = dict(zip(map(str, paths), dates, strict=True))
            return read.with_columns(pl.col(_FROM).replace_strict(dated, return_dtype=pl.Date).alias(key)).drop(_FROM)
        except (pl.exceptions.PolarsError, OSError):
            # The scan does not say which file is at fault; read by itself, it does.
            for keys in where:
                self.read(table, **keys)
            raise

    def current(self, table: str) -> list[dict[str, str]]:
        """Keys of the published partitions that may be read, sorted: without a ledger, all."""
        return self.ledger.asked(self, table) if self.ledger else self.partitions(table)

    def partitions(self, table: str) -> list[dict[str, str]]:
        """Keys of every published partition of a table, sorted."""
        found = sorted((self.root / table).glob("*=*/**/part-0.parquet"))
        return [dict(part.split("=", 1) for part in path.relative_to(self.root / table).parts[:-1]) for path in found]


def check(frame: pl.DataFrame, contract: type[pa.DataFrameModel], where: str) -> None:
    """Hold an eager frame against its pandera contract.

    Raises:
        LakeError: names the table and partition, the rule, and a sample of the rows that break it.
    """
    try:
        contract.validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as error:
        cases = error.failure_cases.select("column", "check", "failure_case").head(_SAMPLE)
        faults = "; ".join(f"{column}: {rule} broken by {value}" for column, rule, value in cases.iter_rows())
        raise LakeError(f"{where} breaks its contract {contract.__name__} and was not published: {faults}") from None


def _ordered(frame: pl.DataFrame, contract: type[pa.DataFrameModel]) -> pl.DataFrame:
    """Columns in the contract's order, then any others."""
    promised = [column for column in contract.to_schema().columns if column in frame.columns]
    return frame.select(*promised, pl.exclude(promised))


def _checked(part: pl.DataFrame, contract: type[pa.DataFrameModel], where: str) -> pyarrow.Table:
    check(part, contract, where)
    return _ordered(part, contract).to_arrow(compat_level=pl.CompatLevel.oldest())


def _ahead(made: Iterator[pyarrow.Table]) -> Iterator[pyarrow.Table]:
    """The same tables, each made in a thread while the one before it is used."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, made, None)
        while (one := coming.result()) is not None:
            coming = thread.submit(next, made, None)
            yield one


def _row_groups(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same rows in frames of a row group each, the last one shorter; one empty frame where there are no rows."""
    held: list[pl.DataFrame] = []
    height, any_yet = 0, False
    for frame in frames:
        held.append(frame)
        height += frame.height
        while height >= _ROW_GROUP:
            whole = pl.concat(held, rechunk=True)  # one chunk: the pages of a column end where its chunks do
            yield whole[:_ROW_GROUP]
            held, height, any_yet = [whole[_ROW_GROUP:]], height - _ROW_GROUP, True
    if held and (height or not any_yet):
        yield pl.concat(held, rechunk=True)


def _parquet_writer(path: Path, schema: pyarrow.Schema) -> pq.ParquetWriter:
    steady = {field.name: "DELTA_BINARY_PACKED" for field in schema if _is_steady(field)}
    repeated = [name for name in schema.names if name not in steady]
    return pq.ParquetWriter(path, schema, compression="zstd", compression_level=1, use_dictionary=repeated, column_encoding=steady)


def _is_steady(field: pyarrow.Field) -> bool:
    is_price = field.name == "price" or "_px_" in field.name
    return pyarrow.types.is_integer(field.type) and field.type.bit_width > 16 and not is_price


def _describe(table: str, keys: Mapping[str, Key]) -> str:
    return " ".join([table, *(str(value) for value in keys.values())])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
