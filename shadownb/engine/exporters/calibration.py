"""Rows by which a quantiser weighs errors and a file is measured: rendered as the model was trained on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shadownb.engine.objectives import examples
from shadownb.engine.rendering import Rendered
from shadownb.engine.runs.data_arguments import as_dataset
from shadownb.engine.runs.folder import load_rows
from shadownb.engine.runs.store import default_store
from shadownb.errors import DataError, RunError

if TYPE_CHECKING:
    from shadownb.engine.loaded.model import LoadedModel


def rendered(model: LoadedModel, dataset: Any, *, marked: bool = False, most: int | None = None) -> list[Rendered]:
    """Return the token sequences of rows, each with its trained tokens marked, or with ``marked`` all of them.

    Raises
    ------
    DataError
        No row can be rendered.
    """
    limit = model.lengths.longest_row(None)
    found: list[Rendered] = []
    first: DataError | None = None
    for row in as_dataset(dataset, "dataset").canonical_rows():
        try:
            for example in examples(model.renderer, row, loss_on="assistant", max_length=limit):
                found += example.rows
        except DataError as error:
            first = first or error
        if most is not None and len(found) >= most:
            break
    if not found:
        raise first or DataError("dataset= has no rows.", fix="Give rows that the model was not trained on.")
    return [Rendered(row.input_ids, list(row.input_ids)) for row in found] if marked else found


def rows_of_run(model: LoadedModel, part: str = "dataset") -> list[dict[str, Any]] | None:
    """Return the rows that a model was trained on (``dataset``) or held out (``eval_dataset``); None where no run here tells."""
    if model.trained is None:
        return None
    try:
        reference = default_store().find(model.trained[0]).spec.get(part)
        return load_rows(reference) if reference else None
    except RunError:  # of another machine, deleted, or rows of it were
        return None
