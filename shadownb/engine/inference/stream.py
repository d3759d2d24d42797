"""TokenStream: the text of one generation as an iterator that can be closed at any time.

The generation runs in a thread of its own, so a slow reader does not keep the weights from training, and an error in
it is raised at the reader. The thread holds no reference to the iterator: dropping it stops the generation.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, Self

from shadownb.engine.inference.types import Completion

Produce = Callable[[Callable[[str], None], Callable[[], bool]], Completion]


class TokenStream:
    """Iterates over text deltas; also a context manager that closes itself.

    Parameters
    ----------
    produce
        Called in the worker as ``produce(emit, cancelled)``: hands each piece to ``emit`` and returns the completion
        soon after ``cancelled()`` is true.

    Attributes
    ----------
    completion
        The whole completion once the stream has ended, also after ``close()``; before that ``None``. It is the
        ``StopIteration`` value as well, so ``yield from`` returns it.
    """

    def __init__(self, produce: Produce) -> None:
        self.completion: Completion | None = None
        self._pieces: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._ended = False
        # Not a daemon: a thread that computes while the interpreter shuts down crashes it. It stops by itself then.
        self._worker = threading.Thread(
            target=_work, args=(produce, self._pieces, self._closed), name="shadownb-stream", daemon=False
        )
        self._worker.start()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        if self._ended:
            raise StopIteration(self.completion)
        try:
            kind, value = self._pieces.get()
        except BaseException:  # Ctrl-C while waiting
            self._closed.set()
            raise
        if kind == "piece":
            return str(value)
        self._ended = True
        self._worker.join()
        if kind == "error":
            raise value
        self.completion = value
        raise StopIteration(value)

    def close(self) -> None:
        """Stop the generation and return when it has let go of the weights; later calls do nothing."""
        self._closed.set()
        while not self._ended:
            # What was not read is dropped. Nobody waits for an error any more: the reader has what it wanted.
            with contextlib.suppress(StopIteration, Exception):
                next(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        closed = getattr(self, "_closed", None)
        if closed is not None:
            closed.set()

    def __repr__(self) -> str:
        return f"TokenStream({'ended' if self._ended else 'running'})"


def _work(produce: Produce, pieces: queue.SimpleQueue[tuple[str, Any]], closed: threading.Event) -> None:
    main = threading.main_thread()
    try:
        done = produce(lambda piece: pieces.put(("piece", piece)), lambda: closed.is_set() or not main.is_alive())
        pieces.put(("done", done))
    except BaseException as error:
        pieces.put(("error", error))
