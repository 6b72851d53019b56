"""A table of the user's own as an indicator, and a class of the user's own."""

import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.features.build import build
from assets.features.errors import FeaturesError
from assets.features.indicators import CLASSES
from assets.features.indicators.base import Indicator, Market, Slot
from assets.features.indicators.external import External
from assets.features.indicators.imbalance import Skew
from assets.features.kernel import Stream
from assets.features.tables import read_series

SECOND = 1_000_000_000


def test_the_last_value_whose_delay_is_over_is_the_indicators(make):
    books = make.books(*((s * SECOND, [(100, s, 1)], [(101, 9, 1)]) for s in (1, 2, 3, 4, 5)))
    news = pl.DataFrame({"ts_event": [0, 2 * SECOND, 4 * SECOND], "value": [0.25, -1.0, 2.0]})
    found = build(
        books, make.trades(), {}, tick=make.tick, leader_ticks={}, horizon_ns=SECOND,
        chosen=[External(series="news", delay=1.5), External(series="mood", delay=0.0, sign=-1)],
        series={"news": news, "mood": news},
    )  # fmt: skip
    assert found["external_news"].to_list() == [0.0, 0.25, 0.25, -1.0, -1.0]  # 0, 2 and 4 s are known at 1.5, 3.5 and 5.5 s
    assert found["external_mood"].to_list() == [-0.25, 1.0, 1.0, -2.0, -2.0]


OPEN = dt.datetime(2026, 9, 22, 13, 30, tzinfo=dt.UTC)
NOW = int(OPEN.timestamp()) * SECOND
WRITTEN = "2026-09-22T13:30:00"


def written(ns: int, hours: int) -> str:
    """A moment by a clock so many hours ahead of UTC."""
    return f"{dt.datetime.fromtimestamp(ns // SECOND, dt.timezone(dt.timedelta(hours=hours))):%Y-%m-%dT%H:%M:%S}.{ns % SECOND:09}"


WAYS = {
    "ns": (lambda ns: ns, {}),
    "us": (lambda ns: -(-ns // 1_000), {"time_unit": "us"}),
    "ms": (lambda ns: -(-ns // 1_000_000), {"time_unit": "ms"}),
    "s": (lambda ns: -(-ns // SECOND), {"time_unit": "s"}),
    "fractions": (lambda ns: f"{ns // SECOND}.{ns % SECOND:09}", {"time_unit": "s"}),
    "utc": (lambda ns: f"{written(ns, 0)}Z", {}),
    "offset": (lambda ns: f"{written(ns, -5).replace('T', ' ')}-05:00", {}),
}
"""How a moment may be written, rounded up where the unit is too coarse for it, and what the desk then says."""


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("times", [[NOW + 1, NOW], [f"{WRITTEN}.000000001Z", "2026-09-22 15:30+02:00"]])
def test_a_table_is_read_sorted_from_csv_and_parquet_in_nanoseconds(tmp_path, ending, times):
    path = tmp_path / f"news.{ending}"
    table = pl.DataFrame({"when": [*times, times[0]], "score": [1.5, -2.0, None]})
    table.write_csv(path) if ending == "csv" else table.write_parquet(path)
    assert read_series(path, "score", time="when").rows() == [(NOW, -2.0), (NOW + 1, 1.5)]


def test_timestamps_without_a_zone_are_utc(tmp_path):
    pl.DataFrame({"ts_event": [OPEN.replace(tzinfo=None)], "v": [1]}).write_parquet(tmp_path / "news.parquet")
    pl.DataFrame({"ts_event": [WRITTEN], "v": [1]}).write_csv(tmp_path / "news.csv")
    assert read_series(tmp_path / "news.parquet", "v").rows() == read_series(tmp_path / "news.csv", "v").rows() == [(NOW, 1.0)]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_no_value_is_in_force_before_it_was_known_and_the_last_known_always_is(tmp_path_factory, data):
    """However its times are written, and whatever comes later."""
    way = data.draw(st.sampled_from(sorted(WAYS)))
    write, said = WAYS[way]
    known = data.draw(st.lists(st.integers(NOW - 20 * SECOND, NOW + 20 * SECOND), min_size=1, max_size=6, unique=True))
    seconds, sign = data.draw(st.sampled_from([0.0, 0.5, 3.0])), data.draw(st.sampled_from([1, -1]))
    path = tmp_path_factory.mktemp("series") / "news.csv"
    pl.DataFrame({"t": [str(write(ns)) for ns in known], "v": [float(k + 1) for k in range(len(known))]}).write_csv(path)
    series = read_series(path, "v", time="t", sessions=(OPEN.date(), OPEN.date()), **said)
    assert (series["ts_event"].sort() >= pl.Series(sorted(known))).all()
    delay = round(seconds * SECOND)
    for t in sorted({NOW, *(ns + delay + step for ns in series["ts_event"] for step in (-1, 0))}):
        in_force = series.filter(pl.col("ts_event") + delay <= t)["value"]
        assert value_at(t, series, seconds, sign) == (sign * in_force[-1] if len(in_force) else 0.0)


def value_at(t, series, delay, sign) -> float:
    """What the indicator says at t, from a session of one book."""
    book = pl.DataFrame({"ts_event": [t], "row": [1]}, schema={"ts_event": pl.Int64, "row": pl.UInt32})
    levels = {"px": (100, 101), "sz": (1, 1), "ct": (1, 1)}
    for level in range(10):
        for kind, values in levels.items():
            for side, value in zip(("bid", "ask"), values, strict=True):
                column = pl.lit(value if level == 0 else None, pl.Int64)
                book = book.with_columns(column.alias(f"{side}_{kind}_{level:02d}"))
    trades = pl.DataFrame(schema={"ts_event": pl.Int64, "row": pl.UInt32, "price": pl.Int64, "size": pl.Int64, "aggressor": pl.Int8})
    chosen = [External(series="news", delay=delay, sign=sign)]
    return build(book, trades, {}, tick=1, leader_ticks={}, horizon_ns=SECOND, chosen=chosen, series={"news": series})["external_news"][0]


@pytest.mark.parametrize(("unit", "factor"), [("us", 1_000), ("ms", 1_000_000), ("s", SECOND)])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_numbers_of_another_unit_are_refused_with_the_unit_that_fits_and_read_once_it_is_stated(tmp_path, unit, factor, ending):
    path = tmp_path / f"news.{ending}"
    table = pl.DataFrame({"ts_event": [NOW // factor, NOW // factor + 1], "v": [1.0, 2.0]})
    table.write_csv(path) if ending == "csv" else table.write_parquet(path)
    with pytest.raises(FeaturesError, match=f'set time_unit = "{unit}"'):
        read_series(path, "v")
    assert read_series(path, "v", time_unit=unit)["ts_event"].to_list() == [NOW, NOW + factor]
    other = next(name for name in ("s", "ms", "us") if name != unit)
    with pytest.raises(FeaturesError, match=f'set time_unit = "{unit}"'):
        read_series(path, "v", time_unit=other)


@pytest.mark.parametrize(
    "times",
    [
        [OPEN.date()],
        [OPEN.time()],
        [dt.timedelta(days=20_000)],
        [True],
        ["10/09/2026 13:30"],
        ["2026-09-22"],
        ["22.09.2026 13:30"],
        ["20260922T133000Z"],
        ["2026-02-30T13:30:00Z"],
        ["2026-09-22T25:30:00Z"],
        [20260922],
        [0, NOW],
        [NOW, NOW // SECOND],
        [46_287.5],
        [2**63 + 1],
    ],
)
def test_what_is_no_moment_of_a_markets_years_is_refused(tmp_path, times):
    path = tmp_path / "news.parquet"
    pl.DataFrame({"ts_event": times, "v": [1.0] * len(times)}).write_parquet(path)
    with pytest.raises(FeaturesError) as error:
        read_series(path, "v")
    assert str(path) in str(error.value)
    assert "no time" in str(error.value) or "write moments" in str(error.value)


@pytest.mark.parametrize(("days", "refused"), [(-400, True), (-300, False), (300, False), (400, True)])
def test_a_series_with_no_row_within_a_year_of_the_sessions_is_refused(tmp_path, days, refused):
    path = tmp_path / "news.csv"
    path.write_text(f"ts_event,v\n{NOW + days * 86_400 * SECOND},1\n")
    if not refused:
        assert read_series(path, "v", sessions=(OPEN.date(), OPEN.date())).height == 1
        return
    with pytest.raises(FeaturesError, match="no row lies within a year of the desk's sessions, 2026-09-22 to 2026-09-22"):
        read_series(path, "v", sessions=(OPEN.date(), OPEN.date()))


@pytest.mark.parametrize("first", ["0", "", "1"])
@pytest.mark.parametrize("last", ["0.5", "-1e-3", "2"])
def test_a_column_of_numbers_is_read_whatever_its_first_rows_are(tmp_path, first, last):
    path = tmp_path / "news.csv"
    path.write_text("ts_event,v\n" + "".join(f"{NOW + n},{first}\n" for n in range(150)) + f"{NOW + 150},{last}\n")
    read = read_series(path, "v")["value"]
    assert read[-1] == float(last)
    assert len(read) == (1 if not first else 151)


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_csv_is_utf_8_with_or_without_a_mark_and_has_any_line_ends(tmp_path, ends, mark):
    path = tmp_path / "news.csv"
    path.write_bytes(mark + ends.join(["ts_event,größe", f"{NOW},1.5", "", ""]).encode())
    assert read_series(path, "größe").rows() == [(NOW, 1.5)]
    path.write_bytes("ts_event,größe\n".encode("latin-1"))
    with pytest.raises(FeaturesError, match=r"is not UTF-8 \(line 1\): save it as UTF-8"):
        read_series(path, "größe")


@pytest.mark.parametrize(
    ("content", "value", "said", "sentence"),
    [
        ("ts_event,v\n1,2\n", "w", {}, "has no column w: it has ts_event, v"),
        ("ts_event,v\nsoon,2\n", "v", {}, "column ts_event holds 'soon', which is no time"),
        (f"ts_event,v\n{NOW},high\n", "v", {}, "column v holds 'high', no finite number"),
        (f"ts_event,v\n{NOW},inf\n", "v", {}, "column v holds 'inf', no finite number"),
        (f"ts_event,v\n{NOW},1\n", "ts_event", {}, "is both time and value"),
        ("ts_event,v\n,1\n", "v", {}, "column ts_event holds None, which is no time"),
        ("ts_event,v\n", "v", {"sessions": (OPEN.date(), OPEN.date())}, "it has none with a value"),
        (f"ts_event,v\n{NOW},1,2\n", "v", {}, "cannot be read as CSV"),
    ],
)
def test_a_table_that_cannot_be_used_is_told_in_a_sentence(tmp_path, content, value, said, sentence):
    path = tmp_path / "news.csv"
    path.write_text(content)
    with pytest.raises(FeaturesError) as error:
        read_series(path, value, **said)
    assert sentence in str(error.value)
    assert str(path) in str(error.value)


def test_timestamps_say_their_own_unit(tmp_path):
    path = tmp_path / "news.parquet"
    pl.DataFrame({"ts_event": [OPEN], "v": [1]}).write_parquet(path)
    with pytest.raises(FeaturesError, match="says its own unit: leave time_unit out"):
        read_series(path, "v", time_unit="s")


def test_a_missing_or_damaged_or_foreign_table_is_told_in_a_sentence(tmp_path):
    with pytest.raises(FeaturesError, match="no table at"):
        read_series(tmp_path / "none.csv", "v")
    with pytest.raises(FeaturesError, match=r"from \.csv or \.parquet, not \.xlsx"):
        read_series(tmp_path / "news.xlsx", "v")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(FeaturesError, match=r"broken\.parquet cannot be read as Parquet"):
        read_series(tmp_path / "broken.parquet", "v")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"series": "a b"}, "external series 'a b': its name may hold letters, digits and _ only"),
        ({"series": "news", "delay": -1.0}, "its delay must be 0 s to ten years (3.2e+08 s), not -1"),
        ({"series": "news", "sign": 0}, "its sign must be 1 or -1, not 0"),
        ({"series": "news", "smallest": 2.0, "largest": 1.0}, "smallest must be above 0 and below largest, not 2 and 1"),
        ({"series": "news", "leader": "LDR"}, "belongs to no market: leave out leader LDR"),
    ],
)
def test_a_wrong_series_is_named(wrong, sentence):
    with pytest.raises(FeaturesError) as error:
        External(**wrong)
    assert sentence in str(error.value)


def test_a_series_without_a_table_is_named(make):
    with pytest.raises(FeaturesError, match="indicator external_news has no table"):
        build(*make.random(1), {}, tick=make.tick, leader_ticks={}, horizon_ns=SECOND, chosen=[External(series="news")])


def test_an_indicator_is_added_by_defining_its_class(make):
    """Also where the loop has been compiled before: it is compiled anew, with the class in it."""
    before = list(CLASSES)
    CLASSES[:] = [Skew]  # a loop of all classes takes long to compile
    try:
        event = np.zeros((6, 10), dtype=np.int64)
        event[:4, 0] = 100 * make.tick, 101 * make.tick, 7, 4
        assert Stream([Skew()], [], [make.tick]).book("", 1, event) is not None

        class Twice(Indicator):
            """2 (B - A), contracts."""

            stem, unit, scale = "twice", "contracts", (1.0, 100.0)

            @staticmethod
            def _step(market: Market, own: Market, mine: Slot) -> float:
                return 2.0 * (market.now.bid_size[0] - market.now.ask_size[0])

        stream = Stream([Twice()], [], [make.tick])
        assert stream.book("", 1, event).tolist() == [6.0]
    finally:
        CLASSES[:] = before
