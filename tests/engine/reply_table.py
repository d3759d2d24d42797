"""What becomes of a row when a template writes it and the parser reads it: the table of docs/reply-parsing.md.

``python -m tests.engine.reply_table`` prints it, ``--write`` puts it into the page.
``test_replies_families`` fails where the page says something else.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

from shadownb.engine.inference.text import AnswerText
from shadownb.engine.rendering import Renderer
from shadownb.engine.replies import ParsedReply, collected
from shadownb.errors import DataError
from tests.engine.template_families import family, names

PAGE = Path(__file__).parents[2] / "docs" / "reply-parsing.md"

TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": "Probe.",
            "parameters": {
                "type": "object",
                "properties": {
                    "rec": {"type": "object", "description": "d"},
                    "code": {"type": "string", "description": "d"},
                    "deep": {"type": "boolean", "description": "d"},
                    "many": {"type": "array", "description": "d", "items": {"type": "string"}},
                },
            },
        },
    }
    for name in ("save", "look")
]


def call(name: str, **arguments: Any) -> dict[str, Any]:
    """A call as rows have it."""
    return {"id": "callid123", "type": "function", "function": {"name": name, "arguments": arguments}}


NESTED = {"name": "Ann", "arguments": {"x": 1}}
HARD = "it's \"so\" \\ {1}\nend, b='c')"

ANSWERS: dict[str, dict[str, Any]] = {
    "text": {"content": "Two *words* and {braces}."},
    "reasoning": {"content": "Fine.", "reasoning_content": "First this.\n\nThen that."},
    "call": {"content": "", "tool_calls": [call("save", code="007", deep=True)]},
    "text and call": {"content": "I look.", "tool_calls": [call("look", code="x")]},
    "parallel calls": {
        "content": "",
        "tool_calls": [call("save", code="1"), {**call("look", code="2"), "id": "callid456"}],
    },
    "nested name": {"content": "", "tool_calls": [call("save", rec=NESTED, code="007")]},
    "hard strings": {"content": "", "tool_calls": [call("save", code=HARD, many=["a, b", "it's"])]},
}


def row_of(answer: dict[str, Any]) -> dict[str, Any]:
    """A canonical row that ends in an answer."""
    row: dict[str, Any] = {"messages": [{"role": "user", "content": "What is it?"}, {"role": "assistant", **answer}]}
    return {**row, "tools": TOOLS} if "tool_calls" in answer else row


def trained_text(renderer: Renderer, row: dict[str, Any]) -> tuple[str, list[int]] | None:
    """Return the text that is trained as a row's answer, decoded as a generation is, and the prompt before it."""
    sequence = renderer.render_all(row)[-1]
    if not sequence.trained_tokens:
        return None
    start = sequence.first_trained
    answer = AnswerText(renderer.tokenizer, dropped=renderer.dropped_token_ids)
    for token in sequence.input_ids[start:]:
        if token in renderer.stop_token_ids:
            break
        answer.push(token)
    answer.finish()
    return answer.text, sequence.input_ids[:start]


def expected(answer: dict[str, Any]) -> tuple[str, str, list[tuple[str, dict[str, Any]]]]:
    """What the parser must give back."""
    calls = [(each["function"]["name"], each["function"]["arguments"]) for each in answer.get("tool_calls", ())]
    return answer["content"], answer.get("reasoning_content", ""), calls


def got(reply: ParsedReply) -> tuple[str, str, list[tuple[str, dict[str, Any]]]]:
    """What the parser gives back."""
    return reply.content, reply.reasoning, [(each["name"], each["arguments"]) for each in reply.tool_calls]


def streamed(renderer: Renderer, text: str, prompt: list[int], tools: Any, seed: int) -> ParsedReply:
    """Read the text in pieces of random length."""
    pieces = random.Random(seed)
    reader = renderer.open_reader(prompt, tools)
    parts = []
    at = 0
    while at < len(text):
        size = pieces.randint(1, 4)
        parts += reader.feed(text[at : at + size])
        at += size
    parts += reader.finish()
    return collected(parts, reasoning_open=reader.reasoning_open)


def outcome(renderer: Renderer, answer: dict[str, Any]) -> str:
    """Return the cell of one answer."""
    row = row_of(answer)
    try:
        written = trained_text(renderer, row)
    except DataError as error:
        return (
            "refused"
            if error.code in ("template-refused", "tools-not-rendered", "template-drops")
            else f"refused ({error.code})"
        )
    if written is None:
        return "not trained"
    text, prompt = written
    reply = renderer.read_reply(text, row.get("tools", []), prompt=prompt)
    for seed in range(3):
        assert streamed(renderer, text, prompt, row.get("tools", []), seed) == reply, "a stream reads something else"
    if reply.malformed_calls:
        return "malformed"
    want, have = expected(answer), got(reply)
    if want == have:
        return "yes"
    if want == (have[0].lstrip(" "), *have[1:]):
        return "behind a blank"  # that the template writes, and so the model
    if want[0] not in text or want[1] not in text:
        return "dropped"  # by the template: there is nothing to read
    if want[0] and not have[0] and have[1] == want[0]:
        return "as reasoning"  # what the template makes of it
    return "NO"


def table() -> str:
    """Return the table as Markdown."""
    lines = ["| template | parser | " + " | ".join(ANSWERS) + " |", "|---" * (len(ANSWERS) + 2) + "|"]
    for name in names():
        renderer = Renderer(family(name))
        parser = ", ".join(renderer.markup.names)
        cells = [outcome(renderer, answer) for answer in ANSWERS.values()]
        lines.append(f"| {name} | {parser} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write() -> None:
    """Put the table into the page."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition("| template | parser |")
    behind = rest.partition("|\n\n")[2]
    PAGE.write_text(f"{before}{table()}\n\n{behind}", encoding="utf-8")


if __name__ == "__main__":
    write() if "--write" in sys.argv else print(table())
