"""Short sessions of the simulated exchange, made once."""

import datetime as dt
from collections.abc import Callable
from functools import cache

import pytest

from assets.ticks.exchange import Instrument, Simulated, simulate

MONDAY = dt.date(2026, 8, 24)
FOLLOWER = Instrument(1, 100_000_000, follows=True)
LEADER = Instrument(2, 250_000_000, follows=False)

Session = Callable[..., list[Simulated]]


@pytest.fixture(scope="session")
def session() -> Session:
    """Simulate a session of the two markets; by default an hour of 20,000 records a market."""

    @cache
    def make(day: dt.date = MONDAY, *, alpha: float = 1.0, seed: int = 1, events: int = 20_000, hours: float = 1.0) -> list[Simulated]:
        opens = int(dt.datetime.combine(day, dt.time(13, 30), dt.UTC).timestamp()) * 10**9
        closes = opens + round(hours * 3_600) * 10**9
        return simulate(seed, day, [FOLLOWER, LEADER], open_ns=opens, close_ns=closes, events=events, alpha=alpha)

    return make
