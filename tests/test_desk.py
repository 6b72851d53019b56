"""A desk file is read whole or refused with one sentence that names the key."""

from pathlib import Path

import pytest

from assets.desk import DeskError, load_desk

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
        ("latency_ms = 20.0", "latency_ms = -1", "trading.latency_ms"),
        ("tuning_trials = 24", "delays.order.ms = -3", "trading.delays.order.ms: Input should be greater than or equal to 0"),
        ("tuning_trials = 24", "delays.order.sigma = 1", "trading.delays.order: a delay is told in one way: ms .constant., file"),
        ("tuning_trials = 24", "tuning_trials = 0", "trading.tuning_trials: Input should be greater than or equal to 1"),
        ("tuning_trials = 24", 'min_pnl_per_contract = "-1"', "trading.min_pnl_per_contract: Input should be greater than or equal to 0"),
        ("tuning_trials = 24", 'tuning_backend = "abacus"', "trading.tuning_backend: Input should be 'serial', 'processes' or 'ray'"),
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


def test_a_missing_desk_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DeskError, match="pass --desk FILE"):
        load_desk(tmp_path / "none.toml")
