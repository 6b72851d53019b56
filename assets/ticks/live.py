"""The recorder: a session from Databento's live gateway into the landing folder, as a DBN file with its mappings.

Records are appended to a hidden file, `.NAME.partial`, as they arrive; only a whole session is given its name, so the
landing sensor and `DbnFolder` never see half of one. The header is written last: what instrument a symbol means is known
once the gateway has said so.

Where the connection was lost the recorder connects again. What was missed is not in the file, so the first record after it
is marked F_MAYBE_BAD_BOOK, DBN's own flag for lost messages: `book_quality` counts the gap, and the book is trusted again
from there on. Market by order begins each connection with a snapshot, which replaces the book. A recorder that was stopped
goes on with its partial file in the same way.
"""

import datetime as dt
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import databento_dbn as dbn
import zstandard

from assets.calendar import Calendar
from assets.desk import KEY_VARIABLE, DbnFolderSource, Desk
from assets.ticks.dbn import SCHEMAS, TicksError, header_of, layout_of

_LONGEST_WAIT: Final = 30.0
"""Seconds between two attempts to connect; the first waits one, each further one twice as long."""

_GRACE_NS: Final = 5 * 10**9
"""After a session's close: records captured before it may still be under way."""

_PIECE: Final = 1 << 20

_MAYBE_BAD_BOOK: Final = 4
"""DBN's F_MAYBE_BAD_BOOK; the floors above have their own names for a record's flags."""


class _LostError(TicksError):
    """The gateway is not to be reached, or no more."""


class Recorder:
    """Records one session of all the desk's markets.

    Args:
        desk: with a source of kind dbn_folder, whose folder the session lands in and whose dataset is subscribed to.
        session: to record, until the traded market's close.
        schema: mbo, mbp-10, mbp-1, tbbo or trades.
        stype_in: what the markets' symbols are: raw_symbol, continuous or parent.
        gateway: host and port of another gateway; None: the vendor's.
        clock: UTC nanoseconds.
        pause: waits that many seconds.

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
    ) -> None:
        source, window = desk.source, Calendar(desk).window(desk.traded, session)
        if not isinstance(source, DbnFolderSource) or source.dataset is None:
            raise TicksError("recording needs a source of kind dbn_folder with a dataset: set both in the desk file's [source]")
        if window is None:
            raise TicksError(f"{desk.traded} has no session on {session}: name another with --session")
        if schema not in SCHEMAS:
            raise TicksError(f"no book can be made from schema {schema!r}: use one of {', '.join(SCHEMAS)}")
        self._key = os.environ.get(KEY_VARIABLE, "").strip()
        if not self._key:
            raise TicksError(f"no key for the live gateway: put it in the environment variable {KEY_VARIABLE}")
        self.path = source.folder / f"{session}.{schema}.dbn.zst"
        self.partial = self.path.with_name(f".{self.path.name}.partial")
        self._dataset, self._schema, self._stype_in, self._gateway = source.dataset, schema, stype_in, gateway
        self._symbols = [desk.markets[name].symbol for name in desk.all_markets]
        self._window, self._clock, self._pause = window, clock, pause
        self._layout = layout_of(schema)
        self._rtype = int(dbn.RType.from_schema(dbn.Schema.from_str(schema)))
        self._flags = self._layout.fields["flags"][1]  # type: ignore[index]
        self._symbols_seen = self.partial.with_suffix(".symbols")
        self._over = threading.Event()
        self._fault: Exception | None = None
        self.gaps = 0
        """Connections that were lost."""

    def run(self) -> Path:
        """Record until the session's close, then land it; returns the file.

        Raises:
            TicksError: the gateway refuses the key or the subscription, cannot be reached at first, or the disk refuses a write.
        """
        if self.path.exists():
            raise TicksError(f"{self.path} is there already: move it away to record the session again")
        try:
            self.partial.parent.mkdir(parents=True, exist_ok=True)
            with self.partial.open("ab", buffering=_PIECE) as file:
                file.truncate(file.tell() // self._layout.itemsize * self._layout.itemsize)  # a killed recorder may leave half a record
                self._record(file)
            self._land()
        except OSError as error:
            raise TicksError(
                f"{self.partial} could not be written: {error.strerror or error}; make room there, then run it again"
            ) from error
        return self.path

    def _record(self, file: Any) -> None:
        wait = 1.0
        while self._clock() < self._window.close_ns + _GRACE_NS and not self._over.is_set():
            before = file.tell()
            try:
                self._connection(file, after_gap=before > 0)
            except _LostError:
                if before == 0:
                    raise
            if self._fault is not None:
                raise self._fault
            if not self._over.is_set():
                wait = 1.0 if file.tell() > before else min(2 * wait, _LONGEST_WAIT)
                self._pause(wait)

    def _connection(self, file: Any, *, after_gap: bool) -> None:
        """One connection, from its subscription until it ends or the session does."""
        from databento import BentoError, Live

        where = {} if self._gateway is None else {"gateway": self._gateway[0], "port": self._gateway[1]}
        client = Live(self._key, **where)
        marking = after_gap

        def take(record: Any) -> None:
            nonlocal marking
            try:
                if isinstance(record, dbn.SymbolMappingMsg):
                    with self._symbols_seen.open("a") as symbols:
                        symbols.write(f"{record.stype_in_symbol} {record.instrument_id}\n")
                elif int(record.rtype) == self._rtype and not self._over.is_set():
                    if record.ts_recv >= self._window.close_ns:
                        self._over.set()
                        return
                    content = bytearray(bytes(record))
                    if marking:
                        content[self._flags] |= _MAYBE_BAD_BOOK
                        self.gaps += 1
                        marking = False
                    file.write(content)
            except Exception as error:  # whatever it is: the client would only log it and drop the record
                self._fault = error
                self._over.set()

        asked, remedy = self._dataset, f"check {KEY_VARIABLE} and the licence"
        try:
            client.add_callback(take)
            client.subscribe(self._dataset, self._schema, self._symbols, self._stype_in, snapshot=self._schema == "mbo")
            client.start()
            asked = f"{self._schema} of {', '.join(self._symbols)} ({self._stype_in}) in {self._dataset}"
            remedy = "check the markets' symbols in the desk file"
            while client.is_connected() and not self._over.wait(0.05):
                if self._clock() >= self._window.close_ns + _GRACE_NS:
                    self._over.set()
            client.stop()
            client.block_for_close(timeout=5)
        except BentoError as error:
            told = str(error).replace(self._key, "***").strip() or "connection lost"
            if "onnect" in told or "time" in told:
                raise _LostError(f"the live gateway of {self._dataset} cannot be reached: {told}; check the network") from None
            raise TicksError(f"the live gateway refused {asked}: {told}; {remedy}") from None
        finally:
            file.flush()

    def _land(self) -> None:
        """Header and records to a file of their own name, compressed, at once."""
        if self.partial.stat().st_size == 0:
            self._tidy()
            raise TicksError(f"nothing arrived before the session's close: check the symbols {', '.join(self._symbols)} and the calendar")
        header = header_of(
            dataset=self._dataset,
            schema=self._schema,
            instruments=self._instruments(),
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
        """What the gateway said that each symbol means, in this run or one before it."""
        told = [line.rsplit(" ", 1) for line in self._symbols_seen.read_text().splitlines()]
        return {symbol: sorted({int(number) for name, number in told if name == symbol}) for symbol in self._symbols}
