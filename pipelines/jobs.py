"""Which assets run together, and when.

    record_session   ticks to statistics of one session, for every market        nightly
    trade_session    predictions, simulated fills and the report of that session  after record_session succeeds
    retrain          the coming period's models and policy                         Saturday (Monday where weekends are traded), or nightly
    score_models     the rivals on the period that has just ended                  the same
    publish          the warehouse, its SQL models and the desk's page             after trade_session succeeds

Sessions that a model trades begin four weeks after sessions that are recorded, so they are two
partition sets and two jobs; a sensor hands the session from one to the next.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any, Final
from zoneinfo import ZoneInfo

import dagster as dg

from assets.calendar import Calendar
from assets.desk import Desk
from pipelines.instance import BY_COMMAND

RECORDED: Final = ("feature_table", "shadow_orders", "curve_statistics")
TRADED: Final = ("predictions", "simulated_fills", "live_log", "reconciliation", "policy_ablation", "what_if", "performance_report")
TRAINED: Final = ("indicator_scores", "curve_model", "model_choice", "quoting_policy", "queue_fit")
SCORED: Final = ("model_scores",)


def market_keys(desk: Desk, layers: Sequence[str]) -> list[dg.AssetKey]:
    """Keys of the traded market's layers."""
    return [dg.AssetKey([desk.traded, layer]) for layer in layers]


def recorded_keys(desk: Desk) -> list[dg.AssetKey]:
    """Keys of the assets that a session has whether or not a model trades it."""
    books = [dg.AssetKey([market, layer]) for market in desk.all_markets for layer in ("raw_ticks", "clean_books")]
    return [*books, *market_keys(desk, RECORDED)]


def jobs(desk: Desk, published: Sequence[dg.AssetKey]) -> list[Any]:
    """The five jobs; `published` are the keys of the unpartitioned assets."""
    one_at_a_time = dg.in_process_executor  # a step costs a second in a process of its own, and sessions already run side by side
    selections: dict[str, Sequence[dg.AssetKey]] = {
        "record_session": recorded_keys(desk),
        "trade_session": market_keys(desk, TRADED),
        "retrain": market_keys(desk, TRAINED),
        "score_models": market_keys(desk, SCORED),
        "publish": published,
    }
    return [
        dg.define_asset_job(name, dg.AssetSelection.assets(*keys), executor_def=one_at_a_time, description=_DESCRIPTIONS[name])
        for name, keys in selections.items()
    ]


_DESCRIPTIONS: Final = {
    "record_session": "One session from raw ticks to curve statistics, for every market of the desk.",
    "trade_session": "One session traded in simulation by the model of its period, and its report.",
    "retrain": "Indicators scored, curves, champion and policy of a period, from the training window before it.",
    "score_models": "The curves and their rivals, trained on a period's window and scored on the period.",
    "publish": "The warehouse, the SQL models with their tests, and the desk's page.",
}


def schedules(desk: Desk, defined: dict[str, Any]) -> list[dg.ScheduleDefinition]:
    """Nightly for the last session, weekly retraining for the week to come; off until switched on in the UI.

    They run on the clock of the market that closes last: at 01:00 there the session before has its partition, wherever that is.
    """
    calendar = Calendar(desk)
    zone = calendar.evening.zone
    # A week's last session is over on Saturday, that of a market without weekends on Monday.
    nightly, weekly = ("0 1 * * *", "30 1 * * 1") if desk.every_day else ("0 1 * * 2-6", "30 1 * * 6")

    def last_session(today: dt.date) -> dt.date | None:
        return max((session for session in calendar.sessions() if session < today), default=None)

    def period_to_train(today: dt.date) -> dt.date | None:
        if desk.retrain == "daily":
            return max((period for period in calendar.periods() if period < today), default=None)
        coming = today + dt.timedelta(days=-today.weekday() % 7)
        return coming if coming in calendar.periods() else None

    def period_ended(today: dt.date) -> dt.date | None:
        return max((period for period in calendar.periods() if period < today), default=None)

    retrain = weekly if desk.retrain == "weekly" else nightly
    return [
        _schedule("nightly", defined["record_session"], nightly, zone, last_session, "Records the last session."),
        _schedule("weekly_retrain", defined["retrain"], retrain, zone, period_to_train, "Trains the model of the period to come."),
        _schedule("weekly_scores", defined["score_models"], retrain, zone, period_ended, "Scores the models on the period that has ended."),
    ]


def _schedule(
    name: str, job: Any, cron: str, zone: str, key: Callable[[dt.date], dt.date | None], description: str
) -> dg.ScheduleDefinition:
    @dg.schedule(name=name, job=job, cron_schedule=cron, execution_timezone=zone, description=description)
    def scheduled(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        partition = key(context.scheduled_execution_time.astimezone(ZoneInfo(zone)).date())
        if partition is None:
            return dg.SkipReason(f"the desk has no partition for {job.name} at this date")
        return dg.RunRequest(run_key=partition.isoformat(), partition_key=partition.isoformat())

    return scheduled


def sensors(desk: Desk, defined: dict[str, Any]) -> list[dg.SensorDefinition]:
    """What one job hands to the next; off until switched on in the UI."""

    def traded(context: dg.RunStatusSensorContext) -> dg.RunRequest | dg.SkipReason:
        if BY_COMMAND in context.dagster_run.tags:
            return _BY_COMMAND
        session = context.partition_key
        if session not in Calendar(desk).traded_partitions.get_partition_keys():
            return dg.SkipReason(f"no model trades session {session}: it is still within the first training window")
        return dg.RunRequest(run_key=session, partition_key=session)

    def published(context: dg.RunStatusSensorContext) -> dg.RunRequest | dg.SkipReason:
        if BY_COMMAND in context.dagster_run.tags:
            return _BY_COMMAND
        return dg.RunRequest(run_key=context.dagster_run.run_id)

    return [
        _after(defined["record_session"], defined["trade_session"], traded, "Trades a session as soon as it has been recorded."),
        _after(defined["trade_session"], defined["publish"], published, "Publishes the warehouse when a session has been traded."),
    ]


_BY_COMMAND: Final = dg.SkipReason("a command ran it, and makes what comes after it as well")


def _after(first: Any, then: Any, request: Callable[..., Any], description: str) -> dg.SensorDefinition:
    return dg.run_status_sensor(
        name=f"{then.name}_after_{first.name}",
        run_status=dg.DagsterRunStatus.SUCCESS,
        monitored_jobs=[first],
        request_job=then,
        description=description,
    )(request)
