"""The lineage, floor above floor: ticks, books, features, curves, fills, reports.

Importing this package names the folder of compiled kernels before numba is imported. numba keeps
the old code of a function that was edited in another file than its cached caller, so the folder's
name carries a hash of every source that is compiled: an edit anywhere starts a fresh cache.
"""

import hashlib
import os
from pathlib import Path


def kernel_cache(folder: Path = Path(__file__).parent) -> str:
    """Where the compiled kernels of the sources below a folder are kept; a floor's own decorator is called `kernel`."""
    texts = [path.read_bytes() for path in sorted(folder.rglob("*.py"))]
    compiled = [text for text in texts if b"numba" in text or b"@kernel" in text]
    fingerprint = hashlib.sha256(b"\0".join(compiled)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return str(cache / "tickline" / "kernels" / fingerprint)


os.environ.setdefault("NUMBA_CACHE_DIR", kernel_cache())
