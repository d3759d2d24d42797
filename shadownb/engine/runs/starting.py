"""What a run starts from, so that a resume can begin at the same weights: the base, or a saved state of the model."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine.disk import saving
from shadownb.engine.runs import checkpoints
from shadownb.engine.runs.folder import RunFolder
from shadownb.errors import CheckpointError, RunError, RunNotFoundError

if TYPE_CHECKING:
    from shadownb.engine.models import Model

_FOLDER = "start"


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


def record_start(folder: RunFolder, model: Model) -> None:
    """Note what a run starts from. A run that waited in line starts from what those before it left.

    Weights that only memory has (their run was deleted, or a full disk kept its last checkpoint out) are written into
    the run's own folder first.

    Raises
    ------
    DiskFullError
        They do not fit there.
    """
    spec = folder.spec
    spec["parent"] = model.trained[0] if model.trained else None
    spec["model"]["start"] = saved_state(model) or _written(model, folder.path / _FOLDER)
    folder.write_spec(spec)


def starts_in(folder: RunFolder, other: RunFolder) -> Path | None:
    """Return what a run starts from where that lies in another run's folder, else None."""
    try:
        start = folder.spec.get("model", {}).get("start")
    except RunError:  # a record that cannot be read
        return None
    path = Path(start["path"]) if start else None
    return path if path is not None and folder.id != other.id and path.is_relative_to(other.path) else None


def others_start_from(folder: RunFolder) -> set[Path]:
    """Return the checkpoints of a run that other runs started from."""
    return {path for other in RunFolder.all() if (path := starts_in(other, folder)) is not None}


def _written(model: Model, target: Path) -> dict[str, Any] | None:
    trained, carried = model.trained, model.carried
    if trained is None or carried is None:
        return None
    with saving(target), model.gate.inference():
        target.mkdir(exist_ok=True)
        carried.save(target)
    return {"path": str(target), "trained": list(trained)}
