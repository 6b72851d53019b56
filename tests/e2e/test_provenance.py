"""A desk that was edited, and a lake that was damaged: the same tables as in an empty home.

With TICKLINE_ALL_KEYS=1 every key of the desk is changed by itself (make test-desk-keys, an hour).
"""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from assets.curves.scores import MEASURED
from assets.desk import Desk, load_desk
from assets.lake import LakeError
from assets.lineage import RECIPES, WRITER
from assets.provenance import Part, Provenance, open_lake
from pipelines.doctor import examine
from pipelines.instance import open_instance
from pipelines.query import query
from pipelines.run import RunError, make, run_desk

FEW = {
    "retrain": '"daily"', "training_sessions": "2", "last_session": "2026-09-09", "tuning_trials": "2", "workers": "1",
    "events_per_session": "4_000",
}  # fmt: skip


@pytest.fixture(scope="module")
def desk_file(make_desk: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Desk file of a desk of three sessions, the last of which is traded; it has been run."""
    path = make_desk(tmp_path_factory.mktemp("desk"), **FEW)
    run_desk(path, lambda _: None)
    return path


def copied(desk_file: Path, folder: Path) -> Path:
    """The desk and all that it has made, elsewhere."""
    shutil.copytree(desk_file.parent, folder, dirs_exist_ok=True)
    return folder / "desk.toml"


def edited(path: Path, **values: str) -> Path:
    text = path.read_text()
    for key, value in values.items():
        assert f"\n{key} = " in text
        text = "".join(f"{key} = {value}\n" if line.startswith(f"{key} = ") else line for line in text.splitlines(keepends=True))
    path.write_text(text)
    return path


def files(desk: Desk) -> dict[str, Path]:
    """Every file of the lake that the desk asks for."""
    lake = open_lake(desk)
    paths = [lake.path(table, **keys) for table in WRITER for keys in lake.current(table)]
    return {path.relative_to(lake.root).as_posix(): path for path in paths}


def content(path: Path) -> pl.DataFrame:
    """Rows, but for what a clock has measured."""
    frame = pl.read_parquet(path, hive_partitioning=False)
    return frame.drop(set(MEASURED) & set(frame.columns))


def published(desk: Desk) -> dict[str, pl.DataFrame]:
    names = query(desk, "select table_name from information_schema.tables where table_name not like '%_ticks' order by 1")["table_name"]
    lasting = f"columns(lambda name: name not in {MEASURED})"
    return {name: query(desk, f"select {lasting} from {name} order by all") for name in names}


def assert_same(one: Desk, other: Desk) -> None:
    ours, theirs = files(one), files(other)
    assert ours.keys() == theirs.keys()
    assert [name for name, path in ours.items() if not content(path).equals(content(theirs[name]))] == []
    told, there = published(one), published(other)
    assert [name for name in there if not told[name].equals(there[name])] == []


@pytest.fixture(scope="module")
def dear(desk_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same home after fees and delay were edited and the desk was run again."""
    path = edited(copied(desk_file, tmp_path_factory.mktemp("edited")), maker_fee='"25"', taker_fee='"25"', latency_ms="500.0")
    desk = load_desk(path)
    with pytest.raises(LakeError, match=r"fills FLW 2026-09-09 .*: markets\.FLW\.maker_fee was 1\.4 when it was made and is 25 now"):
        open_lake(desk).read("fills", market="FLW", session="2026-09-09")
    told = {finding.what: finding.told for finding in examine(desk, measure=False)}
    assert "markets.FLW.maker_fee was 1.4 when it was made and is 25 now" in told["fills"]
    assert re.fullmatch(r"(\d+) of \1 partitions", told["books"])
    run_desk(path, lambda _: None)
    return path


def test_what_depends_on_an_edited_key_is_made_anew_and_nothing_else(desk_file: Path, dear: Path) -> None:
    desk, before = load_desk(dear), files(load_desk(desk_file))
    after = files(desk)
    assert after.keys() == before.keys()
    kept = {name.split("/")[0] for name, path in after.items() if path.stat().st_mtime_ns == before[name].stat().st_mtime_ns}
    assert kept == {table for table, recipe in WRITER.items() if recipe.layer not in ("fills", "reports")} | {"shadow_orders", "queue_fit"}
    with open_instance(desk) as instance:
        for asset, recipe in RECIPES.items():
            [record] = instance.fetch_materializations(dg.AssetKey([desk.traded, asset]), limit=1).records
            told = record.asset_materialization.tags["dagster/data_version"]
            assert told == Provenance(desk).stamp(Part(asset, desk.traded, str(record.partition_key))).fingerprint, recipe
    assert query(desk, "select distinct maker_fee from markets where role = 'traded'")["maker_fee"].to_list() == [25.0]
    assert query(desk, "select sum(fee) / sum(quantity) as each from fills")["each"].item() in (None, 25.0)


def test_a_session_that_the_dates_no_longer_include_is_told_nowhere(dear: Path, tmp_path: Path) -> None:
    shorter = load_desk(edited(copied(dear, tmp_path / "shorter"), last_session="2026-09-08", training_sessions="1"))
    assert not any("session=2026-09-09" in name for name in files(shorter))
    assert (shorter.lake / "fills/market=FLW/session=2026-09-09/part-0.parquet").exists()


def test_files_lost_cut_or_swapped_on_a_desk_that_was_edited_back_are_made_as_in_an_empty_home(desk_file: Path, dear: Path) -> None:
    path = edited(dear, maker_fee='"1.40"', taker_fee='"1.40"', latency_ms="20.0")
    desk = load_desk(path)
    harmed = harm_a_file_of_every_table(desk)
    told = {finding.what: (finding.state, finding.told) for finding in examine(desk, measure=False)}
    assert {told[recipe.layer][0] for recipe in RECIPES.values()} == {"note"}
    assert "raw_ticks: 1 missing (first LDR 2026-09-09)" in told["ticks"][1]
    assert "trading_halts: 1 damaged (first LDR 2026-09-09" in told["ticks"][1]
    assert "recording: 1 foreign (first LDR 2026-09-09" in told["ticks"][1]
    before = {file: file.stat().st_mtime_ns for file in desk.lake.rglob("*.parquet")}
    run_desk(path, lambda _: None)
    assert_same(desk, load_desk(desk_file))
    written = [file for file in desk.lake.rglob("*.parquet") if file.stat().st_mtime_ns != before.get(file)]
    assert before_the_fills(desk, written) == before_the_fills(desk, harmed), "of what the edit does not reach, what was harmed and no more"


def before_the_fills(desk: Desk, written: list[Path]) -> set[tuple[str, ...]]:
    """Asset, market and partition of each of the lake's files that fees do not count for."""
    parts = [file.relative_to(desk.lake).parts for file in written]
    return {(WRITER[table].asset, *keys) for table, *keys, _ in parts if WRITER[table].layer not in ("fills", "reports")}


def harm_a_file_of_every_table(desk: Desk) -> list[Path]:
    """Of each table one file is gone, cut short, or another's in turn; which."""
    lake, known, harmed = open_lake(desk), Provenance(desk), []
    for number, (table, recipe) in enumerate(WRITER.items()):
        first, *_, last = [*known.parts(recipe.asset), *known.parts(recipe.asset)]
        file = lake.path(table, **{"market": last.market, recipe.key: last.partition})
        harmed.append(file)
        if number % 3 == 0:
            file.unlink()
        elif number % 3 == 1:
            file.write_bytes(file.read_bytes()[:-7])
        else:
            stranger = "quarantine" if first == last else table
            of = {"market": first.market, WRITER[stranger].key: first.partition}
            file.write_bytes(lake.path(stranger, **of).read_bytes())
    return harmed


def test_one_partition_is_made_from_the_command_line_with_what_it_lacks(desk_file: Path, tmp_path: Path) -> None:
    path = copied(desk_file, tmp_path / "made")
    desk = load_desk(path)
    lake = open_lake(desk)
    keys = {"market": "FLW", "session": "2026-09-09"}
    for table in ("fills", "predictions"):
        lake.path(table, **keys).unlink()
    assert make(path, "fills", lambda _: None, key="session", partition="2026-09-09", market=None) == 2
    assert lake.read("fills", **keys).equals(open_lake(load_desk(desk_file)).read("fills", **keys))
    assert lake.read("predictions", **keys).height > 0


@pytest.mark.parametrize(
    ("table", "key", "partition", "market", "told"),
    [
        ("fils", "session", None, None, "no table is called fils: did you mean fills?"),
        ("fills", "period", "2026-09-09", None, "fills is made by session: name the first day of one with --session"),
        ("fills", "session", "2026-09-07", None, "demo has no partition 2026-09-07 of fills of FLW: there are 1 from 2026-09-09"),
        ("fills", "session", None, "LDR", "demo has no partition LDR of fills of FLW"),
    ],
)
def test_what_cannot_be_made_is_told_with_what_there_is(
    desk_file: Path, table: str, key: str, partition: str | None, market: str | None, told: str
) -> None:
    with pytest.raises(RunError, match=told):
        make(desk_file, table, lambda _: None, key=key, partition=partition, market=market)


def test_a_home_is_one_desks(desk_file: Path, tmp_path: Path) -> None:
    path = edited(copied(desk_file, tmp_path / "two"), name='"other"')
    with pytest.raises(RunError, match=r"is the home of desk 'demo', and this desk file is of 'other': give it another home"):
        run_desk(path, lambda _: None)


KEYS = {
    "seed": "7", "alpha": "0.0", "horizon_seconds": "5.0", "tick_size": '"0.20"', "multiplier": '"10"', "taker_fee": '"3"',
    "first_session": "2026-09-04", "last_session": "2026-09-10", "model": '"ridge"', "leaders": "[]",
    "hours": "[13:30:00, 14:00:00]", "latency_ms": "100.0", "max_position": "1", "daily_loss_limit": '"50"', "tuning_trials": "3",
    "fast": "[0.0, 1.0]", "events_per_session": "5_000",
}  # fmt: skip


@pytest.mark.skipif("TICKLINE_ALL_KEYS" not in os.environ, reason="an hour: make test-desk-keys")
@pytest.mark.parametrize("key", KEYS)
def test_each_key_by_itself(desk_file: Path, make_desk: Callable[..., Path], tmp_path: Path, key: str) -> None:
    path = edited(copied(desk_file, tmp_path / "edited"), **{key: KEYS[key]})
    run_desk(path, lambda _: None)
    (tmp_path / "empty").mkdir()
    fresh = edited(make_desk(tmp_path / "empty", **FEW), **{key: KEYS[key]})
    run_desk(fresh, lambda _: None)
    assert_same(load_desk(path), load_desk(fresh))
