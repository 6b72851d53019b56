"""Figures over sessions and periods, from the frames they show; None where there is nothing to show."""

import numpy as np
import polars as pl

from assets.reports.figures import drawdown
from assets.reports.plot import Figure, axes, listed, marked, name_days, packed, stroke
from assets.reports.statistics import returns, t_statistic


def drift(wide: pl.DataFrame) -> Figure:
    """Weight of each indicator in each period's model, as shades.

    Args:
        wide: indicator, then a column of weights for each period, the indicator to be drawn on top first.
    """
    periods = wide.columns[1:]
    shades = {
        "type": "heatmap",
        "name": "ticks",
        "x": periods,
        "y": wide["indicator"].to_list()[::-1],
        "z": packed(wide.select(periods).to_numpy()[::-1].astype(np.float64)),
        "colorscale": [[0, "--panel"], [1, "--buy"]],
        "zmin": 0,
        "xgap": 1,
        "ygap": 1,
        "showscale": False,
        "hovertemplate": "%{y}, %{x}<br>%{z:.4f} ticks<extra></extra>",
    }
    figure = listed([shades], wide.height)
    name_days(figure, periods)
    return figure


def cumulative(reports: pl.DataFrame, unit: str) -> Figure | None:
    """Return of net and gross P&L and of one contract held, session by session from zero; the pointer tells the money as well."""
    if not reports.height:
        return None
    labels = ["start", *reports["session"].dt.strftime("%Y-%m-%d").to_list()]
    shares = returns(reports)
    lines = []
    for share, column, label, colour, dash, width in (
        ("held", "hold_pnl", "one contract held", "--muted", "dot", 1.0),
        ("gross", "gross_pnl", "before fees", "--third", "dash", 1.25),
        ("net", "net_pnl", "net", "--ink", "solid", 2.0),
    ):
        percent = np.concatenate([[0.0], 100 * shares[share].fill_null(np.nan).to_numpy()])
        money = np.concatenate([[0.0], reports[column].cum_sum().to_numpy()])
        line = stroke(label, labels, percent, colour, width=width, dash=dash)
        lines.append(line | {"customdata": packed(money), "hovertemplate": f"%{{y:.2f}} %, %{{customdata:+,.2f}} {unit}"})
    figure = axes(lines, height=340)
    name_days(figure, labels)
    figure["layout"]["yaxis"]["ticksuffix"] = " %"
    return figure


def desk_drawdown(reports: pl.DataFrame, unit: str) -> Figure | None:
    """`drawdown` of net P&L session by session."""
    if not reports.height:
        return None
    labels = ["start", *reports["session"].dt.strftime("%Y-%m-%d").to_list()]
    return drawdown(labels, np.concatenate([[0.0], reports["net_pnl"].cum_sum().to_numpy()]), unit)


def luck(reports: pl.DataFrame, unit: str) -> Figure | None:
    """The net P&L that chance gives where the true mean of a session is zero, as a bell, and the one that came, as a line.

    The bell is Student's t with sessions - 1 degrees of freedom, as wide as the standard error of the sum: the picture of `chance`.
    """
    pnl = reports["net_pnl"].to_numpy()
    t = t_statistic(pnl)
    if not t:
        return None
    net, freedom = float(pnl.sum()), len(pnl) - 1
    reach = max(4.0, abs(t) * 1.1)
    z = np.linspace(-reach, reach, 241)
    density = (1 + z**2 / freedom) ** (-(freedom + 1) / 2)
    bell = stroke("chance alone", z * net / t, density, "--muted", width=1.5, fill="tozeroy", fillcolor="--grid")
    came = stroke("what came", np.array([net, net]), np.array([0.0, 1.0]), "--sell" if net < 0 else "--buy", width=3)
    for line in (bell, came):
        line["hovertemplate"] = "%{x:,.2f}"
    figure = axes([bell, came], height=260, hovermode="closest")
    figure["layout"]["yaxis"] |= {"visible": False}
    figure["layout"]["xaxis"]["title"] = {"text": f"net P&L, {unit}"}
    return figure


def carried_over(traded: pl.DataFrame) -> Figure | None:
    """R2 of the traded model by period: in sample, held out, and out of sample with its interval.

    Args:
        traded: rows of `model_scores` of the traded models, each with its `period` (date).
    """
    if not traded.height:
        return None
    days = traded["period"].dt.strftime("%Y-%m-%d").to_list()
    lines = []
    for column, name, colour, dash in (
        ("r2_train", "in sample", "--buy", "dash"),
        ("r2_held_out", "held out", "--third", "dot"),
        ("r2", "out of sample", "--ink", "solid"),
    ):
        values = traded[column].cast(pl.Float64).fill_null(np.nan).to_numpy()
        lines.append(marked(name, days, values, colour, dash) | {"hovertemplate": "%{y:.4f}"})
    lines[-1]["error_y"] = _reach(traded["r2"], traded["r2_low"], traded["r2_high"])
    figure = axes(lines, height=280)
    name_days(figure, days)
    figure["layout"]["yaxis"] |= {"rangemode": "tozero"}
    return figure


def held(reports: pl.DataFrame) -> Figure | None:
    """Contracts held, session by session: mean over time as bars, the most at once as marks."""
    if not reports.height:
        return None
    days = reports["session"].dt.strftime("%Y-%m-%d").to_list()
    bar = {
        "type": "bar",
        "name": "mean over time",
        "x": days,
        "y": packed(reports["mean_position"].to_numpy()),
        "marker": {"color": "--buy"},
        "hovertemplate": "%{y:.2f}<extra>mean</extra>",
    }
    most = {
        "type": "scatter",
        "mode": "markers",
        "name": "most at once",
        "x": days,
        "y": packed(reports["max_position"].to_numpy().astype(np.float64)),
        "marker": {"color": "--ink", "symbol": "line-ew-open", "size": 16, "line": {"width": 2}},
        "hovertemplate": "%{y}<extra>most</extra>",
    }
    figure = axes([bar, most], height=220)
    name_days(figure, days)
    figure["layout"]["yaxis"] |= {"rangemode": "tozero"}
    figure["layout"]["bargap"] = 0.25
    return figure


def intervals(rows: pl.DataFrame, unit: str, *, digits: int = 2) -> Figure | None:
    """A dot and its 95 % interval a row, the first on top.

    Args:
        rows: label, mean, low, high (an end that is null is not drawn), the best first.
        unit: of the numbers, below the axis.
        digits: decimals told of a dot.
    """
    if not rows.height:
        return None
    told = rows.reverse()
    dots = {
        "type": "scatter",
        "mode": "markers",
        "name": unit,
        "x": packed(told["mean"].to_numpy()),
        "y": told["label"].to_list(),
        "error_x": _reach(told["mean"], told["low"], told["high"]),
        "marker": {"color": "--ink", "size": 8},
        "hovertemplate": f"%{{y}}<br>%{{x:,.{digits}f}} {unit}<extra></extra>",
    }
    figure = listed([dots], told.height)
    figure["layout"]["xaxis"] |= {"showgrid": True, "zeroline": True, "title": {"text": unit}}
    return figure


def against(rows: pl.DataFrame, unit: str, axis: str) -> Figure | None:
    """A line through means with their 95 % intervals.

    Args:
        rows: label (named below the axis, in order), mean, low, high.
        unit: of the numbers.
        axis: what the labels are.
    """
    if not rows.height:
        return None
    line = marked(unit, rows["label"].to_list(), rows["mean"].to_numpy(), "--ink", "solid")
    line |= {"error_y": _reach(rows["mean"], rows["low"], rows["high"]), "hovertemplate": "%{x}: %{y:,.2f}<extra></extra>"}
    figure = axes([line], height=280, legend=False)
    figure["layout"]["xaxis"] |= {"type": "category", "title": {"text": axis}}
    return figure


def _reach(middle: pl.Series, low: pl.Series, high: pl.Series) -> Figure:
    """Error bars from low to high around a point, none where an end is not known."""
    up, down = ((end - middle).abs().fill_null(0.0).to_numpy() for end in (high, low))
    return {
        "type": "data",
        "symmetric": False,
        "array": packed(up),
        "arrayminus": packed(down),
        "color": "--muted",
        "thickness": 1.5,
    }
