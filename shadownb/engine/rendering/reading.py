"""The part of a Renderer that reads replies: which markup its template writes, proven with a call that it is asked to write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from shadownb.engine.inference.constraint import Constraint
from shadownb.engine.messages import canonical_tools
from shadownb.engine.rendering.call_form import CallForm, call_form
from shadownb.engine.rendering.styles import styled
from shadownb.engine.rendering.templates import TemplateChoice, render_text
from shadownb.engine.rendering.tokenizer import Tokenizer
from shadownb.engine.replies import (
    Markup,
    ParsedReply,
    Reader,
    choose_markup,
    collected,
    open_reader,
    parse_reply,
    parsers,
)
from shadownb.errors import ConfigError

# Has what templates of Python-style calls write differently: a quote, a backslash and a line break.
_ARGUMENTS = {"probe_text": "it's a\\b\nend"}
_TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "probe_call",
            "description": "Probe.",
            "parameters": {"type": "object", "properties": {"probe_text": {"type": "string", "description": "Probe."}}},
        },
    }
]
_CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {"id": "call_0badcafe", "type": "function", "function": {"name": "probe_call", "arguments": _ARGUMENTS}}
    ],
}


_TAIL_TOKENS = 24  # enough for what templates write behind the last turn


class Reading:
    """The part of a :class:`Renderer` that takes generated text apart."""

    tokenizer: Tokenizer
    _choice: TemplateChoice

    if TYPE_CHECKING:

        def render_prompt(self, messages: Sequence[dict[str, Any]]) -> list[int]: ...

    @cached_property
    def markup(self) -> Markup:
        """How the template writes reasoning and calls."""
        return markup_of(self.tokenizer, self._choice)

    @property
    def dropped_token_ids(self) -> frozenset[int]:
        """Control tokens that are no part of a reply's text. Those of the markup stay, because the parser needs them."""
        return frozenset() if parsers() else self._control_ids  # of a registered parser the tokens are not known

    @cached_property
    def _control_ids(self) -> frozenset[int]:
        special = {str(token) for token in self.tokenizer.all_special_tokens}
        control = {text for text, added in self._added_tokens().items() if added.special} | special
        return frozenset(
            identifier
            for text, identifier in self.tokenizer.added_tokens_encoder.items()
            if text in control and not self.markup.uses(text)
        )

    def _added_tokens(self) -> dict[str, Any]:
        return {token.content: token for token in self.tokenizer.added_tokens_decoder.values()}

    @cached_property
    def call_form(self) -> CallForm | None:
        """How the template writes a call, as a grammar; None where it has no calls, or writes none in JSON."""
        markers = [frame.open for frame in self.markup.frames]
        return call_form(_written_call(self.tokenizer, self._choice), markers)

    @cached_property
    def special_tokens(self) -> tuple[tuple[str, int], ...]:
        """The tokens that are added to the vocabulary, as (text, id): a grammar names them by their ids."""
        return tuple((token.content, number) for number, token in self.tokenizer.added_tokens_decoder.items())

    def held(self, constraint: Constraint, prompt: Sequence[int]) -> Constraint:
        """Return the form that an answer to a prompt is held to: behind its reasoning, where the prompt has opened that.

        Raises :class:`ConfigError` where replies have headers, between which no form could be found.
        """
        if self.markup.channels:
            raise ConfigError(
                f"{constraint.kind}= cannot be held by a model that answers in channels.",
                fix="Say in the prompt which form you want, and check the answer.",
            )
        span = self.markup.begins_inside(self._tail(prompt))
        return constraint if span is None else replace(constraint, after=span.close)

    def open_reader(
        self,
        prompt: Sequence[int] | None = None,
        tools: Sequence[dict[str, Any]] | None = None,
        *,
        calls: bool = True,
    ) -> Reader:
        """Return the reader that takes a reply apart while it is written.

        Parameters
        ----------
        prompt
            The prompt's token ids: where it opens the reasoning, the reply begins inside it. None takes a usual prompt's.
        tools
            The tools that were offered: they give arguments their types, and tell calls without markup from JSON. None
            where they are not known, empty where there were none.
        calls
            False leaves calls in the content, as they were written.
        """
        tail = self._usual_tail if prompt is None else self._tail(prompt)
        schemas = None if tools is None else canonical_tools(tools)
        return open_reader(self.markup, tail=tail, tools=schemas, calls=calls)

    def parse_reply(
        self, text: str, tools: Sequence[dict[str, Any]] | None = None, *, prompt: Sequence[int] | None = None
    ) -> tuple[str, list[dict[str, Any]]]:
        """Return (content, tool calls) of generated text; each call is ``{"id", "name", "arguments"}``."""
        parsed = self.read_reply(text, tools, prompt=prompt)
        return parsed.content, parsed.tool_calls

    def read_reply(
        self,
        text: str,
        tools: Sequence[dict[str, Any]] | None = None,
        *,
        prompt: Sequence[int] | None = None,
        calls: bool = True,
    ) -> ParsedReply:
        """Take a whole reply apart, with its control tokens; parameters as in :meth:`open_reader`."""
        reader = self.open_reader(prompt, tools, calls=calls)
        parts = [*reader.feed(text), *reader.finish()]
        return collected(parts, reasoning_open=reader.reasoning_open)

    @cached_property
    def _usual_tail(self) -> str:
        return self._tail(self.render_prompt([{"role": "user", "content": "probe question"}]))

    def _tail(self, prompt: Sequence[int]) -> str:
        ids = list(prompt)[-_TAIL_TOKENS:]
        text: str = self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text


def markup_of(tokenizer: Tokenizer, choice: TemplateChoice) -> Markup:
    """Return the markup of the replies that a template writes."""
    tokens = set(tokenizer.added_tokens_encoder)
    written = _written_call(tokenizer, choice)
    found = [choose_markup(choice.text, tokens, written=written, escapes=escapes) for escapes in (True, False)]
    for markup in found:
        calls = parse_reply(written, markup, tools=_TOOLS).tool_calls
        if [call["arguments"] for call in calls] == [_ARGUMENTS]:
            return markup
    return found[0]


def _written_call(tokenizer: Tokenizer, choice: TemplateChoice) -> str:
    """Return the probe call as the template writes it; empty where it has none."""
    if choice.tool_style is None:
        return ""
    messages = styled([{"role": "user", "content": "probe question"}, _CALL], choice.tool_style)
    try:
        before = render_text(tokenizer, choice.text, messages[:1], _TOOLS, prompt=True)
        text = render_text(tokenizer, choice.text, messages, _TOOLS)
    except Exception:  # what a template raises is not ours to know
        return ""
    turn = text.removeprefix(before)
    ends = [
        at
        for token in tokenizer.all_special_tokens
        if (at := turn.rfind(token)) > 0 and not turn[at + len(token) :].strip()
    ]
    return turn[: min(ends)] if ends else turn
