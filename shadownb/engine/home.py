"""Where ShadowNB keeps things: one folder, ``SHADOWNB_HOME`` or ``~/.shadownb``."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """Return the home folder; it holds ``models/``, ``datasets/``, ``runs/``, ``captures/``, ``answers/``, ``adapters/``."""
    return Path(os.environ.get("SHADOWNB_HOME") or "~/.shadownb").expanduser()


def subfolder(name: str) -> Path:
    """Return (and create) one of the folders below :func:`home`."""
    folder = home() / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
