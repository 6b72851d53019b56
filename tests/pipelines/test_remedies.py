"""A sentence that tells a user what to do names a command and options that exist."""

import re
from pathlib import Path

import pytest
import typer

from pipelines.cli import app

HOUSE = Path(__file__).parents[2]
SOURCES = [*(HOUSE / "assets").rglob("*.py"), *(HOUSE / "pipelines").rglob("*.py"), *(HOUSE / "docs").glob("*.md"), HOUSE / "README.md"]
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
MENTION = re.compile(r"(?:`|\$ |^    )tickline ([a-z]+)([^`\n]*)", re.MULTILINE)


def mentions() -> list[tuple[str, str, str]]:
    return [(path.relative_to(HOUSE).as_posix(), *found.groups()) for path in SOURCES for found in MENTION.finditer(path.read_text())]


def test_there_are_sentences_to_look_at() -> None:
    assert {command for _, command, _ in mentions()} >= {"demo", "make", "sql"}


@pytest.mark.parametrize("path", sorted({path for path, _, _ in mentions()}))
def test_every_command_that_is_named_exists_with_its_options(path: str) -> None:
    for where, command, rest in mentions():
        if where == path:
            assert command in COMMANDS, f"{path}: `tickline {command}`"
            known = {name for parameter in COMMANDS[command].params for name in (*parameter.opts, *parameter.secondary_opts)}
            # What stands in braces in a message is put there when it is told: the name of a partition's key.
            options = re.findall(r"(?<![\w{-])(--[a-z][a-z-]*)", rest)
            assert {*options} <= known | {"--help"}, f"{path}: `tickline {command}{rest}`"


@pytest.mark.parametrize("what", ["it", "them", "the", "that", "feature_table", "curve_model", "curve_statistics"])
def test_no_message_asks_for_what_only_the_ui_can_do(what: str) -> None:
    asked = re.compile(rf"materialise {what}\b")
    assert [path.relative_to(HOUSE).as_posix() for path in SOURCES if path.suffix == ".py" and asked.search(path.read_text())] == []
