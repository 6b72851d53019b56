"""Definitions: what a tick is worth for one product of each group, and the vendor's words for nothing."""

from pathlib import Path

import databento_dbn as dbn
import numpy as np
import pytest

from assets.desk import PRICE_UNIT
from assets.ticks.dbn import UNDEFINED, TicksError, header_of
from assets.ticks.reference import Definition, find_definition

START, END = 1_704_672_000 * 10**9, 1_704_758_400 * 10**9
LAYOUT = np.dtype(dbn.InstrumentDefMsg._dtypes)


def write(path: Path, **fields: float | str | None) -> Path:
    """A definition of X: fields in the vendor's names, prices as they read; None is the vendor's own word for nothing."""
    record = np.zeros(1, LAYOUT)
    for name in LAYOUT.names or ():
        kind = LAYOUT[name]
        if kind.kind in "iu" and name not in {"length", "rtype"}:
            record[name] = np.iinfo(kind).max
    record["length"], record["rtype"], record["raw_symbol"], record["security_update_action"] = LAYOUT.itemsize // 4, 19, b"X", b"A"
    record["ts_event"] = record["ts_recv"] = START
    for name, value in fields.items():
        if isinstance(value, str):
            record[name] = value.encode()
        elif value is not None:
            record[name] = round(value * PRICE_UNIT) if LAYOUT[name].itemsize == 8 and name != "expiration" else value
    path.write_bytes(
        header_of(dataset="GLBX.MDP3", schema="definition", instruments={"X": [1]}, start_ns=START, end_ns=END) + record.tobytes()
    )
    return path


USD = {"currency": "USD", "instrument_class": "F"}
# Of each product: its tick, the tick's worth by the exchange's contract specification, and what its definition states: the contract's
# unit, what it counts, the worth of a tick before the display factor, and that factor.
PRODUCTS = {
    "index future": (0.25, 12.5, (50, "IPNT", 0.125, 0.01)),
    "index future, no worth": (0.25, 5, (20, "IPNT", None, None)),
    "grain": (0.25, 12.5, (5_000, "Bu", 0.125, 0.01)),
    "grain, no worth": (0.25, 12.5, (5_000, "Bu", None, None)),
    "livestock": (0.025, 10, (40_000, "Lbs", 10, 1)),
    "copper": (0.0005, 12.5, (25_000, "LBS", 12.5, 1)),
    "ten-year note": (0.015625, 15.625, (100_000, "USD", 15.625, 1)),
    "ten-year note, a worth of nothing": (0.015625, 15.625, (100_000, "USD", 0.001, 1)),
    "crude oil": (0.01, 10, (1_000, "BBL", 10, 1)),
    "gold": (0.1, 10, (100, "TRYOZ", 10, 1)),
    "euro": (0.00005, 6.25, (125_000, "EUR", None, 1)),
    "yen": (0.0000005, 6.25, (12_500_000, "JPY", None, 1)),
    "bitcoin": (5, 25, (5, "BTC", None, 1)),
    "power of 20 days": (0.05, 80, (80, "MWH", 80, 1), {"contract_multiplier": 20}),
    "calendar spread, no unit": (0.05, 2.5, (None, None, 2.5, 1), {"instrument_class": "S"}),
    "option on a future": (0.05, 2.5, (50, "IPNT", 2.5, 1), {"instrument_class": "C"}),
    "equity option": (0.01, 1, (None, None, None, None), {"contract_multiplier": 100, "instrument_class": "P"}),
    "share": (0.01, 0.01, (None, None, None, None), {"instrument_class": "K"}),
}
STATED = ("unit_of_measure_qty", "unit_of_measure", "min_price_increment_amount", "display_factor")


def defined(path: Path) -> Definition:
    definition = find_definition(path, "X")
    assert definition is not None
    return definition


@pytest.mark.parametrize("product", PRODUCTS)
def test_multiplier_times_tick_is_the_published_worth_of_a_tick(tmp_path: Path, product: str) -> None:
    tick, worth, stated, *further = PRODUCTS[product]
    fields = {**USD, **dict(zip(STATED, stated, strict=True)), **(further[0] if further else {})}
    definition = defined(write(tmp_path / "d.dbn", min_price_increment=tick, **fields))
    assert definition.tick == round(tick * PRICE_UNIT)
    assert definition.multiplier(definition.tick) * tick == pytest.approx(worth, rel=1e-9)
    assert definition.currency == "USD"


def test_what_the_vendor_leaves_undefined_is_absent(tmp_path: Path) -> None:
    nothing = defined(write(tmp_path / "d.dbn"))
    assert (nothing.tick, nothing.worths, nothing.unit, nothing.deliveries, nothing.currency, nothing.expires_ns) == (None, (), *[None] * 4)
    zeros = dict.fromkeys(("unit_of_measure_qty", "min_price_increment_amount", "contract_multiplier", "display_factor", "expiration"), 0)
    zero = defined(write(tmp_path / "z.dbn", min_price_increment=0.01, **zeros))
    assert (zero.worths, zero.unit, zero.deliveries, zero.expires_ns) == ((), None, None, None)
    assert defined(write(tmp_path / "e.dbn", min_price_increment=0.01, expiration=UNDEFINED)).expires_ns is None


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"min_price_increment": 0}, "gives X a tick of 0, as where it varies with the price: leave the definition out"),
        ({"min_price_increment": 0.01}, "states no unit and no worth of a tick: leave the definition out"),
        (
            {"min_price_increment": 0.01, "unit_of_measure_qty": 40_000, "unit_of_measure": "LBS"},
            "a unit of 40000 LBS and no worth of a tick",
        ),
        (
            {"min_price_increment": 0.01, "unit_of_measure_qty": 40_000, "unit_of_measure": "LBS", "min_price_increment_amount": 7},
            "a worth of 7 a tick that does not follow from it",
        ),
    ],
)
def test_a_tick_whose_worth_is_not_told_is_refused_in_a_sentence(tmp_path: Path, fields: dict[str, float | str], says: str) -> None:
    path = write(tmp_path / "d.dbn", **USD, **fields)
    with pytest.raises(TicksError, match=says):
        defined(path).multiplier(10_000_000)
