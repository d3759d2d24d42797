"""Code out of answers, and Python problems graded by their tests in the sandbox."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from shadownb.engine.evals.suites.base import Item, Verdict
from shadownb.engine.evals.turns import Turn
from shadownb.engine.sandbox.limits import Limits
from shadownb.engine.sandbox.scorer import Tested, tested
from shadownb.engine.sandbox.walls import find_wall
from shadownb.engine.scoring.answers import fences, without_reasoning

RULES = ("fence", "whole", "until the next block")
# What ends a completion in the reference harness of the Codex paper: whatever is no longer the function's body.
_ENDS = ("\nclass ", "\ndef ", "\n#", "\nif ", "\nprint(", "\n```")


@dataclass(frozen=True)
class Problem:
    """A function to write, and the program that says whether it is right.

    Attributes
    ----------
    start
        What the answer may go on from: imports, signature, docstring. Stands before the answer.
    tests
        Programs that raise where the function is wrong.
    entry_point
        The function's name.
    """

    start: str
    tests: tuple[str, ...]
    entry_point: str


def codes(answer: str, problem: Problem) -> dict[str, str]:
    """Return the program that each rule takes out of an answer.

    ``fence``: the fences marked as Python, else the first fence, else all of it. ``whole``: all of it as code. ``until the next
    block``: all of it as a completion, cut where the function ends, as reference harnesses do.
    """
    text = without_reasoning(answer)
    found = fences(text)
    marked = [inside for language, inside in found if language in ("python", "py", "python3")]
    fenced = "\n".join(marked) if marked else found[0][1] if found else text
    cut = min((place for end in _ENDS if (place := text.find(end)) >= 0), default=len(text))
    return dict(zip(RULES, (fenced, text, text[:cut]), strict=True))


def program(code: str, problem: Problem) -> str:
    """Return the program that is run: what the answer goes on from, and the answer.

    One that defines the function itself stands behind the start as a program of its own; a body is put below the signature, and
    indented where it is not.
    """
    if not problem.start:
        return code
    if re.search(rf"^(?:async\s+)?def\s+{re.escape(problem.entry_point)}\b", code, re.MULTILINE):
        # What it goes on from has imports and helpers; a signature without a docstring needs a body to be whole.
        body = "\n    pass" if problem.start.rstrip().endswith(":") else ""
        return f"{problem.start.rstrip()}{body}\n\n{code}"
    first = next((line for line in code.splitlines() if line.strip()), "")
    if first and not first[0].isspace():
        code = "\n".join(f"    {line}" if line.strip() else line for line in code.splitlines())
    return problem.start.rstrip("\n") + "\n" + code.lstrip("\n") + "\n"


def grade(
    asked: Sequence[tuple[Item, Turn]],
    problem_of: Callable[[Item], Problem],
    limits: Limits,
    *,
    test: Callable[..., Tested] = tested,
) -> list[Verdict]:
    """Return a verdict for each answer: whether its program passes, by each rule; a program a CPU at a time.

    A program that several rules, or several samples of an item, agree on is run once.

    Raises
    ------
    SandboxError
        This machine cannot enclose a program.
    """
    find_wall()  # raises before anything is counted as wrong
    wanted: dict[tuple[str, str], tuple[str, Problem]] = {}
    by_rule: list[dict[str, tuple[str, str]]] = []
    for item, answer in asked:
        problem = problem_of(item)
        keys = {}
        for rule, code in codes(answer.text, problem).items():
            whole = program(code, problem)
            keys[rule] = (item.id, whole)
            wanted[item.id, whole] = (whole, problem)
        by_rule.append(keys)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        ran = dict(
            zip(
                wanted,
                pool.map(lambda job: test(job[0], list(job[1].tests), limits=limits), wanted.values()),
                strict=True,
            )
        )
    verdicts = []
    for (item, answer), keys in zip(asked, by_rule, strict=True):
        first = ran[keys[RULES[0]]]
        extracted = codes(answer.text, problem_of(item))[RULES[0]]
        verdicts.append(_verdict(first, extracted, {rule: float(ran[key].passed) for rule, key in keys.items()}))
    return verdicts


def _verdict(ran: Tested, extracted: str, rules: Mapping[str, float]) -> Verdict:
    outcome = "passed" if ran.passed else _OUTCOMES.get(ran.status, "failed")
    return Verdict(float(ran.passed), ran.reason, extracted, outcome, rules)


_OUTCOMES = {"timeout": "timed out", "cpu": "timed out", "memory": "out of memory", "output": "wrote too much"}
