"""Reference data of an instrument from a vendor's files: what it is (schema `definition`) and when it traded (schema `status`)."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import databento_dbn as dbn
import numpy as np

from assets.desk import PRICE_UNIT
from assets.ticks.dbn import UNDEFINED, TicksError, _instruments, _open, _records, _wanted

_DEFINITIONS: Final = {1: dbn.InstrumentDefMsgV1, 2: dbn.InstrumentDefMsgV2, 3: dbn.InstrumentDefMsg}

_TRADES: Final = {7: True} | dict.fromkeys((1, 2, 4, 5, 8, 9, 10, 12, 13, 15), False)
"""What an action of schema `status` says of trading, where it is not said outright: 7 is TRADING, 8 HALT, 4 CROSS, ..."""


_PER_POINT: Final = {"IPNT": 1, "BU": 100}
"""Units of measure with one price convention: an index is quoted in points that are worth the unit, grains in cents a bushel."""

_CURRENCIES: Final = "AUD BRL BTC CAD CHF CNH CNY CZK DKK ETH EUR GBP HKD HUF ILS INR JPY KRW MXN NOK NZD PLN SEK SGD THB TRY TWD USD ZAR"
"""Units of measure that are money."""

_SHARES: Final = frozenset("KX")
"""Instrument classes of which one contract is one unit of what is quoted: stocks and spot currencies."""


@dataclass(frozen=True)
class Definition:
    """What an instrument definition says that trading needs; None where the vendor says nothing (its own sentinels)."""

    symbol: str
    tick: int | None
    """Smallest price step, units of 1e-9."""
    worths: tuple[float, ...]
    """What one tick on one contract is worth, currency: as the price is scaled, and as it stands."""
    unit: float | None
    """Contracts' size, in `measure`."""
    measure: str
    """What the unit counts, in capitals: IPNT, BU, BBL, a currency."""
    deliveries: int | None
    """How many units a contract delivers (days of a calendar contract)."""
    instrument_class: str
    currency: str | None
    expires_ns: int | None = None
    """Last moment of trading, UTC nanoseconds; None where it has none."""

    def multiplier(self, tick: int) -> float:
        """Currency per point of price and contract.

        The stated worth of a tick over the tick, where the contract's unit confirms it: a price is in the currency a unit, or in
        hundredths of it (cents, percent of par). Else the unit by what is known of it: index points are worth the unit, bushels are
        quoted in cents, a unit in the contract's own currency is a par value quoted in percent, one in another currency is an amount
        of it. Else the stated worth alone where there is no unit; one for a share.

        Raises:
            TicksError: the two contradict each other, or neither is stated.
        """
        stated = [worth * PRICE_UNIT / tick for worth in self.worths]
        units = [] if self.unit is None else [self.unit, self.unit * (self.deliveries or 1)]
        for one in stated:
            if not units or any(math.isclose(one * per, unit, rel_tol=1e-6) for unit in units for per in (1, 100)):
                return one
        per = _PER_POINT.get(self.measure)
        if self.measure in _CURRENCIES.split():
            per = 100 if self.measure == self.currency else 1
        if units and per is not None:
            return units[-1] / per
        if not units and (self.deliveries is not None or self.instrument_class in _SHARES):
            return float(self.deliveries or 1)
        size = f"a unit of {self.unit:g} {self.measure}" if units else "no unit"
        says = f"a worth of {self.worths[0]:g} a tick that does not follow from it" if stated else "no worth of a tick"
        remedy = "leave the definition out for a P&L in ticks, or state tick_size and multiplier on a desk"
        raise TicksError(f"the definition of {self.symbol} states {size.strip()} and {says}: {remedy}")


def read_definition(path: Path, symbol: str) -> Definition:
    """What `find_definition` finds.

    Raises:
        TicksError: further: the file does not define the symbol.
    """
    definition = find_definition(path, symbol)
    if definition is None:
        raise TicksError(f"{path} does not define {symbol}: ask for the definition of that symbol")
    return definition


def find_definition(path: Path, symbol: str) -> Definition | None:
    """What the last record of a raw symbol says of it; None where there is none.

    Raises:
        TicksError: the file is bad or of another schema, or the symbol's tick is zero or varies with its price.
    """
    metadata, blocks = _open(path)
    if str(metadata.schema) != "definition":
        raise TicksError(f"{path} has schema {metadata.schema}, not definition")
    dtype = np.dtype(_DEFINITIONS[metadata.version]._dtypes)
    found = [part[part["raw_symbol"] == symbol.encode()][-1:] for part in _records(path, dtype, blocks)]
    rows = np.concatenate(found) if found else np.zeros(0, dtype)
    if not rows.size:
        return None
    last = rows[-1]
    tick = int(last["min_price_increment"])
    if tick <= 0:
        remedy = "leave the definition out: the tick is then the desk's, or seen from the prices"
        raise TicksError(f"{path} gives {symbol} a tick of {tick / PRICE_UNIT:g}, as where it varies with the price: {remedy}")
    scale = _fixed(last["display_factor"]) or 1.0
    worth = _fixed(last["min_price_increment_amount"])
    deliveries = int(last["contract_multiplier"])
    expires = int(last["expiration"])
    return Definition(
        symbol=symbol,
        tick=None if tick == UNDEFINED else tick,
        worths=() if worth is None else (worth / scale, worth),
        unit=_fixed(last["unit_of_measure_qty"]),
        measure=_text(last["unit_of_measure"]).upper(),
        deliveries=None if deliveries in (0, _UNDEFINED_INT) else deliveries,
        instrument_class=_text(last["instrument_class"]),
        currency=_text(last["currency"]) or None,
        expires_ns=None if expires in (0, UNDEFINED, dbn.UNDEF_TIMESTAMP) else expires,
    )


_UNDEFINED_INT: Final = 2**31 - 1
"""DBN's int32 for "not stated"."""


def _fixed(value: Any) -> float | None:
    """A fixed-point figure of which nothing is less than nothing: None for the vendor's sentinels, for zero and below."""
    return None if int(value) == UNDEFINED or int(value) <= 0 else int(value) / PRICE_UNIT


def _text(value: bytes) -> str:
    return value.decode("ascii", "replace").strip("\0 ")


def read_halts(path: Path, symbol: str) -> list[tuple[int, int]]:
    """Stretches without continuous trading, from a file of schema `status`: (begin, end) in UTC nanoseconds, end exclusive.

    A message says whether the instrument trades, or its action does; a stretch that nothing ends lasts for ever.

    Raises:
        TicksError: the file is bad, of another schema, or holds nothing of the symbol.
    """
    metadata, blocks = _open(path)
    if str(metadata.schema) != "status":
        raise TicksError(f"{path} has schema {metadata.schema}, not status")
    layout = np.dtype([(name, kind.replace("S1", "u1")) for name, kind in dbn.StatusMsg._dtypes])
    instruments, halts, since = _instruments(path, metadata, symbol), list[tuple[int, int]](), None
    for part in _records(path, layout, blocks):
        for message in _wanted(part, instruments):
            trades = {ord("Y"): True, ord("N"): False}.get(message["is_trading"], _TRADES.get(message["action"]))
            at = int(message["ts_event"])
            if trades is False and since is None:
                since = at
            elif trades and since is not None:
                halts.append((since, at))
                since = None
    return halts if since is None else [*halts, (since, UNDEFINED)]
