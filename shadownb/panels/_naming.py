"""What code can call the objects of a notebook: its variables, and what a Studio holds that no variable does."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from typing import Any

UNNAMED = "snb.Studio.newest()"  # what code calls a Studio that no variable holds


def user_namespace() -> dict[str, Any]:
    """Return a copy of the notebook's variables, or an empty dict outside IPython."""
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return {}
    shell = get_ipython()
    if shell is None:
        return {}
    hidden = getattr(shell, "user_ns_hidden", {})
    # A cell may add names while this runs on another thread; list() of a dict's items is one step.
    return {
        name: value for name, value in list(shell.user_ns.items()) if name not in hidden and not name.startswith("_")
    }


def name_of(value: Any, namespace: Mapping[str, Any]) -> str | None:
    """Return the notebook variable that holds this very object, or None."""
    if value is None:
        return None
    return next((name for name, held in namespace.items() if held is value and is_name(name)), None)


def variables(namespace: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Return the variables that code can name."""
    return ((name, value) for name, value in namespace.items() if is_name(name) and not name.startswith("_"))


def is_name(text: str) -> bool:
    """Whether code can say it: a variable, or what a variable holds (``studio.model``)."""
    return all(part.isidentifier() for part in text.removeprefix(f"{UNNAMED}.").split("."))


class StudioNames(Mapping[str, Any]):
    """The notebook's variables as they are at each look, and the model of a Studio as ``studio.model`` where no variable has it.

    Parameters
    ----------
    studio
        It goes by the name of its variable.
    namespace
        Instead of the notebook's variables.

    Attributes
    ----------
    model
        The model that the Studio works with, or None.
    """

    def __init__(self, studio: Any, namespace: Mapping[str, Any] | None) -> None:
        self._studio = weakref.ref(studio)
        self._namespace = namespace
        self.model: Any = None

    def _read(self) -> dict[str, Any]:
        names = user_namespace() if self._namespace is None else dict(self._namespace)
        if self.model is not None and self.model.is_loaded and name_of(self.model, names) is None:
            names[f"{name_of(self._studio(), names) or UNNAMED}.model"] = self.model
        return names

    def __getitem__(self, name: str) -> Any:
        return self._read()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    # The mixins of Mapping would read everything again for each entry.

    def items(self) -> Any:
        """Return (name, object) pairs."""
        return self._read().items()

    def __contains__(self, name: object) -> bool:
        return name in self._read()


def with_import(code: str) -> str:
    """Return code that imports what it calls a Studio by."""
    return f"import shadownb as snb\n\n{code}" if UNNAMED in code and "import shadownb as snb" not in code else code
