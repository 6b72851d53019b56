"""The page of the simulator's truth: shadow orders, and our own live log beside its replay, from the measurements' four tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from assets.desk import NS
from assets.fills.truth.reconcile import Setting, held_out
from assets.fills.truth.shadow import FITTED
from assets.reports import figures
from assets.reports.page import Card, Exhibit, Link, Page, Section, Table, money, number, percent, plain, render
from assets.reports.plot import Figure, axes, listed, marked, name_days, packed, stroke, thin

_WRONG: Final = (("missed", "--sell"), ("imagined", "--third"))
_STYLES: Final = (("--ink", "solid"), ("--buy", "dash"), ("--sell", "dot"), ("--third", "dashdot"))

_OF_ORDERS: Final = ("told_right", "missed", "imagined", "fill_rate", "fill_rate_estimated", "queue_error")
"""Figures of a queue model that are means over orders."""

_FOOTER: Final = "Made by tickline from the desk's published tables; docs/fidelity.md says how each figure is measured."


@dataclass(frozen=True)
class TruthTables:
    """What the desk's lake holds of both measurements, every session and period together."""

    name: str
    """Of the traded market."""
    currency: str
    """Of its money."""
    provenance: str
    shadow: pl.DataFrame
    """Rows of `shadow_orders`, each with its `session` (date)."""
    fits: pl.DataFrame
    """Rows of `queue_fit`, each with its `period` (date)."""
    rows: pl.DataFrame
    """Rows of `reconciliation`, each with its `session` (date)."""

    @property
    def where(self) -> str:
        """The clause that picks the market from a table of the warehouse."""
        return f"where market = '{self.name}'"


def truth_page(tables: TruthTables, orders: pl.DataFrame) -> str:
    """HTML of both measurements.

    Args:
        tables: what they came to.
        orders: ts_request, ts_fill_log and ts_fill_replay of the rows of `reconciled_orders`.
    """
    asked, own = fidelity(tables.shadow, tables.fits), tables.rows.filter("own").sort("session")
    sections = [
        Section("Shadow orders: when would they have filled?", _shadow(asked, tables)),
        Section("Our live log beside its replay", _replayed(own, orders, tables)),
        Section("Which delay and which queue fit best?", _calibrated(tables)),
    ]
    links = [Link("The desk", "index.html")]
    return render(Page(f"{tables.name}: can its fills be believed?", _lead(asked, own), tables.provenance, sections, links, _FOOTER))


def fidelity(shadow: pl.DataFrame, fits: pl.DataFrame) -> pl.DataFrame:
    """Rows of the mart `queue_fidelity`: each queue model on the sessions after a fit, with the exponent fitted where it has one.

    Returns:
        period, queue, exponent, told_right_train, sessions, orders, and of these told_right, missed, imagined, fill_rate and
        fill_rate_estimated as shares; time_error_mean_s, queue_error; the best told of a period first.
    """
    periods = fits.select("period").unique().sort("period")
    placed = shadow.sort("session").join_asof(periods, left_on="session", right_on="period").drop_nulls("period")
    known = fits.select("period", "queue", "exponent", "told_right_train")
    tested = placed.join(known, on=["period", "queue", "exponent"], how="left").filter(
        ~pl.col("queue").is_in(FITTED) | pl.col("told_right_train").is_not_null()
    )
    of_orders = {"missed": "missed", "imagined": "imagined", "filled": "fill_rate", "filled_estimated": "fill_rate_estimated"}
    return (
        tested.group_by("period", "queue", "exponent")
        .agg(
            pl.col("told_right_train").first(),
            *((pl.col(name).sum() / pl.col("orders").sum()).alias(share) for name, share in of_orders.items()),
            pl.col("time_error_mean_s").mean(),
            queue_error=(pl.col("queue_error") * pl.col("orders")).sum() / pl.col("orders").sum(),
            sessions=pl.len(),
            orders=pl.col("orders").sum(),
        )
        .with_columns(told_right=1 - pl.col("missed") - pl.col("imagined"))
        .sort("period", "told_right", "queue", descending=[False, True, False])
    )


def _lead(asked: pl.DataFrame, own: pl.DataFrame) -> str:
    if not own.height:
        log = "There is no live log: that needs a simulated exchange, which can be run again with our orders in it, and the desk's curves."
    else:
        missed, imagined, filled = (int(own[name].sum()) for name in ("missed", "imagined", "filled_log"))
        log = (
            f"{_orders(filled)} filled inside the exchange. The replay missed {f'{missed:,} of them' if missed else 'none of them'} and "
            f"imagined {f'fills of {_orders(imagined)} that did not fill' if imagined else 'no other fill'}."
        )
    estimates = by_model(asked).filter(~pl.col("queue").is_in(["exact", "pessimist", "optimist"]))
    if not estimates.height:
        return f"{log} No order could be asked about."
    best = estimates.row(0, named=True)
    fate = f"tells rightly what became of {percent(best['told_right'])} of real orders"
    return f"{log} From levels and trades alone, the queue model {best['queue']!r} {fate}."


def _orders(count: int) -> str:
    return f"{count:,} order{'' if count == 1 else 's'}"


def by_model(asked: pl.DataFrame) -> pl.DataFrame:
    """Each model over all periods, the best told first.

    Args:
        asked: what `fidelity` returns.

    Returns:
        queue, orders, and of these told_right, missed, imagined, fill_rate and fill_rate_estimated as shares; queue_error,
        time_error_mean_s.
    """
    orders, sessions = pl.col("orders"), pl.col("sessions").filter(pl.col("time_error_mean_s").is_not_null())
    return (
        asked.group_by("queue")
        .agg(
            orders.sum(),
            *((pl.col(name) * orders).sum() / orders.sum() for name in _OF_ORDERS),
            time_error_mean_s=(pl.col("time_error_mean_s") * pl.col("sessions")).sum() / pl.when(sessions.sum() > 0).then(sessions.sum()),
        )
        .sort("told_right", "queue", descending=[True, False])
    )


def models_query(where: str) -> str:
    """The SQL of `by_model`."""
    shares = ",\n".join(f"       sum({name} * orders) / sum(orders) as {name}" for name in _OF_ORDERS)
    return (
        f"select queue, sum(orders) as orders,\n{shares},\n"
        "       sum(time_error_mean_s * sessions) / sum(sessions) filter (time_error_mean_s is not null) as time_error_mean_s\n"
        f"from queue_fidelity\n{where} group by queue order by told_right desc, queue"
    )


def _shadow(asked: pl.DataFrame, tables: TruthTables) -> Sequence[Exhibit | Table]:
    columns = {
        "period": ("Period", plain), "queue": ("Model", plain), "exponent": ("Exponent", number(1)),
        "told_right": ("Told right", percent), "told_right_train": ("In training", percent), "fill_rate": ("Filled", percent),
        "fill_rate_estimated": ("Filled by the model", percent), "missed": ("Missed", _hundredths), "imagined": ("Imagined", _hundredths),
        "time_error_mean_s": ("Time error,\N{NO-BREAK SPACE}s", number(1)), "queue_error": ("Queue error", number(1)),
        "orders": ("Orders", number()),
    }  # fmt: skip
    grid = (
        "select queue, exponent, 1 - sum(missed + imagined) / sum(orders) as told_right from shadow_orders\n"
        f"{tables.where} and queue in ('power', 'share') group by all order by queue, exponent"
    )
    return [
        Exhibit(
            "models",
            "Orders whose fate each queue model tells wrong",
            "Each model is asked what became of real resting orders, whose identity is hidden, from levels and trades alone. A missed "
            "order filled, but not by the model. An imagined one filled by the model alone. Exact knows the orders: it is the check. "
            "Pessimist and optimist are the bounds, the others are estimates. The sessions come after "
            "the training window that chose the exponent.",
            _wrong_by_model(by_model(asked)),
            models_query(tables.where) if asked.height else None,
        ),
        Exhibit(
            "exponents",
            "What the exponent does",
            "Share of orders that the two models with an exponent tell rightly, over all sessions. A larger exponent believes that more "
            "cancels come from behind us. The table below has the exponent that each period's training window chose.",
            _by_exponent(tables.shadow),
            grid if tables.shadow.height else None,
        ),
        Table(
            "Each period's models",
            "Time error is the mean absolute error of the time to fill. Queue error counts contracts too many ahead; below zero the model "
            "is optimistic.",
            asked.with_columns(pl.when(pl.col("queue").is_in(FITTED)).then("exponent")),
            columns,
            f"select * from queue_fidelity\n{tables.where} order by period, told_right desc, queue" if asked.height else None,
        ),
    ]  # fmt: skip


def _wrong_by_model(models: pl.DataFrame) -> Figure | None:
    if not models.height:
        return None
    told = models.reverse()
    data = [
        {
            "type": "bar", "orientation": "h", "name": name, "x": packed(100 * told[name].to_numpy()), "y": told["queue"].to_list(),
            "marker": {"color": colour}, "hovertemplate": f"%{{y}}: %{{x:.2f}} % {name}<extra></extra>",
        }
        for name, colour in _WRONG
    ]  # fmt: skip
    figure = listed(data, told.height)
    figure["layout"] |= {"barmode": "stack", "bargap": 0.35, "showlegend": True, "height": 120 + 24 * told.height}
    figure["layout"]["margin"]["t"] = 28
    figure["layout"]["legend"]["traceorder"] = "normal"
    figure["layout"]["xaxis"] |= {"showgrid": True, "ticksuffix": " %"}
    return figure


def _by_exponent(shadow: pl.DataFrame) -> Figure | None:
    right = 1 - (pl.col("missed") + pl.col("imagined")).sum() / pl.col("orders").sum()
    told = shadow.filter(pl.col("queue").is_in(FITTED)).group_by("queue", "exponent").agg(right=right).sort("exponent")
    if not told.height:
        return None
    lines = []
    for queue, (colour, dash) in zip(FITTED, _STYLES, strict=False):
        some = told.filter(queue=queue)
        line = stroke(queue, some["exponent"].to_numpy(), 100 * some["right"].to_numpy(), colour, width=2, dash=dash)
        lines.append(line | {"mode": "lines+markers", "hovertemplate": "%{y:.2f} %"})
    figure = axes(lines, height=280)
    ticks = told["exponent"].unique().sort().to_list()
    figure["layout"]["xaxis"] |= {"type": "log", "tickvals": ticks, "ticktext": [f"{n:g}" for n in ticks], "title": {"text": "exponent"}}
    figure["layout"]["yaxis"]["ticksuffix"] = " %"
    return figure


def _replayed(own: pl.DataFrame, orders: pl.DataFrame, tables: TruthTables) -> Sequence[Exhibit | Table | Sequence[Card]]:
    log, replay, missed, imagined, price = (
        float(own[name].sum()) for name in ("pnl_log", "pnl_replay", "pnl_missed", "pnl_imagined", "pnl_price")
    )
    counts = [Card(label, number()(int(own[name].sum()))) for label, name in (
        ("Orders", "orders"), ("Filled live", "filled_log"), ("Filled in the replay", "filled_replay"),
        ("Missed", "missed"), ("Imagined", "imagined"),
    )]  # fmt: skip
    split = [("replay", replay), ("missed", missed), ("imagined", -imagined), ("price", price)]
    of_own = f"from reconciliation\n{tables.where} and own"
    waits = " union all\n    ".join(
        f"select '{run}' as run, (ts_fill_{name} - ts_request) / 1e9 as seconds from reconciled_orders\n"
        f"    {tables.where} and ts_fill_{name} is not null"
        for run, name in (("live", "log"), ("replay", "replay"))
    )
    sql = {
        "fates": f"select session, filled_log - missed as both, missed, imagined {of_own} order by session",
        "waits": f"with waited as (\n    {waits})\n"
        "select run, seconds, cume_dist() over (partition by run order by seconds) as share from waited order by run, seconds",
        "split": "select sum(pnl_replay) as replay, sum(pnl_missed) as missed, -sum(pnl_imagined) as imagined,\n"
        f"       sum(pnl_price) as price, sum(pnl_log) as live {of_own}",
        "sessions": f"select * {of_own} order by session",
    } if own.height else {}  # fmt: skip
    return [
        [*counts, Card("P&L live less replay", money(log - replay), f"{money(log)} live")],
        Exhibit(
            "fates",
            "What became of the orders that filled",
            "The same orders and cancels are sent at the same times twice: to the exchange's own matching engine, and to a replay of that "
            "market's records. An order filled in both, was missed by the replay, or was imagined by it.",
            _fates(own),
            sql.get("fates"),
        ),
        Exhibit(
            "waits",
            "Time to the first fill",
            "Share of the filled orders that had filled after this time. Where the lines lie on one another, the replay fills when the "
            "engine does.",
            _waits(orders) if own.height else None,
            sql.get("waits"),
        ),
        Exhibit(
            "split",
            "From the replay's P&L to the live one",
            f"After fees, {tables.currency}; what is held is worth each session's last mid. What the replay missed is added, what it "
            "imagined is taken away. "
            "Contracts that filled in both at another price make the rest.",
            figures.waterfall(split, tables.currency, total="live") if own.height else None,
            sql.get("split"),
        ),
        Table(
            "Session by session",
            "With the desk's own delay and queue. KS is the Kolmogorov-Smirnov distance between live and replay, of the times to the first "
            "fill and of the slippage; equal distributions have 0. The last three columns split P&L live less P&L in the replay.",
            own,
            {"session": ("Session", plain), **_RECONCILED},
            sql.get("sessions"),
        ),
    ]


_RECONCILED: Final = {
    "orders": ("Orders", number()), "filled_log": ("Filled live", number()), "filled_replay": ("Filled in the replay", number()),
    "missed": ("Missed", number()), "imagined": ("Imagined", number()), "ks_time_to_fill": ("KS, time", number(3)),
    "ks_slippage": ("KS, slippage", number(3)), "pnl_log": ("P&L live", money), "pnl_replay": ("P&L in the replay", money),
    "pnl_missed": ("P&L of missed", money), "pnl_imagined": ("P&L of imagined", money), "pnl_price": ("P&L of prices", money),
}  # fmt: skip


def _fates(own: pl.DataFrame) -> Figure | None:
    if not own.height:
        return None
    days = own["session"].dt.strftime("%Y-%m-%d").to_list()
    both = ("both", "--buy", (own["filled_log"] - own["missed"]).to_numpy())
    data = [
        {"type": "bar", "name": name, "x": days, "y": packed(values), "marker": {"color": colour}, "hovertemplate": "%{y:,}"}
        for name, colour, values in (both, *((name, colour, own[name].to_numpy()) for name, colour in _WRONG))
    ]
    figure = axes(data, height=280)
    name_days(figure, days)
    figure["layout"] |= {"barmode": "stack", "bargap": 0.25}
    figure["layout"]["legend"]["traceorder"] = "normal"
    return figure


def _waits(orders: pl.DataFrame) -> Figure | None:
    lines = []
    for run, name, colour, dash, width in (("live", "log", "--price", "solid", 5.0), ("replay", "replay", "--ink", "dot", 2.0)):
        waited = (orders[f"ts_fill_{name}"] - orders["ts_request"]).drop_nulls().sort().to_numpy() / NS
        share = 100 * np.arange(1, len(waited) + 1) / max(len(waited), 1)
        lines.append(stroke(run, *thin(waited, share), colour, width=width, dash=dash, hovertemplate="%{x:.3f} s: %{y:.1f} %"))
    figure = axes(lines, height=300, hovermode="closest")
    figure["layout"]["xaxis"] |= {"type": "log", "dtick": 1, "title": {"text": "seconds from the sending to the first fill"}}
    figure["layout"]["yaxis"] |= {"rangemode": "tozero", "ticksuffix": " %"}
    return figure


def _calibrated(tables: TruthTables) -> Sequence[Exhibit | Table]:
    table, sessions = before_and_after(tables.rows), tables.rows["session"].n_unique()
    held = table["session"].unique().to_list()
    days = ", ".join(f"date '{day}'" for day in sorted(held))
    grid = (
        "select queue, latency_ms, sum(missed + imagined) / sum(orders) as wrong from reconciliation\n"
        f"{tables.where} and session in ({days}) group by all order by queue, latency_ms"
    )
    how = (
        f"The first {sessions - len(held)} sessions chose the setting with the fewest orders told wrong. These are the {len(held)} later "
        "sessions: before, with the desk's own setting; after, with the chosen one."
        if held
        else "This takes two sessions: one that chooses the setting and one that is held out."
    )
    setting = {"told": ("Setting", plain), "latency_ms": ("Delay, ms", number(1)), "queue": ("Queue", plain)}
    columns = {"session": ("Session", plain), **setting, **_RECONCILED}
    when = pl.when("calibrated").then(pl.lit("after")).otherwise(pl.lit("before"))
    return [
        Exhibit(
            "assumed",
            "Orders told wrong, by what is assumed of delay and queue",
            "Share of all orders sent that the replay missed or imagined, on the sessions held out. The lowest point fits best.",
            _assumed(tables.rows.filter(pl.col("session").is_in(held))),
            grid if held else None,
        ),
        Table(
            "Before calibration and after",
            how,
            table.with_columns(told=when),
            columns,
            f"select * from reconciliation_held_out\n{tables.where} order by session, calibrated" if held else None,
        ),
    ]


def before_and_after(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of the mart `reconciliation_held_out`: the later sessions under the desk's own setting, and under what the earlier chose."""
    if not rows.height:
        return rows.with_columns(calibrated=pl.col("own"))
    chosen, later = held_out(rows)
    held = rows.filter(pl.col("session").is_in(later))
    after = held.filter(*(pl.col(name) == value for name, value in zip(Setting._fields, chosen, strict=True)))
    told = [part.with_columns(calibrated=pl.lit(calibrated)) for part, calibrated in ((held.filter("own"), False), (after, True))]
    return pl.concat(told).sort("session", "calibrated")


def _assumed(rows: pl.DataFrame) -> Figure | None:
    if not rows.height:
        return None
    wrong = (pl.col("missed") + pl.col("imagined")).sum() / pl.col("orders").sum()
    told = rows.group_by("queue", "latency_ms").agg(wrong=wrong).sort("latency_ms")
    lines = []
    for queue, (colour, dash) in zip(rows["queue"].unique(maintain_order=True).to_list(), _STYLES, strict=False):
        some = told.filter(queue=queue)
        delays = [f"{delay:g} ms" for delay in some["latency_ms"]]
        lines.append(marked(queue, delays, 100 * some["wrong"].to_numpy(), colour, dash) | {"hovertemplate": "%{y:.2f} %"})
    figure = axes(lines, height=300)
    order = [f"{delay:g} ms" for delay in told["latency_ms"].unique().sort()]
    figure["layout"]["xaxis"] |= {"type": "category", "categoryorder": "array", "categoryarray": order, "title": {"text": "delay each way"}}
    figure["layout"]["yaxis"] |= {"rangemode": "tozero", "ticksuffix": " %"}
    return figure


def _hundredths(value: float | None) -> str:
    return plain(None) if value is None else f"{value:.2%}"
