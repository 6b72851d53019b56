"""Where Dagster keeps its record: one instance a desk, in the desk's own home."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import dagster as dg

from assets.desk import Desk

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
        yield instance
