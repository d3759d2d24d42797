"""Scorers of a whole batch, in the shape that trl's trainers know: ``reward(prompts, completions, **columns) -> list``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from shadownb.engine.scoring.base import Sample
from shadownb.errors import ConfigError

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def takes_batches(scorer: Callable[..., Any]) -> bool:
    """Whether a scorer takes the completions of a whole batch."""
    try:
        parameter = inspect.signature(scorer).parameters.get("completions")
    except (TypeError, ValueError):
        return False
    return parameter is not None and parameter.kind in _BY_NAME


def call(scorer: Callable[..., Any], name: str, samples: Sequence[Sample]) -> Any:
    """Return what the scorer returns for all samples: it gets the columns that it names, or all where it has ``**more``.

    Prompts and completions are what they were given as, texts or lists of messages.

    Raises
    ------
    ConfigError
        It names a column that the rows do not have.
    """
    parameters = inspect.signature(scorer).parameters.values()
    columns = dict.fromkeys(column for sample in samples for column in sample.row)
    shown = {column: [sample.row.get(column) for sample in samples] for column in columns}
    shown["prompts"] = [sample.prompt if sample.given_prompt is None else sample.given_prompt for sample in samples]
    shown["completions"] = [sample.output if sample.given is None else sample.given for sample in samples]
    missing = [
        parameter.name
        for parameter in parameters
        if parameter.kind in _BY_NAME and parameter.default is inspect.Parameter.empty and parameter.name not in shown
    ]
    if missing and samples:
        raise ConfigError(
            f"The scorer {name} takes {', '.join(missing)}, and the rows have no such column.",
            why=f"They have {', '.join(columns) or 'none'}.",
            fix="Name a column of the rows, or let it take **columns.",
        )
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        return scorer(**shown)
    return scorer(**{parameter.name: shown[parameter.name] for parameter in parameters if parameter.name in shown})
