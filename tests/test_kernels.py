"""An edit of any compiled function starts a fresh cache: numba itself looks at the caller's file only."""

from pathlib import Path

import pytest

import assets

SOURCES = sorted(Path(assets.__file__).parent.rglob("*.py"))
MARKS = ("@kernel", "@part", "@njit", "def _step(")
COMPILED = [path for path in SOURCES if any(mark in path.read_text() for mark in MARKS)]


@pytest.mark.parametrize("path", COMPILED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_an_edit_of_a_kernel_names_another_folder(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    before = assets.kernel_cache(tmp_path)
    copy.write_bytes(path.read_bytes() + b"\n# edited\n")
    assert assets.kernel_cache(tmp_path) != before
