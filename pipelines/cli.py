"""The command line: `tickline demo | make | try | record | report | reconcile | lab | sql | doctor | ui`.

Every command imports what it needs when it runs, so `tickline --help` answers at once.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

app = typer.Typer(
    help="Would this have made money, after the queue, the delay and the fees? From raw ticks to an honest P&L report.",
    epilog="Exit codes: 0 done, 1 something to mend (said in one sentence), 2 a wrong option, 130 stopped with Ctrl-C, 143 with SIGTERM.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

DeskOption = Annotated[Path, typer.Option("--desk", help="Desk file: markets, source, sessions, costs, limits.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, for a script.")]
DEFAULT_DESK: Final = Path("desk.toml")


class Format(StrEnum):
    """How `tickline sql` prints a result."""

    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"


class Search(StrEnum):
    """How `tickline lab` looks for parameters."""

    grid = "grid"
    tpe = "tpe"


@app.command()
def demo(desk: DeskOption = DEFAULT_DESK, as_json: JsonOption = False) -> None:
    """Run the desk from ticks to reports; go on from where an earlier run stopped."""
    from pipelines.bars import doing

    with _one_sentence():
        with doing("starting"):
            from pipelines.demo import demo as run
        run(desk, as_json=as_json)


@app.command(name="try")
def try_(
    file: Annotated[Path, typer.Argument(help="A DBN file, plain or zstd, of schema mbo, mbp-10 or mbp-1.")],
    symbol: Annotated[str | None, typer.Option(help="Which of the file's instruments, where it holds several.")] = None,
    publisher: Annotated[int | None, typer.Option(min=1, help="Whose records, where the file holds several venues'.")] = None,
    definition: Annotated[Path | None, typer.Option(help="A DBN definition file: tick size and contract multiplier.")] = None,
    fee: Annotated[float, typer.Option(min=0, help="Fee a contract, in the unit of the P&L: ticks, or currency with --definition.")] = 0.0,
    out: Annotated[Path, typer.Option(help="Folder for the report page.")] = Path("var/try"),
    as_json: JsonOption = False,
) -> None:
    """Run all floors on one DBN file of your own: fit on the first 60 %, trade the rest."""
    from decimal import Decimal

    from pipelines.bars import doing

    with _one_sentence():
        with doing("starting") as say:
            from pipelines.kernels import replay_beside
            from pipelines.output import print_json, print_tried
            from pipelines.try_file import try_file

            say(f"reading {file}, fitting on its first 60 % and trading the rest")
            with replay_beside() as ready:
                tried = try_file(file, definition, out, symbol=symbol, publisher=publisher, fee=Decimal(str(fee)), replay_ready=ready)
        if as_json:
            print_json({"page": tried.page, "damage": tried.damage, "warnings": tried.warnings, **tried.report.row(0, named=True)})
        else:
            print_tried(tried)


@app.command()
def report(
    session: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The page of this session.")] = None,
    week: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The page of the week that holds this date.")] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    desk: DeskOption = DEFAULT_DESK,
    as_json: JsonOption = False,
) -> None:
    """Write the page of a session, a week or the whole desk from what the lake holds, and say where it is."""
    if session and week:
        raise typer.BadParameter("either --session or --week, or neither for the whole desk")
    from assets.desk import load_desk

    with _one_sentence():
        from pipelines.output import print_json
        from pipelines.report import write_report

        page = write_report(load_desk(desk), session=session.date() if session else None, week=week.date() if week else None).resolve()
    if as_json:
        print_json({"page": page})
    else:
        typer.echo(page)
    if show:
        typer.launch(page.as_uri())


@app.command()
def reconcile(
    log: Annotated[Path, typer.Argument(help="A log of orders, CSV or Parquet (docs/order-logs.md); with --export the file to write.")],
    session: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="This session alone.")] = None,
    export: Annotated[bool, typer.Option("--export", help="Write our own live log of --session to LOG instead.")] = False,
    with_limits: Annotated[
        bool, typer.Option("--with-limits", help="Hold the log's orders to the desk's own limits (position, loss, closing, messages), too.")
    ] = False,
    desk: DeskOption = DEFAULT_DESK,
    as_json: JsonOption = False,
) -> None:
    """Set a log of orders against the simulator, order by order, and fit delay and queue on the earlier half of its sessions."""
    if export and session is None:
        raise typer.BadParameter("--export needs --session")
    from assets.desk import load_desk

    with _one_sentence():
        from pipelines.bars import doing
        from pipelines.output import print_json, print_table
        from pipelines.reconcile import export_live_log, reconcile_log

        asked = load_desk(desk)
        if export and session is not None:
            export_live_log(asked, session.date(), log)
            return
        with doing("replaying the log under each delay and queue") if sys.stderr.isatty() else nullcontext():
            done = reconcile_log(asked, log, session.date() if session else None, with_limits=with_limits)
        if as_json:
            tables = {"sessions": done.own, "tested": done.fitted, "refused": done.refused}
            print_json({"fitted": done.best._asdict(), **tables})
            return
        money = asked.markets[asked.traded].currency
        print_table(done.own.drop("own"), f"Log and replay under the desk's own setting, money in {money}")
        for day, refusal, orders in done.refused.iter_rows():
            typer.echo(f"{day}: the replay refused {orders} orders: {refusal}")
        typer.echo(f"fewest orders missed or imagined: {done.best.latency_ms:g} ms, queue {done.best.queue} {done.best.exponent:g}")
        if done.tested:
            print_table(done.fitted.drop("own"), "The later sessions, which did not choose it, under that setting")
        else:
            typer.echo("one session chose it and none is left to test it")


@app.command()
def lab(
    period: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day of a period; the last that is trained.")] = None,
    search: Annotated[Search, typer.Option(help="grid: the values of a grid; tpe: then Optuna's estimator from there.")] = Search.tpe,
    trials: Annotated[int, typer.Option(min=1, help="Tries of the estimator for each formula and market.")] = 12,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes, a session each; left out: one a core.")] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    desk: DeskOption = DEFAULT_DESK,
    as_json: JsonOption = False,
) -> None:
    """Score every indicator with every parameter on a period's training sessions, search for better ones, and write the lab's page."""
    from assets.desk import load_desk

    with _one_sentence():
        from pipelines.bars import bars
        from pipelines.lab import run_lab
        from pipelines.output import print_json

        day, count = period.date() if period else None, trials if search is Search.tpe else 0
        with bars("sessions") as told:
            page, best = run_lab(load_desk(desk), day, trials=count, workers=workers, told=told)
    if as_json:
        print_json({"page": page, "best": best})
    else:
        typer.echo(page)
    if show:
        typer.launch(page.as_uri())


@app.command()
def make(
    table: Annotated[str, typer.Argument(help="Name of a table of the lake, as `tickline sql --list` has it.")],
    session: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Its partition of this trade date.")] = None,
    period: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Its partition of the period that begins here.")] = None,
    market: Annotated[str | None, typer.Option(help="Of this market; left out: of every one that has the table.")] = None,
    desk: DeskOption = DEFAULT_DESK,
    as_json: JsonOption = False,
) -> None:
    """Make partitions of a table anew, one or all, and before them what they are made from where it is missing or out of date."""
    if session and period:
        raise typer.BadParameter("either --session or --period, or neither for every partition")
    with _one_sentence():
        from pipelines.bars import bars
        from pipelines.output import print_json
        from pipelines.run import make as run

        day = session or period
        with bars("partitions", kernels="halves compiled or loaded") as shown:
            key, partition = "period" if period else "session", str(day.date()) if day else None
            made = run(desk.resolve(), table, shown, key=key, partition=partition, market=market)
        if as_json:
            print_json({"made": made})
        else:
            typer.echo(f"{made} partitions made; `tickline demo` publishes them with what depends on them")


@app.command()
def doctor(
    desk: DeskOption = DEFAULT_DESK,
    measure: Annotated[bool, typer.Option(help="Measure this machine, where no run is on record to tell its speed.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Say what is configured, what is missing, how fast this machine is and how long four weeks of the desk will take."""
    from assets.desk import load_desk
    from pipelines.bars import doing

    with _one_sentence():
        with doing("starting"):
            from pipelines.doctor import examine
            from pipelines.output import print_json

        found = []
        for finding in examine(load_desk(desk), measure=measure):
            found.append(finding)
            if not as_json:
                typer.echo(f"{finding.state:<6}{finding.what:<12}{finding.told}")
    if as_json:
        print_json([vars(finding) for finding in found])
    raise typer.Exit(int(any(finding.state == "fault" for finding in found)))


@app.command()
def record(
    desk: DeskOption = DEFAULT_DESK,
    session: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Session to record; left out: the traded market's that is open, or its next."),
    ] = None,
    schema: Annotated[str, typer.Option(help="mbo, mbp-10, mbp-1, tbbo or trades.")] = "mbo",
    stype_in: Annotated[str, typer.Option(help="What the markets' symbols are: raw_symbol or continuous.")] = "raw_symbol",
    gateway: Annotated[str | None, typer.Option(help="HOST:PORT of another gateway than the vendor's.")] = None,
) -> None:
    """Record a live session into the landing folder of a desk whose source is a folder; docs/recording.md."""
    import time

    from assets.desk import load_desk

    host, _, port = (gateway or "").partition(":")
    if gateway and not (host and (port or "13000").isdigit() and 0 < int(port or 13000) < 65_536):
        raise typer.BadParameter(f"--gateway is HOST:PORT, for instance 127.0.0.1:13000, not {gateway}")
    with _one_sentence():
        from assets.ticks.live import Recorder, current_session

        asked = load_desk(desk)
        day = session.date() if session else current_session(asked, time.time_ns())
        address = (host, int(port or 13000)) if host else None
        recorder = Recorder(asked, day, schema=schema, stype_in=stype_in, gateway=address, tell=lambda told: typer.echo(told, err=True))
        typer.echo(f"recording {day} to {recorder.partial} until the session's close")
        path = recorder.run()
        typer.echo(f"landed {path}; gaps: {recorder.gaps}")


@app.command()
def sql(
    query: Annotated[str | None, typer.Argument(help="A SELECT on the warehouse.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Every table and what it is, instead of a query.")] = False,
    format: Annotated[
        Format | None, typer.Option(help="How to print the result; left out: a table, in a pipe csv. parquet goes out as bytes.")
    ] = None,
    desk: DeskOption = DEFAULT_DESK,
) -> None:
    """Ask the warehouse; docs/questions.md has thirty questions to begin with."""
    if (query is None) != list_:
        raise typer.BadParameter("either a query or --list, for instance: tickline sql 'from weekly_scorecard'")
    from assets.desk import load_desk
    from pipelines.output import write_frame
    from pipelines.query import query as ask
    from pipelines.query import tables

    with _one_sentence():
        asked = load_desk(desk)
        write_frame(tables(asked) if query is None else ask(asked, query), format and format.value)


@app.command()
def ui(
    desk: DeskOption = DEFAULT_DESK, port: Annotated[int, typer.Option(min=1, max=65_535, help="Port of the web server.")] = 3000
) -> None:
    """Open the Dagster UI on the desk's own instance, for this machine alone."""
    from assets.desk import load_desk

    with _one_sentence():
        from pipelines.instance import WORKSPACE, close_dead_runs, dagster_home, open_instance

        asked = load_desk(desk)
        home = dagster_home(asked)
        with open_instance(asked) as instance:
            close_dead_runs(instance)
    os.environ |= {"DAGSTER_HOME": str(home.resolve()), "TICKLINE_DESK": str(desk.resolve())}
    os.environ.setdefault("PYTHONWARNINGS", "ignore:Function `dev_command` is superseded")  # what would follow it needs a further package
    dagster = str(Path(sys.executable).with_name("dagster"))
    os.execv(dagster, [dagster, "dev", "-w", str(WORKSPACE), "-h", "127.0.0.1", "-p", str(port)])


class _Stopped(KeyboardInterrupt):
    """The process was told to end (SIGTERM), which is dealt with as Ctrl-C is."""


def _stop(*_: object) -> None:
    raise _Stopped


@contextmanager
def _one_sentence() -> Iterator[None]:
    """An error that the user can mend is told in its own sentence, without a traceback; so is that the command was stopped."""
    import signal
    import threading

    from assets.desk import UserError
    from pipelines.room import NO_ROOM, no_room

    in_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _stop) if in_main else None
    try:
        yield
    except UserError as error:
        typer.echo(f"tickline: {error}", err=True)
        raise typer.Exit(1) from None
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        typer.echo(f"tickline: {no_room(error, Path(error.filename or '.'))}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt as stopped:
        typer.echo("tickline: stopped; what was finished is kept, and the same command goes on from there", err=True)
        raise typer.Exit(143 if isinstance(stopped, _Stopped) else 130) from None
    finally:
        if in_main:
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


if __name__ == "__main__":
    app()
