"""The model: its curves, their drift, and its rivals."""

import polars as pl

from assets.reports import history_figures
from assets.reports.exhibits import curve_exhibits, importance
from assets.reports.page import Exhibit, Table, number, plain
from assets.reports.tables import DeskTables


def model(tables: DeskTables) -> list[Exhibit | Table]:
    """The models of every period on the page."""
    market = f"where market = '{tables.name}'"
    scores = tables.scores.sort("period", "model")
    columns = {
        "period": ("Period", plain),
        "model": ("Model", plain),
        "r2": ("R² out of sample", number(4)),
        "r2_train": ("R² in sample", number(4)),
        "mse": ("MSE", number(4)),
        "rank_correlation": ("Rank correlation", number(3)),
        "rows_test": ("Rows", number()),
    }
    query = f"select period, model, r2, r2_train, mse, rank_correlation, rows_test from model_scores\n{market} order by period, model"
    parts: list[Exhibit | Table] = [
        Exhibit(
            "rivals",
            "Curves and rivals",
            "R² against predicting no move, on sessions that the model never saw; each trained on the window before its period. Zero is "
            "no knowledge.",
            history_figures.rivals(scores),
            query,
        ),
        Table("Scores", "MSE in ticks squared.", scores, columns, query),
    ]
    if tables.curves.height:
        last = tables.curves["period"].to_list()[-1]
        sql = f"select * from curve_model\n{market} and period = date '{last}' order by indicator, bucket"
        parts += [_drift(tables, market), *curve_exhibits(tables.curves.filter(pl.col("period") == last), sql)]
    return parts


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
        "What each indicator's curve adds to the prediction, root mean square in ticks, model by model; darker is more. "
        "Change "
        "from left to right is the reason to retrain."
    )
    return Exhibit(
        "drift",
        "Drift of the curves",
        how,
        history_figures.drift(wide.sort(last, "indicator", descending=[True, False], nulls_last=True)),
        sql,
    )
