"""SQL models: a folder of SELECT-only files, read, ordered, described and tested.

A model is `<folder>/<kind>/<name>.sql`, one SELECT, with `<name>.yml` beside it. The SQL refers to
other models and to source tables by plain name; what depends on what, and which column comes from
which, is read from the SQL. The format is told in docs/sql.md. Nothing here knows of the lake.
"""

import difflib
import graphlib
import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import sqlglot
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from sqlglot import exp
from sqlglot.lineage import Node, lineage
from sqlglot.optimizer.scope import traverse_scope

from assets.desk import UserError
from pipelines.query import CONFIG, text

FOLDER: Final = Path(__file__).parents[1] / "dbt_like_sql"
"""The project's own models."""

DIALECT: Final = "duckdb"

_YAML: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The parser in C where libyaml is there: ten times faster, and every Dagster process reads every file."""

Columns = Mapping[str, str]
"""Column name to DuckDB type, in order."""


class ModelError(UserError):
    """A SQL model that cannot be used; the message names the file and the remedy."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(_Part):
    """What the `.yml` says of one column."""

    description: str
    tests: tuple[str | dict[str, Any], ...] = ()


class Unit(_Part):
    """Given these rows in the tables a model reads, expect those from it; columns left out are null, or are not compared."""

    given: dict[str, list[dict[str, Any]]]
    expect: list[dict[str, Any]]


class About(_Part):
    """The `.yml` beside a model."""

    description: str
    columns: dict[str, Column]
    other_columns: str | None = None
    """Description of columns that the SQL takes over by a star and that only the data can name."""
    tests: tuple[dict[str, Any], ...] = ()
    unit: dict[str, Unit] = {}


@dataclass(frozen=True)
class Test:
    """A rule about a model's rows: the query selects those that break it."""

    model: str
    name: str
    description: str
    failing: str
    warn: bool = False


@dataclass(frozen=True)
class TestResult:
    """How many rows broke a rule, and the first of them."""

    test: Test
    failures: int
    sample: list[dict[str, Any]]

    @property
    def passed(self) -> bool:
        """Whether no row broke it."""
        return self.failures == 0


@dataclass(frozen=True)
class Model:
    """One SQL file and what its `.yml` says of it."""

    name: str
    kind: str
    path: Path
    sql: str
    about: About
    reads: tuple[str, ...]
    """Tables and models that it names, sorted."""

    @property
    def version(self) -> str:
        """Changes when the SQL does."""
        return hashlib.sha256(self.sql.encode()).hexdigest()[:12]

    @property
    def tests(self) -> list[Test]:
        """The rules of the `.yml`, column by column, then the table's."""
        of_columns = [_test(self, rule, name) for name, column in self.about.columns.items() for rule in column.tests]
        return of_columns + [_test(self, rule, None) for rule in self.about.tests]


@dataclass(frozen=True)
class Project:
    """Models in the order in which they can be built, and the columns of every table they meet."""

    models: Mapping[str, Model]
    columns: Mapping[str, Columns]
    """Of sources and models, as DuckDB finds them when the sources are empty."""

    def lineage(self, name: str) -> dict[str, list[tuple[str, str]]]:
        """For each column of a model, the (table, column) pairs that it is computed from, one model deep."""
        model = self.models[name]
        schema: dict[str, Any] = {table: dict(self.columns[table]) for table in model.reads}
        nodes = lineage(None, model.sql, schema, dialect=DIALECT, trim_selects=False)
        return {column: _origins(node) for column, node in nodes.items()}

    def run_unit(self, name: str, unit: str) -> str | None:
        """Run one unit of a model; None when it gave what was expected, else what it gave instead.

        Raises:
            ModelError: the rows name a table or column that is not there, or hold a value of the wrong type.
        """
        model, rows = self.models[name], self.models[name].about.unit[unit]
        if unread := set(rows.given) - set(model.reads):
            raise ModelError(f"{model.path}: unit {unit!r} gives rows for {sorted(unread)[0]!r}, which the SQL does not read")
        with duckdb.connect(config=CONFIG) as con:
            try:
                for table in model.reads:
                    _fill(con, table, self.columns[table], rows.given.get(table, []))
                con.execute(f"CREATE TABLE {name} AS {model.sql}")
                _fill(con, "expected", self.columns[name], rows.expect)
                told = list(dict.fromkeys(column for row in rows.expect for column in row)) or ["*"]
                got, wanted = (con.sql(f"SELECT {', '.join(told)} FROM {table} ORDER BY ALL").fetchall() for table in (name, "expected"))
            except duckdb.Error as error:
                raise ModelError(f"{model.path}: unit {unit!r} cannot run: {error}") from None
        if len(got) == len(wanted) and all(map(_same_row, got, wanted)):
            return None
        return f"{name}: unit {unit!r} expected {told} = {wanted}, got {got}"


def load(sources: Mapping[str, Columns], folder: Path = FOLDER) -> Project:
    """Read every model of a folder and check that they fit one another, their sources and their `.yml`.

    Args:
        sources: tables that models may read without being models, with their columns.
        folder: holds one folder a kind (`staging`, `marts`), each with `.sql` and `.yml` files.

    Raises:
        ModelError: a file that is no single SELECT, a missing or incomplete `.yml`, an unknown table, a circle.
    """
    found = [_read(path) for path in sorted(folder.glob("*/*.sql"))]
    models = {model.name: model for model in found}
    for model in found:
        if model.name in sources or models[model.name] is not model:
            raise ModelError(f"{model.path}: another table is already named {model.name!r}; rename the file")
        for table in model.reads:
            if table not in models and table not in sources:
                near = difflib.get_close_matches(table, [*models, *sources], n=3, cutoff=0.5)
                hint = f"; the nearest are {', '.join(near)}" if near else ""
                raise ModelError(f"{model.path}: model {model.name!r} reads {table!r}, which is neither a model nor a source{hint}")
    try:
        order = list(graphlib.TopologicalSorter({name: [t for t in m.reads if t in models] for name, m in models.items()}).static_order())
    except graphlib.CycleError as error:
        raise ModelError(f"SQL models read one another in a circle: {' -> '.join(error.args[1])}; break it in one of them") from None
    ordered = {name: models[name] for name in order}
    return Project(ordered, _describe(ordered, sources))


def run_tests(con: duckdb.DuckDBPyConnection, tests: Iterable[Test], sample: int = 5) -> list[TestResult]:
    """Run rules against the tables of a connection.

    Raises:
        ModelError: a rule's own SQL is at fault.
    """
    results = []
    for test in tests:
        try:
            failures = con.sql(f"SELECT count(*) FROM ({test.failing})").fetchall()[0][0]
            rows = con.sql(f"SELECT * FROM ({test.failing}) LIMIT {sample}").pl().to_dicts() if failures else []
        except duckdb.Error as error:
            raise ModelError(f"{test.model}.yml: test {test.name!r} cannot run: {error}") from None
        results.append(TestResult(test, failures, rows))
    return results


def _read(path: Path) -> Model:
    sql, beside = path.read_text(), path.with_suffix(".yml")
    try:
        statements = [statement for statement in sqlglot.parse(sql, dialect=DIALECT) if statement is not None]
    except sqlglot.errors.SqlglotError as error:
        raise ModelError(f"{path} is not SQL: {_plain(str(error))}") from None
    if len(statements) != 1 or not isinstance(statements[0], exp.Select):
        kinds = ", ".join(statement.key.upper() for statement in statements) or "nothing"
        raise ModelError(f"{path} must hold one SELECT and nothing else, but holds {kinds}")
    reads = {source.name for scope in traverse_scope(statements[0]) for source in scope.sources.values() if isinstance(source, exp.Table)}
    try:
        about = About.model_validate(yaml.load(beside.read_text(), _YAML))
    except FileNotFoundError:
        raise ModelError(f"{path} has no {beside.name} beside it: describe the table and its columns there") from None
    except yaml.YAMLError as error:
        raise ModelError(f"{beside} is not YAML: {_plain(str(error))}") from None
    except ValidationError as error:
        fault = error.errors()[0]
        raise ModelError(f"{beside}: {'.'.join(map(str, fault['loc'])) or 'the file'}: {fault['msg']}") from None
    model = Model(path.stem, path.parent.name, path, sql.strip().rstrip(";"), about, tuple(sorted(reads)))
    names = [test.name for test in model.tests]
    if doubled := {name for name in names if names.count(name) > 1}:
        raise ModelError(f"{beside}: two tests are named {sorted(doubled)[0]!r}")
    return model


def _describe(models: Mapping[str, Model], sources: Mapping[str, Columns]) -> dict[str, Columns]:
    """Columns of all tables, found by building every model on empty sources; each `.yml` is held against its SQL."""
    columns: dict[str, Columns] = dict(sources)
    with duckdb.connect(config=CONFIG) as con:
        for table, kinds in sources.items():
            _fill(con, table, kinds, [])
        for name, model in models.items():
            try:
                con.execute(f"CREATE VIEW {name} AS {model.sql}")
                columns[name] = {row[0]: row[1] for row in con.sql(f"DESCRIBE {name}").fetchall()}
            except duckdb.Error as error:
                raise ModelError(f"{model.path}: {error}") from None
            told, beside = set(model.about.columns), model.path.with_suffix(".yml").name
            if missing := [column for column in columns[name] if column not in told]:
                raise ModelError(f"{model.path}: column {missing[0]!r} is not described in {beside}")
            if unknown := [column for column in model.about.columns if column not in columns[name]]:
                raise ModelError(f"{model.path}: {beside} describes column {unknown[0]!r}, which the SQL does not give")
    return columns


def _fill(con: duckdb.DuckDBPyConnection, table: str, columns: Columns, rows: list[dict[str, Any]]) -> None:
    con.execute(f"CREATE TABLE {table} ({', '.join(f'{quoted(name)} {kind}' for name, kind in columns.items())})")
    for row in rows:
        names, marks = ", ".join(map(quoted, row)), ", ".join("?" * len(row))
        con.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(row.values()))


def _test(model: Model, rule: str | dict[str, Any], column: str | None) -> Test:
    """A rule of the `.yml` as the query that selects the rows that break it."""
    given: dict[str, Any] = {rule: None} if isinstance(rule, str) else dict(rule)
    warn = given.pop("severity", "error") == "warn"
    kind, value = next(iter(given.items()))
    table, name = model.name, quoted(column or "")
    match (kind, value, column):
        case "not_null", None, str():
            return Test(table, f"not_null_{column}", f"{column} is never null", f"SELECT * FROM {table} WHERE {name} IS NULL", warn)
        case ("unique", None, str()) | ("unique", list(), None):
            keys = [column] if column else value
            listed = ", ".join(map(quoted, keys))
            query = f"SELECT {listed}, count(*) AS times FROM {table} WHERE {quoted(keys[0])} IS NOT NULL GROUP BY ALL HAVING times > 1"
            return Test(table, f"unique_{'_'.join(keys)}", f"no two rows share {', '.join(keys)}", query, warn)
        case "key", list(), None:
            listed = ", ".join(map(quoted, value))
            missing = " OR ".join(f"{quoted(name)} IS NULL" for name in value)
            query = f"SELECT {listed}, count(*) AS times FROM {table} GROUP BY ALL HAVING times > 1 OR {missing}"
            return Test(table, "key", f"{', '.join(value)} identify the row: never null, never twice", query, warn)
        case "accepted_values", list(), str():
            allowed = ", ".join(_literal(item) for item in value)
            query = f"SELECT * FROM {table} WHERE {name} NOT IN ({allowed})"
            return Test(table, f"accepted_values_{column}", f"{column} is one of {', '.join(map(str, value))}", query, warn)
        case "relationships", {"to": str(other), "column": str(key)}, str():
            known = f"SELECT {quoted(key)} FROM {other} WHERE {quoted(key)} IS NOT NULL"
            query = f"SELECT * FROM {table} WHERE {name} NOT IN ({known})"
            return Test(table, f"relationships_{column}_{other}", f"every {column} is a {key} of {other}", query, warn)
        case "expression", dict(), None if len(value) == 1:
            title, expression = next(iter(value.items()))
            return Test(table, title, str(expression), f"SELECT * FROM {table} WHERE NOT ({expression})", warn)
        case _:
            place = f"column {column!r}" if column else "the table"
            raise ModelError(
                f"{model.path.with_suffix('.yml')}: cannot understand test {rule!r} of {place}; a column may have not_null, unique, "
                "accepted_values: [...], relationships: {to, column}; the table key: [...], unique: [...], expression: {name: SQL}"
            )


def _origins(node: Node) -> list[tuple[str, str]]:
    # Leaves are named `alias.column`; the table behind the alias is the leaf's source.
    leaves = (leaf for leaf in node.walk() if isinstance(leaf.source, exp.Table))
    return sorted({(leaf.source.name, leaf.name.rpartition(".")[2].strip('"')) for leaf in leaves})


def _same_row(got: tuple[Any, ...], wanted: tuple[Any, ...]) -> bool:
    def same(a: Any, b: Any) -> bool:
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12) if isinstance(a, float) and isinstance(b, float) else a == b

    return all(map(same, got, wanted))


def quoted(name: str) -> str:
    """A name as a SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _literal(value: Any) -> str:
    return text(value) if isinstance(value, str) else str(value)


def _plain(message: str) -> str:
    """A parser's message without colours and line breaks."""
    return " ".join(message.replace("\x1b[4m", "").replace("\x1b[0m", "").split())
