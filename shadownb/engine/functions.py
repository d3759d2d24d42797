"""Functions and other objects that options name: from a module, from the notebook's cells, or of this process alone.

A run's record keeps names. ``module:attribute`` is found in any process, ``__main__:name`` in a kernel that has run the cell (the
same one, or another in which the cell was run again), ``here:...`` in the process that was given the object.
"""

from __future__ import annotations

import inspect
import itertools
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shadownb.engine.importable import load_by_name
from shadownb.errors import ConfigError

_CELL, _HERE = "__main__:", "here:"
_lock = threading.Lock()
_objects: dict[str, Any] = {}  # by name: those that begin with here:, and what was given in the place of others
_numbers = itertools.count(1)

_FIXES = {
    "reward_fns": "Write it to a module, for example with %%writefile rewards.py in the first line of its cell, and give "
    "reward_fns=['rewards:{name}']; or train with executor='thread'.",
    "environment": "Write it to a module, for example with %%writefile games.py in the first line of its cell, and give "
    "environment='games:{name}'; or train with executor='thread'.",
    "teacher": "Give the teacher's name, its folder, the id of its run or the address of its server; or train with "
    "executor='thread'.",
}


def name_of(option: str, value: Any) -> str:
    """Return the name that a record keeps of a function or object given for an option.

    Raises
    ------
    ConfigError
        It is nothing that can be called.
    """
    if not callable(value):
        raise ConfigError(f"{option}={value!r} cannot be called.", fix="Give functions, scorers, or names of those.")
    module, qualified = getattr(value, "__module__", ""), getattr(value, "__qualname__", "")
    if qualified and "<" not in qualified:
        name = f"{module}:{qualified}"
        try:
            if load_by_name(option, name) is value:
                return name
        except ConfigError:  # a method, or made within a function
            pass
    return _of_this_process(value)


def name_of_object(option: str, value: Any) -> str:
    """Return the name that a record keeps of a model, an endpoint or another object given for an option.

    Raises
    ------
    ConfigError
        It is plain data, which nobody could be asked by.
    """
    if isinstance(value, int | float | list | tuple | dict | set | bytes):
        raise ConfigError(f"{option}={value!r} is neither a name nor an object.", fix="Give a model, or its name.")
    return _of_this_process(value)


def _of_this_process(value: Any) -> str:
    for name, held in _cells():
        if held is value:
            return f"{_CELL}{name}"
    with _lock:
        for name, held in _objects.items():
            if held is value and name.startswith(_HERE):
                return name
        name = f"{_HERE}{_label(value)}#{next(_numbers)}"
        _objects[name] = value
    return name


def of_a_cell(name: str) -> str | None:
    """Return the whole name of something callable that a cell calls so; None where there is none."""
    return next((f"{_CELL}{known}" for known, held in _cells() if known == name and callable(held)), None)


def takes_completions(value: Any) -> bool:
    """Whether a variable holds what scores answers: it takes completions, or an output and what is expected of it."""
    if isinstance(value, type) or not callable(value):
        return False
    try:
        taken = set(inspect.signature(value).parameters)
    except (TypeError, ValueError):
        return False
    return "completions" in taken or {"output", "expected"} <= taken


def fits(kind: str, value: Any) -> bool:
    """Whether a variable holds what an option of a kind (``scorer``, ``teacher``, ``environment``) can name."""
    if kind == "teacher":
        return not isinstance(value, type) and callable(getattr(value, "chat", None))
    if kind == "environment":
        return isinstance(value, type) and callable(getattr(value, "reset", None))
    return takes_completions(value)


def names_in(value: str | Sequence[str]) -> list[str]:
    """Return the names of an option that has several, or one."""
    return ([value] if value else []) if isinstance(value, str) else list(value)


def meant(value: str | Sequence[str], typed: Any, variables: Mapping[str, Any]) -> Any:
    """Return what was typed for an option, with what variables hold in the place of their names.

    ``value`` is what the option has: a text where it names one thing, such as a teacher, else a list.
    """
    if not isinstance(value, str):
        return of_variables(list(typed) if isinstance(typed, list | tuple) else [typed], variables)
    found = variables.get(typed) if isinstance(typed, str) else typed
    return found if callable(found) or hasattr(found, "chat") else typed


def of_variables(names: Iterable[str], variables: Mapping[str, Any]) -> list[Any]:
    """Return what names mean where somebody typed them: the function that a variable holds, else the name."""
    return [variables[name] if callable(variables.get(name)) else name for name in names]


def _cells() -> list[tuple[str, Any]]:
    """Return the variables of the notebook, or of the script that runs."""
    found = list(vars(sys.modules["__main__"]).items()) if "__main__" in sys.modules else []
    return [(name, held) for name, held in found if name.isidentifier() and not name.startswith("_")]


def load(option: str, name: str) -> Any:
    """Return what :func:`name_of` named.

    Raises
    ------
    ConfigError
        This process does not have it.
    """
    with _lock:
        if name in _objects:
            return _objects[name]
    if name.startswith(_HERE):
        raise ConfigError(
            f"{option}={shown(name)!r} was an object of the process that started the run, and this is another one.",
            fix=f"Give it again: run.resume({option}={_given(option)}).",
        )
    if name.startswith(_CELL):
        found = [held for known, held in _cells() if known == name.removeprefix(_CELL)]
        if found:
            return found[0]
        raise ConfigError(
            f"{option}={shown(name)!r} was written in a cell that this kernel has not run.",
            fix=f"Run the cell that has it, or give it again: run.resume({option}={_given(option)}).",
        )
    return load_by_name(option, name)


def give(name: str, value: Any) -> None:
    """Have a recorded name mean an object of this process."""
    with _lock:
        _objects[name] = value


def shown(name: str) -> str:
    """Return a name as people call what it names."""
    return name.removeprefix(_HERE).rpartition("#")[0] if name.startswith(_HERE) else name.rpartition(":")[2]


def of_this_notebook(name: Any) -> str | None:
    """Return the variable that a name is of; None where it names something else."""
    return name.removeprefix(_CELL) if isinstance(name, str) and name.startswith(_CELL) else None


def is_to_be_found(option: str, name: str) -> bool:
    """Whether a name is that of an object or of something in a module; those of teachers are names of models otherwise."""
    return is_of_this_process(name) if option == "teacher" else ":" in name


def is_of_this_process(name: str) -> bool:
    """Whether another process cannot have what a name names."""
    return name.startswith((_CELL, _HERE))


def refuse(option: str, names: Iterable[str], where: str) -> None:
    """Raise ConfigError for the first name that cannot be had by another process; ``where`` follows "in"."""
    for name in names:
        if is_of_this_process(name):
            raise ConfigError(
                f"{option}=[{shown(name)}] cannot be called in {where}.",
                why="It was written in a cell, or is an object of this process.",
                fix=_FIXES.get(option, _FIXES["reward_fns"]).format(name=shown(name)),
            )


def _given(option: str) -> str:
    return "[...]" if option.endswith("s") else "..."


def _label(value: Any) -> str:
    named = getattr(value, "__name__", None) or getattr(value, "name", None)
    return named if isinstance(named, str) and named else type(value).__name__
