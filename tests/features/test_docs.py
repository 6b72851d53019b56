"""docs/indicators.md says of each indicator what the code says."""

from pathlib import Path

import pytest

from assets.features.indicators import CLASSES

PAGE = Path(__file__).parents[2] / "docs" / "indicators.md"


def row(cls) -> str:
    formula = " ".join(cls.__doc__.split("\n\n")[0].split())
    values = ["; ".join(" ".join(f"{name} {value:g}" for name, value in setting.items()) for setting in cls.settings if setting)]
    where = [name for name, used in (("own", cls.defaults), ("leader", cls.leader_defaults)) if used]
    return f"| `{cls.stem}` | {formula} | {cls.unit} | {values[0]} | {', '.join(where)} |"


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.stem)
def test_the_page_has_the_indicators_line(cls):
    assert row(cls) in PAGE.read_text().splitlines()


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.stem)
def test_the_docstring_names_a_source(cls):
    assert "Source: " in cls.__doc__
