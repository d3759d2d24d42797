"""Whether another process is at work, told by a lock that the operating system takes back however that process ends."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout


def is_held(path: Path) -> bool:
    """Return whether somebody, in whatever process, holds the lock of this file now; whoever looks holds it for an instant.

    A lock that nobody ever took has no file, and none is made. One that cannot be opened counts as free.
    """
    if not path.exists():
        return False
    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:
        return False
    lock.release()
    return False
