"""What an indicator is: a name, a formula, its parameters, and one compiled step.

An indicator reads one market and gives one number, in which positive means up and zero means no
opinion. Its step is compiled into the one loop of `assets.features.kernel`, which calls it at
each row of `feature_table`, in time's order, and which both the batch and the stream run.

Everything that remembers is a decayed sum, S <- S * exp(-dt / tau) + flow: constant memory, no
look-back window, and exactly odd, so a mirrored market gives exactly the negated value.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
from numba import njit

from assets.features.errors import FeaturesError

_FADED: Final = 1e-9
"""A decayed sum below this is nothing: a billionth of a contract or tick, twenty tau and more after its flow. Without it
sums would fade into denormal numbers, which are slow and make noise of a ratio."""

CELLS: Final = 16
"""Float64 cells of memory an indicator has: the micro-price's table of four states takes most."""

Array = np.ndarray

part = njit(_nrt=False, error_model="numpy", no_cfunc_wrapper=True)
"""How whatever is a part of the one loop is compiled: without counting references, which in a look into a tuple of arrays costs
more than a step, and without a check of each division for a zero, which the steps make where one can be."""


class Book:
    """One market's book: float64 (10,) each, best level first, prices in ticks.

    A level that does not exist has size and count 0 and price NaN; level 0 always exists.
    """

    bid: Array
    ask: Array
    bid_size: Array
    ask_size: Array
    bid_count: Array
    ask_count: Array


class Trades:
    """One market's trades since the step before."""

    buys: float
    """Trades in which the buyer took."""
    sells: float
    buy_volume: float
    """Contracts that takers bought."""
    sell_volume: float
    volume: float
    """Contracts traded, whoever took."""
    premium: float
    """Sum of size * (price - mid), in contracts * ticks; the mid is that of the row before."""


class Market:
    """What a step sees of a market: its book now, its book at the row before, and what was traded between the two."""

    before: Book
    now: Book
    trades: Trades
    last: float
    """Price of the last trade, in ticks; NaN before the first."""


class Slot:
    """What is an indicator's own: parameters as decays over the time since the step before, and memory."""

    keep: float
    """exp(-dt / tau): what is left of a decayed sum."""
    slow: float
    """exp(-dt / slow)."""
    share: float
    """tau / slow."""
    levels: int
    memory: Array
    """Float64 (CELLS,), zero at the start of a session."""
    kind: int
    """Place of its class in `CLASSES`."""
    market: int
    """Place of its market: 0 the traded one, then the leaders."""
    column: int
    """Place among the caller's indicators."""
    keep_at: int
    """Place of its tau, and of its slow, among the time constants in use."""
    slow_at: int


@dataclass(frozen=True)
class Parameter:
    """A parameter that an indicator takes, its unit and the range it is allowed."""

    name: str
    unit: str
    low: float
    high: float


TAU: Final = Parameter("tau", "s", 0.01, 3600.0)
SLOW: Final = Parameter("slow", "s", 1.0, 36_000.0)
USUAL_SLOW: Final = 300.0
"""Seconds over which a market's own scale is learnt where nothing else is said: long against every tau in use, short against
a session. It is then left out of the name."""

LEVELS: Final = Parameter("levels", "levels", 1, 10)

CLASSES: Final[list[type["Indicator"]]] = []
"""Every indicator there is, in the order of definition: a class enters by being defined."""


@dataclass(frozen=True)
class Indicator:
    """One indicator with its parameters, of the traded market or of a leader.

    A subclass says in its docstring the formula and its source, and sets the class attributes. Its
    `_step` is plain Python that numba compiles.

    Raises:
        FeaturesError: a parameter that the class does not take, or one out of range.
    """

    leader: str = ""
    tau: float = 0.0
    slow: float = 0.0
    levels: int = 0

    stem: ClassVar[str]
    """What the name begins with."""
    unit: ClassVar[str]
    scale: ClassVar[tuple[float, float]]
    """The smallest |value| that matters and the largest: between them lie the logarithmic buckets of the curves."""
    revision: ClassVar[int] = 1
    """Raised when the formula changes: statistics of different versions are never added."""
    parameters: ClassVar[tuple[Parameter, ...]] = ()
    settings: ClassVar[tuple[dict[str, Any], ...]] = ({},)
    """Parameter values worth having: with them the class is in the catalogue."""
    defaults: ClassVar[tuple[dict[str, Any], ...]] = ()
    """Those of the default set, taken from the traded market."""
    leader_defaults: ClassVar[tuple[dict[str, Any], ...]] = ()
    """Those of the default set, taken from each leader."""
    needs_leader: ClassVar[bool] = False
    """Has no meaning for the traded market alone."""
    compiled: ClassVar[Callable[[Market, Market, Slot], float]]
    """`_step`, as numba takes it."""

    @staticmethod
    def _step(market: Market, own: Market, mine: Slot) -> float:
        """The value at a row: `market` is the one it is of and has a book, `own` the traded one, `mine` parameters and memory."""
        raise NotImplementedError

    def __init_subclass__(cls) -> None:
        """Enter the class into `CLASSES`."""
        cls.compiled = staticmethod(part(cls._step))
        CLASSES.append(cls)

    def __post_init__(self) -> None:
        """Check the parameters against what the class takes."""
        taken = {parameter.name: parameter for parameter in self.parameters}
        if "slow" in taken and not self.slow:
            object.__setattr__(self, "slow", USUAL_SLOW)
        for name in ("tau", "slow", "levels"):
            value = getattr(self, name)
            if name not in taken:
                if value:
                    raise FeaturesError(f"indicator {self.stem} takes no {name}: it takes {', '.join(taken) or 'no parameter'}")
            elif not taken[name].low <= value <= taken[name].high:
                low, high, unit = taken[name].low, taken[name].high, taken[name].unit
                raise FeaturesError(f"indicator {self.stem}: {name} must be from {low:g} to {high:g} {unit}, not {value:g}")
        if self.levels != int(self.levels):
            raise FeaturesError(f"indicator {self.stem}: levels must be a whole number, not {self.levels:g}")

    @property
    def name(self) -> str:
        """Column name: leader, stem, levels, tau and an unusual slow, as far as there are any; `ldr_ofi_500ms`."""
        slow = self.slow if self.slow != USUAL_SLOW else 0.0
        parts = [self.leader.lower(), self.stem, str(self.levels or ""), _seconds(self.tau), _seconds(slow)]
        return "_".join(part for part in parts if part)

    @property
    def lo(self) -> float:
        """Smallest |value| that matters: where the first of the curves' buckets ends."""
        return self.scale[0]

    @property
    def hi(self) -> float:
        """|value| from which on all is one bucket."""
        return self.scale[1]

    @property
    def version(self) -> str:
        """Changes with the formula, its parameters and its scale."""
        return f"{self.name}.{self.revision}[{self.lo:g},{self.hi:g}]"


def _seconds(value: float) -> str:
    if not value:
        return ""
    return f"{value:.0f}s" if value == int(value) else f"{value * 1000:g}ms".replace(".", "_")


@part
def remember(mine, cell, keep, flow):  # type: ignore[no-untyped-def]
    """Decayed sum in a cell of the indicator's memory: S <- S * keep + flow; returns S."""
    had = mine.memory[cell]
    total = (had * keep if abs(had) > _FADED else 0.0) + flow  # what has faded is found while the product is made
    mine.memory[cell] = total
    return total


@part
def mid(book):  # type: ignore[no-untyped-def]
    """Middle of the best prices, in ticks."""
    return (book.bid[0] + book.ask[0]) / 2.0


@part
def moved(market):  # type: ignore[no-untyped-def]
    """Change of the market's mid since the step before, in ticks."""
    return mid(market.now) - mid(market.before)


@part
def imbalance(up, down):  # type: ignore[no-untyped-def]
    """(up - down) / (up + down), from -1 to 1; zero where there is neither."""
    both = up + down
    return (up - down) / both if both > 0.0 else 0.0
