"""A table of the user's own as an indicator, and a class of the user's own."""

import datetime as dt

import numpy as np
import polars as pl
import pytest

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


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("times", [[3_000_000_001, 1_000_000_000], ["1970-01-01T00:00:03.000000001Z", "1970-01-01T00:00:01Z"]])
def test_a_table_is_read_sorted_from_csv_and_parquet_in_nanoseconds(tmp_path, ending, times):
    path = tmp_path / f"news.{ending}"
    table = pl.DataFrame({"when": [*times, times[0]], "score": [1.5, -2.0, None]})
    table.write_csv(path) if ending == "csv" else table.write_parquet(path)
    assert read_series(path, "score", time="when").rows() == [(1_000_000_000, -2.0), (3_000_000_001, 1.5)]


def test_timestamps_without_a_zone_are_utc(tmp_path):
    path = tmp_path / "news.parquet"
    pl.DataFrame({"ts_event": [dt.datetime(1970, 1, 1, 0, 0, 1)], "v": [1]}).write_parquet(path)
    assert read_series(path, "v").rows() == [(SECOND, 1.0)]


@pytest.mark.parametrize(
    ("content", "value", "sentence"),
    [
        ("ts_event,v\n1,2\n", "w", "has no column w: it has ts_event, v"),
        ("ts_event,v\nsoon,2\n", "v", "column ts_event holds 'soon', which is no time"),
        ("ts_event,v\n1,high\n", "v", "column v holds String, not numbers"),
        ("ts_event,v\n1,inf\n", "v", "column v holds a number that is not finite"),
    ],
)
def test_a_table_that_cannot_be_used_is_told_in_a_sentence(tmp_path, content, value, sentence):
    path = tmp_path / "news.csv"
    path.write_text(content)
    with pytest.raises(FeaturesError) as error:
        read_series(path, value)
    assert sentence in str(error.value)
    assert str(path) in str(error.value)


def test_a_missing_or_damaged_or_foreign_table_is_told_in_a_sentence(tmp_path):
    with pytest.raises(FeaturesError, match="no table at"):
        read_series(tmp_path / "none.csv", "v")
    with pytest.raises(FeaturesError, match=r"from \.csv or \.parquet, not \.xlsx"):
        read_series(tmp_path / "news.xlsx", "v")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(FeaturesError, match=r"broken\.parquet cannot be read as parquet"):
        read_series(tmp_path / "broken.parquet", "v")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"series": "a b"}, "external series 'a b': its name may hold letters, digits and _ only"),
        ({"series": "news", "delay": -1.0}, "its delay must be 0 s or more, not -1"),
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
