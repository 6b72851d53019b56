"""Files that claim or unfold to more than a machine holds: refused or read within stated limits of memory."""

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import zstandard

from assets.ticks.dbn import TicksError, _open, _parts, header_of, layout_of, read_metadata, stream_records

MB = 1 << 20


@contextmanager
def within(limit: int) -> Iterator[None]:
    """What Python allocates in the block stays below a limit, bytes."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < limit


def packed(path: Path, pieces: Iterator[bytes]) -> Path:
    """A zstd file of these pieces, which are never held together."""
    with path.open("wb") as file, zstandard.ZstdCompressor(level=19).stream_writer(file) as out:
        for piece in pieces:
            out.write(piece)
    return path


def header() -> bytes:
    return header_of(dataset="X", schema="mbo", instruments={"A": [1]}, start_ns=0, end_ns=10**15)


def claiming(size: int) -> bytes:
    return b"DBN\x03" + size.to_bytes(4, "little")


@pytest.mark.parametrize("size", [2**32 - 1, 2**25])
@pytest.mark.parametrize("filled", [0, 600])
@pytest.mark.parametrize("compressed", [True, False])
def test_a_header_that_claims_more_than_is_read_is_refused(tmp_path: Path, size: int, filled: int, compressed: bool) -> None:
    path, pieces = tmp_path / "a.dbn", iter([claiming(size), *[bytes(MB)] * filled])
    if compressed:
        packed(path, pieces)
        assert path.stat().st_size < 100_000
    else:
        path.write_bytes(claiming(size) + bytes(filled))
    with within(300 * MB), pytest.raises(TicksError, match=rf"claims a header of {size:,} bytes and 16,777,216 are read at most"):
        read_metadata(path)


@pytest.mark.parametrize("first", [b"", header()])
def test_a_file_of_nothing_but_noughts_is_refused_within_memory(tmp_path: Path, first: bytes) -> None:
    path = packed(tmp_path / "a.dbn", iter([first, *[bytes(MB)] * 600]))
    with within(300 * MB), pytest.raises(TicksError, match="not a DBN file" if not first else "bytes long where its schema has 56"):
        list(stream_records([path]))


def test_millions_of_records_in_a_few_kilobytes_are_streamed(tmp_path: Path) -> None:
    record = np.zeros(MB // 56, layout_of("mbo"))
    record["length"], record["rtype"], record["instrument_id"] = 14, 160, 1
    path = packed(tmp_path / "a.dbn", iter([header(), *[record.tobytes()] * 300]))
    assert path.stat().st_size < 100_000
    with within(300 * MB):
        assert sum(part.size for part in _parts(path, *_open(path))) == 300 * record.size


@pytest.mark.parametrize("count", [2**32 - 1, 10**6])
def test_a_header_that_counts_symbols_it_has_not_is_refused(tmp_path: Path, count: int) -> None:
    content = bytearray(header())
    content[112:116] = count.to_bytes(4, "little")
    (tmp_path / "a.dbn").write_bytes(content)
    with pytest.raises(TicksError, match="corrupt DBN header"):
        read_metadata(tmp_path / "a.dbn")
