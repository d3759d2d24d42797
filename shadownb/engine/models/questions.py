"""Questions: what a model is asked as token ids, and how its answer is read back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shadownb.engine.inference import Reply
from shadownb.engine.loaded import as_trained
from shadownb.engine.loaded.as_trained import AS_TRAINED, AsTrained, Tools
from shadownb.engine.replies import ParsedReply, TextReader

if TYPE_CHECKING:
    from shadownb.engine.data.trained_on import TrainedOn
    from shadownb.engine.inference import Completion
    from shadownb.engine.inference.types import Use
    from shadownb.engine.rendering import Renderer
    from shadownb.engine.replies import Reader

Message = dict[str, Any]


@dataclass(frozen=True)
class Opening:
    """What stands before a question, and how it is put; as it was trained where nothing is said."""

    system: str | AsTrained | None = AS_TRAINED
    tools: Tools | AsTrained = AS_TRAINED
    template: bool | None = None
    enable_thinking: bool | None = None
    reasoning_effort: str | None = None

    @property
    def thinks(self) -> bool:
        """Whether anything was said about thinking."""
        return self.enable_thinking is not None or self.reasoning_effort is not None


@dataclass(frozen=True)
class Side:
    """Which weights answer, and how they were trained to be asked.

    Attributes
    ----------
    trained_on
        What their rows had in common; None where nothing is known.
    """

    use: Use
    renderer: Renderer
    trained_on: TrainedOn | None

    def text(self, prompt: str, opening: Opening, told: set[Any]) -> Question:
        """Return a prompt as plain text where these weights were trained on such, else as a user's message."""
        plain = as_trained.is_plain(
            self.trained_on, opening.template, opening.system, opening.tools, thinks=opening.thinks
        )
        if not plain:
            return self.conversation([{"role": "user", "content": prompt}], opening, told)
        self._tell(told, [], None, plain=True)
        return Question(self, self.renderer.render_text(prompt), plain=True)

    def conversation(self, messages: Sequence[Message], opening: Opening, told: set[Any]) -> Question:
        """Return a conversation to go on with; ``told`` remembers which differences from the rows were told."""
        variables = self.renderer.told(
            enable_thinking=opening.enable_thinking, reasoning_effort=opening.reasoning_effort
        )
        turns, tools = as_trained.conversation(self.trained_on, messages, opening.system, opening.tools)
        self._tell(told, turns, tools)
        return Question(self, self.renderer.render_prompt(turns, tools, variables=variables), tools)

    def _tell(
        self, told: set[Any], turns: Sequence[Message], tools: list[dict[str, Any]] | None, *, plain: bool = False
    ) -> None:
        known = self.trained_on
        if known is not None and self.use != "base":  # which was trained on none of these rows
            as_trained.tell(told, known, known.differences(turns, tools, plain=plain))


@dataclass(frozen=True)
class Question:
    """The tokens of a question, the tools that it offers, and whether it is plain text that the model goes on from."""

    side: Side
    ids: list[int]
    tools: list[dict[str, Any]] | None = None
    plain: bool = False

    def open_reader(self) -> Reader:
        """Return what takes the answer apart while it is written."""
        return TextReader() if self.plain else self.side.renderer.open_reader(self.ids, self.tools or [])

    def reply(self, completion: Completion, *, calls: bool = True) -> Reply:
        """Take a whole answer apart; without ``calls`` those stay in the text as they were written."""
        if self.plain:
            return Reply.from_completion(completion, ParsedReply(completion.text))
        tools = (self.tools or []) if calls else []
        parsed = self.side.renderer.read_reply(completion.text, tools, prompt=self.ids, calls=calls)
        return Reply.from_completion(completion, parsed)
