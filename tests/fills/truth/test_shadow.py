"""Shadow orders: what becomes of a real order, and what a queue model makes of levels and trades alone."""

import datetime as dt
from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from assets.desk import NS, Market
from assets.fills.queues import EXACT, OPTIMIST, PESSIMIST
from assets.fills.tape import Tape, make_tape
from assets.fills.truth.schema import QueueFit, ShadowOrders
from assets.fills.truth.shadow import MODELS, QueueModel, ask, fidelity, fit_exponent
from assets.hours import Window
from assets.lake import check
from assets.ticks.dbn import to_frame
from assets.ticks.exchange import Instrument, simulate

BUY, SELL = 1, -1
THREE = (QueueModel(EXACT, 1.0), QueueModel(PESSIMIST, 1.0), QueueModel(OPTIMIST, 1.0))
MS = 1_000_000
OPEN = int(dt.datetime(2026, 8, 24, 13, 30, tzinfo=dt.UTC).timestamp()) * NS
HOURS = Window(OPEN, OPEN + 600 * NS)


def question(hand, stream):
    """What was asked about the order that joined at 2 ms: (filled, end, when each model fills it, errors); milliseconds."""
    asked, estimated, errors = ask(make_tape(stream.frame(), hand.market), hand.hours, THREE, every=1)
    (o,) = np.flatnonzero(asked["ts"] == hand.open + 2 * MS)
    when = [(ts - hand.open) / MS if ts else None for ts in estimated[o].tolist()]
    return bool(asked["filled"][o]), (int(asked["ts_end"][o]) - hand.open) / MS, when, errors[o]


def queue(hand):
    """At 100: order 1 (5 contracts), 2000 (4), ours 3000 (2), 4000 (6)."""
    return hand.quiet_market(bid=100).add(1, BUY, 100, 4, 2000).add(2, BUY, 100, 2, 3000).add(3, BUY, 100, 6, 4000)


def test_a_cancel_ahead_is_missed_by_the_pessimist(hand):
    stream = queue(hand).cancel(30, 2000).trade(40, SELL, 100, (1, 5)).trade(50, SELL, 100, (3000, 2))
    filled, end, when, (error, absolute) = question(hand, stream)
    assert (filled, end) == (True, 50)
    assert when == [50, None, 50]
    # Four too many ahead from the cancel at 30 to the fill at 50, of a life of 48.
    assert error == pytest.approx([0, 4 * 20 / 48, 0])
    assert absolute == pytest.approx(error)


def test_a_cancel_behind_makes_the_optimist_imagine_a_fill(hand):
    stream = queue(hand).cancel(30, 4000).trade(40, SELL, 100, (1, 5)).cancel(50, 3000)
    filled, end, when, (error, _) = question(hand, stream)
    assert (filled, end) == (False, 50)
    assert when == [None, None, 40]
    assert error == pytest.approx([0, 0, -(6 * 10 + 4 * 10) / 48])


def test_a_late_estimate_is_followed_for_a_minute_and_no_longer(hand):
    stream = queue(hand).cancel(30, 2000).trade(40, SELL, 100, (1, 5)).trade(50, SELL, 100, (3000, 2))
    soon = stream.trade(1_000, SELL, 100, (4000, 3))
    assert question(hand, soon)[2] == [50, 1_000, 50]
    stream = queue(hand).cancel(30, 2000).trade(40, SELL, 100, (1, 5)).trade(50, SELL, 100, (3000, 2))
    assert question(hand, stream.trade(61_000, SELL, 100, (4000, 3)))[2] == [50, None, 50]


def test_a_smaller_size_of_ours_is_our_own_doing_and_a_moved_order_is_gone(hand):
    stream = queue(hand).modify(30, 3000, size=1).trade(40, SELL, 100, (1, 5), (2000, 4), (3000, 1))
    assert question(hand, stream)[:3] == (True, 40, [40, 40, 40])
    moved = queue(hand).modify(30, 3000, px=99).trade(40, SELL, 100, (1, 5), (2000, 4), (4000, 6))
    assert question(hand, moved)[:3] == (False, 30, [None, None, None])


def test_the_book_emptied_ends_every_question(hand):
    assert question(hand, queue(hand).clear(30))[:3] == (False, 30, [None, None, None])


MARKET = Market(symbol="F", tick_size=Decimal("0.1"), multiplier=Decimal(50), maker_fee=Decimal("1.4"), taker_fee=Decimal("1.4"))


def session(seed: int, events: int = 6_000, **habit: float) -> tuple[pl.DataFrame, Tape]:
    (made,) = simulate(
        seed,
        dt.date(2026, 8, 24),
        [Instrument(1, MARKET.tick, follows=False)],
        open_ns=OPEN,
        close_ns=HOURS.close_ns,
        events=events,
        alpha=1.0,
        **habit,
    )
    records = to_frame(made.records)
    return records, make_tape(records, MARKET)


@pytest.mark.parametrize("seed", range(4))
def test_where_the_queue_is_first_in_first_out_the_exact_one_is_right_and_the_bounds_are_bounds(seed):
    asked, estimated, errors = ask(session(seed)[1], HOURS, THREE, every=1)
    filled, end = asked["filled"] == 1, asked["ts_end"]
    believed = (estimated > 0) & (estimated <= end[:, None])
    assert filled.sum() > 200
    assert (estimated[filled, 0] == end[filled]).all()
    assert not believed[~filled, 0].any()
    assert not errors[:, :, 0].any()
    assert not believed[~filled, 1].any(), "the pessimist imagines no fill"
    assert believed[filled, 2].all(), "the optimist misses none"
    assert (believed[:, 1] <= believed[:, 2]).all()
    assert (errors[:, 0, 1] >= 0).all()
    assert (errors[:, 0, 2] <= 0).all()


def test_an_answer_does_not_depend_on_what_comes_after_it():
    records, tape = session(1)
    moment = OPEN + 300 * NS
    early = make_tape(records.filter(pl.col("ts_event") <= moment), MARKET)
    whole, cut = (ask(each, HOURS, MODELS, every=1) for each in (tape, early))
    ended = (whole[0]["ts_end"] < moment - 60 * NS) & (whole[0]["ts_end"] > 0)
    n = len(cut[0])
    assert ended.sum() > 500
    for of_whole, of_cut in zip(whole, cut, strict=True):
        assert (of_whole[:n][ended[:n]] == of_cut[ended[:n]]).all()


def test_the_table_keeps_its_contract_and_counts_every_fate_once():
    table = fidelity(session(2)[1], HOURS, every=2)
    check(table, ShadowOrders, "shadow_orders")
    assert table.height == len(MODELS)
    counts = table.select(pl.col("filled_estimated") == pl.col("filled") - pl.col("missed") + pl.col("imagined"))
    assert counts.to_series().all()
    assert table["told_right"].to_list() == pytest.approx((1 - (table["missed"] + table["imagined"]) / table["orders"]).to_list())
    assert table.row(0, named=True)["told_right"] == 1.0


def test_a_session_without_orders_near_the_touch_has_no_rows(hand):
    late = Window(hand.open + 3_000 * MS, hand.hours.close_ns)
    assert fidelity(make_tape(queue(hand).frame(), hand.market), late).is_empty()


def test_the_exponent_with_most_fates_right_over_all_sessions_is_fitted():
    def row(queue: str, exponent: float, missed: int, imagined: int) -> dict[str, object]:
        return {"queue": queue, "exponent": exponent, "orders": 100, "missed": missed, "imagined": imagined}

    measured = pl.DataFrame(
        [
            row("exact", 1.0, 0, 0), row("power", 1.0, 9, 0), row("power", 3.0, 0, 8), row("share", 2.0, 1, 1), row("share", 5.0, 2, 0),
            row("power", 1.0, 0, 0), row("power", 3.0, 2, 2), row("share", 2.0, 1, 1), row("share", 5.0, 1, 1),
        ]
    )  # fmt: skip
    fitted = fit_exponent(measured)
    check(fitted, QueueFit, "queue_fit")
    assert fitted.rows() == [("power", 1.0, 2, 200, pytest.approx(0.955)), ("share", 2.0, 2, 200, pytest.approx(0.98))]


def test_the_fitted_exponent_follows_the_habit_of_the_cancels():
    fitted = {}
    for back in (0.25, 0.85):
        told = fidelity(session(1, back=back)[1], HOURS, every=1)
        wrong = dict(told.filter(exponent=1.0).select("queue", pl.col("missed") + pl.col("imagined")).iter_rows())
        fitted[back] = wrong, dict(fit_exponent(told).select("queue", "exponent").iter_rows())
    (often, low), (seldom, high) = fitted.values()
    assert often["exact"] == seldom["exact"] == 0
    assert often["pessimist"] > often["optimist"] > 0
    assert 0 < seldom["pessimist"] < seldom["optimist"]
    assert low["share"] < high["share"]
    assert low["power"] < high["power"]
