"""What code can call the objects of a notebook: its variables, and what a Studio holds that no variable does."""

from __future__ import annotations

import keyword
import weakref
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from shadownb.errors import ConfigError

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


def assign(values: Mapping[str, Any], namespace: Mapping[str, Any] | None, *, replace: bool = False) -> None:
    """Have variables of the notebook, or of a namespace that stands for it, hold these; all of them or none.

    Raises
    ------
    ConfigError
        A name is none, or holds something else already and is not to be replaced; or there is no notebook.
    """
    for name in values:
        if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
            raise ConfigError(f"{name!r} is no name of a variable.", fix="Use letters, digits and _, such as rows.")
    place = _notebook(namespace)
    taken = [name for name, value in values.items() if name in place and place[name] is not value]
    if taken and not replace:
        raise ConfigError(
            f"The variable {taken[0]!r} holds something already.", fix="Use another name, or choose to replace it."
        )
    place.update(values)


def _notebook(namespace: Mapping[str, Any] | None) -> MutableMapping[str, Any]:
    if isinstance(namespace, StudioNames):
        return _notebook(namespace.given)
    if isinstance(namespace, MutableMapping):
        return namespace
    from IPython.core.getipython import get_ipython

    shell = get_ipython() if namespace is None else None
    if shell is None:
        raise ConfigError("There is no notebook whose variables could hold it.", fix="Take panel.dataset in your code.")
    variables: dict[str, Any] = shell.user_ns
    return variables


class StudioNames(Mapping[str, Any]):
    """The notebook's variables as they are at each look, and what a Studio holds where no variable has it: the model as
    ``studio.model``, the rows of its Data tab as ``studio.data.dataset`` and ``studio.data.held_out``.

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

    @property
    def given(self) -> Mapping[str, Any] | None:
        """What stands for the notebook's variables, or None."""
        return self._namespace

    def _read(self) -> dict[str, Any]:
        names = user_namespace() if self._namespace is None else dict(self._namespace)
        if self.model is not None and self.model.is_loaded and name_of(self.model, names) is None:
            names[f"{self._called(names)}.model"] = self.model
        data = getattr(self._studio(), "data", None)
        for part in ("dataset", "held_out") if data is not None else ():
            rows = getattr(data, part)
            if rows is not None and name_of(rows, names) is None:
                names[f"{self._called(names)}.data.{part}"] = rows
        return names

    def _called(self, names: Mapping[str, Any]) -> str:
        return name_of(self._studio(), names) or UNNAMED

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
