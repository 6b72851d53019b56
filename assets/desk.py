"""What a desk file says: markets, source, sessions, costs, limits, windows.

The one place where configuration enters. A `Desk` is read once, is frozen, and is handed down; no
floor reads a file or an environment variable to learn how it should behave.
"""

import base64
import datetime as dt
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from itertools import combinations, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

PRICE_UNIT: Final = 1_000_000_000
"""DBN's fixed point: a stored price of 1 is 1e-9 of the currency. Money uses the same unit."""

NS: Final = 1_000_000_000
"""Nanoseconds in a second."""

FIRST_YEAR: Final = 1980
LAST_YEAR: Final = 2099
"""Years in which a session, and a moment of a market's, can lie. Within them a number is a moment in one unit alone."""

MOST_CONTRACTS: Final = 1_000_000_000
"""What an order or a position may have: the replay counts contracts in 32 bits."""

MOST_MONEY: Final = 4_000_000_000
"""Currency that an amount may be: the replay counts money in 1e-9 of it, in 64 bits."""


KEY_VARIABLE: Final = "DATABENTO_API_KEY"
"""Environment variable that holds the vendor's key."""

_KEY_FORM: Final = re.compile(r"db-[A-Za-z0-9]{20,}")
"""What the vendor's keys look like."""


def masked(words: str) -> str:
    """A text without the vendor's key, however a server or a library has written it into it."""
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if len(key) >= 8:
        for secret in (key, base64.b64encode(f"{key}:".encode()).decode(), base64.b64encode(key.encode()).decode()):
            words = words.replace(secret, "***")
    return _KEY_FORM.sub("***", words)


class UserError(Exception):
    """What a user can mend: the message is one sentence that names the thing and the remedy. Every floor's own error is one.

    Whatever the message quotes, the vendor's key is not in it.
    """

    def __init__(self, message: str) -> None:
        super().__init__(masked(message))


class DeskError(UserError):
    """A desk file that cannot be used; the message names the key and the remedy."""


def read_text(path: Path) -> str:
    r"""The text of a file of the user's: UTF-8, without its byte-order mark, each line ended by \n.

    Raises:
        UserError: it is not UTF-8.
        OSError: it cannot be opened.
    """
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path} is not UTF-8 (line {line}): save it as UTF-8") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


class UndeclaredKeyError(LookupError):
    """A key that an asset reads without having declared it in assets/lineage.py: a fault of the code, not of the user."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name in type(self).model_fields:
                raise UndeclaredKeyError(f"{type(self).__name__}.{name} is read by an asset that does not declare it in assets/lineage.py")
            return super().__getattr__(name)


class Fees(_Part):
    """What a contract costs, by who takes it; currency, a rebate is negative."""

    exchange_maker: Decimal = Field(description="The exchange's, for a resting order that fills")
    exchange_taker: Decimal = Field(description="The exchange's, for an order that takes")
    clearing: Decimal = Field(Decimal(0), ge=0)
    broker: Decimal = Field(Decimal(0), ge=0)


class Limits(_Part):
    """What an exchange allows a member to send. Our own code holds back before it; what exceeds it all the same is rejected."""

    messages_per_second: int | None = Field(None, ge=1, description="Orders and cancels within any second")
    order_to_trade: float | None = Field(None, gt=0, description="Orders and cancels a contract traded, over the session")
    order_to_trade_free: int = Field(1000, ge=1, description="Orders and cancels of a session before the ratio counts")


Span = tuple[dt.time, dt.time]
"""An opening and a close on a market's clock."""


def _spans(given: Any) -> Any:
    """[open, close], or a list of such: without breaks, or with them."""
    if isinstance(given, list | tuple) and given and not isinstance(given[0], list | tuple):
        return (given,)
    return given


def offsets(spans: Sequence[Span]) -> list[tuple[dt.timedelta, dt.timedelta]]:
    """(open, close) since the midnight with which a trade date begins: its last close lies on it, the rest may lie on the day before.

    A close at 00:00 is the end of the trade date.
    """
    day, found = dt.timedelta(days=1), list[dt.timedelta]()
    for time in reversed([time for span in spans for time in span]):
        moment = dt.timedelta(hours=time.hour, minutes=time.minute, seconds=time.second)
        if not found:
            moment = moment or day
        elif moment > found[-1] or (moment == found[-1] and len(spans) == 1):
            moment -= day
        found.append(moment)
    found.reverse()
    return list(zip(found[::2], found[1::2], strict=True))


def _in_order(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    moments = [moment for span in offsets(spans) for moment in span]
    rising = all(before < after for before, after in pairwise(moments))
    if not moments or not rising or moments[-1] - moments[0] > dt.timedelta(days=1):
        raise ValueError("hours are [open, close], or a list of such in the order of time with breaks between them, over at most a day")
    return spans


Spans = Annotated[tuple[Span, ...], BeforeValidator(_spans), AfterValidator(_in_order)]


class Market(_Part):
    """One futures contract or share: what a price step is worth and what a trade costs."""

    symbol: str = Field(description="Symbol of one contract as the data vendor writes it: raw or continuous")
    tick_size: Decimal = Field(gt=0, le=1_000_000_000, description="Smallest price step, in `currency`")
    multiplier: Decimal = Field(Decimal(1), gt=0, description="Currency per point of price and contract; of a fraction, and unit")
    lot_size: Decimal = Field(Decimal(1), gt=0, description="Units in one contract of the data, where sizes are fractions: 0.001 of a coin")
    currency: str = Field("USD", pattern=r"^[A-Z]{3,5}$", description="What prices, fees and P&L are in")
    publisher: int | None = Field(
        None, ge=1, le=65_535, description="The vendor's number of the venue whose records are read, where its files hold several"
    )
    calendar: str = Field("weekdays", description="An exchange_calendars name, 'CBOT_GRAINS', 'weekdays' or '24/7'")
    zone: str | None = Field(None, description="Time zone of the market's hours and days; left out: the exchange's, else UTC")
    hours: Spans | None = Field(
        None, description="Its own [open, close], or a list of them with breaks between; from the evening before too"
    )
    days: dict[dt.date, Literal["closed"] | Spans] = Field({}, description='Single days that are otherwise: "closed", or their hours')
    maker_fee: Decimal = Field(Decimal(0), description="Currency a contract, for a resting order that fills")
    taker_fee: Decimal = Field(Decimal(0), description="Currency a contract, for an order that takes")
    fees: Fees | None = Field(None, description="The same two by who takes them; in place of them")
    limits: Limits = Limits()

    @field_validator("zone")
    @classmethod
    def _zone_is_known(cls, zone: str | None) -> str | None:
        if zone is not None and zone not in available_timezones():
            raise ValueError(f"no time zone is called {zone!r}: use a name such as America/Chicago, Europe/Berlin or UTC")
        return zone

    @model_validator(mode="after")
    def _added_up(self) -> "Market":
        if self.tick != self.tick_size * PRICE_UNIT:
            raise ValueError(f"tick_size {self.tick_size} is no multiple of 1e-9, the unit of every price")
        if self.tick_value < 1:
            raise ValueError(f"a tick is worth {self.tick_size * self.point_value}, less than 1e-9, the unit of money: correct multiplier")
        if self.fees is not None:
            if self.model_fields_set & {"maker_fee", "taker_fee"}:
                raise ValueError("fees come in one form: maker_fee and taker_fee, or a [fees] section of who takes what, not both")
            for who in ("maker", "taker"):
                total = getattr(self.fees, f"exchange_{who}") + self.fees.clearing + self.fees.broker
                object.__setattr__(self, f"{who}_fee", total)
        return self

    @property
    def says_fees(self) -> bool:
        """Whether both fees are stated, be it as zero."""
        return self.fees is not None or {"maker_fee", "taker_fee"} <= self.model_fields_set

    @property
    def tick(self) -> int:
        """Price step in units of 1e-9."""
        return round(self.tick_size * PRICE_UNIT)

    @property
    def tick_value(self) -> int:
        """Worth of one tick on one contract, in 1e-9 of the currency."""
        return round(self.tick_size * self.point_value * PRICE_UNIT)

    @property
    def point_value(self) -> Decimal:
        """Currency per point of price and contract."""
        return self.multiplier * self.lot_size


class SimulatedSource(_Part):
    """The simulated exchange: see docs/simulated-exchange.md for what each parameter does."""

    kind: Literal["simulated"] = "simulated"
    seed: int = Field(20260824, ge=0)
    alpha: float = Field(1.0, ge=0, le=2, description="How much order flow knows of the price to come; 0 = nothing")
    events_per_session: int = Field(150_000, ge=500, le=5_000_000)
    back: float = Field(0.55, ge=0, le=1, description="Chance that a cancel takes the last order of its queue, else the one before it")


class DbnFolderSource(_Part):
    """A folder of Databento files: a batch download as it comes, or loose files."""

    kind: Literal["dbn_folder"]
    folder: Path
    dataset: str | None = None
    allow_degraded: bool = Field(False, description="Take days that a download's condition.json calls degraded")


class DatabentoSource(_Part):
    """The vendor's historical API; the key is read from the environment (DATABENTO_API_KEY) and never kept."""

    kind: Literal["databento"]
    dataset: str = Field(description="Dataset code, such as GLBX.MDP3")
    record_schema: Literal["mbo", "mbp-10", "mbp-1", "tbbo", "trades"] = "mbo"
    stype_in: Literal["raw_symbol", "continuous"] = Field("raw_symbol", description="What the markets' symbols are")
    budget_per_session: Decimal = Field(ge=0, description="US dollars that one market's session may cost; above it nothing is asked for")
    allow_degraded: bool = Field(False, description="Take days that the vendor marks as degraded")
    gateway: str | None = Field(None, description="Address of another gateway; None: the vendor's")


Source = Annotated[SimulatedSource | DbnFolderSource | DatabentoSource, Field(discriminator="kind")]


class Delay(_Part):
    """How long one leg of the wire takes, in one of three ways; milliseconds."""

    ms: float | None = Field(None, ge=0, le=60_000, description="Always the same")
    file: Path | None = Field(None, description="A recording of delays, CSV or Parquet with one column, or one called ms")
    median_ms: float | None = Field(None, gt=0, le=60_000, description="Lognormal about this median")
    sigma: float = Field(0.5, ge=0, le=3, description="Of the logarithm")
    burst_chance: float = Field(0.0, ge=0, lt=1, description="That a burst begins, each 0.134 s")
    burst_seconds: float = Field(1.0, gt=0, le=60, description="How long a burst lasts")
    burst_factor: float = Field(5.0, ge=1, le=1000, description="How much longer the wire takes in a burst")

    @model_validator(mode="after")
    def _one_way(self) -> "Delay":
        if sum(way is not None for way in (self.ms, self.file, self.median_ms)) != 1:
            raise ValueError("a delay is told in one way: ms (constant), file (recorded) or median_ms (lognormal)")
        return self


class Delays(_Part):
    """The four legs of the wire; one left out is constant: `latency_ms`, the feed 0."""

    feed: Delay | None = Field(None, description="Market to us: what the policy decides on is this old")
    order: Delay | None = Field(None, description="A new order to the exchange")
    cancel: Delay | None = Field(None, description="A cancel to the exchange")
    response: Delay | None = Field(None, description="Answers and fills back to us")


class Trading(_Part):
    """How the traded market is traded in simulation."""

    latency_ms: float = Field(20.0, ge=0, description="Decision to exchange, and exchange back to us, where `delays` does not say")
    delays: Delays = Delays()
    queue: Literal["exact", "pessimist", "optimist", "power", "share", "logarithm"] = Field(
        "exact", description="How an order's place in its queue is known; exact needs order ids and is the pessimist's bound without"
    )
    queue_exponent: float = Field(1.0, gt=0, description="n of the queue models power and share; larger: more cancels from behind")
    max_position: int = Field(2, ge=1, le=MOST_CONTRACTS, description="Contracts held at most, long or short")
    max_position_high_volume: int | None = Field(
        None, ge=1, le=MOST_CONTRACTS, description="The same once the session has traded more than `high_volume`"
    )
    high_volume: int | None = Field(None, ge=1, description="Contracts that the market trades in a session before it counts as a busy one")
    order_size: int = Field(1, ge=1, le=MOST_CONTRACTS)
    skew: float = Field(0.0, ge=0, description="Ticks that a score loses for each contract held on its side, and gains on the other")
    max_gap_seconds: float | None = Field(None, gt=0, description="Silence of the market's feed after which all orders are cancelled")
    gap_pause_seconds: float = Field(
        60.0, ge=0, description="Without orders for so long after a record before which messages were lost, or until the book is sent anew"
    )
    flat_before_break: bool = Field(True, description="Take the position off before a scheduled break, as before a session's end")
    daily_loss_limit: Decimal = Field(
        Decimal(1000), gt=0, le=MOST_MONEY, description="Currency; reaching it flattens and stops the session"
    )
    tuning_trials: int = Field(24, ge=1, description="Policy settings tried on the training sessions of a period")
    min_pnl_per_contract: Decimal = Field(Decimal(0), ge=0, description="Currency that a setting must have earned a contract to be chosen")
    tuning_backend: Literal["serial", "processes", "ray"] = Field("serial", description="Where a trial's sessions are replayed")

    @model_validator(mode="after")
    def _hangs_together(self) -> "Trading":
        if (self.high_volume is None) != (self.max_position_high_volume is None):
            raise ValueError("high_volume and max_position_high_volume belong together: give both or neither")
        if self.most_position < self.order_size:
            raise ValueError(f"order_size {self.order_size} is more than max_position {self.most_position}: no order could ever be sent")
        return self

    @property
    def most_position(self) -> int:
        """Contracts that can ever be held, on whatever day."""
        return max(self.max_position, self.max_position_high_volume or 0)

    @property
    def latency_ns(self) -> int:
        """One-way delay in nanoseconds."""
        return round(self.latency_ms * 1_000_000)


class Quality(_Part):
    """When a session's feed and book are not to be believed, and what happens then."""

    on_fault: Literal["warn", "block"] = Field("warn", description="block: nothing is made from the session in the same run")
    max_refused_share: float = Field(0.01, ge=0, le=1, description="Of records that the book could not take; a sound ES session has 0.01 %")
    max_crossed_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Of records in events left out for a crossed or locked book; one venue has none, many together 2 to 5 %",
    )
    min_front_share: float = Field(0.95, ge=0, le=1, description="Of fills that hit the front of our queue; a sound ES session has all")
    max_silent_end_seconds: float = Field(600, gt=0, description="From the last record to the end of trading; above, the feed ended early")
    max_feed_ms: float = Field(1000, gt=0, description="Median delay of capture; above it one of the clocks is wrong")


Model = Literal[
    "curves", "champion", "zero", "ridge", "linear", "linear_svr", "decision_tree", "gradient_boosting", "random_forest", "kernel_svr"
]
"""Every model there is; a test holds it to those of the curves floor."""


class Chosen(_Part):
    """An indicator by the name of its formula; without parameters it comes with each of the catalogue's (docs/indicators.md)."""

    name: str
    parameters: dict[str, int | float] = Field({}, description="In the units that the formula states; written beside the name")

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, given: Any) -> Any:
        if isinstance(given, str):
            return {"name": given}
        if isinstance(given, dict) and "parameters" not in given:
            return {"name": given.get("name"), "parameters": {key: value for key, value in given.items() if key != "name"}}
        return given


ALL: Final = "all"
"""The set of indicators that a period's model is made of, where nothing else is said: all that its lab has kept."""


class OwnSeries(_Part):
    """A table of the user's own, CSV or Parquet, joined as an indicator by as-of time."""

    path: Path
    value: str = Field(description="Column of the numbers")
    time: str = Field("ts_event", description="Column of the times: whole numbers, timestamps or ISO 8601; without a zone UTC")
    time_unit: Literal["ns", "us", "ms", "s"] | None = Field(None, description="Of times that are numbers, since 1970; left out: ns")
    delay_seconds: float = Field(ge=0, description="From the table's own time until the value is known; one too short looks ahead")
    sign: Literal[1, -1] = Field(1, description="-1 where large values mean down")
    smallest: float = Field(0.01, gt=0, description="Smallest |value| that matters: where the curve's first bucket ends")
    largest: float = Field(100.0, gt=0, description="|value| from which on all is one bucket")


class Indicators(_Part):
    """What the prediction is made from. Names and parameters are held against the formulas before anything runs."""

    own: tuple[Chosen, ...] | None = Field(None, description="Of the traded market; left out: the default set")
    leader: tuple[Chosen, ...] | None = Field(None, description="Of each leader; left out: the default set")
    series: dict[str, OwnSeries] = Field({}, description="Tables of the user's own, by the name that the indicator takes after external_")
    drop_redundant: bool = Field(True, description="Fit a period's curves without the indicators that its lab calls redundant")
    sets: dict[str, tuple[float, float]] = Field(
        {}, description="What the search may predict with beside all of them: by name the shortest and the longest tau, seconds"
    )

    @field_validator("sets")
    @classmethod
    def _sets_have_names_and_bounds(cls, sets: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        for name, (shortest, longest) in sets.items():
            if name == ALL or not re.fullmatch("[a-z][a-z0-9_]*", name):
                raise ValueError(f"the name of a set is small letters, digits and _, and not {ALL!r}, which has them all: not {name!r}")
            if not 0 <= shortest <= longest:
                raise ValueError(f"set {name!r} must be [shortest, longest] tau in seconds, not [{shortest:g}, {longest:g}]")
        return sets


class Desk(_Part):
    """Everything a run depends on, beside the code and the data."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    home: Path = Field(description="Folder of the lake, the warehouse, the reports and the Dagster instance")
    traded: str
    leaders: tuple[str, ...] = ()
    markets: dict[str, Market]
    source: Source = SimulatedSource()
    first_session: dt.date
    last_session: dt.date | None = None
    hours: Span | None = Field(None, description="Hours of 'weekdays' and '24/7' markets that name none of their own: UTC, or their zone")
    retrain: Literal["weekly", "daily"] = "weekly"
    training_sessions: int = Field(20, ge=1, description="Sessions a model is trained on; whole weeks when weekly")
    train_on_incomplete: bool = Field(False, description="Train on sessions whose recording ends early, too")
    horizon_seconds: float = Field(10.0, gt=0, description="How far ahead the mid is predicted")
    model: Model = Field("curves", description="What predicts the move that is traded; champion: what held-out sessions prefer")
    indicators: Indicators = Indicators()
    trading: Trading = Trading()
    quality: Quality = Quality()
    workers: int = Field(2, ge=1, description="Processes that work side by side")

    @field_validator("markets")
    @classmethod
    def _names_are_folders(cls, markets: dict[str, Market]) -> dict[str, Market]:
        for name in markets:
            if not re.fullmatch("[A-Za-z0-9_]+", name):
                raise ValueError(f"market name {name!r} may hold the letters A to Z and a to z, digits and _ only")
        for one, other in combinations(markets, 2):
            if one.lower() == other.lower():
                raise ValueError(f"markets {one} and {other} differ in capitals only, and their columns would have one name: rename one")
        return markets

    @model_validator(mode="after")
    def _hangs_together(self) -> "Desk":
        for role, name in [("traded", self.traded), *(("leaders", leader) for leader in self.leaders)]:
            if name not in self.markets:
                raise ValueError(f"{role} names market {name!r}, which has no [markets.{name}] section")
        if self.traded in self.leaders:
            raise ValueError(f"market {self.traded!r} cannot lead itself: take it out of leaders")
        for key, day in (("first_session", self.first_session), ("last_session", self.last_session)):
            if day is not None and not FIRST_YEAR <= day.year <= LAST_YEAR:
                raise ValueError(f"{key} {day} is not of the years {FIRST_YEAR} to {LAST_YEAR}")
        if self.last_session is not None and self.last_session < self.first_session:
            raise ValueError(f"last_session {self.last_session} is before first_session {self.first_session}")
        if self.source.kind != "simulated" and not self.markets[self.traded].says_fees:
            market = f"markets.{self.traded}"
            raise ValueError(f"{market} says no fees: give maker_fee and taker_fee, or [{market}.fees]; 0 where there are none")
        for known, own in self.markets.items():
            weekend = [day for day in own.days if day.weekday() >= 5 and own.days[day] != "closed"]
            if weekend and not self.every_day:
                raise ValueError(f"markets.{known}.days: {weekend[0]} is a {weekend[0]:%A}, and this desk's sessions are on weekdays")
        week = 7 if self.every_day else 5
        if self.retrain == "weekly" and self.training_sessions % week:
            raise ValueError(f"training_sessions must be whole weeks of {week} when retrain is weekly, not {self.training_sessions}")
        return self

    @property
    def every_day(self) -> bool:
        """Whether the traded market has a session on all seven days."""
        return self.markets[self.traded].calendar == "24/7"

    @property
    def horizon_ns(self) -> int:
        """Prediction horizon in nanoseconds."""
        return round(self.horizon_seconds * NS)

    @property
    def all_markets(self) -> tuple[str, ...]:
        """The traded market, then its leaders."""
        return (self.traded, *self.leaders)

    @property
    def lake(self) -> Path:
        """Root folder of the Parquet lake."""
        return self.home / "lake"

    @property
    def warehouse(self) -> Path:
        """The published DuckDB file."""
        return self.home / "warehouse.duckdb"

    @property
    def reports(self) -> Path:
        """Folder of the HTML pages."""
        return self.home / "reports"

    @property
    def provenance(self) -> str:
        """What every report says its prices came from."""
        return "simulated exchange" if self.source.kind == "simulated" else "recorded market data"


P = TypeVar("P", bound=_Part)


def leaves(part: _Part, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of a desk, dotted as in `markets.FLW.tick_size`, with its value."""
    for name, value in part:
        where = f"{path}{name}"
        if isinstance(value, _Part):
            yield from leaves(value, f"{where}.")
        elif _holds_parts(value):
            for key, inner in value.items():
                yield from leaves(inner, f"{where}.{key}.")
        else:
            yield where, value


def narrowed(part: P, keep: Callable[[str], bool], path: str = "") -> P:
    """A copy that has the keys which `keep` says yes to, and no other: reading one of those raises UndeclaredKeyError."""
    kept: dict[str, Any] = {}
    for name, value in part:
        where = f"{path}{name}"
        if isinstance(value, _Part):
            kept[name] = narrowed(value, keep, f"{where}.")
        elif _holds_parts(value):
            entries = {key: narrowed(inner, keep, f"{where}.{key}.") for key, inner in value.items()}
            if any(entry.__dict__ for entry in entries.values()):
                kept[name] = entries
        elif keep(where):
            kept[name] = value
    copy = part.model_copy()
    object.__setattr__(copy, "__dict__", kept)
    return copy


def _holds_parts(value: Any) -> bool:
    return isinstance(value, dict) and any(isinstance(inner, _Part) for inner in value.values())


def load_desk(path: Path | str) -> Desk:
    """Read a desk file; relative paths in it count from the file's own folder.

    Raises:
        DeskError: the file is missing, is not TOML, or a key is unknown or out of range.
    """
    path = Path(path).resolve()
    try:
        content: dict[str, Any] = tomllib.loads(read_text(path))
    except FileNotFoundError:
        raise DeskError(f"no desk file at {path}: pass --desk FILE or run from the folder that holds desk.toml") from None
    except OSError as error:
        raise DeskError(f"{path} cannot be read: {error.strerror or error}") from None
    except UserError as error:
        raise DeskError(str(error)) from None
    except tomllib.TOMLDecodeError as error:
        raise DeskError(f"{path} is not valid TOML: {error}") from None
    try:
        desk = Desk.model_validate(content)
    except ValidationError as error:
        raise DeskError(f"{path}: {_first_fault(error)}") from None
    source = desk.source
    if isinstance(source, DbnFolderSource):
        source = source.model_copy(update={"folder": (path.parent / source.folder).resolve()})
    series = {name: own.model_copy(update={"path": (path.parent / own.path).resolve()}) for name, own in desk.indicators.series.items()}
    chosen = desk.indicators.model_copy(update={"series": series})
    legs = {
        leg: delay.model_copy(update={"file": (path.parent / delay.file).resolve()})
        for leg, delay in desk.trading.delays
        if delay and delay.file
    }
    trading = desk.trading.model_copy(update={"delays": desk.trading.delays.model_copy(update=legs)})
    home = (path.parent / desk.home).resolve()
    return desk.model_copy(update={"home": home, "source": source, "indicators": chosen, "trading": trading})


def _first_fault(error: ValidationError) -> str:
    fault = error.errors()[0]
    key = ".".join(str(part) for part in fault["loc"]) or "the desk"
    if fault["type"] == "extra_forbidden":
        return f"unknown key {key}: check its spelling against desk.toml in the README"
    return f"{key}: {fault['msg'].removeprefix('Value error, ')}"
