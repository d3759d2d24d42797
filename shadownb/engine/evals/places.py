"""Where what is kept by its name lies: one folder each in the home, named by whoever asked, or by the time."""

from __future__ import annotations

import re
import secrets
import time
from pathlib import Path

from shadownb.engine.home import subfolder
from shadownb.errors import ConfigError

_NAME = re.compile(r"[\w.-]{1,100}")


def place_of(kind: str, name: str | None) -> Path:
    """Return the folder of a name among those of a kind (``evaluations``), which need not be there yet; a new one without a name.

    Raises
    ------
    ConfigError
        The name cannot be that of a folder.
    """
    if name is None:
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    if not _NAME.fullmatch(name) or name.startswith("."):
        raise ConfigError(f"name={name!r} cannot be a folder's.", fix="Use letters, digits, '.', '_' and '-'.")
    return subfolder(kind) / name
