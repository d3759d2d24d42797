"""``shadownb.json``: what ShadowNB writes beside weights, so that a folder says of itself what the weights cannot.

Its keys: ``files``, the names of the files that ``model.save`` wrote; ``trained_on``, what the rows had in common, so that the
model is asked as it was trained wherever it is loaded; ``made_of``, the hash of the base that an exported base was made of;
``trained``, the ``run`` and ``step`` that made them, and of a save also how that run stood then (``total_steps``, ``status``).
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from shadownb.engine import registry
from shadownb.engine.data.trained_on import TrainedOn
from shadownb.errors import RunError

RECORD = "shadownb.json"


def write(
    folder: Path,
    *,
    files: set[str] | None = None,
    trained_on: TrainedOn | None = None,
    trained: dict[str, Any] | None = None,
    made_of: str | None = None,
) -> Path:
    """Write the record of a folder and return its file; what is None is left out."""
    content: dict[str, Any] = {}
    if made_of is not None:
        content["made_of"] = made_of
    if files is not None:
        content["files"] = sorted(files - {RECORD})
    if trained is not None:
        content["trained"] = trained
    if trained_on is not None:
        content["trained_on"] = trained_on.to_dict()
    file = folder / RECORD
    file.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return file


def add_files(folder: Path, names: set[str]) -> Path:
    """Note in the record of a folder which files a save wrote, and return the record's file."""
    file = folder / RECORD
    file.write_text(json.dumps({**read(folder), "files": sorted(names - {RECORD})}, indent=1), encoding="utf-8")
    return file


def read(folder: Path) -> dict[str, Any]:
    """Return the record of a folder, or of the one that a single file of weights lies in; empty where there is none to be read."""
    try:
        content = json.loads(((folder.parent if folder.is_file() else folder) / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def files_in(folder: Path) -> set[str]:
    """Return which files of a folder the last save wrote, the record itself among them; empty where no save did."""
    names = read(folder).get("files")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return set()
    return {RECORD, *(name for name in names if name and name != ".." and Path(name).name == name)}


def trained_on(folder: Path) -> TrainedOn | None:
    """Return what the rows had in common that the weights of a folder were trained on; None where nothing says so.

    Checkpoints of before this was noted are looked up in the record of their run, or in its rows.
    """
    with contextlib.suppress(KeyError, TypeError, ValueError):
        return TrainedOn.from_dict(read(folder)["trained_on"])
    run = folder.resolve().parent.parent
    if folder.resolve().parent.name != "checkpoints" or not (run / "run.json").is_file():
        return None
    try:
        found: TrainedOn | None = registry.resolve("run_store", "folders")(run.parent.parent).find(run).trained_on
    except RunError:
        return None
    return found


def made_of(folder: Path) -> str | None:
    """Return the hash of the base that untrained weights in a folder were made of; None where nothing says so."""
    found = read(folder).get("made_of")
    return found if isinstance(found, str) else None


def run_of(folder: Path) -> str | None:
    """Return the id of the run that made the weights of a folder; None where nothing says so."""
    trained = read(folder).get("trained")
    found = trained.get("run") if isinstance(trained, dict) else None
    return found if isinstance(found, str) else None


def chat_template(folder: Path) -> str | None:
    """Return the chat template that stands beside saved weights, None where there is none."""
    file = folder / "chat_template.jinja"
    try:
        if file.is_file():
            return file.read_text(encoding="utf-8") or None
        kept = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8")).get("chat_template")
    except (OSError, ValueError):
        return None
    return kept if isinstance(kept, str) and kept else None
