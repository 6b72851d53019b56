"""What is on record of a desk and worth a word is told by `demo` and `doctor`: nothing that warned is left unsaid."""

import datetime as dt
import json
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from typer.testing import CliRunner

from assets.books.codes import REASONS
from assets.books.quality import MEANINGS, by_reason, mostly_refused
from assets.calendar import Calendar
from assets.desk import Desk, load_desk
from benchmarks.made import put
from pipelines.cli import app
from pipelines.instance import open_instance
from pipelines.noted import warnings
from pipelines.sql_models import load
from pipelines.warehouse import build, sources

MONDAY, TUESDAY = dt.date(2026, 9, 21), dt.date(2026, 9, 22)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    path = tmp_path / "desk.toml"
    path.write_text((Path(__file__).parents[2] / "desk.toml").read_text())
    return load_desk(path)


def evaluated(desk: Desk, day: dt.date, *, passed: bool, told: str | None = None) -> None:
    """A run in which the check of a session came out so."""
    key, days = dg.AssetKey(["FLW", "clean_books"]), dg.StaticPartitionsDefinition([str(MONDAY), str(TUESDAY)])

    @dg.asset(key=key, partitions_def=days)
    def clean_books() -> None: ...

    @dg.asset_check(asset=key, name="book_quality_thresholds", partitions_def=days)
    def held() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=passed, severity=dg.AssetCheckSeverity.WARN, description=told)

    with open_instance(desk) as instance:
        dg.materialize([clean_books, held], partition_key=str(day), instance=instance)


def test_a_desk_of_which_nothing_is_on_record_has_no_warning(desk: Desk) -> None:
    assert warnings(desk) == []


@pytest.mark.filterwarnings("ignore:Specifying a partitions_def on an AssetCheckSpec")
def test_a_check_that_warned_is_told_until_it_passes(desk: Desk) -> None:
    evaluated(desk, MONDAY, passed=False, told="the clocks are wrong")
    evaluated(desk, TUESDAY, passed=False, told="still wrong")
    (told,) = warnings(desk)
    assert told == "FLW/clean_books, check book_quality_thresholds: 2 partitions, the last 2026-09-22: still wrong"
    evaluated(desk, TUESDAY, passed=True)
    (told,) = warnings(desk)
    assert told.endswith("book_quality_thresholds: 2026-09-21: the clocks are wrong")
    evaluated(desk, MONDAY, passed=True)
    assert warnings(desk) == []


def test_records_left_out_books_not_trusted_and_recordings_cut_short_are_told_by_the_doctor(desk: Desk) -> None:
    window = Calendar(desk).window("FLW", MONDAY)
    assert window is not None
    late = window.open_ns + 3_600 * 10**9
    put(desk, "book_quality", 1, key=MONDAY, records=[1_000], quarantined=[3], trusted_from=[late])
    put(desk, "book_quality", 1, key=TUESDAY, records=[1_000], quarantined=[0], trusted_from=[late + 24 * 3_600 * 10**9 - 3_600 * 10**9])
    put(desk, "quarantine", 3, key=MONDAY, reason=["zero_size", "unknown_order", "unknown_order"])
    put(desk, "recording", 1, key=MONDAY, complete=[False], damage=["one.dbn.zst is truncated"])
    build(desk, load(sources()))
    told = warnings(desk)
    assert told == [
        "FLW: the recording ends early: 2026-09-21: one.dbn.zst is truncated",
        f"FLW: 3 of 2,000 records are in quarantine, 2 unknown_order ({MEANINGS['unknown_order']}), 1 zero_size",
        "FLW: the book is not trusted from the open on: 2026-09-21: from 14:30:00 UTC on",
    ]
    found = CliRunner().invoke(app, ["doctor", "--no-measure", "--json", "--desk", str(desk.home.parent / "desk.toml")])
    assert [finding["told"] for finding in json.loads(found.stdout) if finding["what"] == "warning"] == told


def test_every_reason_has_words_and_the_commonest_comes_first() -> None:
    assert set(MEANINGS) == set(REASONS[1:])
    told = by_reason({"zero_size": 2, "crossed": 40, "locked": 1_000}, 2_000)
    assert told.startswith("1,042 of 2,000 records are in quarantine, 1,000 locked (")
    assert told.endswith(", 40 crossed, 2 zero_size")


@pytest.mark.parametrize(("left_out", "named"), [(50, False), (51, True), (100, True)])
def test_where_more_than_half_of_the_records_are_left_out_the_commonest_reason_is_named(left_out: int, named: bool) -> None:
    quarantine = pl.DataFrame({"reason": ["bad_timestamp"] * (left_out - 1) + ["locked"]})
    told = mostly_refused(quarantine, 100, timeless=7)
    assert (told is not None) == named
    if told:
        assert told.startswith(f"7 of 100 records have no receive time (ts_recv is 0): {left_out} of 100 records are in quarantine")
