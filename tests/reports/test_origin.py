"""Where the money came from, by hand: markouts, groups, the parts of the net, the day in a line of blocks."""

import numpy as np
import polars as pl
import pytest

from assets.reports import origin
from assets.reports.picture import picture, spark

# Buys 2 resting at 99.75 under a mid of 100; sells 1 by taking at 100.25 under a mid of 100.50; the mid ends at 101.
FILLS = [(10.0, 1, 99.75, 2, "maker"), (3650.0, -1, 100.25, 1, "taker"), (7200.0, -1, 101.25, 1, "maker")]
MIDS = [(0, 100.0), (12, 100.25), (18, 100.5), (7190, 101.0), (7230, 101.0)]


@pytest.fixture(scope="module")
def session(tables):
    return tables(FILLS, MIDS)


@pytest.fixture(scope="module")
def told(session) -> pl.DataFrame:
    return origin.explained(session.fills, session.orders, session.market)


def test_markouts_by_hand(told):
    table = origin.markouts(told)
    assert table["seconds"].to_list() == [0, 1, 5, 10, 60]
    # The buys, two contracts at 50 a point: 0.25 at the fill, 0.50 after 5 s, 0.75 after 10 s.
    assert table["buy"].to_list() == pytest.approx([12.5, 12.5, 25.0, 37.5, 37.5])
    # The sells: -0.25 and +0.25, equal weights; after 60 s the session is over for the second.
    assert table["sell"].to_list() == pytest.approx([0.0, 0.0, 0.0, 0.0, -12.5])
    assert table["all"].to_list() == pytest.approx([6.25, 6.25, 12.5, 18.75, (2 * 37.5 - 12.5) / 3])


def test_without_fills_there_are_no_markouts(told):
    assert origin.markouts(told.clear()).height == 0


def test_groups_count_every_fill_once(told):
    for by in (origin.by_hour(), origin.by_side(), origin.by_queue(), origin.by_score()):
        assert origin.breakdown(told, by)["contracts"].sum() == 4
    assert origin.breakdown(told, origin.by_hour())["key"].to_list() == [13, 14, 15]


def test_sides_by_hand(told):
    groups = {row["key"]: row for row in origin.breakdown(told, origin.by_side()).iter_rows(named=True)}
    assert set(groups) == {"bought, maker", "sold, maker", "sold, taker"}
    assert groups["sold, taker"]["edge"] == pytest.approx(-12.5)
    assert groups["bought, maker"]["paid"] == pytest.approx(1.5)


def test_places_in_the_queue_are_binned_by_their_first():
    asked = [0, 1, 4, 5, 9, 10, 19, 20, 50, 700, None]
    fills = pl.DataFrame({"queue_ahead": [*asked, 3], "liquidity": ["maker"] * 11 + ["taker"]})
    assert fills.select(origin.by_queue()).to_series().to_list() == [0, 1, 1, 5, 5, 10, 10, 20, 50, 50, None, None]


def test_quarters_of_the_score_are_equal_and_leave_out_orders_without_one():
    scores = pl.DataFrame({"score": [0.4, None, 0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.8]})
    assert scores.select(origin.by_score()).to_series().to_list() == [2, None, 1, 1, 2, 3, 3, 4, 4]


def test_the_parts_are_the_net(session):
    report = session.summarise()
    parts = dict(origin.made_of(report))
    assert sum(parts.values()) == pytest.approx(report["net_pnl"][0])
    # At the fill: 2 x 0.25 and 0.25 resting, -0.25 taking; then two contracts gain 0.50 each and one more 0.50.
    assert list(parts.values()) == pytest.approx([37.5, -12.5, 75.0, -6.0])


def test_the_line_of_blocks_goes_from_lowest_to_highest():
    assert spark(np.array([0.0, 7.0, 3.5])) == "▁█▅"
    assert spark(np.arange(1000.0), width=8) == "▁▂▃▄▅▆▇█"
    assert (spark(np.array([])), spark(np.array([2.0, 2.0]))) == ("", "▁▁")


def test_the_picture_says_where_the_prices_came_from(session):
    told = picture(session.equity, session.summarise().row(0, named=True))
    assert told.startswith("simulated exchange")
    assert "| +94.00 |" in told
