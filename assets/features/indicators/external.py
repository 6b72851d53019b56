"""A table of the user's own as an indicator: news, sentiment, another venue, anything with a time and a number."""

from dataclasses import dataclass
from typing import Final

from assets.features.errors import FeaturesError
from assets.features.indicators.base import Indicator, Market, Slot

_LONGEST: Final = 3.2e8
"""Seconds; a time of this century and so long a delay are still nanoseconds of 64 bits."""


@dataclass(frozen=True)
class External(Indicator):
    """A series of the user's own: sign * v of the latest row of its table with ts + delay <= t; zero before the first.

    The delay is what it takes from the table's own time until we know the value; one that is too short is a look into
    the future that no test can see. Source: the user's table, read by `assets.features.tables`.
    """

    series: str = ""
    """Name of the table, and of the column after `external_`."""
    delay: float = 0.0
    """Seconds."""
    sign: int = 1
    """-1 where the table's large values mean down."""
    smallest: float = 0.01
    """As `lo`: the scale is the table's own."""
    largest: float = 100.0
    """As `hi`."""

    stem, unit, scale = "external", "its own", (0.01, 100.0)
    settings = ()

    def __post_init__(self) -> None:
        """Check the name, the delay, the sign and the scale beside what every indicator checks."""
        super().__post_init__()
        if not (self.series.isascii() and self.series.replace("_", "a").isalnum()):
            raise FeaturesError(f"external series {self.series!r}: its name may hold letters, digits and _ only")
        if self.leader:
            raise FeaturesError(f"external series {self.series} belongs to no market: leave out leader {self.leader}")
        if not 0 <= self.delay <= _LONGEST:
            raise FeaturesError(f"external series {self.series}: its delay must be 0 s to ten years ({_LONGEST:g} s), not {self.delay:g}")
        if self.sign not in {-1, 1}:
            raise FeaturesError(f"external series {self.series}: its sign must be 1 or -1, not {self.sign}")
        if not 0 < self.smallest < self.largest:
            scale = f"{self.smallest:g} and {self.largest:g}"
            raise FeaturesError(f"external series {self.series}: smallest must be above 0 and below largest, not {scale}")

    @property
    def name(self) -> str:
        """Column name."""
        return f"{self.stem}_{self.series.lower()}"

    @property
    def lo(self) -> float:
        """Smallest |value| that matters."""
        return self.smallest

    @property
    def hi(self) -> float:
        """|value| from which on all is one bucket."""
        return self.largest

    @property
    def version(self) -> str:
        """Changes with the delay and the sign too."""
        return f"{super().version}[{self.delay:g}s,{self.sign}]"

    @staticmethod
    def _step(market: Market, own: Market, mine: Slot) -> float:
        return mine.memory[0]
