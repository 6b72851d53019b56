"""Which records are a session's: each is in one, however the files are cut, doubled or laid over one another."""

import datetime as dt
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.books.opening import Opening
from assets.books.rebuild import rebuild
from assets.books.schema import BOOK_COLUMNS
from assets.calendar import Calendar
from assets.desk import DbnFolderSource, Desk, Market
from assets.lake import Lake
from assets.ticks.asset import raw_ticks
from assets.ticks.dbn import Period, TicksError, header_of, read_records, stream_records, to_frame, uncovered
from assets.ticks.exchange import Simulated
from assets.ticks.source import open_source

F_SNAPSHOT = 32
SYMBOL = "FLWZ6"
HOUR = 3_600 * 10**9
DAY = 24 * HOUR

Session = Callable[..., list[Simulated]]


@pytest.fixture(scope="module")
def records(session: Session) -> np.ndarray:
    """An hour of market by order that begins with a snapshot."""
    return session(events=4_000)[0].records


def write(
    path: Path,
    records: np.ndarray,
    start_ns: int,
    end_ns: int,
    instruments: Sequence[int | Period] = (1,),
    *,
    symbol: str = SYMBOL,
    dataset: str = "SIM.TEST",
    schema: str = "mbo",
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = header_of(dataset=dataset, schema=schema, instruments={symbol: instruments}, start_ns=start_ns, end_ns=end_ns)
    path.write_bytes(header + records.tobytes())
    return path


def part(records: np.ndarray, start_ns: int, end_ns: int) -> np.ndarray:
    return records[(records["ts_recv"] >= start_ns) & (records["ts_recv"] < end_ns)]


def span_of(records: np.ndarray) -> tuple[int, int]:
    return int(records["ts_recv"].min()), int(records["ts_recv"].max()) + 1


quiet = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
shares = st.floats(0, 1)


@quiet
@given(cuts=st.lists(shares, min_size=2, max_size=4), edges=st.lists(shares, max_size=3))
def test_each_record_is_in_one_stretch_however_the_files_are_cut(
    records: np.ndarray, tmp_path: Path, cuts: list[float], edges: list[float]
) -> None:
    start, end = span_of(records)
    at = sorted({start, end, *(start + int(share * (end - start)) for share in edges)})
    files = [write(tmp_path / f"{k}.dbn", part(records, *both), *both) for k, both in enumerate(pairwise(at))]
    moments = sorted({start - 1, end, *(start + int(share * (end - start)) for share in cuts)})
    told = []
    for begin, until in pairwise(moments):
        with suppress(TicksError):  # a stretch may be empty
            told.append(read_records(files, symbol=SYMBOL, begin_ns=begin, end_ns=until))
    assert pl.concat(told).equals(to_frame(records))


@quiet
@given(ranges=st.lists(st.tuples(shares, shares), max_size=4), whole_first=st.booleans())
def test_files_that_overlap_are_read_as_the_one_that_holds_it_all(
    records: np.ndarray, tmp_path: Path, ranges: list[tuple[float, float]], whole_first: bool
) -> None:
    start, end = span_of(records)
    files = [write(tmp_path / ("a.dbn" if whole_first else "z.dbn"), records, start, end)]
    for k, pair in enumerate(ranges):
        low, high = (start + int(share * (end - start)) for share in sorted(pair))
        if low < high:
            files.append(write(tmp_path / f"m{k}.dbn", part(records, low, high), low, high))
    assert read_records(files, symbol=SYMBOL).equals(to_frame(records))
    assert read_records(files[::-1], symbol=SYMBOL).equals(to_frame(records))


@quiet
@given(seed=st.integers(0, 2**32 - 1), blocks=st.integers(1, 30))
def test_a_day_that_a_vendor_splits_by_size_is_put_together_again(records: np.ndarray, tmp_path: Path, seed: int, blocks: int) -> None:
    generator = np.random.default_rng(seed)
    start, end = span_of(records)
    edges = np.sort(generator.integers(0, records.size, blocks))
    owner = generator.integers(0, 3, blocks + 1)[np.searchsorted(edges, np.arange(records.size), side="right")]
    stamps = records["ts_recv"]
    first_of_moment = np.searchsorted(stamps, stamps)  # a moment's records stay together, as a vendor keeps an event whole
    owner = owner[first_of_moment]
    files = [write(tmp_path / f"{k}.dbn", records[owner == k], start, end) for k in range(3)]
    assert read_records(files, symbol=SYMBOL).equals(to_frame(records))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_later_file_that_begins_with_a_snapshot_does_not_replace_the_book(records: np.ndarray, tmp_path: Path, share: float) -> None:
    start, end = span_of(records)
    middle = int(records["ts_recv"][int(records.size * share)])
    known = Opening()
    known.take(part(records, start, middle))
    again = np.concatenate([known.snapshot(middle), part(records, middle, end)])
    files = [write(tmp_path / "whole.dbn", records, start, end), write(tmp_path / "again.dbn", again, middle, end)]
    assert read_records(files, symbol=SYMBOL).equals(to_frame(records))
    follows = [write(tmp_path / "first.dbn", part(records, start, middle), start, middle), files[1]]
    both = read_records(follows, symbol=SYMBOL)
    assert both.height == records.size + known.snapshot(middle).size
    assert books(both).tail(50).equals(books(to_frame(records)).tail(50))


def test_what_a_damaged_copy_lacks_comes_from_the_sound_one_and_without_one_its_damage_is_told(records: np.ndarray, tmp_path: Path) -> None:
    start, end = span_of(records)
    damaged = write(tmp_path / "a.dbn", records, start, end)
    damaged.write_bytes(damaged.read_bytes()[: -56 * 500 + 20])
    sound = write(tmp_path / "b.dbn", records, start, end)
    assert read_records([damaged, sound], symbol=SYMBOL).equals(to_frame(records))
    middle = int(records["ts_recv"][records.size // 2])
    half = write(tmp_path / "c.dbn", part(records, middle, end - 1), middle, end - 1)
    frames = stream_records([damaged, half], symbol=SYMBOL)
    got: list[pl.DataFrame] = []
    with pytest.raises(TicksError, match=r"a\.dbn is truncated"):
        got.extend(frames)
    assert pl.concat(got).equals(to_frame(records[: records.size - 500]))


def books(raw: pl.DataFrame) -> pl.DataFrame:
    return rebuild(raw, open_ns=0).books.select("ts_event", *BOOK_COLUMNS)


@quiet
@given(share=st.floats(0.02, 0.98), whole=st.booleans())
def test_the_books_of_a_stretch_are_those_of_reading_everything(records: np.ndarray, tmp_path: Path, share: float, whole: bool) -> None:
    given = records if whole else records[np.count_nonzero(records["flags"] & F_SNAPSHOT) :]
    start, end = span_of(given)
    live = given[given["flags"] & F_SNAPSHOT == 0]
    at = int(live["ts_recv"][int(live.size * share)])
    path = write(tmp_path / "all.dbn", given, start, end)
    everything = read_records([path], symbol=SYMBOL)
    own = read_records([path], symbol=SYMBOL, begin_ns=at, opening=Opening())
    begun = own.filter(pl.col("ts_recv") == at, pl.col("flags") & F_SNAPSHOT != 0).height
    assert own[begun:].equals(everything.filter(pl.col("ts_recv") >= at))
    theirs, ours = rebuild(everything, open_ns=0), rebuild(own, open_ns=0)
    shift = everything.height - own.height
    columns = ["ts_event", "ts_recv", *BOOK_COLUMNS]
    assert (
        ours.books.filter(pl.col("row") >= begun)
        .select(columns)
        .equals(theirs.books.filter(pl.col("row").cast(pl.Int64) >= begun + shift).select(columns))
    )
    assert ours.quarantine.filter(pl.col("row") >= begun)["reason"].equals(
        theirs.quarantine.filter(pl.col("row").cast(pl.Int64) >= begun + shift)["reason"]
    )


def test_a_book_that_no_snapshot_began_is_told_as_not_all_that_stands(records: np.ndarray) -> None:
    live = records[np.count_nonzero(records["flags"] & F_SNAPSHOT) :]
    for taken, marked in ((records, 0), (live, 4)):
        known = Opening(capacity=4)
        for at in range(0, 3_000, 100):
            known.take(taken[at : at + 100])
        snapshot = known.snapshot(7)
        assert snapshot["flags"][0] & 4 == marked
        assert set(snapshot["ts_recv"]) == {7}
        assert (np.diff(snapshot["sequence"][1:].astype(np.int64)) >= 0).all()
    assert Opening().snapshot(7).size == 0


@pytest.fixture(scope="module")
def market(session: Session) -> np.ndarray:
    """Three days of 23 hours each, the hour of the close between them."""
    days = [session(day=dt.date(2026, 8, 24) + dt.timedelta(days=k), events=3_000, hours=23.0, seed=k)[0].records for k in range(3)]
    return np.concatenate(days)


AROUND_THE_CLOCK = dt.time(13, 30), dt.time(12, 30)
SESSIONS = ("2026-08-25", "2026-08-26", "2026-08-27")


class TestDays:
    """Three sessions of 23 hours in files of UTC days, in one file, and in all of them at once."""

    def desk(self, folder: Path, home: Path, hours: tuple[dt.time, dt.time] = AROUND_THE_CLOCK) -> Desk:
        market = Market(symbol=SYMBOL, tick_size="0.1", maker_fee="0", taker_fee="0")
        return Desk.model_validate(
            {
                "name": "small",
                "home": home,
                "traded": "FLW",
                "markets": {"FLW": market},
                "source": DbnFolderSource(kind="dbn_folder", folder=folder),
                "first_session": dt.date(2026, 8, 24),
                "hours": hours,
            }
        )

    def by_day(self, folder: Path, market: np.ndarray) -> None:
        start = int(market["ts_recv"].min()) // DAY * DAY
        for k in range(4):
            low, high = start + k * DAY, start + (k + 1) * DAY
            write(folder / f"glbx-{k}.mbo.dbn", part(market, low, high), low, high)

    def in_one(self, folder: Path, market: np.ndarray) -> None:
        start = int(market["ts_recv"].min()) // DAY * DAY
        write(folder / "job" / "month.mbo.dbn", market, start, start + 4 * DAY)

    def sessions(self, desk: Desk) -> list[pl.DataFrame]:
        for day in SESSIONS:
            with dg.DagsterInstance.ephemeral() as instance:
                assert dg.materialize([raw_ticks(desk, "FLW", Opening)], partition_key=day, instance=instance).success
        lake = Lake(desk.lake)
        for day in SESSIONS:
            assert lake.read("recording", market="FLW", session=day)["complete"].item()
        return [lake.read("raw_ticks", market="FLW", session=day) for day in SESSIONS]

    def test_sums_over_sessions_are_sums_over_files_however_large(self, market: np.ndarray, tmp_path: Path) -> None:
        self.by_day(tmp_path / "days", market)
        self.in_one(tmp_path / "one", market)
        self.by_day(tmp_path / "both", market)
        self.in_one(tmp_path / "both", market)
        made = [self.sessions(self.desk(tmp_path / name, tmp_path / f"home-{name}")) for name in ("days", "one", "both")]
        assert pl.concat(made[0]).equals(to_frame(market))  # each of these sessions begins with the vendor's own snapshot
        for other in made[1:]:
            assert all(ours.equals(theirs) for ours, theirs in zip(other, made[0], strict=True))

    def test_a_session_that_begins_amid_trading_begins_with_what_stands(self, market: np.ndarray, tmp_path: Path) -> None:
        self.by_day(tmp_path / "days", market)
        desk = self.desk(tmp_path / "days", tmp_path / "home", (dt.time(18), dt.time(17)))
        for day in SESSIONS[:2]:
            with dg.DagsterInstance.ephemeral() as instance:
                assert dg.materialize([raw_ticks(desk, "FLW", Opening)], partition_key=day, instance=instance).success
            span = Calendar(desk).span("FLW", dt.date.fromisoformat(day))
            assert span is not None
            own = Lake(desk.lake).read("raw_ticks", market="FLW", session=day)
            begun = own.filter(pl.col("ts_recv") == span.open_ns)
            assert (begun["flags"] & F_SNAPSHOT != 0).all()
            assert begun.height > 100
            assert own[begun.height :].equals(to_frame(part(market, span.open_ns, span.close_ns)))

    def test_a_session_part_of_which_no_file_holds_is_incomplete(self, market: np.ndarray, tmp_path: Path) -> None:
        self.by_day(tmp_path / "days", market)
        (tmp_path / "days" / "glbx-1.mbo.dbn").unlink()
        source = open_source(self.desk(tmp_path / "days", tmp_path / "home"))
        (missing,) = source.lacks("FLW", dt.date(2026, 8, 25))
        assert missing == f"no file holds {SYMBOL} from 2026-08-25 00:00:00 UTC to 2026-08-25 12:30:00 UTC: add the file that does"
        assert source.lacks("FLW", dt.date(2026, 8, 27)) == []

    def test_spans_follow_one_another_from_close_to_close(self, tmp_path: Path) -> None:
        calendar = Calendar(self.desk(tmp_path, tmp_path))
        days = [dt.date(2026, 8, 24) + dt.timedelta(days=k) for k in (0, 1, 2, 3, 4, 7)]
        spans = [calendar.span("FLW", day) for day in days]
        assert calendar.span("FLW", dt.date(2026, 8, 29)) is None
        for before, after in pairwise(spans):
            assert before is not None
            assert after is not None
            assert before.close_ns == after.open_ns


class TestInstruments:
    """Venues and instruments: one at a time, or a sentence."""

    @pytest.fixture
    def rolled(self, records: np.ndarray) -> np.ndarray:
        made = records.copy()
        made["ts_recv"] += np.uint64(10 * HOUR)  # 13:30 becomes 23:30
        made["instrument_id"][made["ts_recv"] >= np.uint64(made["ts_recv"][0] // DAY * DAY + DAY)] = 2
        return made

    def test_a_continuous_symbol_is_each_instrument_on_its_dates(self, rolled: np.ndarray, tmp_path: Path) -> None:
        start, end = span_of(rolled)
        days = [dt.datetime.fromtimestamp(start // 10**9, dt.UTC).date() + dt.timedelta(days=k) for k in range(3)]
        periods = [(days[0], days[1], 1), (days[1], days[2], 2)]
        path = write(tmp_path / "c.dbn", rolled, start, end, periods, symbol="ES.c.0")
        raw = read_records([path], symbol="ES.c.0")
        assert raw.equals(to_frame(rolled))
        assert rebuild(raw).quality["instruments"].item() == 2
        assert uncovered([path], "ES.c.0", start, end) is None
        ends = write(tmp_path / "d.dbn", rolled, start, end, periods[:1], symbol="ES.c.0")
        assert "no file holds ES.c.0 from 2026-08-25 00:00:00 UTC" in str(uncovered([ends], "ES.c.0", start, end))

    def test_a_symbol_that_means_several_instruments_at_once_is_refused(self, records: np.ndarray, tmp_path: Path) -> None:
        both = records.copy()
        both["instrument_id"][1::2] = 2
        path = write(tmp_path / "p.dbn", both, *span_of(both), [1, 2], symbol="ES.FUT")
        with pytest.raises(TicksError, match=r"p\.dbn map ES\.FUT to 2 instruments at once: name one contract"):
            read_records([path], symbol="ES.FUT")

    def test_two_venues_are_refused_by_name_or_one_is_chosen(self, records: np.ndarray, tmp_path: Path) -> None:
        both = records.copy()
        both["publisher_id"][100::3] = 40
        both["publisher_id"][101::3] = 39
        path = write(tmp_path / "v.dbn", both, *span_of(both))
        for how in ({"symbol": SYMBOL}, {}):
            with pytest.raises(TicksError, match=r"3 publishers.*39 \(DBEQ\.BASIC\.XCHI\).*publisher = \d+ in .* --publisher \d+") as told:
                read_records([path], **how)
            assert "\n" not in str(told.value)
        for publisher in (39, 40):
            assert read_records([path], symbol=SYMBOL, publisher=publisher).equals(to_frame(both[both["publisher_id"] == publisher]))
        with pytest.raises(TicksError, match=f"hold no records of {SYMBOL} from publisher 77"):
            read_records([path], symbol=SYMBOL, publisher=77)

    def test_two_datasets_are_refused(self, records: np.ndarray, tmp_path: Path) -> None:
        files = [write(tmp_path / f"{name}.dbn", records, *span_of(records), dataset=name) for name in ("XNAS.ITCH", "DBEQ.BASIC")]
        with pytest.raises(TicksError, match=r"mix the datasets DBEQ\.BASIC, XNAS\.ITCH: name one with source\.dataset"):
            read_records(files, symbol=SYMBOL)

    def test_a_recording_in_which_a_symbol_was_told_anew_is_read_in_the_order_of_the_telling(
        self, records: np.ndarray, tmp_path: Path
    ) -> None:
        made = records.copy()
        made["instrument_id"][: records.size // 2], made["instrument_id"][records.size // 2 :] = 9, 2
        path = write(tmp_path / "r.dbn", made, *span_of(made), [9, 2])
        assert read_records([path], symbol=SYMBOL).equals(to_frame(made))
        with pytest.raises(TicksError, match="instruments at once"):
            read_records([write(tmp_path / "s.dbn", made, *span_of(made), [2, 9])], symbol=SYMBOL)
