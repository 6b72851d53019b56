"""The picture of a model: the curves that move the prediction most, in well-formed SVG."""

import base64
import datetime as dt
from xml.etree import ElementTree

import polars as pl
import pytest

from assets.curves.model import fit
from assets.curves.picture import curves_picture, reach

DAY = dt.date(2026, 9, 18)


@pytest.fixture(scope="module")
def model(planted) -> pl.DataFrame:
    made = planted(20_000, 1, size=14, noise=1.0)
    silent = made._replace(features=made.features.with_columns(x13=pl.lit(0.0, pl.Float32)))
    return fit(silent.sessions(4), silent.indicators, horizon_ns=silent.horizon_ns, first_session=DAY, last_session=DAY)


def drawn(markdown: str) -> ElementTree.Element:
    return ElementTree.fromstring(base64.b64decode(markdown.partition("base64,")[2].rstrip(")")))


def titles(svg: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in svg.findall("{*}text")[::2]]


def test_the_indicators_that_were_planted_reach_furthest(model):
    assert set(reach(model.filter(pl.col("count") > 0))["indicator"].head(4)) == {"x0", "x1", "x2", "x3"}


def test_the_strongest_curves_are_drawn_and_a_silent_one_is_not(model):
    markdown = curves_picture(model)
    shown = titles(drawn(markdown))
    assert len(shown) == 12
    assert set(shown[:4]) == {"x0", "x1", "x2", "x3"}
    assert "x13" not in shown
    assert len(markdown) < 60_000


def test_a_model_without_errors_is_drawn_too(model):
    one = model.filter(indicator="x0").with_columns(error=pl.lit(None, pl.Float64))
    assert titles(drawn(curves_picture(one))) == ["x0"]
