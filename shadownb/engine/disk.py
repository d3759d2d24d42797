"""A full disk, told apart from every other failure of a write."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from shadownb.errors import DiskFullError


def is_full(error: BaseException) -> bool:
    """Return whether an error means that the disk is full."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    # safetensors reports a failed write as its own error type, with the number only in the text.
    return "No space left" in str(error) or "os error 28" in str(error)


@contextlib.contextmanager
def saving(target: Path) -> Iterator[None]:
    """Write ``target`` inside the block; raises DiskFullError where it does not fit."""
    try:
        yield
    except Exception as error:
        if not is_full(error):
            raise
        parent = next(path for path in (target, *target.parents) if path.exists())
        raise DiskFullError(
            f"{target} was not saved to its end: {shutil.disk_usage(parent).free / 1e9:.2f} GB are free there.",
            why="The model in memory is as it was, and so is what an earlier save left there.",
            fix="Free disk space or choose another disk, then save again.",
        ) from error
