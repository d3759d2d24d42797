"""What a run starts from: the fresh base, the model as it is, or the saved result of another run or adapter.

It is chosen at the launch (``finetune(start=...)``) and written into the run's record when its turn comes, so that a resume can
begin at the same weights.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from shadownb.engine.disk import saving
from shadownb.engine.models import beside
from shadownb.engine.runs import checkpoints
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.results import result_of
from shadownb.errors import BusyError, CheckpointError, ConfigError, ModelError, RunError, RunNotFoundError

if TYPE_CHECKING:
    from shadownb.engine.models import Model
    from shadownb.engine.runs.checkpoints import Checkpoint

BASE = "the base"  # in words, as a run says what it started from
_FOLDER = "start"


@dataclass(frozen=True)
class Start:
    """What was asked for.

    Attributes
    ----------
    kind
        ``base``, ``trained`` (the model as it is when the run's turn comes) or ``saved``.
    run
        Id of the run whose result is meant.
    folder
        The saved adapter or checkpoint that is meant, where it is not a run's result.
    """

    kind: Literal["base", "trained", "saved"]
    run: str | None = None
    folder: str | None = None

    @classmethod
    def of(cls, asked: Any) -> Start:
        """Read ``finetune(start=...)``.

        Raises
        ------
        ConfigError
            It is neither ``"base"``, ``"trained"``, a run, nor a folder that holds something trained.
        """
        from shadownb.engine.backends.torch.surfaces import description_in

        if asked is None:
            return cls("trained")
        if isinstance(asked, str) and asked in ("base", "trained"):
            return cls("base" if asked == "base" else "trained")
        text = getattr(asked, "id", asked)
        if isinstance(text, str | os.PathLike):
            with contextlib.suppress(RunNotFoundError):
                return cls("saved", run=RunFolder.find(text).id)
            path = Path(text).expanduser()
            if (path / checkpoints.MANIFEST).is_file() or description_in(path) is not None:
                return cls("saved", folder=str(path.resolve()))
        raise ConfigError(
            f"start={asked!r} is nothing to start from.",
            why="It is neither 'base', 'trained', the id of a run, nor a folder with an adapter or a checkpoint.",
            fix="shadownb.runs.list() shows the runs; 'base' is the model as it was loaded, untrained.",
        )

    @classmethod
    def from_record(cls, spec: dict[str, Any]) -> Start:
        """Return what a run's record says was asked for."""
        return cls(**spec["asked_start"]) if spec.get("asked_start") else cls("trained")

    def state(self, model: Model) -> dict[str, Any] | None:
        """Return the saved state that is meant, as a record keeps it; None for the base.

        Raises
        ------
        CheckpointError
            The run has no result, or the result is of another base.
        """
        if self.kind == "base":
            return None
        if self.kind == "trained":
            return saved_state(model)
        if self.run is not None:
            found = result_of(RunFolder.find(self.run))
            _check_base(found.manifest.get("base", {}).get("hash"), self.run, model)
            return {"path": str(found.path), "trained": [self.run, found.step]}
        assert self.folder is not None
        folder = Path(self.folder)
        if not (folder / checkpoints.MANIFEST).is_file():
            return {"path": self.folder, "trained": None}
        checkpoint = checkpoints.opened(folder)
        _check_base(checkpoint.manifest.get("base", {}).get("hash"), folder.name, model)
        run_id = str(checkpoint.manifest.get("run"))
        ours = folder.parent.parent.name == run_id  # else it was copied out of its run
        return {"path": self.folder, "trained": [run_id, checkpoint.step] if ours else None}

    def planned(self, model: Model) -> dict[str, Any] | None:
        """Return the state as it is known at the launch; of a run that still goes on only the end decides."""
        return None if self.run is not None and _goes_on(self.run) else self.state(model)

    def parent(self, model: Model, state: dict[str, Any] | None) -> str | None:
        """Return the id of the run that is started from, as it is known at the launch."""
        if self.kind == "trained":
            return model.trained[0] if model.trained else None
        return self.run or (state["trained"][0] if state and state["trained"] else None)

    def check(self, model: Model, executor: str) -> None:
        """Refuse at the launch what can be known then."""
        if self.kind == "trained":
            return
        if executor == "process" and self.run is not None and _goes_on(self.run):
            raise BusyError(f"start={self.run!r}: that run is still going on.", fix="Wait for it: run.wait().")
        if executor == "thread" and model.active_run is None and not _is_at(model, self.planned(model)):
            refuse_loss(model)


def refuse_loss(model: Model) -> None:
    """Raise ModelError where going to another state would lose trained weights that no file has."""
    if model.trained is not None and saved_state(model) is None:
        run_id, step = model.trained
        raise ModelError(
            f"The model carries step {step} of run {run_id}, which is in memory only, and would lose it.",
            why="The run was deleted, or its last checkpoint could not be written.",
            fix="Save it first with model.save(path), or train in a copy: model.fresh_copy().finetune(...).",
        )


def _check_base(found: str | None, name: str, model: Model) -> None:
    if found is not None and found != model.base_hash:
        raise CheckpointError(
            f"start={name!r} belongs to another base than {model.name!r}.",
            why=f"Its base hashes to {found[:12]}, this one to {model.base_hash[:12]}.",
            fix="Load the model it was trained on.",
        )


def _goes_on(run_id: str) -> bool:
    from shadownb.engine.runs.handle import Run

    return Run(RunFolder.find(run_id)).is_active


def saved_state(model: Model) -> dict[str, Any] | None:
    """Return where the state of the weights is saved, as a record keeps it; None for the base, and where no file has it."""
    weights = model.weights
    if weights.trained is None:
        return None if weights.saved_at is None else {"path": str(weights.saved_at), "trained": None}
    run_id, step = weights.trained
    with contextlib.suppress(RunNotFoundError, CheckpointError):
        checkpoint = checkpoints.opened(RunFolder.find(run_id).checkpoints / checkpoints.folder_name(step))
        return {"path": str(checkpoint.path), "trained": [run_id, step]}
    return None


def record_start(folder: RunFolder, model: Model) -> tuple[dict[str, Any] | None] | None:
    """Bring the model to where a run starts, and note it. A run that waited in line starts from what those before it left.

    Weights that only memory has (their run was deleted, or a full disk kept its last checkpoint out) are written into
    the run's own folder first.

    Returns
    -------
    What to give :meth:`LoadedWeights.go_to` for the state that the model left, in a tuple; None where it stayed where it was.

    Raises
    ------
    DiskFullError
        They do not fit there.
    ModelError
        The model would lose trained weights that no file has.
    CheckpointError
        What to start from is gone, or of another base.
    """
    start = Start.from_record(folder.spec)
    left: tuple[dict[str, Any] | None] | None = None
    if start.kind != "trained":
        wanted, before = start.state(model), saved_state(model)
        if not _is_at(model, wanted):
            refuse_loss(model)
            model.weights.go_to(wanted)
            left = (before,)
    state = saved_state(model) or _written(model, folder.path / _FOLDER)
    note_start(folder, state, model.trained[0] if model.trained else None)
    return left


def note_start(folder: RunFolder, state: dict[str, Any] | None, parent: str | None) -> None:
    """Write into a run's record what it starts from."""
    spec = folder.spec
    spec["parent"] = parent
    spec["model"]["start"] = state
    folder.write_spec(spec)


def _is_at(model: Model, state: dict[str, Any] | None) -> bool:
    """Whether the model's weights are those of a saved state (None: of the base)."""
    if state is None:
        return model.carried is None
    if state["trained"] is not None:
        return model.trained == tuple(state["trained"])
    return model.trained is None and str(model.weights.saved_at) == state["path"]


def in_words(spec: dict[str, Any]) -> str:
    """Return what a run's record says it started from: "the base", "step 40 of run ...", "the adapter in ..."."""
    given = spec.get("from_checkpoint")
    if given is not None:
        checkpoint = Path(given)
        run = checkpoint.parent.parent.name if checkpoint.parent.name == "checkpoints" else checkpoint.parent
        return f"{checkpoint.name} of {run}, optimizer included"
    start = (spec.get("model") or {}).get("start")
    if start is None:
        return f"run {spec['parent']}" if spec.get("parent") else BASE
    if start["trained"] is not None:
        return f"step {start['trained'][1]} of run {start['trained'][0]}"
    return f"the adapter in {start['path']}"


def starts_in(folder: RunFolder, other: RunFolder) -> set[Path]:
    """Return what a run starts from, weights and ``resume_from_checkpoint``, where that lies in another run's folder."""
    if folder.id == other.id:
        return set()
    try:
        spec = folder.spec
    except RunError:  # a record that cannot be read
        return set()
    start = spec.get("model", {}).get("start")
    given = (start["path"] if start else None, spec.get("from_checkpoint"))
    paths = [Path(path).resolve() for path in given if path is not None]  # the home may be a link to another folder
    root = other.path.resolve()
    return {other.path / path.relative_to(root) for path in paths if path.is_relative_to(root)}


def others_start_from(folder: RunFolder) -> set[Path]:
    """Return the checkpoints of a run that other runs started from."""
    return {path for other in RunFolder.all() for path in starts_in(other, folder)}


def order_of_rows(folder: RunFolder) -> dict[str, Any]:
    """Return what decides which rows a run's step sees; its checkpoints keep it for :func:`other_rows`."""
    data, config = folder.spec["dataset"], folder.config
    return {"rows": data["sha256"], "name": data["name"], "seed": config.seed, "rows_per_step": config.rows_per_step}


def other_rows(checkpoint: Checkpoint, folder: RunFolder) -> str | None:
    """Return how the rows of a run differ from those that a checkpoint (``resume_from_checkpoint``) was trained on, or None."""
    then, now = checkpoint.manifest.get("order"), order_of_rows(folder)
    if then is None:
        with contextlib.suppress(RunError, KeyError):  # written before checkpoints kept it, in a run's folder
            then = order_of_rows(RunFolder(checkpoint.path.parent.parent))
    if then is None:
        return "it cannot be told which rows it was trained on, or in which order"
    found = []
    if then["rows"] != now["rows"]:
        found.append(f"it was trained on other rows ({then['name']!r}, these are {now['name']!r})")
    if then["seed"] != now["seed"]:
        found.append(f"with seed={then['seed']}, not {now['seed']}, rows come in another order")
    if then["rows_per_step"] != now["rows_per_step"]:
        found.append(f"its steps had {then['rows_per_step']} rows, not {now['rows_per_step']}")
    return "; ".join(found) or None


def _written(model: Model, target: Path) -> dict[str, Any] | None:
    trained, carried = model.trained, model.carried
    if trained is None or carried is None:
        return None
    with saving(target), model.gate.inference():
        target.mkdir(exist_ok=True)
        carried.save(target)
        beside.write(target, trained_on=model.trained_on, trained=trained)
    return {"path": str(target), "trained": list(trained)}
