"""The model: its curves, their drift, and its rivals."""

import polars as pl

from assets.reports import history_figures
from assets.reports.exhibits import curve_exhibits, importance
from assets.reports.page import Exhibit, Table, Teller, number, plain
from assets.reports.tables import DeskTables


def model(tables: DeskTables) -> list[Exhibit | Table]:
    """The models of every period on the page."""
    market = f"where market = '{tables.name}'"
    scores = tables.scores.sort("period", "model")
    parts: list[Exhibit | Table] = [_by_week(scores, market), *_rivals(scores, market), *_importance(tables, market)]
    if tables.curves.height:
        last = tables.curves["period"].to_list()[-1]
        sql = f"select * from curve_model\n{market} and period = date '{last}' order by indicator, bucket"
        parts += [_drift(tables, market), *curve_exhibits(tables.curves.filter(pl.col("period") == last), sql)]
    return parts


def _by_week(scores: pl.DataFrame, market: str) -> Exhibit:
    """How much of what the traded model knew of its window it still knew of the period after."""
    traded = scores.filter("traded")
    sql = f"select period, model, r2_train, r2_held_out, r2, r2_low, r2_high from model_scores\n{market} and traded order by period"
    how = (
        "R² of the model that was traded; zero is as good as predicting no move. In sample is the window that it was trained on. Held out "
        "are sessions of that window that were left out in turn. Out of sample is the period after it, which the model had never seen, "
        "with a 95 % interval from how sessions differ. The step from the first to the last is what did not carry over."
    )
    return Exhibit("r2-by-week", "R² in and out of sample, period by period", how, history_figures.carried_over(traded), sql)


def _rivals(scores: pl.DataFrame, market: str) -> list[Exhibit | Table]:
    names = "period, model, champion, traded, r2, r2_low, r2_high, r2_held_out, r2_train, mse, rank_correlation, fit_seconds, rows_test"
    query = f"select {names} from model_scores\n{market} order by period, model"
    columns: dict[str, tuple[str, Teller]] = {
        "period": ("Period", plain),
        "model": ("Model", plain),
        "role": ("Role", plain),
        "r2": ("R² out of sample", number(4)),
        "r2_low": ("from", number(4)),
        "r2_high": ("to", number(4)),
        "r2_held_out": ("held out", number(4)),
        "r2_train": ("in sample", number(4)),
        "mse": ("MSE", number(4)),
        "rank_correlation": ("Rank correlation", number(3)),
        "fit_seconds": ("Fit, s", number(2)),
        "rows_test": ("Rows", number()),
    }
    roles = pl.concat_str(
        pl.when("champion").then(pl.lit("champion")), pl.when("traded").then(pl.lit("traded")), separator=", ", ignore_nulls=True
    )
    scored = scores.drop_nulls("r2")
    last = scored.filter(pl.col("period") == pl.col("period").max()).sort("r2", "model", descending=[True, False])
    rows = last.select(label="model", mean="r2", low="r2_low", high="r2_high")
    when = f" of {last['period'][0]}" if last.height else ""
    how = (
        "R² on sessions that the model never saw; zero is as good as predicting no move. Each model was trained on the window before its "
        "period. Lines are 95 % intervals from how sessions differ: where two overlap much, the period cannot tell the models apart. "
        "The table has every period."
    )
    told = (
        "The champion was chosen before its period began: it is the plainest model that held-out sessions of the training window cannot "
        "tell from the best. MSE is in ticks squared. Fit is the processor time of the fitting on this machine."
    )
    return [
        Exhibit("rivals", f"Champion and rivals{when}", how, history_figures.intervals(rows, "R²", digits=4), query),
        Table("Scores", told, scores.with_columns(role=roles), columns, query),
    ]


def _importance(tables: DeskTables, market: str) -> list[Exhibit | Table]:
    """What the traded model of the last period loses without an indicator."""
    traded = tables.scores.filter("traded").select("period", "model").join(tables.importance, on=["period", "model"])
    if not traded.height:
        return []
    last = traded["period"].to_numpy().max()
    of_last = traded.filter(pl.col("period") == last).sort("importance", "indicator", descending=[True, False])
    sql = (
        "select indicator, importance, low, high from model_importance join model_scores using (market, period, model)\n"
        f"{market} and traded and period = date '{last}' order by importance desc, indicator"
    )
    how = (
        "How far R² out of sample falls when the indicator's values are shuffled within each session, with a 95 % interval. Near zero the "
        "model would be as good without the indicator: it tells nothing, or another tells the same."
    )
    rows = of_last.select(label="indicator", mean="importance", low="low", high="high")
    return [
        Exhibit(
            "shuffled", f"What the model of {last} loses without an indicator", how, history_figures.intervals(rows, "R²", digits=5), sql
        )
    ]


def _drift(tables: DeskTables, market: str) -> Exhibit:
    """Weight of each indicator in each period's model, the last period's heaviest on top."""
    periods = tables.curves["period"].unique().sort().to_list()
    of_period = (
        importance(tables.curves.filter(pl.col("period") == period)).with_columns(period=pl.lit(str(period))) for period in periods
    )
    wide = pl.concat(of_period).pivot("period", index="indicator", values="weight")
    last = str(periods[-1])
    sql = (
        "select indicator, period, sqrt(sum(value * value * count) / sum(count)) as weight from curve_model\n"
        f"{market} group by indicator, period order by period, weight desc"
    )
    how = (
        "What each indicator's curve adds to the prediction of each model: its root mean square in ticks. The stronger the colour, the "
        "more. Change from left to right is the reason to retrain."
    )
    return Exhibit(
        "drift",
        "Drift of the curves",
        how,
        history_figures.drift(wide.sort(last, "indicator", descending=[True, False], nulls_last=True)),
        sql,
    )
