"""The order of a verb's words: the model first, then data; with one word it is the data, unless a model has that name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shadownb._verbs import completion
from shadownb._verbs.front_end import FrontEnd


def model_and_data(values: dict[str, Any], words: tuple[str, ...], front_end: FrontEnd, verb: str) -> None:
    """Add what stands in ``words`` to ``values`` as ``model`` and ``dataset``.

    Raises
    ------
    click.UsageError
        There are more than two words, one is given as an option too, or they stand the other way round.
    """
    if len(words) > 2:
        front_end.refuse(f"{verb} takes a model and data, not {len(words)} names: {' '.join(words)}")
    if len(words) == 1:
        alone = "model" if is_model(words[0], front_end) and "model" not in values else "dataset"
        named = {alone: words[0]}
    else:
        check_order(words, front_end, verb)
        named = dict(zip(("model", "dataset"), words, strict=False))
    for key, word in named.items():
        if key in values:
            front_end.refuse(f"the {key} is given twice: {word} and {values[key]}")
    values |= named


def check_order(words: tuple[str, ...], front_end: FrontEnd, verb: str) -> None:
    """Refuse data before a model, with the line that is right."""
    if len(words) > 1 and is_data(words[0], front_end) and not is_model(words[0], front_end):
        right = " ".join((words[1], words[0], *words[2:]))
        front_end.refuse(f"{verb} takes the model first: {front_end.prog} {verb} {right}")


def is_model(word: str, front_end: FrontEnd) -> bool:
    """Whether a word names a model: a variable, or one that is known by a short name."""
    return word in [*completion.variables_of(front_end.variables, "Model"), *completion.model_names()]


def is_data(word: str, front_end: FrontEnd) -> bool:
    """Whether a word names data: a variable that holds rows, a shipped set, or a file of rows."""
    known = [*completion.rows_variables(front_end.variables), *completion.data_names()]
    return word in known or Path(word).suffix in completion.DATA_SUFFIXES
