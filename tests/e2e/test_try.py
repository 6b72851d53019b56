"""One file of the user's own, from its bytes to a page, without a desk."""

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from assets.calendar import Calendar
from assets.desk import Desk, SimulatedSource, UserError, load_desk
from assets.ticks.dbn import header_of, read_records, write_mbo
from assets.ticks.historical import _pieces
from assets.ticks.source import SimulatedExchange
from pipelines.cli import app
from pipelines.try_file import HORIZON_NS, page_name, split, try_file

DAY = dt.date(2026, 8, 24)
ES = "esh4-glbx-mdp3-20231225.mbo.dbn.zst"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    source = SimulatedSource(events_per_session=60_000)
    return load_desk(Path(__file__).parents[2] / "desk.toml").model_copy(update={"home": tmp_path_factory.mktemp("desk"), "source": source})


@pytest.fixture(scope="module")
def file(desk: Desk) -> Path:
    """A session of the simulated exchange, as a file."""
    (path,) = SimulatedExchange(desk, desk.source).fetch("LDR", DAY)
    return path


def test_a_file_goes_through_every_floor_to_its_page(file: Path, tmp_path: Path) -> None:
    tried = try_file(file, None, tmp_path)
    assert (tried.instrument.market.symbol, tried.instrument.market.tick, tried.instrument.unit) == ("LDRZ6", 250_000_000, "ticks")
    assert tried.quality["records"].item() > 60_000
    assert tried.tested > 2_000
    assert tried.report["orders"].item() > 0
    assert "LDRZ6" in tried.page.read_text()


def test_a_file_that_does_not_fit_into_memory_is_refused_before_it_fills_it(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.try_file.free_memory", lambda: 20_000_000)
    with pytest.raises(UserError, match=r"holds more than [\d,]+ records, which need more than 0\.0 GB .* a shorter stretch"):
        try_file(file, None, tmp_path)


def test_the_same_file_gives_the_same_page(file: Path, tmp_path: Path) -> None:
    pages = [try_file(file, None, tmp_path / name).page.read_bytes() for name in ("one", "two")]
    assert pages[0] == pages[1]


def test_of_a_file_of_several_instruments_one_is_chosen_and_tried_as_if_alone(file: Path, tmp_path: Path) -> None:
    alone = np.concatenate(list(_pieces(file)))
    other = alone.copy()
    other["instrument_id"], other["price"] = 9, other["price"] + 10**9
    both = np.concatenate([alone, other])
    both = both[np.argsort(both["ts_recv"], kind="stable")]
    start, end = int(both["ts_recv"].min()), int(both["ts_recv"].max()) + 1
    header = header_of(dataset="SIM", schema="mbo", instruments={"BRK.B": [2], "A B/C": [9]}, start_ns=start, end_ns=end)
    path = tmp_path / "two.mbo.dbn"
    path.write_bytes(header + both.tobytes())
    told = CliRunner().invoke(app, ["try", str(path), "--out", str(tmp_path)])
    assert told.exit_code == 1
    assert "holds 2 instruments: choose one with --symbol, of A B/C, BRK.B" in told.stderr
    chosen, single = try_file(path, None, tmp_path, symbol="BRK.B"), try_file(file, None, tmp_path)
    assert chosen.instrument.market.symbol == "BRK.B"
    assert chosen.report.drop("provenance").equals(single.report.drop("provenance"))
    with pytest.raises(UserError, match=r"two\.mbo\.dbn holds A B/C, BRK\.B, not BRK"):
        try_file(path, None, tmp_path, symbol="BRK")


def test_two_files_or_symbols_or_venues_never_have_one_page(tmp_path: Path) -> None:
    names = ["glbx-mdp3-20240108.mbp-1.ESH4.dbn.zst", "glbx-mdp3-20240108.mbp-1.NQH4.dbn.zst", "glbx-mdp3-20240108.mbp-1.ESH4.dbn"]
    files = [tmp_path / folder / name for folder in ("a", "b") for name in names]
    pages = [page_name(file, symbol, venue) for file in files for symbol in ("ESH4", "A/B", "A_B", "A", None) for venue in (None, 1, 39)]
    assert len(set(pages)) == len(pages)
    assert not any("/" in page for page in pages)


def test_the_rows_to_trade_begin_more_than_a_horizon_after_the_rows_to_fit_on() -> None:
    table = pl.DataFrame({"ts_event": pl.arange(0, 100, eager=True) * 10**9})
    train, test = split(table)
    assert (train.height, test.height) == (60, 30)
    assert test["ts_event"][0] - train["ts_event"][-1] > HORIZON_NS


def test_too_little_to_fit_on_is_said_in_a_sentence(desk: Desk, tmp_path: Path) -> None:
    records = SimulatedExchange(desk, desk.source).simulate(DAY)["LDR"].records[:500]
    window = Calendar(desk).window("LDR", DAY)
    path = tmp_path / "short.dbn.zst"
    write_mbo(path, records, dataset="SIM", symbol="LDRZ6", instrument_id=2, start_ns=window.open_ns, end_ns=window.close_ns)
    told = CliRunner().invoke(app, ["try", str(path), "--out", str(tmp_path)])
    assert told.exit_code == 1
    assert "too little to fit on" in told.stderr
    assert "Traceback" not in told.output


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("flags", 0, r"([\d,]+) of \1 records are in quarantine, \1 unfinished_event \(no record that ends their event"),
        (
            "ts_recv",
            0,
            r"([\d,]+) of \1 records have no receive time \(ts_recv is 0\): [\d,]+ of \1 records are in quarantine, [\d,]+ bad_timestamp",
        ),
        ("side", ord("N"), r"[\d,]+ unknown_order \(an order that is not on the book.*, [\d,]+ undefined_side$"),
        ("size", 0, r"[\d,]+ zero_size \(an order or trade of nothing\)"),
    ],
)
def test_where_most_records_are_left_out_the_file_is_refused_for_what_they_are_left_out_for(
    desk: Desk, tmp_path: Path, field: str, value: object, reason: str
) -> None:
    records = SimulatedExchange(desk, desk.source).simulate(DAY)["LDR"].records[:5_000].copy()
    records[field] = value
    window = Calendar(desk).window("LDR", DAY)
    path = tmp_path / "odd.dbn.zst"
    write_mbo(path, records, dataset="SIM", symbol="LDRZ6", instrument_id=2, start_ns=window.open_ns, end_ns=window.close_ns)
    with pytest.raises(UserError, match=reason):
        try_file(path, None, tmp_path)


def test_the_real_file_runs_to_its_report(shared_data: Path, tmp_path: Path) -> None:
    tried = try_file(shared_data / ES, None, tmp_path)
    assert tried.quality.select("records", "events", "trades").row(0) == (68_792, 46_132, 2_973)
    assert (tried.instrument.market.symbol, tried.instrument.market.tick) == ("ESH4", 250_000_000)
    assert tried.report["provenance"].item() == f"recorded market data, {ES}"
    assert tried.page.exists()


def test_a_file_of_one_level_runs_to_its_report(shared_data: Path, tmp_path: Path) -> None:
    tried = try_file(shared_data / "futures_mbp-1_2024-07-01T23-58_2024-07-02T00-02.dbn.zst", None, tmp_path)
    assert tried.quality.select("records", "events", "trades", "quarantined").row(0) == (2_288, 2_168, 120, 0)
    assert (tried.instrument.market.symbol, tried.instrument.market.tick) == ("ESU4", 250_000_000)
    assert tried.page.exists()


def test_of_a_damaged_file_the_records_before_the_damage_are_tried(file: Path, tmp_path: Path) -> None:
    whole, damaged = file.read_bytes(), tmp_path / "damaged.dbn.zst"
    damaged.write_bytes(whole[: len(whole) * 9 // 10])
    tried = try_file(damaged, None, tmp_path)
    assert "damaged.dbn.zst is truncated: it ends within a zstd frame" in str(tried.damage)
    assert 50_000 < tried.quality["records"].item() < read_records([file]).height


def test_the_definition_of_another_contract_is_refused(shared_data: Path, tmp_path: Path) -> None:
    (definition,) = shared_data.glob("definition-glbx-es-fut*")
    with pytest.raises(UserError, match="does not define ESH4"):
        try_file(shared_data / ES, definition, tmp_path)
