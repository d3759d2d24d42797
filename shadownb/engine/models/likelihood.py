"""How likely a model finds rows, with nothing trained: the mean loss of their trained tokens, or each of given ones."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from shadownb.engine.inference import AdapterSource
from shadownb.engine.models.adapters import Asked, weights_asked
from shadownb.engine.objectives import examples
from shadownb.engine.ports.abilities import TellsTokens
from shadownb.engine.rendering import Rendered
from shadownb.engine.rendering.masks import NOT_TRAINED
from shadownb.engine.runs.data_arguments import as_dataset
from shadownb.errors import DataError, ModelError, ShadowWarning

if TYPE_CHECKING:
    from shadownb.engine.loaded.model import LoadedModel
    from shadownb.engine.rendering.examples import Example


def mean_loss(
    model: LoadedModel, dataset: Any, asked: Asked, loss_on: Literal["assistant", "last", "all"], max_length: int | None
) -> float:
    """Return the mean loss in nats a token; see :meth:`shadownb.Model.loss`."""
    model.require_loaded()
    model.catch_up()
    use = weights_asked(asked, model)
    renderer = model.renderer_of(use) if isinstance(use, AdapterSource) else model.renderer
    limit = model.lengths.longest_row(max_length)
    data = as_dataset(dataset, "dataset")
    rows = data.canonical_rows()
    found: list[Example] = []
    refused: list[DataError] = []
    for row in rows:
        try:
            found.extend(examples(renderer, row, loss_on=loss_on, max_length=limit))
        except DataError as error:
            refused.append(error)
    if len(refused) == len(rows):
        raise refused[0]
    if not any(sequence.predicted_tokens for example in found for sequence in example.rows):
        raise DataError(
            f"No row of {data.name!r} has a token to train, so there is no loss.",
            why=f"Each was empty or cut off at max_length={limit}, or has no turn for loss_on={loss_on!r}.",
            fix="Raise max_length, or look at the rows with dataset.inspect(model).",
        )
    if refused:
        _warn(
            f"{len(refused):,} of {len(rows):,} rows of {data.name!r} cannot be rendered and are left out; "
            f"the first: {refused[0].what}"
        )
    cut = sum(any(sequence.truncated_tokens for sequence in example.rows) for example in found)
    if cut:
        _warn(f"{cut:,} of {len(rows):,} rows of {data.name!r} are longer than max_length={limit} and are cut.")
    return model.backend.loss(model, found, use)


def token_scores(
    model: LoadedModel, rows: Sequence[tuple[Sequence[int], Sequence[int]]], asked: Asked
) -> list[list[tuple[float, bool]]]:
    """Return how likely a model finds given tokens: of each the log-probability in nats, and whether it is the likeliest there.

    Parameters
    ----------
    rows
        (tokens before, tokens that are meant), each of at least one token.

    Raises
    ------
    ModelError
        This model's backend does not tell it.
    """
    model.require_loaded()
    model.catch_up()
    if not isinstance(model.backend, TellsTokens):
        raise ModelError(
            f"backend={model.backend_name!r} tells no probabilities of given tokens.",
            fix="Load the model with backend='torch'.",
        )
    rendered = [Rendered([*before, *meant], [*[NOT_TRAINED] * len(before), *meant]) for before, meant in rows]
    return model.backend.token_scores(model, rendered, weights_asked(asked, model))


def _warn(text: str) -> None:
    warnings.warn(text, ShadowWarning, stacklevel=4)
