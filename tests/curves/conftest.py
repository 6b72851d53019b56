"""Data of known truth: indicators on stated scales, labels in half ticks made from a known odd additive function of them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
import pytest

from assets.curves.statistics import Statistics, session_statistics

HORIZON_NS = 10_000_000_000


class Scale(NamedTuple):
    """An indicator as far as the curves know one."""

    name: str
    lo: float = 0.01
    hi: float = 3.0
    version: str = "1"


class Planted(NamedTuple):
    """A feature table, and what its labels are made of."""

    indicators: list[Scale]
    features: pl.DataFrame
    signal: np.ndarray
    horizon_ns: int = HORIZON_NS

    def oracle(self) -> float:
        """R2 of the one who knows the function."""
        label = self.features["label"].to_numpy()
        return float(1 - np.sum((label - self.signal) ** 2) / np.sum(label.astype(float) ** 2))

    def r2(self, prediction: np.ndarray) -> float:
        label = self.features["label"].to_numpy().astype(float)
        return float(1 - np.sum((label - prediction) ** 2) / np.sum(label**2))

    def statistics(self, rows: slice = slice(None)) -> Statistics:
        return session_statistics(self.features[rows], self.indicators, horizon_ns=self.horizon_ns)

    def sessions(self, number: int) -> list[Statistics]:
        size = -(-self.features.height // number)
        return [self.statistics(slice(k * size, (k + 1) * size)) for k in range(number)]


SHAPES: Sequence[Callable[[np.ndarray], np.ndarray]] = (
    lambda x: np.tanh(2 * x),
    lambda x: np.sign(x) * np.sqrt(np.abs(x)),
    lambda x: x * np.exp(-(x**2)),
    lambda x: 0.5 * x,
)


def _planted(rows: int, seed: int, *, signal: float = 1.0, noise: float = 4.0, correlation: float = 0.0, size: int = 4) -> Planted:
    random = np.random.default_rng(seed)
    common = random.standard_normal(rows)
    values = np.sqrt(1 - correlation) * random.standard_normal((size, rows)) + np.sqrt(correlation) * common
    values = values.astype(np.float32)
    move = signal * sum(shape(x.astype(float)) for shape, x in zip(SHAPES, values, strict=False))
    label = np.rint(2 * (move + noise * random.standard_normal(rows))) / 2
    indicators = [Scale(f"x{k}") for k in range(size)]
    columns = {scale.name: x for scale, x in zip(indicators, values, strict=True)}
    return Planted(indicators, pl.DataFrame(columns | {"label": label.astype(np.float32)}), np.asarray(move))


@pytest.fixture(scope="session")
def planted() -> Callable[..., Planted]:
    """Makes rows of a known additive signal in noise; `correlation` is that of every pair of indicators."""
    return _planted


@pytest.fixture(scope="session")
def scale() -> type[Scale]:
    return Scale
