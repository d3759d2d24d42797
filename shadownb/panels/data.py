"""DataPanel: open rows from anywhere, say what their columns are, look at them, mend them, split them, and train on them.

Nothing changes the file that rows come from: each step makes another data set, which can be named in the notebook, saved where
the user says, or handed to the Train panel. What the parts share is in :mod:`._data_state`; where rows come from in
:mod:`._data_opening`, what is done to them in :mod:`._data_editing`, the steps and their code in :mod:`._data_steps`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from shadownb.errors import ConfigError, DataError

from . import _certificate, _machine, _naming
from ._data_editing import EditingPart
from ._data_opening import OpeningPart
from ._data_steps import HELD_OUT, TRAIN, WHOLE, Parts
from ._stores import counted


class DataPanel(OpeningPart, EditingPart):
    """The data room: open, map columns, look, edit, filter, dedupe, split with a leakage check, count tokens, train on the rows.

    Parameters
    ----------
    data
        The rows to begin with: a Dataset, list of rows, data frame, or the path of a file.
    model
        A loaded model: tokens are counted for it, and its chat template is certified.
    namespace
        A dict in which variables are looked up; None means the notebook's variables.

    Examples
    --------
    >>> panel = snb.DataPanel([*rows, rows[0]], model)
    >>> panel.settle(), len(panel.dataset), panel.held_out
    (True, 13, None)
    >>> panel.close()
    """

    title = "Data"
    _bundle = "data"
    _revived_by = ("source",)

    def __init__(self, data: Any = None, model: Any = None, namespace: Mapping[str, Any] | None = None) -> None:
        path = str(data) if isinstance(data, (str, Path)) else None
        super().__init__(None if path else data, model, namespace)
        self._do_refresh()
        if model is not None:
            self.take_model(model)
        if path or data is not None:
            name = None if path else _naming.name_of(data, self._names())
            self._do_open(f"file:{path}" if path else f"var:{name}" if name else "given")

    # -- for Python --------------------------------------------------------------------------------------------------

    @property
    def dataset(self) -> Any:
        """The rows as they are now, after a split those to train on: a :class:`Dataset`, or None."""
        parts = self._history.parts
        return parts.get(TRAIN, parts.get(WHOLE))

    @property
    def held_out(self) -> Any:
        """The rows that are held out after a split: a :class:`Dataset`, or None."""
        return self._history.parts.get(HELD_OUT)

    def on_use(self, callback: Callable[[], None]) -> None:
        """Call ``callback()`` when somebody wants to train on the rows: on ``dataset``, with ``held_out`` to evaluate on.

        Examples
        --------
        >>> panel, used = snb.DataPanel(rows), []
        >>> panel.on_use(lambda: used.append(panel.dataset))  # called by the button "Train on these"
        >>> panel.close()
        """
        self._users.append(callback)
        self.trainable = True

    def take_model(self, model: Any) -> None:
        """Count tokens for this model from now on."""
        if model is self._model:
            return
        name = _naming.name_of(model, self._names())
        if name is None:
            self._given_model = model
        self._writer.submit(lambda: self._choose_model(f"var:{name}" if name else "given", model))

    def _revival(self) -> str:
        where, _, rest = str(self.source.get("choice", "")).partition(":")
        return f"DataPanel({rest!r})" if where == "file" else "DataPanel()"

    # -- the model ---------------------------------------------------------------------------------------------------

    def _do_choose_model(self, choice: str = "") -> None:
        """Count tokens for a model in memory; an empty choice counts none."""
        model = _machine.loaded_model(choice, self._names(), self._given_model) if choice else None
        self._choose_model(choice, model)

    def _choose_model(self, choice: str, model: Any) -> None:
        self._model = model
        if model is None and self._tokens_asked != (None, None):
            self._tokens_asked = (None, None)
            self._look()
        self.write(model=choice)
        self._do_refresh()
        _certificate.follow(self, self._heavy, model)
        self._count_tokens()

    # -- out ---------------------------------------------------------------------------------------------------------

    def _do_save(self, path: str, replace: bool = False) -> None:
        """Write the rows to a file; after a split to two, ``rows.train.jsonl`` and ``rows.held_out.jsonl``."""
        wanted = Path(path).expanduser()
        if not path.strip() or not wanted.suffix:
            raise ConfigError(f"{path!r} names no file.", fix="Give a path such as rows.jsonl.")
        parts = self._rows()
        files = {part: wanted if part == WHOLE else wanted.with_suffix(f".{part}{wanted.suffix}") for part in parts}
        source = Path(self._history.choice.removeprefix("file:")).expanduser()
        for file in files.values():
            if self._history.choice.startswith("file:") and file.resolve() == source.resolve():
                raise DataError(
                    f"{file} is the file that the rows come from, which stays as it is.", fix="Give another name."
                )
            if file.exists() and not replace:
                raise DataError(f"{file} exists already.", fix="Give another name, or choose to replace it.")
        for part, file in files.items():
            parts[part].save(file)
        self.write(
            told="Saved "
            + " and ".join(f"{counted(len(parts[part]), 'row')} to {file}" for part, file in files.items())
            + "."
        )

    def _do_name(self, name: str, replace: bool = False) -> None:
        """Have a variable of the notebook hold the rows; after a split a second one, ``NAME_held_out``."""
        parts = self._rows()
        names = {part: name if part != HELD_OUT else f"{name}_held_out" for part in parts}
        _naming.assign({names[part]: data for part, data in parts.items()}, self._namespace, replace=replace)
        said = " and ".join(f"{names[part]} holds {counted(len(data), 'row')}" for part, data in parts.items())
        self.write(told=f"In the notebook, {said}." if said else "")
        self._do_refresh()

    def _rows(self) -> Parts:
        if not self._history.parts:
            raise DataError("No data is open.", fix="Open some first.")
        return self._history.parts

    def _do_use(self) -> None:
        """Train on the rows."""
        self._rows()
        self.dataset.canonical_rows()  # raises, with the reason, where none can be used
        for callback in self._users:
            callback()
