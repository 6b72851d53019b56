"""The desk from ticks to reports in one command, and again from wherever it was stopped.

The plan is a list of *stages*; a stage is a job and its partitions, and needs the stages before it.
Partitions of a stage run side by side in worker processes, each as an ordinary Dagster run on the
desk's instance, so the UI shows them as if it had launched them. What the instance already records
as materialised is left alone: killing the run at any moment costs the partitions in flight.
"""

import datetime as dt
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import dagster as dg

from assets.calendar import Calendar
from assets.desk import Desk, UserError, load_desk
from pipelines.definitions import build_definitions
from pipelines.instance import open_instance
from pipelines.jobs import SCORED, TRADED, TRAINED, market_keys, recorded_keys

_ONE_THREAD: Final = ("POLARS_MAX_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Caps of a worker's libraries: the workers are the parallelism, threads inside them only compete."""

_POLL_SECONDS: Final = 0.3
"""How often progress is counted: often enough to look alive, rarely enough to cost nothing."""


class RunError(UserError):
    """A partition that could not be made: which one, and the asset's own sentence."""


@dataclass(frozen=True)
class Task:
    """One Dagster run: a job on one partition (or none), reduced to the assets still missing."""

    job: str
    partition: str | None
    assets: tuple[dg.AssetKey, ...]


@dataclass(frozen=True)
class Stage:
    """Tasks that may run side by side."""

    job: str
    assets: tuple[dg.AssetKey, ...]
    partitions: tuple[str, ...]


Progress = dict[str, tuple[int, int]]
"""Floor to (partitions published, partitions planned)."""


def plan(desk: Desk) -> list[Stage]:
    """The stages of a desk, in order: record, retrain, trade, score."""
    calendar = Calendar(desk)
    traded = _keys(calendar.traded_sessions())
    periods = _keys(calendar.periods())
    ended = tuple(period for period in periods if calendar.period_sessions(dt.date.fromisoformat(period)))
    return [
        Stage("record_session", tuple(recorded_keys(desk)), _keys(calendar.sessions())),
        Stage("retrain", tuple(market_keys(desk, TRAINED)), periods),
        Stage("score_models", tuple(market_keys(desk, SCORED)), ended),
        Stage("trade_session", tuple(market_keys(desk, TRADED)), traded),
    ]


def run_desk(desk_file: Path, on_progress: Callable[[Progress], None]) -> None:
    """Make everything that is missing, then publish the warehouse and the desk's page.

    Raises:
        RunError: a partition failed; what was finished stays, and running again goes on from there.
    """
    desk = load_desk(desk_file)
    stages = plan(desk)
    with open_instance(desk) as instance:
        instance.all_asset_keys()  # creates the stores before two workers try to at once
        for stage in stages:
            tasks = _missing(instance, stage)
            on_progress(_progress(instance, stages))
            _side_by_side(desk_file, tasks, desk.workers, lambda: on_progress(_progress(instance, stages)))
        on_progress(_progress(instance, stages))
    _side_by_side(desk_file, [Task("publish", None, ())], 1, lambda: None)


def _keys(dates: Iterable[dt.date]) -> tuple[str, ...]:
    return tuple(date.isoformat() for date in dates)


def _missing(instance: dg.DagsterInstance, stage: Stage) -> list[Task]:
    done = {asset: instance.get_materialized_partitions(asset) for asset in stage.assets}
    tasks = []
    for partition in stage.partitions:
        missing = tuple(asset for asset in stage.assets if partition not in done[asset])
        if missing:
            tasks.append(Task(stage.job, partition, missing))
    return tasks


def _progress(instance: dg.DagsterInstance, stages: Sequence[Stage]) -> Progress:
    progress: Progress = {}
    for stage in stages:
        for asset in stage.assets:
            floor = FLOOR_OF[asset.path[-1]]
            published, planned = progress.get(floor, (0, 0))
            done = len(instance.get_materialized_partitions(asset) & set(stage.partitions))
            progress[floor] = (published + done, planned + len(stage.partitions))
    return {floor: progress[floor] for floor in FLOORS if floor in progress}


FLOORS: Final = ("ticks", "books", "features", "curves", "fills", "reports")
FLOOR_OF: Final = {
    "raw_ticks": "ticks",
    "clean_books": "books",
    "feature_table": "features",
    "curve_statistics": "curves",
    "curve_model": "curves",
    "model_scores": "curves",
    "predictions": "curves",
    "quoting_policy": "fills",
    "simulated_fills": "fills",
    "performance_report": "reports",
}
"""Which bar of the progress display an asset moves."""


def _side_by_side(desk_file: Path, tasks: Sequence[Task], workers: int, beat: Callable[[], None]) -> None:
    if not tasks:
        return
    for variable in _ONE_THREAD:
        os.environ.setdefault(variable, "1")
    # spawn, because polars and numba hold threads that a fork would lose
    with ProcessPoolExecutor(min(workers, len(tasks)), mp_context=get_context("spawn")) as pool:
        running = {pool.submit(_run, desk_file, task) for task in tasks}
        try:
            while running:
                finished, running = wait(running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
                for future in finished:
                    fault = future.result()
                    if fault:
                        raise RunError(fault)
                beat()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@lru_cache(maxsize=1)
def _loaded(desk_file: Path) -> tuple[Desk, dg.Definitions]:
    desk = load_desk(desk_file)
    return desk, build_definitions(desk)


def _run(desk_file: Path, task: Task) -> str | None:
    """Execute one task in this process; the sentence of its failure, or None."""
    desk, definitions = _loaded(desk_file)
    quiet: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with open_instance(desk) as instance:
        result = definitions.resolve_job_def(task.job).execute_in_process(
            partition_key=task.partition,
            asset_selection=list(task.assets) or None,
            instance=instance,
            run_config=quiet,
            raise_on_error=False,
        )
    if result.success:
        return None
    return f"{task.job} {task.partition or ''}".strip() + f": {_sentence(result)}"


def _sentence(result: dg.ExecuteInProcessResult) -> str:
    for event in result.all_node_events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.user_failure_data and data.user_failure_data.description:
                return data.user_failure_data.description
            if data.error:
                return (data.error.cause or data.error).message.strip()
    return "failed without saying why; the run is in the UI (make ui)"
