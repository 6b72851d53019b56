"""`tickline doctor`: what is configured, what is missing, how fast this machine is, how long four weeks will take."""

import datetime as dt
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Final, Literal

from assets.calendar import Calendar
from assets.desk import DbnFolderSource, Desk, SimulatedSource, UserError
from assets.lake import Lake
from assets.lineage import RECIPES
from assets.provenance import Part, Provenance
from assets.ticks.source import SimulatedExchange, dbn_files
from pipelines.able import place_of, source_told
from pipelines.bars import doing
from pipelines.instance import open_instance
from pipelines.noted import warnings
from pipelines.query import open_warehouse
from pipelines.run import LAYERS_IN_ORDER, QUIET, plan
from pipelines.watch import FAILED_CHECKS

FOUR_WEEKS: Final = 4

_EVENTS: Final = 50_000
"""Events of a session of the small copy that the machine is measured on: enough to be past the start-up of each floor."""

_BYTES_A_RECORD: Final = 14
"""Of compressed MBO as the vendor sends it; only for a first guess of a folder's size."""

_LEAST_FREE: Final = 5 * 10**9
"""Bytes that ought to be free: six weeks of the demo take a twentieth of it, a year of a real market more."""


class DoctorError(UserError):
    """The small copy of the desk could not be run."""


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `note` is worth knowing, `fault` stops the desk."""

    what: str
    state: Literal["ok", "note", "fault"]
    told: str


def examine(desk: Desk, *, measure: bool = True) -> Iterator[Finding]:
    """Look at everything, one finding after the other; measuring comes last, because it takes some seconds."""
    yield Finding("machine", "ok", f"{os.cpu_count()} cores, Python {platform.python_version()}, tickline {version('tickline')}")
    able = _desk(desk)
    yield able
    yield _source(desk)
    yield _disk(desk)
    if able.state == "fault":
        return
    yield from _lake(desk)
    yield _warehouse(desk)
    yield _failed_checks(desk)
    for warning in warnings(desk):
        yield Finding("warning", "note", warning)
    yield from _four_weeks(desk, measure)


def _desk(desk: Desk) -> Finding:
    try:
        plan(desk)
    except UserError as error:
        return Finding("desk", "fault", str(error))
    calendar = Calendar(desk)
    until = desk.last_session or "today"
    led = f" led by {', '.join(desk.leaders)}" if desk.leaders else ""
    sessions, traded = len(calendar.sessions()), len(calendar.traded_sessions())
    span = f"{desk.first_session} to {until}, {sessions} sessions, {traded} of them traded"
    return Finding("desk", "ok", f"{desk.name}: {desk.traded}{led}, {span}, model {desk.model}")


def _source(desk: Desk) -> Finding:
    try:
        return Finding("source", "ok", source_told(desk))
    except UserError as error:
        return Finding("source", "fault", str(error))


def _disk(desk: Desk) -> Finding:
    try:
        free = shutil.disk_usage(place_of(desk)).free
    except UserError as error:
        return Finding("disk", "fault", str(error))
    state: Literal["ok", "note"] = "ok" if free >= _LEAST_FREE else "note"
    return Finding("disk", state, f"{free / 1e9:.1f} GB free at {desk.home}")


def _lake(desk: Desk) -> Iterator[Finding]:
    """For each layer whether every table of it is what the desk asks for; of a table that is not, how many partitions and why."""
    lake, provenance = Lake(desk.lake), Provenance(desk)
    for layer in LAYERS_IN_ORDER:
        made, planned, faults = 0, 0, list[str]()
        for recipe in RECIPES.values():
            if recipe.layer == layer:
                for table in recipe.tables:
                    parts = provenance.parts(recipe.asset)
                    seen = {part: provenance.look(lake, table, part.market, part.partition) for part in parts}
                    wrong = {part: verdict for part, verdict in seen.items() if verdict[0] != "made"}
                    made, planned = made + len(seen) - len(wrong), planned + len(seen)
                    faults += [_wrong(table, wrong)] if wrong else []
        told = f"{made} of {planned} partitions"
        if made and faults:
            told = f"{told}; {'; '.join(faults)}"
        yield Finding(layer, "note", f"{told}: `tickline demo` makes them") if faults else Finding(layer, "ok", told)


def _wrong(table: str, wrong: Mapping[Part, tuple[str, str]]) -> str:
    """How many partitions of a table are missing, damaged, another's or made with something else, the first of each named."""
    told = []
    for kind in ("missing", "damaged", "foreign", "stale"):
        of_kind = {part: why for part, (verdict, why) in wrong.items() if verdict == kind}
        if of_kind:
            first, why = next(iter(of_kind.items()))
            reason = "" if kind == "missing" else f", {why}"
            told.append(f"{len(of_kind)} {kind} (first {first.market} {first.partition}{reason})")
    return f"{table}: {', '.join(told)}"


def _warehouse(desk: Desk) -> Finding:
    try:
        with open_warehouse(desk) as con:
            [[sessions]] = con.sql("SELECT count(*) FROM daily_pnl").fetchall()
    except UserError as error:
        return Finding("warehouse", "note", str(error))
    published = dt.datetime.fromtimestamp(desk.warehouse.stat().st_mtime, dt.UTC)
    return Finding("warehouse", "ok", f"{desk.warehouse}, {sessions} sessions, published {published:%Y-%m-%d %H:%M} UTC")


def _failed_checks(desk: Desk) -> Finding:
    log = desk.home / FAILED_CHECKS
    lines = log.read_text().splitlines() if log.is_file() else []
    return (
        Finding("checks", "note", f"{len(lines)} failures in {log}, the last: {lines[-1]}")
        if lines
        else Finding("checks", "ok", "no failure written down")
    )


_JOBS: Final = ("record_session", "retrain", "trade_session", "score_models")


def _run_seconds(desk: Desk) -> dict[str, float]:
    """Median seconds of a successful run of each job, where every job has run on this desk; else nothing."""
    import dagster as dg

    if not (desk.home / "dagster" / "history").is_dir():
        return {}
    with open_instance(desk) as instance:
        finished = dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS])
        records = instance.get_run_records(finished, limit=1_000)
    took: dict[str, list[float]] = {job: [] for job in _JOBS}
    for record in records:
        if record.dagster_run.job_name in took and record.start_time and record.end_time:
            took[record.dagster_run.job_name].append(record.end_time - record.start_time)
    return {job: statistics.median(seconds) for job, seconds in took.items()} if all(took.values()) else {}


def _four_weeks(desk: Desk, measure: bool) -> Iterator[Finding]:
    took, told = _run_seconds(desk), "median of the runs on record"
    if not took:
        if not measure:
            return
        records = _records_a_session(desk)
        if records is None:
            yield Finding("four weeks", "note", "not known before the size of a session is: run `tickline demo`, then ask again")
            return
        with doing("measuring this machine on a small copy of the desk"):
            took = _measure(desk, records)
        told = f"a small copy of the desk, scaled to {records:,} records a market and session"
    yield Finding("speed", "ok", f"{', '.join(f'{job} {seconds:.1f} s' for job, seconds in took.items())} ({told})")
    sessions, models = FOUR_WEEKS * (7 if desk.every_day else 5), FOUR_WEEKS
    if desk.retrain == "daily":
        models = sessions
    work = sessions * (took["record_session"] + took["trade_session"]) + models * (took["retrain"] + took["score_models"])
    counted = f"{sessions} sessions recorded and traded, {models} models trained and scored"
    yield Finding("four weeks", "ok", f"about {_span(work / desk.workers)} with {desk.workers} workers: {counted}")


def _measure(desk: Desk, records: int) -> dict[str, float]:
    """Seconds of a run of each job at the desk's size, from a small copy of the desk run once: a week to train on, a day to trade.

    Args:
        desk: the desk.
        records: a market and session of the desk.
    """
    import dagster as dg

    from pipelines.definitions import build_definitions

    with tempfile.TemporaryDirectory(prefix="tickline-doctor-") as folder, dg.DagsterInstance.ephemeral() as instance:
        small = _small(desk, Path(folder))
        definitions, calendar = build_definitions(small), Calendar(small)
        if not isinstance(desk.source, SimulatedSource):
            # The desk only reads its files, so making the copy's does not count.
            for day, market in product(calendar.sessions(), small.all_markets):
                SimulatedExchange(small, SimulatedSource(events_per_session=_EVENTS)).fetch(market, day)

        def run(job: str, day: dt.date) -> float:
            began = time.perf_counter()
            result = definitions.resolve_job_def(job).execute_in_process(
                partition_key=day.isoformat(), instance=instance, run_config=QUIET, raise_on_error=False
            )
            if not result.success:
                raise DoctorError(f"{job} failed on a small copy of the desk: run `tickline demo` to see its sentence, or --no-measure")
            return time.perf_counter() - began

        first, period, *_ = calendar.sessions()[0], *calendar.periods()
        run("record_session", first)  # compiles, and counts for nothing
        took = {"record_session": min(run("record_session", day) for day in calendar.sessions()[1:])}
        run("retrain", period)
        took |= {"retrain": run("retrain", period)}
        run("trade_session", period)
        took |= {"trade_session": run("trade_session", period), "score_models": run("score_models", period)}
    larger, longer = max(records / _EVENTS, 0.1), desk.training_sessions / small.training_sessions
    scale = {"record_session": larger, "trade_session": larger, "retrain": larger * longer, "score_models": larger * longer}
    return {job: scale[job] * seconds for job, seconds in took.items()}


def _small(desk: Desk, home: Path) -> Desk:
    """The desk on the simulated exchange with few events, plain weekday hours, one week to train on and one session to trade."""
    monday = dt.date(2026, 8, 24)
    return desk.model_copy(
        update={
            "home": home,
            "markets": {name: market.model_copy(update={"calendar": "weekdays"}) for name, market in desk.markets.items()},
            "hours": (dt.time(13), dt.time(20)),
            "source": SimulatedSource(events_per_session=_EVENTS),
            "first_session": monday,
            "last_session": monday + dt.timedelta(days=7),
            "retrain": "weekly",
            "training_sessions": 5,
        }
    )


def _records_a_session(desk: Desk) -> int | None:
    match desk.source:
        case SimulatedSource():
            return desk.source.events_per_session
        case DbnFolderSource():
            sizes = [state.st_size for state in dbn_files(desk.source.folder)[0].values()]
            return int(statistics.median(sizes)) // _BYTES_A_RECORD if sizes else None
    return None


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:.1f} h"
