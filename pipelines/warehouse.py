"""The warehouse: built anew beside the published one, tested, and swapped in.

A publication is the DuckDB file and a folder of hard links to the lake's partitions as they were when
the build began. Small tables are copied into the file, big ones are views over those links, so what a
reader sees does not move while the lake is being written, and costs no space. A reader who has opened
the file before the swap keeps the old publication, whose links stay for ten minutes after the next and then go at once.
"""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import dagster as dg
import duckdb

from assets.desk import Desk
from assets.lake import LakeError
from assets.provenance import open_lake
from assets.reports.statistics import sessions_a_year
from assets.shell import OWNERS, TOLD_ROWS, markdown, told
from pipelines.layers import LAYERS, LINE, Layer
from pipelines.query import CONFIG, WarehouseError, as_pattern, layout, text
from pipelines.room import no_room
from pipelines.sql_models import Columns, Model, Project, TestResult, load, quoted, run_tests

MARKETS: Final[Mapping[str, tuple[str, str]]] = {
    "market": ("VARCHAR", "Name of the market in the desk file"),
    "symbol": ("VARCHAR", "Symbol as the data vendor writes it"),
    "role": ("VARCHAR", "traded, or leader: watched, not traded"),
    "tick_size": ("DOUBLE", "Smallest price step, in currency"),
    "multiplier": ("DOUBLE", "Currency per point of price and contract"),
    "lot_size": ("DOUBLE", "Units of the instrument in one contract"),
    "maker_fee": ("DOUBLE", "Currency a contract, for a resting order that fills"),
    "taker_fee": ("DOUBLE", "Currency a contract, for an order that takes"),
    "currency": ("VARCHAR", "What prices, fees and P&L are in"),
    "sessions_per_year": ("INTEGER", "What makes a figure of sessions annual"),
}
"""Columns of the table `markets`, which comes from the desk file: type and description."""

MATERIALISED: Final = ("marts",)
"""Kinds of models that are stored as tables; the others are views, computed when they are read."""

_READABLE_FROM: Final = "v1.5.0"
"""Oldest DuckDB that can open the file: the shell that most people have is of the line before ours."""

_FILE_LINE: Final = "file_row_number"
_FILE: Final = "_file"
"""DuckDB's name for the place of a row within its Parquet file."""

READER_SECONDS: Final = 600.0
"""How long the files of a publication stay once the next has been made, for readers who still have it open."""


@dataclass(frozen=True)
class Built:
    """What a build has published."""

    rows: Mapping[str, int]
    columns: Mapping[str, Columns]
    results: list[TestResult]


def sources() -> dict[str, Columns]:
    """Every table that SQL models may read, with its columns: the layers of the lake, and `markets`."""
    layers: dict[str, Columns] = {name: layer.column_types for name, layer in LAYERS.items()}
    return layers | {"markets": {name: kind for name, (kind, _) in MARKETS.items()}}


def build(desk: Desk, project: Project) -> Built:
    """Build the warehouse of a desk from what its lake holds now, test it, and publish it.

    Published is what the desk asks for now: partitions of other dates, or made with other settings, code or inputs, are left out.
    Layers without a partition are empty tables of the right columns. A test of a `.yml` that fails does not
    hold the publication back: the result says so, and the rows at fault are there to be looked at.

    Raises:
        WarehouseError: a partition that DuckDB cannot read, or a full disk; what was published before stays.
    """
    path, links = desk.warehouse, desk.home / "published"
    temporary = path.with_name(f".{path.name}.new")
    with _one_build_at_a_time(desk.home):
        _remove(temporary)
        try:
            snapshot = _snapshot(desk, links)
            with duckdb.connect(str(temporary), config=CONFIG | {"storage_compatibility_version": _READABLE_FROM}) as con:
                con.begin()  # one transaction: each statement of its own would wait for the disk
                built = _write(con, desk, project, snapshot)
                con.commit()
            temporary.replace(path)
        except (duckdb.Error, OSError, LakeError) as error:
            free = shutil.disk_usage(desk.home).free / 1e6
            raise WarehouseError(
                f"the warehouse could not be built, and {path} is as it was ({free:.0f} MB are free there): {str(error).strip()}"
            ) from error
        finally:
            _remove(temporary)
        _prune(links, snapshot)
    return built


def published_keys() -> list[dg.AssetKey]:
    """Keys of the warehouse and of every SQL model in it."""
    return [*(_key(model) for model in load(sources()).models.values()), dg.AssetKey("warehouse")]


def warehouse_assets(desk: Desk) -> dg.AssetsDefinition:
    """The warehouse and every SQL model in it: one step, an asset each, `.yml` tests as checks."""
    project = load(sources())
    checks = {(test.model, test.name): test for model in project.models.values() for test in model.tests}
    specs = [_spec(desk, project, model) for model in project.models.values()]
    file = dg.AssetSpec(
        "warehouse",
        deps=[spec.key for spec in specs],
        description="`warehouse.duckdb`: every layer and SQL model, for any number of readers.",
        group_name="warehouse",
        kinds={"duckdb"},
        owners=OWNERS,
        tags={"market": desk.traded, "layer": "warehouse"},
        code_version=layout(),
    )

    @dg.multi_asset(
        name="publish_warehouse",
        specs=[*specs, file],
        check_specs=[
            dg.AssetCheckSpec(test.name, asset=_key(project.models[test.model]), description=test.description) for test in checks.values()
        ],
    )
    def publish_warehouse() -> Iterator[dg.MaterializeResult]:
        with told():
            built = build(desk, project)
        with duckdb.connect(str(desk.warehouse), read_only=True, config=CONFIG) as con:
            marts = [model.name for model in project.models.values() if model.kind == "marts"]
            shown = {name: markdown(con.table(name).limit(TOLD_ROWS).pl()) for name in marts}
        for model in project.models.values():
            yield dg.MaterializeResult(
                asset_key=_key(model),
                metadata={
                    "dagster/row_count": built.rows[model.name],
                    "dagster/table_name": model.name,
                    "dagster/column_schema": _column_schema(built.columns[model.name], _descriptions(model, built.columns[model.name])),
                    "dagster/column_lineage": _column_lineage(desk, project, model.name),
                    **({"table": shown[model.name]} if model.name in shown else {}),
                },
                check_results=[_check_result(result, _key(model)) for result in built.results if result.test.model == model.name],
            )
        yield dg.MaterializeResult(
            asset_key="warehouse",
            metadata={"path": dg.MetadataValue.path(desk.warehouse), "bytes": desk.warehouse.stat().st_size, "tables": len(built.rows)},
        )

    return publish_warehouse


def _write(con: duckdb.DuckDBPyConnection, desk: Desk, project: Project, snapshot: Path) -> Built:
    con.execute("SET threads = 1")  # sums of floats then come out the same, bit for bit
    con.execute("SET TimeZone = 'UTC'")
    tables: list[str] = []
    for layer in LAYERS.values():
        con.execute(_layer_statement(layer, snapshot))
        _comment(con, layer.table, layer.description, layer.column_descriptions)
        tables.append(layer.table)
    _write_desk(con, desk)
    for model in project.models.values():
        con.execute(f"CREATE {'TABLE' if model.kind in MATERIALISED else 'VIEW'} {model.name} AS {model.sql}")
        _comment(con, model.name, model.about.description, _descriptions(model, _columns(con, model.name)))
        tables.append(model.name)
    return Built(
        rows={name: con.sql(f"SELECT count(*) FROM {name}").fetchall()[0][0] for name in tables},
        columns={name: _columns(con, name) for name in tables},
        results=run_tests(con, [test for model in project.models.values() for test in model.tests]),
    )


def _layer_statement(layer: Layer, snapshot: Path) -> str:
    columns = layer.column_types
    if not any((snapshot / layer.table).glob("*/*/part-0.parquet")):
        return f"CREATE TABLE {layer.table} ({', '.join(f'{quoted(name)} {kind}' for name, kind in columns.items())})"
    # Partitions may differ: a vendor's schemas have different columns, a newer feature table has more indicators.
    files = text(f"{as_pattern(snapshot)}/{layer.table}/*/*/part-0.parquet")
    # The keys are read from the file's own name: DuckDB would take every folder above that is called a=b for a column, too.
    options = f"hive_partitioning = false, union_by_name = true, file_row_number = true, filename = '{_FILE}'"
    scan = f"read_parquet({files}, {options})"
    parts = text(f"/market=([^/]*)/{layer.key}=([^/]*)/part-0[.]parquet$")
    keys = {name: f"regexp_extract({_FILE}, {parts}, {place})" for place, name in enumerate(("market", layer.key), 1)}
    with duckdb.connect(config=CONFIG) as con:
        found = con.sql(f"FROM {scan}").columns
    stored = {name: quoted(name) if name in found else "NULL" for name in columns} | keys
    promised = [f"CAST({stored[name]} AS {kind}) AS {quoted(name)}" for name, kind in columns.items() if name != LINE]
    others = [quoted(name) for name in found if name not in (*columns, _FILE_LINE, _FILE)]
    selected = ", ".join([*promised, *others, f"{_FILE_LINE} AS {LINE}"])
    return f"CREATE {'VIEW' if layer.big else 'TABLE'} {layer.table} AS SELECT {selected} FROM {scan}"


def _write_desk(con: duckdb.DuckDBPyConnection, desk: Desk) -> None:
    con.execute(f"CREATE TABLE markets ({', '.join(f'{name} {kind}' for name, (kind, _) in MARKETS.items())})")
    for name in desk.all_markets:
        market = desk.markets[name]
        role = "traded" if name == desk.traded else "leader"
        facts = [market.tick_size, market.point_value, market.lot_size, market.maker_fee, market.taker_fee]
        row = [name, market.symbol, role, *map(float, facts), market.currency, sessions_a_year(desk)]
        con.execute("INSERT INTO markets VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    _comment(con, "markets", "The markets of the desk, from the desk file.", {name: meaning for name, (_, meaning) in MARKETS.items()})
    con.execute("CREATE TABLE built_with (desk VARCHAR, provenance VARCHAR, version VARCHAR, layout VARCHAR)")
    con.execute("INSERT INTO built_with VALUES (?, ?, ?, ?)", [desk.name, desk.provenance, version("tickline"), layout()])
    _comment(
        con,
        "built_with",
        "What this warehouse was built from.",
        {
            "desk": "Name of the desk",
            "provenance": "Where its prices came from",
            "version": "Version of tickline",
            "layout": "Fingerprint of the contracts and the SQL models",
        },
    )


def _comment(con: duckdb.DuckDBPyConnection, table: str, description: str, columns: Mapping[str, str]) -> None:
    kind = con.execute("SELECT table_type FROM information_schema.tables WHERE table_name = ?", [table]).fetchall()[0][0]
    con.execute(f"COMMENT ON {'VIEW' if kind == 'VIEW' else 'TABLE'} {table} IS {text(description)}")
    for name, meaning in columns.items():
        con.execute(f"COMMENT ON COLUMN {table}.{quoted(name)} IS {text(meaning)}")


def _columns(con: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    return {row[0]: row[1] for row in con.sql(f"DESCRIBE {table}").fetchall()}


def _descriptions(model: Model, columns: Columns) -> dict[str, str]:
    described = {name: column.description for name, column in model.about.columns.items()}
    return {name: described.get(name) or model.about.other_columns or "" for name in columns}


@contextmanager
def _one_build_at_a_time(home: Path) -> Iterator[None]:
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = (home / ".warehouse.lock").open("w")
    except OSError as error:
        raise WarehouseError(f"the warehouse could not be built: {no_room(error, home)}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _snapshot(desk: Desk, links: Path) -> Path:
    """A folder of hard links to every partition that is what the desk asks for; the same lake gives the same folder.

    Raises:
        LakeError: one of the desk's partitions is damaged.
    """
    lake = open_lake(desk)
    files = [lake.path(table, **keys) for table in LAYERS for keys in lake.current(table)]
    states = ((file.relative_to(lake.root).as_posix(), file.stat()) for file in files)
    listed = "\n".join(f"{name} {state.st_size} {state.st_mtime_ns}" for name, state in states)
    snapshot = links / hashlib.sha256(listed.encode()).hexdigest()[:16]
    if snapshot.is_dir():
        os.utime(snapshot)
        return snapshot
    unfinished = links / ".new"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    for file in files:
        link = unfinished / file.relative_to(lake.root)
        link.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, link)
        except OSError:  # a file system without hard links
            shutil.copy2(file, link)
    unfinished.rename(snapshot)
    return snapshot


def _prune(links: Path, current: Path) -> None:
    """Remove the publications that no reader may have open any more: each out of sight in one step, so that nobody reads half of it."""
    for gone in links.glob(".gone-*"):  # what a killed build has left
        shutil.rmtree(gone, ignore_errors=True)
    others = [folder for folder in links.iterdir() if folder != current and not folder.name.startswith(".")]
    followed = current.stat().st_mtime
    for folder in sorted(others, key=lambda folder: folder.stat().st_mtime_ns, reverse=True):
        followed, until = folder.stat().st_mtime, followed + READER_SECONDS
        if time.time() >= until:
            gone = folder.rename(folder.with_name(f".gone-{folder.name}"))
            shutil.rmtree(gone, ignore_errors=True)


def _remove(database: Path) -> None:
    database.unlink(missing_ok=True)
    database.with_name(f"{database.name}.wal").unlink(missing_ok=True)


def _key(model: Model) -> dg.AssetKey:
    return dg.AssetKey([model.kind, model.name])


def _upstream(desk: Desk, project: Project, table: str) -> list[dg.AssetKey]:
    """The assets that write a table: a model's own, a layer's for each market that has it, none for the desk file's."""
    if table in project.models:
        return [_key(project.models[table])]
    if table not in LAYERS:
        return []
    layer = LAYERS[table]
    return [dg.AssetKey([market, layer.asset]) for market in (desk.all_markets if layer.every_market else (desk.traded,))]


def _spec(desk: Desk, project: Project, model: Model) -> dg.AssetSpec:
    columns = project.columns[model.name]
    return dg.AssetSpec(
        _key(model),
        deps=[key for table in model.reads for key in _upstream(desk, project, table)],
        description=f"{model.about.description}\n\n```sql\n{model.sql}\n```",
        group_name=model.kind,
        kinds={"duckdb", "sql"},
        owners=OWNERS,
        tags={"market": desk.traded, "layer": model.kind},
        code_version=model.version,
        metadata={"dagster/column_schema": _column_schema(columns, _descriptions(model, columns))},
    )


def _column_schema(columns: Columns, descriptions: Mapping[str, str]) -> dg.TableSchema:
    return dg.TableSchema([dg.TableColumn(name, kind, description=descriptions[name]) for name, kind in columns.items()])


def _column_lineage(desk: Desk, project: Project, name: str) -> dg.TableColumnLineage:
    return dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(key, origin) for table, origin in origins for key in _upstream(desk, project, table)]
            for column, origins in project.lineage(name).items()
        }
    )


def _check_result(result: TestResult, key: dg.AssetKey) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.WARN if result.test.warn else dg.AssetCheckSeverity.ERROR
    metadata: dict[str, Any] = {"failures": float(result.failures)}
    if result.sample:
        rows = [{name: str(value) for name, value in row.items()} for row in result.sample]
        metadata["first rows at fault"] = dg.MetadataValue.json(rows)
    return dg.AssetCheckResult(asset_key=key, check_name=result.test.name, passed=result.passed, severity=severity, metadata=metadata)
