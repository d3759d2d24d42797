"""Where ShadowNB keeps things: one folder, ``SHADOWNB_HOME`` or ``~/.shadownb``, which nobody but its owner can read."""

from __future__ import annotations

import os
from pathlib import Path

from shadownb.errors import ConfigError


def home() -> Path:
    """Return the home folder; it holds ``models/``, ``datasets/``, ``runs/``, ``captures/``, ``answers/``, ``adapters/``."""
    return Path(os.environ.get("SHADOWNB_HOME") or "~/.shadownb").expanduser()


def subfolder(name: str) -> Path:
    """Return (and create) one of the folders below :func:`home`.

    Raises
    ------
    ConfigError
        The home belongs to another user.
    """
    try:
        return make_private(home() / name)
    except PermissionError as error:
        raise not_yours(home() / name, error) from error


def make_private(folder: Path) -> Path:
    """Make a folder, and those above it that are missing, for their owner alone (0700), and return it.

    On a machine of several users the umask usually lets all of them read what one makes: rows, answers, recordings. One that
    exists stays as it is, because a team may share it on purpose; the doctor says when others can read it.
    """
    for each in (*reversed(folder.parents), folder):
        if not each.is_dir():
            each.mkdir(mode=0o700, exist_ok=True)
    return folder


def not_yours(folder: Path, error: OSError) -> ConfigError:
    """Return the error of a folder that cannot be made because of whose the one above it is."""
    return ConfigError(
        f"{folder} cannot be made: {error.strerror}.",
        why="The folder above it belongs to another user, or may not be written to.",
        fix="Set SHADOWNB_HOME to a folder of your own.",
    )


def others_can_read(folder: Path) -> bool:
    """Whether other users of the machine can look into a folder; on Windows the profile decides, so never here."""
    return os.name == "posix" and folder.is_dir() and bool(folder.stat().st_mode & 0o077)
