"""Reference data of an instrument from a vendor's files: what it is (schema `definition`) and when it traded (schema `status`)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import databento_dbn as dbn
import numpy as np

from assets.desk import NS
from assets.ticks.dbn import UNDEFINED, TicksError, _instruments, _open, _records, _wanted

_DEFINITIONS: Final = {1: dbn.InstrumentDefMsgV1, 2: dbn.InstrumentDefMsgV2, 3: dbn.InstrumentDefMsg}

_TRADES: Final = {7: True} | dict.fromkeys((1, 2, 4, 5, 8, 9, 10, 12, 13, 15), False)
"""What an action of schema `status` says of trading, where it is not said outright: 7 is TRADING, 8 HALT, 4 CROSS, ..."""


@dataclass(frozen=True)
class Definition:
    """What an instrument definition says that trading needs."""

    symbol: str
    tick: int
    """Smallest price step, units of 1e-9."""
    multiplier: int
    """Currency per point of price and contract, units of 1e-9."""
    expires_ns: int | None = None
    """Last moment of trading, UTC nanoseconds; None where it has none."""


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
    """Tick size, multiplier and expiry of a raw symbol, from the last of its records; None where there are none.

    Raises:
        TicksError: the file is bad or of another schema.
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
    # CME leaves contract_multiplier undefined and states the contract's size as its unit of measure.
    if int(last["contract_multiplier"]) != 2**31 - 1:
        multiplier = int(last["contract_multiplier"]) * NS
    elif int(last["unit_of_measure_qty"]) != UNDEFINED:
        multiplier = int(last["unit_of_measure_qty"])
    else:
        multiplier = NS
    expires = int(last["expiration"])
    return Definition(symbol, int(last["min_price_increment"]), multiplier, None if expires in (0, dbn.UNDEF_TIMESTAMP) else expires)


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
        for message in _wanted(part, instruments, None):
            trades = {ord("Y"): True, ord("N"): False}.get(message["is_trading"], _TRADES.get(message["action"]))
            at = int(message["ts_event"])
            if trades is False and since is None:
                since = at
            elif trades and since is not None:
                halts.append((since, at))
                since = None
    return halts if since is None else [*halts, (since, UNDEFINED)]
