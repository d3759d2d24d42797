"""What a run starts from: the fresh base, the model as it is, or the saved result of another run or adapter.

It is chosen at the launch (:mod:`.chosen_start`) and written into the run's record when its turn comes, so that a resume can
begin at the same weights.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine.disk import saving
from shadownb.engine.loaded import sidecar
from shadownb.engine.runs.chosen_start import Start, is_at, refuse_loss, saved_state
from shadownb.engine.runs.folder import RunFolder
from shadownb.errors import RunError

if TYPE_CHECKING:
    from shadownb.engine.loaded.model import LoadedModel
    from shadownb.engine.runs.checkpoints import Checkpoint

_FOLDER = "start"


def record_start(folder: RunFolder, model: LoadedModel) -> tuple[dict[str, Any] | None] | None:
    """Bring the model to where a run starts, and note it. A run that waited in line starts from what those before it left.

    Weights that only memory has (their run was deleted, or a full disk kept its last checkpoint out) are written into
    the run's own folder first.

    Returns
    -------
    In a tuple, what :meth:`LoadedModel.restore_start` takes for the state that the model left; None where it stayed where it was.

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
        wanted, before = start.state(model, folder.store), saved_state(model, folder.store)
        if not is_at(model, wanted):
            refuse_loss(model, folder.store)
            model.restore_start(wanted)
            left = (before,)
    state = saved_state(model, folder.store) or _written(model, folder.path / _FOLDER)
    note_start(folder, state, model.trained[0] if model.trained else None)
    return left


def note_start(folder: RunFolder, state: dict[str, Any] | None, parent: str | None) -> None:
    """Write into a run's record what it starts from."""
    spec = folder.spec
    spec["parent"] = parent
    spec["model"]["start"] = state
    folder.write_spec(spec)


def starts_in(folder: RunFolder) -> dict[str, set[Path]]:
    """Return, by id, what other runs start from that lies in a run's folder: weights, and ``resume_from_checkpoint``."""
    root = folder.path.resolve()  # the home may be a link to another folder
    found = {}
    for run_id, places in folder.store.starts().items():
        inside = [path for place in places if (path := place.resolve()).is_relative_to(root)]
        if inside and run_id != folder.id:
            found[run_id] = {folder.path / path.relative_to(root) for path in inside}
    return found


def others_start_from(folder: RunFolder) -> set[Path]:
    """Return the checkpoints of a run that other runs started from."""
    return set().union(*starts_in(folder).values())


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


def _written(model: LoadedModel, target: Path) -> dict[str, Any] | None:
    trained = model.trained
    if trained is None or model.weights.kind is None:
        return None
    with saving(target), model.gate.inference():
        target.mkdir(exist_ok=True)
        model.weights.save(target)
        model.save_tokenizer(target)  # with the chat template it was trained with
        sidecar.write(target, trained_on=model.trained_on, trained={"run": trained[0], "step": trained[1]})
    return {"path": str(target), "trained": list(trained)}
