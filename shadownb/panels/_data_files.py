"""Files for the Data panel: folders that it lists, and files that the page sends piece by piece."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shadownb.engine.data.readers import READERS
from shadownb.engine.disk import write_atomically
from shadownb.engine.messages.texts import shown
from shadownb.errors import DataError

LARGEST_UPLOAD = 64_000_000  # bytes; it is held in memory until it is whole
_LISTED = 300


def listing(folder: str) -> dict[str, Any]:
    """Return the folders and data files of a folder, folders first; hidden ones are left out.

    Raises
    ------
    DataError
        There is no such folder, or it may not be read.
    """
    path = Path(folder).expanduser() if folder else Path.cwd()
    try:
        path = path.resolve()
        entries = sorted(
            (entry for entry in path.iterdir() if not entry.name.startswith(".")),
            key=lambda entry: (not entry.is_dir(), entry.name.lower()),
        )
    except OSError as error:
        raise DataError(
            f"The folder {folder!r} cannot be listed: {error.strerror}.", fix="Choose another one."
        ) from None
    wanted = [entry for entry in entries if entry.is_dir() or entry.suffix.lower() in READERS]
    return {
        "folder": str(path),
        "parent": str(path.parent) if path.parent != path else "",
        "home": str(Path.cwd().resolve()),
        "entries": [_entry(each) for each in wanted[:_LISTED]],
        "more": max(0, len(wanted) - _LISTED),
        "others": len(entries) - len(wanted),
        "kinds": list(READERS),
    }


def _entry(path: Path) -> dict[str, Any]:
    try:
        size = None if path.is_dir() else path.stat().st_size
    except OSError:  # it has gone meanwhile
        size = None
    return {"path": as_said(path), "name": shown(path.name), "folder": path.is_dir(), "size": size}


def as_said(path: Path) -> str:
    """Return a path as code says it: from the notebook's folder where it lies in there."""
    here = Path.cwd().resolve()
    return str(path.relative_to(here)) if path.is_relative_to(here) and path != here else str(path)


class Upload:
    """A file that arrives in pieces. It is kept in memory, so that one that breaks off leaves nothing behind."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget what came."""
        self._id, self._name, self._size, self._held = "", "", 0, bytearray()

    def state(self) -> dict[str, Any]:
        """Return what the page shows."""
        return {
            "id": self._id,
            "name": shown(self._name),
            "done": len(self._held),
            "size": self._size,
            "largest": LARGEST_UPLOAD,
            "kinds": list(READERS),
        }

    def take(self, told: Mapping[str, Any], piece: bytes) -> Path | None:
        """Take a piece; return where the file lies once it is whole.

        Raises
        ------
        DataError
            It is too large, of a kind that is not read, or a piece is missing.
        OSError
            The notebook's folder cannot be written.
        """
        identity, at = str(told.get("id")), int(told.get("at", 0))
        if at == 0:
            self._begin(identity, str(told.get("name", "")), int(told.get("size", 0)))
        if identity != self._id or at != len(self._held) or at + len(piece) > self._size:
            raise DataError("A piece of the file is missing.", fix="Send it again.")
        self._held += piece
        if len(self._held) < self._size:
            return None
        path = Path(as_said(_put(Path.cwd().resolve(), self._name, bytes(self._held))))
        self.clear()
        return path

    def _begin(self, identity: str, name: str, size: int) -> None:
        self.clear()
        plain = Path(name.replace("\\", "/")).name
        if Path(plain).suffix.lower() not in READERS:
            raise DataError(f"{shown(plain)}: this kind of file is not read.", fix=f"Send one of {', '.join(READERS)}.")
        if size > LARGEST_UPLOAD:
            raise DataError(
                f"{shown(plain)} has {size / 1e6:,.0f} MB; the page sends at most {LARGEST_UPLOAD / 1e6:,.0f} MB.",
                fix="Put it into the notebook's folder with Jupyter's own file browser, then open it by its path.",
            )
        if size == 0:
            raise DataError(f"{shown(plain)} is empty.", fix="Send a file with rows.")
        self._id, self._name, self._size = identity, plain, size


def _put(folder: Path, name: str, content: bytes) -> Path:
    """Write a file under its name; where another one has it, under the next that is free. The same content is not written twice."""
    stem, suffix = Path(name).stem, Path(name).suffix
    path, number = folder / name, 1
    while path.exists():
        if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
            return path
        path, number = folder / f"{stem}-{number}{suffix}", number + 1
    write_atomically(path, content)
    return path
