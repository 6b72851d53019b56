"""The shell: a session becomes a partition, a fault becomes its sentence."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

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
    (evaluation,) = result.get_asset_check_evaluations()
    assert evaluation.passed


def test_a_bad_vendor_file_fails_the_run_with_its_sentence_and_publishes_nothing(desk: Desk) -> None:
    (path,) = open_source(desk).fetch("FLW", MONDAY)
    path.write_bytes(path.read_bytes()[:-20])
    result = materialise(desk, "FLW", "2026-09-07")
    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "2026-09-07.mbo.dbn.zst is truncated: it ends within a zstd frame" in str(failure.event_specific_data)
    assert not Lake(desk.lake).exists("raw_ticks", market="FLW", session=MONDAY)
