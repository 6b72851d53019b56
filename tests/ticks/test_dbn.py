"""Files as a vendor writes them, read as a vendor's library reads them; and a sentence for each file that is bad."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import zstandard
from databento import DBNStore

from assets.lake import check
from assets.ticks.dbn import TicksError, read_metadata, read_records, to_frame, write_mbo
from assets.ticks.exchange import Simulated
from assets.ticks.reference import read_definition
from assets.ticks.schema import MBO_COLUMNS, RawTicks

Session = Callable[..., list[Simulated]]
OPEN = int(dt.datetime(2026, 8, 24, 13, 30, tzinfo=dt.UTC).timestamp()) * 10**9
CLOSE = OPEN + 3_600 * 10**9


@pytest.fixture(scope="module")
def records(session: Session) -> np.ndarray:
    return session()[0].records


def write(path: Path, records: np.ndarray, symbol: str = "FLWZ6", start_ns: int = OPEN, end_ns: int = CLOSE) -> Path:
    write_mbo(path, records, dataset="SIM.TEST", symbol=symbol, instrument_id=1, start_ns=start_ns, end_ns=end_ns)
    return path


@pytest.fixture(scope="module")
def file(records: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("dbn") / "session.mbo.dbn.zst", records)


@pytest.mark.filterwarnings("ignore:The inplace keyword")
def test_databento_reads_our_file_as_it_reads_a_vendors(file: Path, records: np.ndarray) -> None:
    store = DBNStore.from_bytes(file.read_bytes())
    assert (store.dataset, str(store.schema), store.symbols) == ("SIM.TEST", "mbo", ["FLWZ6"])
    assert (store.start.value, store.end.value) == (OPEN, CLOSE)
    assert store.mappings == {"FLWZ6": [{"start_date": dt.date(2026, 8, 24), "end_date": dt.date(2026, 8, 25), "symbol": "1"}]}
    read = store.to_ndarray()
    assert read.tobytes() == records.tobytes()
    table = store.to_df()
    assert set(table["symbol"]) == {"FLWZ6"}
    assert table["action"].iloc[0] == "R"


def test_our_reader_gives_every_field_that_databento_gives(file: Path) -> None:
    theirs = DBNStore.from_bytes(file.read_bytes()).to_ndarray()
    ours = read_records([file], symbol="FLWZ6")
    check(ours, RawTicks, "raw_ticks of a test")
    assert ours.columns == list(MBO_COLUMNS)
    for name in ours.columns:
        values = np.ascontiguousarray(theirs[name])
        values = values.view("u1") if values.dtype.kind == "S" else values
        assert np.array_equal(ours[name].to_numpy(), values), name


def test_the_same_records_give_the_same_bytes(file: Path, records: np.ndarray, tmp_path: Path) -> None:
    assert write(tmp_path / "again.dbn.zst", records).read_bytes() == file.read_bytes()


def test_a_failed_write_leaves_the_file_before_it_whole(file: Path, records: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file.read_bytes()

    def full(path: Path, _: bytes) -> int:
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(TicksError, match=r"session\.mbo\.dbn\.zst could not be written: No space left on device; free space"):
        write(file, records[:10])
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_plain_files_and_files_of_several_frames_read_alike(file: Path, tmp_path: Path) -> None:
    content = plain(file.read_bytes())
    bare, framed = tmp_path / "bare.dbn", tmp_path / "framed.dbn.zst"
    bare.write_bytes(content)
    framed.write_bytes(b"".join(zstandard.compress(content[at : at + 100_001]) for at in range(0, len(content), 100_001)))
    expected = read_records([file])
    assert read_records([bare]).equals(expected)
    assert read_records([framed]).equals(expected)


def test_files_are_read_in_the_order_of_their_ranges_and_cut_at_the_end(records: np.ndarray, tmp_path: Path) -> None:
    half = records.size // 2
    middle = int(records["ts_recv"][half])
    late = write(tmp_path / "a.dbn.zst", records[half:], start_ns=middle)
    early = write(tmp_path / "b.dbn.zst", records[:half], end_ns=middle)
    whole = to_frame(records)
    assert read_records([late, early], symbol="FLWZ6").equals(whole)
    assert read_records([late, early], end_ns=middle).equals(whole.filter(pl.col("ts_recv") < middle))


def plain(content: bytes) -> bytes:
    return zstandard.decompress(content, max_output_size=1 << 28)


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    at = len(content) // 2
    return content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda content: b"", r"bad\.dbn\.zst is empty: fetch it again"),
        (lambda content: b"ts,price\n1,2\n", r"bad\.dbn\.zst is not a DBN file: its first bytes are b'ts,p'"),
        (lambda content: b"DB", r"bad\.dbn\.zst is truncated: it ends within its header at byte 2"),
        (lambda content: b"\x51\x2a\x4d\x18" + content, r"bad\.dbn\.zst is in the legacy DBZ encoding"),
        (cut, r"bad\.dbn\.zst is truncated: it ends within a zstd frame at byte \d+"),
        (flipped, r"bad\.dbn\.zst is damaged at or before byte \d+"),
        (lambda content: plain(content)[:-30], r"bad\.dbn\.zst is truncated: it ends 26 bytes into record \d+"),
        (lambda content: plain(content)[:100], r"bad\.dbn\.zst is truncated: it ends within its header"),
        (lambda content: plain(content) + b"\x05" * 56, r"bad\.dbn\.zst: record \d+, at byte \d+ after the header, is 20 bytes long"),
    ],
)
def test_a_bad_file_gets_one_sentence(file: Path, tmp_path: Path, spoil: Callable[[bytes], bytes], says: str) -> None:
    bad = tmp_path / "bad.dbn.zst"
    bad.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(TicksError, match=says) as caught:
        read_records([bad])
    assert "\n" not in str(caught.value)


def test_every_way_to_cut_a_file_short_is_told_and_never_read_as_less(file: Path, tmp_path: Path) -> None:
    content, short = file.read_bytes(), tmp_path / "short.dbn.zst"
    for length in np.linspace(1, len(content) - 1, 25).astype(int):
        short.write_bytes(content[:length])
        with pytest.raises(TicksError, match=r"short\.dbn\.zst (is truncated|is not a DBN file)"):
            read_records([short])


def test_a_missing_file_another_symbol_and_an_empty_range_are_named(file: Path, records: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(TicksError, match=r"no file at .*nowhere\.dbn"):
        read_records([tmp_path / "nowhere.dbn"])
    with pytest.raises(TicksError, match="holds FLWZ6, not RTYZ6: check the market's symbol"):
        read_records([file], symbol="RTYZ6")
    with pytest.raises(TicksError, match="hold no records of FLWZ6"):
        read_records([write(tmp_path / "none.dbn.zst", records[:0])], symbol="FLWZ6")


def test_two_instruments_in_one_file_are_told_apart_by_symbol_only(records: np.ndarray, tmp_path: Path) -> None:
    both = records.copy()
    both["instrument_id"][::3] = 2
    path = write(tmp_path / "both.dbn.zst", both)
    assert read_records([path], symbol="FLWZ6").equals(to_frame(both[both["instrument_id"] == 1]))
    with pytest.raises(TicksError, match="hold 2 instruments: name the symbol of one"):
        read_records([path])


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("esh4-glbx-mdp3-20231225.mbo.dbn.zst", 68_792),
        ("futures_mbp-1_2024-07-01T23-58_2024-07-02T00-02.dbn.zst", 2_288),
        ("futures_trades_2024-07-01T23-58_2024-07-02T00-02.dbn.zst", 120),
    ],
)
def test_real_files_are_read_field_by_field(shared_data: Path, name: str, rows: int) -> None:
    theirs = DBNStore.from_bytes((shared_data / name).read_bytes()).to_ndarray()
    ours = read_records([shared_data / name])
    check(ours, RawTicks, name)
    assert ours.height == rows
    assert set(ours.columns) == set(theirs.dtype.names) - {"length"}
    for column in ("ts_event", "price", "size", "sequence"):
        assert np.array_equal(ours[column].to_numpy(), theirs[column])


def test_a_definition_tells_tick_and_multiplier(shared_data: Path) -> None:
    path = shared_data / "definition-glbx-es-fut.dbn.zst"
    definition = read_definition(path, "ESM3")
    assert (definition.tick, definition.multiplier(250_000_000), definition.currency) == (250_000_000, 50, "USD")
    with pytest.raises(TicksError, match="does not define NQM3"):
        read_definition(path, "NQM3")
    with pytest.raises(TicksError, match="has schema definition, from which no book can be made"):
        read_records([path])
    with pytest.raises(TicksError, match="has schema mbo, not definition"):
        read_definition(shared_data / "esh4-glbx-mdp3-20231224.mbo.dbn.zst", "ESH4")


def test_the_header_alone_can_be_read(file: Path) -> None:
    header = read_metadata(file)
    assert (header.dataset, header.start, header.end) == ("SIM.TEST", OPEN, CLOSE)
