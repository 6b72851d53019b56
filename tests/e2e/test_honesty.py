"""What an honest desk says where there is something to know, and where there is not."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from assets.books.rebuild import applied, rebuild
from assets.calendar import Calendar
from assets.curves.model import fit, predict
from assets.curves.statistics import session_statistics
from assets.desk import Desk, SimulatedSource, load_desk
from assets.features.build import build
from assets.features.indicators import indicators
from assets.fills.policy import Policy
from assets.fills.simulate import simulate
from assets.ticks.dbn import read_records
from assets.ticks.source import open_source

TRAINED, TESTED = 6, 4


@dataclass(frozen=True)
class Answer:
    r2: list[float]
    net_pnl: float
    fees: float
    contracts: int


def ask(alpha: float, home: Path) -> Answer:
    """Six sessions to fit on, four to predict and to trade with a policy that always quotes something."""
    default = load_desk(Path(__file__).parents[2] / "desk.toml")
    desk = default.model_copy(update={"home": home, "source": SimulatedSource(alpha=alpha, events_per_session=60_000)})
    chosen, calendar = indicators(desk.leaders), Calendar(desk)
    days = calendar.sessions()[: TRAINED + TESTED]
    tables = {day: features(desk, day) for day in days}
    sums = [session_statistics(tables[day][0], chosen, horizon_ns=desk.horizon_ns) for day in days[:TRAINED]]
    model = fit(sums, chosen, horizon_ns=desk.horizon_ns, first_session=days[0], last_session=days[TRAINED - 1])
    r2, net, fees, contracts = [], 0.0, 0.0, 0
    for day in days[TRAINED:]:
        table, records = tables[day]
        prediction = predict(model, table)
        r2.append(r_squared(prediction, table["label"].to_numpy()))
        window = calendar.window(desk.traded, day)
        assert window is not None
        signal = table["ts_event"].to_numpy(), prediction
        policy = Policy(threshold=0.0)
        traded = simulate(records, *signal, market=desk.markets["FLW"], trading=desk.trading, policy=policy, window=window)
        net += traded.outcome.net_pnl / 1e9
        fees += float(traded.fills["fee"].sum()) / 1e9
        contracts += traded.outcome.contracts
    return Answer(r2, net, fees, contracts)


def features(desk: Desk, day: dt.date) -> tuple[pl.DataFrame, pl.DataFrame]:
    window, source = Calendar(desk).window(desk.traded, day), open_source(desk)
    assert window is not None
    raw = {market: read_records(source.fetch(market, day)) for market in desk.all_markets}
    made = {market: rebuild(records, open_ns=window.open_ns, close_ns=window.close_ns) for market, records in raw.items()}
    own, leaders = made[desk.traded], {name: (made[name].books, made[name].trades) for name in desk.leaders}
    ticks = {name: desk.markets[name].tick for name in desk.leaders}
    table = build(
        own.books, own.trades, leaders, tick=desk.markets[desk.traded].tick, leader_ticks=ticks, horizon_ns=desk.horizon_ns,
        open_ns=window.open_ns, close_ns=window.close_ns,
    )  # fmt: skip
    return table, applied(raw[desk.traded], own.quarantine)


def r_squared(prediction: npt.NDArray[np.float32], label: npt.NDArray[np.float32]) -> float:
    known = ~np.isnan(label)
    return 1 - float(np.square(label - prediction)[known].sum() / np.square(label[known]).sum())


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[float, Answer]:
    return {alpha: ask(alpha, tmp_path_factory.mktemp(f"alpha{alpha}")) for alpha in (0.0, 1.0)}


def test_planted_information_is_found_in_every_session(answers: dict[float, Answer]) -> None:
    assert min(answers[1.0].r2) > 0.03


def test_where_there_is_none_none_is_found(answers: dict[float, Answer]) -> None:
    assert np.abs(np.mean(answers[0.0].r2)) < 0.005


def test_without_information_trading_loses_its_costs(answers: dict[float, Answer]) -> None:
    blind = answers[0.0]
    assert blind.contracts > 200
    assert blind.net_pnl < 0
    assert answers[1.0].net_pnl / answers[1.0].contracts > blind.net_pnl / blind.contracts
