"""What was asked for as the start of a run (``train(start=...)``), and which saved state of the weights that is."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from shadownb.engine.loaded.backends import description_in
from shadownb.engine.runs import checkpoints
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.liveness import observed_status
from shadownb.engine.runs.results import result_of
from shadownb.engine.runs.state import ACTIVE
from shadownb.engine.runs.view import RunView
from shadownb.errors import BusyError, CheckpointError, ConfigError, ModelError, RunNotFoundError

if TYPE_CHECKING:
    from shadownb.engine.loaded.model import LoadedModel
    from shadownb.engine.ports.executor import Executor
    from shadownb.engine.ports.run_store import RunStore


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
    def of(cls, asked: Any, store: RunStore[RunFolder]) -> Start:
        """Read ``train(start=...)``; a run is one of the store.

        Raises
        ------
        ConfigError
            It is neither ``"base"``, ``"trained"``, a run, nor a folder that holds something trained.
        """
        if asked is None:
            return cls("trained")
        if isinstance(asked, str) and asked in ("base", "trained"):
            return cls("base" if asked == "base" else "trained")
        text = getattr(asked, "id", asked)
        if isinstance(text, str | os.PathLike):
            with contextlib.suppress(RunNotFoundError):
                return cls("saved", run=store.find(text).id)
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

    def state(self, model: LoadedModel, store: RunStore[RunFolder]) -> dict[str, Any] | None:
        """Return the saved state that is meant, as a record keeps it; None for the base.

        Raises
        ------
        CheckpointError
            The run has no result, or the result is of another base.
        """
        if self.kind == "base":
            return None
        if self.kind == "trained":
            return saved_state(model, store)
        if self.run is not None:
            found = result_of(store.find(self.run))
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

    def planned(self, model: LoadedModel, store: RunStore[RunFolder]) -> dict[str, Any] | None:
        """Return the state as it is known at the launch; of a run that still goes on only the end decides."""
        return None if self.run is not None and _goes_on(self.run, store) else self.state(model, store)

    def parent(self, model: LoadedModel, state: dict[str, Any] | None) -> str | None:
        """Return the id of the run that is started from, as it is known at the launch."""
        if self.kind == "trained":
            return model.trained[0] if model.trained else None
        return self.run or (state["trained"][0] if state and state["trained"] else None)

    def check(self, model: LoadedModel, executor: Executor, store: RunStore[RunFolder]) -> None:
        """Refuse at the launch what can be known then."""
        if self.kind == "trained":
            return
        if not executor.shares_memory and self.run is not None and _goes_on(self.run, store):
            raise BusyError(f"start={self.run!r}: that run is still going on.", fix="Wait for it: run.wait().")
        if executor.shares_memory and model.active_run is None and not is_at(model, self.planned(model, store)):
            refuse_loss(model, store)


def refuse_loss(model: LoadedModel, store: RunStore[RunFolder]) -> None:
    """Raise ModelError where going to another state would lose trained weights that no file has."""
    if model.trained is not None and saved_state(model, store) is None:
        run_id, step = model.trained
        raise ModelError(
            f"The model carries step {step} of run {run_id}, which is in memory only, and would lose it.",
            why="The run was deleted, or its last checkpoint could not be written.",
            fix="Save it first with model.save(path), or train in a copy: model.fresh_copy().train(...).",
        )


def _check_base(found: str | None, name: str, model: LoadedModel) -> None:
    if found is not None and found != model.base_hash:
        raise CheckpointError(
            f"start={name!r} belongs to another base than {model.name!r}.",
            why=f"Its base hashes to {found[:12]}, this one to {model.base_hash[:12]}.",
            fix="Load the model it was trained on.",
        )


def _goes_on(run_id: str, store: RunStore[RunFolder]) -> bool:
    folder = store.find(run_id)
    return observed_status(folder, RunView(folder.events).refresh()) in ACTIVE


def saved_state(model: LoadedModel, store: RunStore[RunFolder]) -> dict[str, Any] | None:
    """Return where the state of the weights is saved, as a record keeps it; None for the base, and where no file has it."""
    if model.trained is None:
        return None if model.saved_at is None else {"path": str(model.saved_at), "trained": None}
    run_id, step = model.trained
    with contextlib.suppress(RunNotFoundError, CheckpointError):
        checkpoint = checkpoints.opened(store.find(run_id).checkpoints / checkpoints.folder_name(step))
        return {"path": str(checkpoint.path), "trained": [run_id, step]}
    return None


def is_at(model: LoadedModel, state: dict[str, Any] | None) -> bool:
    """Whether the model's weights are those of a saved state (None: of the base)."""
    if state is None:
        return model.adapter is None
    if state["trained"] is not None:
        return model.trained == tuple(state["trained"])
    return model.trained is None and str(model.saved_at) == state["path"]
