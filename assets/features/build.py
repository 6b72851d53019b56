"""From books and trades to `feature_table`: columns in, one pass of the kernel, columns out."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Final

import numpy as np
import polars as pl

from assets.books.schema import LEVELS
from assets.desk import NS
from assets.features.errors import FeaturesError
from assets.features.indicators import Indicator, indicators
from assets.features.indicators.base import Array
from assets.features.indicators.external import External
from assets.features.kernel import Books, Feed, Rows, Series, Tape, batch
from assets.features.state import BLOCK, State, prepare, slot_of
from assets.hours import Window

Ticks = tuple[pl.DataFrame, pl.DataFrame]
"""One market's clean_books and trades."""

_NEVER: Final = np.iinfo(np.int64).max

_WHOLE: Final = pl.col("bid_px_00") < pl.col("ask_px_00")


def indicator_names(leaders: Sequence[str]) -> list[str]:
    """Columns of the default set, in order."""
    return [indicator.name for indicator in indicators(leaders)]


def build(
    books: pl.DataFrame,
    trades: pl.DataFrame,
    leaders: Mapping[str, Ticks],
    *,
    tick: int,
    leader_ticks: Mapping[str, int],
    horizon_ns: int,
    open_ns: int | None = None,
    close_ns: int | None = None,
    continuous: Window | None = None,
    leaders_continuous: Mapping[str, Window] | None = None,
    chosen: Sequence[Indicator] | None = None,
    series: Mapping[str, pl.DataFrame] | None = None,
) -> pl.DataFrame:
    """The session's `feature_table`: a row for each change of the best price or size of the traded market or of a leader.

    Only events of the session count, open_ns <= ts_event < close_ns; a market's first book in it is
    where its indicators begin. Rows exist from the traded market's first whole book on (two sides
    that do not touch). The label is null where one horizon later is past the last instant of the row's stretch of continuous
    trading, or past the traded market's last known book event if that is earlier: what came then is not known. Where the traded
    market's trading pauses or its instrument changes, all indicators begin anew, and there is no row in between; they do, too, where a
    leader comes back or turns to another instrument, so that no move spans it.

    Args:
        books: `clean_books` of the traded market; trades: its `trades`.
        leaders: the same of each leader, by its name.
        tick: price step of the traded market in 1e-9; leader_ticks: of each leader.
        horizon_ns: how far ahead the label looks.
        open_ns: the session's first instant; close_ns: the first instant after it; None: as far as the books go.
        continuous: in place of both, the session and its stretches of continuous trading; leaders_continuous: of the leaders that pause.
        chosen: indicators, instead of the default set of these leaders.
        series: for each `External` among them its table (`assets.features.tables.read_series`), by its `series`.

    Raises:
        FeaturesError: a leader without a price step, a series without a table.
    """
    chosen = indicators(list(leaders)) if chosen is None else chosen
    for name in leaders:
        if name not in leader_ticks:
            raise FeaturesError(f"leader {name} has no tick size: give it one in leader_ticks")
    ticks = [tick, *(leader_ticks[name] for name in leaders)]
    window = continuous or Window(open_ns or 0, _NEVER if close_ns is None else close_ns)
    paused = {name: other for name, other in (leaders_continuous or {}).items() if name in leaders}
    pairs = [(books, trades), *(_traded(pair, paused.get(name)) for name, pair in leaders.items())]
    parts = []
    for begin, end in _parts(window, paused.values()):
        state = prepare(chosen, list(leaders), ticks, BLOCK)
        part = [(within(pair[0], begin, end), within(pair[1], begin, end)) for pair in pairs]
        rows, count = _rows(sum(pair[0].height for pair in part), len(chosen)), 0
        if part[0][0].filter(_WHOLE).height:
            count = batch(state, feed(part, chosen, series or {}, state), rows)
        columns = {"ts_event": rows.ts, "row": rows.row, "own": rows.own, "bid_px": rows.bid, "ask_px": rows.ask}
        columns |= {indicator.name: values for indicator, values in zip(chosen, rows.values, strict=True)}
        parts.append(pl.DataFrame({name: values[:count] for name, values in columns.items()}))
    table = pl.concat(parts)
    labels = _labels(table, books.filter(_WHOLE), books["ts_event"][-1] if books.height else 0, window, horizon_ns, tick)
    return table.insert_column(table.columns.index("ask_px") + 1, labels)


def _parts(window: Window, leaders: Iterable[Window]) -> list[tuple[int, int]]:
    """The stretches over which indicators go on, (begin, end): the traded market's, divided where a leader begins again."""
    again = sorted({stretch.begin_ns for leader in leaders for stretch in leader.admitting[1:]})
    found = []
    for stretch in window.admitting:
        moments = [stretch.begin_ns, *(moment for moment in again if stretch.begin_ns < moment < stretch.end_ns), stretch.end_ns]
        found += list(pairwise(moments))
    return found


def _traded(ticks: Ticks, window: Window | None) -> Ticks:
    """What of a leader's books and trades lies in its own continuous trading; all where it never pauses."""
    if window is None or not window.pauses:
        return ticks
    books, trades = (frame.filter(pl.Series(window.within(frame["ts_event"].to_numpy()))) for frame in ticks)
    return books, trades


def _labels(table: pl.DataFrame, whole: pl.DataFrame, last_ns: int, window: Window, horizon_ns: int, tick: int) -> pl.Series:
    """Mid in force one horizon after each row minus the mid of the row, in ticks; null where that is past what its stretch shows.

    `whole` are the traded market's books that have two sides; in force at t is the last one with ts_event <= t.
    """
    begins, ends = (np.array([stretch[k] for stretch in window.continuous], np.int64) for k in (0, 1))
    ts = table["ts_event"].to_numpy()
    of_row, later = np.maximum(np.searchsorted(begins, ts, side="right") - 1, 0), ts + horizon_ns
    known = (ts < ends[of_row]) & (later < ends[of_row]) & (later <= last_ns)
    at = np.searchsorted(whole["ts_event"].to_numpy(), later[known], side="right") - 1
    bid, ask = (whole[f"{side}_px_00"].to_numpy()[at] for side in ("bid", "ask"))
    moved = (bid + ask - table["bid_px"].to_numpy()[known] - table["ask_px"].to_numpy()[known]) / (2.0 * tick)
    values = np.full(table.height, np.nan, np.float32)
    values[known] = moved
    return pl.Series("label", values).fill_nan(None)


def feed(ticks: Sequence[Ticks], chosen: Sequence[Indicator], series: Mapping[str, pl.DataFrame], state: State) -> Feed:
    """What goes into a pass of the kernel: the traded market's books and trades, then each leader's, and the user's series."""
    books, trades = [pair[0] for pair in ticks], [pair[1] for pair in ticks]
    return Feed(_books(books, state), _tape(trades), _series(chosen, series, state))


def within(frame: pl.DataFrame, open_ns: int | None, close_ns: int | None) -> pl.DataFrame:
    """The rows of the session, open_ns <= ts_event < close_ns."""
    if open_ns is None and close_ns is None:
        return frame
    return frame.filter(pl.col("ts_event").is_between(open_ns or 0, _NEVER if close_ns is None else close_ns, closed="left"))


def _rows(most: int, indicators: int) -> Rows:
    kinds = {"ts": np.int64, "row": np.uint32, "own": np.bool_, "bid": np.int64, "ask": np.int64}
    return Rows(**{name: np.empty(most, kind) for name, kind in kinds.items()}, values=np.empty((indicators, most), np.float32))


def _start(frames: Sequence[pl.DataFrame]) -> Array:
    return np.array([0, *accumulate(frame.height for frame in frames)], dtype=np.int64)


def _column(frames: Sequence[pl.DataFrame], name: str) -> Array:
    # One market's column after the other's; without a copy where there is one market and no null.
    values = pl.concat([frame[name].fill_null(0) for frame in frames], rechunk=True).to_numpy()
    values.flags.writeable = False  # some are already, and numba compiles each kind anew
    return values


def _books(frames: Sequence[pl.DataFrame], state: State) -> Books:
    depth = int(state.now["depth"][0])

    def levels(kind: str) -> tuple[Array, ...]:
        read = [_column(frames, f"{kind}_{level:02d}") for level in range(depth)]
        return tuple(read + [read[0][:0]] * (LEVELS - depth))  # always ten, so that the kernel is compiled once

    return Books(
        _start(frames), _column(frames, "ts_event"), _column(frames, "row"),
        *(levels(kind) for kind in ("bid_px", "ask_px", "bid_sz", "ask_sz", "bid_ct", "ask_ct")),
    )  # fmt: skip


def _tape(frames: Sequence[pl.DataFrame]) -> Tape:
    return Tape(_start(frames), *(_column(frames, name) for name in ("ts_event", "row", "price", "size", "aggressor")))


def _series(chosen: Sequence[Indicator], tables: Mapping[str, pl.DataFrame], state: State) -> Series:
    known = [pl.DataFrame(schema={"ts": pl.Int64, "slot": pl.Int64, "value": pl.Float64})]
    for column, indicator in enumerate(chosen):
        if isinstance(indicator, External):
            if indicator.series not in tables:
                raise FeaturesError(f"indicator {indicator.name} has no table: give one in series[{indicator.series!r}]")
            ts, value = pl.col("ts_event") + round(indicator.delay * NS), indicator.sign * pl.col("value")
            slot = pl.lit(slot_of(state, column), pl.Int64)
            known.append(tables[indicator.series].select(ts.alias("ts"), slot.alias("slot"), value.alias("value")))
    merged = pl.concat(known).sort("ts", maintain_order=True)
    return Series(*(_column([merged], name) for name in ("ts", "slot", "value")))
