"""Where Dagster keeps its record: one instance a desk, in the desk's own home."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import dagster as dg
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.remote_origin import RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.workspace.load import location_origins_from_yaml_paths

from assets.desk import Desk

WORKSPACE: Final = Path(__file__).parents[1] / "workspace.yaml"
"""What the UI loads."""

BY_COMMAND: Final = "tickline/by_command"
"""Tag of a run that a command made: the command itself makes what comes after it, no sensor."""

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
    """Folder of the desk's Dagster instance, made ready on first use."""
    home = desk.home / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    settings = home / "dagster.yaml"
    if not settings.is_file():
        temporary = settings.with_name(f".dagster.yaml.{os.getpid()}")
        temporary.write_text(_SETTINGS.format(workers=desk.workers))
        temporary.replace(settings)
    return home


@contextmanager
def open_instance(desk: Desk) -> Iterator[dg.DagsterInstance]:
    """The desk's instance, closed at the end."""
    with dg.DagsterInstance.from_config(str(dagster_home(desk))) as instance:
        _at_home(instance)
        yield instance


def _at_home(instance: dg.DagsterInstance) -> None:
    """Let runs of this process be recorded as runs of the workspace's jobs.

    The UI shows a run in its overview and in the history of its job only where the run names the code location. Dagster writes that
    name for runs that its own server launches, not for those that a process executes itself.
    """
    create = instance.create_run_for_job

    def create_run_for_job(job_def: dg.JobDefinition, *, tags: Mapping[str, str] | None = None, **known: Any) -> dg.DagsterRun:
        origin = RemoteJobOrigin(_repository(), job_def.name)
        return create(job_def, tags={**(tags or {}), BY_COMMAND: "true"}, remote_job_origin=origin, **known)

    instance.create_run_for_job = create_run_for_job  # type: ignore[method-assign, assignment]


@cache
def _repository() -> RemoteRepositoryOrigin:
    [location] = location_origins_from_yaml_paths([str(WORKSPACE)])
    return RemoteRepositoryOrigin(location, SINGLETON_REPOSITORY_NAME)
