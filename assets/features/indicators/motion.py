"""Motion of prices: momentum and reversion, the distance from where trades were, the leader's move not yet followed.

D(x) is the decayed sum of x with `tau`, S(x) that with `slow`. M: the mid; dM: its change from row to row.
The mid minus its exponential moving average is D(dM): both fall by 1 / tau of themselves in a unit of
time and rise by dM. Computed as such it is a sum of differences and loses nothing to a price's size.
"""

import math

from assets.features.indicators.base import SLOW, TAU, Indicator, Market, Slot, mid, moved, remember


class Momentum(Indicator):
    """Momentum: M - EWMA_tau(M) = D(dM), ticks.

    Source: the price against its moving average; Brock, Lakonishok and LeBaron, J. Finance 47 (1992).
    """

    stem, unit, scale = "momentum", "ticks", (0.005, 50.0)
    parameters = (TAU,)
    settings = defaults = ({"tau": 1.0}, {"tau": 10.0}, {"tau": 60.0})
    leader_defaults = ({"tau": 1.0}, {"tau": 10.0})

    @staticmethod
    def _step(market: Market, own: Market, mine: Slot) -> float:
        return remember(mine, 0, mine.keep, moved(market))


class Crossover(Indicator):
    """Crossing averages: EWMA_tau(M) - EWMA_slow(M) = S(dM) - D(dM), ticks; `tau` is the faster.

    Source: Appel's moving average convergence divergence, without its signal line.
    """

    stem, unit, scale = "cross", "ticks", (0.005, 50.0)
    parameters = (TAU, SLOW)
    settings = ({"tau": 5.0, "slow": 30.0},)

    @staticmethod
    def _step(market: Market, own: Market, mine: Slot) -> float:
        change = moved(market)
        fast = remember(mine, 0, mine.keep, change)
        return remember(mine, 1, mine.slow, change) - fast


class Stretch(Indicator):
    """How unusual the momentum is: D(dM) / sqrt(S(dM^2) * tau / slow), a z-score.

    The root is the volatility over tau seconds as the last `slow` seconds had it. Zero until the mid has moved.
    Source: Andersen and Bollerslev, Answering the skeptics, Int. Econ. Rev. 39 (1998), for realised volatility, here decayed.
    """

    stem, unit, scale = "stretch", "deviations", (0.01, 10.0)
    parameters = (TAU, SLOW)
    settings = ({"tau": 10.0},)

    @staticmethod
    def _step(market: Market, own: Market, mine: Slot) -> float:
        change = moved(market)
        momentum = remember(mine, 0, mine.keep, change)
        variance = remember(mine, 1, mine.slow, change * change) * mine.share
        return momentum / math.sqrt(variance) if variance > 0.0 else 0.0


class VwapDistance(Indicator):
    """Mid minus the decayed volume-weighted average price of trades, M - D(q p) / D(q), ticks; zero without trades.

    Source: Berkowitz, Logue and Noser, The total cost of transactions on the NYSE, J. Finance 43 (1988), for the average.
    """

    stem, unit, scale = "vwap", "ticks", (0.01, 50.0)
    parameters = (TAU,)
    settings = ({"tau": 30.0},)

    @staticmethod
    def _step(market: Market, own: Market, mine: Slot) -> float:
        volume = remember(mine, 0, mine.keep, market.trades.volume)
        # D(q (p - M)): with every move of the mid all that was traded before is that much further away.
        away = remember(mine, 1, mine.keep, market.trades.premium - volume * moved(market))
        return -away / volume if volume > 0.0 else 0.0


class LastTrade(Indicator):
    """Price of the last trade minus the mid of now, ticks: a buyer paid up, and the mid may follow or not; zero without trades.

    Source: Roll, A simple implicit measure of the effective bid-ask spread, J. Finance 39 (1984), for the bounce.
    """

    stem, unit, scale = "last_trade", "ticks", (0.25, 20.0)

    @staticmethod
    def _step(market: Market, own: Market, mine: Slot) -> float:
        return 0.0 if math.isnan(market.last) else market.last - mid(market.now)


class LeaderGap(Indicator):
    """The leader's move not yet followed: beta * D(dM_leader) - D(dM_own), in ticks of the traded market.

    beta = S(D(dM_leader) * D(dM_own)) / S(D(dM_leader)^2) is learnt as it goes; zero until the leader has moved.
    Source: Huth and Abergel, High frequency lead/lag relationships, arXiv 1111.7103, for leading and lagging assets.
    """

    stem, unit, scale = "gap", "ticks", (0.005, 20.0)
    parameters = (TAU, SLOW)
    settings = leader_defaults = ({"tau": 2.0},)
    needs_leader = True

    @staticmethod
    def _step(market: Market, own: Market, mine: Slot) -> float:
        lead = remember(mine, 0, mine.keep, moved(market))
        followed = remember(mine, 1, mine.keep, moved(own))
        together = remember(mine, 2, mine.slow, lead * followed)
        squares = remember(mine, 3, mine.slow, lead * lead)
        return together / squares * lead - followed if squares > 0.0 else 0.0
