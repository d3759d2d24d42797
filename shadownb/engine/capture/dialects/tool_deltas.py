"""Which tool call of a chat stream a delta belongs to.

OpenAI sends an index with every delta, and id and name once, with the first. Others are less orderly, and each of these is a
server in wide use: parallel calls that all have index 0 and an id each; no index at all; an id that is made anew for every
delta; a name in pieces, or repeated with every delta; whole calls without id and index. Taken at their index alone, two calls
become one whose arguments are ``{"p": 1}{"p": 2}``.
"""

from __future__ import annotations

import copy
from typing import Any

from shadownb.engine.capture.dialects.deltas import merge, settled
from shadownb.engine.jsontext import loads

_LONGEST_ARGUMENTS = (
    1 << 16
)  # characters that are read to see whether arguments are complete; longer ones are a call going on


class ToolCalls:
    """The tool calls of one choice, in the order in which they began: ``calls``."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self._at: dict[int, dict[str, Any]] = {}  # the latest call with an index
        self._by_id: dict[str, dict[str, Any]] = {}

    def add(self, deltas: list[Any]) -> None:
        """Take the ``tool_calls`` of one delta."""
        several = len(deltas) > 1
        before = list(self.calls) if several else self.calls
        for place, delta in enumerate(deltas):
            if not isinstance(delta, dict):
                continue
            index = _index(delta)
            known = self._known(delta, index, before, place if several else -1)
            if known is None:
                self._begin(delta, index)
            else:
                _go_on(known, delta)

    def _known(self, delta: dict[str, Any], index: int | None, before: list[Any], place: int) -> dict[str, Any] | None:
        """Return the call that a delta goes on with; None where it begins one."""
        identifier, name = delta.get("id"), _function(delta).get("name")
        named = self._by_id.get(identifier) if isinstance(identifier, str) else None
        if named is not None and (index is None or _index(named) == index):
            return named
        if index is not None:
            known = self._at.get(index)
        elif place >= 0:  # several at once, without an index: each goes on with the one that stands where it stands
            known = before[place] if place < len(before) else None
        else:
            known = self.calls[-1] if self.calls else None
        if known is None or not isinstance(name, str) or not name:
            return known  # without a name nothing begins, whatever the id
        function, has_id = _function(known), bool(known.get("id"))
        arguments = settled(function.get("arguments"))
        if identifier and (has_id or index is None):
            return known if arguments and name == function.get("name") and not _is_whole(arguments) else None
        if arguments and not identifier and _is_whole(arguments):
            repeated = name == function.get("name") and not _function(delta).get("arguments")
            return known if repeated else None
        return known

    def _begin(self, delta: dict[str, Any], index: int | None) -> None:
        call = copy.deepcopy(delta)
        self.calls.append(call)
        if index is not None:
            self._at[index] = call
        if isinstance(call.get("id"), str) and call["id"]:
            self._by_id[call["id"]] = call


def _go_on(call: dict[str, Any], delta: dict[str, Any]) -> None:
    """Add a delta to its call: the first id stays, a name grows until arguments come and is not said twice."""
    rest = {key: value for key, value in delta.items() if not (key == "id" and call.get("id"))}
    given, function = rest.get("function"), call.get("function")
    if isinstance(given, dict) and isinstance(function, dict):
        rest["function"] = {key: value for key, value in given.items() if key != "name"}
        function["name"] = longer_name(function.get("name"), given.get("name"), bool(function.get("arguments")))
        said = settled(function.get("arguments")) if delta.get("id") else None
        if said and given.get("arguments") == said and _is_whole(said):
            del rest["function"]["arguments"]  # the whole call once more, as its end
    merge(call, rest)


def longer_name(known: Any, piece: Any, arguments_began: bool) -> Any:
    """Return a name after one more piece of it; a piece that repeats it, or comes after its arguments began, is none."""
    if not isinstance(piece, str) or not piece:
        return known
    if not isinstance(known, str) or not known:
        return piece
    if arguments_began or piece == known:
        return known
    return piece if piece.startswith(known) else known + piece


def _index(delta: dict[str, Any]) -> int | None:
    index = delta.get("index")
    if isinstance(index, str) and index.isdecimal() and len(index) < 9:
        return int(index)
    return index if isinstance(index, int) and not isinstance(index, bool) else None


def _function(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    return function if isinstance(function, dict) else {}


def _is_whole(arguments: Any) -> bool:
    if not isinstance(arguments, str) or len(arguments) > _LONGEST_ARGUMENTS:
        return False
    if not arguments.rstrip().endswith("}"):
        return False
    try:
        return isinstance(loads(arguments), dict)
    except ValueError:
        return False
