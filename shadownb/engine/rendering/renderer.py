"""Renderer: conversations to tokens and back, the same for training and inference.

1. A row becomes text by one chat template (:mod:`templates` says which and why).
2. The assistant's turns are found by position in that text (:mod:`layout`), never by token ids.
3. Turns and the text between them are encoded piece by piece, so that the tokens of a prompt are a prefix of the
   tokens that are trained. A control token that somebody wrote as text is text (:mod:`control`).
4. Rows are checked: what the rendered text does not show is an error or is counted, not a loss (:mod:`tools` for calls,
   schemas and results, :mod:`drops` for all that is said).
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from shadownb.engine.messages import RowProblem, canonical_messages, canonical_tools
from shadownb.engine.rendering.carrying import carrying
from shadownb.engine.rendering.control import ControlTokens
from shadownb.engine.rendering.drops import (
    WORDS,
    Drop,
    OnDrop,
    Sequences,
    find_changes,
    find_drops,
    refuse,
    refused_by,
    shape,
)
from shadownb.engine.rendering.encoding import Encoder
from shadownb.engine.rendering.layout import Layout, lay_out
from shadownb.engine.rendering.masks import LossOn, Rendered, labelled, wanted_turns
from shadownb.engine.rendering.reading import Reading
from shadownb.engine.rendering.stops import find_stops
from shadownb.engine.rendering.styles import styled
from shadownb.engine.rendering.templates import PROBE_TOOLS, choose_template, plain_turns
from shadownb.engine.rendering.tokenizer import Tokenizer
from shadownb.engine.rendering.told import Told
from shadownb.engine.rendering.tools import has_tools, require_tools
from shadownb.engine.rendering.variables import defaults_in
from shadownb.errors import DataError, ShadowWarning


class Renderer(Told, Reading):
    """One tokenizer and its chat template.

    Parameters
    ----------
    tokenizer
        One of transformers, or another that has what :class:`Tokenizer` says.
    chat_template
        A jinja template that replaces the tokenizer's own, for example one saved with an adapter.
    on_drop
        What happens where the template leaves out a part of a row; see ``on_template_drop`` of TrainConfig. ``bundled``
        takes a template that writes what this one leaves out.

    Attributes
    ----------
    variables
        What the template is told in training and in inference unless a call says otherwise, by its own names.
    """

    def __init__(self, tokenizer: Tokenizer, *, chat_template: str | None = None, on_drop: OnDrop = "auto") -> None:
        self.tokenizer = tokenizer
        self.on_drop: OnDrop = on_drop
        self._choice = choose_template(tokenizer, chat_template)
        if on_drop == "bundled":
            self._choice = carrying(tokenizer, self._choice)
        turns = plain_turns(tokenizer, self._choice.text, self._choice.style)
        self._control = ControlTokens(tokenizer, self._choice.text, turns)
        self._stops = find_stops(tokenizer, self._choice, self._control.special)
        self._encoder = Encoder(tokenizer)
        self.variables: dict[str, Any] = defaults_in(self._choice.text)  # of a template that a save wrote
        self._drops: dict[Any, tuple[Drop, ...]] = {}
        self._drops_told: set[str] = set()
        self._given = chat_template
        self._bundled: Renderer | None = None

    def __repr__(self) -> str:
        return f"Renderer(template from {self.template_source}: {self.template_reason})"

    @property
    def chat_template(self) -> str:
        """The jinja template in use; save it with an adapter."""
        return self._choice.text

    @property
    def template_source(self) -> str:
        """Where the template comes from: ``model``, ``given``, ``bundled``, ``model + bundled tools``, ..."""
        return self._choice.source

    @property
    def template_reason(self) -> str:
        """Why this template is in use."""
        return self._choice.reason

    @property
    def stop_token_ids(self) -> tuple[int, ...]:
        """The ids that end a reply: what the template writes behind a text and a call, and the end of sequence."""
        known = self.tokenizer.added_tokens_encoder
        stops = [self.tokenizer.convert_tokens_to_ids(token) for token in self._stops.tokens(self._control.special)]
        others = [known[token] for token in self.markup.stops if token in known]
        ids = [
            identifier for identifier in (*stops, self.tokenizer.eos_token_id, *others) if isinstance(identifier, int)
        ]
        return tuple(dict.fromkeys(ids))

    def under(self, on_drop: OnDrop) -> Renderer:
        """Return this renderer with another answer to what its template leaves out; see TrainConfig's on_template_drop."""
        if on_drop == self.on_drop or (self.on_drop == "bundled" and on_drop == "auto"):
            return self
        if on_drop == "bundled":
            if self._bundled is None:
                self._bundled = Renderer(self.tokenizer, chat_template=self._given, on_drop="bundled")
            self._bundled.variables = self.variables
            return self._bundled
        other = copy.copy(self)
        other.on_drop = on_drop
        return other

    def silent(self) -> Renderer:
        """Return this renderer for proofs: it renders whatever it can and tells nothing."""
        other = copy.copy(self)
        other.on_drop, other._drops_told = "leave_out", set(WORDS)
        return other

    @property
    def control_ids(self) -> frozenset[int]:
        """The ids of the tokens that give a conversation its form; what people write never becomes one of them."""
        return frozenset(self.tokenizer.convert_tokens_to_ids(sorted(self._control.all)))

    # -- training ------------------------------------------------------------------------------------------------

    def render(self, row: dict[str, Any], *, loss_on: LossOn = "assistant", max_length: int | None = None) -> Rendered:
        """Return the tokens and labels of a canonical row as one sequence.

        Parameters
        ----------
        row
            ``{"messages", "tools"?}`` or ``{"text"}``, as ``Dataset.canonical_rows`` gives them.
        loss_on
            ``assistant``: every assistant turn; ``last``: the last one; ``all``: every token.
        max_length
            Tokens to keep, counted from the start; None keeps all.

        Raises
        ------
        DataError
            If the row is of another form, the template refuses it, or a tool would not reach the model.

        Notes
        -----
        A text row is a document: control tokens in it are control tokens, since whoever wrote it wrote all of it, turns
        included. In messages they are text.

        Where the template shows an earlier turn differently from how it was generated, that turn is not trained here
        and counts in ``skipped_turns``. :meth:`render_all` trains it in a sequence of its own.
        """
        return self.render_all(row, loss_on=loss_on, max_length=max_length)[0]

    def render_all(
        self, row: dict[str, Any], *, loss_on: LossOn = "assistant", max_length: int | None = None
    ) -> tuple[Rendered, ...]:
        """Return every sequence that the row needs: one, or more where the template rewrites earlier turns.

        Together they train each wanted turn exactly once, on exactly the tokens of inference. Raises as :meth:`render`.
        """
        if isinstance(row.get("text"), str):
            return (labelled([(self._encoder.document(row["text"]), True)], max_length),)
        if "messages" not in row:
            raise DataError(
                f"A row with the columns {', '.join(map(str, row)) or '(none)'} cannot be rendered.",
                why="A row has messages or text here.",
                fix="Pass rows from dataset.canonical_rows(); preference rows belong to preference methods.",
            )
        messages, tools = row["messages"], row.get("tools")
        wanted = wanted_turns(messages, loss_on, row.get("train_from", 0))
        left_out = self.left_out(messages, tools, wanted)
        self._check(left_out)
        sequences = (
            [(self._lay_out(messages, tools), set[int](), messages)]
            if loss_on == "all"
            else self._sequences(messages, tools, wanted)
        )
        gone = {drop.message for drop in left_out}
        changed = {drop for layout, trained, part in sequences for drop in find_changes(part, layout, trained)}
        left_out += tuple(drop for drop in sorted(changed) if drop.message not in gone)
        self._check(left_out)
        if loss_on == "all":
            whole = labelled([(ids, True) for ids, _ in self._encode(sequences[0][0], messages)], max_length)
            return (replace(whole, left_out=left_out),)
        done: list[Rendered] = []
        remaining = set(wanted)
        for layout, trained, part in sequences:
            pieces = [(ids, index in trained) for ids, index in self._encode(layout, part)]
            done.append(labelled(pieces, max_length, skipped_turns=len(wanted) - len(trained)))
            remaining -= trained
        return (replace(done[0], untrainable_turns=len(remaining), left_out=left_out), *done[1:])

    def _check(self, left_out: tuple[Drop, ...]) -> None:
        if refused := refused_by(left_out, self.on_drop):
            raise refuse(refused, self.on_drop)

    def untrainable_turns(self, row: dict[str, Any], *, loss_on: LossOn = "assistant") -> int:
        """Return how many wanted turns no sequence can train: the template never offers them as a reply."""
        if "messages" not in row or loss_on == "all":
            return 0
        wanted = wanted_turns(row["messages"], loss_on, row.get("train_from", 0))
        sequences = self._sequences(row["messages"], row.get("tools"), wanted)
        return len(wanted) - sum(len(trained) for _, trained, _ in sequences)

    def left_out(self, messages: list[dict[str, Any]], tools: Any, wanted: set[int]) -> tuple[Drop, ...]:
        """Return the parts of a conversation that the template leaves out; ``wanted`` are the turns to train."""
        known = shape(messages, tools, wanted)
        if known not in self._drops:
            schemas = PROBE_TOOLS if tools else None
            try:
                self._drops[known] = find_drops(
                    messages, wanted, lambda probes: self._sequences(probes, schemas, wanted, check=False)
                )
            except DataError:  # it refuses such a conversation, which the row itself will say
                return ()
        return self._drops[known]

    def _sequences(
        self, messages: list[dict[str, Any]], tools: Any, wanted: set[int], *, check: bool = True
    ) -> Sequences:
        """Return (layout, turns to train in it, its messages): the whole conversation, then beginnings of it."""
        remaining = set(wanted)
        length = len(messages)
        found: Sequences = []
        while True:
            part = messages[:length]
            layout = self._lay_out_trained(part, tools, check=check)
            trained = remaining & layout.spans.keys()
            found.append((layout, trained, part))
            remaining -= trained
            earlier = [index for index in remaining if index + 1 < length]
            if not earlier:
                return [entry for entry in found if entry[1]] or found[:1]
            length = max(earlier) + 1

    # -- inference -----------------------------------------------------------------------------------------------

    def render_prompt(
        self,
        messages: Sequence[dict[str, Any]],
        tools: Sequence[dict[str, Any]] | None = None,
        *,
        variables: dict[str, Any] | None = None,
    ) -> list[int]:
        """Return the token ids of a conversation that ends where the model goes on. Raises :class:`DataError`.

        ``variables`` are those of :meth:`told`; None takes the model's defaults.
        """
        try:
            canonical = canonical_messages(messages, allow_empty=True)
            schemas = canonical_tools(tools)
        except RowProblem as problem:
            raise DataError(f"These messages cannot be rendered: {problem}.", fix="Correct that message.") from None
        self._check_prompt(canonical, schemas, variables)
        layout = self._lay_out(canonical, schemas, prompt=True, variables=variables)
        return [token for ids, _ in self._encode(layout, canonical, closed=False) for token in ids]

    def _check_prompt(self, messages: list[dict[str, Any]], tools: Any, variables: dict[str, Any] | None) -> None:
        """Refuse a prompt that loses what it asks for; of what else it loses, tell once."""
        known = ("prompt", shape(messages, tools, ()), repr(sorted((variables or {}).items())))
        if known not in self._drops:
            schemas = PROBE_TOOLS if tools else None

            def sequences(probes: list[dict[str, Any]]) -> Sequences:
                layout = self._lay_out(probes, schemas, prompt=True, check=False, variables=variables)
                return [(layout, set(), probes)]

            try:
                self._drops[known] = find_drops(messages, (), sequences)
            except DataError:
                return
        lost = self._drops[known]
        asked = [drop for drop in lost if drop.kind in ("system", "text", "tool result")]
        if asked and self.on_drop != "leave_out":
            raise refuse(asked, self.on_drop)
        for kind in {drop.kind for drop in lost} - self._drops_told:
            self._drops_told.add(kind)
            text = f"The chat template leaves out the {WORDS[kind]}, so the model does not see it. This is told once."
            warnings.warn(text, ShadowWarning, stacklevel=4)

    def pieces(self, messages: list[dict[str, Any]], tools: Any) -> list[tuple[list[int], int | None]]:
        """Return a canonical conversation up to where the model goes on, cut at its replies: (token ids, message or None)."""
        layout = self._lay_out(messages, tools, prompt=True)
        return self._encode(layout, messages, closed=False)

    def render_text(self, text: str) -> list[int]:
        """Return the token ids of plain text that the model goes on from: as a document of training begins, without its end."""
        ids = self._encoder.document(text)
        return ids[:-1] if len(ids) > 1 and ids[-1] == self.tokenizer.eos_token_id else ids

    # -- shared --------------------------------------------------------------------------------------------------

    def _lay_out(
        self,
        messages: list[dict[str, Any]],
        tools: Any,
        *,
        prompt: bool = False,
        check: bool = True,
        bridge: bool = True,
        variables: dict[str, Any] | None = None,
    ) -> Layout:
        uses_tools = has_tools(messages, tools)
        style = self._choice.tool_style
        if uses_tools and style is None:
            raise DataError(
                "This conversation uses tools, which the model's chat template cannot carry.",
                why=f"Checked with a probe: {self.template_reason}.",
                fix="Use a model whose template knows tools, pass a chat_template, or remove tools from the rows.",
                code="tools-not-rendered",
            )
        shown = styled(messages, (style if uses_tools else None) or self._choice.style)
        shown, schemas, mark = self._control.guard(shown, tools)
        try:
            layout = lay_out(
                self.tokenizer,
                self.chat_template,
                shown,
                schemas,
                stops=self._stops,
                prompt=prompt,
                mark=mark,
                bridge=bridge,
                variables=self.variables if variables is None else variables,
            )
        except Exception as error:
            raise DataError(
                f"The chat template refuses this conversation: {error}",
                why=f"It has the roles {', '.join(message['role'] for message in messages)}.",
                fix="Change the order or the roles of the messages, or pass another chat_template.",
                code="template-refused",
            ) from error
        if uses_tools and check:
            require_tools(layout, messages, tools)
        return layout

    def _encode(
        self, layout: Layout, messages: list[dict[str, Any]], *, closed: bool = True
    ) -> list[tuple[list[int], int | None]]:
        pieces = layout.pieces()
        last, eos = len(messages) - 1, self.tokenizer.eos_token_id
        stopped = self._stops.closes(layout.turn(last))
        # Where the template never says that a reply ends, the end of the row does.
        stop = [eos] if closed and not stopped and eos is not None and last in layout.spans else []
        if stop and pieces[-1][1] is None:
            pieces.pop()  # white space behind the reply
        ids = self._encoder.pieces([text for text, _ in pieces])
        encoded = [(piece_ids, index) for piece_ids, (_, index) in zip(ids, pieces, strict=True)]
        if stop:
            encoded.append((stop, last))
        return encoded
