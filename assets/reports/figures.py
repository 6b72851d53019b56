"""Every figure of the pages, from the frames it shows; None where there is nothing to show."""

from typing import Final

import numpy as np
import polars as pl

from assets.desk import PRICE_UNIT, Market
from assets.hours import Window
from assets.reports.page import money
from assets.reports.plot import Figure, axes, listed, logarithmic, marked, milliseconds, name_days, packed, stroke, thin
from assets.reports.summary import jumps, price_worth

_CROWD: Final = 400
"""Fills from which on markers are drawn smaller, so that they do not hide one another."""

_SIDES: Final = ((1, "bought", "--buy", "triangle-up"), (-1, "sold", "--sell", "triangle-down"))
_LIQUIDITY: Final = (("maker", "resting", ""), ("taker", "taken", "-open"))
_RIVALS: Final = ("--ink", "--buy", "--sell", "--third", "--fourth", "--muted")
_DASHES: Final = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


def price(quotes: pl.DataFrame, fills: pl.DataFrame) -> Figure | None:
    """Mid with every buy and sell on it; the line is thinned, a fill never is.

    Args:
        quotes: ts_event, bid_px, ask_px at each change of the top of the book.
        fills: `fills` of the session.
    """
    if not quotes.height and not fills.height:
        return None
    mid = quotes.select("ts_event", y=(pl.col("bid_px") + pl.col("ask_px")) / (2 * PRICE_UNIT))
    last = pl.int_range(pl.len()) == pl.len() - 1
    mid = mid.filter(pl.col("y").ne_missing(pl.col("y").shift()) | last)
    x, y = thin(milliseconds(mid["ts_event"]), mid["y"].to_numpy())
    size = 10 if fills.height < _CROWD else 7
    traces = [stroke("mid", x, y, "--price", width=1, shape="hv", hovertemplate="%{y}<extra>mid</extra>")]
    for side, verb, colour, symbol in _SIDES:
        for liquidity, how, suffix in _LIQUIDITY:
            some = fills.filter((pl.col("side") == side) & (pl.col("liquidity") == liquidity))
            if some.height:
                traces.append(
                    {
                        "type": "scatter",
                        "mode": "markers",
                        "name": f"{verb}, {how}",
                        "x": packed(milliseconds(some["ts_event"])),
                        "y": packed(some["price"].to_numpy() / PRICE_UNIT),
                        "customdata": packed(some.select("quantity", "position").to_numpy().astype(np.int32)),
                        "marker": {
                            "color": colour,
                            "symbol": symbol + suffix,
                            "size": size,
                            "line": {"color": colour if suffix else "--panel", "width": 1},
                        },
                        "hovertemplate": f"{verb} %{{customdata[0]}} at %{{y}}, {how}<br>position %{{customdata[1]}}<extra></extra>",
                    }
                )
    return axes(traces, height=420, time=True, hovermode="closest")


def pnl(equity: pl.DataFrame, fills: pl.DataFrame, market: Market, unit: str, window: Window | None = None) -> Figure | None:
    """The account through the session: after fees, before fees, and one contract held from the first mid on."""
    if not equity.height:
        return None
    paid = fills.select("ts_event", paid=pl.col("fee").cum_sum()).group_by("ts_event", maintain_order=True).last()
    told = equity.sort("ts_event", maintain_order=True).join_asof(paid, on="ts_event").with_columns(pl.col("paid").fill_null(0))
    x = milliseconds(told["ts_event"])
    net, gross = told["equity"].to_numpy() / PRICE_UNIT, (told["equity"] + told["paid"]).to_numpy() / PRICE_UNIT
    hold = (told["mid"] - told["mid"][0] - jumps(told, window)).to_numpy() * price_worth(market)
    lines = [
        stroke("one contract held", *thin(x, hold), "--muted", width=1, dash="dot", shape="hv"),
        stroke("before fees", *thin(x, gross), "--third", width=1.25, dash="dash", shape="hv"),
        stroke("net", *thin(x, net), "--ink", width=2, shape="hv"),
    ]
    return axes(lines, height=320, time=True)


def drawdown(x: np.ndarray | list[str], worth: np.ndarray, unit: str, *, shape: str = "linear", time: bool = False) -> Figure | None:
    """How far cumulative P&L stood below its highest point so far, zero at the start included."""
    if not len(worth):
        return None
    below = worth - np.maximum.accumulate(np.maximum(worth, 0.0))
    area = stroke("below the peak", x, below, "--sell", width=1.25, shape=shape, fill="tozeroy", fillcolor="--sell-soft")
    figure = axes([area], height=200, time=time, legend=False)
    if isinstance(x, list):
        name_days(figure, x)
    return figure


def session_drawdown(equity: pl.DataFrame, unit: str) -> Figure | None:
    """`drawdown` of the account within one session."""
    worth = equity["equity"].to_numpy() / PRICE_UNIT
    # Thinned before the peak is taken: extremes are kept, so no peak is lost.
    return drawdown(*thin(milliseconds(equity["ts_event"]), worth), unit, shape="hv", time=True)


def position(equity: pl.DataFrame) -> Figure | None:
    """Contracts held, above zero long and below short."""
    if not equity.height:
        return None
    last = pl.int_range(pl.len()) == pl.len() - 1
    changed = equity.filter(pl.col("position").ne_missing(pl.col("position").shift()) | last)
    held = changed["position"].to_numpy()
    area = stroke(
        "contracts", milliseconds(changed["ts_event"]), held, "--buy", width=1, shape="hv", fill="tozeroy", fillcolor="--buy-soft"
    )
    area["hovertemplate"] = "%{y}"
    figure = axes([area], height=180, time=True, legend=False)
    figure["layout"]["yaxis"]["dtick"] = max(1, int(np.abs(held).max()) // 2)
    return figure


def curve(buckets: pl.DataFrame) -> Figure:
    """One indicator: the buckets' mean moves as dots, the fitted curve as a line with its 95 % band.

    Args:
        buckets: rows of `curve_model` of one indicator.
    """
    told = buckets.sort("bucket").filter(pl.col("count") > 0)
    lower, upper, value = (told[name].to_numpy() for name in ("lower", "upper", "value"))
    # The last bucket may have no end: it is drawn as wide as a factor of two.
    middle = np.sqrt(lower * np.where(np.isfinite(upper), upper, lower * 2))
    share = told["count"].to_numpy() / max(1, told["count"].sum())
    traces = []
    if told["error"].null_count() == 0:
        reach = 1.96 * told["error"].to_numpy()
        around = (np.concatenate([middle, middle[::-1]]), np.concatenate([value + reach, (value - reach)[::-1]]))
        traces.append(stroke("95 % band", *around, "rgba(0,0,0,0)", width=0, fill="toself", fillcolor="--grid", hoverinfo="skip"))
    dots = {
        "type": "scatter",
        "mode": "markers",
        "name": "mean of the bucket",
        "x": packed(middle),
        "y": packed(told["mean"].to_numpy()),
        "customdata": told["count"].to_list(),
        "marker": {"color": "--buy-soft", "size": packed(4 + 24 * np.sqrt(share)), "line": {"color": "--buy", "width": 1}},
        "hovertemplate": "%{y:.3f} ticks<br>%{customdata:,} rows<extra></extra>",
    }
    fitted = stroke("fitted curve", middle, value, "--ink", width=2, hovertemplate="%{y:.3f} ticks<extra>fitted</extra>")
    figure = axes([*traces, dots, fitted], height=220, hovermode="closest", legend=False)
    logarithmic(figure, middle)
    figure["layout"]["margin"] = {"l": 44, "r": 8, "t": 8, "b": 30}
    return figure


def markouts(rows: pl.DataFrame, unit: str) -> Figure | None:
    """What a contract was worth after the fill.

    Args:
        rows: `seconds`, and money a contract in `buy`, `sell` and `all` (see `origin.markouts`).
    """
    if not rows.height:
        return None
    labels = [str(seconds) for seconds in rows["seconds"]]
    lines = []
    for name, label, colour, dash in (
        ("all", "all fills", "--ink", "solid"),
        ("buy", "buys", "--buy", "dash"),
        ("sell", "sells", "--sell", "dot"),
    ):
        worth = rows[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
        lines.append(marked(label, labels, worth, colour, dash))
    figure = axes(lines, height=280)
    figure["layout"]["xaxis"] |= {"type": "category", "title": {"text": "seconds after the fill"}}
    return figure


def waterfall(parts: list[tuple[str, float]], unit: str, *, total: str = "net") -> Figure:
    """How amounts add up, one after another, to their sum: a line each, as its name and its amount need more room than a phone's width."""
    amounts = [amount for _, amount in parts]
    named = [*parts, (total, sum(amounts))]
    steps = {
        "type": "waterfall",
        "orientation": "h",
        "name": unit,
        "y": [f"{label}<br><b>{money(amount)}</b>" for label, amount in named],
        "x": packed(np.array([*amounts, 0.0])),
        "measure": [*["relative"] * len(parts), "total"],
        "increasing": {"marker": {"color": "--buy"}},
        "decreasing": {"marker": {"color": "--sell"}},
        "totals": {"marker": {"color": "--ink"}},
        "connector": {"line": {"color": "--rule", "width": 1}},
        "textposition": "none",
        "hovertemplate": "%{y} " + unit + "<extra></extra>",
    }
    figure = axes([steps], height=60 + 44 * len(named), legend=False, hovermode="closest")
    figure["layout"]["yaxis"] |= {"type": "category", "autorange": "reversed", "showgrid": False}
    figure["layout"]["xaxis"] |= {"showgrid": True, "zeroline": True, "title": {"text": unit}}
    return figure


def bars(labels: list[str], values: np.ndarray, unit: str) -> Figure | None:
    """Signed amounts side by side: up in one colour, down in the other."""
    if not len(values):
        return None
    bar = {
        "type": "bar",
        "name": unit,
        "x": labels,
        "y": packed(values),
        "marker": {"color": ["--buy" if value >= 0 else "--sell" for value in values]},
        "hovertemplate": "%{x}<br>%{y:,.2f} " + unit + "<extra></extra>",
    }
    figure = axes([bar], height=280, legend=False, hovermode="closest")
    name_days(figure, labels)
    figure["layout"]["bargap"] = 0.25
    return figure


def weights(ranked: pl.DataFrame) -> Figure:
    """What each indicator adds, the most on top.

    Args:
        ranked: indicator and weight, the heaviest first.
    """
    bar = {
        "type": "bar",
        "orientation": "h",
        "name": "ticks",
        "x": packed(ranked["weight"].to_numpy()[::-1]),
        "y": ranked["indicator"].to_list()[::-1],
        "marker": {"color": "--buy"},
        "hovertemplate": "%{y}<br>%{x:.4f} ticks<extra></extra>",
    }
    figure = listed([bar], ranked.height)
    figure["layout"]["xaxis"] |= {"showgrid": True, "title": {"text": "ticks"}}
    return figure
