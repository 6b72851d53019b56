"""A desk file is read whole or refused with one sentence that names the key."""

from decimal import Decimal
from pathlib import Path

import pytest

from assets.desk import DeskError, load_desk

SIMPLE = 'maker_fee = "1.40"               # exchange, clearing and broker, a contract\ntaker_fee = "1.40"'
DEFAULT = Path(__file__).parents[1] / "desk.toml"


def test_the_default_desk_is_two_markets_on_the_simulated_exchange() -> None:
    desk = load_desk(DEFAULT)
    assert desk.all_markets == ("FLW", "LDR")
    assert desk.provenance == "simulated exchange"
    assert desk.markets["FLW"].tick == 100_000_000
    assert desk.markets["FLW"].tick_value == 5_000_000_000
    assert desk.home == DEFAULT.parent / "var"
    assert desk.trading.latency_ns == 20_000_000


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("training_sessions = 20", "training_session = 20", "unknown key training_session"),
        ("training_sessions = 20", "training_sessions = 19", "whole weeks of 5"),
        ('traded = "FLW"', 'traded = "RTY"', "traded names market 'RTY'"),
        ('leaders = ["LDR"]', 'leaders = ["FLW"]', "cannot lead itself"),
        ('tick_size = "0.10"', 'tick_size = "0"', "markets.FLW.tick_size"),
        ('tick_size = "0.10"', 'tick_size = "0.00000000015"', "markets.FLW: tick_size 1.5E-10 is no multiple of 1e-9"),
        ('multiplier = "50"', 'multiplier = "0.000000001"', "markets.FLW: a tick is worth 1.0E-10, less than 1e-9"),
        ('multiplier = "50"', 'multiplier = "50"\ncurrency = "yen"', "markets.FLW.currency: String should match pattern"),
        ('multiplier = "50"', 'multiplier = "50"\nlot_size = 0', "markets.FLW.lot_size: Input should be greater than 0"),
        ('daily_loss_limit = "1000"', 'daily_loss_limit = "1e12"', "trading.daily_loss_limit: Input should be less than or equal to"),
        ("max_position = 2", "max_position = 3000000000", "trading.max_position: Input should be less than or equal to"),
        ("latency_ms = 20.0", "latency_ms = -1", "trading.latency_ms"),
        ("tuning_trials = 24", "delays.order.ms = -3", "trading.delays.order.ms: Input should be greater than or equal to 0"),
        ("tuning_trials = 24", "delays.order.sigma = 1", "trading.delays.order: a delay is told in one way: ms .constant., file"),
        ("tuning_trials = 24", "tuning_trials = 0", "trading.tuning_trials: Input should be greater than or equal to 1"),
        ("tuning_trials = 24", 'min_pnl_per_contract = "-1"', "trading.min_pnl_per_contract: Input should be greater than or equal to 0"),
        ("tuning_trials = 24", 'tuning_backend = "abacus"', "trading.tuning_backend: Input should be 'serial', 'processes' or 'ray'"),
        ("tuning_trials = 24", "max_gap_seconds = 0", "trading.max_gap_seconds: Input should be greater than 0"),
        ("tuning_trials = 24", "high_volume = 5000", "high_volume and max_position_high_volume belong together"),
        ("tuning_trials = 24", "order_size = 3", "order_size 3 is more than max_position 2"),
        ('taker_fee = "1.40"', 'fees = {exchange_maker = "1", exchange_taker = "1"}', "fees come in one form"),
        ('taker_fee = "1.40"', "limits.order_to_trade = -1", "markets.FLW.limits.order_to_trade: Input should be greater than 0"),
        ('kind = "simulated"', 'kind = "carrier pigeon"', "source"),
        ("last_session = 2026-10-02", "last_session = 2026-01-02", "before first_session"),
        ('model = "curves"', 'model = "astrology"', "model: Input should be 'curves', 'champion', 'zero'"),
        ('name = "demo"', "name = demo", "not valid TOML"),
    ],
)
def test_a_mistake_is_told_with_its_key(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    text = DEFAULT.read_text()
    assert old in text
    (tmp_path / "desk.toml").write_text(text.replace(old, new))
    with pytest.raises(DeskError, match=sentence):
        load_desk(tmp_path / "desk.toml")


def test_a_contract_of_a_fraction_is_worth_its_fraction(tmp_path: Path) -> None:
    lots = 'multiplier = "50"\nlot_size = "0.001"\ncurrency = "JPY"'
    (tmp_path / "desk.toml").write_text(DEFAULT.read_text().replace('multiplier = "50"', lots, 1))
    market = load_desk(tmp_path / "desk.toml").markets["FLW"]
    assert (market.point_value, market.tick_value, market.currency) == (Decimal("0.05"), 5_000_000, "JPY")


def test_fees_by_who_takes_them_add_up(tmp_path: Path) -> None:
    parts = 'fees = {exchange_maker = "-0.20", exchange_taker = "0.85", clearing = "0.10", broker = "0.25"}'
    (tmp_path / "desk.toml").write_text(DEFAULT.read_text().replace(SIMPLE, parts))
    market = load_desk(tmp_path / "desk.toml").markets["FLW"]
    assert (market.maker_fee, market.taker_fee) == (Decimal("0.15"), Decimal("1.20"))


def test_recorded_data_is_not_traded_for_nothing_by_oversight(tmp_path: Path) -> None:
    folder = 'kind = "dbn_folder"\nfolder = "data"\n'
    source = DEFAULT.read_text().replace('kind = "simulated"\n', folder).replace("seed = 20260824\n", "")
    lines = [line for line in source.splitlines() if not line.startswith(("alpha", "events_per_session"))]
    recorded = "\n".join(lines)
    assert SIMPLE in recorded
    (tmp_path / "desk.toml").write_text(recorded.replace(SIMPLE, ""))
    with pytest.raises(DeskError, match=r"FLW says no fees: give maker_fee and taker_fee, or .markets.FLW.fees.; 0 where there are none"):
        load_desk(tmp_path / "desk.toml")
    (tmp_path / "desk.toml").write_text(recorded.replace(SIMPLE, 'maker_fee = "0"\ntaker_fee = "0"'))
    assert load_desk(tmp_path / "desk.toml").markets["FLW"].maker_fee == 0


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_desk_file_is_utf_8_with_or_without_a_mark_and_has_any_line_ends(tmp_path: Path, ends: str, mark: bytes) -> None:
    text = DEFAULT.read_text().replace('home = "var"', 'home = "Läufe"')
    (tmp_path / "desk.toml").write_bytes(mark + text.replace("\n", ends).encode())
    assert load_desk(tmp_path / "desk.toml").home == tmp_path / "Läufe"
    (tmp_path / "desk.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(DeskError, match=r"is not UTF-8 \(line \d+\): save it as UTF-8"):
        load_desk(tmp_path / "desk.toml")


def test_a_missing_desk_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DeskError, match="pass --desk FILE"):
        load_desk(tmp_path / "none.toml")
