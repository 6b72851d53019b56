"""The shell: a session becomes a partition, a fault becomes its sentence."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
import zstandard

from assets.calendar import Calendar
from assets.desk import Desk, load_desk
from assets.lake import Lake
from assets.ticks.asset import checks, raw_ticks
from assets.ticks.dbn import read_records
from assets.ticks.source import open_source

MONDAY = dt.date(2026, 9, 7)

pytestmark = pytest.mark.filterwarnings("ignore:Specifying a partitions_def:dagster.PreviewWarning")


@pytest.fixture
def desk(make_desk: Callable[..., Path], tmp_path: Path) -> Desk:
    return load_desk(make_desk(tmp_path, hours="[13:30:00, 13:40:00]", events_per_session="2_000"))


def materialise(desk: Desk, market: str, session: str) -> dg.ExecuteInProcessResult:
    assets = [raw_ticks(desk, market), *checks(desk, market)]
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(assets, partition_key=session, instance=instance, raise_on_error=False)


def test_a_session_is_published_with_the_hash_of_the_file_it_came_from(desk: Desk) -> None:
    result = materialise(desk, "FLW", "2026-09-07")
    assert result.success
    paths = open_source(desk).fetch("FLW", MONDAY)
    window = Calendar(desk).window("FLW", MONDAY)
    assert window
    published = Lake(desk.lake).read("raw_ticks", market="FLW", session=MONDAY)
    assert published.equals(read_records(paths, symbol="FLWZ6", end_ns=window.close_ns))
    (materialization,) = result.asset_materializations_for_node("FLW__raw_ticks")
    assert materialization.metadata["records"].value == float(published.height)
    assert list(materialization.metadata["vendor_sha256"].value) == [paths[0].name]
    assert {check.check_name: check.passed for check in result.get_asset_check_evaluations()} == {
        "raw_ticks_contract": True,
        "recording_contract": True,
        "trading_halts_contract": True,
        "recording_complete": True,
    }


def test_a_file_without_one_whole_record_fails_the_run_with_its_sentence_and_publishes_nothing(desk: Desk) -> None:
    (path,) = open_source(desk).fetch("FLW", MONDAY)
    content = zstandard.decompress(path.read_bytes(), max_output_size=1 << 28)
    path.write_bytes(content[: 8 + int.from_bytes(content[4:8], "little") + 20])
    result = materialise(desk, "FLW", "2026-09-07")
    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "2026-09-07.mbo.dbn.zst is truncated: it ends 20 bytes into record 0" in str(failure.event_specific_data)
    assert not Lake(desk.lake).exists("raw_ticks", market="FLW", session=MONDAY)


def test_a_damaged_file_gives_every_record_before_the_damage_and_a_session_marked_incomplete(desk: Desk) -> None:
    (path,) = open_source(desk).fetch("FLW", MONDAY)
    whole = read_records([path])
    content = zstandard.decompress(path.read_bytes(), max_output_size=1 << 28)
    kept = whole.height // 2
    path.write_bytes(content[: len(content) - 56 * (whole.height - kept) + 20])
    result = materialise(desk, "FLW", "2026-09-07")
    assert result.success
    lake = Lake(desk.lake)
    assert lake.read("raw_ticks", market="FLW", session=MONDAY).equals(whole[:kept])
    recording = lake.read("recording", market="FLW", session=MONDAY).row(0, named=True)
    assert (recording["records"], recording["complete"]) == (kept, False)
    assert f"ends 20 bytes into record {kept}" in recording["damage"]
    (failed,) = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert (failed.check_name, failed.description) == ("recording_complete", recording["damage"])
