"""The reducer: a run's state from its events. Panel, magic, repr, snapshot and a notebook opened tomorrow all read this.

Metrics past the step from which a later attempt went on are dropped: the run then took another path.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from shadownb.engine import older
from shadownb.engine.runs.commands import STOPS
from shadownb.engine.runs.journal import Event
from shadownb.engine.runs.series import Series

ACTIVE = ("queued", "running", "paused")
ENDED = ("succeeded", "stopped", "failed", "interrupted", "discarded")

# What a step event carries beside its curves: any other number in it, whichever method wrote it, is a curve.
_NO_CURVES = frozenset({"seq", "time", "type", "step", "total_steps", "epoch", "elapsed_s", "tokens", "eta_s"})
_MOST_CURVES = 32  # keeps a state bounded whatever a method writes

_KEPT_WARNINGS = 100
_KEPT_COMPLETIONS = 1000  # steps whose answers can be shown; the files of all stay


@dataclass
class RunState:
    """Everything a reader shows about a run; bounded in size."""

    run_id: str = ""
    status: str = "queued"
    phase: dict[str, Any] = field(default_factory=lambda: {"name": "queued", "done": 0, "total": None, "unit": ""})
    step: int = 0
    total_steps: int | None = None
    epoch: float = 0.0
    attempt: int = 0
    attempts: list[dict[str, Any]] = field(default_factory=list)
    created_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    elapsed_s: float = 0.0
    eta_s: float | None = None
    last: dict[str, Any] = field(default_factory=dict)
    best: dict[str, Any] | None = None
    series: dict[str, Series] = field(default_factory=dict)
    evals: Series = field(default_factory=Series)
    samples: list[dict[str, Any]] = field(default_factory=list)
    completions: list[dict[str, Any]] = field(default_factory=list)
    checkpoints: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    error: dict[str, Any] | None = None
    record: dict[str, Any] = field(default_factory=dict)
    stopping: bool = False
    launched: dict[str, Any] | None = None
    attempts_seen_at_launch: int = 0
    executor: str = ""
    result: str | None = None
    note: str = ""
    seq: int = 0

    def apply(self, event: Event) -> None:
        """Take one event in. Unknown types and fields are ignored, so that older code reads newer journals."""
        self.seq = event["seq"]
        handler = getattr(self, f"_on_{event['type']}", None)
        if handler is not None:
            handler(event)

    def _on_created(self, event: Event) -> None:
        self.run_id = event.get("run_id", "")
        self.created_at = event["time"]

    def _on_launched(self, event: Event) -> None:
        """An executor was asked to go on with the run; the attempt itself begins later."""
        self.launched = {k: event.get(k) for k in ("executor", "by", "worker", "time")}
        self.executor = event["executor"]
        self.attempts_seen_at_launch = self.attempt
        self.status = "queued"
        self.error = None
        self.ended_at = None
        self.stopping = False
        self.eta_s = None
        self.phase = {"name": "starting", "done": 0, "total": None, "unit": ""}

    def _on_worker(self, event: Event) -> None:
        if self.launched is not None:
            self.launched["worker"] = event["mark"]

    def _on_attempt(self, event: Event) -> None:
        self.attempt = event["n"]
        self.attempts.append({k: v for k, v in event.items() if k not in ("type", "seq")})
        self.status = "running"
        self.error = None
        self.ended_at = None
        self.stopping = False
        self.eta_s = None
        self.checkpoints = [{**checkpoint, "final": False} for checkpoint in self.checkpoints]
        self.started_at = self.started_at or event["time"]
        self.step = event.get("from_step", 0)

    def _on_phase(self, event: Event) -> None:
        self.phase = {k: event.get(k) for k in ("name", "done", "total", "unit", "message")}
        if event["name"] == "queued":
            self.status = "queued"
        elif self.status in ("queued", "paused"):
            self.status = "running"

    def _on_plan(self, event: Event) -> None:
        self.total_steps = event["total_steps"]

    def _on_step(self, event: Event) -> None:
        self.step = event["step"]
        self.epoch = event.get("epoch") or self.epoch
        self.total_steps = event.get("total_steps") or self.total_steps
        elapsed = event.get("elapsed_s")
        self.elapsed_s = self.elapsed_s if elapsed is None else elapsed
        self.last = {k: v for k, v in event.items() if k not in ("type", "seq")}
        for name, value in event.items():
            if name not in _NO_CURVES:
                self._add_point(name, self.step, value)
        self.eta_s = event.get("eta_s")

    def _add_point(self, name: str, step: int, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return
        if name in self.series or len(self.series) < _MOST_CURVES:
            self.series.setdefault(name, Series()).append(step, value)

    def _on_eval(self, event: Event) -> None:
        for name, value in event.items():
            if name.startswith("eval_") and name != "eval_loss":
                self._add_point(name, event["step"], value)
        loss = event.get("eval_loss")
        if loss is None:
            return
        self.evals.append(event["step"], loss)
        if self.best is None or loss < self.best["eval_loss"]:
            self.best = {"step": event["step"], "eval_loss": loss}

    def _on_sample(self, event: Event) -> None:
        self.samples.append({k: v for k, v in event.items() if k not in ("type", "seq")})

    def _on_completions(self, event: Event) -> None:
        """Scored answers of a step; an attempt that comes to a step again writes the same file anew."""
        self.completions = [kept for kept in self.completions if kept["step"] < event["step"]]
        self.completions.append({k: event.get(k) for k in ("step", "path", "count")})
        del self.completions[:-_KEPT_COMPLETIONS]

    def _on_checkpoint(self, event: Event) -> None:
        gone = set(event.get("removed", ()))
        self.checkpoints = [c for c in self.checkpoints if c["path"] not in gone and c["path"] != event["path"]]
        self.checkpoints.append({k: event.get(k) for k in ("step", "path", "final", "best", "eval_loss")})

    def _on_checkpoints_removed(self, event: Event) -> None:
        gone = set(event["removed"])
        self.checkpoints = [c for c in self.checkpoints if c["path"] not in gone]

    def _on_warning(self, event: Event) -> None:
        self.warnings.append({k: event.get(k, "") for k in ("code", "what", "why", "fix")})
        del self.warnings[:-_KEPT_WARNINGS]

    def _on_command(self, event: Event) -> None:
        if event["kind"] in STOPS:
            self.stopping = True

    def _on_paused(self, event: Event) -> None:
        self.status = "paused"
        self.eta_s = None
        self.phase = {"name": "paused", "done": self.step, "total": self.total_steps, "unit": "steps"}

    def _on_record(self, event: Event) -> None:
        self.record.update(older.facts(event["values"]))

    def _on_end(self, event: Event) -> None:
        self.status = event["status"]
        self.result = event.get("result")
        self.note = event.get("note") or ""
        self.error = event.get("error")
        self.ended_at = event["time"]
        self.eta_s = 0.0 if event["status"] == "succeeded" else None
        self.stopping = False
        self.phase = {"name": event["status"], "done": self.step, "total": self.total_steps, "unit": "steps"}
