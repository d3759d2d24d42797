"""An edit on the disk: the whole memory, written aside and put in place, so that a kill leaves the one before."""

from __future__ import annotations

import shutil
import uuid

from shadownb.engine.disk import saving, sync_tree
from shadownb.engine.facts.owner import Owner
from shadownb.engine.home import subfolder
from shadownb.engine.loaded import sidecar


def keep(model: Owner) -> None:
    """Write what a model carries after an edit, and have the next run start from there."""
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
