"""The desk from ticks to reports in one command, and again from wherever it was stopped.

The plan is a list of tasks: a job on a partition, and the tasks it needs. Whatever is ready runs, side by
side in worker processes, each as an ordinary Dagster run on the desk's instance, so the UI shows them as if
it had launched them. What the instance already records as materialised is left alone: killing the run at any
moment costs the partitions in flight.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import dagster as dg

from assets.calendar import Calendar
from assets.desk import Desk, load_desk
from pipelines.able import RunError, check_desk, place_of, source_told
from pipelines.definitions import build_definitions
from pipelines.instance import open_instance, without_dead_runs
from pipelines.jobs import SCORED, TRADED, TRAINED, market_keys, recorded_keys
from pipelines.kernels import HALVES
from pipelines.warehouse import published_keys
from pipelines.workers import Killed, Workers

_ONE_THREAD: Final = ("POLARS_MAX_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Caps of a worker's libraries: the workers are the parallelism, threads inside them only compete."""

QUIET: Final[dict[str, Any]] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Run configuration of a run whose events nobody reads on the terminal."""

_POLL_SECONDS: Final = 1.0
"""How often progress is counted: often enough to look alive, rarely enough to cost nothing."""


@dataclass(frozen=True)
class Task:
    """One Dagster run: a job on one partition, and the tasks that must have succeeded before it."""

    job: str
    partition: str
    assets: tuple[dg.AssetKey, ...]
    needs: tuple["Task", ...] = ()


Progress = dict[str, tuple[int, int]]
"""Part of the run, most of them floors, to (how many of it are done, how many are planned)."""


def plan(desk: Desk) -> list[Task]:
    """Every task of a desk: those first that others need, then the long before the short, so that none is waited for at the end.

    Raises:
        UserError: the desk could not work (`able.check_desk`).
    """
    check_desk(desk)
    calendar = Calendar(desk)
    record = {day: Task("record_session", day.isoformat(), tuple(recorded_keys(desk))) for day in calendar.sessions()}
    trained, scored, traded = (tuple(market_keys(desk, layers)) for layers in (TRAINED, SCORED, TRADED))
    days = {period: calendar.period_sessions(period) for period in calendar.periods()}
    retrain = {
        period: Task("retrain", period.isoformat(), trained, tuple(record[day] for day in calendar.training_sessions(period)))
        for period in days
    }
    score = [
        Task("score_models", period.isoformat(), scored, (retrain[period], *(record[day] for day in traded_days)))
        for period, traded_days in days.items()
        if traded_days
    ]
    trade = [
        Task("trade_session", day.isoformat(), traded, (retrain[period], record[day]))
        for period, traded_days in days.items()
        for day in traded_days
    ]
    return [*record.values(), *retrain.values(), *score, *trade]


def run_desk(desk_file: Path, on_progress: Callable[[Progress], None]) -> None:
    """Make everything that is missing, then publish the warehouse and the desk's page.

    Raises:
        RunError: a partition failed; what was finished stays, and running again goes on from there.
    """
    desk = load_desk(desk_file)
    tasks = plan(desk)
    place_of(desk)
    with open_instance(desk) as instance, without_dead_runs(instance):
        instance.all_asset_keys()  # creates the stores before two workers try to at once
        todo = _missing(instance, tasks)
        if any(task.job == "record_session" for task in todo):
            source_told(desk)
        publish = Task("publish", "", (), tuple(todo))
        began, last = time.time(), [*published_keys(), dg.AssetKey("desk_report")]

        def beat(compiled: Progress) -> None:
            made = _progress(instance, tasks)
            waits = any(done < planned for done, planned in made.values())
            on_progress({**compiled, **made, "publish": (0 if waits else _materialised(instance, last, began), len(last))})

        _side_by_side(desk_file, desk, {**todo, publish: ()}, beat)


def _missing(instance: dg.DagsterInstance, tasks: Sequence[Task]) -> dict[Task, tuple[dg.AssetKey, ...]]:
    """The tasks that are not finished, and the assets that each still lacks."""
    done = _done(instance, tasks)
    missing = {task: tuple(asset for asset in task.assets if task.partition not in done[asset]) for task in tasks}
    return {task: assets for task, assets in missing.items() if assets}


def _progress(instance: dg.DagsterInstance, tasks: Sequence[Task]) -> Progress:
    done = _done(instance, tasks)
    counts = {floor: [0, 0] for floor in FLOORS}
    for task in tasks:
        for asset in task.assets:
            count = counts[FLOOR_OF[asset.path[-1]]]
            count[0] += task.partition in done[asset]
            count[1] += 1
    return {floor: (published, planned) for floor, (published, planned) in counts.items()}


def _materialised(instance: dg.DagsterInstance, keys: Sequence[dg.AssetKey], since: float) -> int:
    """How many of the assets have been materialised since a time (seconds)."""
    latest = instance.get_latest_materialization_events(keys)
    return sum(event is not None and event.timestamp >= since for event in latest.values())


def _done(instance: dg.DagsterInstance, tasks: Sequence[Task]) -> dict[dg.AssetKey, set[str]]:
    return {asset: instance.get_materialized_partitions(asset) for asset in {asset for task in tasks for asset in task.assets}}


FLOORS: Final = ("ticks", "books", "features", "curves", "fills", "reports")
FLOOR_OF: Final = {
    "raw_ticks": "ticks",
    "clean_books": "books",
    "feature_table": "features",
    "curve_statistics": "curves",
    "indicator_scores": "curves",
    "curve_model": "curves",
    "model_choice": "curves",
    "model_scores": "curves",
    "predictions": "curves",
    "quoting_policy": "fills",
    "simulated_fills": "fills",
    "live_log": "fills",
    "policy_ablation": "fills",
    "what_if": "fills",
    "shadow_orders": "fills",
    "queue_fit": "fills",
    "reconciliation": "fills",
    "performance_report": "reports",
}
"""Which bar of the progress display an asset moves."""


def _side_by_side(desk_file: Path, desk: Desk, todo: Mapping[Task, tuple[dg.AssetKey, ...]], beat: Callable[[Progress], None]) -> None:
    """Run the tasks, each as soon as those that it needs have succeeded, in the plan's order among the ready.

    `beat` hears about once a second how far the kernels are.
    """
    for variable in _ONE_THREAD:
        os.environ.setdefault(variable, "1")
    waiting, open_tasks = list(todo), set(todo)
    running: dict[Future[str | None], Task] = {}
    workers = min(desk.workers, len(todo))
    with Workers(workers) as pool:
        # Publishing needs none; and what compiling fails at, the task that needs it fails at too, and says so.
        halves = [pool.submit(half, desk) for half in HALVES] if len(todo) > 1 else []
        while open_tasks:
            beat({"kernels": (sum(half.done() for half in halves), len(halves))} if halves else {})
            ready = [task for task in waiting if open_tasks.isdisjoint(task.needs)][: workers - len(running)]
            for task in ready:
                waiting.remove(task)
                running[pool.submit(_run, desk_file, task, todo[task])] = task
            finished, _ = wait(running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            for future in finished:
                task = running.pop(future)
                fault = _fault(future)
                if fault:
                    raise RunError(f"{task.job} {task.partition}: {fault}")
                open_tasks.remove(task)
        beat({})


def _fault(future: "Future[str | None]") -> str | None:
    """The sentence of a task that failed, or whose process was killed; None where it is done."""
    try:
        return future.result()
    except Killed:
        return (
            "its process was killed, by hand or because memory ran out; what else was under way has been finished: run it again, "
            "and where it is memory give the desk fewer workers"
        )


@lru_cache(maxsize=1)
def _loaded(desk_file: Path) -> tuple[Desk, dg.Definitions]:
    desk = load_desk(desk_file)
    return desk, build_definitions(desk)


def _run(desk_file: Path, task: Task, assets: tuple[dg.AssetKey, ...]) -> str | None:
    """Execute one task in this process; the sentence of its failure, or None."""
    desk, definitions = _loaded(desk_file)
    with open_instance(desk) as instance:
        result = definitions.resolve_job_def(task.job).execute_in_process(
            partition_key=task.partition or None,
            asset_selection=list(assets) or None,
            instance=instance,
            run_config=QUIET,
            raise_on_error=False,
        )
    return None if result.success else _sentence(result)


def _sentence(result: dg.ExecuteInProcessResult) -> str:
    for event in result.all_node_events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.user_failure_data and data.user_failure_data.description:
                return data.user_failure_data.description
            if data.error:
                return (data.error.cause or data.error).message.strip()
    return "failed without saying why; the run is in the UI (make ui)"
