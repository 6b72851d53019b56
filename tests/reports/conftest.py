"""A session's frames from a list of fills: small enough to check by hand, complete enough for a page."""

import datetime as dt
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest

from assets.books.continuous import rows_of
from assets.books.schema import BookQuality, Quarantine, TradingStretches
from assets.curves.schema import CurveModel, Predictions
from assets.desk import NS, Market
from assets.features.schema import FeatureTable
from assets.fills.schema import VARIANTS, Equity, Fills, LiveFills, LiveOrders, Orders, PolicyAblation, WhatIf
from assets.fills.truth.schema import ReconciledOrders, Reconciliation, ShadowOrders
from assets.hours import Window
from assets.lake import Lake
from assets.reports.session import SessionTables
from assets.ticks.schema import Recording

TICK = 250_000_000
MARKET = Market(symbol="ESZ6", tick_size=Decimal("0.25"), multiplier=Decimal(50), maker_fee=Decimal("1.50"), taker_fee=Decimal("1.50"))
DAY = dt.date(2026, 9, 22)
OPEN = int(dt.datetime(2026, 9, 22, 13, 30, tzinfo=dt.UTC).timestamp()) * NS

Fill = tuple[float, int, float, int, str]
"""Seconds after the open, side, price, quantity, liquidity."""


def fixed(price: float) -> int:
    return round(price * 4) * TICK


def session_tables(
    fills: Sequence[Fill] = (),
    mids: Sequence[tuple[float, float]] = ((0, 100.0), (600, 100.0)),
    *,
    session: dt.date = DAY,
    fee: float = 1.5,
    curves: bool = True,
) -> SessionTables:
    """Frames in which the mid is a step function of time, and each fill is its own resting or taking order."""
    opens = OPEN + (session - DAY).days * 86_400 * NS
    seconds, levels = np.array([at for at, _ in mids]), [round(mid * 8) * TICK // 2 for _, mid in mids]

    def mid_at(at: float) -> int:
        return levels[max(0, int(np.searchsorted(seconds, at, "right")) - 1)]

    position = cash = 0
    rows, orders, equity = [], [], {at: (0, 0, mid) for (at, _), mid in zip(mids, levels, strict=True)}
    for number, (at, side, price, quantity, liquidity) in enumerate(fills):
        position += side * quantity
        paid = round(fee * quantity * NS)
        cash -= side * fixed(price) * quantity * 50 + paid
        later = {f"mid_{wait}s": mid_at(at + wait) if at + wait <= seconds[-1] else None for wait in (1, 5, 10, 60)}
        done = {"order_id": number, "ts_event": opens + round(at * NS), "side": side, "price": fixed(price), "quantity": quantity}
        rows.append(done | {"liquidity": liquidity, "fee": paid, "position": position, "cash": cash, "mid": mid_at(at), **later})
        equity[at] = (position, cash, mid_at(at))
        sent = opens + round((at - 1) * NS)
        asked = {"reason": "score", "side": side, "price": fixed(price), "quantity": quantity, "prediction": 0.2}
        asked |= dict.fromkeys(("ts_request", "ts_arrival", "ts_response"), sent)
        rests = liquidity == "maker"
        new = {"kind": "new", "answer": "resting" if rests else "filled", "queue_ahead": 7 * number % 40 if rests else None}
        orders.append(asked | new | {"request": 2 * number, "order_id": number, "score": 0.3 + 0.1 * number})
        orders.append(asked | {"request": 2 * number + 1, "order_id": 10_000 + number, "kind": "cancel", "answer": "cancelled"})
    account, held = [], (0, 0)
    for at in sorted(equity):
        filled_or_marked = equity[at]
        held = filled_or_marked[:2] if any(fill[0] == at for fill in fills) else held
        mid = mid_at(at)
        worth = held[1] + held[0] * mid * 50
        account.append({"ts_event": opens + round(at * NS), "position": held[0], "cash": held[1], "mid": mid, "equity": worth})
    quotes = pl.DataFrame(
        {
            "ts_event": [opens + round(at * NS) for at in seconds],
            "bid_px": [mid - TICK // 2 for mid in levels],
            "ask_px": [mid + TICK // 2 for mid in levels],
        },
        schema={"ts_event": pl.Int64, "bid_px": pl.Int64, "ask_px": pl.Int64},
    )
    label = np.linspace(-2, 2, 41, dtype=np.float32)
    return SessionTables(
        name="ES",
        market=MARKET,
        session=session,
        provenance="simulated exchange",
        orders=frame(Orders, orders),
        fills=frame(Fills, rows),
        equity=frame(Equity, account),
        predictions=pl.DataFrame(
            {"ts_event": opens + np.arange(41) * NS, "row": np.arange(41, dtype=np.uint32), "prediction": label / 2, "label": label}
        ),
        quotes=quotes,
        curves=curve_rows() if curves else None,
    )


def empty_tables() -> SessionTables:
    """A session of which nothing came: no quote, no order, no fill."""
    full = session_tables()
    gone = {name: getattr(full, name).clear() for name in ("orders", "fills", "equity", "predictions", "quotes")}
    return SessionTables(name="ES", market=MARKET, session=DAY, provenance=full.provenance, **gone)


def curve_rows() -> pl.DataFrame:
    edges = [0.001, 0.01, 0.1, 1.0, float("inf")]
    window = {"first_session": dt.date(2026, 8, 24), "last_session": dt.date(2026, 9, 18), "step": 0.3, "penalty": 10.0, "lambda_max": 2.0}
    rows = []
    for strength, indicator in ((0.5, "skew"), (0.1, "order_flow")):
        for bucket in range(4):
            value = strength * (bucket + 1)
            curve = {"count": 1000 // (bucket + 1), "mean": value * 1.1, "value": value, "error": 0.02}
            rows.append({"indicator": indicator, "bucket": bucket, "lower": edges[bucket], "upper": edges[bucket + 1]} | curve | window)
    return frame(CurveModel, rows)


def frame(contract: type, rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """Rows under a contract; a column that a row leaves out is null where it may be, else zero or empty."""
    columns = contract.to_schema().columns
    blank = {pl.String: "", pl.Boolean: False}
    nothing = {name: None if column.nullable else blank.get(column.dtype.type, 0) for name, column in columns.items()}
    schema = {name: column.dtype.type for name, column in columns.items()}
    return contract.validate(pl.DataFrame([nothing | row for row in rows], schema=schema))


@pytest.fixture(scope="session")
def tables() -> Callable[..., SessionTables]:
    return session_tables


@pytest.fixture(scope="session")
def nothing() -> SessionTables:
    return empty_tables()


@pytest.fixture(scope="session")
def market() -> Market:
    return MARKET


@pytest.fixture(scope="session")
def rows() -> Callable[..., pl.DataFrame]:
    return frame


@pytest.fixture(scope="session")
def publish(rows) -> Callable[[Lake, dt.date, SessionTables], None]:
    """Writer of a session into a lake."""
    return lambda lake, session, tables: write_session(lake, rows, session, tables)


def write_session(lake: Lake, rows, session: dt.date, tables: SessionTables) -> None:
    """What the floors below publish of a session."""
    keys = {"market": "ES", "session": session}
    quotes = [quote | {"own": True} for quote in tables.quotes.to_dicts()]
    quality = {"records": 68_792, "events": 60_000, "trades": 2_973, "quarantined": 7, "crossed_ns": 1_500_000_000, "front_share": 0.99}
    lake.write("orders", tables.orders, Orders, **keys)
    lake.write("fills", tables.fills, Fills, **keys)
    # Inside the engine the session's last order did not fill.
    lake.write("live_orders", tables.orders, LiveOrders, **keys)
    lake.write("live_fills", tables.fills.head(-1), LiveFills, **keys)
    lake.write("equity", tables.equity, Equity, **keys)
    lake.write("predictions", tables.predictions, Predictions, **keys)
    lake.write("feature_table", rows(FeatureTable, quotes), FeatureTable, **keys)
    lake.write("book_quality", rows(BookQuality, [quality]), BookQuality, **keys)
    lake.write("trading_stretches", rows_of(Window(0, 2**62)), TradingStretches, **keys)
    lake.write("recording", rows(Recording, [{"complete": True}]), Recording, **keys)
    lake.write("quarantine", rows(Quarantine, [{"row": row, "reason": "unknown order"} for row in range(7)]), Quarantine, **keys)
    ways = [{"variant": name, "net_pnl": 10.0 * place - session.day, "contracts": place} for place, name in enumerate(VARIANTS)]
    wire = [{"assumption": "latency", "setting": f"{ms:g} ms", "latency_ms": ms, "net_pnl": -ms - session.day} for ms in (0.0, 5.0, 20.0)]
    queues = {"exact": 1.0, "pessimist": -40.0, "optimist": 60.0}
    queue = [{"assumption": "queue", "setting": name, "net_pnl": net} for name, net in queues.items()]
    same = {"queue": "exact", "queue_exponent": 1.0}
    lake.write("what_if", rows(WhatIf, [row | same for row in (*wire, *queue)]), WhatIf, **keys)
    lake.write("policy_ablation", rows(PolicyAblation, ways), PolicyAblation, **keys)
    write_truth(lake, rows, session, keys)


def write_truth(lake: Lake, rows, session: dt.date, keys) -> None:
    """Shadow orders of which share is wrong least with an exponent of 5; a log that was made with 20 ms on a desk that assumes 80."""
    models = [("exact", 1.0, 0, 0), ("optimist", 1.0, 0, 9), ("share", 2.0, 4, 1), ("share", 5.0, 1, 1), ("power", 3.0, 2, 3)]
    asked = [
        {"queue": queue, "exponent": n, "orders": 100 + session.day, "filled": 30, "filled_estimated": 30 - missed + imagined,
         "missed": missed, "imagined": imagined, "queue_error": -n, "time_error_mean_s": n}
        for queue, n, missed, imagined in models
    ]  # fmt: skip
    lake.write("shadow_orders", rows(ShadowOrders, asked), ShadowOrders, **keys)
    tried = [(80.0, "pessimist", session.day, 5), (20.0, "exact", 0, 1), (20.0, "pessimist", 2, 0)]
    told = [
        {"latency_ms": delay, "queue": queue, "exponent": 1.0, "own": delay == 80.0, "orders": 50, "filled_log": 30, "missed": missed,
         "imagined": imagined, "filled_replay": 30 - missed + imagined, "pnl_log": 10.0, "pnl_missed": 10.0}
        for delay, queue, missed, imagined in tried
    ]  # fmt: skip
    lake.write("reconciliation", rows(Reconciliation, told), Reconciliation, **keys)
    sent = [
        {"order_id": str(k), "side": 1, "quantity": 1, "ts_request": k, "ts_fill_log": 10**9 * k, "ts_fill_replay": 10**9, "fate": "both"}
        for k in range(1, 9)
    ]
    lake.write("reconciled_orders", rows(ReconciledOrders, sent), ReconciledOrders, **keys)
