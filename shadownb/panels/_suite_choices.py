"""What can be asked in the Evaluate panel: registered suites, suites of the notebook, and rows of one's own with a scorer.

A chosen suite is a dict: ``{"id": "name:sql"}``, ``{"id": "var:mine"}``, ``{"id": "given:0"}``, or ``{"id": "rows:NAME", "data":
choice, "scorer": choice}`` with a name of its own.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from shadownb.engine import registry
from shadownb.errors import ConfigError, DataError

from . import _choices, _scorers

OWN = "rows:"


def choices(namespace: Mapping[str, Any], given: Sequence[Any] = ()) -> list[dict[str, str]]:
    """Return the suites that can be ticked, each with a line about it."""
    found = [_choice(f"given:{at}", suite.name, "", "Given to this panel") for at, suite in enumerate(given)]
    found += [
        _choice(f"var:{name}", name, f"{value.name}, of the notebook", "Notebook variables")
        for name, value in _choices.variables(namespace)
        if _is_suite(value)
    ]
    for name in registry.names("suite"):
        found.append(_choice(f"name:{name}", name, _about(name), "Suites"))
    return found


def _choice(identity: str, title: str, about: str, group: str) -> dict[str, str]:
    return {"id": identity, "title": title, "about": about, "group": group}


def _about(name: str) -> str:
    """Return the first line of a suite's docstring, without its name."""
    try:
        text = inspect.getdoc(registry.resolve("suite", name)) or ""
    except Exception:  # of a package that fails; choosing it says why
        return ""
    module = inspect.getmodule(registry.resolve("suite", name))
    line = (getattr(module, "__doc__", "") or text).strip().splitlines()[0] if module is not None else text
    return line.split(": ", 1)[-1] if ": " in line[:30] else line


def _is_suite(value: Any) -> bool:
    from shadownb.engine.evals.suites.base import Suite

    try:
        return not isinstance(value, type) and isinstance(value, Suite) and isinstance(value.name, str)
    except Exception:  # an object of a user's own kind may do anything when it is asked for an attribute
        return False


def name_of(chosen: Mapping[str, str], namespace: Mapping[str, Any], given: Sequence[Any] = ()) -> str:
    """Return what a chosen suite is called in tables."""
    kind, _, rest = chosen["id"].partition(":")
    if kind == "given":
        return str(given[int(rest)].name) if int(rest) < len(given) else rest
    return str(getattr(namespace.get(rest), "name", rest)) if kind == "var" else rest


def open_suite(chosen: Mapping[str, str], namespace: Mapping[str, Any], given: Sequence[Any] = ()) -> Any:
    """Return a chosen suite; of rows it reads the data.

    Raises
    ------
    ShadowError
        Its variable or data is gone, or the scorer cannot judge the rows.
    """
    from shadownb.engine.evals.suites import Rows, get

    kind, _, rest = chosen["id"].partition(":")
    if kind == "given":
        if int(rest) >= len(given):
            raise DataError("What this panel was given is gone.", fix="Make the panel again with the same suites.")
        return given[int(rest)]
    if kind == "var":
        if rest not in namespace:
            raise DataError(
                f"The notebook has no variable {rest!r} any more.", fix="Define the suite again, or choose another."
            )
        return get(namespace[rest])
    if kind == "name":
        return get(rest)
    data = _scorers.open_answers(chosen["data"], namespace)
    return Rows(data, _scorers.open_scorer(chosen["scorer"], namespace), name=rest)


def own_rows(data: str, scorer: str, taken: Sequence[str]) -> dict[str, str]:
    """Return the choice of rows with a scorer, under a name that is not taken.

    Raises
    ------
    ConfigError
        Data or scorer is missing.
    """
    for what, value in (("data", data), ("scorer", scorer)):
        if not value:
            raise ConfigError(f"No {what} chosen.", fix="Choose rows and a scorer, then add them.")
    if data.startswith("heldout:"):
        words = "held-out"
    elif data.startswith(("sample:", "capture:")):
        words = data.split(":")[1].partition("#")[0]
    else:
        words = data.rsplit(":", maxsplit=1)[-1]
    plain = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in words.rsplit("/", 1)[-1])
    name = plain.strip("-_") or "rows"
    number, free = 2, name
    while free in taken:
        free, number = f"{name}-{number}", number + 1
    return {"id": f"{OWN}{free}", "data": data, "scorer": scorer}
