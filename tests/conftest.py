"""What tests share: capped threads (two test processes run side by side), a small desk, the real data where it is there."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

for variable in ("POLARS_MAX_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

# The caps must stand before polars is imported.
import polars as pl  # noqa: E402
import pytest  # noqa: E402

from assets.desk import Desk  # noqa: E402
from assets.lake import Lake  # noqa: E402
from assets.lineage import WRITER  # noqa: E402
from assets.provenance import Provenance, open_lake  # noqa: E402

REPOSITORY = Path(__file__).parents[1]

FIRST = ("e2e/test_lineage.py", "reports", "pipelines", "test_", "e2e")
"""Of two test processes one begins with the longest file, whose desk compiles the kernels; the other meanwhile with what needs none."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of `FIRST` in its order, then the others."""

    def turn(item: pytest.Item) -> int:
        name = item.path.relative_to(REPOSITORY / "tests").as_posix()
        return next((place for place, start in enumerate(FIRST) if name.startswith(start)), len(FIRST))

    items.sort(key=turn)


SMALL = {
    "first_session = 2026-08-24": "first_session = 2026-09-07",
    "last_session = 2026-10-02": "last_session = 2026-09-18",
    "hours = [13:30:00, 20:00:00]": "hours = [13:30:00, 14:30:00]",
    "training_sessions = 20": "training_sessions = 5",
    "events_per_session = 150_000": "events_per_session = 12_000",
    "tuning_trials = 24": "tuning_trials = 4",
}


@pytest.fixture(scope="session")
def as_made_for() -> Callable[[Desk], Lake]:
    """Stamps all that a desk's lake holds as that desk asks for it, so that tables of a test's own stand for what it would have made."""

    def stamp(desk: Desk) -> Lake:
        lake, provenance = Lake(desk.lake), Provenance(desk)
        for table in WRITER:
            for keys in lake.partitions(table):
                path = lake.path(table, **keys)
                pl.read_parquet(path, hive_partitioning=False).write_parquet(path, metadata={"tickline": provenance.written(table, keys)})
        return open_lake(desk)

    return stamp


SHARED_DATA = REPOSITORY.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real market data; a test that needs it is skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real data at {SHARED_DATA}")
    return SHARED_DATA


class MakeDesk(Protocol):
    """Writes the repository's desk.toml made small; `further` replaces values of keys, as TOML."""

    def __call__(self, folder: Path, **further: str) -> Path: ...


@pytest.fixture(scope="session")
def make_desk() -> MakeDesk:
    """Writer of desk files for a desk of two weeks: one to train on and one to trade."""

    def write(folder: Path, **further: str) -> Path:
        text = (REPOSITORY / "desk.toml").read_text()
        for old, new in SMALL.items():
            assert old in text, f"desk.toml has changed: {old}"
            text = text.replace(old, new)
        for key, value in further.items():
            text = "".join(f"{key} = {value}\n" if line.startswith(f"{key} = ") else line for line in text.splitlines(keepends=True))
        path = folder / "desk.toml"
        path.write_text(text)
        return path

    return write
