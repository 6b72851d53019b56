"""Files whose ranges overlap, read as one: each record once, known by what it is and not by the file that brought it.

The same day downloaded twice, a week beside one of its days, a day that two jobs share: whatever several files hold is one
stream in the order of capture. A record is the same as another file's where venue, instrument, times, sequence, action and
order are; what one file holds twice stays twice. A later file that begins with a snapshot while an earlier one covers that
moment tells a state that is known already: the snapshot is left out, so that no live book is replaced by a copy of its past.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from assets.ticks.schema import MBO_COLUMNS

F_SNAPSHOT: Final = 32
CLEAR: Final = ord("R")

_UNDEFINED: Final = 2**64 - 1
"""DBN's uint64 for "no time"; 0 is met as well."""

_OF_THE_COPY: Final = {"rtype", "flags", "ts_in_delta", "channel_id"}
"""Columns that a second download may tell otherwise, and the record is the same."""

IDENTITY: Final = tuple(name for name in MBO_COLUMNS if name not in _OF_THE_COPY)
"""What a record is known by; schemas with levels have no order_id."""


def moments(records: np.ndarray) -> np.ndarray:
    """When each record was captured, uint64 UTC nanoseconds; without a capture time its exchange time, without either its predecessor's."""
    captured, happened = records["ts_recv"], records["ts_event"]
    known = (captured != 0) & (captured != _UNDEFINED)
    if known.all():
        return captured
    known_otherwise = (happened != 0) & (happened != _UNDEFINED)
    times = np.where(known, captured, np.where(known_otherwise, happened, np.uint64(0)))
    known |= known_otherwise
    return times[np.maximum.accumulate(np.where(known, np.arange(records.size), 0))]


class Range(NamedTuple):
    """What a file covers: UTC nanoseconds, the end exclusive."""

    start: int
    end: int


def merged(streams: Sequence[Iterator[np.ndarray]], ranges: Sequence[Range]) -> Iterator[np.ndarray]:
    """Records of several files of one layout, each in the order of capture, as one stream without repetition.

    Where a file breaks off and no other covers the rest of its range, the stream ends there with its error.

    Args:
        streams: the files' records in pieces; the earlier file's copy of a record is the one that is kept.
        ranges: of the files.

    Raises:
        Exception: what a stream raises, once all that comes before it has been yielded.
    """
    if len(streams) == 1:
        yield from streams[0]
        return
    heads = [_Head(stream, covers) for stream, covers in zip(streams, ranges, strict=True)]
    for place, head in enumerate(heads):
        if head.keys.size and any(other.shows(int(head.keys[0])) for other in heads[:place]):
            head.drop_snapshot()
    while True:
        broken = min((head.reached + 1 for head in heads if head.fault and not head.replaced_by(heads)), default=None)
        going = [int(head.keys[-1]) for head in heads if not head.over]
        bound = min([*going, *([broken] if broken is not None else [])], default=None)
        parts = [head.take(bound) for head in heads]
        if any(keys.size for _, keys in parts):
            yield union(parts)
        elif broken is not None and bound == broken:
            raise next(fault for head in heads if (fault := head.fault) is not None and head.reached + 1 == broken)
        elif bound is None:
            return
        else:  # a piece holds one moment only, as a long snapshot does
            for head in heads:
                if not head.over and head.keys[-1] == bound:
                    head.extend()


class _Head:
    """What has been read of a file and not been taken yet."""

    def __init__(self, stream: Iterator[np.ndarray], covers: Range) -> None:
        self._stream, self._covers = stream, covers
        self.records: np.ndarray = np.empty(0)
        self.keys: np.ndarray = np.empty(0, np.uint64)
        self.reached = covers.start
        """Capture time of the last record that was read."""
        self.over = False
        self.fault: Exception | None = None
        self.extend()
        self._begins = int(self.keys[0]) if self.keys.size else covers.end

    def shows(self, moment: int) -> bool:
        """Whether the file tells what happens then, and from before on."""
        return self._begins <= moment < self._covers.end

    def replaced_by(self, heads: Sequence["_Head"]) -> bool:
        """Whether another file, which is sound as far as it was read, covers what this one lacks."""
        return any(other.fault is None and other._covers.start <= self.reached and other._covers.end >= self._covers.end for other in heads)

    def extend(self) -> None:
        """Read on until there is more."""
        before = self.records.size
        while not self.over and self.records.size == before:
            try:
                piece = next(self._stream, None)
            except Exception as error:  # told once what came before it is through
                self.fault, piece = error, None
            if piece is None:
                self.over = True
            elif piece.size:
                keys = np.maximum(np.maximum.accumulate(moments(piece)), np.uint64(self.keys[-1] if before else 0))
                self.records = np.concatenate([self.records, piece]) if before else piece
                self.keys = np.concatenate([self.keys, keys])
                self.reached = int(keys[-1])

    def take(self, bound: int | None) -> tuple[np.ndarray, np.ndarray]:
        """The records before this moment and their times, all of them where there is none; more is read once none is left."""
        n = self.keys.size if bound is None else int(np.searchsorted(self.keys, np.uint64(bound)))
        taken = self.records[:n], self.keys[:n]
        self.records, self.keys = self.records[n:], self.keys[n:]
        if not self.keys.size:
            self.extend()
        return taken

    def drop_snapshot(self) -> None:
        """Leave out the snapshot that the file begins with."""
        while self.keys.size:
            live = np.flatnonzero((self.records["flags"] & F_SNAPSHOT == 0) & (self.records["action"] != CLEAR))
            n = int(live[0]) if live.size else self.keys.size
            self.records, self.keys = self.records[n:], self.keys[n:]
            if self.keys.size:
                return
            self.extend()


def union(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The records of all parts (records, times) in the order of their times; of copies the earlier part's, which goes first."""
    parts = [part for part in parts if part[1].size]
    if len(parts) == 1:
        return parts[0][0]
    together, times = np.concatenate([records for records, _ in parts]), np.concatenate([keys for _, keys in parts])
    _, known = np.unique(_identities(together), return_inverse=True)
    known = known.ravel()
    have = np.zeros(int(known.max()) + 1, np.int64)
    kept, begin = np.empty(together.size, np.bool_), 0
    for records, _ in parts:
        own = known[begin : begin + records.size]
        kept[begin : begin + records.size] = _occurrence(own) >= have[own]
        have = np.maximum(have, np.bincount(own, minlength=have.size))
        begin += records.size
    return together[kept][np.argsort(times[kept], kind="stable")]


def _identities(records: np.ndarray) -> np.ndarray:
    names = [name for name in IDENTITY if name in (records.dtype.names or ())]
    packed = np.empty(records.size, [(name, records.dtype[name]) for name in names])
    for name in names:
        packed[name] = records[name]
    return packed.view(np.dtype((np.void, packed.dtype.itemsize)))


def _occurrence(values: np.ndarray) -> np.ndarray:
    """How many equal values stand before each."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    begins = np.flatnonzero(np.diff(ordered, prepend=-1))
    counted = np.empty(values.size, np.int64)
    counted[order] = np.arange(values.size) - np.repeat(begins, np.diff(begins, append=values.size))
    return counted
