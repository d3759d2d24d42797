"""Renderer: conversations to tokens and back, the same for training and inference.

1. A row becomes text by one chat template (:mod:`templates` says which and why).
2. The assistant's turns are found by position in that text (:mod:`layout`), never by token ids.
3. Turns and the text between them are encoded piece by piece, so that the tokens of a prompt are a prefix of the
   tokens that are trained.
4. Rows with tools are checked: what the rendered text does not show is an error, not a loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from shadownb.engine.data.messages import RowProblem, canonical_messages, canonical_tools
from shadownb.engine.rendering.encoding import Encoder
from shadownb.engine.rendering.layout import Layout, find_stop, lay_out
from shadownb.engine.rendering.masks import LossOn, Rendered, labelled, wanted_turns
from shadownb.engine.rendering.parsers import parse_reply
from shadownb.engine.rendering.templates import choose_template
from shadownb.engine.rendering.tools import ToolStyle, has_tools, require_tools, styled
from shadownb.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Renderer:
    """One tokenizer and its chat template.

    Parameters
    ----------
    tokenizer
        A transformers tokenizer.
    chat_template
        A jinja template that replaces the tokenizer's own, for example one saved with an adapter.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, chat_template: str | None = None) -> None:
        self.tokenizer = tokenizer
        self._choice = choose_template(tokenizer, chat_template)
        self._stop = find_stop(tokenizer, self._choice.text)
        self._encoder = Encoder(tokenizer)

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
        """The ids that end a reply: the template's stop token and the tokenizer's end of sequence."""
        stop = [self.tokenizer.convert_tokens_to_ids(self._stop)] if self._stop else []
        ids = [identifier for identifier in (*stop, self.tokenizer.eos_token_id) if isinstance(identifier, int)]
        return tuple(dict.fromkeys(ids))

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
        if loss_on == "all":
            layout = self._lay_out(messages, tools)
            return (labelled([(ids, True) for ids, _ in self._encode(layout, messages)], max_length),)
        return self._unroll(messages, tools, wanted, max_length)

    def untrainable_turns(self, row: dict[str, Any], *, loss_on: LossOn = "assistant") -> int:
        """Return how many wanted turns no sequence can train: the template never offers them as a reply."""
        if "messages" not in row or loss_on == "all":
            return 0
        wanted = wanted_turns(row["messages"], loss_on, row.get("train_from", 0))
        sequences = self._sequences(row["messages"], row.get("tools"), wanted)
        return len(wanted) - sum(len(trained) for _, trained, _ in sequences)

    def _unroll(
        self, messages: list[dict[str, Any]], tools: Any, wanted: set[int], max_length: int | None
    ) -> tuple[Rendered, ...]:
        done: list[Rendered] = []
        for layout, trained, part in self._sequences(messages, tools, wanted):
            pieces = [(ids, index in trained) for ids, index in self._encode(layout, part)]
            done.append(labelled(pieces, max_length, skipped_turns=len(wanted) - len(trained)))
        return tuple(done)

    def _sequences(
        self, messages: list[dict[str, Any]], tools: Any, wanted: set[int]
    ) -> list[tuple[Layout, set[int], list[dict[str, Any]]]]:
        """Return (layout, turns to train in it, its messages): the whole conversation, then beginnings of it."""
        remaining = set(wanted)
        length = len(messages)
        found: list[tuple[Layout, set[int], list[dict[str, Any]]]] = []
        while True:
            part = messages[:length]
            layout = self._lay_out(part, tools)
            trained = remaining & layout.spans.keys()
            found.append((layout, trained, part))
            remaining -= trained
            earlier = [index for index in remaining if index + 1 < length]
            if not earlier:
                return [entry for entry in found if entry[1]] or found[:1]
            length = max(earlier) + 1

    # -- inference -----------------------------------------------------------------------------------------------

    def render_prompt(
        self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]] | None = None
    ) -> list[int]:
        """Return the token ids of a conversation that ends where the model goes on. Raises :class:`DataError`."""
        try:
            canonical = canonical_messages(messages, allow_empty=True)
            schemas = canonical_tools(tools)
        except RowProblem as problem:
            raise DataError(f"These messages cannot be rendered: {problem}.", fix="Correct that message.") from None
        layout = self._lay_out(canonical, schemas, prompt=True)
        return [token for ids, _ in self._encode(layout, canonical, closed=False) for token in ids]

    def render_text(self, text: str) -> list[int]:
        """Return the token ids of plain text that the model goes on from: as a document of training begins, without its end."""
        ids = self._encoder.document(text)
        return ids[:-1] if len(ids) > 1 and ids[-1] == self.tokenizer.eos_token_id else ids

    def parse_reply(self, text: str) -> tuple[str, list[dict[str, Any]]]:
        """Return (content, tool calls) of generated text; each call is ``{"id", "name", "arguments"}``."""
        parsed = parse_reply(text)
        return parsed.content, parsed.tool_calls

    # -- shared --------------------------------------------------------------------------------------------------

    def _lay_out(self, messages: list[dict[str, Any]], tools: Any, *, prompt: bool = False) -> Layout:
        uses_tools = has_tools(messages, tools)
        style = self._choice.tool_style
        if uses_tools and style is None:
            raise DataError(
                "This conversation uses tools, which the model's chat template cannot carry.",
                why=f"Checked with a probe: {self.template_reason}.",
                fix="Use a model whose template knows tools, pass a chat_template, or remove tools from the rows.",
                code="tools-not-rendered",
            )
        plain = [{key: value for key, value in message.items() if key != "weight"} for message in messages]
        shown = styled(plain, style or ToolStyle())
        try:
            layout = lay_out(self.tokenizer, self.chat_template, shown, tools, stop=self._stop, prompt=prompt)
        except Exception as error:
            raise DataError(
                f"The chat template refuses this conversation: {error}",
                why=f"It has the roles {', '.join(message['role'] for message in messages)}.",
                fix="Change the order or the roles of the messages, or pass another chat_template.",
                code="template-refused",
            ) from error
        if uses_tools:
            require_tools(layout, messages, tools)
        return layout

    def _encode(
        self, layout: Layout, messages: list[dict[str, Any]], *, closed: bool = True
    ) -> list[tuple[list[int], int | None]]:
        pieces = layout.pieces()
        last, eos = len(messages) - 1, self.tokenizer.eos_token_id
        stopped = bool(self._stop) and layout.turn(last).endswith(self._stop)
        # Where the template never says that a reply ends, the end of the row does.
        add_stop = closed and not stopped and eos is not None and last in layout.spans
        if add_stop and pieces[-1][1] is None:
            pieces.pop()  # white space behind the reply
        ids = self._encoder.pieces([text for text, _ in pieces])
        encoded = [(piece_ids, index) for piece_ids, (_, index) in zip(ids, pieces, strict=True)]
        if add_stop:
            encoded.append(([eos], last))
        return encoded
