"""The historical API, spoken for real with a server on the loopback address that can be as unhelpful as any."""

import base64
import datetime as dt
import json
import ssl
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import numpy as np
import polars as pl
import pytest
import trustme

from assets.calendar import Calendar
from assets.desk import KEY_VARIABLE, DatabentoSource, Desk, Market, SimulatedSource
from assets.ticks.dbn import TicksError, read_records, write_mbo
from assets.ticks.historical import HistoricalApi
from assets.ticks.source import SimulatedExchange, open_source

MONDAY, SATURDAY = dt.date(2026, 8, 24), dt.date(2026, 8, 29)
KEY = "db-0123456789abcdefghijklmnopqrs"
COST, CONDITION, RANGE = "/v0/metadata.get_cost", "/v0/metadata.get_dataset_condition", "/v0/timeseries.get_range"

Answer = Callable[[BaseHTTPRequestHandler, dict[str, str]], None]


def say(content: object, status: int = 200, **headers: str) -> Answer:
    """An answer in JSON."""

    def answer(handler: BaseHTTPRequestHandler, _: dict[str, str]) -> None:
        body = json.dumps(content).encode()
        handler.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


@dataclass
class Vendor:
    """The server: what it will answer, each once and the last for ever, and what it was asked."""

    url: str = ""
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    asked: dict[str, list[dict[str, str]]] = field(default_factory=lambda: defaultdict(list))
    keys: set[str] = field(default_factory=set)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        url = urlsplit(handler.path)
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0))).decode()
        given = {name: values[0] for name, values in parse_qs(url.query or body).items()}
        self.keys.add(base64.b64decode(handler.headers["Authorization"].split()[1]).decode().rstrip(":"))
        self.asked[url.path].append(given)
        queue = self.answers[url.path]
        (queue.pop(0) if len(queue) > 1 else queue[0])(handler, given)


@pytest.fixture
def desk(tmp_path: Path, vendor: Vendor) -> Desk:
    return Desk.model_validate(
        {
            "name": "small",
            "home": tmp_path / "home",
            "traded": "FLW",
            "first_session": MONDAY,
            "hours": (dt.time(13, 30), dt.time(13, 40)),
            "markets": {"FLW": Market(symbol="FLWZ6", tick_size="0.1", maker_fee="1", taker_fee="1")},
            "source": DatabentoSource(kind="databento", dataset="GLBX.MDP3", budget_per_session="2.50", gateway=vendor.url),
        }
    )


@pytest.fixture
def records(tmp_path: Path, desk: Desk) -> np.ndarray:
    simulated = SimulatedSource(seed=1, events_per_session=20_000)
    return SimulatedExchange(desk.model_copy(update={"source": simulated}), simulated).simulate(MONDAY)["FLW"].records


@pytest.fixture
def whole(tmp_path: Path, desk: Desk, records: np.ndarray) -> bytes:
    """The vendor's file of the session."""
    return encoded(tmp_path, desk, records)


def encoded(folder: Path, desk: Desk, records: np.ndarray) -> bytes:
    window = Calendar(desk).window("FLW", MONDAY)
    midnight = window.open_ns - window.open_ns % (86_400 * 10**9)
    path = folder / "vendor.dbn.zst"
    write_mbo(path, records, dataset="GLBX.MDP3", symbol="FLWZ6", instrument_id=1, start_ns=midnight, end_ns=window.close_ns)
    return path.read_bytes()


def send(content: bytes, promised: int | None = None) -> Answer:
    """A body of which `promised` bytes were announced: fewer come, and the connection closes."""

    def answer(handler: BaseHTTPRequestHandler, _: dict[str, str]) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(promised or len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


@pytest.fixture
def vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    """A server with a certificate of its own, that has the day, at 1 dollar."""
    authority, made = trustme.CA(), Vendor()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.answer(self)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    made.url = f"https://127.0.0.1:{server.server_address[1]}"
    made.answers = {COST: [say(1.0)], CONDITION: [say([{"date": MONDAY.isoformat(), "condition": "available"}])]}
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    Thread(target=server.serve_forever, daemon=True).start()
    yield made
    server.shutdown()
    server.server_close()


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def api(desk: Desk, waits: list[float]) -> HistoricalApi:
    return HistoricalApi(desk, desk.source, sleep=waits.append)


def test_a_session_is_priced_fetched_once_and_kept_as_it_came(desk: Desk, vendor: Vendor, whole: bytes) -> None:
    vendor.answers[RANGE] = [send(whole)]
    source = open_source(desk)
    (path,) = source.fetch("FLW", MONDAY)
    assert path.read_bytes() == whole
    assert source.fetch("FLW", MONDAY) == [path]
    assert {address: len(asked) for address, asked in vendor.asked.items()} == {CONDITION: 1, COST: 1, RANGE: 1}
    asked = vendor.asked[RANGE][0]
    assert (asked["dataset"], asked["schema"], asked["symbols"], asked["stype_in"]) == ("GLBX.MDP3", "mbo", "FLWZ6", "raw_symbol")
    assert vendor.keys == {KEY}


def test_market_by_order_is_asked_for_from_midnight_where_its_snapshot_is(api: HistoricalApi, vendor: Vendor, whole: bytes) -> None:
    vendor.answers[RANGE] = [send(whole)]
    api.fetch("FLW", MONDAY)
    asked = vendor.asked[RANGE][0]
    assert (asked["start"], asked["end"]) == tuple(str(vendor.asked[COST][0][name]) for name in ("start", "end"))
    assert pl.Series([asked["start"], asked["end"]]).str.slice(0, 16).to_list() in (
        ["2026-08-24T00:00", "2026-08-24T13:40"],
        [f"{dt_ns(MONDAY, 0, 0)}"[:16], f"{dt_ns(MONDAY, 13, 40)}"[:16]],
    )


def dt_ns(day: dt.date, hour: int, minute: int) -> int:
    return int(dt.datetime(day.year, day.month, day.day, hour, minute, tzinfo=dt.UTC).timestamp()) * 10**9


def test_a_holiday_asks_nothing(api: HistoricalApi, vendor: Vendor) -> None:
    assert api.fetch("FLW", SATURDAY) == []
    assert not vendor.asked


def test_above_the_budget_nothing_is_asked_for_and_both_figures_are_told(api: HistoricalApi, vendor: Vendor) -> None:
    vendor.answers[COST] = [say(7.125)]
    with pytest.raises(TicksError, match=r"FLW on 2026-08-24 would cost 7\.1[23] USD and the desk's budget is 2\.50"):
        api.fetch("FLW", MONDAY)
    assert RANGE not in vendor.asked


@pytest.mark.parametrize(
    ("condition", "says"), [("degraded", "degraded .*allow_degraded"), ("pending", "is pending on"), ("missing", "is missing on")]
)
def test_a_day_that_the_vendor_has_not_whole_is_not_bought(api: HistoricalApi, vendor: Vendor, condition: str, says: str) -> None:
    vendor.answers[CONDITION] = [say([{"date": MONDAY.isoformat(), "condition": condition}])]
    with pytest.raises(TicksError, match=says):
        api.fetch("FLW", MONDAY)
    assert COST not in vendor.asked


@pytest.mark.parametrize(
    ("status", "remedy"), [(401, "check the key"), (402, "credit"), (404, "source.dataset"), (422, "symbol and dates")]
)
def test_a_refusal_is_told_with_its_remedy_and_not_repeated(
    api: HistoricalApi, vendor: Vendor, waits: list[float], status: int, remedy: str, tmp_path: Path
) -> None:
    vendor.answers[RANGE] = [say({"detail": {"case": "refused", "message": "No.", "docs": ""}}, status)]
    with pytest.raises(TicksError, match=remedy) as caught:
        api.fetch("FLW", MONDAY)
    assert KEY not in str(caught.value)
    assert caught.value.__cause__ is None
    assert (len(vendor.asked[RANGE]), waits) == (1, [])
    assert not list(tmp_path.glob("home/vendor/FLW/*")) + list(tmp_path.glob("home/vendor/FLW/.*"))


@pytest.mark.parametrize("secret", [KEY, base64.b64encode(f"{KEY}:".encode()).decode(), f"({KEY})\x1b[31m\n{'long ' * 500}"])
def test_a_refusal_that_echoes_the_key_is_told_without_it_on_one_line(api: HistoricalApi, vendor: Vendor, secret: str) -> None:
    vendor.answers[COST] = [say({"detail": {"case": "auth", "message": f"no such key {secret}", "docs": ""}}, 401)]
    with pytest.raises(TicksError, match=r"no such key .*\*\*\*.*check the key in") as told:
        api.fetch("FLW", MONDAY)
    words = str(told.value)
    assert KEY not in words
    assert base64.b64encode(f"{KEY}:".encode()).decode() not in words
    assert words.isprintable()
    assert len(words) < 600


def test_a_warning_that_echoes_the_key_is_told_without_it(api: HistoricalApi, vendor: Vendor, whole: bytes) -> None:
    vendor.answers |= {COST: [say(1.0, X_Warning=json.dumps([f"Warning: key {KEY} expires"]))], RANGE: [send(whole)]}
    with pytest.warns(UserWarning, match=r"key \*\*\* expires"):
        api.fetch("FLW", MONDAY)


@pytest.mark.parametrize(("address", "answer"), [(COST, {"price": KEY}), (CONDITION, [{"day": KEY}]), (CONDITION, 5)])
def test_an_answer_that_is_none_is_told_in_a_sentence(api: HistoricalApi, vendor: Vendor, address: str, answer: object) -> None:
    vendor.answers[address] = [say(answer)]
    with pytest.raises(TicksError, match=r"the API's answer about .*check source\.gateway") as told:
        api.fetch("FLW", MONDAY)
    assert KEY not in str(told.value)


def test_a_certificate_that_is_not_trusted_is_told_at_once_as_what_it_is(
    api: HistoricalApi, vendor: Vendor, waits: list[float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "other.pem"))
    with pytest.raises(TicksError, match=r"certificate is not trusted \(.+\), so nothing was asked: .*REQUESTS_CA_BUNDLE"):
        api.fetch("FLW", MONDAY)
    assert waits == []


def test_a_folder_that_takes_no_file_is_told_at_once(
    api: HistoricalApi, vendor: Vendor, desk: Desk, waits: list[float], whole: bytes
) -> None:
    vendor.answers[RANGE] = [send(whole)]
    desk.home.write_text("a file where the folder should be")
    with pytest.raises(TicksError, match=r"FLW on 2026-08-24 could not be written to .*; make room there or change home"):
        api.fetch("FLW", MONDAY)
    assert waits == []


def test_a_busy_server_is_given_the_time_it_asks_for(api: HistoricalApi, vendor: Vendor, waits: list[float], whole: bytes) -> None:
    busy = say({"detail": "slow down"}, 429, Retry_After="7")
    vendor.answers |= {COST: [busy, say(1.0)], RANGE: [busy, say({"detail": "oops"}, 503), send(whole)]}
    (path,) = api.fetch("FLW", MONDAY)
    assert path.read_bytes() == whole
    assert waits == [7.0, 7.0, 2.0]


def test_a_server_that_stays_away_is_given_up(api: HistoricalApi, vendor: Vendor, waits: list[float]) -> None:
    vendor.answers[CONDITION] = [say({"detail": "down"}, 500)]
    with pytest.raises(TicksError, match="did not answer in 5 tries"):
        api.fetch("FLW", MONDAY)
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0]


def test_a_download_that_breaks_off_goes_on_from_its_last_record(
    desk: Desk, api: HistoricalApi, vendor: Vendor, records: np.ndarray, whole: bytes, tmp_path: Path
) -> None:
    def rest(handler: BaseHTTPRequestHandler, given: dict[str, str]) -> None:
        start = np.datetime64(given["start"].replace("Z", ""), "ns").astype(np.int64) if "T" in given["start"] else int(given["start"])
        send(encoded(tmp_path, desk, records[records["ts_recv"] >= np.uint64(start)]))(handler, given)

    vendor.answers[RANGE] = [send(whole[: len(whole) // 2], len(whole)), rest]
    (path,) = api.fetch("FLW", MONDAY)
    (tmp_path / "whole.dbn.zst").write_bytes(whole)
    assert read_records([path]).equals(read_records([tmp_path / "whole.dbn.zst"]))
    assert len(vendor.asked[RANGE]) == 2
    assert vendor.asked[RANGE][1]["start"] > vendor.asked[RANGE][0]["start"]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_body_that_ends_early_without_a_fault_is_not_taken_for_whole(api: HistoricalApi, vendor: Vendor, whole: bytes) -> None:
    vendor.answers[RANGE] = [send(whole[:-20]), send(whole)]
    (path,) = api.fetch("FLW", MONDAY)
    assert read_records([path]).height > 15_000
    assert len(vendor.asked[RANGE]) == 2


def test_what_arrived_is_kept_for_the_next_run(desk: Desk, vendor: Vendor, whole: bytes) -> None:
    vendor.answers[RANGE] = [send(whole[: len(whole) // 2], len(whole)), send(b"", 100)]
    with pytest.raises(TicksError, match="broke off 5 times without a new record; run it again"):
        HistoricalApi(desk, desk.source, sleep=lambda _: None).fetch("FLW", MONDAY)
    vendor.answers[RANGE], before = [send(whole)], len(vendor.asked[RANGE])
    (path,) = HistoricalApi(desk, desk.source, sleep=lambda _: None).fetch("FLW", MONDAY)
    assert path.exists()
    assert vendor.asked[RANGE][before]["start"] > vendor.asked[RANGE][0]["start"]


def test_without_a_key_the_variable_is_named(api: HistoricalApi, vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE)
    with pytest.raises(TicksError, match=KEY_VARIABLE):
        api.fetch("FLW", MONDAY)
    assert not vendor.asked
