"""Where a session's vendor files come from: one protocol, three sources (the API's is in historical.py)."""

import datetime as dt
import hashlib
import os
import stat
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final, Protocol

import databento_dbn as dbn

from assets.calendar import Calendar
from assets.desk import NS, PRICE_UNIT, DatabentoSource, DbnFolderSource, Desk, SimulatedSource
from assets.hours import Window
from assets.provenance import remembered_sha
from assets.ticks import exchange
from assets.ticks.condition import CONDITION_FILE, hold
from assets.ticks.dbn import SCHEMAS, TicksError, read_metadata, uncovered, write_mbo
from assets.ticks.exchange import Course, Instrument, Simulated, courses, simulate
from assets.ticks.historical import HistoricalApi
from assets.ticks.reference import Definition, find_definition, read_halts

_DAY_NS: Final = 86_400 * NS


class Source(Protocol):
    """Makes or finds the vendor files of a session."""

    def fetch(self, market: str, session: dt.date) -> list[Path]:
        """Files that together hold the session, in order; none on a holiday.

        Raises:
            TicksError: there is no such market, or no file for the session.
        """
        ...

    def halts(self, market: str, session: dt.date) -> list[tuple[int, int]]:
        """Stretches of the session without continuous trading, (begin, end) in UTC nanoseconds; none where nobody says."""
        ...

    def files(self, market: str, session: dt.date) -> list[Path] | None:
        """Every file that the session's records, halts and definitions come from; None where they are not there (any more)."""
        ...

    def lacks(self, market: str, session: dt.date) -> list[str]:
        """What part of the session's hours the files do not say to hold, in sentences; none on a holiday."""
        ...


def vendor_files(desk: Desk, market: str, session: dt.date) -> dict[str, str] | None:
    """What a session is made from outside the lake: fingerprints of the vendor's files by name; None where they are not there.

    With them the moment since which their records are the session's, which the hours of the session before decide. Nothing for the
    simulated exchange, whose records follow from the desk.
    """
    try:
        files = open_source(desk).files(market, session)
    except TicksError:  # a file that cannot be read is told of by the session that is made from it
        return None
    if files is None:
        return None
    told = dict[str, str]()
    for path in files:
        copies = sum(name.rsplit(" #")[0] == path.name for name in told)  # two downloads call their files alike
        told[f"{path.name} #{copies + 1}" if copies else path.name] = remembered_sha(path, desk.home)
    span = Calendar(desk).span(market, session)
    return told | {"records since": str(span.open_ns)} if told and span else told


def open_source(desk: Desk) -> Source:
    """The source that the desk names."""
    if isinstance(desk.source, DbnFolderSource):
        return DbnFolder(desk, desk.source)
    if isinstance(desk.source, DatabentoSource):
        return HistoricalApi(desk, desk.source)
    return SimulatedExchange(desk, desk.source)


class SimulatedExchange:
    """Trades a session of all the desk's markets at once and keeps the capture as vendor files.

    Whoever comes first writes the files of every market. The file's dataset code carries a fingerprint
    of all that the records depend on, so a file of another seed, hours or model is never taken for it;
    two processes that write the same file write the same bytes.
    """

    def __init__(self, desk: Desk, source: SimulatedSource) -> None:
        self._desk = desk
        self._source = source
        self._calendar = Calendar(desk)

    def path(self, market: str, session: dt.date) -> Path:
        """Where the vendor file of a session is kept."""
        return self._desk.home / "vendor" / market / f"{session}.mbo.dbn.zst"

    def fetch(self, market: str, session: dt.date) -> list[Path]:
        """See `Source`."""
        _known(self._desk, market)
        window = self._calendar.window(self._desk.traded, session)
        if window is None or self._calendar.window(market, session) is None:
            return []
        path, dataset = self.path(market, session), self._dataset(window)
        if not path.is_file() or _dataset_of(path) != dataset:
            for number, (name, simulated) in enumerate(self.simulate(session).items(), start=1):
                write_mbo(
                    self.path(name, session),
                    simulated.records,
                    dataset=dataset,
                    symbol=self._desk.markets[name].symbol,
                    instrument_id=number,
                    start_ns=window.open_ns,
                    end_ns=window.close_ns,
                )
        return [path]

    def halts(self, market: str, session: dt.date) -> list[tuple[int, int]]:
        """See `Source`: the simulated exchange never halts."""
        return []

    def files(self, market: str, session: dt.date) -> list[Path] | None:
        """See `Source`: what it keeps are copies of what follows from the desk."""
        return []

    def lacks(self, market: str, session: dt.date) -> list[str]:
        """See `Source`: a leader has what the traded market's hours bring."""
        return []

    def simulate(self, session: dt.date) -> dict[str, Simulated]:
        """Each market's records of a session, and the truth behind them; empty on a holiday.

        Every market keeps the traded market's hours. The traded market, number 1, follows; its leaders do not.
        """
        window = self._calendar.window(self._desk.traded, session)
        if window is None:
            return {}
        sessions = simulate(self._source.seed, session, self._instruments(), **self._settings(window))
        return dict(zip(self._desk.all_markets, sessions, strict=True))

    def course(self, session: dt.date, window: Window) -> Course:
        """The traded market's session of these hours, as far as chance has settled it before anybody trades."""
        return courses(self._source.seed, session, self._instruments()[:1], **self._settings(window))[0]

    def _instruments(self) -> list[Instrument]:
        ticks = [self._desk.markets[name].tick for name in self._desk.all_markets]
        return [Instrument(number, tick, follows=number == 1) for number, tick in enumerate(ticks, start=1)]

    def _settings(self, window: Window) -> dict[str, Any]:
        if len(window.continuous) > 1:
            raise TicksError(f"the simulated exchange has no breaks: give {self._desk.traded} hours of one opening and one close")
        flow = {"events": self._source.events_per_session, "alpha": self._source.alpha, "back": self._source.back}
        return {"open_ns": window.open_ns, "close_ns": window.close_ns, **flow}

    def _dataset(self, window: Window) -> str:
        ticks = {name: (self._desk.markets[name].symbol, self._desk.markets[name].tick) for name in self._desk.all_markets}
        hours = (window.open_ns % _DAY_NS, window.close_ns - window.open_ns)
        described = repr((_model(), self._source.model_dump(), ticks, hours))
        return f"SIM.{hashlib.sha256(described.encode()).hexdigest()[:11].upper()}"


class NoFileError(TicksError):
    """No file of a folder covers a session: it may still come."""


def dbn_files(folder: Path) -> tuple[dict[Path, os.stat_result], dict[Path, str]]:
    """The files that a folder source reads, by name, and a sentence for whatever has such a name and is no file."""
    files: dict[Path, os.stat_result] = {}
    faults: dict[Path, str] = {}
    for path in sorted([*folder.rglob("*.dbn"), *folder.rglob("*.dbn.zst")]):
        try:
            state = path.stat()
        except OSError as error:
            faults[path] = f"{path} cannot be read ({error.strerror}): mend or remove it"
            continue
        if stat.S_ISREG(state.st_mode):
            files[path] = state
        else:
            faults[path] = f"{path} is no file: rename it, or move it out of {folder}"
    return files, faults


class DbnFolder:
    """Finds a session's files in a folder by what their headers say: schema, symbol and range.

    A file of schema `definition` there must agree with the desk; one of schema `status` tells when trading was halted.
    """

    def __init__(self, desk: Desk, source: DbnFolderSource) -> None:
        self._desk = desk
        self._source = source
        self._calendar = Calendar(desk)
        self.faults: dict[Path, str] = {}
        """What was passed over in the folder because its header could not be read, with the sentence."""

    def fetch(self, market: str, session: dt.date) -> list[Path]:
        """See `Source`."""
        _known(self._desk, market)
        window = self._calendar.window(market, session)
        if window is None:
            return []
        folder, symbol = self._source.folder, self._desk.markets[market].symbol
        if not folder.is_dir():
            raise TicksError(f"no folder at {folder}: set source.folder in the desk file to the folder that holds the DBN files")
        within = self._files(symbol, window)
        self._hold_against_definitions(within.get("definition", []), market, session, window)
        if not any(within.get(schema) for schema in SCHEMAS):
            remedy = "add it, or change the desk's dates or the market's symbol"
            passed = f"; passed over were: {'; '.join(self.faults.values())}" if self.faults else ""
            raise NoFileError(f"no DBN file in {folder} covers {market} ({symbol}) on {session}: {remedy}{passed}")
        found = self._recorded(market, session)
        hold(f"{market} on {session}", found, window, allow_degraded=self._source.allow_degraded)
        return found

    def lacks(self, market: str, session: dt.date) -> list[str]:
        """See `Source`."""
        window = self._calendar.window(market, session)
        if window is None:
            return []
        missing = uncovered(self._recorded(market, session), self._desk.markets[market].symbol, window.open_ns, window.close_ns)
        return [missing] if missing else []

    def _recorded(self, market: str, session: dt.date) -> list[Path]:
        """The files that the session's records are in; of market by order those of the begin's whole UTC day, where a snapshot is."""
        span = self._calendar.span(market, session)
        if span is None:
            return []
        symbol = self._desk.markets[market].symbol
        early = self._files(symbol, Window(span.open_ns - span.open_ns % _DAY_NS, span.close_ns))
        own = self._files(symbol, span)
        return [path for schema in SCHEMAS for path in (early if schema == "mbo" else own).get(schema, [])]

    def halts(self, market: str, session: dt.date) -> list[tuple[int, int]]:
        """See `Source`."""
        window, symbol = self._calendar.window(market, session), self._desk.markets[market].symbol
        files = self._files(symbol, window).get("status", []) if window else []
        return sorted(halt for path in files for halt in read_halts(path, symbol))

    def files(self, market: str, session: dt.date) -> list[Path] | None:
        """See `Source`."""
        window = self._calendar.window(market, session)
        if window is None:
            return []
        within = self._files(self._desk.markets[market].symbol, window) if self._source.folder.is_dir() else {}
        if not any(schema in within for schema in SCHEMAS):
            return None
        found = [*self._recorded(market, session), *(path for paths in within.values() for path in paths)]
        conditions = [listed for path in found if (listed := path.with_name(CONDITION_FILE)).is_file()]
        return list(dict.fromkeys([*found, *conditions]))

    def _hold_against_definitions(self, files: list[Path], market: str, session: dt.date, window: Window) -> None:
        configured = self._desk.markets[market]
        for path in files:
            state = path.stat()
            definition = _definition(path, configured.symbol, state.st_mtime_ns, state.st_size)
            if definition is None:  # a continuous or parent symbol names no single contract
                continue
            if definition.tick is not None and definition.tick != configured.tick:
                told = f"{definition.tick / PRICE_UNIT:g}, the desk file {configured.tick_size}"
                raise TicksError(f"{path} gives {configured.symbol} a tick of {told}: correct tick_size of {market}")
            if definition.currency not in (None, configured.currency):
                told = f"{definition.currency}, the desk file {configured.currency}"
                raise TicksError(f"{path} quotes {configured.symbol} in {told}: set currency = {definition.currency!r} of {market}")
            if definition.expires_ns is not None and definition.expires_ns < window.open_ns:
                remedy = f"change the symbol of {market} or the desk's dates"
                raise TicksError(f"{path}: {configured.symbol} has expired before {session}: {remedy}")

    def _files(self, symbol: str, window: Window) -> dict[str, list[Path]]:
        """Files that hold the symbol within the window, by schema, in the order of their ranges."""
        found: dict[str, list[tuple[int, Path]]] = {}
        files, self.faults = dbn_files(self._source.folder)
        for path, state in files.items():
            try:
                header = _header(path, state.st_mtime_ns, state.st_size)
            except TicksError as error:
                self.faults[path] = str(error)
                continue
            end = header.end or dbn.UNDEF_TIMESTAMP
            if (
                symbol in header.mappings
                and header.start < window.close_ns
                and end > window.open_ns
                and self._source.dataset in (None, header.dataset)
            ):
                found.setdefault(str(header.schema), []).append((header.start, path))
        return {schema: [path for _, path in sorted(files)] for schema, files in found.items()}


@cache
def _model() -> str:
    """Fingerprint of the exchange's own sources: files of another version of the model are made anew, not read."""
    sources = sorted(Path(exchange.__file__).parent.glob("*.py"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()


def _known(desk: Desk, market: str) -> None:
    if market not in desk.all_markets:
        raise TicksError(f"unknown market {market}: the desk has {', '.join(desk.all_markets)}")


def _dataset_of(path: Path) -> str | None:
    try:
        return read_metadata(path).dataset
    except TicksError:
        return None


@lru_cache(maxsize=256)
def _definition(path: Path, symbol: str, _mtime_ns: int, _size: int) -> Definition | None:
    return find_definition(path, symbol)


@lru_cache(maxsize=4096)
def _header(path: Path, _mtime_ns: int, _size: int) -> dbn.Metadata:
    # A year of daily files is asked for once a session; only a changed file is read again.
    return read_metadata(path)
