"""Which rows there are, what they are stamped with, and the label."""

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from assets.features import kernel
from assets.features.build import build, indicator_names
from assets.features.errors import FeaturesError
from assets.features.indicators import grid, imbalance, motion
from assets.features.schema import FeatureTable, contract
from assets.lake import check

SECOND = 1_000_000_000
T0 = 1_000 * SECOND


def at(seconds: float) -> int:
    return T0 + int(seconds * SECOND)


def quote(seconds, bid, ask, bid_size=5, ask_size=5):
    return (at(seconds), [(bid, bid_size, 1)] if bid_size else [], [(ask, ask_size, 1)] if ask_size else [])


@pytest.fixture(scope="session")
def session(make):
    """Builds the table of own quotes and a leader's, with skew and momentum only."""

    def table(*own, leader=None, horizon=10 * SECOND, trades=(), **more):
        leaders = {} if leader is None else {"LDR": (make.books(*leader), make.trades())}
        return build(
            make.books(*own), make.trades(*trades), leaders, tick=make.tick, leader_ticks={"LDR": make.tick}, horizon_ns=horizon,
            chosen=[imbalance.Skew(), motion.Momentum(tau=2.0)], **more,
        )  # fmt: skip

    return table


def test_a_row_for_each_change_of_the_best_prices_or_sizes(make):
    deeper = [(99, 3, 1)]
    books = make.books(
        (at(0), [(100, 5, 1)], [(101, 5, 1)]),
        (at(1), [(100, 5, 1), *deeper], [(101, 5, 1)]),  # only deeper
        (at(2), [(100, 5, 2), *deeper], [(101, 5, 1)]),  # only the count
        (at(3), [(100, 6, 2), *deeper], [(101, 5, 1)]),
        (at(4), [(100, 6, 2), *deeper], [(102, 5, 1)]),
    )
    found = build(books, make.trades(), {}, tick=make.tick, leader_ticks={}, horizon_ns=SECOND)
    assert found["ts_event"].to_list() == [at(0), at(3), at(4)]
    assert found["row"].to_list() == [0, 3, 4]
    check(found, contract(indicator_names([])), "feature_table of a test")


def test_a_leaders_change_makes_a_row_that_names_the_last_own_row(session):
    own = [quote(1, 100, 101), quote(3, 100, 102)]
    leader = [quote(0, 50, 51), quote(2, 50, 52), quote(4, 50, 53)]
    found = session(*own, leader=leader)
    assert found.select("ts_event", "row", "own").rows() == [(at(1), 0, True), (at(2), 0, False), (at(3), 1, True), (at(4), 1, False)]
    assert found["ask_px"].to_list() == [101 * 250_000_000] * 2 + [102 * 250_000_000] * 2


def test_at_equal_stamps_the_traded_market_does_not_know_the_leader(make):
    leader = make.books(quote(1, 50, 51, bid_size=9, ask_size=3)), make.trades()
    found = build(
        make.books(quote(1, 100, 101)), make.trades(), {"LDR": leader}, tick=make.tick, leader_ticks={"LDR": make.tick},
        horizon_ns=SECOND, chosen=[imbalance.Skew("LDR")],
    )  # fmt: skip
    assert found.select("own", "ldr_skew").rows() == [(True, 0.0), (False, 0.5)]


def test_no_rows_while_the_own_book_is_one_sided_or_locked(session):
    own = [quote(0, 100, 101, ask_size=0), quote(1, 100, 101), quote(2, 101, 101), quote(4, 101, 102)]
    leader = [quote(0.5, 50, 51), quote(3, 50, 52), quote(5, 50, 53)]
    found = session(*own, leader=leader)
    assert found["ts_event"].to_list() == [at(1), at(4), at(5)]


def test_a_one_sided_leader_leaves_its_last_whole_book_in_force(make):
    leader = make.books(quote(0, 50, 51, 9, 3), quote(1, 50, 51, 9, 0)), make.trades()
    own = make.books(quote(0.5, 100, 101), quote(2, 100, 102)), make.trades()
    found = build(*own, {"LDR": leader}, tick=make.tick, leader_ticks={"LDR": make.tick}, horizon_ns=SECOND, chosen=[imbalance.Skew("LDR")])
    assert found.select("ts_event", "ldr_skew").rows() == [(at(0.5), 0.5), (at(2), 0.5)]


def test_the_label_is_the_mid_in_force_one_horizon_later_in_ticks(session):
    found = session(quote(0, 100, 101), quote(4, 101, 102), quote(10, 103, 104), quote(10.5, 100, 102), quote(30, 100, 101))
    # 10 s after 0 s is exactly the stamp of the third quote, which is in force then; after 4 s (14 s) the fourth is.
    assert found["label"].to_list() == [3.0, -0.5, -2.5, 0.0, None]


def test_a_book_without_two_sides_leaves_the_mid_before_it_in_force(session):
    found = session(quote(0, 100, 101), quote(9, 104, 105, bid_size=0), quote(20, 110, 111), horizon=10 * SECOND)
    assert found["label"].to_list()[0] == 0.0


def test_the_label_is_null_where_it_would_reach_past_the_close(session):
    own = [quote(0, 100, 101), quote(4, 101, 102), quote(5, 102, 103), quote(20, 90, 91)]
    found = session(*own, open_ns=at(0), close_ns=at(15))
    assert found["ts_event"].to_list() == [at(0), at(4), at(5)]
    assert found["label"].to_list() == [2.0, 1.0, None]  # the close is not in the session, so 5 s + 10 s is past it


def test_the_label_is_null_where_the_data_ended_before(session):
    """A feed that broke off at 12 s says nothing of what the mid was at 14 s."""
    found = session(quote(0, 100, 101), quote(4, 101, 102), quote(12, 103, 104), open_ns=at(0), close_ns=at(1000))
    assert found["label"].to_list() == [1.0, None, None]


def test_what_was_before_the_open_is_not_remembered(session):
    before = [quote(-5, 80, 81), quote(-1, 99, 100)]
    during = [quote(0, 100, 101), quote(1, 101, 102)]
    assert_frame_equal(
        session(*before, *during, open_ns=at(0)).drop("row"),
        session(*during, open_ns=at(0)).drop("row"),
    )


def test_trades_count_from_the_book_event_that_they_belong_to(make):
    from assets.features.indicators.flow import TradeRun

    books = make.books(quote(0, 100, 101), quote(1, 100, 101, 4), quote(1, 100, 101, 3), rows=[0, 2, 4])
    trades = make.trades((at(1), 1, 100, 1, -1), (at(1), 3, 100, 1, -1))
    found = build(books, trades, {}, tick=make.tick, leader_ticks={}, horizon_ns=SECOND, chosen=[TradeRun()])
    assert found["run"].to_list() == [0.0, -1.0, -2.0]


def test_a_session_without_books_gives_the_same_columns_and_no_rows(make, session):
    empty = build(make.books(), make.trades(), {"LDR": make.random(1)}, tick=make.tick, leader_ticks={"LDR": make.tick}, horizon_ns=SECOND)
    check(empty, contract(indicator_names(["LDR"])), "feature_table of a test")
    assert empty.height == 0
    assert empty.columns == [*FeatureTable.empty().columns, *indicator_names(["LDR"])]


def test_a_leader_without_a_tick_is_named(make):
    with pytest.raises(FeaturesError, match="leader LDR has no tick size"):
        build(make.books(), make.trades(), {"LDR": make.random(1)}, tick=make.tick, leader_ticks={}, horizon_ns=SECOND)


def test_the_grid_gives_each_column_a_scale():
    scales = grid(["LDR"])
    assert list(scales) == indicator_names(["LDR"])
    assert all(0 < lo < hi for lo, hi in scales.values())


def test_two_runs_give_the_same_bytes_and_one_compilation_serves_all(make):
    ticks, leader = make.random(3), {"LDR": make.random(4)}
    once, again = (build(*ticks, leader, tick=make.tick, leader_ticks={"LDR": make.tick}, horizon_ns=SECOND) for _ in range(2))
    assert once.equals(again)
    build(*ticks, {}, tick=make.tick, leader_ticks={}, horizon_ns=SECOND)
    build(*(frame.head(0) for frame in ticks), leader, tick=make.tick, leader_ticks={"LDR": make.tick}, horizon_ns=SECOND)
    assert len(kernel.batch.signatures) == 1


def test_the_contract_refuses_a_number_that_is_none(make):
    found = build(*make.random(3), {}, tick=make.tick, leader_ticks={}, horizon_ns=SECOND)
    for value in (None, float("nan"), float("inf")):
        broken = found.with_columns(skew=pl.lit(value, pl.Float32))
        with pytest.raises(Exception, match="skew"):
            check(broken, contract(indicator_names([])), "feature_table of a test")
