"""A ChatModel without weights or server: it says again what it was told, word by word."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Self

from shadownb.engine.inference import Reply, Sampling
from shadownb.engine.replies import Part
from shadownb.errors import ConfigError, DataError

Stop = Callable[[], bool] | None


class ToyChatModel:
    """Knows the options of sampling, and honours ``max_new_tokens``, counted in words."""

    name = "toy"
    has_base = False

    def chat(self, messages: Any, tools: Any = None, *, should_stop: Stop = None, **sampling: Any) -> list[Reply]:
        limit = self._limit(sampling)
        replies = []
        for turns in messages:
            words = _words(turns)
            stopped = should_stop is not None and should_stop()
            replies.append(_reply([] if stopped else words[:limit], len(words) > limit, stopped))
        return replies

    def stream(self, prompt: Any, tools: Any = None, *, should_stop: Stop = None, **sampling: Any) -> ToyPieces:
        return ToyPieces(_words(prompt), self._limit(sampling), should_stop)

    @staticmethod
    def _limit(sampling: dict[str, Any]) -> int:
        if "use" in sampling:
            raise ConfigError(f"use={sampling['use']!r}: there is no base.")
        return Sampling.from_options(**sampling).max_new_tokens


class ToyPieces:
    """Its answer while it is said."""

    def __init__(self, words: list[str], limit: int, should_stop: Stop) -> None:
        self._words, self._limit, self._should_stop = words, limit, should_stop
        self._said: list[str] = []
        self.reply: Reply | None = None

    def parts(self) -> Iterator[Part]:
        while self.reply is None:
            if self._should_stop is not None and self._should_stop():
                self.close()
            elif len(self._said) >= min(self._limit, len(self._words)):
                self.reply = _reply(self._said, len(self._words) > self._limit, False)
            else:
                self._said.append(self._words[len(self._said)])
                yield Part("content", self._said[-1])

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        for part in self.parts():
            return part.text
        raise StopIteration

    def close(self) -> None:
        self.reply = self.reply or _reply(self._said, False, True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _words(turns: Any) -> list[str]:
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, dict) for turn in turns):
        raise DataError(f"{turns!r} is not a conversation.")
    return re.findall(r"\S+\s*", turns[-1]["content"]) * 20


def _reply(words: list[str], cut: bool, stopped: bool) -> Reply:
    return Reply("".join(words), finish_reason="cancelled" if stopped else "length" if cut else "stop")
