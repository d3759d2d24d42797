"""From what a user gives as data to the sets of a run: rows to train on, and rows (or a share of those) to evaluate on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from shadownb.engine.data import Dataset
from shadownb.engine.data import as_dataset as dataset_of
from shadownb.engine.data.beside import refusing_nothing
from shadownb.engine.objectives.base import EVERY_COLUMN
from shadownb.errors import ConfigError, DataError


def resolve_data(
    dataset: Any, eval_dataset: Any, seed: int, columns: Sequence[str] = ()
) -> tuple[Dataset, Dataset | None]:
    """Return (training data, evaluation data or None) from what the user gave.

    ``eval_dataset`` is None, rows, a Dataset, ``"auto"`` (a tenth), a share as number or ``"15%"``. ``columns`` are those that
    the method reads beside what a row says.
    """
    train = as_dataset(dataset, "dataset", columns)
    if eval_dataset is None:
        return train, None
    share = _share(eval_dataset)
    if share is None:
        return train, as_dataset(eval_dataset, "eval_dataset", columns)
    if len(train.valid_rows()) < 2:
        raise DataError(
            f"eval_dataset={eval_dataset!r}: {len(train.valid_rows())} usable row cannot be split.",
            fix="Give more rows, or no eval_dataset.",
        )
    return train.usable().split(share, seed=seed)  # or the few rows held out could be the bad ones


def as_dataset(value: Any, option: str, columns: Sequence[str] = ()) -> Dataset:
    """Return a Dataset with a usable row from whatever holds rows; see :func:`shadownb.engine.data.as_dataset`.

    ``columns`` are read by the method, so they make no row a bad one; a Dataset has been read already.
    """
    every = EVERY_COLUMN in columns
    data = dataset_of(value, option, ignore=() if every or isinstance(value, Dataset) else columns)
    if every:
        data = refusing_nothing(data)
    if not data.canonical_rows():
        raise DataError(
            f"{option}: none of its {len(data)} rows can be used.",
            why=str(data.report),
            fix="Correct the rows listed there.",
        )
    return data


def _share(value: Any) -> float | None:
    if isinstance(value, bool):
        raise ConfigError(f"eval_dataset={value!r} is neither data nor a share.", fix="Use 'auto', 0.1 or '15%'.")
    if isinstance(value, int | float):
        share = float(value)
    elif isinstance(value, str):
        if value == "auto":
            return 0.1
        found = re.fullmatch(r"\s*([0-9.]+)\s*(%?)\s*", value)
        try:
            share = float(found[1]) / (100 if found[2] else 1) if found else -1.0
        except ValueError:
            share = -1.0
        if not found or share < 0:
            raise ConfigError(
                f"eval_dataset={value!r} is neither 'auto' nor a share.",
                fix="Use 'auto', 0.1 or '15%', or load the file: eval_dataset=Dataset.load(path).",
            )
    else:
        return None
    if not 0 < share < 1:
        raise ConfigError(
            f"eval_dataset={value!r} must be between 0 and 1 (or 0% and 100%).", fix="0.1 holds out a tenth."
        )
    return share


def data_warnings(train: Dataset, held_out: Dataset | None) -> list[tuple[str, str]]:
    """Return (what, why) for each set with rows that are left out."""
    return [
        (f"{len(report.bad):,} of {report.total:,} rows of {name} cannot be used and are left out.", report.summary())
        for name, data in (("dataset", train), ("eval_dataset", held_out))
        if data is not None and (report := data.report).bad
    ]
