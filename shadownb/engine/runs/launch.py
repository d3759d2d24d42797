"""From what the user asked for to a started run: check everything, write the folder, hand it to an executor.

Whatever is wrong with the options, the data, the method or the model is raised here, before anything starts.
"""

from __future__ import annotations

import dataclasses
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine import capabilities, objectives
from shadownb.engine.config import TrainConfig
from shadownb.engine.data.trained_on import TrainedOn
from shadownb.engine.live import notebook_shell
from shadownb.engine.methods.guests import guest
from shadownb.engine.notifications import channels
from shadownb.engine.ports.executor import Attempt, Executor
from shadownb.engine.runs import checkpoints, executors
from shadownb.engine.runs.chosen_start import Start
from shadownb.engine.runs.data_arguments import as_dataset, data_warnings, resolve_data
from shadownb.engine.runs.dispatch import callable_back, refuse_functions, start
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.handle import Run
from shadownb.engine.runs.journal import Journal
from shadownb.engine.runs.marks import change_marks
from shadownb.engine.runs.preparation import speaks
from shadownb.engine.runs.starting import record_start
from shadownb.engine.runs.store import chosen
from shadownb.engine.runs.waiting import wait
from shadownb.errors import (
    BusyError,
    CheckpointError,
    ConfigError,
    MethodError,
    RunNotFoundError,
    ShadowWarning,
)

if TYPE_CHECKING:
    from shadownb.engine.data import Dataset
    from shadownb.engine.loaded.model import LoadedModel
    from shadownb.engine.ports.run_store import RunStore

_LOOKED_AT = 32  # rows that say whether answers begin with reasoning


def launch(
    model: LoadedModel,
    dataset: Any,
    *,
    method: str,
    background: bool | None,
    eval_dataset: Any,
    start_from: Any,
    fields: dict[str, Any],
    callbacks: Any = None,
    store: RunStore[RunFolder] | None = None,
    sweep: dict[str, Any] | None = None,
    tags: Sequence[str] = (),
) -> Run:
    """Start a run; see :meth:`shadownb.Model.train`.

    Parameters
    ----------
    sweep
        ``name`` and ``trial`` of the sweep that it belongs to; kept in its record.
    tags
        It has them from the beginning.
    """
    _refuse_load_options(fields)
    store = chosen(store)
    model.catch_up()
    config = TrainConfig(method=method, **fields)
    begin = Start.of(start_from, store)
    if config.resume_from_checkpoint is not None and begin.kind != "trained":
        raise ConfigError(
            f"start={start_from!r} and resume_from_checkpoint={config.resume_from_checkpoint!r} both say what the run starts from.",
            fix="Give start for the weights alone, or resume_from_checkpoint for weights and optimizer.",
        )
    capabilities.check(config, model.backend_name)
    for channel in config.notify:
        channels.found(channel)
    given = as_dataset(rows_of(config, dataset), "dataset", columns_of(config))
    train, held_out = resolve_data(given, eval_dataset, config.seed, columns_of(config))
    if held_out is None:
        capabilities.check_without_evaluation(config, samples=_samples(config, train))
    spec = config.spec
    train, held_out = _fitting(config, model, train, held_out)
    _check_with_model(model, config, begin)
    checkpoint = _checkpoint_path(config, model, store)
    in_background = in_notebook() if background is None else background
    executor = executors.chosen(config.executor)
    called = callable_back(callbacks, executor, model.backend)
    refuse_functions(config, executor)
    _refuse_busy(model, executor)
    begin.check(model, executor, store)
    state = begin.planned(model, store)
    carried_on = _tell_trained_on(model, start_from)

    thinks, variables = _settle_thinking(model, train, from_base=begin.kind == "base")
    run_spec = {
        "model": {**model.describe(), "template_variables": variables, "start": state},
        "dataset": store.store_rows(train),
        "eval_dataset": store.store_rows(held_out) if held_out is not None else None,
        "trained_on": TrainedOn.of(train.canonical_rows()).to_dict(),
        "asked_start": dataclasses.asdict(begin),
        "parent": begin.parent(model, state),
        "from_checkpoint": checkpoint,  # what resume_from_checkpoint meant: a run's id means another one later
        "method": spec.to_dict(),
        **({"callbacks": [type(callback).__name__ for callback in called]} if called else {}),
        **({"sweep": sweep} if sweep is not None else {}),
    }
    folder = store.create(config, run_spec)
    if tags:
        change_marks(folder, tags=tags)
    if (
        not executor.shares_memory and begin.kind == "trained"
    ):  # one that shares memory does so when the run's turn comes
        try:
            record_start(folder, model)
        except BaseException:
            shutil.rmtree(folder.path, ignore_errors=True)
            raise
    journal = Journal(folder.events)
    journal.append("created", run_id=folder.id, method=config.method, model=model.name, parent=run_spec["parent"])
    if thinks is not None:
        journal.append(
            "warning",
            code="thinking",
            what=f"The rows are trained, and the model then asked, with enable_thinking={thinks}.",
            why="Otherwise the chat template ends its prompt so that the answers of these rows do not go on from it.",
            fix=f"To have it otherwise, load the model with enable_thinking={not thinks}.",
        )
    for what, why in data_warnings(given, held_out):
        journal.append("warning", code="data", what=what, why=why, fix="dataset.report lists the rows.")
        warnings.warn(what, ShadowWarning, stacklevel=3)
    if carried_on is not None:
        journal.append("warning", code="trained-on", **carried_on)
        warnings.warn(f"{carried_on['what']} {carried_on['fix']}", ShadowWarning, stacklevel=3)
    run = Run(folder, model=model)
    start(run, executor, Attempt(0, checkpoint=checkpoint, callbacks=called), journal, model)
    if not in_background:
        # Whoever interrupts this has no handle of the run yet, so it ends with the call.
        wait(run, None, raise_on_failure=True, stop_if_interrupted=True)
    return run


def _fitting(
    config: TrainConfig, model: LoadedModel, train: Dataset, held_out: Dataset | None
) -> tuple[Dataset, Dataset | None]:
    """Return the rows with the columns that the objective reads; raises where a method cannot be used with them here."""
    spec = config.spec
    reason = capabilities.unfit(spec, model, train.format)
    if reason is not None:
        raise MethodError(
            f"method={spec.name!r} cannot be used here: {reason}.",
            fix="shadownb.methods.available() lists the methods and what each needs.",
        )
    if held_out is not None and (reason := spec.unfit(held_out.format)):
        raise MethodError(
            f"eval_dataset cannot be used here: {reason}.",
            fix="Give rows of the same shape as the training data, or hold out a part of that: eval_dataset='auto'.",
        )
    columns = columns_of(config)
    train, held_out = train.keeping(columns), held_out.keeping(columns) if held_out is not None else None
    if spec.guest:
        judged = held_out.canonical_rows() if held_out is not None else []
        guest(spec.guest).check(config, model.backend_name, train.canonical_rows(), judged)
    else:
        judged = held_out.canonical_rows() if held_out is not None else []
        objectives.get(spec.objective).check(config, train.canonical_rows(), judged)
    return train, held_out


def rows_of(config: TrainConfig, dataset: Any) -> Any:
    """Return the data, as rows where it is something that the method's objective alone knows."""
    if config.spec.guest:
        return dataset
    found = objectives.get(config.spec.objective).rows_of(dataset)
    return dataset if found is None else found


def columns_of(config: TrainConfig) -> tuple[str, ...]:
    """Return the columns of the data that are read beside what a row says."""
    found: tuple[str, ...] = (
        guest(config.spec.guest).columns(config)
        if config.spec.guest
        else objectives.get(config.spec.objective).reads(config)
    )
    return found


def _samples(config: TrainConfig, train: Dataset) -> bool:
    """Whether there are prompts to answer while training: given ones, or those of the rows."""
    if not speaks(config):
        return False
    return config.sample_max_new_tokens > 0 and (bool(config.sample_prompts) or train.format != "text")


def _refuse_load_options(fields: dict[str, Any]) -> None:
    for name in ("backend", "device", "dtype", "quantize", "adapter", "accelerator"):
        if name in fields:
            raise ConfigError(
                f"{name}={fields[name]!r} belongs to load(), not to train().", fix=f"shadownb.load(..., {name}=...)"
            )


def _refuse_busy(model: LoadedModel, executor: Executor) -> None:
    run = model.active_run
    if run is None or (executor.shares_memory and executors.known_by(run.executor) is executor):
        return  # the new run waits in line and trains on from what the first one leaves
    raise BusyError(
        f"Run {run.id} is training this model in {executors.known_by(run.executor).where}.",
        why=f"A run in {executor.where} cannot start from weights that are still changing.",
        fix="Wait for it (run.wait()), stop it (run.stop()), or load the model a second time.",
    )


def _tell_trained_on(model: LoadedModel, start_from: Any) -> dict[str, str] | None:
    """Return a warning where a run trains on what an earlier one left on this model, and nobody said that it should."""
    waits_for = model.active_run
    if start_from is not None or (waits_for is None and model.trained in (None, model.trained_when_loaded)):
        return None
    left = f"what run {waits_for.id} leaves" if waits_for is not None else model.answering
    return {
        "what": f"This run trains on from {left}, not from the base.",
        "why": "The model was trained since it was loaded, and start was not given.",
        "fix": "start='base' begins anew at the base; start='trained' says that training on is meant.",
    }


def _check_with_model(model: LoadedModel, config: TrainConfig, begin: Start) -> None:
    """Refuse what the loaded model, or what is installed, does not allow."""
    model.backend.check_options(config)
    # A run that waits for another one, or starts from something saved, is checked when its turn comes and that is there.
    # One that was unloaded is refused below.
    if model.active_run is None and begin.kind != "saved" and model.is_loaded:
        model.backend.check(model, config, from_base=begin.kind == "base")
    model.lengths.check(config)


def _settle_thinking(model: LoadedModel, train: Dataset, *, from_base: bool) -> tuple[bool | None, dict[str, Any]]:
    """Let the model think in its answers where the rows do, and not where they do not, if only that can be trained.

    Returns what was chosen (None where the template's default does), and all variables of the template.
    """
    renderer = model.start_renderer(from_base=from_base)
    if from_base and model.active_run is None:
        renderer.variables = dict(model.told_at_load)  # what was learned from the rows of other runs is not the base's
    rows = [
        {**row, "messages": [*row["prompt"], *row["chosen"]]} if "chosen" in row else row
        for row in train.canonical_rows()[:_LOOKED_AT]
    ]
    thinks = renderer.thinking_of(rows)
    if thinks is not None:
        name = renderer.known_variables["enable_thinking"]
        renderer.variables = {**renderer.variables, name: thinks}
    return thinks, dict(renderer.variables)


def _checkpoint_path(config: TrainConfig, model: LoadedModel, store: RunStore[RunFolder]) -> str | None:
    """Return the folder that resume_from_checkpoint means, after checking that it is whole and fits the model."""
    wanted = config.resume_from_checkpoint
    if wanted is None:
        return None
    path = Path(wanted).expanduser().resolve()
    if path.is_dir() and not (path / "run.json").is_file():
        found = checkpoints.opened(path)
    else:
        from shadownb.engine.runs.results import result_of

        try:
            found = result_of(store.find(wanted))
        except RunNotFoundError as error:
            raise CheckpointError(
                f"resume_from_checkpoint={wanted!r} is neither a checkpoint folder nor a run.",
                why=error.what,
                fix="run.checkpoints() lists the folders of a run.",
            ) from None
    base = found.manifest.get("base", {}).get("hash")
    if base != model.base_hash:
        raise CheckpointError(
            f"The checkpoint {found.path.name} belongs to another base than {model.name!r}.",
            why=f"Its base hashes to {str(base)[:12]}, this one to {model.base_hash[:12]}.",
            fix="Load the model it was trained on.",
        )
    steps = config.max_steps
    if steps is not None and found.step >= steps:
        raise CheckpointError(
            f"The checkpoint is of step {found.step}; max_steps={steps} leaves nothing to train.",
            fix="Raise max_steps, or load the checkpoint and start a new run without resume_from_checkpoint.",
        )
    return str(found.path.resolve())


def in_notebook() -> bool:
    """Whether this process is a Jupyter kernel."""
    return notebook_shell() is not None
