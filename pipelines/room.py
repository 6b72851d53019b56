"""How much room this process has: memory, before a file is read whole that may not fit; a disk, when it takes no more."""

import errno
import os
import re
import resource
import shutil
from pathlib import Path
from typing import Final

_MEMORY: Final = Path("/proc/meminfo")
_CONTAINER: Final = Path("/sys/fs/cgroup")

NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)
"""What the system says of a place that takes no file: full, read-only, or another user's."""


def no_room(error: OSError, place: Path) -> str:
    """A sentence about a place that takes no file: why, how much is free there, what to do."""
    there = place.absolute()
    while not there.is_dir():
        there = there.parent
    why = f"{place} cannot be written to: {error.strerror or error}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{why}, {shutil.disk_usage(there).free / 1e6:.0f} MB are free; make room there and run it again, what was published stays"
    return f"{why}; change its permissions"


def free_memory() -> int:
    """Bytes that this process may still take: of the machine, of its container and of its own limit the least."""
    rooms = [_machine(), *_container()]
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        rooms.append(limit)
    return min(rooms)


def _machine() -> int:
    told = re.search(r"MemAvailable:\s+(\d+) kB", _MEMORY.read_text()) if _MEMORY.is_file() else None
    return int(told[1]) * 1024 if told else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _container() -> list[int]:
    try:
        limit, used = ((_CONTAINER / name).read_text().strip() for name in ("memory.max", "memory.current"))
    except OSError:
        return []
    return [max(0, int(limit) - int(used))] if limit.isdigit() else []
