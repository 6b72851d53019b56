"""Processes that die: what they were making is marked, what others were making is finished, and who asked hears a sentence."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner

from assets.desk import Desk, load_desk
from pipelines.cli import app
from pipelines.instance import PROCESS, InstanceError, _lives, close_dead_runs, open_instance
from pipelines.workers import Killed, Workers

DEFAULT = Path(__file__).parents[2] / "desk.toml"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return load_desk(DEFAULT).model_copy(update={"home": tmp_path / "home"})


@dg.job
def nothing() -> None:
    """A job that has nothing to do."""


LONG = "import time; time.sleep(60)"


def run_of(instance: dg.DagsterInstance, number: int | None, host: str | None = None) -> str:
    """A run that is under way in this process, or one of this number."""
    run = instance.create_run_for_job(nothing)
    host, own = run.tags[PROCESS].split(" ")[0] if host is None else host, int(run.tags[PROCESS].split(" ")[1])
    instance.add_run_tags(run.run_id, {PROCESS: f"{host} {number or own}"})
    instance.report_dagster_event(dg.DagsterEvent("PIPELINE_START", "nothing"), run.run_id)
    return run.run_id


def test_a_run_whose_process_is_dead_is_failed_and_no_other(desk: Desk) -> None:
    child = subprocess.Popen([sys.executable, "-c", LONG])
    with open_instance(desk) as instance:
        own, other, elsewhere = run_of(instance, None), run_of(instance, child.pid), run_of(instance, child.pid, host="another")
        assert close_dead_runs(instance) == []
        child.kill()
        while Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            time.sleep(0.01)
        assert close_dead_runs(instance) == [other]  # though nobody has waited for it
        child.wait()
        assert close_dead_runs(instance) == []
        status = {name: instance.get_run_by_id(name).status for name in (own, other, elsewhere)}
    assert status == {own: dg.DagsterRunStatus.STARTED, other: dg.DagsterRunStatus.FAILURE, elsewhere: dg.DagsterRunStatus.STARTED}


def test_a_number_that_another_process_has_by_now_is_no_sign_of_life() -> None:
    assert _lives(os.getpid(), made=time.time())
    assert not _lives(os.getpid(), made=time.time() - 10**8)


def test_what_one_killed_worker_made_is_lost_and_what_the_others_make_is_finished(tmp_path: Path) -> None:
    done = tmp_path / "done"
    with Workers(2) as workers:
        killed = workers.submit(os.kill, workers.submit(os.getpid).result(), signal.SIGKILL)
        going = workers.submit(write_later, done)
        with pytest.raises(Killed):
            killed.result(timeout=60)
    assert going.result() is None
    assert done.exists()


def write_later(path: Path) -> None:
    time.sleep(0.3)
    path.touch()


STOPPED = """
import os, sys, time
from pathlib import Path
from pipelines import cli

def main():
    from pipelines.workers import Workers
    with cli._one_sentence(), Workers(1) as workers:
        print(workers.submit(os.getpid).result(), flush=True)
        workers.submit(time.sleep, 60).result()

if __name__ == "__main__":
    import typer
    app = typer.Typer()
    app.command()(main)
    app()
"""


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_that_is_stopped_says_so_at_once_and_takes_its_workers_with_it(tmp_path: Path, sent: int, code: int) -> None:
    (tmp_path / "stopped.py").write_text(STOPPED)
    command = subprocess.Popen(
        [sys.executable, str(tmp_path / "stopped.py")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(DEFAULT.parent)},
    )
    assert command.stdout is not None
    worker = int(command.stdout.readline())
    time.sleep(0.2)
    os.killpg(command.pid, sent) if sent == signal.SIGINT else command.terminate()  # a terminal sends Ctrl-C to the whole group
    _, err = command.communicate(timeout=30)
    assert (command.returncode, err) == (code, "tickline: stopped; what was finished is kept, and the same command goes on from there\n")
    assert not Path(f"/proc/{worker}").exists()


def test_a_record_of_runs_that_is_damaged_is_told_in_a_sentence(desk: Desk) -> None:
    with open_instance(desk) as instance:
        run_of(instance, None)
    [database] = desk.home.rglob("runs.db")
    database.write_bytes(database.read_bytes()[:5_000])
    with (
        pytest.raises(InstanceError, match=r"record of runs in .* is damaged \(.*\): move that folder away"),
        open_instance(desk) as instance,
    ):
        close_dead_runs(instance)


def test_a_home_that_takes_no_file_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("a file where the home should be")
    (tmp_path / "desk.toml").write_text(DEFAULT.read_text())
    result = CliRunner().invoke(app, ["demo", "--desk", str(tmp_path / "desk.toml")])
    assert result.exit_code == 1
    assert f"tickline: {tmp_path / 'var'} cannot be written to" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("port", ["0", "99999", "http"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    result = CliRunner().invoke(app, ["ui", "--port", port])
    assert result.exit_code == 2
    assert "--port" in result.stderr
