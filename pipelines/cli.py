"""The command line: `tickline demo | try | sql | ui`.

Every command imports what it needs when it runs, so `tickline --help` answers at once.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

app = typer.Typer(
    help="Would this have made money, after the queue, the delay and the fees? From raw ticks to an honest P&L report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

DeskOption = Annotated[Path, typer.Option("--desk", help="Desk file: markets, source, sessions, costs, limits.")]
DEFAULT_DESK: Final = Path("desk.toml")


class Format(StrEnum):
    """How `tickline sql` prints a result."""

    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"


@app.command()
def demo(desk: DeskOption = DEFAULT_DESK) -> None:
    """Run the desk from ticks to reports; go on from where an earlier run stopped."""
    from pipelines.demo import demo as run

    with _one_sentence():
        run(desk)


@app.command(name="try")
def try_(
    file: Annotated[Path, typer.Argument(help="A DBN file, plain or zstd, schema mbo, one instrument.")],
    definition: Annotated[Path | None, typer.Option(help="A DBN definition file: tick size and contract multiplier.")] = None,
    fee: Annotated[float, typer.Option(min=0, help="Fee a contract, in the unit of the P&L: ticks, or currency with --definition.")] = 0.0,
    out: Annotated[Path, typer.Option(help="Folder for the report page.")] = Path("var/try"),
) -> None:
    """Run all floors on one DBN file of your own: fit on the first 60 %, trade the rest."""
    from decimal import Decimal

    with _one_sentence():
        from pipelines.output import print_tried
        from pipelines.try_file import try_file

        print_tried(try_file(file, definition, out, fee=Decimal(str(fee))))


@app.command()
def sql(
    query: Annotated[str | None, typer.Argument(help="A SELECT on the warehouse.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Every table and what it is, instead of a query.")] = False,
    format: Annotated[Format, typer.Option(help="How to print the result; parquet goes to standard output as bytes.")] = Format.table,
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
        write_frame(tables(asked) if query is None else ask(asked, query), format.value)


@app.command()
def ui(desk: DeskOption = DEFAULT_DESK, port: Annotated[int, typer.Option(help="Port of the web server.")] = 3000) -> None:
    """Open the Dagster UI on the desk's own instance."""
    from assets.desk import load_desk
    from pipelines.instance import dagster_home

    with _one_sentence():
        home = dagster_home(load_desk(desk))
    os.environ |= {"DAGSTER_HOME": str(home.resolve()), "TICKLINE_DESK": str(desk.resolve())}
    workspace = Path(__file__).parents[1] / "workspace.yaml"
    dagster = str(Path(sys.executable).with_name("dagster"))
    os.execv(dagster, [dagster, "dev", "-w", str(workspace), "-p", str(port)])


@contextmanager
def _one_sentence() -> Iterator[None]:
    """An error that the user can mend is told in its own sentence, without a traceback."""
    from assets.desk import UserError

    try:
        yield
    except UserError as error:
        typer.echo(f"tickline: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo("tickline: stopped; what was finished is kept, and the same command goes on from there", err=True)
        raise typer.Exit(130) from None


if __name__ == "__main__":
    app()
