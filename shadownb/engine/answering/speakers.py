"""Who completes prompts for a server: the backend's own batcher where it has one, else threads that take turns."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from shadownb.engine.inference.options import NEWER
from shadownb.engine.ports.abilities import Speaks

if TYPE_CHECKING:
    from shadownb.engine.inference.types import Completion, Sampling, Use
    from shadownb.engine.loaded.model import LoadedModel
    from shadownb.engine.ports.speaker import Speaker

_TOGETHER = 2  # weights answer one call at a time here; a second one may prepare itself meanwhile


class ThreadSpeaker:
    """Completes prompts by a model's generator, each in a thread; the generator's gate says whose turn it is."""

    def __init__(self, model: LoadedModel, together: int = _TOGETHER) -> None:
        self._model = model
        self._closing = threading.Event()
        self._threads = ThreadPoolExecutor(together, thread_name_prefix="shadownb-speaker")

    def speak(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        use: Use,
        *,
        said: Callable[[str], None],
        gone: Callable[[], bool],
    ) -> Future[Completion]:
        """Begin to complete a prompt."""

        def complete() -> Completion:
            stream = self._model.generator.stream(
                prompt, sampling, use=use, should_stop=lambda: gone() or self._closing.is_set()
            )
            for piece in stream:
                said(piece)
            assert stream.completion is not None
            return stream.completion

        return self._threads.submit(complete)

    def close(self) -> None:
        """End what is being said."""
        self._closing.set()
        self._threads.shutdown(wait=True, cancel_futures=True)


def speaker_for(model: LoadedModel) -> Speaker:
    """Return who completes prompts of a model: the backend's batcher where it has one (``Backend.speaker``), else threads."""
    backend = model.backend
    return backend.speaker(model) if isinstance(backend, Speaks) else ThreadSpeaker(model)


def honoured_by(model: LoadedModel) -> frozenset[str]:
    """Return which of the newer sampling options a model's generator honours; all where it does not say."""
    return frozenset(getattr(model.generator, "honours", NEWER))
