"""Reading the warehouse: read-only, off the network and off every other file, with errors that a person can act on.

Light to import, so that `tickline sql` answers at once; what builds the warehouse is in warehouse.py.
"""

import difflib
import hashlib
import re
from pathlib import Path
from typing import Any, Final

import duckdb
import polars as pl

from assets.desk import Desk, UserError

CONFIG: Final[dict[str, Any]] = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
"""Of every connection of ours: no query reaches for the network."""

_HOUSE: Final = Path(__file__).parents[1]
_EXPLAIN: Final = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/)*EXPLAIN\b\s*(?:ANALYZE\b\s*)?(?:\(\s*(?:ANALYZE|FORMAT)\b[^)]*\)\s*)?", re.IGNORECASE | re.DOTALL
)
"""What stands before the statement that is explained."""

_READING_ONLY: Final = "a query can only read: write one SELECT (or WITH, FROM, DESCRIBE, SHOW, SUMMARIZE, EXPLAIN)"
_REBUILD: Final = "`tickline demo` (finished partitions are kept)"


class WarehouseError(UserError):
    """A warehouse that is missing, of another version or cannot be built, or a query that it cannot answer."""


def layout() -> str:
    """Fingerprint of what decides the warehouse's tables: the contracts and the SQL models of this code."""
    sources = sorted([*_HOUSE.glob("assets/**/schema.py"), *_HOUSE.glob("dbt_like_sql/*/*.sql")])
    parts = [part for path in sources for part in (path.relative_to(_HOUSE).as_posix().encode(), path.read_bytes())]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def open_warehouse(desk: Desk) -> duckdb.DuckDBPyConnection:
    """The published warehouse, read-only; what it shows does not change while it is open.

    The connection reads no file but the warehouse's, its publication's and the lake's, and no statement can change that.

    Raises:
        WarehouseError: it has not been built, cannot be read, or was built by other contracts or SQL models.
    """
    path = desk.warehouse
    if not path.is_file():
        raise WarehouseError(f"no warehouse at {path}: run {_REBUILD}")
    try:
        con = duckdb.connect(str(path), read_only=True, config=CONFIG | {"python_enable_replacements": False})
        _lock(con, desk)
    except duckdb.Error as error:
        raise WarehouseError(f"{path} cannot be opened ({_first_line(error)}): run {_REBUILD} to build it again") from None
    try:
        built = con.sql("SELECT layout FROM built_with").fetchall()
    except duckdb.Error:
        built = []
    if built != [(layout(),)]:
        con.close()
        raise WarehouseError(f"{path} was built by another version of the contracts or SQL models: run {_REBUILD} to build it again")
    return con


def query(desk: Desk, sql: str) -> pl.DataFrame:
    """The answer to one SELECT on the warehouse.

    Raises:
        WarehouseError: no warehouse, or DuckDB's message about the query with the nearest table names.
    """
    with open_warehouse(desk) as con:
        try:
            statements = con.extract_statements(sql)
            if len(statements) != 1 or not _reads(con, statements[0]):
                raise WarehouseError(_READING_ONLY)
            return _readable(con.sql(sql)).pl()
        except duckdb.Error as error:
            raise WarehouseError(_told(con, sql, error)) from None
        except pl.exceptions.PolarsError as error:
            raise WarehouseError(f"a column of the answer cannot be shown, cast it to VARCHAR: {_first_line(error)}") from None


def _lock(con: duckdb.DuckDBPyConnection, desk: Desk) -> None:
    """DuckDB's own locks: the folders of the desk's results and nothing else, for as long as the database is open."""
    [locked] = con.sql("SELECT current_setting('lock_configuration')").fetchall()[0]
    if not locked:  # within one process, connections to one file share their settings
        allowed = [desk.home / "published", desk.lake]
        folders = ", ".join(text(told) for folder in allowed for told in (str(folder.absolute()), as_pattern(folder)))
        con.execute(f"SET allowed_directories = [{folders}]")
        con.execute("SET enable_external_access = false")
        con.execute("SET lock_configuration = true")


def _reads(con: duckdb.DuckDBPyConnection, statement: duckdb.Statement) -> bool:
    """Whether a statement only reads. EXPLAIN ANALYZE runs what it explains, so that has to be one that reads."""
    if statement.type is duckdb.StatementType.EXPLAIN:
        explain = _EXPLAIN.match(statement.query)
        explained = con.extract_statements(statement.query[explain.end() :]) if explain else []
        return [inner.type for inner in explained] == [duckdb.StatementType.SELECT]
    return statement.type is duckdb.StatementType.SELECT


def tables(desk: Desk) -> pl.DataFrame:
    """Every table of the warehouse: name, number of columns, what it is.

    Raises:
        WarehouseError: as for `query`.
    """
    return query(
        desk,
        """
        WITH listed AS (
            SELECT table_name, comment FROM duckdb_tables() UNION ALL SELECT view_name, comment FROM duckdb_views() WHERE NOT internal
        )
        SELECT table_name AS "table", count(*) AS columns, any_value(listed.comment) AS description
        FROM duckdb_columns() JOIN listed USING (table_name)
        GROUP BY table_name
        ORDER BY starts_with(table_name, 'stg_'), table_name
        """,
    )


def as_pattern(path: Path) -> str:
    """A path as a pattern of DuckDB's that stands for this path alone, whatever signs are in its name."""
    return re.sub(r"([*?\[])", r"[\1]", str(path.absolute()))


def text(value: str) -> str:
    """A string as a SQL literal."""
    return "'" + value.replace("'", "''") + "'"


def _readable(answer: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    # polars has no type for an INTERVAL, which is what the difference of two times is.
    if "INTERVAL" not in answer.types:
        return answer
    columns = enumerate(zip(answer.columns, answer.types, strict=True), 1)
    shown = (f'#{place}::VARCHAR AS "{name}"' if kind == "INTERVAL" else f"#{place}" for place, (name, kind) in columns)
    return answer.select(", ".join(shown))


def _told(con: duckdb.DuckDBPyConnection, sql: str, error: duckdb.Error) -> str:
    try:
        con.execute(sql)  # says the line, which a relation leaves out
    except duckdb.Error as fuller:
        error = fuller
    message = str(error).strip()
    elsewhere = re.search(r'Cannot access (?:file|directory) "(.*?)"', message)
    if elsewhere:
        return (
            f"a query reads the warehouse and the files of the lake, nothing else, so not {elsewhere[1]}: "
            "ask DuckDB's own shell, or polars, where other files are wanted"
        )
    unknown = re.search(r'Table with name "?([^\s"!]+)"? does not exist', message)
    if unknown:
        tables = [row[0] for row in con.sql("SELECT table_name FROM information_schema.tables ORDER BY ALL").fetchall()]
        near = difflib.get_close_matches(unknown[1].lower(), tables, n=3, cutoff=0.4)
        message += f"\n\nnearest tables: {', '.join(near)}" if near else "\n\n`SHOW TABLES` lists what there is"
    if "No files found that match the pattern" in message or "No such file" in message:
        message = (
            f"the files that this publication was made of are gone, ten minutes after the next one or by hand: ask again, or run {_REBUILD}"
        )
    return message


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
