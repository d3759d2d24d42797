"""What a Chat panel asks, as a cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shadownb.engine.loaded import as_trained

from . import _choices
from ._answers import SIDES, template_options
from ._asked import Opening
from ._code import chat_as_python
from ._dialogue import Dialogue


def chat_code(model: Any, dialogue: Dialogue, settings: dict[str, Any], names: Mapping[str, Any]) -> dict[str, str]:
    """Return the code that asks the newest question, or an example of one; the model is called as in ``names``."""
    opening = Opening.of(model, settings)
    if not dialogue.turns:
        dialogue = Dialogue()
        dialogue.add("Hello", settings.get("seed"), SIDES[:1], alone=False)
    turn = dialogue.turns[-1]
    known = model.trained_on if model is not None else None
    return {
        "python": chat_as_python(
            _choices.name_of(model, names) or "model",
            {side: dialogue.question(turn, side, opening) for side in turn["sides"]},
            {**settings, "seed": turn["seed"]},
            as_trained.trained_tools(known),
            template_options(model, settings),
        )
    }
