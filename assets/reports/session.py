"""The page of one session, from its frames alone."""

import datetime as dt
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from assets.desk import Market
from assets.hours import Window
from assets.reports import figures, origin
from assets.reports.data import data_exhibits
from assets.reports.exhibits import curve_exhibits, origin_queries, origins
from assets.reports.luck import assumptions
from assets.reports.page import Card, Exhibit, Link, Page, Section, fall, money, number, percent, render, write
from assets.reports.plot import grey_out, share_clock
from assets.reports.statistics import scoreboard
from assets.reports.summary import summarise


@dataclass(frozen=True)
class SessionTables:
    """What a session left in the lake, or what `tickline try` has in hand."""

    name: str
    """Of the market, as the desk calls it."""
    market: Market
    session: dt.date
    provenance: str
    orders: pl.DataFrame
    fills: pl.DataFrame
    equity: pl.DataFrame
    predictions: pl.DataFrame
    quotes: pl.DataFrame
    """ts_event, bid_px, ask_px at each change of the traded market's best prices."""
    curves: pl.DataFrame | None = None
    """Rows of `curve_model`, when the desk's model has curves."""
    quality: pl.DataFrame | None = None
    """Rows of `book_quality` of every market, as `data_exhibits` wants them; None where no lake has any."""
    refused: pl.DataFrame | None = None
    """Its rows of `quarantine` counted, likewise."""
    what_if: pl.DataFrame | None = None
    """Its rows of `what_if`, likewise."""
    of: str | None = None
    """Name of the money where it is not the market's currency."""
    window: Window | None = None
    """The session's hours and when within them the market traded; None where nobody knows."""

    @property
    def unit(self) -> str:
        """Name of the money."""
        return self.of or self.market.currency

    @property
    def where(self) -> str:
        """The clause that picks the session from a table of the warehouse."""
        return f"where market = '{self.name}' and session = date '{self.session}'"

    def summarise(self) -> pl.DataFrame:
        """The session's row of `performance_report`."""
        frames = (self.orders, self.fills, self.equity, self.predictions)
        return summarise(*frames, self.market, provenance=self.provenance, unit=self.of, window=self.window)


def write_try_page(path: Path, tables: SessionTables) -> pl.DataFrame:
    """Page of one session at `path`, without a desk, a lake or a warehouse; returns the session's row of `performance_report`.

    Raises:
        ReportError: the file cannot be written.
    """
    report = tables.summarise()
    write(path, session_page(tables, report))
    return report


def session_page(tables: SessionTables, report: pl.DataFrame, *, links: tuple[Link, ...] = (), warehouse: bool = False) -> str:
    """HTML of one session.

    Args:
        tables: the session's frames.
        report: its row of `performance_report`.
        links: pages that belong to it.
        warehouse: whether there is one, so that the SQL under each figure can be run.
    """
    sql = _queries(tables) if warehouse else {}
    explained = origin.explained(tables.fills, tables.orders, tables.market)
    otherwise = assumptions(tables.what_if, tables.unit, tables.where) if tables.what_if is not None else []
    sections = [
        Section("Result", [headline(report), *_result(tables, sql)]),
        Section("Where the result came from", [*origins(report, explained, sql), *otherwise]),
    ]
    if tables.curves is not None and tables.curves.height:
        sections.append(Section("The model", curve_exhibits(tables.curves, sql.get("curves"))))
    if tables.quality is not None and tables.refused is not None:
        sections.append(Section("The data", data_exhibits(tables.quality, tables.refused)))
    day = f"{tables.session:%A} {tables.session.day} {tables.session:%B %Y}"
    footer = "Times are UTC. Made by tickline from the session's published tables."
    return render(Page(f"{tables.name}, {day}", lead(report), tables.provenance, sections, links, footer))


def lead(report: pl.DataFrame) -> str:
    """What one session came to, or several together, in two sentences."""
    if not report.height:
        return "No session has been reported yet."
    fills, contracts = int(report["fills"].sum()), int(report["contracts"].sum())
    if not fills:
        return "No order was filled, so nothing was earned and nothing lost."
    unit = report["unit"][0]
    net, fees, hold = (float(report[name].sum()) for name in ("net_pnl", "fees", "hold_pnl"))
    several = report.height > 1
    who = f"{report.height} sessions" if several else "The session"
    held = "One contract held from the first quote to the last" + (" of each session" if several else "")
    on = f"after {fees:,.2f} {unit} of fees, on {_counted(fills, 'fill')} of {_counted(contracts, 'contract')}"
    lot = float(report["lot_size"][0])
    on += f" of {lot:.9g}, {contracts * lot:,.9g} in all" if lot != 1 else ""
    return f"{who} {_earned(net, 'earned', 'lost', unit)} {on}. {held} would have {_earned(hold, 'earned', 'lost', unit)}."


def _earned(amount: float, gain: str, loss: str, unit: str) -> str:
    if round(amount, 2) == 0:
        return f"{gain} nothing"
    return f"{gain if amount > 0 else loss} {money(abs(amount)).lstrip('+')} {unit}"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def headline(report: pl.DataFrame) -> list[Card]:
    """The figures that stand on top, added up over the rows of `performance_report`."""
    if not report.height:
        return [Card("Net P&L", money(None), "no session")]

    def total(name: str) -> float:
        return float(report[name].sum())

    # One stretch holds every row, whatever their dates.
    shares = scoreboard(report.with_columns(session=dt.date(2000, 1, 3)), "1w").row(0, named=True)
    wins, losses = int(total("wins")), int(total("losses"))
    mean_win = total("win_pnl") / wins if wins else None
    mean_loss = total("loss_pnl") / losses if losses else None
    most, lot = int(report["max_position"].to_numpy().max()), float(report["lot_size"][0])
    held = "contracts, long or short" if lot == 1 else f"contracts of {lot:.9g}, long or short"
    return [
        Card("Net P&L", money(total("net_pnl")), f"{report['unit'][0]}, after fees"),
        Card("Gross P&L", money(total("gross_pnl")), f"fees {total('fees'):,.2f}"),
        Card("Fills", f"{total('fills'):,.0f}", f"{total('round_trips'):,.0f} round trips"),
        Card("Maker share", percent(shares["maker_share"]), "of contracts"),
        Card("Cancelled", percent(shares["cancelled_share"]), f"of {total('orders'):,.0f} orders"),
        Card("Round trips won / lost", f"{wins:,} / {losses:,}", f"mean {money(mean_win)} / {money(mean_loss)}"),
        Card("Long half", money(total("long_pnl")), "round trips that bought first"),
        Card("Short half", money(total("short_pnl")), "round trips that sold first"),
        Card("Worst fall", fall(float(report["max_drawdown"].to_numpy().max())), "below the peak, within a session"),
        Card("One contract held", money(total("hold_pnl")), "from the first quote to the last"),
        Card("Mean position", number(2)(float(report["mean_position"].to_numpy().mean())), f"{held}; at most {most}"),
        Card("R² of prediction", number(4)(shares["r2"]), "on sessions that the model never saw"),
    ]


def _queries(tables: SessionTables) -> dict[str, str]:
    """The SQL that gives what each figure shows, on the published warehouse."""
    market, day = tables.name, tables.session
    monday = day - dt.timedelta(days=day.weekday())
    where = tables.where
    return {
        "price": f"select ts_event, (bid_px + ask_px) / 2e9 as mid from feature_table\n{where} order by ts_event;\n\n"
        f"select ts_event, side, price / 1e9 as price, quantity, liquidity, position from fills\n{where} order by ts_event",
        "pnl": f"select ts_event, equity / 1e9 as net from equity\n{where} order by ts_event",
        "drawdown": "with worth as (select *, greatest(0, max(equity) over (order by ts_event rows unbounded preceding)) as peak\n"
        f"from equity\n{where})\nselect ts_event, (equity - peak) / 1e9 as below_peak from worth order by ts_event",
        "position": f"select ts_event, position from equity\n{where} order by ts_event",
        "curves": "select indicator, bucket, lower, upper, count, mean, value, error from curve_model\n"
        f"where market = '{market}' and period in (date '{monday}', date '{day}') order by indicator, bucket",
        **origin_queries(where, tables.market.point_value),
    }


def _result(tables: SessionTables, sql: dict[str, str]) -> list[Exhibit]:
    unit = tables.unit
    exhibits = [
        Exhibit(
            "price",
            "Price, with every buy and sell",
            "The line is the mid, the middle between the best bid and ask. It is thinned to what a screen can show; no fill is left out. "
            "A triangle that points up is a buy, one that points down a sale. Filled triangles are orders that rested in the book, hollow "
            "ones are orders that took. Drag to zoom and double-click to go back; the figures below follow.",
            figures.price(tables.quotes, tables.fills),
            sql.get("price"),
        ),
        Exhibit(
            "pnl",
            f"Cumulative P&L, {unit}",
            "Net is what the account is worth after fees; what it holds is worth the mid. The dashed line is the same before fees. The "
            "dotted line is one contract bought at the first mid and kept.",
            figures.pnl(tables.equity, tables.fills, tables.market, unit, tables.window),
            sql.get("pnl"),
        ),
        Exhibit(
            "drawdown",
            f"Drawdown, {unit}",
            "How far the net P&L stood below the highest that it had been. At zero it is at its highest.",
            figures.session_drawdown(tables.equity, unit),
            sql.get("drawdown"),
        ),
        Exhibit(
            "position",
            "Contracts held",
            "Above zero the position is long, below zero it is short.",
            figures.position(tables.equity),
            sql.get("position"),
        ),
    ]
    timed = [exhibit.figure for exhibit in exhibits if exhibit.figure]
    share_clock(timed, [tables.quotes, tables.equity])
    if tables.window and tables.window.pauses:
        grey_out(timed, tables.window.pauses)
        exhibits[0] = replace(exhibits[0], how_to_read=exhibits[0].how_to_read + " Grey: the market was not trading continuously.")
    return exhibits
