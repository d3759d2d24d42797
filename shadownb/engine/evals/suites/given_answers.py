"""Files of answers that other tools wrote, in the place of a model; :mod:`exchange` says what is in them."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shadownb.engine.evals.suites.base import Item
from shadownb.engine.evals.turns import Turn
from shadownb.engine.jsontext import dumps
from shadownb.errors import DataError, ShadowError

_MULTIPL_E = ("name", "language", "prompt", "tests", "stop_tokens")  # of a problem, in its files


class Samples:
    """Answers of a file, in the place of a model: ``snb.evaluate(snb.suites.samples("samples.jsonl"), "humaneval")``.

    Examples
    --------
    >>> from pathlib import Path
    >>> _ = Path("given.jsonl").write_text('{"task_id": "HumanEval/0", "completion": "    return False"}')
    >>> snb.suites.samples("given.jsonl")
    Samples('given.jsonl', 1 tasks, up to 1 samples)

    Parameters
    ----------
    path
        A file of lines with ``task_id`` and ``completion`` (HumanEval's harness, BigCode's and EvalPlus' generations), or a folder
        of MultiPL-E's, both also compressed by gzip.

    Attributes
    ----------
    samples : int
        Most samples that a task has.

    Raises
    ------
    DataError
        There is no such file, or a line is none of these.
    """

    has_base = False

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        self.name = re.sub(r"(\.jsonl?)?(\.gz)?$", "", self.path.name) or "samples"
        found: dict[str, list[str]] = defaultdict(list)
        for task, completion in _read(self.path):
            found[task].append(completion)
        if not found:
            raise DataError(f"{self.path} holds no samples.", fix="Lines are {'task_id': ..., 'completion': ...}.")
        self._of = dict(found)
        self.samples = max(map(len, found.values()))
        self.kept_under = hashlib.sha256(dumps(self._of).encode("utf-8", "surrogatepass")).hexdigest()

    def __repr__(self) -> str:
        return f"Samples({self.path.name!r}, {len(self._of)} tasks, up to {self.samples} samples)"

    def answer_to(self, item: Item, sample: int) -> Turn | ShadowError:
        """Return the answer to an item, or why there is none.

        Examples
        --------
        >>> from pathlib import Path
        >>> _ = Path("given.jsonl").write_text('{"task_id": "HumanEval/0", "completion": "    return False"}')
        >>> given = snb.suites.samples("given.jsonl")
        >>> given.answer_to(snb.suites.Item("HumanEval/0", []), 0).content
        '    return False'
        """
        given = self._of.get(item.id) or self._of.get(str(item.row.get("task_id") or item.row.get("name")))
        if given is None or sample >= len(given):
            return DataError(f"{self.path.name} has no sample {sample + 1} of {item.id}.")
        return Turn(given[sample], raw=given[sample], continues=True)

    def chat(self, messages: Any, *_: Any, **__: Any) -> Any:
        """Raise: what is not in the file has no answer.

        Examples
        --------
        >>> from pathlib import Path
        >>> _ = Path("given.jsonl").write_text('{"task_id": "HumanEval/0", "completion": "    return False"}')
        >>> snb.suites.samples("given.jsonl").chat("What is 1 + 1?")
        Traceback (most recent call last):
        ...
        shadownb.errors.DataError: given.jsonl holds answers that were given, and answers no question...

        Raises
        ------
        DataError
            Always.
        """
        raise DataError(
            f"{self.path.name} holds answers that were given, and answers no question.",
            fix="Give it to snb.evaluate with the suite that it answers.",
        )


def is_samples(path: str | Path) -> bool:
    """Whether a path is one of a file or folder of samples."""
    place = Path(path).expanduser()
    if place.is_dir():
        return not (place / "config.json").exists() and next(_problems(place), None) is not None
    return place.is_file() and re.search(r"\.jsonl(\.gz)?$", place.name) is not None


def _problems(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if re.search(r"\.json(\.gz)?$", path.name) and not re.search(r"\.results\.json(\.gz)?$", path.name):
            yield path


def _read(path: Path) -> Iterator[tuple[str, str]]:
    """Yield name of the task and completion of each sample."""
    if not path.exists():
        raise DataError(
            f"There is no file of samples {path}.",
            fix="Give lines of task_id and completion, or a folder of MultiPL-E's.",
        )
    if path.is_dir():
        for problem in _problems(path):
            found = _json(_text(problem), problem, 1)
            if not isinstance(found.get("completions"), list) or "name" not in found:
                raise DataError(
                    f"{problem} has no completions.", fix="MultiPL-E's files have name, language and completions."
                )
            task = f"{found['language']}/{found['name']}" if found.get("language") else str(found["name"])
            if not all(isinstance(completion, str) for completion in found["completions"]):
                raise DataError(f"{problem} has completions that are no text.", fix="Each is a program.")
            yield from ((task, completion) for completion in found["completions"])
        return
    for number, line in enumerate(_text(path).split("\n"), start=1):  # a text may hold other separators as they are
        if not line.strip():
            continue
        found = _json(line, path, number)
        given = found.get("completion", found.get("solution"))
        several = given if isinstance(given, list) else [given]
        if "task_id" not in found or not all(isinstance(each, str) for each in several):
            raise DataError(
                f"Line {number} of {path.name} has no task_id with a text as its completion: it has "
                f"{', '.join(f'{key} ({type(value).__name__})' for key, value in found.items()) or 'nothing'}.",
                fix="A line is {'task_id': 'HumanEval/0', 'completion': '    return ...'}.",
            )
        yield from ((str(found["task_id"]), str(each)) for each in several)


def _text(path: Path) -> str:
    data = path.read_bytes()
    try:
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except (OSError, EOFError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read: {error}.", fix="It has to be UTF-8, with .gz in its name where it is compressed."
        ) from None


def _json(text: str, path: Path, number: int) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise DataError(f"Line {number} of {path.name} is no JSON: {error}.", fix="Write one object a line.") from None
    if not isinstance(found, dict):
        raise DataError(
            f"Line {number} of {path.name} is no object.", fix="A line is {'task_id': ..., 'completion': ...}."
        )
    return found
