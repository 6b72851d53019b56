"""The command line answers at once, and tells what is wrong in a sentence."""

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from assets.desk import load_desk
from benchmarks.made import Size, make_lake
from pipelines import doctor
from pipelines.cli import app
from pipelines.sql_models import load
from pipelines.warehouse import build, sources
from pipelines.watch import FAILED_CHECKS

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
    for command in ("demo", "try", "report", "doctor", "sql", "ui"):
        assert command in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("demo", "--desk", "nowhere.toml"), "no desk file at"),
        (("sql", "select 1", "--desk", "nowhere.toml"), "no desk file at"),
        (("try", "nowhere.dbn.zst"), "nowhere.dbn.zst"),
        (("report", "--desk", "nowhere.toml"), "no desk file at"),
        (("doctor", "--desk", "nowhere.toml"), "no desk file at"),
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


def test_json_of_sql_is_json(published: Path) -> None:
    query = "select 'nan'::double as x, ['infinity'::double] as y, sum(2::integer) as s, 1.5::decimal(9, 2) as d"
    code, out, _ = run("sql", query, "--format", "json", "--desk", str(published))
    assert code == 0
    assert json.loads(out, parse_constant=pytest.fail) == [{"x": None, "y": [None], "s": 2, "d": 1.5}]


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


def test_a_typo_is_told_with_its_line_and_the_nearest_table(published: Path) -> None:
    code, _, err = run("sql", "select *\nfrom weekly_scorcard", "--desk", str(published))
    assert code == 1
    assert "LINE 2: from weekly_scorcard" in err
    assert "nearest tables: weekly_scorecard" in err


def test_a_warehouse_of_an_older_version_says_so_and_how_to_build_it_again(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.query.layout", lambda: "of tomorrow")
    code, _, err = run("sql", "from weekly_scorecard", "--desk", str(published))
    assert code == 1
    assert "was built by another version" in err
    assert "`tickline demo`" in err


# Reports

MONDAY = dt.date(2026, 9, 21)
SMALL = Size(quotes=500, orders=60, fills=12, ticks=100)


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Desk file of a desk that has traded a single session, and then a week of one session without a trade."""
    path = tmp_path_factory.mktemp("desk") / "desk.toml"
    path.write_text(DEFAULT.read_text())
    make_lake(load_desk(path), [MONDAY], SMALL)
    return path


def page(*words: str, desk: Path) -> str:
    code, out, err = run("report", "--json", "--desk", str(desk), *words)
    assert (code, err) == (0, "")
    return Path(json.loads(out)["page"]).read_text()


def test_a_desk_of_one_session_has_all_its_pages_and_claims_nothing(reported: Path) -> None:
    assert "Monday 21 September 2026" in page("--session", str(MONDAY), desk=reported)
    assert "week of 21 September 2026" in page("--week", "2026-09-24", desk=reported)
    desk = page(desk=reported)
    assert "too few sessions" in desk
    assert "<dt>Record to convince</dt><dd>–" in desk


def test_a_week_without_trades_says_that_nothing_was_filled(tmp_path: Path) -> None:
    path = tmp_path / "desk.toml"
    path.write_text(DEFAULT.read_text())
    make_lake(load_desk(path), [MONDAY], Size(quotes=500, orders=60, fills=0, ticks=100))
    for words in ((), ("--week", str(MONDAY)), ("--session", str(MONDAY))):
        assert "No order was filled" in page(*words, desk=path)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("--week", "2026-08-31"),
            "no session of the week of 2026-08-31 has been reported: the nearest week that has is that of 2026-09-21",
        ),
        (("--session", "2026-09-20"), "2026-09-20 is no session that desk 'demo' trades: those are 2026-09-21 to 2026-10-02"),
        (("--session", "2026-09-22"), "book_quality FLW 2026-09-22 is not in the lake"),
    ],
)
def test_a_page_of_what_is_not_there_is_refused_in_a_sentence(reported: Path, words: tuple[str, ...], sentence: str) -> None:
    code, out, err = run("report", "--desk", str(reported), *words)
    assert (code, out) == (1, "")
    assert sentence in err


def test_before_any_run_report_says_what_to_run(published: Path) -> None:
    code, _, err = run("report", "--desk", str(published))
    assert code == 1
    assert "no session of desk 'demo' has been reported yet: run `tickline demo`" in err


@pytest.mark.parametrize("words", [("--week", "yesterday"), ("--week", "2026-09-21", "--session", "2026-09-21")])
def test_a_wrong_option_is_a_usage_error(words: tuple[str, ...]) -> None:
    assert run("report", *words)[0] == 2


# The doctor


def findings(desk: Path) -> tuple[int, dict[str, tuple[str, str]]]:
    code, out, _ = run("doctor", "--no-measure", "--json", "--desk", str(desk))
    return code, {finding["what"]: (finding["state"], finding["told"]) for finding in json.loads(out)}


def desk_with(folder: Path, old: str, new: str) -> Path:
    text = DEFAULT.read_text()
    assert old in text
    (folder / "desk.toml").write_text(text.replace(old, new))
    return folder / "desk.toml"


def test_the_doctor_says_what_is_there_and_what_is_missing(reported: Path) -> None:
    code, found = findings(reported)
    assert code == 0
    assert found["source"] == ("ok", "simulated exchange, seed 20260824, 150,000 events a market and session")
    told = "1 of 10 partitions; performance_report: 9 missing (first FLW 2026-09-22): `tickline demo` makes them"
    assert found["reports"] == ("note", told)
    assert "no warehouse at" in found["warehouse"][1]
    assert found["checks"] == ("ok", "no failure written down")


def test_the_doctor_tells_of_the_warehouse_and_of_failed_checks(published: Path) -> None:
    (published.parent / "var" / FAILED_CHECKS).write_text("one\n2026-09-22 FLW/fills contract ERROR: broken\n")
    _, found = findings(published)
    assert found["warehouse"][0] == "ok"
    assert found["checks"][0] == "note"
    assert "2 failures" in found["checks"][1]
    assert found["checks"][1].endswith("FLW/fills contract ERROR: broken")


SIMULATED = 'kind = "simulated"\nseed = 20260824\nalpha = 1.0                      # 0: order flow knows nothing of the price to come\nevents_per_session = 150_000     # a market and session'  # noqa: E501


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ('kind = "dbn_folder"\nfolder = "data"', "no folder at"),
        ('kind = "dbn_folder"\nfolder = "."', "no .dbn or .dbn.zst file in"),
        ('kind = "databento"\ndataset = "GLBX.MDP3"\nbudget_per_session = "1"', "DATABENTO_API_KEY is not set"),
    ],
)
def test_a_source_that_cannot_be_read_is_a_fault_and_the_exit_code_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, told: str
) -> None:
    monkeypatch.delenv("DATABENTO_API_KEY", raising=False)
    code, found = findings(desk_with(tmp_path, SIMULATED, source))
    assert code == 1
    assert found["source"][0] == "fault"
    assert told in found["source"][1]


def test_a_desk_on_which_no_session_is_traded_is_a_fault(tmp_path: Path) -> None:
    code, found = findings(desk_with(tmp_path, "last_session = 2026-10-02", "last_session = 2026-09-04"))
    assert code == 1
    assert found["desk"][0] == "fault"
    assert "set last_session to 2026-09-18 or later, or training_sessions to fewer" in found["desk"][1]


def test_an_indicator_that_does_not_exist_is_told_before_any_work(tmp_path: Path) -> None:
    path = desk_with(tmp_path, "[source]", '[indicators]\nown = ["ofl"]\n\n[source]')
    code, _, err = run("demo", "--desk", str(path))
    assert code == 1
    assert "no indicator is called 'ofl': did you mean ofi?" in err
    code, found = findings(path)
    assert (code, found["desk"][0]) == (1, "fault")
    assert not (tmp_path / "var").exists()


def test_four_weeks_are_the_sum_of_their_runs_over_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "desk.toml"
    path.write_text(DEFAULT.read_text())
    took = {"record_session": 10.0, "trade_session": 2.0, "retrain": 60.0, "score_models": 30.0}
    monkeypatch.setattr(doctor, "_measure", lambda desk, records: took)
    [*_, last] = doctor.examine(load_desk(path))
    # 20 x (10 + 2) + 4 x (60 + 30) = 600 s of work on two workers
    assert last.told.startswith("about 5 min with 2 workers: 20 sessions")
