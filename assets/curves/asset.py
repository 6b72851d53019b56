"""The Dagster shell of the third floor: sums of a session, curves of a period, predictions, scores.

Nothing leaks: a training window ends at least one session before the period it serves, and a label
never reaches past the end of its own session, so no label of the window has seen the period.
"""

import datetime as dt

import dagster as dg
import polars as pl

from assets.curves.champion import choose_champion
from assets.curves.forecast import period_forecasts, read_training, read_trainings
from assets.curves.kept import kept_indicators
from assets.curves.lab.run import LAB, score_desk
from assets.curves.picture import curves_picture
from assets.curves.schema import (
    CurveModel,
    CurveStatistics,
    ModelChoice,
    ModelImportance,
    ModelScores,
    SetCurves,
    contract,
    prediction_of,
)
from assets.curves.scores import MEASURED, score
from assets.curves.statistics import session_statistics
from assets.curves.training import labelled
from assets.curves.window import read_window
from assets.desk import ALL, Desk
from assets.features.chosen import desk_indicators, indicator_sets, series_seen
from assets.lake import Lake
from assets.shell import Shell, contract_check, result, told


def curve_statistics(desk: Desk) -> dg.AssetsDefinition:
    """The sums of each session."""
    shell = Shell(desk, "curve_statistics")
    desk, market, calendar, lake = shell.desk, desk.traded, shell.calendar, shell.lake

    @shell.asset(
        description="Sums of a session by indicator and bucket: curves are fitted from these alone, and they add up over sessions.",
        kinds={"polars", "numba"},
    )
    def asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        session = dt.date.fromisoformat(context.partition_key)
        with told():
            hours = calendar.window(market, session)
            why_not = _damage(desk, lake, session) if hours else "no session"
            if why_not or hours is None:
                lake.write("curve_statistics", CurveStatistics.empty(), CurveStatistics, market=market, session=session)
                return result(context, 0, session=why_not)
            chosen = desk_indicators(desk)
            features = lake.read("feature_table", columns=[*(i.name for i in chosen), "label"], market=market, session=session)
            statistics = session_statistics(features, chosen, horizon_ns=desk.horizon_ns)
            [seen] = series_seen(desk, [hours.close_ns])
            sums = statistics.to_frame(seen)
            lake.write("curve_statistics", sums, CurveStatistics, market=market, session=session)
        moved = (pl.col("label_sum").sum() / pl.col("count").sum()).alias("mean move in its direction, ticks")
        shown = sums.group_by("indicator", maintain_order=True).agg(pl.col("count").sum().alias("rows with an opinion"), moved)
        return result(context, sums, shown, rows=statistics.rows, label_square=statistics.label_square)

    return asset


def _damage(desk: Desk, lake: Lake, session: dt.date) -> str | None:
    """Why no model trains on the session: a recording of one of its markets ends early, and the desk does not allow it."""
    if desk.train_on_incomplete:
        return None
    recordings = [lake.read("recording", market=market, session=session) for market in desk.all_markets]
    damage = [sentence for recording in recordings for sentence in recording["damage"].drop_nulls()]
    return f"incomplete, and left out of training unless the desk sets train_on_incomplete: {damage[0]}" if damage else None


def indicator_scores(desk: Desk) -> dg.AssetsDefinition:
    """What each of the desk's indicators is worth over the training window of each period, and which are redundant."""
    shell = Shell(desk, "indicator_scores")
    desk, market, calendar, lake = shell.desk, desk.traded, shell.calendar, shell.lake

    @shell.asset(
        description="The indicator lab on training sessions: R2 alone and added, rank correlation, decay, stability, a test, redundancy.",
        kinds={"numba", "scipy"},
    )
    def asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        period = dt.date.fromisoformat(context.partition_key)
        with told():
            found = score_desk(desk, lake, list(read_window(lake, market, calendar.training_sessions(period))))
            found.publish(desk, lake, period)
        scores = found.scores
        r2 = {f"r2_added_{name}": value for name, value in scores.select("indicator", "r2_added").iter_rows() if value is not None}
        dropped = ", ".join(f"{name} for {better}" for name, better in scores.select("indicator", "dropped_for").drop_nulls().iter_rows())
        shown = scores.select("indicator", "r2_alone", "r2_added", "passes", "dropped_for").sort(
            "r2_added", descending=True, nulls_last=True
        )
        return result(context, scores, shown, **r2, passed=int(scores["passes"].sum()), dropped=dropped or "none")

    return asset


def curve_model(desk: Desk) -> dg.AssetsDefinition:
    """The curves of each period, fitted on the training window before it."""
    shell = Shell(desk, "curve_model")
    desk, market, calendar, lake = shell.desk, desk.traded, shell.calendar, shell.lake

    @shell.asset(
        description="One smooth curve an indicator, fitted jointly in damped passes on the sums of the training window.",
        kinds={"polars"},
    )
    def asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        period = dt.date.fromisoformat(context.partition_key)
        with told():
            window = calendar.training_sessions(period)
            trainings = read_trainings(desk, lake, period)
            fitted = {name: training.rows_of_curves(window[0], window[-1]) for name, training in trainings.items()}
            model = fitted.pop(ALL)
            narrower = [curves.with_columns(indicators=pl.lit(name)) for name, curves in fitted.items()] or [SetCurves.empty()]
            lake.write("set_curves", pl.concat(narrower), SetCurves, market=market, period=period)
            lake.write("curve_model", model, CurveModel, market=market, period=period)
        facts = model.select("passes", "step", "lambda_max", "residual", "r2_train", "r2_held_out").row(0, named=True)
        return result(context, model, **facts, sessions=len(trainings[ALL].sums), curves=dg.MetadataValue.md(curves_picture(model)))

    return asset


def model_choice(desk: Desk) -> dg.AssetsDefinition:
    """All models of each period on held-out sessions of its training window, and the champion among them."""
    shell = Shell(desk, "model_choice")
    desk, market, lake = shell.desk, desk.traded, shell.lake

    @shell.asset(
        description="The curves and their rivals trained on three quarters of the window and judged on the last: the plainest of the best "
        "is the champion.",
        kinds={"scikitlearn"},
    )
    def asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        period = dt.date.fromisoformat(context.partition_key)
        with told():
            choice = choose_champion(read_training(desk, lake, period), desk.model)
            lake.write("model_choice", choice, ModelChoice, market=market, period=period)
        r2 = {f"r2_{name}": value for name, value in choice.select("model", "r2_held_out").iter_rows() if value is not None}
        return result(context, choice, choice, champion=choice.filter("champion")["model"].item(), **r2)

    return asset


def predictions(desk: Desk) -> dg.AssetsDefinition:
    """The desk's model applied to each session of its period."""
    shell = Shell(desk, "predictions")
    desk, market, calendar, lake = shell.desk, desk.traded, shell.calendar, shell.lake
    kept = contract(indicator_sets(desk))

    @shell.asset(
        description="Predicted move of the mid at each row of the feature table, by the model of the session's own period; once more from "
        "each narrower set of the desk's indicators.",
        kinds={"polars", "numba"},
    )
    def asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        session = dt.date.fromisoformat(context.partition_key)
        with told():
            if calendar.window(market, session) is None:
                lake.write("predictions", kept.empty(), kept, market=market, session=session)
                return result(context, 0, session="no session")
            forecasts = period_forecasts(desk, lake, calendar.period_of(session))
            features = lake.read("feature_table", market=market, session=session)
            predicted = {prediction_of(name): forecast(features) for name, forecast in forecasts.items()}
            moves = features.select("ts_event", "row", "label").with_columns(**{name: pl.Series(each) for name, each in predicted.items()})
            lake.write("predictions", moves, kept, market=market, session=session)
        spread, model = moves["prediction"].std(), forecasts[ALL].name
        return result(context, moves, _calibration(moves), model=model, prediction_std=spread if isinstance(spread, float) else 0.0)

    return asset


def _calibration(moves: pl.DataFrame) -> pl.DataFrame:
    """By fifths of the prediction: what was foretold and what came, ticks."""
    fifth = (pl.col("prediction").rank("ordinal") * 5 - 1) // pl.len() + 1
    means = (pl.len().alias("rows"), pl.col("prediction").mean(), pl.col("label").mean().alias("move that came"))
    return moves.drop_nulls("label").group_by(fifth.alias("fifth")).agg(*means).sort("fifth")


def model_scores(desk: Desk) -> dg.AssetsDefinition:
    """The curves and their rivals: trained on a period's window, scored on the period."""
    shell = Shell(desk, "model_scores")
    desk, market, calendar, lake = shell.desk, desk.traded, shell.calendar, shell.lake

    @shell.asset(
        description="MSE, R2, rank correlation and importances out of sample, and times, of the curves and of scikit-learn's models.",
        kinds={"scikitlearn"},
    )
    def asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        period = dt.date.fromisoformat(context.partition_key)
        with told():
            chosen = kept_indicators(desk, lake, period)
            columns = [*(indicator.name for indicator in chosen), "label"]
            days = [day for day in calendar.period_sessions(period) if calendar.window(market, day)]
            test = [labelled(lake.read("feature_table", columns=columns, market=market, session=day), chosen) for day in days]
            choice = lake.read("model_choice", market=market, period=period)
            table, weights = score(read_training(desk, lake, period), test, choice)
            lake.write("model_importance", weights, ModelImportance, market=market, period=period)
            lake.write("model_scores", table, ModelScores, market=market, period=period)
        r2 = {f"r2_{name}": value for name, value in table.select("model", "r2").iter_rows() if value is not None}
        times = {f"{column}_{row['model']}": row[column] for row in table.iter_rows(named=True) for column in MEASURED}
        return result(context, table, table, **r2, **times)

    return asset


def checks(desk: Desk, market: str) -> list[dg.AssetChecksDefinition]:
    """The contract of each published partition, held again for the record."""
    return [
        contract_check(desk, market, "curve_statistics", CurveStatistics, "session"),
        *(contract_check(desk, market, table, kept, "period", asset="indicator_scores") for table, kept in LAB.items()),
        contract_check(desk, market, "curve_model", CurveModel, "period"),
        contract_check(desk, market, "set_curves", SetCurves, "period", asset="curve_model"),
        contract_check(desk, market, "predictions", contract(indicator_sets(desk)), "traded"),
        contract_check(desk, market, "model_choice", ModelChoice, "period"),
        contract_check(desk, market, "model_scores", ModelScores, "scored"),
        contract_check(desk, market, "model_importance", ModelImportance, "scored", asset="model_scores"),
    ]
