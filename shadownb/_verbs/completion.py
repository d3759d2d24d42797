"""What can be typed next: names of models, data, runs and methods, for the notebook's and the shell's completion.

Completion must be quick and must never fail, so nothing heavy is imported: a kernel variable can only be a model if
the module that defines models is loaded already.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine.home import home

if TYPE_CHECKING:
    import click

DATA_SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")
_DEFINED_IN = {
    "Model": "shadownb.engine.models",
    "Dataset": "shadownb.engine.data",
    "Run": "shadownb.engine.runs",
}


def loaded_class(name: str) -> type | None:
    """Return the class Model, Dataset or Run if its module is imported already."""
    found = getattr(sys.modules.get(_DEFINED_IN[name]), name, None)
    return found if isinstance(found, type) else None


def variables_of(variables: Mapping[str, Any], kind: str) -> list[str]:
    """Return the names of the kernel variables that hold a Model, a Dataset or a Run."""
    wanted = loaded_class(kind)
    if wanted is None:
        return []
    return sorted(name for name, value in list(variables.items()) if isinstance(value, wanted) and name[0] != "_")


def model_names() -> list[str]:
    """Return the names that load() knows without a path: aliases."""
    from shadownb.engine.models import catalog

    return [info.name for info in catalog()]


def run_ids() -> list[str]:
    """Return the ids of the recorded runs, newest first."""
    folder = home() / "runs"
    found = [entry for entry in folder.iterdir() if entry.is_dir()] if folder.is_dir() else []
    return [entry.name for entry in sorted(found, key=lambda entry: entry.stat().st_mtime, reverse=True)]


def data_names() -> list[str]:
    """Return the shipped data sets by name; ``.heldout`` names the rows kept for evaluation."""
    from shadownb.engine.data.sources import SAMPLES

    return [name + part for name in SAMPLES for part in ("", ".heldout")]


def complete_model(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a model: variable, alias, run id."""
    return _starting(incomplete, _variables(ctx, "Model"), model_names, run_ids)


def complete_data(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a data set: variable, shipped set, file."""
    return _starting(incomplete, _variables(ctx, "Dataset"), data_names, lambda: _files(incomplete))


def complete_model_or_data(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the two words of ``train``, in either position."""
    both = [
        *complete_model(ctx, param, incomplete),
        *complete_data(ctx, param, incomplete),
    ]
    return list(dict.fromkeys(both))


def complete_run(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a run: variable or id."""
    return _starting(incomplete, _variables(ctx, "Run"), run_ids)


def complete_start(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete what a training starts from: the base, the model as it is, or a run."""
    return _starting(incomplete, ("base", "trained"), _variables(ctx, "Run"), run_ids)


def complete_method(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a training method."""
    from shadownb.engine import methods

    return _starting(incomplete, [spec.name for spec in methods.available()])


def _variables(ctx: click.Context, kind: str) -> list[str]:
    return variables_of(getattr(ctx.obj, "variables", {}), kind)


def _starting(incomplete: str, *sources: Any) -> list[str]:
    names: list[str] = []
    for source in sources:
        with suppress(Exception):  # a completion that fails would print into the user's cell
            found: Iterable[str] = source() if callable(source) else source
            names += [name for name in found if name.startswith(incomplete)]
    return list(dict.fromkeys(names))


def _files(incomplete: str) -> list[str]:
    folder = Path(incomplete if incomplete.endswith("/") else Path(incomplete).parent)
    prefix = "" if str(folder) == "." and not incomplete.startswith("./") else f"{incomplete.rpartition('/')[0]}/"
    hidden = incomplete.rpartition("/")[2].startswith(".")
    entries = sorted(Path(folder).expanduser().iterdir()) if Path(folder).expanduser().is_dir() else []
    return [
        f"{prefix}{entry.name}{'/' if entry.is_dir() else ''}"
        for entry in entries
        if (entry.is_dir() or entry.suffix in DATA_SUFFIXES) and (hidden or not entry.name.startswith("."))
    ]
