"""Answers in several languages graded by their tests: what the suites of HumanEvalPack and MultiPL-E have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shadownb.engine.evals.suites.base import NO_TOOLCHAIN, Item, Verdict
from shadownb.engine.evals.suites.coding import installed, languages, programs
from shadownb.engine.evals.suites.coding.programs import RULES, Ran
from shadownb.engine.evals.suites.coding.sources import sources
from shadownb.engine.evals.suites.coding.toolchains import new_mark
from shadownb.engine.evals.turns import Turn
from shadownb.engine.sandbox.limits import Limits
from shadownb.engine.sandbox.scorer import tested
from shadownb.engine.sandbox.walls import find_wall
from shadownb.engine.scoring.answers import fences, without_reasoning

PYTHON = "python"
_SECONDS = 10  # of CPU time of a program of Python, three times as much by the clock


@dataclass(frozen=True)
class Task:
    """A function to write in a language, and the program that says whether it is right.

    Attributes
    ----------
    language
        A key of :data:`~shadownb.engine.evals.suites.coding.languages.FENCES`, or ``python``.
    prompt, tests, name
        As :func:`~shadownb.engine.evals.suites.coding.sources.sources` takes them.
    ends
        What ends a completion.
    keep_end
        Whether the end belongs to it: a closing brace.
    needed
        Texts in which the libraries stand that the item itself needs.
    """

    language: str
    prompt: str
    tests: str
    name: str
    ends: tuple[str, ...] = ()
    keep_end: bool = False
    needed: str = ""


def codes(answer: str, task: Task) -> dict[str, str]:
    """Return the code that each rule takes out of an answer; see :func:`programs.codes`."""
    text = without_reasoning(answer)
    found = fences(text)
    marked = [inside for language, inside in found if language in languages.FENCES[task.language]]
    fenced = "\n".join(marked) if marked else found[0][1] if found else text
    cuts = [(place, end) for end in task.ends if (place := text.find(end)) >= 0]
    place, end = min(cuts, default=(len(text), ""))
    cut = text[: place + len(end)] if task.keep_end else text[:place]
    # A line that begins with a fence is in no program of these languages.
    whole, cut = ("" if "\n```" in f"\n{each}" else each for each in (text, cut))
    return dict(zip(RULES, (fenced, whole, cut), strict=True))


def grade(asked: Sequence[tuple[Item, Turn]], tasks: Mapping[str, Task]) -> list[Verdict]:
    """Return whether each answer passes its tests; ungraded, with the reason, where its language has no toolchain here.

    Parameters
    ----------
    tasks
        By the items' ids.

    Raises
    ------
    SandboxError
        This machine cannot enclose a program.
    MissingDependencyError
        None of the languages has a toolchain here that works.
    """
    find_wall()
    needed = {tasks[item.id].language for item, _ in asked}
    troubles = installed.troubles(sorted(needed - {PYTHON}))
    if needed and len(troubles) == len(needed):
        raise installed.none_works(list(troubles.values()))
    mark = new_mark()

    def codes_of(item: Item, answer: Turn) -> Mapping[str, str]:
        return _codes_of(answer, tasks[item.id])

    def job_of(item: Item, code: str) -> tuple[Task, tuple[str, ...]]:
        task = tasks[item.id]
        if task.language == PYTHON:
            return task, (programs.program(code, _problem(task)),)
        goes_on = isinstance(code, programs.Continuation)
        return task, tuple(sources(task.language, task.prompt, code, task.tests, task.name, mark, goes_on=goes_on))

    def run(job: tuple[Task, tuple[str, ...]]) -> Ran:
        task, several = job
        if task.language in troubles:
            return Ran(None, NO_TOOLCHAIN, troubles[task.language])
        if task.language != PYTHON:
            return installed.find(task.language).try_all(several, mark, task.needed)
        limits = Limits(cpu_seconds=_SECONDS, wall_seconds=3 * _SECONDS)
        ran = tested(several[0], [task.tests], limits=limits)
        return Ran(
            float(ran.passed), "passed" if ran.passed else programs.OUTCOMES.get(ran.status, "failed"), ran.reason
        )

    return programs.grade_by_rule(asked, codes_of, job_of, run)


def completion(answer: Turn, task: Task) -> str:
    """Return what goes on from the task's prompt and is the answer's program; of a whole function what its braces hold."""
    code = _codes_of(answer, task)[RULES[0]]
    if task.language == PYTHON:
        return programs.completion(answer, _problem(task))
    return languages.body_of(task.language, code, task.tests, task.name)


def _codes_of(answer: Turn, task: Task) -> dict[str, str]:
    if answer.continues:
        return {programs.AS_GIVEN: programs.Continuation(answer.text)}
    return programs.codes(answer.text, _problem(task)) if task.language == PYTHON else codes(answer.text, task)


def _problem(task: Task) -> programs.Problem:
    return programs.Problem(task.prompt, (task.tests,), task.name)
