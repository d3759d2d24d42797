"""Scorers and answers that can be chosen in the Rewards panel: what is registered, and what the notebook has."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from shadownb.engine import registry
from shadownb.engine.scoring import Scoring
from shadownb.errors import ConfigError, DataError

from . import _choices

OTHERS = "other"  # wrong answers are taken from other rows


def scorer_choices(namespace: Mapping[str, Any], given: Any = None) -> list[dict[str, str]]:
    """Return what can judge: what was given, the notebook's functions and objects, what is registered."""
    found = []
    if given is not None and _choices.name_of(given, namespace) is None:
        found.append({"id": "given", "title": _title(given), "group": "Given to this panel"})
    found += [
        {"id": f"var:{name}", "title": name, "group": "Notebook variables"}
        for name, value in _choices.variables(namespace)
        if is_scorer(value)
    ]
    return found + [{"id": f"name:{name}", "title": name, "group": "Registered"} for name in registry.names("scorer")]


def is_scorer(value: Any) -> bool:
    """Whether a variable is meant as a scorer: a function of the notebook that can be asked, a scorer, several with weights."""
    if isinstance(value, Mapping):
        return (
            bool(value)
            and all(isinstance(weight, int | float) for weight in value.values())
            and all(callable(part) or (isinstance(part, str) and registry.has("scorer", part)) for part in value)
        )
    written_here = inspect.isfunction(value) and value.__module__ == "__main__"
    named = not isinstance(value, type) and callable(value) and isinstance(getattr(value, "name", None), str)
    if not (written_here or named):
        return False
    try:
        Scoring(value)
    except ConfigError:
        return False
    return True


def open_scorer(choice: str, namespace: Mapping[str, Any], given: Any = None) -> Any:
    """Return the scorer behind a choice. Raises DataError where its variable is gone."""
    kind, _, rest = choice.partition(":")
    return given if kind == "given" else rest if kind == "name" else _variable(rest, namespace)


def answer_choices(namespace: Mapping[str, Any], given: Any = None) -> list[dict[str, str]]:
    """Return what has answers: data as everywhere, and lists of texts."""
    texts = [
        {"id": f"var:{name}", "title": f"{name} (texts, {len(value):,})", "group": "Notebook variables"}
        for name, value in _choices.variables(namespace)
        # A list of a user's own kind may do anything when it is looked through.
        if type(value) is list and value and all(isinstance(text, str) for text in value)
    ]
    data = _choices.data_choices(namespace, given if _choices.kind_of(given) is not None else None)
    if given is not None and _choices.kind_of(given) is None and _choices.name_of(given, namespace) is None:
        texts.insert(0, {"id": "given", "title": f"given ({len(given):,})", "group": "Given to this panel"})
    return [*({key: str(each[key]) for key in ("id", "title", "group")} for each in data), *texts]


def open_answers(choice: str, namespace: Mapping[str, Any], given: Any = None) -> Any:
    """Return the answers behind a choice: rows and texts of the notebook as they are, with all their columns."""
    kind, _, rest = choice.partition(":")
    value = given if kind == "given" else _variable(rest, namespace) if kind == "var" else None
    return value if isinstance(value, list | tuple) else _choices.open_data(choice, namespace, given)


def code(chosen: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    """Return the cell and the magic that do the same; ``names`` are what given objects are called."""

    def spelled(choice: str, what: str) -> str:
        kind, _, rest = choice.partition(":")
        if kind == "given":
            return names.get(what, what)
        if kind == "sample":
            name, _, split = rest.partition(":")
            return f'snb.Dataset.sample("{name}"{f", split={split!r}" if split else ""})'
        return rest if kind == "var" else f"{rest!r}"

    def typed(choice: str, what: str) -> str:
        return (names.get(what, what) if choice == "given" else choice.partition(":")[2]).replace(":", ".")

    scorer, good, bad = chosen["scorer"], chosen["good"], chosen["bad"]
    others = bad in ("", OTHERS)
    arguments = [spelled(scorer, "scorer"), spelled(good, "good"), *([] if others else [spelled(bad, "bad")])]
    flags = "" if others else f" --bad {typed(bad, 'bad')}"
    return {
        "python": f"import shadownb as snb\n\nreport = snb.scoring.lab({', '.join(arguments)})\nprint(report)",
        "magic": f"%shadow lab {typed(scorer, 'scorer')} {typed(good, 'good')}{flags} --as report",
    }


def _variable(name: str, namespace: Mapping[str, Any]) -> Any:
    if name not in namespace:
        raise DataError(f"The notebook has no variable {name!r} any more.", fix="Choose again.")
    return namespace[name]


def _title(scorer: Any) -> str:
    return (
        scorer
        if isinstance(scorer, str)
        else str(getattr(scorer, "name", None) or getattr(scorer, "__name__", None) or scorer)
    )
