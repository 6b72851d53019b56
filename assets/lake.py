"""The Lake: Parquet partitions, each checked against its contract and written atomically.

`<root>/<table>/market=FLW/session=2026-09-01/part-0.parquet`. A partition is written to a temporary
file in its own folder and renamed, so a reader sees the old one, the new one or none, never a part
of one. The pandera contract is checked before the rename: a bad partition never becomes visible.
The same frame gives the same bytes.
"""

import datetime as dt
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandera.errors
import pandera.polars as pa
import polars as pl

from assets.desk import UserError

_ROW_GROUP: Final = 262_144
"""Rows a group: fixed, because the default follows the number of threads and bytes must not."""

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


class Lake:
    """Tables of Parquet partitions under one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

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
        promised = [column for column in contract.to_schema().columns if column in frame.columns]
        frame = frame.select(*promised, pl.exclude(promised))
        path = self.path(table, **keys)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            frame.write_parquet(temporary, compression="zstd", compression_level=1, row_group_size=_ROW_GROUP, statistics=True)
            digest = _sha256(temporary)
            temporary.replace(path)
        except OSError as error:
            reason = error.strerror or str(error)
            raise LakeError(f"{where} could not be written to {path.parent}: {reason}; make room there, then run it again") from error
        finally:
            temporary.unlink(missing_ok=True)
        return Written(path, frame.height, digest)

    def read(self, table: str, columns: list[str] | None = None, **keys: Key) -> pl.DataFrame:
        """One partition, in the order it was written.

        Raises:
            LakeError: it has not been published, or the file is damaged.
        """
        path, where = self.path(table, **keys), _describe(table, keys)
        if not path.is_file():
            raise LakeError(f"{where} is not in the lake at {self.root}: materialise it first")
        try:
            return pl.read_parquet(path, columns=columns, hive_partitioning=False)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise LakeError(f"{where} cannot be read ({path}: {error}): delete the file and materialise it again") from error

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


def _describe(table: str, keys: dict[str, Key]) -> str:
    return " ".join([table, *(str(value) for value in keys.values())])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
