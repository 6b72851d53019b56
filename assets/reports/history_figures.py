"""Figures over sessions and periods, from the frames they show; None where there is nothing to show."""

from typing import Final

import numpy as np
import polars as pl

from assets.reports.figures import drawdown
from assets.reports.plot import Figure, axes, listed, marked, name_days, packed, stroke
from assets.reports.statistics import random_trades

_RIVALS: Final = ("--ink", "--buy", "--sell", "--third", "--fourth", "--muted")
_DASHES: Final = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


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
    """Net and gross P&L and one contract held, added up session by session from zero."""
    if not reports.height:
        return None
    labels = ["start", *reports["session"].dt.strftime("%Y-%m-%d").to_list()]
    lines = []
    for column, label, colour, dash, width in (
        ("hold_pnl", "one contract held", "--muted", "dot", 1.0),
        ("gross_pnl", "before fees", "--third", "dash", 1.25),
        ("net_pnl", "net", "--ink", "solid", 2.0),
    ):
        worth = np.concatenate([[0.0], reports[column].cum_sum().to_numpy()])
        lines.append(stroke(label, labels, worth, colour, width=width, dash=dash))
    figure = axes(lines, height=340)
    name_days(figure, labels)
    return figure


def desk_drawdown(reports: pl.DataFrame, unit: str) -> Figure | None:
    """`drawdown` of net P&L session by session."""
    if not reports.height:
        return None
    labels = ["start", *reports["session"].dt.strftime("%Y-%m-%d").to_list()]
    return drawdown(labels, np.concatenate([[0.0], reports["net_pnl"].cum_sum().to_numpy()]), unit)


def luck(reports: pl.DataFrame, unit: str) -> Figure | None:
    """The net P&L that coin-tossed directions would have given, as a bell, and the one that came, as a line."""
    mean, deviation = random_trades(reports)
    if not deviation:
        return None
    net = float(reports["net_pnl"].sum())
    reach = max(4 * deviation, abs(net - mean) * 1.1)
    x = np.linspace(mean - reach, mean + reach, 241)
    density = np.exp(-0.5 * ((x - mean) / deviation) ** 2)
    bell = stroke("directions tossed by a coin", x, density, "--muted", width=1.5, fill="tozeroy", fillcolor="--grid")
    came = stroke("what came", np.array([net, net]), np.array([0.0, 1.0]), "--sell" if net < mean else "--buy", width=3)
    for line in (bell, came):
        line["hovertemplate"] = "%{x:,.2f}"
    figure = axes([bell, came], height=260, hovermode="closest")
    figure["layout"]["yaxis"] |= {"visible": False}
    figure["layout"]["xaxis"]["title"] = {"text": f"net P&L, {unit}"}
    return figure


def rivals(scores: pl.DataFrame) -> Figure | None:
    """Out-of-sample R2 of each model, period by period.

    Args:
        scores: rows of `model_scores`, each with its `period` (date).
    """
    told = scores.drop_nulls("r2").sort("period", "model")
    if not told.height:
        return None
    lines = []
    for place, (model,) in enumerate(told.select("model").unique(maintain_order=True).rows()):
        some = told.filter(pl.col("model") == model)
        colour, dash = _RIVALS[place % len(_RIVALS)], _DASHES[place % len(_DASHES)]
        days = some["period"].dt.strftime("%Y-%m-%d").to_list()
        lines.append(marked(model, days, some["r2"].to_numpy(), colour, dash) | {"hovertemplate": "%{y:.4f}"})
    figure = axes(lines, height=300)
    name_days(figure, told["period"].unique().sort().dt.strftime("%Y-%m-%d").to_list())
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


def intervals(rows: pl.DataFrame, unit: str) -> Figure | None:
    """A dot and its 95 % interval a row, the first on top.

    Args:
        rows: variant, mean, low, high (money), the best first.
        unit: of the money.
    """
    if not rows.height:
        return None
    told = rows.reverse()
    mean, low, high = (told[name].fill_null(told["mean"]).to_numpy() for name in ("mean", "low", "high"))
    dots = {
        "type": "scatter",
        "mode": "markers",
        "name": unit,
        "x": packed(mean),
        "y": told["variant"].str.replace_all("_", " ").to_list(),
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": packed(high - mean),
            "arrayminus": packed(mean - low),
            "color": "--muted",
            "thickness": 1.5,
        },
        "marker": {"color": "--ink", "size": 8},
        "hovertemplate": "%{y}<br>%{x:,.2f} " + unit + "<extra></extra>",
    }
    figure = listed([dots], told.height)
    figure["layout"]["xaxis"] |= {"showgrid": True, "zeroline": True, "title": {"text": f"{unit} a session"}}
    return figure
