"""The item browser of the Evaluate panel: which items of a suite two sides differ on, how they failed, and one of them in full."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shadownb.engine.evals.evaluation.evaluation import Evaluation
    from shadownb.engine.evals.evaluation.graded import Graded

PAGE = 20
_SHORT, _LONGEST = 160, 20_000  # characters on the page of a list's cell, of a text
_LONGEST_DIFF = 4000  # tokens; a longer pair is compared by lines

Pair = tuple["Graded", "Graded"]  # of the side that is compared with, of the one that is looked at


def _score(graded: Graded) -> float | None:
    return graded.score


def _worse(pair: Pair) -> bool:
    before, after = pair[0].score, pair[1].score
    return before is not None and after is not None and after < before


def _better(pair: Pair) -> bool:
    return _worse((pair[1], pair[0]))


def _outcome(word: str) -> Callable[[Pair], bool]:
    return lambda pair: any(word in str((v or {}).get("outcome", "")) for v in pair[1].verdicts)


def _by_extraction(pair: Pair) -> bool:
    verdicts = [verdict for verdict in pair[1].verdicts if verdict is not None]
    return any(value != verdict["value"] for verdict in verdicts for value in verdict["rules"].values())


# id -> (title, whether it holds of a pair of the side that is compared with and the one that is looked at)
FILTERS: dict[str, tuple[str, Callable[[Pair], bool]]] = {
    "all": ("All items", lambda pair: True),
    "worse": ("Got worse", _worse),
    "better": ("Got better", _better),
    "flipped": ("Flipped either way", lambda pair: _worse(pair) or _better(pair)),
    "failed": ("Failed", lambda pair: pair[1].score is not None and pair[1].score < 1),
    "timed_out": ("Timed out", _outcome("timed out")),
    "extraction": ("Extraction changed the verdict", _by_extraction),
    "cut": ("Cut at the limit", lambda pair: any("cut at the limit" in turn.notes for turn in pair[1].turns if turn)),
    "no_answer": ("No answer", lambda pair: any(pair[1].errors)),
    "ungraded": ("Not graded", lambda pair: any(v is not None and v["value"] is None for v in pair[1].verdicts)),
}


def pairs(evaluation: Evaluation, suite: str, side: str, to: str) -> list[Pair]:
    """Return a suite's items as both sides answered them."""
    return list(zip(evaluation.items(suite, to), evaluation.items(suite, side), strict=True))


def listed(evaluation: Evaluation, asked: dict[str, Any]) -> dict[str, Any]:
    """Return a page of the list.

    Parameters
    ----------
    asked
        ``suite``, ``side``, ``to``, ``filter``, ``page`` (from 0).
    """
    whole = pairs(evaluation, asked["suite"], asked["side"], asked["to"])
    holds = FILTERS[asked["filter"]][1]
    found = [pair for pair in whole if holds(pair)]
    if asked["filter"] in ("worse", "flipped"):
        found.sort(key=lambda pair: (pair[1].score or 0.0) - (pair[0].score or 0.0))
    page = max(0, min(int(asked["page"]), (len(found) - 1) // PAGE))
    shown = found[page * PAGE : (page + 1) * PAGE]
    return {
        **asked,
        "page": page,
        "pages": max(1, -(-len(found) // PAGE)),
        "count": len(found),
        "filters": [
            {"id": name, "title": title, "count": sum(map(test, whole))} for name, (title, test) in FILTERS.items()
        ],
        "items": [{"id": pair[1].item.id, "asked": _short(_asked(pair[1])), "cells": _cells(pair)} for pair in shown],
    }


def _cells(pair: Pair) -> list[dict[str, Any]]:
    return [{"score": _score(each), "words": _words(each)} for each in pair]


def _words(graded: Graded) -> str:
    """Return how an item came out, in a word or two."""
    if any(graded.errors):
        return "no answer"
    verdicts = [verdict for verdict in graded.verdicts if verdict is not None]
    if not verdicts:
        return "not graded yet" if any(graded.turns) else "not asked yet"
    if graded.score is None:
        return "cannot be graded"
    return str(verdicts[0]["outcome"] or "") if len(verdicts) == 1 else f"{len(verdicts)} samples"


def _asked(graded: Graded) -> str:
    messages = graded.item.messages
    content = messages[-1].get("content") if messages else None
    return content if isinstance(content, str) else "" if content is None else json.dumps(content, ensure_ascii=False)


def detail(evaluation: Evaluation, suite: str, identity: str, side: str, to: str) -> dict[str, Any]:
    """Return one item in full: what was asked and expected, what each side answered, and how two of them differ."""
    found = {each: _item(evaluation, suite, each, identity) for each in evaluation.sides}
    item = found[side].item
    answers = [
        {"side": name, "samples": [_sample(graded, at) for at in range(evaluation.samples)]}
        for name, graded in found.items()
    ]
    before, after = (_graded_text(found[each]) for each in (to, side))
    return {
        "id": identity,
        "suite": suite,
        "messages": [
            {"role": str(message.get("role", "")), "text": _long(_content(message))} for message in item.messages
        ],
        "expected": _long(item.expected),
        "answers": answers,
        "diff": diff(before, after) if side != to and before is not None and after is not None else [],
        "between": [to, side],
    }


def _item(evaluation: Evaluation, suite: str, side: str, identity: str) -> Graded:
    return next(each for each in evaluation.items(suite, side) if each.item.id == identity)


def _content(message: dict[str, Any]) -> str:
    content = message.get("content")
    calls = message.get("tool_calls")
    text = content if isinstance(content, str) else "" if content is None else json.dumps(content, ensure_ascii=False)
    return text + (f"\n{json.dumps(calls, ensure_ascii=False)}" if calls else "")


def _sample(graded: Graded, at: int) -> dict[str, Any]:
    turn, verdict = graded.turns[at], graded.verdicts[at] or {}
    text = (turn.raw or turn.text) if turn is not None else ""
    extracted = str(verdict.get("extracted") or "")
    return {
        "text": _long(text),
        "extracted": _long(extracted) if extracted and extracted != text else "",
        "score": verdict.get("value"),
        "outcome": str(verdict.get("outcome") or ""),
        "reason": str(verdict.get("reason") or "")[:_LONGEST],
        "error": graded.errors[at],
        "notes": list(turn.notes) if turn is not None else [],
        "rules": dict(verdict.get("rules") or {}),
        "answered": turn is not None,
        "graded": bool(verdict),
    }


def _graded_text(graded: Graded) -> str | None:
    """Return the part of the first graded answer that was graded; None where there is none."""
    for turn, verdict in zip(graded.turns, graded.verdicts, strict=True):
        if turn is not None:
            return str((verdict or {}).get("extracted") or turn.text)
    return None


def diff(before: str, after: str) -> list[list[str]]:
    """Return ``[what, text]`` pieces that make ``after`` of ``before``: ``same``, ``removed``, ``added``; by words or by lines."""
    before, after = before[:_LONGEST], after[:_LONGEST]
    old, new = _words_of(before), _words_of(after)
    if len(old) + len(new) > _LONGEST_DIFF:
        old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    pieces: list[list[str]] = []
    removed = added = ""
    codes = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    for place, (what, i, j, k, m) in enumerate(codes):
        before, after = "".join(old[i:j]), "".join(new[k:m])
        if what != "equal" or (not before.strip() and removed and added and place + 1 < len(codes)):
            removed, added = removed + before, added + after  # blanks between two changes are part of one
            continue
        pieces += [[name, text] for name, text in (("removed", removed), ("added", added)) if text]
        removed = added = ""
        pieces.append(["same", before])
    return pieces + [[name, text] for name, text in (("removed", removed), ("added", added)) if text]


def _words_of(text: str) -> list[str]:
    return re.findall(r"\w+|\s+|[^\w\s]", text)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHORT else f"{text[:_SHORT]}…"


def _long(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text):,} characters)"
