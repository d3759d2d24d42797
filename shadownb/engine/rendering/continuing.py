"""What stands between a reply and the next one, as tokens: turns are only ever appended to what was sampled.

A conversation that is decoded and tokenised again has other tokens than those that the model sampled, and then probabilities of
tokens are compared that nobody sampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from shadownb.engine.messages import RowProblem, canonical_messages, canonical_tools
from shadownb.errors import DataError

if TYPE_CHECKING:
    from shadownb.engine.rendering.renderer import Renderer


def behind_reply(
    renderer: Renderer,
    messages: Sequence[dict[str, Any]],
    tools: Sequence[dict[str, Any]] | None = None,
) -> list[int]:
    """Return the tokens from the end of the last reply in a conversation to where the model goes on.

    Parameters
    ----------
    messages
        A conversation with a reply of the assistant's and something behind it.

    Raises
    ------
    DataError
        The template cannot show what stands behind the reply.
    """
    try:
        turns, schemas = canonical_messages(messages, allow_empty=True), canonical_tools(tools)
    except RowProblem as problem:
        raise DataError(f"These messages cannot be rendered: {problem}.", fix="Correct that message.") from None
    last = max(at for at, turn in enumerate(turns) if turn["role"] == "assistant")
    pieces = renderer.pieces(turns, schemas)
    places = [at for at, (_, index) in enumerate(pieces) if index == last]
    if not places:
        raise DataError(
            "The chat template shows a reply otherwise once the conversation goes on, so nothing can be appended to it.",
            fix="Use a model whose template keeps replies as they were generated, or load() it with thinking switched off.",
            code="template-refused",
        )
    return [token for ids, _ in pieces[places[-1] + 1 :] for token in ids]
