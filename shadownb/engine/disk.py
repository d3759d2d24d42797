"""Writing whole files or none, and a full disk, told apart from every other failure of a write."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import uuid
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


def write_atomically(path: Path, text: str) -> None:
    """Write a small file completely or leave the old one.

    Raises
    ------
    DiskFullError
        The disk is full.
    """
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with open(aside, "w", encoding="utf-8", newline="") as file:  # the bytes that were hashed, on every system
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        if is_full(error):
            raise DiskFullError(
                f"{path} could not be written: the disk is full.",
                fix="Free disk space, or set SHADOWNB_HOME to a larger disk.",
            ) from error
        raise
    finally:
        aside.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's content, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
