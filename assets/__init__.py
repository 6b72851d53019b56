"""The lineage, floor above floor: ticks, books, features, curves, fills, reports.

Importing this package names the folder of compiled kernels before numba is imported. numba keeps
the old code of a function that was edited in another file than its cached caller, so the folder's
name carries a hash of every source that is compiled: an edit anywhere starts a fresh cache.
"""

import hashlib
import os
from pathlib import Path

_MARKS = (b"numba", b"@kernel", b"@part", b"def _step(")
"""numba itself, the floors' own decorators, and the formula of an indicator, which is compiled where its class is made."""


def kernel_cache(folder: Path = Path(__file__).parent) -> str:
    """Where the compiled kernels of the sources below a folder are kept; what is compiled is told by `_MARKS`."""
    texts = [path.read_bytes() for path in sorted(folder.rglob("*.py"))]
    compiled = [text for text in texts if any(mark in text for mark in _MARKS)]
    fingerprint = hashlib.sha256(b"\0".join(compiled)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return str(cache / "tickline" / "kernels" / fingerprint)


os.environ.setdefault("NUMBA_CACHE_DIR", kernel_cache())
