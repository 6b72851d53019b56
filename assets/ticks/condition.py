"""What the vendor says of its days: a day that it has not whole is refused, whether the API says so or a download's condition.json."""

import datetime as dt
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

from assets.desk import NS
from assets.hours import Window
from assets.ticks.dbn import TicksError, read_metadata

CONDITION_FILE: Final = "condition.json"
"""Beside the files of a batch download: a list of {"date": "2024-07-03", "condition": "available"}."""


def days_of(begin_ns: int, end_ns: int) -> list[dt.date]:
    """The UTC days of a stretch, whose end is exclusive."""
    first, last = (dt.datetime.fromtimestamp(ns // NS, dt.UTC).date() for ns in (begin_ns, end_ns - 1))
    return [first + dt.timedelta(days=k) for k in range((last - first).days + 1)]


def refuse(about: str, dataset: str, day: dt.date, condition: str, *, allow_degraded: bool) -> None:
    """Refuse a day that the vendor has not whole.

    Raises:
        TicksError: it is degraded and that is not allowed, or it is not available.
    """
    if condition == "degraded" and not allow_degraded:
        raise TicksError(f"{about}: {dataset} is degraded on {day}; set source.allow_degraded = true to take it as it is")
    if condition not in {"available", "degraded"}:
        raise TicksError(f"{about}: {dataset} is {condition} on {day}; ask again when the vendor has it")


def hold(about: str, files: Sequence[Path], hours: Window, *, allow_degraded: bool) -> None:
    """Hold a session's files against the condition.json in the folder of each, for the days that a file and the hours share.

    A day that the file does not list is taken: nobody says anything against it.

    Raises:
        TicksError: as `refuse` says; a condition.json cannot be read.
    """
    for path in files:
        listed = path.with_name(CONDITION_FILE)
        if not listed.is_file():
            continue
        metadata, conditions = read_metadata(path), _conditions(listed, listed.stat().st_mtime_ns)
        begin, end = max(metadata.start, hours.open_ns), min(metadata.end or hours.close_ns, hours.close_ns)
        for day in days_of(begin, end) if begin < end else []:
            if condition := conditions.get(day.isoformat()):
                refuse(about, metadata.dataset, day, condition, allow_degraded=allow_degraded)


@lru_cache(maxsize=256)
def _conditions(path: Path, _mtime_ns: int) -> dict[str, str]:
    try:
        return {str(day["date"]): str(day["condition"]) for day in json.loads(path.read_text(encoding="utf-8-sig"))}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise TicksError(f"{path} is no list of days and their conditions ({error!r}): fetch it again, or move it away") from None
