"""Where a session's files come from."""

import datetime as dt
import struct
from pathlib import Path

import databento_dbn as dbn
import polars as pl
import pytest
import zstandard

from assets.desk import DbnFolderSource, Desk, Market, SimulatedSource
from assets.ticks.dbn import TicksError, header_of, read_metadata, read_records
from assets.ticks.source import SimulatedExchange, open_source

OPEN = int(dt.datetime(2026, 8, 24, 13, 30, tzinfo=dt.UTC).timestamp()) * 10**9
MONDAY, SATURDAY = dt.date(2026, 8, 24), dt.date(2026, 8, 29)


FEES = {"maker_fee": "1", "taker_fee": "1"}


def desk(home: Path, **changed: object) -> Desk:
    return Desk.model_validate(
        {
            "name": "small",
            "home": home,
            "traded": "FLW",
            "leaders": ("LDR",),
            "markets": {"FLW": Market(symbol="FLWZ6", tick_size="0.1", **FEES), "LDR": Market(symbol="LDRZ6", tick_size="0.25")},
            "source": SimulatedSource(seed=1, events_per_session=2_000),
            "first_session": MONDAY,
            "hours": (dt.time(13, 30), dt.time(13, 40)),
            **changed,
        }
    )


def test_one_simulation_writes_the_files_of_both_markets_and_they_stay(tmp_path: Path) -> None:
    source = open_source(desk(tmp_path))
    (follower,) = source.fetch("FLW", MONDAY)
    assert follower == tmp_path / "vendor/FLW/2026-08-24.mbo.dbn.zst"
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.dbn.zst")}
    assert len(before) == 2
    (leader,) = source.fetch("LDR", MONDAY)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.dbn.zst")} == before
    assert read_records([leader], symbol="LDRZ6")["instrument_id"].unique().to_list() == [2]
    assert set(read_records([follower], symbol="FLWZ6")["price"][1:] % 100_000_000) == {0}
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]


def test_hours_with_a_break_are_not_simulated(tmp_path: Path) -> None:
    with_break = Market(symbol="FLWZ6", tick_size="0.1", hours=[["13:30", "13:40"], ["13:50", "14:00"]], **FEES)
    with pytest.raises(TicksError, match="has no breaks"):
        open_source(desk(tmp_path, markets={"FLW": with_break}, leaders=())).fetch("FLW", MONDAY)


def test_a_lost_file_comes_back_with_the_same_bytes(tmp_path: Path) -> None:
    source = open_source(desk(tmp_path))
    (path,) = source.fetch("FLW", MONDAY)
    content = path.read_bytes()
    path.unlink()
    assert source.fetch("FLW", MONDAY) == [path]
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "changed",
    [
        {"source": SimulatedSource(seed=2, events_per_session=2_000)},
        {"source": SimulatedSource(seed=1, events_per_session=2_000, alpha=0)},
        {"hours": (dt.time(13, 30), dt.time(13, 50))},
    ],
)
def test_a_file_of_another_exchange_is_never_taken_for_this_ones(tmp_path: Path, changed: dict[str, object]) -> None:
    (path,) = open_source(desk(tmp_path)).fetch("FLW", MONDAY)
    before = path.read_bytes(), read_metadata(path).dataset
    (path,) = open_source(desk(tmp_path, **changed)).fetch("FLW", MONDAY)
    assert path.read_bytes() != before[0]
    assert read_metadata(path).dataset != before[1]


def test_a_vendor_file_that_was_spoilt_is_made_anew(tmp_path: Path) -> None:
    source = open_source(desk(tmp_path))
    (path,) = source.fetch("FLW", MONDAY)
    content = path.read_bytes()
    path.write_bytes(b"")
    source.fetch("FLW", MONDAY)
    assert path.read_bytes() == content


def test_no_session_no_files_and_an_unknown_market_is_named(tmp_path: Path) -> None:
    source = open_source(desk(tmp_path))
    assert source.fetch("FLW", SATURDAY) == []
    with pytest.raises(TicksError, match="unknown market RTY: the desk has FLW, LDR"):
        source.fetch("RTY", MONDAY)


def test_the_exchange_shows_its_efficient_price_to_who_asks(tmp_path: Path) -> None:
    small = desk(tmp_path)
    source = open_source(small)
    assert isinstance(source, SimulatedExchange)
    simulated = source.simulate(MONDAY)
    assert list(simulated) == ["FLW", "LDR"]
    (path,) = source.fetch("FLW", MONDAY)
    prices = read_records([path], symbol="FLWZ6").filter(pl.col("action") == ord("T"))["price"]
    truth = simulated["FLW"].truth.price
    tick = small.markets["FLW"].tick
    assert truth.min() - 2 * tick <= prices.min() <= prices.max() <= truth.max() + 2 * tick


def test_a_folder_is_searched_by_what_the_headers_say(tmp_path: Path) -> None:
    made = open_source(desk(tmp_path / "sim"))
    folder = tmp_path / "batch"
    (folder / "job-1").mkdir(parents=True)
    for day in (MONDAY, MONDAY + dt.timedelta(days=1)):
        for market in ("FLW", "LDR"):
            (path,) = made.fetch(market, day)
            path.rename(folder / "job-1" / f"{market}-{day:%Y%m%d}.dbn.zst")
    source = open_source(desk(tmp_path / "own", source=DbnFolderSource(kind="dbn_folder", folder=folder)))
    assert source.fetch("LDR", MONDAY) == [folder / "job-1/LDR-20260824.dbn.zst"]
    assert source.fetch("FLW", SATURDAY) == []
    missing = dt.date(2026, 8, 26)
    with pytest.raises(TicksError, match=rf"no DBN file in {folder} covers FLW \(FLWZ6\) on 2026-08-26: add it"):
        source.fetch("FLW", missing)
    other = open_source(desk(tmp_path / "own", source=DbnFolderSource(kind="dbn_folder", folder=folder, dataset="GLBX.MDP3")))
    with pytest.raises(TicksError, match="no DBN file"):
        other.fetch("FLW", MONDAY)
    lost = open_source(desk(tmp_path / "own", source=DbnFolderSource(kind="dbn_folder", folder=tmp_path / "nowhere")))
    with pytest.raises(TicksError, match=r"no folder at .*nowhere: set source\.folder"):
        lost.fetch("FLW", MONDAY)


def folder_desk(tmp_path: Path, **market: str) -> Desk:
    """A desk that reads the folder `files`, in which the simulated exchange has left a session of FLW."""
    made = desk(tmp_path)
    (path,) = open_source(made).fetch("FLW", MONDAY)
    (tmp_path / "files").mkdir()
    path.rename(tmp_path / "files" / path.name)
    markets = {"FLW": Market.model_validate({"symbol": "FLWZ6", "tick_size": "0.1", **FEES, **market})}
    return desk(tmp_path, source=DbnFolderSource(kind="dbn_folder", folder=tmp_path / "files"), markets=markets, leaders=())


def write(path: Path, schema: str, *messages: object) -> None:
    start = int(dt.datetime(2026, 8, 24, tzinfo=dt.UTC).timestamp()) * 10**9
    header = header_of(dataset="SIM.TEST", schema=schema, instruments={"FLWZ6": [1]}, start_ns=start, end_ns=start + 86_400 * 10**9)
    path.write_bytes(header + b"".join(bytes(message) for message in messages))


def status(at_ns: int, action: dbn.StatusAction, is_trading: dbn.TriState = dbn.TriState.NOT_AVAILABLE) -> dbn.StatusMsg:
    return dbn.StatusMsg(
        publisher_id=1, instrument_id=1, ts_event=at_ns, ts_recv=OPEN, action=action, is_trading=is_trading
    )  # fmt: skip


def test_a_status_file_tells_when_trading_was_halted(tmp_path: Path) -> None:
    halted = folder_desk(tmp_path)
    assert open_source(halted).halts("FLW", MONDAY) == []
    actions = dbn.StatusAction
    said = [status(OPEN + 5, actions.HALT), status(OPEN + 9, actions.TRADING), status(OPEN + 20, actions.NONE, is_trading=dbn.TriState.NO)]
    write(tmp_path / "files" / "status.dbn", "status", *said)
    assert open_source(halted).halts("FLW", MONDAY) == [(OPEN + 5, OPEN + 9), (OPEN + 20, 2**63 - 1)]
    assert len(open_source(halted).fetch("FLW", MONDAY)) == 1


@pytest.mark.parametrize(
    ("market", "session", "says"),
    [
        ({"tick_size": "0.5"}, dt.date(2023, 6, 1), "gives ESM3 a tick of 0.25, the desk file 0.5: correct tick_size of FLW"),
        ({"tick_size": "0.25"}, dt.date(2023, 6, 20), "ESM3 has expired before 2023-06-20: change the symbol of FLW"),
    ],
)
def test_a_definition_that_contradicts_the_desk_is_told(
    shared_data: Path, tmp_path: Path, market: dict[str, str], session: dt.date, says: str
) -> None:
    (tmp_path / "files").mkdir()
    content = (shared_data / "definition-glbx-es-fut.dbn.zst").read_bytes()
    (tmp_path / "files" / "definition.dbn.zst").write_bytes(widened(content))
    markets = {"FLW": Market.model_validate({"symbol": "ESM3", **FEES, **market})}
    source = DbnFolderSource(kind="dbn_folder", folder=tmp_path / "files")
    with pytest.raises(TicksError, match=says):
        open_source(desk(tmp_path, source=source, markets=markets, leaders=(), first_session=dt.date(2023, 5, 1))).fetch("FLW", session)


def test_a_definition_under_a_continuous_symbol_names_no_single_contract_and_refuses_none(shared_data: Path, tmp_path: Path) -> None:
    continuous = folder_desk(tmp_path)
    content = widened((shared_data / "definition-glbx-es-fut.dbn.zst").read_bytes())
    assert content.count(b"ESM3") > 1
    header = 8 + int.from_bytes(content[4:8], "little")
    renamed = content[:header].replace(b"ESM3\0", b"FLWZ6") + content[header:]
    (tmp_path / "files" / "definition.dbn").write_bytes(renamed.replace(struct.pack("<Q", 1_704_067_200 * 10**9), b"\xff" * 8, 1))
    assert len(open_source(continuous).fetch("FLW", MONDAY)) == 1


def widened(content: bytes) -> bytes:
    """The same definitions in a file that says it covers the whole of 2023: in the header, start and end follow dataset and schema."""
    plain = zstandard.ZstdDecompressor().stream_reader(content, read_across_frames=True).read()
    return plain[:26] + struct.pack("<QQ", 1_672_531_200 * 10**9, 1_704_067_200 * 10**9) + plain[42:]
