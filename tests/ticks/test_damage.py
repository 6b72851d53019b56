"""Bytes of a good file cut and changed at random: a sentence or a sound partition, never anything else."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.books.quality import unaccounted
from assets.books.rebuild import rebuild
from assets.desk import UserError
from assets.lake import check
from assets.ticks.dbn import DamageError, read_records, stream_records, until_damage, write_mbo
from assets.ticks.exchange import Simulated
from assets.ticks.schema import RawTicks

RECORDS = 400


@pytest.fixture(scope="module")
def good(session: Callable[..., list[Simulated]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good") / "good.dbn.zst"
    records = session(events=2_000)[0].records[:RECORDS]
    start, end = int(records["ts_recv"].min()), int(records["ts_recv"].max()) + 1
    write_mbo(path, records, dataset="SIM.TEST", symbol="FLWZ6", instrument_id=1, start_ns=start, end_ns=end)
    return path


def plain(path: Path) -> bytes:
    return zstandard.decompress(path.read_bytes(), max_output_size=1 << 24)


def framed(path: Path) -> bytes:
    """As a vendor that closes a frame every so often: damage leaves the frames before it whole."""
    content = plain(path)
    compressor = zstandard.ZstdCompressor(write_checksum=True)
    return b"".join(compressor.compress(content[at : at + 4_000]) for at in range(0, len(content), 4_000))


@pytest.mark.parametrize("written", [plain, framed, Path.read_bytes])
def test_whatever_happens_to_its_bytes_a_file_is_refused_or_read_to_a_sound_book(
    good: Path, tmp_path: Path, written: Callable[[Path], bytes]
) -> None:
    content, path = written(good), tmp_path / "bad.dbn"
    whole = read_records([good])

    @settings(max_examples=400, deadline=None)
    @given(
        cut=st.none() | st.integers(0, len(content)),
        flips=st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(1, 255)), max_size=3),
    )
    def held(cut: int | None, flips: list[tuple[int, int]]) -> None:
        bad = bytearray(content)
        for at, mask in flips:
            bad[at] ^= mask
        path.write_bytes(bad[:cut])
        damage: list[str] = []
        try:
            raw = pl.concat(until_damage(stream_records([path]), damage))
            check(raw, RawTicks, "raw_ticks")
        except UserError as error:
            damage.append(str(error))
            raw = whole[:0]
        assert not any("\n" in sentence for sentence in damage)
        if not flips:
            assert raw.equals(whole[: raw.height])
            # A plain file that ends where a record does says of nothing that it is missing.
            unseen = written is plain and cut is not None and (len(content) - cut) % 56 == 0
            assert raw.height == RECORDS or damage or unseen
        books = rebuild(raw)
        assert unaccounted(raw.height, books.books, books.quarantine) == 0

    held()


def test_a_flipped_byte_costs_the_records_after_it_and_none_before(good: Path, tmp_path: Path) -> None:
    content, whole = bytearray(framed(good)), read_records([good])
    damaged = tmp_path / "damaged.dbn.zst"
    at = len(content) // 2
    content[at : at + 8] = b"\xff" * 8
    damaged.write_bytes(content)
    damage: list[str] = []
    kept = pl.concat(until_damage(stream_records([damaged]), damage))
    assert 100 < kept.height < RECORDS - 100
    assert kept.equals(whole[: kept.height])
    assert "is damaged" in damage[0]
    with pytest.raises(DamageError):
        read_records([damaged])
