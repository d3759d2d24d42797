"""What the package shows to its users, and the examples in its docstrings."""

from __future__ import annotations

import importlib.util
import inspect
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import shadownb

_REFERENCE = Path(__file__).parents[2] / "docs" / "hooks" / "reference_pages.py"
_EXAMPLE = re.compile(r"^\s*(?:>>>|\.\.\.) ", re.MULTILINE)


def _reference() -> Any:
    spec = importlib.util.spec_from_file_location("reference_pages", _REFERENCE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REFERENCE = _reference()


@dataclass(frozen=True)
class Public:
    """A name that users type, with what stands behind it.

    Attributes
    ----------
    owner
        The class or module that it belongs to; None for what stands by itself.
    """

    name: str
    value: Any
    owner: Public | None = None

    @cached_property
    def doc(self) -> str:
        """Its docstring, without the indentation; not one that it inherits from elsewhere."""
        return inspect.cleandoc(self.value.__doc__ or "")

    @property
    def examples(self) -> str:
        """The lines of its docstring that are run."""
        return "\n".join(line for line in self.doc.splitlines() if _EXAMPLE.match(line))

    @property
    def is_shown(self) -> bool:
        """Whether an example has it: its own; or, where it can be used without arguments, that of its class."""
        if self.examples:
            return True
        last = self.name.rsplit(".", 1)[-1]
        return (
            self.owner is not None
            and not self._takes_arguments
            and bool(re.search(rf"\.{last}\b", self.owner.examples))
        )

    @property
    def _takes_arguments(self) -> bool:
        value = self.value
        if not callable(value) or isinstance(value, type):
            return False
        optional = {"timeout", "self", "cls"}
        return any(name not in optional for name in inspect.signature(value).parameters)


def public_names() -> Iterator[Public]:
    """Yield everything that the reference shows: what is exported, and the public members of that."""
    seen: set[Any] = set()
    for name in shadownb.__all__:
        value = getattr(shadownb, name)
        if inspect.ismodule(value):
            module = Public(name, value)
            yield module
            hidden = REFERENCE.FOR_THE_ENGINE.get(name, ())
            for member in (member for member in _members_of_module(value) if member not in hidden):
                yield from _with_members(Public(f"{name}.{member}", getattr(value, member), module), seen)
        elif callable(value):
            yield from _with_members(Public(name, value), seen)


def _members_of_module(module: types.ModuleType) -> list[str]:
    declared = getattr(module, "__all__", None)
    if declared is not None:
        return list(declared)
    return [
        n for n, v in vars(module).items() if not n.startswith("_") and getattr(v, "__module__", "") == module.__name__
    ]


def _with_members(public: Public, seen: set[Any]) -> Iterator[Public]:
    if public.value in seen or not (inspect.isclass(public.value) or inspect.isroutine(public.value)):
        return
    seen.add(public.value)
    yield public
    if inspect.isclass(public.value):
        for name, member in _members_of_class(public.name, public.value):
            yield Public(f"{public.name}.{name}", member, public)


def _members_of_class(shown_as: str, kind: type) -> Iterator[tuple[str, Any]]:
    bases = kind.__mro__ if shown_as in REFERENCE.WHOLE else (kind,)
    met: set[str] = set(REFERENCE.FOR_THE_ENGINE.get(shown_as, ()))
    for base in bases:
        if not base.__module__.startswith("shadownb."):
            continue
        for name, member in vars(base).items():
            value = getattr(member, "__func__", getattr(member, "func", member))  # class methods, cached properties
            if name.startswith("_") or name in met or not isinstance(value, types.FunctionType | property):
                continue
            met.add(name)
            yield name, value
