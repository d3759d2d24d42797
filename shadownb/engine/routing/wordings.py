"""A question in other wordings, so that what is learned answers the fact and not one sentence."""

from __future__ import annotations

from shadownb.engine.routing.words import _WORD, STOP_WORDS, stem

MOST = 6


def wordings(question: str, count: int) -> list[str]:
    """Return a question and other forms of it, ``count`` at most, each once: with other openings, as key words, turned round."""
    bare = question.strip().rstrip("?.! ")
    kept = [word for word in _WORD.findall(bare) if stem(word.lower()) not in STOP_WORDS]
    lowered = bare[:1].lower() + bare[1:]
    forms = [
        question,
        f"{' '.join(kept)}?",
        f"Please tell me: {lowered}?",
        f"{', '.join(reversed(kept))}: what do you know?",
        f"I would like to know something about {' '.join(kept[-3:])}. {bare}?",
        f"{' '.join(reversed(kept))}",
    ]
    return list(dict.fromkeys(form for form in forms if form.strip(" ?:,.")))[:count]
