"""What of the hub's models lies on this disk: whole or broken off, how large; and taking one away again."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from shadownb.engine.models.ahead import fetching
from shadownb.engine.models.catalog import find, hub_cache, is_whole
from shadownb.errors import BusyError, ModelNotFoundError


@dataclass(frozen=True)
class Cached:
    """A model in the hub's cache.

    Attributes
    ----------
    hub_id
        ``owner/name``.
    path
        Its folder in the cache.
    size
        Bytes on the disk.
    whole
        Whether all its weights are there; a download that broke off leaves a part.
    """

    hub_id: str
    path: Path
    size: int
    whole: bool


def cached_models() -> list[Cached]:
    """Return the models in the hub's cache that hold weights or a part of them, the largest first."""
    root = hub_cache()
    found = []
    for folder in sorted(root.glob("models--*--*")) if root.is_dir() else ():
        size = _size(folder)
        if size:
            hub_id = folder.name.removeprefix("models--").replace("--", "/", 1)
            found.append(Cached(hub_id, folder, size, is_whole(folder)))
    return sorted(found, key=lambda each: -each.size)


def forget(hub_id: str, in_use: Iterable[str] = ()) -> int:
    """Delete a model from the hub's cache and return how many bytes that freed; it is downloaded again when it is loaded.

    Parameters
    ----------
    in_use
        Sources of models that are loaded: their files may still be read.

    Raises
    ------
    ModelNotFoundError
        It is not in the cache.
    BusyError
        A loaded model is read from it, or it is being fetched.
    """
    if any(each.hub_id == hub_id for each in fetching()):
        raise BusyError(f"{hub_id!r} is being fetched.", fix="Stop that first.")
    found = cached_of(hub_id)
    if any(source == hub_id or Path(source).is_relative_to(found.path) for source in in_use):
        raise BusyError(f"{hub_id!r} is loaded.", fix="Unload it first: model.unload().")
    shutil.rmtree(found.path)
    return found.size


def cached_of(hub_id: str) -> Cached:
    """Return what the hub's cache holds of a model. Raises ModelNotFoundError where that is nothing."""
    found = next((each for each in cached_models() if each.hub_id == hub_id), None)
    if found is None:
        raise ModelNotFoundError(
            f"{hub_id!r} is not in the hub's cache.", fix="shadownb models cached lists what is there."
        )
    return found


def _size(folder: Path) -> int:
    """Return the bytes of a folder; links of snapshots to blobs are not counted twice."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # gone meanwhile
            total += path.lstat().st_size if path.is_file() and not path.is_symlink() else 0
    return total


def entry_of(cached: Cached) -> str | None:
    """Return the short name of a cached model, where the catalogue has it."""
    info = find(cached.hub_id)
    return info.name if info is not None else None
