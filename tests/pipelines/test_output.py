"""What commands print: JSON is JSON, a cell is text, no figure is folded however narrow the terminal."""

import datetime as dt
import json
import math
import re
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import output

NUMBERS = st.one_of(
    st.floats(),
    st.integers(-(2**127), 2**127 - 1),
    st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**9), max_value=10**9),
)
OTHERS = st.one_of(st.none(), st.text(max_size=5), st.booleans(), st.dates(), st.datetimes(), st.binary(max_size=3), st.just(Path("a/b")))
VALUES = st.recursive(NUMBERS | OTHERS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3))


def strictly(text: str):
    """Read by a parser that knows no NaN and no Infinity."""

    def refuse(word: str) -> None:
        raise ValueError(word)

    return json.loads(text, parse_constant=refuse)


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_every_value_is_printed_as_json_that_any_parser_reads_with_numbers_as_numbers(value):
    with pytest.MonkeyPatch.context() as patched:
        written = []
        patched.setattr(output.sys, "stdout", SimpleNamespace(write=written.append))
        output.print_json({"value": value})
    held(value, strictly("".join(written))["value"])


def held(value, read) -> None:
    match value:
        case bool() | None | str():
            assert read is value or read == value
        case float():
            assert (read is None) if not math.isfinite(value) else read == value
        case int() | Decimal():
            assert isinstance(read, int | float)
            assert read == value or read == pytest.approx(float(value))
        case list():
            for one, other in zip(value, read, strict=True):
                held(one, other)
        case dict():
            for key, each in value.items():
                held(each, read[key])
        case dt.date():
            assert type(value).fromisoformat(read) == value


def frame(**columns) -> pl.DataFrame:
    return pl.DataFrame(columns, strict=False)


def test_times_of_a_frame_keep_their_nanoseconds_and_sums_of_whole_numbers_are_whole(capsys):
    at = pl.Series([1_790_083_878_118_318_297]).cast(pl.Datetime("ns", "UTC"))
    output.write_frame(frame(at=at, sum=pl.Series([45_205], dtype=pl.Decimal(38, 0)), day=[dt.date(2026, 9, 22)], x=[math.nan]), "json")
    [row] = strictly(capsys.readouterr().out)
    assert row == {"at": "2026-09-22T13:31:18.118318297+00:00", "sum": 45_205, "day": "2026-09-22", "x": None}


def test_csv_holds_lists_and_structs_as_json(capsys):
    output.write_frame(frame(some=[[1.5, math.inf]], inside=[{"a": "x"}], none=[None]), "csv")
    assert capsys.readouterr().out == 'some,inside,none\n"[1.5, null]","{""a"": ""x""}",\n'


@pytest.mark.parametrize("text", ["[abc]", "[/x]", "[bold]x[/bold]", ":smile:", "a\\[b"])
def test_what_is_in_a_cell_or_a_name_is_text_and_no_markup(capsys, text):
    output.print_table(frame(**{text: [text]}), title=text)
    assert capsys.readouterr().out.count(text) == 3


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(("columns", "rows"), [(3, 4), (20, 1), (20, 9)])
def test_no_figure_is_broken_on_a_terminal_of_any_width(capsys, monkeypatch, width, columns, rows):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(output.sys.stdout, "isatty", lambda: True, raising=False)
    figures = {f"figure_{k}": [1_234_567.25 + k + row for row in range(rows)] for k in range(columns)}
    output.print_table(frame(**figures, said=["one word after the other " * 3] * rows), title="All of them")
    lines = re.sub(r"\x1b\[\d*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= width
    for k in range(columns):
        for row in range(rows):
            assert any(f"{1_234_567.25 + k + row:,.2f}" in line for line in lines)


def test_a_pipe_gets_csv_where_no_format_is_asked_for(capsys):
    output.write_frame(frame(a=[1]), None)
    assert capsys.readouterr().out == "a\n1\n"
