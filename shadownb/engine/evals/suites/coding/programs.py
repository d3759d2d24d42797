"""Code out of answers, and Python problems graded by their tests in the sandbox."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from shadownb.engine.evals.suites.base import Item, Verdict
from shadownb.engine.evals.turns import Turn
from shadownb.engine.sandbox.limits import Limits
from shadownb.engine.sandbox.scorer import tested
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


def codes_of(answer: Turn, problem: Problem) -> dict[str, str]:
    """Return the program that each rule takes out of an answer, or the one that it is."""
    return {AS_GIVEN: Continuation(answer.text)} if answer.continues else codes(answer.text, problem)


def completion(answer: Turn, problem: Problem) -> str:
    """Return what goes on from the problem's start and is the program of an answer."""
    whole = program(codes_of(answer, problem)[RULES[0]], problem)
    return whole.removeprefix(problem.start.rstrip()) if problem.start.strip() else whole


def program(code: str, problem: Problem) -> str:
    """Return the program that is run: what the answer goes on from, and the answer.

    One that defines the function itself stands behind the start as a program of its own; a body is put below the signature, and
    indented where it is not.
    """
    if isinstance(code, Continuation):
        return problem.start + code
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


@dataclass(frozen=True)
class Ran:
    """How a program did.

    Attributes
    ----------
    value
        1.0 where it passed its tests, 0.0 where not, None where this machine cannot tell.
    outcome
        ``passed``, ``failed``, or how it failed.
    reason
        Why, in a line.
    """

    value: float | None
    outcome: str
    reason: str = ""


class Continuation(str):
    """Code that goes on from a problem's prompt as it stands; nothing is taken out of it and nothing mended."""

    __slots__ = ()


AS_GIVEN = "as given"
"""The only rule by which a completion of a file of samples is graded."""

Job = TypeVar("Job", bound=Hashable)


def grade_by_rule(
    asked: Sequence[tuple[Item, Turn]],
    codes_of: Callable[[Item, Turn], Mapping[str, str]],
    job_of: Callable[[Item, str], Job],
    run: Callable[[Job], Ran],
) -> list[Verdict]:
    """Return a verdict for each answer by each rule of extraction, a program a CPU at a time.

    The first rule is the one that counts. What several rules, or several samples of an item, agree on is run once.

    Parameters
    ----------
    codes_of
        The code that each rule takes out of an answer.
    job_of
        What is run for a code; equal jobs are one.
    run
        Runs it.
    """
    by_rule = [codes_of(item, answer) for item, answer in asked]
    jobs = [
        {rule: (item.id, job_of(item, code)) for rule, code in codes.items()}
        for (item, _), codes in zip(asked, by_rule, strict=True)
    ]
    wanted = list(dict.fromkeys(job for each in jobs for job in each.values()))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        ran = dict(zip(wanted, pool.map(lambda job: run(job[1]), wanted), strict=True))
    verdicts = []
    for codes, each in zip(by_rule, jobs, strict=True):
        counts = next(iter(codes))
        first = ran[each[counts]]
        rules = {rule: value for rule, job in each.items() if (value := ran[job].value) is not None}
        verdicts.append(
            Verdict(first.value, first.reason, codes[counts], first.outcome, rules if len(codes) > 1 else {})
        )
    return verdicts


def grade(
    asked: Sequence[tuple[Item, Turn]], problem_of: Callable[[Item], Problem], limits: Limits, *, packages: bool = False
) -> list[Verdict]:
    """Return whether each answer is a program of Python that passes its tests; ``packages`` lets it import what is installed.

    Raises
    ------
    SandboxError
        This machine cannot enclose a program.
    """
    find_wall()  # raises before anything is counted as wrong

    def run(job: tuple[str, tuple[str, ...]]) -> Ran:
        ran = tested(job[0], list(job[1]), limits=limits, packages=packages)
        outcome = "passed" if ran.passed else OUTCOMES.get(ran.status, "failed")
        return Ran(float(ran.passed), outcome, ran.reason)

    return grade_by_rule(
        asked,
        lambda item, answer: codes_of(answer, problem_of(item)),
        lambda item, code: (program(code, problem_of(item)), problem_of(item).tests),
        run,
    )


OUTCOMES = {
    "timeout": "timed out",
    "cpu": "timed out",
    "memory": "out of memory",
    "output": "wrote too much",
    "disk": "wrote too much",
}
