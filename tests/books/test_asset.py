"""The floor as Dagster sees it: five tables, one asset, checks that can fail."""

import datetime as dt
import warnings

import dagster as dg
import polars as pl
import pytest

from assets.books.asset import checks, clean_books
from assets.books.continuous import rows_of
from assets.books.quality import faults, unaccounted
from assets.books.rebuild import rebuild
from assets.books.schema import BookQuality
from assets.calendar import Calendar
from assets.desk import Quality, load_desk
from assets.provenance import open_lake
from assets.ticks.schema import RawTicks, TradingHalts

SESSION = "2026-09-07"
KEYS = {"market": "FLW", "session": SESSION}
OPEN = 1_788_787_800_000_000_000  # 13:30 UTC of that day


@pytest.fixture
def desk(make_desk, tmp_path):
    return load_desk(make_desk(tmp_path))


@pytest.fixture
def stream(frame):
    """Two orders before the open, a trade after it, and one record of an order nobody knows."""
    sides = [("A", "B", 100, 1), ("A", "A", 101, 2), ("T", "B", 101, 3), ("F", "A", 101, 2), ("C", "A", 101, 2), ("C", "B", 100, 9)]
    return frame(
        [
            {"action": action, "side": side, "price": price * 10**9, "order_id": order_id, "ts_event": OPEN + 1_000_000 * (number - 2)}
            for number, (action, side, price, order_id) in enumerate(sides)
        ]
    )


def materialise(desk, raw):
    open_lake(desk).write("raw_ticks", raw, RawTicks, **KEYS)
    open_lake(desk).write("trading_halts", TradingHalts.empty(), TradingHalts, **KEYS)
    with dg.DagsterInstance.ephemeral() as instance, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # partitioned checks are in preview
        return dg.materialize(
            [clean_books(desk, "FLW"), *checks(desk, "FLW")], partition_key=SESSION, instance=instance, raise_on_error=False
        )


def outcomes(run):
    return {evaluation.check_name: evaluation.passed for evaluation in run.get_asset_check_evaluations()}


def test_the_asset_writes_its_five_tables_and_every_contract_holds(desk, stream):
    run = materialise(desk, stream)
    window = Calendar(desk).window("FLW", dt.date.fromisoformat(SESSION))
    lake, made = open_lake(desk), rebuild(stream, open_ns=OPEN, close_ns=window.close_ns, tick=desk.markets["FLW"].tick)
    tables = {"clean_books": made.books, "trades": made.trades, "quarantine": made.quarantine, "book_quality": made.quality}
    tables["trading_stretches"] = rows_of(window.rolled([(0, stream["instrument_id"][0])]))
    for table, expected in tables.items():
        assert lake.read(table, **KEYS).equals(expected)
    contracts = {f"{table}_contract": True for table in tables}
    assert outcomes(run) == {**contracts, "records_conserved": True, "book_quality_thresholds": False}


def test_what_a_session_is_worth_is_in_the_metadata(desk, stream):
    (made,) = materialise(desk, stream).asset_materializations_for_node("FLW__clean_books")
    told = {name: entry.value for name, entry in made.metadata.items()}
    assert (told["records"], told["events"], told["trades"], told["quarantined"], told["front_share"]) == (6, 5, 1, 1, 1.0)
    assert (told["quarantine_unknown_order"], told["feed_p50_ns"]) == (1, 50)


def test_a_holiday_has_empty_tables_and_a_row_of_quality(desk, frame):
    materialise(desk, frame([]))
    lake = open_lake(desk)
    assert [lake.read(table, **KEYS).height for table in ("clean_books", "trades", "quarantine", "book_quality")] == [0, 0, 0, 1]


def test_without_raw_ticks_the_failure_says_what_to_materialise_and_publishes_nothing(desk):
    with dg.DagsterInstance.ephemeral() as instance:
        run = dg.materialize([clean_books(desk, "FLW")], partition_key=SESSION, instance=instance, raise_on_error=False)
    failure = run.failure_data_for_node("FLW__clean_books")
    assert f"raw_ticks FLW {SESSION} is not in the lake" in failure.user_failure_data.description
    assert not (desk.lake / "clean_books").exists()


def test_a_lost_record_is_noticed(stream):
    made = rebuild(stream)
    assert unaccounted(stream.height, made.books, made.quarantine) == 0
    assert unaccounted(stream.height, made.books[1:], made.quarantine) == 1


@pytest.mark.parametrize(
    ("worse", "word"),
    [
        ({"refused": 20}, "could not be applied"),
        ({"crossed": 200}, "crossed or locked"),
        ({"front_share": 0.9}, "front of our queue"),
        ({"feed_p50_ns": 2_000_000_000}, "clocks"),
        ({"feed_p50_ns": -5}, "clocks"),
    ],
)
def test_a_threshold_that_is_missed_is_told_in_a_sentence(worse, word):
    sound = dict.fromkeys(BookQuality.to_schema().columns, 0) | {"records": 1_000, "front_share": 1.0}
    assert faults(pl.DataFrame([sound]), Quality()) == []
    (fault,) = faults(pl.DataFrame([sound | worse]), Quality())
    assert word in fault


def test_a_book_that_crosses_in_a_halt_speaks_against_nobody(frame):
    crossing = [("A", "B", 100, 1), ("T", "B", 100, 9), ("A", "A", 99, 2), ("C", "A", 99, 2)]
    stream = frame(
        [
            {"action": action, "side": side, "price": price * 10**9, "order_id": order_id, "ts_event": OPEN + 1_000 * number}
            for number, (action, side, price, order_id) in enumerate(crossing)
        ]
    )
    trading, halted = rebuild(stream, open_ns=OPEN), rebuild(stream, open_ns=OPEN, halts=[(OPEN + 1_500, OPEN + 2_500)])
    assert (trading.quality["crossed"].item(), trading.quality["crossed_ns"].item()) == (1, 1_000)
    assert (halted.quality["crossed"].item(), halted.quality["crossed_ns"].item()) == (0, 0)
    assert (trading.quarantine["reason"].item(), halted.quarantine["reason"].item()) == ("crossed", "auction")


def test_the_desk_says_whether_a_fault_of_quality_blocks(desk, stream):
    strict = desk.model_copy(update={"quality": Quality(on_fault="block")})
    severities = {
        evaluation.severity
        for which in (desk, strict)
        for evaluation in materialise(which, stream).get_asset_check_evaluations()
        if evaluation.check_name == "book_quality_thresholds" and not evaluation.passed
    }
    assert severities == {dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR}
