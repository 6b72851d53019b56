"""A log of orders set against its replay: what is refused, what matches, how the difference splits, what calibration finds."""

import datetime as dt
from decimal import Decimal
from types import SimpleNamespace

import polars as pl
import pytest

from assets.desk import NS, Market, Trading
from assets.fills.policy import Policy
from assets.fills.simulate import simulate
from assets.fills.tape import make_tape
from assets.fills.truth.log import LogError, log_of, read_log, write_log
from assets.fills.truth.reconcile import Setting, calibrate, reconcile
from assets.fills.truth.schema import ReconciledOrders, Reconciliation
from assets.lake import check
from assets.ticks.dbn import to_frame
from assets.ticks.exchange import Instrument
from assets.ticks.exchange import simulate as simulate_exchange

MARKET = Market(symbol="F", tick_size=Decimal("0.1"), multiplier=Decimal(50), maker_fee=Decimal("1.4"), taker_fee=Decimal("1.4"))
TRADING = Trading(max_position=4, daily_loss_limit=Decimal(100_000))
OPEN = int(dt.datetime(2026, 8, 24, 13, 30, tzinfo=dt.UTC).timestamp()) * NS
HOURS = SimpleNamespace(open_ns=OPEN, close_ns=OPEN + 1_800 * NS)


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
        ([line(account="x")], "unknown column 'account'"),
        ([{"ts": OPEN}], "no column 'event'"),
        ([line(ts="yesterday")], "a value is of the wrong kind"),
    ],
)
def test_a_bad_log_gets_one_sentence(tmp_path, lines, told):
    path = tmp_path / "log.csv"
    pl.DataFrame(lines).write_csv(path)
    with pytest.raises(LogError, match=told):
        read_log(path, MARKET)


def test_times_may_be_written_out(tmp_path):
    path = tmp_path / "log.csv"
    pl.DataFrame([line(ts="2026-08-24T15:30:00.000000001+02:00")]).write_csv(path)
    assert read_log(path, MARKET)["ts"].to_list() == [OPEN + 1]


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(LogError, match="there is no such file"):
        read_log(tmp_path / "none.csv", MARKET)


def test_an_order_of_another_session_and_too_many_at_once_are_refused(traded):
    later = traded.log.filter(pl.col("event") == "cancel").head(1)
    with pytest.raises(LogError, match="was not sent in this session"):
        reconcile(later, traded.tape, HOURS, MARKET, TRADING)
    one = traded.log.filter(pl.col("event") == "new").head(1)
    many = pl.concat([one.with_columns(order_id=pl.lit(str(k))) for k in range(65)])
    with pytest.raises(LogError, match="65 orders of one side are open at once"):
        reconcile(many, traded.tape, HOURS, MARKET, TRADING)
