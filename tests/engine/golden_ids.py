"""Write tests/engine/golden_rendering/rendered_ids.json: what ordinary rows become, for every family of templates."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from shadownb.engine.data import Dataset
from shadownb.engine.rendering import Renderer
from shadownb.errors import DataError
from tests.engine.template_families import family, names

PATH = Path(__file__).parent / "golden_rendering" / "rendered_ids.json"
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Weather of a town.",
            "parameters": {"type": "object", "properties": {"town": {"type": "string", "description": "Where."}}},
        },
    }
]
USER = {"role": "user", "content": "What is the weather in Bern?"}
CALL = {"id": "call_00000001", "type": "function", "function": {"name": "weather", "arguments": {"town": "Bern"}}}
CALLS = {"role": "assistant", "content": "", "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "call_00000001", "name": "weather", "content": "sunny <b>24</b>"}
ANSWER = {"role": "assistant", "content": "It is sunny.\n\nThe end."}
ROWS: dict[str, dict[str, Any]] = {
    "one turn": {"messages": [USER, ANSWER]},
    "system": {"messages": [{"role": "system", "content": "Be short.\n"}, USER, ANSWER]},
    "two turns": {"messages": [USER, ANSWER, {"role": "user", "content": "And now, a < b?"}, ANSWER]},
    "tools": {"messages": [USER, CALLS, RESULT, ANSWER], "tools": TOOLS},
}


def digest(ids: Any) -> str:
    """A short hash of ids."""
    return hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:12]


def outcome(renderer: Renderer, row: dict[str, Any]) -> str:
    """The hash of a row's sequences and of its prompt, or the code of what is refused."""
    row = Dataset.from_list([row]).canonical_rows()[0]
    try:
        sequences = [[part.input_ids, part.labels] for part in renderer.render_all(row)]
        return digest([sequences, renderer.render_prompt(row["messages"][:-1], row.get("tools"))])
    except DataError as error:
        return str(error.code)


def found(name: str) -> dict[str, str]:
    """The outcome of each ordinary row for a family."""
    renderer = Renderer(family(name))
    return {label: outcome(renderer, row) for label, row in ROWS.items()}


if __name__ == "__main__":
    PATH.write_text(json.dumps({name: found(name) for name in names()}, indent=1) + "\n", encoding="utf-8")
