"""A session recorded from a gateway on the loopback address that speaks the live protocol and replays records."""

import datetime as dt
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
from assets.ticks.dbn import TicksError, read_metadata, read_records, to_frame
from assets.ticks.exchange import Simulated
from assets.ticks.live import Recorder
from assets.ticks.source import open_source

DAY = dt.date(2026, 8, 24)
KEY = "db-" + "k" * 29
SYMBOL = "FLWZ6"


class Gateway(socketserver.ThreadingTCPServer):
    """Each connection sends the next of `parts` and then ends; `refuse` answers the key, `error` the subscription."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, parts: list[np.ndarray], *, refuse: str | None = None, error: str | None = None, held: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.parts, self.refuse, self.error, self.held = iter(parts), refuse, error, held
        self.asked: list[str] = []


class _Connection(socketserver.StreamRequestHandler):
    server: Gateway

    def handle(self) -> None:
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
        self.wfile.write(header.encode())
        if self.server.error:
            self.wfile.write(bytes(dbn.ErrorMsg(ts_event=0, err=self.server.error)))
            return
        self.wfile.write(bytes(mapping(SYMBOL, 1)))
        self.wfile.write(next(self.server.parts, np.zeros(0, "u1")).tobytes())
        self.wfile.flush()
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


def recorder(desk: Desk, gateway: Gateway, records: np.ndarray, *, lasts: float = 2.0) -> Recorder:
    """One whose clock stands within the session, and reaches its close some seconds after the start."""
    window, began = Calendar(desk).window("FLW", DAY), time.monotonic()
    assert window
    assert records["ts_recv"].max() < window.close_ns

    def clock() -> int:
        return window.open_ns if time.monotonic() < began + lasts else window.close_ns + 10**10

    return Recorder(desk, DAY, gateway=("127.0.0.1", gateway.server_address[1]), clock=clock, pause=lambda _: None)


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


def test_a_gateway_that_is_not_there_is_told_in_a_sentence(desk: Desk, records: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("databento.live.session.AUTH_TIMEOUT_SECONDS", 0.5)
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
    monkeypatch.delenv("DATABENTO_API_KEY")
    with pytest.raises(TicksError, match="no key for the live gateway"):
        Recorder(desk, DAY)
