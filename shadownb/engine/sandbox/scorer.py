"""Whether code that a model wrote passes tests: run in the sandbox, never here."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shadownb.engine.sandbox.limits import Limits
from shadownb.engine.sandbox.python import run_python
from shadownb.engine.scoring.answers import fences, without_reasoning
from shadownb.engine.scoring.base import Sample, Score

_HARNESS = Path(__file__).with_name("harness.py")
_LANGUAGES = ("python", "py", "python3")
_PROGRAM = re.compile(
    r"\s*(?:(?:async )?def \w+\s*\(|class \w+|import \w+|from [\w.]+ import\b|@\w)"
)  # how no prose begins


@dataclass(frozen=True)
class Tested:
    """How a program did in its tests.

    Attributes
    ----------
    failed
        Numbers of the tests that it failed, each with why.
    total
        How many there were.
    status
        As of :class:`~shadownb.engine.sandbox.Outcome`; ``failed`` also where it ended before the tests did.
    reason
        A line on it.
    """

    failed: Mapping[int, str]
    total: int
    status: str
    reason: str

    @property
    def passed(self) -> bool:
        """Whether it passed each test."""
        return not self.failed


def tested(source: str, tests: Sequence[str], *, limits: Limits, packages: bool = False) -> Tested:
    """Run a program and its tests in the sandbox; a test is a program that raises where it fails.

    A program that ends before its tests do, in whatever way, has passed none.

    Raises
    ------
    SandboxError
        This machine cannot enclose a program.
    """
    mark = secrets.token_hex(16)
    told = json.dumps({"tests": list(tests)}).encode("utf-8")
    outcome = run_python(
        _HARNESS.read_text(encoding="utf-8"),
        stdin=b"%d\n%b%b" % (len(told), told, mark.encode()),
        files={"answer.py": source},
        limits=limits,
        packages=packages,
    )
    _, found, verdicts = outcome.stdout.rpartition(mark)
    if not found:
        reason = outcome.reason or "ended before the tests did"
        status = "failed" if outcome.ok else outcome.status
        return Tested(dict.fromkeys(range(len(tests)), reason), len(tests), status, reason)
    failed = {int(at): reason for at, reason in json.loads(verdicts).items()}
    first = next(iter(failed.values()), "")
    told_of = f"{len(tests) - len(failed)} of {len(tests)} tests pass{first and ': ' + first}"
    return Tested(failed, len(tests), "failed" if failed else "ok", told_of)


class CodeTests:
    """Score Python code by the tests that it passes, in :mod:`shadownb.engine.sandbox`.

    The code is the answer's fence marked as Python, else its only fence, else the whole answer. The tests are the expected
    answer, or the row's ``tests`` or ``test_list``: a program with ``assert``, or a list of such, of which the code has to pass
    each. With ``entry_point`` in the row HumanEval's ``check`` is called with that function; MBPP's ``test_imports`` come first.

    A program that ends before the tests do, in whatever way, has not passed. One that is written to attack the harness inside
    of its own process may still forge a verdict; nothing outside of the sandbox is in its reach.

    Parameters
    ----------
    partial
        Give the share of the tests that pass, where they are a list.
    packages
        Let the code import the packages that are installed here.
    limits
        Bounds of a program; by default 10 s of CPU time, and three times as much by the clock, so that a busy machine fails nobody.
    """

    name: str = "code"

    def __init__(self, *, partial: bool = False, packages: bool = False, limits: Limits | None = None) -> None:
        self.partial, self.packages, self.limits = partial, packages, limits or Limits(wall_seconds=30)

    def __repr__(self) -> str:
        return f"CodeTests(partial={self.partial}, packages={self.packages})"

    needs_expected = False  # the row may have the tests

    def check(self, expected: str) -> None:
        """Raise ValueError where tests are no Python."""
        for test in _list(expected):
            try:
                compile(test, "tests", "exec")
            except (SyntaxError, ValueError) as error:
                raise ValueError(f"the tests cannot be compiled: {error}") from None

    def __call__(self, output: str, expected: str = "", *, row: Mapping[str, Any] | None = None) -> Score:
        """Return the score of an answer.

        Raises
        ------
        SandboxError
            This machine cannot enclose a program.
        ValueError
            The tests are no Python.
        """
        row = row or {}
        tests = _list(row.get("tests") or row.get("test_list") or row.get("test") or expected)
        if not tests:
            return Score(None, "there are no tests: neither an expected answer nor a column tests")
        self.check(json.dumps(tests))
        if row.get("entry_point") and any("def check(" in test for test in tests):
            tests = [f"{test}\ncheck({row['entry_point']})" for test in tests]
        if row.get("test_imports"):
            tests = ["\n".join([*row["test_imports"], test]) for test in tests]
        found = tested(code_of(output), tests, limits=self.limits, packages=self.packages)
        share = 1 - len(found.failed) / found.total
        return Score(share if self.partial else float(found.passed), found.reason)

    def score_many(self, samples: Sequence[Sample], *, timeout: float | None = None) -> list[Score]:
        """Return the verdicts, a program a CPU at a time; each has bounds of its own, so ``timeout`` is not looked at."""
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            return list(pool.map(self._one, samples))

    def _one(self, sample: Sample) -> Score:
        try:
            return self(sample.output, sample.expected, row=sample.row)
        except Exception as error:
            return Score(None, str(error).splitlines()[0])


def code_of(answer: str) -> str:
    """Return the code of an answer."""
    text = without_reasoning(answer)
    if _PROGRAM.match(text):  # a fence in it is part of a docstring
        return text
    found = fences(text)
    marked = [inside for language, inside in found if language in _LANGUAGES]
    if marked or found:
        return "\n".join(marked) if marked else found[0][1]
    return text


def _list(tests: Any) -> list[str]:
    """Return tests as a list of programs; a list may have come as JSON text."""
    if isinstance(tests, str) and tests.lstrip().startswith("["):
        try:
            tests = json.loads(tests)
        except ValueError:
            return [tests]
    if isinstance(tests, str):
        return [tests] if tests.strip() else []
    return [str(test) for test in tests or ()]
