"""The page on data quality tells of every reason that the code knows."""

from pathlib import Path

import pytest

from assets.books.codes import REASONS

PAGE = (Path(__file__).parents[2] / "docs" / "data-quality.md").read_text()


@pytest.mark.parametrize("reason", REASONS[1:])
def test_every_reason_for_quarantine_is_explained(reason):
    assert f"| `{reason}`" in PAGE or f", `{reason}`" in PAGE
