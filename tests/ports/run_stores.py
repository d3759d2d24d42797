"""A store of runs that keeps nothing and reads every folder each time, and run folders made without training."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shadownb.engine.config import TrainConfig
from shadownb.engine.data import Dataset
from shadownb.engine.ports.run_store import RunEntry
from shadownb.engine.processes import process_mark
from shadownb.engine.runs import Run
from shadownb.engine.runs.columns import read_columns, unreadable
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.journal import Journal
from shadownb.errors import RunNotFoundError, ShadowError

_numbers = itertools.count()


class PlainStore:
    """The runs of one home; what any other store says of it must be what this one says."""

    def __init__(self, home: str | Path) -> None:
        self.home = Path(home)

    def create(self, config: TrainConfig, record: dict[str, Any]) -> RunFolder:
        run = RunFolder(self.home / "runs" / f"20260101-{next(_numbers):06d}-{config.method}-toy", self)
        text = config.to_yaml()
        for folder in (run.samples, run.checkpoints):
            folder.mkdir(parents=True)
        run.options.write_text(text, encoding="utf-8")
        run.write_spec({"format": 1, "id": run.id, "given": sorted(config.model_fields_set), **record})
        return run

    def all(self) -> list[RunFolder]:
        found = [RunFolder(record.parent, self) for record in self.home.glob("runs/[!.]*/run.json")]
        return sorted(found, key=lambda run: run.launched, reverse=True)

    def active(self) -> list[RunFolder]:
        return [run for run in self.all() if Run(run).is_active]

    def find(self, run_id: Any, *, beginning: bool = False) -> RunFolder:
        name = Path(run_id).name if Path(run_id).parent == self.home / "runs" else str(run_id)
        exact = [run for run in self.all() if run.id == name]
        begun = [run for run in self.all() if beginning and run.id.startswith(name)]
        if len(found := exact or begun) != 1:
            raise RunNotFoundError(f"{len(found)} runs are {name!r}: {[run.id for run in found or self.all()]}")
        return found[0]

    def entries(self, runs: Sequence[RunFolder] | None = None) -> list[RunEntry]:
        return [_entry(run) for run in (self.all() if runs is None else runs)]

    def starts(self) -> dict[str, tuple[Path, ...]]:
        found = {}
        for run in self.all():
            try:
                spec = run.spec
            except ShadowError:
                spec = {}
            start = spec.get("model", {}).get("start")
            places = (start["path"] if start else None, spec.get("from_checkpoint"))
            found[run.id] = tuple(Path(place) for place in places if place is not None)
        return found

    def delete(self, run: RunFolder) -> None:
        shutil.rmtree(run.path)

    def columns(self, runs: Sequence[RunFolder] | None = None) -> list[dict[str, Any]]:
        return [read_columns(run) or unreadable(run) for run in (self.all() if runs is None else runs)]

    def trash(self, run: RunFolder) -> None:
        (self.home / "trash").mkdir(exist_ok=True)
        run.path.rename(self.home / "trash" / run.id)

    def trashed(self) -> list[RunFolder]:
        found = [RunFolder(record.parent, self) for record in self.home.glob("trash/*/run.json")]
        return sorted(found, key=lambda run: run.launched, reverse=True)

    def restore(self, run_id: str) -> RunFolder:
        if not (self.home / "trash" / run_id).is_dir():
            raise RunNotFoundError(run_id)
        (self.home / "trash" / run_id).rename(self.home / "runs" / run_id)
        return self.find(run_id)

    def store_rows(self, dataset: Dataset) -> dict[str, Any]:
        content = "".join(json.dumps(row) + "\n" for row in dataset.canonical_rows()).encode()
        path = self.home / "rows.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return {"sha256": hashlib.sha256(content).hexdigest(), "path": str(path), "name": dataset.name}


def _entry(run: RunFolder) -> RunEntry:
    try:
        summary = Run(run).to_dict()
    except ShadowError:
        summary = {"id": run.id, "status": "unreadable"}
    return RunEntry(run.id, summary["status"], summary)


def made(store: Any, *, steps: int = 3, ended: str | None = "succeeded", start: Path | None = None) -> RunFolder:
    """Return a run's folder as a training leaves it; without an end it broke off."""
    state = None if start is None else {"path": str(start), "trained": None}
    run: RunFolder = store.create(TrainConfig(max_steps=steps), {"model": {"name": "tiny", "start": state}})
    go_on(
        run,
        ("created", {"run_id": run.id}),
        ("launched", {"executor": "thread", "by": {**process_mark(), "started": 1.0}, "worker": None}),
        ("attempt", {"n": 1, "from_step": 0}),
        ("plan", {"total_steps": steps}),
        *(("step", {"step": step, "loss": 2.0 / step, "elapsed_s": 0.1 * step}) for step in range(1, steps + 1)),
    )
    if ended is not None:
        end(run, ended)
    return run


def end(run: RunFolder, status: str) -> None:
    """Note a run's end."""
    go_on(run, ("end", {"status": status, "result": None, "note": "", "error": None}))


def go_on(run: RunFolder, *events: tuple[str, dict[str, Any]]) -> None:
    """Append events, as the run's owner does."""
    journal = Journal(run.events)
    for kind, fields in events:
        journal.append(kind, **fields)
    journal.close()
