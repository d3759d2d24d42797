"""Something that completes many prompts at once for a server: a backend's own batcher, or threads over any Generator.

Held by tests/serving/test_clients.py and test_front.py, on every backend that is here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from shadownb.engine.inference.types import Completion, Sampling, Use


class Speaker(Protocol):
    """Completes prompts as they come; a prompt that comes later need not wait for the end of an earlier one."""

    def speak(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        use: Use,
        *,
        said: Callable[[str], None],
        gone: Callable[[], bool],
    ) -> Future[Completion]:
        """Begin to complete a prompt; returns at once.

        The answer is the one that :meth:`Generator.stream` gives for the same seed, to the rounding of products of other shapes.

        Parameters
        ----------
        said
            Called with each piece of the text, from another thread; the pieces add up to the completion's text.
        gone
            Looked at after every token; true ends the answer as ``cancelled``, and its place is free.
        """

    def close(self) -> None:
        """End what is being said, and return when no thread of it runs any more."""
