"""From what the user asked for to a started run: check everything, write the folder, hand it to an executor.

Whatever is wrong with the options, the data, the method or the model is raised here, before anything starts.
"""

from __future__ import annotations

import re
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine import acceleration, capabilities, hardware, methods
from shadownb.engine.config import TrainConfig
from shadownb.engine.data import Dataset
from shadownb.engine.runs import checkpoints
from shadownb.engine.runs.commands import end_offset
from shadownb.engine.runs.executors import process, thread
from shadownb.engine.runs.folder import RunFolder, store_rows
from shadownb.engine.runs.handle import Run
from shadownb.engine.runs.job import Attempt
from shadownb.engine.runs.journal import Journal
from shadownb.engine.runs.liveness import process_mark
from shadownb.errors import (
    BusyError,
    CheckpointError,
    ConfigError,
    DataError,
    MethodError,
    RunNotFoundError,
    ShadowWarning,
)

if TYPE_CHECKING:
    from shadownb.engine.models import Model


def launch(
    model: Model,
    dataset: Any,
    *,
    method: str,
    background: bool | None,
    eval_dataset: Any,
    fields: dict[str, Any],
) -> Run:
    """Start a run; see :meth:`shadownb.Model.finetune`."""
    _refuse_load_options(fields)
    config = TrainConfig(method=method, **fields)
    capabilities.check(config)
    given = as_dataset(dataset, "dataset")
    train, held_out = resolve_data(given, eval_dataset, config.seed)
    spec = methods.get(config.method)
    reason = spec.unfit(model, train.format)
    if reason is not None:
        raise MethodError(
            f"method={config.method!r} cannot be used here: {reason}.",
            fix="shadownb.methods.available() lists the methods and what each needs.",
        )
    _check_with_model(model, config)
    checkpoint = _checkpoint_path(config, model)
    in_background = _in_notebook() if background is None else background
    executor = "thread" if config.executor == "auto" else config.executor
    _refuse_busy(model, executor)

    run_spec = {
        "model": _model_spec(model),
        "dataset": store_rows(train),
        "eval_dataset": store_rows(held_out) if held_out is not None else None,
        "parent": model.trained[0] if model.trained else None,
        "method": spec.to_dict(),
    }
    folder = RunFolder.create(config, run_spec)
    journal = Journal(folder.events)
    journal.append("created", run_id=folder.id, method=config.method, model=model.name, parent=run_spec["parent"])
    for what, why in _data_warnings(given, held_out):
        journal.append("warning", code="data", what=what, why=why, fix="dataset.report lists the rows.")
        warnings.warn(what, ShadowWarning, stacklevel=3)
    run = Run(folder, model=model)
    start(run, executor, Attempt(0, checkpoint=checkpoint), journal, model)
    if not in_background:
        run.wait(raise_on_failure=True)
    return run


def start(run: Run, executor: str, attempt: Attempt, journal: Journal, model: Model | None) -> None:
    """Hand an attempt to an executor; the journal goes to whoever trains."""
    journal.append("launched", executor=executor, by=process_mark(), worker=None)
    journal.flush()  # a reader that looks now must see a run that goes on, not how its last attempt ended
    if model is not None:
        model.begin_run(run)
    if executor == "thread":
        assert model is not None
        thread.start(run.folder, attempt, journal, model)
    else:
        journal.close()
        process.start(run.folder, attempt)


def resume_attempt(folder: RunFolder) -> Attempt:
    """Return the attempt that goes on from the newest valid checkpoint, deaf to earlier commands."""
    return Attempt(end_offset(folder.commands), resume=True)


def resolve_data(dataset: Any, eval_dataset: Any, seed: int) -> tuple[Dataset, Dataset | None]:
    """Return (training data, evaluation data or None) from what the user gave.

    ``eval_dataset`` is None, rows, a Dataset, ``"auto"`` (a tenth), a share as number or ``"15%"``.
    """
    train = as_dataset(dataset, "dataset")
    if eval_dataset is None:
        return train, None
    share = _share(eval_dataset)
    if share is None:
        return train, as_dataset(eval_dataset, "eval_dataset")
    if len(train.valid_rows()) < 2:
        raise DataError(
            f"eval_dataset={eval_dataset!r}: {len(train.valid_rows())} usable row cannot be split.",
            fix="Give more rows, or no eval_dataset.",
        )
    usable = train.valid_rows()  # or the few rows held out could be the bad ones
    if len(usable) < len(train):
        train = Dataset.from_list(usable, name=train.name, format=train.format)
    return train.split(share, seed=seed)


def as_dataset(value: Any, option: str) -> Dataset:
    """Return a non-empty Dataset from a Dataset, a list of rows, or a data frame."""
    if isinstance(value, Dataset):
        data = value
    elif isinstance(value, list):
        data = Dataset.from_list(value)
    elif hasattr(value, "columns") and hasattr(value, "to_dict"):
        data = Dataset.from_pandas(value)
    else:
        raise DataError(
            f"{option} is a {type(value).__name__}.",
            fix="Give a Dataset (Dataset.load(path) reads files), a list of rows, or a data frame.",
        )
    if not data.canonical_rows():
        raise DataError(
            f"{option}: none of its {len(data)} rows can be used.",
            why=str(data.report),
            fix="Correct the rows listed there.",
        )
    return data


def _share(value: Any) -> float | None:
    if isinstance(value, bool):
        raise ConfigError(f"eval_dataset={value!r} is neither data nor a share.", fix="Use 'auto', 0.1 or '15%'.")
    if isinstance(value, int | float):
        share = float(value)
    elif isinstance(value, str):
        if value == "auto":
            return 0.1
        found = re.fullmatch(r"\s*([0-9.]+)\s*(%?)\s*", value)
        try:
            share = float(found[1]) / (100 if found[2] else 1) if found else -1.0
        except ValueError:
            share = -1.0
        if not found or share < 0:
            raise ConfigError(
                f"eval_dataset={value!r} is neither 'auto' nor a share.",
                fix="Use 'auto', 0.1 or '15%', or load the file: eval_dataset=Dataset.load(path).",
            )
    else:
        return None
    if not 0 < share < 1:
        raise ConfigError(
            f"eval_dataset={value!r} must be between 0 and 1 (or 0% and 100%).", fix="0.1 holds out a tenth."
        )
    return share


def _refuse_load_options(fields: dict[str, Any]) -> None:
    for name in ("backend", "device", "dtype", "quantize", "adapter", "accelerator"):
        if name in fields:
            raise ConfigError(
                f"{name}={fields[name]!r} belongs to load(), not to finetune().", fix=f"shadownb.load(..., {name}=...)"
            )


def _refuse_busy(model: Model, executor: str) -> None:
    run = model.active_run
    if run is None or (executor == "thread" and run.executor == "thread"):
        return  # in a thread the new run waits in line and trains on from what the first one leaves
    raise BusyError(
        f"Run {run.id} is training this model in a {run.executor}.",
        why=f"A run in a {executor} cannot start from weights that are still changing.",
        fix="Wait for it (run.wait()), stop it (run.stop()), or load the model a second time.",
    )


def _check_with_model(model: Model, config: TrainConfig) -> None:
    """Refuse what the loaded model, or what is installed, does not allow."""
    from shadownb.engine.backends.torch import surfaces

    acceleration.check_optimizer(config.optim)
    hardware.check_trackers(config.report_to)
    if model.active_run is None:  # else the run waits for another one, and is checked when its turn comes
        surfaces.check(model.module, model.carried, config)


def _checkpoint_path(config: TrainConfig, model: Model) -> str | None:
    """Return the folder that resume_from_checkpoint means, after checking that it is whole and fits the model."""
    wanted = config.resume_from_checkpoint
    if wanted is None:
        return None
    path = Path(wanted).expanduser().resolve()
    if path.is_dir() and not (path / "run.json").is_file():
        manifest = checkpoints.verify(path)
    else:
        from shadownb.engine.runs.results import result_of

        try:
            found = result_of(RunFolder.find(wanted))
        except RunNotFoundError as error:
            raise CheckpointError(
                f"resume_from_checkpoint={wanted!r} is neither a checkpoint folder nor a run.",
                why=error.what,
                fix="run.checkpoints() lists the folders of a run.",
            ) from None
        path, manifest = found.path, found.manifest
    base = manifest.get("base", {}).get("hash")
    if base != model.base_hash:
        raise CheckpointError(
            f"The checkpoint {path.name} belongs to another base than {model.name!r}.",
            why=f"Its base hashes to {str(base)[:12]}, this one to {model.base_hash[:12]}.",
            fix="Load the model it was trained on.",
        )
    steps = config.max_steps
    if steps is not None and int(manifest["step"]) >= steps:
        raise CheckpointError(
            f"The checkpoint is of step {manifest['step']}; max_steps={steps} leaves nothing to train.",
            fix="Raise max_steps, or load the checkpoint and start a new run without resume_from_checkpoint.",
        )
    return str(path)


def _model_spec(model: Model) -> dict[str, Any]:
    return {**model.describe(), "start": starting_point(model)}


def starting_point(model: Model) -> dict[str, Any] | None:
    """Return which saved state of the model a run starts from; None is the base."""
    if model.trained is not None:
        from shadownb.engine.runs.results import result_of

        checkpoint = result_of(RunFolder.find(model.trained[0]))
        return {"path": str(checkpoint.path), "trained": list(model.trained)}
    if model.weights.saved_at is not None:
        return {"path": str(model.weights.saved_at), "trained": None}
    return None


def _data_warnings(train: Dataset, held_out: Dataset | None) -> list[tuple[str, str]]:
    """Return (what, why) for each set with rows that are left out."""
    return [
        (f"{len(report.bad):,} of {report.total:,} rows of {name} cannot be used and are left out.", report.summary())
        for name, data in (("dataset", train), ("eval_dataset", held_out))
        if data is not None and (report := data.report).bad
    ]


def _in_notebook() -> bool:
    """Whether this process is a Jupyter kernel (IPython need not be imported to know)."""
    kernel = sys.modules.get("ipykernel.zmqshell")
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return kernel is not None and shell is not None and type(shell).__name__ == "ZMQInteractiveShell"
