"""What the Facts panel shows: facts with their recall, a route with its scores, the code of an edit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

MOST = 200  # facts on the page; more are found by asking
_LONGEST = 500  # characters of a text on the page
_SNAPSHOT = 10


def found(facts: Sequence[Any], route: Callable[[str], Any]) -> list[tuple[Any, Any]]:
    """Return the facts that go to the page, each with where its own question goes."""
    return [(fact, route(fact.question)) for fact in facts[:MOST]]


def of_facts(found: Sequence[tuple[Any, Any]], tests: Mapping[Any, Any]) -> list[dict[str, Any]]:
    """Return rows of the table: each fact, whether its own question finds it, and how it was last recalled."""
    rows = []
    for fact, route in found:
        best = route.candidates[0] if route.candidates else None
        test = tests.get(fact)
        rows.append(
            {
                "question": fact.question,
                "answer": fact.answer,
                "source": fact.source,
                "found": best is not None and not route.abstains and best.fact == fact,
                "score": best.score if best is not None else None,
                "recalled": None if test is None else {
                    "verbatim": test.verbatim, "paraphrased": test.paraphrased, "of": test.paraphrases,
                    "said": short(test.said),
                },
            }
        )  # fmt: skip
    return rows


def of_route(route: Any, told: Any, alone: Any) -> dict[str, Any]:
    """Return a question with its route and the answers with the memory and without."""
    return {
        "question": route.question,
        "why": route.why,
        "abstains": route.abstains,
        "threshold": route.threshold,
        "candidates": [
            {
                "question": short(each.fact.question),
                "answer": short(each.fact.answer),
                "score": each.score,
                "words": each.signals.lexical,
                "meaning": each.signals.semantic,
                "asked": each.signals.asked,
                "taken": each.fact in route.facts,
            }
            for each in route.candidates[:5]
        ],
        "told": short(told.content),
        "alone": short(alone.content),
        "sources": list(told.sources),
    }


def code(model: str, action: str, texts: Sequence[str]) -> dict[str, str]:
    """Return the cell and the magic that do the same."""
    named = [f"{text!r}" for text in texts[:2]] + [f"source={text!r}" for text in texts[2:]]
    call = f"{model}.facts.{action}({', '.join(named)})"
    flags = "".join(f" --source {_typed(text)}" for text in texts[2:])
    magic = " ".join(["%shadow facts", action, model, *map(_typed, texts[:2])]) + flags
    return {"python": f"{call}.why" if action == "route" else call, "magic": magic}


def snapshot(name: str, count: int, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the facts as lines of text."""
    if not name:
        return "ShadowNB facts\nNo model."
    lines = [f"ShadowNB facts\n{name} knows {count} by heart."]
    lines += [f"{row['question']} {row['answer']}" for row in rows[:_SNAPSHOT]]
    return "\n".join(lines + ([f"and {count - _SNAPSHOT} more"] if count > _SNAPSHOT else []))


def short(text: str) -> str:
    """Return a text as it goes to the page."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text):,} characters)"


def _typed(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
