"""Deleting a person from the kept answers of comparisons, which are only a convenience: the files they stand in go whole."""

from __future__ import annotations

from pathlib import Path

from shadownb.engine.privacy.erasing import Erased, Wanted


def erase(wanted: Wanted, home: Path, erased: Erased) -> None:
    """Delete kept answers; see :class:`~shadownb.engine.privacy.erasing.Eraser`."""
    for path in (home / "answers").glob("*.json"):
        if wanted.is_in_body(path.read_bytes()):
            erased.answers += 1
            if not erased.dry_run:
                path.unlink(missing_ok=True)
