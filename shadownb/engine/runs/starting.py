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
    from shadownb.engine.runs.checkpoints import Checkpoint

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
    return {"path": str(target), "trained": list(trained)}
