"""The wire's four delays, drawn before the session: one for each slot of time, the same for whoever sends.

A delay belongs to the moment at which a message sets out, not to the message: a policy that sends more does not change what the
next one meets, so that two settings of a policy are compared on the same wire, and a slow moment is slow for all that
fall into it. A message is held back by one that set out before it and is still under way, and by nothing else: each leg's sender sees to
that (`trader.py`, `exchange.py`, `replay.py`). A session draws from its own seed (its opening), each leg by itself.
"""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from assets.desk import NS, Delay, Trading, UserError
from assets.fills.errors import FillsError
from assets.fills.wire import SLOT_BITS, SLOTS
from assets.provenance import file_state
from assets.user_files import numbers, read_table

if TYPE_CHECKING:
    from collections.abc import Sequence

LEGS: Final = ("feed", "order", "cancel", "response")
SLOT: Final = 1 << SLOT_BITS
"""Nanoseconds of a slot."""

Floats = npt.NDArray[np.float64]


def delay_slots(trading: Trading, open_ns: int) -> dict[str, npt.NDArray[np.int64]]:
    """The delay fields of RULES, i64[SLOTS] nanoseconds each.

    Raises:
        FillsError: a recording is missing, empty, or holds what is not a delay.
    """
    simple: Sequence[float] = (0.0, *[trading.latency_ms] * 3)
    slots = {}
    for k, (leg, ms) in enumerate(zip(LEGS, simple, strict=True)):
        delay = getattr(trading.delays, leg) or Delay(ms=ms)
        drawn = _drawn(delay, np.random.default_rng([open_ns, k]))
        slots[f"{leg}_delay"] = np.rint(drawn * 1e6).astype(np.int64)
    return slots


def _drawn(delay: Delay, random: np.random.Generator) -> Floats:
    """Milliseconds, f64[SLOTS]."""
    if delay.file is not None:
        # Neighbours of the recording stay neighbours, so that its bad moments stay together.
        recorded = _recorded(delay.file, file_state(delay.file))
        return recorded[(int(random.integers(len(recorded))) + np.arange(SLOTS)) % len(recorded)]
    if delay.median_ms is None:
        return np.full(SLOTS, delay.ms, np.float64)
    drawn = delay.median_ms * np.exp(delay.sigma * random.standard_normal(SLOTS))
    lasts = max(1, round(delay.burst_seconds * NS / SLOT))
    begins = np.flatnonzero(random.random(SLOTS) < delay.burst_chance)
    drawn[np.unique((begins[:, None] + np.arange(lasts)) % SLOTS)] *= delay.burst_factor
    return drawn


@lru_cache(maxsize=8)
def _recorded(path: Path, _state: tuple[int, int]) -> Floats:
    try:
        table = read_table(path)
    except UserError as error:
        raise FillsError(f"{path}: no recording of delays can be read there ({error}): correct trading.delays") from None
    if "ms" not in table.columns and table.width != 1:
        raise FillsError(f"{path}: a recording of delays has one column, or one called ms; this one has {', '.join(table.columns)}")
    column = table["ms"] if "ms" in table.columns else table.to_series()
    if not len(column):
        raise FillsError(f"{path}: the recording of delays is empty: record some, or give the delay in ms")
    if not (column.dtype.is_numeric() or column.dtype == pl.String) or not numbers(column).fill_null(float("nan")).is_finite().all():
        raise FillsError(f"{path}: {column.name} must be a number of milliseconds in every row: mend the recording")
    delays = numbers(column).to_numpy()
    if delays.min() < 0:
        raise FillsError(f"{path}: a delay of {delays.min():g} ms: nothing arrives before it was sent, so mend the recording")
    return delays
