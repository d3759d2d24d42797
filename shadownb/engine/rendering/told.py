"""The part of a Renderer that knows what its template can be told beside the conversation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from shadownb.engine.rendering.layout import Layout
from shadownb.engine.rendering.tokenizer import Tokenizer
from shadownb.engine.rendering.variables import checked_variables, known_variables
from shadownb.errors import DataError


class Told:
    """The part of a :class:`Renderer` that chooses its template's variables."""

    tokenizer: Tokenizer
    variables: dict[str, Any]

    if TYPE_CHECKING:

        @property
        def chat_template(self) -> str: ...

        def _lay_out(
            self,
            messages: list[dict[str, Any]],
            tools: Any,
            *,
            prompt: bool = False,
            check: bool = True,
            bridge: bool = True,
            variables: dict[str, Any] | None = None,
        ) -> Layout: ...

    @cached_property
    def known_variables(self) -> dict[str, str]:
        """Which of ``enable_thinking`` and ``reasoning_effort`` the template knows, with its own name for each."""
        return known_variables(self.tokenizer, self.chat_template)

    def told(self, *, enable_thinking: bool | None = None, reasoning_effort: str | None = None) -> dict[str, Any]:
        """Return the template's variables for a call: the model's defaults, changed by what is given.

        Raises :class:`ConfigError` where the template does not know an option, which would else be ignored.
        """
        given = checked_variables(
            self.known_variables if (enable_thinking, reasoning_effort) != (None, None) else {},
            enable_thinking=enable_thinking,
            reasoning_effort=reasoning_effort,
        )
        return {**self.variables, **given}

    def thinking_of(self, rows: Iterable[dict[str, Any]]) -> bool | None:
        """Return with which ``enable_thinking`` most answers of the rows can be trained; None where the default does.

        A template that opens the reasoning in the prompt, or closes it there, can only train rows that go on from that.
        """
        name = self.known_variables.get("enable_thinking")
        if name is None or name in self.variables:
            return None
        trained = dict.fromkeys((None, True, False), 0)
        for row in rows:
            turns = _last_exchange(row.get("messages") or [])
            for value in trained if turns else ():
                told = self.variables if value is None else {**self.variables, name: value}
                with contextlib.suppress(DataError):
                    trained[value] += _is_whole(self._lay_out(turns, None, bridge=False, variables=told), turns)
        best = max(trained.values())
        return None if trained[None] == best else max((True, False), key=lambda value: trained[value])

    def _lay_out_trained(self, messages: list[dict[str, Any]], tools: Any, *, check: bool = True) -> Layout:
        """Lay out a row; where its last answer does not go on from the prompt, try whether it does with or without thinking.

        Only where it does neither way is the answer's text looked for behind the prompt.
        """
        layout = self._lay_out(messages, tools, check=check, bridge=False)
        last = len(messages) - 1
        if last in layout.spans or messages[last]["role"] != "assistant":
            return layout
        name = self.known_variables.get("enable_thinking")
        if name is not None and name not in self.variables:
            thinks = bool(messages[last].get("reasoning_content"))
            for value in (thinks, not thinks):
                told = {**self.variables, name: value}
                other = self._lay_out(messages, tools, check=check, bridge=False, variables=told)
                if last in other.spans:
                    return other
        return self._lay_out(messages, tools, check=check)


def _is_whole(layout: Layout, messages: list[dict[str, Any]]) -> bool:
    """Whether the last answer can be trained in this text, with its reasoning where it has one."""
    last = len(messages) - 1
    thought = str(messages[last].get("reasoning_content") or "").strip()
    return last in layout.spans and thought in layout.turn(last)


def _last_exchange(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the last answer behind the last question: how a prompt ends does not depend on what came before."""
    answers = [at for at, message in enumerate(messages) if message["role"] == "assistant"]
    questions = (
        [at for at, message in enumerate(messages[: answers[-1]]) if message["role"] == "user"] if answers else []
    )
    if not questions:
        return []
    answer = {key: value for key, value in messages[answers[-1]].items() if key != "tool_calls"}
    return [messages[questions[-1]], {**answer, "content": answer["content"] or "."}]
