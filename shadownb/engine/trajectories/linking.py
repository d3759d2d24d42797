"""How conversations of one task belong together: handed to a sub-agent, handed off, summed up, or written down in another way.

Frameworks send no header that says so. But a sub-agent's prompt stands in the call that started it, and its answer in that call's
result; a handoff and a shortened history hold answers that were given before; and a framework that writes its history anew repeats
names, arguments and texts. How sure a link is, is said with it (``metadata["confidence"]``): ``certain`` where both ends or a whole
answer were found, ``likely`` for a whole prompt, ``possible`` for a part of one, or the session alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shadownb.engine.trajectories.graph import ROOT
from shadownb.engine.trajectories.identity import PathHash, calls_of, message_text, role_of
from shadownb.engine.trajectories.places import Open, Places

_SHORTEST_TASK = 8  # characters of an argument that may be the whole prompt of a sub-agent
_SHORTEST_PART = 16  # and of one that is a part of it, or of an answer that is found elsewhere
_REPEATED = 12  # characters of an answer's text that stand in it again


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


class Links:
    """Finds what a new conversation comes from, while calls are added."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._nodes = places.nodes

    # -- a conversation begins ------------------------------------------------------------------------------------

    def begin(self, node: int, prompt: Sequence[Mapping[str, Any]], session: str | None) -> bool:
        """Link the first answer of a conversation by what its prompt holds; returns whether it was."""
        found = self._holds_answer(prompt, session)
        made = self._nodes[node]
        if found is not None:
            same = made.system == self._nodes[found].system
            made.related, made.relation, made.confidence = found, "rewritten" if same else "handoff", "certain"
            self._places.changed(node)
            if same:
                self._find_summary(prompt, found)
            return True
        asked = "\n".join(message_text(message) for message in prompt if role_of(message) == "user").strip()
        task = self._waits_for(asked, session)
        if task is None:
            if len(prompt) <= 2 and not calls_of(made.message):
                self._places.keep_single(node)
            return False
        parent, waiting, whole = task
        made.related, made.relation = parent, "subagent"
        made.confidence = "likely" if whole else "possible"
        self._places.changed(node)
        waiting.subs.append(node)
        self._places.keep_open(parent, waiting)
        return True

    def _holds_answer(self, prompt: Sequence[Mapping[str, Any]], session: str | None) -> int | None:
        for message in reversed(prompt):
            if role_of(message) == "assistant" and (key := said_key(message)) is not None:
                found = self._places.said(key, session)
                if found is not None:
                    return found
        return None

    def _waits_for(self, asked: str, session: str | None) -> tuple[int, Open, bool] | None:
        """Return the answer one of whose calls was given this prompt, and whether all of it."""
        part: tuple[int, Open, str] | None = None
        for node, waiting in self._places.open():
            if waiting.session != session:
                continue
            for task in waiting.tasks:
                if task == asked:
                    waiting.tasks.remove(task)
                    return node, waiting, True
                if part is None and len(task) >= _SHORTEST_PART and task in asked:
                    part = node, waiting, task
        if part is None:
            return None
        part[1].tasks.remove(part[2])
        return part[0], part[1], False

    def _find_summary(self, prompt: Sequence[Mapping[str, Any]], parent: int) -> None:
        """Find the conversation whose answer the shortened history begins with."""
        shown = "\n".join(message_text(message) for message in prompt if role_of(message) != "assistant")
        for node in self._places.single():
            text = message_text(self._nodes[node].message).strip()
            if len(text) >= _SHORTEST_PART and text in shown:
                made = self._nodes[node]
                made.related, made.relation, made.confidence = parent, "summary", "certain"
                self._places.changed(node)
                self._places.drop_single(node)
                return

    # -- it goes on -----------------------------------------------------------------------------------------------

    def went_on(self, node: int, results: Sequence[Mapping[str, Any]]) -> None:
        """Take note that a conversation goes on from an answer, with these messages; sub-agents' answers stand in them."""
        waiting = self._places.open_at(node)
        if waiting is None:
            return
        self._places.close(node)
        if not waiting.subs:
            return
        shown = "\n".join(message_text(message) for message in results)
        for sub in filter(self._places.has, waiting.subs):
            tail = self._nodes[sub].tail
            last = self._nodes[tail if self._places.has(tail) else sub].message
            said = [message_text(last), *(text for call in calls_of(last) for text in texts_in(call["arguments"]))]
            if any(text.strip() and text.strip() in shown for text in said):
                self._nodes[sub].confidence = "certain"
                self._places.changed(sub)

    def answered(self, node: int, before: int) -> None:
        """Take note of an answer; ``before`` is the answer that its conversation had come to, or -1."""
        made = self._nodes[node]
        known = self._nodes[before] if before != ROOT else None
        made.root = known.root if known is not None and known.is_answer and self._places.has(known.root) else node
        self._nodes[made.root].tail = node
        self._places.changed(made.root)
        tasks = [text.strip() for call in calls_of(made.message) for text in texts_in(call["arguments"])]
        tasks = [text for text in tasks if len(text) >= _SHORTEST_TASK]
        if tasks:
            self._places.keep_open(node, Open(made.session, tasks))


def said_key(message: Mapping[str, Any]) -> bytes | None:
    """Return what tells an answer from others wherever it stands; None where it says too little."""
    calls = calls_of(message)
    if not calls and len(message_text(message).strip()) < _SHORTEST_PART:
        return None
    ids = "".join(str(call["id"]) for call in calls)
    return PathHash(f"said {ids}").push(message)
