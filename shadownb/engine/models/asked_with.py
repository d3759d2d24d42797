"""What ``generate`` and ``chat`` are asked with, for whoever checks types: names and kinds of their keywords."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from shadownb.engine.inference.options import SamplingOptions
from shadownb.engine.loaded.as_trained import AsTrained, Tools

if TYPE_CHECKING:
    from shadownb.engine.models.adapters import Asked


class ChatOptions(SamplingOptions, total=False):
    """Keywords of :meth:`shadownb.Model.chat`."""

    system: str | AsTrained | None
    use: Asked | Sequence[Asked]
    should_stop: Callable[[], bool] | None
    enable_thinking: bool | None
    reasoning_effort: str | None


class GenerateOptions(ChatOptions, total=False):
    """Keywords of :meth:`shadownb.Model.generate`."""

    tools: Tools | AsTrained
    template: bool | None
    best_of: int
    scorer: Any
