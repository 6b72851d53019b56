"""`tickline reconcile`: a log written by --export and read back, judged on the session that did not choose; bad logs in a sentence."""

import datetime as dt
import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from assets.books.continuous import rows_of
from assets.books.schema import Quarantine, TradingStretches
from assets.calendar import Calendar
from assets.desk import NS, load_desk
from assets.fills.policy import Policy
from assets.fills.schema import LiveFills, LiveOrders
from assets.fills.simulate import simulate
from assets.fills.tape import make_tape
from assets.provenance import open_lake
from assets.ticks.dbn import to_frame
from assets.ticks.exchange import Instrument
from assets.ticks.exchange import simulate as simulate_exchange
from assets.ticks.schema import RawTicks
from pipelines.cli import app

DEFAULT = Path(__file__).parents[2] / "desk.toml"
MONDAY, TUESDAY = dt.date(2026, 9, 21), dt.date(2026, 9, 22)


def reconcile(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["reconcile", *map(str, words)])
    return result.exit_code, result.stdout, " ".join(result.stderr.split())


@pytest.fixture(scope="module")
def desk_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sessions of ten minutes, and a policy's log of the exact queue on a desk that assumes the pessimist's."""
    path = tmp_path_factory.mktemp("desk") / "desk.toml"
    path.write_text(DEFAULT.read_text().replace("latency_ms = 20.0", 'latency_ms = 20.0\nqueue = "pessimist"'))
    desk = load_desk(path)
    lake, market = open_lake(desk), desk.markets["FLW"]
    for day in (MONDAY, TUESDAY):
        window = Calendar(desk).window("FLW", day)
        assert window is not None
        close_ns = window.open_ns + 600 * NS
        (made,) = simulate_exchange(
            3, day, [Instrument(1, market.tick, follows=False)], open_ns=window.open_ns, close_ns=close_ns, events=4_000, alpha=1.0
        )
        records = to_frame(made.records)
        moves = make_tape(records, market).rows["ts"][500::5].copy()
        known = desk.trading.model_copy(update={"queue": "exact"})
        done = simulate(records, moves, moves % 7 * 0.2 - 0.6, market=market, trading=known, policy=Policy(threshold=-0.4), window=window)
        keys = {"market": "FLW", "session": day}
        lake.write("raw_ticks", records, RawTicks, **keys)
        lake.write("quarantine", Quarantine.empty(), Quarantine, **keys)
        lake.write("trading_stretches", rows_of(window), TradingStretches, **keys)
        lake.write("live_orders", done.orders, LiveOrders, **keys)
        lake.write("live_fills", done.fills, LiveFills, **keys)
    return path


@pytest.fixture(scope="module")
def log(desk_file: Path) -> pl.DataFrame:
    """Both sessions' logs as `--export` writes them, in one."""
    parts = []
    for day in (MONDAY, TUESDAY):
        file = desk_file.with_name(f"{day}.parquet")
        assert reconcile(file, "--export", "--session", day, "--desk", desk_file) == (0, "", "")
        parts.append(pl.read_parquet(file).with_columns(order_id=pl.lit(f"{day}/") + pl.col("order_id")))
    return pl.concat(parts)


def test_an_exported_log_is_reconciled_and_its_queue_found_on_the_session_that_the_other_did_not_choose(
    desk_file: Path, log: pl.DataFrame
) -> None:
    file = desk_file.with_name("both.csv")
    log.write_csv(file)
    code, out, err = reconcile(file, "--desk", desk_file, "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    own, tested = told["sessions"], told["tested"]
    assert [row["session"] for row in own] == [str(MONDAY), str(TUESDAY)]
    assert all(row["queue"] == "pessimist" and row["filled_log"] > 50 and row["missed"] > 0 for row in own)
    assert told["fitted"]["queue"] == "exact"
    assert [(row["session"], row["missed"], row["imagined"]) for row in tested] == [(str(TUESDAY), 0, 0)]


def test_one_session_alone_is_told_in_tables_with_nothing_held_out(desk_file: Path, log: pl.DataFrame) -> None:
    file = desk_file.with_name("one.csv")
    log.write_csv(file)
    code, out, _ = reconcile(file, "--session", MONDAY, "--desk", desk_file)
    assert code == 0
    assert "ms, queue exact 1" in out
    assert str(TUESDAY) not in out


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        (lambda log: log.slice(1), "which the log never sent: start the log before its new"),
        (lambda log: log.reverse(), "its time is before the line above: sort the log by ts"),
        (lambda log: log.with_columns(symbol=pl.lit("ESZ6")), "symbol ESZ6 is another market's: this desk trades FLWZ6; filter the log"),
        (lambda log: log.with_columns(pl.col("ts") + 400 * 86_400 * NS), "lines are outside the desk's sessions: cut the log"),
        (lambda log: log.with_columns(pl.col("ts") + 86_400 * NS * 2), "raw_ticks FLW 2026-09-23 is not in the lake"),
    ],
)  # fmt: skip
def test_a_bad_log_gets_one_sentence(desk_file: Path, log: pl.DataFrame, tmp_path: Path, bad, sentence: str) -> None:
    bad(log.filter(pl.col("order_id").str.starts_with(str(MONDAY)))).write_csv(tmp_path / "log.csv")
    code, out, err = reconcile(tmp_path / "log.csv", "--desk", desk_file)
    assert (code, out) == (1, "")
    assert sentence in err
    assert err.startswith("tickline: ")
    assert "Traceback" not in err


def test_an_export_wants_a_session_and_one_that_was_traded(desk_file: Path, tmp_path: Path) -> None:
    assert reconcile(tmp_path / "log.csv", "--export", "--desk", desk_file)[0] == 2
    code, _, err = reconcile(tmp_path / "log.csv", "--export", "--session", "2026-09-23", "--desk", desk_file)
    assert code == 1
    assert "live_orders FLW 2026-09-23 is not in the lake" in err
    assert not (tmp_path / "log.csv").exists()
