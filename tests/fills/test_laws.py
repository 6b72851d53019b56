"""Laws that hold for any market and any policy, and a plain queue of Python lists that the kernel must equal."""

from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.books import codes
from assets.desk import ALL, Delay, Delays, Market, Trading
from assets.fills import wire
from assets.fills.errors import FillsError
from assets.fills.policy import SCORES, TAKE, TOUCH, Policy
from assets.fills.queues import QUEUES
from assets.fills.replay import MOST_WORTH, Replayer, make_rules, make_session
from assets.fills.simulate import simulate, tables
from assets.fills.tape import aggregated, double_mids, make_tape

BUY, SELL = 1, -1
MS = 1_000_000
FEW = settings(max_examples=25, deadline=None, derandomize=True)


class Venue:
    """A small matching engine that writes what it does as a stream of records."""

    def __init__(self, stream, random):
        self.stream, self.random = stream, random
        self.queues = {}
        self.next_id = 1000

    def touch(self, side):
        prices = [px for (s, px), queue in self.queues.items() if s == side and queue]
        return (max(prices) if side == BUY else min(prices)) if prices else None

    def join(self, at, side, px, size):
        self.next_id += 1
        self.queues.setdefault((side, px), []).append([self.next_id, size])
        self.stream.add(at, side, px, size, self.next_id)

    def take(self, at, aggressor, volume):
        """A market order, which stops at the end of the level it meets."""
        px = self.touch(-aggressor)
        if px is None:
            return
        queue, met = self.queues[-aggressor, px], []
        while queue and volume:
            size = min(volume, queue[0][1])
            met.append((queue[0][0], size))
            queue[0][1] -= size
            volume -= size
            if queue[0][1] == 0:
                queue.pop(0)
        self.stream.trade(at, aggressor, px, *met)

    def step(self, at):
        random = self.random
        bid, ask = self.touch(BUY) or 99, self.touch(SELL) or 102
        what = random.random()
        side = BUY if random.random() < 0.5 else SELL
        if what < 0.45:
            near = ask - 1 if side == BUY else bid + 1
            self.join(at, side, near - side * int(random.integers(0, 4)), int(random.integers(1, 6)))
        elif what < 0.65:
            self.take(at, side, int(random.integers(1, 9)))
        else:
            places = [(key, k) for key, queue in self.queues.items() for k in range(len(queue))]
            if not places:
                return
            (s, px), k = places[int(random.integers(len(places)))]
            order, size = self.queues[s, px][k]
            if what < 0.85:
                self.queues[s, px].pop(k)
                self.stream.cancel(at, order)
            elif size > 1 and what < 0.93:
                self.queues[s, px][k][1] = size - 1
                self.stream.modify(at, order, size=size - 1)
            else:
                self.queues[s, px].pop(k)
                self.queues[s, px].append([order, size + 2])
                self.stream.modify(at, order, size=size + 2)


def random_market(hand, seed, steps=400):
    """A stream of some hundred random events, 1 to 30 ms apart."""
    random = np.random.default_rng(seed)
    venue, at = Venue(hand.Stream(), random), 0.0
    for level in range(6):
        venue.join(0, BUY, 100 - level, 5)
        venue.join(0, SELL, 101 + level, 5)
    for _ in range(steps):
        at += float(random.integers(1, 31))
        venue.step(at)
    return venue.stream, at


policies = st.builds(
    Policy,
    indicators=st.just(ALL),
    threshold=st.floats(-1, 1.5),
    prediction_weight=st.floats(0, 2),
    level_weight=st.floats(-1, 1),
    ahead_weight=st.floats(-0.5, 0.2),
    behind_weight=st.floats(-0.2, 0.5),
    hysteresis=st.floats(0, 0.5),
    style=st.sampled_from([SCORES, TOUCH, TAKE]),
)


def traded(hand, tape, end, seed, policy, **trading):
    """The session under a random signal that changes every few milliseconds."""
    random = np.random.default_rng(seed + 1)
    at = np.cumsum(random.integers(1, 40, int(end / 20)))
    signal = hand.signal_of(*zip(at.tolist(), random.normal(0, 1.5, len(at)).tolist(), strict=True))
    session, replayer = make_session(tape, *signal, hand.hours), Replayer()
    limits = Trading(**{"max_position": 3, "daily_loss_limit": 40, **trading})
    outcome = replayer.run(session, policy, make_rules(hand.market, limits, session))
    return tables(replayer.requests, replayer.fills, session, hand.market, outcome)


legs = st.builds(Delay, median_ms=st.floats(0.1, 60), sigma=st.floats(0, 1.5), burst_chance=st.floats(0, 0.3), burst_seconds=st.just(0.5))
wires = st.one_of(
    st.sampled_from([0.0, 1.0, 20.0, 75.0]).map(lambda ms: {"latency_ms": ms}),
    st.builds(Delays, feed=legs, order=legs, cancel=legs, response=legs).map(lambda delays: {"delays": delays}),
)
"""Ways of the wire: one delay, or each leg its own and never twice the same."""


@FEW
@given(seed=st.integers(0, 10_000), policy=policies, wire_of=wires, size=st.integers(1, 3))
def test_everything_adds_up(hand, seed, policy, wire_of, size):
    stream, end = random_market(hand, seed)
    check_that_it_adds_up(traded(hand, stream.tape(), end, seed, policy, order_size=size, **wire_of), stream.frame())


@pytest.mark.parametrize("queue", QUEUES)
@settings(FEW, max_examples=8)
@given(seed=st.integers(0, 10_000), policy=policies, size=st.integers(1, 3), exponent=st.floats(0.1, 20))
def test_everything_adds_up_by_every_queue_model_where_nobody_says_whose_contracts_left(hand, queue, seed, policy, size, exponent):
    stream, end = random_market(hand, seed)
    limits = {"queue": queue, "queue_exponent": exponent, "order_size": size, "latency_ms": 1.0}
    check_that_it_adds_up(traded(hand, aggregated(stream.tape()), end, seed, policy, **limits), stream.frame())


def check_that_it_adds_up(made, records):
    fills, orders = made.fills, made.orders
    news = orders.filter(kind="new")

    # Position and cash follow from the fills, and the limit held after each.
    position = cash = 0
    for fill in fills.iter_rows(named=True):
        position += fill["side"] * fill["quantity"]
        cash -= fill["side"] * fill["quantity"] * fill["price"] * 4 + fill["fee"]
        assert (position, cash) == (fill["position"], fill["cash"])
        assert abs(position) <= 3
    assert made.outcome.contracts == fills["quantity"].sum()

    # No order fills beyond its size, before it arrived or after it was cancelled.
    each = fills.join(news.select("order_id", "ts_arrival", size="quantity"), on="order_id", how="left")
    assert each.group_by("order_id").agg(over=pl.col("quantity").sum() > pl.col("size").first())["over"].sum() == 0
    assert (each["ts_event"] >= each["ts_arrival"]).all()
    gone = orders.filter(kind="cancel", answer="cancelled").select("order_id", gone="ts_arrival")
    late = fills.join(gone, on="order_id").filter(pl.col("ts_event") > pl.col("gone"))
    assert late.height == 0

    # Nothing arrives before it was sent, and nothing overtakes.
    assert (orders["ts_request"] <= orders["ts_arrival"]).all()
    assert (orders["ts_arrival"] <= orders["ts_response"]).all()
    assert orders["ts_request"].is_sorted()
    assert orders["ts_arrival"].is_sorted()
    assert orders["ts_response"].is_sorted()

    # A cancel that came too late met an order that was gone: filled to the last contract, or never accepted.
    whole = fills.group_by("order_id").agg(pl.col("quantity").sum())
    lost = orders.filter(kind="cancel", answer="too_late").join(news.select("order_id", size="quantity", end="answer"), on="order_id")
    lost = lost.join(whole.rename({"quantity": "filled"}), on="order_id", how="left")
    assert lost.filter((pl.col("end") == "resting") & (pl.col("filled") != pl.col("size"))).height == 0

    # Trades and arriving opposite orders give us no more contracts than they had.
    records = records.with_columns(gives=pl.col("action").is_in([ord("T"), ord("A"), ord("M")]) * pl.col("size").cast(pl.Int64))
    given = records.group_by("ts_event").agg(pl.col("gives").sum())
    maker = fills.filter(liquidity="maker").group_by("ts_event").agg(pl.col("quantity").sum()).join(given, on="ts_event", how="left")
    assert (maker["quantity"] <= maker["gives"]).all()


@FEW
@given(seed=st.integers(0, 10_000), policy=policies, cut=st.floats(0.1, 0.9), wire_of=wires)
def test_nothing_depends_on_the_future(hand, seed, policy, cut, wire_of):
    stream, end = random_market(hand, seed)
    other, _ = random_market(hand, seed + 77_777)
    moment = hand.open + round(end * cut * MS)
    now = stream.frame()
    then = pl.concat([now.filter(pl.col("ts_event") <= moment), other.frame().filter(pl.col("ts_event") > moment)])
    random = np.random.default_rng(seed)
    ts = hand.open + np.cumsum(random.integers(1, 40, 300)) * MS
    signals = random.normal(0, 1.5, (2, 300))
    signals[1, ts <= moment] = signals[0, ts <= moment]
    sides = [
        simulate(records, ts, signal, market=hand.market, trading=Trading(**wire_of), policy=policy, window=hand.hours)
        for records, signal in zip((now, then), signals, strict=True)
    ]
    sent = ["order_id", "kind", "reason", "side", "price", "quantity", "ts_request", "score", "prediction"]
    before = [made.orders.filter(pl.col("ts_request") <= moment).select(sent) for made in sides]
    assert before[0].equals(before[1])
    fills = [made.fills.filter(pl.col("ts_event") <= moment).select(pl.exclude("^mid_.*$")) for made in sides]
    assert fills[0].equals(fills[1])


@FEW
@given(
    seed=st.integers(0, 10_000),
    policy=policies,
    cut=st.floats(0.02, 0.8),
    there=st.sampled_from([-19.0, 0.0, 60.0, 400.0]),
    back=st.sampled_from([0.0, 90.0, 2_000.0]),
    levels=st.booleans(),
)
def test_what_has_not_come_back_changes_no_decision(hand, seed, policy, cut, there, back, levels):
    """From some moment on all that we send arrives at another time, so that it fills otherwise, and all that comes back is slow, or slower.

    What is sent is the same until the first answer or fill of then is heard.
    """
    stream, end = random_market(hand, seed)
    tape = aggregated(stream.tape()) if levels else stream.tape()
    moment = (hand.open + round(end * cut * MS)) >> wire.SLOT_BITS << wire.SLOT_BITS
    then = (np.arange(wire.SLOTS) - (moment >> wire.SLOT_BITS)) % wire.SLOTS < wire.SLOTS // 2
    random = np.random.default_rng(seed)
    at = np.cumsum(random.integers(1, 40, int(end / 20)))
    signal = hand.signal_of(*zip(at.tolist(), random.normal(0, 1.5, len(at)).tolist(), strict=True))
    session, logs, heard = make_session(tape, *signal, hand.hours), [], []
    for way, answer in ((0.0, 0.0), (there, back)):
        rules = make_rules(hand.market, Trading(max_position=3, daily_loss_limit=40), session)
        for leg, delay in (("order", way), ("cancel", way), ("response", 600.0 + answer)):
            rules[f"{leg}_delay"] = np.where(then, round((20.0 + delay) * MS), 20 * MS)
        replayer = Replayer()
        replayer.run(session, policy, rules)
        made, filled = replayer.requests.copy(), replayer.fills.copy()
        logs.append(made)
        for sent, known in ((made["ts_arrival"], made["ts_response"]), (filled["ts"], filled["ts_known"])):
            heard.extend(known[sent >= moment])
    before = [made[made["ts_request"] < min(heard, default=wire.NEVER)] for made in logs]
    told = [name for name in wire.SENT if name != "ts_arrival"]
    assert all(np.array_equal(*(made[name] for made in before), equal_nan=name == "score") for name in told)


def test_the_trader_is_given_nothing_of_the_exchange(hand):
    room = hand.Wire(hand.quiet_market()).room
    assert not {"answer", "refusal", "ts_response", "ahead"} & set(room.trader.requests.dtype.names)
    assert not {"left", "state"} & set(room.trader.orders.dtype.names)
    assert not {"position", "cash", "fills", "resting"} & set(room.trader.state.dtype.names)
    assert room.trader.ladder.shape[2] == wire.TAKEN
    assert "fills" not in room.trader._fields


def test_the_same_session_gives_the_same_bytes(hand):
    stream, end = random_market(hand, 5)
    first, second = (traded(hand, stream.tape(), end, 5, Policy(threshold=0.0)) for _ in range(2))
    assert all(getattr(first, table).equals(getattr(second, table)) for table in ("orders", "fills", "equity"))


@pytest.mark.parametrize("seen", [lambda tape: tape, aggregated], ids=["orders", "levels"])
def test_the_random_markets_put_the_simulator_to_work(hand, seen):
    """The laws above would hold in an empty room; these sessions have makers, takers, cancels and races lost."""
    markets = [(seed, *random_market(hand, seed)) for seed in range(5)]
    policy = Policy(threshold=0.0, level_weight=-0.2)
    made = [traded(hand, seen(stream.tape()), end, seed, policy, order_size=2) for seed, stream, end in markets]
    fills, orders = pl.concat([m.fills for m in made]), pl.concat([m.orders for m in made])
    assert set(fills["liquidity"]) == {"maker", "taker"}
    assert {"resting", "filled", "cancelled", "too_late"} <= set(orders["answer"])
    assert fills.filter(pl.col("quantity") == 1).height > 0  # part of an order


class Queue:
    """The exact queue as lists: each price's orders in their order of time, ours among them."""

    def __init__(self):
        self.queues, self.where = {}, {}
        self.filled = {}

    def join(self, name, side, px, size):
        self.where[name] = (side, px)
        self.queues.setdefault((side, px), []).append([name, size])

    def ahead(self, ours):
        queue = self.queues[self.where[ours]]
        place = [name for name, _ in queue].index(ours)
        return sum(size for name, size in queue[:place] if not isinstance(name, str))

    def left(self, ours):
        return next((size for name, size in self.queues[self.where[ours]] if name == ours), 0)

    def apply(self, record):
        order, size = record["order_id"], record["size"]
        side, px = (BUY if record["side"] == ord("B") else SELL), record["price"]
        match chr(record["action"]):
            case "A":
                self.serve(-side, px, size)
                self.join(order, side, px, size)
            case "F":
                queue = self.queues[side, px]
                place = [name for name, _ in queue].index(order)
                self.serve(side, px, size, behind=place)
                next(entry for entry in queue if entry[0] == order)[1] -= size
            case "C" | "M":
                queue = self.queues[self.where[order]]
                entry = next(entry for entry in queue if entry[0] == order)
                stays = record["action"] == ord("M") and self.where[order] == (side, px) and size <= entry[1]
                if stays:
                    entry[1] = size
                else:
                    queue.remove(entry)
                    if record["action"] == ord("M"):
                        self.serve(-side, px, size)
                        self.join(order, side, px, size)

    def serve(self, side, px, volume, behind=None):
        """Give `volume` to orders of ours that came first: at better prices, then at this one, before place `behind`."""
        prices = sorted({p for (s, p) in self.queues if s == side and side * (p - px) >= 0}, key=lambda p: -side * p)
        for price in prices:
            queue = self.queues[side, price]
            first = queue[:behind] if price == px and behind is not None else list(queue)
            for entry in first:
                if not isinstance(entry[0], str) or not volume:
                    continue
                given = min(volume, entry[1])
                volume -= given
                entry[1] -= given
                self.filled[entry[0]] = self.filled.get(entry[0], 0) + given
                if not entry[1]:
                    queue.remove(entry)


@pytest.mark.parametrize("seed", range(12))
def test_queue_positions_and_fills_equal_those_of_plain_lists(hand, seed):
    """Resting orders of ours at every price, one side a run so that they never meet each other."""
    stream, end = random_market(hand, seed, steps=300)
    random = np.random.default_rng(seed)
    side = BUY if seed % 2 else SELL
    market, queue, ours = hand.Wire(stream, latency_ms=0.5, post_only=True), Queue(), []
    records = stream.frame().to_dicts()
    moments = np.sort(random.uniform(5, end * 0.8, 12)).round(3)
    done = 0
    for moment in [*moments, end + 1]:
        market.run(moment + 0.5)
        while done < len(records) and records[done]["ts_event"] <= hand.open + (moment + 0.5) * MS:
            queue.apply(records[done])
            done += 1
        for name in ours:
            left = int(market.room.orders["left"][int(name)])
            assert queue.left(name) == left
            assert queue.filled.get(name, 0) == market.filled(int(name))
            if left:
                assert queue.ahead(name) == market.ahead(int(name))
        if moment < end:
            px = 100 - side * int(random.integers(-2, 4))
            order = market.send(moment, side, px, int(random.integers(1, 4)))
            market.run(moment + 0.5)
            while done < len(records) and records[done]["ts_event"] <= hand.open + (moment + 0.5) * MS:
                queue.apply(records[done])
                done += 1
            if market.room.orders["state"][order] == wire.RESTING:
                ours.append(str(order))
                queue.join(str(order), side, px * hand.tick, int(market.room.orders["left"][order]))
    assert ours


class Taken:
    """Each price's orders, and how many contracts of each we have taken."""

    def __init__(self):
        self.queues, self.where = {}, {}

    def apply(self, record):
        order, key, size = record["order_id"], (record["side"], record["price"]), record["size"]
        match chr(record["action"]):
            case "A":
                self.queues.setdefault(key, {})[order] = [size, 0]
                self.where[order] = key
            case "F":
                entry = self.queues[key][order]
                entry[:] = entry[0] - size, min(entry[1], entry[0] - size)
            case "C":
                self.shrink(order, 0)
            case "M":
                if self.where[order] == key and size <= self.queues[key][order][0]:
                    self.shrink(order, size)
                else:
                    self.shrink(order, 0)
                    self.apply(record | {"action": ord("A")})

    def shrink(self, order, size):
        entry = self.queues[self.where[order]][order]
        entry[:] = size, min(entry[1], size)
        if not size:
            del self.queues[self.where[order]][order]

    def take(self, side, limit, size):
        other, sign = (ord("A"), 1) if side == BUY else (ord("B"), -1)
        prices = sorted((price for of, price in self.queues if of == other and sign * (limit - price) >= 0), key=lambda price: sign * price)
        left = size
        for price in prices:
            for entry in self.queues[other, price].values():
                got = min(left, entry[0] - entry[1])
                entry[1] += got
                left -= got
        return size - left


@pytest.mark.parametrize("seed", range(8))
def test_what_we_took_is_gone_until_those_orders_leave_that_we_took_it_of(hand, seed):
    stream, end = random_market(hand, seed)
    records, random, book, done = stream.frame().to_dicts(), np.random.default_rng(seed), Taken(), 0
    market = hand.Wire(stream, latency_ms=0.5, max_position=10_000)
    got = []
    for moment in np.sort(random.uniform(5, end * 0.9, 60)).round(3):
        side, size = BUY if random.random() < 0.5 else SELL, int(random.integers(1, 9))
        px = 100 + side * int(random.integers(0, 3))
        order = market.send(moment, side, px, size, immediate=True)
        market.run(moment + 0.5)
        while done < len(records) and records[done]["ts_event"] <= hand.open + (moment + 0.5) * MS:
            book.apply(records[done])
            done += 1
        got.append((market.filled(order), book.take(side, px * hand.tick, size)))
    assert all(ours == plain for ours, plain in got)
    assert sum(ours for ours, _ in got) > 30


def mirrored(records):
    """p -> -p with sides swapped; a price that is none stays so."""
    swap = {codes.SIDE_BID: codes.SIDE_ASK, codes.SIDE_ASK: codes.SIDE_BID, codes.SIDE_NONE: codes.SIDE_NONE}
    return records.with_columns(-pl.col("price"), pl.col("side").replace_strict(swap, return_dtype=pl.UInt8))


@pytest.mark.parametrize("style", [SCORES, TOUCH])
@FEW
@given(seed=st.integers(0, 10_000), shift=st.sampled_from([0, -100, -101, -400]))
def test_a_market_turned_upside_down_earns_the_same(hand, style, seed, shift):
    stream, end = random_market(hand, seed, 300)
    records = stream.frame().with_columns(pl.col("price") + shift * hand.tick)
    random = np.random.default_rng(seed)
    steps = np.cumsum(random.integers(1, 20, 200)).astype(float)
    ts, signal = hand.signal_of(*((at, value) for at, value in zip(steps, random.normal(0, 1, 200), strict=True) if at < end))
    policy, trading, outcomes = Policy(threshold=0.1, style=style), Trading(latency_ms=1, max_position=3), []
    for frame, sign in ((records, 1), (mirrored(records), -1)):
        session = make_session(make_tape(frame, hand.market), ts, sign * signal, hand.hours, trading)
        outcomes.append((Replayer().run(session, policy, make_rules(hand.market, trading, session)), double_mids(session.tape)[-1]))
    (one, mid), (other, mirror) = outcomes
    assert mid == -mirror
    assert (one.net_pnl, one.contracts, one.position) == (other.net_pnl, other.contracts, -other.position)
    assert one.orders == other.orders > 0


@FEW
@given(
    seed=st.integers(0, 10_000),
    far=st.integers(-(10**9), 10**9),
    worth=st.integers(1, 10**6),
    position=st.sampled_from([1, 3, 50]),
)
def test_money_is_exact_or_refused_before_the_session_starts(hand, seed, far, worth, position):
    """Cash told again in Python's own integers, on prices and contracts of any worth."""
    stream, end = random_market(hand, seed, 150)
    records = stream.frame().with_columns(pl.col("price") + far * hand.tick)
    market = hand.market.model_copy(update={"multiplier": Decimal(4 * worth)})  # a tick is worth so much of the currency
    ts, signal = hand.signal_of(*((at, 3.0 * (-1) ** k) for k, at in enumerate(np.arange(10.0, end, 40.0))))
    trading, policy = Trading(latency_ms=1, max_position=position, daily_loss_limit=4_000_000_000), Policy(style=TAKE, threshold=-1.0)
    session = make_session(make_tape(records, market), ts, signal, hand.hours, trading)
    most = position * (session.furthest * worth * 10**9 // 2 + 3 * 10**8)
    if most > MOST_WORTH:
        with pytest.raises(FillsError, match="and money is exact up to 4,611,686,018"):
            make_rules(market, trading, session)
        return
    replayer = Replayer()
    outcome = replayer.run(session, policy, make_rules(market, trading, session))
    cash = 0
    for fill in replayer.fills.tolist():
        told = dict(zip(replayer.fills.dtype.names, fill, strict=True))
        cash -= told["side"] * told["quantity"] * (told["px"] + session.tape.base) * worth * 10**9 + told["fee"]
        assert told["cash"] == cash
    assert outcome.net_pnl == cash + outcome.position * int(double_mids(session.tape)[-1]) * worth * 10**9 // 2


def test_a_hundred_contracts_of_a_government_bond_are_refused_with_the_number_that_is_not(hand):
    records = hand.quiet_market(bid=14_500, ask=14_501).frame().with_columns(pl.col("price") // hand.tick * 10_000_000)
    market = Market(symbol="JGB", tick_size="0.01", multiplier=1_000_000, currency="JPY")
    session = make_session(make_tape(records, market), np.empty(0, np.int64), np.empty(0), hand.hours)
    with pytest.raises(FillsError, match=r"100 contracts may be worth 14,5.* JPY in the session, .*: lower max_position to 31 at most"):
        make_rules(market, Trading(max_position=100), session)
    make_rules(market, Trading(max_position=31), session)
