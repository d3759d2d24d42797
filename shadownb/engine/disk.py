"""Writing whole files or none, and a full disk, told apart from every other failure of a write."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from shadownb.errors import DiskFullError

_PATIENCE_SECONDS = 2.0
_POLL_SECONDS = 0.02


def is_full(error: BaseException) -> bool:
    """Return whether an error means that the disk is full."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    # SQLite and safetensors report a failed write as error types of their own, with the cause only in the text.
    return any(words in str(error) for words in ("No space left", "os error 28", "database or disk is full"))


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


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a small file completely or leave the old one.

    Raises
    ------
    DiskFullError
        The disk is full.
    """
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with open(aside, "wb") as file:  # the bytes that were hashed, on every system
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        put_in_place(aside, path)
    except OSError as error:
        if is_full(error):
            raise DiskFullError(
                f"{path} could not be written: the disk is full.",
                fix="Free disk space, or set SHADOWNB_HOME to a larger disk.",
            ) from error
        raise
    finally:
        aside.unlink(missing_ok=True)


def put_in_place(aside: Path, path: Path, *, on_windows: bool = os.name == "nt") -> None:
    """Rename a file over another one.

    Windows refuses that while somebody reads the old one, which takes an instant: it is tried again for two seconds.
    """
    end = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            aside.replace(path)
            return
        except PermissionError:
            if not on_windows or time.monotonic() > end:
                raise
        time.sleep(_POLL_SECONDS)


def open_to_append(path: Path) -> int:
    """Return the descriptor of a file that is appended to, made where there is none; bytes stay as they are on every system."""
    binary: int = getattr(os, "O_BINARY", 0)  # without it Windows writes two bytes for a line's end
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | binary, 0o644)


def sync_tree(folder: Path, *, on_windows: bool = os.name == "nt") -> None:
    """Have the system write a folder and all in it to the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "r+b" if on_windows else "rb") as file:  # Windows syncs what is open for writing alone
                os.fsync(file.fileno())
        else:
            sync_folder(path, on_windows=on_windows)
    sync_folder(folder, on_windows=on_windows)


def sync_folder(folder: Path, *, on_windows: bool = os.name == "nt") -> None:
    """Have the system write a folder's entries to the disk. Windows opens no folder; its file system logs them by itself."""
    if on_windows:
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's content, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
