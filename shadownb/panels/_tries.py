"""Rows to try in the Chat panel: what a run was evaluated on, each as a question with the expected answer. No widget, no thread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from shadownb.engine.evals.turns import Turn
from shadownb.engine.objectives.reward import STEP_SEPARATOR
from shadownb.errors import ModelError, RunError, ShadowError

_MOST = 200  # rows offered; the panel is for looking, shadownb.compare scores all
_BEGINNING = 240  # characters of a plain text that are shown to the model, at most half of it
_PREVIEW = 400  # characters of a question or an answer that the page gets before it is asked


@dataclass(frozen=True)
class Try:
    """One row as a question.

    Attributes
    ----------
    messages, tools
        The conversation up to the answer, and the row's own tools; no messages for plain text.
    text
        The question as it is shown: the last message, or the beginning of a plain text.
    expected, meaning
        The row's answer, and what it is: "expected", "preferred", "judged bad".
    """

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None
    text: str
    expected: str
    meaning: str = "expected"

    def preview(self) -> dict[str, Any]:
        """Return what the page shows of it."""
        own = [message for message in self.messages if message["role"] != "system"]
        return {
            "text": _cut(self.text),
            "role": self.messages[-1]["role"] if self.messages else "text",
            "earlier": max(0, len(own) - 1),
            "expected": _cut(self.expected),
            "meaning": self.meaning,
        }


@dataclass(frozen=True)
class Tries:
    """The rows of a run to try, and which they are, in words."""

    rows: list[Try]
    words: str


class Shelf:
    """Holds the rows that can be tried with a model, and which is shown."""

    def __init__(self) -> None:
        self.tries = Tries([], "")
        self.run: str | None = None

    def fill(self) -> dict[str, Any]:
        """Read the rows of :attr:`run` and return what the page shows; may take a while."""
        self.tries = Tries([], "")
        try:
            if self.run is not None:
                self.tries = tries_of(self.run)
        except ShadowError as error:
            return {"stage": "failed", "error": error.to_dict()}
        return self.show(0)

    def show(self, at: int) -> dict[str, Any]:
        """Return what the page shows of a row; the first or the last where there is no such row."""
        rows = self.tries.rows
        if not rows:
            return {"stage": "none"}
        at = max(0, min(at, len(rows) - 1))
        return {"stage": "ready", "words": self.tries.words, "at": at, "total": len(rows), **rows[at].preview()}

    def take(self, at: int) -> tuple[Try, str]:
        """Return a row and what it is in words. Raises ModelError where there is none."""
        rows = self.tries.rows
        if not 0 <= at < len(rows):
            raise ModelError(f"There is no row {at} to try.", fix="Choose one of those that the panel shows.")
        return rows[at], f"{self.tries.words.replace('rows of', 'row of', 1)}, {at + 1} of {len(rows)}"


def run_of(model: Any) -> str | None:
    """Return the id of the run whose rows belong to what a model answers with; None where nothing says so."""
    from shadownb.engine.loaded import sidecar

    if model.state_now is not None:
        return str(model.state_now[0])
    if model.saved_at is not None:
        return sidecar.run_of(model.saved_at)
    run = model.active_run
    return run.id if run is not None else None


def tries_of(run_id: str) -> Tries:
    """Return the rows a run was evaluated on, or those it was trained on where it was evaluated on none.

    Raises
    ------
    RunError
        The run or its rows are gone.
    """
    from shadownb.engine.runs.folder import load_rows
    from shadownb.engine.runs.store import default_store

    spec = default_store().find(run_id).spec
    held_out = spec.get("eval_dataset")
    reference = held_out or spec.get("dataset")
    if reference is None:
        raise RunError(f"The record of run {run_id} names no rows.")
    rows: list[Try] = []
    for row in load_rows(reference):
        rows.extend(_as_try(row))
        if len(rows) == _MOST:
            break
    kind = "held-out" if held_out else "training"
    return Tries(rows, f"{kind} rows of {reference['name']}")


def _as_try(row: dict[str, Any]) -> Iterator[Try]:
    tools = row.get("tools") or None
    if "text" in row:
        yield from _continued(row["text"])
    elif "chosen" in row:
        yield _asked(row["prompt"], tools, row["chosen"], "preferred")
    elif "label" in row:
        yield _asked(row["prompt"], tools, row["completion"], "judged good" if row["label"] else "judged bad")
    elif "steps" in row:
        answer = [{"role": "assistant", "content": STEP_SEPARATOR.join(row["steps"])}]
        yield _asked(row["prompt"], tools, answer, "judged right" if all(row["labels"]) else "judged wrong in a step")
    elif "messages" in row:
        messages = row["messages"]
        last = next((n for n in range(len(messages) - 1, 0, -1) if messages[n]["role"] == "assistant"), None)
        if last is not None:
            yield _asked(messages[:last], tools, messages[last:][:1], "expected")


def _asked(context: list[Any], tools: Any, answer: list[Any], meaning: str) -> Try:
    return Try(list(context), tools, Turn.of_message(context[-1]).text, Turn.of_message(answer[0]).text, meaning)


def _continued(text: str) -> Iterator[Try]:
    """Cut a text between two words, at most half way."""
    at = text.rfind(" ", 1, min(_BEGINNING, len(text) // 2) + 1)
    if at > 0:
        yield Try([], None, text[:at], text[at : at + 2 * _BEGINNING], "expected to go on")


def _cut(text: str) -> str:
    return text if len(text) <= _PREVIEW else f"{text[:_PREVIEW]}…"
