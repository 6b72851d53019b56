"""The efficient price: a symmetric walk on an eighth of a tick, with jumps, common to the markets in part.

Also the exchange's clock, on which the session is simulated and which runs faster at the open and
the close: the intraday shape of activity is in the clock and nowhere else.
"""

from typing import Final, NamedTuple

import numpy as np

from assets.ticks.exchange.parameters import BASE_EVENTS, BASE_SECONDS, GRID, Parameters

_U_SHAPE: Final = 0.9
"""Depth of the U: activity at the open and the close is 2.3 times that of midday."""

_BLOCKS: Final = 39
"""Stretches of the session (ten minutes of a futures day) with a volatility of their own."""

_BLOCK_VOLATILITY: Final = 0.3
"""Standard deviation of the logarithm of a stretch's variance."""

_JUMP_TICKS: Final = (2, 3, 4)
_JUMP_CHANCE: Final = (0.6, 0.3, 0.1)


class Clock(NamedTuple):
    """From the wall's seconds since the open to the exchange's, and back. Both ways strictly rising."""

    wall: np.ndarray
    exchange: np.ndarray

    @property
    def length(self) -> float:
        """Seconds of the exchange's clock in the session."""
        return float(self.exchange[-1])

    def to_exchange(self, wall: np.ndarray) -> np.ndarray:
        """Exchange seconds at the given wall seconds."""
        return np.interp(wall, self.wall, self.exchange)

    def to_wall(self, exchange: np.ndarray) -> np.ndarray:
        """Wall seconds at the given exchange seconds."""
        return np.interp(exchange, self.exchange, self.wall)


def session_clock(seconds: float, events: int) -> Clock:
    """The clock of a session of `seconds` that is to bring about `events` records a market.

    Activity over the session, u from 0 to 1: 1 - c/3 + c (2u - 1)^2 with c = 0.9, whose mean is 1.
    """
    share = np.linspace(0.0, 1.0, 1025)
    passed = (1 - _U_SHAPE / 3) * share + _U_SHAPE / 6 * ((2 * share - 1) ** 3 + 1)
    return Clock(share * seconds, passed / passed[-1] * (events * BASE_SECONDS / BASE_EVENTS))


class Steps(NamedTuple):
    """Moves of an efficient price, in the order of their times. `size` counts eighths of a tick; above 1 it is a jump."""

    seconds: np.ndarray  # f64, wall seconds since the open
    size: np.ndarray  # i64


def draw_steps(rng: np.random.Generator, clock: Clock, share: float, parameters: Parameters) -> Steps:
    """The moves that make up `share` of a price's variance and of its jumps."""
    length = clock.length
    blocks = np.exp(_BLOCK_VOLATILITY * rng.standard_normal(_BLOCKS))
    rate = share * parameters.variance * GRID**2 * blocks / blocks.mean()
    counts = rng.poisson(rate * length / _BLOCKS)
    jumps = rng.poisson(share * parameters.jumps * length)
    walk = (np.repeat(np.arange(_BLOCKS), counts) + rng.random(counts.sum())) * (length / _BLOCKS)
    times = np.concatenate([walk, rng.random(jumps) * length])
    sizes = np.concatenate([np.ones(counts.sum(), np.int64), GRID * rng.choice(_JUMP_TICKS, jumps, p=_JUMP_CHANCE).astype(np.int64)])
    signs = rng.integers(0, 2, times.size, dtype=np.int64) * 2 - 1
    return _sorted(clock.to_wall(times), sizes * signs)


def delayed(steps: Steps, mean_s: float, rng: np.random.Generator) -> Steps:
    """The same moves as another market takes them: each later by its own delay, half of the mean fixed and half of it exponential."""
    return _sorted(steps.seconds + mean_s * (0.5 + 0.5 * rng.standard_exponential(steps.seconds.size)), steps.size)


def merged(one: Steps, other: Steps, seconds: float) -> Steps:
    """Both, up to the session's end."""
    both = _sorted(np.concatenate([one.seconds, other.seconds]), np.concatenate([one.size, other.size]))
    kept = int(np.searchsorted(both.seconds, seconds))
    return Steps(both.seconds[:kept], both.size[:kept])


def _sorted(seconds: np.ndarray, size: np.ndarray) -> Steps:
    order = np.argsort(seconds, kind="stable")
    return Steps(seconds[order], size[order])
