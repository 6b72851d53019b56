"""What a partition was made from, and whether that is what the desk asks for now.

A partition's fingerprint is a hash of the desk's keys that it depends on, the code of its layer, the hours of its session, what
comes from outside the lake (vendor files, the user's own tables), and the fingerprints of the partitions it is made from
(lineage.py). All of it is known without making anything, so what a desk asks for can be held against what the lake holds. Each
file carries its `Stamp` in the Parquet metadata: the fingerprint, and the keys and values behind it, so that a refusal can name
the key. A partition that does not match is made anew by `tickline demo`, is not published, and is not read by what comes after.
"""

import ast
import datetime as dt
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel

from assets.calendar import Calendar
from assets.desk import Desk, leaves, narrowed
from assets.lake import Key, Lake, LakeError, remedy
from assets.lineage import HOURS, JUDGING, NEUTRAL, OUTSIDE, RECIPES, STRUCTURE, WRITER, Input, Recipe

_FORMAT: Final = 1
"""Raised when the fingerprint itself is computed in another way."""

_MEMORY: Final = "files.sha256"
"""File in a desk's home: hashes of the vendor's files, with the times and sizes at which they were read."""

Verdict = Literal["made", "missing", "damaged", "foreign", "stale"]


class UndeclaredInputError(LookupError):
    """A partition that an asset reads without being made from it by assets/lineage.py: a fault of the code, not of the user."""


@dataclass(frozen=True)
class Part:
    """One partition of an asset, whatever tables it writes."""

    asset: str
    market: str
    partition: str

    def __str__(self) -> str:
        return f"{self.asset} {self.market} {self.partition}"


@dataclass(frozen=True)
class Stamp:
    """What a partition was made from."""

    fingerprint: str
    keys: Mapping[str, Any]
    """Of the desk, dotted, with their values: its own and those of all that it is made from."""
    code: Mapping[str, str]
    """Hash of the sources by layer, likewise."""
    hours: Mapping[str, str]
    """Of its session, in each market of the desk."""
    outside: Mapping[str, str]
    """Names and fingerprints of what comes from outside the lake."""
    inputs: Mapping[str, str]
    """Fingerprints of the partitions that it is made from."""


class Provenance:
    """What a desk of now asks for, partition by partition. Known from the desk, the code, and the files outside the lake alone."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.calendar = Calendar(desk)
        self._values = {key: _plain(value) for key, value in leaves(desk)}
        self._stamps: dict[Part, Stamp] = {}
        self._hours: dict[tuple[str, str], str] = {}
        self._traded: dict[dt.date, list[dt.date]] | None = None

    def parts(self, asset: str) -> list[Part]:
        """Every partition of an asset that the desk's dates include."""
        recipe, calendar = RECIPES[asset], self.calendar
        days = {
            "session": calendar.sessions,
            "traded": calendar.traded_sessions,
            "period": calendar.periods,
            "scored": calendar.scored_periods,
        }[recipe.partitions]()
        markets = self.desk.all_markets if recipe.every_market else (self.desk.traded,)
        return [Part(asset, market, day.isoformat()) for market in markets for day in days]

    def inputs(self, part: Part) -> list[Part]:
        """The partitions that one is made from."""
        return [found for given in RECIPES[part.asset].inputs for found in self._resolved(part, given)]

    def stamp(self, part: Part) -> Stamp:
        """What a partition made now would be made from."""
        if part not in self._stamps:
            self._stamps[part] = self._stamped(part)
        return self._stamps[part]

    def closure(self, part: Part) -> set[Part]:
        """All that a partition is made from, directly or not."""
        found: set[Part] = set()
        waiting = [part]
        while waiting:
            new = [given for given in self.inputs(waiting.pop()) if given not in found]
            found.update(new)
            waiting += new
        return found

    def look(self, lake: Lake, table: str, market: str, partition: str) -> tuple[Verdict, str]:
        """Whether the lake's file is what the desk asks for; if it is not, what is wrong with it."""
        recipe = WRITER[table]
        keys: dict[str, Key] = {"market": market, recipe.key: partition}
        try:
            text = lake.metadata(table, **keys)
        except FileNotFoundError:
            return "missing", "it is not in the lake"
        except LakeError as error:
            return "damaged", str(error)
        if text is None:
            return "stale", "it does not say what it was made from: an earlier version wrote it"
        told = json.loads(text)
        if told.pop("of") != [table, market, partition]:
            return "foreign", f"{lake.path(table, **keys)} is the file of another partition"
        found = Stamp(**told)
        asked = self.stamp(Part(recipe.asset, market, partition))
        return ("made", "") if found.fingerprint == asked.fingerprint else ("stale", self._difference(lake, found, asked))

    def is_made(self, lake: Lake, part: Part) -> bool:
        """Whether every table of a partition is in the lake as the desk asks for it."""
        return all(self.look(lake, table, part.market, part.partition)[0] == "made" for table in RECIPES[part.asset].tables)

    def written(self, table: str, keys: Mapping[str, Key]) -> str:
        """What a file of the table says in its metadata: see `assets.lake.Ledger`."""
        part = _part(table, keys)
        return json.dumps({"of": [table, part.market, part.partition], **asdict(self.stamp(part))}, sort_keys=True)

    def asked(self, lake: Lake, table: str) -> list[dict[str, str]]:
        """See `assets.lake.Ledger`."""
        recipe, found = WRITER[table], []
        for part in self.parts(recipe.asset):
            verdict, why = self.look(lake, table, part.market, part.partition)
            if verdict == "damaged":
                raise LakeError(why)
            if verdict == "made":
                found.append({"market": part.market, recipe.key: part.partition})
        return found

    def admit(self, lake: Lake, table: str, keys: Mapping[str, Key]) -> None:
        """See `assets.lake.Ledger`."""
        part = _part(table, keys)
        verdict, why = self.look(lake, table, part.market, part.partition)
        if verdict in ("stale", "foreign"):
            raise LakeError(f"{table} {part.market} {part.partition} is not what this desk asks for: {why}; {remedy(table, keys)}")

    def _difference(self, lake: Lake, found: Stamp, asked: Stamp) -> str:
        """The first thing that differs, as what it was and what it is; of an input that differs, where the lake still tells."""
        if told := _own_difference(found, asked):
            return told
        changed = [name for name in sorted({*found.inputs, *asked.inputs}) if found.inputs.get(name) != asked.inputs.get(name)]
        if not changed:
            return "it was made by another version of tickline"
        asset, market, partition = changed[0].split(" ")
        verdict, why = self.look(lake, RECIPES[asset].tables[-1], market, partition)
        return f"{changed[0]}, which it was made from: {why}" if verdict == "stale" else f"it was made from another {changed[0]}"

    def _stamped(self, part: Part) -> Stamp:
        recipe = RECIPES[part.asset]
        below = {given: self.stamp(given) for given in self.inputs(part)}
        own = {key: self._values[key] for key in own_keys(self.desk, recipe, part.market) if key in self._values}
        hours = {market: self._window(market, part.partition) for market in self.desk.all_markets} if recipe.key == "session" else {}
        outside = self._outside(recipe, part)
        inputs = {str(given): stamp.fingerprint for given, stamp in below.items()}
        code = code_of(recipe.layer)
        told = [_FORMAT, str(part), own, code, hours, outside, inputs]
        keys, codes = dict(own), {recipe.layer: code}
        for stamp in below.values():
            keys.update(stamp.keys)
            codes.update(stamp.code)
        return Stamp(_hash(json.dumps(told, sort_keys=True)), keys, codes, hours, outside, inputs)

    def _resolved(self, part: Part, given: Input) -> Iterator[Part]:
        day = dt.date.fromisoformat(part.partition)
        markets = {"own": (part.market,), "every": self.desk.all_markets, "leaders": self.desk.leaders}[given.markets]
        if given.window == "same":
            days = [day]
        elif given.window == "period":
            days = [self.calendar.period_of(day)]
        else:
            days = self.calendar.training_sessions(day) + (self._sessions_of(day) if given.window == "scoring" else [])
        return (Part(given.asset, market, each.isoformat()) for market in markets for each in days)

    def _sessions_of(self, period: dt.date) -> list[dt.date]:
        if self._traded is None:
            self._traded = {}
            for session in self.calendar.sessions():
                self._traded.setdefault(self.calendar.period_of(session), []).append(session)
        return self._traded.get(period, [])

    def _window(self, market: str, session: str) -> str:
        if (market, session) not in self._hours:
            self._hours[market, session] = repr(self.calendar.window(market, dt.date.fromisoformat(session)))
        return self._hours[market, session]

    def _outside(self, recipe: Recipe, part: Part) -> dict[str, str]:
        if recipe.outside is None:
            return {}
        module, _, function = recipe.outside.partition(":")
        told = getattr(import_module(module), function)(self.desk, part.market, dt.date.fromisoformat(part.partition))
        if told is None:
            # Files that were moved away after they were read make nothing stale: what they were is on record.
            told = self._on_record(recipe, part)
        return dict(told)

    def _on_record(self, recipe: Recipe, part: Part) -> Mapping[str, str]:
        try:
            text = Lake(self.desk.lake).metadata(recipe.tables[0], **{"market": part.market, recipe.key: part.partition})
        except (FileNotFoundError, LakeError):
            return {}
        return json.loads(text)["outside"] if text else {}


class AssetLedger(Provenance):
    """The same for one asset while it is made: it reads what it is made from and nothing else, and writes its own tables."""

    def __init__(self, desk: Desk, market: str, asset: str) -> None:
        super().__init__(desk)
        self.recipe, self.market = RECIPES[asset], market
        self._now: Part | None = None
        self._readable: set[Part] = set()

    def begin(self, partition: str) -> None:
        """Make this partition from now on: what is outside the lake is looked at again."""
        self._stamps.clear()
        self._now = Part(self.recipe.asset, self.market, partition)
        self._readable = self.closure(self._now)

    @property
    def now(self) -> Stamp:
        """What the partition is made from; files that were fetched for it since it was begun are among it."""
        assert self._now is not None, "no partition has been begun"
        self._stamps.pop(self._now, None)
        return self.stamp(self._now)

    def written(self, table: str, keys: Mapping[str, Key]) -> str:
        """As `Provenance.written`, of the asset's own partition only."""
        if (part := _part(table, keys)) != self._now:
            raise UndeclaredInputError(f"{self._now} writes {table} of {part}: it is not declared in assets/lineage.py")
        self._stamps.pop(part, None)  # a source has fetched its files in the meantime
        return super().written(table, keys)

    def admit(self, lake: Lake, table: str, keys: Mapping[str, Key]) -> None:
        """As `Provenance.admit`, and only what the asset is made from."""
        if (part := _part(table, keys)) not in self._readable:
            raise UndeclaredInputError(f"{self._now} reads {table} of {part}: declare it as an input in assets/lineage.py")
        super().admit(lake, table, keys)


def open_lake(desk: Desk) -> Lake:
    """The desk's lake: what is read from it is what the desk asks for now, or is refused with the key that it was made with."""
    return Lake(desk.lake, Provenance(desk))


def own_keys(desk: Desk, recipe: Recipe, market: str) -> list[str]:
    """The keys of a desk whose values count for an asset by themselves."""
    given = (*recipe.keys, *(recipe.simulated if desk.source.kind == "simulated" else ()))
    patterns = [each for pattern in given for each in _filled(pattern, market, desk)]
    apart = (*OUTSIDE, *NEUTRAL, *JUDGING)
    blocking = recipe.blocking if desk.quality.on_fault == "block" else ()
    return sorted(key for key, _ in leaves(desk) if (_any(key, patterns) and not _any(key, apart)) or _any(key, blocking))


def seen_by(desk: Desk, asset: str, market: str) -> Desk:
    """The desk as an asset sees it: with the keys of all that it is made from, and no other."""
    patterns: set[str] = {*STRUCTURE, *NEUTRAL, *(each for pattern in HOURS for each in _filled(pattern, market, desk))}
    waiting, found = [(asset, market)], set[tuple[str, str]]()
    while waiting:
        name, of = waiting.pop()
        if (name, of) in found:
            continue
        found.add((name, of))
        recipe = RECIPES[name]
        patterns.update(own_keys(desk, recipe, of), OUTSIDE if recipe.outside else ())
        markets = {"own": (of,), "every": desk.all_markets, "leaders": desk.leaders}
        waiting += [(given.asset, each) for given in recipe.inputs for each in markets[given.markets]]
    return narrowed(desk, lambda key: _any(key, tuple(patterns)))


def code_version(desk: Desk, asset: str, market: str) -> str:
    """What Dagster is told: a hash of the asset's own code and keys, so that a changed key shows as stale there."""
    recipe = RECIPES[asset]
    values = {key: _plain(value) for key, value in leaves(desk)}
    return _hash(json.dumps([code_of(recipe.layer), {key: values[key] for key in own_keys(desk, recipe, market)}]))


@cache
def code_of(layer: str) -> str:
    """Hash of a layer's sources and of what the desk computes; comments, docstrings, descriptions and messages do not count."""
    folder = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted((folder / layer).rglob("*.*")):
        if path.suffix == ".py":
            digest.update(f"{path.relative_to(folder)}\0{_code(path.read_bytes())}\0".encode())
        elif path.suffix in (".html", ".css"):
            digest.update(path.read_bytes())
    desk = ast.parse((folder / "desk.py").read_bytes())
    computed = [node for part in desk.body if isinstance(part, ast.ClassDef) for node in part.body if isinstance(node, ast.FunctionDef)]
    digest.update("\0".join(ast.dump(_Bare().visit(node)) for node in computed).encode())
    return digest.hexdigest()[:16]


def _code(source: bytes) -> str:
    return ast.dump(_Bare().visit(ast.parse(source)))


class _Bare(ast.NodeTransformer):
    """Takes away what does not change a result: docstrings, descriptions, the words of an error."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        return ast.Raise(node.exc.func if isinstance(node.exc, ast.Call) else node.exc)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        node.keywords = [keyword for keyword in node.keywords if keyword.arg != "description"]
        return self.generic_visit(node)


def remembered_sha(path: Path, home: Path | None = None) -> str:
    """Hash of a file's content; a file that has not changed since is not read again in this process.

    Nor in another, where a home is given: a folder of a vendor's files is many gigabytes.
    """
    state = file_state(path)
    if home is None:
        return _sha(path, state)
    memory, name = home / _MEMORY, json.dumps([str(path), *state])
    known = _remembered(memory, file_state(memory))
    if name not in known:
        known[name] = _sha(path, state)
        home.mkdir(parents=True, exist_ok=True)
        with memory.open("a") as file:
            file.write(f"{known[name]} {name}\n")
    return known[name]


@lru_cache(maxsize=1)
def _remembered(memory: Path, _state: tuple[int, int]) -> dict[str, str]:
    lines = memory.read_text().splitlines() if memory.is_file() else []
    return {name: sha for sha, _, name in (line.partition(" ") for line in lines)}


def file_state(path: Path) -> tuple[int, int]:
    """What changes with a file's content: when it was written, and its size; nothing where there is no file."""
    try:
        state = path.stat()
    except OSError:
        return 0, 0
    return state.st_mtime_ns, state.st_size


@lru_cache(maxsize=65_536)
def _sha(path: Path, _state: tuple[int, int]) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _part(table: str, keys: Mapping[str, Key]) -> Part:
    market, partition = keys.values()
    return Part(WRITER[table].asset, str(market), str(partition))


def _own_difference(found: Stamp, asked: Stamp) -> str | None:
    for key in sorted({*found.keys, *asked.keys}):
        was, now = (_said(stamp.keys.get(key)) for stamp in (found, asked))
        if was != now:
            return f"{key} was {was} when it was made and is {now} now"
    for what, was_of, now_of in (("hours of", found.hours, asked.hours), ("", found.outside, asked.outside)):
        for name in sorted({*was_of, *now_of}):
            if was_of.get(name) != now_of.get(name):
                return f"{what} {name} changed after it was made".strip()
    layers = [layer for layer in asked.code if found.code.get(layer) != asked.code[layer]]
    return f"the code of {', '.join(layers)} has changed since it was made" if layers else None


def _said(value: Any) -> str:
    return "not there" if value is None else value if isinstance(value, str) else json.dumps(value)


def _plain(value: Any) -> Any:
    """A desk's value as JSON; equal values give equal JSON, and a file stands for what is in it."""
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, Path):
        return remembered_sha(value) if value.is_file() else "no file"
    if isinstance(value, BaseModel):
        return _plain(value.model_dump())
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value if value is None or isinstance(value, str | bool | int | float) else value.isoformat()


def _filled(pattern: str, market: str, desk: Desk) -> list[str]:
    if "{every}" in pattern:
        return [pattern.format(every=name) for name in desk.all_markets]
    return [pattern.format(market=market)]


def _any(key: str, patterns: tuple[str, ...] | list[str]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
