"""The row formats: how a row is recognised and how it becomes the canonical form that everything else reads.

A canonical row is ``{"messages": [...], "tools"?: [...], "train_from"?: int}``, ``{"text": str}``,
``{"prompt": [...], "chosen": [...], "rejected": [...], "tools"?: [...]}``, ``{"prompt": [...], "completion": [...],
"label": bool, "tools"?: [...]}``, ``{"prompt": [...], "steps": [str], "labels": [bool], "tools"?: [...]}`` or
``{"prompt": [...], "tools"?: [...]}`` with lists of canonical messages.
``train_from`` is the index of the first message that may be trained: a prompt/completion row trains its completion.
What is read of which column is in :mod:`parts`; what is not read stays in ``Columns.rest()``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shadownb.engine.data.columns import (
    BETTER_WORSE,
    CALLS,
    COMPARED,
    CONVERSATIONS,
    PROMPTS,
    RESPONSES,
    STEP_VERDICTS,
    STEPS,
    VERDICTS,
    Columns,
)
from shadownb.engine.data.parts import answer, asked, conversation, side, text_of, with_system, with_tools
from shadownb.engine.data.transcripts import as_messages, turns_of
from shadownb.engine.messages import RowProblem, is_message_list
from shadownb.engine.messages.values import is_empty, verdict_of

Row = dict[str, Any]
Message = dict[str, Any]

PROMPT = "prompt"  # a question without an answer; what stands beside it is for whoever scores the model's answers

_SAY_SO = ("messages", "conversations")
_ANSWERING = ("assistant", "gpt", "model", "bot", "chatgpt")


def detect_row(row: Columns) -> str:
    """Return the format that the columns of one row show; ``raw`` where none is known."""
    if _sides(row) is not None or _compared(row) is not None:
        return "preference"
    if _has_steps(row):
        return "stepwise"
    spoken, prompt, response = _spoken(row), row.filled(PROMPTS), row.filled((*RESPONSES, *CALLS))
    verdict = row.filled(VERDICTS)
    if (
        verdict is not None
        and verdict_of(row.see(verdict)) is not None
        and (response or row.has("completion") or spoken)
    ):
        return "unpaired_preference"
    if spoken is not None:
        return "chat" if spoken == "messages" else "sharegpt"
    if prompt and response and (is_message_list(row.see(prompt)) or is_message_list(row.see(response))):
        return "prompt_completion"
    if row.first(PROMPTS) and row.first((*RESPONSES, *CALLS)):
        return "instruction"
    if row.has("text"):
        text = row.see("text")
        return "chat" if isinstance(text, str) and turns_of(text) is not None else "text"
    # A known column whose value is missing still says what the row was meant to be.
    meant = row.first(CONVERSATIONS)
    return "raw" if meant is None else "chat" if meant == "messages" else "sharegpt"


def only_asks(row: Columns) -> bool:
    """Whether a row has a question and no answer: what a model answers in reinforcement, and nothing to imitate."""
    spoken = _spoken(row)
    if spoken is not None:
        turns = as_messages(row.see(spoken))
        return is_message_list(turns) and not any(
            str(turn.get("role", turn.get("from"))).lower() in _ANSWERING for turn in turns
        )
    column = row.filled(PROMPTS)
    return column is not None and row.first((*RESPONSES, *CALLS)) is None


def shows_a_row(value: Row) -> bool:
    """Whether an object is a row of a known format, rather than something that holds rows."""
    row = Columns(value, {}, frozenset())
    format = detect_row(row)
    if format in ("chat", "sharegpt"):
        return is_message_list(as_messages(row.see(_spoken(row) or "text")))
    # The columns of a table ({"prompt": ["...", "..."], ...}) are no row.
    texts = (*PROMPTS, *RESPONSES, "text")
    return format != "raw" and not any(
        isinstance(row.see(name), list) and not is_message_list(row.see(name)) for name in texts
    )


def _spoken(row: Columns) -> str | None:
    """Return the column that holds a conversation; text without marks is one only under the two names that say so."""
    return next(
        (
            name
            for name in CONVERSATIONS
            if not is_empty(row.see(name)) and (name in _SAY_SO or not isinstance(as_messages(row.see(name)), str))
        ),
        None,
    )


def canonical_row(row: Columns, format: str) -> Row:
    """Return a row in canonical form.

    Raises
    ------
    RowProblem
        If the row cannot be used as ``format``; the text is the reason for the report.
    """
    return CANONICAL[format](row)


def _chat(row: Columns) -> Row:
    column = _spoken(row) or row.first(CONVERSATIONS) or ("text" if row.has("text") else "messages")
    messages = conversation(row, column)
    if not any(message["role"] == "assistant" for message in messages):
        raise RowProblem(f"{row.title(column)} has no assistant message, so there is nothing to train")
    return with_tools(row, {"messages": with_system(row, messages)})


def _instruction(row: Columns) -> Row:
    for names, missing in ((PROMPTS, "prompt"), ((*RESPONSES, *CALLS), "response")):
        if row.first(names) is None:
            raise RowProblem(f"no {missing} column ({', '.join(names[:5])})")
    prompt = asked(row)
    if not prompt:
        text_of(row, row.first(PROMPTS) or "prompt")  # raises with what is wrong with it
    return with_tools(row, {"messages": with_system(row, [*prompt, *answer(row)])})


def _prompt_completion(row: Columns) -> Row:
    prompt = asked(row)
    completion = answer(row)
    if not prompt:
        raise RowProblem(f"no prompt column ({', '.join(PROMPTS[:5])})")
    if not any(message["role"] == "assistant" for message in completion):
        raise RowProblem("completion has no assistant message, so there is nothing to train")
    prompt, completion = _unrepeated(prompt, completion)
    prompt = with_system(row, prompt)
    return with_tools(row, {"messages": prompt + completion, "train_from": len(prompt)})


def _prompt(row: Columns) -> Row:
    spoken = _spoken(row)
    prompt = conversation(row, spoken) if spoken is not None else asked(row)
    if not prompt:
        text_of(row, row.first(PROMPTS) or "prompt")  # raises with what is wrong with it
    if not any(message["role"] == "user" for message in prompt):
        raise RowProblem(f"{row.title(spoken or 'prompt')} has no user message, so nothing is asked")
    return with_tools(row, {"prompt": with_system(row, prompt)})


def _text(row: Columns) -> Row:
    return {"text": text_of(row, "text")}


# -- preferences -------------------------------------------------------------------------------------------------------


def _sides(row: Columns) -> tuple[str, str] | None:
    """Return the columns of the better and the worse answer, where a row has both and a value in one."""
    pairs = [pair for pair in BETTER_WORSE if row.has(pair[0]) and row.has(pair[1])]
    filled = [pair for pair in pairs if not all(is_empty(row.see(name)) for name in pair)]
    return filled[0] if filled else pairs[0] if pairs and not row.filled(CONVERSATIONS) else None


def _compared(row: Columns) -> tuple[str, str, str] | None:
    """Return (first, second, verdict) of two answers that a third column compares; None where there are none."""
    names = (shape[:3] for shape in COMPARED)
    return next((three for three in names if all(not is_empty(row.see(name)) for name in three)), None)


def _judged(row: Columns, compared: tuple[str, str, str]) -> tuple[str, str]:
    """Return (better, worse) of two answers that are compared. Raises :class:`RowProblem` for a tie."""
    first, second, verdict = compared
    is_first, is_second = next(shape[3:] for shape in COMPARED if shape[:3] == compared)
    value = row.take(verdict)
    known = isinstance(value, (int, float, str))
    if not known or (value not in is_first and value not in is_second):
        raise RowProblem(f"{row.title(verdict)} is {value!r}, so neither of {first} and {second} is the better one")
    return (first, second) if value in is_first else (second, first)


def _preference(row: Columns) -> Row:
    found, compared = _sides(row), _compared(row)
    if found is None and compared is not None:
        found = _judged(row, compared)
    if found is None:
        raise RowProblem("no better and worse answer (chosen and rejected)")
    better, worse = found
    prompt = asked(row)
    chosen, rejected = (side(row, name, one_answer=_answers(row.see(name), prompt)) for name in found)
    if not prompt:
        shared = 0
        while shared < min(len(chosen), len(rejected)) - 1 and chosen[shared] == rejected[shared]:
            shared += 1
        prompt, chosen, rejected = chosen[:shared], chosen[shared:], rejected[shared:]
    spoken = _spoken(row) if not prompt else None
    if spoken in found:
        spoken = None
    if spoken is not None:
        prompt = conversation(row, spoken)
        if prompt[-1:] == chosen[-1:]:  # the conversation has the better answer already
            prompt = prompt[:-1]
        if not prompt or prompt[-1]["role"] == "assistant":
            raise RowProblem(f"{row.title(spoken)} does not end with what {better} and {worse} answer")
    if not prompt:
        raise RowProblem(f"no prompt: neither a column ({', '.join(PROMPTS[:5])}) nor a shared beginning")
    prompt, chosen = _unrepeated(prompt, chosen)
    prompt, rejected = _unrepeated(prompt, rejected)
    for name, turns in ((better, chosen), (worse, rejected)):
        if not any(message["role"] == "assistant" for message in turns):
            raise RowProblem(f"{name} has no assistant message after the prompt")
    if chosen == rejected:
        raise RowProblem(f"{better} and {worse} are the same")
    return with_tools(row, {"prompt": with_system(row, prompt), "chosen": chosen, "rejected": rejected})


def _answers(value: Any, prompt: list[Message]) -> bool:
    """Whether a text with marked turns is itself the answer to a prompt (a dialogue that was asked for), and no transcript."""
    turns = turns_of(value) if prompt and isinstance(value, str) else None
    return turns is not None and _unrepeated(prompt, turns)[1] == turns


def _unpaired(row: Columns) -> Row:
    column = row.filled(VERDICTS) or row.first(VERDICTS) or "label"
    verdict = verdict_of(row.take(column))
    if verdict is None:
        raise RowProblem(f"{row.title(column)} is {row.see(column)!r}, not true or false")
    spoken = _spoken(row)
    if row.filled((*RESPONSES, *CALLS)) is None and spoken is not None:
        messages = conversation(row, spoken)
        last = next((n for n in range(len(messages) - 1, -1, -1) if messages[n]["role"] == "user"), None)
        prompt, completion = ([], messages) if last is None else (messages[: last + 1], messages[last + 1 :])
    else:
        prompt, completion = asked(row), answer(row, "completion")
        if not prompt and spoken is not None:
            prompt = conversation(row, spoken)
        prompt, completion = _unrepeated(prompt, completion) if prompt else (prompt, completion)
    if not prompt:
        raise RowProblem(f"no prompt: neither a column ({', '.join(PROMPTS[:5])}) nor a user message")
    if not any(message["role"] == "assistant" for message in completion):
        raise RowProblem("completion has no assistant message, so there is nothing to train")
    return with_tools(row, {"prompt": with_system(row, prompt), "completion": completion, "label": verdict})


def _has_steps(row: Columns) -> bool:
    """Whether a row has the steps of an answer, and a verdict on each."""
    return all(isinstance(row.see(name), (list, tuple)) and row.see(name) for name in (STEPS, STEP_VERDICTS))


def _stepwise(row: Columns) -> Row:
    for name in (STEPS, STEP_VERDICTS):
        if not row.has(name) or not isinstance(row.see(name), (list, tuple)) or not row.see(name):
            raise RowProblem(f"no list of {'steps' if name == STEPS else 'verdicts'} ({name})")
    steps, given = list(row.take(STEPS)), list(row.take(STEP_VERDICTS))
    if len(steps) != len(given):
        raise RowProblem(f"{STEPS} has {len(steps)} steps and {STEP_VERDICTS} {len(given)} verdicts")
    for number, step in enumerate(steps):
        if not isinstance(step, str) or not step.strip():
            raise RowProblem(f"{STEPS}[{number}] is {step!r:.40}, and no text")
    labels = [verdict_of(one) for one in given]
    if None in labels:
        number = labels.index(None)
        raise RowProblem(f"{STEP_VERDICTS}[{number}] is {given[number]!r}, not true or false")
    prompt = asked(row)
    if not prompt:
        raise RowProblem(f"no prompt column ({', '.join(PROMPTS[:5])})")
    return with_tools(row, {"prompt": with_system(row, prompt), "steps": steps, "labels": labels})


def _unrepeated(prompt: list[Message], turns: list[Message]) -> tuple[list[Message], list[Message]]:
    """Return (prompt, answer) of a side that may repeat the prompt, perhaps with other white space or a system message.

    A system message stands before the prompt, whichever of the two had it.
    """
    system = turns[:1] if turns[0]["role"] == "system" else []
    own = prompt[:1] if prompt[0]["role"] == "system" else []
    asked_turns, rest = prompt[len(own) :], turns[len(system) :]
    if not _same(rest[: len(asked_turns)], asked_turns) or (own and system and not _same(own, system)):
        return prompt, turns
    return (own or system) + asked_turns, rest[len(asked_turns) :]


def _same(first: list[Message], second: list[Message]) -> bool:
    """Whether messages are the same but for white space."""

    def bare(messages: list[Message]) -> list[Message]:
        return [{**message, "content": message["content"].split()} for message in messages]

    return bare(first) == bare(second)


def _raw(row: Columns) -> Row:
    raise RowProblem(f"no known column (it has: {', '.join(map(str, row.row)) or 'none'})")


CANONICAL: dict[str, Callable[[Columns], Row]] = {
    "chat": _chat,
    "sharegpt": _chat,
    "preference": _preference,
    "unpaired_preference": _unpaired,
    "stepwise": _stepwise,
    "instruction": _instruction,
    "text": _text,
    "prompt_completion": _prompt_completion,
    PROMPT: _prompt,
    "raw": _raw,
}
FORMATS = tuple(CANONICAL)
