"""What records do to a queue: each kind of record becomes what happened to a price, and when its order joined."""

from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest

from assets.books import codes
from assets.books.rebuild import applied, rebuild
from assets.desk import Market
from assets.fills.errors import FillsError
from assets.fills.rows import ADDED, CLEARED, FILLED, REMOVED, TRADED
from assets.fills.tape import aggregated, double_mids, last_double_mid, make_tape

BUY, SELL = 1, -1


def rows(tape):
    """(kind, price in ticks, contracts) of each row."""
    return [(int(row["kind"]), int(row["px"]) + tape.base, int(row["size"])) for row in tape.rows]


@pytest.fixture
def stream(hand: SimpleNamespace):
    return hand.Stream().add(0, BUY, 100, 5, 1).add(1, SELL, 102, 5, 2)


def test_an_add_joins_the_back_of_its_queue(stream):
    tape = stream.add(2, BUY, 100, 3, 3).tape()
    assert rows(tape)[2] == (ADDED, 100, 3)
    assert tape.rows["priority"][2] > tape.rows["priority"][0]


def test_the_touch_after_each_row_is_on_the_row(stream):
    tape = stream.add(2, BUY, 101, 1, 3).cancel(3, 3).tape()
    assert list(tape.rows["bid"] + tape.base)[1:] == [100, 101, 100]
    assert list(tape.rows["ask"] + tape.base)[1:] == [102, 102, 102]


def test_a_smaller_size_keeps_the_place_and_a_larger_one_loses_it(stream):
    less, more = stream.modify(2, 1, size=4).modify(3, 1, size=6).tape().rows[2:4], stream.tape().rows[3:]
    assert (less["kind"][0], less["size"][0], less["priority"][0]) == (REMOVED, 1, 0)
    assert [(r["kind"], r["size"]) for r in more] == [(REMOVED, 4), (ADDED, 6)]
    assert more["priority"][1] > more["priority"][0]


def test_a_new_price_is_a_removal_and_an_addition_at_the_back(stream):
    tape = stream.modify(2, 1, px=101).tape()
    assert rows(tape)[2:] == [(REMOVED, 100, 5), (ADDED, 101, 5)]


def test_a_fill_takes_its_contracts_off_once_though_a_cancel_follows(stream):
    assert rows(stream.trade(2, SELL, 100, (1, 5)).tape())[2:] == [(FILLED, 100, 5)]


def test_a_partial_fill_takes_its_contracts_off_once_though_a_modify_follows(stream):
    tape = stream.trade(2, SELL, 100, (1, 2)).cancel(3, 1).tape()
    assert rows(tape)[2:] == [(FILLED, 100, 2), (REMOVED, 100, 3)]


def test_a_partial_fill_may_be_followed_by_a_cancel_of_what_traded(stream):
    stream.trade(2, SELL, 100, (1, 2))
    stream.records[-1] |= {"action": ord("C"), "size": 2}  # as venues without a size in their modifies send it
    assert rows(stream.cancel(3, 1).tape())[2:] == [(FILLED, 100, 2), (REMOVED, 100, 3)]


def test_a_refilled_iceberg_goes_to_the_back(hand, stream):
    stream.add(2, BUY, 100, 7, 3).trade(3, SELL, 100, (1, 2))
    stream.records[-1]["size"] = 5  # the modify after the fill shows the full size again
    tape = stream.tape()
    assert rows(tape)[3:] == [(FILLED, 100, 2), (REMOVED, 100, 3), (ADDED, 100, 5)]
    assert tape.rows["priority"][-1] > tape.rows["priority"][2]


def test_traded_contracts_that_no_fill_explains_are_kept_as_such(stream):
    assert rows(stream.trade(2, SELL, 100, (1, 5), unseen=4).tape())[2:] == [(FILLED, 100, 5), (TRADED, 100, 4)]
    assert rows(stream.trade(3, BUY, 102, unseen=2).tape())[-1] == (TRADED, 102, 2)


def test_a_second_snapshot_replaces_the_first(hand, stream):
    snapshot = codes.F_SNAPSHOT
    stream.add(2, BUY, 90, 1, 1, flags=snapshot).add(2, SELL, 92, 1, 2, flags=snapshot | codes.F_LAST)
    tape = stream.tape()
    assert rows(tape)[2][0] == CLEARED
    assert (tape.rows["bid"][-1] + tape.base, tape.rows["ask"][-1] + tape.base) == (90, 92)


def test_the_mid_of_a_one_sided_market_is_the_last_one_it_had(stream):
    tape = stream.cancel(2, 1).tape()
    assert list(double_mids(tape)) == [202, 202, 202]
    assert last_double_mid(tape) == 202


def test_an_order_too_far_away_to_matter_leaves_no_contracts(stream):
    tape = stream.add(2, SELL, 10_000_000, 1, 3).add(3, SELL, 101, 1, 4).tape()
    assert rows(tape)[-1] == (ADDED, 101, 1)
    assert [int(size) for size in tape.rows["size"]] == [5, 5, 0, 1]


def test_a_tick_that_the_best_prices_are_no_multiples_of_is_refused_with_their_amount(hand, stream):
    coarse = Market(symbol="TEST", tick_size="0.5")
    with pytest.raises(FillsError, match=r"best price 25\.25 is no multiple of the tick size 0\.5"):
        make_tape(stream.add(2, BUY, 101, 1, 9).frame(), coarse)


def test_an_order_between_two_ticks_behind_the_touch_leaves_no_contracts(hand, stream):
    stub = stream.add(2, BUY, 40, 5, 9)
    stub.records[-1]["price"] += 1
    tape = stub.add(3, BUY, 101, 1, 10).tape()
    assert [int(size) for size in tape.rows["size"]] == [5, 5, 0, 1]
    assert list(tape.rows["bid"][1:] + tape.base) == [100, 100, 101]


@pytest.mark.parametrize("aggressor", [BUY, SELL, 0])
def test_a_trade_between_two_ticks_changes_no_queue(hand, stream, aggressor):
    before = stream.tape()
    stream.trade(2, aggressor, 100, unseen=5)
    stream.records[-1]["price"] += hand.tick // 2
    after = stream.tape()
    assert (after.rows[:2] == before.rows).all()
    assert not after.rows["size"][2:].any()


def test_trades_alone_are_refused(hand, stream):
    with pytest.raises(FillsError, match="trades alone show no queue"):
        make_tape(stream.frame().drop("order_id"), hand.market)


def test_the_touch_of_real_records_is_that_of_the_rebuilt_book(shared_data):
    from assets.ticks.dbn import read_records

    raw = read_records([shared_data / "esh4-glbx-mdp3-20231225.mbo.dbn.zst"])
    made = rebuild(raw)
    tape = make_tape(applied(raw, made.quarantine), Market(symbol="ESH4", tick_size="0.25", multiplier=50))
    book = made.books.select("ts_event", "bid_px_00", "ask_px_00").drop_nulls().group_by("ts_event", maintain_order=True).last()
    last = np.searchsorted(tape.rows["ts"], book["ts_event"], side="right") - 1
    for ours, theirs in (("bid", "bid_px_00"), ("ask", "ask_px_00")):
        assert (((tape.rows[ours][last].astype(np.int64) + tape.base) * 250_000_000) == book[theirs].to_numpy()).all()


def test_an_order_moved_through_the_market_takes_and_fills_nobody_where_it_stood(hand):
    """As CME sends it: the aggressor is a bid that stood four ticks down, with a fill record of its own at the price it met."""
    stream = hand.quiet_market(bid=100, ask=102)
    wire = hand.Wire(stream.trade(50, 1, 102, (5, 2), (101, 2)), latency_ms=0)  # order 5 rested at 96
    ours = wire.send(10, 1, 99)
    assert wire.run().filled(ours) == 0
    assert not wire.fills


def test_an_order_that_joins_after_a_clear_joins_behind_ours_whoever_joined_before_it(hand):
    """A book emptied with and without a snapshot after it, one whose orders lie off the ladder: nothing hangs on an order elsewhere."""
    ours = []
    for restored, other in product(([], [(BUY, 99, 7)], [(SELL, 10_000_000, 7), (BUY, 99, 7)]), (False, True)):
        stream, flags = hand.quiet_market().clear(100), codes.F_SNAPSHOT
        for k, (side, px, size) in enumerate(restored):
            stream.add(100, side, px, size, 500 + k, flags=flags)
        if other:
            stream.add(150, SELL, 105, 1, 600)
        stream.add(160, BUY, 99, 3, 601).trade(200, SELL, 99, *(((500 + len(restored) - 1, 7),) if restored else ()), (601, 2))
        market = hand.Wire(stream)
        order = market.send(10, BUY, 99, 1)
        ours.append(market.run().filled(order))
    assert ours == [1] * 6


@pytest.mark.parametrize("seed", range(4))
def test_a_tape_is_the_same_in_whatever_order_an_event_lists_its_fills(hand, seed):
    """Sellers sweep three prices of three orders each; of some trades a contract is hidden."""
    random = np.random.default_rng(seed)
    stream, ids = hand.quiet_market(), iter(range(1_000, 10_000))
    listed, shuffled = [], []
    for at in range(10, 400, 10):
        queues = {px: [(next(ids), int(random.integers(1, 5))) for _ in range(3)] for px in (103, 102, 101)}
        for px, queue in queues.items():
            for order, size in queue:
                stream.add(at, BUY, px, size, order)
        listed += stream.records
        stream.records = []
        for px, queue in queues.items():
            stream._write(at + 5, "T", SELL, px, sum(size for _, size in queue) + int(random.integers(0, 2)), 0, 0)
            for order, size in queue:
                stream._write(at + 5, "F", BUY, px, size, order, 0)
        event, stream.records = stream.records, []
        fills = [record for record in event if record["action"] == ord("F")]
        for px, queue in queues.items():
            for order, size in queue:
                stream._write(at + 5, "C", BUY, px, size, order, 0)
        stream.records[-1]["flags"] = codes.F_LAST
        mixed = iter([fills[k] for k in random.permutation(len(fills))])
        listed += event + stream.records
        shuffled.append((len(listed) - len(event) - len(stream.records), [next(mixed) if r["action"] == ord("F") else r for r in event]))
        stream.records = []
    other = list(listed)
    for place, event in shuffled:
        other[place : place + len(event)] = event
    assert other != listed
    one, two = (make_tape(type(stream)(records).frame(), hand.market) for records in (listed, other))
    assert np.array_equal(one.rows, two.rows)
    assert {int(kind) for kind in one.rows["kind"]} == {ADDED, FILLED, TRADED}


def test_of_an_event_we_get_what_is_left_after_those_before_us_however_it_is_listed(hand):
    for met in (((1, 5), (200, 2)), ((200, 2), (1, 5))):
        market = hand.Wire(hand.quiet_market().add(30, BUY, 100, 3, 200).trade(60, SELL, 100, *met))
        order = market.send(5, BUY, 100, 1)
        assert market.run().filled(order) == 1


def test_the_aggregated_view_of_an_order_that_grows_is_growth_and_of_one_that_shrinks_by_leaving_a_loss(stream):
    tape = stream.add(2, BUY, 99, 4, 3).modify(3, 1, size=8).modify(4, 3, px=98).add(5, BUY, 99, 1, 4).tape()
    stream.cancel(6, 2).add(6, SELL, 102, 2, 5)  # leaves five, and two join in the same moment
    whole, seen = rows(stream.tape()), aggregated(stream.tape())
    assert (REMOVED, 100, 5) in whole
    assert rows(seen)[3:] == [(ADDED, 100, 3), (REMOVED, 99, 4), (ADDED, 98, 4), (ADDED, 99, 1), (REMOVED, 102, 3)]
    assert list(seen.rows["bid"] + tape.base) == [100] * 8
    joined = seen.rows["kind"] == ADDED
    assert (seen.rows["priority"][joined] == np.flatnonzero(joined)).all()
