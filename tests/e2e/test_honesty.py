"""What an honest desk says where there is something to know, and where there is not."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from scipy import stats

from assets.books.rebuild import applied, rebuild
from assets.calendar import Calendar
from assets.curves.lab.readings import read_session
from assets.curves.lab.scores import LEVEL, significance
from assets.curves.model import fit, predict
from assets.curves.statistics import session_statistics
from assets.desk import Desk, SimulatedSource, load_desk
from assets.features.build import build
from assets.features.indicators import indicators
from assets.fills.ablation import ablate, policies_of, variants
from assets.fills.policy import Policy
from assets.fills.replay import Outcome, make_session
from assets.fills.schema import VARIANTS
from assets.fills.tape import make_tape
from assets.fills.tune import Search
from assets.ticks.dbn import read_records
from assets.ticks.source import open_source

TRAINED, TESTED = 6, 4


@dataclass(frozen=True)
class Answer:
    r2: list[float]
    variants: pl.DataFrame
    """Net P&L, fees and contracts of each way to trade, over the sessions predicted."""
    names: list[str]
    ranks: npt.NDArray[np.float64]
    """Rank correlation of each indicator with the label, session by session, as the lab reads it, [sessions, indicators]."""


def ask(alpha: float, home: Path) -> Answer:
    """Six sessions to fit on, four to predict and to trade with a policy that always quotes something, and in every other way."""
    default = load_desk(Path(__file__).parents[2] / "desk.toml")
    desk = default.model_copy(update={"home": home, "source": SimulatedSource(alpha=alpha, events_per_session=60_000)})
    chosen, calendar = indicators(desk.leaders), Calendar(desk)
    days = calendar.sessions()[: TRAINED + TESTED]
    tables = {day: features(desk, day) for day in days}
    statistics = [session_statistics(tables[day][0], chosen, horizon_ns=desk.horizon_ns) for day in days[:TRAINED]]
    model = fit(statistics, chosen, horizon_ns=desk.horizon_ns, first_session=days[0], last_session=days[TRAINED - 1])
    policy, market, r2, traded = Policy(threshold=0.0), desk.markets[desk.traded], [], []
    # Nothing to choose by: each variant takes the first of its thresholds that it is offered, the signals none at all, so that they trade.
    settled = Search([policy], [[Outcome(0, 1, 1, 0, 0)]], [days[0]])
    ways = policies_of(variants(settled, policy, market, lambda policies: [[Outcome(0, 1, 1, 0, 0)]] * len(policies)))
    ways["signals"] = ways["signals"]._replace(threshold=0.0)
    for day in days[TRAINED:]:
        table, records = tables[day]
        prediction = predict(model, table)
        r2.append(r_squared(prediction, table["label"].to_numpy()))
        window = calendar.window(desk.traded, day)
        assert window is not None
        signal = table["ts_event"].to_numpy(), prediction
        session = make_session(make_tape(records, market), *signal, window)
        traded.append(ablate(session, ways, market, desk.trading, seed=day.toordinal()))
    ways_total = pl.concat(traded).group_by("variant", maintain_order=True).agg(pl.col("net_pnl", "fees", "contracts").sum())
    readings = [read_session(tables[day][0], chosen, desk=0, tick=market.tick) for day in days]
    ranks = np.stack([reading.ranks[:, 0] for reading in readings if reading is not None])
    return Answer(r2, ways_total, [indicator.name for indicator in chosen], ranks)


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


def passed(answer: Answer, sessions: slice) -> set[str]:
    """Indicators that pass the lab's test on some sessions."""
    _, _, adjusted = significance(answer.ranks[sessions])
    return {name for name, p_value in zip(answer.names, adjusted, strict=True) if p_value <= LEVEL}


def test_where_there_is_information_the_indicators_that_have_it_pass_the_labs_test(answers: dict[float, Answer]) -> None:
    assert {"skew", "ofi_1s", "orders_5s", "ldr_ofi_1s", "ldr_momentum_1s"} <= passed(answers[1.0], slice(None))


def test_where_there_is_none_no_indicator_passes_more_often_than_the_stated_level(answers: dict[float, Answer]) -> None:
    blind = answers[0.0]
    assert passed(blind, slice(None)) == set()
    windows = [slice(start, start + 2) for start in range(0, len(blind.ranks), 2)]
    once = sum(bool(passed(blind, window)) for window in windows)
    assert once <= stats.binom.ppf(0.99, len(windows), LEVEL)
    # Before the correction for their number, indicator by indicator, over windows that share no session.
    counts = np.sum([significance(blind.ranks[window])[1] <= LEVEL for window in windows], axis=0)
    assert counts.max() <= stats.binom.ppf(1 - 0.01 / len(counts), len(windows), LEVEL)


def test_without_information_trading_loses_its_costs(answers: dict[float, Answer]) -> None:
    blind, knowing = (answers[alpha].variants.row(0, named=True) for alpha in (0.0, 1.0))
    assert blind["variant"] == "full"
    assert blind["contracts"] > 200
    assert blind["net_pnl"] < 0
    assert knowing["net_pnl"] / knowing["contracts"] > blind["net_pnl"] / blind["contracts"]


def test_without_information_every_way_to_trade_loses_what_it_costs(answers: dict[float, Answer]) -> None:
    blind = answers[0.0].variants
    traded = blind.filter(pl.col("contracts") > 0)
    # One way is to see that nothing is worth its cost, and not to trade.
    assert set(VARIANTS) - set(traded["variant"]) == {"take"}
    assert traded.filter(pl.col("net_pnl") >= 0)["variant"].to_list() == []
    taking = blind.row(by_predicate=pl.col("variant") == "signals", named=True)
    assert taking["net_pnl"] < -2 * taking["fees"]  # who takes pays the spread too


def test_with_information_following_it_beats_a_coin(answers: dict[float, Answer]) -> None:
    knowing = dict(answers[1.0].variants.select("variant", "net_pnl").iter_rows())
    assert knowing["full"] > knowing["random"]
