"""The exact tokens a model sees for one row, and which of them are trained, as HTML, as text and as data.

Trained tokens carry two marks, a tint and an underline, so that colour is never the only sign. Colours are translucent
and text inherits, so that the same markup works on light and dark pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from shadownb.engine.rendering.masks import NOT_TRAINED, Rendered
from shadownb.engine.rendering.renderer import Renderer
from shadownb.engine.rendering.tokenizer import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shadownb.engine.rendering.masks import LossOn

HTML_TOKENS = 4000
_NAMED = 4  # sequences whose captions stand in the summary

_BOX = "font-family:monospace;white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.9;color:inherit;max-width:100ch"
_TOKEN = "border-right:1px dotted rgba(128,128,128,.6)"
_TRAINED = (
    "background:rgba(46,160,67,.28);color:inherit;text-decoration:underline;text-decoration-thickness:2px;"
    "text-underline-offset:3px"
)
_SPECIAL = "font-weight:bold;opacity:.75"


class Token(NamedTuple):
    """One token.

    Attributes
    ----------
    id
        Its id in the vocabulary.
    text
        Its text; where several tokens make one character the first carries it and the others are empty.
    trained
        Whether the loss counts it.
    special
        Whether it is a control token.
    """

    id: int
    text: str
    trained: bool
    special: bool = False


@dataclass(frozen=True)
class Inspection:
    """The tokens of one row as the model gets them, over all its sequences.

    Attributes
    ----------
    sequences
        One list of tokens a sequence; more than one where the chat template rewrites earlier turns, where a text is
        split, and for the two answers of a preference pair.
    captions
        What each sequence is (``chosen``, ``rejected``, ``desirable``, ``part 1``, ...); empty where that goes without
        saying.
    truncated_tokens
        Tokens cut off by the length limit.
    skipped_turns
        Turns that cannot be trained because the template never shows them as a reply.
    left_out
        What the template leaves out of the row.
    template_source, template_reason
        Which chat template was used and why.
    row
        The position of the row in its data set, where it has one.
    """

    sequences: tuple[tuple[Token, ...], ...]
    truncated_tokens: int = 0
    skipped_turns: int = 0
    template_source: str = ""
    template_reason: str = ""
    loss_on: str = "assistant"
    row: int | None = None
    captions: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def tokens(self) -> list[Token]:
        """All tokens as (id, text, trained, special)."""
        return [token for sequence in self.sequences for token in sequence]

    @property
    def trained_tokens(self) -> int:
        """How many tokens the loss counts."""
        return sum(token.trained for token in self.tokens)

    @property
    def summary(self) -> str:
        """One line with the counts."""
        parts = [f"{len(self.tokens):,} tokens, {self.trained_tokens:,} trained (loss on {self.loss_on})"]
        if self.row is not None:
            parts.insert(0, f"row {self.row}")
        if any(self.captions):
            more = ["..."] if len(self.captions) > _NAMED else []
            parts.append(f"{len(self.sequences)} sequences: {', '.join([*self.captions[:_NAMED], *more])}")
        elif len(self.sequences) > 1:
            parts.append(f"{len(self.sequences)} sequences, because the template rewrites earlier turns")
        if self.truncated_tokens:
            parts.append(f"{self.truncated_tokens:,} cut off by the length limit")
        if self.skipped_turns:
            parts.append(f"{self.skipped_turns} turn{'s' if self.skipped_turns > 1 else ''} cannot be trained")
        if self.left_out:
            parts.append(f"the template leaves out {', '.join(self.left_out)}")
        return "; ".join(parts)

    def __str__(self) -> str:
        texts = [
            (f"{caption}:\n" if caption else "") + _marked(sequence)
            for sequence, caption in zip(self.sequences, self._each_caption(), strict=True)
        ]
        legend = f"[[...]] is trained. Template: {self.template_source} ({self.template_reason})."
        return "\n".join([self.summary, legend, "", "\n---\n".join(texts)])

    def _each_caption(self) -> tuple[str, ...]:
        return self.captions or ("",) * len(self.sequences)

    def __repr__(self) -> str:
        return f"Inspection({self.summary})"

    def _repr_html_(self) -> str:
        return self.to_html()

    def to_html(self) -> str:
        """Return the tokens as HTML that needs no script and no style sheet."""
        boxes = "<hr>".join(
            (f"<strong>{escape(caption)}</strong>" if caption else "") + _html(sequence)
            for sequence, caption in zip(self.sequences, self._each_caption(), strict=True)
        )
        legend = (
            f'<div style="color:inherit;margin-bottom:.4em">{escape(self.summary)}. '
            f'<span style="{_TRAINED}">Underlined and tinted</span> is trained; '
            f'<span style="{_SPECIAL}">bold</span> is a control token; ↵ is a line break. '
            f"Template: {escape(self.template_source)} ({escape(self.template_reason)}).</div>"
        )
        label = escape(f"Tokens of a row: {self.summary}. Trained tokens are underlined.", quote=True)
        return f'<div class="shadownb-inspection" role="group" aria-label="{label}">{legend}{boxes}</div>'

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form for panels."""
        return {
            "sequences": [[list(token) for token in sequence] for sequence in self.sequences],
            "captions": list(self._each_caption()),
            "total": len(self.tokens),
            "trained": self.trained_tokens,
            "truncated": self.truncated_tokens,
            "skipped_turns": self.skipped_turns,
            "template_source": self.template_source,
            "template_reason": self.template_reason,
            "loss_on": self.loss_on,
            "row": self.row,
            "left_out": list(self.left_out),
            "summary": self.summary,
        }


def inspection_of(
    renderer: Renderer,
    row: dict[str, Any],
    captioned: Sequence[tuple[str, tuple[Rendered, ...]]],
    *,
    loss_on: LossOn,
    number: int | None = None,
) -> Inspection:
    """Return the inspection of a canonical row from what it is trained as: (caption, sequences) of each side."""
    sequences = [sequence for _, rows in captioned for sequence in rows]
    captions = [caption for caption, rows in captioned for _ in rows]
    return Inspection(
        sequences=tuple(_tokens(renderer.tokenizer, sequence) for sequence in sequences),
        truncated_tokens=sum(sequence.truncated_tokens for sequence in sequences),
        skipped_turns=sum(sequence.untrainable_turns for sequence in sequences),
        template_source=renderer.template_source,
        template_reason=renderer.template_reason,
        loss_on="all" if "text" in row else loss_on,
        row=number,
        captions=tuple(captions) if any(captions) else (),
        left_out=tuple(dict.fromkeys(str(drop) for sequence in sequences for drop in sequence.left_out)),
    )


def token_texts(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    """Return the text of each id; joined they are the text of the whole sequence."""
    texts: list[str] = []
    context = start = 0  # decode behind the token before, or word-start spaces get lost
    for end in range(1, len(ids) + 1):
        known = _decode(tokenizer, ids[context:start])
        grown = _decode(tokenizer, ids[context:end])
        if grown.endswith("\ufffd") and end < len(ids) and end - start < 4:
            texts.append("")  # a part of a character; the token that completes it shows it
            continue
        texts.append(grown[len(known) :])
        context, start = start, end
    return texts


def _decode(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    text = tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False) if ids else ""
    assert isinstance(text, str)
    return text


def _tokens(tokenizer: Tokenizer, rendered: Rendered) -> tuple[Token, ...]:
    control = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    texts = token_texts(tokenizer, rendered.input_ids)
    return tuple(
        Token(identifier, text, label != NOT_TRAINED, identifier in control)
        for identifier, text, label in zip(rendered.input_ids, texts, rendered.labels, strict=True)
    )


def _marked(sequence: Sequence[Token]) -> str:
    parts: list[str] = []
    inside = False
    for token in sequence:
        if token.trained != inside:
            parts.append("[[" if token.trained else "]]")
            inside = token.trained
        parts.append(token.text)
    return "".join(parts) + ("]]" if inside else "")


def _html(sequence: Sequence[Token]) -> str:
    spans = []
    for token in sequence[:HTML_TOKENS]:
        style = ";".join(
            part for part, on in ((_TOKEN, True), (_TRAINED, token.trained), (_SPECIAL, token.special)) if on
        )
        shown = escape(token.text).replace("\n", "↵\n") if token.text else "·"
        title = f"token {token.id}, {'trained' if token.trained else 'not trained'}"
        spans.append(f'<span style="{style}" title="{title}">{shown}</span>')
    if len(sequence) > HTML_TOKENS:
        spans.append(f"<em> and {len(sequence) - HTML_TOKENS:,} more tokens</em>")
    return f'<div style="{_BOX}">{"".join(spans)}</div>'
