"""Deleting a person from runs: rows of their data, samples, and what records and journals say; what learned from it is marked.

A run whose rows were deleted cannot go on, since it would be trained on other rows than it began with. Its record says so
(``erased``), and so does that of every run that started from it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from pathlib import Path
from typing import Any

from shadownb.engine.disk import write_atomically
from shadownb.engine.privacy.erasing import Erased, Wanted
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.store import FolderStore
from shadownb.errors import RunError

_TEXTS = ("events.jsonl", "run.json", "config.yaml", "commands.jsonl", "marks.json")
_REFERENCES = ("dataset", "eval_dataset")


def erase(wanted: Wanted, home: Path, erased: Erased) -> None:
    """Delete a person from the runs of a home; see :class:`~shadownb.engine.privacy.erasing.Eraser`."""
    store = FolderStore(home)
    _empty_trash(store, erased)
    records: dict[str, dict[str, Any]] = {}
    for run in store.all():
        with contextlib.suppress(RunError):  # a record that cannot be read names no rows
            records[run.id] = run.record_as_written()
    left = _rows(wanted, home, erased.dry_run)
    taught = {
        run_id: count
        for run_id, record in records.items()
        if (count := sum(left[name][1] for name in _files_of(record) if name in left))
    }
    for run_id in [*taught, *_descendants(set(taught), records)]:
        erased.runs.append(run_id)
        if taught.get(run_id):
            erased.rows[run_id] += taught[run_id]
    for run_id in records:
        run = store.find(run_id)
        if run.is_owned():
            if run_id in erased.runs or _written_of(run, wanted):
                erased.notes.append(f"Run {run_id} is going on: stop it, and delete again.")
            continue
        erased.samples[run_id] += _samples(run, wanted, erased.dry_run)
        if erased.dry_run:
            continue
        if not _texts(run, wanted):
            erased.notes.append(f"In the folder of run {run_id} it is still written of; delete the run.")
        if run_id in erased.runs:
            _mark(run, left, taught.get(run_id, 0))
    if not erased.dry_run:
        for name in left:
            _let_go(store, home / "datasets" / name)


def _empty_trash(store: FolderStore, erased: Erased) -> None:
    trashed = store.trashed()
    if trashed:
        erased.notes.append(f"{len(trashed)} runs in the trash go for good, whatever they were trained on.")
    for run in trashed if not erased.dry_run else []:
        store.delete(run)


def _rows(wanted: Wanted, home: Path, dry_run: bool) -> dict[str, tuple[str, int, int]]:
    """Write the rows that are left of each file, and return by its name: the new name, and how many went and stay."""
    found: dict[str, tuple[str, int, int]] = {}
    for path in sorted((home / "datasets").glob("*.jsonl")):
        lines = path.read_bytes().splitlines(keepends=True)
        kept = [line for line in lines if not wanted.is_in_body(line)]
        if len(kept) == len(lines):
            continue
        text = b"".join(kept)
        name = f"{hashlib.sha256(text).hexdigest()}.jsonl"
        if not dry_run and kept:
            write_atomically(path.with_name(name), text.decode("utf-8"))
        found[path.name] = (name, len(lines) - len(kept), len(kept))
    return found


def _files_of(record: dict[str, Any]) -> list[str]:
    given = [record.get(name) for name in _REFERENCES]
    return [Path(str(each["path"])).name for each in given if isinstance(each, dict) and each.get("path")]


def _descendants(runs: set[str], records: dict[str, dict[str, Any]]) -> list[str]:
    """Return the runs that began where one of these had come to, or where one of those had."""
    found: list[str] = []
    known = set(runs)
    while True:
        new = [name for name, record in records.items() if name not in known and _ancestors(record) & known]
        if not new:
            return found
        found += new
        known.update(new)


def _ancestors(record: dict[str, Any]) -> set[str]:
    """Return the runs whose weights a run's record says that it started from."""
    start = (record.get("model") or {}).get("start") or {}
    checkpoint = Path(str(record.get("from_checkpoint") or ""))
    named = {record.get("parent"), (start.get("trained") or [None])[0]}
    if checkpoint.parent.name == "checkpoints":
        named.add(checkpoint.parent.parent.name)
    return {name for name in named if isinstance(name, str)}


def _samples(run: RunFolder, wanted: Wanted, dry_run: bool) -> int:
    """Take out samples and scored answers that name the person; answers of a batch that is not over go with their file."""
    taken = 0
    for path in run.samples.glob("*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        listed = "groups" if "groups" in content else "items"
        kept = [item for item in content[listed] if not wanted.is_in(json.dumps(item, ensure_ascii=False))]
        if len(kept) < len(content[listed]):
            taken += len(content[listed]) - len(kept)
            if not dry_run:
                write_atomically(path, json.dumps({**content, listed: kept}, ensure_ascii=False))
    for path in run.samples.glob("*.jsonl"):
        if wanted.is_in_body(path.read_bytes()):
            taken += 1
            if not dry_run:
                path.unlink(missing_ok=True)
    return taken


def _written_of(run: RunFolder, wanted: Wanted) -> bool:
    return any((run.path / name).is_file() and wanted.is_in_body((run.path / name).read_bytes()) for name in _TEXTS)


def _texts(run: RunFolder, wanted: Wanted) -> bool:
    """Take the person out of what the run's folder says beside rows and samples (a system prompt, a warning that quotes a row), and
    return whether nothing of them is left."""
    clean = True
    described = [path for name in ("shadownb.json", "trainer_state.json") for path in run.checkpoints.rglob(name)]
    for path in [run.path / name for name in _TEXTS] + described:
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8")
        lines = [text] if path.suffix == ".json" else text.splitlines(keepends=True)
        new = "".join(map(wanted.without, lines))
        if new != text:
            write_atomically(path, new)
        clean = clean and not wanted.is_in_body(new.encode("utf-8", "replace"))
    return clean


def _mark(run: RunFolder, left: dict[str, tuple[str, int, int]], rows: int) -> None:
    record = run.record_as_written()
    for name in _REFERENCES:
        reference = record.get(name)
        found = left.get(Path(str(reference["path"])).name) if isinstance(reference, dict) else None
        if found is not None and isinstance(reference, dict):
            reference |= {
                "path": str(Path(str(reference["path"])).with_name(found[0])).replace("\\", "/"),
                "sha256": found[0].removesuffix(".jsonl"),
                "rows": found[2],
                "erased": reference.get("erased", 0) + found[1],
            }
    before = record.get("erased") or {}
    record["erased"] = {"at": time.time(), "rows": before.get("rows", 0) + rows}
    write_atomically(run.record, json.dumps(record, indent=1, allow_nan=False))


def _let_go(store: FolderStore, path: Path) -> None:
    """Delete a file of rows, unless a run that goes on still reads it."""
    for run in store.all():
        with contextlib.suppress(RunError):
            if path.name in _files_of(run.record_as_written()):
                return
    path.unlink(missing_ok=True)
