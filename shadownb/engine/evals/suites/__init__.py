"""Suites: what a model can be evaluated on, by name or as an object.

::

    snb.evaluate(model, ["humaneval", "sql", snb.suites.rows(held_out, snb.JsonExact())])

A suite of one's own has items and grades their answers.

Examples
--------
>>> class Polite:
...     name, rules, sampling = "polite", (), snb.suites.get("text").sampling
...     def items(self):
...         return [snb.suites.Item("thanks", [{"role": "user", "content": "Thank you!"}])]
...     def grade(self, asked):
...         return [snb.suites.Verdict(float("welcome" in answer.text)) for item, answer in asked]
>>> snb.evaluate(model, Polite()).cell("polite", "tuned").mean.value
0.0
>>> snb.suites.available()
('humaneval', 'humanevalpack', ..., 'sql', ...)
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from shadownb.engine import registry
from shadownb.engine.evals.suites.base import Item, Suite, Verdict
from shadownb.engine.evals.suites.exchange import write
from shadownb.engine.evals.suites.given_answers import Samples
from shadownb.engine.evals.suites.known_text import Text
from shadownb.engine.evals.suites.own_rows import Rows
from shadownb.errors import ConfigError

_NAME = re.compile(r"\w[\w.-]{0,99}")

rows = Rows
samples = Samples
text = Text

__all__ = [
    "Item", "Rows", "Samples", "Suite", "Text", "Verdict", "available", "get", "register", "rows", "samples", "text",
    "write_samples",
]  # fmt: skip


def available() -> tuple[str, ...]:
    """Return the names of the suites that can be asked for.

    Examples
    --------
    >>> "sql" in snb.suites.available()
    True
    """
    return registry.names("suite")


def get(suite: str | Suite) -> Suite:
    """Return the suite of a name; a suite is returned as it is.

    Behind a colon stand parts of it, where it has some: ``"humanevalpack:js,cpp"`` is ``HumanEvalPack("js", "cpp")``.

    Examples
    --------
    >>> snb.suites.get("text").name
    'text'
    >>> snb.suites.get("humaneval:continue").name
    'humaneval-continue'

    Raises
    ------
    ConfigError
        None goes by this name, or it is no suite.
    """
    made: Any = suite
    if isinstance(suite, str):
        name, _, parts = suite.partition(":")
        made = registry.resolve("suite", name)
        if isinstance(made, type) or not isinstance(made, Suite):
            made = _made(made, name, [part for part in parts.split(",") if part])
    if not isinstance(made, Suite):
        raise ConfigError(
            f"suite={suite!r} is no suite.",
            fix=f"Give one of {', '.join(available())}, snb.suites.rows(dataset, scorer), or an object with name, sampling, "
            "rules, items() and grade().",
        )
    if not _NAME.fullmatch(made.name):
        raise ConfigError(
            f"A suite cannot be called {made.name!r}: a file and conditions have its name.",
            fix="Use letters, digits, '.', '_' and '-': snb.suites.rows(..., name='mine').",
        )
    return made


def _made(suite: Any, name: str, parts: list[str]) -> Any:
    if not parts:
        return suite()
    try:
        inspect.signature(suite).bind(*parts)
    except TypeError:
        raise ConfigError(
            f"The suite {name!r} has no part {', '.join(parts)}.", fix=f"Ask for {name!r} as a whole."
        ) from None
    return suite(*parts)


def register(name: str, target: str, *, replace: bool = False) -> None:
    """Make a suite known by a name in this process.

    Examples
    --------
    >>> snb.suites.register("prose", "shadownb.engine.evals.suites.known_text:Text")
    >>> "prose" in snb.suites.available()
    True
    >>> snb.registry.unregister("suite", "prose")

    Parameters
    ----------
    target
        ``"module:attribute"`` of a class or a function that is called without arguments, or of a suite.

    Raises
    ------
    ConfigError
        The name is taken, or ``target`` is not of this form.
    """
    registry.register("suite", name, target, replace=replace)


def write_samples(evaluation: Any, suite: str | Suite, path: str | Path, *, side: str | None = None) -> Path:
    """Write one model's answers to a suite as its tools exchange them, with their verdicts where they are graded.

    Examples
    --------
    >>> mine = snb.suites.rows(rows[:3], snb.Exact(), name="queues")
    >>> found = snb.evaluate(model, mine, max_new_tokens=8)
    >>> snb.suites.write_samples(found, mine, "samples.jsonl", side="tuned").name
    'samples.jsonl'

    Parameters
    ----------
    evaluation
        An :class:`~shadownb.engine.evals.evaluation.evaluation.Evaluation`.
    path
        A file ``*.jsonl`` (or ``.jsonl.gz``) of lines; else a folder with a file a problem, as MultiPL-E has them.
    side
        Whose answers; the last one's by default.

    Raises
    ------
    ConfigError
        It was not asked this suite, or there is no such side.
    """
    place = Path(path).expanduser()
    write(evaluation, get(suite), place, side or evaluation.sides[-1])
    return place
