"""`tickline try`: the same floors on one file of the user's own, without a desk, a lake or Dagster.

The first 60 % of the feature rows are the training part; a gap of one horizon follows, so that no label
of the training part reaches into the test part; the rest is predicted and traded. Curves and policy are
chosen within the training part, each stretch of it predicted by curves that were fitted without it.
"""

import datetime as dt
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Final
from urllib.parse import quote

import numpy as np
import polars as pl

from assets.books.continuous import continuous
from assets.books.quality import by_reason, faults, mostly_refused, reasons
from assets.books.rebuild import Books, applied, rebuild, ticked
from assets.books.steps import infer_tick
from assets.curves.model import cross_fitted, fit, predict
from assets.curves.statistics import Statistics, session_statistics
from assets.desk import NS, PRICE_UNIT, Market, Quality, Trading, UserError
from assets.features.build import build
from assets.features.indicators import Indicator, indicators
from assets.fills.backends import open_backend
from assets.fills.replay import Session, make_rules, make_session
from assets.fills.simulate import Simulation, simulate
from assets.fills.tape import make_tape
from assets.fills.tune import policy_of, search
from assets.hours import Window
from assets.reports.session import SessionTables, write_try_page
from assets.ticks.dbn import TicksError, stream_records, symbols_in, until_damage
from assets.ticks.reference import read_definition
from pipelines.room import free_memory

TRAINING_SHARE: Final = 0.6
"""Share of the feature rows that curves and policy may see."""

HORIZON_NS: Final = 10 * NS
"""The seed's ten seconds."""

_LEAST_ROWS: Final = 1_000
"""Labelled training rows below which fifty buckets an indicator would be fitted to noise."""

_NEEDED: Final = 10
"""Bytes of memory that one byte of records comes to, from the book to the page."""

_FOLDS: Final = 4
"""Stretches of the training part that are held out in turn."""


_LISTED: Final = 20
"""Symbols of a file that are told, where one has to be chosen."""


class TryError(UserError):
    """A file that holds too little; says how much there is and how much is needed."""


@dataclass(frozen=True)
class Instrument:
    """What is traded: the market, and whether its P&L is money or ticks."""

    market: Market
    unit: str
    origin: str
    """Where the tick size came from."""


@dataclass(frozen=True)
class Tried:
    """What came out of a file."""

    report: pl.DataFrame
    """One row of `performance_report`."""
    quality: pl.DataFrame
    """One row of `book_quality`."""
    instrument: Instrument
    trained: int
    tested: int
    policy: pl.DataFrame
    page: Path
    damage: str | None
    """What ended the file's records early, in a sentence."""
    warnings: tuple[str, ...]
    """What else is to be known of its records, in a sentence each; the commonest reason of what was left out comes first."""


def try_file(
    file: Path,
    definition: Path | None,
    out: Path,
    *,
    symbol: str | None = None,
    publisher: int | None = None,
    fee: Decimal = Decimal(0),
    trading: Trading | None = None,
    replay_ready: Callable[[], None] = lambda: None,
) -> Tried:
    """Run all floors on one DBN file and write its page.

    Args:
        file: DBN of schema mbo, mbp-10 or mbp-1; of a damaged one, the records before the damage.
        definition: DBN of schema definition, for tick size and multiplier.
        out: folder of the page, which is named by the file, the folder that it lies in, and the symbol: no other file's has that name.
        symbol: which of the file's instruments; None: the only one.
        publisher: whose records, where the file holds several venues; None: the only one.
        fee: a contract, in the unit of the P&L.
        trading: delays and limits; the desk's defaults when None.
        replay_ready: waits for what the replay needs, where another process makes it ready.

    Raises:
        UserError: a file cannot be read, or holds too little to fit on.
    """
    trading = trading or Trading()
    damage: list[str] = []
    symbol = symbol or only_symbol(file)
    raw = pl.concat(_fitting(file, until_damage(stream_records([file], symbol=symbol, publisher=publisher), damage)))
    books = rebuild(raw)
    page, name = out / page_name(file, symbol, publisher), symbol or _stem(file)
    if most := mostly_refused(books.quarantine, raw.height, int((raw["ts_recv"] <= 0).sum())):
        with _explained(file, most):
            return _tried(file, name, definition, page, raw, books, damage, fee, trading, replay_ready)
    return _tried(file, name, definition, page, raw, books, damage, fee, trading, replay_ready)


@contextmanager
def _explained(file: Path, why: str) -> Iterator[None]:
    """Where most records are left out, that is what a file is refused for, whatever else is missing then."""
    try:
        yield
    except TicksError:  # of the other file, the definition
        raise
    except UserError as error:
        raise TryError(f"{file}: {why}") from error


def _tried(
    file: Path,
    symbol: str,
    definition: Path | None,
    page: Path,
    raw: pl.DataFrame,
    books: Books,
    damage: list[str],
    fee: Decimal,
    trading: Trading,
    replay_ready: Callable[[], None],
) -> Tried:
    instrument = _instrument(symbol, definition, books.books, fee)
    market, chosen = instrument.market, indicators([])
    opens = _opening(books)
    span = books.books["ts_event"].to_numpy()
    session = Window(int(span[0]) if opens is None else opens, int(span[-1]) + 1) if span.size else Window(0, 1)
    session = continuous(session, raw, books, ())
    features = build(books.books, books.trades, {}, tick=market.tick, leader_ticks={}, horizon_ns=HORIZON_NS, continuous=session)
    train, test = split(features)
    labelled = train["label"].count()
    if labelled < _LEAST_ROWS or test.is_empty():
        raise TryError(
            f"{file} has too little to fit on: {labelled} labelled changes of the best prices in its first {TRAINING_SHARE:.0%}, "
            f"and {_LEAST_ROWS} are needed: give a longer stretch of the market"
        )
    first, middle, last = train["ts_event"][0], test["ts_event"][0], test["ts_event"][-1] + 1
    day = dt.datetime.fromtimestamp(middle / NS, dt.UTC).date()
    records = applied(raw, books.quarantine)
    parts = stretches_of(train)
    sums = {day + dt.timedelta(days=k): _sums(part, chosen) for k, part in enumerate(parts)}
    model = fit(list(sums.values()), chosen, horizon_ns=HORIZON_NS, first_session=day, last_session=day)
    replay_ready()
    learning = _tuning_session(train, parts, sums, chosen, records, market, session.between(first, middle - HORIZON_NS), trading)
    with open_backend("serial", [(learning, make_rules(market, trading, learning))], 1) as replays:
        policy = search(replays, [day], trading).winner(float(trading.min_pnl_per_contract))
    moves = test.select("ts_event", "row", pl.Series("prediction", predict(model, test)), "label")
    window = session.between(middle, last)
    signal = moves["ts_event"].to_numpy(), moves["prediction"].to_numpy()
    traded = simulate(records, *signal, market=market, trading=trading, policy=policy_of(policy), window=window)
    report = write_try_page(page, _tables(file, day, instrument, traded, moves, test, model, window))
    quality = ticked(books.quality, raw, books.trades, market.tick)
    return Tried(report, quality, instrument, labelled, test.height, policy, page, damage[0] if damage else None, _warnings(books, quality))


def _warnings(books: Books, quality: pl.DataFrame) -> tuple[str, ...]:
    row = quality.row(0, named=True)
    left_out = [by_reason(reasons(books.quarantine), row["records"])] if books.quarantine.height else []
    first, trusted = books.books["ts_event"][0], row["trusted_from"]
    doubted = []
    if trusted is not None and trusted > first:
        since = dt.datetime.fromtimestamp(trusted // NS, dt.UTC)
        doubted = [f"the book is trusted from {since:%Y-%m-%d %H:%M:%S} UTC on, not from its start"]
    return (*left_out, *faults(quality, Quality()), *doubted)


def _fitting(file: Path, frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same frames as long as what is made of them fits into memory.

    Raises:
        TryError: it no longer does.
    """
    free, size, records = free_memory(), 0, 0
    for frame in frames:
        size, records = size + int(frame.estimated_size()), records + frame.height
        if _NEEDED * size > free:
            raise TryError(
                f"{file} holds more than {records:,} records, which need more than {_NEEDED * size / 1e9:.1f} GB of memory where "
                f"{free / 1e9:.1f} GB are free: give a shorter stretch of the market, or a machine with more memory"
            )
        yield frame


def split(features: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The training rows, and the test rows that begin more than one horizon after the last of them."""
    if features.is_empty():
        return features, features
    cut = features["ts_event"][int(features.height * TRAINING_SHARE)]
    return features.filter(pl.col("ts_event") < cut), features.filter(pl.col("ts_event") >= cut + HORIZON_NS)


def page_name(file: Path, symbol: str | None, publisher: int | None = None) -> str:
    """The name of a file's page: another for each file, whatever its folder, and for each symbol and venue in it."""
    folder = hashlib.sha256(str(file.resolve().parent).encode()).hexdigest()[:6]
    parts = [file.name, quote(symbol, safe="") if symbol else None, str(publisher) if publisher is not None else None, folder]
    return ".".join(part for part in parts if part) + ".html"


def only_symbol(file: Path) -> str | None:
    """The symbol of the one instrument that a file holds records of; None where its header names none.

    Raises:
        TryError: it holds several; they are listed.
        UserError: the file cannot be read.
    """
    held = symbols_in(file)
    if len(held) > 1:
        listed = ", ".join(held[:_LISTED]) + (f" and {len(held) - _LISTED:,} more" if len(held) > _LISTED else "")
        raise TryError(f"{file} holds {len(held):,} instruments: choose one with --symbol, of {listed}")
    return held[0] if held else None


def _stem(file: Path) -> str:
    return file.name.removesuffix(".zst").removesuffix(".dbn")


def _instrument(symbol: str, definition: Path | None, books: pl.DataFrame, fee: Decimal) -> Instrument:
    known = read_definition(definition, symbol) if definition else None
    stated = known.tick if known else None
    tick = stated or infer_tick(books)
    if known and definition:
        multiplier, unit = Decimal(repr(known.multiplier(tick))), known.currency or "currency"
        origin = f"from {definition.name}" if stated else f"seen from the prices near the touch, {definition.name} states none"
    else:
        multiplier, unit, origin = PRICE_UNIT / Decimal(tick), "ticks", "seen from the prices near the touch"
    market = Market(symbol=symbol, tick_size=Decimal(tick) / PRICE_UNIT, multiplier=multiplier, maker_fee=fee, taker_fee=fee)
    return Instrument(market, unit, origin)


def _opening(books: Books) -> int | None:
    """The first trade: before it the market is in its opening auction, and nobody can be traded with."""
    return int(books.trades["ts_event"][0]) if books.trades.height else None


def stretches_of(train: pl.DataFrame) -> list[pl.DataFrame]:
    """Consecutive stretches of the training rows, each without the labels that reach into the next."""
    bounds = [train["ts_event"][k * (train.height - 1) // _FOLDS] for k in range(_FOLDS)] + [train["ts_event"][-1] + 1]
    inside = [pl.col("ts_event").is_between(start, end, closed="left") for start, end in pairwise(bounds)]
    reach = [pl.when(pl.col("ts_event") + HORIZON_NS < end).then("label").alias("label") for end in bounds[1:]]
    return [train.filter(rows).with_columns(label) for rows, label in zip(inside, reach, strict=True)]


def _sums(part: pl.DataFrame, chosen: list[Indicator]) -> Statistics:
    return session_statistics(part, chosen, horizon_ns=HORIZON_NS)


def _tuning_session(
    train: pl.DataFrame,
    parts: list[pl.DataFrame],
    sums: dict[dt.date, Statistics],
    chosen: list[Indicator],
    records: pl.DataFrame,
    market: Market,
    window: Window,
    trading: Trading,
) -> Session:
    models = cross_fitted(sums, [[key] for key in sums], chosen, horizon_ns=HORIZON_NS)
    signal = np.concatenate([predict(model, part) for model, part in zip(models, parts, strict=True)])
    known = records.filter(pl.col("ts_event") < window.close_ns)
    return make_session(make_tape(known, market), train["ts_event"].to_numpy(), signal, window, trading)


def _tables(
    file: Path,
    day: dt.date,
    instrument: Instrument,
    traded: Simulation,
    moves: pl.DataFrame,
    test: pl.DataFrame,
    model: pl.DataFrame,
    window: Window,
) -> SessionTables:
    return SessionTables(
        name=instrument.market.symbol,
        market=instrument.market,
        session=day,
        provenance=f"recorded market data, {file.name}",
        orders=traded.orders,
        fills=traded.fills,
        equity=traded.equity,
        predictions=moves,
        quotes=test.select("ts_event", "bid_px", "ask_px"),
        curves=model,
        of=instrument.unit,
        window=window,
    )
