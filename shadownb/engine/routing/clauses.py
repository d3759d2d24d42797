"""A question for several facts at once, as the questions that it is made of."""

from __future__ import annotations

import re
from collections.abc import Iterator

from shadownb.engine.routing.words import loose_numbers, names, places_of_names

_LONGEST, _MOST_JOINTS = (
    400,
    4,
)  # characters and places; more is a text, and each reading of it costs passes of the encoder
# Where one question may end and the next begin. A name with "and" in it is split too, and then one half asks for nothing stored.
_JOINTS = re.compile(
    r"\s*[,;]?\s+(?:and|as well as|plus)\s+(?:also\s+|then\s+)?|\s*\?\s+(?:and\s+)?(?=\S)", re.IGNORECASE
)
_STANDS_FOR = re.compile(r"\b(it|its|they|their|them|there)\b", re.IGNORECASE)
_OPENING = re.compile(r"(?:what|which|who|when|where|how\s+\w+)\s+(?:is|are|was|were|does|do|did)\b", re.IGNORECASE)
_BEGINS_ASKING = re.compile(
    r"(?:on |in |at |by |for |from |to |with |under )?(?:what|which|who|whom|whose|when|where|why|how|is|are|was|were|does|do|did|"
    r"can|will|tell|say|name|give)\b",
    re.IGNORECASE,
)


def clauses(question: str) -> Iterator[tuple[str, ...]]:
    """Yield the ways to read a question as two questions or three, each as whole as its neighbour makes it.

    "What does the Veltro cost and how heavy is it?" is "What does the Veltro cost?" and "how heavy is Veltro?".
    """
    bare = question.strip().rstrip("?.! ")
    joints = list(_JOINTS.finditer(bare)) if len(bare) <= _LONGEST else []
    if len(joints) > _MOST_JOINTS:
        return
    for place, joint in enumerate(joints):
        left, right = bare[: joint.start()], bare[joint.end() :]
        yield _completed((left, right))
        for later in joints[place + 1 :]:
            yield _completed((left, bare[joint.end() : later.start()], bare[later.end() :]))


def _completed(parts: tuple[str, ...]) -> tuple[str, ...]:
    known = set().union(*(names(part) for part in parts))
    named = [_span(part, known) for part in parts]
    opening = _OPENING.match(parts[0])
    whole = []
    for number, part in enumerate(parts):
        nearest = next((named[n] for n in (*range(number - 1, -1, -1), *range(number + 1, len(parts))) if named[n]), "")
        said = part.strip(" ,;:")
        if number and opening is not None and not _BEGINS_ASKING.match(said):
            said = f"{opening.group()} {said}"
        if not named[number] and nearest:
            word = _STANDS_FOR.search(said)
            if word is None:
                said = f"{said} of {nearest}"
            else:
                said = f"{said[: word.start()]}{_put(word.group(), nearest)}{said[word.end() :]}"
        whole.append(f"{said}?")
    return tuple(whole)


def _put(word: str, thing: str) -> str:
    return f"{thing}'s" if word.lower() in ("its", "their") else thing


def _span(text: str, known: set[str]) -> str:
    """Return the last words of a text that name something and stand side by side."""
    counting = loose_numbers(text)
    places = [(start, end) for start, end in places_of_names(text, known) if text[start:end] not in counting]
    first = len(places) - 1
    while first > 0 and not any(char.isalnum() for char in text[places[first - 1][1] : places[first][0]]):
        first -= 1
    return text[places[first][0] : places[-1][1]] if places else ""
