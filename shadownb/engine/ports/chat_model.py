"""Something that answers conversations: a loaded model or an endpoint, to whoever judges, evaluates, chats or routes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from shadownb.engine.inference import Reply

Message = dict[str, Any]


class ChatModel(Protocol):
    """Messages in, replies out; it knows no token ids, since an endpoint has none.

    Messages are those of OpenAI's API. A list of conversations is answered with a list in its order, as many at a time as is
    good for whoever answers. Options that it cannot honour are refused with a :class:`~shadownb.errors.ConfigError` and never
    ignored; a conversation that it cannot answer raises a :class:`~shadownb.errors.ShadowError`.
    """

    def chat(
        self,
        messages: Sequence[Sequence[Message]],
        tools: list[dict[str, Any]] | None = None,
        **sampling: Any,
    ) -> list[Reply]:
        """Return the reply to each conversation.

        Parameters
        ----------
        tools
            Schemas that are offered in all of them.
        **sampling
            ``max_new_tokens, temperature, top_p, top_k, repetition_penalty, stop, seed, logprobs``, as far as it knows them. A
            model with a base beside it takes ``use="base"`` or ``"tuned"`` as well.
        """
