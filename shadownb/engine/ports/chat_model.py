"""Something that answers conversations: a loaded model, an endpoint, or a class of yours (``compare(..., against=)``).

Suite: tests/ports/test_chat_model.py; tests/ports/toy_chat_model.py is the smallest one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, Self, Unpack

from shadownb.engine.inference import Reply
from shadownb.engine.inference.options import SamplingOptions
from shadownb.engine.replies import Part

Message = dict[str, Any]


class ReplyPieces(Protocol):
    """An answer while it is written: iterates over the pieces of its content, and closes itself as a context manager."""

    @property
    def reply(self) -> Reply | None:
        """The whole reply, as ``chat`` gives it, once it has ended or was stopped; before that None."""

    def parts(self) -> Iterator[Part]:
        """Iterate over all there is: pieces of ``content`` and ``reasoning``, whole calls and malformed ones."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> str: ...

    def close(self) -> None:
        """Stop it and return when nothing of it runs any more; later calls do nothing."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


class ChatModel(Protocol):
    """Messages in, replies out; it knows no token ids, since an endpoint has none.

    Messages are those of OpenAI's API. A list of conversations is answered with a list in its order, as many at a time as is
    good for whoever answers. Options that it cannot honour are refused with a :class:`~shadownb.errors.ConfigError` and never
    ignored. A conversation that it cannot answer raises a :class:`~shadownb.errors.ShadowError`; whoever has answered others
    by then, at a price, hands them over with it (:class:`~shadownb.errors.EndpointError`).

    Attributes
    ----------
    name
        What it is called where answers of several stand side by side.
    has_base
        Whether it has a base beside it, and takes ``use="base"`` or ``"tuned"``.
    """

    @property
    def name(self) -> str: ...
    @property
    def has_base(self) -> bool: ...

    def chat(
        self,
        messages: Sequence[Sequence[Message]],
        tools: list[dict[str, Any]] | None = None,
        *,
        should_stop: Callable[[], bool] | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> list[Reply]:
        """Return the reply to each conversation.

        Parameters
        ----------
        tools
            Schemas that are offered in all of them.
        should_stop
            Asked again and again; soon after it is true what has not ended is given as it is, with ``finish_reason``
            ``"cancelled"``.
        **sampling
            ``max_new_tokens, temperature, top_p, top_k, repetition_penalty, stop, seed, logprobs``, as far as it knows them, and
            ``use`` where it has a base.
        """

    def stream(
        self,
        prompt: Sequence[Message],
        tools: list[dict[str, Any]] | None = None,
        *,
        should_stop: Callable[[], bool] | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> ReplyPieces:
        """Answer one conversation piece by piece; joined, the pieces are the content of the reply."""
