"""What the loop remembers between two events, and how it lies in memory.

Rows are made one by one and told to the indicators in blocks: each indicator takes its steps over all rows of a block before the
next one begins. Its sums stay in registers meanwhile, and which indicator it is, is asked once a block. A stream's block is one row.
"""

import hashlib
import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from assets.books.schema import LEVELS
from assets.desk import NS
from assets.features.errors import FeaturesError
from assets.features.indicators.base import CELLS, CLASSES, Array, Book, Indicator, Market, Slot, Trades, part

BLOCK: Final = 128
"""Rows of a block of the batch: enough to forget what a block costs, few enough for their books to stay near."""

TIMES: Final = 64
"""Room for time constants: a lab that tries many values runs them in parts, and a fixed size keeps one compiled kernel."""

UNKNOWN: Final = 0
NEW: Final = 1
KNOWN: Final = 2

_STEPS: Final = 32.0
_FURTHEST: Final = 64.0
"""Time constants after which nothing is left: exp(-64) of the largest flow is less than a faded sum."""

_POWERS: Final = np.exp(-np.arange(_STEPS * _FURTHEST + 1) / _STEPS)


class Now:
    """What there is once."""

    ts: int
    """Time of the last row; 0 before the first."""
    whole: int
    """1 while the traded market's latest book has two sides that do not touch."""
    depth: int
    """Levels that the indicators in use look at."""
    times: int
    """Different time constants in use."""
    rate: Array
    """Float64 (TIMES,): 1 / time constant, a nanosecond; the first stands for none."""
    rows: int
    """Rows of the block that are made and not told yet."""


class Source:
    """Where a market's events have got to."""

    tick: float
    """Price step in 1e-9."""
    step: float
    """1 / tick."""
    known: int
    """UNKNOWN until the first row at which the market has a book, NEW in the block of that row, KNOWN since."""
    since: int
    """The row of the block from which on it is known; past the block where it is not."""
    bid: int
    """Best prices and sizes as they came, prices in 1e-9: of the book in force at the last row."""
    ask: int
    bid_size: int
    ask_size: int
    last: float
    """Price of the last trade, in ticks; NaN before the first."""
    next_book: int
    """Where a pass over columns is: the row of the next book event, and of the next trade."""
    next_trade: int
    latest: int
    """In such a pass the row of the latest whole book, -1 for none."""


class State(NamedTuple):
    """Everything between two events."""

    now: Array
    """Of `Now`, one element."""
    sources: Array
    """Of `Source`: the traded market, then the leaders."""
    markets: Array
    """Of `Market`: (markets, rows of a block and the one in the making). Row r's `now` is in the same memory as row r + 1's `before`."""
    slots: Array
    """Of `Slot`, sorted by the indicator's class."""
    fading: Array
    """Float64 (TIMES, rows of a block): exp(-dt * rate) since the row before; in the first row of the array the dt, nanoseconds."""


class _Row:
    """What a block keeps of a row, one after the other."""

    now: Book
    trades: Trades
    last: float


def record(cls: type, length: int) -> np.dtype:
    """The record that numba sees for one of the annotated classes; `length`: of its arrays."""
    kinds = {float: "f8", int: "i8", Array: ("f8", (length,))}
    fields = [(name, kinds.get(kind) or record(kind, length)) for name, kind in cls.__annotations__.items()]
    return np.dtype([(name, *kind) if isinstance(kind, tuple) else (name, kind) for name, kind in fields], align=True)


def _overlapping(markets: int, rows: int) -> Array:
    """Records of `Market`, (markets, rows): each begins one `_Row` after the one before and reaches over two."""
    row = record(_Row, LEVELS)
    places = {"before": 0, **{name: row.itemsize + field[1] for name, field in row.fields.items()}}  # type: ignore[union-attr]
    kinds = [row["now"] if name == "before" else row[name] for name in places]
    both = np.dtype({"names": [*places], "formats": kinds, "offsets": [*places.values()], "itemsize": 2 * row.itemsize}, align=True)
    assert set(places) == set(Market.__annotations__)
    lying = np.zeros((markets, rows + 1), row)
    return np.lib.stride_tricks.as_strided(lying[:, :2].view(both), (markets, rows), lying.strides)


def prepare(indicators: Sequence[Indicator], leaders: Sequence[str], ticks: Sequence[int], rows: int = 1) -> State:
    """A state that has seen nothing.

    Args:
        indicators: what is computed.
        leaders: names of the leaders.
        ticks: price steps in 1e-9, of the traded market, then of each leader.
        rows: of a block.

    Raises:
        FeaturesError: more different time constants than one pass has room for.
    """
    times = [0.0, *sorted({time for indicator in indicators for time in (indicator.tau, indicator.slow)} - {0.0})]
    if len(times) > TIMES:
        room = f"the {TIMES - 1} that one pass has room for"
        raise FeaturesError(f"{len(times) - 1} different time constants are more than {room}: compute the indicators in parts")
    now = np.zeros(1, record(Now, TIMES))
    now["depth"] = max([2, *(indicator.levels for indicator in indicators)])
    now["times"] = len(times)
    now["rate"][0, 1 : len(times)] = 1 / (np.array(times[1:]) * NS)
    places = ["", *leaders]
    sources = np.zeros(len(places), record(Source, LEVELS))
    sources["tick"], sources["step"], sources["last"], sources["since"] = ticks, 1 / np.array(ticks), math.nan, rows
    slots = np.zeros(len(indicators), np.dtype([*record(Slot, CELLS).descr, (_fingerprint(), "i8")], align=True))
    kinds = [CLASSES.index(type(indicator)) for indicator in indicators]
    for slot, column in zip(slots, np.argsort(kinds, kind="stable"), strict=True):
        indicator = indicators[column]
        slot["kind"], slot["column"], slot["market"] = kinds[column], column, places.index(indicator.leader)
        slot["levels"], slot["share"] = indicator.levels, indicator.tau / (indicator.slow or 1.0)
        slot["keep_at"], slot["slow_at"] = times.index(indicator.tau), times.index(indicator.slow)
    return State(now, sources, _overlapping(len(places), rows + 1), slots, np.zeros((TIMES, rows)))


def _fingerprint() -> str:
    # Name of a field that nobody reads. It makes the slots of other classes another type to numba, which would otherwise
    # answer from a cache of compiled code that lacks a class or has its former formula.
    codes = [(cls.__qualname__, code.co_code, code.co_names, code.co_consts) for cls in CLASSES for code in [cls._step.__code__]]
    return f"classes_{hashlib.sha256(repr(codes).encode()).hexdigest()[:16]}"


def slot_of(state: State, column: int) -> int:
    """Place of the slot of the caller's indicator number `column`."""
    return int(np.flatnonzero(state.slots["column"] == column)[0])


@part
def fade(times: float) -> float:
    """exp(-times), times >= 0, to 2e-16 of itself and 0 beyond 64: the nearest of a table of powers times the series of the rest.

    A library's `exp` takes three times as long, is not computed for several rows at once, and differs in its last bit from one
    system to the next.
    """
    times = min(times, _FURTHEST)
    step = np.int32(times * _STEPS + 0.5)
    rest = step / _STEPS - times  # at most 1/64 either way: the first term left out is 4e-17
    series = 1.0 + rest * (1.0 + rest * (1 / 2 + rest * (1 / 6 + rest * (1 / 24 + rest * (1 / 120 + rest * (1 / 720))))))
    return _POWERS[np.uint32(step)] * series if times < _FURTHEST else 0.0


@part
def in_ticks(price: Any, source: Source) -> float:
    """A price in 1e-9 as a number of ticks, price / tick: without the division where it is a whole number, as prices are."""
    ticks = np.rint(price * source.step)
    return ticks if ticks * source.tick == price else price / source.tick
