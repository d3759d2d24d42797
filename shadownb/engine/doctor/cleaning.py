"""Freeing disk: what can be made again, what was left half-written, and the trash. Never a listed run, an adapter or a capture.

Links are left alone, and so is whatever changed within the last hour, because somebody may be writing it, here or on another
machine that shares the home.
"""

from __future__ import annotations

import re
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from shadownb.engine.doctor.storage import Place, places, readable, size_of
from shadownb.engine.home import home
from shadownb.engine.models.catalog import catalog
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.state import ACTIVE
from shadownb.engine.runs.store import FolderStore
from shadownb.engine.sweeps.folder import folders as sweeps
from shadownb.errors import RunError

_QUIET_SECONDS = 3600.0
_FINISHED = ("succeeded", "discarded")
# As written by disk.write_atomically, the exporters of a capture, a conversion, a checkpoint, and a delete that was killed.
_HALF_WRITTEN = re.compile(r"\..+[.-][0-9a-f]{8}|\.writing-.+|\.deleted-.+")


@dataclass(frozen=True)
class Freeable:
    """Something that can go; ``why`` says why nothing is lost."""

    kind: str
    path: Path
    size: int
    why: str


@dataclass(frozen=True)
class Plan:
    """What would be freed, and what stays because it is the user's."""

    items: tuple[Freeable, ...]
    kept: tuple[Place, ...]

    @property
    def size(self) -> int:
        """Bytes that would be freed."""
        return sum(item.size for item in self.items)

    def __str__(self) -> str:
        width = max((len(item.kind) for item in self.items), default=0)
        rows = [f"  {item.kind:{width}}  {readable(item.size):>9}  {item.path}: {item.why}" for item in self.items]
        head = f"{readable(self.size)} can be freed:" if rows else "There is nothing to free."
        stay = [f"  {place}: {place.kind.remove}" for place in self.kept]
        return "\n".join([head, *rows, *(["Yours, and left alone; how to remove one:", *stay] if stay else [])])


def plan() -> Plan:
    """Look at the home of ``SHADOWNB_HOME``; nothing is changed."""
    items = freeable()
    converted = sum(item.kind == "converted model" for item in items)
    kept = [
        place
        for place in places()
        if place.kind.remove and not (place.kind.folder == "models" and converted == place.count)
    ]
    return Plan(tuple(items), tuple(kept))


def clean(planned: Plan) -> tuple[int, list[str]]:
    """Free what was planned and can still go; return the bytes freed, and what could not be removed and why.

    What began to be used between the question and its answer stays.
    """
    freed, problems = 0, []
    still = {item.path for item in freeable()}
    for item in planned.items:
        if item.path not in still:
            problems.append(f"{item.path} is in use now, and stays.")
            continue
        try:
            _remove(item)
            freed += item.size
        except (OSError, Timeout) as error:
            problems.append(f"{item.path} could not be removed: {error}")
    return freed, problems


def freeable() -> list[Freeable]:
    """Return what can go, the largest first."""
    if not home().is_dir():
        return []
    store = FolderStore(home())
    runs = store.all()
    status = [entry.status for entry in store.entries(runs)]
    active = [run for run, now in zip(runs, status, strict=True) if now in ACTIVE]
    unfinished = [run for run, now in zip(runs, status, strict=True) if now not in _FINISHED]
    found = [
        *_half_written(active),
        *_answers(),
        *_deleted(trashed := store.trashed()),
        *_rows_of_no_run([*runs, *trashed]),
        *_converted(unfinished),
    ]
    return sorted((item for item in found if not item.path.is_symlink()), key=lambda item: -item.size)


def _half_written(active: Sequence[RunFolder]) -> Iterator[Freeable]:
    busy = {run.path for run in active}
    for folder in _searched():
        for path in _listed(folder):
            if _HALF_WRITTEN.fullmatch(path.name) and not busy.intersection(path.parents) and _is_quiet(path):
                yield Freeable("half-written", path, size_of(path), "left by something that was killed")


def _searched() -> Iterator[Path]:
    """Yield the folders in which something is written aside before it is renamed."""
    root = home()
    yield root
    for name in ("models", "datasets", "answers", "adapters", "facts", "runs", "captures", "index"):
        yield root / name
    for name in ("runs", "captures", "adapters"):
        for folder in _listed(root / name):
            if folder.is_dir() and not folder.is_symlink() and not folder.name.startswith("."):
                yield from (folder, folder / "checkpoints", folder / "samples")


def _deleted(trashed: Sequence[RunFolder]) -> Iterator[Freeable]:
    for run in trashed:
        if _is_quiet(run.path):
            yield Freeable(
                "deleted run", run.path, size_of(run.path), f"restore({run.id!r}) of snb.runs brings it back"
            )


def _answers() -> Iterator[Freeable]:
    folder = home() / "answers"
    files = [path for path in _listed(folder) if not path.name.startswith(".")]
    if files and not folder.is_symlink() and all(map(_is_quiet, files)):
        size = sum(map(size_of, files))
        yield Freeable(
            "kept answers", folder, size, "a comparison that needs them asks again, and pays where the model is rented"
        )


def _rows_of_no_run(runs: Sequence[RunFolder]) -> Iterator[Freeable]:
    try:
        records = [*(run.record_as_written() for run in runs), *(sweep.spec for sweep in sweeps())]
        used = {Path(place).name for record in records for place in _rows_of(record)}
    except (RunError, TypeError, ValueError):  # whose rows they are is not known, as long as one record cannot be read
        return
    for path in _listed(home() / "datasets"):
        if path.suffix == ".jsonl" and path.name not in used and _is_quiet(path):
            yield Freeable("rows of no run", path, size_of(path), "a copy of rows whose runs were deleted")


def _rows_of(record: dict[str, Any]) -> Iterator[str]:
    for name in ("dataset", "eval_dataset"):
        place = record.get(name)
        if isinstance(place, dict) and isinstance(place.get("path"), str):
            yield place["path"]


def _converted(unfinished: Sequence[RunFolder]) -> Iterator[Freeable]:
    """Yield models that a package here carries; one that was converted from a file of the user's may be the only copy.

    A run that may go on opens its base where its record has it. Loading what a finished one trained makes the base again.
    """
    used = set()
    for run in unfinished:
        try:
            used.add(str(run.spec["model"]["source"]))
        except (RunError, KeyError, TypeError, AttributeError):  # what it needs is not known
            return
    for info in catalog():
        path = info.converted
        made_again = info.is_converted() and info.packaged_file() is not None
        if made_again and used.isdisjoint({str(path), str(path.resolve())}) and _is_quiet(path):
            yield Freeable("converted model", path, size_of(path), "the next load converts it again (half a minute)")


def _is_quiet(path: Path) -> bool:
    """Whether nothing in it changed for an hour."""
    inside = path.rglob("*") if path.is_dir() and not path.is_symlink() else ()
    try:
        newest: float = max(found.lstat().st_mtime for found in (path, *inside))
    except OSError:  # it goes just now
        return False
    return time.time() - newest >= _QUIET_SECONDS


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _remove(item: Freeable) -> None:
    if item.kind == "converted model":
        with FileLock(item.path.with_name(f".{item.path.name}.lock"), timeout=0):  # a load that converts it holds this
            aside = item.path.with_name(f".{item.path.name}-{uuid.uuid4().hex[:8]}")
            item.path.rename(aside)  # whole or gone, for whoever loads it meanwhile
            shutil.rmtree(aside)
    elif item.path.is_dir():
        shutil.rmtree(item.path)
    else:
        item.path.unlink()
