"""Where Dagster keeps its record: one instance a desk, in the desk's own home."""

import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import dagster as dg
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.remote_origin import RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.workspace.load import location_origins_from_yaml_paths
from sqlalchemy.exc import DatabaseError

from assets.desk import Desk, UserError
from pipelines.room import no_room

WORKSPACE: Final = Path(__file__).parents[1] / "workspace.yaml"
"""What the UI loads."""

BY_COMMAND: Final = "tickline/by_command"
"""Tag of a run that a command made: the command itself makes what comes after it, no sensor."""

PROCESS: Final = "tickline/process"
"""Tag of such a run: host and number of the process that makes it."""

_UNKNOWN_SECONDS: Final = 600.0
"""After a run's last sign of life, where no process is known to be its own; launching takes seconds."""


class InstanceError(UserError):
    """Dagster's record of the desk's runs cannot be read or written."""


_SETTINGS: Final = """\
# Written by tickline; delete the file to have it written again.
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  runs:
    max_concurrent_runs: {workers}
"""


def dagster_home(desk: Desk) -> Path:
    """Folder of the desk's Dagster instance, made ready on first use.

    Raises:
        InstanceError: the desk's home takes no files.
    """
    home = desk.home / "dagster"
    settings = home / "dagster.yaml"
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not settings.is_file():
            temporary = settings.with_name(f".dagster.yaml.{os.getpid()}")
            temporary.write_text(_SETTINGS.format(workers=desk.workers))
            temporary.replace(settings)
    except OSError as error:
        raise InstanceError(f"{no_room(error, home)}; or change home in the desk file") from None
    return home


@contextmanager
def open_instance(desk: Desk) -> Iterator[dg.DagsterInstance]:
    """The desk's instance, closed at the end.

    Raises:
        InstanceError: the desk's home takes no files, or the record of runs there is damaged.
    """
    home = dagster_home(desk)
    try:
        with dg.DagsterInstance.from_config(str(home)) as instance:
            _at_home(instance)
            yield instance
    except DatabaseError as error:
        told = str(error.orig or error).splitlines()[0]
        if "full" in told or "readonly" in told or "unable to open" in told or "disk I/O" in told:
            free = shutil.disk_usage(home).free / 1e6
            raise InstanceError(
                f"Dagster's record of runs in {home} cannot be written ({told}; {free:.0f} MB are free): make room there, then run it again"
            ) from None
        raise InstanceError(
            f"Dagster's record of runs in {home} is damaged ({told}): move that folder away and run it again; the lake stays as it is"
        ) from None


def close_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs as failed whose process has ended without saying so: killed, or by a power cut. They would block the queue for ever.

    Returns:
        Their ids.
    """
    going = [
        dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING
    ]  # fmt: skip
    closed = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=going)):
        run = record.dagster_run
        if run.status is dg.DagsterRunStatus.NOT_STARTED and PROCESS not in run.tags:
            continue
        numbers = _processes(instance, run)
        if numbers is None or any(_lives(number, record.create_timestamp.timestamp()) for number in numbers):
            continue
        if numbers or time.time() > record.update_timestamp.timestamp() + _UNKNOWN_SECONDS:
            instance.report_run_failed(
                run, "The process of this run has ended without finishing it: it was killed, or the machine went down."
            )
            closed.append(run.run_id)
    return closed


@contextmanager
def without_dead_runs(instance: dg.DagsterInstance) -> Iterator[None]:
    """No run of a dead process is under way when the block begins, nor when it has ended, however it ended."""
    close_dead_runs(instance)
    try:
        yield
    finally:
        close_dead_runs(instance)


def _processes(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[int] | None:
    """Numbers of the processes that make or made a run, as its tag or its events have them; None where they are another machine's."""
    if PROCESS in run.tags:
        host, _, number = run.tags[PROCESS].rpartition(" ")
        return [int(number)] if host == socket.gethostname() else None
    entries = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    events = [entry.dagster_event.engine_event_data.metadata for entry in entries if entry.dagster_event]
    told = [str(metadata["pid"].value) for metadata in events if "pid" in metadata]
    return [int(number) for number in told if number.isdigit()]


def _lives(number: int, made: float) -> bool:
    """Whether a process is there that was there when a run was made (seconds since 1970): its number may be another's by now."""
    try:
        state, *further = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return not Path("/proc/self/stat").exists() and _exists(number)
    booted = next(int(line.split()[1]) for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
    began = booted + int(further[18]) / os.sysconf("SC_CLK_TCK")
    return state not in "ZX" and began < made + 5


def _exists(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _at_home(instance: dg.DagsterInstance) -> None:
    """Let runs of this process be recorded as runs of the workspace's jobs.

    The UI shows a run in its overview and in the history of its job only where the run names the code location. Dagster writes that
    name for runs that its own server launches, not for those that a process executes itself.
    """
    create = instance.create_run_for_job

    def create_run_for_job(job_def: dg.JobDefinition, *, tags: Mapping[str, str] | None = None, **known: Any) -> dg.DagsterRun:
        origin = RemoteJobOrigin(_repository(), job_def.name)
        return create(
            job_def,
            tags={**(tags or {}), BY_COMMAND: "true", PROCESS: f"{socket.gethostname()} {os.getpid()}"},
            remote_job_origin=origin,
            **known,
        )

    instance.create_run_for_job = create_run_for_job  # type: ignore[method-assign, assignment]


@cache
def _repository() -> RemoteRepositoryOrigin:
    [location] = location_origins_from_yaml_paths([str(WORKSPACE)])
    return RemoteRepositoryOrigin(location, SINGLETON_REPOSITORY_NAME)
