"""The markups of the families of models, and which of them a chat template uses.

A markup is active where its opening marker stands in the template or among the tokenizer's added tokens, so that a template
that was edited, or is not known by name, still gets its parser. ``<think>`` at the beginning of a reply and ``<tool_call>``
are always understood: most open models write them, and tuned ones learn them from rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

from shadownb.engine.replies import decoders
from shadownb.engine.replies.decoders import Call
from shadownb.engine.replies.pythonic import interpreter_calls, python_calls

Decoder = Callable[[str], list[Call]]


@dataclass(frozen=True)
class Frame:
    """A block that holds calls.

    Attributes
    ----------
    open, close
        The markers around it. Without a closing one it ends where another begins, or with the reply.
    decode
        Takes what is between them.
    parts
        Other markers inside, of which a tokenizer may have tokens of their own.
    """

    name: str
    open: str
    close: str
    decode: Decoder
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Span:
    """The markers around reasoning; ``first`` means that it can only begin a reply, so that a mention later is text."""

    open: str
    close: str
    first: bool = False


@dataclass(frozen=True)
class Markup:
    """How the replies of one chat template are written.

    Attributes
    ----------
    frames
        Blocks that hold calls.
    bare
        Reads a whole reply that is nothing but calls without any marker; None where there is no such thing.
    channels
        The replies are a sequence of messages with headers (gpt-oss, Muse); ``<|message|>`` ends a header.
    hidden
        Markers around the content that are no part of it.
    stops
        Tokens that end a reply beside the template's own stop token.
    """

    frames: tuple[Frame, ...]
    reasoning: tuple[Span, ...]
    bare: Decoder | None = None
    channels: bool = False
    hidden: tuple[str, ...] = ()
    stops: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What is understood, for a table: ``hermes``, ``lfm2``, ..."""
        bare = ("bare",) if self.bare else ()
        return ("channels",) if self.channels else (*(frame.name for frame in self.frames), *bare)

    def uses(self, token: str) -> bool:
        """Whether a special token's text is part of the markup, so that it must reach the parser."""
        return any(token in literal for literal in self._literals())

    def _literals(self) -> list[str]:
        found = [text for frame in self.frames for text in (frame.open, frame.close, *frame.parts)]
        found += [text for span in self.reasoning for text in (span.open, span.close)]
        return [*found, *self.hidden, *(_CHANNEL_TOKENS if self.channels else ())]

    def begins_inside(self, tail: str) -> Span | None:
        """Return the reasoning that a prompt ends in, or None."""
        for span in self.reasoning:
            _, mark, behind = tail.rpartition(span.open)
            if mark and not behind.strip():
                return span
        return None


_CHANNEL_TOKENS = (
    "<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|call|>", "<|return|>", "<|constrain|>", "<|eom|>", "<|eot|>",
)  # fmt: skip

HERMES = Frame("hermes", "<tool_call>", "</tool_call>", decoders.tagged_calls)

FRAMES = (
    Frame("gemma", "<|tool_call>", "<tool_call|>", decoders.gemma_calls, ('<|"|>', "<|tool_response>")),
    Frame("phi", "<|tool_call|>", "<|/tool_call|>", decoders.json_calls),
    Frame("llama", "<|python_tag|>", "", interpreter_calls),
    Frame("llama4", "<|python_start|>", "<|python_end|>", python_calls),
    Frame("mistral", "[TOOL_CALLS]", "", decoders.mistral_calls, ("[ARGS]", "[CALL_ID]")),
    Frame(
        "deepseek",
        "<｜tool▁calls▁begin｜>",
        "<｜tool▁calls▁end｜>",
        decoders.deepseek_calls,
        ("<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"),
    ),
    Frame(
        "kimi",
        "<|tool_calls_section_begin|>",
        "<|tool_calls_section_end|>",
        decoders.kimi_calls,
        ("<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>"),
    ),
    Frame("cohere", "<|START_ACTION|>", "<|END_ACTION|>", decoders.json_calls),
    Frame("minimax", "<minimax:tool_call>", "</minimax:tool_call>", decoders.invoke_calls),
    Frame(
        "functiongemma",
        "<start_function_call>",
        "<end_function_call>",
        partial(decoders.gemma_calls, quote="<escape>"),
        ("<escape>", "<start_function_response>"),
    ),
    Frame("nemotron", "<TOOLCALL>", "</TOOLCALL>", decoders.json_calls),
    Frame("olmo", "<function_calls>", "</function_calls>", python_calls),
    Frame("internlm", "<|action_start|>", "<|action_end|>", decoders.json_calls, ("<|plugin|>",)),
    Frame("seed", "<seed:tool_call>", "</seed:tool_call>", decoders.function_calls),
)


def _bare(body: str) -> list[Call]:
    """Read a reply that is nothing but calls: JSON, or Python's form, which Llama 3.2 uses for tools of the system text."""
    return python_calls(body) if re.match(r"\s*\[\s*[A-Za-z_][\w.]*\(", body) else decoders.json_calls(body, alone=True)


_LFM2 = ("<|tool_call_start|>", "<|tool_call_end|>")

_THINK = Span("<think>", "</think>", first=True)
_SPANS = (
    Span("[THINK]", "[/THINK]"),
    Span("<|START_THINKING|>", "<|END_THINKING|>"),
    Span("<|channel>thought", "<channel|>"),
    Span("<seed:think>", "</seed:think>"),
    Span("◁think▷", "◁/think▷", first=True),
)
_HIDDEN = (
    "<|START_RESPONSE|>", "<|END_RESPONSE|>", "<|START_TEXT|>", "<|END_TEXT|>", "<response>", "</response>",
    "<tool_calls>", "</tool_calls>", "<|tool_response>", "<start_function_response>",
)  # fmt: skip
_STOPS = ("<|eom_id|>", "<|tool_response>", "<start_function_response>")


def choose_markup(template: str, tokens: Collection[str] = (), *, written: str = "", escapes: bool = True) -> Markup:
    """Return the markup of a chat template.

    Parameters
    ----------
    template
        Its source.
    tokens
        The tokenizer's added tokens.
    written
        A call as the template writes it, to see calls that have no marker around them.
    escapes
        Whether strings of Python-style calls have escapes.
    """

    def used(marker: str) -> bool:
        return bool(marker) and (marker in template or marker in tokens)

    if used("<|message|>") and (used("<|channel|>") or "to=self<|message|>" in template):
        return Markup((), (), channels=True, stops=("<|call|>", "<|return|>"))
    python = partial(python_calls, escapes=escapes)
    frames = [HERMES, *(frame for frame in FRAMES if used(frame.open))]
    if used(_LFM2[0]):
        frames.append(Frame("lfm2", *_LFM2, python))
    begins = written.lstrip()
    bare: Decoder | None = None
    if not any(begins.startswith(frame.open) for frame in frames):
        bare = _bare if begins.startswith("{") else python if begins.startswith("[") else None
    if bare is None and "<|python_tag|>" in tokens:
        bare = _bare  # Llama 3.x, also where the template has no tools of its own
    return Markup(
        tuple(frames),
        (_THINK, *(span for span in _SPANS if used(span.open) or used(span.open.removesuffix("thought")))),
        bare,
        hidden=tuple(marker for marker in _HIDDEN if used(marker)),
        stops=tuple(token for token in _STOPS if token in tokens),
    )
