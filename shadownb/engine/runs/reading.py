"""What is known of a run: its facts, where it stands and what came out, read from its folder; nothing here changes it.

Its numbers by step are in :mod:`.metrics`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine.config import TrainConfig
from shadownb.engine.runs import checkpoints, executors
from shadownb.engine.runs.charts import headlines
from shadownb.engine.runs.checkpoints import Checkpoint
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.journal import Event
from shadownb.engine.runs.liveness import observed_status
from shadownb.engine.runs.origin import in_words
from shadownb.engine.runs.results import result_of
from shadownb.engine.runs.state import ACTIVE, RunState
from shadownb.engine.runs.view import RunView
from shadownb.errors import CheckpointError, ShadowError, error_from_dict

if TYPE_CHECKING:
    from shadownb.engine.data.trained_on import TrainedOn
    from shadownb.engine.loaded.model import LoadedModel


class RunReading:
    """The readable side of a :class:`Run`."""

    def __init__(self, folder: RunFolder, *, model: LoadedModel | None = None) -> None:
        self.folder = folder
        self.id = folder.id
        self.path = folder.path
        self._view = RunView(folder.events)
        self._model = model
        self._config: TrainConfig | None = None

    @property
    def config(self) -> TrainConfig:
        """The configuration it was launched with."""
        if self._config is None:
            self._config = self.folder.config
        return self._config

    @property
    def base_model(self) -> str:
        """Name of the model that it trains, as it was given to ``load()``."""
        return str(self.folder.spec["model"]["name"])

    @property
    def state(self) -> RunState:
        """Everything known now: progress, last metrics, curves (bounded), samples, checkpoints, warnings, error."""
        state = self._view.observe(lambda state: observed_status(self.folder, state))
        if state.status == "interrupted":
            state.phase = {"name": "interrupted", "done": state.step, "total": state.total_steps, "unit": "steps"}
            state.eta_s = None
        return state

    @property
    def journalled(self) -> RunState:
        """What the journal says, without a look at whether somebody still works on the run."""
        return self._view.refresh()

    @property
    def status(self) -> str:
        """``queued, running, paused, succeeded, stopped, failed, interrupted`` or ``discarded``."""
        return self.state.status

    @property
    def is_active(self) -> bool:
        """Whether somebody works on it, or will."""
        return self.status in ACTIVE

    @property
    def executor(self) -> str:
        """Name of the executor that trains it: ``thread``, ``process``, or one that was registered."""
        return self._view.refresh().executor

    @property
    def shares_memory(self) -> bool:
        """Whether it trains the very model that it was started on, or waits to: that one answers with the newest weights."""
        return executors.known_by(self.executor).shares_memory

    @property
    def error(self) -> ShadowError | None:
        """What made it fail, or None."""
        found = self.state.error
        return error_from_dict(found) if found else None

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return self.state.step

    @property
    def total_steps(self) -> int | None:
        """Optimizer steps planned; None before the data is prepared."""
        return self.state.total_steps

    @property
    def progress(self) -> float:
        """Share done, 0 to 1."""
        state = self.state
        return state.step / state.total_steps if state.total_steps else 0.0

    @property
    def loss(self) -> float | None:
        """Last training loss."""
        return self.state.last.get("loss")

    @property
    def eval_loss(self) -> float | None:
        """Last evaluation loss."""
        last = self.state.evals.last
        return last[1] if last else None

    @property
    def started_at(self) -> float | None:
        """When its first attempt began, in seconds since 1970; None while it waits."""
        return self.state.started_at

    @property
    def ended_at(self) -> float | None:
        """When it ended, in seconds since 1970; None while it goes on, and where nothing could note the end (interrupted)."""
        return self.state.ended_at

    @property
    def duration_s(self) -> float:
        """Seconds of its work up to the newest step, without pauses and waiting for inference.

        Its work is steps, evaluations, samples, checkpoints, and the reference of DPO and KTO; loading and preparing data and
        model is not.
        """
        return self.state.elapsed_s

    @property
    def eta_s(self) -> float | None:
        """Seconds to go; None while that is still being estimated."""
        return self.state.eta_s

    @property
    def steps_per_s(self) -> float | None:
        """Optimizer steps a second of :attr:`duration_s`, which has more than steps; a step's own is its ``tokens_per_s``."""
        state = self.state
        return state.step / state.elapsed_s if state.elapsed_s else None

    @property
    def tokens(self) -> int:
        """Real tokens trained on so far."""
        return int(self.state.last.get("tokens") or 0)

    @property
    def peak_memory_gb(self) -> float | None:
        """Most memory seen while training, in units of 1e9 bytes."""
        return self.state.last.get("peak_memory_gb")

    @property
    def estimated_memory_gb(self) -> float | None:
        """What it was expected to need before the first step, in units of 1e9 bytes; beside :attr:`peak_memory_gb`."""
        found = (self.state.record.get("estimate") or {}).get("expected_gb")
        return None if found is None else float(found)

    @property
    def trained_parameters(self) -> int | None:
        """How many numbers it trains; None before the model is prepared."""
        found = (self.state.record.get("actual_setup") or {}).get("trained_parameters")
        return None if found is None else int(found)

    @property
    def reach(self) -> str | None:
        """What is trained of the model, what stays frozen and why, in words; None before the model is prepared."""
        found = self.state.record.get("reach") or {}
        return found.get("words")

    @property
    def resumed(self) -> bool:
        """Whether an attempt went on from a checkpoint."""
        return any(attempt.get("checkpoint") for attempt in self.state.attempts)

    @cached_property
    def trained_on(self) -> TrainedOn | None:
        """What its rows have in common: system prompt, tools, chat or plain text; None where that is not known any more."""
        return self.folder.trained_on

    @property
    def parent(self) -> str | None:
        """Id of the run whose result it started from."""
        return self.folder.spec.get("parent")

    @property
    def started_from(self) -> str:
        """What its weights were at the start, in words: ``the base``, ``step 40 of run ...``, ``the adapter in ...``."""
        return in_words(self.folder.spec)

    def events(self, since: int = 0) -> Iterator[Event]:
        """Yield the journal's events with a sequence number above ``since``."""
        return executors.known_by(self.executor).events(self.path, since)

    def traceback(self) -> str:
        """Return the technical details of a failure, or an empty string."""
        found = [event["text"] for event in self.events() if event["type"] == "traceback"]
        return found[-1] if found else ""

    # -- results ----------------------------------------------------------------------------------------------------

    def result(self) -> Checkpoint | None:
        """Return the checkpoint it ended with, or None where it has none."""
        try:
            return result_of(self.folder)
        except CheckpointError:
            return None

    @property
    def checkpoint(self) -> Path | None:
        """Folder of the result."""
        result = self.result()
        return result.path if result else None

    def checkpoints(self) -> list[Checkpoint]:
        """Return the checkpoints that are there, by step."""
        return checkpoints.list_checkpoints(self.folder.checkpoints)

    def checkpoint_at(self, step: int | None = None) -> Checkpoint:
        """Return the checkpoint of a step, None for the newest.

        Raises
        ------
        CheckpointError
            There is none of that step; the message lists those there are.
        """
        found = self.checkpoints()
        for checkpoint in reversed(found):
            if step is None or checkpoint.step == step:
                return checkpoint
        have = ", ".join(str(c.step) for c in found) or "none"
        raise CheckpointError(f"Run {self.id} has no checkpoint of step {step}.", fix=f"Steps with one: {have}.")

    def samples(self) -> list[dict[str, Any]]:
        """Return what the fixed prompts were answered at each evaluation: step and items of prompt and completion."""
        import json

        found = []
        for event in self.state.samples:
            path = self.folder.samples / event["path"]
            if path.is_file():
                found.append(json.loads(path.read_text(encoding="utf-8")))
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return a summary as JSON-compatible values."""
        state = self.state
        return {
            "id": self.id,
            "status": state.status,
            "method": self.config.method,
            "model": self.base_model,
            "step": state.step,
            "total_steps": state.total_steps,
            "loss": state.last.get("loss"),
            "eval_loss": state.evals.last[1] if state.evals.last else None,
            "best": state.best,
            "elapsed_s": state.elapsed_s,
            "tokens_per_s": state.last.get("tokens_per_s"),
            "peak_memory_gb": state.last.get("peak_memory_gb"),
            "estimated_memory_gb": self.estimated_memory_gb,
            "trained_parameters": self.trained_parameters,
            "reach": self.reach,
            "created_at": state.created_at,
            "started_at": state.started_at,
            "ended_at": state.ended_at,
            "parent": self.parent,
            "started_from": self.started_from,
        }

    def __repr__(self) -> str:
        state = self.state
        steps = f"step {state.step}" + (f" of {state.total_steps}" if state.total_steps else "")
        loss = f", loss {state.last['loss']:.4f}" if state.last.get("loss") is not None else ""
        more = "".join(f", {title} {value}" for title, value in headlines(state))
        return f"Run({self.id!r}, {state.status}, {steps}, from {self.started_from}{loss}{more})"

    def _repr_html_(self) -> str:
        from shadownb.engine.runs.displays import run_html

        return run_html(self)
