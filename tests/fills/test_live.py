"""The policy inside the matching engine: one market until we act, an honest place in its queues, an account that follows."""

import datetime as dt
from collections import OrderedDict
from decimal import Decimal
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from assets.books.rebuild import rebuild
from assets.curves.model import fit, predict
from assets.curves.statistics import session_statistics
from assets.desk import NS, Delay, Delays, Market, Trading
from assets.features.build import build
from assets.features.indicators import indicators
from assets.fills.account import faults
from assets.fills.delays import _recorded, delay_slots
from assets.fills.live import Live, Surroundings, trade_live
from assets.fills.policy import Policy
from assets.fills.replay import Outcome, make_session
from assets.fills.rows import ADDED, OURS, ROW
from assets.fills.simulate import Simulation, simulate, tables
from assets.fills.tape import Tape, make_tape
from assets.fills.truth.log import log_of
from assets.fills.truth.reconcile import Setting, calibrate, reconcile
from assets.fills.wire import FILL, REQUEST, SLOT_BITS, SLOTS
from assets.hours import Window
from assets.ticks.dbn import to_frame
from assets.ticks.exchange import Instrument, courses
from assets.ticks.exchange import simulate as simulate_exchange
from assets.ticks.exchange.engine import NOBODY, ROWS

MONDAY = dt.date(2026, 8, 24)
OPEN = int(dt.datetime(2026, 8, 24, 13, 30, tzinfo=dt.UTC).timestamp()) * NS
HOURS = Window(OPEN, OPEN + 1_800 * NS)
MARKETS = (Instrument(1, 100_000_000, follows=True), Instrument(2, 250_000_000, follows=False))
MARKET = Market(symbol="F", tick_size=Decimal("0.1"), multiplier=Decimal(50), maker_fee=Decimal("1.4"), taker_fee=Decimal("1.4"))
TRADING = Trading(max_position=4, daily_loss_limit=Decimal(100_000))
EAGER = Policy(threshold=-0.6, hysteresis=0.1)
"""Quotes most of the time on both sides, so that little time shows much."""
SETTINGS = {"open_ns": OPEN, "close_ns": HOURS.close_ns, "events": 10_000, "alpha": 1.0}


@pytest.fixture(scope="module")
def recorded() -> SimpleNamespace:
    """The session as it is recorded without us, and what the policy sees of it."""
    raw = [to_frame(market.records) for market in simulate_exchange(5, MONDAY, MARKETS, **SETTINGS)]
    own, other = (rebuild(frame, open_ns=OPEN, close_ns=HOURS.close_ns) for frame in raw)
    chosen = indicators(["LDR"])
    leaders, ticks = {"LDR": (other.books, other.trades)}, {"LDR": MARKETS[1].tick}
    features = build(
        own.books, own.trades, leaders, tick=MARKET.tick, leader_ticks=ticks, horizon_ns=10 * NS, open_ns=OPEN, close_ns=HOURS.close_ns
    )
    sums = session_statistics(features, chosen, horizon_ns=10 * NS)
    model = fit([sums], chosen, horizon_ns=10 * NS, first_session=MONDAY, last_session=MONDAY)
    return SimpleNamespace(raw=raw[0], features=features, model=model, around=Surroundings(chosen, leaders, ticks, {}, model))


def live(recorded: SimpleNamespace, policy: Policy = EAGER, trading: Trading = TRADING, seed: int = 5) -> Live:
    course = courses(seed, MONDAY, MARKETS[:1], **SETTINGS)[0]
    return trade_live(course, recorded.around, market=MARKET, trading=trading, policy=policy, window=HOURS)


def replayed(recorded: SimpleNamespace, policy: Policy) -> Simulation:
    signal = predict(recorded.model, recorded.features)
    return simulate(
        recorded.raw, recorded.features["ts_event"].to_numpy(), signal, market=MARKET, trading=TRADING, policy=policy, window=HOURS
    )


@pytest.fixture(scope="module")
def session(recorded: SimpleNamespace) -> Live:
    return live(recorded)


def records(session: Live) -> np.ndarray:
    return session.exchange.tape[: session.exchange.state[ROWS]]


def test_an_agent_that_sends_nothing_leaves_every_record_as_it_was(recorded):
    silent = live(recorded, Policy(threshold=1e9))
    assert silent.simulation.orders.is_empty()
    assert silent.ticks.drop("ts_in_delta").equals(recorded.raw.drop("ts_in_delta"))
    assert set(recorded.raw["ts_event"].to_list()[1_000:]) <= set(silent.marks["ts"].tolist())


def test_the_log_is_replayed_fill_for_fill_on_the_market_it_was_traded_in_and_on_no_other(session, recorded):
    log = log_of(session.simulation.orders, session.simulation.fills)
    told, orders = reconcile(log, make_tape(session.ticks, MARKET), HOURS, MARKET, TRADING)
    own, other = told.row(0, named=True), reconcile(log, make_tape(recorded.raw, MARKET), HOURS, MARKET, TRADING)[0].row(0, named=True)
    assert own["filled_log"] > 100
    assert (own["missed"], own["imagined"], own["pnl_replay"]) == (0, 0, own["pnl_log"])
    assert orders["ts_fill_replay"].equals(orders["ts_fill_log"])
    assert other["missed"] + other["imagined"] > 100
    assert calibrate(told) == Setting(TRADING.latency_ms, "exact", 1.0)


def test_its_records_have_no_order_of_ours_and_their_touch_is_the_one_that_the_policy_saw(session):
    owner = session.exchange.owner
    first = int(session.ticks["order_id"][1])
    resting = session.ticks.filter(pl.col("action").is_in([ord(code) for code in "ACMF"]))
    assert (owner[(resting["order_id"] - first).to_numpy().astype(np.int64)] == NOBODY).all()
    rebuilt = rebuild(session.ticks)
    assert rebuilt.quarantine.is_empty()
    marks = pl.DataFrame({"ts_event": session.marks["ts"] + 1, "bid": session.marks["bid"], "ask": session.marks["ask"]})
    ends = session.ticks["ts_event"][-1]
    seen = marks.group_by("ts_event").last().sort("ts_event").filter(pl.col("ts_event") < ends).join_asof(
        rebuilt.books.select("ts_event", "bid_px_00", "ask_px_00"), on="ts_event"
    )  # fmt: skip
    off = (seen["bid_px_00"] // MARKET.tick - seen["bid"], seen["ask_px_00"] // MARKET.tick - seen["ask"])
    assert seen.height > 1_000
    assert off[0].unique().to_list() == off[1].unique().to_list() == [off[0][0]]


@pytest.mark.parametrize("threshold", [-0.6, 0.2, 0.5])
def test_until_our_first_order_arrives_the_live_session_is_the_replay(recorded, threshold):
    first, replay = live(recorded, Policy(threshold=threshold)).simulation.orders, replayed(recorded, Policy(threshold=threshold)).orders
    early = replay.filter(pl.col("ts_request") < replay["ts_arrival"][0])
    same = ["kind", "side", "price", "ts_request", "score", "prediction"]
    assert first[: early.height].select(same).equals(early.select(same))
    assert first["queue_ahead"][0] == replay["queue_ahead"][0]


def test_the_same_seed_gives_the_same_log_and_another_does_not(recorded, session):
    again, other = live(recorded).simulation, live(recorded, seed=6).simulation
    assert again.orders.equals(session.simulation.orders)
    assert again.fills.equals(session.simulation.fills)
    assert not other.fills.equals(session.simulation.fills)


def test_the_account_follows_from_the_fills_and_they_from_the_exchange(session):
    orders, fills = session.simulation.orders, session.simulation.fills
    assert fills.height > 20
    assert set(fills["liquidity"]) == {"maker", "taker"}
    assert faults(orders, fills, MARKET, TRADING) == []
    tape, owner = records(session), session.exchange.owner
    ours = tape[owner[tape["order_id"].astype(np.int64)] != NOBODY]
    told = ours[np.isin(ours["action"], [ord("T"), ord("F")])]
    assert told["size"].tolist() == fills["quantity"].to_list()
    assert owner[told["order_id"].astype(np.int64)].tolist() == fills["order_id"].to_list()


def test_no_fill_before_arrival_nor_after_a_confirmed_cancel_and_some_cancels_are_too_late(session):
    orders, fills = session.simulation.orders, session.simulation.fills
    arrived = orders.filter(kind="new").select("order_id", "ts_arrival")
    assert fills.join(arrived, on="order_id").filter(pl.col("ts_event") < pl.col("ts_arrival")).is_empty()
    gone = orders.filter(kind="cancel", answer="cancelled").select("order_id", "ts_arrival")
    assert fills.join(gone, on="order_id").filter(pl.col("ts_event") >= pl.col("ts_arrival")).is_empty()
    late = orders.filter(kind="cancel", answer="too_late").select("order_id", "ts_arrival").join(fills, on="order_id")
    assert late.height > 0
    assert (late["ts_event"] <= late["ts_arrival"]).all()


def test_all_are_filled_in_price_time_priority_and_no_event_ends_crossed(session):
    """A plain replay of the engine's records, ours among them: a fill meets the front of the best queue."""
    tape = records(session)
    queues: tuple[dict[int, OrderedDict[int, int]], ...] = ({}, {})
    taken: dict[int, int] = {}
    for row in tape:
        action, side = chr(row["action"]), "BA".index(chr(row["side"]))
        order, size, price = (int(row[name]) for name in ("order_id", "size", "price"))
        own = queues[side]
        if action == "A":
            own.setdefault(price, OrderedDict())[order] = size
        elif action == "F":
            best = (max if side == 0 else min)(level for level in own if any(entry not in taken for entry in own[level]))
            assert price == best
            assert order == next(entry for entry in own[price] if entry not in taken)
            assert size <= own[price][order]
            taken[order] = size
        elif action in "CM":
            level = next(level for level in own if order in own[level])
            left = own[level][order] - taken.pop(order, 0)
            if action == "M" and price == level and size <= own[level][order]:
                own[level][order] = size
            else:
                assert action == "M" or size in (left, own[level][order])
                del own[level][order]
                if action == "M":
                    own.setdefault(price, OrderedDict())[order] = size
            if not own[level]:
                del own[level]
        if row["flags"] & 128:
            assert not taken
            assert max(queues[0]) < min(queues[1])


def test_a_taker_is_set_against_the_mid_before_its_own_taking():
    """The market moves, we take all of an offer in the next nanosecond but one, and of another at once; the market follows later."""
    marks = np.array(
        [
            (10, 100, 102, ADDED),
            (20, 100, 103, ADDED),
            (20, 100, 106, OURS),
            (30, 100, 106, OURS),
            (30, 99, 108, OURS),
            (9 * NS, 90, 92, ADDED),
        ],
        [("ts", "i8"), ("bid", "i8"), ("ask", "i8"), ("kind", "i8")],
    )
    rows, fills = np.zeros(len(marks), ROW), np.zeros(3, FILL)
    for name in marks.dtype.names:
        rows[name] = marks[name]
    rows["ts"] += OPEN
    fills["ts"], fills["maker"] = OPEN + np.array([20, 30, 9 * NS]), [0, 0, 1]
    session = make_session(Tape(rows, 0, 200), np.empty(0, np.int64), np.empty(0), HOURS)
    made = tables(np.zeros(0, REQUEST), fills, session, MARKET, Outcome(0, 0, 0, 0, 0)).fills
    assert (made["mid"] / MARKET.tick * 2).to_list() == [203, 206, 207]
    assert (made["mid_1s"] / MARKET.tick * 2).to_list() == [207, 207, 182]


def test_what_has_not_come_back_changes_no_decision(recorded, session, tmp_path):
    """Answers take longer from some moment on: all is sent alike until the first of them would have been heard.

    What the market shows follows from our orders here, so that they cannot arrive otherwise, as in the replay's law.
    """
    path, usual, rows = tmp_path / "response.csv", 20, np.arange(SLOTS)
    legs = Delays(order=Delay(ms=usual), cancel=Delay(ms=usual), response=Delay(file=path))
    slower = TRADING.model_copy(update={"delays": legs})
    pl.DataFrame({"ms": rows}).write_csv(path)
    row_of = (delay_slots(slower, OPEN)["response_delay"] * 1000 // NS).astype(np.int64)  # of the recording, at each slot
    slots = (rows - (OPEN >> SLOT_BITS)) % SLOTS > SLOTS // 4
    _recorded.cache_clear()
    pl.DataFrame({"ms": np.where(slots[np.argsort(row_of)], 700.0, usual)}).write_csv(path)
    other = live(recorded, trading=slower).simulation
    heard = []
    for made in (session.simulation, other):
        sent = np.concatenate([made.orders["ts_arrival"].to_numpy(), made.fills["ts_event"].to_numpy()])
        heard.append(int(sent[slots[(sent >> SLOT_BITS) % SLOTS]].min()) + usual * NS // 1000)
    sides = [made.orders.filter(pl.col("ts_request") < min(heard)) for made in (session.simulation, other)]
    same = ["order_id", "kind", "reason", "side", "price", "ts_request", "score", "prediction"]
    assert sides[0].height > 20
    assert sides[0].select(same).equals(sides[1].select(same))
    assert not other.orders.select(same).equals(session.simulation.orders.select(same))


def test_what_comes_later_changes_nothing_before(recorded, session):
    """Leaders scrambled after a moment, and a session cut short there, leave every request and fill before it as it was."""
    moment = OPEN + 900 * NS
    books, trades = recorded.around.leaders["LDR"]
    later = pl.col("ts_event") > moment
    bent = books.with_columns(pl.when(later).then(pl.col("bid_sz_00") + 7).otherwise(pl.col("bid_sz_00")).alias("bid_sz_00"))
    around = Surroundings(recorded.around.chosen, {"LDR": (bent, trades)}, recorded.around.leader_ticks, {}, recorded.model)
    other = live(SimpleNamespace(around=around)).simulation
    known = pl.col("ts_request") <= moment
    same = ["order_id", "kind", "side", "price", "ts_request", "score", "prediction"]
    assert other.orders.filter(known).select(same).equals(session.simulation.orders.filter(known).select(same))
    filled = pl.col("ts_event") <= moment
    assert (
        other.fills.filter(filled)
        .select("order_id", "ts_event")
        .equals(session.simulation.fills.filter(filled).select("order_id", "ts_event"))
    )
    assert not other.orders.equals(session.simulation.orders)
