"""Readings of the book as it stands: which side is heavier, and where that puts the price.

b, a: best bid and ask; B, A: sizes there; subscripts i from 1: levels.
"""

from typing import Final

from assets.features.indicators.base import LEVELS, SLOW, Indicator, Market, Slot, imbalance, mid, moved, remember

_STATES: Final = 4
"""Skews that the micro-price tells apart on each side: quarters, each seen often enough to be learnt within minutes."""


class Skew(Indicator):
    """Top-of-book skew: (B - A) / (B + A).

    Source: Gould and Bonart, Queue imbalance as a one-tick-ahead price predictor, arXiv 1512.03492.
    """

    stem, unit, scale = "skew", "share", (0.01, 1.0)
    defaults = leader_defaults = ({},)

    @staticmethod
    def _step(market: Market, own: Market, mine: Slot) -> float:
        return imbalance(market.now.bid_size[0], market.now.ask_size[0])


class DepthImbalance(Indicator):
    """Depth imbalance: (sum B_i - sum A_i) / (sum B_i + sum A_i) over the levels that exist.

    Source: Cao, Hansch and Wang, The information content of an open limit-order book, J. Futures Markets 29 (2009).
    """

    stem, unit, scale = "depth", "share", (0.01, 1.0)
    parameters = (LEVELS,)
    settings = defaults = ({"levels": 5},)

    @staticmethod
    def _step(market: Market, own: Market, mine: Slot) -> float:
        bids = asks = 0.0
        for level in range(mine.levels):
            bids += market.now.bid_size[level]
            asks += market.now.ask_size[level]
        return imbalance(bids, asks)


class CountImbalance(Indicator):
    """Depth imbalance in resting orders instead of contracts, over the levels that exist.

    Source: as `DepthImbalance`; orders instead of size: Databento's mbp counts.
    """

    stem, unit, scale = "count", "share", (0.01, 1.0)
    parameters = (LEVELS,)
    settings = ({"levels": 5},)

    @staticmethod
    def _step(market: Market, own: Market, mine: Slot) -> float:
        bids = asks = 0.0
        for level in range(mine.levels):
            bids += market.now.bid_count[level]
            asks += market.now.ask_count[level]
        return imbalance(bids, asks)


class Pressure(Indicator):
    """Depth imbalance with each level's size divided by its distance from the mid.

    Source: the price-weighted order imbalance of Cao, Hansch and Wang (as `DepthImbalance`), with weights 1 / distance.
    """

    stem, unit, scale = "pressure", "share", (0.01, 1.0)
    parameters = (LEVELS,)
    settings = ({"levels": 5},)

    @staticmethod
    def _step(market: Market, own: Market, mine: Slot) -> float:
        centre = mid(market.now)
        bids = asks = 0.0
        for level in range(mine.levels):
            if market.now.bid_size[level] > 0.0:
                bids += market.now.bid_size[level] / (centre - market.now.bid[level])
            if market.now.ask_size[level] > 0.0:
                asks += market.now.ask_size[level] / (market.now.ask[level] - centre)
        return imbalance(bids, asks)


class Hollow(Indicator):
    """The hole behind the best price: (a_2 - a_1) - (b_1 - b_2), ticks; zero where there is no second level on both sides.

    Positive where the ask side is hollow, so that a buyer who takes the best ask moves the price further.
    Source: Farmer, Gillemot, Lillo, Mike and Sen, What really causes large price changes?, Quant. Finance 4 (2004).
    """

    stem, unit, scale = "hollow", "ticks", (0.5, 20.0)

    @staticmethod
    def _step(market: Market, own: Market, mine: Slot) -> float:
        if market.now.bid_size[1] == 0.0 or market.now.ask_size[1] == 0.0:
            return 0.0
        above = market.now.ask[1] - market.now.ask[0]
        return above - (market.now.bid[0] - market.now.bid[1])


class WeightedMid(Indicator):
    """Weighted mid minus mid: (b A + a B) / (A + B) - (a + b) / 2 = skew times half the spread, ticks.

    Source: the touch of the volume-adjusted mid price; Gatheral and Oomen, Zero-intelligence
    realized variance estimation, Finance Stoch. 14 (2010).
    """

    stem, unit, scale = "wmid", "ticks", (0.005, 5.0)
    defaults = ({},)

    @staticmethod
    def _step(market: Market, own: Market, mine: Slot) -> float:
        half = (market.now.ask[0] - market.now.bid[0]) / 2.0
        return imbalance(market.now.bid_size[0], market.now.ask_size[0]) * half


class Vamp(Indicator):
    """Volume-adjusted mid price over several levels minus mid: sum (b_i A_i + a_i B_i) / sum (A_i + B_i) - (a + b) / 2, ticks.

    Levels that exist on both sides. Source: VAMP in hftbacktest's examples of alpha from order-book imbalance.
    """

    stem, unit, scale = "vamp", "ticks", (0.005, 5.0)
    parameters = (LEVELS,)
    settings = ({"levels": 5},)

    @staticmethod
    def _step(market: Market, own: Market, mine: Slot) -> float:
        centre = mid(market.now)
        lean = weight = 0.0
        for level in range(mine.levels):
            bids, asks = market.now.bid_size[level], market.now.ask_size[level]
            if bids > 0.0 and asks > 0.0:
                lean += (market.now.bid[level] - centre) * asks + (market.now.ask[level] - centre) * bids
                weight += bids + asks
        return lean / weight if weight > 0.0 else 0.0


class MicroPrice(Indicator):
    """Micro-price minus mid: the mean move of the mid at its next change, given the skew; ticks.

    In quarters of |skew|, sums decayed with `slow` of the next move times the skew's sign, over as many rows; learnt
    as it goes and zero until then. The two sides share one table, so the sign is exactly odd. Source: the first step of
    Stoikov's recursion, The micro-price, SSRN 2970694, on data symmetrised as he does, whatever the spread.
    """

    stem, unit, scale = "micro", "ticks", (0.005, 5.0)
    parameters = (SLOW,)

    @staticmethod
    def _step(market: Market, own: Market, mine: Slot) -> float:
        # Cells by state: 0 rows that wait for the next move, 4 their signs, 8 rows that had it, 12 sign * move.
        move = moved(market)
        for state in range(_STATES):
            rows, signs = (mine.memory[state], mine.memory[4 + state]) if move != 0.0 else (0.0, 0.0)
            remember(mine, 8 + state, mine.slow, rows)
            remember(mine, 12 + state, mine.slow, signs * move)
            if move != 0.0:
                mine.memory[state] = mine.memory[4 + state] = 0.0
        skew = imbalance(market.now.bid_size[0], market.now.ask_size[0])
        if skew == 0.0:
            return 0.0
        state, sign = min(int(abs(skew) * _STATES), _STATES - 1), 1.0 if skew > 0.0 else -1.0
        mine.memory[state] += 1.0
        mine.memory[4 + state] += sign
        return sign * mine.memory[12 + state] / mine.memory[8 + state] if mine.memory[8 + state] > 0.0 else 0.0
