"""How good a forecast is on rows that it has not seen, and how sure that is: everything is summed by blocks of the test.

Labels ten seconds long overlap, so rows are no independent observations; sessions nearly are. With Q = sum a_b / sum c_b over
B blocks, the standard error of Q is sqrt(B / (B - 1) sum (a_b - Q c_b)^2) / sum c_b (the linearised ratio estimator, Cochran
1977, Sampling Techniques, ch. 6), and its interval takes Student's t with B - 1 degrees of freedom.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from scipy.stats import t as student

from assets.curves.statistics import Floats
from assets.curves.training import Forecast, Rows

BLOCKS_OF_ONE: Final = 10
"""Consecutive stretches that stand for sessions where there is only one. They miss what differs from day to day."""

LEVEL: Final = 0.95
"""Of every interval here."""


class Interval(NamedTuple):
    """A ratio of sums, its standard error and its bounds; null where one block leaves nothing to compare, or nothing moved."""

    value: float | None
    error: float | None
    low: float | None
    high: float | None


def ratio(above: Floats, below: Floats) -> Interval:
    """sum above / sum below over the blocks, [B] each."""
    whole, blocks = float(below.sum()), len(below)
    if not whole:
        return Interval(None, None, None, None)
    value = float(above.sum()) / whole
    if blocks < 2:
        return Interval(value, None, None, None)
    error = float(np.sqrt(blocks / (blocks - 1) * np.square(above - value * below).sum())) / whole
    reach = error * float(student.ppf((1 + LEVEL) / 2, blocks - 1))
    return Interval(value, error, value - reach, value + reach)


@dataclass(frozen=True)
class Unseen:
    """Rows that no model was trained on, in blocks."""

    blocks: tuple[Rows, ...]

    @staticmethod
    def of(sessions: Sequence[Rows]) -> "Unseen":
        """A block a session; a single session in stretches."""
        known = [session for session in sessions if len(session.label)]
        if len(known) == 1:
            parts = zip(*(np.array_split(array, BLOCKS_OF_ONE) for array in (known[0].values, known[0].label)), strict=True)
            known = [Rows(values, label) for values, label in parts if len(label)]
        return Unseen(tuple(known))

    @property
    def rows(self) -> int:
        """In all."""
        return sum(len(block.label) for block in self.blocks)

    @property
    def label(self) -> Floats:
        """[n], block after block."""
        return np.concatenate([block.label for block in self.blocks]) if self.blocks else np.empty(0)

    @property
    def moved(self) -> Floats:
        """Sum of label squared, [B]."""
        return np.array([np.square(block.label).sum() for block in self.blocks])

    def sample(self, most: int) -> "Unseen":
        """Every k-th row of each block, about `most` in all."""
        every = max(1, -(-self.rows // most))
        return Unseen(tuple(Rows(block.values[::every], block.label[::every]) for block in self.blocks))


def predicted(forecast: Forecast, unseen: Unseen) -> list[Floats]:
    """Predictions of each block."""
    return [forecast.predict(block.values).astype(np.float64) for block in unseen.blocks]


def squared_errors(moves: Sequence[Floats], unseen: Unseen) -> Floats:
    """Sum of squared errors, [B]."""
    return np.array([np.square(block.label - move).sum() for move, block in zip(moves, unseen.blocks, strict=True)])


def rank_correlation(moves: Floats, label: Floats) -> float | None:
    """Spearman's; null for a constant prediction."""
    ranks = pl.select(pl.corr(pl.lit(pl.Series(moves)), pl.lit(pl.Series(label)), method="spearman")).item() if len(label) else None
    return None if ranks is None or np.isnan(ranks) else float(ranks)


def importance(forecast: Forecast, unseen: Unseen) -> Mapping[str, Interval]:
    """By how much R2 falls when an indicator's values are shuffled among the rows of a block (Breiman 2001, Random forests).

    Shuffled within blocks, so that an indicator is not credited with what differs from session to session; the same shuffles for every
    model. The interval tells how the fall differs between blocks, the chance of the shuffle included.
    """
    before = squared_errors(predicted(forecast, unseen), unseen)
    orders = [np.random.default_rng(k).permutation(len(block.label)) for k, block in enumerate(unseen.blocks)]
    found = {}
    for j, indicator in enumerate(forecast.indicators):
        blocks = []
        for block, order in zip(unseen.blocks, orders, strict=True):
            values = block.values.copy()
            values[:, j] = values[order, j]
            blocks.append(Rows(values, block.label))
        shuffled = Unseen(tuple(blocks))
        found[indicator.name] = ratio(squared_errors(predicted(forecast, shuffled), shuffled) - before, unseen.moved)
    return found
