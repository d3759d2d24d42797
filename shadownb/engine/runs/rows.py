"""The rows of a run, as data: those that it was trained on, and those that it held out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from shadownb.engine.data import Dataset
from shadownb.engine.runs.folder import load_rows
from shadownb.errors import ConfigError, RunError

if TYPE_CHECKING:
    from shadownb.engine.runs.folder import RunFolder

Part = Literal["train", "held_out"]
_RECORDED = {"train": "dataset", "held_out": "eval_dataset"}


def rows_of(folder: RunFolder, part: Part = "train") -> Dataset:
    """Return rows of a run; see :func:`shadownb.runs.rows`."""
    if part not in _RECORDED:
        raise ConfigError(f"part={part!r} is no part of a run's rows.", fix="Use 'train' or 'held_out'.")
    reference = folder.spec.get(_RECORDED[part])
    if not reference:
        raise RunError(
            f"Run {folder.id} {'held no rows out' if part == 'held_out' else 'has no rows in its record'}.",
            fix="Take rows that it was not trained on." if part == "held_out" else "",
        )
    return Dataset.from_list(load_rows(reference), name=str(reference["name"]))
