"""Third floor: sums of a session, the indicator lab, fitted curves of a period, predictions of a session, scores of the models."""

from collections.abc import Iterable

import pandera.polars as pa
import polars as pl

from assets.desk import ALL


class CurveStatistics(pa.DataFrameModel):
    """`curve_statistics`: the sums from which curves are fitted; they add up over sessions.

    One row for each bucket of each indicator, in the design's order. A feature x falls into bucket b of
    |x| with sign s; the design's column for (indicator, b) is s (sign folded) in that row and 0 elsewhere.
    """

    indicator: str
    bucket: pl.Int16 = pa.Field(ge=0)
    version: str = pa.Field(description="Of indicators, edges and horizon; sums add only over equal versions")
    series: str = pa.Field(description="Fingerprint of the user's own tables as far as the session knew them; empty without such tables")
    count: pl.Int64 = pa.Field(ge=0)
    label_sum: pl.Float64 = pa.Field(description="Sum of s * label over the bucket")
    label_square: pl.Float64 = pa.Field(ge=0, description="Sum of label squared over the whole session, repeated in each row")
    rows: pl.Int64 = pa.Field(ge=0, description="Rows with a label in the session, repeated in each row")
    gram: pl.Binary = pa.Field(description="Inner products of this design column with every one up to itself: int32, little-endian")


class CurveModel(pa.DataFrameModel):
    """`curve_model`: a period's fitted curves, a row a bucket. What is of the whole fit is repeated in each row."""

    indicator: str
    bucket: pl.Int16 = pa.Field(ge=0)
    lower: pl.Float64 = pa.Field(gt=0, description="Of |indicator|, inclusive; the first bucket also holds everything smaller but zero")
    upper: pl.Float64 = pa.Field(gt=0, description="Of |indicator|, exclusive; the last bucket has no upper bound")
    count: pl.Int64 = pa.Field(ge=0)
    mean: pl.Float64 = pa.Field(description="Mean of s * label in the bucket, in ticks, before the joint fit; 0 where it is empty")
    value: pl.Float64 = pa.Field(description="Fitted curve, in ticks: what this bucket adds to the predicted move")
    error: pl.Float64 = pa.Field(nullable=True, ge=0, description="Standard error of value in ticks, clustered by session; null with one")
    version: str
    code_version: str
    fingerprint: str = pa.Field(description="sha256 of the statistics that the fit saw")
    first_session: pl.Date
    last_session: pl.Date
    form: str = pa.Field(
        description="What the curve was drawn with: linear, steps, power, saturating or monotone; chosen by held-out sessions"
    )
    penalty: pl.Float64 = pa.Field(gt=0, description="Smoothness of this curve, in rows of a mean knot; chosen by held-out sessions")
    note: str = pa.Field(nullable=True, description="What was done where the window is too poor for the usual fit; else null")
    passes: pl.Int32 = pa.Field(ge=0)
    step: pl.Float64 = pa.Field(gt=0, description="Damping used; 0.3 unless that would diverge")
    lambda_max: pl.Float64 = pa.Field(gt=0, description="Top eigenvalue of the joint operator; step * lambda_max >= 2 diverges")
    residual: pl.Float64 = pa.Field(ge=0, description="Largest change of any value in the last pass, in ticks")
    r2_train: pl.Float64 = pa.Field(nullable=True, description="On the training rows; null where no label moved")
    r2_held_out: pl.Float64 = pa.Field(nullable=True, description="On held-out training sessions; it chose the penalties, so it flatters")


class SetCurves(CurveModel):
    """`set_curves`: the same for each of the desk's narrower sets of indicators, which the search may predict with instead."""

    indicators: str = pa.Field(description="Name of the set on the desk")


class IndicatorScores(pa.DataFrameModel):
    """`indicator_scores`: what each indicator was worth over a period's training window, a row for each with its parameters.

    R2 is against predicting no move, on held-out stretches of the window. Intervals are of 95 %, from whole sessions drawn with
    replacement. A rank correlation is Spearman's within a session, averaged over the sessions.
    """

    indicator: str = pa.Field(unique=True)
    formula: str = pa.Field(description="Its name without market and parameters")
    leader: str = pa.Field(description="Leader that it reads; empty where it reads the traded market or a table of the user's own")
    tau: pl.Float64 = pa.Field(nullable=True, gt=0, description="Seconds; null where the formula takes none")
    slow: pl.Float64 = pa.Field(nullable=True, gt=0, description="Seconds; null where the formula takes none")
    levels: pl.Int32 = pa.Field(nullable=True, ge=1, description="Null where the formula takes none")
    on_desk: pl.Boolean = pa.Field(description="One of the desk's indicators; the others were tried by `tickline lab`")
    sessions: pl.Int32 = pa.Field(ge=1)
    rows: pl.Int64 = pa.Field(ge=0, description="Rows with an opinion, of those known a minute ahead")
    r2_alone: pl.Float64 = pa.Field(nullable=True, description="Of its curve by itself; null with one session")
    r2_alone_low: pl.Float64 = pa.Field(nullable=True)
    r2_alone_high: pl.Float64 = pa.Field(nullable=True)
    r2_added: pl.Float64 = pa.Field(nullable=True, description="Of the desk's indicators with it, less that of the others without it")
    r2_added_low: pl.Float64 = pa.Field(nullable=True)
    r2_added_high: pl.Float64 = pa.Field(nullable=True)
    rank_correlation: pl.Float64 = pa.Field(ge=-1, le=1, description="With the label; 0 in a session where either is constant")
    rank_low: pl.Float64 = pa.Field(nullable=True, description="Of its 95 % interval, a session one observation")
    rank_high: pl.Float64 = pa.Field(nullable=True)
    stability: pl.Float64 = pa.Field(nullable=True, description="Mean of the sessions' rank correlations over their standard deviation")
    stability_low: pl.Float64 = pa.Field(nullable=True)
    stability_high: pl.Float64 = pa.Field(nullable=True)
    hit_rate: pl.Float64 = pa.Field(nullable=True, ge=0, le=1, description="Of rows that moved and had an opinion: moved by its sign")
    monotonicity: pl.Float64 = pa.Field(nullable=True, description="Rank correlation of a bucket's number and its mean s * label")
    rank_1s: pl.Float64 = pa.Field(description="Rank correlation with the move over 1 s, and so on: how it decays")
    rank_2s: pl.Float64
    rank_5s: pl.Float64
    rank_10s: pl.Float64
    rank_20s: pl.Float64
    rank_30s: pl.Float64
    rank_60s: pl.Float64
    t_value: pl.Float64 = pa.Field(nullable=True, description="Of the mean rank correlation, by session; null with one session")
    p_value: pl.Float64 = pa.Field(nullable=True, ge=0, le=1, description="Two-sided, Student's t with sessions - 1 degrees of freedom")
    p_adjusted: pl.Float64 = pa.Field(nullable=True, ge=0, le=1, description="Holm's, over all rows of the period")
    passes: pl.Boolean = pa.Field(description="p_adjusted of at most 0.05: of worthless indicators not one passes, in 95 of 100 windows")
    closest: str = pa.Field(nullable=True, description="The other of the desk's indicators that it is most correlated with, by rank")
    closest_correlation: pl.Float64 = pa.Field(nullable=True)
    kept: pl.Boolean = pa.Field(description="Of the desk and not redundant: the period's curves are fitted on it")
    dropped_for: str = pa.Field(
        nullable=True,
        description="The indicator that makes it redundant, with a rank correlation of 0.7 or more: a kept one if there is one",
    )


class IndicatorCorrelations(pa.DataFrameModel):
    """`indicator_correlations`: Spearman's correlation of each pair of scored indicators, averaged over the window's sessions."""

    indicator: str
    other: str = pa.Field(description="Comes after `indicator` in the order of indicator_scores: each pair once")
    correlation: pl.Float64 = pa.Field(nullable=True, ge=-1.001, le=1.001, description="Null where one is constant in every session")


class IndicatorBuckets(pa.DataFrameModel):
    """`indicator_buckets`: the seed's bucket graph of each scored indicator by itself, over a period's training window."""

    indicator: str
    bucket: pl.Int16 = pa.Field(ge=0)
    lower: pl.Float64 = pa.Field(gt=0, description="Of |indicator|, inclusive")
    upper: pl.Float64 = pa.Field(gt=0, description="Of |indicator|, exclusive; the last bucket has no upper bound")
    count: pl.Int64 = pa.Field(ge=0)
    mean: pl.Float64 = pa.Field(nullable=True, description="Mean of s * label in the bucket, ticks; null where it is empty")
    value: pl.Float64 = pa.Field(description="Piecewise linear curve through the means, its smoothness chosen by held-out sessions, ticks")
    error: pl.Float64 = pa.Field(nullable=True, ge=0, description="Standard error of value, clustered by session; null with one")


class IndicatorTrials(pa.DataFrameModel):
    """`indicator_trials`: every parameter value that was tried for a period, on its training sessions only.

    The desk's own stand first; `tickline lab` adds those of its search.
    """

    trial: pl.Int32 = pa.Field(ge=0, unique=True, description="In the order in which they were tried")
    sampler: str = pa.Field(isin=["desk", "grid", "tpe"])
    indicator: str
    formula: str
    leader: str
    tau: pl.Float64 = pa.Field(nullable=True, gt=0)
    slow: pl.Float64 = pa.Field(nullable=True, gt=0)
    levels: pl.Int32 = pa.Field(nullable=True, ge=1)
    score: pl.Float64 = pa.Field(
        nullable=True, description="Held-out R2 added to the desk's indicators of other formulas or markets; null with one session"
    )
    r2_alone: pl.Float64 = pa.Field(nullable=True, description="Held-out R2 by itself")
    best: pl.Boolean = pa.Field(description="The best score of its formula and market")


class Predictions(pa.DataFrameModel):
    """`predictions`: the desk's model applied to a session that it never saw, a row for each row of `feature_table`.

    Beside these columns, one Float32 column for each narrower set of the desk's indicators: `prediction_` and the set's name.
    """

    ts_event: pl.Int64 = pa.Field(ge=0)
    row: pl.UInt32
    prediction: pl.Float32 = pa.Field(description="Predicted move of the mid over the horizon, ticks, from all that the lab has kept")
    label: pl.Float32 = pa.Field(nullable=True, description="The move that came, in ticks")


def prediction_of(indicators: str) -> str:
    """The column of `predictions` by a set of indicators."""
    return "prediction" if indicators == ALL else f"prediction_{indicators}"


def contract(sets: Iterable[str]) -> type[Predictions]:
    """`Predictions` with the columns of the desk's narrower sets of indicators."""
    more = [prediction_of(name) for name in sets if name != ALL]
    return type("Predictions", (Predictions,), {"__annotations__": dict.fromkeys(more, pl.Float32)})


class ModelChoice(pa.DataFrameModel):
    """`model_choice`: the models as held-out sessions of a period's own training window see them, and the one that is its champion."""

    model: str = pa.Field(unique=True)
    every: pl.Int64 = pa.Field(ge=1, description="Trained on every k-th row of the sessions before those held out; 1 is all of them")
    rows_train: pl.Int64 = pa.Field(ge=0)
    rows_held_out: pl.Int64 = pa.Field(ge=0, description="0 where the window is a single session: then curves are the champion untried")
    first_held_out: pl.Date = pa.Field(nullable=True, description="First of the held-out sessions, the last quarter of the window")
    last_held_out: pl.Date = pa.Field(nullable=True)
    r2_held_out: pl.Float64 = pa.Field(nullable=True, description="R2 on them, against predicting zero")
    behind: pl.Float64 = pa.Field(nullable=True, ge=0, description="The best model's r2_held_out less this one's")
    behind_error: pl.Float64 = pa.Field(nullable=True, ge=0, description="Standard error of behind, session by session")
    champion: bool = pa.Field(description="The plainest model that is behind by no more than behind_error")
    traded: bool = pa.Field(description="What the desk trades: its model, or the champion where it says so")


class ModelScores(pa.DataFrameModel):
    """`model_scores`: each model trained on a period's window and scored on the period itself.

    The two times are as a clock measured them and differ from run to run; all else is the same bytes.
    """

    model: str = pa.Field(unique=True)
    every: pl.Int64 = pa.Field(ge=1, description="Trained on every k-th row of the window; 1 is all of them")
    rows_train: pl.Int64 = pa.Field(ge=0)
    rows_test: pl.Int64 = pa.Field(ge=0, description="0 while the period has no session yet: then the test columns are null")
    mse: pl.Float64 = pa.Field(nullable=True, description="Out of sample, ticks squared")
    r2: pl.Float64 = pa.Field(nullable=True, description="Out of sample, against predicting zero")
    r2_low: pl.Float64 = pa.Field(
        nullable=True, description="Lower bound of r2, 95 %, from how sessions differ (of a single one, its ten stretches)"
    )
    r2_high: pl.Float64 = pa.Field(nullable=True, description="Upper bound of r2")
    r2_train: pl.Float64 = pa.Field(nullable=True, description="On the rows it was trained on; null where no label moved")
    rank_correlation: pl.Float64 = pa.Field(nullable=True, description="Spearman's, out of sample; null for a constant prediction")
    r2_held_out: pl.Float64 = pa.Field(nullable=True, description="On held-out sessions of its own window, which chose the champion")
    champion: bool = pa.Field(description="Chosen before the period began, by those sessions")
    traded: bool = pa.Field(description="What the desk traded")
    fit_seconds: pl.Float64 = pa.Field(ge=0, description="Processor time to train, as measured; for curves from the sums of sessions")
    predict_row_us: pl.Float64 = pa.Field(ge=0, description="Microseconds to predict one row, called from Python, as measured")


class ModelImportance(pa.DataFrameModel):
    """`model_importance`: what each model loses on the period's sessions when an indicator's values are shuffled there."""

    model: str
    indicator: str
    importance: pl.Float64 = pa.Field(description="Fall of R2 out of sample when the indicator is shuffled within each session")
    low: pl.Float64 = pa.Field(nullable=True, description="Lower bound, 95 %, from how sessions differ; null with one block of rows")
    high: pl.Float64 = pa.Field(nullable=True, description="Upper bound")
