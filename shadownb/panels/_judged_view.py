"""What the Judge panel shows of judged groups: a summary, a list that begins with disagreements, one group in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from shadownb.engine.judging import Disagreement, JudgedGroups
from shadownb.engine.trajectories import Trajectory
from shadownb.engine.trajectories.identity import message_text, role_of

PAGE = 15
FILTERS = {
    "disagreements": "Disagreements",
    "all": "All groups",
    "unscored": "Without a score",
    "rated": "Rated by people",
}
_SHORT, _LONG = 140, 6000  # characters


def numbers(judged: JudgedGroups) -> list[tuple[int, int]]:
    """Return group and place of each attempt, by its number over all groups."""
    return [(at, place) for at, group in enumerate(judged) for place in range(len(group))]


def summary(judged: JudgedGroups, people: Mapping[int, float]) -> dict[str, Any]:
    """Return what stands above the list."""
    scores = [reward for group in judged for reward in group.rewards if reward is not None]
    return {
        "groups": len(judged),
        "attempts": len(scores) + judged.unscored,
        "unscored": judged.unscored,
        "mean": fmean(scores) if scores else None,
        "rated": len(people),
        "requests": judged.judge.requests,
        "reused": judged.judge.reused,
        "cost": judged.judge.cost or None,
        "lines": repr(judged).splitlines()[1:],
        "pairs": _pairs(judged),
    }


def _pairs(judged: JudgedGroups) -> int:
    """Return how many pairs of attempts have different scores."""
    count = 0
    for group in judged:
        known = [reward for reward in group.rewards if reward is not None]
        count += sum(one != other for at, one in enumerate(known) for other in known[at + 1 :])
    return count


def listed(
    judged: JudgedGroups, people: Mapping[int, float], found: Sequence[Disagreement], chosen: str, page: int
) -> dict[str, Any]:
    """Return a page of the list; groups with a disagreement first, those with people before those of orders."""
    first = {each.group: each for each in reversed(found)}
    rated = {at for number, (at, _) in enumerate(numbers(judged)) if number in people}
    order = [*dict.fromkeys(each.group for each in found), *(at for at in range(len(judged)) if at not in first)]
    holds = {
        "disagreements": lambda at: at in first,
        "all": lambda at: True,
        "unscored": lambda at: None in judged[at].rewards,
        "rated": lambda at: at in rated,
    }
    fitting = [at for at in order if holds[chosen](at)]
    page = max(0, min(page, (len(fitting) - 1) // PAGE))
    shown = fitting[page * PAGE : (page + 1) * PAGE]
    return {
        "filter": chosen,
        "filters": [
            {"id": key, "title": words, "count": sum(map(holds[key], order))} for key, words in FILTERS.items()
        ],
        "page": page,
        "pages": max(1, -(-len(fitting) // PAGE)),
        "count": len(fitting),
        "rows": [_row(judged, at, first.get(at)) for at in shown],
    }


def _row(judged: JudgedGroups, at: int, found: Disagreement | None) -> dict[str, Any]:
    group = judged[at]
    return {
        "group": at,
        "task": _cut(" ".join(group.task.split()), _SHORT) or "(no text)",
        "scores": group.rewards,
        "kind": found.kind if found else "",
        "what": found.what
        if found
        else next((w for w in judged.judgements[at].failed), "")
        if None in group.rewards
        else "",
    }


def opened(judged: JudgedGroups, people: Mapping[int, float], at: int, found: Sequence[Disagreement]) -> dict[str, Any]:
    """Return a group in full: attempts, scores, reasons."""
    group, judgement = judged[at], judged.judgements[at]
    first = sum(len(each) for each in judged[:at])
    task, attempts = shown(group[0]), []
    for place, (attempt, score, spread) in enumerate(zip(group, judgement.scores, judgement.spread, strict=True)):
        attempts.append(
            {
                "number": first + place,
                "text": shown(attempt)["answer"],
                "score": score.value,
                "reason": score.reason,
                "spread": spread,
                "people": people.get(first + place),
                "rank": attempt.metrics.get("rank"),
                "about": ", ".join(str(attempt.metadata[k]) for k in ("side", "kind") if k in attempt.metadata),
            }
        )
    return {
        "group": at,
        "task": task["task"],
        "attempts": attempts,
        "orders": judgement.orders,
        "failed": list(dict.fromkeys(judgement.failed)),
        "found": [each.what for each in found if each.group == at],
    }


def shown(attempt: Trajectory) -> dict[str, str]:
    """Return task and answer of an attempt as text."""
    begin = next((n for n, m in enumerate(attempt.messages) if role_of(m) == "assistant"), len(attempt.messages))
    parts = [_lines(attempt.messages[:begin]), _lines(attempt.messages[begin:])]
    return dict(zip(("task", "answer"), parts, strict=True))


def _lines(messages: Sequence[dict[str, Any]]) -> str:
    said = [(role_of(message), message_text(message) or _calls(message)) for message in messages]
    return _cut("\n\n".join(f"{role}: {text}" if len(said) > 1 else text for role, text in said), _LONG)


def _calls(message: Mapping[str, Any]) -> str:
    calls = [call.get("function", call) for call in message.get("tool_calls") or ()]
    return " ".join(f"{call.get('name')}({call.get('arguments')})" for call in calls)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"
