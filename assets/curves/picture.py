"""A model's curves as one small picture: an SVG without a dependency, light enough for an asset's metadata."""

import base64
from typing import Final

import numpy as np
import polars as pl

_ACROSS: Final = 4
_WIDTH: Final = 190
_HEIGHT: Final = 120
_TOP: Final = 16
"""Room of a panel's title, in pixels."""


def curves_picture(model: pl.DataFrame) -> str:
    """Markdown of one image: a panel an indicator, its buckets from small to large |value|, in ticks.

    The line is the fitted curve, the band two standard errors, the dots the bucket means before the joint
    fit; where dots and line part, other indicators explain the move. All panels have the same scale.
    """
    panels = model.partition_by("indicator", maintain_order=True)
    scale = 1.25 * max(float(model["value"].abs().max() or 0), 1e-9)  # type: ignore[arg-type]
    drawn = [_panel(panel, scale, (k % _ACROSS) * _WIDTH, (k // _ACROSS) * _HEIGHT) for k, panel in enumerate(panels)]
    width, height = _ACROSS * _WIDTH, -(-len(panels) // _ACROSS) * _HEIGHT
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="10">'
        f'<rect width="{width}" height="{height}" fill="#fff"/>{"".join(drawn)}</svg>'
    )
    caption = f"Ticks added, by |indicator|; from {-scale:.3f} to {scale:.3f}. Band: 2 standard errors; dots: bucket means."
    return f"{caption}\n\n![The curves](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def _panel(panel: pl.DataFrame, scale: float, left: int, top: int) -> str:
    middle, half = top + _TOP + (_HEIGHT - _TOP) / 2, (_HEIGHT - _TOP) / 2 - 3
    x = left + 5 + np.arange(panel.height) * (_WIDTH - 10) / (panel.height - 1)

    def y(values: pl.Series) -> np.ndarray:
        return middle - np.clip(values.to_numpy() / scale, -1, 1) * half

    def points(xs: np.ndarray, ys: np.ndarray) -> str:
        return " ".join(f"{a:.0f},{b:.1f}" for a, b in zip(xs, ys, strict=True))

    error = panel["error"].fill_null(0)
    band = points(np.append(x, x[::-1]), np.append(y(panel["value"] + 2 * error), y(panel["value"] - 2 * error)[::-1]))
    seen = panel["count"].to_numpy() > 0
    dots = "".join(f'<circle cx="{a:.0f}" cy="{b:.1f}" r="1.2"/>' for a, b in zip(x[seen], y(panel["mean"])[seen], strict=True))
    return (
        f'<text x="{left + 5}" y="{top + 12}" fill="#333">{panel["indicator"][0]}</text>'
        f'<path d="M{left + 5} {middle:.1f}H{left + _WIDTH - 5}" stroke="#bbb"/>'
        f'<polygon points="{band}" fill="#0072b2" fill-opacity=".2"/><g fill="#999">{dots}</g>'
        f'<polyline points="{points(x, y(panel["value"]))}" fill="none" stroke="#0072b2" stroke-width="1.5"/>'
    )
