"""Asking the warehouse: read-only, off the network, with errors that a person can act on."""

import re
from pathlib import Path

import duckdb
import polars as pl
import pytest

from assets.desk import Desk, load_desk
from assets.lake import Lake
from assets.ticks.schema import Recording
from pipelines.layers import LAYERS
from pipelines.query import WarehouseError, open_warehouse, query, tables
from pipelines.sql_models import load
from pipelines.warehouse import build, sources

DESK_FILE = Path(__file__).parents[2] / "desk.toml"
PROJECT = load(sources())
KEY = "db-" + "k" * 29


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return load_desk(DESK_FILE).model_copy(update={"home": tmp_path})


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A desk whose warehouse is published from an empty lake."""
    desk = load_desk(DESK_FILE).model_copy(update={"home": tmp_path_factory.mktemp("empty")})
    build(desk, PROJECT)
    return desk


def test_a_missing_or_older_warehouse_says_how_to_build_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WarehouseError, match=r"no warehouse at .* run `tickline demo`"):
        query(desk, "SELECT 1")
    build(desk, PROJECT)
    monkeypatch.setattr("pipelines.query.layout", lambda: "of tomorrow")
    with pytest.raises(WarehouseError, match=r"another version .* `tickline demo` .* to build it again"):
        query(desk, "SELECT 1")
    desk.warehouse.write_bytes(b"no database" * 500)
    with pytest.raises(WarehouseError, match="cannot be opened"):
        query(desk, "SELECT 1")


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT * FROM daily_pln", r"LINE 1: SELECT \* FROM daily_pln(?s:.*)nearest tables: daily_pnl"),
        ("SELECT net FROM daily_pnl", r'Candidate bindings: .*"net_pnl"'),
        ("SELEC 1", r"syntax error(?s:.*)LINE 1: SELEC 1"),
        ("", "can only read"),
        ("SELECT 1; SELECT 2", "can only read"),
        ("DROP TABLE daily_pnl", "can only read"),
        ("COPY daily_pnl TO '/tmp/stolen.csv'", "can only read"),
        ("FROM read_csv('http://localhost:9/x.csv')", "nothing else, so not http://localhost:9/x.csv"),
    ],
)
def test_a_query_that_cannot_be_answered_is_told_in_duckdbs_words(empty: Desk, sql: str, said: str) -> None:
    with pytest.raises(WarehouseError, match=said):
        query(empty, sql)


READS = [
    "FROM daily_pnl",
    "WITH a AS (SELECT 1) FROM a",
    "DESCRIBE fills",
    "SHOW TABLES",
    "SUMMARIZE markets",
    "EXPLAIN SELECT 1",
    "EXPLAIN ANALYZE (SELECT 1)",
    "EXPLAIN (FORMAT JSON) FROM fills",
]


@pytest.mark.parametrize("sql", READS)
def test_every_way_to_read_is_open(empty: Desk, sql: str) -> None:
    assert query(empty, sql).width > 0


ATTEMPTS = [
    "FROM read_csv('{outside}')",
    "FROM '{outside}'",
    "FROM read_text('{home}/published/../secret.csv')",
    "FROM read_text('{home}/published/link.csv')",
    "FROM read_blob('file://{outside}')",
    "FROM read_json('/proc/self/environ')",
    "FROM read_text('/proc/self/environ')",
    "FROM glob('/*')",
    "FROM sniff_csv('{outside}')",
    "FROM parquet_metadata('{outside}')",
    "FROM read_duckdb('{outside}')",
    "FROM python_frame",
    "FROM duckdb_secrets()",
    "FROM enable_logging(storage := 'file', storage_path := '{home}/published')",
    "SELECT getenv('DATABENTO_API_KEY')",
    "WITH added AS (INSERT INTO built_with VALUES ('a', 'b', 'c', 'd') RETURNING *) FROM added",
    "FROM query($$COPY (SELECT 1) TO '{home}/published/new.csv'$$)",
    "FROM 'https://example.org/a.csv'",
    "ATTACH '{outside}' AS other",
    "INSTALL httpfs",
    "LOAD parquet",
    "PRAGMA enable_profiling",
    "SET threads = 1",
    "CALL enable_logging()",
    "CREATE TEMP TABLE mine AS SELECT 1",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{outside}'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{home}/published/new.csv'",
    "EXPLAIN (ANALYZE) COPY (SELECT 1) TO '{home}/published/new.csv'",
    "/* a */ -- b\\n EXPLAIN ANALYZE COPY (SELECT 1) TO '{home}/published/new.csv'",
    "EXPLAIN ANALYZE (FORMAT JSON) COPY (SELECT 1) TO '{home}/published/new.csv'",
    "EXPLAIN ANALYZE LOAD parquet",
    "EXPLAIN ANALYZE SET threads = 1",
    "EXPLAIN ANALYZE CHECKPOINT",
    "EXPLAIN ANALYZE CREATE TABLE mine AS SELECT 1",
    "EXPLAIN EXPLAIN ANALYZE COPY (SELECT 1) TO '{home}/published/new.csv'",
]


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_query_reads_the_warehouse_and_the_lake_and_nothing_else(empty: Desk, monkeypatch: pytest.MonkeyPatch, attempt: str) -> None:
    python_frame = pl.DataFrame({"secret": [KEY]})
    monkeypatch.setenv("DATABENTO_API_KEY", KEY)
    outside, link = empty.home / "secret.csv", empty.home / "published" / "link.csv"
    python_frame.write_csv(outside)
    link.unlink(missing_ok=True)
    link.symlink_to(outside)
    before = files(empty.home)
    with pytest.raises(WarehouseError) as told:
        query(empty, attempt.format(outside=outside, home=empty.home))
    assert KEY not in str(told.value)
    assert files(empty.home) == before


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_lakes_own_files_can_be_read(empty: Desk) -> None:
    Lake(empty.lake).write("recording", Recording.empty(), Recording, market="FLW", session="2026-09-07")
    assert query(empty, f"FROM read_parquet('{empty.lake}/recording/*/*/part-0.parquet')").is_empty()


def test_two_connections_of_one_process_share_the_locks(empty: Desk) -> None:
    with open_warehouse(empty) as first, open_warehouse(empty) as second:
        for con in (first, second):
            with pytest.raises(duckdb.PermissionException):
                con.sql("FROM read_text('/proc/self/environ')")


def test_a_home_with_a_quote_in_its_name_is_locked_too(tmp_path: Path) -> None:
    desk = load_desk(DESK_FILE).model_copy(update={"home": tmp_path / "the desk's"})
    build(desk, PROJECT)
    assert query(desk, "FROM daily_pnl").is_empty()
    with pytest.raises(WarehouseError, match="nothing else"):
        query(desk, "FROM read_text('/proc/self/environ')")


def test_the_difference_of_two_times_can_be_shown(empty: Desk) -> None:
    sql = "SELECT make_timestamp_ns(90000000000) - make_timestamp_ns(0) AS took, 1 AS took, sum(n) AS total FROM range(4) AS t(n)"
    assert query(empty, sql).rows() == [("00:01:30", 1, 6)]


def test_every_table_is_listed_with_what_it_is(empty: Desk) -> None:
    listed = {name: (columns, description) for name, columns, description in tables(empty).iter_rows()}
    assert set(listed) == {*LAYERS, *PROJECT.models, "markets", "built_with"}
    assert listed["daily_pnl"] == (len(PROJECT.columns["daily_pnl"]), PROJECT.models["daily_pnl"].about.description)


def sql_in(page: str) -> list[str]:
    """Every statement in a sql block of a page."""
    blocks = re.findall(r"```sql\n(.*?)```", (DESK_FILE.parent / page).read_text(), flags=re.DOTALL)
    return [statement.strip() for block in blocks for statement in block.split(";") if statement.strip()]


@pytest.mark.parametrize("page", ["README.md", "docs/sql.md"])
def test_every_query_that_is_written_down_can_be_asked(empty: Desk, page: str) -> None:
    asked = [query(empty, statement) for statement in sql_in(page)]
    assert len(asked) >= 10
