"""Real market data through all the floors: each file of `../shared/data` in one process, the shares as a desk of their own."""

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from assets.books.quality import unaccounted
from assets.books.rebuild import applied, rebuild
from assets.books.schema import BookQuality, CleanBooks, Quarantine, Trades
from assets.curves.model import fit, predict
from assets.curves.statistics import session_statistics
from assets.desk import Market, Quality, Trading, load_desk
from assets.features.build import build
from assets.features.indicators import indicators
from assets.fills.policy import Policy
from assets.fills.simulate import simulate
from assets.hours import Window
from assets.lake import Lake, check
from assets.ticks.dbn import SCHEMAS, TicksError, read_metadata, read_records
from assets.ticks.schema import RawTicks
from pipelines.run import run_desk

ES = "esh4-glbx-mdp3-20231225.mbo.dbn.zst"
MARKET = Market(symbol="ES", tick_size="0.25", multiplier="50")
HORIZON_NS = 10 * 10**9


def books_of(path: Path):
    raw = read_records([path])
    check(raw, RawTicks, path.name)
    books = rebuild(raw)
    contracts = {"books": CleanBooks, "trades": Trades, "quarantine": Quarantine, "quality": BookQuality}
    for table, contract in contracts.items():
        check(getattr(books, table), contract, path.name)
    assert unaccounted(raw.height, books.books, books.quarantine) == 0
    return raw, books


def features_of(books):
    return build(books.books, books.trades, {}, tick=MARKET.tick, leader_ticks={}, horizon_ns=HORIZON_NS, open_ns=None)


@pytest.fixture(scope="module")
def model(shared_data: Path) -> pl.DataFrame:
    """Curves of the one file that holds enough to fit them."""
    _, books = books_of(shared_data / ES)
    sums = session_statistics(features_of(books), indicators([]), horizon_ns=HORIZON_NS)
    return fit([sums], indicators([]), horizon_ns=HORIZON_NS, first_session=dt.date(2023, 12, 25), last_session=dt.date(2023, 12, 25))


@pytest.mark.parametrize(
    ("name", "records"),
    [
        ("esh4-glbx-mdp3-20231224.mbo.dbn.zst", 8_725),
        (ES, 68_792),
        ("orderbooks_mbo_2024-05-08T00-00-00_2024-05-08T00-00-02.dbn.zst", 13_796),
        ("futures_mbp-1_2024-07-01T23-58_2024-07-02T00-02.dbn.zst", 2_288),
    ],
)
def test_a_real_file_goes_through_all_the_floors(shared_data: Path, model: pl.DataFrame, name: str, records: int) -> None:
    raw, books = books_of(shared_data / name)
    assert raw.height == records
    features = features_of(books)
    moves = predict(model, features)
    assert len(moves) == features.height
    stamps = raw["ts_event"]
    window = Window(stamps.min(), stamps.max() + 1)
    signal = features["ts_event"].to_numpy(), moves
    traded = simulate(applied(raw, books.quarantine), *signal, market=MARKET, trading=Trading(), policy=Policy(), window=window)
    assert traded.outcome.orders == traded.orders.filter(kind="new").height


def test_each_file_of_the_vendors_own_tests_goes_through_or_is_refused_in_a_sentence(shared_data: Path) -> None:
    files = sorted(path for path in (shared_data / "dbn_formats").rglob("*") if path.is_file() and ".d" in path.name)
    through, refused = [], {}
    for path in files:
        try:
            books_of(path)
            through.append(path)
        except TicksError as error:
            refused[path] = str(error)
    assert len(through) > 40
    for path in through:
        assert str(read_metadata(path).schema) in SCHEMAS
    for path, sentence in refused.items():
        assert str(path) in sentence
        assert "\n" not in sentence
        venues = "OPRA" in str(path) and "publishers with a book each" in sentence
        assert venues or path.suffix == ".dbz" or not any(f".{schema}." in path.name for schema in SCHEMAS) or "frag" in path.name, path


def test_two_shares_from_files_are_a_desk_of_their_own(shared_data: Path, tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "desks" / "equities.toml").read_text()
    for old, new in (
        ("../../shared/data/equities", str(shared_data / "equities")),
        ("../var/equities", "var"),
        ("first_session = 2013-10-07", "first_session = 2013-10-08"),
        ("last_session = 2013-10-11", "last_session = 2013-10-10"),
        ("training_sessions = 3", "training_sessions = 2"),
        ("tuning_trials = 24", "tuning_trials = 2"),
    ):
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "desk.toml"
    path.write_text(text)
    run_desk(path, lambda _: None)
    desk = load_desk(path)
    lake = Lake(desk.lake)
    report = lake.read("performance_report", market="BAC", session=dt.date(2013, 10, 10))
    assert report["r2"].item() > 0.05
    quality = lake.read("book_quality", market="BAC", session=dt.date(2013, 10, 9))
    assert quality["crossed"].item() / quality["records"].item() < Quality().max_crossed_share
    books = lake.read("clean_books", market="BAC", session=dt.date(2013, 10, 9))
    assert books["bid_px_01"].null_count() == books.height
    assert (desk.reports / "index.html").exists()
