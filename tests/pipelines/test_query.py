"""Asking the warehouse: read-only, off the network, with errors that a person can act on."""

import re
from pathlib import Path

import pytest

from assets.desk import Desk, load_desk
from pipelines.layers import LAYERS
from pipelines.query import WarehouseError, query, tables
from pipelines.sql_models import load
from pipelines.warehouse import build, sources

DESK_FILE = Path(__file__).parents[2] / "desk.toml"
PROJECT = load(sources())


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
        ("FROM read_csv('http://localhost:9/x.csv')", "httpfs"),
    ],
)
def test_a_query_that_cannot_be_answered_is_told_in_duckdbs_words(empty: Desk, sql: str, said: str) -> None:
    with pytest.raises(WarehouseError, match=said):
        query(empty, sql)


READS = ["FROM daily_pnl", "WITH a AS (SELECT 1) FROM a", "DESCRIBE fills", "SHOW TABLES", "SUMMARIZE markets", "EXPLAIN SELECT 1"]


@pytest.mark.parametrize("sql", READS)
def test_every_way_to_read_is_open(empty: Desk, sql: str) -> None:
    assert query(empty, sql).width > 0


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
