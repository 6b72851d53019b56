"""The pages of a week and of the desk's whole history, from the rows of `performance_report` and the models' tables."""

import datetime as dt

from assets.fills import evidence
from assets.reports import figures, history_figures, statistics
from assets.reports.belief import belief
from assets.reports.data import data_exhibits
from assets.reports.exhibits import origin_queries, origins
from assets.reports.luck import assumptions, luck, ways
from assets.reports.models import model
from assets.reports.page import Card, Exhibit, Link, Page, Section, Table, fall, money, number, percent, render, to_page
from assets.reports.session import headline, lead
from assets.reports.tables import DeskTables


def weeks(tables: DeskTables) -> list[dt.date]:
    """Mondays of the weeks that have a page: those with a session reported."""
    return tables.reports["session"].dt.truncate("1w").unique().sort().to_list()


def week_page(tables: DeskTables, monday: dt.date) -> str:
    """HTML of one week."""
    week = tables.week(monday)
    sections = [
        Section("Result", [headline(week.reports), *_running(week), _sessions(week)]),
        Section("Where the result came from", [*_origins(week), *assumptions(week.what_if, week.unit, week.where), *ways(week)]),
        Section("The model", model(week)),
        Section("The data", data_exhibits(week.quality, week.refused)),
    ]
    title = f"{tables.name}, week of {monday.day} {monday:%B %Y}"
    links = [Link("The desk", "index.html"), *_labs(tables, monday, monday + dt.timedelta(days=6))]
    return render(Page(title, lead(week.reports), tables.provenance, sections, links, _FOOTER))


def desk_page(tables: DeskTables) -> str:
    """HTML of the desk's whole history: the index that leads to every other page."""
    tables_of = [_stretches(tables, "week"), _stretches(tables, "month"), _sessions(tables)]
    sections = [
        Section("Result", [_cards(tables), *_running(tables), *tables_of]),
        Section("Where the result came from", [*_origins(tables), *assumptions(tables.what_if, tables.unit, tables.where), *ways(tables)]),
        Section("Is it luck?", luck(tables)),
        *belief(tables),
        Section("The model", model(tables)),
        Section("The data", data_exhibits(tables.quality, tables.refused)),
    ]
    links = [Link("Can its fills be believed?", "reconciliation.html"), *_labs(tables)[-1:]]
    return render(Page(f"{tables.desk}: {tables.name}", lead(tables.reports), tables.provenance, sections, links, _FOOTER))


def _labs(tables: DeskTables, first: dt.date = dt.date.min, last: dt.date = dt.date.max) -> list[Link]:
    """Links to the indicator labs of these periods."""
    return [Link(f"Indicators before {period}", f"lab-{period}.html") for period in tables.labs if first <= period <= last]


_FOOTER = "Times are UTC; a session is named by its trade date. Made by tickline from the desk's published tables."


def _cards(tables: DeskTables) -> list[Card]:
    """The desk's own headline: what was earned, and at what risk, over all of its sessions."""
    reports = tables.reports
    if not reports.height:
        return headline(reports)
    net = reports["net_pnl"].to_numpy()
    most, one = statistics.bases(reports)
    returned = statistics.returns(reports).row(-1, named=True)
    deepest = statistics.max_drawdown(net)
    days = ["the start", *reports["session"].dt.strftime("%d %b %Y").to_list()]
    worst = reports.sort("net_pnl", "session").row(0, named=True)
    months = statistics.scoreboard(reports, "1mo").sort("net_pnl", "month", descending=[True, False])
    won, lost = int((net > 0).sum()), int((net < 0).sum())
    own = [
        Card("Return", _finely(returned["net"]), f"of {number()(most)} {tables.unit}, the most that was held"),
        Card(
            "Return of one contract held",
            _finely(returned["held"]),
            f"of {number()(one)} {tables.unit}, its worth at first; it was held through each session and not overnight",
        ),
        Card("Sharpe, a year", number(2)(evidence.sharpe(net, tables.per_year)), f"{number(3)(evidence.sharpe(net))} a session"),
        Card("Sortino, a year", number(2)(statistics.sortino(net, tables.per_year)), f"{tables.per_year} sessions a year"),
        Card(
            "Drawdown",
            fall(deepest.depth if deepest else 0.0),
            f"{days[deepest.peak + 1]} to {days[deepest.trough + 1]}" if deepest else "it never fell below its peak",
        ),
        Card("Sessions won / lost", f"{won} / {lost}", f"of {len(net)}"),
        Card("Worst session", money(worst["net_pnl"]), str(worst["session"])),
        Card("Best month", money(months["net_pnl"][0]), f"{months['month'][0]:%B %Y}"),
    ]
    common = [card for card in headline(reports) if card.label not in {"Worst fall", "One contract held"}]
    return [*common[:2], *own, *common[2:]]


def _finely(share: float | None) -> str:
    """A return as a percentage with two decimals: over a few sessions it is often less than a tenth of one per cent."""
    return "–" if share is None else f"{number(2)(100 * share)}%"


def _running(tables: DeskTables) -> list[Exhibit]:
    where, reports, unit = tables.where, tables.reports, tables.unit
    days = reports["session"].dt.strftime("%Y-%m-%d").to_list()
    most, one = (number()(base) for base in statistics.bases(reports))
    return [
        Exhibit(
            "cumulative",
            "Cumulative return against holding the contract",
            f"The lines add up from zero. Net and before fees are shares of the most that was held, {most} {unit}. One contract held is "
            f"bought at the first quote of each session and sold at its last; its line is a share of its worth at the start, {one} {unit}.",
            history_figures.cumulative(reports, unit),
            "with based as (select *, nullif(max(max_position * notional) over (), 0) as most_held,\n"
            f"    nullif(first_value(notional) over (order by session), 0) as one_contract from performance_report\n    {where})\n"
            "select session, 100 * sum(net_pnl) over so_far / most_held as net, 100 * sum(gross_pnl) over so_far / most_held as gross,\n"
            "       100 * sum(hold_pnl) over so_far / one_contract as held, sum(net_pnl) over so_far as net_pnl,\n"
            "       sum(gross_pnl) over so_far as gross_pnl, sum(hold_pnl) over so_far as hold_pnl\n"
            "from based window so_far as (order by session) order by session",
        ),
        Exhibit(
            "drawdown",
            f"Drawdown, {unit}",
            "How far the net P&L of all sessions together stood below its highest point so far, at the end of each session.",
            history_figures.desk_drawdown(reports, unit),
            f"with worth as (select session, sum(net_pnl) over (order by session) as net from performance_report\n{where})\n"
            "select session, net - greatest(0, max(net) over (order by session)) as below_peak from worth order by session",
        ),
        Exhibit(
            "days",
            f"Session by session, {unit}",
            "Net P&L of each session.",
            figures.bars(days, reports["net_pnl"].to_numpy(), unit),
            f"select session, net_pnl from performance_report\n{where} order by session",
        ),
        Exhibit(
            "held",
            "Contracts held",
            "A bar is the mean position of a session over its time, long or short. A mark is the most that was held at once.",
            history_figures.held(reports),
            f"select session, mean_position, max_position from performance_report\n{where} order by session",
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
        "hold_pnl": ("One held", money),
        "r2": ("R²", number(4)),
    }
    sql = (
        f"select date_trunc('{stretch}', session) as {stretch}, count(*) as sessions, sum(net_pnl) as net_pnl, sum(fees) as fees,\n"
        "       avg(fills) as trades_a_day, sum(maker_contracts) / nullif(sum(contracts), 0) as maker_share,\n"
        "       sum(cancelled) / nullif(sum(orders), 0) as cancelled_share,\n"
        "       case when stddev_samp(net_pnl) > 1e-9 * max(abs(net_pnl))\n"
        f"            then avg(net_pnl) / stddev_samp(net_pnl) * sqrt({tables.per_year}) end as sharpe, min(net_pnl) as worst_day,\n"
        "       sum(hold_pnl) as hold_pnl, 1 - sum(mse * rows_scored) / nullif(sum(label_square), 0) as r2\n"
        f"from performance_report\n{tables.where} group by 1 order by 1"
    )
    how = (
        f"Money is in {tables.unit}. The Sharpe ratio is annual; over so few sessions it says little. R² is that of the prediction, on "
        "sessions that the model never saw. One held is one contract from the first quote to the last of each session."
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
        "max_drawdown": ("Worst fall", fall),
        "hold_pnl": ("One held", money),
        "r2": ("R²", number(4)),
    }
    how = (
        f"Money is in {tables.unit}. Gross is spread captured, less slippage, and what positions earned as the market moved. Net is gross "
        "less fees. Worst fall is how far the account stood below its peak within the session."
    )
    return Table("Sessions", how, tables.reports, columns, f"select * from performance_report\n{tables.where} order by session")


def _origins(tables: DeskTables) -> list[Exhibit | Table]:
    return origins(tables.reports, tables.fills, origin_queries(tables.where, tables.multiplier))
