"""Kills, full disks, readers and bombs: what docs/reliability.md promises.

At a scale that the suite bears; `make test-faults` repeats it at full scale, which takes about a quarter of an hour.
"""

import hashlib
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest
import zstandard

from assets.curves.scores import MEASURED
from assets.desk import load_desk
from assets.ticks.dbn import header_of, layout_of
from pipelines.instance import close_dead_runs, open_instance

FULL = "TICKLINE_FAULTS" in os.environ
full_scale = pytest.mark.skipif(not FULL, reason="full scale: make test-faults")

GOING = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def tickline(*words: str, **further: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "pipelines.cli", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    return subprocess.Popen(command, text=True, start_new_session=True, cwd=Path(__file__).parents[2], **pipes, **further)  # type: ignore[call-overload, no-any-return]


def going(home: Path) -> list[str]:
    """Runs that the desk's instance holds to be under way."""
    with open_instance(load_desk(home)) as instance:
        return [run.run_id for run in instance.get_runs(dg.RunsFilter(statuses=GOING))]


def lake_of(desk: Path) -> dict[str, str]:
    """Hash of each file; of `model_scores`, which holds what a clock has measured, of its other columns."""
    root = load_desk(desk).lake
    return {str(path.relative_to(root)): hashlib.sha256(_lasting(path)).hexdigest() for path in sorted(root.rglob("*.parquet"))}


def _lasting(path: Path) -> bytes:
    if "model_scores" not in path.parts:
        return path.read_bytes()
    return pl.read_parquet(path, hive_partitioning=False, glob=False).drop(MEASURED).write_csv().encode()


def killed_at_work(desk: Path, seconds: float, group: bool) -> bool:
    """Start the desk's demo and kill it, workers and all or its parent alone, so long after its first run; whether it was in time."""
    demo = tickline("demo", "--desk", str(desk))
    until = time.monotonic() + 300
    while demo.poll() is None and time.monotonic() < until and not (load_desk(desk).lake.exists() and going(desk)):
        time.sleep(0.2)
    time.sleep(seconds)
    in_time = demo.poll() is None
    if in_time:
        os.killpg(demo.pid, signal.SIGKILL) if group else demo.kill()
    demo.communicate(timeout=60)
    return in_time


@full_scale
@pytest.mark.parametrize("group", [True, False])
def test_the_runs_of_a_demo_that_was_killed_are_closed(make_desk: Callable[..., Path], tmp_path: Path, group: bool) -> None:
    desk = make_desk(tmp_path)
    assert killed_at_work(desk, 0.0, group)
    time.sleep(1.0)  # a worker sees that its parent is gone
    with open_instance(load_desk(desk)) as instance:
        assert close_dead_runs(instance)
    assert going(desk) == []


@full_scale
def test_a_demo_that_was_killed_twelve_times_makes_the_same_bytes(make_desk: Callable[..., Path], tmp_path: Path) -> None:
    chance, desks = random.Random(1), []
    for name in ("killed", "unbroken"):
        (tmp_path / name).mkdir()
        desks.append(make_desk(tmp_path / name))
    for turn in range(12):
        killed_at_work(desks[0], chance.uniform(0, 6), group=turn % 2 == 0)
    for desk in desks:
        demo = tickline("demo", "--desk", str(desk))
        _, err = demo.communicate(timeout=1_200)
        assert demo.returncode == 0, err
        assert going(desk) == []
    assert lake_of(desks[0]) == lake_of(desks[1])


@contextmanager
def disk_of(folder: Path, megabytes: int) -> Iterator[None]:
    """A disk of its own at a folder, where mounting is allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", str(folder)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@full_scale
@pytest.mark.parametrize("megabytes", [2, 10, 18])
def test_a_full_disk_is_a_sentence_and_what_was_published_stays(make_desk: Callable[..., Path], tmp_path: Path, megabytes: int) -> None:
    desk = make_desk(tmp_path)
    home = load_desk(desk).home
    with disk_of(home, megabytes):
        demo = tickline("demo", "--desk", str(desk))
        _, err = demo.communicate(timeout=600)
        assert demo.returncode == 1
        assert "Traceback" not in err
        assert str(home) in err
        told = [line for line in err.splitlines() if line.startswith("tickline: ")]
        assert len(told) == 1
        before = lake_of(desk)
        subprocess.run(["mount", "-o", "remount,size=2g", str(home)], check=True)
        demo = tickline("demo", "--desk", str(desk))
        _, err = demo.communicate(timeout=1_200)
        assert demo.returncode == 0, err
        assert before.items() <= lake_of(desk).items()


def bomb(path: Path, megabytes: int) -> Path:
    """Millions of sound records in some kilobytes."""
    record = np.zeros((1 << 20) // 56, layout_of("mbo"))
    record["length"], record["rtype"], record["instrument_id"], record["action"], record["side"] = 14, 160, 1, ord("T"), ord("A")
    record["size"], record["price"], record["flags"] = 1, 10**9, 128
    with path.open("wb") as file, zstandard.ZstdCompressor(level=19).stream_writer(file) as out:
        out.write(header_of(dataset="X", schema="mbo", instruments={"A": [1]}, start_ns=0, end_ns=10**15))
        for _ in range(megabytes):
            out.write(record.tobytes())
    return path


@pytest.mark.parametrize("megabytes", [1_000] if FULL else [300])
def test_a_bomb_is_refused_by_try_within_its_memory(tmp_path: Path, megabytes: int) -> None:
    file = bomb(tmp_path / "bomb.dbn.zst", megabytes)
    assert file.stat().st_size < 150_000
    limit = 3 * 10**9

    def capped() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    tried = tickline("try", str(file), "--out", str(tmp_path / "out"), preexec_fn=capped)
    _, err = tried.communicate(timeout=120)
    assert tried.returncode == 1
    assert "GB of memory where" in err
    assert "Traceback" not in err
