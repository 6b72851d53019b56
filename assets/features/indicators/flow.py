"""Flows of orders and trades: what came to and went from each side, remembered with exponential decay.

D(x) is the decayed sum of x with `tau`, S(x) that with `slow`: D <- D * exp(-dt / tau) + x.
b, a: best bid and ask; B, A: sizes there; subscript 0: one row before.
"""

from assets.features.indicators.base import LEVELS, SLOW, TAU, Indicator, Market, Slot, imbalance, moved, part, remember


@part
def _order_flow(market, level):  # type: ignore[no-untyped-def]
    now, before = market.now, market.before
    flow = 0.0  # comparisons with the NaN of a missing level are false: no flow where there is nothing to compare
    if now.bid[level] >= before.bid[level]:
        flow += now.bid_size[level]
    if now.bid[level] <= before.bid[level]:
        flow -= before.bid_size[level]
    if now.ask[level] <= before.ask[level]:
        flow -= now.ask_size[level]
    if now.ask[level] >= before.ask[level]:
        flow += before.ask_size[level]
    return flow


@part
def _usual_touch(market, mine):  # type: ignore[no-untyped-def]
    # Contracts mean little across markets and weeks: told in multiples of what usually stands at the touch. Cells 2 and 3.
    standing = market.now.bid_size[0] + market.now.ask_size[0]
    total = remember(mine, 2, mine.slow, standing)
    return total / remember(mine, 3, mine.slow, 1.0)


class OrderFlow(Indicator):
    """Order-flow imbalance: D(e) / mean(B + A), e = 1[b>=b0] B - 1[b<=b0] B0 - 1[a<=a0] A + 1[a>=a0] A0; ticks.

    The mean is over rows, decayed with `slow`. With depth d a side the price moves e / 2d ticks in the
    model of the source. Source: Cont, Kukanov and Stoikov, The price impact of order book events, arXiv 1011.6402.
    """

    stem, unit, scale = "ofi", "ticks", (0.005, 20.0)
    parameters = (TAU, SLOW)
    settings = defaults = ({"tau": 1.0}, {"tau": 10.0})
    leader_defaults = ({"tau": 1.0},)

    @staticmethod
    def _step(market: Market, own: Market, mine: Slot) -> float:
        flow = remember(mine, 0, mine.keep, _order_flow(market, 0))
        return flow / _usual_touch(market, mine)


class DeepOrderFlow(Indicator):
    """Order-flow imbalance summed over several levels: as `OrderFlow`, each level against itself one row before; ticks.

    Source: Xu, Gould and Howison, Multi-level order-flow imbalance in a limit order book, arXiv 1907.06230.
    """

    stem, unit, scale = "deep_ofi", "ticks", (0.005, 100.0)
    parameters = (LEVELS, TAU, SLOW)
    settings = ({"levels": 5, "tau": 1.0},)

    @staticmethod
    def _step(market: Market, own: Market, mine: Slot) -> float:
        flow = 0.0
        for level in range(mine.levels):
            flow += _order_flow(market, level)
        return remember(mine, 0, mine.keep, flow) / _usual_touch(market, mine)


@part
def _sign(change):  # type: ignore[no-untyped-def]
    return 1.0 * (change > 0.0) - 1.0 * (change < 0.0)  # without a branch: which way a queue goes is anybody's guess


class FreshFlow(Indicator):
    """Fresh flow: D(sgn(B - B0) - sgn(A - A0)) since a best price last moved: what grew or shrank a queue counts one, however large.

    A new price has new queues, so what built the old ones is forgotten.
    Source: Cont and de Larrard, Price dynamics in a Markovian limit order market, arXiv 1104.4596, for queues renewed at each move.
    """

    stem, unit, scale = "fresh", "events", (0.05, 30.0)
    parameters = (TAU,)
    settings = defaults = leader_defaults = ({"tau": 1.0}, {"tau": 5.0})

    @staticmethod
    def _step(market: Market, own: Market, mine: Slot) -> float:
        now, before = market.now, market.before
        if now.bid[0] != before.bid[0] or now.ask[0] != before.ask[0]:
            mine.memory[0] = 0.0
            return 0.0
        lean = _sign(now.bid_size[0] - before.bid_size[0]) - _sign(now.ask_size[0] - before.ask_size[0])
        return remember(mine, 0, mine.keep, lean)


class OrderImbalance(Indicator):
    """Order imbalance: (D(buy orders) - D(sell orders)) / (D(buy orders) + D(sell orders)), orders that joined the best price.

    Orders that joined: the rise of the count at the same best price, the whole count at a better one.
    Source: the number of buy less sell orders in a window, by arrivals as in Cont, Stoikov and Talreja, Oper. Res. 58 (2010).
    """

    stem, unit, scale = "orders", "share", (0.01, 1.0)
    parameters = (TAU,)
    settings = defaults = ({"tau": 5.0},)

    @staticmethod
    def _step(market: Market, own: Market, mine: Slot) -> float:
        now, before = market.now, market.before
        buys = sells = 0.0
        if now.bid[0] > before.bid[0]:
            buys = now.bid_count[0]
        elif now.bid[0] == before.bid[0]:
            buys = max(now.bid_count[0] - before.bid_count[0], 0.0)
        if now.ask[0] < before.ask[0]:
            sells = now.ask_count[0]
        elif now.ask[0] == before.ask[0]:
            sells = max(now.ask_count[0] - before.ask_count[0], 0.0)
        return imbalance(remember(mine, 0, mine.keep, buys), remember(mine, 1, mine.keep, sells))


class CancelImbalance(Indicator):
    """Cancel imbalance: (D(ask cancels) - D(bid cancels)) / (D(ask cancels) + D(bid cancels)), contracts withdrawn at the best price.

    Withdrawn: the fall of the size at the same best price, or all of it at a price that is gone, less what was traded there.
    Source: the cancellations within order flow; Cont, Kukanov and Stoikov (as `OrderFlow`), section 2.
    """

    stem, unit, scale = "cancels", "share", (0.01, 1.0)
    parameters = (TAU,)
    settings = ({"tau": 5.0},)

    @staticmethod
    def _step(market: Market, own: Market, mine: Slot) -> float:
        now, before = market.now, market.before
        bids = asks = 0.0
        if now.bid[0] <= before.bid[0]:
            left = now.bid_size[0] if now.bid[0] == before.bid[0] else 0.0
            bids = max(before.bid_size[0] - left - market.trades.sell_volume, 0.0)
        if now.ask[0] >= before.ask[0]:
            left = now.ask_size[0] if now.ask[0] == before.ask[0] else 0.0
            asks = max(before.ask_size[0] - left - market.trades.buy_volume, 0.0)
        return imbalance(remember(mine, 0, mine.keep, asks), remember(mine, 1, mine.keep, bids))


class TradeFlow(Indicator):
    """Trade-flow imbalance: (D(V_buy) - D(V_sell)) / (D(V_buy) + D(V_sell)), contracts by the side that took.

    Source: Chordia, Roll and Subrahmanyam, Order imbalance, liquidity, and market returns, J. Financ. Econ. 65 (2002).
    """

    stem, unit, scale = "trades", "share", (0.01, 1.0)
    parameters = (TAU,)
    settings = defaults = leader_defaults = ({"tau": 5.0},)

    @staticmethod
    def _step(market: Market, own: Market, mine: Slot) -> float:
        bought = remember(mine, 0, mine.keep, market.trades.buy_volume)
        return imbalance(bought, remember(mine, 1, mine.keep, market.trades.sell_volume))


class TradeCountFlow(Indicator):
    """Trade-flow imbalance in trades instead of contracts: (D(buys) - D(sells)) / (D(buys) + D(sells)).

    Source: as `TradeFlow`, its imbalance by number.
    """

    stem, unit, scale = "trade_count", "share", (0.01, 1.0)
    parameters = (TAU,)
    settings = ({"tau": 5.0},)

    @staticmethod
    def _step(market: Market, own: Market, mine: Slot) -> float:
        bought = remember(mine, 0, mine.keep, market.trades.buys)
        return imbalance(bought, remember(mine, 1, mine.keep, market.trades.sells))


class SignedVolume(Indicator):
    """Signed volume: D(V_buy - V_sell) / mean(B + A), what takers bought less what they sold, in multiples of the usual touch.

    Source: Hasbrouck, Measuring the information content of stock trades, J. Finance 46 (1991); the scale as in `OrderFlow`.
    """

    stem, unit, scale = "volume", "touches", (0.005, 20.0)
    parameters = (TAU, SLOW)
    settings = ({"tau": 5.0},)

    @staticmethod
    def _step(market: Market, own: Market, mine: Slot) -> float:
        signed = market.trades.buy_volume - market.trades.sell_volume
        return remember(mine, 0, mine.keep, signed) / _usual_touch(market, mine)


class TradeImpulse(Indicator):
    """Last-trade impulse: +1 after a buyer took, -1 after a seller did, fading as exp(-age / tau).

    Source: Bouchaud, Gefen, Potters and Wyart, Fluctuations and response in financial markets, Quant. Finance 4 (2004).
    """

    stem, unit, scale = "impulse", "share", (0.01, 1.0)
    parameters = (TAU,)
    settings = ({"tau": 2.0},)

    @staticmethod
    def _step(market: Market, own: Market, mine: Slot) -> float:
        if market.trades.buys == 0.0 and market.trades.sells == 0.0:
            return remember(mine, 0, mine.keep, 0.0)
        # Where both sides took between two rows, their balance is the last word.
        return remember(mine, 0, 0.0, imbalance(market.trades.buy_volume, market.trades.sell_volume))


class TradeRun(Indicator):
    """Run of same-side trades: how many trades in a row the same side took, with its sign.

    Source: Lillo and Farmer, The long memory of the efficient market, Stud. Nonlinear Dyn. E. 8 (2004), for the persistence of signs.
    """

    stem, unit, scale = "run", "trades", (1.0, 200.0)

    @staticmethod
    def _step(market: Market, own: Market, mine: Slot) -> float:
        buys, sells = market.trades.buys, market.trades.sells
        run = mine.memory[0]
        if buys > 0.0 and sells > 0.0:
            run = buys - sells  # both sides took between two rows: the run is broken
        elif buys > 0.0:
            run = max(run, 0.0) + buys
        elif sells > 0.0:
            run = min(run, 0.0) - sells
        mine.memory[0] = run
        return run


class PriceImpact(Indicator):
    """Expected impact of the recent volume: lambda * D(q), q = V_buy - V_sell between two rows; ticks.

    Kyle's lambda = S(dM * q) / S(q * q), dM the change of the mid with it; zero until there was a trade.
    Source: Kyle, Continuous auctions and insider trading, Econometrica 53 (1985).
    """

    stem, unit, scale = "impact", "ticks", (0.005, 20.0)
    parameters = (TAU, SLOW)
    settings = ({"tau": 5.0},)

    @staticmethod
    def _step(market: Market, own: Market, mine: Slot) -> float:
        signed = market.trades.buy_volume - market.trades.sell_volume
        recent = remember(mine, 0, mine.keep, signed)
        together = remember(mine, 1, mine.slow, signed * moved(market))
        squares = remember(mine, 2, mine.slow, signed * signed)
        return together / squares * recent if squares > 0.0 else 0.0
