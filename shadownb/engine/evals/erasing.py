"""Deleting a person from what comparisons and evaluations keep.

Kept answers of comparisons are only a convenience: the files they stand in go whole. Of an evaluation the items that name the
person go, with what every model answered to them, and so do answers that name the person. A learning curve keeps what held-out
rows share, such as a customer: that goes, too.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from shadownb.engine.disk import write_atomically
from shadownb.engine.evals.evaluation.folder import EvaluationFolder
from shadownb.engine.jsontext import dumps
from shadownb.engine.privacy.erasing import DELETED, Erased, Wanted


def erase(wanted: Wanted, home: Path, erased: Erased) -> None:
    """Delete them; see :class:`~shadownb.engine.privacy.erasing.Eraser`."""
    for path in (home / "answers").glob("*.json"):
        if wanted.is_in_body(path.read_bytes()):
            erased.answers += 1
            if not erased.dry_run:
                path.unlink(missing_ok=True)
    for path in (home / "answers").glob("lm-eval-*.db"):
        if not erased.dry_run and wanted.is_in_body(path.read_bytes()):
            path.unlink(missing_ok=True)
    for path in home.glob("curves/*/curve.json"):
        if not erased.dry_run:
            _from_curve(path, wanted)
    for spec in sorted((*home.glob("evaluations/*/evaluation.json"), *home.glob("curves/*/points/*/evaluation.json"))):
        _from_evaluation(EvaluationFolder(spec.parent), wanted, erased)


def _from_evaluation(folder: EvaluationFolder, wanted: Wanted, erased: Erased) -> None:
    items = {path: path.read_bytes().splitlines(keepends=True) for path in (folder.path / "items").glob("*.jsonl")}
    gone = {
        (path.stem, _field(line, "id")) for path, lines in items.items() for line in lines if wanted.is_in_body(line)
    }
    events = folder.path / "events.jsonl"
    lines = events.read_bytes().splitlines(keepends=True) if events.exists() else []
    kept = [line for line in lines if not (_of_one(line, gone) or wanted.is_in_body(line))]
    if not gone and len(kept) == len(lines):
        return
    if folder.is_owned:
        erased.notes.append(f"The evaluation {folder.name} is going on: stop it, and delete again.")
        return
    erased.answers += sum(_field(line, "type") == "answer" for line in lines) - sum(
        _field(line, "type") == "answer" for line in kept
    )
    if erased.dry_run:
        return
    for path, given in items.items():
        left = [line for line in given if (path.stem, _field(line, "id")) not in gone]
        if len(left) < len(given):
            write_atomically(path, b"".join(left).decode("utf-8"))
    write_atomically(events, b"".join(kept).decode("utf-8"))
    (folder.path / "summary.json").unlink(missing_ok=True)


def _from_curve(path: Path, wanted: Wanted) -> None:
    """Take persons out of what held-out rows share; which rows share it stays, for intervals need that."""
    spec = json.loads(path.read_text(encoding="utf-8"))
    clusters = {name: str(value) for name, value in (spec.get("clusters") or {}).items()}
    named = dict.fromkeys(value for value in clusters.values() if wanted.is_in(value))
    if not named:
        return
    instead = {value: f"{DELETED} {number}" for number, value in enumerate(named, start=1)}
    told = {name: instead.get(clusters[name], value) for name, value in spec["clusters"].items()}
    write_atomically(path, dumps({**spec, "clusters": told}, indent=1))


def _of_one(line: bytes, gone: set[tuple[str, str]]) -> bool:
    return bool(gone) and (_field(line, "suite"), _field(line, "item")) in gone


def _field(line: bytes, name: str) -> str:
    with contextlib.suppress(ValueError, AttributeError):
        return str(json.loads(line).get(name, ""))
    return ""
