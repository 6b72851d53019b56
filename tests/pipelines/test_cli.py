"""The command line answers at once, and tells what is wrong in a sentence."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from assets.desk import load_desk
from pipelines.cli import app
from pipelines.sql_models import load
from pipelines.warehouse import build, sources

DEFAULT = Path(__file__).parents[2] / "desk.toml"


def run(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(words))
    return result.exit_code, result.stdout, result.stderr


def test_help_names_every_command_and_imports_no_heavy_library() -> None:
    heavy = {"dagster", "polars", "numba", "sklearn", "duckdb"}
    probe = f"import sys; import pipelines.cli; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout == "[]\n"
    code, out, _ = run("--help")
    assert code == 0
    for command in ("demo", "try", "sql", "ui"):
        assert command in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("demo", "--desk", "nowhere.toml"), "no desk file at"),
        (("sql", "select 1", "--desk", "nowhere.toml"), "no desk file at"),
        (("try", "nowhere.dbn.zst"), "nowhere.dbn.zst"),
    ],
)
def test_a_file_that_is_not_there_is_named(words: tuple[str, ...], sentence: str) -> None:
    code, _, err = run(*words)
    assert code == 1
    assert sentence in err
    assert "Traceback" not in err


def test_sql_before_any_run_says_how_to_build_the_warehouse(tmp_path: Path) -> None:
    (tmp_path / "desk.toml").write_text(DEFAULT.read_text())
    code, _, err = run("sql", "select 1", "--desk", str(tmp_path / "desk.toml"))
    assert code == 1
    assert "tickline demo" in err


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Desk file of a desk whose warehouse is published, though nothing has run yet."""
    path = tmp_path_factory.mktemp("desk") / "desk.toml"
    path.write_text(DEFAULT.read_text())
    build(load_desk(path), load(sources()))
    return path


def test_sql_prints_what_was_asked_for(published: Path) -> None:
    query = "select 1 as one, 'a' as letter"
    code, out, err = run("sql", query, "--format", "json", "--desk", str(published))
    assert (code, err) == (0, "")
    assert json.loads(out) == [{"one": 1, "letter": "a"}]
    assert run("sql", query, "--format", "csv", "--desk", str(published))[1] == "one,letter\n1,a\n"
    assert "letter" in run("sql", query, "--desk", str(published))[1]


def test_a_query_cannot_change_the_warehouse(published: Path) -> None:
    code, _, err = run("sql", "drop table daily_pnl", "--desk", str(published))
    assert code == 1
    assert err.startswith("tickline: ")


def test_sql_lists_every_table_with_what_it_is(published: Path) -> None:
    code, out, _ = run("sql", "--list", "--format", "json", "--desk", str(published))
    assert code == 0
    listed = {row["table"]: row["description"] for row in json.loads(out)}
    assert "weekly_scorecard" in listed
    assert all(listed.values())
    assert "weekly_scorecard" in run("sql", "--list", "--desk", str(published))[1]


@pytest.mark.parametrize("words", [(), ("select 1", "--list")])
def test_sql_wants_a_query_or_the_list(words: tuple[str, ...]) -> None:
    code, _, err = run("sql", *words)
    assert code == 2
    assert "either a query or --list" in err.replace("\n", " ")
