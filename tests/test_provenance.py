"""Every key of the desk counts for what is made from it, and an asset sees no other key and no other partition."""

import datetime as dt
import json
import types
import typing
from collections.abc import Iterator
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import BaseModel

from assets import lineage, provenance
from assets.books.schema import Trades
from assets.desk import Chosen, Delay, Delays, Desk, Fees, Market, OwnSeries, UndeclaredKeyError, leaves, load_desk
from assets.lake import Lake, LakeError
from assets.lineage import HOURS, JUDGING, NEUTRAL, OUTSIDE, RECIPES, STRUCTURE
from assets.provenance import AssetLedger, Part, Provenance, UndeclaredInputError, _code, code_version, open_lake, seen_by
from assets.ticks.schema import TradingHalts

KEYS = {"market": "FLW", "session": "2026-09-07"}
TRADES = pl.DataFrame([dict.fromkeys(Trades.empty().columns, 1)], schema=Trades.empty().schema)


@pytest.fixture
def desk(make_desk, tmp_path: Path) -> Desk:
    return load_desk(make_desk(tmp_path))


def model_keys(model: type[BaseModel], path: str = "") -> Iterator[str]:
    """Every key that a desk file may have, dotted; FLW stands for a name."""
    for name, field in model.model_fields.items():
        inner = [one for one in parts_of(field.annotation) if one is not Chosen]
        if not inner:
            yield f"{path}{name}"
        named = "FLW." if typing.get_origin(field.annotation) is dict else ""
        for one in inner:
            yield from model_keys(one, f"{path}{name}.{named}")


def parts_of(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [one for argument in typing.get_args(annotation) for one in parts_of(argument)]


def is_one_of(key: str, patterns: typing.Iterable[str]) -> bool:
    return any(fnmatchcase(key, pattern.replace("{market}", "*").replace("{every}", "*")) for pattern in patterns)


DECLARED = [pattern for recipe in RECIPES.values() for pattern in (*recipe.keys, *recipe.simulated)]
ALL_KEYS = sorted(set(model_keys(Desk)))


def test_the_model_has_the_keys_that_everybody_knows() -> None:
    assert {"markets.FLW.tick_size", "trading.delays.feed.ms", "source.alpha", "source.dataset", "indicators.own"} <= {*ALL_KEYS}
    assert len(ALL_KEYS) > 80


@pytest.mark.parametrize("key", ALL_KEYS)
def test_every_key_of_the_desk_is_known_to_count_or_known_not_to(key: str) -> None:
    """A key that was forgotten: docs/provenance.md says in three lines where it belongs."""
    known = (*DECLARED, *STRUCTURE, *HOURS, *OUTSIDE, *NEUTRAL, *JUDGING)
    assert is_one_of(key, known), f"declare {key} in assets/lineage.py"


def full(desk: Desk) -> Desk:
    """A desk that gives a value to what is otherwise left out."""
    delay = Delay(median_ms=5.0)
    limits = desk.markets["FLW"].limits.model_copy(update={"messages_per_second": 10, "order_to_trade": 4.0})
    fees = Fees(exchange_maker=Decimal("0.5"), exchange_taker=Decimal("0.5"))
    flow = desk.markets["FLW"].model_copy(update={"limits": limits, "fees": fees})
    trading = desk.trading.model_copy(
        update={
            "delays": Delays(feed=delay, order=delay, cancel=delay, response=delay),
            "high_volume": 100, "max_position_high_volume": 3, "max_gap_seconds": 5.0,
        }
    )  # fmt: skip
    return desk.model_copy(update={"markets": {**desk.markets, "FLW": flow}, "trading": trading})


def changed(part: Any, path: list[str]) -> Any:
    """The same with another value at a key."""
    name, *rest = path
    old = part[name] if isinstance(part, dict) else getattr(part, name)
    new = changed(old, rest) if rest else another(old)
    return {**part, name: new} if isinstance(part, dict) else part.model_copy(update={name: new})


def another(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int() | float() | Decimal():
            return value + 1
        case str():
            return f"{value}x"
        case Path():
            return value / "elsewhere"
        case dict():
            return {**value, dt.date(2026, 9, 8): "closed"}
        case tuple() if value and isinstance(value[0], dt.time):
            return (dt.time(13, 45), value[1])
        case tuple():
            return (*value, "LDR") if "LDR" not in value else ()
        case dt.date():
            return value - dt.timedelta(days=7)
    return None


def stamps(desk: Desk) -> dict[Part, str]:
    known = Provenance(desk)
    return {part: known.stamp(part).fingerprint for asset in RECIPES for part in known.parts(asset)}


def test_another_value_of_any_key_asks_for_other_partitions_where_it_counts_and_nowhere_else(desk: Desk) -> None:
    desk = full(desk)
    before = stamps(desk)
    # Tested below, or without another value of its kind.
    unseen = {"markets.LDR.*", "markets.*.calendar", "source.kind", "retrain", "traded", "training_sessions", "indicators.series"}
    for key, value in leaves(desk):
        if value is None or is_one_of(key, unseen):
            continue
        after = stamps(changed(desk, key.split(".")))
        moved = {part.asset for part in before.keys() | after.keys() if before.get(part) != after.get(part)}
        if is_one_of(key, (*NEUTRAL, *JUDGING)):
            assert not moved, key
        else:
            assert moved, key
            first = [recipe for recipe in RECIPES.values() if is_one_of(key, recipe.keys)]
            assert not first or first[0].asset in moved, key
            assert key.startswith("trading.") <= ("curve_model" not in moved), key


def test_an_earlier_last_session_leaves_the_others_as_they_are(desk: Desk) -> None:
    before, after = stamps(desk), stamps(desk.model_copy(update={"last_session": dt.date(2026, 9, 16)}))
    differing = {part.asset for part in after if before[part] != after[part]}
    assert differing == {"model_scores"}, "which is of all the sessions of its period"


def test_a_leaders_fee_counts_for_nothing_and_its_tick_for_all(desk: Desk) -> None:
    before = stamps(desk)
    assert stamps(changed(desk, ["markets", "LDR", "maker_fee"])) == before
    moved = {part.asset for part, stamp in stamps(changed(desk, ["markets", "LDR", "tick_size"])).items() if stamp != before[part]}
    assert moved == {*RECIPES}


@pytest.mark.parametrize("asset", RECIPES)
def test_an_asset_sees_the_keys_of_its_stamp_and_no_other_that_counts(desk: Desk, asset: str) -> None:
    known = Provenance(desk)
    seen = {key for key, _ in leaves(seen_by(desk, asset, "FLW"))}
    free = {key for key in seen if is_one_of(key, (*STRUCTURE, *HOURS, *NEUTRAL, *OUTSIDE))}
    assert seen - free <= {*known.stamp(known.parts(asset)[0]).keys}
    assert not any(is_one_of(key, JUDGING) for key in seen)


def test_an_undeclared_key_cannot_be_read(desk: Desk) -> None:
    seen = seen_by(desk, "clean_books", "FLW")
    assert seen.markets["FLW"].tick_size == desk.markets["FLW"].tick_size
    for read in (lambda: seen.trading.latency_ms, lambda: seen.horizon_seconds, lambda: hasattr(seen.quality, "on_fault")):
        with pytest.raises(UndeclaredKeyError, match=r"does not declare it in assets/lineage\.py"):
            read()


def test_an_undeclared_partition_cannot_be_read_or_written(desk: Desk) -> None:
    open_lake(desk).write("trades", TRADES, Trades, **KEYS)
    ledger = AssetLedger(desk, "FLW", "feature_table")
    lake = Lake(desk.lake, ledger)
    ledger.begin("2026-09-07")
    assert lake.read("trades", **KEYS).equals(TRADES)
    ledger.begin("2026-09-08")
    with pytest.raises(UndeclaredInputError, match="feature_table FLW 2026-09-08 reads trades of clean_books FLW 2026-09-07"):
        lake.read("trades", **KEYS)
    with pytest.raises(UndeclaredInputError, match="writes trades"):
        lake.write("trades", TRADES, Trades, **KEYS)


def test_files_that_are_fetched_while_a_partition_is_made_are_among_what_it_was_made_from(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: dict[str, str] = {}
    monkeypatch.setattr("assets.ticks.source.vendor_files", lambda *_: dict(fetched) or None)
    ledger = AssetLedger(desk, "FLW", "raw_ticks")
    lake = Lake(desk.lake, ledger)
    ledger.begin("2026-09-07")
    fetched["day.dbn.zst"] = "1"
    lake.write("trading_halts", TradingHalts.empty(), TradingHalts, **KEYS)
    assert Provenance(desk).look(lake, "trading_halts", "FLW", "2026-09-07")[0] == "made"
    fetched["day.dbn.zst"] = "2"
    assert Provenance(desk).look(lake, "trading_halts", "FLW", "2026-09-07") == ("stale", "day.dbn.zst changed after it was made")
    fetched.clear()
    verdict, _ = Provenance(desk).look(lake, "trading_halts", "FLW", "2026-09-07")
    assert verdict == "stale", "what raw_ticks itself says counts where the files are gone, and here it says nothing"


def test_what_the_lake_holds_is_missing_damaged_anothers_out_of_date_or_made(desk: Desk) -> None:
    known, lake = Provenance(desk), open_lake(desk)
    at = ("trades", "FLW", "2026-09-07")
    assert known.look(lake, *at)[0] == "missing"
    path = lake.write("trades", TRADES, Trades, **KEYS).path
    assert known.look(lake, *at) == ("made", "")
    dearer = changed(changed(desk, ["source", "seed"]), ["trading", "latency_ms"])
    assert Provenance(dearer).look(lake, *at) == ("stale", "source.seed was 20260824 when it was made and is 20260825 now")
    with pytest.raises(LakeError, match=r"source\.seed was .* is 20260825 now; `tickline make trades --session 2026-09-07` makes it"):
        open_lake(dearer).read("trades", **KEYS)
    whole = path.read_bytes()
    other = lake.path("trades", market="FLW", session="2026-09-08")
    other.parent.mkdir()
    other.write_bytes(whole)
    assert known.look(lake, "trades", "FLW", "2026-09-08")[0] == "foreign"
    path.write_bytes(whole[:-20])
    assert known.look(lake, *at)[0] == "damaged"
    Lake(desk.lake).write("trades", TRADES, Trades, **KEYS)
    assert known.look(lake, *at) == ("stale", "it does not say what it was made from: an earlier version wrote it")


def test_a_table_of_the_users_own_counts_as_far_as_a_session_has_seen_it(desk: Desk, tmp_path: Path) -> None:
    table = tmp_path / "mood.csv"
    table.write_text("ts_event,score\n2026-09-07T14:00:00Z,3.0\n")
    mood = OwnSeries(path=table, value="score", delay_seconds=1)
    desk = desk.model_copy(update={"indicators": desk.indicators.model_copy(update={"series": {"mood": mood}})})
    before = stamps(desk)
    table.write_text("ts_event,score\n2026-09-07T14:00:00Z,3.0\n2026-09-09T14:00:00Z,4.0\n")
    moved = {part.partition for part, stamp in stamps(desk).items() if part.asset == "feature_table" and stamp != before[part]}
    assert min(moved) == "2026-09-09"


def test_dagster_is_told_another_version_of_the_code_where_a_key_of_the_asset_has_changed(desk: Desk) -> None:
    dear = changed(desk, ["markets", "FLW", "maker_fee"])
    told = {asset: code_version(desk, asset, "FLW") != code_version(dear, asset, "FLW") for asset in RECIPES}
    assert [asset for asset, another in told.items() if another] == ["quoting_policy"], "what comes after it is stale by its data"


def test_a_big_file_is_read_once_for_all_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "day.dbn.zst"
    file.write_bytes(b"records")
    first = provenance.remembered_sha(file, tmp_path / "home")
    monkeypatch.setattr(provenance, "_sha", lambda *_: pytest.fail("read again"))
    provenance._remembered.cache_clear()  # as in another process
    assert provenance.remembered_sha(file, tmp_path / "home") == first
    monkeypatch.undo()
    file.write_bytes(b"other records")
    assert provenance.remembered_sha(file, tmp_path / "home") != first


def test_words_are_no_code_and_numbers_are() -> None:
    code = b'"""Doc."""\nA = F(1, description="one")\ndef f(x):\n    """What."""\n    if x:\n        raise E(f"{x}")\n    return 2  # two\n'
    said = b'A = F(1, description="1")\ndef f(x):\n    if x:\n        raise E("poor")\n    return 2\n'
    assert _code(code) == _code(said)
    assert _code(code) != _code(code.replace(b"return 2", b"return 3"))


def test_a_stamp_is_read_from_the_file_as_it_was_written(desk: Desk) -> None:
    lake = open_lake(desk)
    lake.write("trades", TRADES, Trades, **KEYS)
    told = json.loads(lake.metadata("trades", **KEYS) or "")
    assert told["of"] == ["trades", "FLW", "2026-09-07"]
    assert told["keys"]["markets.FLW.tick_size"] == "0.1"
    assert [*told["inputs"]] == ["raw_ticks FLW 2026-09-07"]


def test_every_table_has_one_writer_and_every_input_a_recipe() -> None:
    tables = [table for recipe in RECIPES.values() for table in recipe.tables]
    assert len(tables) == len({*tables})
    seen: set[str] = set()
    for recipe in RECIPES.values():
        assert {given.asset for given in recipe.inputs} <= seen, recipe.asset
        seen.add(recipe.asset)
    assert {*lineage.WRITER} == {*tables}


def test_thresholds_count_where_a_session_that_fails_them_is_held_back(desk: Desk) -> None:
    before = stamps(desk)
    assert stamps(changed(desk, ["quality", "max_feed_ms"])) == before
    strict = desk.model_copy(update={"quality": desk.quality.model_copy(update={"on_fault": "block"})})
    assert {part.asset for part, stamp in stamps(strict).items() if stamp != before[part]} == {*RECIPES} - {"raw_ticks"}
    assert stamps(changed(strict, ["quality", "max_feed_ms"])) != stamps(strict)


def test_markets_that_only_share_the_file_do_not_count(desk: Desk) -> None:
    third = Market(symbol="THRZ6", tick_size=Decimal(1))
    assert stamps(desk.model_copy(update={"markets": {**desk.markets, "THR": third}})) == stamps(desk)
