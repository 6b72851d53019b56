"""Sessions for the tests of this floor: written out by hand, or random within what the books floor may publish."""

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest

from assets.books.schema import LEVELS, CleanBooks, Trades
from assets.lake import check

TICK = 250_000_000
Level = tuple[int, int, int]


class Make:
    """Frames of `clean_books` and `trades` from prices in ticks."""

    tick = TICK

    def books(self, *events: tuple[int, Sequence[Level], Sequence[Level]], rows: Sequence[int] | None = None) -> pl.DataFrame:
        """Events (ts, bids, asks); a level is (price in ticks, size, count), best first."""
        table = []
        for place, (ts, bids, asks) in enumerate(events):
            row = {"ts_event": ts, "ts_recv": ts, "row": place if rows is None else rows[place], "records": 1, "instrument_id": 1}
            for side, levels in (("bid", bids), ("ask", asks)):
                for level in range(LEVELS):
                    price, size, count = levels[level] if level < len(levels) else (None, None, None)
                    row |= {
                        f"{side}_px_{level:02d}": None if price is None else price * TICK,
                        f"{side}_sz_{level:02d}": size,
                        f"{side}_ct_{level:02d}": count,
                    }
            table.append(row)
        books = pl.DataFrame(table, schema={**CleanBooks.empty().schema})
        check(books, CleanBooks, "books of a test")
        return books

    def trades(self, *trades: tuple[int, int, float, int, int]) -> pl.DataFrame:
        """Trades (ts, row, price in ticks, size, aggressor)."""
        table = [
            {"ts_event": ts, "ts_recv": ts, "row": row, "instrument_id": 1, "price": int(price * TICK), "size": size, "aggressor": side}
            for ts, row, price, size, side in trades
        ]
        tape = pl.DataFrame(table, schema={**Trades.empty().schema})
        check(tape, Trades, "trades of a test")
        return tape

    def random(self, seed: int, events: int = 120, start: int = 1_000_000_000, deepest: int = LEVELS) -> tuple[pl.DataFrame, pl.DataFrame]:
        """A session of jumps, holes, coarse stamps, missing levels, one-sided and locked books, trades before their book event."""
        rng = np.random.default_rng(seed)
        ts, row, mid = start, 0, 1000
        books, rows, trades = [], [], []
        for _ in range(events):
            ts += int(rng.choice([0, 1_000, 10_000_000, 700_000_000, 4_000_000_000], p=[0.2, 0.2, 0.3, 0.25, 0.05]))
            mid += int(rng.choice([-3, -1, 0, 1, 3], p=[0.05, 0.15, 0.6, 0.15, 0.05]))
            for _ in range(int(rng.choice([0, 1, 3], p=[0.7, 0.2, 0.1]))):
                trades.append((ts, row, mid + int(rng.integers(-1, 3)), int(rng.integers(1, 9)), int(rng.choice([-1, 0, 1]))))
                row += 1
            sides = []
            for sign in (-1, 1):
                steps = np.cumsum(rng.integers(1, 3, LEVELS)) - 1 + (sign > 0)
                there = 0 if rng.random() < 0.04 else int(rng.integers(1, deepest + 1))
                sides.append([(mid + sign * int(step), int(rng.integers(1, 30)), int(rng.integers(1, 9))) for step in steps[:there]])
            if rng.random() < 0.03 and sides[0] and sides[1]:
                sides[0][0] = (sides[1][0][0], *sides[0][0][1:])  # locked
            books.append((ts, *sides))
            rows.append(row)
            row += 1
        return self.books(*books, rows=rows), self.trades(*trades)


@pytest.fixture(scope="session")
def make() -> Make:
    return Make()
