"""Models for evaluations without weights: one answers from a table, one fails half of the time, one knows every answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shadownb.engine.evals import suites
from shadownb.engine.inference import Reply
from shadownb.errors import DataError


class Says:
    """Answers each question by a function of (question, seed)."""

    has_base = False

    def __init__(self, name: str, answer: Callable[[str, int], str]) -> None:
        self.name, self._answer = name, answer
        self.kept_under = None
        self.asked: list[str] = []

    def chat(self, messages: Sequence[Any], tools: Any = None, *, seed: int = 0, **sampling: Any) -> list[Reply]:
        """Return an answer a conversation."""
        self.asked += [turns[-1]["content"] for turns in messages]
        told = [self._answer(turns[-1]["content"], seed or 0) for turns in messages]
        return [Reply(content=text, raw=text) for text in told]


def table(name: str, answers: Mapping[str, str], otherwise: str = "") -> Says:
    """Return one that answers from a table of questions."""
    return Says(name, lambda question, _: answers.get(question, otherwise))


class Waits(Says):
    """Waits before its answer number ``at``, counted from 1, until it may go on; knows the answers of the first questions."""

    def __init__(self, name: str, at: int, known: int = 1000) -> None:
        super().__init__(name, self._wait)
        self._at, self._count, self._known = at, 0, known
        self.waiting, self.go = threading.Event(), threading.Event()

    def _wait(self, question: str, _: int) -> str:
        self._count += 1
        if self._count == self._at:
            self.waiting.set()
            self.go.wait(100)
        return question.replace("question", "answer") if int(question.split()[1]) < self._known else "no idea"


class Refuses(Says):
    """Cannot answer questions with this word in them."""

    def __init__(self, name: str, word: str) -> None:
        super().__init__(name, lambda question, _: question)
        self._word = word

    def chat(self, messages: Sequence[Any], tools: Any = None, **sampling: Any) -> list[Reply]:
        """Return an answer a conversation, or raise."""
        if any(self._word in turns[-1]["content"] for turns in messages):
            raise DataError(f"A question has {self._word}.")
        return super().chat(messages, tools, **sampling)


def rows(count: int) -> list[dict[str, Any]]:
    """Return conversations whose right answer is their number."""
    return [
        {
            "messages": [
                {"role": "user", "content": f"question {number}"},
                {"role": "assistant", "content": f"answer {number}"},
            ],
            "source": f"source {number % 5}",
        }
        for number in range(count)
    ]


def right_up_to(name: str, count: int) -> Says:
    """Return one that knows the answers of the first ``count`` questions."""

    def answer(question: str, _: int) -> str:
        number = int(question.split()[1])
        return f"answer {number}" if number < count else "no idea"

    return Says(name, answer)


# Who can do which problem in which language; "go" cannot be graded, and one problem is in one language alone.
_SPOKEN = {"base": {("js", "0")}, "tuned": {("js", "0"), ("js", "1"), ("py", "1")}}


class Polyglot:
    """Three problems in up to three languages."""

    name, rules, sampling = "polyglot", (), suites.get("text").sampling

    def items(self) -> list[Any]:
        """Return the problems, language by language."""
        asked = [("js", "0"), ("js", "1"), ("py", "0"), ("py", "1"), ("go", "0"), ("js", "2")]
        return [
            suites.Item(
                f"{language}/{problem}",
                [{"role": "user", "content": f"{language} {problem}"}],
                cluster=problem,
                part=language,
            )
            for language, problem in asked
        ]

    def grade(self, asked: Any) -> list[Any]:
        """Return whether each answer says so; nothing can be told of one language."""
        return [
            suites.Verdict(None, "go is not installed", outcome="no toolchain")
            if item.part == "go"
            else suites.Verdict(float(answer.text == "right"), outcome="passed" if answer.text == "right" else "failed")
            for item, answer in asked
        ]


def speakers() -> dict[str, Says]:
    """Return two models that know some of :class:`Polyglot`."""

    def model(side: str) -> Says:
        return Says(side, lambda question, _: "right" if tuple(question.split()) in _SPOKEN[side] else "wrong")

    return {side: model(side) for side in _SPOKEN}
