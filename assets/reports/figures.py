"""Figures as plain Plotly dictionaries, and the one way in which a long line is thinned.

A colour is written as the name of a CSS variable ("--buy"): the page's script puts in the theme's own,
so that one figure serves light, dark and paper. Arrays are little-endian base64, as plotly.js reads
them: the same numbers give the same bytes, in half the space of text.
"""

import base64
from typing import Any, Final

import numpy as np
import polars as pl
from tsdownsample import MinMaxDownsampler

from assets.desk import PRICE_UNIT, Market
from assets.reports.statistics import random_trades
from assets.reports.summary import price_worth

Figure = dict[str, Any]

LINE_POINTS: Final = 6_000
"""Points of a line at most: over three for each pixel of a wide screen, so that zooming in still shows shape."""

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
    mid = mid.filter(pl.col("y").ne_missing(pl.col("y").shift()))
    x, y = thin(_ms(mid["ts_event"]), mid["y"].to_numpy())
    traces = [_line("mid", x, y, "--price", width=1, shape="hv", hovertemplate="%{y}<extra>mid</extra>")]
    for side, verb, colour, symbol in _SIDES:
        for liquidity, how, suffix in _LIQUIDITY:
            some = fills.filter((pl.col("side") == side) & (pl.col("liquidity") == liquidity))
            if some.height:
                traces.append(
                    {
                        "type": "scatter",
                        "mode": "markers",
                        "name": f"{verb}, {how}",
                        "x": _array(_ms(some["ts_event"])),
                        "y": _array(some["price"].to_numpy() / PRICE_UNIT),
                        "customdata": _array(some.select("quantity", "position").to_numpy().astype(np.int32)),
                        "marker": {
                            "color": colour,
                            "symbol": symbol + suffix,
                            "size": 7,
                            "line": {"color": colour if suffix else "--panel", "width": 1},
                        },
                        "hovertemplate": f"{verb} %{{customdata[0]}} at %{{y}}, {how}<br>position %{{customdata[1]}}<extra></extra>",
                    }
                )
    return _figure(traces, height=420, time=True, hovermode="closest")


def pnl(equity: pl.DataFrame, fills: pl.DataFrame, market: Market, unit: str) -> Figure | None:
    """The account through the session: after fees, before fees, and one contract held from the first mid on."""
    if not equity.height:
        return None
    paid = fills.select("ts_event", paid=pl.col("fee").cum_sum()).group_by("ts_event", maintain_order=True).last()
    told = equity.sort("ts_event", maintain_order=True).join_asof(paid, on="ts_event").with_columns(pl.col("paid").fill_null(0))
    x = _ms(told["ts_event"])
    net, gross = told["equity"].to_numpy() / PRICE_UNIT, (told["equity"] + told["paid"]).to_numpy() / PRICE_UNIT
    hold = (told["mid"] - told["mid"][0]).to_numpy() * price_worth(market)
    lines = [
        _line("one contract held", *thin(x, hold), "--muted", width=1, dash="dot", shape="hv"),
        _line("before fees", *thin(x, gross), "--third", width=1.25, dash="dash", shape="hv"),
        _line("net", *thin(x, net), "--ink", width=2, shape="hv"),
    ]
    return _figure(lines, height=320, time=True, y_title=unit)


def drawdown(x: np.ndarray | list[str], worth: np.ndarray, unit: str, *, shape: str = "linear", time: bool = False) -> Figure | None:
    """How far cumulative P&L stood below its highest point so far, zero at the start included."""
    if not len(worth):
        return None
    below = worth - np.maximum.accumulate(np.maximum(worth, 0.0))
    area = _line("below the peak", x, below, "--sell", width=1.25, shape=shape, fill="tozeroy", fillcolor="--sell-soft")
    figure = _figure([area], height=200, time=time, y_title=unit, legend=False)
    if not time:
        figure["layout"]["xaxis"] |= {"type": "category", "nticks": 10}
    return figure


def session_drawdown(equity: pl.DataFrame, unit: str) -> Figure | None:
    """`drawdown` of the account within one session."""
    worth = equity["equity"].to_numpy() / PRICE_UNIT
    # Thinned before the peak is taken: extremes are kept, so no peak is lost.
    return drawdown(*thin(_ms(equity["ts_event"]), worth), unit, shape="hv", time=True)


def position(equity: pl.DataFrame) -> Figure | None:
    """Contracts held, above zero long and below short."""
    if not equity.height:
        return None
    last = pl.int_range(pl.len()) == pl.len() - 1
    changed = equity.filter(pl.col("position").ne_missing(pl.col("position").shift()) | last)
    held = changed["position"].to_numpy()
    area = _line("contracts", _ms(changed["ts_event"]), held, "--buy", width=1, shape="hv", fill="tozeroy", fillcolor="--buy-soft")
    area["hovertemplate"] = "%{y}"
    figure = _figure([area], height=180, time=True, y_title="contracts", legend=False)
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
        traces.append(_line("95 % band", *around, "rgba(0,0,0,0)", width=0, fill="toself", fillcolor="--grid", hoverinfo="skip"))
    dots = {
        "type": "scatter",
        "mode": "markers",
        "name": "mean of the bucket",
        "x": _array(middle),
        "y": _array(told["mean"].to_numpy()),
        "customdata": told["count"].to_list(),
        "marker": {"color": "--buy-soft", "size": _array(4 + 24 * np.sqrt(share)), "line": {"color": "--buy", "width": 1}},
        "hovertemplate": "%{y:.3f} ticks<br>%{customdata:,} rows<extra></extra>",
    }
    fitted = _line("fitted curve", middle, value, "--ink", width=2, hovertemplate="%{y:.3f} ticks<extra>fitted</extra>")
    figure = _figure([*traces, dots, fitted], height=220, hovermode="closest", legend=False)
    figure["layout"]["xaxis"] |= {"type": "log", "nticks": 5, "exponentformat": "power"}
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
        lines.append(_marked(label, labels, worth, colour, dash))
    figure = _figure(lines, height=280, y_title=unit)
    figure["layout"]["xaxis"] |= {"type": "category", "title": {"text": "seconds after the fill"}}
    return figure


def bars(labels: list[str], values: np.ndarray, unit: str, *, height: int = 280) -> Figure | None:
    """Signed amounts side by side: up in one colour, down in the other."""
    if not len(values):
        return None
    bar = {
        "type": "bar",
        "name": unit,
        "x": labels,
        "y": _array(values),
        "marker": {"color": ["--buy" if value >= 0 else "--sell" for value in values]},
        "hovertemplate": "%{x}<br>%{y:,.2f} " + unit + "<extra></extra>",
    }
    figure = _figure([bar], height=height, y_title=unit, legend=False, hovermode="closest")
    figure["layout"]["xaxis"] |= {"type": "category", "nticks": 12}
    figure["layout"]["bargap"] = 0.25
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
        lines.append(_line(label, labels, worth, colour, width=width, dash=dash))
    figure = _figure(lines, height=340, y_title=unit)
    figure["layout"]["xaxis"] |= {"type": "category", "nticks": 10}
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
    bell = _line("directions tossed by a coin", x, density, "--muted", width=1.5, fill="tozeroy", fillcolor="--grid")
    came = _line("what came", np.array([net, net]), np.array([0.0, 1.0]), "--sell" if net < mean else "--buy", width=3)
    for line in (bell, came):
        line["hovertemplate"] = "%{x:,.2f}"
    figure = _figure([bell, came], height=260, hovermode="closest")
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
        lines.append(_marked(model, days, some["r2"].to_numpy(), colour, dash) | {"hovertemplate": "%{y:.4f}"})
    figure = _figure(lines, height=300, y_title="R² out of sample")
    figure["layout"]["xaxis"]["type"] = "category"
    return figure


def share_clock(figures: list[Figure], frames: list[pl.DataFrame]) -> None:
    """Give figures over time one range, from the first to the last ts_event of any frame, so that they stand exactly below one another."""
    stamps = pl.concat([frame["ts_event"] for frame in frames])
    if not stamps.len():
        return
    first, last = float(stamps.to_numpy().min()) / 1e6, float(stamps.to_numpy().max()) / 1e6
    margin = (last - first) / 100
    for figure in figures:
        figure["layout"]["xaxis"]["range"] = [first - margin, last + margin]


def thin(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most LINE_POINTS points that look like the whole line: the lowest and highest of each stretch, the first and the last.

    Not LTTB, which looks as good but may lose the highest point, and with it the peak that a drawdown is measured from.
    """
    if len(y) <= LINE_POINTS:
        return x, y
    kept = MinMaxDownsampler().downsample(np.ascontiguousarray(x), np.ascontiguousarray(y), n_out=LINE_POINTS - 2)
    kept = np.union1d(kept.astype(np.int64), [0, len(y) - 1])
    return x[kept], y[kept]


def _ms(ts: pl.Series) -> np.ndarray:
    return ts.to_numpy() / 1e6


def _array(values: np.ndarray) -> dict[str, Any]:
    values = np.ascontiguousarray(values, dtype={"i": "<i4"}.get(values.dtype.kind, "<f8"))
    told = {"dtype": values.dtype.str[1:], "bdata": base64.b64encode(values.tobytes()).decode()}
    return told | {"shape": ", ".join(map(str, values.shape))} if values.ndim > 1 else told


def _line(
    name: str,
    x: np.ndarray | list[str],
    y: np.ndarray,
    colour: str,
    *,
    width: float,
    dash: str = "solid",
    shape: str = "linear",
    **more: Any,
) -> Figure:
    line = {"color": colour, "width": width, "dash": dash, "shape": shape}
    points = {"x": x if isinstance(x, list) else _array(x), "y": _array(y)}
    return {"type": "scatter", "mode": "lines", "name": name, **points, "line": line, "hovertemplate": "%{y:,.2f}", **more}


def _marked(name: str, x: list[str], y: np.ndarray, colour: str, dash: str) -> Figure:
    """A line of few points, each shown."""
    return _line(name, x, y, colour, width=2, dash=dash) | {"mode": "lines+markers", "marker": {"color": colour, "size": 7}}


def _figure(
    data: list[Figure],
    *,
    height: int,
    time: bool = False,
    y_title: str = "",
    hovermode: str = "x unified",
    legend: bool = True,
) -> Figure:
    axis = {"gridcolor": "--grid", "zerolinecolor": "--rule", "linecolor": "--rule", "tickcolor": "--rule", "automargin": True}
    return {
        "data": data,
        "layout": {
            "height": height,
            "showlegend": legend,
            "hovermode": hovermode,
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": "system-ui, sans-serif", "size": 12, "color": "--ink"},
            "hoverlabel": {"bgcolor": "--panel", "bordercolor": "--rule", "font": {"color": "--ink"}},
            "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom"},
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": "--muted", "activecolor": "--ink", "orientation": "v"},
            "margin": {"l": 56, "r": 32, "t": 28 if legend else 8, "b": 36},
            "xaxis": {**axis, "showgrid": False, **({"type": "date", "hoverformat": "%H:%M:%S.%3f"} if time else {})},
            "yaxis": {**axis, "title": {"text": y_title, "standoff": 8}},
        },
    }
