"""The pages in a real Chromium: they draw, they are silent, they ask for nothing, they obey the keyboard and fit a phone.

`python tests/reports/test_browser.py PAGE.html PICTURE.png [WIDTH HEIGHT [light|dark]]` takes a picture of a page, as in the README.
"""

import asyncio
import base64
import contextlib
import datetime as dt
import itertools
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --remote-debugging-port=0"
)
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FILLS = [(60.0 * n, (-1) ** n, 100.0 + 0.25 * (n % 3), 1, "maker" if n % 4 else "taker") for n in range(1, 21)]
MIDS = [(0, 100.0), (300, 100.5), (700, 100.25), (1500, 100.75)]


class Tab:
    """One page, driven over the DevTools protocol; what it said and what it asked for is kept."""

    def __init__(self, socket: Any) -> None:
        self._socket, self._numbers = socket, itertools.count(1)
        self.said: list[str] = []
        self.asked: list[str] = []

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while True:
            message = await self._socket.receive_json(timeout=30)
            if message.get("method") == "Network.requestWillBeSent":
                self.asked.append(message["params"]["request"]["url"])
            if message.get("method") in {"Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"}:
                self.said.append(str(message["params"]))
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    async def run(self, script: str) -> Any:
        told = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def open(self, page: Path, width: int, height: int, scheme: str = "light") -> None:
        for domain in ("Page", "Network", "Runtime", "Log"):
            await self.call(f"{domain}.enable")
        await self.show(width, height, scheme)
        await self.call("Page.navigate", url=page.resolve().as_uri())
        for _ in range(200):
            if await self.run("document.documentElement?.dataset.drawn === 'yes'"):
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{page} was not drawn; it said {self.said}")

    async def show(self, width: int, height: int, scheme: str) -> None:
        await self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        await self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    async def press(self, key: str) -> None:
        await self.call("Input.dispatchKeyEvent", type="keyDown", key=key, text=key)
        await asyncio.sleep(0.3)

    async def picture(self, path: Path) -> None:
        taken = await self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(taken["data"]))


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Tab]:
    import aiohttp

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [CHROMIUM or "chromium", *FLAGS.split(), f"--user-data-dir={profile}", "about:blank"]
        browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            told = Path(profile) / "DevToolsActivePort"
            for _ in range(400):
                if told.exists() and len(told.read_text().splitlines()) == 2:
                    break
                await asyncio.sleep(0.05)
            port = told.read_text().splitlines()[0]
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json/list") as reply:
                    pages = [target for target in await reply.json() if target["type"] == "page"]
                async with session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    yield Tab(socket)
        finally:
            browser.terminate()
            browser.wait(10)


SCRIPT = """({
    traces: Object.fromEntries([...document.querySelectorAll('.plot')].map(plot => [plot.id, plot.data ? plot.data.length : 0])),
    svgs: document.querySelectorAll('.plot svg.main-svg').length,
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    ground: getComputedStyle(document.body).backgroundColor,
    ink: document.querySelector('#plot-pnl .plot-container text').style.fill,
    crowded: [...document.querySelectorAll('.plot')].flatMap(plot => ['x', 'y'].flatMap(axis => {
        const names = [...plot.querySelectorAll(`.${axis}tick text`)].map(text => [text.textContent, text.getBoundingClientRect()]);
        const apart = (a, b) => a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
        return names.flatMap(([one, a], k) => names.slice(k + 1).filter(([, b]) => !apart(a, b)).map(([two]) => `${one}, ${two}`));
    })),
    headings: Math.max(...[...document.querySelectorAll('thead')].map(head => head.offsetHeight)),
})"""

RANGE = "JSON.stringify(document.getElementById('plot-{}')._fullLayout.xaxis.range)"


@pytest.fixture(scope="module")
def page(tables, tmp_path_factory) -> Path:
    from assets.reports.session import write_try_page

    path = tmp_path_factory.mktemp("browser") / f"session-{dt.date(2026, 9, 22)}.html"
    write_try_page(path, tables(FILLS, MIDS))
    return path


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine (Debian: apt-get install chromium)")
def test_a_page_in_a_real_browser(page):
    async def look() -> dict[str, Any]:
        async with chromium() as tab:
            await tab.open(page, 1280, 900)
            seen = {"wide": await tab.run(SCRIPT)}
            before = await tab.run(RANGE.format("position"))
            await tab.run("document.getElementById('price').focus()")
            await tab.press("+")
            seen["zoomed"] = await tab.run(RANGE.format("position")) != before
            seen["together"] = await tab.run(RANGE.format("price")) == await tab.run(RANGE.format("position"))
            await tab.press("0")
            seen["back"] = await tab.run(RANGE.format("position")) == before
            for name, width, scheme in (("phone", 390, "light"), ("tablet", 820, "dark")):
                await tab.show(width, 900, scheme)
                await asyncio.sleep(0.5)
                seen[name] = await tab.run(SCRIPT)
            await tab.run("dispatchEvent(new Event('beforeprint'))")
            seen["paper"] = await tab.run(SCRIPT)
            return seen | {"said": tab.said, "asked": tab.asked}

    seen = asyncio.run(look())
    assert seen["said"] == []
    assert {address.split(":")[0] for address in seen["asked"]} <= {"file", "data"}
    assert (
        seen["wide"]["traces"].items()
        >= {"plot-price": 4, "plot-pnl": 3, "plot-drawdown": 1, "plot-position": 1, "plot-markouts": 3}.items()
    )
    assert min(seen["wide"]["traces"].values()) >= 1
    assert [seen[width]["wide"] for width in ("wide", "tablet", "phone")] == [0, 0, 0]
    assert all(seen[key] for key in ("zoomed", "together", "back")), seen
    assert [seen[width]["crowded"] for width in ("wide", "tablet", "phone")] == [[], [], []], "names under and beside figures keep apart"
    assert max(seen[width]["headings"] for width in ("wide", "tablet", "phone")) <= 80, "no heading of a table is taller than three lines"
    assert seen["wide"]["ground"] != seen["tablet"]["ground"]
    assert seen["wide"]["ink"] != seen["tablet"]["ink"]
    assert seen["paper"]["ground"] == seen["wide"]["ground"]


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine (Debian: apt-get install chromium)")
def test_the_queue_models_of_each_period_fit_a_screen(rows, tmp_path):
    from assets.fills.queues import QUEUES
    from assets.fills.truth.schema import QueueFit, ReconciledOrders, Reconciliation, ShadowOrders
    from assets.reports.page import write
    from assets.reports.truth import TruthTables, truth_page

    day = pl.lit(dt.date(2026, 9, 22))
    asked = {
        "exponent": 10.0,
        "orders": 100_000,
        "filled": 30_000,
        "filled_estimated": 30_000,
        "time_error_mean_s": 10.0,
        "queue_error": -10.0,
    }
    fits = [{"queue": queue, "exponent": 10.0, "sessions": 20, "orders": 100_000, "told_right_train": 1.0} for queue in ("power", "share")]
    measured = TruthTables(
        currency="USD",
        name="ES",
        provenance="simulated exchange",
        shadow=rows(ShadowOrders, [asked | {"queue": queue} for queue in QUEUES]).with_columns(session=day),
        fits=rows(QueueFit, fits).with_columns(period=day),
        rows=Reconciliation.empty().with_columns(session=pl.lit(None, pl.Date)),
    )
    page = tmp_path / "reconciliation.html"
    write(page, truth_page(measured, ReconciledOrders.empty()))

    async def look() -> list[int]:
        async with chromium() as tab:
            await tab.open(page, 1280, 900)
            table = await tab.run("(box => box.scrollWidth - box.clientWidth)(document.querySelector('[aria-label^=\"Each period\"]'))")
            await tab.show(390, 900, "light")
            await asyncio.sleep(0.5)
            return [table, await tab.run("document.documentElement.scrollWidth - document.documentElement.clientWidth")]

    assert asyncio.run(look()) == [0, 0]


async def _take(page: Path, picture: Path, width: int, height: int, scheme: str) -> None:
    async with chromium() as tab:
        await tab.open(page, width, height, scheme)
        await tab.picture(picture)


if __name__ == "__main__":
    _, *paths = sys.argv[:3]
    width, height = map(int, sys.argv[3:5] or (1280, 1500))
    asyncio.run(_take(Path(paths[0]), Path(paths[1]), width, height, sys.argv[5] if len(sys.argv) > 5 else "light"))
