"""What a slower wire costs on average: the default policy on the demo's curves, on other histories of the simulated exchange.

    python -m benchmarks.latency [--desk desk.toml] [--seeds 6]      after `make demo`

A week that the demo trades is drawn again with other seeds and traded by the curves that the demo has for it, at each
delay of `what_if`. Differences are taken session by session against no delay, so that what a session was like drops out.
"""

import argparse
import datetime as dt
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.table import Table

from assets.books.rebuild import applied, rebuild
from assets.calendar import Calendar
from assets.curves.forecast import period_forecasts
from assets.desk import Desk, SimulatedSource, load_desk
from assets.features.build import build
from assets.features.chosen import desk_indicators
from assets.fills.policy import Policy
from assets.fills.replay import make_session
from assets.fills.tape import make_tape
from assets.fills.what_if import what_if
from assets.lake import Lake
from assets.ticks.dbn import read_records
from assets.ticks.source import open_source


def other_history(desk: Desk, seed: int, home: Path) -> Desk:
    """The desk on an exchange of another seed, its files in `home`."""
    if not isinstance(desk.source, SimulatedSource):
        raise SystemExit(f"{desk.name} has no simulated exchange: other histories cannot be drawn")
    return desk.model_copy(update={"home": home, "source": desk.source.model_copy(update={"seed": seed})})


def traded(desk: Desk, session: dt.date, forecast: Any, policy: Policy) -> pl.DataFrame:
    """Rows of `what_if` of a session of this history, under other delays."""
    window, source, market = Calendar(desk).window(desk.traded, session), open_source(desk), desk.markets[desk.traded]
    if window is None:
        raise SystemExit(f"{session} is a holiday")
    raw = {name: read_records(source.fetch(name, session), symbol=desk.markets[name].symbol) for name in desk.all_markets}
    made = {name: rebuild(records, open_ns=window.open_ns, close_ns=window.close_ns) for name, records in raw.items()}
    features = build(
        made[desk.traded].books,
        made[desk.traded].trades,
        {name: (made[name].books, made[name].trades) for name in desk.leaders},
        tick=market.tick,
        leader_ticks={name: desk.markets[name].tick for name in desk.leaders},
        horizon_ns=desk.horizon_ns,
        open_ns=window.open_ns,
        close_ns=window.close_ns,
        chosen=desk_indicators(desk),
    )
    tape = make_tape(applied(raw[desk.traded], made[desk.traded].quarantine), market)
    replayed = make_session(tape, features["ts_event"].to_numpy(), {policy.indicators: forecast(features)}, window, desk.trading)
    return what_if(replayed, policy, market, desk.trading).filter(assumption="latency")


def main() -> None:
    """Draw, trade and show."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--desk", type=Path, default=Path("desk.toml"))
    parser.add_argument("--seeds", type=int, default=6)
    given = parser.parse_args()
    desk = load_desk(given.desk)
    lake, calendar = Lake(desk.lake), Calendar(desk)
    period = calendar.period_of(calendar.traded_sessions()[0])
    policy = Policy()
    forecast = period_forecasts(desk, lake, period)[policy.indicators]
    found = []
    for seed in range(1, given.seeds + 1):
        with tempfile.TemporaryDirectory() as home:
            other = other_history(desk, seed, Path(home))
            for session in calendar.period_sessions(period):
                rows = traded(other, session, forecast, policy)
                against = pl.col("net_pnl") - pl.col("net_pnl").filter(pl.col("latency_ms") == 0).first()
                found.append(rows.select("latency_ms", "net_pnl", "contracts", against.alias("against")))
                Console(stderr=True).print(f"seed {seed}, {session}")
    error = (pl.col("against").std() / pl.len().sqrt()).alias("error")
    means = pl.concat(found).group_by("latency_ms").agg(pl.col("net_pnl", "contracts", "against").mean(), error).sort("latency_ms")
    table = Table("delay, ms", "net P&L a session", "contracts", "against no delay", "standard error", title=f"{len(found)} sessions")
    for row in means.select("latency_ms", "net_pnl", "contracts", "against", "error").iter_rows():
        table.add_row(*(f"{value:,.2f}" for value in row))
    Console().print(table)


if __name__ == "__main__":
    main()
