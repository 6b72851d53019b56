"""What Dagster watches of itself and of the desk: lateness, failed checks, files that land.

freshness          a session is there by 06:00 after it, a model by noon on the day of its training, on the desk's clock
failed_checks      a sensor: each failed check becomes a line of `failed_checks.log` in the desk's home
dead_runs          a sensor, always on: marks runs as failed whose process was killed
record_when_landed a sensor, where the source is a folder: records the sessions whose files have landed
"""

import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import dagster as dg

from assets.calendar import Calendar
from assets.desk import DbnFolderSource, Desk, UserError
from assets.ticks.source import DbnFolder, NoFileError, dbn_files, open_source
from pipelines.instance import close_dead_runs
from pipelines.jobs import RECORDED, SCORED, TRADED, TRAINED, market_keys, recorded_keys

FAILED_CHECKS: Final = "failed_checks.log"
"""File in the desk's home: a line for each failed check, oldest first."""

_AT_ONCE: Final = 500
"""Evaluations that one turn of the sensor reads: a turn has a minute, and the next goes on where this one ended."""


def freshness(desk: Desk, published: Sequence[dg.AssetKey]) -> Mapping[dg.AssetKey, dg.FreshnessPolicy]:
    """When each asset is late; nothing is on a desk with a last session, whose history is complete.

    `published` are made anew after each session: the warehouse, its models, the desk's pages.

    The nightly schedule runs at 01:00 after each session, the weekly one at 01:30, on the clock of the market that
    closes last: the deadlines leave them five and ten hours there, and lie on no day on which nothing is due.
    """
    if desk.last_session is not None:
        return {}
    nights = "0 6 * * *" if desk.every_day else "0 6 * * 2-6"
    zone = Calendar(desk).evening.zone
    by_morning = dg.FreshnessPolicy.cron(deadline_cron=nights, lower_bound_delta=dt.timedelta(hours=8), timezone=zone)
    by_noon = dg.FreshnessPolicy.cron(
        deadline_cron="0 12 * * 1" if desk.every_day else "0 12 * * 6", lower_bound_delta=dt.timedelta(hours=14), timezone=zone
    )
    sessions = [*recorded_keys(desk), *market_keys(desk, TRADED), *published]
    models = market_keys(desk, [*TRAINED, *SCORED])
    return dict.fromkeys(sessions, by_morning) | dict.fromkeys(models, by_noon if desk.retrain == "weekly" else by_morning)


def with_freshness(asset: dg.AssetsDefinition, policies: Mapping[dg.AssetKey, dg.FreshnessPolicy]) -> dg.AssetsDefinition:
    """The asset, told when it is late."""
    return asset.map_asset_specs(lambda spec: dg.apply_freshness_policy(spec, policies[spec.key]) if spec.key in policies else spec)


def failed_checks(desk: Desk) -> dg.SensorDefinition:
    """Writes down each failed check, once, in a file that outlives the run and that `tickline doctor` reads."""

    @dg.sensor(
        name="failed_checks", description=f"Writes each failed check into {FAILED_CHECKS} in the desk's home; `tickline doctor` tells them."
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        wanted = dg.EventRecordsFilter(dg.DagsterEventType.ASSET_CHECK_EVALUATION, after_cursor=int(context.cursor or 0))
        records = context.instance.event_log_storage.get_event_records(wanted, limit=_AT_ONCE, ascending=True)
        if not records:
            return dg.SkipReason("no check has run since")
        failed = [line for record in records if (line := _line(record))]
        if failed:
            with (desk.home / FAILED_CHECKS).open("a") as log:
                log.writelines(failed)
            for line in failed:
                context.log.warning(line.rstrip())
        context.update_cursor(str(records[-1].storage_id))
        return dg.SkipReason(f"{len(records)} checks have run, {len(failed)} failed")

    return sensor


def _line(record: dg.EventLogRecord) -> str | None:
    event = record.event_log_entry.dagster_event
    result: Any = event.event_specific_data if event else None
    if result is None or result.passed:
        return None
    when = dt.datetime.fromtimestamp(record.event_log_entry.timestamp, dt.UTC)
    what = [result.asset_key.to_user_string(), result.partition or "", result.check_name, result.severity.value]
    return f"{when:%Y-%m-%d %H:%M:%S} {' '.join(part for part in what if part)}: {result.description or 'see the check in the UI'}\n"


@dg.sensor(
    name="dead_runs",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Marks runs as failed whose process was killed; they would hold places in the queue for ever.",
)
def dead_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Closes runs of dead processes while the UI is up; a command does so when it begins."""
    return dg.SkipReason(f"{len(close_dead_runs(context.instance))} runs of dead processes closed")


def record_when_landed(desk: Desk, record_session: Any) -> list[dg.SensorDefinition]:
    """Records sessions as their files land, for a desk that reads a folder; none for the others, which fetch by themselves."""
    source = desk.source
    if not isinstance(source, DbnFolderSource):
        return []

    @dg.sensor(
        name="record_when_landed",
        job=record_session,
        minimum_interval_seconds=60,
        description="Records each session whose files have landed in the source's folder and have stopped changing.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        if not source.folder.is_dir():
            return dg.SkipReason(f"no folder at {source.folder}: set source.folder in the desk file")
        turn = _Turn.of(context.cursor)
        files, faults = dbn_files(source.folder)
        here = {path: _mark(path, state.st_size, state.st_mtime_ns) for path, state in files.items()}
        # A file that is still being copied has a whole header and half its records.
        moving = [path for path, mark in here.items() if mark not in turn.seen]
        sessions = Calendar(desk).sessions()
        state = _mark(sorted(here.values()), sessions[-1:])
        if state == turn.state:
            return dg.SkipReason(f"nothing new in {source.folder}")
        recorded = context.instance.get_materialized_partitions(market_keys(desk, RECORDED)[-1])
        landed, told = _landed(desk, [day for day in sessions if day.isoformat() not in recorded], set(moving))
        asked = {day.isoformat(): _mark(*(here[path] for path in paths)) for day, paths in landed.items()}
        new = [dg.RunRequest(run_key=f"{day} {mark}", partition_key=day) for day, mark in asked.items() if turn.asked.get(day) != mark]
        said = {_mark(sentence): sentence for sentence in [*faults.values(), *told]}
        for mark, sentence in said.items():
            if mark not in turn.said:
                context.log.warning(sentence)
        kept = {day: mark for day, mark in turn.asked.items() if day not in recorded}
        following = _Turn(state if not moving else "", sorted(here.values()), kept | asked, sorted(said))
        context.update_cursor(json.dumps(following._asdict()))
        if new or not moving:
            return dg.SensorResult(new)
        return dg.SkipReason(
            f"{len(moving)} files in {source.folder} have changed, {moving[0].name} among them: waiting for one turn without a change"
        )

    return [sensor]


class _Turn(NamedTuple):
    """What one turn of the sensor leaves for the next, kept as its cursor."""

    state: str = ""
    """Of the folder and the sessions that there are, when all of it had been asked for."""
    seen: Sequence[str] = ()
    """The files, as they were."""
    asked: Mapping[str, str] = {}
    """Sessions that have been asked for and are not recorded yet, with the files that they were asked for with."""
    said: Sequence[str] = ()
    """The faults that have been named."""

    @staticmethod
    def of(cursor: str | None) -> "_Turn":
        try:
            return _Turn(**json.loads(cursor or "{}"))
        except (ValueError, TypeError):  # of another version
            return _Turn()


def _mark(*what: object) -> str:
    return hashlib.sha256(repr(what).encode()).hexdigest()[:12]


def _landed(desk: Desk, sessions: list[dt.date], moving: set[Path]) -> tuple[dict[dt.date, list[Path]], list[str]]:
    """The sessions of which the source has every market in files that lie still, and the holidays before the last of them.

    Returns:
        The files of each, and a sentence for each file that could not be read and each session that its files do not agree with.
    """
    source = open_source(desk)
    assert isinstance(source, DbnFolder)
    here: dict[dt.date, list[Path]] = {}
    told: dict[str, None] = {}
    for day in sessions:
        try:
            files = [path for market in desk.all_markets for path in source.fetch(market, day)]
        except NoFileError:
            continue
        except UserError as error:
            told[f"{day}: {error}"] = None
            continue
        if moving.isdisjoint(files):
            here[day] = files
    told |= dict.fromkeys(source.faults.values())
    last = max((day for day, files in here.items() if files), default=None)
    return {day: files for day, files in here.items() if files or (last and day < last)}, [*told]
