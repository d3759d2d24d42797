"""A format in which a trained model is written to a folder: what an exporter has to do.

Recipe: CONTRIBUTING.md, "An exporter"; suite: tests/ports/test_exporter.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol


class Exporter(Protocol):
    """A format of ``model.save(path, fmt=name)``, known by its name: ``registry.register("exporter", name, "module:Class")``.

    The class is made anew for each save. What it can be told are the keywords of its ``__init__``, each with a default; they are
    given to ``model.export(path, format=name, ...)``, and ``model.save`` gives none. ``write`` gets an empty folder; the files it
    leaves there take the place of those that the last save wrote, all or none, and only when it has returned. The tokenizer, and
    what the rows had in common, are written beside them by whoever called. The weights are held meanwhile.
    """

    def check(self, model: Any) -> None:
        """Look at a :class:`~shadownb.engine.loaded.model.LoadedModel` before anything is written.

        Raises
        ------
        ExportError
            The format does not fit what was trained, or how the base was loaded.
        """

    def write(self, model: Any, folder: Path) -> None:
        """Write the weights and what describes them.

        Raises
        ------
        ExportError
            What was trained cannot be written so.
        """
