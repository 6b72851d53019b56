"""From nothing to a P&L report, and again from wherever it was stopped."""

import datetime as dt
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from assets.calendar import Calendar
from assets.curves.lab import search
from assets.curves.lab.run import LAB
from assets.curves.scores import MEASURED
from assets.desk import Desk, UserError, load_desk
from assets.lake import Lake
from assets.shell import COLUMN_LINEAGE
from pipelines.instance import open_instance
from pipelines.jobs import market_keys
from pipelines.lab import run_lab
from pipelines.layers import LAYERS
from pipelines.query import query
from pipelines.run import LAYERS_IN_ORDER, Progress, RunError, run_desk

MakeDesk = Callable[..., Path]

SESSION_TABLES = ("raw_ticks", "clean_books", "trades", "quarantine", "book_quality", "feature_table", "curve_statistics")
TRADED_TABLES = ("predictions", "orders", "fills", "equity", "performance_report")


@pytest.fixture(scope="module")
def told() -> list[Progress]:
    """What the first run says of its progress, as `desk_file` hears it."""
    return []


@pytest.fixture(scope="module")
def desk_file(make_desk: MakeDesk, tmp_path_factory: pytest.TempPathFactory, told: list[Progress]) -> Path:
    """Desk file of a small desk that has been run from ticks to reports."""
    path = make_desk(tmp_path_factory.mktemp("desk"))
    run_desk(path, told.append)
    return path


@pytest.fixture(scope="module")
def desk(desk_file: Path) -> Desk:
    return load_desk(desk_file)


def contents(desk: Desk) -> dict[str, pl.DataFrame]:
    """Every table of the warehouse that is not raw bulk, row by row, but for what a clock has written."""
    names = query(desk, "select table_name from information_schema.tables where table_name not like '%_ticks' order by 1")["table_name"]
    lasting = f"columns(lambda name: name not in {MEASURED})"
    return {name: query(desk, f"select {lasting} from {name} order by all") for name in names}


def test_every_layer_has_every_partition_that_the_calendar_promises(desk: Desk) -> None:
    lake, calendar = Lake(desk.lake), Calendar(desk)
    assert len(calendar.sessions()) == 10
    for table in SESSION_TABLES:
        for session in calendar.sessions():
            assert lake.exists(table, market="FLW", session=session), (table, session)
    for table in TRADED_TABLES:
        for session in calendar.traded_sessions():
            assert lake.exists(table, market="FLW", session=session), (table, session)
    for period in calendar.periods():
        for table in (*LAB, "curve_model", "model_choice", "quoting_policy", "tuning_trials"):
            assert lake.exists(table, market="FLW", period=period), (table, period)


def test_rows_in_are_rows_out_and_quarantined(desk: Desk) -> None:
    balance = query(
        desk,
        """
        with raw as (select market, session, count(*) as n from raw_ticks group by all),
        books as (select market, session, sum(records) as n from clean_books group by all),
        held as (select market, session, count(*) as n from quarantine group by all)
        select raw.n as rows_in, books.n + coalesce(held.n, 0) as rows_out
        from raw join books using (market, session) left join held using (market, session)
        """,
    )
    assert balance.height == 20
    assert balance["rows_in"].sum() > 100_000
    assert balance["rows_in"].to_list() == balance["rows_out"].to_list()


def test_cash_and_position_follow_from_fills(desk: Desk) -> None:
    told = query(
        desk,
        """
        with account as (
            select session, sum(side * quantity) as position, sum(-side * quantity * price * 50 - fee) as cash from fills group by session
        ),
        closing as (select session, arg_max(position, ts_event) as position, arg_max(cash, ts_event) as cash from equity group by session)
        select account.position, account.cash, closing.position as told_position, closing.cash as told_cash
        from account join closing using (session)
        """,
    )
    assert told.height > 0
    assert told["position"].to_list() == told["told_position"].to_list() == [0] * told.height
    assert told["cash"].to_list() == told["told_cash"].to_list()


def test_every_asset_tells_its_rows_and_shows_something_worth_looking_at(desk: Desk) -> None:
    with open_instance(desk) as instance:
        for asset in {layer.asset for layer in LAYERS.values()}:
            records = instance.fetch_materializations(dg.AssetKey([desk.traded, asset]), limit=100).records
            made = [record.asset_materialization for record in records]
            fullest = max(made, key=lambda one: one.metadata["dagster/row_count"].value)  # a session without fills has no picture of them
            told, partition = fullest.metadata, fullest.partition
            assert any(isinstance(value, dg.MarkdownMetadataValue) for value in told.values()), asset
            assert (COLUMN_LINEAGE in told) == (asset != "raw_ticks"), asset
            assert all(isinstance(value, dg.FloatMetadataValue) for name, value in told.items() if name.startswith(("net_pnl", "r2")))
            if asset in LAYERS:
                published = Lake(desk.lake).read(asset, **{"market": desk.traded, LAYERS[asset].key: partition})
                assert told["dagster/row_count"].value == published.height, asset


def test_a_run_tells_of_every_part_from_nothing_to_the_end(desk_file: Path, told: list[Progress]) -> None:
    parts = list(told[-1])
    assert [part for part in parts if part != "kernels"] == [*LAYERS_IN_ORDER, "publish"]
    for part in parts:
        counts = [moment[part] for moment in told if part in moment]
        assert counts[0][0] == 0, part
        assert counts == sorted(counts), f"{part} never goes back, nor does what is planned of it change"
        assert counts[-1][0] == counts[-1][1] > 0, part
    compiled = [moment["kernels"] for moment in told if "kernels" in moment]
    assert compiled[0] == (0, 2)
    assert compiled[-1] == (2, 2)


def test_a_second_run_makes_nothing_and_changes_nothing(desk_file: Path, desk: Desk) -> None:
    before = contents(desk)
    with open_instance(desk) as instance:
        runs = len(instance.get_run_ids())
        run_desk(desk_file, lambda _: None)
        assert len(instance.get_run_ids()) == runs + 1, "only the publication runs again"
    after = contents(desk)
    assert after.keys() == before.keys()
    assert [name for name in before if not after[name].equals(before[name])] == []


def test_a_run_that_was_killed_is_completed_by_one_worker_without_repeating_and_gives_the_same_bytes(
    desk: Desk, make_desk: MakeDesk, tmp_path: Path
) -> None:
    """On the desk's first six sessions, of which one is traded: they owe nothing to those that follow."""
    path = make_desk(tmp_path, last_session="2026-09-14")
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli", "demo", "--desk", str(path)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    killed = load_desk(path)
    sessions = Calendar(killed).sessions()
    deadline = time.monotonic() + 120
    while sum(Lake(killed.lake).exists("clean_books", market="FLW", session=session) for session in sessions) < 3:
        assert time.monotonic() < deadline, "the run made no progress"
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with open_instance(killed) as instance:
        finished = materialised(killed, instance)
        assert 0 < len(finished) < len(sessions)
        run_desk(make_desk(tmp_path, last_session="2026-09-14", workers="1"), lambda _: None)
        assert {key: times for key, times in materialised(killed, instance).items() if key in finished} == finished
    scored = {"model_scores", "model_importance"}  # of all sessions of the period, and this desk has but one
    made = sorted(path for path in killed.lake.rglob("*.parquet") if not scored & set(path.parts))
    assert len(made) > 100
    for path in made:
        assert path.read_bytes() == (desk.lake / path.relative_to(killed.lake)).read_bytes(), path


def materialised(desk: Desk, instance: dg.DagsterInstance) -> dict[str, list[float]]:
    """Times at which each session's raw ticks were materialised."""
    [raw] = market_keys(desk, ["raw_ticks"])
    times: dict[str, list[float]] = {}
    for record in instance.fetch_materializations(raw, limit=1_000).records:
        times.setdefault(str(record.partition_key), []).append(record.timestamp)
    return times


def test_another_model_is_one_word_on_the_desk_and_the_floors_above_do_not_notice(make_desk: MakeDesk, tmp_path: Path) -> None:
    model = "decision_tree"
    few = {"retrain": '"daily"', "training_sessions": "2", "last_session": "2026-09-09", "tuning_trials": "2", "workers": "1"}
    path = make_desk(tmp_path, model=f'"{model}"', **few)
    run_desk(path, lambda _: None)
    desk, day = load_desk(path), dt.date(2026, 9, 9)
    lake = Lake(desk.lake)
    assert lake.read("model_choice", market="FLW", period=day).filter("traded")["model"].to_list() == [model]
    moves = lake.read("predictions", market="FLW", session=day).drop_nulls()
    told = query(desk, f"select r2 from model_comparison where model = '{model}' and traded")["r2"].item()
    r2 = 1 - ((moves["label"] - moves["prediction"]) ** 2).sum() / (moves["label"] ** 2).sum()
    assert told == pytest.approx(r2, abs=1e-6)
    assert lake.read("performance_report", market="FLW", session=day)["r2"].item() == pytest.approx(r2, abs=1e-6)
    assert (desk.reports / "index.html").exists()


def test_a_partition_that_fails_is_told_in_a_sentence_and_the_rest_stays(make_desk: MakeDesk, tmp_path: Path) -> None:
    path = make_desk(tmp_path, last_session="2026-09-14", workers="1")
    lake = Lake(load_desk(path).lake)
    lake.root.mkdir(parents=True)
    (lake.root / "curve_statistics").write_text("a file where a folder should be")
    with pytest.raises(RunError, match="curve_statistics"):
        run_desk(path, lambda _: None)
    assert lake.partitions("feature_table")
    assert not lake.partitions("curve_model")


def test_the_lab_gives_the_same_tables_for_any_number_of_workers_and_writes_its_page(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "TAUS", (0.5, 5.0))
    monkeypatch.setattr(search, "DEPTHS", (5,))
    lake, period = Lake(desk.lake), Calendar(desk).periods()[0]
    weekly = lake.read("indicator_scores", market="FLW", period=period)
    found = []
    for workers in (1, 2):
        heard: dict[str, tuple[int, int]] = {}
        page, best = run_lab(desk, period, trials=1, workers=workers, told=heard.update)
        sessions = len(Calendar(desk).training_sessions(period))
        assert heard == {"grid": (sessions, sessions), "tpe": (sessions, sessions)}
        found.append([lake.read(table, market="FLW", period=period) for table in LAB])
    for one, two in zip(*found, strict=True):
        assert one.equals(two)
    assert "What each indicator adds" in page.read_text()
    scores, trials = (lake.read(f"indicator_{table}", market="FLW", period=period) for table in ("scores", "trials"))
    # The desk's own rows say what the weekly asset said, but for the test, which more tries make stricter.
    same = [name for name in weekly.columns if name not in {"p_adjusted", "passes"}]
    assert scores.filter("on_desk").select(same).equals(weekly.select(same))
    assert (scores.filter("on_desk")["p_adjusted"] >= weekly["p_adjusted"]).all()
    assert set(trials["sampler"]) == {"desk", "grid", "tpe"}
    assert best.height == trials.filter("best").height == len(search.kinds(desk.leaders))


def test_the_lab_names_a_period_whose_sessions_are_not_there(desk: Desk) -> None:
    with pytest.raises(UserError, match=r"period 2020-01-06 of demo has not all its training sessions .*: 2026-09-14, 2026-09-21 have"):
        run_lab(desk, dt.date(2020, 1, 6), trials=0, workers=1, told=lambda _: None)
