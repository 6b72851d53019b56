"""What a log file is told of a long command."""

import pytest

from pipelines.bars import bars, doing


def test_a_log_file_gets_one_line_for_each_part_when_it_is_finished(capsys: pytest.CaptureFixture[str]) -> None:
    with bars("sessions", pages="pages and tables") as told:
        for done in (0, 1, 2, 2):
            told({"grid": (done, 2), "tpe": (done, 8), "pages": (done, 2)})
    assert capsys.readouterr().err.split("\n") == ["grid      2/2 sessions", "pages     2/2 pages and tables", ""]


def test_a_log_file_gets_one_line_for_each_thing_that_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    with doing("reading") as now:
        now("fitting")
    assert capsys.readouterr() == ("", "reading\nfitting\n")
