"""The shells: sessions and periods through Dagster, and the sentences that bad input gets."""

import datetime as dt

import dagster as dg
import numpy as np
import polars as pl
import pytest

from assets.calendar import Calendar
from assets.curves import asset, champion, forecast, scores
from assets.curves.rivals import CURVES
from assets.curves.schema import CurveStatistics, contract
from assets.curves.scores import MEASURED
from assets.curves.statistics import session_statistics
from assets.desk import Desk, Indicators, Market, OwnSeries
from assets.features.chosen import desk_indicators
from assets.features.schema import FeatureTable
from assets.lake import Lake, LakeError, check
from assets.provenance import open_lake
from assets.ticks.schema import Recording

FIRST = dt.date(2026, 8, 31)
PERIOD = dt.date(2026, 9, 7)
ROWS = 3000
FAST = ("zero", "ridge", CURVES, "decision_tree")


@pytest.fixture
def desk(tmp_path) -> Desk:
    markets = {"FLW": Market(symbol="FLWZ6", tick_size="0.10")}
    return Desk(
        name="test", home=tmp_path, traded="FLW", markets=markets, first_session=FIRST, last_session=dt.date(2026, 9, 11),
        hours=(dt.time(13, 30), dt.time(20)), training_sessions=5,
        indicators=Indicators(own=("ofi", "orders", "trades", "skew"), drop_redundant=False),
    )  # fmt: skip


@pytest.fixture
def lake(desk, monkeypatch) -> Lake:
    """Feature tables of two weeks, of five indicators in which only the first knows of the label; costly rivals stay at home."""
    few = desk_indicators(desk)
    for module in (champion, scores):
        monkeypatch.setattr(module, "SIMPLICITY", FAST)
    lake = open_lake(desk)
    for k, session in enumerate(Calendar(desk).sessions()):
        random = np.random.default_rng(k)
        names = [indicator.name for indicator in few]
        values = {name: random.standard_normal(ROWS).astype(np.float32) for name in names}
        label = np.rint(2 * (np.sign(values[names[0]]) + 2 * random.standard_normal(ROWS))) / 2
        price = np.full(ROWS, 10**9)
        book = {"own": np.full(ROWS, True), "bid_px": price, "ask_px": price + 1}
        frame = pl.DataFrame(
            {"ts_event": np.arange(ROWS), "row": np.arange(ROWS, dtype=np.uint32), **book, "label": label.astype(np.float32), **values}
        ).with_columns(label=pl.when(pl.col("ts_event") < ROWS - 100).then("label"))
        lake.write("feature_table", frame, FeatureTable, market="FLW", session=session)
        recorded(lake, session, None)
    return lake


def recorded(lake: Lake, session: dt.date, damage: str | None) -> None:
    row = {"files": 1, "bytes": 1, "records": ROWS, "complete": damage is None, "damage": damage}
    lake.write("recording", pl.DataFrame([row], schema=Recording.empty().schema), Recording, market="FLW", session=session)


def run(definition: dg.AssetsDefinition, key: dt.date) -> dict[str, dg.MetadataValue]:
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([definition], partition_key=key.isoformat(), instance=instance, raise_on_error=False)
        if not result.success:
            raise AssertionError(result.get_step_failure_events()[0].step_failure_data.user_failure_data.description)
        return dict(result.asset_materializations_for_node(definition.node_def.name)[0].metadata)


def statistics(desk, lake, sessions=None):
    """What `curve_statistics` writes, without Dagster: the first test holds the asset to the same."""
    for session in sessions or Calendar(desk).sessions():
        features = lake.read("feature_table", market="FLW", session=session)
        sums = session_statistics(features, desk_indicators(desk), horizon_ns=desk.horizon_ns).to_frame()
        closed = Calendar(desk).window("FLW", session) is None
        lake.write("curve_statistics", sums.clear() if closed else sums, CurveStatistics, market="FLW", session=session)


def test_two_weeks_go_from_features_to_scores(desk, lake):
    statistics(desk, lake)
    by_hand = lake.path("curve_statistics", market="FLW", session=PERIOD).read_bytes()
    run(asset.curve_statistics(desk), PERIOD)
    assert lake.path("curve_statistics", market="FLW", session=PERIOD).read_bytes() == by_hand
    told = run(asset.curve_model(desk), PERIOD)
    assert told["sessions"].value == 5
    assert told["r2_train"].value > 0.15
    assert "data:image/svg+xml;base64," in told["curves"].value
    assert run(asset.model_choice(desk), PERIOD)["champion"].value == CURVES
    assert run(asset.predictions(desk), PERIOD)["model"].value == CURVES
    moves = lake.read("predictions", market="FLW", session=PERIOD)
    features = lake.read("feature_table", market="FLW", session=PERIOD)
    assert moves.select("ts_event", "row", "label").equals(features.select("ts_event", "row", "label"))
    known = moves.drop_nulls()
    assert np.corrcoef(known["prediction"], known["label"])[0, 1] > 0.3
    run(asset.model_scores(desk), PERIOD)
    assert lake.read("model_importance", market="FLW", period=PERIOD).height == len(FAST) * 5
    table = lake.read("model_scores", market="FLW", period=PERIOD)
    assert table["rows_test"].unique().to_list() == [5 * (ROWS - 100)]
    assert table.filter(model="curves")["r2"][0] > 0.15


def test_the_model_of_the_coming_week_is_trained_and_not_yet_scored(desk, lake):
    coming = PERIOD + dt.timedelta(days=7)
    statistics(desk, lake)
    for definition in (asset.curve_model, asset.model_choice):
        run(definition(desk), coming)
    assert lake.read("model_choice", market="FLW", period=coming)["champion"].sum() == 1
    assert coming.isoformat() not in Calendar(desk).scored_partitions.get_partition_keys()


def test_a_week_of_holidays_scores_nothing_and_keeps_its_champion(desk, lake, as_made_for, monkeypatch):
    statistics(desk, lake)
    for definition in (asset.curve_model, asset.model_choice):
        run(definition(desk), PERIOD)
    monkeypatch.setattr(Calendar, "window", lambda _calendar, _market, _session: None)
    lake = as_made_for(desk)
    run(asset.model_scores(desk), PERIOD)
    table = lake.read("model_scores", market="FLW", period=PERIOD)
    assert table["r2"].null_count() == len(FAST)
    assert table["champion"].sum() == 1
    assert lake.read("model_importance", market="FLW", period=PERIOD).is_empty()


@pytest.mark.parametrize("model", ["ridge", "decision_tree", "champion"])
def test_the_desk_trades_any_model_as_it_trades_curves(desk, lake, as_made_for, model):
    statistics(desk, lake)
    other = desk.model_copy(update={"model": model})
    lake = as_made_for(other)
    for definition in (asset.curve_model, asset.model_choice):
        run(definition(other), PERIOD)
    name = CURVES if model == "champion" else model
    assert run(asset.predictions(other), PERIOD)["model"].value == name
    assert lake.read("model_choice", market="FLW", period=PERIOD).filter("traded")["model"].to_list() == [name]
    first = lake.path("predictions", market="FLW", session=PERIOD).read_bytes()
    known = lake.read("predictions", market="FLW", session=PERIOD).drop_nulls()
    assert np.corrcoef(known["prediction"], known["label"])[0, 1] > 0.3
    forecast._trained.clear()
    run(asset.predictions(other), PERIOD)
    assert lake.path("predictions", market="FLW", session=PERIOD).read_bytes() == first, "trained again, the same bytes"


def test_a_rival_is_not_trained_again_on_other_sessions_than_its_period_had(desk, lake):
    statistics(desk, lake)
    other = desk.model_copy(update={"model": "ridge"})
    for definition in (asset.curve_model, asset.model_choice):
        run(definition(other), PERIOD)
    first, last = dt.date(2026, 8, 31), dt.date(2026, 9, 4)
    lake.write("curve_statistics", lake.read("curve_statistics", market="FLW", session=first), CurveStatistics, market="FLW", session=last)
    with pytest.raises(AssertionError, match="window of period 2026-09-07 has changed since it was fitted"):
        run(asset.predictions(other), PERIOD)


def test_the_same_input_gives_the_same_bytes(desk, lake):
    statistics(desk, lake)

    def everything() -> list[bytes]:
        run(asset.curve_statistics(desk), PERIOD)
        for definition in (asset.curve_model, asset.model_choice, asset.predictions, asset.model_scores):
            run(definition(desk), PERIOD)
        timed = lake.path("model_scores", market="FLW", period=PERIOD)
        by_clock = pl.read_parquet(timed).drop(MEASURED).write_json().encode()
        return [by_clock] + [path.read_bytes() for path in sorted(lake.root.rglob("*.parquet")) if path != timed]

    assert everything() == everything()


def test_a_missing_session_of_the_window_is_named(desk, lake):
    hole = dt.date(2026, 9, 2)
    statistics(desk, lake, [session for session in Calendar(desk).training_sessions(PERIOD) if session != hole])
    with pytest.raises(AssertionError, match="training window 2026-08-31 to 2026-09-04 of FLW lacks curve_statistics for 2026-09-02"):
        run(asset.curve_model(desk), PERIOD)
    assert not lake.exists("curve_model", market="FLW", period=PERIOD)


def test_a_session_without_its_model_says_which_one(desk, lake):
    with pytest.raises(AssertionError, match="curve_model FLW 2026-09-07 is not in the lake"):
        run(asset.predictions(desk), PERIOD)


def test_no_model_trains_on_a_session_whose_recording_ends_early_unless_the_desk_allows_it(desk, lake, as_made_for):
    broken = dt.date(2026, 9, 2)
    recorded(lake, broken, "it ends at byte 7")
    statistics(desk, lake)
    assert "it ends at byte 7" in run(asset.curve_statistics(desk), broken)["session"].value
    assert run(asset.curve_model(desk), PERIOD)["sessions"].value == 4
    run(asset.model_choice(desk), PERIOD)
    run(asset.model_scores(desk), PERIOD)
    assert lake.read("model_scores", market="FLW", period=PERIOD)["rows_train"].max() == 4 * (ROWS - 100)
    bold = desk.model_copy(update={"train_on_incomplete": True})
    as_made_for(bold)
    run(asset.curve_statistics(bold), broken)
    assert run(asset.curve_model(bold), PERIOD)["sessions"].value == 5


def test_another_horizon_asks_for_new_statistics(desk, lake):
    statistics(desk, lake)
    with pytest.raises(AssertionError, match=r"horizon_seconds was 10\.0 when it was made and is 5\.0 now; `tickline make curve_stat"):
        run(asset.curve_model(desk.model_copy(update={"horizon_seconds": 5.0})), PERIOD)


def test_a_holiday_has_partitions_without_rows_and_the_window_passes_over_it(desk, lake, as_made_for):
    holiday = dt.date(2026, 9, 7)  # Labor Day
    market = desk.markets["FLW"].model_copy(update={"calendar": "XNYS"})
    closed = desk.model_copy(update={"markets": {**desk.markets, "FLW": market}})
    statistics(closed, lake)
    lake = as_made_for(closed)
    run(asset.curve_statistics(closed), holiday)
    assert lake.read("curve_statistics", market="FLW", session=holiday).height == 0
    assert run(asset.predictions(closed), holiday)["session"].value == "no session"
    told = run(asset.curve_model(closed), PERIOD + dt.timedelta(days=7))
    assert told["sessions"].value == 4
    for definition in (asset.curve_model, asset.model_choice, asset.model_scores):
        run(definition(closed), PERIOD)
    assert lake.read("model_scores", market="FLW", period=PERIOD)["rows_test"].unique().to_list() == [4 * (ROWS - 100)]


def test_sums_of_a_table_that_was_corrected_in_hindsight_train_no_model(desk, lake, as_made_for, tmp_path):
    table = tmp_path / "mood.csv"
    table.write_text("ts_event,score\n2026-08-30T00:00:00Z,3.0\n")
    mood = OwnSeries(path=table, value="score", delay_seconds=1)
    moody = desk.model_copy(update={"indicators": desk.indicators.model_copy(update={"series": {"mood": mood}})})
    lake = as_made_for(moody)
    with pytest.raises(AssertionError, match="feature_table FLW 2026-08-31 has no column external_mood: it was made with other settings"):
        run(asset.curve_statistics(moody), FIRST)
    for session in Calendar(desk).training_sessions(PERIOD):
        features = lake.read("feature_table", market="FLW", session=session)
        lake.write("feature_table", features.with_columns(external_mood=pl.col("skew")), FeatureTable, market="FLW", session=session)
        run(asset.curve_statistics(moody), session)
    run(asset.curve_model(moody), PERIOD)
    table.write_text("ts_event,score\n2026-08-30T00:00:00Z,4.0\n")
    with pytest.raises(AssertionError, match=r"curve_statistics FLW 2026-08-31 .*: the user's own series changed"):
        run(asset.curve_model(moody), PERIOD)


def test_a_redundant_indicator_is_left_out_of_the_periods_models_and_the_desk_may_keep_it(desk, lake, as_made_for):
    dropping = desk.model_copy(update={"indicators": desk.indicators.model_copy(update={"drop_redundant": True})})
    for session in Calendar(desk).sessions():  # rows a minute apart, and an indicator that is another one twice over
        table = lake.read("feature_table", market="FLW", session=session)
        table = table.with_columns(ts_event=pl.col("ts_event") * 10**9, orders_5s=pl.col("ofi_1s") / 8)
        lake.write("feature_table", table, FeatureTable, market="FLW", session=session)
    statistics(desk, lake)
    with pytest.raises(AssertionError, match="indicator_scores FLW 2026-09-07 is not in the lake"):
        run(asset.curve_model(dropping), PERIOD)
    told = run(asset.indicator_scores(dropping), PERIOD)
    scores = lake.read("indicator_scores", market="FLW", period=PERIOD)
    [[dropped, better]] = scores.select("indicator", "dropped_for").drop_nulls().rows()
    assert {dropped, better} == {"ofi_1s", "orders_5s"}
    assert told["dropped"].value == f"{dropped} for {better}"
    assert lake.read("indicator_trials", market="FLW", period=PERIOD).filter("best").height == 4
    sets = {"fast": (0.0, 2.0), "slow": (5.0, 60.0)}  # each without the other twin
    dropping = dropping.model_copy(update={"indicators": dropping.indicators.model_copy(update={"sets": sets})})
    lake = as_made_for(dropping)
    run(asset.curve_model(dropping), PERIOD)
    wider = dropping.model_copy(update={"indicators": dropping.indicators.model_copy(update={"sets": {**sets, "late": (10.0, 60.0)}})})
    with pytest.raises(AssertionError, match=r"curve_model FLW 2026-09-07 .*: indicators\.sets was .* when it was made and is .*late"):
        run(asset.predictions(wider), PERIOD)
    narrower = lake.read("set_curves", market="FLW", period=PERIOD)
    members = {name: set(narrower.filter(indicators=name)["indicator"]) for name in sets}
    assert members == {"fast": {"ofi_1s", "skew"}, "slow": {"ofi_10s", "orders_5s", "trades_5s", "skew"}}
    read = {name: set(forecast.read_curves(lake, "FLW", PERIOD, name)["indicator"]) for name in sets}
    assert read == members  # what is traded inside the engine
    kept = lake.read("curve_model", market="FLW", period=PERIOD)["indicator"].unique().to_list()
    assert sorted(kept) == sorted(scores.filter("kept")["indicator"])
    run(asset.model_choice(dropping), PERIOD)
    run(asset.predictions(dropping), PERIOD)
    moves = lake.read("predictions", market="FLW", session=PERIOD).drop_nulls()
    for column in ("prediction", "prediction_fast", "prediction_slow"):
        assert np.corrcoef(moves[column], moves["label"])[0, 1] > 0.3
    assert not np.array_equal(moves["prediction_fast"], moves["prediction_slow"])
    check(moves.drop("prediction_slow"), contract(["fast"]), "predictions")
    with pytest.raises(LakeError, match="prediction_slow"):
        check(moves.drop("prediction_slow"), contract(sets), "predictions")
    lake = as_made_for(desk)
    run(asset.curve_model(desk), PERIOD)
    assert lake.read("curve_model", market="FLW", period=PERIOD)["indicator"].n_unique() == 5
