"""A log of orders set against its replay: what is refused, what matches, how the difference splits, what calibration finds."""

import datetime as dt
from decimal import Decimal
from types import SimpleNamespace

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.desk import NS, Limits, Market, Trading
from assets.fills.policy import Policy
from assets.fills.simulate import simulate
from assets.fills.tape import double_mids, make_tape
from assets.fills.truth.log import LogError, log_of, read_log, write_log
from assets.fills.truth.reconcile import Setting, calibrate, reconcile
from assets.fills.truth.schema import ReconciledOrders, Reconciliation
from assets.hours import Window
from assets.lake import check
from assets.ticks.dbn import to_frame
from assets.ticks.exchange import Instrument
from assets.ticks.exchange import simulate as simulate_exchange

MARKET = Market(symbol="F", tick_size=Decimal("0.1"), multiplier=Decimal(50), maker_fee=Decimal("1.4"), taker_fee=Decimal("1.4"))
TRADING = Trading(max_position=4, daily_loss_limit=Decimal(100_000))
OPEN = int(dt.datetime(2026, 8, 24, 13, 30, tzinfo=dt.UTC).timestamp()) * NS
HOURS = Window(OPEN, OPEN + 1_800 * NS)


@pytest.fixture(scope="module")
def traded():
    """A session that a policy traded in the simulator: its records, and the log that would be left at a broker."""
    (made,) = simulate_exchange(
        3,
        dt.date(2026, 8, 24),
        [Instrument(1, MARKET.tick, follows=False)],
        open_ns=OPEN,
        close_ns=HOURS.close_ns,
        events=10_000,
        alpha=1.0,
    )
    records = to_frame(made.records)
    moves = make_tape(records, MARKET).rows["ts"][1_000::5].copy()
    done = simulate(records, moves, moves % 7 * 0.2 - 0.6, market=MARKET, trading=TRADING, policy=Policy(threshold=-0.4), window=HOURS)
    return SimpleNamespace(tape=make_tape(records, MARKET), done=done, log=log_of(done.orders, done.fills))


def test_the_simulators_own_log_is_replayed_fill_for_fill(traded):
    rows, orders = reconcile(traded.log, traded.tape, HOURS, MARKET, TRADING)
    check(rows, Reconciliation, "reconciliation")
    check(orders, ReconciledOrders, "reconciled_orders")
    own = rows.row(0, named=True)
    assert own["own"]
    assert own["filled_log"] > 50
    assert (own["missed"], own["imagined"], own["ks_time_to_fill"], own["ks_slippage"]) == (0, 0, 0, 0)
    assert own["pnl_log"] == pytest.approx(traded.done.outcome.net_pnl / 1e9)
    assert (orders["ts_fill_log"] == orders["ts_fill_replay"]).drop_nulls().all()


def test_the_exchange_alone_is_simulated_and_the_desks_limits_hold_nothing_back_unless_asked(traded):
    """As narrow as a desk's limits can be: none is the log's."""
    narrow = Trading(max_position=1, daily_loss_limit=Decimal("0.01"))
    market = MARKET.model_copy(update={"limits": Limits(messages_per_second=1, order_to_trade=0.1, order_to_trade_free=1)})
    alone, orders = reconcile(traded.log, traded.tape, HOURS, market, narrow, [Setting(20.0, "exact", 1.0)])
    assert alone.select("missed", "imagined", "refused").row(0) == (0, 0, 0)
    assert orders["refusal"].null_count() == orders.height
    assert alone["pnl_replay"][0] == pytest.approx(traded.done.outcome.net_pnl / 1e9)
    held, orders = reconcile(traded.log, traded.tape, HOURS, market, narrow, [Setting(20.0, "exact", 1.0)], with_limits=True)
    assert held["refused"][0] == orders["refusal"].count() > 0
    assert {"position", "message_rate", "loss"} & set(orders["refusal"].drop_nulls())
    assert held["missed"][0] > 0


def test_the_difference_of_the_pnl_splits_without_a_rest_under_every_setting(traded):
    rows, _ = reconcile(traded.log, traded.tape, HOURS, MARKET, TRADING)
    gap = rows["pnl_log"] - rows["pnl_replay"]
    assert gap.to_list() == pytest.approx((rows["pnl_missed"] - rows["pnl_imagined"] + rows["pnl_price"]).to_list())
    assert rows["missed"].sum() > 0
    assert rows["imagined"].sum() > 0
    assert (rows["filled_replay"] == rows["filled_log"] - rows["missed"] + rows["imagined"]).all()


def test_calibration_finds_the_delay_that_the_log_was_made_with(traded):
    wrong = TRADING.model_copy(update={"latency_ms": 80.0, "queue": "pessimist"})
    assert calibrate(reconcile(traded.log, traded.tape, HOURS, MARKET, wrong)[0]) == Setting(20.0, "exact", 1.0)


@pytest.mark.parametrize("name", ["log.csv", "log.parquet"])
def test_a_log_is_read_back_as_it_was_written(traded, tmp_path, name):
    write_log(traded.log, MARKET, tmp_path / name)
    assert read_log(tmp_path / name, MARKET).equals(traded.log)


@pytest.fixture(scope="module")
def written(traded, tmp_path_factory):
    """The log as its file holds it."""
    path = tmp_path_factory.mktemp("log") / "log.csv"
    write_log(traded.log, MARKET, path)
    return pl.read_csv(path, infer_schema_length=None, schema_overrides={"order_id": pl.String})


def test_prices_are_written_as_they_are(written):
    assert written["price"].cast(pl.String).str.len_chars().max() <= 6


def line(**given):
    return {"ts": OPEN, "event": "new", "order_id": "a", "symbol": "F", "side": "buy", "price": 2000.1, "quantity": 2} | given


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([line(symbol="ESZ6")], "line 2: symbol ESZ6 is another market's: this desk trades F"),
        ([line(), line(order_id="b", event="fill")], "line 3: fill of order b, which the log never sent"),
        ([line(), line(ts=OPEN - 1, event="cancel")], "line 3: its time is before the line above: sort the log by ts"),
        ([line(), line()], "order a is sent twice"),
        ([line(), line(event="fill", quantity=3)], "order a is filled beyond its size"),
        ([line(event="amend")], "unknown event 'amend'"),
        ([line(side="long")], "a side is buy or sell"),
        ([line(price=2000.13)], "no multiple of the tick size 0.1"),
        ([line(quantity=0)], "an order is of one contract or more"),
        ([line(quantity="1.9")], "line 2: quantity '1.9': a quantity is whole contracts"),
        ([line(quantity=3_000_000_000)], "a quantity is whole contracts"),
        ([line(price="dear")], "line 2: price 'dear': a price is a number"),
        ([line(price=1e300)], "a price is a number"),
        ([line(order_id=None)], "line 2: no order_id"),
        ([line(), line(event="cancel"), line(event="reject")], "line 4: reject of order a, which the log has cancelled or filled"),
        ([line(), line(event="fill"), line(event="reject")], "line 4: reject of order a, which the log has cancelled or filled"),
        ([line(), line(event="reject"), line(event="fill")], "line 4: a fill of order a, which was rejected: nothing follows a reject"),
        ([line(), line(event="reject"), line(event="reject")], "line 4: order a is rejected twice"),
        ([line(), line(event="cancel"), line(event="cancel")], "line 4: order a is cancelled twice"),
        ([line(), line(event="fill", price=2000.2)], "line 3: order a is filled at a worse price than its limit"),
        ([line(side="sell"), line(side="sell", event="fill", price=2000.0)], "line 3: order a is filled at a worse price"),
        ([line(account="x")], "unknown column 'account'"),
        ([{"ts": OPEN}], "no column 'event'"),
        *(
            ([line(ts=ts)], f"line 2: ts '{ts}': ts is whole nanoseconds since 1970 .* or ISO 8601 with an offset")
            for ts in ("yesterday", "2026-08-24T13:30:00", "2026-08-24", "08/24/2026 13:30", str(OPEN // NS), f"{OPEN}.5")
        ),
    ],
)
def test_a_bad_log_gets_one_sentence(tmp_path, lines, told):
    path = tmp_path / "log.csv"
    pl.DataFrame(lines).write_csv(path)
    with pytest.raises(LogError, match=told):
        read_log(path, MARKET)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"ts": dt.datetime(2026, 8, 24, 13, 30)}, "column ts holds timestamps without a zone"),
        ({"ts": dt.date(2026, 8, 24)}, "column ts holds days"),
        ({"ts": float(OPEN)}, "column ts holds Float64, which cannot hold nanoseconds"),
        ({"order_id": 1.0}, "column order_id holds Float64: write text, or whole numbers"),
        ({"quantity": True}, "column quantity holds Boolean, not numbers"),
        ({"side": 1}, "column side holds Int64: write text"),
    ],
)
def test_a_parquet_log_is_held_to_the_same(tmp_path, columns, told):
    pl.DataFrame([line(**columns)]).write_parquet(tmp_path / "log.parquet")
    with pytest.raises(LogError, match=told):
        read_log(tmp_path / "log.parquet", MARKET)


def test_ids_are_text_and_a_whole_number_is_the_id_it_is_written_as(tmp_path):
    ids = ["1", "01", "1.0", "1e0", str(2**70)]
    pl.DataFrame([line(order_id=name) for name in ids]).write_csv(tmp_path / "log.csv")
    assert read_log(tmp_path / "log.csv", MARKET)["order_id"].to_list() == ids
    pl.DataFrame([line(order_id=2**62 + 1)]).write_parquet(tmp_path / "log.parquet")
    assert read_log(tmp_path / "log.parquet", MARKET)["order_id"].to_list() == [str(2**62 + 1)]


def test_an_ioc_orders_lines_may_leave_its_time_in_force_out_and_may_not_say_another(tmp_path):
    lines = [
        line(time_in_force="ioc"),
        line(event="fill", quantity=1, time_in_force=None),
        line(event="fill", quantity=1, time_in_force="ioc"),
    ]
    pl.DataFrame(lines).write_csv(tmp_path / "log.csv")
    assert read_log(tmp_path / "log.csv", MARKET)["time_in_force"].to_list() == ["ioc"] * 3
    pl.DataFrame([lines[0], line(event="fill", time_in_force="day")]).write_csv(tmp_path / "log.csv")
    with pytest.raises(LogError, match="line 3: order a was not sent with time_in_force day"):
        read_log(tmp_path / "log.csv", MARKET)


def test_a_cancel_is_of_the_order_or_of_what_was_left_of_it(tmp_path):
    for quantity, agrees in ((1, True), (2, True), (3, False)):
        pl.DataFrame([line(), line(event="fill", quantity=1), line(event="cancel", quantity=quantity)]).write_csv(tmp_path / "log.csv")
        if agrees:
            assert read_log(tmp_path / "log.csv", MARKET)["quantity"].to_list() == [2, 1, quantity]
        else:
            with pytest.raises(LogError, match="line 4: a cancel of 3 contracts is not of its order a"):
                read_log(tmp_path / "log.csv", MARKET)


CHANGES = {
    "symbol": lambda row: row | {"symbol": "ESZ6"},
    "side": lambda row: row | {"side": "sell" if row["side"] == "buy" else "buy"},
    "price": lambda row: row | {"price": row["price"] + (1 if row["side"] == "buy" else -1)},
    "quantity": lambda row: row | {"quantity": row["quantity"] + 1},
    "time_in_force": lambda row: row | {"time_in_force": "day" if row["time_in_force"] == "ioc" else "ioc"},
}
"""Another value of each column that a line repeats of its order."""


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_line_that_says_other_of_its_order_than_the_order_itself_is_refused_with_its_number(written, tmp_path, data):
    rows = written.to_dicts()
    k = data.draw(st.sampled_from([k for k, row in enumerate(rows) if row["event"] != "new"]))
    name = data.draw(st.sampled_from(sorted(CHANGES)))
    rows[k] = CHANGES[name](rows[k])
    pl.DataFrame(rows, schema=written.schema).write_csv(tmp_path / "log.csv")
    with pytest.raises(LogError, match=f"line {k + 2}: "):
        read_log(tmp_path / "log.csv", MARKET)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_the_pnl_of_any_log_that_is_read_is_the_sum_over_its_fill_lines(traded, written, tmp_path, data):
    """However lines are lost, doubled, or come to be of another event; whatever cannot be is refused."""
    rows = written.head(120).to_dicts()
    for _ in range(data.draw(st.integers(0, 3))):
        k = data.draw(st.integers(0, len(rows) - 1))
        match data.draw(st.sampled_from(["lost", "doubled", "event", "side", "size"])):
            case "lost":
                del rows[k]
            case "doubled":
                rows.insert(k, dict(rows[k]))
            case "event":
                rows[k] = rows[k] | {"event": data.draw(st.sampled_from(["new", "cancel", "fill", "reject"]))}
            case "side":
                rows[k] = CHANGES["side"](rows[k])
            case "size":
                rows[k] = CHANGES["quantity"](rows[k])
    path = tmp_path / "log.csv"
    pl.DataFrame(rows, schema=written.schema).write_csv(path)
    try:
        log = read_log(path, MARKET)
    except LogError:
        return
    told, _ = reconcile(log, traded.tape, HOURS, MARKET, TRADING, [Setting(20.0, "exact", 1.0)])
    last = float(double_mids(traded.tape)[-1]) / 2 * 0.1
    worth = [
        (1 if row["side"] == "buy" else -1) * row["quantity"] * (last - row["price"]) * 50 - 1.4 * row["quantity"]
        for row in rows
        if row["event"] == "fill"
    ]
    assert told["pnl_log"][0] == pytest.approx(sum(worth))


def test_times_may_be_written_out(tmp_path):
    path = tmp_path / "log.csv"
    pl.DataFrame([line(ts="2026-08-24T15:30:00.000000001+02:00")]).write_csv(path)
    assert read_log(path, MARKET)["ts"].to_list() == [OPEN + 1]


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(LogError, match="there is no such file"):
        read_log(tmp_path / "none.csv", MARKET)


def test_an_order_of_very_many_contracts_takes_what_there_is_and_no_more_memory(traded):
    one = traded.log.filter(pl.col("event") == "new").head(1).with_columns(quantity=pl.lit(2**31 - 1, pl.Int64))
    rows, orders = reconcile(one, traded.tape, HOURS, MARKET, TRADING, [Setting(20.0, "exact", 1.0)])
    assert rows["refused"].to_list() == [0]
    assert orders["filled_replay"][0] < 100_000


def test_an_order_of_another_session_and_too_many_at_once_are_refused(traded):
    later = traded.log.filter(pl.col("event") == "cancel").head(1)
    with pytest.raises(LogError, match="was not sent in this session"):
        reconcile(later, traded.tape, HOURS, MARKET, TRADING)
    one = traded.log.filter(pl.col("event") == "new").head(1)
    many = pl.concat([one.with_columns(order_id=pl.lit(str(k))) for k in range(65)])
    with pytest.raises(LogError, match="65 orders of one side are open at once"):
        reconcile(many, traded.tape, HOURS, MARKET, TRADING)
