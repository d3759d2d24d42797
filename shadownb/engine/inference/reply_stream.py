"""ReplyStream: an answer while it is written, its reasoning and calls apart from its text."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Self

from shadownb.engine.inference.types import Completion, Reply, TextStream
from shadownb.engine.replies import Part, Reader


class ReplyStream:
    """Iterates over the pieces of the content; joined they are the content of the whole reply.

    Parameters
    ----------
    stream
        Gives the text as it is generated.
    reader
        Takes it apart.
    read
        Takes the whole of it apart, once it is there.

    Attributes
    ----------
    reasoning
        The reasoning so far.
    """

    def __init__(self, stream: TextStream, reader: Reader, read: Callable[[Completion], Reply]) -> None:
        self._stream = stream
        self._reader = reader
        self._read = read
        self._parts: deque[Part] = deque()
        self._ended = False
        self._reply: Reply | None = None
        self.reasoning = ""

    @property
    def completion(self) -> Completion | None:
        """The completion once the stream has ended, also after ``close()``; before that None."""
        return self._stream.completion

    @property
    def reply(self) -> Reply | None:
        """The whole :class:`Reply`, as ``chat`` returns it, once the stream has ended; before that None."""
        if self._reply is None and self.completion is not None:
            self._reply = self._read(self.completion)
        return self._reply

    def parts(self) -> Iterator[Part]:
        """Iterate over all there is: pieces of ``content`` and ``reasoning``, whole calls and malformed ones."""
        while True:
            while self._parts:
                part = self._parts.popleft()
                if part.kind == "reasoning":
                    self.reasoning += part.text
                yield part
            if self._ended:
                return
            try:
                self._parts.extend(self._reader.feed(next(self._stream)))
            except StopIteration:
                self._ended = True
                self._parts.extend(self._reader.finish())

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        for part in self.parts():
            if part.kind == "content":
                return part.text
        raise StopIteration(self.completion)

    def close(self) -> None:
        """Stop the generation and return when it has let go of the weights; later calls do nothing."""
        self._stream.close()
        self._ended = True
        self._parts.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"ReplyStream({'ended' if self._ended else 'running'})"
