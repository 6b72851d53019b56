"""The tape of records that bring levels and no orders: what is seen is held exactly, what is not is never in our favour."""

import datetime as dt
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from assets.books import codes
from assets.books.rebuild import rebuild
from assets.books.schema import LEVELS
from assets.desk import Market
from assets.fills.levels import FIRST
from assets.fills.queues import QUEUES
from assets.fills.rows import ADDED, CLEARED, FILLED, NO_BID, REMOVED, TRADED, UNKNOWN
from assets.fills.tape import Tape, make_tape
from assets.ticks.dbn import to_frame
from assets.ticks.exchange import Instrument, simulate
from tests.fills.test_laws import Venue, random_market

MARKET = Market(symbol="TEST", tick_size="1")
UNIT = 10**9
FIELDS = (
    ("action", codes.ADD, pl.UInt8), ("side", codes.SIDE_NONE, pl.UInt8), ("price", codes.UNDEF_PRICE, pl.Int64),
    ("size", 0, pl.UInt32), ("flags", codes.F_LAST, pl.UInt8),
)  # fmt: skip


def quote(bid: tuple[int, int] | None, ask: tuple[int, int] | None, trade: tuple[str, int, int] | None = None) -> dict[str, int]:
    """A record of schema mbp-1: (price, contracts) a side, and for a trade the aggressor, its price and contracts."""
    side, price, size = trade or ("N", 0, 0)
    row = {"action": ord("T" if trade else "A"), "side": ord(side), "price": price * UNIT, "size": size, "flags": codes.F_LAST}
    for name, level in (("bid", bid), ("ask", ask)):
        row[f"{name}_px_00"], row[f"{name}_sz_00"] = (level[0] * UNIT, level[1]) if level else (codes.UNDEF_PRICE, 0)
    return row


def tape_of(*quotes: dict[str, int]) -> Tape:
    frame = pl.DataFrame(list(quotes)).with_columns(pl.col("action", "side", "flags").cast(pl.UInt8), pl.col("size").cast(pl.UInt32))
    return make_tape(frame.with_row_index("ts_event").with_columns(pl.col("ts_event").cast(pl.Int64)), MARKET)


def told(tape: Tape) -> list[tuple[int, str, int, int, int]]:
    """Each row as (kind, side, price, contracts, priority: own row unless said otherwise)."""
    return [
        (
            int(row["kind"]),
            "BA"[row["side"]],
            int(row["px"]) + tape.base,
            int(row["size"]),
            int(row["priority"]) if row["priority"] != k else k,
        )
        for k, row in enumerate(tape.rows)
    ]


def test_a_queue_that_shrinks_says_only_what_is_left():
    tape = tape_of(quote((100, 5), (101, 7)), quote((100, 3), (101, 7)))
    assert told(tape) == [(ADDED, "B", 100, 5, 0), (ADDED, "A", 101, 7, 1), (REMOVED, "B", 100, 2, UNKNOWN)]


def test_a_trade_is_told_before_the_quote_that_follows_it():
    tape = tape_of(quote((100, 5), (101, 7)), quote((100, 5), (101, 7), ("A", 100, 2)), quote((100, 3), (101, 7)))
    assert told(tape)[2:] == [(FILLED, "B", 100, 2, UNKNOWN)]


def test_a_trade_whose_own_record_shows_the_smaller_level_is_told_once():
    tape = tape_of(quote((100, 5), (101, 7)), quote((100, 3), (101, 7), ("A", 100, 2)), quote((100, 2), (101, 7)))
    assert told(tape)[2:] == [(FILLED, "B", 100, 2, UNKNOWN), (REMOVED, "B", 100, 1, UNKNOWN)]


def test_a_level_that_does_not_shrink_after_a_trade_was_renewed_at_the_back():
    tape = tape_of(quote((100, 5), (101, 7)), quote((100, 5), (101, 7), ("A", 100, 2)), quote((100, 5), (101, 7)))
    assert told(tape)[2:] == [(FILLED, "B", 100, 2, UNKNOWN), (ADDED, "B", 100, 2, 3)]


def test_a_trade_of_more_than_was_shown_met_hidden_contracts():
    tape = tape_of(quote((100, 5), (101, 7)), quote(None, (101, 7), ("A", 100, 8)))
    assert told(tape)[2:] == [(FILLED, "B", 100, 5, UNKNOWN), (TRADED, "B", 100, 3, np.iinfo(np.int32).max)]


def test_a_trade_without_an_aggressor_says_nothing_of_a_queue():
    assert len(tape_of(quote((100, 5), (101, 7)), quote((100, 5), (101, 7), ("N", 100, 2))).rows) == 2


def test_a_price_that_comes_into_view_from_behind_is_put_ahead_of_us_and_a_better_one_behind():
    worse = told(tape_of(quote((100, 5), (105, 7)), quote((98, 9), (105, 7))))
    assert worse[2:] == [(REMOVED, "B", 100, 5, UNKNOWN), (ADDED, "B", 98, 9, FIRST)]
    better = told(tape_of(quote((100, 5), (105, 7)), quote((101, 9), (105, 7))))
    assert better[2:] == [(ADDED, "B", 101, 9, 2)]


def test_a_price_out_of_view_stands_as_last_seen_until_the_best_passes_it():
    tape = tape_of(quote((100, 5), (105, 7)), quote((101, 1), (105, 7)), quote((100, 4), (105, 7)), quote((99, 2), (105, 7)))
    assert told(tape)[3:] == [
        (REMOVED, "B", 101, 1, UNKNOWN),
        (REMOVED, "B", 100, 1, UNKNOWN),
        (REMOVED, "B", 100, 4, UNKNOWN),
        (ADDED, "B", 99, 2, FIRST),
    ]


def test_an_empty_side_takes_all_that_stood_on_it():
    tape = tape_of(quote((100, 5), (105, 7)), quote((101, 1), (105, 7)), quote(None, (105, 7)))
    assert told(tape)[3:] == [(REMOVED, "B", 101, 1, UNKNOWN), (REMOVED, "B", 100, 5, UNKNOWN)]
    assert tape.rows["bid"][-1] == NO_BID


def test_a_clear_empties_both_sides():
    cleared = quote(None, None) | {"action": codes.CLEAR}
    tape = tape_of(quote((100, 5), (105, 7)), cleared, quote((100, 5), (105, 7)))
    assert [kind for kind, *_ in told(tape)] == [ADDED, ADDED, CLEARED, ADDED, ADDED]


def levels_of_a_session(depth: int) -> pl.DataFrame:
    """The first events of a simulated session, each a record with the levels that its book then showed; a record a nanosecond."""
    open_ns = 1_790_000_040 * UNIT
    (made,) = simulate(
        7,
        dt.date(2026, 9, 7),
        [Instrument(1, UNIT // 10, follows=True)],
        open_ns=open_ns,
        close_ns=open_ns + 3_600 * UNIT,
        events=6_000,
        alpha=1.0,
    )
    books = rebuild(to_frame(made.records)).books.head(3_000)
    sides = [(side, level) for side in ("bid", "ask") for level in range(depth)]
    return books.select(
        pl.int_range(pl.len()).alias("ts_event"),
        *(pl.lit(value, kind).alias(name) for name, value, kind in FIELDS),
        *(pl.col(f"{side}_px_{level:02d}").fill_null(codes.UNDEF_PRICE) for side, level in sides),
        *(pl.col(f"{side}_sz_{level:02d}").fill_null(0) for side, level in sides),
    )


@pytest.mark.parametrize("depth", [1, 3, LEVELS])
def test_on_a_traded_session_every_level_in_view_is_held_exactly(depth):
    """The rebuilt book of a simulated session as a vendor would send its levels; the tape's ladder, replayed, must show them."""
    records, market = levels_of_a_session(depth), Market(symbol="TEST", tick_size="0.1")
    tape = make_tape(records, market)
    standing: dict[tuple[int, int], int] = {}
    ts, r = records["ts_event"].to_numpy(), 0
    for i in range(records.height):
        while r < len(tape.rows) and tape.rows["ts"][r] <= ts[i]:
            row = tape.rows[r]
            if row["kind"] in (ADDED, REMOVED):
                at = int(row["side"]), int(row["px"]) + tape.base
                standing[at] = standing.get(at, 0) + int(row["size"]) * (1 if row["kind"] == ADDED else -1)
                assert standing[at] >= 0
            r += 1
        for side, name in enumerate(("bid", "ask")):
            seen = [(records[f"{name}_px_{k:02d}"][i], records[f"{name}_sz_{k:02d}"][i]) for k in range(depth)]
            for price, size in seen:
                if size:
                    assert standing[side, price // market.tick] == size
            best = max if side == 0 else min
            held = [px for (which, px), size in standing.items() if which == side and size]
            assert best(held, default=None) == (seen[0][0] // market.tick if seen[0][1] else None)


def shown(records: pl.DataFrame, depth: int, late: np.ndarray | None = None) -> pl.DataFrame:
    """MBO records as a feed of levels tells them: a trade with the levels before it, each change of the book with those after it.

    Args:
        late: nanoseconds by which each record's trade is told after the levels that lack it.
    """
    orders: dict[int, tuple[int, int, int]] = {}
    rows = []
    for k, record in enumerate(records.to_dicts()):
        action, order = record["action"], record["order_id"]
        if action == codes.FILL:
            continue
        if action in (codes.ADD, codes.MODIFY):
            orders[order] = (record["side"], record["price"], record["size"])
        elif action == codes.CANCEL:
            side, price, size = orders.pop(order)
            if size > record["size"]:
                orders[order] = (side, price, size - record["size"])
        row = {name: record[name] for name in ("ts_event", "action", "side", "price", "size", "flags")}
        if late is not None and action == codes.TRADE:
            row["ts_event"] += int(late[k])
        for side, name, sign in ((codes.SIDE_BID, "bid", -1), (codes.SIDE_ASK, "ask", 1)):
            sizes: dict[int, int] = {}
            for of, price, size in orders.values():
                if of == side:
                    sizes[price] = sizes.get(price, 0) + size
            best = sorted(sizes, key=lambda price: sign * price)[:depth]
            for level in range(depth):
                price = best[level] if level < len(best) else codes.UNDEF_PRICE
                row[f"{name}_px_{level:02d}"], row[f"{name}_sz_{level:02d}"] = price, sizes.get(price, 0)
        rows.append(row)
    quotes = pl.DataFrame(rows).with_columns(pl.col("action", "side", "flags").cast(pl.UInt8), pl.col("size").cast(pl.UInt32))
    if late is None:
        return quotes
    # A trade that is told late shows the levels of then.
    levels = [name for name in quotes.columns if name[:3] in ("bid", "ask")]
    trade = pl.col("action") == codes.TRADE
    known = [pl.when(~trade).then(pl.col(name)).alias(name) for name in levels]
    return quotes.with_columns(known).sort("ts_event", maintain_order=True).with_columns(pl.col(levels).forward_fill().fill_null(0))


@pytest.mark.parametrize("depth", [1, 10])
@pytest.mark.parametrize("seed", range(3))
def test_a_trade_leaves_a_queue_once_however_its_level_is_shown_after_it(hand, seed, depth):
    stream, _ = random_market(hand, seed)
    records = stream.frame()
    rows = make_tape(shown(records, depth), hand.market).rows
    traded = records.filter(pl.col("action") == codes.TRADE)["size"].sum()
    assert rows["size"][rows["kind"] == FILLED].sum() == traded
    assert not (rows["kind"] == TRADED).any()


def steady_market(hand, seed: int):
    """Orders that join, trade and are cancelled; none gives up its place by growing, which levels show as growth alone."""
    random = np.random.default_rng(seed)
    venue, at = Venue(hand.Stream(), random), 0.0
    for level in range(6):
        venue.join(0, 1, 100 - level, 5)
        venue.join(0, -1, 101 + level, 5)
    for _ in range(400):
        at += float(random.integers(1, 31))
        what, side = random.random(), 1 if random.random() < 0.5 else -1
        places = [(key, k) for key, queue in venue.queues.items() for k in range(len(queue))]
        if what < 0.5 or len(places) < 12:
            near = (venue.touch(-side) or 100 + side) - side
            venue.join(at, side, near - side * int(random.integers(0, 4)), int(random.integers(1, 6)))
        elif what < 0.7:
            venue.take(at, side, int(random.integers(1, 9)))
        else:
            key, k = places[int(random.integers(len(places)))]
            venue.stream.cancel(at, venue.queues[key].pop(k)[0])
    return venue.stream, at


def filled_by(hand, tape: Tape, queue: str, orders: list[tuple[float, int, int]]) -> list[int]:
    """Contracts that each order gets, alone in the market: (ms, side, price)."""
    got = []
    for at, side, px in orders:
        market = hand.Wire(SimpleNamespace(tape=lambda: tape), latency_ms=0.5, post_only=True)
        market.rules["queue"] = QUEUES.index(queue)
        order = market.send(at, side, px, 3)
        got.append(market.run().filled(order))
    return got


@pytest.mark.parametrize("led", [False, True])
def test_the_pessimist_fills_no_more_and_the_optimist_no_less_than_the_exact_queue(hand, led):
    """On markets shown as ten levels, at once or with quotes that lead their trades by 1 to 12 ms."""
    sums = np.zeros(3, np.int64)
    for seed in range(6):
        stream, end = steady_market(hand, seed)
        records, random = stream.frame(), np.random.default_rng(seed)
        late = random.integers(1_000_000, 12_000_000, records.height) if led else None
        sides = [1 if random.random() < 0.5 else -1 for _ in range(40)]
        orders = [(float(random.uniform(5, 0.8 * end)), side, 100 - side * int(random.integers(-1, 3))) for side in sides]
        tape = make_tape(shown(records, 10, late), hand.market)
        low, high = (filled_by(hand, tape, queue, orders) for queue in ("pessimist", "optimist"))
        exact = filled_by(hand, stream.tape(), "exact", orders)
        assert all(one <= two <= three for one, two, three in zip(low, exact, high, strict=True))
        sums += [sum(low), sum(exact), sum(high)]
    assert 0.5 * sums[1] < sums[0] < sums[1] < sums[2]


@pytest.mark.parametrize("depth", [1, 10])
def test_the_best_prices_are_those_shown_last_though_only_what_had_traded_left(hand, depth):
    """A trade that takes all of the best price: the record that shows the next one brings no row of its own."""
    stream, _ = random_market(hand, 0)
    quotes = shown(stream.frame(), depth)
    tape = make_tape(quotes, hand.market)
    last = np.searchsorted(tape.rows["ts"], quotes["ts_event"].unique(maintain_order=True), side="right") - 1
    shown_last = quotes.group_by("ts_event", maintain_order=True).last()
    for name in ("bid", "ask"):
        seen = shown_last[f"{name}_px_00"].to_numpy()
        known = seen != codes.UNDEF_PRICE
        assert ((tape.rows[name][last[known]].astype(np.int64) + tape.base) * hand.tick == seen[known]).all()
