"""`make bench-books`: vendor file to `raw_ticks`, records to books, beside what people would use, and how both grow.

The records are the simulated exchange's. Each way through a file has a process of its own, so that its peak memory is
its own, and goes through the smallest file first, so that imports are in nobody's time; the passes over records are
timed on memory that has been touched, ours and the peer's alike.
"""

import datetime as dt
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from assets.books import codes, events
from assets.books.events import beginning, new_events
from assets.books.quotes import frozen
from assets.books.rebuild import most_events
from assets.books.replay import Records, expand, finish, new_changes, new_levels, replay
from assets.books.storage import grown, is_full, new_book
from assets.desk import NS
from assets.lake import Lake
from assets.ticks.dbn import stream_records, write_mbo
from assets.ticks.exchange import Instrument, simulate
from assets.ticks.schema import RawTicks
from benchmarks.table import Line, close

MILLION: Final = 1_000_000
SIZES: Final = (1, 10, 50)
"""Millions of records."""
COMPARED: Final = 10
"""Millions of records of the file that the peers read as well."""

SYMBOL: Final = "FLWZ6"
SESSION: Final = dt.date(2026, 8, 24)
OPEN_NS: Final = int(dt.datetime(2026, 8, 24, tzinfo=dt.UTC).timestamp()) * NS
CLOSE_NS: Final = OPEN_NS + 86_400 * NS

STORE_TARGET, BARE_TARGET, MEMORY_TARGET, KERNEL_TARGET = 8.0, 1 / 1.5, 1.0, 10.0
STRAIGHT: Final = 0.7
"""Least share of the rate at 1 M records that is called straight at 50 M: noise on a shared machine is a fifth."""

CHUNK: Final = 1 << 17
"""Records at a time of the bare loop."""


def main() -> None:
    """Measure everything and close with the table."""
    with tempfile.TemporaryDirectory() as folder:
        files = {size: Path(folder) / f"{size}.dbn.zst" for size in SIZES}
        session = _records(max(SIZES) // 5 * MILLION)
        for size, path in files.items():
            _write(path, session, size * MILLION)
        ticks = {size: _apart("ticks", path) for size, path in files.items()}
        store, bare = (_apart(way, files[COMPARED]) for way in ("store", "bare"))
        books = {size: _apart("books", path) for size, path in files.items()}
        depth = _apart("depth", files[COMPARED])
    close("books", [*_of_ticks(ticks, store, bare), *_of_books(books, depth)])


def _of_ticks(ticks: dict[int, dict[str, float]], store: dict[str, float], bare: dict[str, float]) -> list[Line]:
    ours = ticks[COMPARED]
    return [
        Line(
            f"DBN to `raw_ticks`, {COMPARED} M records, beside DBNStore.to_parquet",
            _rate(ours),
            _rate(store),
            store["seconds"] / ours["seconds"],
            STORE_TARGET,
        ),
        Line(
            "the same beside chunked to_ndarray and a bare Parquet write",
            _rate(ours),
            _rate(bare),
            bare["seconds"] / ours["seconds"],
            BARE_TARGET,
        ),
        *(
            Line(f"peak memory, {size} M records", f"{made['gb']:.2f} GB", f"limit {MEMORY_TARGET:g} GB", MEMORY_TARGET / made["gb"], 1.0)
            for size, made in ticks.items()
        ),
        Line(f"peak memory of DBNStore.to_parquet, {COMPARED} M records", f"{ours['gb']:.2f} GB", f"{store['gb']:.2f} GB"),
        *_growth("DBN to `raw_ticks`", ticks),
    ]


def _of_books(books: dict[int, dict[str, float]], depth: dict[str, float]) -> list[Line]:
    ours = books[COMPARED]
    rate = ours["records"] / ours["seconds"] / MILLION
    return [
        Line(f"book kernel, ten levels kept, {COMPARED} M records", _rate(ours), f"limit {KERNEL_TARGET:g} M/s", rate / KERNEL_TARGET, 1.0),
        *(
            Line(
                f"the same beside hftbacktest's L3 depth, {name}",
                _rate(ours),
                f"{ours['records'] / depth[name] / MILLION:.2f} M/s",
                depth[name] / ours["seconds"],
                1.0,
            )
            for name in ("hash map", "vector")
        ),
        *_growth("book kernel", books),
    ]


def _growth(work: str, made: dict[int, dict[str, float]]) -> list[Line]:
    least, most = made[SIZES[0]], made[SIZES[-1]]
    middle = ", ".join(f"{_rate(made[size])} at {size} M" for size in SIZES)
    ratio = (most["records"] / most["seconds"]) / (least["records"] / least["seconds"])
    return [Line(f"{work}, growth: {middle}", _rate(most), _rate(least), ratio, STRAIGHT)]


def _rate(made: dict[str, float]) -> str:
    return f"{made['records'] / made['seconds'] / MILLION:.2f} M/s"


# The file ---------------------------------------------------------------------------------------


def _records(least: int) -> np.ndarray:
    """At least this many records of one session."""
    wanted = least
    while True:
        made = simulate(1, SESSION, [Instrument(1, NS // 10, follows=True)], open_ns=OPEN_NS, close_ns=CLOSE_NS, events=wanted, alpha=1.0)
        records = made[0].records
        if len(records) >= least:
            return records
        wanted = int(wanted * least / len(records) * 1.02) + 1


def _write(path: Path, session: np.ndarray, size: int) -> None:
    """A file of `size` records: the session, again and again under other order ids, each time from its snapshot."""
    pieces, span = [], np.uint64(CLOSE_NS - OPEN_NS)
    for turn in range(-(-size // len(session))):
        piece = session[: size - turn * len(session)].copy()
        piece["order_id"] += np.uint64(turn) * (session["order_id"].max() + np.uint64(1))
        for stamp in ("ts_event", "ts_recv"):
            piece[stamp] += np.uint64(turn) * span
        pieces.append(piece)
    end = OPEN_NS + len(pieces) * int(span)
    write_mbo(path, np.concatenate(pieces), dataset="SIM.BENCH", symbol=SYMBOL, instrument_id=1, start_ns=OPEN_NS, end_ns=end)


# Ways through it, each in a process of its own ----------------------------------------------------


def _apart(way: str, path: Path) -> dict[str, float]:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.books", way, path.with_name(f"{SIZES[0]}.dbn.zst"), path]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(told.stdout.splitlines()[-1])
    print(way, path.stem, found, file=sys.stderr)
    return found


def _ticks(path: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        began = time.perf_counter()
        written = Lake(Path(folder)).write_parts(
            "raw_ticks", stream_records([path], symbol=SYMBOL), RawTicks, market="FLW", session=SESSION
        )
        return {"seconds": time.perf_counter() - began, "records": written.rows}


def _store(path: Path) -> dict[str, float]:
    import databento

    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        began = time.perf_counter()
        databento.DBNStore.from_file(path).to_parquet(Path(folder) / "store.parquet")
        seconds = time.perf_counter() - began
        return {"seconds": seconds, "records": pl.scan_parquet(Path(folder) / "store.parquet").select(pl.len()).collect().item()}


def _bare(path: Path) -> dict[str, float]:
    import databento
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = 0
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        began, writer = time.perf_counter(), None
        for part in databento.DBNStore.from_file(path).to_ndarray(count=CHUNK):
            names = [name for name in part.dtype.names if name != "length"]
            columns = {name: np.ascontiguousarray(part[name]) for name in names}
            table = pa.table({name: values.view(np.uint8) if values.dtype.kind == "S" else values for name, values in columns.items()})
            writer = writer or pq.ParquetWriter(Path(folder) / "bare.parquet", table.schema, compression="zstd")
            writer.write_table(table)
            rows += len(part)
        if writer is not None:
            writer.close()
        return {"seconds": time.perf_counter() - began, "records": rows}


def _books(path: Path) -> dict[str, float]:
    raw = pl.concat(stream_records([path], symbol=SYMBOL)).rechunk()
    records = Records(*(frozen(raw[name]) for name in Records._fields))
    most = most_events(records.flags)
    found, levels, book = new_events(most, raw.height), new_levels(most), new_book()
    places = np.empty((int(np.count_nonzero(records.action == codes.FILL)), 3), np.int64)

    def rebuilt() -> None:
        nonlocal book
        changes, now = new_changes(4096), beginning(None, None)
        found.code[:] = 0
        while replay(book, records, found, changes, places, now) < raw.height:
            expand(changes, levels, now)
            book = grown(book) if is_full(book) else book
        finish(book, records, found, changes, places, now)
        expand(changes, levels, now)
        assert now[events.ROWS] > raw.height // 4

    return {"seconds": min(_seconds(rebuilt) for _ in range(3)), "records": raw.height}


def _depth(path: Path) -> dict[str, float]:
    from hftbacktest import BacktestAsset, HashMapMarketDepthBacktest, ROIVectorMarketDepthBacktest
    from hftbacktest import types as hft

    raw = pl.concat(stream_records([path], symbol=SYMBOL)).rechunk()
    actions, sides = np.zeros(256, np.uint64), np.zeros(256, np.uint64)
    for code, kind in {
        codes.ADD: hft.ADD_ORDER_EVENT,
        codes.CANCEL: hft.CANCEL_ORDER_EVENT,
        codes.MODIFY: hft.MODIFY_ORDER_EVENT,
        codes.CLEAR: hft.DEPTH_CLEAR_EVENT,
        codes.TRADE: hft.TRADE_EVENT,
        codes.FILL: hft.FILL_EVENT,
    }.items():
        actions[code] = kind
    sides[codes.SIDE_BID], sides[codes.SIDE_ASK] = hft.BUY_EVENT, hft.SELL_EVENT
    data = np.zeros(raw.height, hft.event_dtype)
    data["ev"] = actions[raw["action"]] | sides[raw["side"]] | np.uint64(hft.EXCH_EVENT | hft.LOCAL_EVENT)
    data["exch_ts"] = data["local_ts"] = np.maximum.accumulate(raw["ts_event"].to_numpy())
    data["px"], data["qty"], data["order_id"] = raw["price"] / NS, raw["size"], raw["order_id"]
    ticks = raw.filter(action=codes.ADD).select(low=pl.col("price").min() / NS - 1, high=pl.col("price").max() / NS + 1).row(0)
    taken: dict[str, float] = {"records": raw.height}
    for name, of in (("hash map", HashMapMarketDepthBacktest), ("vector", ROIVectorMarketDepthBacktest)):

        def replayed(of: Callable[..., object] = of) -> float:
            asset = (
                BacktestAsset().data([data]).linear_asset(1.0).constant_order_latency(0, 0).l3_fifo_queue_model().no_partial_fill_exchange()
            )
            asset = asset.tick_size(0.1).lot_size(1.0).last_trades_capacity(0)
            run = of([asset.roi_lb(ticks[0]).roi_ub(ticks[1]) if of is ROIVectorMarketDepthBacktest else asset])
            seconds = _seconds(lambda: run.elapse(10**18))
            run.close()
            return seconds

        taken[name] = min(replayed() for _ in range(3))
    return taken


WAYS: Final[dict[str, Callable[[Path], dict[str, float]]]] = {
    "ticks": _ticks,
    "store": _store,
    "bare": _bare,
    "books": _books,
    "depth": _depth,
}


def _peak_gb() -> float:
    """Most memory that this process has held; what getrusage tells would be the parent's, from before the exec."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / MILLION if found else float("nan")


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    if len(sys.argv) > 1:
        first, path = map(Path, sys.argv[2:])
        WAYS[sys.argv[1]](first)  # imports and first calls are nobody's work
        made = WAYS[sys.argv[1]](path)
        print(json.dumps(made | {"gb": _peak_gb()}))
    else:
        main()
