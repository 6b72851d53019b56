"""A partition is whole, lawful and the same bytes every time, or it is not there."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from assets.books.schema import Trades
from assets.lake import Lake, LakeError

ODD_NAMES = ["x[1]", "*", "a?b", "{a,b}", "run=3", "market=Q", "50%", "it's", "two words", "~", "ä"]
"""Names of folders with signs that mean something else elsewhere."""

KEYS = {"market": "FLW", "session": "2026-09-01"}


def trades(**columns: list[int]) -> pl.DataFrame:
    schema = Trades.empty().schema
    good = {"ts_event": [1, 2], "ts_recv": [1, 2], "row": [0, 1], "price": [5, 6], "size": [1, 2], "aggressor": [1, -1]}
    good |= columns
    return pl.DataFrame({"instrument_id": [1] * len(good["row"]), **good}, schema=schema)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def test_what_is_written_is_read_back(lake: Lake) -> None:
    written = lake.write("trades", trades(), Trades, **KEYS)
    assert written.rows == 2
    assert lake.read("trades", **KEYS).equals(trades())
    assert lake.read("trades", columns=["price"], **KEYS).columns == ["price"]
    assert lake.partitions("trades") == [KEYS]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_folders_name_is_a_name_and_no_pattern(tmp_path: Path, name: str) -> None:
    lake = Lake(tmp_path / name)
    for day in ("2026-09-01", "2026-09-02"):
        lake.write("trades", trades(), Trades, market="FLW", session=day)
    assert lake.read("trades", **KEYS).equals(trades())
    assert lake.partitions("trades") == [KEYS, KEYS | {"session": "2026-09-02"}]
    days = [dt.date(2026, 9, 2), dt.date(2026, 9, 1)]
    read = lake.read_dates("trades", days, market="FLW", key="session")
    assert read.columns == [*trades().columns, "session"]
    assert read["session"].to_list() == [day for day in days for _ in range(2)]
    with pytest.raises(LakeError, match="has no column odd"):
        lake.read("trades", columns=["odd"], **KEYS)


def test_the_same_frame_gives_the_same_bytes(lake: Lake) -> None:
    first = lake.write("trades", trades(), Trades, **KEYS)
    content = first.path.read_bytes()
    assert lake.write("trades", trades(), Trades, **KEYS).sha256 == first.sha256
    assert first.path.read_bytes() == content


def test_a_partition_in_breach_of_its_contract_never_becomes_visible(lake: Lake) -> None:
    with pytest.raises(LakeError, match=r"trades FLW 2026-09-01 breaks its contract Trades.*size.*broken by 0"):
        lake.write("trades", trades(size=[0, 1]), Trades, **KEYS)
    assert not lake.exists("trades", **KEYS)


def test_a_full_disk_leaves_what_was_published_and_no_part_of_the_new(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    path = lake.write("trades", trades(), Trades, **KEYS).path
    before = path.read_bytes()

    def half_a_file(self: pl.DataFrame, file: Path, **_: object) -> None:
        file.write_bytes(b"PAR1 half of")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", half_a_file)
    with pytest.raises(LakeError, match="No space left on device"):
        lake.write("trades", trades(price=[7, 8]), Trades, **KEYS)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def consecutive(rows: int) -> pl.DataFrame:
    numbers = list(range(rows))
    return trades(ts_event=numbers, ts_recv=numbers, row=numbers, price=numbers, size=[1] * rows, aggressor=[1] * rows)


@pytest.mark.parametrize("at_a_time", [1_000, 30_000, 500_000])
def test_a_partition_from_parts_has_the_same_bytes_however_it_was_cut(lake: Lake, at_a_time: int) -> None:
    whole = consecutive(300_000)
    first = lake.write_parts("trades", [whole], Trades, **KEYS)
    content = first.path.read_bytes()
    parts = lake.write_parts("trades", (whole[at : at + at_a_time] for at in range(0, whole.height, at_a_time)), Trades, **KEYS)
    assert parts == first
    assert parts.path.read_bytes() == content
    assert lake.read("trades", **KEYS).equals(whole)


def test_no_rows_in_parts_are_an_empty_partition(lake: Lake) -> None:
    assert lake.write_parts("trades", [consecutive(0)] * 2, Trades, **KEYS).rows == 0
    assert lake.read("trades", **KEYS).equals(consecutive(0))


def test_a_breach_or_an_error_in_a_late_part_leaves_what_was_published(lake: Lake) -> None:
    path = lake.write("trades", trades(), Trades, **KEYS).path
    before, many = path.read_bytes(), consecutive(200_000)

    def cut_off() -> Iterator[pl.DataFrame]:
        yield many
        raise LakeError("the source ended")

    with pytest.raises(LakeError, match="breaks its contract Trades"):
        lake.write_parts("trades", [many, trades(size=[0, 1])], Trades, **KEYS)
    with pytest.raises(LakeError, match="the source ended"):
        lake.write_parts("trades", cut_off(), Trades, **KEYS)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_partitions_of_several_dates_are_read_below_one_another(lake: Lake) -> None:
    days = [dt.date(2026, 9, day) for day in (1, 2, 3)]
    for place, day in enumerate(days):
        lake.write("trades", consecutive(place), Trades, market="FLW", session=day)
    told = lake.read_dates("trades", [days[2], days[1]], market="FLW", key="session")
    assert told.drop("session").equals(pl.concat([consecutive(2), consecutive(1)]))
    assert told["session"].to_list() == [days[2], days[2], days[1]]
    path = lake.path("trades", market="FLW", session=days[1])
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(LakeError, match="trades FLW 2026-09-02 cannot be read"):
        lake.read_dates("trades", days, market="FLW", key="session")
    path.unlink()
    with pytest.raises(LakeError, match="trades FLW 2026-09-02 is not in the lake"):
        lake.read_dates("trades", days, market="FLW", key="session")


def test_a_missing_or_damaged_partition_is_named(lake: Lake) -> None:
    with pytest.raises(LakeError, match="trades FLW 2026-09-01 is not in the lake"):
        lake.read("trades", **KEYS)
    path = lake.write("trades", trades(), Trades, **KEYS).path
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(LakeError, match="trades FLW 2026-09-01 cannot be read"):
        lake.read("trades", **KEYS)
