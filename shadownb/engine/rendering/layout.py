"""Where the assistant's turns lie in a rendered conversation.

A turn begins where the generation prompt before it ends, and ends with its stop token, so that what is trained is
exactly what is generated: the prompt of inference is a prefix of the training text. Both ends are checked against the
full text. A template that shows a turn differently once the conversation goes on (it drops reasoning, moves the system
text, ...) fails the check for that turn, and the caller renders the conversation up to that turn instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shadownb.engine.rendering.templates import render_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PROBE = "86420"  # has no case and no ends to strip, so that templates leave it alone


@dataclass(frozen=True)
class Layout:
    """A rendered conversation.

    Attributes
    ----------
    text
        The whole text.
    spans
        Message index to (start, end) in characters, for each assistant turn that can be trained in this text.
    """

    text: str
    spans: dict[int, tuple[int, int]]

    def turn(self, index: int) -> str:
        """Return the text of a turn with its stop token; empty where it cannot be trained in this text."""
        start, end = self.spans.get(index, (0, 0))
        return self.text[start:end]

    def pieces(self) -> list[tuple[str, int | None]]:
        """Return the text cut at the spans: (text, message index or None). Joined they are the text."""
        cut: list[tuple[str, int | None]] = []
        at = 0
        for index, (start, end) in sorted(self.spans.items()):
            if start > at:
                cut.append((self.text[at:start], None))
            cut.append((self.text[start:end], index))
            at = end
        if at < len(self.text):
            cut.append((self.text[at:], None))
        return cut


def find_stop(tokenizer: PreTrainedTokenizerBase, template: str) -> str:
    """Return the token a template writes after an assistant's text, or "" where it writes none.

    Where a template refuses or alters the probe, the tokenizer's end of sequence is assumed.
    """
    question = [{"role": "user", "content": "probe question"}]
    try:
        text = render_text(tokenizer, template, [*question, {"role": "assistant", "content": _PROBE}])
    except Exception:  # what a template raises is not ours to know
        return str(tokenizer.eos_token or "")
    _, probe, tail = text.rpartition(_PROBE)
    if not probe:
        return str(tokenizer.eos_token or "")
    found = [(tail.index(token), -len(token), token) for token in tokenizer.added_tokens_encoder if token in tail]
    return min(found)[2] if found else ""


def lay_out(
    tokenizer: PreTrainedTokenizerBase,
    template: str,
    messages: list[dict[str, Any]],
    tools: list[dict[str, Any]] | None,
    *,
    stop: str,
    prompt: bool = False,
    variables: dict[str, Any] | None = None,
) -> Layout:
    """Render a conversation and find the assistant turns in it.

    Parameters
    ----------
    stop
        The text of the stop token, from :func:`find_stop`.
    prompt
        End with the generation prompt.
    variables
        What else the template is told.
    """

    def render(part: list[dict[str, Any]], prompt: bool) -> str:
        return render_text(tokenizer, template, part, tools, prompt=prompt, variables=variables)

    text = render(messages, prompt)
    spans: dict[int, tuple[int, int]] = {}
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        try:
            before = render(messages[:index], True)
            whole = index + 1 == len(messages) and not prompt
            after = text if whole else render(messages[: index + 1], False)
        except Exception:  # the template refuses this beginning of a conversation: nobody can ask for this turn
            continue
        if not (text.startswith(before) and after.startswith(before)):
            continue
        turn = _until_stop(after[len(before) :], stop)
        if turn and text.startswith(turn, len(before)):
            spans[index] = (len(before), len(before) + len(turn))
    return Layout(text, spans)


def _until_stop(turn: str, stop: str) -> str:
    """Cut a turn after its last stop token; what a template writes behind it is never generated."""
    at = turn.rfind(stop) if stop else -1
    return turn[: at + len(stop)] if at >= 0 else turn.rstrip("\n")
