"""An edit on the disk: the whole memory, written aside and put in place, so that a kill leaves the one before."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from pathlib import Path

from shadownb.engine.disk import saving, sync_tree
from shadownb.engine.facts.owner import Owner
from shadownb.engine.home import home, subfolder
from shadownb.engine.loaded import sidecar
from shadownb.engine.runs.store import FolderStore

KEPT = 3  # states of one model that stay: the one that it is at, and those before its last two edits
_FINISHED = ("succeeded", "discarded")


class Kept:
    """The states that one model has written, oldest first; those of other models and sessions are left alone."""

    def __init__(self) -> None:
        self._written: list[Path] = []

    def keep(self, model: Owner) -> None:
        """Write what a model carries after an edit, have the next run start from there, and remove what nobody goes back to."""
        parent = subfolder("facts")
        name = uuid.uuid4().hex[:12]
        aside, place = parent / f".writing-{name}", parent / name
        with saving(place), model.gate.inference():
            try:
                aside.mkdir()
                model.weights.save(aside)
                model.save_tokenizer(aside)
                sidecar.write(aside, trained_on=model.trained_on)
                sync_tree(aside)
                aside.rename(place)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
            model.edited(place)
        self._written.append(place)
        self._prune()

    def _prune(self) -> None:
        older = self._written[:-KEPT]
        needed = _needed() if older else set()
        for place in older:
            if place.resolve() in needed:
                continue
            aside = place.with_name(f".deleted-{place.name}")
            with contextlib.suppress(
                OSError
            ):  # Windows has none renamed that somebody reads; the next edit tries again
                if place.is_dir():
                    place.rename(aside)  # whole or gone, for whoever loads it meanwhile
                self._written.remove(place)
            shutil.rmtree(aside, ignore_errors=True)


def _needed() -> set[Path]:
    """Return the weights from which runs start that may still go on."""
    store = FolderStore(home())
    runs = store.all()
    status = {run.id: entry.status for run, entry in zip(runs, store.entries(runs), strict=True)}
    return {
        place.resolve()
        for run_id, places in store.starts().items()
        if status.get(run_id) not in _FINISHED
        for place in places
    }
