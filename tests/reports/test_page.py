"""The pages: they ask nothing of any host, say where the prices came from, stand without data, and come out the same twice."""

import base64
import gzip
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from assets.reports import figures
from assets.reports.page import ReportError, money, number, percent, plain, write
from assets.reports.plot import LINE_POINTS
from assets.reports.session import session_page, write_try_page

FILLS = [(60.0 * n, (-1) ** n, 100.0 + 0.25 * (n % 3), 1, "maker" if n % 4 else "taker") for n in range(1, 21)]
MIDS = [(0, 100.0), (300, 100.5), (700, 100.25), (1500, 100.75)]


class Parsed(HTMLParser):
    """What a browser would load, which ids there are, and the text of each script."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.scripts: dict[str, str] = {}
        self._script: str | None = None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        told = dict(attrs)
        self.ids += [told["id"]] if "id" in told else []
        self._script = told.get("id", "own") if tag == "script" else None
        if tag == "a":
            self.links.append(told["href"])
        self.loaded += [value for name, value in attrs if name in {"src", "srcset", "data", "poster"} or (name == "href" and tag != "a")]

    def handle_endtag(self, tag):
        self._script = None

    def handle_data(self, data):
        if self._script:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data

    @property
    def figures(self):
        return {figure["id"]: figure for figure in json.loads(self.scripts["figures"])}


@pytest.fixture
def page(tables):
    session = tables(FILLS, MIDS)
    return session_page(session, session.summarise(), warehouse=True)


def numbers(array) -> np.ndarray:
    return np.frombuffer(base64.b64decode(array["bdata"]), array["dtype"])


def test_the_page_loads_nothing_from_anywhere(page):
    parsed = Parsed(page)
    assert [address for address in parsed.loaded if address != "data:,"] == []
    style = re.search(r"<style>(.*?)</style>", page, re.S).group(1)
    assert "url(" not in style
    assert "@import" not in style
    assert not re.search(r"\b(fetch|XMLHttpRequest|import)\b", parsed.scripts["own"])


def test_plotly_is_on_the_page_once_and_whole(page):
    packed = Parsed(page).scripts["plotly"]
    assert page.count(packed) == 1
    assert gzip.decompress(base64.b64decode(packed)).startswith(b"/**\n* plotly.js")


def test_the_page_says_where_its_prices_came_from(page):
    assert "simulated exchange" in page


def test_the_same_session_gives_the_same_bytes(tables, page):
    session = tables(FILLS, MIDS)
    assert session_page(session, session.summarise(), warehouse=True) == page


def test_every_figure_has_its_place_a_caption_and_its_query(page):
    parsed = Parsed(page)
    assert list(parsed.figures) == [name for name in parsed.ids if name.startswith("plot-")]
    assert len(set(parsed.ids)) == len(parsed.ids)
    assert {"plot-price", "plot-pnl", "plot-drawdown", "plot-position", "plot-markouts", "plot-curve-0"} <= set(parsed.figures)
    drawn = [figure for figure in re.findall("<figure.*?</figure>", page, re.S) if 'id="plot-' in figure]
    assert len(drawn) == len(parsed.figures)
    for figure in drawn:
        assert re.search(r"<p>\w[^<]+</p>", figure), figure[:200]
        assert "<summary>SQL</summary><pre>" in figure, figure[:200]


def test_plotly_knows_every_property_of_every_figure(page):
    import plotly.graph_objects as go

    for figure in Parsed(page).figures.values():
        painted = json.loads(re.sub(r'"--[a-z-]+"', '"#123456"', json.dumps(figure)))
        go.Figure(data=painted["data"], layout=painted["layout"])


def test_every_colour_is_defined_for_light_and_dark(page):
    used = set(re.findall(r'"(--[a-z-]+)"', json.dumps(list(Parsed(page).figures.values()))))
    light, dark = re.findall(r":root[^{]*\{([^}]*)\}", page)[:2]
    common = {"--third", "--fourth"}
    for theme in (light, dark):
        assert used | common <= set(re.findall(r"(--[a-z-]+):", theme))


def test_a_session_of_which_nothing_came_still_has_a_page(nothing):
    page = session_page(nothing, nothing.summarise(), warehouse=True)
    assert "No order was filled" in page
    assert Parsed(page).figures == {}


def test_a_session_without_fills_still_shows_its_price(tables):
    session = tables([], MIDS)
    parsed = Parsed(session_page(session, session.summarise()))
    assert "plot-price" in parsed.figures
    assert "plot-markouts" not in parsed.figures


def test_what_a_desk_calls_its_market_cannot_become_markup(tables):
    session = replace(tables(FILLS, MIDS), name="<script>alert(1)</script>", provenance="</script><b>")
    page = session_page(session, session.summarise(), warehouse=True)
    assert "<script>alert" not in page
    assert "</script><b>" not in page


def test_every_fill_is_drawn_and_the_price_is_thinned_to_its_extremes():
    steps = np.random.default_rng(5).choice([-1, 1], 200_000).cumsum()
    bid = 5_000_000_000_000 + steps * 250_000_000
    quotes = pl.DataFrame({"ts_event": np.arange(200_000) * 10_000_000, "bid_px": bid, "ask_px": bid + 250_000_000})
    fills = pl.DataFrame(
        {
            "ts_event": np.arange(9_000) * 200_000_000,
            "side": [1, -1] * 4_500,
            "price": bid[:9_000],
            "quantity": 1,
            "position": 0,
            "liquidity": "maker",
        }
    )
    mid, *markers = figures.price(quotes, fills)["data"]
    drawn = numbers(mid["y"])
    assert len(drawn) <= LINE_POINTS
    assert (drawn.min(), drawn.max()) == pytest.approx(((bid.min() + 125_000_000) / 1e9, (bid.max() + 125_000_000) / 1e9))
    assert sum(len(numbers(trace["y"])) for trace in markers) == 9_000


def test_figures_over_time_share_one_clock(page):
    ranges = {
        tuple(figure["layout"]["xaxis"]["range"])
        for figure in Parsed(page).figures.values()
        if figure["layout"]["xaxis"].get("type") == "date"
    }
    assert len(ranges) == 1


def test_try_writes_the_page_and_tells_the_figures_in_ticks(tables, tmp_path):
    session = replace(tables(FILLS, MIDS), of="ticks", provenance="recorded market data")
    report = write_try_page(tmp_path / "deep" / "try.html", session)
    text = (tmp_path / "deep" / "try.html").read_text()
    assert report["unit"][0] == "ticks"
    assert "ticks after" in text
    assert "simulated" not in text
    assert "<summary>SQL</summary>" not in text


def test_a_page_that_cannot_be_written_says_which(tables, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ReportError, match=r"report .*file/try\.html could not be written"):
        write(tmp_path / "file" / "try.html", "page")


def test_a_failed_write_leaves_the_old_page_whole(tmp_path, monkeypatch):
    page = tmp_path / "index.html"
    write(page, "old")

    def full(self, *args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ReportError, match="No space left"):
        write(page, "new")
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]
    assert page.read_text() == "old"


def test_numbers_are_told_as_people_write_them():
    assert [money(value) for value in (1234.5, -0.5, 0.0, -0.001, 250_000.4, None)] == [
        "+1,234.50",
        "−0.50",
        "0.00",
        "0.00",
        "+250,000",
        "–",
    ]
    assert [number(2)(value) for value in (-0.001, -1234.5, None)] == ["0.00", "−1,234.50", "–"]
    assert (percent(-0.0003), percent(-0.0006)) == ("0.0%", "−0.1%")
    assert (percent(0.256), percent(None), plain("<b>"), plain(None)) == ("25.6%", "–", "&lt;b&gt;", "–")
