"""Where a suite's data comes from: a folder of data, a package that carries it, or the hub; said where it is in none."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from shadownb.engine.home import home
from shadownb.errors import DataError

Rows = list[dict[str, Any]]


def folders() -> list[Path]:
    """Return the folders in which data of suites is looked for: ``SHADOWNB_DATA``, and ``suites/`` in the home."""
    given = os.environ.get("SHADOWNB_DATA")
    return [*([Path(given).expanduser()] if given else []), home() / "suites"]


def file(name: str, *, of: str, fix: str) -> Path:
    """Return where a file of a suite is, for example ``sql/questions_gen_sqlite.csv``.

    Raises
    ------
    DataError
        It is in none of the folders.
    """
    for folder in folders():
        if (folder / name).exists():
            return folder / name
    looked = ", ".join(str(folder / name) for folder in folders())
    raise DataError(f"The data of {of} is not here.", why=f"Looked for {looked}.", fix=fix)


def json_lines(path: Path) -> Rows:
    """Return the objects of a file with one a line.

    Only a newline ends one: ``splitlines`` would cut a text that holds U+2028, U+0085 or a form feed.
    """
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


def first_of(sources: Sequence[tuple[str, Callable[[], Rows]]], *, of: str, fix: str) -> Rows:
    """Return the rows of the first source that has them.

    Raises
    ------
    DataError
        None has; the reason of each is told.
    """
    failed = []
    for name, read in sources:
        try:
            return read()
        except (ImportError, OSError, DataError, ValueError, KeyError) as error:
            said = error.what if isinstance(error, DataError) else f"{type(error).__name__}: {error}"
            failed.append(f"{name}: {said.splitlines()[0]}")
    raise DataError(f"The data of {of} is not here.", why="; ".join(failed), fix=fix)


def from_hub(name: str, *, split: str, config: str | None = None) -> Rows:
    """Return a data set of the hub, or of its cache where there is no network."""
    from shadownb.engine.data import Dataset

    return [dict(row) for row in Dataset.from_hub(name, config, split=split).rows]
