"""What lies on the disk: the folders of the home, and the hub's cache, with how much each takes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shadownb.engine.doctor.report import Line
from shadownb.engine.home import home
from shadownb.engine.models.catalog import catalog, hub_cache


@dataclass(frozen=True)
class Kind:
    """What a folder of the home holds: of one, of several; ``remove`` is how the user removes one of theirs on purpose."""

    folder: str
    one: str
    several: str
    remove: str = ""


KINDS = (
    Kind("runs", "run", "runs", "shadownb delete RUN"),
    Kind("captures", "capture", "captures", "shadownb capture delete NAME"),
    Kind("adapters", "saved adapter", "saved adapters", "delete its folder"),
    Kind(
        "facts",
        "state of edited facts",
        "states of edited facts",
        "save what you need with model.save, delete its folder",
    ),
    Kind("models", "converted model", "converted models", "delete its folder"),
    Kind("datasets", "set of rows", "sets of rows"),
    Kind("sweeps", "sweep", "sweeps", "delete its folder; its runs stay"),
    Kind("evaluations", "evaluation", "evaluations", "snb.evaluations.delete(NAME)"),
    Kind("curves", "learning curve", "learning curves", "delete its folder"),
    Kind("answers", "kept batch of answers", "kept batches of answers"),
)


@dataclass(frozen=True)
class Place:
    """One folder: how many of its kind it holds, and the bytes of all its files."""

    kind: Kind
    count: int
    size: int

    def __str__(self) -> str:
        return f"{self.count:,} {self.kind.one if self.count == 1 else self.kind.several}, {readable(self.size)}"


def places() -> list[Place]:
    """Return the folders of the home that hold something."""
    found = []
    for kind in KINDS:
        folder = home() / kind.folder
        if listed := entries(folder):
            found.append(Place(kind, len(listed), size_of(folder)))
    return found


def entries(folder: Path) -> list[Path]:
    """Return what a user would count in a folder: no hidden files, and of models and adapters the folders alone."""
    try:
        listed = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []
    return listed if folder.name in ("datasets", "answers") else [path for path in listed if path.is_dir()]


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder; what a link points to is somewhere else's."""
    if path.is_symlink() or path.is_file():
        return _bytes(path)
    return sum(_bytes(Path(folder) / name) for folder, _, names in os.walk(path) for name in names)


def readable(size: float) -> str:
    """Return bytes as a person reads them, in units of 1,000."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def lines() -> Iterator[Line]:
    """Say what is kept, and how much it takes."""
    kept = places()
    if not any(place.kind.folder == "models" for place in kept):
        yield Line("ok", "models", "none cached yet; the first load prepares one")
    for place in kept:
        if place.kind.folder == "models":
            names = ", ".join(path.name for path in entries(home() / "models"))
            yield Line("ok", "models", f"{names} ({readable(place.size)})", shared=_known_models(place))
        else:
            yield Line("ok", place.kind.folder, str(place))
    if hub_cache().is_dir():
        size = readable(size_of(hub_cache()))
        yield Line("ok", "hub cache", f"{size} in {hub_cache()}", shared=size)


def _known_models(place: Place) -> str:
    """Say which models of the catalog are there; others have names that are the user's."""
    names = {path.name for path in entries(home() / "models")}
    known = [info.name for info in catalog() if info.name in names]
    others = [f"{len(names) - len(known)} more"] if len(names) > len(known) else []
    return f"{', '.join([*known, *others])} ({readable(place.size)})"


def _bytes(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:  # gone meanwhile
        return 0
