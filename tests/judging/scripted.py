"""A judge whose replies a test writes, and which notes what it was asked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from shadownb.engine.inference import Reply

Say = Callable[[dict[str, str], str], str]


class ScriptedJudge:
    """Answers each prompt with what ``say(answers by letter, whole prompt)`` returns."""

    name = "scripted"
    has_base = False

    def __init__(self, say: Say) -> None:
        self.say = say
        self.prompts: list[str] = []

    def chat(self, messages: Any, tools: Any = None, **sampling: Any) -> list[Reply]:
        replies = []
        for turns in messages:
            prompt = turns[-1]["content"]
            self.prompts.append(prompt)
            shown = dict(re.findall(r"<answer (\w+)>\n(.*?)\n</answer \1>", prompt, re.S))
            text = self.say(shown, prompt)
            replies.append(Reply(text, raw=text))
        return replies


def verdicts(scores: dict[str, Any], reason: str = "so it is") -> str:
    """Return a well-formed reply."""
    return json.dumps({"verdicts": [{"answer": name, "reason": reason, "score": s} for name, s in scores.items()]})


def by_text(worth: dict[str, float]) -> Say:
    """A judge that knows what each answer is worth, from 0 to 10."""
    return lambda shown, _: verdicts({name: worth[text] for name, text in shown.items()})
