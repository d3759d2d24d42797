"""Who answers many callers of a server with a GGUF file."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from shadownb.engine.backends.llamacpp.side import Rooms, Speaking
from shadownb.engine.inference.batcher import Batcher

if TYPE_CHECKING:
    from shadownb.engine.backends.llamacpp.generation import LlamaCppGenerator


class LlamaCppSpeaker(Batcher):
    """A batcher that keeps its contexts open between answers, and closes them at the end."""

    def __init__(self, generator: Callable[[], LlamaCppGenerator]) -> None:
        self._rooms = Rooms()
        super().__init__(lambda: Speaking(generator(), self._rooms))

    def close(self) -> None:
        """End what is being said, and free the contexts."""
        super().close()
        self._rooms.close()
