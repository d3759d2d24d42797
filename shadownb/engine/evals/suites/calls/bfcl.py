"""BFCL: which function is called with which arguments, or none (Patil et al. 2024); the tasks that are graded by syntax alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from importlib import metadata
from pathlib import Path
from typing import Any

from shadownb.engine.evals.suites import places
from shadownb.engine.evals.suites.base import Item, Verdict
from shadownb.engine.evals.suites.calls.matching import Call, calls_in, plain_name, wrong_with
from shadownb.engine.evals.turns import Turn
from shadownb.engine.inference.types import Sampling
from shadownb.engine.jsontext import dumps
from shadownb.errors import ConfigError, DataError

TASKS = (
    "simple_python", "multiple", "parallel", "parallel_multiple", "irrelevance",
    "live_simple", "live_multiple", "live_parallel", "live_parallel_multiple", "live_irrelevance", "live_relevance",
)  # fmt: skip
_SINGLE = TASKS[:5]
PROMPTED = "prompted"
_FIX = "pip install --no-deps bfcl-eval, or set SHADOWNB_DATA to a folder with bfcl/BFCL_v4_TASK.json and bfcl/possible_answer/."
_TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": "string"}
_ASKED = (
    "You can call these functions:\n\n{functions}\n\nAnswer with the calls that the question needs, and nothing else, in the form "
    "[name(argument=value, ...), ...]. Where none of the functions fits, say so and call none."
)


class Bfcl:
    """Functions to call. ``Bfcl("multiple", "irrelevance")`` asks for some tasks alone, as does ``bfcl:multiple,irrelevance``.

    Without any it is the five tasks of made questions; those of users are called ``live_...``. Functions are offered as tools; with
    ``prompted`` among the names they stand in the prompt, for models whose template has no place for tools.

    Raises
    ------
    ConfigError
        There is no such task.
    """

    rules: Sequence[str] = ()
    sampling = Sampling(temperature=0.0, max_new_tokens=512)

    def __init__(self, *chosen: str) -> None:
        if unknown := [each for each in chosen if each not in (*TASKS, PROMPTED)]:
            raise ConfigError(f"task={unknown[0]!r} is not one of BFCL.", fix=f"Use {', '.join(TASKS)}, or prompted.")
        self._prompted = PROMPTED in chosen
        self._tasks = tuple(each for each in chosen if each != PROMPTED) or _SINGLE
        self.name = "-".join(["bfcl", *chosen])[:100]

    @cached_property
    def _rows(self) -> dict[str, places.Rows]:
        return {
            task: places.first_of(
                [
                    ("SHADOWNB_DATA", partial(_of_folder, task)),
                    ("the package bfcl-eval", partial(_of_package, task)),
                ],
                of="BFCL",
                fix=_FIX,
            )
            for task in self._tasks
        }

    def items(self) -> list[Item]:
        """Return the questions, one task after the other. Raises :class:`DataError` where they are not here."""
        return [self._item(task, number, row) for task, rows in self._rows.items() for number, row in enumerate(rows)]

    def _item(self, task: str, number: int, row: Mapping[str, Any]) -> Item:
        messages = [dict(turn) for turn in row["question"][0]]
        tools = None
        if self._prompted:
            messages.insert(0, {"role": "system", "content": _ASKED.format(functions=dumps(row["function"], indent=1))})
        else:
            tools = [{"type": "function", "function": _schema(function)} for function in row["function"]]
        expected = dumps(row["ground_truth"]) if row.get("ground_truth") else ""
        several = len(self._tasks) > 1
        cluster = task if several else None
        return Item(f"{task}/{number}", messages, expected, tools, cluster, {**row, "task": task}, task)

    def grade(self, asked: Sequence[tuple[Item, Turn]]) -> list[Verdict]:
        """Return whether each answer calls what is meant; called, abstained and malformed are told apart."""
        return [_verdict(item, answer) for item, answer in asked]


def _verdict(item: Item, answer: Turn) -> Verdict:
    calls: list[Call] = [
        (str(call["name"]), call["arguments"]) for call in answer.calls if isinstance(call["arguments"], dict)
    ]
    broken = "a call's arguments are no object" if len(calls) < len(answer.calls) else ""
    if answer.malformed:
        broken = "a call cannot be read"
    elif not answer.calls:
        calls, broken = calls_in(answer.content)
    said = dumps([{"name": name, "arguments": arguments} for name, arguments in calls]) if calls else answer.text
    if broken:
        return Verdict(0.0, broken, said, "malformed")
    task = item.row["task"]
    if task.endswith("relevance"):
        right = bool(calls) is not task.endswith("irrelevance")
        return Verdict(
            float(right), "" if right else "calls a function" if calls else "calls none", said, _outcome(right, calls)
        )
    if not calls:
        return Verdict(0.0, "calls none", said, "abstained")
    reason = wrong_with(calls, item.row["ground_truth"], item.row["function"])
    return Verdict(float(not reason), reason, said, "failed" if reason else "passed")


def _outcome(right: bool, calls: Sequence[Call]) -> str:
    return "passed" if right else "called" if calls else "abstained"


def _schema(function: Mapping[str, Any]) -> dict[str, Any]:
    """Return a function as tools are described to models: names without dots, types of JSON."""

    def typed(value: Any) -> Any:
        if isinstance(value, dict):
            kind = value.get("type")
            told = {"type": _TYPES[kind]} if isinstance(kind, str) and kind in _TYPES else {}
            return {key: typed(each) for key, each in value.items()} | told
        return [typed(each) for each in value] if isinstance(value, list) else value

    return {**function, "name": plain_name(function["name"]), "parameters": typed(function["parameters"])}


def _of_folder(task: str) -> places.Rows:
    return _of_files(places.file("bfcl", of="BFCL", fix=_FIX), task)


def _of_package(task: str) -> places.Rows:
    for name in metadata.files("bfcl-eval") or ():
        if re.fullmatch(rf"BFCL_v\d+_{task}\.json", name.name) and name.parent.name == "data":
            return _of_files(Path(str(name.locate())).parent, task)
    raise ImportError(f"it has no task {task}")


def _of_files(folder: Path, task: str) -> places.Rows:
    found = sorted(path for path in folder.glob("BFCL_v*.json") if re.fullmatch(rf"BFCL_v\d+_{task}\.json", path.name))
    if not found:
        raise DataError(f"{folder} has no BFCL_v*_{task}.json.", fix=_FIX)
    rows = places.json_lines(found[-1])
    answers = folder / "possible_answer" / found[-1].name
    if answers.exists():
        right = {row["id"]: row["ground_truth"] for row in places.json_lines(answers)}
        rows = [{**row, "ground_truth": right[row["id"]]} for row in rows if row["id"] in right]
    elif not task.endswith("relevance"):
        raise DataError(f"{answers} is missing.", fix=_FIX)
    return rows
