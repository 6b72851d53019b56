"""Outside continuous trading, and while the book is crossed, nothing of ours fills; what is held is taken off before a scheduled end."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.desk import ALL, Trading
from assets.fills.policy import SCORES, TAKE, TOUCH, Policy
from assets.fills.replay import FLAT_BEFORE_CLOSE_NS, make_session
from assets.fills.simulate import ANSWERS, REFUSALS, simulate
from assets.fills.tape import aggregated, make_tape
from assets.hours import Stretch, Window

BUY, SELL = 1, -1
MS = 1_000_000
FEW = settings(max_examples=12, deadline=None, derandomize=True)

policies = st.builds(
    Policy,
    indicators=st.just(ALL),
    threshold=st.floats(-1, 0.5),
    prediction_weight=st.floats(0, 2),
    level_weight=st.floats(-1, 1),
    ahead_weight=st.floats(-0.5, 0.2),
    behind_weight=st.floats(-0.2, 0.5),
    style=st.sampled_from([SCORES, TOUCH, TAKE]),
)


def busy_market(hand, seed, seconds, *, rolled=None):
    """A book that is traded on both sides each 40 ms, its mid in a slow random walk; from `rolled` seconds on another one, 500 ticks up."""
    random, stream, bid = np.random.default_rng(seed), hand.Stream(), 1000
    order, standing = 1, {}
    for at in np.arange(0, seconds * 1000, 40.0):
        if rolled is not None and at == rolled * 1000:
            stream.clear(at)
            standing, bid, rolled = {}, bid + 500, None
        bid += int(random.integers(-1, 2)) if random.random() < 0.2 else 0
        wanted = {(BUY, bid - k) for k in range(4)} | {(SELL, bid + 1 + k) for k in range(4)}
        for place in [place for place in standing if place not in wanted]:
            stream.cancel(at, standing.pop(place))
        for side, px in sorted(wanted - set(standing)):
            order += 1
            standing[side, px] = order
            stream.add(at, side, px, 5, order)
        side = BUY if random.random() < 0.5 else SELL
        stream.trade(at + 1, side, bid + 1 if side == BUY else bid, unseen=int(random.integers(1, 8)))
    return stream.frame()


def crossing(hand, at, length, bid=1400, ask=600, order=900_000):
    """The orders of an auction: a bid far above and an offer far below, which come to rest, trade with nobody and leave."""
    stream = hand.Stream().add(at, BUY, bid, 50, order).add(at + 1e-3, SELL, ask, 50, order + 1)
    return stream.cancel(at + length, order).cancel(at + length, order + 1).frame()


def with_auctions(hand, records, auctions):
    """The records with these auctions, (begin, length) in milliseconds, among them."""
    further = [crossing(hand, begin, length, order=900_000 + 2 * k) for k, (begin, length) in enumerate(auctions)]
    return pl.concat([records, *further]).sort("ts_event", maintain_order=True)


def traded(hand, records, seed, policy, window, *, quiet=(), **trading):
    """The session under a random signal each 25 ms, which says nothing while and 200 ms before (begin, length) of `quiet`."""
    random, last = np.random.default_rng(seed), (records["ts_event"].max() - hand.open) / MS
    at = np.arange(100, last, 25.0)
    values = random.normal(0, 1.5, len(at))
    heard = np.all([(at < begin - 200) | (at > begin + length) for begin, length in quiet], axis=0) if quiet else np.ones(len(at), bool)
    signal = hand.open + (at[heard] * MS).astype(np.int64), values[heard]
    limits = Trading(**{"max_position": 3, "daily_loss_limit": 10_000, **trading})
    return simulate(records, *signal, market=hand.market, trading=limits, policy=policy, window=window)


def moments_crossed(records):
    """The nanoseconds in which a plain book of orders is crossed or locked, as (begin, end), both included."""
    book, found, since = {}, [], None
    for (ts,), part in records.group_by("ts_event", maintain_order=True):
        before, touched = since, False
        for record in part.iter_rows(named=True):
            match chr(record["action"]):
                case "A":
                    book[record["order_id"]] = [record["side"], record["price"], record["size"]]
                case "C":
                    book[record["order_id"]][2] -= record["size"]
                case "R":
                    book.clear()
            bids, asks = ([px for s, px, size in book.values() if s == ord(side) and size > 0] for side in "BA")
            meets = bool(bids and asks) and max(bids) >= min(asks)
            touched |= meets
        since = (before or ts) if meets else None
        if touched or before is not None:
            found.append((before or ts, ts))
    return found + ([(since, records["ts_event"].max())] if since else [])


spans = st.lists(st.tuples(st.integers(1, 17), st.integers(1, 2)), min_size=1, max_size=3, unique_by=lambda span: span[0] // 4)
"""(begin, length) in seconds, apart from one another."""


def paused(hand, pauses, why, close=60):
    session = Window(hand.open, hand.open + close * 1000 * MS)
    return session.without([(hand.open + begin * 1000 * MS, hand.open + (begin + length) * 1000 * MS) for begin, length in pauses], why)


@FEW
@given(
    seed=st.integers(0, 10_000), policy=policies, pauses=spans, auctions=spans, levels=st.booleans(), latency=st.sampled_from([0, 20, 1500])
)
def test_nothing_of_ours_fills_outside_continuous_trading_or_in_a_crossed_book(hand, seed, policy, pauses, auctions, levels, latency):
    window = paused(hand, pauses, "halt")
    records = with_auctions(hand, busy_market(hand, seed, 20), [(begin * 1000 + 7.5, length * 1000) for begin, length in auctions])
    queue = "pessimist" if levels else "exact"
    made = traded(hand, records, seed, policy, window, latency_ms=latency, queue=queue)
    fills = made.fills["ts_event"].to_numpy()
    assert window.within(fills).all()
    for begin, end in moments_crossed(records):
        assert not ((fills >= begin) & (fills <= end)).any()
    # What rested when trading ended does not come back, and what was sent before the end is not taken after it.
    ends = [stretch.end_ns for stretch in window.admitting]
    of_order = made.fills.join(made.orders.filter(kind="new").select("order_id", "ts_request"), on="order_id")
    for sent, filled in of_order.select("ts_request", "ts_event").iter_rows():
        assert not any(sent < end <= filled for end in ends)


@FEW
@given(seed=st.integers(0, 10_000), policy=policies, auctions=spans)
def test_an_auction_between_two_quotes_changes_no_fill(hand, seed, policy, auctions):
    moments = [(begin * 1000 + 7.5, 20.0) for begin, _ in auctions]
    plain, window = busy_market(hand, seed, 20), paused(hand, (), "halt")
    told = [traded(hand, records, seed, policy, window, quiet=moments) for records in (plain, with_auctions(hand, plain, moments))]
    assert told[0].fills.equals(told[1].fills)
    assert told[0].outcome.net_pnl == told[1].outcome.net_pnl


@FEW
@given(seed=st.integers(0, 10_000), policy=policies, why=st.sampled_from(["break", "roll"]))
def test_the_position_is_taken_off_before_a_break_and_a_roll_and_none_spans_it(hand, seed, policy, why):
    length = 10 if why == "break" else 0
    window, end = paused(hand, [(60, length)], why, close=150), hand.open + 60_000 * MS
    records = busy_market(hand, seed, 120, rolled=60 if why == "roll" else None)
    if why == "roll":  # known from the records alone
        window = Window(window.open_ns, window.close_ns)
        records = records.with_columns(instrument_id=pl.when(pl.col("ts_event") < end).then(1).otherwise(2).cast(pl.UInt32))
    made = traded(hand, records, seed, policy, window)
    if why == "roll":
        told = traded(hand, records, seed, policy, window.rolled([(0, 1), (end, 2)]))
        assert made.orders.equals(told.orders)
        assert made.fills.equals(told.fills)
    flat_from = end - FLAT_BEFORE_CLOSE_NS + 2_000 * MS
    assert made.fills.filter(pl.col("ts_event").is_between(flat_from, end + length * 1000 * MS - 1)).is_empty()
    assert made.equity.filter(pl.col("ts_event").is_between(flat_from, end + length * 1000 * MS))["position"].abs().sum() == 0
    assert made.orders.filter(pl.col("ts_request").is_between(flat_from, end - 1), kind="new").is_empty()
    assert made.fills.filter(pl.col("ts_event") > end + length * 1000 * MS).height > 0 or made.fills.is_empty()
    across = made.fills.filter((pl.col("ts_event") < end) & (pl.col("ts_event") + 60_000 * MS >= end))
    assert across["mid_60s"].null_count() == across.height


def test_before_a_break_the_position_stays_where_the_desk_says_so(hand):
    window, records = paused(hand, [(60, 10)], "break", close=150), busy_market(hand, 3, 120)
    policy = Policy(threshold=0.0, style=TAKE)
    held = {}
    for flat in (True, False):
        equity = traded(hand, records, 3, policy, window, flat_before_break=flat).equity
        held[flat] = equity.filter(ts_event=hand.open + 60_000 * MS)["position"].item() if equity.height else 0
    assert held[True] == 0
    assert held[False] != 0


def test_orders_that_come_outside_continuous_trading_are_refused(hand):
    window = Window(hand.open, hand.open + hand.hour).without([(hand.open + 1_000 * MS, hand.open + 2_000 * MS)], "halt")
    wire = hand.Wire(hand.quiet_market(), hours=window)
    for at in (500, 990, 1_500, 2_500):
        wire.run(until=at).send(at, BUY, 100)
    wire.run()
    told = [(ANSWERS[int(request["answer"])], REFUSALS[int(request["refusal"])]) for request in wire.room.requests[:4]]
    assert told == [("resting", ""), ("rejected", "not_trading"), ("rejected", "not_trading"), ("resting", "")]
    assert wire.state["count"][0].tolist() == [1, 0]  # the first was cancelled when trading ended


def test_an_order_into_a_crossed_book_is_refused_and_one_that_rests_waits(hand):
    stream = hand.quiet_market().add(100, BUY, 500, 10, 900).cancel(300, 900).trade(400, BUY, 103, unseen=20)
    wire = hand.Wire(stream)
    resting = wire.send(0, SELL, 103)
    taking = wire.send(200, SELL, 90, 2, immediate=True)
    wire.run()
    assert (wire.filled(resting), wire.filled(taking)) == (1, 0)
    assert [at for at, *_ in wire.fills] == [400]


def test_the_rows_of_a_nanosecond_that_crosses_are_marked_whole(hand):
    stream = (
        hand.quiet_market().trade(50, SELL, 100, unseen=1).add(100, BUY, 99, 1, 800).add(100, BUY, 500, 10, 900).add(150, BUY, 98, 1, 801)
    )
    tape = make_tape(stream.cancel(200, 900).add(200, BUY, 97, 1, 802).add(250, BUY, 96, 1, 803).frame(), hand.market)
    crossed = {int(ts): bool(row) for ts, row in zip((tape.rows["ts"] - hand.open) // MS, tape.rows["crossed"], strict=True)}
    assert crossed == {0: False, 50: False, 100: True, 150: True, 200: True, 250: False}
    assert np.array_equal(aggregated(tape).rows["crossed"], tape.rows["crossed"])


@pytest.mark.parametrize("why", ["halt", "break"])
def test_only_a_scheduled_end_is_known_before_it_comes(hand, why):
    window = paused(hand, [(60, 10)], why, close=150)
    session = make_session(make_tape(busy_market(hand, 1, 120), hand.market), *hand.signal_of((50_000, 1.0)), window)
    infinite = session.ts[np.isinf(session.signals[ALL])]
    assert infinite.size == (0 if why == "halt" else 31)
    assert Stretch(hand.open, hand.open + 60_000 * MS, "open", why) == window.continuous[0]
