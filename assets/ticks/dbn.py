"""DBN files, Databento's binary encoding: written as a vendor writes them, read in bounded pieces.

What belongs here: bytes to typed records and back, and every way in which a file can be bad, told in
one sentence. What does not: which file holds a session (source.py) and what its records mean (books).
"""

import datetime as dt
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, Protocol

import databento_dbn as dbn
import numpy as np
import polars as pl
import zstandard

from assets.desk import NS, UserError
from assets.ticks.merge import CLEAR, F_SNAPSHOT, Range, merged, moments
from assets.ticks.schema import MBO_COLUMNS

UNDEFINED: Final = 2**63 - 1
"""DBN's int64 for "no price"."""

_MESSAGES: Final = {
    "mbo": dbn.MBOMsg,
    "mbp-1": dbn.MBP1Msg,
    "mbp-10": dbn.MBP10Msg,
    "tbbo": dbn.MBP1Msg,
    "trades": dbn.TradeMsg,
}
"""Schemas that a book or its trades can be made from; their layout is the same in DBN v1, v2 and v3."""

SCHEMAS: Final = tuple(_MESSAGES)


def layout_of(schema: str) -> np.dtype[np.void]:
    """The bytes of a schema's record, field by field; flags and codes as numbers."""
    return np.dtype([(name, kind.replace("S1", "u1")) for name, kind in _MESSAGES[schema]._dtypes])


_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_LEGACY: Final = b"\x51\x2a\x4d\x18"
_READ: Final = 1 << 20
"""Bytes of the file at a time: large enough to hide the cost of a call, small enough to stay in the cache."""

_FED: Final = 1 << 11
"""Compressed bytes at a time: zstd makes at most 2**15 of one, so no file, whoever made it, fills more than 64 MiB in one step."""

_LONGEST_HEADER: Final = 1 << 24
"""Bytes of the longest header that is read: a hundred thousand symbols, where the desk's files have a few."""

_LEVEL: Final = 3
"""zstd's own default, and the vendor's."""

_EPOCH: Final = dt.date(1970, 1, 1).toordinal()


class TicksError(UserError):
    """A vendor file or a source that cannot be used: names the file, market or session, and the remedy."""


class DamageError(TicksError):
    """The records of a file end at a damaged byte; those before it have been yielded."""


class _Interval(NamedTuple):
    start_date: dt.date
    end_date: dt.date
    symbol: str


def _interval(period: "Period") -> _Interval:
    return _Interval(period[0], period[1], str(period[2]))


class _Mapping(NamedTuple):
    """What databento_dbn's protocols SymbolMapping and MappingInterval ask for; it brings no class of its own."""

    raw_symbol: str
    intervals: list[_Interval]


def write_mbo(path: Path, records: np.ndarray, *, dataset: str, symbol: str, instrument_id: int, start_ns: int, end_ns: int) -> None:
    """Write MBO records as a zstd-compressed DBN file, atomically; the same records give the same bytes.

    Args:
        path: of the file; its folder is made.
        records: of Databento's MBO layout, 56 bytes each, all of one instrument, in the order of capture.
        dataset: at most 15 characters.
        symbol: raw symbol, mapped to `instrument_id` on each UTC date of the range.
        instrument_id: as in the records.
        start_ns: of the range asked for, UTC nanoseconds, inclusive.
        end_ns: exclusive.

    Raises:
        TicksError: the disk refuses the file; what was there before stays.
    """
    header = header_of(dataset=dataset, schema="mbo", instruments={symbol: [instrument_id]}, start_ns=start_ns, end_ns=end_ns)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(compressor.compress(header + records.tobytes()))
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise TicksError(f"{path} could not be written: {reason}; free space or fix permissions, then run it again") from error
    finally:
        temporary.unlink(missing_ok=True)


Period = tuple[dt.date, dt.date, int]
"""UTC dates, the end exclusive, on which a symbol means an instrument."""


def header_of(*, dataset: str, schema: str, instruments: Mapping[str, Sequence[int | Period]], start_ns: int, end_ns: int) -> bytes:
    """A DBN header: what its records are, from when to when, and which instruments each symbol means, on which dates or on all."""
    first, last = _date(start_ns), _date(end_ns - 1) + dt.timedelta(days=1)
    mappings = [
        _Mapping(symbol, [_interval(of if isinstance(of, tuple) else (first, last, of)) for of in meant])
        for symbol, meant in instruments.items()
    ]
    metadata = dbn.Metadata(
        dataset=dataset,
        schema=dbn.Schema.from_str(schema),
        start=start_ns,
        end=end_ns,
        stype_in=dbn.SType.RAW_SYMBOL,
        stype_out=dbn.SType.INSTRUMENT_ID,
        symbols=list(instruments),
        mappings=mappings,
    )
    return bytes(metadata.encode())


def read_metadata(path: Path) -> dbn.Metadata:
    """The header of a DBN file, without its records.

    Raises:
        TicksError: the file is missing, empty, or not DBN.
    """
    return _open(path)[0]


class Opening(Protocol):
    """What stands in an order book, known from the records before a session."""

    def take(self, records: np.ndarray) -> None:
        """Records of the MBO layout, in the order of capture."""
        ...

    def snapshot(self, at_ns: int) -> np.ndarray:
        """The orders that stand, as a vendor's snapshot captured at this time; empty where nothing is known."""
        ...


def read_records(paths: Sequence[Path], **how: Any) -> pl.DataFrame:
    """All records that `stream_records` brings, in one frame; its arguments and errors."""
    return pl.concat(stream_records(paths, **how))


def stream_records(
    paths: Sequence[Path],
    *,
    symbol: str | None = None,
    publisher: int | None = None,
    begin_ns: int | None = None,
    end_ns: int | None = None,
    opening: Opening | None = None,
) -> Iterator[pl.DataFrame]:
    """The records of one instrument at a time and of one venue in the files, in the order of capture, each once, some megabytes at a time.

    Files may overlap or be there twice (`merge.merged`). Reading stops at the end.

    Args:
        paths: DBN files of one schema: mbo, mbp-1, mbp-10, tbbo or trades.
        symbol: as the files' own mappings have it, resolved by date, so that a continuous symbol may change instruments;
            None takes every record, and then the files must hold one instrument only.
        publisher: the venue whose records are taken; None: the only one there is.
        begin_ns: records captured before this are left out, and shown to `opening`.
        end_ns: records captured at or after this are left out.
        opening: of schema mbo: the book at the begin, whose snapshot goes before the first record, unless that begins one.

    Yields:
        One row a record: the columns of `RawTicks`, and for the other schemas their levels in place of order and channel.

    Raises:
        DamageError: once the records before a damaged byte have been yielded; what comes after it would be applied to a wrong book.
        TicksError: a file is missing, empty, of another schema or dataset, without records of the instrument, or of several
            instruments at once or several venues.
    """
    files = sorted((_File(path, *_open(path)) for path in paths), key=lambda file: (file.metadata.start, str(file.path)))
    _alike(files)
    own = _one_at_a_time(files, symbol, publisher, end_ns)
    any_yet = False
    for part in _cut(own, begin_ns, end_ns, opening):
        if part.size:
            any_yet = True
            yield to_frame(part)
    if not any_yet:
        of = (f" of {symbol}" if symbol else "") + (f" from publisher {publisher}" if publisher is not None else "")
        raise TicksError(f"{_names(paths)} hold no records{of}: check the symbol and the dates that were asked for")


def symbols_in(path: Path) -> list[str]:
    """The symbols of a file's header that it holds records of; where the header names one, it alone, unread.

    Raises:
        TicksError: the file cannot be read.
    """
    metadata, blocks = _open(path)
    meant = {symbol: [part["symbol"] for part in periods if part["symbol"].isdigit()] for symbol, periods in metadata.mappings.items()}
    named = sorted(symbol for symbol, ids in meant.items() if ids)
    if len(named) < 2:
        return named
    held: set[int] = set()
    with suppress(DamageError):  # what comes before the damage is read later, and the damage told then
        for part in _parts(path, metadata, blocks):
            held.update(np.unique(part["instrument_id"]).tolist())
    return [symbol for symbol in named if held.intersection(map(int, meant[symbol]))]


def uncovered(paths: Sequence[Path], symbol: str, begin_ns: int, end_ns: int) -> str | None:
    """What part of a stretch no file says to hold for a symbol, in a sentence; None where they say so of all of it.

    Raises:
        TicksError: a file cannot be read, or does not know the symbol.
    """
    covered: list[tuple[int, int]] = []
    for path in paths:
        metadata = read_metadata(path)
        start, end = _range(metadata)
        covered += [(max(start, int(each.since)), min(end, int(each.until))) for each in _instruments(path, metadata, symbol) or []]
    at = begin_ns
    for start, end in sorted(covered):
        if start > at:
            break
        at = max(at, end)
    if at >= end_ns:
        return None
    following = min((start for start, end in covered if start > at), default=end_ns)
    return f"no file holds {symbol} from {_told(at)} to {_told(min(following, end_ns))}: add the file that does"


def until_damage(frames: Iterator[pl.DataFrame], damage: list[str]) -> Iterator[pl.DataFrame]:
    """The frames before a damaged byte, whose sentence is added to `damage`; raised where no record came before it."""
    any_yet = False
    try:
        for frame in frames:
            any_yet |= frame.height > 0
            yield frame
    except DamageError as error:
        if not any_yet:
            raise
        damage.append(str(error))


def to_frame(records: np.ndarray) -> pl.DataFrame:
    """Records of a Databento message layout as rows of `raw_ticks`."""
    names = [name for name in records.dtype.names or () if name != "length"]
    ordered = [*(name for name in MBO_COLUMNS if name in names), *(name for name in names if name not in MBO_COLUMNS)]
    return pl.DataFrame({name: pl.Series(name, _signed(name, np.ascontiguousarray(records[name]))) for name in ordered})


def _signed(name: str, values: np.ndarray) -> np.ndarray:
    """Stamps as int64, which hold every one until 2262; the vendor's "none", and what damage made of one, are below 0."""
    return values.view(np.int64) if name in {"ts_recv", "ts_event"} else values


def _open(path: Path) -> tuple[dbn.Metadata, Iterator[bytes]]:
    """The header, and the bytes after it in pieces."""
    blocks, held = _blocks(path), b""
    while len(held) < 8 or len(held) < 8 + int.from_bytes(held[4:8], "little"):
        block = next(blocks, b"")
        held += block
        if not held.startswith(b"DBN"[: len(held)]):
            raise TicksError(f"{path} is not a DBN file: its first bytes are {held[:4]!r}")
        if len(held) >= 8 and int.from_bytes(held[4:8], "little") > _LONGEST_HEADER:
            raise TicksError(
                f"{path} claims a header of {int.from_bytes(held[4:8], 'little'):,} bytes and {_LONGEST_HEADER:,} are read at most: "
                "fetch it again, or ask for fewer symbols a file"
            )
        if not block:
            raise TicksError(f"{path} is truncated: it ends within its header at byte {len(held)}; fetch it again")
    end = 8 + int.from_bytes(held[4:8], "little")
    try:
        metadata = dbn.Metadata.decode(held[:end], upgrade_policy=dbn.VersionUpgradePolicy.AS_IS)
    except Exception as error:
        raise TicksError(f"{path} has a corrupt DBN header ({error}): fetch it again") from None
    return metadata, _following(held[end:], blocks)


def _following(first: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from blocks


def _blocks(path: Path) -> Iterator[bytes]:
    """The file's content, decompressed where it is zstd, frame after frame."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
            file.seek(0)
            if not start:
                raise TicksError(f"{path} is empty: fetch it again")
            if start == _LEGACY:
                raise TicksError(f"{path} is in the legacy DBZ encoding: convert it with the dbn command, or fetch it again as DBN")
            if start == _ZSTD:
                yield from _decompressed(path, file)
            else:
                yield from iter(lambda: file.read(_READ), b"")
    except FileNotFoundError:
        raise TicksError(f"no file at {path}: check the path, or fetch it") from None
    except OSError as error:
        raise TicksError(f"{path} cannot be read: {error.strerror or error}") from None


def _decompressed(path: Path, file: IO[bytes]) -> Iterator[bytes]:
    frame, begun, fed, within = zstandard.ZstdDecompressor().decompressobj(), 0, 0, True
    held: list[bytes] = []
    size = 0
    while block := file.read(_READ):
        rest = memoryview(block)
        while rest:
            if not within:
                frame, begun, within = zstandard.ZstdDecompressor().decompressobj(), fed, True
            piece = rest[:_FED]
            try:
                plain = frame.decompress(piece)
            except zstandard.ZstdError as error:
                yield b"".join(held)
                if "checksum" in str(error):
                    raise DamageError(
                        f"{path} is damaged between bytes {begun} and {fed + len(piece)}: the checksum of a zstd frame does not match, "
                        "which of its records are wrong is not known; fetch it again"
                    ) from None
                yield from _salvaged(path, begun, fed)
                return
            within = not frame.eof
            used = len(piece) if within else len(piece) - len(frame.unused_data)
            rest, fed, size = rest[used:], fed + used, size + len(plain)
            held.append(plain)
            if size >= _READ:
                yield b"".join(held)
                held, size = [], 0
    yield b"".join(held)
    if within:
        raise DamageError(f"{path} is truncated: it ends within a zstd frame at byte {fed}; fetch it again")


def _salvaged(path: Path, begun: int, fed: int) -> Iterator[bytes]:
    """What is left to be had of a damaged frame that began at one byte and has been read up to another.

    Byte by byte, since with the block that it finds damaged the decompressor drops what the call gave before.
    """
    frame = zstandard.ZstdDecompressor().decompressobj()
    with path.open("rb") as file:
        file.seek(begun)
        for start in range(begun, fed, _FED):
            frame.decompress(file.read(min(_FED, fed - start)))
        for position in count(fed):
            try:
                plain = frame.decompress(file.read(1))
            except zstandard.ZstdError as error:
                raise DamageError(f"{path} is damaged at or before byte {position} ({error}): fetch it again") from None
            if plain:
                yield plain


def _parts(path: Path, metadata: dbn.Metadata, blocks: Iterator[bytes]) -> Iterator[np.ndarray]:
    """The records of a file that a book can be made from, in pieces."""
    schema = str(metadata.schema or "mixed (a live capture)")
    if schema not in _MESSAGES:
        raise TicksError(f"{path} has schema {schema}, from which no book can be made: use one of {', '.join(_MESSAGES)}")
    layout = layout_of(schema)
    return _records(path, np.dtype([*layout.descr, ("ts_out", "u8")]) if metadata.ts_out else layout, blocks)


def _records(path: Path, dtype: np.dtype, blocks: Iterator[bytes]) -> Iterator[np.ndarray]:
    held, done = b"", 0
    for block in blocks:
        held = held + block if held else block
        whole = len(held) // dtype.itemsize
        part = np.frombuffer(held, dtype, whole)
        odd = np.flatnonzero(part["length"] != dtype.itemsize // 4)
        if odd.size:
            yield part[: odd[0]]
            raise DamageError(
                f"{path}: record {done + odd[0]}, at byte {(done + odd[0]) * dtype.itemsize} after the header, is "
                f"{4 * int(part['length'][odd[0]])} bytes long where its schema has {dtype.itemsize}; "
                "the file is damaged or mixes schemas: fetch it again in one schema"
            )
        if whole:
            yield part
        done += whole
        held = held[whole * dtype.itemsize :]
    if held:
        raise DamageError(f"{path} is truncated: it ends {len(held)} bytes into record {done}, which has {dtype.itemsize}; fetch it again")


class _File(NamedTuple):
    path: Path
    metadata: dbn.Metadata
    blocks: Iterator[bytes]


class _Instrument(NamedTuple):
    id: int
    since: np.uint64
    until: np.uint64


def _alike(files: Sequence[_File]) -> None:
    """Refuse files that are not of one schema and one dataset."""
    names = _names([file.path for file in files])
    schemas = {str(file.metadata.schema) for file in files}
    if len(schemas) > 1:
        raise TicksError(f"{names} mix the schemas {', '.join(sorted(schemas))}: give files of one schema")
    datasets = {file.metadata.dataset for file in files}
    if len(datasets) > 1:
        raise TicksError(f"{names} mix the datasets {', '.join(sorted(datasets))}: name one with source.dataset in the desk file")


def _instruments(path: Path, metadata: dbn.Metadata, symbol: str | None) -> list[_Instrument] | None:
    """Which instrument a symbol means on which dates; None when every record is wanted."""
    if symbol is None:
        return None
    mappings = metadata.mappings
    if symbol.isdigit() and not mappings:  # a header without names leaves the instruments' numbers
        return [_Instrument(int(symbol), np.uint64(0), np.uint64(dbn.UNDEF_TIMESTAMP))]
    if symbol not in mappings:
        missing = "the vendor did not find it" if symbol in metadata.not_found else "check the market's symbol in the desk file"
        raise TicksError(f"{path} holds {', '.join(sorted(mappings)) or 'no symbol mappings'}, not {symbol}: {missing}")
    intervals = [part for part in mappings[symbol] if part["symbol"].isdigit()]
    if not intervals:
        raise TicksError(f"{path} maps {symbol} to no instrument id: ask the vendor for stype_out instrument_id")
    return [_Instrument(int(part["symbol"]), _midnight(part["start_date"]), _midnight(part["end_date"])) for part in intervals]


def _joined(files: Sequence[_File], symbol: str | None) -> Iterator[np.ndarray]:
    """The records of a symbol, file after file, each once where files overlap."""
    group: list[_File] = []
    for file in [*files, None]:
        if group and (file is None or file.metadata.start >= max(_range(each.metadata).end for each in group)):
            parts = [_own_parts(each, symbol, alone=len(group) == 1) for each in group]
            yield from merged(parts, [_range(each.metadata) for each in group])
            group = []
        if file is not None:
            group.append(file)


def _own_parts(file: _File, symbol: str | None, *, alone: bool) -> Iterator[np.ndarray]:
    instruments = _instruments(file.path, file.metadata, symbol)
    for part in _parts(file.path, file.metadata, file.blocks):
        wanted = _wanted(part, instruments)
        if file.metadata.ts_out and not alone:  # when the gateway sent it is not the record's, and no other copy has it
            layout = layout_of(str(file.metadata.schema))
            wanted = np.rec.fromarrays([wanted[name] for name in layout.names or ()], dtype=layout).view(np.ndarray)
        yield wanted


def _wanted(part: np.ndarray, instruments: list[_Instrument] | None) -> np.ndarray:
    """The records of these instruments, each on its own dates."""
    if instruments is None:
        return part
    times = moments(part)
    keep = np.zeros(part.size, np.bool_)
    for instrument in instruments:
        keep |= (part["instrument_id"] == instrument.id) & (times >= instrument.since) & (times < instrument.until)
    return part if keep.all() else part[keep]


def _one_at_a_time(files: Sequence[_File], symbol: str | None, publisher: int | None, end_ns: int | None) -> Iterator[np.ndarray]:
    """The records of the files, refused where they are of two venues, or of two instruments that do not follow one another."""
    told = dict.fromkeys(each for file in files for each in _instruments(file.path, file.metadata, symbol) or [])
    periods = sorted(told, key=lambda each: (each.since, each.until))  # of equal ones the header's order is that of time
    parts, now, latest = _joined(files, symbol), None, 0
    for part in parts:
        mine = part if publisher is None else part[part["publisher_id"] == publisher]
        venues, ids = mine["publisher_id"], mine["instrument_id"]
        first = (now is None or (int(venues[0]), int(ids[0])) != now) if mine.size else False
        turns = np.flatnonzero((venues[1:] != venues[:-1]) | (ids[1:] != ids[:-1])) + 1
        for i in [*([0] if first else []), *turns.tolist()]:
            before, now = now, (int(venues[i]), int(ids[i]))
            at = [k for k, each in enumerate(periods) if each.id == now[1] and each.since <= moments(mine[i : i + 1])[0] < each.until]
            latest = min((k for k in at if k >= latest), default=-1)
            if before is not None and (before[0] != now[0] or latest < 0):
                _refuse(files, symbol, [mine, *parts], end_ns)
        yield mine


def _refuse(files: Sequence[_File], symbol: str | None, parts: Iterable[np.ndarray], end_ns: int | None) -> None:
    """Say which venues and instruments the records are of, as far as they are wanted."""
    found: set[tuple[int, int]] = set()
    for part in parts:
        if end_ns is not None and part.size and (moments(part) >= np.uint64(end_ns)).all():
            break
        pairs = np.unique(part["publisher_id"].astype(np.uint64) << np.uint64(32) | part["instrument_id"])
        found.update((int(pair) >> 32, int(pair) & 0xFFFFFFFF) for pair in pairs)
    paths, ids = _names([file.path for file in files]), sorted({pair[1] for pair in found})
    venues = sorted({pair[0] for pair in found})
    if len(venues) > 1 and (symbol is not None or len(ids) == 1):
        raise TicksError(
            f"{paths} hold records of {len(venues)} publishers with a book each, {', '.join(publisher_name(each) for each in venues)}: "
            f"choose one, as publisher = {venues[0]} in the market's section of the desk file or as --publisher {venues[0]} of tickline try"
        )
    if symbol is not None:
        raise TicksError(f"{paths} map {symbol} to {len(ids)} instruments at once: name one contract, raw or continuous, in its place")
    mapped = [(name, part["symbol"]) for file in files for name, periods in file.metadata.mappings.items() for part in periods]
    names = {int(number): name for name, number in mapped if number.isdigit()}
    told = ", ".join(names.get(each, str(each)) for each in ids)
    raise TicksError(f"{paths} hold {len(ids)} instruments: name the symbol of one of {told}, with --symbol of tickline try")


def publisher_name(publisher: int) -> str:
    """A publisher's number with the vendor's name for it, where there is one."""
    from databento.common.publishers import Publisher  # late: it imports pandas

    try:
        return f"{publisher} ({Publisher.from_int(publisher)})"
    except ValueError:
        return str(publisher)


def _cut(parts: Iterator[np.ndarray], begin_ns: int | None, end_ns: int | None, opening: Opening | None) -> Iterator[np.ndarray]:
    """The records of a stretch; what stands at its begin goes before them."""
    before = begin_ns is not None
    for part in parts:
        times = moments(part)
        if end_ns is not None and part.size and times.min() >= np.uint64(end_ns):
            return
        keep = np.ones(part.size, np.bool_) if end_ns is None else times < np.uint64(end_ns)
        if begin_ns is not None:
            early = times < np.uint64(begin_ns)
            keep &= ~early
            if before and opening is not None and "order_id" in (part.dtype.names or ()):
                opening.take(part[early])
                if keep.any():
                    yield _opened(opening.snapshot(begin_ns), part[keep][0])
            before &= not keep.any()
        yield part if keep.all() else part[keep]


def _opened(snapshot: np.ndarray, first: np.void) -> np.ndarray:
    """A snapshot, where the first record does not bring its own and is of the same book."""
    anew = first["flags"] & F_SNAPSHOT or first["action"] == CLEAR
    same = snapshot.size and all(snapshot[0][name] == first[name] for name in ("publisher_id", "instrument_id"))
    return snapshot if same and not anew else snapshot[:0]


def _range(metadata: dbn.Metadata) -> Range:
    return Range(metadata.start, metadata.end or dbn.UNDEF_TIMESTAMP)


def _told(ns: int) -> str:
    return f"{dt.datetime.fromtimestamp(ns // NS, dt.UTC):%Y-%m-%d %H:%M:%S} UTC"


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(str(path) for path in paths) or "no files"


def _date(ns: int) -> dt.date:
    return dt.datetime.fromtimestamp(ns // NS, dt.UTC).date()


def _midnight(day: dt.date) -> np.uint64:
    return np.uint64((day.toordinal() - _EPOCH) * 86_400 * NS)
