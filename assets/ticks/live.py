"""The recorder: a session from Databento's live gateway into the landing folder, as a DBN file with its mappings.

Records are appended to a hidden file, `.NAME.partial`, as they arrive; only a whole session is given its name, so the
landing sensor and `DbnFolder` never see half of one. The header is written last: what instrument a symbol means is known
once the gateway has said so. One recorder at a time works on a session in a folder.

Where the connection was lost the recorder connects again. What was missed is not in the file, so the first record of each
instrument after it is marked F_MAYBE_BAD_BOOK, DBN's own flag for lost messages: `book_quality` counts the gap, and the book
is trusted again from there on. Market by order begins each connection with a snapshot, which replaces the book. A recorder
that was stopped goes on with its partial file in the same way.
"""

import datetime as dt
import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import databento_dbn as dbn
import zstandard

from assets.calendar import Calendar
from assets.desk import KEY_VARIABLE, NS, DbnFolderSource, Desk
from assets.ticks.dbn import SCHEMAS, TicksError, header_of, layout_of

_ONE_AT_A_TIME: Final = ("raw_symbol", "continuous")
"""What symbols can be; a parent means many instruments, which have a book each."""

_LONGEST_WAIT: Final = 30.0
"""Seconds between two attempts to connect; the first waits one, each further one twice as long."""

_TRIES: Final = 5
"""Connections in a row on which a gateway does not keep to its protocol before it is given up."""

_GRACE_NS: Final = 5 * NS
"""After a session's close: records captured before it may still be under way."""

_MAPPED_SECONDS: Final = 5.0
"""After a subscription: what each symbol means has been said by then."""

_STEADY_SECONDS: Final = 60.0
"""A connection that lasts as long is no failed one, however it ends."""

_FURTHEST: Final = 14
"""Days ahead in which a next session is looked for; no exchange is closed for as long."""

_PIECE: Final = 1 << 20

_MAYBE_BAD_BOOK: Final = 4
"""DBN's F_MAYBE_BAD_BOOK; the floors above have their own names for a record's flags."""


def current_session(desk: Desk, now_ns: int) -> dt.date:
    """The traded market's session that is open, else the next to open: on Monday at 22:30 UTC the futures trade Tuesday's.

    Raises:
        TicksError: none opens within the next two weeks.
    """
    calendar, today = Calendar(desk), dt.datetime.fromtimestamp(now_ns // NS, dt.UTC).date()
    for days in range(-1, _FURTHEST):
        day = today + dt.timedelta(days=days)
        window = calendar.window(desk.traded, day)
        if window is not None and window.close_ns > now_ns:
            return day
    raise TicksError(f"{desk.traded} has no session in the {_FURTHEST} days from {today}: name another with --session")


class Recorder:
    """Records one session of all the desk's markets.

    Args:
        desk: with a source of kind dbn_folder, whose folder the session lands in and whose dataset is subscribed to.
        session: to record, until the traded market's close.
        schema: mbo, mbp-10, mbp-1, tbbo or trades.
        stype_in: what the markets' symbols are: raw_symbol or continuous.
        gateway: host and port of another gateway; None: the vendor's.
        clock: UTC nanoseconds.
        pause: waits that many seconds.
        tell: hears, a sentence each, what goes wrong and does not end the recording.

    Raises:
        TicksError: the desk reads no folder, has no dataset, or has no session on that day; there is no key.
    """

    def __init__(
        self,
        desk: Desk,
        session: dt.date,
        *,
        schema: str = "mbo",
        stype_in: str = "raw_symbol",
        gateway: tuple[str, int] | None = None,
        clock: Callable[[], int] = time.time_ns,
        pause: Callable[[float], None] = time.sleep,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        source, window = desk.source, Calendar(desk).window(desk.traded, session)
        if not isinstance(source, DbnFolderSource) or source.dataset is None:
            raise TicksError("recording needs a source of kind dbn_folder with a dataset: set both in the desk file's [source]")
        if window is None:
            raise TicksError(f"{desk.traded} has no session on {session}: name another with --session")
        if schema not in SCHEMAS:
            raise TicksError(f"no book can be made from schema {schema!r}: use one of {', '.join(SCHEMAS)}")
        if stype_in not in _ONE_AT_A_TIME:
            raise TicksError(f"a {stype_in} symbol is not one instrument at a time: use one of {', '.join(_ONE_AT_A_TIME)}")
        self._key = os.environ.get(KEY_VARIABLE, "").strip()
        if not self._key:
            raise TicksError(f"no key for the live gateway: put it in the environment variable {KEY_VARIABLE}")
        self.path = source.folder / f"{session}.{schema}.dbn.zst"
        self.partial = self.path.with_name(f".{self.path.name}.partial")
        self._dataset, self._schema, self._stype_in, self._gateway = source.dataset, schema, stype_in, gateway
        self._symbols = {desk.markets[name].symbol: name for name in desk.all_markets}
        self._session, self._window, self._clock, self._pause, self._tell = session, window, clock, pause, tell
        self._layout = layout_of(schema)
        self._rtype = int(dbn.RType.from_schema(dbn.Schema.from_str(schema)))
        self._flags = self._layout.fields["flags"][1]  # type: ignore[index]
        self._symbols_seen = self.partial.with_suffix(".symbols")
        self._mapped: set[str] = set()
        self._since: float | None = None
        self._said: set[str] = set()
        self.gaps = 0
        """Breaks of the stream: connections that were lost, records that the gateway left out."""

    def run(self) -> Path:
        """Record until the session's close, then land it; returns the file.

        Raises:
            TicksError: the gateway refuses the key or the subscription, cannot be reached at first, or the disk refuses a write.
        """
        try:
            self.partial.parent.mkdir(parents=True, exist_ok=True)
            with self._alone():
                with self.partial.open("ab", buffering=_PIECE) as file:
                    file.truncate(file.tell() // self._layout.itemsize * self._layout.itemsize)  # a killed recorder may leave half a record
                    self._record(file)
                self._land()
        except OSError as error:
            raise TicksError(
                f"{self.partial} could not be written: {error.strerror or error}; make room there, then run it again"
            ) from error
        return self.path

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """This session's only recorder in the folder; the system frees the lock of one that was killed."""
        lock = self.path.with_name(f".{self._session}.recording")
        while True:
            with lock.open("a+") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    file.seek(0)
                    owner = file.read().strip() or "another process"
                    raise TicksError(
                        f"{self._session} is being recorded into {lock.parent} by {owner}: stop that one first, "
                        "or give this desk a source.folder of its own"
                    ) from None
                if not lock.exists() or lock.stat().st_ino != os.fstat(file.fileno()).st_ino:
                    continue  # whoever held it has just ended and removed it
                file.truncate(0)
                file.write(f"process {os.getpid()} on {socket.gethostname()}")
                file.flush()
                try:
                    landed = [path for schema in SCHEMAS if (path := lock.with_name(f"{self._session}.{schema}.dbn.zst")).exists()]
                    if landed:
                        raise TicksError(f"{landed[0]} is there already: move it away to record the session again")
                    yield
                    return
                finally:
                    lock.unlink(missing_ok=True)

    def _record(self, file: Any) -> None:
        from assets.ticks.gateway import Gateway, GatewayError, LostError

        gateway = Gateway(self._gateway, self._key, self._dataset, self._schema, list(self._symbols), self._stype_in)
        wait, failed = 0.5, 0
        while not self._over():
            before, began, kept = file.tell(), time.monotonic(), True
            take = self._taker(file, after_gap=before > 0)
            told = "the live gateway closed the connection"
            try:
                gateway.listen(take, self._beat, file.flush)
            except LostError as error:
                if file.tell() == 0:
                    raise
                told = str(error)
            except GatewayError as error:
                told, kept = str(error), time.monotonic() > began + _STEADY_SECONDS
            finally:
                file.flush()
            failed = 0 if kept else failed + 1
            if failed == _TRIES:
                left = (
                    f"what was recorded is in {self.partial}, and the same command goes on with it"
                    if file.tell()
                    else "nothing was recorded"
                )
                raise TicksError(f"{told}; given up after {_TRIES} tries, {left}")
            if not self._over():
                wait = 1.0 if kept and file.tell() > before else min(2 * wait, _LONGEST_WAIT)
                self._tell(f"{told}; connecting again in {wait:.0f} s")
                self._pause(wait)

    def _over(self) -> bool:
        return self._clock() >= self._window.close_ns + _GRACE_NS

    def _beat(self) -> bool:
        """Whether the session is over; meanwhile whether each symbol has been given its meaning."""
        self._since = self._since or time.monotonic()
        if time.monotonic() > self._since + _MAPPED_SECONDS:
            self._tell_unmapped()
        return self._over()

    def _taker(self, file: Any, *, after_gap: bool) -> Callable[[Any], None]:
        """What one connection's records are handed to."""
        marked: set[int] | None = set() if after_gap else None
        counted = False

        def take(record: Any) -> None:
            nonlocal marked, counted
            if isinstance(record, dbn.SymbolMappingMsg):
                self._mapped.add(record.stype_in_symbol)
                with self._symbols_seen.open("a") as symbols:
                    symbols.write(f"{record.stype_in_symbol} {record.instrument_id}\n")
            elif isinstance(record, dbn.ErrorMsg) and record.code == dbn.ErrorCode.SKIPPED_RECORDS_AFTER_SLOW_READING:
                marked, counted = set(), False
                self._say("the live gateway left records out, because this machine reads too slowly: the gap is marked")
            elif int(record.rtype) == self._rtype and self._belongs(record):
                content = bytearray(bytes(record))
                if marked is not None and record.instrument_id not in marked:
                    content[self._flags] |= _MAYBE_BAD_BOOK
                    marked.add(record.instrument_id)
                    self.gaps, counted = self.gaps + (not counted), True
                file.write(content)

        return take

    def _belongs(self, record: Any) -> bool:
        """Whether a record was captured before the session's close; it is the clock that ends the session, no record does."""
        if record.ts_recv == dbn.UNDEF_TIMESTAMP:
            self._say(f"instrument {record.instrument_id} sends records without a receive time: they are kept as they came")
            return True
        if record.ts_recv >= self._window.close_ns:
            if self._clock() < self._window.close_ns:
                self._say(f"instrument {record.instrument_id} sends records from after the session's close: they are left out")
            return False
        return True

    def _tell_unmapped(self) -> None:
        for symbol in self._symbols.keys() - self._mapped:
            self._say(
                f"the live gateway maps no instrument to {symbol} ({self._stype_in}), so nothing of it is recorded: "
                f"check markets.{self._symbols[symbol]}.symbol in the desk file, and --stype-in"
            )

    def _say(self, sentence: str) -> None:
        """Tell a sentence once a recording."""
        if sentence not in self._said:
            self._said.add(sentence)
            self._tell(sentence)

    def _land(self) -> None:
        """Header and records to a file of their own name, compressed, at once."""
        if self.partial.stat().st_size == 0:
            self._tidy()
            raise TicksError(f"nothing arrived before the session's close: check the symbols {', '.join(self._symbols)} and the calendar")
        instruments = self._instruments()
        self._mapped.update(instruments)
        self._tell_unmapped()
        if not instruments:
            raise TicksError(
                f"the live gateway said of none of {', '.join(self._symbols)} which instrument it is: the records stay in {self.partial}; "
                "check the markets' symbols in the desk file, and --stype-in"
            )
        header = header_of(
            dataset=self._dataset,
            schema=self._schema,
            instruments=instruments,
            start_ns=self._window.open_ns,
            end_ns=self._window.close_ns,
        )
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        with self.partial.open("rb") as records, temporary.open("wb") as file:
            compressor = zstandard.ZstdCompressor(write_checksum=True)
            with compressor.stream_writer(file) as landed:
                landed.write(header)
                while piece := records.read(_PIECE):
                    landed.write(piece)
        temporary.replace(self.path)
        self._tidy()

    def _tidy(self) -> None:
        self.partial.unlink()
        self._symbols_seen.unlink(missing_ok=True)

    def _instruments(self) -> dict[str, list[int]]:
        """What the gateway said that each symbol means, in the order of its saying, in this run or one before it; without those that
        it did not map."""
        lines = self._symbols_seen.read_text().splitlines() if self._symbols_seen.exists() else []
        told = [line.rsplit(" ", 1) for line in lines]
        found = {symbol: list(dict.fromkeys(int(number) for name, number in told if name == symbol)) for symbol in self._symbols}
        return {symbol: numbers for symbol, numbers in found.items() if numbers}
