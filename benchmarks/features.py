"""All indicators over a session's events in one pass, beside what people write in polars, pandas and DuckDB.

polars computes the whole default set. pandas, DuckDB and polars once more compute ten indicators that they have a word for (`TEN`): the
book's state and moving averages, which is what `ewm` with times does. Their values are held against ours first: a peer that computed
something else would prove nothing. Ours are measured with the whole catalogue, too.
"""

import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import polars as pl

from assets.books.schema import LEVELS
from assets.desk import NS
from assets.features.build import _rows, feed
from assets.features.indicators import Indicator, catalogue, imbalance, indicators, motion
from assets.features.kernel import batch
from assets.features.state import BLOCK, prepare
from benchmarks.table import Line

EVENTS: Final = 5_000_000
TICK: Final = 100_000_000
TARGET: Final = 10e6
"""Events a second on one core, with all of the default set."""

TIMES: Final = 5.0
"""How many times polars, at least, with all of the default set."""

TEN: Final[tuple[Indicator, ...]] = (
    imbalance.Skew(),
    imbalance.WeightedMid(),
    imbalance.DepthImbalance(levels=5),
    imbalance.CountImbalance(levels=5),
    imbalance.Vamp(levels=5),
    imbalance.Hollow(),
    motion.Momentum(tau=1.0),
    motion.Momentum(tau=10.0),
    motion.Momentum(tau=60.0),
    motion.Crossover(tau=5.0, slow=30.0),
)

_TOLERANCE: Final = 1e-4
"""Of a peer's values against ours, in the indicator's unit: ours are float32, sums of differences against averages of prices."""


def made(events: int = EVENTS, seed: int = 7) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Books of five levels and trades: a walk whose every event changes the top, so that each makes a row."""
    random = np.random.default_rng(seed)
    ts = np.cumsum(random.exponential(4_000_000, events).astype(np.int64) + 1)
    mid = 20_000 + np.cumsum(random.choice([-1, 0, 1], events, p=[0.05, 0.9, 0.05]))
    columns: dict[str, Any] = {"ts_event": ts, "row": np.arange(events, dtype=np.uint32)}
    for side, sign in (("bid", -1), ("ask", 1)):
        for level in range(LEVELS):
            there = level < 5
            columns[f"{side}_px_{level:02d}"] = ((mid + sign * level + (sign > 0)) * TICK) if there else np.zeros(events, np.int64)
            size = random.integers(1, 60, events) if there else np.zeros(events, np.int64)
            columns[f"{side}_sz_{level:02d}"] = size.astype(np.uint32)
            columns[f"{side}_ct_{level:02d}"] = (1 + size // 4 if there else size).astype(np.uint32)
    columns["bid_sz_00"] = (columns["bid_sz_00"] * 2 + np.arange(events) % 2).astype(np.uint32)  # never the same twice running
    books = pl.DataFrame(columns)
    at = np.sort(random.choice(events, events // 20, replace=False))
    trades = pl.DataFrame(
        {
            "ts_event": ts[at], "row": at.astype(np.uint32), "price": mid[at] * TICK,
            "size": random.integers(1, 9, len(at)).astype(np.uint32), "aggressor": random.choice([-1, 1], len(at)).astype(np.int8),
        }
    )  # fmt: skip
    return books, trades


def ours(books: pl.DataFrame, trades: pl.DataFrame, chosen: list[Indicator]) -> Callable[[], np.ndarray]:
    """One pass of the kernel over columns that lie in memory; returns values float32 [indicators, rows]."""
    rows = _rows(books.height, len(chosen))

    def run() -> np.ndarray:
        state = prepare(chosen, [], [TICK], BLOCK)
        filled = batch(state, feed([(books, trades)], chosen, {}, state), rows)
        return rows.values[:, :filled]

    return run


def _polars(books: pl.DataFrame) -> Callable[[], np.ndarray]:
    def sums(kind: str, levels: int = 5) -> tuple[pl.Expr, pl.Expr]:
        bid, ask = (pl.sum_horizontal(pl.col(f"{side}_{kind}_{k:02d}").cast(pl.Float64) for k in range(levels)) for side in ("bid", "ask"))
        return bid, ask

    bid, ask = (pl.col(f"{side}_px_00") / TICK for side in ("bid", "ask"))
    bid_size, ask_size = (pl.col(f"{side}_sz_00").cast(pl.Float64) for side in ("bid", "ask"))
    mid = (bid + ask) / 2
    (sz_b, sz_a), (ct_b, ct_a) = sums("sz"), sums("ct")
    away = {side: [pl.col(f"{side}_px_{k:02d}") / TICK - mid for k in range(5)] for side in ("bid", "ask")}
    lean = pl.sum_horizontal(away["bid"][k] * pl.col(f"ask_sz_{k:02d}") + away["ask"][k] * pl.col(f"bid_sz_{k:02d}") for k in range(5))
    held = mid.shift(1).fill_null(strategy="backward")  # the price that stood until now: an average over time, not over events

    def ewma(tau: float) -> pl.Expr:
        return held.ewm_mean_by(pl.col("ts_event"), half_life=f"{round(tau * np.log(2) * NS)}ns")

    skew = (bid_size - ask_size) / (bid_size + ask_size)
    expressions = [
        skew, skew * (ask - bid) / 2, (sz_b - sz_a) / (sz_b + sz_a), (ct_b - ct_a) / (ct_b + ct_a), lean / (sz_b + sz_a),
        (pl.col("ask_px_01") / TICK - ask) - (bid - pl.col("bid_px_01") / TICK),
        mid - ewma(1.0), mid - ewma(10.0), mid - ewma(60.0), ewma(5.0) - ewma(30.0),
    ]  # fmt: skip
    lazy = books.lazy().select(each.cast(pl.Float32).alias(str(k)) for k, each in enumerate(expressions))
    return lambda: lazy.collect().to_numpy().T


def _polars_all(books: pl.DataFrame, trades: pl.DataFrame) -> Callable[[], np.ndarray]:
    """The default set. A decayed sum D <- D k + x, k = exp(-dt / tau), is the moving average y <- y k + (1 - k) v of v = x / (1 - k)."""
    ts = pl.col("ts_event")
    dt = ts.diff()

    def kept(elapsed: pl.Expr, tau: float) -> pl.Expr:
        return (-elapsed / (tau * NS)).exp()

    def average(values: pl.Expr, tau: float) -> pl.Expr:
        return values.ewm_mean_by(ts, half_life=f"{round(tau * np.log(2) * NS)}ns")

    def summed(flow: pl.Expr, tau: float) -> pl.Expr:
        return average(pl.when(dt.is_null()).then(flow).otherwise(flow / (1 - kept(dt, tau))), tau)

    def share(up: pl.Expr, down: pl.Expr) -> pl.Expr:
        return pl.when(up + down > 0).then((up - down) / (up + down)).otherwise(0.0)

    bid, ask = (pl.col(f"{side}_px_00") / TICK for side in ("bid", "ask"))
    size, count = ([pl.col(f"{side}_{kind}_00").cast(pl.Float64) for side in ("bid", "ask")] for kind in ("sz", "ct"))
    mid, skew = (bid + ask) / 2, (size[0] - size[1]) / (size[0] + size[1])
    held = mid.shift(1).fill_null(strategy="backward")
    deep = [pl.sum_horizontal(pl.col(f"{side}_sz_{k:02d}").cast(pl.Float64) for k in range(5)) for side in ("bid", "ask")]

    def came(price: pl.Expr, there: pl.Expr, better: pl.Expr) -> pl.Expr:
        """Of one side: contracts at the touch as the order-flow imbalance counts them; `better`: sign of the price's change."""
        return pl.when(better >= 0).then(there).otherwise(0) - pl.when(better <= 0).then(there.shift(1)).otherwise(0)

    up, down = bid.diff(), -ask.diff()
    flow = (came(bid, size[0], up) - came(ask, size[1], down)).fill_null(0.0)
    touch = summed(size[0] + size[1], 300.0) / summed(pl.lit(1.0), 300.0)
    moved = ((up != 0) | (down != 0)).fill_null(False)
    lean = pl.when(moved).then(0.0).otherwise((size[0].diff().sign() - size[1].diff().sign()).fill_null(0.0))

    def fresh(tau: float) -> pl.Expr:
        """What the sum was when the price last moved is taken out as far as it is still there: a thousand times faster than groups."""
        total = summed(lean, tau)
        then, at = (pl.when(moved).then(value).forward_fill() for value in (total, ts))
        return pl.when(moved).then(0.0).otherwise(total - (then * kept(ts - at, tau)).fill_null(0.0))

    def joined(better: pl.Expr, orders: pl.Expr) -> pl.Expr:
        same = pl.when(better == 0).then(orders.diff().clip(lower_bound=0)).otherwise(0.0)
        return pl.when(better > 0).then(orders).otherwise(same).fill_null(0.0)

    bought, sold = (pl.col(name).fill_null(0.0) for name in ("bought", "sold"))
    named = {
        "ofi_1s": summed(flow, 1.0) / touch,
        "ofi_10s": summed(flow, 10.0) / touch,
        "fresh_1s": fresh(1.0),
        "fresh_5s": fresh(5.0),
        "orders_5s": share(summed(joined(up, count[0]), 5.0), summed(joined(down, count[1]), 5.0)),
        "trades_5s": share(summed(bought, 5.0), summed(sold, 5.0)),
        "skew": skew,
        "depth_5": (deep[0] - deep[1]) / (deep[0] + deep[1]),
        "wmid": skew * (ask - bid) / 2,
        **{f"momentum_{tau:.0f}s": mid - average(held, tau) for tau in (1.0, 10.0, 60.0)},
    }
    contracts = pl.col("size").cast(pl.Float64)
    by_row = trades.lazy().group_by("row").agg(
        contracts.filter(pl.col("aggressor") > 0).sum().alias("bought"), contracts.filter(pl.col("aggressor") < 0).sum().alias("sold")
    )  # fmt: skip
    lazy = books.lazy().join(by_row, on="row", how="left", maintain_order="left")
    lazy = lazy.select(named[indicator.name].cast(pl.Float32).alias(indicator.name) for indicator in indicators([]))
    return lambda: lazy.collect().to_numpy().T


def _pandas(books: pl.DataFrame) -> Callable[[], np.ndarray]:
    import pandas as pd

    frame = pd.DataFrame({name: books[name].to_numpy() for name in books.columns if "_0" in name})
    times = pd.Series(pd.to_datetime(books["ts_event"].to_numpy()))

    def run() -> np.ndarray:
        bid, ask = frame["bid_px_00"] / TICK, frame["ask_px_00"] / TICK
        b, a = frame["bid_sz_00"].astype("f8"), frame["ask_sz_00"].astype("f8")
        mid, skew = (bid + ask) / 2, (b - a) / (b + a)

        def total(side: str, kind: str) -> Any:
            return sum(frame[f"{side}_{kind}_{k:02d}"].astype("f8") for k in range(5))

        sz_b, sz_a, ct_b, ct_a = total("bid", "sz"), total("ask", "sz"), total("bid", "ct"), total("ask", "ct")
        away = {side: [frame[f"{side}_px_{k:02d}"] / TICK - mid for k in range(5)] for side in ("bid", "ask")}
        lean = sum(away["bid"][k] * frame[f"ask_sz_{k:02d}"] + away["ask"][k] * frame[f"bid_sz_{k:02d}"] for k in range(5))
        held = mid.shift(1).bfill()

        def ewma(tau: float) -> Any:
            return held.ewm(halflife=pd.Timedelta(round(tau * np.log(2) * NS), "ns"), times=times, adjust=False).mean()

        hollow = (frame["ask_px_01"] / TICK - ask) - (bid - frame["bid_px_01"] / TICK)
        found = [
            skew, skew * (ask - bid) / 2, (sz_b - sz_a) / (sz_b + sz_a), (ct_b - ct_a) / (ct_b + ct_a), lean / (sz_b + sz_a), hollow,
            mid - ewma(1.0), mid - ewma(10.0), mid - ewma(60.0), ewma(5.0) - ewma(30.0),
        ]  # fmt: skip
        return np.stack([values.to_numpy(np.float32) for values in found])

    return run


def _duckdb(books: pl.DataFrame) -> Callable[[], np.ndarray]:
    """The six that need no memory: SQL has no decayed sum, and a window of a minute of rows an event would take hours."""
    import duckdb

    def total(side: str, kind: str) -> str:
        return "(" + " + ".join(f"{side}_{kind}_{k:02d}::DOUBLE" for k in range(5)) + ")"

    mid = f"((bid_px_00 + ask_px_00) / {2 * TICK}.0)"
    away = "({0}_px_{2:02d} / {3}.0 - {4}) * {1}_sz_{2:02d}"
    lean = " + ".join(away.format(*sides, k, TICK, mid) for k in range(5) for sides in (("bid", "ask"), ("ask", "bid")))
    skew = "((bid_sz_00::DOUBLE - ask_sz_00) / (bid_sz_00::DOUBLE + ask_sz_00))"
    sz_b, sz_a, ct_b, ct_a = total("bid", "sz"), total("ask", "sz"), total("bid", "ct"), total("ask", "ct")
    columns = (
        skew, f"{skew} * (ask_px_00 - bid_px_00) / {2 * TICK}.0", f"({sz_b} - {sz_a}) / ({sz_b} + {sz_a})",
        f"({ct_b} - {ct_a}) / ({ct_b} + {ct_a})", f"({lean}) / ({sz_b} + {sz_a})",
        f"((ask_px_01 - ask_px_00) - (bid_px_00 - bid_px_01)) / {TICK}.0",
    )  # fmt: skip
    con = duckdb.connect(config={"threads": 1, "autoinstall_known_extensions": False})
    con.register("books", books.to_arrow())
    query = "select " + ", ".join(f"({each})::FLOAT as c{k}" for k, each in enumerate(columns)) + " from books"
    return lambda: np.stack(list(con.sql(query).fetchnumpy().values()))


def lines(events: int = EVENTS) -> list[Line]:
    """The measured lines: processor seconds of this process on one core, the first run told beside the best of three."""
    books, trades = made(events)
    told: list[Line] = []
    whole = f"all {len(indicators([]))} of the default set over {events / 1e6:.0f} M events, one core"
    peers = (
        (whole, "polars", indicators([]), _polars_all(books, trades), TIMES),
        (f"{len(TEN)} indicators, the same events", "polars", TEN, _polars(books), None),
        (f"{len(TEN)} indicators, the same events", "pandas", TEN, _pandas(books), None),
        ("the 6 of them without memory", "DuckDB", TEN[:6], _duckdb(books), None),
    )
    for what, name, chosen, peer, target in peers:
        own, values = _timed(ours(books, trades, list(chosen)))
        other, theirs = _timed(peer)
        apart = float(np.abs(theirs - values).max())
        if not apart < _TOLERANCE:
            raise AssertionError(f"{name} computes something else: {apart} from ours")
        told.append(Line(what, _seconds(own, events), f"{name} {_seconds(other, events)}", other[1] / own[1], target))
    limit = f"{TARGET / 1e6:.0f} M events/s"
    for what, chosen, least in ((whole, indicators([]), 1.0), (f"all {len(catalogue([]))} of the catalogue", catalogue([]), None)):
        took, _ = _timed(ours(books, trades, list(chosen)))
        told.append(Line(what, _seconds(took, events), limit, events / took[1] / TARGET, least))
    return told


def _timed(run: Callable[[], np.ndarray]) -> tuple[tuple[float, float], np.ndarray]:
    """Processor seconds of the first run and of the best of three more, and the values."""
    took = []
    for _ in range(4):
        began = time.process_time()
        values = run()
        took.append(time.process_time() - began)
    return (took[0], min(took[1:])), values


def _seconds(took: tuple[float, float], events: int) -> str:
    return f"{took[1]:.2f} s ({took[0]:.2f} first), {events / took[1] / 1e6:.1f} M events/s"


if __name__ == "__main__":
    from rich import print as show

    for line in lines():
        show(line)
