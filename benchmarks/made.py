"""A desk's lake without running the desk: every table under its contract, of any length, the same for the same seed.

Prices are a random walk and orders know nothing, so no figure of it means anything; but the money adds up, every
key matches, and the sizes are those of a desk that trades. Benchmarks measure on it, tests ask it questions.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandera.polars as pa
import polars as pl

from assets.calendar import Calendar
from assets.curves.schema import CurveModel, ModelChoice, ModelImportance, ModelScores, Predictions
from assets.desk import NS, PRICE_UNIT, Desk
from assets.features.schema import contract
from assets.fills.ablation import variants
from assets.fills.policy import Policy
from assets.fills.queues import QUEUES
from assets.fills.replay import Outcome
from assets.fills.schema import (
    VARIANTS,
    Equity,
    Fills,
    Orders,
    PolicyAblation,
    PolicyVariants,
    QuotingPolicy,
    TrialSessions,
    TuningTrials,
    WhatIf,
)
from assets.fills.truth.schema import QueueFit, ReconciledOrders, Reconciliation, ShadowOrders
from assets.fills.truth.shadow import MODELS, fit_exponent
from assets.fills.tune import Search, policy_of
from assets.fills.what_if import LATENCIES
from assets.lake import Lake
from assets.provenance import open_lake
from assets.reports.session import SessionTables
from pipelines.layers import LAYERS

INDICATORS: Final = ("skew", "ofi_1s", "orders_5s", "trades_5s", "wmid", "momentum_1s", "ldr_ofi_1s", "ldr_gap_2s")
BUCKETS: Final = 50

_OTHERS: Final = {pl.Date: dt.date(2026, 9, 21), pl.Boolean: True, pl.List: [1], pl.Binary: b"1"}


@dataclass(frozen=True)
class Size:
    """Rows of one session."""

    quotes: int = 160_000
    """Changes of the best prices: rows of feature_table and predictions."""
    orders: int = 15_000
    """New orders, all but the filled ones cancelled: twice as many requests."""
    fills: int = 1_500
    ticks: int = 150_000
    """Records of each market."""


def plausible(contract: type[pa.DataFrameModel], rows: int, **given: Any) -> pl.DataFrame:
    """Rows that keep a contract: the columns given, and for the others the least value allowed, or the row's number."""
    columns = {}
    for name, column in contract.to_schema().columns.items():
        dtype = column.dtype.type
        rules = {check.name: check.statistics for check in column.checks}
        if name in given:
            values: Any = given[name]
        elif "isin" in rules:
            allowed = list(rules["isin"]["allowed_values"])
            values = [allowed[row % len(allowed)] for row in range(rows)]
        elif dtype == pl.String:
            values = [f"{name} {row}" for row in range(rows)]
        elif not dtype.is_numeric():
            values = [next(value for kind, value in _OTHERS.items() if dtype == kind)] * rows
        elif column.unique:
            values = range(rows)
        elif "less_than_or_equal_to" in rules:
            values = [rules["less_than_or_equal_to"]["max_value"]] * rows
        else:
            values = [1] * rows
        columns[name] = pl.Series(name, values, dtype=dtype, strict=False)
    return pl.DataFrame(columns)


def _shadow_orders(random: np.random.Generator) -> pl.DataFrame:
    n, orders = len(MODELS), 10_000
    missed, imagined = random.integers(0, 300, (2, n))
    return plausible(
        ShadowOrders, n, queue=[QUEUES[model.queue] for model in MODELS],
        exponent=[model.exponent for model in MODELS],
        orders=[orders] * n, filled=[3_000] * n, filled_estimated=3_000 - missed + imagined, missed=missed, imagined=imagined,
        told_right=1 - (missed + imagined) / orders,
    )  # fmt: skip


def _what_if(random: np.random.Generator) -> pl.DataFrame:
    """Less for a longer wire and a harder queue, on average."""
    latency, queue = list(LATENCIES), ["exact", "pessimist", "estimate", "optimist"]
    columns = {
        "assumption": ["latency"] * len(latency) + ["queue"] * len(queue),
        "setting": [*(f"{each:g} ms" for each in latency), *queue],
        "latency_ms": [*latency, *[20.0] * len(queue)],
        "queue": [*["exact"] * len(latency), "exact", "pessimist", "share", "optimist"],
        "queue_exponent": [*[1.0] * (len(latency) + 2), 5.0, 1.0],
        "net_pnl": random.normal([*(-each for each in latency), -20.0, -60.0, -30.0, 20.0], 100),
    }
    return plausible(WhatIf, len(latency) + len(queue), **columns)


def put(desk: Desk, table: str, rows: int = 3, *, market: str | None = None, key: dt.date = _OTHERS[pl.Date], **given: Any) -> None:
    """Publish one partition of a table, `plausible` but for the columns given."""
    layer = LAYERS[table]
    frame = plausible(layer.contract, rows, **given)
    lake = Lake(desk.lake) if market and market not in desk.all_markets else open_lake(desk)
    lake.write(table, frame, layer.contract, market=market or desk.traded, **{layer.key: key})


def put_report(desk: Desk, session: dt.date, net: float, fees: float = 10.0, **given: Any) -> None:
    """Publish a line of `performance_report` that adds up, and the account's last line."""
    whole = {"net_pnl": [net], "fees": [fees], "gross_pnl": [net + fees], "long_pnl": [net], "short_pnl": [0.0]}
    put(desk, "performance_report", 1, key=session, provenance=["simulated exchange"], **whole, **given)
    put(desk, "equity", 1, key=session, ts_event=[1_790_000_000 * NS], equity=[round(net * 10**9)])


def make_lake(desk: Desk, sessions: Sequence[dt.date], size: Size = Size(), *, linked: bool = False) -> None:
    """Publish every table of a desk for these sessions, and the models of their periods.

    Args:
        desk: whose lake it is.
        sessions: the trade dates.
        size: rows of each.
        linked: the tables of market data, which the warehouse only points to, are the first session's.
    """
    lake = open_lake(desk)
    for place, session in enumerate(sessions):
        tables = session_tables(desk, session, size)
        keys: Any = {"market": desk.traded, "session": session}
        frames = {"orders": tables.orders, "fills": tables.fills, "equity": tables.equity, "performance_report": tables.summarise()}
        frames |= {f"live_{table}": frames[table] for table in ("orders", "fills")}
        for table, frame in frames.items():
            lake.write(table, frame, LAYERS[table].contract, **keys)
        random = np.random.default_rng(session.toordinal())
        played = plausible(PolicyAblation, len(VARIANTS), variant=VARIANTS, net_pnl=random.normal(0, 100, len(VARIANTS)))
        lake.write("policy_ablation", played, PolicyAblation, **keys)
        lake.write("what_if", _what_if(random), WhatIf, **keys)
        lake.write("reconciliation", plausible(Reconciliation, 1, pnl_price=[0.0]), Reconciliation, **keys)
        lake.write("reconciled_orders", plausible(ReconciledOrders, 4), ReconciledOrders, **keys)
        lake.write("shadow_orders", _shadow_orders(random), ShadowOrders, **keys)
        quality = {"records": [size.ticks], "events": [size.ticks], "quarantined": [2], "front_share": [1.0]}
        told = {"book_quality": (1, quality), "quarantine": (2, {}), "recording": (1, {"records": [size.ticks], "damage": [None]})}
        told["trading_stretches"] = 1, {"trading_from": [0], "trading_until": [2**62], "begins": ["open"], "ends": ["close"]}
        for market in desk.all_markets:
            for table, (rows, given) in told.items():
                known = LAYERS[table].contract
                lake.write(table, plausible(known, rows, **given), known, market=market, session=session)
        if place and linked:
            _repeat(desk, lake, sessions[0], session)
        else:
            _write_market_data(desk, lake, session, tables, size)
    for period in sorted({Calendar(desk).period_of(session) for session in sessions}):
        _write_models(desk, lake, period)


_MARKET_DATA: Final = ("raw_ticks", "clean_books", "trades", "feature_table", "predictions", "curve_statistics")


def session_tables(desk: Desk, session: dt.date, size: Size) -> SessionTables:
    """What a session of this size leaves in the lake: each order a second before its fill or five before its cancel."""
    market, random = desk.markets[desk.traded], np.random.default_rng(session.toordinal())
    window = Calendar(desk).window(desk.traded, session)
    assert window is not None, f"{session} is a holiday"
    times = np.sort(random.integers(window.open_ns, window.close_ns, size.quotes))
    bids = (20_000 + random.choice([-1, 0, 0, 0, 1], size.quotes).cumsum()) * market.tick
    mids = bids + market.tick // 2

    def mid_at(when: np.ndarray) -> np.ndarray:
        return mids[np.maximum(np.searchsorted(times, when, "right") - 1, 0)]

    sent = np.linspace(window.open_ns, window.close_ns - 120 * NS, size.orders).astype(np.int64)
    order_side = np.where(np.arange(size.orders) * size.fills // size.orders % 2, -1, 1)
    filled = np.arange(size.fills) * size.orders // max(size.fills, 1)
    when, side = sent[filled] + NS, order_side[filled]
    # An order that rests is filled at its own side of the book, one that takes at the other.
    took = random.random(size.fills) < 0.1
    now = mid_at(when)
    price = now - np.where(took, -1, 1) * side * market.tick // 2
    fee = round(float(market.maker_fee) * PRICE_UNIT)
    position = side.cumsum()
    cash = (-side * price * int(market.multiplier) - fee).cumsum()
    later = {f"mid_{seconds}s": mid_at(when + seconds * NS) for seconds in (1, 5, 10, 60)}
    liquidity = np.where(took, "taker", "maker")
    fills = plausible(
        Fills, size.fills, order_id=filled, ts_event=when, side=side, price=price, quantity=np.ones(size.fills), liquidity=liquidity,
        fee=np.full(size.fills, fee), position=position, cash=cash, mid=now, **later,
    )  # fmt: skip
    clock = np.union1d(when, np.arange(window.open_ns, window.close_ns + 1, 60 * NS))
    done = np.searchsorted(when, clock, "right")
    held, account = np.concatenate([[0], position])[done], np.concatenate([[0], cash])[done]
    marked = mid_at(clock)
    worth = account + held * marked * int(market.multiplier)
    equity = plausible(Equity, len(clock), ts_event=clock, position=held, cash=account, mid=marked, equity=worth)
    prediction = random.normal(0, 0.3, size.quotes).astype(np.float32)
    label = ((mid_at(times + desk.horizon_ns) - mids) / market.tick).astype(np.float32)
    known = times + desk.horizon_ns < window.close_ns
    return SessionTables(
        name=desk.traded,
        market=market,
        session=session,
        provenance=desk.provenance,
        orders=_orders(sent, order_side, mid_at(sent) - order_side * market.tick // 2, filled[~took], filled[took], desk, random),
        fills=fills,
        equity=equity,
        predictions=pl.DataFrame(
            {"ts_event": times, "row": np.arange(size.quotes, dtype=np.uint32), "prediction": prediction}
        ).with_columns(label=pl.Series(label).set(pl.Series(~known), None)),
        quotes=pl.DataFrame({"ts_event": times, "bid_px": bids, "ask_px": bids + market.tick}),
        curves=_curves(Calendar(desk).period_of(session)),
    )


def _orders(
    sent: np.ndarray, side: np.ndarray, price: np.ndarray, rested: np.ndarray, took: np.ndarray, desk: Desk, random: np.random.Generator
) -> pl.DataFrame:
    number, delay = np.arange(len(sent)), desk.trading.latency_ns
    cancelled = np.setdiff1d(number, np.concatenate([rested, took]))
    answer = np.full(len(sent), "resting", dtype=object)
    answer[took] = "filled"
    new = {"order_id": number, "kind": ["new"] * len(sent), "answer": answer, "side": side, "price": price, "ts_request": sent}
    told = random.random(len(cancelled)) < 0.01
    gone = {
        "order_id": cancelled,
        "kind": ["cancel"] * len(cancelled),
        "answer": np.where(told, "too_late", "cancelled").astype(object),
        "side": side[cancelled],
        "price": price[cancelled],
        "ts_request": sent[cancelled] + 5 * NS,
    }
    rows = {name: np.concatenate([new[name], gone[name]]) for name in new}
    order = np.argsort(rows["ts_request"], kind="stable")
    rows = {name: values[order] for name, values in rows.items()}
    is_new = rows["kind"] == "new"
    ahead, score = random.integers(0, 60, len(order)), random.normal(0.5, 0.3, len(order))
    asked = plausible(
        Orders, len(order), **rows, request=np.arange(len(order)), reason=["score"] * len(order), quantity=np.ones(len(order)),
        ts_arrival=rows["ts_request"] + delay, ts_response=rows["ts_request"] + 2 * delay, queue_ahead=ahead, score=score,
        prediction=random.normal(0, 0.3, len(order)),
    )  # fmt: skip
    return asked.with_columns(pl.when(pl.Series(is_new)).then(pl.col("queue_ahead", "score")), refusal=pl.lit(None, pl.String))


def _curves(period: dt.date) -> pl.DataFrame:
    random = np.random.default_rng(period.toordinal())
    rows = len(INDICATORS) * BUCKETS
    edges = np.append(np.geomspace(1e-3, 10, BUCKETS), np.inf)
    strength = np.repeat(random.uniform(0.05, 0.5, len(INDICATORS)), BUCKETS)
    value = strength * np.tile(np.linspace(0, 1, BUCKETS), len(INDICATORS))
    window = {name: [day] * rows for name, day in _window(period).items()}
    return plausible(
        CurveModel, rows, indicator=np.repeat(INDICATORS, BUCKETS), bucket=np.tile(np.arange(BUCKETS), len(INDICATORS)),
        lower=np.tile(edges[:-1], len(INDICATORS)), upper=np.tile(edges[1:], len(INDICATORS)), count=random.integers(100, 9_000, rows),
        mean=value * 1.1, value=value, error=np.full(rows, 0.02), version=["made"] * rows, **window,
    )  # fmt: skip


def _window(period: dt.date) -> dict[str, dt.date]:
    return {"first_session": period - dt.timedelta(weeks=4), "last_session": period - dt.timedelta(days=3)}


def _write_models(desk: Desk, lake: Lake, period: dt.date) -> None:
    random = np.random.default_rng(period.toordinal())
    keys: Any = {"market": desk.traded, "period": period}
    lake.write("curve_model", _curves(period), CurveModel, **keys)
    window = Calendar(desk).training_sessions(period)
    earned = random.normal(0, 100 * PRICE_UNIT, (desk.trading.tuning_trials, len(window))).astype(int).tolist()
    outcomes = [[Outcome(net, 40, 400, 360, 0) for net in trial] for trial in earned]
    tried = Search([Policy()] * len(earned), outcomes, window)
    lake.write("tuning_trials", tried.trials(), TuningTrials, **keys)
    lake.write("trial_sessions", tried.by_session(), TrialSessions, **keys)
    chosen = tried.winner(0.0).with_columns(**{name: pl.lit(day) for name, day in _window(period).items()})
    lake.write("quoting_policy", chosen, QuotingPolicy, **keys)
    played = variants(tried, policy_of(chosen), desk.markets[desk.traded], lambda policies: [outcomes[0]] * len(policies))
    lake.write("policy_variants", played, PolicyVariants, **keys)
    measured = pl.concat([_shadow_orders(random) for _ in range(2)])
    lake.write("queue_fit", fit_exponent(measured), QueueFit, **keys)
    names, scores = ["zero", "ridge", "curves", "gradient_boosting"], np.append(0.0, random.uniform(-0.01, 0.05, 3))
    marks = {name: [model == "curves" for model in names] for name in ("champion", "traded")}
    reach = {"r2_low": scores - 0.01, "r2_high": scores + 0.01, "r2_held_out": scores}
    given: Any = {"r2": scores, "mse": 1 - scores, "r2_train": scores + 0.01, "rank_correlation": scores * 5, **marks, **reach}
    told = plausible(ModelScores, 4, model=names, **given)
    choice = plausible(ModelChoice, 4, model=names, r2_held_out=scores, behind=scores.max() - scores, **marks)
    lost = random.uniform(0, 0.01, len(names) * len(INDICATORS))
    pairs: Any = {"model": np.repeat(names, len(INDICATORS)), "indicator": np.tile(INDICATORS, len(names))}
    weights = plausible(ModelImportance, len(lost), **pairs, importance=lost, low=lost / 2, high=lost * 2)
    lake.write("model_choice", choice, ModelChoice, **keys)
    lake.write("model_importance", weights, ModelImportance, **keys)
    lake.write("model_scores", told, ModelScores, **keys)


def _write_market_data(desk: Desk, lake: Lake, session: dt.date, tables: SessionTables, size: Size) -> None:
    seconds = np.linspace(tables.quotes["ts_event"][0], tables.quotes["ts_event"][-1], size.ticks).astype(np.int64)
    clock = {"ts_event": seconds, "ts_recv": seconds + 50_000}
    for market in desk.all_markets:
        for table in ("raw_ticks", "clean_books", "trades"):
            rows = size.ticks // 10 if table == "trades" else size.ticks
            of_table = {name: values[:rows] for name, values in clock.items()}
            price = {"price": np.full(rows, 2_000 * PRICE_UNIT)} | (
                {"aggressor": np.tile([1, -1], rows)[:rows]} if table == "trades" else {}
            )
            frame = plausible(LAYERS[table].contract, rows, **of_table, **(price if table != "clean_books" else _best(rows)))
            lake.write(table, frame, LAYERS[table].contract, market=market, session=session)
    keys: Any = {"market": desk.traded, "session": session}
    random = np.random.default_rng(session.toordinal())
    indicators = {name: random.normal(0, 1, size.quotes).astype(np.float32) for name in INDICATORS}
    rows = tables.predictions.select("ts_event", "row", "label").hstack(tables.quotes.select("bid_px", "ask_px"))
    features = rows.with_columns(own=pl.lit(True)).with_columns(**{name: pl.Series(values) for name, values in indicators.items()})
    lake.write("feature_table", features, contract(INDICATORS), **keys)
    lake.write("predictions", tables.predictions, Predictions, **keys)
    sums = LAYERS["curve_statistics"].contract
    lake.write("curve_statistics", plausible(sums, len(INDICATORS) * BUCKETS), sums, **keys)


def _best(rows: int) -> dict[str, np.ndarray]:
    bid = (20_000 + np.random.default_rng(rows).choice([-1, 0, 1], rows).cumsum()) * PRICE_UNIT // 10
    return {"bid_px_00": bid, "ask_px_00": bid + PRICE_UNIT // 10}


def _repeat(desk: Desk, lake: Lake, first: dt.date, session: dt.date) -> None:
    for table in _MARKET_DATA:
        for market in desk.all_markets if LAYERS[table].every_market else (desk.traded,):
            lake.write(table, lake.read(table, market=market, session=first), LAYERS[table].contract, market=market, session=session)
