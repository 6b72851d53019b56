"""A session recorded from a gateway on the loopback address that speaks the live protocol and replays records."""

import datetime as dt
import os
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import databento_dbn as dbn
import numpy as np
import pytest

from assets.books.rebuild import rebuild
from assets.calendar import Calendar
from assets.desk import DbnFolderSource, Desk, SimulatedSource, load_desk
from assets.ticks.dbn import TicksError, _open, _parts, read_metadata, read_records, to_frame
from assets.ticks.exchange import Simulated
from assets.ticks.live import Recorder, current_session
from assets.ticks.source import open_source

DAY = dt.date(2026, 8, 24)
KEY = "db-" + "k" * 29
SYMBOL = "FLWZ6"


class Gateway(socketserver.ThreadingTCPServer):
    """Each connection sends the next of `parts` and then ends; `refuse` answers the key, `error` the subscription.

    `symbols` are mapped; `raw` is sent in place of the whole greeting; `hello` False says nothing; `header` is sent in place of the header.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(
        self,
        parts: list[np.ndarray],
        *,
        refuse: str | None = None,
        error: str | None = None,
        held: bool = False,
        symbols: dict[str, int] | None = None,
        raw: bytes | None = None,
        header: bytes | None = None,
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.parts, self.refuse, self.error, self.held = list(parts), refuse, error, held
        self.symbols, self.raw, self.header = symbols if symbols is not None else {SYMBOL: 1}, raw, header
        self.asked: list[str] = []
        self.connections = 0
        self.sent: float | None = None
        """When the last of the parts had been sent."""


class _Connection(socketserver.StreamRequestHandler):
    server: Gateway

    def handle(self) -> None:
        self.server.connections += 1
        if self.server.raw is not None:
            self.wfile.write(self.server.raw)
            self.rfile.readline()
            return
        self.wfile.write(b"lsg_version=0.6.0\ncram=abcdefgh\n")
        assert self.rfile.readline().startswith(b"auth=")
        if self.server.refuse:
            self.wfile.write(f"success=0|error={self.server.refuse}\n".encode())
            return
        self.wfile.write(b"success=1|session_id=1\n")
        while (line := self.rfile.readline()) and not line.startswith(b"start_session"):
            self.server.asked.append(line.decode())
        header = dbn.Metadata(
            dataset="SIM.LIVE", start=0, stype_in=None, stype_out=dbn.SType.INSTRUMENT_ID, schema=None, symbols=[], mappings=[]
        )
        self.wfile.write(self.server.header or header.encode())
        if self.server.error:
            self.wfile.write(bytes(dbn.ErrorMsg(ts_event=0, err=self.server.error)))
            return
        for symbol, number in self.server.symbols.items():
            self.wfile.write(bytes(mapping(symbol, number)))
        if self.server.parts:
            self.wfile.write(self.server.parts.pop(0).tobytes())
            self.wfile.flush()
            self.server.sent = None if self.server.parts else time.monotonic()
        if self.server.held:
            self.rfile.readline()


def mapping(symbol: str, instrument: int) -> dbn.SymbolMappingMsg:
    return dbn.SymbolMappingMsg(
        publisher_id=0, instrument_id=instrument, ts_event=0, stype_in=dbn.SType.RAW_SYMBOL, stype_in_symbol=symbol,
        stype_out=dbn.SType.RAW_SYMBOL, stype_out_symbol=symbol, start_ts=0, end_ts=0,
    )  # fmt: skip


@contextmanager
def serving(*parts: np.ndarray, **how: Any) -> Iterator[Gateway]:
    with Gateway(list(parts), **how) as gateway:
        threading.Thread(target=gateway.serve_forever, daemon=True).start()
        yield gateway
        gateway.shutdown()


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABENTO_API_KEY", KEY)


@pytest.fixture(scope="module")
def records(session: Callable[..., list[Simulated]]) -> np.ndarray:
    return session(day=DAY, events=3_000)[0].records


@pytest.fixture
def desk(make_desk: Callable[..., Path], tmp_path: Path) -> Desk:
    desk = load_desk(make_desk(tmp_path))
    source = DbnFolderSource(kind="dbn_folder", folder=tmp_path / "landing", dataset="SIM.LIVE")
    return desk.model_copy(update={"source": source, "leaders": (), "first_session": DAY, "hours": (dt.time(13, 30), dt.time(14, 30))})


def recorder(desk: Desk, gateway: Gateway, records: np.ndarray, *, lasts: float = 30.0, **further: Any) -> Recorder:
    """One whose clock stands within the session, and reaches its close when all has been sent, or some seconds after the start."""
    window, began = Calendar(desk).window("FLW", DAY), time.monotonic()
    assert window
    assert records["ts_recv"].max() < window.close_ns

    def clock() -> int:
        now = time.monotonic()
        over = now > began + lasts or (gateway.sent is not None and now > gateway.sent + 0.5)
        return window.close_ns + 10**10 if over else window.open_ns

    return Recorder(desk, DAY, gateway=("127.0.0.1", gateway.server_address[1]), clock=clock, pause=lambda _: None, **further)


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_recorded_session_is_what_the_gateway_sent_and_the_folder_source_finds_it(desk: Desk, records: np.ndarray) -> None:
    with serving(records, held=True) as gateway:
        path = recorder(desk, gateway, records).run()
    assert gateway.asked == [gateway.asked[0]]
    assert "schema=mbo" in gateway.asked[0]
    assert "snapshot=1" in gateway.asked[0]
    assert f"symbols={SYMBOL}" in gateway.asked[0]
    assert open_source(desk).fetch("FLW", DAY) == [path]
    assert read_records([path], symbol=SYMBOL).equals(to_frame(records))
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert KEY.encode() not in everything_in(path.parent)
    assert (str(read_metadata(path).schema), read_metadata(path).dataset) == ("mbo", "SIM.LIVE")


def test_a_lost_connection_is_made_again_and_its_gap_is_marked(desk: Desk, records: np.ndarray) -> None:
    half = records.size // 2
    lost = half + 50
    with serving(records[:half], records[lost:], held=False) as gateway:
        running = recorder(desk, gateway, records)
        path = running.run()
    recorded = read_records([path], symbol=SYMBOL)
    assert recorded.height == records.size - 50
    assert running.gaps == 1
    quality = rebuild(recorded).quality
    assert quality["gaps"].item() == 1
    assert quality["trusted_from"].item() >= records["ts_event"][lost]


def test_a_stopped_recorder_leaves_a_partial_file_that_nobody_finds_and_the_next_goes_on_with(desk: Desk, records: np.ndarray) -> None:
    half = records.size // 2

    def stopped(_: float) -> None:
        raise KeyboardInterrupt

    with serving(records[:half], records[half:]) as gateway:
        first = recorder(desk, gateway, records)
        first._pause = stopped
        with pytest.raises(KeyboardInterrupt):
            first.run()
        assert first.partial.stat().st_size == 56 * half
        with pytest.raises(TicksError, match="no DBN file in"):
            open_source(desk).fetch("FLW", DAY)
        second = recorder(desk, gateway, records)
        recorded = read_records([second.run()], symbol=SYMBOL)
    assert second.gaps == 1
    assert recorded.drop("flags").equals(to_frame(records).drop("flags"))


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"refuse": "invalid key"}, "refused SIM.LIVE: .*invalid key; check DATABENTO_API_KEY"),
        ({"error": "no such symbol"}, r"refused mbo of FLWZ6 \(raw_symbol\) in SIM\.LIVE: no such symbol; check the markets' symbols"),
    ],
)
def test_what_the_gateway_refuses_is_told_in_a_sentence(desk: Desk, records: np.ndarray, how: dict[str, str], says: str) -> None:
    with serving(records, **how) as gateway, pytest.raises(TicksError, match=says) as told:
        recorder(desk, gateway, records).run()
    assert KEY not in str(told.value)


def test_a_gateway_that_is_not_there_is_told_in_a_sentence(desk: Desk, records: np.ndarray) -> None:
    with serving() as gateway:
        pass
    with pytest.raises(TicksError, match=r"the live gateway of SIM\.LIVE cannot be reached"):
        recorder(desk, gateway, records).run()


def test_a_session_in_which_nothing_arrives_lands_nothing(desk: Desk, records: np.ndarray) -> None:
    with serving(records[:0], held=True) as gateway, pytest.raises(TicksError, match="nothing arrived before the session's close"):
        recorder(desk, gateway, records, lasts=0.5).run()
    assert not everything_in(desk.source.folder)


def test_what_cannot_be_recorded_is_refused_before_anything_is_asked(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TicksError, match="a source of kind dbn_folder with a dataset"):
        Recorder(desk.model_copy(update={"source": SimulatedSource()}), DAY)
    with pytest.raises(TicksError, match="FLW has no session on 2026-08-29"):
        Recorder(desk, dt.date(2026, 8, 29))
    with pytest.raises(TicksError, match="no book can be made from schema 'ohlcv-1s'"):
        Recorder(desk, DAY, schema="ohlcv-1s")
    with pytest.raises(TicksError, match="a parent symbol is not one instrument at a time: use one of raw_symbol, continuous"):
        Recorder(desk, DAY, stype_in="parent")
    monkeypatch.delenv("DATABENTO_API_KEY")
    with pytest.raises(TicksError, match="no key for the live gateway"):
        Recorder(desk, DAY)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"raw": b""}, "did not send its greeting and the answer to the key within"),
        ({"raw": b"HTTP/1.1 400 Bad Request\r\n\r\n"}, "sent what is no greeting: .*HTTP/1.1 400"),
        ({"raw": b"x" * 100_000}, "sends more than 65,536 bytes instead of a greeting"),
        ({"header": b"DBN\x03\xff\xff\xff\xff"}, "claims a header of 4,294,967,295 bytes, where 1,048,576 are read at most"),
        ({"header": b"HTTP/1.1 200 OK\r\n"}, "sends no DBN: its first bytes are b'HTTP/1.1'"),
        ({"header": b"DBN\x03\x08\x00\x00\x00" + bytes(8)}, "sent what is no record"),
    ],
)
def test_a_gateway_that_does_not_keep_to_the_protocol_is_given_up_after_five_tries_each_told(
    desk: Desk, records: np.ndarray, monkeypatch: pytest.MonkeyPatch, how: dict[str, bytes], says: str
) -> None:
    monkeypatch.setattr("assets.ticks.gateway.ANSWER_SECONDS", 0.1)
    told: list[str] = []
    with (
        serving(records, held=True, **how) as gateway,
        pytest.raises(TicksError, match=f"{says}.*given up after 5 tries, nothing was recorded"),
    ):
        recorder(desk, gateway, records, tell=told.append).run()
    assert gateway.connections == 5
    assert len(told) == 4
    assert all("connecting again in" in sentence for sentence in told)


def test_records_that_are_none_leave_the_recording_whole(desk: Desk, records: np.ndarray) -> None:
    sent = np.concatenate([records[:2_500].view("u1"), np.zeros(500, "u1")])
    with serving(*[sent] * 6, held=True) as gateway:
        first = recorder(desk, gateway, records)
        with pytest.raises(
            TicksError, match=r"sent what is no record: .*given up after 5 tries, what was recorded is in .*the same command goes on"
        ):
            first.run()
        assert first.partial.stat().st_size % 56 == 0
        assert first.partial.stat().st_size > 0
    with serving(records[2_500:], held=True) as gateway:
        recorded = read_records([recorder(desk, gateway, records).run()], symbol=SYMBOL)
    rest = records[2_500:]
    assert recorded.tail(rest.size).drop("flags").equals(to_frame(rest).drop("flags"))


def test_a_silent_line_is_lost_and_made_again(desk: Desk, records: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assets.ticks.gateway.SILENT_SECONDS", 0.3)
    told: list[str] = []
    half = records.size // 2
    with serving(records[:half], records[half:], held=True) as gateway:
        running = recorder(desk, gateway, records, tell=told.append)
        assert read_records([running.run()], symbol=SYMBOL).height == records.size
    assert running.gaps == 1
    assert "has been silent for" in told[0]


def of_two_markets(desk: Desk, records: np.ndarray) -> tuple[Desk, np.ndarray]:
    """The desk with its leader, and the same records of both instruments by turns."""
    both = np.repeat(records, 2)
    both["instrument_id"] = np.tile([1, 2], records.size)
    return desk.model_copy(update={"leaders": ("LDR",)}), both


BOTH = {SYMBOL: 1, "LDRZ6": 2}


@pytest.mark.parametrize("breaks", [[], [700], [300, 1_001]])
def test_of_each_instrument_the_first_record_after_each_break_is_marked(desk: Desk, records: np.ndarray, breaks: list[int]) -> None:
    desk, both = of_two_markets(desk, records[:1_000])
    parts = [both[start + 25 * (start > 0) : end] for start, end in zip([0, *breaks], [*breaks, both.size], strict=True)]
    with serving(*parts, symbols=BOTH) as gateway:
        running = recorder(desk, gateway, records)
        path = running.run()
    assert running.gaps == len(breaks)
    for symbol, number in BOTH.items():
        recorded = read_records([path], symbol=symbol)
        assert rebuild(recorded).quality["gaps"].item() == len(breaks)
        marked = np.flatnonzero(recorded["flags"].to_numpy() & 4)
        lengths = np.cumsum([np.count_nonzero(part["instrument_id"] == number) for part in parts])[:-1]
        assert marked.tolist() == lengths.tolist()


def test_records_that_the_gateway_left_out_are_a_break(desk: Desk, records: np.ndarray) -> None:
    skipped = dbn.ErrorMsg(ts_event=0, err="skipped 12 records", code=dbn.ErrorCode.SKIPPED_RECORDS_AFTER_SLOW_READING)
    sent = np.concatenate([records[:100].view("u1"), np.frombuffer(bytes(skipped), "u1"), records[112:].view("u1")])
    told: list[str] = []
    with serving(sent, held=True) as gateway:
        running = recorder(desk, gateway, records, tell=told.append)
        flags = read_records([running.run()], symbol=SYMBOL)["flags"].to_numpy()
    assert np.flatnonzero(flags & 4).tolist() == [100]
    assert (running.gaps, len(told)) == (1, 1)
    assert "left records out" in told[0]


def test_a_symbol_that_the_gateway_does_not_map_is_told_at_once_and_the_others_are_recorded(
    desk: Desk, records: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assets.ticks.live._MAPPED_SECONDS", 0.1)
    desk, _ = of_two_markets(desk, records)
    told: list[str] = []
    with serving(records, held=True) as gateway:
        path = recorder(desk, gateway, records, tell=told.append).run()
    assert len(told) == 1
    assert "maps no instrument to LDRZ6 (raw_symbol)" in told[0]
    assert "markets.LDR.symbol" in told[0]
    assert read_records([path], symbol=SYMBOL).height == records.size


def test_where_no_symbol_is_mapped_the_records_stay(desk: Desk, records: np.ndarray) -> None:
    with serving(records, held=True, symbols={}) as gateway:
        running = recorder(desk, gateway, records, lasts=1)
        with pytest.raises(TicksError, match=r"said of none of FLWZ6 which instrument it is: the records stay in"):
            running.run()
    assert running.partial.stat().st_size == records.nbytes


@pytest.mark.parametrize("at", [dbn.UNDEF_TIMESTAMP, 2**62])
def test_no_record_ends_a_session_the_clock_does(desk: Desk, records: np.ndarray, at: int) -> None:
    odd = records.copy()
    odd["ts_recv"][50] = at
    told: list[str] = []
    with serving(odd, held=True) as gateway:
        running = recorder(desk, gateway, records, tell=told.append)
        path = running.run()
    kept = sum(part.size for part in _parts(path, *_open(path)))
    assert kept == records.size - (at != dbn.UNDEF_TIMESTAMP)
    assert len(told) == 1
    assert ("without a receive time" in told[0]) == (at == dbn.UNDEF_TIMESTAMP)


def test_of_two_recorders_of_a_session_one_lands_what_was_sent_and_the_other_says_why_not(desk: Desk, records: np.ndarray) -> None:
    with serving(records, records, held=True) as gateway:
        first, second = recorder(desk, gateway, records, lasts=2.0), recorder(desk, gateway, records, schema="mbp-1")
        landed: list[Path] = []
        thread = threading.Thread(target=lambda: landed.append(first.run()))
        thread.start()
        lock, until = first.path.with_name(f".{DAY}.recording"), time.monotonic() + 1.5
        while time.monotonic() < until and not (lock.exists() and lock.read_text()):
            time.sleep(0.01)
        with pytest.raises(TicksError, match=rf"2026-08-24 is being recorded into .* by process {os.getpid()} on .*: stop that one first"):
            second.run()
        thread.join()
    assert read_records(landed, symbol=SYMBOL).equals(to_frame(records))
    with serving(records) as gateway, pytest.raises(TicksError, match=r"2026-08-24\.mbo\.dbn\.zst is there already: move it away"):
        recorder(desk, gateway, records).run()
    assert [entry.name for entry in landed[0].parent.iterdir()] == [landed[0].name]


def test_the_lock_of_a_recorder_that_was_killed_is_taken_over(desk: Desk, records: np.ndarray) -> None:
    folder = desk.source.folder
    folder.mkdir()
    (folder / f".{DAY}.recording").write_text("process 1 on nowhere")
    with serving(records, held=True) as gateway:
        path = recorder(desk, gateway, records).run()
    assert [entry.name for entry in folder.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("calendar", "now", "session"),
    [
        ("CMES", "2026-08-24 22:30", "2026-08-25"),
        ("CMES", "2026-08-24 15:00", "2026-08-24"),
        ("CMES", "2026-08-23 22:30", "2026-08-24"),
        ("CMES", "2026-08-28 23:00", "2026-08-31"),
        ("XNYS", "2026-08-24 22:30", "2026-08-25"),
        ("XNYS", "2026-08-24 12:00", "2026-08-24"),
    ],
)
def test_without_a_date_the_markets_own_session_is_recorded(desk: Desk, calendar: str, now: str, session: str) -> None:
    market = desk.markets["FLW"].model_copy(update={"calendar": calendar})
    desk = desk.model_copy(update={"markets": {**desk.markets, "FLW": market}, "hours": None})
    at = int(dt.datetime.fromisoformat(now).replace(tzinfo=dt.UTC).timestamp()) * 10**9
    assert current_session(desk, at).isoformat() == session
