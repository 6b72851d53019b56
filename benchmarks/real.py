"""Every model on recorded market data: out-of-sample R2 with its interval, whatever comes out.

    python -m benchmarks.real ../shared/data        files as in tests/e2e/test_real_files.py

One ES session: fitted on four stretches of its first 60 %, judged on ten of the rest, a horizon between them (`tickline try`). Two
shares (`desks/equities.toml`): fitted on three sessions, judged on the next in ten stretches, twice.
"""

import datetime as dt
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import polars as pl
from rich.console import Console
from rich.table import Table

from assets.books.rebuild import rebuild
from assets.calendar import Calendar
from assets.curves.champion import choose_champion
from assets.curves.rivals import CURVES
from assets.curves.scores import score
from assets.curves.statistics import Indicator, session_statistics
from assets.curves.training import Training, labelled
from assets.desk import DbnFolderSource, Desk, load_desk
from assets.features.build import build
from assets.features.chosen import desk_indicators
from assets.features.indicators import indicators
from assets.ticks.dbn import read_records
from assets.ticks.source import open_source
from pipelines.try_file import HORIZON_NS, split, stretches_of

ES: Final = "esh4-glbx-mdp3-20231225.mbo.dbn.zst"
ES_TICK: Final = 250_000_000


def scored(train: Mapping[dt.date, pl.DataFrame], test: pl.DataFrame, chosen: Sequence[Indicator], horizon_ns: int) -> pl.DataFrame:
    """`model_scores` of models trained on some tables and judged on another."""
    sums = {day: session_statistics(table, chosen, horizon_ns=horizon_ns) for day, table in train.items()}
    training = Training(sums, train.__getitem__, chosen, horizon_ns)
    return score(training, [labelled(test, chosen)], choose_champion(training, CURVES))[0]


def one_file(path: Path) -> pl.DataFrame:
    """The ES session."""
    books = rebuild(read_records([path]))
    opens = int(books.trades["ts_event"][0])
    table = build(books.books, books.trades, {}, tick=ES_TICK, leader_ticks={}, horizon_ns=HORIZON_NS, open_ns=opens)
    train, test = split(table)
    first = dt.date(2023, 12, 25)
    parts = {first + dt.timedelta(days=k): part for k, part in enumerate(stretches_of(train))}
    return scored(parts, test, indicators([]), HORIZON_NS)


def two_shares(folder: Path) -> dict[dt.date, pl.DataFrame]:
    """The days that `desks/equities.toml` trades."""
    desk = load_desk(Path(__file__).parents[1] / "desks" / "equities.toml")
    desk = desk.model_copy(update={"source": DbnFolderSource(kind="dbn_folder", folder=folder)})
    calendar, chosen = Calendar(desk), desk_indicators(desk)
    tables = {day: features(desk, day) for day in calendar.sessions()}
    periods = calendar.periods()
    return {
        day: scored({past: tables[past] for past in calendar.training_sessions(day)}, tables[day], chosen, desk.horizon_ns)
        for day in periods
        if day in tables
    }


def features(desk: Desk, day: dt.date) -> pl.DataFrame:
    """The feature table of a session, straight from its files."""
    window, source = Calendar(desk).window(desk.traded, day), open_source(desk)
    assert window is not None, f"{day} is a holiday"
    hours = {"open_ns": window.open_ns, "close_ns": window.close_ns}
    made = {market: rebuild(read_records(source.fetch(market, day)), **hours) for market in desk.all_markets}
    own, ticks = made[desk.traded], {name: desk.markets[name].tick for name in desk.leaders}
    leaders = {name: (made[name].books, made[name].trades) for name in desk.leaders}
    tick = desk.markets[desk.traded].tick
    return build(own.books, own.trades, leaders, tick=tick, leader_ticks=ticks, horizon_ns=desk.horizon_ns, **hours)


def main() -> None:
    """Print a table for each stretch that was judged."""
    data = Path(sys.argv[1])
    tables = {"ES, 2023-12-25": one_file(data / ES)} | {f"BAC, {day}": table for day, table in two_shares(data / "equities").items()}
    for title, told in tables.items():
        table = Table("model", "R2, %", "95 %", "rank correlation", "R2 on the training rows, %", title=title)
        for row in told.iter_rows(named=True):
            ranks = "" if row["rank_correlation"] is None else f"{row['rank_correlation']:.3f}"
            bounds = f"{100 * row['r2_low']:.2f} to {100 * row['r2_high']:.2f}"
            table.add_row(row["model"] + " *" * row["champion"], f"{100 * row['r2']:.2f}", bounds, ranks, f"{100 * row['r2_train']:.2f}")
        Console().print(table, f"* champion; {told['rows_train'].max():,} rows to train on, {told['rows_test'][0]:,} to judge by")


if __name__ == "__main__":
    main()
