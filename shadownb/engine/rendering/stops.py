"""What ends a reply: read from what a template writes behind one, never assumed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shadownb.engine.rendering.styles import styled
from shadownb.engine.rendering.templates import PROBE_CALL, PROBE_RESULT, PROBE_TOOLS, PROBE_USER, render_text
from shadownb.engine.rendering.tokenizer import Tokenizer

if TYPE_CHECKING:
    from shadownb.engine.rendering.templates import TemplateChoice

PROBE = "86420"  # has no case and no ends to strip, so that templates leave it alone


@dataclass(frozen=True)
class Stops:
    """The ends of an assistant's turn.

    Attributes
    ----------
    text
        What a template writes at the end of a text; "" where it writes nothing.
    call
        The same behind a tool call, where that is something else (gpt-oss: ``<|call|>``).
    next_turn
        Where no end is written, the tokens that begin the turn after it (GLM: ``<|user|>``, ``<|observation|>``): a model
        of such a template says them when it has finished.
    """

    text: str
    call: str = ""
    next_turn: tuple[str, ...] = ()

    @property
    def ends(self) -> tuple[str, ...]:
        """What a finished turn ends with."""
        return tuple(end for end in (self.text, self.call) if end)

    def cut(self, turn: str) -> str:
        """Cut a turn after its last stop token; what a template writes behind it is never generated."""
        found = [at + len(end) for end in self.ends if (at := turn.rfind(end)) >= 0]
        return turn[: max(found)] if found else turn.rstrip("\n")

    def end(self, text: str, at: int) -> int:
        """Return where a turn that was cut at ``at`` ends in the whole text: behind the token that begins the next one."""
        behind = next((token for token in self.next_turn if text.startswith(token, at)), "")
        return at + len(behind)

    def tokens(self, special: frozenset[str]) -> list[str]:
        """Return the token that ends each kind of turn; of several in a row the last."""
        ends = [_last(end, special) or end for end in self.ends]
        return [*ends, *self.next_turn]

    def closes(self, turn: str) -> bool:
        """Whether a turn says that it has ended."""
        return turn.endswith(self.ends + self.next_turn)


def find_stops(tokenizer: Tokenizer, choice: TemplateChoice, special: frozenset[str]) -> Stops:
    """Return what ends a turn of a template.

    Where it refuses or alters the probe, the tokenizer's end of sequence is assumed.

    Parameters
    ----------
    special
        The tokens that can be an end.
    """

    def tail(messages: list[dict[str, Any]], probe: str, tools: Any = None) -> str | None:
        style = choice.tool_style if tools else choice.style
        if style is None:
            return None
        try:
            text = render_text(tokenizer, choice.text, styled(messages, style), tools)
        except Exception:  # what a template raises is not ours to know
            return None
        _, found, behind = text.rpartition(probe)
        return behind if found else None

    answer = {"role": "assistant", "content": PROBE}
    behind = tail([PROBE_USER, answer], PROBE)
    if behind is None:
        return Stops(str(tokenizer.eos_token or ""))
    text = _through_eos(behind, _first(behind, special), special, tokenizer.eos_token)
    called = tail([PROBE_USER, PROBE_CALL], "Probeville", PROBE_TOOLS)
    call = "" if called is None or (text and text in called) else _last(called, special)
    if text:
        return Stops(text, call)
    answered = tail([PROBE_USER, answer, PROBE_USER], PROBE)
    resulted = tail([PROBE_USER, PROBE_CALL, PROBE_RESULT], "Probeville", PROBE_TOOLS)
    begins = [_begins(behind, answered, special), _begins(called, resulted, special)]
    return Stops("", call, tuple(dict.fromkeys(token for token in begins if token)))


def _begins(ended: str | None, goes_on: str | None, special: frozenset[str]) -> str:
    """Return the token with which the next turn begins: what stands behind the end of a turn when another follows."""
    if ended is None or goes_on is None:
        return ""
    ended = ended.rstrip("\n")
    return _next_turn(goes_on[len(ended) :].lstrip("\n"), special) if goes_on.startswith(ended) else ""


def _first(text: str, special: frozenset[str]) -> str:
    found = [(text.index(token), -len(token), token) for token in special if token in text]
    return min(found)[2] if found else ""


def _last(text: str, special: frozenset[str]) -> str:
    text = text.rstrip()
    return max((token for token in special if text.endswith(token)), key=len, default="")


def _next_turn(text: str, special: frozenset[str]) -> str:
    return next((token for token in special if text.startswith(token)), "")


def _through_eos(text: str, first: str, special: frozenset[str], eos: Any) -> str:
    """Return the first token, and those glued to it up to the end of sequence: models say all of them."""
    at = text.find(first) + len(first)
    while eos and not text[:at].endswith(eos):
        token = _next_turn(text[at:], special)
        if not token:
            return first
        at += len(token)
    return text[text.find(first) : at] if eos and first else first
