"""Where the assistant's turns lie in a rendered conversation.

A turn begins where the generation prompt before it ends, and ends with its stop token, so that what is trained is
exactly what is generated: the prompt of inference is a prefix of the training text. Both ends are checked against the
full text. A template that shows a turn differently once the conversation goes on (it drops reasoning, moves the system
text, ...) fails the check for that turn, and the caller renders the conversation up to that turn instead. Where even
then the template does not continue its own prompt, :mod:`replies` finds the turn's text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from shadownb.engine.rendering.control import unmark
from shadownb.engine.rendering.replies import reply_after
from shadownb.engine.rendering.templates import render_text
from shadownb.engine.rendering.tokenizer import Tokenizer

if TYPE_CHECKING:
    from shadownb.engine.rendering.stops import Stops


@dataclass(frozen=True)
class Layout:
    """A rendered conversation.

    Attributes
    ----------
    text
        The whole text.
    spans
        Message index to (start, end) in characters, for each assistant turn that can be trained in this text.
    borders
        Places inside control tokens that somebody wrote as text; no piece may reach over one.
    """

    text: str
    spans: dict[int, tuple[int, int]]
    borders: list[int] = field(default_factory=list)

    def turn(self, index: int) -> str:
        """Return the text of a turn with its stop token; empty where it cannot be trained in this text."""
        start, end = self.spans.get(index, (0, 0))
        return self.text[start:end]

    def pieces(self) -> list[tuple[str, int | None]]:
        """Return the text cut at spans and borders: (text, message index or None). Joined they are the text."""
        cut: list[tuple[str, int | None]] = []
        at = 0
        for index, (start, end) in [*sorted(self.spans.items()), (None, (len(self.text), len(self.text)))]:
            cut += [(part, None) for part in self._parts(at, start)]
            cut += [(part, index) for part in self._parts(start, end)]
            at = end
        return cut

    def _parts(self, start: int, end: int) -> list[str]:
        places = [start, *(border for border in self.borders if start < border < end), end]
        return [self.text[a:b] for a, b in pairwise(places) if b > a]


def lay_out(
    tokenizer: Tokenizer,
    template: str,
    messages: list[dict[str, Any]],
    tools: list[dict[str, Any]] | None,
    *,
    stops: Stops,
    prompt: bool = False,
    mark: str = "",
    bridge: bool = True,
    variables: dict[str, Any] | None = None,
) -> Layout:
    """Render a conversation and find the assistant turns in it.

    Parameters
    ----------
    stops
        What ends a turn.
    prompt
        End with the generation prompt.
    mark
        What :meth:`ControlTokens.guard` put into the messages.
    bridge
        Where the template does not continue its own prompt with the last turn, find the turn's text all the same.
    variables
        What else the template is told.
    """

    def write(part: list[dict[str, Any]], *, prompt: bool = False) -> str:
        return render_text(tokenizer, template, part, tools, prompt=prompt, variables=variables)

    text = write(messages, prompt=prompt)
    found: list[tuple[int, str, str]] = []  # index, prompt, turn
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        whole = index + 1 == len(messages) and not prompt
        try:
            before = write(messages[:index], prompt=True)
            after = text if whole else write(messages[: index + 1])
            reply = after[len(before) :] if after.startswith(before) else ""
            if bridge and whole and not reply and (reply := reply_after(before, messages, index, write)):
                text = before + reply  # what the template makes of a finished turn is not what is generated
        except Exception:  # the template refuses this beginning of a conversation: nobody can ask for this turn
            continue
        if reply:
            found.append((index, before, stops.cut(reply)))
    spans = {
        index: (len(before), stops.end(text, len(before) + len(turn)))
        for index, before, turn in found
        if turn and text.startswith(before) and text.startswith(turn, len(before))
    }
    return _unmarked(text, spans, mark)


def _unmarked(text: str, spans: dict[int, tuple[int, int]], mark: str) -> Layout:
    if not mark:
        return Layout(text, spans)
    clean = {
        index: (len(unmark(text[:start], mark)[0]), len(unmark(text[:end], mark)[0]))
        for index, (start, end) in spans.items()
    }
    whole, borders = unmark(text, mark)
    return Layout(whole, clean, borders)
