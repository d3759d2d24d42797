"""A reader of one run: follows its journal and keeps the reduced state up to date."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shadownb.engine.runs.journal import Event, JournalReader
from shadownb.engine.runs.state import RunState


class RunView:
    """The state of a run folder, refreshed on demand from what was appended since the last time."""

    def __init__(self, events_path: Path) -> None:
        self._path = events_path
        self._lock = threading.Lock()
        self._reader = JournalReader(events_path)
        self.state = RunState()

    def refresh(self) -> RunState:
        """Read on and return the state. After a resume that goes back, everything is read anew."""
        with self._lock:
            return self._read_on()

    def observe(self, status_of: Callable[[RunState], str]) -> RunState:
        """Refresh, and give the state the status that an observer sees (see :func:`.liveness.observed_status`).

        An owner writes the end before it lets go of the run. So where nobody has it any more the journal is read once more, and
        no other thread reads meanwhile: its newer status would be overwritten, and no event would come to put that right.
        """
        with self._lock:
            state = self._read_on()
            status = status_of(state)
            if status != state.status:
                state = self._read_on()
                status = status_of(state)
            state.status = status
            return state

    def _read_on(self) -> RunState:
        while events := self._reader.read():
            if _goes_back(events, self.state.step):
                self._rebuild()
                break
            for event in events:
                self.state.apply(event)
        return self.state

    def _rebuild(self) -> None:
        self._reader = JournalReader(self._path)
        state = RunState()
        # A reader that follows the curves by count must notice that they are new ones.
        versions = {name: series.version + 1 for name, series in self.state.series.items()}
        for event in _kept(list(self._reader)):
            state.apply(event)
        for name, series in state.series.items():
            series.version += versions.get(name, 0)
        state.evals.version += self.state.evals.version + 1
        self.state = state


def _goes_back(events: list[Event], step: int) -> bool:
    """Whether an attempt among the events begins before a step that was reached by then; ``step`` came before them."""
    for event in events:
        if event["type"] == "attempt":
            if event.get("from_step", 0) < step:
                return True
        elif event["type"] == "step":
            step = event["step"]
    return False


def _kept(events: list[Event]) -> list[Event]:
    """Return a whole journal's events without those that a later attempt dropped."""
    attempts = [(event["seq"], event.get("from_step", 0)) for event in events if event["type"] == "attempt"]

    def dropped(event: Event) -> bool:
        step = event.get("step")
        if step is None or event["type"] not in ("step", "eval", "sample"):
            return False
        return any(seq > event["seq"] and from_step < step for seq, from_step in attempts)

    return [event for event in events if not dropped(event)]


class Metric(dict[str, Any]):
    """The numbers of one step or evaluation, as attributes and as keys: ``metric.loss`` is ``metric["loss"]``.

    A training step has step, loss, learning_rate, grad_norm, epoch, elapsed_s, tokens, tokens_per_s, peak_memory_gb, eta_s and
    what the method adds; an evaluation has step, eval_loss, seconds and what the method adds. Values are floats or ints in the
    unit that the name says (``_s`` seconds, ``_gb`` 1e9 bytes), or None if there is no value: the norm of a step that fp16
    skipped, a time left that is not known yet.

    Raises
    ------
    AttributeError
        There is no number of that name; the message lists those there are.

    Examples
    --------
    >>> metric = run.metrics[-1]
    >>> metric.step, metric.loss == metric["loss"]
    (40, True)
    >>> metric.perplexity
    Traceback (most recent call last):
        ...
    AttributeError: no metric 'perplexity' here; there are time, step, total_steps, loss, ...
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"no metric {name!r} here; there are {', '.join(self)}") from None

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self]


def read_metrics(events_path: Path) -> tuple[list[Metric], list[Metric]]:
    """Return all (steps, evaluations) of a journal, without those a later attempt dropped."""
    kept = _kept(list(JournalReader(events_path)))

    def plain(kind: str) -> list[Metric]:
        return [Metric((k, v) for k, v in e.items() if k not in ("type", "seq")) for e in kept if e["type"] == kind]

    return plain("step"), plain("eval")
