"""The chat template of a model: its base's own, or the one that the trained state was trained with."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from shadownb.engine.rendering import Renderer
from shadownb.engine.rendering.variables import with_defaults

_OTHERS = 4  # templates of other states that are kept taken apart


class ModelTemplate:
    """Renders a model's conversations.

    Attributes
    ----------
    own
        Renders by the base's own template.
    trained
        The template that the trained state was trained with; None is the base's own.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.own = self._renderer = Renderer(tokenizer)
        self.trained: str | None = None
        self._others: list[Renderer] = []

    @property
    def renderer(self) -> Renderer:
        """Renders by the template that the weights were trained with."""
        template = self.trained or self.own.chat_template
        if self._renderer.chat_template != template:
            own = self.own
            self._renderer = own if own.chat_template == template else Renderer(self._tokenizer, chat_template=template)
            self._renderer.variables = dict(own.variables)  # what load() was told holds for the trained template, too
        return self._renderer

    def of(self, template: str | None, variables: dict[str, Any]) -> Renderer:
        """Return what renders by the template of another state (None: the base's own), told these variables."""
        wanted = template or self.own.chat_template
        found = next((renderer for renderer in self._others if renderer.chat_template == wanted), None)
        if found is None:
            found = Renderer(self._tokenizer, chat_template=template)
            found.variables |= variables
            self._others = [found, *self._others[: _OTHERS - 1]]
        return found

    def use(self, renderer: Renderer) -> None:
        """Render with this from now on; its template is that of the trained state."""
        self._renderer, self.trained = renderer, renderer.chat_template

    def save(self, folder: Path) -> None:
        """Write the tokenizer, with the chat template that training used and what that was told."""
        tokenizer = copy.copy(self._tokenizer)
        tokenizer.chat_template = with_defaults(self.renderer.chat_template, self.renderer.variables)
        tokenizer.save_pretrained(str(folder))
