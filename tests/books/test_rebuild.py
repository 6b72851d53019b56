"""What the rebuild publishes and what it leaves out, rule by rule, and on a real session."""

import numpy as np
import polars as pl
import pytest

from assets.books.codes import F_LAST, F_MAYBE_BAD_BOOK, F_SNAPSHOT, MAX_SIZE, UNDEF_PRICE
from assets.books.kernel import apply
from assets.books.rebuild import applied, rebuild
from assets.books.storage import find, grown, is_full, new_book

ES = "esh4-glbx-mdp3-20231225.mbo.dbn.zst"
ES_DAY_BEFORE = "esh4-glbx-mdp3-20231224.mbo.dbn.zst"
ES_OPEN = 1_703_545_200_000_000_000  # 23:00 UTC


def bid(order_id, price=100, size=1, **further):
    return {"action": "A", "side": "B", "price": price, "size": size, "order_id": order_id, **further}


def ask(order_id, price=102, size=1, **further):
    return bid(order_id, price, size, **further) | {"side": "A"}


def gone(order_id, side):
    return {"action": "C", "side": side, "order_id": order_id}


def reasons(raw, **hours):
    return dict(rebuild(raw, **hours).quarantine.select("row", "reason").iter_rows())


def test_a_row_for_each_completed_event_with_its_ten_levels(frame):
    books = rebuild(frame([bid(1, flags=0), bid(2, price=99, size=3), ask(3), ask(4, size=5)])).books
    assert books.select("row", "records", "bid_px_00", "bid_sz_01", "ask_px_00", "ask_sz_00", "ask_ct_00", "ask_px_01").rows() == [
        (1, 2, 100, 3, None, None, None, None),
        (2, 1, 100, 3, 102, 1, 1, None),
        (3, 1, 100, 3, 102, 6, 2, None),
    ]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"action": "C", "order_id": 9, "side": "B"}, "unknown_order"),
        ({"action": "M", "order_id": 9, "side": "B"}, "unknown_order"),
        ({"action": "F", "order_id": 9, "side": "B"}, "unknown_order"),
        (bid(1), "duplicate_order"),
        ({"action": "M", "order_id": 1, "side": "A"}, "wrong_side"),
        ({"action": "C", "order_id": 1, "side": "A"}, "wrong_side"),
        ({"action": "C", "order_id": 1, "side": "B", "size": 11}, "excessive_cancel"),
        (bid(9, size=0), "zero_size"),
        ({"action": "T", "side": "B", "size": 0}, "zero_size"),
        (bid(9, size=MAX_SIZE + 1), "excessive_size"),
        (bid(9, price=UNDEF_PRICE), "undefined_price"),
        (bid(9) | {"side": "N"}, "undefined_side"),
        ({"action": "x"}, "unknown_action"),
        (bid(9, ts_event=10**12, ts_recv=4_000), "bad_timestamp"),
        (bid(9, ts_event=500, sequence=1), "out_of_sequence"),
        (bid(9, flags=0), "unfinished_event"),
        (bid(9, price=102), "locked"),
        (bid(9, price=103), "crossed"),
    ],
)
def test_what_cannot_be_is_left_out_with_its_reason(frame, record, reason):
    sound = [{"action": "R"}, bid(1, size=10), ask(2), bid(3, price=90)]
    made = rebuild(frame([*sound, record]), open_ns=0)
    assert made.quarantine.select("row", "reason").rows() == [(4, reason)]
    assert made.books["row"].to_list() == [0, 1, 2, 3]


def test_without_a_snapshot_an_order_that_is_modified_is_taken_up_and_the_book_is_doubted(frame):
    older = {"action": "M", "order_id": 9, "side": "B", "price": 100, "size": 4}
    made = rebuild(frame([bid(1), older, gone(9, "B") | {"size": 4}]))
    assert made.books["bid_sz_00"].to_list() == [1, 5, 1]
    assert made.quality.select("quarantined", "trusted_from").row(0) == (0, 2_000)


def test_a_crossed_event_is_not_published_but_the_book_holds_it(frame):
    raw = frame([bid(1), ask(2), bid(3, price=103), gone(3, "B"), gone(1, "B")])
    made = rebuild(raw, open_ns=0)
    assert made.books["row"].to_list() == [0, 1, 3, 4]
    assert applied(raw, made.quarantine)["row"].to_list() == [0, 1, 2, 3, 4]
    assert made.quality.select("crossed", "crossed_ns", "refused").row(0) == (1, 1_000, 0)


def test_a_refused_record_is_not_replayed(frame):
    raw = frame([bid(1), bid(1), ask(2)])
    made = rebuild(raw)
    assert applied(raw, made.quarantine)["row"].to_list() == [0, 2]


def test_what_was_lost_before_a_refused_record_is_told_by_the_next(frame):
    lost = F_LAST | F_MAYBE_BAD_BOOK
    raw = frame([bid(1), bid(1, flags=lost), ask(2), bid(3, flags=lost), ask(4)])
    known = applied(raw, rebuild(raw).quarantine)
    assert known.select("row", "flags").rows() == [(0, F_LAST), (2, lost), (3, lost), (4, F_LAST)]
    assert known.schema["flags"] == raw.schema["flags"]


@pytest.mark.parametrize(
    ("hours", "reason"),
    [({}, "auction"), ({"open_ns": 0}, "crossed"), ({"open_ns": 9_000}, "auction"), ({"open_ns": 0, "close_ns": 2_000}, "auction")],
)
def test_a_crossed_book_is_an_auction_outside_the_hours_and_before_the_first_trade(frame, hours, reason):
    assert reasons(frame([bid(1), ask(2, price=99)]), **hours) == {1: reason}


def test_the_first_trade_ends_the_auction_where_the_open_is_not_known(frame):
    trade = {"action": "T", "side": "B", "price": 102}
    raw = frame([bid(1), ask(2, price=99), gone(2, "A"), trade, ask(3, price=99)])
    assert reasons(raw) == {1: "auction", 4: "crossed"}


def test_exchange_times_that_fall_are_published_at_the_latest_so_far(frame):
    made = rebuild(frame([bid(1), ask(2, ts_event=400), ask(3)]))
    assert made.books["ts_event"].to_list() == [1_000, 1_000, 3_000]
    assert made.quality["out_of_order"].item() == 1


def test_a_snapshot_replaces_the_book_and_ends_with_its_last_record(frame):
    snapshot = [bid(1, flags=F_SNAPSHOT), ask(2, flags=F_SNAPSHOT | F_LAST)]
    again = [bid(1, size=7, flags=F_SNAPSHOT), ask(4, flags=F_SNAPSHOT)]
    made = rebuild(frame([*snapshot, *again, ask(5, price=105)]))
    assert made.quarantine.is_empty()
    columns = ("row", "records", "bid_sz_00", "ask_ct_00", "ask_px_01")
    assert made.books.select(columns).rows() == [(1, 2, 1, 1, None), (3, 2, 7, 1, None), (4, 1, 7, 1, 105)]


def test_a_gap_and_an_unknown_order_near_the_touch_put_off_the_time_from_which_the_book_is_trusted(frame):
    unknown = {"action": "C", "order_id": 9, "side": "B", "price": 100}
    sound, gap = [bid(1), ask(2)], bid(4, flags=F_LAST | 4)
    qualities = [rebuild(frame([*sound, *further])).quality for further in ([], [bid(3), unknown], [gap, gap | {"order_id": 6}, bid(5)])]
    assert [quality.select("trusted_from", "gaps").row(0) for quality in qualities] == [(1_000, 0), (4_000, 0), (4_000, 1)]


def test_a_fill_that_passes_over_an_order_ahead_is_counted(frame):
    fills = [{"action": "F", "order_id": 2, "side": "A", "price": 102, "flags": 0}, {"action": "C", "order_id": 2, "side": "A"}]
    trade = {"action": "T", "side": "B", "price": 102, "order_id": 8, "flags": 0}
    passed = rebuild(frame([ask(1), ask(2), trade, *fills]), open_ns=0)
    fair = rebuild(frame([ask(2), ask(1), trade, *fills]), open_ns=0)
    assert (passed.quality["front_share"].item(), fair.quality["front_share"].item()) == (0.0, 1.0)


def test_an_empty_session_has_a_row_of_quality_and_no_other(frame):
    made = rebuild(frame([]))
    assert (made.books.height, made.trades.height, made.quarantine.height) == (0, 0, 0)
    assert made.quality.select("records", "trusted_from", "feed_p50_ns", "front_share").row(0) == (0, None, None, None)


def test_a_grown_book_holds_what_it_held(frame):
    small, large = new_book(4), new_book(64)
    for number in range(40):
        if is_full(small):
            small = grown(small)
        for book in (small, large):
            apply(book, np.uint8(ord("A")), np.uint8(ord("B")), 100 + number % 7, np.uint32(1), np.uint64(number), np.uint8(F_LAST))
    for number in range(40):
        ours, theirs = (book.orders[find(book, np.uint64(number))] for book in (small, large))
        assert (ours["priority"], ours["quantity"], ours["before"], ours["behind"]) == (
            theirs["priority"],
            theirs["quantity"],
            theirs["before"],
            theirs["behind"],
        )


class TestRealSession:
    """E-mini S&P 500 around an open: snapshot, pre-open, opening auction, an hour of trading."""

    def test_no_book_is_crossed_or_locked_after_the_open(self, real):
        made = rebuild(real(ES), open_ns=ES_OPEN)
        assert made.quality.select("crossed", "crossed_ns", "locked_ns", "gaps", "out_of_order").row(0) == (0, 0, 0, 0, 0)
        after = made.books.filter(pl.col("ts_event") >= ES_OPEN)
        assert after.height > 40_000
        assert (after["bid_px_00"] < after["ask_px_00"]).all()
        assert ((after["ask_px_00"] - after["bid_px_00"]) % 250_000_000 == 0).all()

    def test_nothing_is_refused_but_fills_of_the_opening_auction_whose_orders_were_never_shown(self, real):
        made = rebuild(real(ES), open_ns=ES_OPEN)
        refused = made.quarantine.filter(pl.col("reason") != "auction")
        assert refused.select("reason", "action", "ts_event").unique().rows() == [("unknown_order", ord("F"), ES_OPEN)]
        assert refused.height == 7
        assert made.books["records"].sum() + made.quarantine.height == 68_792

    def test_every_fill_consumes_the_order_it_names_and_passes_over_none_ahead(self, real):
        raw = real(ES)
        made = rebuild(raw, open_ns=ES_OPEN)
        assert made.quality["front_share"].item() == 1.0
        ends = (pl.col("flags") & F_LAST != 0).cast(pl.Int64)
        events = applied(raw, made.quarantine).with_columns(event=ends.cum_sum() - ends)
        fills = events.filter(pl.col("action") == ord("F")).select("event", "order_id").unique()
        follows = events.filter(pl.col("action").is_in([ord("C"), ord("M")])).select("event", "order_id").unique()
        shown = events.filter(pl.col("action") == ord("A")).select("order_id").unique()
        resting = fills.join(shown, on="order_id", how="semi")
        assert resting.height > 6_000
        assert resting.join(follows, on=["event", "order_id"], how="anti").is_empty()

    def test_the_aggressor_of_a_trade_takes_the_other_sides_best_price(self, real):
        made = rebuild(real(ES), open_ns=ES_OPEN)
        first = made.trades.filter(pl.col("aggressor") != 0).unique("ts_event", keep="first", maintain_order=True)
        before = first.join_asof(made.books.select("row", "bid_px_00", "ask_px_00"), on="row", strategy="backward")
        best = pl.when(pl.col("aggressor") == 1).then("ask_px_00").otherwise("bid_px_00")
        assert before.height > 2_000
        assert before.select((pl.col("price") == best).mean()).item() > 0.99

    def test_the_snapshot_of_the_day_before_does_not_double_the_book(self, real):
        alone = rebuild(real(ES), open_ns=ES_OPEN).books
        both = rebuild(pl.concat([real(ES_DAY_BEFORE), real(ES)]), open_ns=ES_OPEN)
        assert both.quarantine.filter(pl.col("reason") == "duplicate_order").is_empty()
        assert both.books[1:].drop("row").equals(alone.drop("row"))

    def test_without_its_snapshot_the_touch_is_right_from_the_time_it_is_trusted(self, real):
        """Not of every event: an order of before the file that nobody has touched cannot be known."""
        raw = real(ES)
        truth, made = rebuild(raw, open_ns=ES_OPEN).books, rebuild(raw[8_725:], open_ns=ES_OPEN)
        trusted = made.quality["trusted_from"].item()
        both = truth.join(made.books.with_columns(pl.col("row") + 8_725), on="row", suffix="_built")
        after = both.filter(pl.col("ts_event") > trusted)
        touch = ["bid_px_00", "bid_sz_00", "ask_px_00", "ask_sz_00"]
        right = [
            frame.select(pl.all_horizontal(pl.col(name) == pl.col(f"{name}_built") for name in touch)).to_series()
            for frame in (both, after)
        ]
        assert after.height > 5_000
        assert right[0].mean() < 0.95
        assert right[1].mean() > 0.99
