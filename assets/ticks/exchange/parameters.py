"""What the simulated exchange is made of: its constants, and how they drift from week to week."""

import datetime as dt
import math
from typing import Final, NamedTuple

import numpy as np

BASE_EVENTS: Final = 164_000
BASE_SECONDS: Final = 23_400
"""The pace at which the constants below are stated: measured over twelve weeks, they bring about this many records a
market in six and a half hours. Other numbers of events, and other hours, make the exchange's own clock run faster or
slower, and nothing else."""

GRID: Final = 8
"""The efficient price moves by 1/8 of a tick: fine enough to look continuous, and it meets its barriers exactly."""

DRIFT: Final = 0.2
"""Standard deviation of a parameter's weekly logarithm: enough that a curve fitted two months ago is the wrong one."""

MEMORY_WEEKS: Final = 4
"""Weeks over which drift averages: neighbours share three quarters of it, so last month still tells about this week."""


BACK: Final = 0.55
"""Chance that a cancel takes the last order of the queue; else the one before it has the same chance, and so on."""


class Parameters(NamedTuple):
    """One week of one market. Rates are per second of the exchange's clock, sizes contracts, distances ticks."""

    information: float = 1.0
    """Scales how strongly flow leans towards the efficient price; multiplied by the desk's `alpha`."""
    lag_s: float = 0.5
    """By how much the follower's price trails the leader's, in seconds of the wall clock."""
    variance: float = 0.12
    """Of the efficient price, ticks squared a second: a 10-s move has a standard deviation of 1.2 ticks."""
    jumps: float = 40.0 / BASE_SECONDS
    """Jumps of two to four ticks a second: news."""
    common: float = 0.8
    """Share of variance and jumps that all markets have in common; multiplied by the desk's `alpha` up to 1, because two
    coarse views of one price always tell of each other."""
    add_touch: float = 0.5
    """New orders at the best price, each side."""
    add_thin: float = 0.5
    """More of them for each order that the touch lacks of `THIN`."""
    add_deep: float = 0.4
    """New orders behind the best price, both sides."""
    cancel_touch: float = 0.17
    """Cancels an order at the best price."""
    cancel_deep: float = 0.003
    """Cancels an order behind it."""
    modify: float = 0.2
    """Share of cancels that are modifications instead."""
    trade: float = 0.36
    """Market orders that nothing has excited, both sides."""
    excite_same: float = 0.35
    """Market orders of the same side that each one brings forth (Hawkes branching ratio)."""
    excite_other: float = 0.1
    """Market orders of the other side that each one brings forth."""
    excite_decay: float = 1.5
    """Decay of the excitement, per second."""


_DRIFTING: Final = ("information", "lag_s", "variance", "cancel_touch", "trade", "add_touch")


def week_of(session: dt.date) -> int:
    """Number of the Monday-to-Sunday week, counted from the Monday 1970-01-05."""
    return (session.toordinal() - dt.date(1970, 1, 5).toordinal()) // 7


def parameters(seed: int, session: dt.date, market: int) -> Parameters:
    """The parameters of a market (by its number) in the week of `session`: a pure function of these."""
    week = week_of(session)
    weeks = (np.random.default_rng([seed, market, week - back, _WEEK_STREAM]) for back in range(MEMORY_WEEKS))
    drift = np.sum([rng.standard_normal(len(_DRIFTING)) for rng in weeks], axis=0) / math.sqrt(MEMORY_WEEKS)
    base = Parameters()
    return base._replace(**{name: getattr(base, name) * math.exp(DRIFT * z) for name, z in zip(_DRIFTING, drift, strict=True)})


_WEEK_STREAM: Final = 1
"""Keeps these draws apart from those of the sessions."""
