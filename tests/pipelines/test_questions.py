"""docs/questions.md: every query answers, with the columns of the answer that stands below it.

`python -m tests.pipelines.test_questions --desk desk.toml` asks a desk's warehouse and writes its answers into the page.
"""

import argparse
import datetime as dt
import re
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from assets.desk import Desk, load_desk
from benchmarks.made import Size, make_lake
from pipelines.query import query
from pipelines.sql_models import load
from pipelines.warehouse import build, sources

PAGE = Path(__file__).parents[2] / "docs" / "questions.md"
QUESTION = re.compile(r"^### (?P<title>\d+\. [^\n]*\?)\n```sql\n(?P<sql>.*?)```\n(?P<answer>(?:\|[^\n]*\n)*)\n?", re.M | re.S)
QUESTIONS = list(QUESTION.finditer(PAGE.read_text()))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A desk whose warehouse holds two small weeks."""
    desk = load_desk(PAGE.parents[1] / "desk.toml").model_copy(update={"home": tmp_path_factory.mktemp("desk")})
    monday = dt.date(2026, 9, 21)
    make_lake(desk, [monday + dt.timedelta(days=day) for day in (0, 1, 7, 8)], Size(quotes=2_000, orders=400, fills=60, ticks=500))
    assert [result.test for result in build(desk, load(sources())).results if not result.passed] == []
    return desk


def test_there_are_thirty_in_order() -> None:
    assert [int(question["title"].split(".")[0]) for question in QUESTIONS] == list(range(1, 31))


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question["title"].split(".")[0])
def test_a_question_is_answered_with_the_columns_that_the_page_shows(desk: Desk, question: re.Match[str]) -> None:
    answer = query(desk, question["sql"])
    assert answer.height
    shown = question["answer"].splitlines()
    assert shown, "the page has no answer: see the head of this file"
    assert [head.strip() for head in shown[0].strip("|").split("|")] == answer.columns


def _table(frame: pl.DataFrame) -> str:
    lines = [frame.columns, ["--:" if kind.is_numeric() else "---" for kind in frame.dtypes], *(map(_cell, row) for row in frame.rows())]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:,.2f}" if abs(value) >= 10 or value == 0 else f"{value:,.4f}"
        case int() | Decimal():  # a sum of large integers comes as a decimal
            return f"{value:,}"
        case dt.datetime():
            return f"{value:%Y-%m-%d %H:%M:%S}"
    return str(value)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the answers of a desk into docs/questions.md.")
    parser.add_argument("--desk", type=Path, default=Path("desk.toml"))
    asked = load_desk(parser.parse_args().desk)
    answered = QUESTION.sub(
        lambda found: f"### {found['title']}\n```sql\n{found['sql']}```\n{_table(query(asked, found['sql']))}", PAGE.read_text()
    )
    PAGE.write_text(answered)
