"""A model's strongest curves as one small picture: an SVG without a dependency, light enough for an asset's metadata."""

import base64
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

_PANELS: Final = 12
"""Curves shown: the rest of a model moves the prediction by less than the thickness of a line."""

_ACROSS: Final = 4
_WIDTH: Final = 210
_HEIGHT: Final = 120
_TOP: Final = 18
"""Room of a panel's title, in pixels."""

Floats = npt.NDArray[np.float64]


def reach(model: pl.DataFrame) -> pl.DataFrame:
    """For each indicator how far its curve moves the prediction: root mean square over the training rows that it has an opinion on.

    Args:
        model: rows of `curve_model`.

    Returns:
        Columns indicator and reach (ticks), the strongest first.
    """
    square = (pl.col("value").pow(2) * pl.col("count")).sum() / pl.col("count").sum()
    return model.group_by("indicator", maintain_order=True).agg(reach=square.sqrt()).sort("reach", descending=True, maintain_order=True)


def curves_picture(model: pl.DataFrame) -> str:
    """Markdown of one image: a panel for each of the strongest indicators, its buckets from small to large |value|.

    The line is the fitted curve in ticks, the band two standard errors, the dots the bucket means before the joint fit; where dots and
    line part, other indicators explain the move. Buckets that no row fell into are left out.
    """
    seen = model.filter(pl.col("count") > 0)
    names = reach(seen)["indicator"].head(_PANELS).to_list()
    panels = [seen.filter(indicator=name) for name in names]
    drawn = [_panel(panel, (k % _ACROSS) * _WIDTH, (k // _ACROSS) * _HEIGHT) for k, panel in enumerate(panels)]
    width, height = _ACROSS * _WIDTH, -(-len(names) // _ACROSS) * _HEIGHT
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="11">'
        f'<rect width="{width}" height="{height}" fill="#fff"/>{"".join(drawn)}</svg>'
    )
    caption = "Ticks that |indicator| adds to the prediction, small to large. Band: two standard errors. Dots: bucket means, alone."
    return f"{caption}\n\n![The curves](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def _panel(panel: pl.DataFrame, left: int, top: int) -> str:
    value, mean = panel["value"].to_numpy(), panel["mean"].to_numpy()
    error = 2 * panel["error"].fill_null(0).to_numpy()
    scale = 1.5 * float(np.max(np.abs(value), initial=1e-6))
    middle, half = top + _TOP + (_HEIGHT - _TOP) / 2, (_HEIGHT - _TOP) / 2 - 4
    bucket = panel["bucket"].to_numpy().astype(float)
    x = left + 6 + (bucket - bucket[0]) / max(np.ptp(bucket), 1) * (_WIDTH - 12)

    def y(ticks: Floats) -> Floats:
        return middle - np.clip(ticks / scale, -1, 1) * half

    band = _points(np.append(x, x[::-1]), np.append(y(value + error), y(value - error)[::-1]))
    dots = "".join(f'<circle cx="{a:.0f}" cy="{b:.0f}" r="1.3"/>' for a, b in zip(x, y(mean), strict=True))
    return (
        f'<text x="{left + 6}" y="{top + 13}" fill="#333">{panel["indicator"][0]}</text>'
        f'<text x="{left + _WIDTH - 6}" y="{top + 13}" fill="#777" text-anchor="end">±{scale:.2g}</text>'
        f'<path d="M{left + 6} {middle:.0f}h{_WIDTH - 12}" stroke="#bbb"/>'
        f'<polygon points="{band}" fill="#0072b2" fill-opacity=".2"/><g fill="#999">{dots}</g>'
        f'<polyline points="{_points(x, y(value))}" fill="none" stroke="#0072b2" stroke-width="1.5"/>'
    )


def _points(x: Floats, y: Floats) -> str:
    return " ".join(f"{a:.0f},{b:.1f}" for a, b in zip(x, y, strict=True))
