"""A session from Databento's historical API: priced before it is asked for, streamed to disk, resumed where it broke off.

What arrived in one piece stays the vendor's file, byte for byte. A download that broke off is resumed at the
capture time of its last whole record; its pieces are then joined to one file of the vendor's own records.
"""

import datetime as dt
import errno
import glob
import logging
import os
import re
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final

import databento_dbn as dbn
import numpy as np
import zstandard

from assets.calendar import Calendar
from assets.desk import KEY_VARIABLE, NS, DatabentoSource, Desk, masked
from assets.ticks.condition import days_of, refuse
from assets.ticks.dbn import TicksError, _open, _parts, read_metadata

_DAY_NS: Final = 86_400 * NS

_TRIES: Final = 5
"""Times that a request is made without a new record before it is given up."""

_LONGEST_WAIT: Final = 60.0
"""Seconds; a server that asks for longer is asked again in another run."""

_NO_ROOM: Final = tuple(os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES))
"""What the system says of a place that takes no file; the library hands on the words alone."""

_LONGEST_QUOTE: Final = 300
"""Characters of a server's own words that a message quotes."""

_REMEDIES: Final = {
    401: f"check the key in {KEY_VARIABLE}",
    402: "the account has no credit or subscription for it; see the vendor's portal",
    403: "the account has no licence for it; see the vendor's portal",
    404: "check source.dataset in the desk file",
    422: "check source.dataset, record_schema, stype_in and the market's symbol and dates in the desk file",
}

_ELSE: Final = "check source.gateway in the desk file, or ask again later"


@dataclass(frozen=True)
class _Request:
    """What is asked for, as the API's parameters; times are UTC nanoseconds, the end exclusive."""

    about: str
    dataset: str
    schema: str
    symbol: str
    stype_in: str
    start: int
    end: int

    def parameters(self, start: int | None = None) -> dict[str, Any]:
        return {
            "dataset": self.dataset,
            "schema": self.schema,
            "symbols": self.symbol,
            "stype_in": self.stype_in,
            "start": self.start if start is None else start,
            "end": self.end,
        }


class HistoricalApi:
    """Fetches what is missing, within the desk's budget, and keeps it under `<home>/vendor`."""

    def __init__(self, desk: Desk, source: DatabentoSource, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._desk = desk
        self._source = source
        self._calendar = Calendar(desk)
        self._sleep = sleep

    def path(self, market: str, session: dt.date) -> Path:
        """Where the vendor file of a session is kept."""
        source, symbol = self._source, self._desk.markets[market].symbol
        return self._desk.home / "vendor" / market / f"{session}.{source.dataset}.{symbol}.{source.record_schema}.dbn.zst"

    def halts(self, market: str, session: dt.date) -> list[tuple[int, int]]:
        """See `Source`: status costs a request of its own, which nobody asked for."""
        return []

    def files(self, market: str, session: dt.date) -> list[Path] | None:
        """See `Source`."""
        if self._calendar.window(market, session) is None:
            return []
        path = self.path(market, session)
        return [path] if path.exists() else None

    def lacks(self, market: str, session: dt.date) -> list[str]:
        """See `Source`: what was asked for is all there, or `fetch` fails."""
        return []

    def fetch(self, market: str, session: dt.date) -> list[Path]:
        """See `Source`; further errors: no key, above the budget, a day the vendor has not or not whole, a request refused."""
        if market not in self._desk.all_markets:
            raise TicksError(f"unknown market {market}: the desk has {', '.join(self._desk.all_markets)}")
        window = self._calendar.window(market, session)
        if window is None:
            return []
        path, schema = self.path(market, session), self._source.record_schema
        # A day of market by order begins with a snapshot at midnight UTC, without which the book must be guessed.
        start = window.open_ns - window.open_ns % _DAY_NS if schema == "mbo" else window.open_ns
        about, symbol = f"{market} on {session}", self._desk.markets[market].symbol
        request = _Request(about, self._source.dataset, schema, symbol, self._source.stype_in, start, window.close_ns)
        if not _holds(path, request):
            client = self._client()
            self._check_condition(client, request)
            self._check_cost(client, request)
            self._download(client, request, path)
        return [path]

    def _client(self) -> Any:
        databento = vendor_library()
        key = os.environ.get(KEY_VARIABLE, "").strip()
        if not key:
            raise TicksError(f"no key for the API: put it in the environment variable {KEY_VARIABLE}")
        gateway = {"gateway": self._source.gateway} if self._source.gateway else {}
        return databento.Historical(key, **gateway)

    def _check_condition(self, client: Any, request: _Request) -> None:
        first, last = _date(request.start), _date(request.end - 1)
        ask = client.metadata.get_dataset_condition
        days = self._ask(request, lambda: ask(dataset=request.dataset, start_date=first, end_date=last))
        try:
            conditions = {str(day["date"]): str(day["condition"]) for day in days}
        except (KeyError, TypeError):
            raise TicksError(f"{request.about}: the API's answer about the day's condition is none: {quoted(days)}; {_ELSE}") from None
        for day in days_of(request.start, request.end):
            condition = conditions.get(day.isoformat(), "missing")
            refuse(request.about, request.dataset, day, quoted(condition), allow_degraded=self._source.allow_degraded)

    def _check_cost(self, client: Any, request: _Request) -> None:
        answer = self._ask(request, lambda: client.metadata.get_cost(**request.parameters()))
        try:
            cost = Decimal(str(answer))
        except ArithmeticError:
            raise TicksError(f"{request.about}: the API's answer about the price is no number: {quoted(answer)}; {_ELSE}") from None
        if cost > self._source.budget_per_session:
            raise TicksError(
                f"{request.about} would cost {cost:.2f} USD and the desk's budget is {self._source.budget_per_session:.2f}: "
                "raise source.budget_per_session in the desk file, or take fewer sessions"
            )

    def _ask(self, request: _Request, call: Callable[[], Any]) -> Any:
        """The answer to a question about a request, asked again while the server is busy or away."""
        for attempt in range(_TRIES):
            fault = _fault(call)
            if not isinstance(fault, Exception):
                return fault
            self._sleep(_wait(request, fault, attempt))
        raise TicksError(f"{request.about}: the API did not answer in {_TRIES} tries; run it again later")

    def _download(self, client: Any, request: _Request, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TicksError(_no_room(request, path, error.strerror)) from error
        attempt = 0
        while attempt < _TRIES:
            parts = sorted(path.parent.glob(f".{glob.escape(path.name)}.part-*"))
            start = _last_capture(parts[-1]) if parts else request.start
            piece = path.with_name(f".{path.name}.part-{len(parts):03d}")
            fault = _fault(partial(client.timeseries.get_range, **request.parameters(start), path=piece))
            if piece.exists() and _is_whole(piece):
                try:
                    _publish([*parts, piece], path)
                except OSError as error:
                    raise TicksError(_no_room(request, path, error.strerror)) from error
                return
            refused = next((words for words in _NO_ROOM if words in str(fault)), None)
            if refused:
                raise TicksError(_no_room(request, path, refused))
            if piece.exists() and _last_capture(piece) > start:
                attempt = 0
            else:
                piece.unlink(missing_ok=True)
            self._sleep(_wait(request, fault, attempt))
            attempt += 1
        raise TicksError(
            f"{request.about}: the download broke off {_TRIES} times without a new record; run it again, it goes on from there"
        )


def vendor_library() -> Any:
    """The vendor's own package, imported late because it brings pandas; its log is off, what it says is told in our sentences."""
    import databento

    logging.getLogger("databento").setLevel(logging.CRITICAL + 1)
    return databento


def quoted(words: object) -> str:
    """A server's own words as part of a sentence: on one line, in printable characters, not longer than a person reads."""
    line = " ".join("".join(character if character.isprintable() else " " for character in str(words)).split())
    return line if len(line) <= _LONGEST_QUOTE else f"{line[:_LONGEST_QUOTE]}..."


def _no_room(request: _Request, path: Path, reason: str | None) -> str:
    return f"{request.about} could not be written to {path.parent}: {reason}; make room there or change home, then run it again"


def _fault(call: Callable[[], Any]) -> Any:
    """What a call returns, or the fault of the network or the server that ended it."""
    import requests

    databento = vendor_library()
    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            answer = call()
        for warning in heard:  # a server's words may come as a warning, too
            warnings.warn(masked(quoted(warning.message)), stacklevel=2)
        return answer
    except (databento.BentoError, requests.RequestException) as error:
        return error.with_traceback(None)  # the traceback would hold the half-written file open
    except (dbn.DBNError, OSError, ValueError) as error:
        # The library opens what it has streamed; a body that ended early may be no DBN file to it.
        return error.with_traceback(None)


def _wait(request: _Request, fault: Any, attempt: int) -> float:
    """Seconds until a request may be made again.

    Raises:
        TicksError: asking again cannot help.
    """
    if "CERTIFICATE_VERIFY_FAILED" in str(fault):
        reason = re.search(r"certificate verify failed: ([^(\]]*)", str(fault))
        raise TicksError(
            f"{request.about}: the API's certificate is not trusted ({reason[1].strip() if reason else 'no reason given'}), "
            "so nothing was asked: name your proxy's authority in REQUESTS_CA_BUNDLE, or correct source.gateway in the desk file"
        )
    status = getattr(fault, "http_status", None)
    if status is not None and status != 429 and status < 500:
        raise TicksError(
            f"{request.about}: the API refused it ({quoted(fault.message or status)}): {_REMEDIES.get(status, 'see its message')}"
        )
    told = (getattr(fault, "headers", None) or {}).get("Retry-After", "")
    wait = float(told) if str(told).isdigit() else 2.0**attempt
    if wait > _LONGEST_WAIT:
        raise TicksError(f"{request.about}: the API asks to wait {wait:.0f} s; run it again then")
    return wait


def _holds(path: Path, request: _Request) -> bool:
    """Whether a file that was kept answers the request."""
    if not path.exists():
        return False
    metadata = read_metadata(path)
    return bool(metadata.start <= request.start and (metadata.end or 0) >= request.end)


def _pieces(path: Path) -> Iterator[np.ndarray]:
    """The whole records of a download, as far as they can be read."""
    try:
        metadata, blocks = _open(path)
        yield from _parts(path, metadata, blocks)
    except TicksError:
        return


def _is_whole(path: Path) -> bool:
    try:
        metadata, blocks = _open(path)
        for _ in _parts(path, metadata, blocks):
            pass
    except TicksError:
        return False
    return True


def _last_capture(path: Path) -> int:
    """Capture time of the last whole record; 0 where there is none."""
    last = 0
    for piece in _pieces(path):
        last = int(piece["ts_recv"][-1])
    return last


def _publish(parts: list[Path], path: Path) -> None:
    """Put the download in its place: the vendor's file as it came, or the records of its pieces joined."""
    if len(parts) > 1:
        joined = path.with_name(f".{path.name}.joined")
        with joined.open("wb") as file, zstandard.ZstdCompressor(write_checksum=True).stream_writer(file) as out:
            out.write(_open(parts[0])[0].encode())
            for part, following in zip(parts, [*parts[1:], None], strict=True):
                # The next piece begins with the capture time at which this one ended, and brings all records of it.
                until = _last_capture(part) if following else None
                for piece in _pieces(part):
                    out.write((piece if until is None else piece[piece["ts_recv"] < until]).tobytes())
        joined.replace(path)
    else:
        parts[0].replace(path)
    for part in parts:
        part.unlink(missing_ok=True)


def _date(ns: int) -> dt.date:
    return dt.datetime.fromtimestamp(ns // NS, dt.UTC).date()
