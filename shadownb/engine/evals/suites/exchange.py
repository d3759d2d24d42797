"""Answers as files that other tools read and write: HumanEval's lines, MultiPL-E's folder.

``{"task_id", "completion"}`` a line is what HumanEval's harness takes; its results have ``passed`` and ``result`` besides.
MultiPL-E has a JSON file a problem with all its completions, and one with their results. A completion goes on from the problem's
prompt as it stands and is graded so, whatever it looks like; that is what makes the verdicts those of the harnesses.
"""

from __future__ import annotations

import gzip
import re
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from shadownb.engine.disk import write_atomically
from shadownb.engine.evals.suites.base import Item, Suite
from shadownb.engine.evals.turns import Turn
from shadownb.engine.jsontext import dumps

_MULTIPL_E = ("name", "language", "prompt", "tests", "stop_tokens")  # of a problem, in its files


@runtime_checkable
class Continued(Protocol):
    """A suite whose answers can be told as completions of a prompt."""

    def completion(self, item: Item, answer: Turn) -> str:
        """Return what goes on from the item's prompt and is the answer's program."""


def write(evaluation: Any, suite: Suite, path: Path, side: str) -> None:
    """Write one side's answers to a suite; see :func:`shadownb.engine.evals.suites.write_samples`."""
    items = {item.id: item for item in suite.items()}
    lines: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for graded in evaluation.items(suite.name, side):
        item = items.get(graded.item.id, graded.item)
        for turn, verdict in zip(graded.turns, graded.verdicts, strict=True):
            if turn is not None:
                lines[item.id].append({"completion": _completion(suite, item, turn), **_results(verdict)})
    if re.search(r"\.jsonl?(\.gz)?$", path.name):
        _write(path, "".join(f"{dumps({'task_id': name, **line})}\n" for name, each in lines.items() for line in each))
    else:
        for name, each in lines.items():
            _write_problem(path, items[name], each, evaluation.sampling(suite.name))


def _completion(suite: Suite, item: Item, turn: Turn) -> str:
    if turn.continues or not isinstance(suite, Continued):
        return turn.raw or turn.text
    return suite.completion(item, turn)


def _results(verdict: dict[str, Any] | None) -> dict[str, Any]:
    if verdict is None or verdict["value"] is None:
        return {}
    passed = verdict["value"] >= 1
    return {"passed": passed, "result": "passed" if passed else f"{verdict['outcome']}: {verdict['reason']}"}


_STATUS = {"passed": "OK", "does not compile": "SyntaxError", "timed out": "Timeout"}


def _write_problem(folder: Path, item: Item, lines: Sequence[dict[str, Any]], sampling: dict[str, Any]) -> None:
    """Write MultiPL-E's two files of a problem; in that of results only what was graded."""
    told = {key: item.row.get(key) for key in _MULTIPL_E if key in item.row} or {"name": item.id}
    told |= {
        "temperature": sampling["temperature"],
        "top_p": sampling["top_p"],
        "max_tokens": sampling["max_new_tokens"],
    }
    place = folder / str(told.get("language", "")) / str(told["name"])
    _write(
        place.with_name(f"{place.name}.json.gz"), dumps({**told, "completions": [line["completion"] for line in lines]})
    )
    results = [
        {
            "program": f"{told.get('prompt', '')}{line['completion']}\n{told.get('tests', '')}",
            "status": _STATUS.get(line["result"].split(":")[0], "Exception"),
            "exit_code": 0 if line["passed"] else 1,
            "stdout": "",
            "stderr": "" if line["passed"] else line["result"],
            "timestamp": int(time.time()),
        }
        for line in lines
        if "passed" in line
    ]
    if results:
        whole = {
            "name": told["name"],
            "language": told.get("language"),
            "temperature": told["temperature"],
            "results": results,
        }
        _write(place.with_name(f"{place.name}.results.json.gz"), dumps(whole))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        write_atomically(path, gzip.compress(text.encode("utf-8", "surrogatepass"), mtime=0))
    else:
        write_atomically(path, text)
