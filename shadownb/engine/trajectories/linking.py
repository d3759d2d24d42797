"""How conversations of one task belong together: handed to a sub-agent, handed off, summed up, or written down in another way.

Frameworks send no header that says so. But a sub-agent's prompt stands in the call that started it, and its answer in that call's
result; a handoff and a shortened history hold answers that were given before; and a framework that writes its history anew repeats
names, arguments and texts. How sure a link is, is said with it (``metadata["confidence"]``): ``certain`` where both ends or a whole
answer were found, ``likely`` for a whole prompt, ``possible`` for a part of one, or the session alone.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shadownb.engine.trajectories.graph import Node
from shadownb.engine.trajectories.identity import PathHash, calls_of, message_text, role_of

_SHORTEST_TASK = 8  # characters of an argument that may be the whole prompt of a sub-agent
_SHORTEST_PART = 16  # and of one that is a part of it, or of an answer that is found elsewhere
_REPEATED = 12  # characters of an answer's text that stand in it again
_OPEN = 256  # answers whose calls wait: of those that never go on the oldest are forgotten
_REMEMBERED = 1 << 16  # answers that another conversation may hold
_RECENT = 16  # conversations of one turn, of which one may be a summary


def texts_in(value: Any) -> Iterator[str]:
    """Yield every string of an object of JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from texts_in(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from texts_in(item)


def says_the_same(answer: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Return whether a message of a prompt is an answer written down in another way, as text alone: its calls by name and with
    every argument; or its text, and behind it a part of the same once more, as what a framework took for its call.
    """
    content = given.get("content")
    if calls_of(given) or (
        isinstance(content, list) and any(not isinstance(p, Mapping) or "text" not in p for p in content)
    ):
        return False
    shown, text, calls = _tight(message_text(given)), _tight(message_text(answer)), calls_of(answer)
    if not calls:
        if not text or not shown.startswith(text):
            return False
        rest = shown[len(text) :]
        return not rest or any(text[at : at + _REPEATED] in rest for at in range(max(1, len(text) - _REPEATED + 1)))
    parts = [text, *(_tight(part) for call in calls for part in (call["name"], *texts_in(call["arguments"])))]
    return all(part in shown for part in parts)


def _tight(text: str) -> str:
    """Return a text without what is written in different ways: blanks, quotation marks, escapes."""
    return "".join(character for character in text if not character.isspace() and character not in "\\\"'")


@dataclass
class Open:
    """An answer whose calls wait for their results.

    Attributes
    ----------
    tasks
        What its calls were given: the strings among their arguments that no sub-agent was found for yet.
    subs
        The first answers of the sub-agents that they started.
    """

    session: str | None
    tasks: list[str]
    subs: list[int] = field(default_factory=list)


class Links:
    """Finds what a new conversation comes from, while calls are added."""

    def __init__(self, nodes: list[Node]) -> None:
        self._nodes = nodes
        self._open: OrderedDict[int, Open] = OrderedDict()
        self._said: OrderedDict[tuple[bytes, str | None], int] = OrderedDict()
        self._root: dict[int, int] = {}  # an answer to the first answer of its conversation
        self._tail: dict[int, int] = {}  # and that to the latest
        self._single: deque[int] = deque(maxlen=_RECENT)

    # -- a conversation begins ------------------------------------------------------------------------------------

    def begin(
        self,
        node: int,
        prompt: Sequence[Mapping[str, Any]],
        session: str | None,
        system: str,
        system_of: Callable[[int], str],
    ) -> bool:
        """Link the first answer of a conversation by what its prompt holds; returns whether it was."""
        found = self._holds_answer(prompt, session)
        made = self._nodes[node]
        if found is not None:
            same = system == system_of(found)
            made.related, made.relation, made.confidence = found, "rewritten" if same else "handoff", "certain"
            if same:
                self._find_summary(prompt, found)
            return True
        asked = "\n".join(message_text(message) for message in prompt if role_of(message) == "user").strip()
        task = self._waits_for(asked, session)
        if task is None:
            if len(prompt) <= 2 and not calls_of(made.message):
                self._single.append(node)
            return False
        parent, whole = task
        made.related, made.relation = parent, "subagent"
        made.confidence = "likely" if whole else "possible"
        self._open[parent].subs.append(node)
        return True

    def _holds_answer(self, prompt: Sequence[Mapping[str, Any]], session: str | None) -> int | None:
        for message in reversed(prompt):
            if role_of(message) == "assistant" and (key := _key(message)) is not None:
                found = self._said.get((key, session))
                if found is not None:
                    return found
        return None

    def _waits_for(self, asked: str, session: str | None) -> tuple[int, bool] | None:
        """Return the answer one of whose calls was given this prompt, and whether all of it."""
        part: tuple[int, str] | None = None
        for node, waiting in reversed(self._open.items()):
            if waiting.session != session:
                continue
            for task in waiting.tasks:
                if task == asked:
                    waiting.tasks.remove(task)
                    return node, True
                if part is None and len(task) >= _SHORTEST_PART and task in asked:
                    part = node, task
        if part is None:
            return None
        self._open[part[0]].tasks.remove(part[1])
        return part[0], False

    def _find_summary(self, prompt: Sequence[Mapping[str, Any]], parent: int) -> None:
        """Find the conversation whose answer the shortened history begins with."""
        shown = "\n".join(message_text(message) for message in prompt if role_of(message) != "assistant")
        for node in reversed(self._single):
            text = message_text(self._nodes[node].message).strip()
            if len(text) >= _SHORTEST_PART and text in shown:
                made = self._nodes[node]
                made.related, made.relation, made.confidence = parent, "summary", "certain"
                self._single.remove(node)
                return

    # -- it goes on -----------------------------------------------------------------------------------------------

    def went_on(self, node: int, results: Sequence[Mapping[str, Any]]) -> None:
        """Take note that a conversation goes on from an answer, with these messages; sub-agents' answers stand in them."""
        waiting = self._open.pop(node, None)
        if waiting is None or not waiting.subs:
            return
        shown = "\n".join(message_text(message) for message in results)
        for sub in waiting.subs:
            last = self._nodes[self._tail.get(sub, sub)].message
            said = [message_text(last), *(text for call in calls_of(last) for text in texts_in(call["arguments"]))]
            if any(text.strip() and text.strip() in shown for text in said):
                self._nodes[sub].confidence = "certain"

    def answered(self, node: int, before: int, session: str | None) -> None:
        """Take note of an answer; ``before`` is the answer that its conversation had come to, or -1."""
        root = self._root.get(before, node)
        self._root[node], self._tail[root] = root, node
        message = self._nodes[node].message
        if (key := _key(message)) is not None:
            self._said[key, session] = node
            if len(self._said) > _REMEMBERED:
                self._said.popitem(last=False)
        tasks = [text.strip() for call in calls_of(message) for text in texts_in(call["arguments"])]
        tasks = [text for text in tasks if len(text) >= _SHORTEST_TASK]
        if tasks:
            self._open[node] = Open(session, tasks)
            if len(self._open) > _OPEN:
                self._open.popitem(last=False)


def _key(message: Mapping[str, Any]) -> bytes | None:
    """Return what tells an answer from others wherever it stands; None where it says too little."""
    calls = calls_of(message)
    if not calls and len(message_text(message).strip()) < _SHORTEST_PART:
        return None
    ids = "".join(str(call["id"]) for call in calls)
    return PathHash(f"said {ids}").push(message)
