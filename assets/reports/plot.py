"""What figures are made of: lines and axes as plain Plotly dictionaries, and the one way in which a long line is thinned.

A colour is written as the name of a CSS variable ("--buy"): the page's script puts in the theme's own,
so that one figure serves light, dark and paper. Arrays are little-endian base64, as plotly.js reads
them: the same numbers give the same bytes, in half the space of text.
"""

import base64
import datetime as dt
from typing import Any, Final

import numpy as np
import polars as pl
from tsdownsample import MinMaxDownsampler

Figure = dict[str, Any]

LINE_POINTS: Final = 6_000
"""Points of a line at most: over three for each pixel of a wide screen, so that zooming in still shows shape."""

DAYS_NAMED: Final = 6
"""Dates written under an axis: what fits side by side on a phone."""


def thin(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most LINE_POINTS points that look like the whole line: the lowest and highest of each stretch, the first and the last.

    Not LTTB, which looks as good but may lose the highest point, and with it the peak that a drawdown is measured from.
    """
    if len(y) <= LINE_POINTS:
        return x, y
    kept = MinMaxDownsampler().downsample(np.ascontiguousarray(x), np.ascontiguousarray(y), n_out=LINE_POINTS - 2)
    kept = np.union1d(kept.astype(np.int64), [0, len(y) - 1])
    return x[kept], y[kept]


def share_clock(figures: list[Figure], frames: list[pl.DataFrame]) -> None:
    """Give figures over time one range, from the first to the last ts_event of any frame, so that they stand below one another."""
    stamps = pl.concat([frame["ts_event"] for frame in frames])
    if not stamps.len():
        return
    first, last = float(stamps.to_numpy().min()) / 1e6, float(stamps.to_numpy().max()) / 1e6
    margin = (last - first) / 100
    for figure in figures:
        figure["layout"]["xaxis"]["range"] = [first - margin, last + margin]


def grey_out(figures: list[Figure], pauses: list[tuple[int, int]]) -> None:
    """Lay a grey band over each of these times, (begin, end) in UTC nanoseconds, on figures over time."""
    for figure in figures:
        figure["layout"]["shapes"] = [
            {"type": "rect", "xref": "x", "yref": "paper", "x0": begin / 1e6, "x1": end / 1e6, "y0": 0, "y1": 1, **_BAND}
            for begin, end in pauses
        ]


_BAND: Final[Figure] = {"fillcolor": "--rule", "opacity": 0.35, "line": {"width": 0}, "layer": "below"}


def name_days(figure: Figure, days: list[str]) -> None:
    """Write at most DAYS_NAMED of the dates under an axis of sessions or periods, so short that a phone has room for them.

    Args:
        figure: to be changed.
        days: ISO dates, one for each place on the axis; what is no date is written as it is.
    """
    named = days[:: max(1, -(-(len(days) - 1) // (DAYS_NAMED - 1)))]
    short = [f"{int(day[8:])} {dt.date.fromisoformat(day):%b}<br>{day[:4]}" if day[:1].isdigit() else day for day in named]
    figure["layout"]["xaxis"] |= {"type": "category", "tickmode": "array", "tickvals": named, "ticktext": short, "tickangle": 0}


def logarithmic(figure: Figure, x: np.ndarray) -> None:
    """Make the axis below a figure logarithmic, and write round numbers under it: 0.01, 0.1, 1, and 2 and 5 between where there is room."""
    known = x[np.isfinite(x) & (x > 0)]
    decades = np.log10(known.max() / known.min()) if len(known) else 0.0
    figure["layout"]["xaxis"] |= {"type": "log", "dtick": 1 if decades >= 1.5 else "D2", "tickformat": "~g", "tickangle": 0}


def milliseconds(ts: pl.Series) -> np.ndarray:
    """UTC nanoseconds as the milliseconds that a date axis counts in."""
    return ts.to_numpy() / 1e6


def packed(values: np.ndarray) -> dict[str, Any]:
    """An array of floats or small integers as plotly.js reads it."""
    values = np.ascontiguousarray(values, dtype={"i": "<i4"}.get(values.dtype.kind, "<f8"))
    told = {"dtype": values.dtype.str[1:], "bdata": base64.b64encode(values.tobytes()).decode()}
    return told | {"shape": ", ".join(map(str, values.shape))} if values.ndim > 1 else told


def stroke(
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
    """A line through points; `more` are further properties of the trace."""
    line = {"color": colour, "width": width, "dash": dash, "shape": shape}
    points = {"x": x if isinstance(x, list) else packed(x), "y": packed(y)}
    return {"type": "scatter", "mode": "lines", "name": name, **points, "line": line, "hovertemplate": "%{y:,.2f}", **more}


def marked(name: str, x: list[str], y: np.ndarray, colour: str, dash: str) -> Figure:
    """A line of few points, each shown."""
    return stroke(name, x, y, colour, width=2, dash=dash) | {"mode": "lines+markers", "marker": {"color": colour, "size": 7}}


def listed(data: list[Figure], rows: int) -> Figure:
    """A figure with a name on each of its rows, as tall as they need."""
    figure = axes(data, height=80 + 18 * rows, legend=False, hovermode="closest")
    figure["layout"]["yaxis"] |= {"type": "category", "showgrid": False, "dtick": 1, "tickfont": {"size": 11}}
    return figure


def axes(
    data: list[Figure],
    *,
    height: int,
    time: bool = False,
    hovermode: str = "x unified",
    legend: bool = True,
) -> Figure:
    """A whole figure: traces on the page's own axes, a clock below them if x is a time."""
    axis = {"gridcolor": "--grid", "zerolinecolor": "--rule", "linecolor": "--rule", "tickcolor": "--rule"}
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
            "margin": {"l": 64, "r": 32, "t": 28 if legend else 8, "b": 36},
            "xaxis": {**axis, "automargin": True, "showgrid": False, **({"type": "date", "hoverformat": "%H:%M:%S.%3f"} if time else {})},
            # Figures over one clock keep one left edge, however wide their numbers are.
            "yaxis": {**axis, "automargin": not time, "separatethousands": True},
        },
    }
