"""The pages of a week and of the desk's whole history, from the rows of `performance_report` and the models' tables."""

import datetime as dt
from dataclasses import dataclass, replace
from decimal import Decimal
from statistics import NormalDist
from typing import Final

import polars as pl

from assets.fills import evidence
from assets.reports import figures, statistics
from assets.reports.page import Card, Exhibit, Link, Page, Section, Table, money, number, percent, plain, render, to_page
from assets.reports.session import curve_exhibits, headline, importance, lead, origin_queries, origins

SEED: Final = 20260824
"""Of the bootstrap: any number does, as long as it stays."""


@dataclass(frozen=True)
class DeskTables:
    """What the desk's lake holds for its traded market, every session and period together."""

    desk: str
    name: str
    """Of the traded market."""
    provenance: str
    multiplier: Decimal
    """Currency per point of price and contract."""
    per_year: int
    """Sessions a year, for annual figures."""
    policies: pl.DataFrame
    """Rows of `quoting_policy`, each with its `period` (date)."""
    reports: pl.DataFrame
    """Rows of `performance_report`, each with its `session` (date), sorted."""
    fills: pl.DataFrame
    """Their fills, as `origin.explained` returns them, each with its `session`."""
    curves: pl.DataFrame
    """Rows of `curve_model`, each with its `period` (date)."""
    scores: pl.DataFrame
    """Rows of `model_scores`, each with its `period` (date)."""
    quality: pl.DataFrame
    """Rows of `book_quality`, each with its `session` (date) and whether its recording is `complete`."""

    @property
    def unit(self) -> str:
        """Of the money in the reports."""
        return str(self.reports["unit"][0]) if self.reports.height else ""

    def week(self, monday: dt.date) -> "DeskTables":
        """The same, of one week only."""
        session, period = (pl.col(key).is_between(monday, monday + dt.timedelta(days=6)) for key in ("session", "period"))
        return replace(
            self,
            reports=self.reports.filter(session),
            fills=self.fills.filter(session),
            policies=self.policies.filter(period),
            curves=self.curves.filter(period),
            scores=self.scores.filter(period),
            quality=self.quality.filter(session),
        )


def weeks(tables: DeskTables) -> list[dt.date]:
    """Mondays of the weeks that have a page: those with a session reported."""
    return tables.reports["session"].dt.truncate("1w").unique().sort().to_list()


def week_page(tables: DeskTables, monday: dt.date) -> str:
    """HTML of one week."""
    week = tables.week(monday)
    sections = [
        Section("Result", [headline(week.reports), *_running(week), _sessions(week)]),
        Section("Where it came from", _origins(week)),
        Section("The model", _model(week)),
        Section("The data", _data(week)),
    ]
    title = f"{tables.name}, week of {monday.day} {monday:%B %Y}"
    return render(Page(title, lead(week.reports), tables.provenance, sections, [Link("The desk", "index.html")], _FOOTER))


def desk_page(tables: DeskTables) -> str:
    """HTML of the desk's whole history: the index that leads to every other page."""
    tables_of = [_stretches(tables, "week"), _stretches(tables, "month"), _sessions(tables)]
    sections = [
        Section("Result", [_cards(tables), *_running(tables), *tables_of]),
        Section("Where it came from", _origins(tables)),
        Section("Is it luck?", _luck(tables)),
        Section("The model", _model(tables)),
        Section("The data", _data(tables)),
    ]
    return render(Page(f"{tables.desk}: {tables.name}", lead(tables.reports), tables.provenance, sections, footer=_FOOTER))


_FOOTER = "Times are UTC; a session is named by its trade date. Made by tickline from the desk's published tables."


def _where(tables: DeskTables) -> str:
    days = tables.reports["session"]
    span = f" and session between date '{days[0]}' and date '{days[-1]}'" if days.len() else ""
    return f"where market = '{tables.name}'{span}"


def _cards(tables: DeskTables) -> list[Card]:
    """The desk's own headline: what was earned, and at what risk, over all of its sessions."""
    reports = tables.reports
    if not reports.height:
        return headline(reports)
    net = reports["net_pnl"].to_numpy()
    held, base = float(reports["hold_pnl"].sum()), float(reports["notional"][0])
    fall = statistics.max_drawdown(net)
    days = ["the start", *reports["session"].dt.strftime("%d %b %Y").to_list()]
    worst = reports.sort("net_pnl", "session").row(0, named=True)
    months = statistics.scoreboard(reports, "1mo").sort("net_pnl", "month", descending=[True, False])
    won, lost = int((net > 0).sum()), int((net < 0).sum())
    own = [
        Card("Return", percent(net.sum() / base if base else None), "of one contract's worth"),
        Card("Return, held", percent(held / base if base else None), "one contract, flat overnight"),
        Card("Sharpe, a year", number(2)(evidence.sharpe(net, tables.per_year)), f"{number(3)(evidence.sharpe(net))} a session"),
        Card("Sortino, a year", number(2)(statistics.sortino(net, tables.per_year)), f"{tables.per_year} sessions a year"),
        Card(
            "Drawdown",
            money(-fall.depth if fall else 0.0),
            f"{days[fall.peak + 1]} to {days[fall.trough + 1]}" if fall else "always at a high",
        ),
        Card("Sessions won / lost", f"{won} / {lost}", f"of {len(net)}"),
        Card("Worst day", money(worst["net_pnl"]), str(worst["session"])),
        Card("Best month", money(months["net_pnl"][0]), f"{months['month'][0]:%B %Y}"),
    ]
    common = [card for card in headline(reports) if card.label not in {"Worst fall", "One contract held"}]
    return [*common[:2], *own, *common[2:]]


def _running(tables: DeskTables) -> list[Exhibit]:
    where, reports, unit = _where(tables), tables.reports, tables.unit
    days = reports["session"].dt.strftime("%Y-%m-%d").to_list()
    return [
        Exhibit(
            "cumulative",
            f"Cumulative P&L, {unit}",
            "Net after fees, before fees, and one contract held from first to last quote of each session, added up from zero.",
            figures.cumulative(reports, unit),
            "select session, sum(net_pnl) over (order by session) as net, sum(gross_pnl) over (order by session) as gross,\n"
            f"       sum(hold_pnl) over (order by session) as held\nfrom performance_report\n{where} order by session",
        ),
        Exhibit(
            "drawdown",
            f"Drawdown, {unit}",
            "How far cumulative net P&L stood below its highest point so far, at the end of each session.",
            figures.desk_drawdown(reports, unit),
            f"with worth as (select session, sum(net_pnl) over (order by session) as net from performance_report\n{where})\n"
            "select session, net - greatest(0, max(net) over (order by session)) as below_peak from worth order by session",
        ),
        Exhibit(
            "days",
            f"Day by day, {unit}",
            "Net P&L of each session.",
            figures.bars(days, reports["net_pnl"].to_numpy(), unit),
            f"select session, net_pnl from performance_report\n{where} order by session",
        ),
    ]


def _stretches(tables: DeskTables, stretch: str) -> Table:
    rows = statistics.scoreboard(tables.reports, {"week": "1w", "month": "1mo"}[stretch], tables.per_year)
    columns = {
        stretch: ("Week of", to_page("week")) if stretch == "week" else ("Month", lambda day: f"{day:%B %Y}"),
        "sessions": ("Sessions", number()),
        "net_pnl": ("Net P&L", money),
        "fees": ("Fees", number(2)),
        "trades_a_day": ("Trades a day", number()),
        "maker_share": ("Maker", percent),
        "cancelled_share": ("Cancelled", percent),
        "sharpe": ("Sharpe", number(2)),
        "worst_day": ("Worst day", money),
        "hold_pnl": ("Held", money),
        "r2": ("R²", number(4)),
    }
    sql = (
        f"select date_trunc('{stretch}', session) as {stretch}, count(*) as sessions, sum(net_pnl) as net_pnl, sum(fees) as fees,\n"
        "       avg(fills) as trades_a_day, sum(maker_contracts) / nullif(sum(contracts), 0) as maker_share,\n"
        "       sum(cancelled) / nullif(sum(orders), 0) as cancelled_share,\n"
        f"       avg(net_pnl) / nullif(stddev_samp(net_pnl), 0) * sqrt({tables.per_year}) as sharpe, min(net_pnl) as worst_day,\n"
        "       sum(hold_pnl) as hold_pnl, 1 - sum(mse * rows_scored) / nullif(sum(label_square), 0) as r2\n"
        f"from performance_report\n{_where(tables)} group by 1 order by 1"
    )
    how = (
        f"Money in {tables.unit}. Sharpe is annual and says little over so few sessions. R² is of the prediction, of sessions that the "
        "model never saw. Held is one contract from first to last quote of each session."
    )
    return Table("Weeks" if stretch == "week" else "Months", how, rows, columns, sql)


def _sessions(tables: DeskTables) -> Table:
    columns = {
        "session": ("Session", to_page("session")),
        "net_pnl": ("Net P&L", money),
        "gross_pnl": ("Gross", money),
        "fees": ("Fees", number(2)),
        "spread_captured": ("Spread captured", money),
        "slippage": ("Slippage", number(2)),
        "fills": ("Fills", number()),
        "wins": ("Won", number()),
        "losses": ("Lost", number()),
        "max_drawdown": ("Worst fall", number(2)),
        "hold_pnl": ("Held", money),
        "r2": ("R²", number(4)),
    }
    how = f"Money in {tables.unit}. Gross = spread captured − slippage + what positions earned as the market moved; net = gross − fees."
    return Table("Sessions", how, tables.reports, columns, f"select * from performance_report\n{_where(tables)} order by session")


def _origins(tables: DeskTables) -> list[Exhibit | Table]:
    return origins(tables.reports, tables.fills, origin_queries(_where(tables), tables.multiplier))


def _luck(tables: DeskTables) -> list[Exhibit | list[Card]]:
    net = tables.reports["net_pnl"].to_numpy()
    interval = statistics.bootstrap_interval(net, seed=SEED)
    enough = statistics.sessions_to_convince(net)
    mean = float(net.mean()) if len(net) else None
    policies = tables.policies
    trials = number()(policies["trials"].max() if policies.height else None)
    toss, deviation = statistics.random_trades(tables.reports)
    by_coin = 1 - NormalDist(toss, deviation).cdf(float(net.sum())) if deviation else None
    between = f"95 %: {money(interval[0])} to {money(interval[1])}" if interval else "too few sessions"
    cards = [
        Card("Mean day", money(mean), between),
        Card("t-statistic", number(2)(statistics.t_statistic(net)), "of the mean day"),
        Card("True Sharpe above 0", percent(evidence.probabilistic_sharpe(net)), "probability"),
        Card("Deflated Sharpe", percent(_median(policies["dsr"])), f"of a winner in training, after {trials} trials; median period"),
        Card("Overfitting (PBO)", percent(_median(policies["pbo"])), "of the search for it; 50 % where there is nothing to find"),
        Card("A coin does as well", percent(by_coin), "probability"),
        Card("Record to convince", number()(enough), f"sessions, at 95 %; there are {len(net)}"),
    ]
    how = (
        "The grey bell is the net P&L to expect had a coin decided the direction of each round trip, with the same sizes and fees. "
        "The line is what came: within the bell it cannot be told from chance. Round trips that overlap in time share their luck, so the "
        "true bell is somewhat wider."
    )
    sql = f"select sum(net_pnl) as net, -sum(fees) as mean, sqrt(sum(trip_square)) as deviation\nfrom performance_report\n{_where(tables)}"
    return [cards, Exhibit("luck", "Random trades", how, figures.luck(tables.reports, tables.unit), sql)]


def _median(values: pl.Series) -> float | None:
    middle = values.median()
    return middle if isinstance(middle, float) else None


def _model(tables: DeskTables) -> list[Exhibit | Table]:
    market = f"where market = '{tables.name}'"
    scores = tables.scores.sort("period", "model")
    columns = {
        "period": ("Period", plain),
        "model": ("Model", plain),
        "r2": ("R² out of sample", number(4)),
        "r2_train": ("R² in sample", number(4)),
        "mse": ("MSE", number(4)),
        "rank_correlation": ("Rank correlation", number(3)),
        "rows_test": ("Rows", number()),
    }
    query = f"select period, model, r2, r2_train, mse, rank_correlation, rows_test from model_scores\n{market} order by period, model"
    parts: list[Exhibit | Table] = [
        Exhibit(
            "rivals",
            "Curves and rivals",
            "R² against predicting no move, on sessions that the model never saw; each trained on the window before its period. Zero is "
            "no knowledge.",
            figures.rivals(scores),
            query,
        ),
        Table("Scores", "MSE in ticks squared.", scores, columns, query),
    ]
    if tables.curves.height:
        last = tables.curves["period"].to_list()[-1]
        sql = f"select * from curve_model\n{market} and period = date '{last}' order by indicator, bucket"
        parts += [_drift(tables, market), *curve_exhibits(tables.curves.filter(pl.col("period") == last), sql)]
    return parts


def _drift(tables: DeskTables, market: str) -> Exhibit:
    """Weight of each indicator in each period's model, the last period's heaviest on top."""
    periods = tables.curves["period"].unique().sort().to_list()
    of_period = (
        importance(tables.curves.filter(pl.col("period") == period)).with_columns(period=pl.lit(str(period))) for period in periods
    )
    wide = pl.concat(of_period).pivot("period", index="indicator", values="weight")
    last = str(periods[-1])
    sql = (
        "select indicator, period, sqrt(sum(value * value * count) / sum(count)) as weight from curve_model\n"
        f"{market} group by indicator, period order by period, weight desc"
    )
    how = (
        "What each indicator's curve adds to the prediction, root mean square in ticks, model by model; darker is more. "
        "Change "
        "from left to right is the reason to retrain."
    )
    return Exhibit(
        "drift", "Drift of the curves", how, figures.drift(wide.sort(last, "indicator", descending=[True, False], nulls_last=True)), sql
    )


def _data(tables: DeskTables) -> list[Exhibit | Table]:
    columns = {
        "session": ("Session", plain),
        "whole": ("Recording", plain),
        "records": ("Records", number()),
        "events": ("Events", number()),
        "trades": ("Trades", number()),
        "quarantined": ("Quarantined", number()),
        "out_of_order": ("Out of order", number()),
        "crossed": ("Crossed, s", number(1)),
        "locked": ("Locked, s", number(1)),
        "front_share": ("Fills at our front", percent),
    }
    whole = pl.when("complete").then(pl.lit("whole")).when(~pl.col("complete")).then(pl.lit("ends early"))
    told = tables.quality.sort("session").with_columns(crossed=pl.col("crossed_ns") / 1e9, locked=pl.col("locked_ns") / 1e9, whole=whole)
    how = "What the book was rebuilt from, of the traded market. Quarantined rows are kept, with their reason, in the table quarantine."
    joined = "select q.*, r.complete from book_quality as q join recording as r using (market, session)"
    return [Table("Quality", how, told, columns, f"{joined}\nwhere market = '{tables.name}' order by session")]
