"""Publishing the warehouse: whole or not at all, for readers who keep reading."""

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path

import pytest

from assets.desk import Desk, load_desk
from assets.lake import Lake
from benchmarks.made import put, put_report
from pipelines import warehouse
from pipelines.query import WarehouseError, open_warehouse, query
from pipelines.sql_models import load
from pipelines.warehouse import build, sources

DESK_FILE = Path(__file__).parents[2] / "desk.toml"
PROJECT = load(sources())
MONDAY = dt.date(2026, 9, 21)
TUESDAY = dt.date(2026, 9, 22)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return load_desk(DESK_FILE).model_copy(update={"home": tmp_path})


def test_what_is_published_does_not_move_while_the_lake_is_written(desk: Desk) -> None:
    put(desk, "orders", 2)
    build(desk, PROJECT)
    put(desk, "orders", 5)
    put(desk, "orders", 7, key=TUESDAY)
    assert query(desk, "SELECT count(*) FROM orders").item() == 2
    build(desk, PROJECT)
    assert query(desk, "SELECT count(*) FROM orders").item() == 12


def test_a_reader_keeps_its_publication_through_the_next_and_old_ones_are_cleared_away(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    put(desk, "orders", 1)
    build(desk, PROJECT)
    # another process would hold the file open; in this one DuckDB shares a database by path
    with open_warehouse(desk) as reader:
        put(desk, "orders", 2)
        build(desk, PROJECT)
        assert reader.sql("SELECT count(*) FROM orders").fetchall() == [(1,)]
    put(desk, "orders", 4)
    monkeypatch.setattr(warehouse, "READER_SECONDS", 0.0)
    build(desk, PROJECT)
    assert len(list((desk.home / "published").iterdir())) == 1
    assert query(desk, "SELECT count(*) FROM orders").item() == 4


def test_a_damaged_partition_leaves_the_published_warehouse_whole(desk: Desk) -> None:
    put(desk, "fills", 2)
    build(desk, PROJECT)
    Lake(desk.lake).path("fills", market="FLW", session=TUESDAY).parent.mkdir()
    Lake(desk.lake).path("fills", market="FLW", session=TUESDAY).write_bytes(b"PAR1 not really")
    with pytest.raises(WarehouseError, match=r"could not be built.*session=2026-09-22"):
        build(desk, PROJECT)
    assert query(desk, "SELECT count(*) FROM fills").item() == 2
    assert [path.name for path in desk.home.glob(".warehouse.duckdb*")] == []


def test_a_full_disk_leaves_the_published_warehouse_whole(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    build(desk, PROJECT)
    before = desk.warehouse.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(warehouse, "_write", full)
    with pytest.raises(WarehouseError, match="No space left on device"):
        build(desk, PROJECT)
    assert desk.warehouse.read_bytes() == before


def test_what_a_killed_build_left_behind_is_no_obstacle(desk: Desk) -> None:
    put(desk, "fills", 2)
    desk.home.joinpath(".warehouse.duckdb.new").write_bytes(b"half a database")
    desk.home.joinpath("published/.new/fills").mkdir(parents=True)
    build(desk, PROJECT)
    assert query(desk, "SELECT count(*) FROM fills").item() == 2


def test_a_publication_is_removed_in_one_step(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warehouse, "READER_SECONDS", 0.0)
    put(desk, "orders", 1)
    build(desk, PROJECT)
    [old] = (desk.home / "published").iterdir()
    seen: list[bool] = []
    monkeypatch.setattr(warehouse.shutil, "rmtree", lambda *_, **__: seen.append(old.exists()))
    put(desk, "orders", 2)
    build(desk, PROJECT)
    assert seen
    assert not any(seen[1:])
    monkeypatch.undo()
    put(desk, "orders", 3)
    build(desk, PROJECT)
    assert not list((desk.home / "published").glob(".gone-*"))


HOLDER = """
import sys
from pathlib import Path
from threading import Thread
from assets.desk import load_desk
from pipelines.query import open_warehouse

desk = load_desk(sys.argv[1]).model_copy(update={"home": Path(sys.argv[2])})
until_told = Thread(target=sys.stdin.read)
until_told.start()
with open_warehouse(desk) as con:
    seen = set(con.sql("SELECT count(*), count(DISTINCT session) FROM orders").fetchall())
    print("ready", flush=True)
    reads = 0
    while until_told.is_alive() or reads == 0:
        seen.update(con.sql("SELECT count(*), count(DISTINCT session) FROM orders").fetchall())
        reads += 1
print(sorted(seen))
"""


def test_a_reader_that_keeps_its_connection_over_publications_sees_its_own_all_the_time(desk: Desk) -> None:
    put(desk, "orders", 5)
    build(desk, PROJECT)
    command = [sys.executable, "-c", HOLDER, str(DESK_FILE), str(desk.home)]
    reader = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert reader.stdout is not None
    assert reader.stdout.readline() == "ready\n"
    for day in range(1, 5):
        put(desk, "orders", 5, key=MONDAY + dt.timedelta(days=day))
        build(desk, PROJECT)
    told, error = reader.communicate(timeout=60)
    assert (told, error) == ("[(5, 1)]\n", "")


READER = """
import sys
from pathlib import Path
from threading import Thread
from assets.desk import load_desk
from pipelines.query import open_warehouse

# A publication is whole when a view over the lake, a copied table and a mart tell of the same sessions.
TABLES = ("(SELECT DISTINCT session FROM orders)", "performance_report", "daily_pnl")
WHOLE = f"SELECT {', '.join(f'(SELECT count(*) FROM {table})' for table in TABLES)}"
desk = load_desk(sys.argv[1]).model_copy(update={"home": Path(sys.argv[2])})
seen = set()

def read():
    with open_warehouse(desk) as con:
        seen.update(con.sql(WHOLE).fetchall())

read()
print("ready", flush=True)
until_told = Thread(target=sys.stdin.read)
until_told.start()
while until_told.is_alive():
    read()
    until_told.join(timeout=0.1)
read()
print(sorted(seen))
"""


def test_four_readers_meet_no_lock_and_never_half_of_a_publication(desk: Desk) -> None:
    def add(day: int) -> None:
        session = MONDAY + dt.timedelta(days=day)
        put_report(desk, session, net=1.0)
        put(desk, "orders", 2, key=session)

    add(0)
    build(desk, PROJECT)
    command = [sys.executable, "-c", READER, str(DESK_FILE), str(desk.home)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    readers = [subprocess.Popen(command, text=True, **pipes) for _ in range(4)]
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
    for day in range(1, 3):
        add(day)
        build(desk, PROJECT)
    told = [reader.communicate(timeout=60) for reader in readers]
    assert [error for _, error in told] == [""] * 4
    for seen, _ in told:
        publications = [tuple(counts) for counts in json.loads(seen.replace("(", "[").replace(")", "]"))]
        assert publications[0] == (1, 1, 1)
        assert publications[-1] == (3, 3, 3)
        assert all(len(set(counts)) == 1 for counts in publications)
