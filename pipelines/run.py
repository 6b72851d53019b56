"""The desk from ticks to reports in one command, and again from wherever it was stopped.

The plan is a list of tasks: a job on a partition, and the tasks it needs. Whatever is ready runs, side by
side in worker processes, each as an ordinary Dagster run on the desk's instance, so the UI shows them as if
it had launched them. What the lake holds as the desk asks for it (assets/provenance.py) is left alone: killing the run
at any moment costs the partitions in flight, and what was made with other settings, code or inputs is made anew.
"""

import difflib
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
from assets.lake import Lake
from assets.lineage import RECIPES, WRITER
from assets.provenance import Part, Provenance
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

    @property
    def parts(self) -> dict[dg.AssetKey, Part]:
        """The partition that it makes of each asset."""
        return {key: Part(key.path[-1], key.path[0], self.partition) for key in self.assets}


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
    """Make everything that the lake does not hold as the desk asks for it, then publish the warehouse and the desk's page.

    Raises:
        RunError: a partition failed; what was finished stays, and running again goes on from there. Or the home is another desk's.
    """
    desk = load_desk(desk_file)
    tasks = plan(desk)
    place_of(desk)
    claim(desk)
    with open_instance(desk) as instance, without_dead_runs(instance):
        instance.all_asset_keys()  # creates the stores before two workers try to at once
        standing = Standing(desk, instance, tasks)
        todo = standing.missing
        if any(task.job == "record_session" for task in todo):
            source_told(desk)
        publish = Task("publish", "", (), tuple(todo))
        began, last = time.time(), [*published_keys(), dg.AssetKey("desk_report")]

        def beat(compiled: Progress) -> None:
            made = standing.progress()
            waits = any(done < planned for done, planned in made.values())
            on_progress({**compiled, **made, "publish": (0 if waits else _materialised(instance, last, began), len(last))})

        _side_by_side(desk_file, desk, {**todo, publish: ()}, beat)


def make(
    desk_file: Path, table: str, on_progress: Callable[[Progress], None], *, key: str, partition: str | None, market: str | None
) -> int:
    """Make partitions of a table anew, all or one, and before them whatever they are made from that the lake does not hold as asked.

    Args:
        desk_file: of the desk.
        table: of the lake.
        on_progress: hears how far it has come.
        key: `session` or `period`: what `partition` is a date of.
        partition: the one that is made; None: every one.
        market: its market; None: every market that has the table.

    Returns:
        How many partitions of assets were made.

    Raises:
        RunError: there is no such table or partition, or a partition failed.
    """
    desk = load_desk(desk_file)
    tasks = plan(desk)
    provenance = Provenance(desk)
    wanted = set(_wanted(provenance, table, key, partition, market))
    claim(desk)
    with open_instance(desk) as instance, without_dead_runs(instance):
        instance.all_asset_keys()
        before = {part for given in wanted for part in provenance.closure(given)}
        lake = Lake(desk.lake)
        needed = wanted | {part for part in before if not provenance.is_made(lake, part)}
        todo = {task: tuple(asset for asset, part in task.parts.items() if part in needed) for task in tasks}
        todo = {task: assets for task, assets in todo.items() if assets}
        standing = Standing(desk, instance, list(todo), todo)
        _side_by_side(desk_file, desk, todo, lambda compiled: on_progress({**compiled, **standing.progress()}))
    return sum(map(len, todo.values()))


def _wanted(provenance: Provenance, table: str, key: str, partition: str | None, market: str | None) -> list[Part]:
    """The partitions of a table that are asked for.

    Raises:
        RunError: there are none; names what there is.
    """
    if table not in WRITER:
        near = difflib.get_close_matches(table, WRITER, 1)
        raise RunError(f"no table is called {table}: {f'did you mean {near[0]}? ' if near else ''}there are {', '.join(sorted(WRITER))}")
    recipe, desk = WRITER[table], provenance.desk
    if partition and key != recipe.key:
        raise RunError(f"{table} is made by {recipe.key}: name the first day of one with --{recipe.key}, or leave it out for all")
    every = provenance.parts(recipe.asset)
    found = [part for part in every if partition in (None, part.partition) and market in (None, part.market)]
    if not found:
        of = f"{table} of {', '.join(sorted({part.market for part in every}))}"
        days = sorted({part.partition for part in every})
        span = f"{len(days)} from {days[0]} to {days[-1]}" if days else "none yet"
        raise RunError(f"{desk.name} has no partition {' '.join(filter(None, (market, partition)))} of {of}: there are {span}")
    return found


def claim(desk: Desk) -> None:
    """Say in a home whose it is.

    Raises:
        RunError: it is another desk's.
    """
    said = desk.home / ".desk"
    if said.is_file():
        owner = said.read_text().strip()
        if owner != desk.name:
            raise RunError(
                f"{desk.home} is the home of desk {owner!r}, and this desk file is of {desk.name!r}: "
                f"give it another home, or remove {said} to let it make over what is there"
            )
        return
    desk.home.mkdir(parents=True, exist_ok=True)
    said.write_text(f"{desk.name}\n")


class Standing:
    """What of a plan is made: what the lake held as the desk asks for it when the run began, and what has been written since.

    Attributes:
        missing: the tasks that are not finished, and the assets that each still lacks.
    """

    def __init__(
        self, desk: Desk, instance: dg.DagsterInstance, tasks: Sequence[Task], missing: dict[Task, tuple[dg.AssetKey, ...]] | None = None
    ) -> None:
        self._lake, self._tasks = Lake(desk.lake), tasks
        self.missing = _missing(Provenance(desk), self._lake, instance, tasks) if missing is None else missing
        open_parts = [task.parts[asset] for task, assets in self.missing.items() for asset in assets]
        self._before = {part: self._written(part) for part in open_parts}

    def progress(self) -> Progress:
        """By layer, how many partitions are made and how many there are to be."""
        counts = {layer: [0, 0] for layer in LAYERS_IN_ORDER}
        for task in self._tasks:
            for part in task.parts.values():
                count = counts[RECIPES[part.asset].layer]
                count[0] += part not in self._before or self._written(part) != self._before[part]
                count[1] += 1
        return {layer: (made, planned) for layer, (made, planned) in counts.items()}

    def _written(self, part: Part) -> int | None:
        """When the last table of a partition was written."""
        recipe = RECIPES[part.asset]
        path = self._lake.path(recipe.tables[-1], **{"market": part.market, recipe.key: part.partition})
        return path.stat().st_mtime_ns if path.exists() else None


def _missing(
    provenance: Provenance, lake: Lake, instance: dg.DagsterInstance, tasks: Sequence[Task]
) -> dict[Task, tuple[dg.AssetKey, ...]]:
    """The tasks that are not finished: the lake does not hold what the desk asks for, or the instance does not know of it."""
    known = {asset: instance.get_materialized_partitions(asset) for asset in {asset for task in tasks for asset in task.assets}}

    def finished(task: Task, asset: dg.AssetKey, part: Part) -> bool:
        return task.partition in known[asset] and provenance.is_made(lake, part)

    missing = {task: tuple(asset for asset, part in task.parts.items() if not finished(task, asset, part)) for task in tasks}
    return {task: assets for task, assets in missing.items() if assets}


def _materialised(instance: dg.DagsterInstance, keys: Sequence[dg.AssetKey], since: float) -> int:
    """How many of the assets have been materialised since a time (seconds)."""
    latest = instance.get_latest_materialization_events(keys)
    return sum(event is not None and event.timestamp >= since for event in latest.values())


LAYERS_IN_ORDER: Final = tuple(dict.fromkeys(recipe.layer for recipe in RECIPES.values()))
"""Bars of the progress display, in the order of the stream."""


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
