"""Rows as public data sets have them, what each becomes, and the table in the docs that is made of both.

``python -m tests.engine.data_shapes`` writes docs/data-shapes.md; a test fails while the file says something else.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shadownb.engine.data import Dataset
from shadownb.engine.data.unread import LONGEST_LABEL

Row = dict[str, Any]
TABLE = Path(__file__).parents[2] / "docs" / "data-shapes.md"


@dataclass(frozen=True)
class Shape:
    """One shape of rows.

    Attributes
    ----------
    title, seen_in
        What it is called, and public sets or tools that have it.
    rows
        An example; more than one row where the shape needs several.
    becomes
        The first row in canonical form; None where the set is refused as it stands.
    options
        How the rows are read, where a plain reading refuses them.
    unread
        What is not read: name to kind.
    """

    title: str
    seen_in: str
    rows: list[Row]
    becomes: Row | None
    format: str = "instruction"
    options: dict[str, Any] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)


def system(text: str) -> Row:
    return {"role": "system", "content": text}


def user(text: str) -> Row:
    return {"role": "user", "content": text}


def assistant(text: str, **more: Any) -> Row:
    return {"role": "assistant", "content": text, **more}


def calls(name: str, arguments: Row, text: str = "") -> Row:
    return assistant(text, tool_calls=[{"type": "function", "function": {"name": name, "arguments": arguments}}])


def result(text: str, **more: Any) -> Row:
    return {"role": "tool", "content": text, **more}


def chat(*messages: Row, **more: Any) -> Row:
    return {"messages": list(messages), **more}


CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"type": "function", "function": {"name": "weather", "description": "Of a city.", "parameters": CITY}}
LOOK = {"name": "weather", "arguments": {"city": "Oskin"}}
GOOD, BAD = "In 1911.", "Never."
PAIR = {"prompt": [user("When did it open?")], "chosen": [assistant(GOOD)], "rejected": [assistant(BAD)]}
ASKED = chat(user("When did it open?"), assistant(GOOD))
M, R = "metadata", "repeats what was read"
HH = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: When did it open?\n\nAssistant: "
FRAME = "Below is an instruction.\n\n### Instruction:\n{}\n\n### Response:\n{}"
GLAIVE = "SYSTEM: You are a helpful assistant with access to the following functions. Use them if required -\n"
GLAIVE_CHAT = (
    'USER: Weather in Oskin?\n\n\nASSISTANT: <functioncall> {"name": "weather", "arguments": \'{"city": "Oskin"}\'} '
    '<|endoftext|>\n\n\nFUNCTION RESPONSE: {"sky": "clear"}\n\n\nASSISTANT: It is clear. <|endoftext|>'
)
HERMES = "<tool_call>\n" + json.dumps(LOOK) + "\n</tool_call>"
USED = [user("Weather in Oskin?"), calls("weather", {"city": "Oskin"})]

SHAPES = [
    # -- one question, one answer
    Shape(
        "prompt, completion",
        "trl, gsm8k as question, answer",
        [{"question": "2+2?", "answer": "4"}],
        chat(user("2+2?"), assistant("4")),
    ),
    Shape(
        "instruction, input, output, text",
        "alpaca",
        [
            {
                "instruction": f"Add {n}.",
                "input": "2+2",
                "output": f"{n + 4}",
                "text": FRAME.format(f"Add {n}.\n2+2", n + 4),
            }
            for n in range(3)
        ],
        chat(user("Add 0.\n\n2+2"), assistant("4")),
        unread={"text": R},
    ),
    Shape(
        "instruction, context, response, category",
        "dolly",
        [
            {
                "instruction": "When did it open?",
                "context": "The pier opened in 1911.",
                "response": GOOD,
                "category": "closed_qa",
            }
        ],
        chat(user("When did it open?\n\nThe pier opened in 1911."), assistant(GOOD)),
        unread={"category": M},
    ),
    Shape(
        "system_prompt, question, response",
        "OpenOrca",
        [{"id": "flan.1", "system_prompt": "Be brief.", "question": "When did it open?", "response": GOOD}],
        chat(system("Be brief."), *ASKED["messages"]),
        unread={"id": M},
    ),
    Shape(
        "instruction beside question",
        "hand-made sets",
        [{"instruction": "Answer in one word.", "question": "Capital of Veldra?", "answer": "Oskin"}],
        chat(user("Answer in one word.\n\nCapital of Veldra?"), assistant("Oskin")),
    ),
    Shape(
        "history",
        "LLaMA-Factory's alpaca format",
        [{"instruction": "third?", "input": "", "output": "c", "history": [["first?", "a"], ["second?", "b"]]}],
        chat(user("first?"), assistant("a"), user("second?"), assistant("b"), user("third?"), assistant("c")),
    ),
    Shape(
        "Question, Complex_CoT, Response",
        "medical-o1-reasoning-SFT",
        [{"Question": "When did it open?", "Complex_CoT": "It says 1911.", "Response": GOOD}],
        chat(user("When did it open?"), assistant(GOOD, reasoning_content="It says 1911.")),
    ),
    Shape(
        "headers with capitals and blanks",
        "spreadsheets",
        [{" Prompt": "When did it open?", "Completion ": GOOD, "System Prompt": "Be brief."}],
        chat(system("Be brief."), *ASKED["messages"]),
    ),
    Shape(
        "problem, solution, messages",
        "NuminaMath",
        [{"source": "olympiads", "problem": "When did it open?", "solution": GOOD, **ASKED}],
        ASKED,
        "chat",
        unread={"problem": R, "solution": R, "source": M},
    ),
    Shape(
        "question, context, answer",
        "sql-create-context",
        [{"question": "How many?", "context": "CREATE TABLE t (a INT)", "answer": "SELECT COUNT(*) FROM t"}],
        chat(user("How many?\n\nCREATE TABLE t (a INT)"), assistant("SELECT COUNT(*) FROM t")),
    ),
    Shape(
        "context, question, answers {text, answer_start}",
        "SQuAD",
        [
            {
                "id": "56be",
                "title": "Pier",
                "context": "The pier opened in 1911.",
                "question": "When?",
                "answers": {"text": ["1911", "1911"], "answer_start": [19, 19]},
            }
        ],
        chat(user("When?\n\nThe pier opened in 1911."), assistant("1911")),
        options={"ignore": ["title"]},
        unread={"id": M, "title": "ignored"},
    ),
    Shape(
        "prompt, response, scores",
        "HelpSteer",
        [{"prompt": "When did it open?", "response": GOOD, "helpfulness": 4, "correctness": 3, "verbosity": 1}],
        ASKED,
        unread={"helpfulness": M, "correctness": M, "verbosity": M},
    ),
    # -- conversations
    Shape(
        "messages, source",
        "smoltalk, ultrachat, OpenAI",
        [{**ASKED, "source": "everyday"}],
        ASKED,
        "chat",
        unread={"source": M},
    ),
    Shape(
        "prompt, prompt_id, messages",
        "ultrachat_200k, no_robots",
        [
            {
                "prompt": "When did it open?",
                "prompt_id": "f0e37e9f7800261167ce91143f98f511",
                **ASKED,
                "category": "Closed QA",
            }
        ],
        ASKED,
        "chat",
        unread={"prompt": R, "prompt_id": M, "category": M},
    ),
    Shape(
        "conversations from, value; system_prompt",
        "ShareGPT, OpenHermes 2.5",
        [
            {
                "system_prompt": "Be brief.",
                "conversations": [
                    {"from": "human", "value": "When did it open?"},
                    {"from": "gpt", "value": GOOD, "weight": None},
                ],
                "source": "airoboros2.2",
                "views": None,
                "hash": None,
            }
        ],
        chat(system("Be brief."), *ASKED["messages"]),
        "sharegpt",
        unread={"source": M},
    ),
    Shape(
        "system beside messages with a system turn",
        "exports",
        [{"system": "Answer in French.", "messages": [system("Be brief."), *ASKED["messages"]]}],
        chat(system("Answer in French.\n\nBe brief."), *ASKED["messages"]),
        "chat",
    ),
    Shape(
        "conversation [{input, output}]",
        "Capybara",
        [{"source": "Dove", "conversation": [{"input": "first?", "output": "a"}, {"input": "second?", "output": "b"}]}],
        chat(user("first?"), assistant("a"), user("second?"), assistant("b")),
        "sharegpt",
        unread={"source": M},
    ),
    Shape(
        "conversations [text, text, ...]",
        "LIMA",
        [{"conversations": ["When did it open?", GOOD], "source": "stackexchange"}],
        ASKED,
        "sharegpt",
        unread={"source": M},
    ),
    Shape(
        "conversation, language, redacted, moderation",
        "LMSYS-Chat, WildChat",
        [
            {
                "conversation_id": "33f01939a744455c869cb234afca47f1",
                "model": "vicuna-13b",
                "conversation": ASKED["messages"],
                "turn": 1,
                "language": "English",
                "openai_moderation": [{"flagged": False, "category_scores": {"hate": 0.01}}],
                "redacted": False,
            }
        ],
        ASKED,
        "sharegpt",
        unread={"conversation_id": M, "model": M, "turn": M, "language": M, "openai_moderation": M, "redacted": M},
    ),
    Shape(
        "conversations, instruction, response, ...",
        "Magpie",
        [
            {
                "uuid": "b1c2d3e4-0000-4000-8000-000000000001",
                "instruction": "When did it open?",
                "response": GOOD,
                "conversations": [{"from": "human", "value": "When did it open?"}, {"from": "gpt", "value": GOOD}],
                "intent": "The user wants to know a date.",
                "difficulty": "easy",
            }
        ],
        ASKED,
        "sharegpt",
        options={"ignore": ["intent"]},
        unread={"uuid": M, "instruction": R, "response": R, "difficulty": M, "intent": "ignored"},
    ),
    Shape(
        "per-message train, loss, weight, reasoning, thinking",
        "axolotl, ms-swift, OpenAI",
        [
            {
                "messages": [
                    user("first?"),
                    assistant("a", train=False),
                    user("second?"),
                    assistant("b", loss=True, reasoning="Hm."),
                ]
            }
        ],
        chat(
            user("first?"), assistant("a", weight=0), user("second?"), assistant("b", reasoning_content="Hm.", weight=1)
        ),
        "chat",
    ),
    Shape(
        "text with turns marked (Human, Assistant)",
        "hh-rlhf and its kin",
        [{"text": HH + GOOD}],
        chat(user("Hi"), assistant("Hello."), *ASKED["messages"]),
        "chat",
    ),
    Shape(
        "text with ### Human: and ### Assistant:",
        "openassistant-guanaco",
        [{"text": f"### Human: When did it open?### Assistant: {GOOD}"}],
        ASKED,
        "chat",
    ),
    Shape(
        "text in ChatML",
        "many",
        [{"text": f"<|im_start|>user\nWhen did it open?<|im_end|>\n<|im_start|>assistant\n{GOOD}<|im_end|>\n"}],
        ASKED,
        "chat",
    ),
    Shape(
        "text with [INST]",
        "guanaco-llama2",
        [{"text": f"<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nWhen did it open? [/INST] {GOOD} </s>"}],
        chat(system("Be brief."), *ASKED["messages"]),
        "chat",
    ),
    Shape(
        "message_id, parent_id, text, role, rank (a message a row)",
        "oasst1, oasst2",
        [
            {
                "message_id": "m1",
                "parent_id": None,
                "role": "prompter",
                "text": "When did it open?",
                "rank": None,
                "lang": "en",
                "deleted": False,
            },
            {
                "message_id": "m2",
                "parent_id": "m1",
                "role": "assistant",
                "text": BAD,
                "rank": 1.0,
                "lang": "en",
                "deleted": False,
            },
            {
                "message_id": "m3",
                "parent_id": "m1",
                "role": "assistant",
                "text": GOOD,
                "rank": 0.0,
                "lang": "en",
                "deleted": False,
            },
        ],
        ASKED,
        "chat",
        unread={"messages[].lang": M, "answers that were ranked lower, with what follows them": "left out"},
    ),
    Shape(
        "prompt {text, replies} (a tree a row)",
        "oasst trees",
        [
            {
                "message_tree_id": "m1",
                "tree_state": "ready_for_export",
                "prompt": {
                    "message_id": "m1",
                    "role": "prompter",
                    "text": "When did it open?",
                    "replies": [{"message_id": "m2", "role": "assistant", "text": GOOD, "rank": 0, "replies": []}],
                },
            }
        ],
        ASKED,
        "chat",
    ),
    Shape(
        "plain text",
        "wikitext, WikiSQL as text",
        [{"text": "table: 1-1\nQ: How many?\nA: SELECT COUNT a"}],
        {"text": "table: 1-1\nQ: How many?\nA: SELECT COUNT a"},
        "text",
    ),
    # -- tools
    Shape(
        "messages, tools",
        "OpenAI",
        [{"messages": [*USED, result("clear", name="weather")], "tools": [WEATHER], "parallel_tool_calls": False}],
        chat(*USED, result("clear", name="weather"), tools=[WEATHER]),
        "chat",
        unread={"parallel_tool_calls": M},
    ),
    Shape(
        "function_call, role function, functions",
        "OpenAI before tools",
        [
            {
                "messages": [
                    USED[0],
                    {
                        "role": "assistant",
                        "content": None,
                        "function_call": {"name": "weather", "arguments": '{"city": "Oskin"}'},
                    },
                    {"role": "function", "name": "weather", "content": "clear"},
                    assistant("It is clear."),
                ],
                "functions": [WEATHER["function"]],
            }
        ],
        chat(*USED, result("clear", name="weather"), assistant("It is clear."), tools=[WEATHER]),
        "chat",
    ),
    Shape(
        "query, answers, tools as JSON text",
        "xlam-function-calling-60k",
        [
            {
                "id": 0,
                "query": "Weather in Oskin?",
                "answers": json.dumps([LOOK]),
                "tools": json.dumps(
                    [
                        {
                            "name": "weather",
                            "description": "Of a city.",
                            "parameters": {"city": {"description": "Which.", "type": "str"}},
                        }
                    ]
                ),
            }
        ],
        chat(
            *USED,
            tools=[
                {
                    "type": "function",
                    "function": {
                        "name": "weather",
                        "description": "Of a city.",
                        "parameters": {
                            "type": "object",
                            "properties": {"city": {"description": "Which.", "type": "str"}},
                        },
                    },
                }
            ],
        ),
        unread={"id": M},
    ),
    Shape(
        "system that lists functions, chat as text",
        "glaive-function-calling-v2",
        [{"system": GLAIVE + json.dumps(WEATHER["function"], indent=1), "chat": GLAIVE_CHAT}],
        chat(
            system(GLAIVE.removeprefix("SYSTEM: ").strip()),
            *USED,
            result('{"sky": "clear"}'),
            assistant("It is clear."),
            tools=[WEATHER],
        ),
        "sharegpt",
    ),
    Shape(
        "conversations with <tool_call> in the text, tools",
        "hermes-function-calling-v1",
        [
            {
                "id": "a1",
                "conversations": [
                    {"from": "human", "value": "Weather in Oskin?"},
                    {"from": "gpt", "value": HERMES},
                    {"from": "tool", "value": "<tool_response>\nclear\n</tool_response>"},
                    {"from": "gpt", "value": "It is clear."},
                ],
                "tools": json.dumps([WEATHER]),
                "category": "Weather",
                "task": "Ask for it",
            }
        ],
        chat(*USED, result("clear"), assistant("It is clear."), tools=[WEATHER]),
        "sharegpt",
        unread={"id": M, "category": M, "task": M},
    ),
    Shape(
        "from function_call, observation; tools",
        "LLaMA-Factory's sharegpt format",
        [
            {
                "conversations": [
                    {"from": "human", "value": "Weather in Oskin?"},
                    {"from": "function_call", "value": json.dumps(LOOK)},
                    {"from": "observation", "value": "clear"},
                    {"from": "gpt", "value": "It is clear."},
                ],
                "tools": json.dumps([WEATHER["function"]]),
            }
        ],
        chat(*USED, result("clear"), assistant("It is clear."), tools=[WEATHER]),
        "sharegpt",
    ),
    Shape(
        "system, conversations; calls as Python text",
        "ToolACE",
        [
            {
                "system": "You may call: weather(city).",
                "conversations": [
                    {"from": "user", "value": "Weather in Oskin?"},
                    {"from": "assistant", "value": '[weather(city="Oskin")]'},
                ],
            }
        ],
        chat(system("You may call: weather(city)."), user("Weather in Oskin?"), assistant('[weather(city="Oskin")]')),
        "sharegpt",
    ),
    # -- preferences
    Shape(
        "prompt, chosen, rejected",
        "trl, orca_dpo_pairs with system and question",
        [{"system": "", "question": "When did it open?", "chosen": GOOD, "rejected": BAD}],
        PAIR,
        "preference",
    ),
    Shape(
        "chosen, rejected as transcripts",
        "hh-rlhf",
        [{"chosen": HH + GOOD, "rejected": HH + BAD}],
        {
            "prompt": [user("Hi"), assistant("Hello."), user("When did it open?")],
            "chosen": [assistant(GOOD)],
            "rejected": [assistant(BAD)],
        },
        "preference",
    ),
    Shape(
        "chosen, rejected beside messages",
        "ultrafeedback_binarized",
        [
            {
                "prompt": "When did it open?",
                "prompt_id": "f0e37e9f7800261167ce91143f98f511",
                "chosen": ASKED["messages"],
                "rejected": [user("When did it open?"), assistant(BAD)],
                **ASKED,
                "score_chosen": 8.5,
                "score_rejected": 4.0,
            }
        ],
        PAIR,
        "preference",
        unread={"prompt_id": M, "messages": R, "score_chosen": M, "score_rejected": M},
    ),
    Shape(
        "conversations with outer chosen, rejected",
        "LLaMA-Factory",
        [
            {
                "conversations": [{"from": "human", "value": "When did it open?"}],
                "chosen": {"from": "gpt", "value": GOOD},
                "rejected": {"from": "gpt", "value": BAD},
            }
        ],
        PAIR,
        "preference",
    ),
    Shape(
        "input {messages}, preferred_output, non_preferred_output",
        "OpenAI's preference format",
        [
            {
                "input": {"messages": PAIR["prompt"]},
                "preferred_output": PAIR["chosen"],
                "non_preferred_output": PAIR["rejected"],
            }
        ],
        PAIR,
        "preference",
    ),
    Shape(
        "question, response_j, response_k",
        "stack-exchange-paired",
        [
            {
                "qid": 7,
                "question": "When did it open?",
                "date": "2011-05-01",
                "metadata": ["https://example.org/q/7"],
                "response_j": GOOD,
                "response_k": BAD,
            }
        ],
        PAIR,
        "preference",
        unread={"qid": M, "date": M, "metadata": M},
    ),
    Shape(
        "history, human_ref_A, human_ref_B, labels",
        "SHP",
        [
            {
                "post_id": "p1",
                "domain": "history_train",
                "history": "When did it open?",
                "human_ref_A": BAD,
                "human_ref_B": GOOD,
                "labels": 0,
                "score_A": 2,
                "score_B": 30,
            }
        ],
        PAIR,
        "preference",
        unread={"post_id": M, "domain": M, "score_A": M, "score_B": M},
    ),
    Shape(
        "conversation_a, conversation_b, winner",
        "chatbot arena",
        [
            {
                "question_id": "q1",
                "model_a": "vicuna-13b",
                "model_b": "koala-13b",
                "winner": "model_a",
                "conversation_a": ASKED["messages"],
                "conversation_b": [user("When did it open?"), assistant(BAD)],
                "turn": 1,
            }
        ],
        PAIR,
        "preference",
        unread={"question_id": M, "model_a": M, "model_b": M, "turn": M},
    ),
    Shape(
        "prompt, completion, label",
        "trl, kto-mix",
        [{"prompt": "When did it open?", "completion": GOOD, "label": True}],
        {"prompt": PAIR["prompt"], "completion": PAIR["chosen"], "label": True},
        "unpaired_preference",
    ),
    Shape(
        "label as a word",
        "spreadsheets: 1, 0, good, bad, yes, no, 👍, 👎",
        [{"prompt": "When did it open?", "completion": BAD, "label": "bad"}],
        {"prompt": PAIR["prompt"], "completion": PAIR["rejected"], "label": False},
        "unpaired_preference",
    ),
    # -- with names of one's own
    Shape(
        "names of one's own",
        "everybody",
        [{"frage": "When did it open?", "antwort": GOOD}],
        ASKED,
        options={"columns": {"frage": "prompt", "antwort": "completion"}},
    ),
    # -- refused as they stand
    Shape(
        "text, label",
        "imdb and other classification sets",
        [{"text": "A fine film.", "label": 1}],
        None,
        "text",
        unread={"label": "a verdict"},
    ),
    Shape(
        "prompt, response, rationale",
        "sets with a judge's words",
        [{"prompt": "When did it open?", "response": GOOD, "rationale": "The answer is right and brief."}],
        None,
        unread={"rationale": "text"},
    ),
    Shape(
        "messages with images",
        "vision sets",
        [{"messages": ASKED["messages"], "images": [{"bytes": b"\x89PNG", "path": None}]}],
        None,
        "chat",
        unread={"images": "bytes"},
    ),
    Shape("unknown names", "everybody", [{"frage": "When did it open?", "antwort": GOOD}], None, "raw"),
]


HEAD = """\
# Rows of public data sets

What `Dataset` makes of rows as public sets have them. Names are compared without case, blanks and hyphens. A test makes this page
(`python -m tests.engine.data_shapes`); it reads an example of each.

**What is not read is told.** `data.report.unread` names and counts every column and key that was not read. Numbers, dates, flags,
and one line of at most {longest} characters under a name that says metadata (its last word is id, source, language, category,
model, date ...) are told and left; any other text, a call, a verdict or bytes refuses the row, unless it repeats what was read or
`ignore=` names it.

Names of your own are mapped with `columns=`, here, in the Train panel, and as `--columns` in the magic and the command line:

```python
data = snb.Dataset.load("rows.csv", columns={{"frage": "prompt", "antwort": "completion"}}, ignore=["notiz"])
```

Lists, files, pandas and polars frames, Arrow tables and a `datasets.Dataset` are read alike; `finetune`, `compare`, `loss` and
`leakage` take them as they are. Nulls that Arrow fills into schemas and arguments are taken out.
"""


def read(shape: Shape) -> Dataset:
    return Dataset.from_list(shape.rows, **shape.options)


def table() -> str:
    """Return the page of the docs."""
    lines = [
        *HEAD.format(longest=LONGEST_LABEL).splitlines(),
        *_line(["shape", "seen in", "read as", "options", "not read"]),
    ]
    lines += ["|---|---|---|---|---|"]
    for shape in SHAPES:
        data = read(shape)
        usable = data.format != "raw" and data.report.ok
        unread = ", ".join(f"{column.name} ({column.kind})" for column in data.report.unread)
        options = ", ".join(f"`{name}={value}`" for name, value in shape.options.items())
        cells = [shape.title, shape.seen_in, data.format if usable else "refused", options, unread or "--"]
        lines += _line(cells)
    return "\n".join([*lines, ""])


def _line(cells: list[str]) -> list[str]:
    return ["| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |"]


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
