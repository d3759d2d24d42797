"""What a judge wrote, read: a score for each answer by its id, or why there is none. Nothing is padded, shifted or guessed."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shadownb.engine.scoring.answers import without_reasoning

HIGHEST = 10


class Unreadable(Exception):
    """Why a judge's reply has no verdict."""


@dataclass(frozen=True)
class Verdict:
    """What a judge said of one answer.

    Attributes
    ----------
    score
        From 0 to 1.
    reason
        In its words.
    """

    score: float
    reason: str = ""


def schema_of(ids: Sequence[str], *, each_once: bool) -> dict[str, Any]:
    """Return the JSON schema of a reply about answers with these ids; the reason stands before the score that follows from it.

    Parameters
    ----------
    each_once
        Whether the form itself holds a verdict on each answer, in their order: a small model else names one answer twice and
        another not at all. Strict modes of servers do not know the keyword for it (``prefixItems``).
    """
    listed: dict[str, Any] = {"type": "array", "minItems": len(ids), "maxItems": len(ids)}
    if each_once:
        listed |= {"prefixItems": [_one_schema({"const": name}) for name in ids], "items": False}
    else:
        listed["items"] = _one_schema({"enum": list(ids)})
    return {
        "type": "object",
        "properties": {"verdicts": listed},
        "required": ["verdicts"],
        "additionalProperties": False,
    }


def _one_schema(answer: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "answer": answer,
            "reason": {"type": "string", "maxLength": 240},
            "score": {"type": "integer", "minimum": 0, "maximum": HIGHEST},
        },
        "required": ["answer", "reason", "score"],
        "additionalProperties": False,
    }


def read(text: str, ids: Sequence[str]) -> dict[str, Verdict]:
    """Return the verdict of each id.

    The last value in the reply that is one counts: before it a judge thinks, and quotes. Reasoning in ``<think>`` is no part of the
    reply, prose and code fences around the JSON are skipped.

    Raises
    ------
    Unreadable
        There is no verdict in it; or an answer has none, has two that differ, or one outside 0 to 10.
    """
    answer = without_reasoning(text)
    if not answer.strip():
        raise Unreadable("the judge wrote nothing")
    problem = "there is no JSON with verdicts in the judge's reply"
    for value in reversed(list(_values(answer))):
        listed = _listed(value, ids)
        if listed is not None:
            try:
                return _by_id(listed, ids)
            except Unreadable as error:
                problem = str(error)
                break
    else:
        if (found := _from_prose(answer, ids)) is not None:
            return found
    raise Unreadable(problem)


def _values(text: str) -> list[Any]:
    """Return the JSON objects and lists in a text, outermost ones, in order."""
    decoder, at, found = json.JSONDecoder(), 0, []
    while (start := min((place for mark in "{[" if (place := text.find(mark, at)) >= 0), default=-1)) >= 0:
        try:
            value, at = decoder.raw_decode(text, start)
            found.append(value)
        except ValueError:
            at = start + 1
    return found


def _listed(value: Any, ids: Sequence[str]) -> list[Any] | None:
    """Return the verdicts that a value holds, or None where it is something else."""
    if isinstance(value, dict):
        if isinstance(value.get("verdicts"), list):
            return list(value["verdicts"])
        if "score" in value:
            return [value]
        if value and set(value) <= set(ids):
            return [
                {"answer": name, **(each if isinstance(each, dict) else {"score": each})}
                for name, each in value.items()
            ]
        return None
    if isinstance(value, list) and value and all(isinstance(each, dict) and "score" in each for each in value):
        return value
    return None


def _by_id(listed: list[Any], ids: Sequence[str]) -> dict[str, Verdict]:
    found: dict[str, Verdict] = {}
    for each in listed:
        if not isinstance(each, dict):
            raise Unreadable(f"a verdict is {each!r:.60}")
        name = str(each.get("answer", ids[0] if len(ids) == 1 else "")).strip()
        if name not in ids:
            raise Unreadable(f"there is a verdict on {name!r:.40}, which is no answer")
        verdict = Verdict(_score(each.get("score"), name), str(each.get("reason") or ""))
        if name in found and found[name].score != verdict.score:
            raise Unreadable(f"answer {name} has two verdicts that differ")
        found[name] = verdict
    missing = [name for name in ids if name not in found]
    if missing:
        raise Unreadable(f"there is no verdict on {', '.join(missing)}")
    return found


def _score(value: Any, name: str) -> float:
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:/\s*10)?\s*", value)
        value = float(match[1]) if match else value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= HIGHEST:
        raise Unreadable(f"the score of {name} is {value!r:.40}, not a number from 0 to {HIGHEST}")
    return float(value) / HIGHEST


def _from_prose(text: str, ids: Sequence[str]) -> dict[str, Verdict] | None:
    """Return verdicts from lines such as ``Answer B: 7/10``; the last line on an answer counts, each needs one."""
    found: dict[str, Verdict] = {}
    for name in ids:
        line = re.compile(
            rf"^\W*(?:answer\s+)?{re.escape(name)}\W*(?:score)?\W*(\d+(?:\.\d+)?)\s*(?:/\s*{HIGHEST})?\W*$", re.I | re.M
        )
        if not (matches := line.findall(text)):
            return None
        value = float(matches[-1])
        if value > HIGHEST:
            return None
        found[name] = Verdict(value / HIGHEST, "")
    return found
