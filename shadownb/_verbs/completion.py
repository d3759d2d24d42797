"""What can be typed next: names of models, data, runs, methods and files, for the notebook's and the shell's completion.

Completion must be quick and must never fail, so nothing heavy is imported: a kernel variable can only be a model if
the module that defines models is loaded already.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine import registry
from shadownb.engine.functions import fits
from shadownb.engine.home import home

if TYPE_CHECKING:
    import click

METRICS = ("loss", "eval_loss", "learning_rate", "grad_norm", "tokens_per_s", "peak_memory_gb")
_MOST_RUNS = 10
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
    """Complete a model: variable, alias, run id, and once it looks like a path a folder or GGUF file."""
    names = _starting(incomplete, _variables(ctx, "Model"), model_names, _newest(incomplete))
    return names if names and not _is_path(incomplete) else [*names, *_paths(incomplete, (".gguf",))]


def complete_data(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a data set: variable that holds rows, shipped set, file."""
    variables = getattr(ctx.obj, "variables", {})
    return _starting(
        incomplete, lambda: rows_variables(variables), data_names, lambda: _paths(incomplete, DATA_SUFFIXES)
    )


def complete_eval_data(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete evaluation data: as data, or ``auto``, or a share."""
    return [*_starting(incomplete, ["auto", "10%"]), *complete_data(ctx, param, incomplete)]


def complete_model_or_data(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the words of ``train``: the model and the data, or the data alone."""
    typed = ctx.params.get(param.name or "") or ()
    data = complete_data(ctx, param, incomplete)
    if typed:  # one word stands there already; with a second one that was the model
        return data if len(typed) == 1 else []
    return list(
        dict.fromkeys(
            [*_starting(incomplete, _variables(ctx, "Model")), *data, *complete_model(ctx, param, incomplete)]
        )
    )


def complete_run(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a run: variable or id."""
    return _starting(incomplete, _variables(ctx, "Run"), _newest(incomplete))


def complete_start(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete what a training starts from: the base, the model as it is, or a run."""
    return _starting(incomplete, ("base", "trained"), _variables(ctx, "Run"), run_ids)


def complete_method(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a training method."""
    from shadownb.engine import methods

    return _starting(incomplete, [spec.name for spec in methods.available()])


def complete_panel(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a panel: the package's own, and those that other packages bring."""
    from shadownb.engine import registry

    return _starting(incomplete, registry.names("panel"))


def complete_metric(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a curve: those that every run has."""
    return _starting(incomplete, METRICS)


def complete_status(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a run's status."""
    from shadownb.engine.runs.state import ACTIVE, ENDED

    return _starting(incomplete, [*ACTIVE, *ENDED])


def complete_saved(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete what was saved: a run's id, or a folder."""
    return _starting(incomplete, _newest(incomplete), lambda: _paths(incomplete, ()))


def complete_folder(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the path of a folder."""
    return _starting(incomplete, lambda: _paths(incomplete, ()))


def complete_device(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a device by the names there are; which are here would need torch."""
    return _starting(incomplete, ["auto", "cpu", "cuda", "mps", "xpu"])


def complete_file(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the path of any file."""
    return _starting(incomplete, lambda: _paths(incomplete, None))


def complete_yaml_file(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the path of a YAML file."""
    return _starting(incomplete, lambda: _paths(incomplete, (".yaml", ".yml")))


# What the words of an option of TrainConfig can be, where its type does not say it.
FIELD_VALUES: dict[str, tuple[str, ...]] = {
    "optim": ("auto", "adamw_torch", "adamw_torch_fused", "adamw_8bit", "paged_adamw_8bit", "adafactor", "sgd"),
    "target_modules": ("all", "attention", "mlp"),
    "report_to": ("trackio", "tensorboard", "mlflow", "wandb"),
}


def complete_field(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the value of a training option that is text."""
    kind = getattr(getattr(param, "field", None), "functions", None)
    if kind is not None:
        held = getattr(ctx.obj, "variables", {})
        own = [name for name, value in list(held.items()) if name[:1] != "_" and fits(kind, value)]
        return _starting(incomplete, own, model_names if kind == "teacher" else registry.names(kind))
    return _starting(incomplete, FIELD_VALUES.get(param.name or "", ()))


def rows_variables(variables: Mapping[str, Any]) -> list[str]:
    """Return the names of the variables that hold rows, in whatever a Dataset can be made of; Datasets come first."""
    from shadownb.engine.data.accepting import KINDS, kind_of

    kinds = {name: kind_of(value) for name, value in list(variables.items()) if name[:1] != "_" and name.isidentifier()}
    return sorted(
        (name for name, kind in kinds.items() if kind in KINDS), key=lambda name: (kinds[name] != "dataset", name)
    )


def _variables(ctx: click.Context, kind: str) -> list[str]:
    return variables_of(getattr(ctx.obj, "variables", {}), kind)


def _newest(incomplete: str) -> list[str]:
    """Return the run ids to choose from: a handful until some of one is typed."""
    return run_ids() if incomplete else run_ids()[:_MOST_RUNS]


def _starting(incomplete: str, *sources: Any) -> list[str]:
    names: list[str] = []
    for source in sources:
        with suppress(Exception):  # a completion that fails would print into the user's cell
            found: Iterable[str] = source() if callable(source) else source
            names += [name for name in found if name.startswith(incomplete)]
    return list(dict.fromkeys(names))


def _is_path(incomplete: str) -> bool:
    return "/" in incomplete or incomplete.startswith((".", "~"))


def _paths(incomplete: str, suffixes: tuple[str, ...] | None) -> list[str]:
    """Return the paths that begin so: folders, and files with one of the suffixes (None: all files), files first."""
    head, _, tail = incomplete.rpartition("/")
    folder = Path(f"{head}/" if "/" in incomplete else ".").expanduser()
    prefix = incomplete[: len(incomplete) - len(tail)]
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    shown = [entry for entry in entries if entry.name.startswith(tail) and (tail[:1] == "." or entry.name[0] != ".")]
    files = [entry for entry in shown if not entry.is_dir() and (suffixes is None or entry.suffix.lower() in suffixes)]
    return [prefix + entry.name for entry in files] + [f"{prefix}{entry.name}/" for entry in shown if entry.is_dir()]
