"""The shells: a policy chosen and a session traded through Dagster, and the sentences that bad input gets."""

import datetime as dt

import dagster as dg
import numpy as np
import polars as pl
import pytest

from assets.books.continuous import rows_of
from assets.books.rebuild import rebuild
from assets.books.schema import Quarantine, TradingStretches
from assets.calendar import Calendar
from assets.curves import schema
from assets.curves.joint import Shapes
from assets.curves.schema import CurveStatistics, Predictions
from assets.curves.statistics import session_statistics
from assets.desk import ALL, Desk, Indicators, Market, Trading
from assets.features.chosen import desk_indicators
from assets.features.schema import FeatureTable
from assets.fills import asset, window
from assets.fills.account import faults
from assets.fills.schema import VARIANTS, LiveFills, LiveOrders, LiveTicks, QuotingPolicy
from assets.fills.truth import asset as truth
from assets.fills.what_if import LATENCIES
from assets.lake import Lake
from assets.provenance import open_lake
from assets.ticks.schema import MBO_COLUMNS, RawTicks

pytestmark = pytest.mark.filterwarnings("ignore:Specifying a partitions_def:dagster.PreviewWarning")

BUY, SELL = 1, -1
FIRST = dt.date(2026, 8, 31)
PERIOD = dt.date(2026, 9, 7)
SECOND = 1_000_000_000


@pytest.fixture
def desk(tmp_path, hand) -> Desk:
    return Desk(
        name="test", home=tmp_path, traded="FLW", markets={"FLW": hand.market}, first_session=FIRST, last_session=dt.date(2026, 9, 11),
        hours=(dt.time(13, 30), dt.time(14, 30)), training_sessions=5, trading=Trading(tuning_trials=3),
        indicators=Indicators(own=("ofi", "orders"), drop_redundant=False),
    )  # fmt: skip


def records(hand, opens: int) -> pl.DataFrame:
    """A session in which trades on both sides alternate at a standing touch; every field of raw_ticks."""
    stream = hand.quiet_market(ask=101)
    for k in range(200):
        side = BUY if k % 3 else SELL
        stream.trade(1_000 + 500 * k, side, 101 if side == BUY else 100, unseen=6)
    frame = stream.frame().with_columns(pl.col("ts_event") - hand.open + opens)
    missing = {name: pl.lit(0, dtype) for name, dtype in MBO_COLUMNS.items() if name not in frame.columns}
    return frame.with_columns(**missing).with_columns(ts_recv="ts_event").select(*MBO_COLUMNS)


@pytest.fixture
def lake(desk, hand, monkeypatch) -> Lake:
    """Two weeks of records and features of three indicators, of which the first has an opinion."""
    few = desk_indicators(desk)
    lake, calendar = open_lake(desk), Calendar(desk)
    for k, session in enumerate(calendar.sessions()):
        hours = calendar.window("FLW", session)
        raw = records(hand, hours.open_ns)
        lake.write("raw_ticks", raw, RawTicks, market="FLW", session=session)
        lake.write("quarantine", rebuild(raw).quarantine, Quarantine, market="FLW", session=session)
        lake.write("trading_stretches", rows_of(hours), TradingStretches, market="FLW", session=session)
        random = np.random.default_rng(k)
        rows = 1_000
        label = random.integers(-2, 3, rows).astype(np.float32)
        values = {i.name: (i.lo * random.standard_normal(rows)).astype(np.float32) for i in few}
        values[few[0].name] = (few[0].lo * label).astype(np.float32)
        features = pl.DataFrame(
            {
                "ts_event": hours.open_ns + np.arange(rows) * SECOND // 10,
                "row": np.arange(rows, dtype=np.uint32),
                "own": np.full(rows, True),
                "bid_px": np.full(rows, 100 * hand.tick),
                "ask_px": np.full(rows, 101 * hand.tick),
                "label": label,
                **values,
            }
        )
        lake.write("feature_table", features, FeatureTable, market="FLW", session=session)
        sums = session_statistics(features, few, horizon_ns=desk.horizon_ns).to_frame()
        lake.write("curve_statistics", sums, CurveStatistics, market="FLW", session=session)
        moves = features.select("ts_event", "row", prediction=pl.col("label"), label="label")
        lake.write("predictions", moves, Predictions, market="FLW", session=session)
    return lake


def run(definition: dg.AssetsDefinition, key: dt.date, checks: list[dg.AssetChecksDefinition] | None = None) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([definition, *(checks or [])], partition_key=key.isoformat(), instance=instance, raise_on_error=False)
        if not result.success:
            raise AssertionError(result.get_step_failure_events()[0].step_failure_data.user_failure_data.description)
        return result


def test_a_policy_is_chosen_and_the_session_traded(desk, lake):
    run(asset.quoting_policy(desk), PERIOD)
    best = lake.read("quoting_policy", market="FLW", period=PERIOD)
    trials = lake.read("tuning_trials", market="FLW", period=PERIOD)
    assert trials.height == best["trials"][0] == 3
    assert best["net_pnl_train"][0] == trials["net_pnl"].max() > 0
    sessions = lake.read("trial_sessions", market="FLW", period=PERIOD)
    assert sessions.height == 3 * 5
    assert sessions.filter(trial=best["trial"][0])["net_pnl"].sum() == pytest.approx(best["net_pnl_train"][0])
    assert best.select("first_session", "last_session").row(0) == (FIRST, dt.date(2026, 9, 4))

    mine = [check for check in asset.checks(desk, "FLW") if check.check_key.asset_key.path[-1] == "simulated_fills"]
    result = run(asset.simulated_fills(desk), PERIOD, mine)
    assert all(evaluation.passed for evaluation in result.get_asset_check_evaluations())
    assert len(result.get_asset_check_evaluations()) == len(mine)
    fills = lake.read("fills", market="FLW", session=PERIOD)
    assert fills.height > 0
    assert lake.read("equity", market="FLW", session=PERIOD)["position"][-1] == 0
    told = result.asset_materializations_for_node("FLW__simulated_fills")[0].metadata
    assert told["net_pnl"].value == fills["cash"][-1] / 1e9


def test_the_session_is_traded_on_the_indicators_that_its_policy_names(desk, lake, as_made_for):
    """Only ofi_1s knows of the label, and the slow set does not have it: a policy of that set trades on another column."""
    sets = {"fast": (0.0, 2.0), "slow": (5.0, 60.0)}
    narrow = desk.model_copy(update={"indicators": desk.indicators.model_copy(update={"sets": sets})})
    lake = as_made_for(narrow)
    training = window.read_training_sessions(narrow, lake, PERIOD)
    for day, session in training.items():
        label = lake.read("feature_table", market="FLW", session=day)["label"]
        known = {name: np.corrcoef(signal[:1000], label)[0, 1] for name, signal in session.signals.items()}
        assert known["all"] > 0.9 < known["fast"]
        assert known["slow"] < 0.3
    run(asset.quoting_policy(narrow), PERIOD)
    best = lake.read("quoting_policy", market="FLW", period=PERIOD).with_columns(indicators=pl.lit("slow"))
    lake.write("quoting_policy", best, QuotingPolicy, market="FLW", period=PERIOD)
    moves = lake.read("predictions", market="FLW", session=PERIOD)
    for column, value in (("prediction_fast", 0.0), ("prediction_slow", 3.0)):
        moves = moves.with_columns(pl.lit(value, pl.Float32).alias(column))
    lake.write("predictions", moves, schema.contract(sets), market="FLW", session=PERIOD)
    run(asset.simulated_fills(narrow), PERIOD)
    sent = lake.read("orders", market="FLW", session=PERIOD).filter(reason="score")
    assert sent["prediction"].unique().to_list() == [3.0]
    run(asset.what_if(narrow), PERIOD)
    as_traded = lake.read("equity", market="FLW", session=PERIOD)["equity"][-1] / 1e9
    again = lake.read("what_if", market="FLW", session=PERIOD)
    assert again.filter(setting="20 ms")["net_pnl"].to_list() == [as_traded]


def test_the_session_is_traded_by_every_variant(desk, lake):
    run(asset.quoting_policy(desk), PERIOD)
    run(asset.simulated_fills(desk), PERIOD)
    mine = [check for check in asset.checks(desk, "FLW") if check.check_key.asset_key.path[-1] == "policy_ablation"]
    result = run(asset.policy_ablation(desk), PERIOD, mine)
    assert [evaluation.passed for evaluation in result.get_asset_check_evaluations()] == [True]
    rows = lake.read("policy_ablation", market="FLW", session=PERIOD)
    assert rows["variant"].to_list() == lake.read("policy_variants", market="FLW", period=PERIOD)["variant"].to_list() == list(VARIANTS)
    assert rows["net_pnl"][0] == lake.read("equity", market="FLW", session=PERIOD)["equity"][-1] / 1e9
    assert rows["contracts"][0] == lake.read("fills", market="FLW", session=PERIOD)["quantity"].sum()


def test_the_session_is_replayed_under_every_assumption(desk, lake):
    run(asset.quoting_policy(desk), PERIOD)
    run(asset.simulated_fills(desk), PERIOD)
    mine = [check for check in asset.checks(desk, "FLW") if check.check_key.asset_key.path[-1] == "what_if"]
    result = run(asset.what_if(desk), PERIOD, mine)
    assert [evaluation.passed for evaluation in result.get_asset_check_evaluations()] == [True]
    rows = {(row["assumption"], row["setting"]): row for row in lake.read("what_if", market="FLW", session=PERIOD).iter_rows(named=True)}
    as_traded = lake.read("equity", market="FLW", session=PERIOD)["equity"][-1] / 1e9
    assert rows["latency", "20 ms"]["net_pnl"] == rows["queue", "exact"]["net_pnl"] == as_traded
    assert {setting for assumption, setting in rows if assumption == "queue"} == {"exact", "pessimist", "estimate", "optimist"}
    assert len(rows) == len(LATENCIES) + 4


def test_shadow_orders_of_each_session_are_asked_and_an_exponent_fitted_on_the_window(desk, lake):
    mine = [check for check in truth.checks(desk, "FLW") if check.check_key.asset_key.path[-1] == "shadow_orders"]
    for session in Calendar(desk).training_sessions(PERIOD):
        result = run(truth.shadow_orders(desk), session, mine)
        assert [evaluation.passed for evaluation in result.get_asset_check_evaluations()] == [True]
    asked = lake.read("shadow_orders", market="FLW", session=FIRST)
    run(truth.queue_fit(desk), PERIOD)
    fitted = lake.read("queue_fit", market="FLW", period=PERIOD)
    assert fitted["queue"].to_list() == ["power", "share"]
    assert fitted["sessions"].to_list() == [5, 5]
    assert fitted["orders"][0] == 5 * asked["orders"][0] > 0


def test_levels_without_order_ids_leave_nothing_to_ask_and_no_exponent(desk, lake, monkeypatch):
    monkeypatch.setattr(truth, "read_records", lambda *_: window.read_records(*_).drop("order_id"))
    for session in Calendar(desk).training_sessions(PERIOD):
        told = run(truth.shadow_orders(desk), session).asset_materializations_for_node("FLW__shadow_orders")[0].metadata
        assert told["session"].value.startswith("no order ids")
    run(truth.queue_fit(desk), PERIOD)
    assert lake.read("queue_fit", market="FLW", period=PERIOD).is_empty()


def test_a_live_log_that_the_replay_made_is_reconciled_without_a_difference(desk, lake):
    run(asset.quoting_policy(desk), PERIOD)
    run(asset.simulated_fills(desk), PERIOD)
    for live, table, contract in (("live_orders", "orders", LiveOrders), ("live_fills", "fills", LiveFills)):
        lake.write(live, lake.read(table, market="FLW", session=PERIOD), contract, market="FLW", session=PERIOD)
    lake.write("live_ticks", window.read_records(lake, "FLW", PERIOD), LiveTicks, market="FLW", session=PERIOD)
    mine = [check for check in truth.checks(desk, "FLW") if check.check_key.asset_key.path[-1] == "reconciliation"]
    result = run(truth.reconciliation(desk), PERIOD, mine)
    assert [evaluation.passed for evaluation in result.get_asset_check_evaluations()] == [True, True]
    own = lake.read("reconciliation", market="FLW", session=PERIOD).row(0, named=True)
    assert own["filled_log"] == own["filled_replay"] > 0
    assert own["missed"] == own["imagined"] == 0


def test_the_same_input_gives_the_same_bytes(desk, lake):
    def everything() -> list[bytes]:
        run(asset.quoting_policy(desk), PERIOD)
        run(asset.simulated_fills(desk), PERIOD)
        return [path.read_bytes() for path in sorted(lake.root.rglob("*.parquet"))]

    assert everything() == everything()


def test_each_training_session_is_predicted_by_curves_that_did_not_see_it(desk, lake, monkeypatch):
    """One session says the opposite, fifty times over: all are predicted by it but itself. Shapes are given: all sessions choose them."""
    monkeypatch.setattr("assets.curves.model.choose", lambda parts, grids: (Shapes.linear(np.full(len(grids), 1.0)), None))
    day = dt.date(2026, 9, 2)
    features = lake.read("feature_table", market="FLW", session=day)
    opposite = pl.concat([features.with_columns(label=-pl.col("label"))] * 50)
    sums = session_statistics(opposite, desk_indicators(desk), horizon_ns=desk.horizon_ns).to_frame()
    lake.write("curve_statistics", sums, CurveStatistics, market="FLW", session=day)
    sessions = window.read_training_sessions(desk, lake, PERIOD).values()
    labels = [lake.read("feature_table", market="FLW", session=each)["label"] for each in Calendar(desk).training_sessions(PERIOD)]
    right = [np.corrcoef(session.signals[ALL][:1000], label)[0, 1] > 0 for session, label in zip(sessions, labels, strict=True)]
    assert right == [False, False, True, False, False]


def test_a_rival_is_tuned_on_predictions_of_its_own_that_did_not_see_their_session(desk, lake):
    """One session says the opposite a hundredfold: a ridge trained with it is turned round, one trained without it is not."""
    day, ridge = dt.date(2026, 9, 2), desk.model_copy(update={"model": "ridge"})
    features = lake.read("feature_table", market="FLW", session=day)
    lake.write("feature_table", features.with_columns(label=-100 * pl.col("label")), FeatureTable, market="FLW", session=day)
    sessions = window.read_training_sessions(ridge, lake, PERIOD).items()
    assert [np.corrcoef(told.signals[ALL][:1000], features["label"])[0, 1] > 0 for each, told in sessions if each == day] == [True]
    labels = {each: lake.read("feature_table", market="FLW", session=each)["label"] for each, _ in sessions if each != day}
    assert not any(np.corrcoef(told.signals[ALL][:1000], labels[each])[0, 1] > 0 for each, told in sessions if each != day)


def test_a_missing_session_of_the_window_is_named(desk, lake):
    lake.path("curve_statistics", market="FLW", session=dt.date(2026, 9, 2)).unlink()
    with pytest.raises(AssertionError, match="lacks curve_statistics for 2026-09-02"):
        run(asset.quoting_policy(desk), PERIOD)
    assert not lake.exists("quoting_policy", market="FLW", period=PERIOD)


def test_missing_records_of_the_window_are_named(desk, lake):
    lake.path("raw_ticks", market="FLW", session=dt.date(2026, 9, 2)).unlink()
    with pytest.raises(AssertionError, match="raw_ticks FLW 2026-09-02 is not in the lake"):
        run(asset.quoting_policy(desk), PERIOD)


def test_a_session_without_its_policy_says_which_one(desk, lake):
    with pytest.raises(AssertionError, match="quoting_policy FLW 2026-09-07 is not in the lake"):
        run(asset.simulated_fills(desk), PERIOD)


def test_a_wrong_tick_size_is_told_with_the_key_to_correct(desk, lake, as_made_for):
    coarse = desk.model_copy(update={"markets": {"FLW": Market(symbol="FLWZ6", tick_size="3")}})
    as_made_for(coarse)
    with pytest.raises(AssertionError, match="correct tick_size of the market"):
        run(asset.quoting_policy(coarse), PERIOD)


def test_a_holiday_has_partitions_without_rows(desk, lake, as_made_for):
    market = desk.markets["FLW"].model_copy(update={"calendar": "XNYS"})  # 7 September is Labor Day
    closed = desk.model_copy(update={"markets": {"FLW": market}})
    lake = as_made_for(closed)
    told = run(asset.simulated_fills(closed), PERIOD).asset_materializations_for_node("FLW__simulated_fills")[0].metadata
    assert told["session"].value == "no session"
    assert [lake.read(table, market="FLW", session=PERIOD).height for table in ("orders", "fills", "equity")] == [0, 0, 0]
    for again, table in ((asset.policy_ablation, "policy_ablation"), (asset.what_if, "what_if")):
        run(again(closed), PERIOD)
        assert lake.read(table, market="FLW", session=PERIOD).height == 0


def test_an_account_that_does_not_add_up_is_found(desk, lake):
    run(asset.quoting_policy(desk), PERIOD)
    run(asset.simulated_fills(desk), PERIOD)
    orders, fills = (lake.read(table, market="FLW", session=PERIOD) for table in ("orders", "fills"))
    market, trading = desk.markets["FLW"], desk.trading
    assert faults(orders, fills, market, trading) == []
    assert any("position" in fault for fault in faults(orders, fills[1:], market, trading))
    assert any("cash" in fault for fault in faults(orders, fills.with_columns(pl.col("fee") + 1), market, trading))
    assert any("beyond" in fault for fault in faults(orders[:0], fills, market, trading))
    assert any("limit" in fault for fault in faults(orders, fills.with_columns(position=pl.lit(9)), market, trading))
